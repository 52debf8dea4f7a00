//! The few packets that are written and read by hand: a SYN, its answers, an ICMP error about it, an echo request.

use super::socket::header_length;
use std::net::IpAddr;

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A SYN with the MSS of Ethernet (RFC 9293 section 3.1). A raw IPv6 socket fills in the checksum itself.
pub(super) fn syn(from: (IpAddr, u16), to: (IpAddr, u16), sequence: u32) -> Vec<u8> {
    let mut segment = Vec::with_capacity(24);
    segment.extend(from.1.to_be_bytes());
    segment.extend(to.1.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend([6 << 4, SYN]);
    segment.extend(64_240_u16.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend([2, 4]);
    segment.extend(if from.0.is_ipv4() { 1460_u16 } else { 1440 }.to_be_bytes());
    if let (IpAddr::V4(source), IpAddr::V4(destination)) = (from.0, to.0) {
        let pseudo = [&source.octets()[..], &destination.octets(), &[0, 6], &(segment.len() as u16).to_be_bytes()].concat();
        let sum = checksum(&[pseudo, segment.clone()].concat());
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
    }
    segment
}

/// What came back for a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// SYN and ACK, with the MSS the peer takes.
    Open(Option<u16>),
    /// RST: nobody listens there.
    Refused,
}

/// An answer in a TCP segment: from which port, to which port, what it acknowledges.
pub(super) fn answer(segment: &[u8]) -> Option<(u16, u16, u32, Answer)> {
    let word = |at: usize| Some(u16::from_be_bytes(*segment.get(at..)?.first_chunk()?));
    let acknowledged = u32::from_be_bytes(*segment.get(8..)?.first_chunk()?);
    let flags = *segment.get(13)?;
    let answer = match (flags & SYN != 0, flags & RST != 0, flags & ACK != 0) {
        (_, true, true) => Answer::Refused,
        (true, false, true) => Answer::Open(mss(segment)),
        _ => return None,
    };
    Some((word(0)?, word(2)?, acknowledged, answer))
}

/// The option of kind 2 (RFC 9293 section 3.7.1).
fn mss(segment: &[u8]) -> Option<u16> {
    let header = usize::from(segment.get(12)? >> 4) * 4;
    let mut options = segment.get(20..header)?;
    loop {
        match *options.first()? {
            0 => return None,
            1 => options = &options[1..],
            2 if options.get(1) == Some(&4) => return Some(u16::from_be_bytes(*options.get(2..)?.first_chunk()?)),
            _ => options = options.get(usize::from(*options.get(1)?).max(2)..)?,
        }
    }
}

/// The payload of an IPv4 packet, as raw IPv4 sockets hand it out.
pub(super) fn payload_of_ipv4(packet: &[u8]) -> Option<&[u8]> {
    packet.get(usize::from(packet.first()? & 0x0f) * 4..)
}

/// An ICMP error about a TCP segment: its type and code, and the segment's ports. `packet` begins with the ICMP header.
pub(super) fn error_about_tcp(packet: &[u8], is_ipv4: bool) -> Option<(u8, u8, u16, u16)> {
    let (kind, code) = (*packet.first()?, *packet.get(1)?);
    let quoted = packet.get(8..)?;
    let segment = match is_ipv4 {
        true if kind == 3 => payload_of_ipv4(quoted)?,
        false if kind == 1 => quoted.get(40..)?,
        _ => return None,
    };
    let word = |at: usize| Some(u16::from_be_bytes(*segment.get(at..)?.first_chunk()?));
    Some((kind, code, word(0)?, word(2)?))
}

/// An echo request that makes an IP packet of `size` bytes (RFC 792, RFC 4443 section 4.1). The kernel fills in the checksum
/// of ICMPv6.
pub(super) fn echo_request(to: IpAddr, identifier: u16, sequence: u16, size: usize) -> Vec<u8> {
    let mut message = vec![if to.is_ipv4() { 8 } else { 128 }, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.resize(size.saturating_sub(header_length(to)).max(8), 0);
    if to.is_ipv4() {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// The sequence number of an echo reply; its identifier is checked where the kernel does not do that.
pub(super) fn echo_reply(from: IpAddr, message: &[u8], identifier: Option<u16>) -> Option<u16> {
    let word = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let kind = if from.is_ipv4() { 0 } else { 129 };
    let is_ours = message.first() == Some(&kind) && identifier.is_none_or(|own| word(4) == Some(own));
    is_ours.then(|| word(6)).flatten()
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_and_noise_is_not_one() {
        let segment = |flags: u8, options: &[u8]| {
            let mut bytes = vec![0, 80, 0x80, 1, 0, 0, 0, 9, 0, 0, 0, 8, 0, flags, 0, 0, 0, 0, 0, 0];
            bytes[12] = (((20 + options.len()) / 4) << 4) as u8;
            bytes.extend(options);
            bytes
        };
        let cases = [
            (segment(0x12, &[1, 1, 4, 2, 2, 4, 1, 0]), Some(Answer::Open(Some(256)))),
            (segment(0x12, &[]), Some(Answer::Open(None))),
            (segment(0x12, &[3, 0, 0, 0]), Some(Answer::Open(None))),
            (segment(0x14, &[]), Some(Answer::Refused)),
            (segment(0x02, &[]), None),
            (segment(0x10, &[]), None),
            (vec![0; 12], None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(answer(&bytes), expected.map(|answer| (80, 0x8001, 8, answer)), "{bytes:02x?}");
        }
    }

    #[test]
    fn checksums_come_out_even() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let segment = syn((a, 40_000), (b, 80), 7);
        let pseudo = [10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 24];
        assert_eq!(checksum(&[&pseudo[..], &segment].concat()), 0, "a receiver sums to zero");
        let echo = echo_request(b, 1, 2, 101);
        assert_eq!((checksum(&echo), echo.len()), (0, 81));
        assert_eq!(echo_reply(b, &[0, 0, 0, 0, 0, 1, 0, 2], Some(1)), Some(2));
        assert_eq!(echo_reply(b, &[0, 0, 0, 0, 0, 1, 0, 2], Some(9)), None);
        assert_eq!(echo_reply(b, &echo, None), None, "a request is no reply");
        let six = IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]);
        assert_eq!((echo_request(six, 1, 2, 101).len(), echo_request(six, 1, 2, 101)[0]), (61, 128));
        assert_eq!(echo_reply(six, &[129, 0, 0, 0, 0, 1, 0, 2], None), Some(2));
    }

    #[test]
    fn an_error_is_about_the_segment_it_quotes() {
        let quoted = [&[0x45; 1][..], &[0; 19], &[0x80, 1, 0, 80], &[0; 4]].concat();
        let error = [&[3, 13, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
        assert_eq!(error_about_tcp(&error, true), Some((3, 13, 0x8001, 80)));
        assert_eq!(error_about_tcp(&[&[11, 0, 0, 0, 0, 0, 0, 0][..], &quoted].concat(), true), None);
        for cut in 0..error.len() {
            let _ = error_about_tcp(&error[..cut], true);
        }
    }
}
