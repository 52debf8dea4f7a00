//! The captures of this server, and a folder that keeps those that are its own.
//!
//! ```text
//! DATA/captures/5f2c41d09a77/log            the capture, as it was sent or recorded
//! DATA/captures/5f2c41d09a77/capture.json   its name, when it came, the hashes of its readers' tokens
//! DATA/captures/5f2c41d09a77/push.json      for one that an agent sends: the hash of its token, which segment comes in
//! DATA/captures/.5f2c41d09a77.part/         one on its way here; renamed when it is whole
//! ```
//! A capture's folder appears, and its JSON changes, by a rename: whoever looks sees the old state or the new one. A file that
//! is opened from its own place is not copied, and its tokens live as long as the server.

use crate::capture::{Capture, CaptureId, Growth};
use crate::push::Pushed;
use crate::token::{Token, TokenHash};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// An upload that was left half done by a killed server is removed when it is older than this.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// The captures of this server.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    entries: RwLock<BTreeMap<CaptureId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    capture: Arc<Capture>,
    readers: Vec<TokenHash>,
    /// Whether it lies in the store's own folder.
    kept: bool,
    /// Where an agent sends it, for one that is pushed.
    pushed: Option<Arc<Pushed>>,
}

/// `capture.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    name: String,
    created_ns: i64,
    readers: Vec<TokenHash>,
}

/// A place in the store's folder for a log that is about to be recorded.
#[derive(Debug)]
pub struct Reserved {
    /// What it will be called in links.
    pub id: CaptureId,
    /// Where to write it.
    pub log: PathBuf,
    name: String,
}

