//! A file of /proc that is read again and again: opened once, for finding it costs as much as reading it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Longer than any file that is read so.
const MOST: usize = 1 << 20;

/// An open file of /proc, and what was read of it the last time.
#[derive(Debug)]
pub(super) struct ProcFile {
    file: File,
    text: Vec<u8>,
}

impl ProcFile {
    /// Opens it; a path of /proc/thread-self is then that of the calling thread for ever.
    pub(super) fn open(path: &str) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, text: vec![0; 4096] })
    }

    /// What it says now, up to anything that is not UTF-8.
    pub(super) fn read(&mut self) -> io::Result<&str> {
        let mut length = 0;
        loop {
            let read = self.file.read_at(&mut self.text[length..], length as u64)?;
            length += read;
            // The kernel tells whole lines, and so it may stop before the buffer is full and go on.
            if read == 0 || length == MOST {
                break;
            }
            if self.text.len() - length < 1024 {
                let larger = (2 * self.text.len()).min(MOST);
                self.text.resize(larger, 0);
            }
        }
        let text = &self.text[..length];
        Ok(std::str::from_utf8(text).or_else(|error| std::str::from_utf8(&text[..error.valid_up_to()])).unwrap_or_default())
    }
}

/// What a short file of /proc says, as [`std::fs::read_to_string`] reads it, with three system calls instead of five: for values
/// that are read by the dozen.
pub(super) fn read_short(path: impl AsRef<Path>) -> io::Result<String> {
    let mut buffer = [0; 512];
    let mut file = File::open(path)?;
    let length = file.read(&mut buffer)?;
    let mut text = buffer[..length].to_vec();
    if length == buffer.len() {
        file.read_to_end(&mut text)?;
    }
    String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_the_same_as_when_it_is_opened_anew() {
        let path = "/proc/self/net/netstat";
        let names = |text: &str| text.lines().step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let mut file = ProcFile::open(path).expect("/proc is there");
        for _ in 0..3 {
            let anew = std::fs::read_to_string(path).expect("/proc can be read");
            assert_eq!(names(file.read().expect("/proc can be read")), names(&anew));
        }
        assert!(file.text.len() > 4096, "it grew with the file");
    }

    #[test]
    fn a_short_file_is_read_whole_even_if_it_is_not_short() {
        let paths = ["/proc/sys/kernel/ostype", "/proc/filesystems", "/proc/self/net/netstat"];
        for path in paths {
            let first_line = |text: String| text.lines().next().map(str::to_owned);
            let (short, whole) = (read_short(path), std::fs::read_to_string(path));
            let (short, whole) = (short.expect("/proc can be read"), whole.expect("/proc can be read"));
            assert_eq!(short.lines().count(), whole.lines().count(), "{path}");
            assert_eq!(first_line(short), first_line(whole), "{path}");
        }
    }
}
