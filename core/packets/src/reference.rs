//! The reference case as a log: what the page shows first, what the tests judge by.
//!
//! `reference/loss.txt` is the case, as text; this module only encodes it. The same bytes every time. They are kept beside it,
//! so that the page needs not bring along what reads scripts and writes logs.

use crate::log::record::{Interface, Section, Watched};
use crate::log::{Encoder, OURS, PacketToWrite};
use crate::script::{Script, Scripted};

/// The case as text: a script (see [`crate::script`]).
pub const SCRIPT: &str = include_str!("reference/loss.txt");

/// What [`log`] gives. A test holds them together; `dropscope reference -o core/packets/src/reference/loss.pcapng` writes it anew.
pub const LOG: &[u8] = include_bytes!("reference/loss.pcapng");

/// [`LOG`] without records of our own: the packets alone, as any program records them.
pub fn capture() -> Vec<u8> {
    let mut capture = Vec::new();
    let mut rest = LOG;
    while let [a, b, c, d, e, f, g, h, ..] = *rest {
        let length = u32::from_le_bytes([e, f, g, h]) as usize;
        let Some((block, after)) = rest.split_at_checked(length) else { break };
        if u32::from_le_bytes([a, b, c, d]) != OURS {
            capture.extend_from_slice(block);
        }
        rest = after;
    }
    capture
}

/// The case as a log, made from its text.
///
/// # Panics
/// Never: the text is part of this crate, and a test reads it.
pub fn log() -> Vec<u8> {
    encode(&Script::parse(SCRIPT).expect("the reference script is part of this crate and tested"))
}

/// A script as a log: one section, one capture interface.
pub fn encode(script: &Script) -> Vec<u8> {
    let mut out = Vec::new();
    let application = Some(format!("Dropscope {}", env!("CARGO_PKG_VERSION")));
    let mut encoder = Encoder::begin(&Section { os: Some("Linux".into()), application, ..Section::default() }, &mut out);
    let at = &script.capture;
    let watched = Watched { netns: crate::ids::NetnsId(at.netns), ifindex: at.ifindex };
    let interface = encoder.interface(
        &Interface {
            name: Some(at.name.clone()).filter(|name| !name.is_empty()),
            comments: if at.netns == 0 { Vec::new() } else { vec![watched.comment()] },
            ..Interface::default()
        },
        &mut out,
    );
    for record in &script.records {
        let written = match record {
            Scripted::Host(host) => encoder.record(host, &mut out),
            Scripted::Catalogue(catalogue) => encoder.record(catalogue, &mut out),
            Scripted::Snapshot(snapshot) => encoder.record(snapshot, &mut out),
            Scripted::RuleSet(rules) => encoder.record(rules, &mut out),
            Scripted::Mark(mark) => encoder.record(mark, &mut out),
            Scripted::KernelDrop(drop) => encoder.record(drop, &mut out),
            Scripted::Packet { time, frame, wire_len } => {
                let (time, wire_len) = (*time, *wire_len);
                encoder.packet(&PacketToWrite { interface, time, wire_len, data: frame, ..Default::default() }, &mut out);
                Ok(())
            }
        };
        written.expect("a line of a script is far shorter than a block may be");
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::log::Decoder;
    use crate::log::record::Record;

    #[test]
    fn the_kept_log_is_what_the_text_makes() {
        assert!(super::log() == super::LOG, "run: dropscope reference -o core/packets/src/reference/loss.pcapng");
    }

    /// `tcpdump -n -r` prints the five lines of the course from them; of the SYN-ACK's options, 21 bytes, it also names the
    /// end-of-list that fills them up to a multiple of four.
    #[test]
    fn the_five_packets_of_the_course_end_the_log() {
        let mut lengths = Vec::new();
        let mut decoder = Decoder::new();
        decoder.push(&super::log(), |record| {
            if let Record::Packet(packet) = record {
                lengths.push(packet.wire_len);
            }
        });
        assert_eq!((lengths.len(), &lengths[114..]), (119, &[74, 78, 66, 66, 78][..]));
    }
}
