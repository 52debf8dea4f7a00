//! Every packet of a log as JSON lines, from the log's bytes alone.
//!
//! Some of what Wireshark says about a packet is known only at the end of the file (`tcp.completeness`, an initial round-trip
//! time measured later), so the log is read twice: [`Survey`] learns how the conversations end, [`PacketLines`] writes.

use super::packets_json::{Observation, write_packet, write_trailer};
use crate::dissect::{Packet, Transport, dissect};
use crate::flow::{FlowTable, Observed, Reassembly};
use crate::log::Decoder;
use crate::log::record::{End, FileFormat, NOT_A_PACKET, PacketRecord, Record};
use crate::time::Timestamp;

/// What a reassembled datagram begins with: its IP header.
const LINKTYPE_RAW: u32 = 101;

/// The first reading.
#[derive(Debug, Default)]
pub struct Survey {
    decoder: Decoder,
    conversations: Conversations,
}

/// What all conversations came to.
#[derive(Debug)]
pub struct Surveyed(FlowTable);

impl Survey {
    /// A reading that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let conversations = &mut self.conversations;
        self.decoder.push(bytes, |record| conversations.take(&record));
    }

    /// Says that no more will come.
    pub fn finish(mut self) -> Surveyed {
        let conversations = &mut self.conversations;
        // How the log ends is told by the second reading.
        let _ = self.decoder.finish(|record| conversations.take(&record));
        Surveyed(self.conversations.flows)
    }
}

/// The second reading: takes the same bytes again and writes.
#[derive(Debug)]
pub struct PacketLines {
    decoder: Decoder,
    conversations: Conversations,
    surveyed: Surveyed,
    numbering: Numbering,
}

impl PacketLines {
    /// A second reading, after a first one of the same log.
    pub fn new(surveyed: Surveyed) -> Self {
        let (decoder, conversations) = (Decoder::new(), Conversations::default());
        Self { decoder, conversations, surveyed, numbering: Numbering::default() }
    }

    /// Takes the next bytes and appends a line for each packet they complete.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        let Self { decoder, conversations, surveyed, numbering } = self;
        decoder.push(bytes, |record| write(&record, conversations, surveyed, numbering, out));
    }

    /// Says that no more will come, and appends the trailer. The end, where it is not a good one.
    pub fn finish(mut self, out: &mut String) -> Result<(), End> {
        let Self { decoder, conversations, surveyed, numbering } = &mut self;
        let end = decoder.finish(|record| write(&record, conversations, surveyed, numbering, out));
        let (status, message) = match &end {
            Ok(()) => ("ok", String::new()),
            Err(why @ End::CutShort { .. }) => ("cut_short", why.to_string()),
            Err(why @ End::Damaged { .. }) => ("damaged", why.to_string()),
            Err(why @ End::Unsupported { .. }) => ("unsupported", why.to_string()),
        };
        write_trailer(out, self.decoder.packets(), status, &message);
        end
    }
}

/// How Wireshark numbers interfaces: from 0 in each section of a pcapng file, and not at all in a pcap file or for what is
/// listed without being a packet.
#[derive(Debug, Default)]
struct Numbering {
    format: FileFormat,
    /// By our number, which goes on through all sections.
    in_section: Vec<u32>,
}

impl Numbering {
    fn of(&self, packet: &PacketRecord<'_>) -> Option<u32> {
        let is_told = self.format == FileFormat::PcapNg && packet.link_type != NOT_A_PACKET;
        self.in_section.get(packet.interface.0 as usize).copied().filter(|_| is_told)
    }
}