impl Store {
    /// Opens the folder, making it where it is missing, with every capture that is kept in it.
    ///
    /// # Errors
    /// When the folder cannot be made or read. A capture in it that cannot be read is left out and told.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let captures = folder.join("captures");
        make_private(&captures)?;
        let mut entries = BTreeMap::new();
        for item in std::fs::read_dir(&captures)? {
            let item = item?;
            let file_name = item.file_name();
            let Some(file_name) = file_name.to_str() else { continue };
            if file_name.starts_with('.') && file_name.ends_with(".part") {
                discard_stale(&item.path());
                continue;
            }
            let Some(id) = CaptureId::parse(file_name) else { continue };
            match read_kept(&item.path(), &id) {
                Ok(entry) => drop(entries.insert(id, entry)),
                Err(error) => tracing::warn!("{} is left out: {error}", item.path().display()),
            }
        }
        Ok(Self { folder: folder.to_owned(), entries: RwLock::new(entries) })
    }

    /// Shows a finished file from its own place, without copying it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn add_file(&self, name: &str, path: &Path) -> io::Result<CaptureId> {
        self.add_files(name, &[path.to_owned()])
    }

    /// Shows finished files, which are one log when put one after the other, from their own places.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn add_files(&self, name: &str, paths: &[PathBuf]) -> io::Result<CaptureId> {
        let id = CaptureId::random()?;
        let capture = Capture::finished(id.clone(), name.to_owned(), paths, now_ns())?;
        self.insert(capture, Vec::new(), false);
        Ok(id)
    }

    /// Shows a log that is being written at a place of its own.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn add_live(&self, name: &str, path: &Path, growth: watch::Receiver<Growth>) -> io::Result<CaptureId> {
        let id = CaptureId::random()?;
        self.insert(Capture::live(id.clone(), name.to_owned(), path, now_ns(), growth), Vec::new(), false);
        Ok(id)
    }

    /// Makes room for a log that is to be recorded into the store's folder. It outlives this server.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn reserve(&self, name: &str) -> io::Result<Reserved> {
        let id = CaptureId::random()?;
        let home = self.home(&id);
        make_private(&home)?;
        Ok(Reserved { id, log: home.join("log"), name: name.to_owned() })
    }

    /// Shows the log for which room was made, now that it is being written.
    ///
    /// # Errors
    /// When its JSON cannot be written.
    pub fn begin(&self, reserved: Reserved, growth: watch::Receiver<Growth>) -> io::Result<CaptureId> {
        let id = reserved.id;
        let created_ns = now_ns();
        write_kept(&self.home(&id), &Kept { version: 1, name: reserved.name.clone(), created_ns, readers: Vec::new() })?;
        self.insert(Capture::live(id.clone(), reserved.name, &reserved.log, created_ns, growth), Vec::new(), true);
        Ok(id)
    }

    /// Makes room for a capture that an agent sends; the token lets it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn begin_push(&self, name: &str) -> io::Result<(CaptureId, Token)> {
        let Reserved { id, log, name } = self.reserve(name)?;
        let home = self.home(&id);
        let (pushed, token) = Pushed::create(&home)?;
        let created_ns = now_ns();
        write_kept(&home, &Kept { version: 1, name: name.clone(), created_ns, readers: Vec::new() })?;
        sync_folder(&self.folder.join("captures"))?;
        let capture = Arc::new(Capture::live(id.clone(), name, &log, created_ns, pushed.growth()));
        let entry = Entry { capture, readers: Vec::new(), kept: true, pushed: Some(Arc::new(pushed)) };
        self.write().insert(id.clone(), entry);
        Ok((id, token))
    }

    /// Where the capture `id` is sent to by whoever bears this token.
    pub(crate) fn pushed(&self, id: &CaptureId, presented: &TokenHash) -> Option<(Arc<Capture>, Arc<Pushed>)> {
        let entries = self.read();
        let entry = entries.get(id)?;
        let pushed = entry.pushed.as_ref().filter(|pushed| pushed.is_opened_by(presented))?;
        Some((Arc::clone(&entry.capture), Arc::clone(pushed)))
    }

    /// Where an upload is written until it is whole.
    pub(crate) fn part(&self, id: &CaptureId) -> io::Result<PathBuf> {
        let part = self.folder.join("captures").join(format!(".{id}.part"));
        make_private(&part)?;
        Ok(part)
    }

    /// Takes over an upload that is whole, with a reader's token.
    pub(crate) fn take(&self, id: CaptureId, name: &str, part: &Path) -> io::Result<Token> {
        let token = Token::random()?;
        let created_ns = now_ns();
        let readers = vec![token.hash()];
        write_kept(part, &Kept { version: 1, name: name.to_owned(), created_ns, readers: readers.clone() })?;
        let home = self.home(&id);
        std::fs::rename(part, &home)?;
        sync_folder(&self.folder.join("captures"))?;
        self.insert(Capture::finished(id, name.to_owned(), &[home.join("log")], created_ns)?, readers, true);
        Ok(token)
    }

    /// One capture.
    pub fn get(&self, id: &CaptureId) -> Option<Arc<Capture>> {
        self.read().get(id).map(|entry| Arc::clone(&entry.capture))
    }

    /// All captures, the newest first.
    pub fn all(&self) -> Vec<Arc<Capture>> {
        let mut all: Vec<_> = self.read().values().map(|entry| Arc::clone(&entry.capture)).collect();
        all.sort_by(|a, b| b.created_ns.cmp(&a.created_ns).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// Which capture a reader's token opens.
    pub fn opened_by(&self, presented: &TokenHash) -> Option<CaptureId> {
        let entries = self.read();
        let mut found = None;
        for (id, entry) in entries.iter() {
            for reader in &entry.readers {
                if reader.matches(presented) {
                    found = Some(id.clone());
                }
            }
        }
        found
    }

    /// A new reader's token for a capture; `None` when there is no such capture.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn share(&self, id: &CaptureId) -> io::Result<Option<Token>> {
        let mut entries = self.write();
        let Some(entry) = entries.get_mut(id) else { return Ok(None) };
        let token = Token::random()?;
        let mut readers = entry.readers.clone();
        readers.push(token.hash());
        if entry.kept {
            let (name, created_ns) = (entry.capture.name.clone(), entry.capture.created_ns);
            write_kept(&self.home(id), &Kept { version: 1, name, created_ns, readers: readers.clone() })?;
        }
        entry.readers = readers;
        Ok(Some(token))
    }

    /// Forgets a capture and its tokens, and deletes it where it is the store's own. False when there is none.
    ///
    /// # Errors
    /// When it cannot be deleted; it is forgotten all the same.
    pub fn remove(&self, id: &CaptureId) -> io::Result<bool> {
        let Some(entry) = self.write().remove(id) else { return Ok(false) };
        if entry.kept {
            // Renamed first: what a crash leaves behind is then told from a capture.
            let doomed = self.folder.join("captures").join(format!(".{id}.part"));
            std::fs::rename(self.home(id), &doomed)?;
            std::fs::remove_dir_all(doomed)?;
        }
        Ok(true)
    }

    fn insert(&self, capture: Capture, readers: Vec<TokenHash>, kept: bool) {
        let id = capture.id.clone();
        self.write().insert(id, Entry { capture: Arc::new(capture), readers, kept, pushed: None });
    }

    fn home(&self, id: &CaptureId) -> PathBuf {
        self.folder.join("captures").join(id.as_str())
    }

    // A panic while the lock was held leaves the map as it was before or after one insertion: both are good.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<CaptureId, Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<CaptureId, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_kept(home: &Path, id: &CaptureId) -> io::Result<Entry> {
    let kept: Kept = serde_json::from_slice(&std::fs::read(home.join("capture.json"))?).map_err(io::Error::other)?;
    let (log, pushed) = (home.join("log"), Pushed::open(home)?.map(Arc::new));
    let capture = match &pushed {
        Some(pushed) => Capture::live(id.clone(), kept.name, &log, kept.created_ns, pushed.growth()),
        None => Capture::finished(id.clone(), kept.name, &[log], kept.created_ns)?,
    };
    Ok(Entry { capture: Arc::new(capture), readers: kept.readers, kept: true, pushed })
}

