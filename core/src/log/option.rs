//! pcapng options: a list of (code, length, value) at the end of a block (draft-ietf-opsawg-pcapng section 3.5).

pub(super) const COMMENT: u16 = 1;

pub(super) const SHB_HARDWARE: u16 = 2;
pub(super) const SHB_OS: u16 = 3;
pub(super) const SHB_USERAPPL: u16 = 4;

pub(super) const IF_NAME: u16 = 2;
pub(super) const IF_DESCRIPTION: u16 = 3;
pub(super) const IF_TSRESOL: u16 = 9;
pub(super) const IF_FILTER: u16 = 11;
pub(super) const IF_OS: u16 = 12;
/// First byte of an `if_filter`: the rest is a libpcap filter expression.
pub(super) const FILTER_IS_TEXT: u8 = 0;

pub(super) const EPB_FLAGS: u16 = 2;
pub(super) const EPB_DROPCOUNT: u16 = 4;

pub(super) const ISB_IFRECV: u16 = 4;
pub(super) const ISB_IFDROP: u16 = 5;
pub(super) const ISB_OSDROP: u16 = 7;
pub(super) const ISB_USRDELIV: u16 = 8;
