//! Perf buffers: rings shared with the kernel, one a processor, which only hold what fits.
//!
//! Two kinds of event fill them here: what an eBPF program hands over, and the tracepoint itself where there is no eBPF. Nobody
//! is woken by them; whoever reads comes by. Layout: include/uapi/linux/perf_event.h, perf_event_open(2).

// The system call has no wrapper in the C library, and its ring is shared memory.
#![allow(unsafe_code)]

use crate::source::netlink::{u16_at, u32_at, u64_at};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a ring. A thousand dropped segments without data fit, 600 of the longest events; an unprivileged user may lock three
/// of them on each processor (`kernel.perf_event_mlock_kb`).
const SIZE: usize = 128 * 1024;

const TYPE_SOFTWARE: u32 = 1;
const TYPE_TRACEPOINT: u32 = 2;
const SOFTWARE_BPF_OUTPUT: u64 = 10;
const SAMPLE_TIME: u64 = 1 << 2;
const SAMPLE_RAW: u64 = 1 << 10;
const FLAG_WATERMARK: u64 = 1 << 14;
const FLAG_USE_CLOCKID: u64 = 1 << 25;
const FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;
const IOC_SET_FILTER: libc::c_ulong = 0x4008_2406;
const RECORD_LOST: u32 = 2;
const RECORD_SAMPLE: u32 = 9;
/// Where the shared page has the kernel's and our place in the ring.
const HEAD_AT: usize = 1024;
const TAIL_AT: usize = 1032;
/// `BPF_MAP_UPDATE_ELEM` of include/uapi/linux/bpf.h.
const MAP_UPDATE_ELEM: libc::c_int = 2;

/// `struct perf_event_attr` as Linux 4.1 has it; a newer kernel takes what follows as zero.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_watermark: u32,
    breakpoint: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clock: i32,
}

/// What lies in a ring.
#[derive(Debug, PartialEq)]
pub(super) enum Record<'a> {
    /// What an event brought, as its kind lays it out.
    Sample(&'a [u8]),
    /// So many events found no room.
    Lost(u64),
}

/// The ring of one processor.
#[derive(Debug)]
pub(super) struct Ring {
    fd: OwnedFd,
    shared: NonNull<u8>,
    page: usize,
    cpu: u32,
    /// The record that is being looked at, in one piece.
    record: Vec<u8>,
}

// SAFETY: the memory is the ring's own, and whoever holds the ring is its only reader.
unsafe impl Send for Ring {}

impl Ring {
    /// A ring that eBPF programs write into, once it is in their map. Samples are u32 size and data.
    pub(super) fn of_programs(cpu: u32) -> io::Result<Self> {
        Self::open(
            cpu,
            Attributes { kind: TYPE_SOFTWARE, config: SOFTWARE_BPF_OUTPUT, sample_type: SAMPLE_RAW, ..Attributes::default() },
        )
    }

    /// A ring of what passes a tracepoint on `cpu`, by the tracepoint's number. Samples are u64 nanoseconds of the monotonic
    /// clock, u32 size and the tracepoint's own fields.
    pub(super) fn of_tracepoint(cpu: u32, id: u64) -> io::Result<Self> {
        let (sample_type, flags) = (SAMPLE_TIME | SAMPLE_RAW, FLAG_USE_CLOCKID);
        let clock = libc::CLOCK_MONOTONIC;
        Self::open(cpu, Attributes { kind: TYPE_TRACEPOINT, config: id, sample_type, flags, clock, ..Attributes::default() })
    }

