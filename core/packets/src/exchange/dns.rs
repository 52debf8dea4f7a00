//! DNS over UDP (RFC 1035): questions that had to be asked again.
//!
//! A client that has its answer does not repeat the question within seconds; so a repeat proves that no answer came in time,
//! also where the answer would not be seen.

use crate::dissect::{Packet, Protocol, Transport};
use crate::flow::{Endpoint, Seen};
use crate::time::Nanos;
use rustc_hash::FxHashMap;
use std::hash::{Hash as _, Hasher as _};
use std::net::IpAddr;

/// Questions followed at a time.
const MOST_OPEN: usize = 4_096;
/// Questions kept that had to be asked again.
const MOST_MISSED: usize = 1_024;
/// A resolver asks again no sooner (glibc 5 s, systemd-resolved and others 1 s and more); sooner it is another program.
const AGAIN: Nanos = Nanos::from_millis(900);
/// After this time nobody waits any longer, and the same question is a new one.
const FORGOTTEN: Nanos = Nanos::from_secs(30);
/// Questions that one call sends together, as for A and AAAA.
const TOGETHER: Nanos = Nanos::from_millis(5);

/// Who asks whom for what.
type Key = (IpAddr, IpAddr, u64);

/// See the module.
#[derive(Debug, Default)]
pub struct Dns {
    open: FxHashMap<Key, Open>,
    missed: Vec<Missed>,
    latest: Option<(Endpoint, Key, Seen)>,
    /// Questions, repeats among them, and answers.
    pub questions: u64,
    /// See `questions`.
    pub answers: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    missed: Missed,
    last: Seen,
    twin: Option<Key>,
}

/// A question that was asked again, since no answer had come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Missed {
    /// Who asked.
    pub client: Endpoint,
    /// Who was asked.
    pub server: Endpoint,
    /// The question.
    pub first: Seen,
    /// The first time it was asked again.
    pub again: Seen,
    /// How often it was asked.
    pub asked: u32,
    /// The answer, if one came in the end.
    pub answered: Option<Seen>,
    /// Whether another question, asked together with the first from the same port, was answered.
    pub twin_answered: bool,
}

impl Dns {
    pub(super) fn observe(&mut self, packet: &Packet<'_>, seen: Seen) {
        let (Some(ip), Transport::Udp(udp)) = (&packet.ip, &packet.transport) else { return };
        if udp.protocol != Protocol::Udp || ip.fragment.is_some() {
            return;
        }
        let (src, dst) = (Endpoint { address: ip.src, port: udp.src }, Endpoint { address: ip.dst, port: udp.dst });
        let (is_question, is_answer) = (dst.port == 53, src.port == 53);
        if is_question == is_answer {
            return;
        }
        let Some((responds, question)) = question(udp.payload) else { return };
        match (is_question, responds) {
            (true, false) => self.ask(src, dst, question, seen),
            (false, true) => self.answer((dst.address, src.address, question), seen),
            _ => {}
        }
    }

    fn ask(&mut self, client: Endpoint, server: Endpoint, question: u64, seen: Seen) {
        self.questions += 1;
        let key = (client.address, server.address, question);
        if let Some(open) = self.open.get_mut(&key)
            && seen.at - open.last.at < FORGOTTEN
        {
            if seen.at - open.last.at >= AGAIN {
                open.missed.again = if open.missed.asked == 1 { seen } else { open.missed.again };
                open.missed.asked += 1;
                open.last = seen;
            }
            return;
        }
        if let Some(old) = self.open.remove(&key) {
            self.keep(old.missed);
        }
        if self.open.len() >= MOST_OPEN {
            self.forget(seen);
        }
        let twin = self.latest.filter(|(from, other, at)| *from == client && *other != key && seen.at - at.at <= TOGETHER);
        let twin = twin.map(|(_, other, _)| other);
        if let Some(other) = twin.and_then(|twin| self.open.get_mut(&twin)) {
            other.twin = Some(key);
        }
        let missed = Missed { client, server, first: seen, again: seen, asked: 1, answered: None, twin_answered: false };
        self.open.insert(key, Open { missed, last: seen, twin });
        self.latest = Some((client, key, seen));
    }

    fn answer(&mut self, key: Key, seen: Seen) {
        self.answers += 1;
        let Some(open) = self.open.remove(&key) else { return };
        if let Some(twin) = open.twin.and_then(|twin| self.open.get_mut(&twin)) {
            twin.missed.twin_answered = true;
        }
        self.keep(Missed { answered: Some(seen), ..open.missed });
    }

    fn keep(&mut self, missed: Missed) {
        if missed.asked > 1 && self.missed.len() < MOST_MISSED {
            self.missed.push(missed);
        }
    }

    /// Makes room: those nobody waits for any longer go, or all.
    #[cold]
    fn forget(&mut self, seen: Seen) {
        let mut old: Vec<Missed> = Vec::new();
        self.open.retain(|_, open| {
            let stays = seen.at - open.last.at < FORGOTTEN;
            old.extend((!stays).then_some(open.missed));
            stays
        });
        if self.open.len() >= MOST_OPEN {
            self.open.clear();
        }
        old.sort_unstable_by_key(|missed| missed.first.no);
        old.into_iter().for_each(|missed| self.keep(missed));
    }

    /// Questions that had to be asked again, those still open among them, in order.
    pub fn missed(&self) -> Vec<Missed> {
        let open = self.open.values().map(|open| open.missed).filter(|missed| missed.asked > 1);
        let mut all: Vec<Missed> = self.missed.iter().copied().chain(open).collect();
        all.sort_unstable_by_key(|missed| missed.first.no);
        all
    }
}

/// Whether a message responds, and its question: name and type as one number. `None` if it has not just one, or is no query.
fn question(message: &[u8]) -> Option<(bool, u64)> {
    let header = message.first_chunk::<12>()?;
    let is_query = header[2] & 0x78 == 0;
    if !is_query || header[4..6] != [0, 1] {
        return None;
    }
    let mut hasher = rustc_hash::FxHasher::default();
    let mut rest = &message[12..];
    loop {
        let (length, after) = rest.split_first()?;
        if *length == 0 {
            after.get(..4)?.hash(&mut hasher);
            return Some((header[2] & 0x80 != 0, hasher.finish()));
        }
        // A question's name is not compressed; names of any case are the same (RFC 4343).
        let label = after.get(..usize::from(*length)).filter(|_| *length < 64)?;
        label.to_ascii_lowercase().hash(&mut hasher);
        rest = &after[label.len()..];
    }
}
