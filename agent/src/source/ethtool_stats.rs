//! What a device's own driver counted (`ethtool -S`): names and meanings are the driver's. Only counters whose names speak of
//! loss are told, since a driver may have thousands: `rx_missed_errors`, `rx_queue_0_drops`, `rx_out_of_buffer`.

// SIOCETHTOOL with structures of varying size has no safe wrapper.
#![allow(unsafe_code)]

use super::interfaces::Interfaces;
use super::link::Link;
use super::netlink::{text, u32_at, u64_at};
use super::sample::{Family, Name, Reading, interned};
use super::{SECOND, Sample, Scene, Scope, Source, SourceError, SourceKind};
use dropscope_core::log::block::{CounterKind, Station, Unit};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

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
/// What keys begin with.
const PREFIX: &str = "ethtool.";
/// Counters of one device that are told at most.
const MOST_TOLD: usize = 256;

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
const NAME_LENGTH: usize = 32;
/// A driver that claims more counters is not asked.
const MOST_COUNTERS: usize = 1 << 16;

/// Names are asked for again after so many readings, for a driver may change them while it keeps their number.
const NAMES_EVERY: u32 = 60;

struct EthtoolStats {
    interfaces: Interfaces,
    /// Of the interfaces that `devices` were made of.
    generation: u64,
    readings: u32,
    devices: Vec<Device>,
    ioctls: OwnedFd,
    answer: Answer,
    netns: u64,
}

/// A device that counts losses.
struct Device {
    ifindex: u32,
    ifname: Arc<str>,
    /// All of its counters, also those that are not told.
    count: usize,
    losses: Vec<Loss>,
}

/// What the kernel answers into. It writes as many names or values as there are when it is asked, whatever room it was promised
/// (before Linux 6.18): a card whose queues were added since writes more. So there is room for as many as are ever asked for,
/// and behind it a page that nobody may write, where the kernel stops (EFAULT). Pages that are not touched take no memory.
struct Answer {
    start: NonNull<u8>,
    /// Bytes that may be written; the guard follows.
    room: usize,
}

// SAFETY: it owns its mapping, as a Vec owns its bytes.
unsafe impl Send for Answer {}

/// A counter whose name speaks of loss: its place, the driver's name for it, and ours.
#[derive(Debug, PartialEq, Eq)]
struct Loss {
    at: usize,
    kernel_name: &'static str,
    key: &'static str,
}

impl EthtoolStats {
    fn open(scene: &Scene<'_>) -> Result<Self, SourceError> {
        let ioctls = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None::<SockProtocol>);
        Ok(Self {
            interfaces: Interfaces::open().map_err(|error| failed(&error))?,
            generation: 0,
            readings: 0,
            devices: Vec::new(),
            ioctls: ioctls.map_err(|error| failed(&error.into()))?,
            answer: Answer::new(12 + MOST_COUNTERS * NAME_LENGTH).map_err(|error| failed(&error))?,
            netns: scene.target.netns.0,
        })
    }

    /// Asks every device for the names of its counters, once it is due.
    fn learn_names(&mut self) -> io::Result<()> {
        let interfaces = self.interfaces.now()?;
        let is_known = self.generation == interfaces.generation() && !self.readings.is_multiple_of(NAMES_EVERY);
        self.readings = self.readings.wrapping_add(1);
        if !is_known {
            self.generation = interfaces.generation();
            // One that has no counters, or may not be asked, has none to tell.
            let of = |link| device(&self.ioctls, link, &mut self.answer).ok().flatten();
            self.devices = interfaces.links().iter().filter_map(of).collect();
        }
        Ok(())
    }
}

/// What a device counts, by name; `None` for one that counts no losses.
fn device(ioctls: &OwnedFd, link: &Link, answer: &mut Answer) -> io::Result<Option<Device>> {
    // struct ethtool_sset_info: cmd, reserved, sset_mask (u64), then a count for each set that was asked for and exists.
    answer.begin_with(&[ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_STATS, 0, 0]);
    ask(ioctls, &link.name, answer)?;
    let count = match u64_at(answer.bytes(), 8) {
        Some(mask) if mask != 0 => u32_at(answer.bytes(), 16).unwrap_or(0) as usize,
        _ => 0,
    };
    if count == 0 || count > MOST_COUNTERS {
        return Ok(None);
    }
    answer.begin_with(&[ETHTOOL_GSTRINGS, ETH_SS_STATS, count as u32]);
    ask(ioctls, &link.name, answer)?;
    // It may have others by now.
    let count = u32_at(answer.bytes(), 8).unwrap_or(0) as usize;
    let losses = losses(&answer.bytes()[12..], count);
    let device = Device { ifindex: link.ifindex, ifname: Arc::clone(&link.name), count, losses };
    Ok(Some(device).filter(|device| !device.losses.is_empty()))
}

impl Device {
    /// Asks for the values; whether they are those of the known names.
    fn read(&self, ioctls: &OwnedFd, answer: &mut Answer) -> io::Result<bool> {
        answer.begin_with(&[ETHTOOL_GSTATS, self.count as u32]);
        ask(ioctls, &self.ifname, answer)?;
        Ok(u32_at(answer.bytes(), 4) == Some(self.count as u32))
    }
}

