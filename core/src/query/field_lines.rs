//! Values of chosen fields, a line a packet, from the log's bytes alone: what `tshark -T fields` prints.
//!
//! The log is read twice: an [`Engine`] learns all there is to know, then the same bytes come again, each packet is dissected
//! and its conversation followed. No packet is kept.

use super::engine::{Engine, Knowledge};
use super::medium;
use super::reader::dissected;
use crate::filter::{self, Error, Field, Filter, Read, Type, Value};
use crate::flow::Retrace;
use crate::log::Decoder;
use crate::log::record::{End, PacketRecord, Record};
use std::fmt::Write as _;

/// What is wanted of a log.
#[derive(Debug)]
pub struct Chosen {
    fields: Vec<&'static Field>,
    filter: Option<Filter>,
}

impl Chosen {
    /// Understands a list of fields, `ip.src,tcp.stream`.
    pub fn fields(list: &str) -> Result<Self, Error> {
        Ok(Self { fields: filter::fields(list)?, filter: None })
    }

    /// Only of packets that pass a filter.
    pub fn of_packets(self, filter: &str) -> Result<Self, Error> {
        Ok(Self { filter: Filter::parse(filter)?, ..self })
    }

    /// The names of the fields as a line.
    pub fn header(&self) -> String {
        let names: Vec<&str> = self.fields.iter().map(|field| field.name).collect();
        names.join("\t") + "\n"
    }
}

/// The second reading: takes the same bytes again and writes.
#[derive(Debug)]
pub struct FieldLines {
    chosen: Chosen,
    engine: Engine,
    decoder: Decoder,
    retrace: Retrace,
}

impl FieldLines {
    /// A second reading, after an engine has read the whole log.
    pub fn new(chosen: Chosen, engine: Engine) -> Self {
        Self { chosen, engine, decoder: Decoder::new(), retrace: Retrace::default() }
    }

    /// Takes the next bytes and appends a line for each packet they complete.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        let Self { chosen, engine, decoder, retrace } = self;
        engine.with_knowledge(|known| decoder.push(bytes, |record| write(known, chosen, retrace, &record, out)));
    }

    /// Says that no more will come. The end, where it is not a good one.
    pub fn finish(mut self, out: &mut String) -> Result<(), End> {
        let Self { chosen, engine, decoder, retrace } = &mut self;
        engine.with_knowledge(|known| decoder.finish(|record| write(known, chosen, retrace, &record, out)))
    }
}

fn write(known: &Knowledge<'_>, chosen: &Chosen, retrace: &mut Retrace, record: &Record<'_>, out: &mut String) {
    let Record::Packet(PacketRecord { no, data, .. }) = record else { return };
    let Some(mut subject) = known.subject(*no) else { return };
    let packet = dissected(known.link_type(&subject.row), &subject.row, data);
    subject.retrace(retrace, true, data, &packet);
    subject.packet = Some(Read { bytes: data, packet: &packet });
    if chosen.filter.as_ref().is_some_and(|filter| filter.test(&subject) != Some(true)) {
        return;
    }
    for (place, field) in chosen.fields.iter().enumerate() {
        if place > 0 {
            out.push('\t');
        }
        let mut first = true;
        field.emit(&subject, &mut |value| {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            write_value(field, &value, out);
        });
    }
    out.push('\n');
}

/// Writes a value so that a filter reads it, and as Wireshark does.
fn write_value(field: &Field, value: &Value<'_>, out: &mut String) {
    // Writing into a String cannot fail.
    let _ = match (value, field.kind) {
        (Value::Number(number), _) => match HEXADECIMAL.iter().find(|(name, _)| *name == field.name) {
            Some((_, digits)) => write!(out, "0x{number:0digits$x}"),
            None => write!(out, "{number}"),
        },
        (Value::Bytes(bytes), Type::Bytes) => bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        (Value::Nanos(nanos), Type::Moment) if field.name != "frame.time_epoch" => write_moment(*nanos, out),
        (Value::Present(_), _) => write!(out, "1"),
        (Value::Text(text), _) => {
            text.chars().for_each(|c| match c {
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                c => medium::push_visible(c, out),
            });
            Ok(())
        }
        _ => write!(out, "{}", value.to_text().unwrap_or_default()),
    };
}

/// Writes a time as `Nov 12, 1999 08:55:44.123000000 UTC`.
fn write_moment(nanos: i64, out: &mut String) -> std::fmt::Result {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (seconds, fraction) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The Gregorian calendar from its days (Howard Hinnant, `civil_from_days`), years beginning in March.
    let since_0000 = days + 719_468;
    let (era, day) = (since_0000.div_euclid(146_097), since_0000.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + i64::from(month >= 10);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let month = MONTHS[(month as usize + 2) % 12];
    write!(out, "{month} {day:2}, {year} {hour:02}:{minute:02}:{second:02}.{fraction:09} UTC")
}

/// Numbers that Wireshark shows in hexadecimal, with how many digits.
const HEXADECIMAL: &[(&str, usize)] = &[
    ("arp.proto.type", 4),
    ("dhcp.id", 8),
    ("dns.flags", 4),
    ("dns.id", 4),
    ("dns.qry.class", 4),
    ("dns.resp.class", 4),
    ("dns.resp.ext_rcode", 2),
    ("dns.resp.z", 4),
    ("dns.rr.udp_payload_size", 4),
    ("eth.type", 4),
    ("geneve.proto_type", 4),
    ("geneve.vni", 6),
    ("gre.checksum", 4),
    ("gre.flags_and_version", 4),
    ("gre.key", 8),
    ("gre.proto", 4),
    ("gtp.flags", 2),
    ("gtp.message", 2),
    ("gtp.teid", 8),
    ("icmp.checksum", 4),
    ("icmpv6.checksum", 4),
    ("icmpv6.echo.identifier", 4),
    ("igmp.checksum", 4),
    ("igmp.type", 2),
    ("ip.checksum", 4),
    ("ip.dsfield", 2),
    ("ip.id", 4),
    ("ipv6.fraghdr.ident", 8),
    ("ipv6.opt.type", 2),
    ("pppoe.code", 2),
    ("pppoe.session_id", 4),
    ("quic.version", 8),
    ("sctp.verification_tag", 8),
    ("sll.etype", 4),
    ("tcp.checksum", 4),
    ("tcp.flags", 4),
    ("tls.handshake.ciphersuite", 4),
    ("tls.handshake.extensions.supported_version", 4),
    ("tls.handshake.version", 4),
    ("tls.record.version", 4),
    ("udp.checksum", 4),
    ("vlan.etype", 4),
    ("vxlan.flags", 4),
];
