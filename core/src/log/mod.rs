//! The log: pcap and pcapng in, records out; records in, pcapng out.
//!
//! One format on the wire, on disk, in an upload and in a test: a valid pcapng file, with what pcapng lacks in Custom
//! Blocks (`block`, FORMAT.md). Decoding is by pushing bytes in chunks of any size; the records do not depend on how the
//! bytes were cut.

pub mod block;
pub mod record;
