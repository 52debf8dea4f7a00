//! The bytes of a capture: one file, or several that are one log when put one after the other.

use crate::folder::Folder;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// Where a capture's bytes are.
#[derive(Clone, Debug)]
pub(crate) struct Files(Arc<[Part]>);

#[derive(Debug)]
struct Part {
    place: Place,
    begins_at: u64,
    /// Bytes at the file's beginning that are left out.
    skip: u64,
}

#[derive(Debug)]
enum Place {
    /// Opened by whoever named it, and held: it may lie where this process no longer gets.
    Held(Arc<File>),
    /// A file in the store's own folder, opened when somebody reads it: there may be thousands.
    In(Folder, &'static str),
}

impl Place {
    fn open(&self) -> io::Result<Arc<File>> {
        match self {
            Self::Held(file) => Ok(Arc::clone(file)),
            Self::In(folder, name) => folder.open_file(name).map(Arc::new),
        }
    }
}

impl Files {
    /// One open file, which may still grow.
    pub(crate) fn held(file: File) -> Self {
        Self(Arc::new([Part { place: Place::Held(Arc::new(file)), begins_at: 0, skip: 0 }]))
    }

    /// One file in the store's folder, which may still grow.
    pub(crate) fn one(folder: &Folder, name: &'static str) -> Self {
        Self(Arc::new([Part { place: Place::In(folder.clone(), name), begins_at: 0, skip: 0 }]))
    }

    /// Finished files in their order, each with how many bytes at its beginning are left out, and how many bytes they are in all.
    ///
    /// # Errors
    /// When one of them is no regular file.
    pub(crate) fn all(files: Vec<(File, u64)>) -> io::Result<(Self, u64)> {
        let mut bytes = 0;
        let mut parts = Vec::new();
        for (file, skip) in files {
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Err(io::Error::other("it is no regular file"));
            }
            parts.push(Part { place: Place::Held(Arc::new(file)), begins_at: bytes, skip });
            bytes += metadata.len().saturating_sub(skip);
        }
        Ok((Self(parts.into()), bytes))
    }

    /// When one of them last changed, in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// When one of them is not there.
    pub(crate) fn last_changed(&self) -> io::Result<u128> {
        let mut last = 0;
        for part in self.0.iter() {
            let at = part.place.open()?.metadata()?.modified()?;
            last = last.max(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
        }
        Ok(last)
    }

    /// Opens them for reading.
    ///
    /// # Errors
    /// When the first is not there.
    pub(crate) fn open(&self) -> io::Result<Reader> {
        let first = self.0.first().ok_or(io::ErrorKind::NotFound)?.place.open()?;
        Ok(Reader { files: self.clone(), open: Mutex::new((0, first)) })
    }
}

/// Reads a capture's bytes by their place in the whole.
#[derive(Debug)]
pub(crate) struct Reader {
    files: Files,
    open: Mutex<(usize, Arc<File>)>,
}

impl Reader {
    /// Reads up to `length` bytes at `offset`; fewer only at the end.
    ///
    /// # Errors
    /// What the operating system answered.
    pub(crate) fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut have = 0;
        while have < length {
            let at = offset + have as u64;
            let nth = self.files.0.partition_point(|part| part.begins_at <= at).saturating_sub(1);
            let (begins_at, end) = (self.files.0[nth].begins_at, self.files.0.get(nth + 1).map(|next| next.begins_at));
            let most = end.map_or(length - have, |end| (length - have).min(usize::try_from(end - at).unwrap_or(usize::MAX)));
            match self.file(nth)?.read_at(&mut bytes[have..have + most], at - begins_at + self.files.0[nth].skip) {
                Ok(0) if end.is_some() => return Err(io::Error::other("a segment is shorter than it was")),
                Ok(0) => break,
                Ok(n) => have += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(have);
        Ok(bytes)
    }

    fn file(&self, nth: usize) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.0 != nth {
            *open = (nth, self.files.0[nth].place.open()?);
        }
        Ok(Arc::clone(&open.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_files_are_read_as_if_they_were_one() {
        let folder = tempfile::tempdir().unwrap();
        let contents: [&[u8]; 4] = [b"abc", b"", b"defgh", b"i"];
        let written = |(nth, content): (usize, &[u8])| {
            let path = folder.path().join(nth.to_string());
            std::fs::write(&path, content).unwrap();
            // Of the third its first two bytes are left out.
            (File::open(path).unwrap(), if nth == 2 { 2 } else { 0 })
        };
        let (files, bytes) = Files::all(contents.into_iter().enumerate().map(written).collect()).unwrap();
        assert_eq!(bytes, 7);
        let whole = b"abcfghi";
        let reader = files.open().unwrap();
        for from in 0..=7 {
            for length in 0..12 {
                let expected = &whole[from..whole.len().min(from + length)];
                assert_eq!(reader.read_at(from as u64, length).unwrap(), expected, "{length} bytes from {from}");
            }
        }
    }
}
