//! Options: a list of (code, length, value) at the end of a block (draft-ietf-opsawg-pcapng section 3.5).

use crate::log::bytes::{ByteOrder, padded};
use crate::log::decode::Stop;

const END: u16 = 0;
pub(in crate::log) const COMMENT: u16 = 1;

pub(in crate::log) const SHB_HARDWARE: u16 = 2;
pub(in crate::log) const SHB_OS: u16 = 3;
pub(in crate::log) const SHB_USERAPPL: u16 = 4;

pub(in crate::log) const IF_NAME: u16 = 2;
pub(in crate::log) const IF_DESCRIPTION: u16 = 3;
pub(in crate::log) const IF_TSRESOL: u16 = 9;
pub(in crate::log) const IF_FILTER: u16 = 11;
pub(in crate::log) const IF_OS: u16 = 12;
pub(super) const IF_TSOFFSET: u16 = 14;
/// First byte of an `if_filter`: the rest is a libpcap filter expression.
pub(in crate::log) const FILTER_IS_TEXT: u8 = 0;

pub(in crate::log) const EPB_FLAGS: u16 = 2;
pub(in crate::log) const EPB_DROPCOUNT: u16 = 4;

pub(in crate::log) const ISB_IFRECV: u16 = 4;
pub(in crate::log) const ISB_IFDROP: u16 = 5;
pub(in crate::log) const ISB_OSDROP: u16 = 7;
pub(in crate::log) const ISB_USRDELIV: u16 = 8;

/// Hands each option's code and value to `each`. A list that runs past its block is damage, as for Wireshark.
pub(super) fn for_each(order: ByteOrder, bytes: &[u8], mut each: impl FnMut(u16, &[u8])) -> Result<(), Stop> {
    let mut rest = bytes;
    while !rest.is_empty() {
        if rest.len() < 4 {
            return Err(Stop::Damaged(format!("{} bytes where an option should be", rest.len())));
        }
        let (code, length) = (order.u16(rest, 0), usize::from(order.u16(rest, 2)));
        rest = &rest[4..];
        if padded(length) > rest.len() {
            return Err(Stop::Damaged(format!("an option of {length} bytes, where {} are left in the block", rest.len())));
        }
        if code == END {
            break;
        }
        each(code, &rest[..length]);
        rest = &rest[padded(length)..];
    }
    Ok(())
}

/// A text option's value. It should be UTF-8; what is not is replaced.
pub(super) fn text(value: &[u8]) -> String {
    // Some writers count a terminating NUL in.
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A 64-bit option's value, where it has 64 bits.
pub(super) fn number(order: ByteOrder, value: &[u8]) -> Option<u64> {
    (value.len() == 8).then(|| order.u64(value, 0))
}