impl Answer {
    /// Room for so many bytes at least.
    fn new(bytes: usize) -> io::Result<Self> {
        let page = usize::try_from(nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.unwrap_or(4096)).unwrap_or(4096);
        let room = bytes.next_multiple_of(page);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping of its own, at a place that the kernel chooses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), room + page, libc::PROT_NONE, flags, -1, 0) };
        let start =
            NonNull::new(start.cast::<u8>()).filter(|_| start != libc::MAP_FAILED).ok_or_else(io::Error::last_os_error)?;
        let answer = Self { start, room };
        // SAFETY: the first `room` bytes of that mapping; its last page stays closed.
        match unsafe { libc::mprotect(start.as_ptr().cast(), room, libc::PROT_READ | libc::PROT_WRITE) } {
            0 => Ok(answer),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// What was answered last.
    fn bytes(&self) -> &[u8] {
        // SAFETY: `room` bytes of the mapping may be read, and the kernel writes only while `ask` borrows this for itself.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.room) }
    }

    /// Writes the question.
    fn begin_with(&mut self, words: &[u32]) {
        for (at, word) in words.iter().enumerate().filter(|(at, _)| at * 4 + 4 <= self.room) {
            // SAFETY: within the `room` bytes, which may be written; a mapping begins at a page.
            unsafe { self.start.as_ptr().cast::<u32>().add(at).write(*word) };
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
        // SAFETY: the mapping that `new` made, which nobody refers to any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.room + page as usize) };
    }
}

fn ask(ioctls: &OwnedFd, interface: &str, answer: &mut Answer) -> io::Result<()> {
    // SAFETY: all zeroes is a valid `ifreq`: it holds numbers, addresses and a pointer.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = answer.start.as_ptr().cast();
    // SAFETY: `answer` lives through the call. However much the kernel answers, it meets the guard before anything else.
    let result = unsafe { libc::ioctl(ioctls.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Those of `count` counters whose names speak of loss. Two of one name are told apart by number.
fn losses(names: &[u8], count: usize) -> Vec<Loss> {
    let mut told: Vec<Loss> = Vec::new();
    for (at, name) in names.chunks_exact(NAME_LENGTH).take(count).enumerate() {
        let name = text(name).trim().to_owned();
        if told.len() < MOST_TOLD && WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word)) {
            let same = told.iter().filter(|other| other.kernel_name.split('#').next() == Some(&name)).count();
            let key = interned(&if same == 0 { format!("{PREFIX}{name}") } else { format!("{PREFIX}{name}#{}", same + 1) });
            told.push(Loss { at, kernel_name: &key[PREFIX.len()..], key });
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
        self.learn_names().map_err(|error| failed(&error))?;
        for device in &self.devices {
            match device.read(&self.ioctls, &mut self.answer) {
                Ok(true) => {}
                // Its counters are others now, or it is gone: the next reading asks for names again.
                Ok(false) | Err(_) => {
                    self.readings = 0;
                    continue;
                }
            }
            for Loss { at, kernel_name, key } in &device.losses {
                let Some(value) = u64_at(self.answer.bytes(), 8 + at * 8) else { break };
                let name = Name { key: (*key).into(), netns: Some(self.netns), ifindex: Some(device.ifindex), ..Name::default() };
                let ifname = Some(Arc::clone(&device.ifname));
                out.readings.push(Reading { name, family: &PACKETS, kernel_name: (*kernel_name).into(), ifname, value });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_writes_no_further_than_the_guard() {
        let mut answer = Answer::new(5000).unwrap();
        answer.begin_with(&[7; 2000]);
        assert!(answer.bytes().len() >= 5000 && answer.bytes().len() < 5000 + 65_536);
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let room = answer.bytes().len();
        // As a driver with far more counters than it had would do it.
        // SAFETY: what the kernel may not write it does not write: that is what is tested.
        let written = unsafe { libc::read(zeros.as_raw_fd(), answer.start.as_ptr().cast(), 100 * room) };
        assert!(written <= room as isize, "{written} bytes were written into {room}");
    }

    #[test]
    fn only_what_speaks_of_loss_is_told() {
        let listed = ["rx_packets", "rx_missed_errors", "rx_queue_0_drops", "rx_no_buffer_count", "rx_queue_0_drops"];
        let mut names = Vec::new();
        for name in listed {
            let mut field = name.as_bytes().to_vec();
            field.resize(NAME_LENGTH, 0);
            names.extend(field);
        }
        let told: Vec<String> = losses(&names, 5).iter().map(|loss| format!("{} {}", loss.at, loss.key)).collect();
        assert_eq!(
            told,
            [
                "1 ethtool.rx_missed_errors",
                "2 ethtool.rx_queue_0_drops",
                "3 ethtool.rx_no_buffer_count",
                "4 ethtool.rx_queue_0_drops#2"
            ]
        );
        assert_eq!(losses(&names[..70], 5).len(), 1, "fewer names than were promised");
    }
}
