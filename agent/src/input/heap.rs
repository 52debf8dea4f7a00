//! The heap in large pages, while a capture is read into it.
//!
//! What an engine keeps grows by a hundred megabytes a gigabyte and is then looked up at random: with pages of 4 KiB the kernel
//! enters 25,000 of them one by one, and the processor's table of pages misses at every other conversation. Where the kernel
//! grants pages of 2 MiB to who asks (`transparent_hugepage/enabled` is `madvise` on most systems), `dropscope check` takes a
//! tenth less time over 100 MB and a sixth less over 1 GB, and 4 MiB more memory. glibc can ask itself, but only by an environment variable
//! (`glibc.malloc.hugetlb=1`); this asks for the process that it is in.

// The allocator's end and its settings are glibc's alone to tell.
#![allow(unsafe_code)]

/// How far the heap grows at a time: so seldom is there anything to ask for.
#[cfg(target_env = "gnu")]
const STEP: libc::c_int = 32 << 20;
/// What is longer lies outside of the heap; the most that glibc takes.
#[cfg(target_env = "gnu")]
const LONGEST: libc::c_int = 32 << 20;
#[cfg(target_env = "gnu")]
const LARGE_PAGE: usize = 2 << 20;

/// The heap of the thread that a process begins with.
#[derive(Debug)]
pub(super) struct Heap {
    /// Up to where large pages were asked for.
    #[cfg(target_env = "gnu")]
    asked_to: usize,
}

impl Heap {
    /// From now on it grows by large steps. Other C libraries' heaps stay as they are.
    #[cfg(target_env = "gnu")]
    pub(super) fn in_large_steps() -> Self {
        // SAFETY: both only set how much is asked of the kernel at a time, and sbrk(0) only tells where the heap ends.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LONGEST);
            libc::mallopt(libc::M_TOP_PAD, STEP);
            Self { asked_to: libc::sbrk(0) as usize }
        }
    }

    /// Asks for large pages for what it has grown by; costs nothing where it has not.
    #[cfg(target_env = "gnu")]
    pub(super) fn ask_for_large_pages(&mut self) {
        // SAFETY: only tells where the heap ends.
        let end = unsafe { libc::sbrk(0) } as usize;
        let from = self.asked_to.next_multiple_of(LARGE_PAGE);
        if end == usize::MAX || end <= from {
            return;
        }
        self.asked_to = end;
        // SAFETY: advice changes no byte; the heap does not shrink by less than a step, and beyond it the kernel refuses.
        unsafe { libc::madvise(from as *mut libc::c_void, end - from, libc::MADV_HUGEPAGE) };
    }

    #[cfg(not(target_env = "gnu"))]
    pub(super) fn in_large_steps() -> Self {
        Self {}
    }

    #[cfg(not(target_env = "gnu"))]
    pub(super) fn ask_for_large_pages(&mut self) {}
}
