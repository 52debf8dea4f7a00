//! Any text as a filter: understood or pointed at; and put to packets, the columns never say what the packet then denies.

use crate::memory::{Bound, bounded};
use dropscope_core::counters::Counters;
use dropscope_core::dissect::{Transport, dissect};
use dropscope_core::drops::Drops;
use dropscope_core::exchange::Exchanges;
use dropscope_core::filter::{Filter, Named, Read, Subject, complete};
use dropscope_core::finding::Finding;
use dropscope_core::flow::{FlowTable, Retrace};
use dropscope_core::ids::PacketNo;
use dropscope_core::log::Decoder;
use dropscope_core::log::record::{Interface, PacketRecord, Record};
use dropscope_core::rules::{View, judge};
use dropscope_core::store::{Facts, Row, Store};
use dropscope_core::time::Timestamp;

/// A pattern of `matches` may take most of it (regex-lite's own bound is 10 MiB).
const BOUND: Bound = Bound { base: 16 << 20, per_byte: 16 << 10 };
/// Longer texts are nobody's filter.
const LONGEST: usize = 400;

/// The text of a filter.
pub fn filter(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(&input[..input.len().min(LONGEST)]) else { return };
    bounded(BOUND, text.len(), || {
        let (start, found) = complete(text, text.len() / 2);
        assert!(start <= text.len() && text.is_char_boundary(start));
        assert!(found.iter().all(|completion| !completion.word.is_empty()));
        match Filter::parse(text) {
            Ok(None) => assert!(text.trim().is_empty()),
            Ok(Some(filter)) => PACKETS.with(|packets| packets.put(&filter)),
            Err(error) => {
                assert!(text.get(error.at.clone()).is_some(), "{error:?}");
                assert!(!error.message.is_empty());
            }
        }
    });
}

thread_local! {
    static PACKETS: Packets = Packets::read();
}

/// A kept capture and all that is known of it.
struct Packets {
    bytes: Vec<Vec<u8>>,
    store: Store,
    flows: FlowTable,
    interfaces: Vec<Interface>,
    drops: Drops,
    findings: Vec<Finding>,
    named: Named,
}

impl Packets {
    fn read() -> Self {
        let mut all = Self {
            bytes: Vec::new(),
            store: Store::default(),
            flows: FlowTable::default(),
            interfaces: Vec::new(),
            drops: Drops::default(),
            findings: Vec::new(),
            named: Named::default(),
        };
        let mut decoder = Decoder::new();
        decoder.push(include_bytes!("../../core/tests/data/packets.pcapng"), |record| match record {
            Record::Packet(packet) => all.take(&packet),
            Record::Interface(interface) => all.interfaces.push(interface),
            Record::KernelDrop(drop) => all.drops.push(*drop),
            _ => {}
        });
        assert!(all.store.len() > 20, "the kept capture is read");
        all.drops.join(all.flows.iter());
        all.findings = judge(&View {
            flows: &all.flows,
            counters: &Counters::default(),
            drops: all.drops.kept(),
            joined: &all.drops,
            exchanges: &Exchanges::default(),
            interfaces: &all.interfaces,
            marks: &[],
            watermark: all.store.time(PacketNo(all.store.len())).unwrap_or(Timestamp::MIN),
            packets: all.store.len().into(),
            capture_lost: 0,
            capture_offered: 0,
        })
        .findings;
        all.named = Named::new(&all.findings);
        all
    }

    fn take(&mut self, record: &PacketRecord<'_>) {
        let packet = dissect(record.link_type, record.data, record.wire_len);
        let time = record.time.unwrap_or(Timestamp::MIN);
        let observed = self.flows.observe(&packet, record.no, time, record.interface, record.wire_len);
        let quotes = matches!(&packet.transport, Transport::Icmp(icmp) if icmp.quote.is_some());
        self.store.push(&Row {
            time,
            offset: record.offset,
            cap_len: record.data.len() as u32,
            wire_len: record.wire_len,
            flow: observed.flow.zip(observed.direction),
            labels: observed.labels,
            interface: record.interface,
            protocol: packet.transport.protocol().unwrap_or_default(),
            facts: Facts::default().with(Facts::MORE_ADDRESSES, packet.outer.is_some() || quotes),
            judged: observed.judgement.map(Into::into),
        });
        self.bytes.push(record.data.to_vec());
    }

    /// Asks the filter twice about each packet: by its columns, and with the packet read again and its conversation followed.
    fn put(&self, filter: &Filter) {
        let mut retrace = Retrace::default();
        for (no, bytes) in (1..).map(PacketNo).zip(&self.bytes) {
            let row = self.store.get(no).expect("each packet has a row");
            let link_type = self.interfaces[row.interface.0 as usize].link_type;
            let packet = dissect(link_type, bytes, row.wire_len);
            let columns = Subject {
                no,
                row,
                store: &self.store,
                flow: row.flow.and_then(|(flow, _)| self.flows.get(flow)),
                interfaces: &self.interfaces,
                drops: &self.drops,
                findings: &self.findings,
                named: &self.named,
                packet: None,
                retraced: None,
            };
            let by_columns = filter.test(&columns);
            let mut read = Subject { packet: Some(Read { bytes, packet: &packet }), ..columns };
            read.retrace(&mut retrace, true, bytes, &packet);
            let by_packet = filter.test(&read);
            assert!(by_packet.is_some(), "packet {no} was read and the filter still asks for it");
            assert!(by_columns.is_none() || by_columns == by_packet, "packet {no}: {by_columns:?}, and read {by_packet:?}");
        }
    }
}
