//! What traffic control queued, delayed and dropped: every queueing discipline, and the classes of those that have any
//! (rtnetlink, `tc -s qdisc` and `tc -s class`).

use super::interfaces::Interfaces;
use super::netlink::{Request, Socket, attribute, text, u32_at, u64_at};
use super::sample::{Family, Name, Reading};
use super::{SECOND, Sample, Scene, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::{CounterKind, Station, Unit};
use nix::sys::socket::SockProtocol;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) const KIND: SourceKind = SourceKind {
    name: "qdisc",
    about: "packets queued, delayed and dropped by traffic control, as `tc -s qdisc` shows them",
    scope: Scope::Namespace,
    interval: SECOND,
    open: |scene| Ok(Box::new(Qdisc::open(scene)?)),
};

const RTM_NEWQDISC: u16 = 36;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTCLASS: u16 = 40;
const RTM_GETTCLASS: u16 = 42;

/// Disciplines whose classes are of the administrator's making. Others (fq_codel, sfq) make one of each flow.
const WITH_CLASSES: [&str; 7] = ["htb", "hfsc", "drr", "qfq", "prio", "ets", "cbq"];

const fn family(unit: Unit, kind: CounterKind) -> Family {
    Family { unit, kind, source: "rtnetlink TCA_STATS2", station: Some(Station::Qdisc) }
}
static PACKETS: Family = family(Unit::Packets, CounterKind::Monotonic);
static BYTES: Family = family(Unit::Bytes, CounterKind::Monotonic);
static COUNT: Family = family(Unit::Count, CounterKind::Monotonic);
static QUEUE_PACKETS: Family = family(Unit::Packets, CounterKind::Gauge);
static QUEUE_BYTES: Family = family(Unit::Bytes, CounterKind::Gauge);

struct Qdisc {
    socket: Socket,
    interfaces: Interfaces,
    netns: u64,
}

impl Qdisc {
    fn open(scene: &Scene<'_>) -> Result<Self, SourceError> {
        let open = || Ok((Socket::open(SockProtocol::NetlinkRoute)?, Interfaces::open()?));
        let (socket, interfaces) = open().map_err(|error| failed(&error))?;
        Ok(Self { socket, interfaces, netns: scene.target.netns.0 })
    }
}

fn failed(error: &std::io::Error) -> SourceError {
    SourceError::from_io("queueing disciplines", "CAP_NET_ADMIN", error)
}

/// A queueing discipline or a class of one.
#[derive(Debug, PartialEq, Eq)]
struct Queue {
    ifindex: u32,
    kind: String,
    /// `tbf 8001:`, `htb class 1:10`.
    object: String,
    values: Values,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Values {
    bytes: u64,
    packets: u64,
    qlen: u64,
    backlog: u64,
    drops: u64,
    requeues: u64,
    overlimits: u64,
}

impl Source for Qdisc {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        let mut queues = self.read(&Request::new(RTM_GETQDISC, &[0; 20]), RTM_NEWQDISC).map_err(|error| failed(&error))?;
        let with_classes: BTreeSet<u32> =
            queues.iter().filter(|queue| WITH_CLASSES.contains(&queue.kind.as_str())).map(|queue| queue.ifindex).collect();
        for ifindex in with_classes {
            let mut fixed = [0; 20];
            fixed[4..8].copy_from_slice(&ifindex.to_ne_bytes());
            queues.extend(self.read(&Request::new(RTM_GETTCLASS, &fixed), RTM_NEWTCLASS).map_err(|error| failed(&error))?);
        }
        let interfaces = self.interfaces.now().map_err(|error| failed(&error))?;
        for queue in queues {
            tell(queue, self.netns, interfaces, out);
        }
        Ok(())
    }
}

impl Qdisc {
    fn read(&mut self, request: &Request, wanted: u16) -> std::io::Result<Vec<Queue>> {
        self.socket.dump(request, Vec::new, |queues, kind, body| {
            if kind == wanted {
                queues.extend(parse(body, wanted == RTM_NEWTCLASS));
            }
        })
    }
}