/// Writes `capture.json` beside itself first and then into its place.
fn write_kept(home: &Path, kept: &Kept) -> io::Result<()> {
    let (new, place) = (home.join("capture.json.new"), home.join("capture.json"));
    let mut file = std::fs::File::create(&new)?;
    io::Write::write_all(&mut file, &serde_json::to_vec_pretty(kept).map_err(io::Error::other)?)?;
    file.sync_all()?;
    std::fs::rename(new, place)?;
    sync_folder(home)
}

/// Captures hold what people sent over the network: the folder is for its owner alone.
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A rename survives a power cut only once its folder is on disk.
fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

fn discard_stale(part: &Path) {
    let age = std::fs::metadata(part).and_then(|meta| meta.modified()).map(|at| at.elapsed().unwrap_or_default());
    if age.is_ok_and(|age| age > STALE)
        && let Err(error) = std::fs::remove_dir_all(part)
    {
        tracing::warn!("{}, left by an upload that was broken off, cannot be removed: {error}", part.display());
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_again_after_a_restart_with_its_readers() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let reserved = store.reserve("eth0").unwrap();
        std::fs::write(&reserved.log, b"\x0a\x0d\x0d\x0a and so on").unwrap();
        let (tell, growth) = watch::channel(Growth::default());
        let id = store.begin(reserved, growth).unwrap();
        assert!(store.get(&id).unwrap().is_live());
        let token = store.share(&id).unwrap().unwrap();
        drop((tell, store));

        let store = Store::open(folder.path()).unwrap();
        let capture = store.get(&id).unwrap();
        assert_eq!((capture.name.as_str(), capture.grown().bytes, capture.is_live()), ("eth0", 14, false));
        assert_eq!(store.opened_by(&token.hash()), Some(id.clone()));
        assert_eq!(store.opened_by(&TokenHash::of("something else")), None);

        assert!(store.remove(&id).unwrap());
        assert_eq!(std::fs::read_dir(folder.path().join("captures")).unwrap().count(), 0);
        assert_eq!(store.opened_by(&token.hash()), None);
    }

    #[test]
    fn a_file_from_elsewhere_is_forgotten_but_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pcap");
        std::fs::write(&file, b"\xd4\xc3\xb2\xa1").unwrap();
        let store = Store::open(&folder.path().join("data")).unwrap();
        let id = store.add_file("a.pcap", &file).unwrap();
        assert!(store.remove(&id).unwrap());
        assert!(!store.remove(&id).unwrap());
        assert!(file.exists());
    }

    #[test]
    fn a_damaged_capture_does_not_keep_the_others_from_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        let broken = folder.path().join("captures/0123456789ab");
        std::fs::create_dir_all(&broken).unwrap();
        std::fs::write(broken.join("capture.json"), "{").unwrap();
        assert!(Store::open(folder.path()).unwrap().all().is_empty());
        assert!(broken.exists());
    }
}
