//! Asking a name server, over UDP (RFC 1035), for the addresses of a name: those of IPv4, then those of IPv6.

use super::{Outcome, milliseconds, text};
use dropscope_core::log::block::Probe;
use serde_json::json;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// A question that stays unanswered is sent so often, as resolvers do it.
const TRIES: u32 = 3;
/// Types of records: RFC 1035 section 3.2.2, RFC 3596.
const A: u16 = 1;
const AAAA: u16 = 28;
/// The answers by their number (RFC 1035 section 4.1.1).
const CODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    code: u8,
    truncated: bool,
    addresses: Vec<IpAddr>,
}

/// Asks `server` for the addresses of `name`.
pub(super) fn ask(server: SocketAddr, name: &str, timeout: Duration) -> Outcome {
    let at_ns = crate::source::clock::realtime_ns();
    let mut probe = Probe { at_ns, kind: "dns".into(), target: server.to_string(), ..Probe::default() };
    let began = Instant::now();
    let asked = both(server, name, timeout, &mut probe);
    let time = began.elapsed();
    // One question a type of address, each at the first try.
    let is_first_try = probe.sent == probe.answered;
    let (fine, details) = match asked {
        Ok(Some((answer, rtt))) => {
            let code = CODES.get(usize::from(answer.code)).copied().unwrap_or("an error");
            let listed: Vec<_> = answer.addresses.iter().map(IpAddr::to_string).collect();
            let has = match (answer.code, listed.as_slice()) {
                (0, []) => format!("{name} has no address"),
                (0, some) => format!("{name} is {}", some.join(", ")),
                _ => format!("{code} for {name}"),
            };
            let lost = probe.sent - probe.answered;
            let again = if is_first_try { String::new() } else { format!(", after {lost} questions stayed without an answer") };
            let cut = if answer.truncated { "; the answer was truncated and would be asked for again over TCP" } else { "" };
            probe.summary = format!("{server} answered in {}{again}: {has}{cut}.", text(rtt));
            let details = json!({
                "code": code, "addresses": listed, "truncated": answer.truncated, "time_ms": milliseconds(rtt),
            });
            (answer.code == 0 && is_first_try, details)
        }
        Ok(None) => {
            probe.summary = format!("{server} did not answer {} questions for {name} within {}.", probe.sent, text(time));
            (false, json!({ "error": "no answer" }))
        }
        Err(error) => {
            let why = match error.kind() {
                io::ErrorKind::ConnectionRefused => "nobody listens on the port".to_owned(),
                _ => error.to_string(),
            };
            probe.summary = format!("{server} cannot be asked for {name}: {why}.");
            (false, json!({ "error": why }))
        }
    };
    Outcome { probe, is_fine: fine, details }
}

/// Both answers in one, and the longer time. A server that has said no, or nothing, is not asked again.
fn both(server: SocketAddr, name: &str, timeout: Duration, probe: &mut Probe) -> io::Result<Option<(Answer, Duration)>> {
    let mut both: Option<(Answer, Duration)> = None;
    for kind in [A, AAAA] {
        let Some((answer, rtt)) = exchange(server, name, kind, timeout, &mut probe.sent)? else { break };
        probe.answered += 1;
        probe.rtt_ns.push(rtt.as_nanos() as u64);
        let is_last = answer.code != 0;
        both = Some(match both {
            None => (answer, rtt),
            Some((mut first, longest)) => {
                first.addresses.extend(answer.addresses);
                let truncated = first.truncated || answer.truncated;
                (Answer { code: answer.code, truncated, ..first }, longest.max(rtt))
            }
        });
        if is_last {
            break;
        }
    }
    Ok(both)
}

fn exchange(
    server: SocketAddr,
    name: &str,
    kind: u16,
    timeout: Duration,
    sent: &mut u32,
) -> io::Result<Option<(Answer, Duration)>> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    let mut buffer = [0; 4096];
    for _ in 0..TRIES {
        let id = RandomState::new().hash_one(name) as u16;
        let question = question(id, name, kind).ok_or_else(|| io::Error::other("that is not a name"))?;
        let began = Instant::now();
        socket.send(&question)?;
        *sent += 1;
        let end = began + timeout / TRIES;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    if let Some(answer) = answer(&buffer[..length], id) {
                        return Ok(Some((answer, began.elapsed())));
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

/// A question for records of a type, recursion desired; `None` for what cannot be a name.
fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut bytes = [id.to_be_bytes(), [1, 0], [0, 1], [0; 2], [0; 2], [0; 2]].concat();
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    (bytes.len() <= 12 + 255 + 4).then_some(bytes)
}

/// The answer to the question `id`; `None` for anything else.
fn answer(bytes: &[u8], id: u16) -> Option<Answer> {
    let word = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    if word(0)? != id || bytes.get(2)? & 0x80 == 0 {
        return None;
    }
    let (flags, code) = (bytes[2], bytes.get(3)? & 0x0f);
    let mut at = 12;
    for _ in 0..word(4)? {
        at = past_name(bytes, at)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..word(6)? {
        // A truncated answer may end anywhere.
        let Some(fixed) = past_name(bytes, at) else { break };
        let (Some(kind), Some(length)) = (word(fixed), word(fixed + 8)) else { break };
        let rest = bytes.get(fixed + 10..).unwrap_or_default();
        match (kind, rest.first_chunk(), rest.first_chunk()) {
            (A, Some(four), _) => addresses.push(Ipv4Addr::from(*four).into()),
            (AAAA, _, Some(sixteen)) => addresses.push(Ipv6Addr::from(*sixteen).into()),
            _ => {}
        }
        at = fixed + 10 + usize::from(length);
    }
    Some(Answer { code, truncated: flags & 0x02 != 0, addresses })
}

/// Where a name ends: after a zero, or after two bytes that point elsewhere.
fn past_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_far_as_it_goes() {
        let question = |id, name: &str| question(id, name, A);
        let mut bytes = question(7, "web.example.").unwrap();
        bytes[2] |= 0x80;
        bytes[7] = 3;
        bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1]);
        bytes.extend([0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 9, 0, 16]);
        bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let addresses = ["10.0.0.1", "fd00::1"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(answer(&bytes, 7), Some(Answer { code: 0, truncated: false, addresses }));
        assert_eq!(answer(&bytes, 8), None, "somebody else's");
        assert_eq!(answer(&question(7, "web.example").unwrap(), 7), None, "a question");
        for cut in 0..bytes.len() {
            let _ = answer(&bytes[..cut], 7);
        }
        assert_eq!((question(1, "a..b"), question(1, &"a".repeat(64)), question(1, "")), (None, None, None));
    }
}