/// `struct tcmsg` and TCA_ attributes; `None` also for `noqueue`, which has no queue and counts nothing.
fn parse(body: &[u8], is_class: bool) -> Option<Queue> {
    let (ifindex, handle, parent, rest) = (u32_at(body, 4)?, u32_at(body, 8)?, u32_at(body, 12)?, body.get(20..)?);
    let kind = text(attribute(rest, 1).filter(|kind| *kind != b"noqueue\0")?);
    let object = match (is_class, handle >> 16) {
        (true, _) => format!("{kind} class {}", handle_text(handle)),
        // The kernel's own children of `mq` have no handle: only their parent tells them apart.
        (false, 0) if parent != u32::MAX => format!("{kind} {} parent {}", handle_text(handle), handle_text(parent)),
        (false, _) => format!("{kind} {}", handle_text(handle)),
    };
    let stats = attribute(rest, 7).unwrap_or_default();
    let basic = attribute(stats, 1).unwrap_or_default();
    let queue = attribute(stats, 3).unwrap_or_default();
    let word = |bytes, at| u32_at(bytes, at).map(u64::from).unwrap_or_default();
    let values = Values {
        bytes: u64_at(basic, 0).unwrap_or_default(),
        // TCA_STATS_PKT64, where the 32 bits of the basic counter do not do.
        packets: attribute(stats, 8).and_then(|packets| u64_at(packets, 0)).unwrap_or_else(|| word(basic, 8)),
        qlen: word(queue, 0),
        backlog: word(queue, 4),
        drops: word(queue, 8),
        requeues: word(queue, 12),
        overlimits: word(queue, 16),
    };
    Some(Queue { ifindex, kind, object, values })
}

/// A handle as `tc` prints it: hexadecimal, `8001:` or `1:a`.
fn handle_text(handle: u32) -> String {
    match (handle >> 16, handle & 0xffff) {
        (major, 0) => format!("{major:x}:"),
        (0, minor) => format!(":{minor:x}"),
        (major, minor) => format!("{major:x}:{minor:x}"),
    }
}

fn tell(queue: Queue, netns: u64, interfaces: &Interfaces, out: &mut Sample) {
    let object: Arc<str> = queue.object.into();
    let ifname = interfaces.link(queue.ifindex).map(|link| Arc::clone(&link.name));
    let Values { bytes, packets, qlen, backlog, drops, requeues, overlimits } = queue.values;
    for (key, kernel_name, family, value) in [
        ("qdisc.bytes", "bytes", &BYTES, bytes),
        ("qdisc.packets", "packets", &PACKETS, packets),
        ("qdisc.qlen", "qlen", &QUEUE_PACKETS, qlen),
        ("qdisc.backlog", "backlog", &QUEUE_BYTES, backlog),
        ("qdisc.drops", "drops", &PACKETS, drops),
        ("qdisc.requeues", "requeues", &COUNT, requeues),
        ("qdisc.overlimits", "overlimits", &COUNT, overlimits),
    ] {
        let name = Name {
            key: key.into(),
            netns: Some(netns),
            ifindex: Some(queue.ifindex),
            object: Some(Arc::clone(&object)),
            ..Name::default()
        };
        out.readings.push(Reading { name, family, kernel_name: kernel_name.into(), ifname: ifname.clone(), value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(handle: u32, parent: u32, kind: &[u8], queue: [u32; 5]) -> Vec<u8> {
        let mut fixed = vec![0; 20];
        fixed[4] = 2;
        fixed[8..12].copy_from_slice(&handle.to_ne_bytes());
        fixed[12..16].copy_from_slice(&parent.to_ne_bytes());
        let basic = [9000u64.to_ne_bytes().as_slice(), &60u32.to_ne_bytes(), &[0; 4]].concat();
        let queue: Vec<u8> = queue.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let stats = Request::new(0, &[]).with(1, &basic).with(3, &queue);
        Request::new(0, &fixed).with(1, kind).with(7, stats.body()).body().to_vec()
    }

    /// `tc -s qdisc` of the lab `queue-drop`: 43 drops, 160 times over the limit.
    #[test]
    fn drops_of_a_discipline_are_read() {
        let whole = message(0x8001_0000, u32::MAX, b"tbf\0", [0, 0, 43, 0, 160]);
        let queue = parse(&whole, false).expect("a whole message");
        assert_eq!((queue.object.as_str(), queue.ifindex), ("tbf 8001:", 2));
        assert_eq!(
            queue.values,
            Values { bytes: 9000, packets: 60, qlen: 0, backlog: 0, drops: 43, requeues: 0, overlimits: 160 }
        );
        for cut in 0..whole.len() {
            let _ = parse(&whole[..cut], false);
        }
    }

    #[test]
    fn objects_are_named_as_tc_names_them() {
        let object =
            |handle, parent, is_class| parse(&message(handle, parent, b"x\0", [0; 5]), is_class).map(|queue| queue.object);
        assert_eq!(object(0x1_000a, 0x1_0000, true).as_deref(), Some("x class 1:a"));
        assert_eq!(object(0, 2, false).as_deref(), Some("x 0: parent :2"));
        assert_eq!(object(0, u32::MAX, false).as_deref(), Some("x 0:"));
    }
}
