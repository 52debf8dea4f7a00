//! Offload features that are on, by the kernel's ethtool netlink family (Linux 5.6 and later).

use crate::source::netlink::{Request, Socket, attribute, attributes, text, u16_at, u32_at};
use nix::sys::socket::SockProtocol;
use std::collections::BTreeMap;
use std::io;

const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;

/// `ethtool -k`'s names for groups of features, and the kernel's names (beginnings) that make up each. A group is on when one is.
const GROUPS: [(&str, &[&str]); 12] = [
    ("rx-checksumming", &["rx-checksum"]),
    ("tx-checksumming", &["tx-checksum-"]),
    ("scatter-gather", &["tx-scatter-gather"]),
    ("tcp-segmentation-offload", &["tx-tcp-", "tx-tcp6-"]),
    ("generic-segmentation-offload", &["tx-generic-segmentation"]),
    ("generic-receive-offload", &["rx-gro"]),
    ("large-receive-offload", &["rx-lro"]),
    ("rx-vlan-offload", &["rx-vlan-hw-parse"]),
    ("tx-vlan-offload", &["tx-vlan-hw-insert"]),
    ("udp-segmentation-offload", &["tx-udp-segmentation"]),
    ("ntuple-filters", &["rx-ntuple-filter"]),
    ("receive-hashing", &["rx-hashing"]),
];

/// A socket of the ethtool family.
pub(super) struct Ethtool {
    socket: Socket,
    family: u16,
}

impl Ethtool {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::open(SockProtocol::NetlinkGeneric)?;
        let request = Request::new(GENL_ID_CTRL, &[CTRL_CMD_GETFAMILY, 1, 0, 0]).with(CTRL_ATTR_FAMILY_NAME, b"ethtool\0");
        let mut family = None;
        socket.ask(&request, |_, body| {
            family = body.get(4..).and_then(|rest| attribute(rest, CTRL_ATTR_FAMILY_ID)).and_then(|id| u16_at(id, 0));
        })?;
        let family = family.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self { socket, family })
    }

    /// Features that are on, by interface.
    pub(super) fn read(&mut self) -> io::Result<BTreeMap<u32, Vec<String>>> {
        // An empty nested header asks for every device.
        let request =
            Request::new(self.family, &[ETHTOOL_MSG_FEATURES_GET, 1, 0, 0]).with(0x8000 | ETHTOOL_A_FEATURES_HEADER, &[]);
        self.socket.dump(&request, BTreeMap::new, |all, _, body| all.extend(parse(body)))
    }
}

/// One device's answer: its number, and group names followed by the kernel's own.
fn parse(body: &[u8]) -> Option<(u32, Vec<String>)> {
    let rest = body.get(4..)?;
    let ifindex = u32_at(attribute(attribute(rest, ETHTOOL_A_FEATURES_HEADER)?, ETHTOOL_A_HEADER_DEV_INDEX)?, 0)?;
    let bits = attribute(attribute(rest, ETHTOOL_A_FEATURES_ACTIVE)?, ETHTOOL_A_BITSET_BITS)?;
    let names = attributes(bits).filter_map(|(_, bit)| attribute(bit, ETHTOOL_A_BITSET_BIT_NAME)).map(text);
    Some((ifindex, with_groups(names.collect())))
}

fn with_groups(names: Vec<String>) -> Vec<String> {
    let is_on = |parts: &[&str]| names.iter().any(|name| parts.iter().any(|part| name.starts_with(part)));
    let groups = GROUPS.iter().filter(|(_, parts)| is_on(parts)).map(|(group, _)| (*group).to_owned());
    groups.chain(names.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_as_ethtool_names_them() {
        let names = ["tx-checksum-ip-generic", "rx-gro", "tx-scatter-gather-fraglist"].map(str::to_owned).to_vec();
        let told = with_groups(names);
        assert_eq!(&told[..3], ["tx-checksumming", "scatter-gather", "generic-receive-offload"]);
        assert_eq!(told.len(), 6);
        assert!(with_groups(Vec::new()).is_empty());
    }
}
