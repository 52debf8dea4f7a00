//! Link types that are named and not read: none of them carries IP packets as such.

use super::Link;
use crate::dissect::walk::{Kind, Next, Walk};

pub(super) const USB_LINUX: Link = Link { numbers: &[189], slug: "usb-linux", name: "USB (Linux)", read };
pub(super) const USB_LINUX_MMAP: Link = Link { numbers: &[220], slug: "usb-linux-mmap", name: "USB (Linux, mmapped)", read };
pub(super) const USBPCAP: Link = Link { numbers: &[249], slug: "usbpcap", name: "USBPcap", read };

fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("USB", "usb"));
    None
}
