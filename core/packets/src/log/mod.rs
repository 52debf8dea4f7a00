//! The log: pcap and pcapng in, records out; records in, pcapng out.
//!
//! One format on the wire, on disk, in an upload and in a test: a valid pcapng file, with what pcapng lacks in blocks of
//! our own (`block`, FORMAT.md). Decoding is by pushing bytes in chunks of any size; the records do not depend on how the
//! bytes were cut.

pub mod block;
mod bytes;
mod decode;
mod encode;
mod link;
mod pcap;
mod pcapng;
pub mod record;
pub mod rotation;
mod unpack;

pub use decode::Decoder;
pub use encode::{Encoder, PacketToWrite, TooLong, add_drop_count, append_packet};
pub(crate) use pcapng::OURS;
pub use unpack::{UnpackError, Unpacker};

/// The longest block that is read or written, in bytes: Wireshark's bound (`MAX_BLOCK_SIZE` in wiretap/pcapng.c), so that a
/// block it opens is read here too and an untrusted length cannot ask for more memory.
pub const MAX_BLOCK_LEN: u32 = 16 << 20;

/// The most bytes of one packet that are read or written: Wireshark's bound (`WTAP_MAX_PACKET_SIZE_STANDARD`).
pub const MAX_PACKET_LEN: u32 = 262_144;
