//! Folders that one process has for itself (flock(2)), and who that is.

use crate::folder::Folder;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// A lock on a folder, given up when this is dropped or the process ends, however it does.
#[derive(Debug)]
pub(crate) struct Locked(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

/// Locks a folder; the inner error says who has it.
pub(crate) fn take(folder: &Folder) -> io::Result<Result<Locked, String>> {
    let file = folder.handle()?;
    match file.try_lock() {
        Ok(()) => Ok(Ok(Locked(file))),
        Err(TryLockError::WouldBlock) => Ok(Err(holder(file.metadata()?.ino()))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Who has locked a file, by the kernel's list of locks (proc_locks(5)).
fn holder(inode: u64) -> String {
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let Some(process) = locks.lines().find_map(|line| held_by(line, inode)) else { return "another process".to_owned() };
    let arguments = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    // What it does, without its options: they may hold what is nobody's business.
    let mut words = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let command = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())).unwrap_or_default();
    match (program.as_str(), command.as_ref()) {
        ("", _) => format!("process {process}"),
        (program, "") => format!("{program}, process {process},"),
        (program, command) => format!("{program} {command}, process {process},"),
    }
}

/// The process of a line such as `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`, when it is about this file.
fn held_by(line: &str, inode: u64) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", process, file, ..] = fields[..] else { return None };
    let of = file.rsplit(':').next()?.parse::<u64>().ok()?;
    (of == inode).then(|| process.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_was_first_until_that_one_goes() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let first = take(&folder).unwrap().unwrap();
        let told = take(&folder).unwrap().unwrap_err();
        assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
        drop(first);
        assert!(take(&folder).unwrap().is_ok());
    }

    #[test]
    fn the_kernels_list_is_read() {
        let cases = [
            ("1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF", Some(4711)),
            ("1: FLOCK  ADVISORY  WRITE 4711 08:01:1311 0 EOF", None),
            ("1: -> FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF", None),
            ("2: POSIX  ADVISORY  WRITE 4711 08:01:131 0 EOF", None),
            ("2: FLOCK", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(held_by(line, 131), expected, "{line}");
        }
    }
}
