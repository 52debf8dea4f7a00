//! The largest packet that passes, both ways: echo requests that must not be fragmented, by halving.
//!
//! What is too long is refused by a router that says so (ICMP "fragmentation needed", RFC 1191; ICMPv6 "packet too big", RFC
//! 8201), or vanishes without a word: a black hole. The replies come back as large, and the kernel says whether they came in
//! fragments. Where nothing comes back, a datagram of the same size to a port where nobody listens says which way is to blame:
//! the refusal it meets is small.

mod echo;
mod knock;

use super::socket::tcp_info;
use super::{Outcome, wire};
use dropscope_core::log::block::Probe;
use echo::Echo;
use serde_json::json;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// Every IPv4 path passes so much (RFC 791), and any of IPv6.
const SMALLEST: usize = 68;
/// No packet is larger, but for jumbograms.
const LARGEST: usize = 65_535;
/// How long a reply is waited for, beyond three round trips.
const PATIENCE: Duration = Duration::from_millis(250);

/// What happened to one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Passed,
    /// Larger than the own interface takes.
    TooLargeHere,
    /// A router said how large packets may be.
    Refused(IpAddr, u32),
    Silence,
}

/// On which way packets vanish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    /// The largest size that was answered.
    passes: usize,
    /// The smallest that was not, and what became of it.
    beyond: Option<(usize, Option<Seen>)>,
    rtt: Vec<u64>,
    sent: u32,
    /// The largest fragment of a reply that came in fragments.
    fragment: Option<u32>,
    /// Where the smallest that was not answered vanished; `None` where that cannot be told.
    way: Option<Way>,
}

/// Finds the path MTU to the host of `target`.
pub(super) fn search(target: SocketAddr, timeout: Duration) -> Outcome {
    let at_ns = crate::source::clock::realtime_ns();
    let host = target.ip();
    let mut probe = Probe { at_ns, kind: "pmtu".into(), target: host.to_string(), ..Probe::default() };
    let mut found = match Echo::open(host, timeout).and_then(Echo::search) {
        Ok(found) => found,
        Err(error) => {
            probe.summary = format!("The path MTU to {host} cannot be probed: {error}.");
            return Outcome { probe, is_fine: false, details: json!({ "error": error.to_string() }) };
        }
    };
    if let (1.., Some((size, Some(Seen::Silence)))) = (found.passes, found.beyond) {
        found.way = way_of(host, size, &mut found.sent);
    }
    let (mut summary, verdict) = found.sentence(host);
    let mss = segment_size(target, timeout.min(Duration::from_secs(1)));
    if let Some(mss) = mss {
        summary.push_str(&format!(" Its TCP is sent segments of {mss} bytes."));
    }
    (probe.sent, probe.answered, probe.summary) = (found.sent, found.rtt.len() as u32, summary);
    let refused = match found.beyond {
        Some((_, Some(Seen::Refused(by, mtu)))) => json!({ "by": by, "mtu": mtu }),
        _ => json!(null),
    };
    let way = found.way.map(|way| if way == Way::There { "there" } else { "back" });
    let details = json!({
        "verdict": verdict, "mtu": Some(found.passes).filter(|size| *size > 0), "refused": refused, "vanish_on_the_way": way,
        "first_size_lost": found.beyond.map(|(size, _)| size), "back_in_fragments_of": found.fragment, "mss": mss,
    });
    probe.rtt_ns = found.rtt;
    Outcome { probe, is_fine: matches!(verdict, "whole" | "refused"), details }
}

/// On which way packets of `size` vanish. Without rights, or where not even a small datagram is refused, nobody can say.
fn way_of(host: IpAddr, size: usize, sent: &mut u32) -> Option<Way> {
    if !knock::arrives(host, SMALLEST, sent).ok()? {
        return None;
    }
    Some(if knock::arrives(host, size, sent).ok()? { Way::Back } else { Way::There })
}

impl Found {
    /// The result in words, and in one.
    fn sentence(&self, host: IpAddr) -> (String, &'static str) {
        let size = self.passes;
        let back = match self.fragment {
            Some(fragment) => format!(" Replies came back in fragments of up to {fragment} bytes: the way back takes no more."),
            None => " Replies came back as large, in one piece.".to_owned(),
        };
        match self.beyond {
            _ if size == 0 => (
                format!("{host} answers no echo request, not even of {SMALLEST} bytes, so the path MTU cannot be told."),
                "unanswered",
            ),
            None | Some((_, None | Some(Seen::Passed))) => {
                (format!("Packets of up to {size} bytes pass to {host}: no packet is larger.{back}"), "whole")
            }
            Some((_, Some(Seen::TooLargeHere))) => {
                (format!("Packets of up to {size} bytes pass to {host}, as many as the own interface takes.{back}"), "whole")
            }
            Some((_, Some(Seen::Refused(by, mtu)))) => (
                format!(
                    "Packets of up to {size} bytes pass to {host}; larger ones are refused by {by}, which says so (MTU {mtu}).{back}"
                ),
                "refused",
            ),
            Some((beyond, Some(Seen::Silence))) => {
                let hole = match self.way {
                    Some(Way::There) => "they vanish on the way there and nobody says so: a path MTU black hole.",
                    Some(Way::Back) => "they arrive, but answers as large vanish on the way back: a path MTU black hole there.",
                    None => "they vanish and nobody says so: a path MTU black hole.",
                };
                (format!("Packets of up to {size} bytes pass to {host}; from {beyond} bytes on {hole}{back}"), "black_hole")
            }
        }
    }
}

/// The segments TCP sends to the target, which its MSS and the path bound; `None` where it does not connect.
fn segment_size(target: SocketAddr, timeout: Duration) -> Option<u32> {
    let stream = TcpStream::connect_timeout(&target, timeout).ok()?;
    tcp_info(&stream).ok().map(|info| info.tcpi_snd_mss)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_black_hole_is_told_from_a_refusal_and_there_from_back() {
        let host = IpAddr::from([10, 0, 0, 9]);
        let router = IpAddr::from([10, 0, 0, 1]);
        let lost = |size| Some((size, Some(Seen::Silence)));
        let cases = [
            (0, None, None, None, "10.0.0.9 answers no echo request, not even of 68 bytes", "unanswered"),
            (
                1500,
                Some((1501, Some(Seen::TooLargeHere))),
                None,
                None,
                "as many as the own interface takes. Replies came back as large",
                "whole",
            ),
            (
                600,
                Some((601, Some(Seen::Refused(router, 600)))),
                None,
                None,
                "refused by 10.0.0.1, which says so (MTU 600).",
                "refused",
            ),
            (604, lost(605), None, None, "from 605 bytes on they vanish and nobody says so", "black_hole"),
            (604, lost(605), None, Some(Way::There), "from 605 bytes on they vanish on the way there", "black_hole"),
            (604, lost(605), None, Some(Way::Back), "from 605 bytes on they arrive, but answers as large vanish", "black_hole"),
            (1500, Some((1501, Some(Seen::TooLargeHere))), Some(600), None, "in fragments of up to 600 bytes", "whole"),
        ];
        for (passes, beyond, fragment, way, words, verdict) in cases {
            let (text, told) = Found { passes, beyond, fragment, way, ..Found::default() }.sentence(host);
            assert!(text.contains(words) && told == verdict, "{told}: {text}");
        }
    }
}