    fn open(cpu: u32, mut attributes: Attributes) -> io::Result<Self> {
        attributes.size = size_of::<Attributes>() as u32;
        attributes.sample_period = 1;
        // Nobody waits: no wake-up before the ring is full.
        attributes.flags |= FLAG_WATERMARK;
        attributes.wakeup_watermark = SIZE as u32;
        let (pid, group, flags) = (-1, -1, FLAG_FD_CLOEXEC);
        // SAFETY: the attributes live until the call is over and say their own size.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attributes, pid, cpu, group, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made it, for us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        // SAFETY: no argument is a pointer.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at a place the kernel chooses.
        let shared = unsafe { libc::mmap(std::ptr::null_mut(), page + SIZE, access, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if shared == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let shared = NonNull::new(shared.cast()).expect("no mapping begins at zero");
        Ok(Self { fd, shared, page, cpu, record: Vec::new() })
    }

    /// Has only such events reported: the language of event filters (Documentation/trace/events.rst).
    pub(super) fn filter(&self, text: &CStr) -> io::Result<()> {
        // SAFETY: the text ends with a zero byte and outlives the call.
        match unsafe { libc::ioctl(self.fd.as_raw_fd(), IOC_SET_FILTER, text.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Puts the ring into a map of type perf event array, under its processor's number: programs find it there.
    pub(super) fn put_into(&self, map: BorrowedFd<'_>) -> io::Result<()> {
        #[repr(C)]
        struct Update {
            map: u32,
            padding: u32,
            key: u64,
            value: u64,
            flags: u64,
        }
        let (key, value) = (self.cpu, self.fd.as_raw_fd());
        let (key_at, value_at) = ((&raw const key) as u64, (&raw const value) as u64);
        let update = Update { map: map.as_raw_fd() as u32, padding: 0, key: key_at, value: value_at, flags: 0 };
        // SAFETY: key and value have the sizes that such a map has, and outlive the call.
        match unsafe { libc::syscall(libc::SYS_bpf, MAP_UPDATE_ELEM, &raw const update, size_of::<Update>()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Reads all there is, and makes room for more.
    pub(super) fn read(&mut self, mut take: impl FnMut(Record<'_>)) {
        let head = self.place(HEAD_AT).load(Ordering::Acquire);
        let mut tail = self.place(TAIL_AT).load(Ordering::Relaxed);
        while tail < head {
            let header = self.copy(tail, 8).first_chunk().copied().unwrap_or([0; 8]);
            let size = usize::from(u16_at(&header, 6).unwrap_or(0));
            if size < header.len() {
                // Never seen; it would never end.
                tail = head;
                break;
            }
            let kind = u32_at(&header, 0).unwrap_or(0);
            let body = &self.copy(tail, size)[header.len()..];
            match kind {
                RECORD_SAMPLE => take(Record::Sample(body)),
                RECORD_LOST => take(Record::Lost(u64_at(body, 8).unwrap_or(0))),
                _ => {}
            }
            tail += size as u64;
        }
        self.place(TAIL_AT).store(tail, Ordering::Release);
    }

    /// One of the two places in the shared page.
    fn place(&self, at: usize) -> &AtomicU64 {
        // SAFETY: an aligned word of the page that the kernel shares with us, for as long as the mapping stands.
        unsafe { self.shared.add(at).cast::<AtomicU64>().as_ref() }
    }

    /// Bytes of the ring, which begins anew at its end. The kernel writes there only once our place has passed them.
    fn copy(&mut self, from: u64, length: usize) -> &[u8] {
        self.record.clear();
        let at = (from % SIZE as u64) as usize;
        let first = length.min(SIZE - at);
        for (at, length) in [(at, first), (0, length.min(SIZE) - first)] {
            // SAFETY: within the ring, which lies behind the page.
            let part = unsafe { std::slice::from_raw_parts(self.shared.add(self.page + at).as_ptr(), length) };
            self.record.extend_from_slice(part);
        }
        &self.record
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this size, and nothing borrows from it any more.
        unsafe { libc::munmap(self.shared.as_ptr().cast(), self.page + SIZE) };
    }
}

/// A ring for each processor that is there.
pub(super) fn on_each_processor(open: impl Fn(u32) -> io::Result<Ring>) -> io::Result<Vec<Ring>> {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    processors(&online).into_iter().map(open).collect()
}

/// The numbers of a list like `0-3,8`.
fn processors(list: &str) -> Vec<u32> {
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_told_in_ranges() {
        assert_eq!(processors("0-2,5,7-8\n"), [0, 1, 2, 5, 7, 8]);
        assert_eq!(processors("0\n"), [0]);
        assert_eq!(processors("\n"), [0; 0]);
    }
}
