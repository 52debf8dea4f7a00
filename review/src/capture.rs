//! A capture on this server: a file that may still grow.

use crate::files::Files;
use crate::name::clean;
use serde::{Deserialize, Serialize};
use std::fmt;
use tokio::sync::watch;

/// A capture's name in links: 12 hexadecimal digits. Not a secret; the token beside it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaptureId(String);

impl CaptureId {
    /// A new one.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; 6];
        getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The id that `text` is, which names a folder on disk: nothing but hexadecimal digits may get there.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 12 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The id as it stands in a link.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<CaptureId> for String {
    fn from(id: CaptureId) -> Self {
        id.0
    }
}

impl TryFrom<String> for CaptureId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a capture's id"))
    }
}

/// How far a capture has been written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Bytes that stand in the file, whole blocks; what comes after them is not to be read yet.
    pub bytes: u64,
    /// Why nothing more will come, as a full sentence; `None` while it is being written.
    pub ended: Option<String>,
}

/// A capture.
#[derive(Debug)]
pub struct Capture {
    /// Its name in links.
    pub id: CaptureId,
    /// Its name for people: a file's or an interface's.
    pub name: String,
    /// Where its bytes are.
    pub(crate) files: Files,
    /// When it came here, nanoseconds since the Unix epoch.
    pub created_ns: i64,
    /// What its first bytes say it is.
    pub format: Format,
    growth: watch::Receiver<Growth>,
}

impl Capture {
    /// Files that nobody writes any more, `bytes` in all: one, or the segments of one log in their order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn finished(id: CaptureId, name: String, files: Files, bytes: u64, created_ns: i64) -> std::io::Result<Self> {
        let format = Format::of(&files.open()?.read_at(0, 4)?);
        let ended = Some("This is all of the file.".to_owned());
        // The sender is gone at once: `changed` then never fires, and the value stays readable.
        let (_, growth) = watch::channel(Growth { bytes, ended });
        Ok(Self { id, name: clean(&name), files, created_ns, format, growth })
    }

    /// A pcapng log that is being written; whoever writes it tells by `growth` how far it is on disk.
    pub(crate) fn live(id: CaptureId, name: String, files: Files, created_ns: i64, growth: watch::Receiver<Growth>) -> Self {
        Self { id, name: clean(&name), files, created_ns, format: Format::PcapNg, growth }
    }

    /// How far it is now.
    pub fn grown(&self) -> Growth {
        self.growth.borrow().clone()
    }

    /// Tells when it grows or ends.
    pub fn growth(&self) -> watch::Receiver<Growth> {
        self.growth.clone()
    }

    /// Whether more may come: nobody said it ended, and whoever writes it is still there.
    pub fn is_live(&self) -> bool {
        self.growth.borrow().ended.is_none() && self.growth.has_changed().is_ok()
    }
}

/// What a file is by its first four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// pcapng.
    PcapNg,
    /// pcap in any of its variants and byte orders.
    Pcap,
    /// gzip, hopefully with one of the others inside.
    Gzip,
    /// Zstandard, likewise.
    Zstd,
    /// LZ4 frames, likewise.
    Lz4,
    /// None of these.
    Unknown,
}

impl Format {
    /// What a file that begins with `bytes` is; four bytes are enough.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x0a, 0x0d, 0x0d, 0x0a, ..] => Self::PcapNg,
            // Microseconds, nanoseconds, the modified variant; big-endian, then little-endian.
            [0xa1, 0xb2, 0xc3, 0xd4, ..] | [0xa1, 0xb2, 0x3c, 0x4d, ..] | [0xa1, 0xb2, 0xcd, 0x34, ..] => Self::Pcap,
            [0xd4, 0xc3, 0xb2, 0xa1, ..] | [0x4d, 0x3c, 0xb2, 0xa1, ..] | [0x34, 0xcd, 0xb2, 0xa1, ..] => Self::Pcap,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            _ => Self::Unknown,
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::PcapNg => "application/x-pcapng",
            Self::Pcap => "application/vnd.tcpdump.pcap",
            Self::Gzip => "application/gzip",
            Self::Zstd => "application/zstd",
            Self::Lz4 => "application/x-lz4",
            Self::Unknown => "application/octet-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_the_page_reads_can_be_uploaded() {
        let heads = [[0x1f, 0x8b, 8, 0], [0x28, 0xb5, 0x2f, 0xfd], [0x04, 0x22, 0x4d, 0x18], [0x0a, 0x0d, 0x0d, 0x0a]];
        assert_eq!(heads.map(|head| Format::of(&head)), [Format::Gzip, Format::Zstd, Format::Lz4, Format::PcapNg]);
        assert_eq!(Format::of(b"PK\x03\x04"), Format::Unknown);
    }

    #[test]
    fn an_id_that_could_leave_its_folder_is_no_id() {
        for text in ["", "..", "../../etc/pw", "5F2C41D09A77", "5f2c41d09a7", "5f2c41d09a77/", "5f2c41d09a7é"] {
            assert_eq!(CaptureId::parse(text), None, "{text}");
        }
        let id = CaptureId::random().unwrap();
        assert_eq!(CaptureId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn a_capture_whose_writer_vanished_is_no_longer_live() {
        let (tell, growth) = watch::channel(Growth::default());
        let files = Files::held(tempfile::tempfile().unwrap());
        let capture = Capture::live(CaptureId::random().unwrap(), "eth0".into(), files, 0, growth);
        assert!(capture.is_live());
        drop(tell);
        assert!(!capture.is_live());
    }
}