fn write(
    record: &Record<'_>,
    conversations: &mut Conversations,
    surveyed: &Surveyed,
    numbering: &mut Numbering,
    out: &mut String,
) {
    match record {
        Record::Section(section) => numbering.format = section.format,
        Record::Interface(interface) => numbering.in_section.push(interface.number),
        Record::Packet(packet) => {
            let mut dissected = dissect(packet.link_type, packet.data, packet.wire_len);
            let (whole, observed) = conversations.observe(packet, &mut dissected);
            let reassembled = whole.as_ref().map(|whole| dissect(LINKTYPE_RAW, whole, whole.len() as u32));
            let mut observation = surveyed.observation(reassembled.as_ref().unwrap_or(&dissected), &observed);
            observation.reassembled = reassembled;
            write_packet(out, numbering.of(packet), packet, &dissected, Some(&observation));
        }
        _ => {}
    }
}

/// Packets into conversations.
#[derive(Debug, Default)]
struct Conversations {
    flows: FlowTable,
    reassembly: Reassembly,
    latest: Timestamp,
}

impl Conversations {
    fn take(&mut self, record: &Record<'_>) {
        if let Record::Packet(packet) = record {
            self.observe(packet, &mut dissect(packet.link_type, packet.data, packet.wire_len));
        }
    }

    /// The datagram that the packet completes, if it is a fragment, and what the conversation says.
    fn observe(&mut self, record: &PacketRecord<'_>, packet: &mut Packet<'_>) -> (Option<Vec<u8>>, Observed) {
        // A record without a time is taken to be of the time before it.
        self.latest = record.time.unwrap_or(self.latest);
        let whole = self.reassembly.complete(packet, record.data, self.latest);
        self.reassembly.complete_quoted(packet, record.data, self.latest);
        let reassembled = whole.as_ref().map(|whole| dissect(LINKTYPE_RAW, whole, whole.len() as u32));
        let packet = reassembled.as_ref().unwrap_or(packet);
        let observed = self.flows.observe(packet, record.no, self.latest, record.interface, record.wire_len);
        (whole, observed)
    }
}

impl Surveyed {
    /// What the conversation adds to one packet.
    fn observation<'a>(&self, packet: &Packet<'_>, observed: &Observed) -> Observation<'a> {
        let Transport::Tcp(tcp) = &packet.transport else { return Observation::default() };
        let observed = self.0.hindsight(observed, tcp);
        let flow = observed.flow.and_then(|id| self.0.get(id));
        let base = observed.peer_base.unwrap_or(0);
        let rtt = flow.filter(|_| observed.shows_analysis).and_then(|flow| flow.handshake.rtt);
        Observation {
            reassembled: None,
            tcp_stream: flow.map(|flow| flow.stream),
            window_scaled: observed.window,
            sack: tcp.options.sack.iter().map(|(left, right)| (left.wrapping_sub(base), right.wrapping_sub(base))).collect(),
            labels: observed.labels,
            initial_rtt_ns: rtt.map(|rtt| rtt.get()),
            completeness: flow.map(|flow| flow.completeness),
            duplicate_ack_num: observed.duplicate_ack,
            rto_ns: observed.rto.map(|rto| rto.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> (String, Result<(), End>) {
        let mut survey = Survey::new();
        survey.push(bytes);
        let mut lines = PacketLines::new(survey.finish());
        let mut out = String::new();
        lines.push(bytes, &mut out);
        let end = lines.finish(&mut out);
        (out, end)
    }

    #[test]
    fn interfaces_are_numbered_from_0_in_each_section() {
        let log = crate::reference::LOG;
        let (out, end) = lines(&[log, log].concat());
        assert!(end.is_ok());
        assert_eq!(out.lines().filter(|line| line.contains(r#","if":0,"#)).count(), 2 * 119, "{out}");
    }

    #[test]
    fn what_is_no_capture_has_a_trailer_that_says_so() {
        let (out, end) = lines(b"hello, this is no capture at all");
        assert!(matches!(end, Err(End::Unsupported { .. })));
        let trailer: serde_json::Value = serde_json::from_str(out.trim_end()).expect("one line of JSON");
        assert_eq!((&trailer["eof"], &trailer["packets"], &trailer["status"]), (&true.into(), &0.into(), &"unsupported".into()));
    }
}
