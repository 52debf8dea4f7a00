//! Link types that are named and not read: but for SLIP none of them carries IP packets as such.

use super::Link;
use crate::dissect::walk::{Kind, Next, Walk};

/// A byte of direction and 15 of a compressed header stand before the packet; Wireshark does not read it either.
pub(super) const SLIP: Link = Link { numbers: &[8], slug: "slip", name: "SLIP", read: read_slip };
pub(super) const USB_LINUX: Link = Link { numbers: &[189], slug: "usb-linux", name: "USB (Linux)", read };
pub(super) const USB_LINUX_MMAP: Link = Link { numbers: &[220], slug: "usb-linux-mmap", name: "USB (Linux, mmapped)", read };
pub(super) const USBPCAP: Link = Link { numbers: &[249], slug: "usbpcap", name: "USBPcap", read };

fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("USB", "usb"));
    None
}

fn read_slip(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Named("SLIP", "slip"));
    None
}
