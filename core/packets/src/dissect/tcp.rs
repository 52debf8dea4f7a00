//! TCP (RFC 9293) and the options that analysis uses.

use super::ip_protocol::TCP;
use super::packet::{Checksum, Protocol, Tcp, TcpFlags, TcpOptions, Transport, Why};
use super::ports;
use super::walk::{Kind, Next, Walk};

/// Where the part of the header ends that a conversation needs; what follows, checksum and urgent pointer, may be cut.
const WINDOW_END: usize = 16;

pub(super) fn read(walk: &mut Walk<'_>) -> Option<Next> {
    walk.enter(Kind::Tcp);
    let rest = walk.rest();
    let Some(header) = rest.first_chunk::<WINDOW_END>() else {
        walk.packet.transport = ports::of(walk, Protocol::Tcp);
        return walk.short("tcp", 20);
    };
    let header_len = usize::from(header[12] >> 4) * 4;
    let told_len = walk.told_len();
    let options = rest.get(20..header_len.min(rest.len())).unwrap_or_default();
    let options_len = header_len.saturating_sub(20);
    let tcp = Tcp {
        src: u16::from_be_bytes([header[0], header[1]]),
        dst: u16::from_be_bytes([header[2], header[3]]),
        seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        flags: TcpFlags(u16::from_be_bytes([header[12], header[13]]) & 0x0fff),
        window: u16::from_be_bytes([header[14], header[15]]),
        payload_len: told_len.saturating_sub(header_len.max(20)) as u32,
        payload: rest.get(header_len.max(20)..).unwrap_or_default(),
        options: read_options(options, options_len),
        checksum: match walk.checksum_to_end(TCP) {
            Checksum::Good if rest.get(16..).and_then(<[u8]>::first_chunk).is_some_and(|field| is_never_computed(*field)) => {
                Checksum::Bad
            }
            judged => judged,
        },
        offset: walk.at as u32,
    };
    walk.packet.transport = Transport::Tcp(tcp);
    if header_len < 20 || told_len < header_len {
        walk.stop("tcp", Why::HeaderLength { header: header_len as u32, total: told_len as u32 }, false);
    } else if rest.len() < header_len {
        return walk.short("tcp", header_len);
    }
    None
}

/// Whether a checksum field is wrong though the sum comes out: it does with 0xffff in place of 0, too, and no sender computes
/// that (RFC 1624).
#[inline]
pub(super) fn is_never_computed(field: [u8; 2]) -> bool {
    field == [0xff; 2]
}

/// Kinds of TCP options (IANA "TCP Option Kind Numbers").
pub(super) mod kind {
    pub(crate) const END: u8 = 0;
    pub(crate) const NOP: u8 = 1;
    pub(crate) const MSS: u8 = 2;
    pub(crate) const WINDOW_SCALE: u8 = 3;
    pub(crate) const SACK_PERMITTED: u8 = 4;
    pub(crate) const SACK: u8 = 5;
    pub(crate) const TIMESTAMPS: u8 = 8;
    pub(crate) const MPTCP: u8 = 30;
    pub(crate) const FAST_OPEN: u8 = 34;
    pub(crate) const EXPERIMENT: u8 = 254;
}

/// Reads options until the first that cannot be right. Later ones of a kind win over earlier ones nowhere: the first stays. Of
/// the `whole` bytes of options some may be missing, where the capture cut the packet.
pub(super) fn read_options(bytes: &[u8], whole: usize) -> TcpOptions {
    if let Some(stamps) = time_stamps_alone(bytes, whole) {
        return only_time_stamps(stamps);
    }
    let mut options = TcpOptions::default();
    for (kind, len, value) in each_option(bytes, whole) {
        match (kind, value) {
            (kind::MSS, [a, b]) => options.mss = options.mss.or(Some(u16::from_be_bytes([*a, *b]))),
            (kind::WINDOW_SCALE, [shift]) => options.window_scale = options.window_scale.or(Some(*shift)),
            (kind::SACK_PERMITTED, []) => options.sack_permitted = true,
            (kind::SACK, edges) => {
                for edge in edges.as_chunks::<8>().0 {
                    let _ = options.sack.try_push(two_numbers(edge));
                }
            }
            (kind::TIMESTAMPS, value) if len == 8 && options.tsval.is_none() => {
                let number = |at: usize| value.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u32::from_be_bytes(*bytes));
                (options.tsval, options.tsecr) = (number(0), number(4));
            }
            // MP_CAPABLE without a key, as in the SYN of version 1, agrees on nothing yet.
            (kind::MPTCP, [first, ..]) if (first >> 4, len) != (0, 2) => options.mptcp |= 1 << (first >> 4),
            (kind::FAST_OPEN, _) | (kind::EXPERIMENT, [0xf9, 0x89, ..]) => options.fast_open = true,
            _ => {}
        }
    }
    options
}

/// TSval and TSecr of options that are nothing else, as nearly every segment of an established connection has them.
#[inline]
pub(super) fn time_stamps_alone(bytes: &[u8], whole: usize) -> Option<(u32, u32)> {
    let (begins, value) = bytes.first_chunk::<12>()?.split_first_chunk::<4>()?;
    let value = value.first_chunk()?;
    (whole == 12 && *begins == [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10]).then(|| two_numbers(value))
}

/// These options.
#[inline]
pub(super) fn only_time_stamps((tsval, tsecr): (u32, u32)) -> TcpOptions {
    TcpOptions { tsval: Some(tsval), tsecr: Some(tsecr), ..TcpOptions::default() }
}

/// Two 32-bit numbers side by side: TSval and TSecr, or the edges of a SACK block.
fn two_numbers(bytes: &[u8; 8]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = *bytes;
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// Kind, length of the value and value of each option but padding, until the end of the list or an option whose length cannot be
/// right. The last value is shorter than its length says where the capture cut the packet; the list has `whole` bytes.
fn each_option(mut bytes: &[u8], whole: usize) -> impl Iterator<Item = (u8, usize, &[u8])> {
    let cut = whole.saturating_sub(bytes.len());
    std::iter::from_fn(move || {
        loop {
            match bytes {
                [kind::NOP, rest @ ..] => bytes = rest,
                [] | [_] | [kind::END, ..] => return None,
                [kind, len, rest @ ..] => {
                    let len = usize::from(*len).checked_sub(2).filter(|len| *len <= rest.len() + cut)?;
                    let (value, rest) = rest.split_at(len.min(rest.len()));
                    bytes = rest;
                    return Some((*kind, len, value));
                }
            }
        }
    })
}
