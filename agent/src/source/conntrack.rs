//! Connection tracking: how many entries there are and may be, and what each processor counted (`conntrack -C`, `conntrack -S`).
//!
//! `nf_conntrack_max` is one number for the host; each namespace counts its own entries against it. Asking the kernel would
//! load connection tracking where it is not in use, which would change the host, so it is only asked once /proc shows it.

use super::netlink::{Request, Socket, attributes, be32};
use super::proc_file::read_short;
use super::sample::{Family, Name};
use super::{Capability, SECOND, Sample, Scene, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::{CounterKind, Station, Unit};
use nix::sys::socket::SockProtocol;

pub(super) const KIND: SourceKind = SourceKind {
    name: "conntrack",
    about: "connections tracked, the limit, and packets dropped or not entered, as `conntrack -S` shows them",
    scope: Scope::Namespace,
    interval: SECOND,
    open: |scene| Ok(Box::new(Conntrack::open(scene))),
};

const COUNT_PATH: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const MAX_PATH: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS_CPU.
const GET_STATS_CPU: u16 = 1 << 8 | 4;
/// `struct nfgenmsg`: family, version, resource.
const NFGENMSG: [u8; 4] = [0; 4];

/// CTA_STATS_ attributes (include/uapi/linux/netfilter/nfnetlink_conntrack.h): number, key, name.
const FIELDS: [(u16, &str, &str); 15] = [
    (1, "conntrack.searched", "searched"),
    (2, "conntrack.found", "found"),
    (3, "conntrack.new", "new"),
    (4, "conntrack.invalid", "invalid"),
    (5, "conntrack.ignore", "ignore"),
    (6, "conntrack.delete", "delete"),
    (7, "conntrack.delete_list", "delete_list"),
    (8, "conntrack.insert", "insert"),
    (9, "conntrack.insert_failed", "insert_failed"),
    (10, "conntrack.drop", "drop"),
    (11, "conntrack.early_drop", "early_drop"),
    (12, "conntrack.error", "error"),
    (13, "conntrack.search_restart", "search_restart"),
    (14, "conntrack.clash_resolve", "clash_resolve"),
    (15, "conntrack.chaintoolong", "chaintoolong"),
];

static ENTRIES: Family = Family {
    unit: Unit::Entries,
    kind: CounterKind::Gauge,
    source: "/proc/sys/net/netfilter",
    station: Some(Station::Conntrack),
};
static PACKETS: Family = Family {
    unit: Unit::Packets,
    kind: CounterKind::Monotonic,
    source: "ctnetlink CT_GET_STATS_CPU",
    station: Some(Station::Conntrack),
};

struct Conntrack {
    netns: u64,
    netns_name: String,
    socket: Option<Socket>,
    has_said_absent: bool,
    has_said_denied: bool,
}

impl Conntrack {
    fn open(scene: &Scene<'_>) -> Self {
        Self {
            netns: scene.target.netns.0,
            netns_name: scene.target.name.clone(),
            socket: Socket::open(SockProtocol::NetlinkNetFilter).ok(),
            has_said_absent: false,
            has_said_denied: false,
        }
    }
}

impl Source for Conntrack {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn keeps(&self) -> Vec<Capability> {
        vec![Capability::CAP_NET_ADMIN]
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        let number = |path| read_short(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let (Some(count), Some(max)) = (number(COUNT_PATH), number(MAX_PATH)) else {
            if !std::mem::replace(&mut self.has_said_absent, true) {
                let sentence = format!("conntrack: in {}, connection tracking is not in use (no {COUNT_PATH}).", self.netns_name);
                out.limits.push(sentence);
            }
            return Ok(());
        };
        let named = |key: &'static str, cpu| Name { key: key.into(), netns: Some(self.netns), cpu, ..Name::default() };
        out.read(&ENTRIES, named("conntrack.count", None), "nf_conntrack_count", count);
        out.read(&ENTRIES, named("conntrack.max", None), "nf_conntrack_max", max);
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let request = Request::new(GET_STATS_CPU, &NFGENMSG);
        let read = socket.dump(&request, Vec::new, |all, _, body| all.extend(statistics(body)));
        match read {
            Ok(all) => {
                for (cpu, key, kernel_name, value) in all {
                    out.read(&PACKETS, named(key, Some(cpu)), kernel_name, value);
                }
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                if !std::mem::replace(&mut self.has_said_denied, true) {
                    out.limits.push(format!(
                        "conntrack: in {}, what connection tracking dropped cannot be read without CAP_NET_ADMIN; only count and limit are.",
                        self.netns_name
                    ));
                }
                Ok(())
            }
            Err(error) => Err(SourceError::from_io("connection tracking's statistics", "CAP_NET_ADMIN", &error)),
        }
    }
}

/// One processor's statistics: its number is the message's resource id.
fn statistics(body: &[u8]) -> Vec<(u32, &'static str, &'static str, u64)> {
    let Some((&[_, _, high, low], rest)) = body.split_first_chunk() else { return Vec::new() };
    let cpu = u32::from(u16::from_be_bytes([high, low]));
    let field = |(kind, value): (u16, &[u8])| {
        let (_, key, name) = FIELDS.into_iter().find(|(number, ..)| *number == kind)?;
        Some((cpu, key, name, u64::from(be32(value)?)))
    };
    attributes(rest).filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_belong_to_the_processor_the_message_names() {
        // The answer to CT_GET_STATS_CPU on kernel 6.18 after the lab `conntrack-full`, cut to three attributes.
        let message = Request::new(0, &[0, 0, 0, 1]).with(4, &[0, 0, 0, 2]).with(10, &[0, 0, 0, 87]).with(99, &[0, 0, 0, 1]);
        let told = statistics(message.body());
        assert_eq!(told, [(1, "conntrack.invalid", "invalid", 2), (1, "conntrack.drop", "drop", 87)]);
        assert!(statistics(&[0, 0]).is_empty());
    }

    #[test]
    fn the_keys_are_the_names_conntrack_prints() {
        for (_, key, name) in FIELDS {
            assert_eq!(key.strip_prefix("conntrack."), Some(name));
        }
    }
}
