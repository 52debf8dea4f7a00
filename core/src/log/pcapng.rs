//! Block types of pcapng (draft-ietf-opsawg-pcapng section 4).

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
pub(super) const INTERFACE_STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
/// Our records: a type from the range for local use (its highest bit is set, then `DSC`). Wireshark gives every Custom Block
/// a frame number and a line of its own, which would shift the numbers of the packets; an unknown type it passes over.
pub(super) const OURS: u32 = 0x8044_5343;
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
