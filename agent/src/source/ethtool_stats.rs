//! What a device's own driver counted (`ethtool -S`): names and meanings are the driver's. Only counters whose names speak of
//! loss are told, since a driver may have thousands: `rx_missed_errors`, `rx_queue_0_drops`, `rx_out_of_buffer`.

// SIOCETHTOOL with structures of varying size has no safe wrapper.
#![allow(unsafe_code)]

use super::link;
use super::netlink::{Socket, text, u32_at, u64_at};
use super::sample::{Family, Name, Reading};
use super::{SECOND, Sample, Scene, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::{CounterKind, Station, Unit};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

pub(super) const KIND: SourceKind = SourceKind {
    name: "ethtool_stats",
    about: "losses that network cards and their drivers count, as `ethtool -S` shows them",
    scope: Scope::Namespace,
    interval: SECOND,
    open: |scene| Ok(Box::new(EthtoolStats::open(scene)?)),
};

static PACKETS: Family = Family {
    unit: Unit::Packets,
    kind: CounterKind::Monotonic,
    source: "ethtool ETHTOOL_GSTATS",
    station: Some(Station::Device),
};

/// Parts of names that speak of loss.
const WORDS: [&str; 12] =
    ["drop", "miss", "err", "discard", "no_buf", "out_of_buf", "no_dma", "fifo", "overrun", "overflow", "crc", "alloc_fail"];
/// Counters of one device that are told at most.
const MOST_TOLD: usize = 256;

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
const NAME_LENGTH: usize = 32;
/// A driver that claims more counters is not asked.
const MOST_COUNTERS: usize = 1 << 16;

struct EthtoolStats {
    links: Socket,
    ioctls: OwnedFd,
    netns: u64,
}

impl EthtoolStats {
    fn open(scene: &Scene<'_>) -> Result<Self, SourceError> {
        let ioctls = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None::<SockProtocol>);
        Ok(Self {
            links: Socket::open(SockProtocol::NetlinkRoute).map_err(|error| failed(&error))?,
            ioctls: ioctls.map_err(|error| failed(&error.into()))?,
            netns: scene.target.netns.0,
        })
    }

    /// Name and value of each counter that speaks of loss; empty for a device that has none or may not be asked.
    fn losses(&self, interface: &str) -> Vec<(String, u64)> {
        self.read(interface).unwrap_or_default()
    }

    fn read(&self, interface: &str) -> io::Result<Vec<(String, u64)>> {
        // struct ethtool_sset_info: cmd, reserved, sset_mask (u64), then a count for each set that was asked for and exists.
        let mut info = vec![0u8; 64];
        info[..4].copy_from_slice(&ETHTOOL_GSSET_INFO.to_ne_bytes());
        info[8..16].copy_from_slice(&(1u64 << ETH_SS_STATS).to_ne_bytes());
        self.ask(interface, &mut info)?;
        let count = match u64_at(&info, 8) {
            Some(mask) if mask != 0 => u32_at(&info, 16).unwrap_or(0) as usize,
            _ => 0,
        };
        if count == 0 || count > MOST_COUNTERS {
            return Ok(Vec::new());
        }
        // The kernel writes as many as there are when it is asked, which may be more by then (queues were added).
        let room = count * 2 + 1024;
        let mut names = vec![0u8; 12 + room * NAME_LENGTH];
        for (at, word) in [ETHTOOL_GSTRINGS, ETH_SS_STATS, count as u32].into_iter().enumerate() {
            names[at * 4..][..4].copy_from_slice(&word.to_ne_bytes());
        }
        self.ask(interface, &mut names)?;
        let mut values = vec![0u8; 8 + room * 8];
        values[..4].copy_from_slice(&ETHTOOL_GSTATS.to_ne_bytes());
        values[4..8].copy_from_slice(&(count as u32).to_ne_bytes());
        self.ask(interface, &mut values)?;
        if u32_at(&names, 8) != u32_at(&values, 4) {
            // The counters changed between the two questions: the next reading has both right.
            return Ok(Vec::new());
        }
        Ok(losses(&names[12..], &values[8..], u32_at(&values, 4).unwrap_or(0) as usize))
    }

    fn ask(&self, interface: &str, buffer: &mut [u8]) -> io::Result<()> {
        // SAFETY: all zeroes is a valid `ifreq`: it holds numbers, addresses and a pointer.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes().take(libc::IFNAMSIZ - 1)) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = buffer.as_mut_ptr().cast();
        // SAFETY: `buffer` lives through the call and has room for what the kernel answers to the command in its first word:
        // one count, or twice as many names or values as it had a moment ago and a thousand more.
        let result = unsafe { libc::ioctl(self.ioctls.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Those of `count` counters whose names speak of loss. Two of one name are told apart by number.
fn losses(names: &[u8], values: &[u8], count: usize) -> Vec<(String, u64)> {
    let mut told: Vec<(String, u64)> = Vec::new();
    for at in 0..count {
        let (Some(name), Some(value)) = (names.get(at * NAME_LENGTH..(at + 1) * NAME_LENGTH), u64_at(values, at * 8)) else {
            break;
        };
        let name = text(name).trim().to_owned();
        if told.len() < MOST_TOLD && WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word)) {
            let same = told.iter().filter(|(other, _)| other.split('#').next() == Some(&name)).count();
            told.push((if same == 0 { name } else { format!("{name}#{}", same + 1) }, value));
        }
    }
    told
}

fn failed(error: &io::Error) -> SourceError {
    SourceError::from_io("drivers' statistics", "CAP_NET_ADMIN", error)
}

impl Source for EthtoolStats {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        for link in link::read(&mut self.links).map_err(|error| failed(&error))? {
            for (kernel_name, value) in self.losses(&link.name) {
                let name = Name {
                    key: format!("ethtool.{kernel_name}").into(),
                    netns: Some(self.netns),
                    ifindex: Some(link.ifindex),
                    ..Name::default()
                };
                let ifname = Some(link.name.as_str().into());
                out.readings.push(Reading { name, family: &PACKETS, kernel_name: kernel_name.into(), ifname, value });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_of_loss_is_told() {
        let listed = ["rx_packets", "rx_missed_errors", "rx_queue_0_drops", "rx_no_buffer_count", "rx_queue_0_drops"];
        let mut names = Vec::new();
        for name in listed {
            let mut field = name.as_bytes().to_vec();
            field.resize(NAME_LENGTH, 0);
            names.extend(field);
        }
        let values: Vec<u8> = (1..=5u64).flat_map(u64::to_ne_bytes).collect();
        let told: Vec<String> = losses(&names, &values, 5).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(told, ["rx_missed_errors=2", "rx_queue_0_drops=3", "rx_no_buffer_count=4", "rx_queue_0_drops#2=5"]);
        assert_eq!(losses(&names, &values[..16], 5).len(), 1, "fewer values than names");
    }
}
