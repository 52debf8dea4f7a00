//! A file's bytes where the kernel keeps them, window by window. Reading copies each of them once more; that was a quarter of the
//! processor time of `dropscope check` over 1 GB (kernel 6.18: 65 ms to map and sum up 1 GB, 140 to 190 to read and sum it up).
//! A window bounds what counts as this process's memory.
//!
//! Nobody but the kernel can tell that a mapped file became shorter or that its disk failed: it sends SIGBUS, which
//! [`end_in_words`] turns into a sentence and the exit status of a capture that cannot be read.

// Mapping trusts that nobody writes to the file meanwhile; a log that grows is only written beyond what is mapped here.
#![allow(unsafe_code)]

use memmap2::{Advice, MmapOptions};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::fs::File;
use std::sync::Once;

/// Bytes mapped at once: 2 MiB cost 5 ms more over 1 GB than the whole file at once, 512 KiB 50.
const WINDOW: u64 = 2 << 20;
/// What is shorter is read.
const WORTH_IT: u64 = 1 << 20;
/// The exit status of `check` when a capture cannot be read.
const UNREADABLE: i32 = 2;

/// Hands over a regular file's bytes from its beginning, for as long as it can be mapped and `take` wants more. How many that
/// were: whoever calls reads on from there, and learns what is wrong.
pub(super) fn each_window<E>(file: &File, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> (u64, Result<(), E>) {
    let length = match file.metadata() {
        Ok(about) if about.is_file() && about.len() >= WORTH_IT => about.len(),
        _ => return (0, Ok(())),
    };
    end_in_words();
    let mut at = 0;
    while at < length {
        let window = WINDOW.min(length - at);
        // SAFETY: the bytes are only read, and SIGBUS ends the process should they go away.
        let Ok(map) = (unsafe { MmapOptions::new().offset(at).len(window as usize).map(file) }) else { break };
        // Faults each page in now, and fails where one cannot be read; kernels before 5.14 do not know it.
        if map.advise(Advice::PopulateRead).is_err() {
            break;
        }
        let taken = take(&map);
        at += window;
        if taken.is_err() {
            return (at, taken);
        }
    }
    (at, Ok(()))
}

/// Has SIGBUS end the process with a sentence.
fn end_in_words() {
    extern "C" fn told(_: libc::c_int) {
        let words = b"dropscope: the capture became shorter while it was read, or its disk failed; nothing can be said of it\n";
        // SAFETY: both may be called in a signal handler (signal-safety(7)), and `words` is what it is said to be.
        unsafe {
            libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len());
            libc::_exit(UNREADABLE);
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let action = SigAction::new(SigHandler::Handler(told), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler calls nothing but what a signal handler may. That it cannot be set leaves the kernel's own way.
        let _ = unsafe { sigaction(Signal::SIGBUS, &action) };
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::Command;

    /// Bytes of three windows and a bit, none like its neighbour.
    fn file() -> (tempfile::NamedTempFile, Vec<u8>) {
        let bytes: Vec<u8> = (0..3 * WINDOW + 77).map(|n| ((n * 31) >> 3) as u8).collect();
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&bytes).expect("it is written");
        (file, bytes)
    }

    #[test]
    fn a_file_is_handed_over_whole_and_no_further_than_wanted() {
        let (file, bytes) = file();
        let mut seen = Vec::new();
        let (at, taken) = each_window(file.as_file(), |window| {
            seen.extend_from_slice(window);
            Ok::<(), ()>(())
        });
        assert_eq!((at, taken), (bytes.len() as u64, Ok(())));
        assert!(seen == bytes);
        assert_eq!(each_window(file.as_file(), |_| Err("enough")), (WINDOW, Err("enough")));
    }

    #[test]
    fn a_short_file_is_left_to_reading() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(each_window(file.as_file(), |_| Err("not asked")), (0, Ok(())));
    }

    /// Runs itself again as a process of its own, which maps a file and cuts it short.
    #[test]
    fn a_file_that_is_cut_short_meanwhile_ends_in_words() {
        const CHILD: &str = "DROPSCOPE_TEST_CUT";
        if std::env::var_os(CHILD).is_some() {
            let (file, _) = file();
            let (_, taken) = each_window(file.as_file(), |window| {
                file.as_file().set_len(0).expect("it is cut");
                Err(window.iter().map(|byte| u64::from(*byte)).sum::<u64>())
            });
            unreachable!("the kernel told nothing of it: {taken:?}");
        }
        let name = "input::mapped::tests::a_file_that_is_cut_short_meanwhile_ends_in_words";
        let program = std::env::current_exe().expect("its own path");
        let ended = Command::new(program).args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().expect("it starts");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(told.contains("the capture became shorter while it was read"), "{told}");
        assert_eq!(ended.status.code(), Some(UNREADABLE));
    }
}
