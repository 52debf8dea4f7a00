//! Labels as they are shown on packets: short, with what they mean.

use super::Chip;
use super::engine::Knowledge;
use crate::dissect::{Checksum, Packet, Transport};
use crate::finding::Severity;
use crate::flow::Labels;
use crate::ids::PacketNo;
use crate::store::{Facts, Row};
use std::net::IpAddr;

/// How each of Wireshark's labels is shown: text, weight, meaning. The weights are Wireshark's expert severities.
const SHOWN: &[(Labels, &str, Severity, &str)] = &[
    (
        Labels::SPURIOUS_RETRANSMISSION,
        "spurious retransmission",
        Severity::Note,
        "Data sent again though the peer had acknowledged it.",
    ),
    (
        Labels::FAST_RETRANSMISSION,
        "fast retransmission",
        Severity::Note,
        "Data sent again after duplicate ACKs, before the timer ran out.",
    ),
    (Labels::RETRANSMISSION, "retransmission", Severity::Note, "Data sent again."),
    (Labels::OUT_OF_ORDER, "out of order", Severity::Warning, "Comes after a later segment, too soon to have been sent again."),
    (Labels::LOST_SEGMENT, "lost segment", Severity::Warning, "Bytes before this segment were not captured."),
    (Labels::ACK_LOST_SEGMENT, "ACKs unseen", Severity::Warning, "Acknowledges bytes that were not captured: they did arrive."),
    (Labels::ZERO_WINDOW, "zero window", Severity::Warning, "The receiver has no room: its program does not read."),
    (Labels::ZERO_WINDOW_PROBE, "window probe", Severity::Note, "A byte sent into a window of zero, to learn when it opens."),
    (Labels::ZERO_WINDOW_PROBE_ACK, "probe ACK", Severity::Note, "The answer to a window probe."),
    (Labels::WINDOW_FULL, "window full", Severity::Warning, "The segment fills the receiver's window: the sender must wait."),
    (Labels::WINDOW_UPDATE, "window update", Severity::Note, "Only the window changed."),
    (Labels::KEEP_ALIVE, "keep-alive", Severity::Note, "Asks whether the peer is still there."),
    (Labels::KEEP_ALIVE_ACK, "keep-alive ACK", Severity::Note, "The answer to a keep-alive."),
    (Labels::REUSED_PORTS, "ports reused", Severity::Note, "A new conversation on ports already used by an earlier one."),
];

/// The labels of a packet; `read` has its layers and bytes, where it was read again.
pub(super) fn chips(known: &Knowledge<'_>, no: PacketNo, row: &Row, read: Option<(&Packet<'_>, &[u8])>) -> Vec<Chip> {
    let packet = read.map(|(packet, _)| packet);
    let mut chips = Vec::new();
    let mut add = |text: String, severity, about: String| chips.push(Chip { text, severity, about });
    let drops = &known.recording.drops;
    if let Some(drop) = packet.and_then(|packet| drops.of_packet(packet, row.time)).and_then(|no| drops.get(no)) {
        let place = if drop.place.is_empty() { String::new() } else { format!(" in {}", drop.place) };
        match crate::drops::benign(&drop.reason) {
            None => add("dropped".into(), Severity::Critical, format!("The kernel dropped this packet: {}{place}.", drop.reason)),
            Some(why) => add("freed".into(), Severity::Note, format!("The kernel freed it: {}{place}; {why}.", drop.reason)),
        }
    }
    let fast = Labels::FAST_RETRANSMISSION.bits() | Labels::SPURIOUS_RETRANSMISSION.bits();
    for (label, text, severity, about) in SHOWN.iter().filter(|(label, ..)| row.labels.any(*label)) {
        // The special kinds of retransmission stand for the general one.
        if *label == Labels::RETRANSMISSION && row.labels.bits() & fast != 0 {
            continue;
        }
        let syn = *label == Labels::RETRANSMISSION && row.facts.has(Facts::SYN_RETRY);
        let (text, about) = if syn { ("SYN again", "The SYN was sent again: no answer had come.") } else { (*text, *about) };
        add(text.to_owned(), *severity, about.to_owned());
    }
    if row.labels.has(Labels::DUPLICATE_ACK) {
        let number = row.facts.duplicate_ack();
        let more = if number >= 31 { " or later" } else { "" };
        add(
            format!("dup ack #{number}"),
            Severity::Note,
            format!(
                "Acknowledges again what was acknowledged, number {number}{more} in a row: a segment before is missing at the receiver."
            ),
        );
    }
    if let Some(Chip { text, severity, about }) = row.judged.and_then(super::judged::chip) {
        add(text, severity, about);
    }
    let facts = row.facts;
    let offloaded = || {
        let sender = packet.and_then(|packet| packet.ip).map(|ip| ip.src);
        sender.is_some_and(|sender| known.offload.is_by(sender))
            || read.is_some_and(|(packet, bytes)| is_unfinished(packet, bytes))
    };
    if facts.has(Facts::BAD_CHECKSUM) && !offloaded() {
        let about =
            "A checksum is wrong: the packet was damaged on its way, or taken before its checksum was computed (offload).";
        add("bad checksum".into(), Severity::Note, about.into());
    }
    for (fact, text, severity, about) in [
        (Facts::RESET, "reset", Severity::Warning, "Ends the conversation at once."),
        (Facts::ICMP_ERROR, "ICMP error", Severity::Warning, "A router or host says that a packet could not be delivered."),
        (
            Facts::MALFORMED,
            "malformed",
            Severity::Note,
            "A header contradicts itself; the decode tree says where reading stopped.",
        ),
        (Facts::COPY, "copy", Severity::Note, "The same packet was captured before, on another interface."),
        (Facts::COMMENTED, "comment", Severity::Note, "The file holds a comment on this packet."),
    ] {
        if facts.has(fact) {
            add(text.to_owned(), severity, about.to_owned());
        }
    }
    for place in known.named.of_packet(no) {
        if let Some(finding) = known.findings.get(*place as usize) {
            add(finding.rule.clone(), finding.severity, finding.sentence.clone());
        }
    }
    chips
}

/// Whether the sending host left the transport's checksum to its network card: the field then holds the sum of the pseudo
/// header alone (Linux CHECKSUM_PARTIAL), and is no fault.
fn is_unfinished(packet: &Packet<'_>, bytes: &[u8]) -> bool {
    let Some(ip) = packet.ip.filter(|_| !packet.ip_checksums.contains(&Some(Checksum::Bad))) else { return false };
    let (protocol, header, field) = match &packet.transport {
        Transport::Tcp(tcp) => (6, tcp.offset, tcp.offset + 16),
        Transport::Udp(udp) => (17, udp.offset, udp.offset + 6),
        _ => return false,
    };
    let Some(&[high, low]) = bytes.get(field as usize..field as usize + 2) else { return false };
    let length = u64::from(ip.total_len.saturating_sub(header.saturating_sub(ip.offset)));
    let mut sum = words(ip.src) + words(ip.dst) + protocol + (length >> 16) + (length & 0xffff);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum == u64::from(u16::from_be_bytes([high, low]))
}

/// The sum of an address's 16-bit words.
fn words(address: IpAddr) -> u64 {
    let sum = |octets: &[u8]| octets.chunks_exact(2).map(|pair| u64::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    }
}
