//! The captures of this server, and a folder that keeps those that are its own.
//!
//! ```text
//! DATA/captures/5f2c41d09a77/log            the capture, as it was sent or recorded
//! DATA/captures/5f2c41d09a77/capture.json   its name, when it came, the hashes of its readers' tokens
//! DATA/captures/5f2c41d09a77/push.json      for one that an agent sends: the hash of its token, which segment comes in
//! DATA/captures/.5f2c41d09a77.part/         one on its way here, renamed when it is whole; or one that is being deleted
//! DATA/captures/tokens.json                 hashes of the tokens that may begin pushes, and of those that were revoked
//! ```
//! A capture's folder appears, and its JSON changes, by a rename: whoever looks sees the old state or the new one. A file that
//! is opened from its own place is not copied, and its tokens live as long as the server. Everything in the folder is reached
//! through [`Folder`]: somebody else may own it, and have put links there.
//!
//! Two servers that keep the same captures would overwrite each other's tokens and bytes. So the one that comes first locks the
//! folder `captures` and with it all that is in there. Another one is refused, or works beside it (`Store::open_beside`): it shows
//! no kept captures, and locks the folder of each that it makes, which the first leaves alone until that is given up.

use crate::Rights;
use crate::capture::{Capture, CaptureId, Growth};
use crate::files::Files;
use crate::folder::Folder;
use crate::lock::{self, Locked};
use crate::push::Pushed;
use crate::token::{Token, TokenHash};
use crate::tokens::{Listed, Tokens};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What `capture.json` and `push.json` hold at most: some thousand readers.
pub(crate) const LARGEST_JSON: u64 = 1 << 20;
/// A capture's bytes in its folder.
pub const LOG: &str = "log";

/// The captures of this server.
#[derive(Debug)]
pub struct Store {
    /// `DATA/captures`.
    captures: Folder,
    entries: RwLock<BTreeMap<CaptureId, Entry>>,
    tokens: Mutex<Tokens>,
    /// Raised whenever a token or a capture is gone.
    revocations: watch::Sender<u64>,
    /// Who has the folder, where this is not the first that uses it.
    beside: Option<String>,
    _lock: Option<Locked>,
}

#[derive(Debug)]
struct Entry {
    capture: Arc<Capture>,
    readers: Vec<TokenHash>,
    /// Whether it lies in the store's own folder.
    kept: bool,
    /// Where an agent sends it, for one that is pushed.
    pushed: Option<Arc<Pushed>>,
    /// Held by a store that is not the first in its folder.
    _lock: Option<Locked>,
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
    /// Its folder.
    pub home: Folder,
    name: String,
    lock: Option<Locked>,
}

impl Store {
    /// Opens the folder, making it where it is missing, with every capture that is kept in it.
    ///
    /// # Errors
    /// When the folder cannot be made or read, or another process uses it. A capture in it that cannot be read is left out, and a
    /// warning says so.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let store = Self::open_beside(folder)?;
        match &store.beside {
            None => Ok(store),
            Some(holder) => Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{holder} uses it already"))),
        }
    }

    /// The same, but where another process uses the folder, this one shows none of its captures and only adds to them.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open_beside(folder: &Path) -> io::Result<Self> {
        let captures = Folder::make(folder)?.make_subfolder("captures")?;
        let (lock, beside) = match lock::take(&captures)? {
            Ok(lock) => (Some(lock), None),
            Err(holder) => (None, Some(holder)),
        };
        let (entries, tokens) = match lock {
            Some(_) => (read_all(&captures)?, Tokens::read(&captures)?),
            None => (BTreeMap::new(), Tokens::default()),
        };
        Ok(Self {
            captures,
            entries: RwLock::new(entries),
            tokens: Mutex::new(tokens),
            revocations: watch::channel(0).0,
            beside,
            _lock: lock,
        })
    }

    /// Who uses the folder, where another process was first (`dropscope serve, process 4711`).
    pub fn beside(&self) -> Option<&str> {
        self.beside.as_deref()
    }

    /// Shows a finished file from its own place, without copying it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn add_file(&self, name: &str, path: &Path) -> io::Result<CaptureId> {
        self.add_files(name, vec![(open_named(path)?, 0)])
    }

    /// Shows finished files, which are one log when put one after the other, each without so many bytes at its beginning. They stay open, so that they may lie where this
    /// process no longer gets.
    ///
    /// # Errors
    /// When one of them cannot be read, or is no regular file.
    pub fn add_files(&self, name: &str, files: Vec<(File, u64)>) -> io::Result<CaptureId> {
        let id = CaptureId::random()?;
        let (files, bytes) = Files::all(files)?;
        let capture = Capture::finished(id.clone(), name.to_owned(), files, bytes, now_ns())?;
        self.insert(capture, Vec::new(), None, false);
        Ok(id)
    }

    /// Shows a log that is being written at a place of its own, by a file that is open for reading.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn add_live(&self, name: &str, log: File, growth: watch::Receiver<Growth>) -> io::Result<CaptureId> {
        let id = CaptureId::random()?;
        self.insert(Capture::live(id.clone(), name.to_owned(), Files::held(log), now_ns(), growth), Vec::new(), None, false);
        Ok(id)
    }

    /// Makes room for a log that is to be recorded into the store's folder. It outlives this server.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn reserve(&self, name: &str) -> io::Result<Reserved> {
        let id = CaptureId::random()?;
        let (home, lock) = self.make_own(id.as_str())?;
        Ok(Reserved { id, home, name: name.to_owned(), lock })
    }

    /// Shows the log for which room was made, now that it is being written.
    ///
    /// # Errors
    /// When its JSON cannot be written.
    pub fn begin(&self, reserved: Reserved, growth: watch::Receiver<Growth>) -> io::Result<CaptureId> {
        let Reserved { id, home, name, lock } = reserved;
        let created_ns = now_ns();
        write_kept(&home, &Kept { version: 1, name: name.clone(), created_ns, readers: Vec::new() })?;
        self.insert(Capture::live(id.clone(), name, Files::one(&home, LOG), created_ns, growth), Vec::new(), lock, true);
        Ok(id)
    }

    /// Makes room for a capture that an agent sends; the token lets it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn begin_push(&self, name: &str) -> io::Result<(CaptureId, Token)> {
        let Reserved { id, home, name, lock } = self.reserve(name)?;
        let (pushed, token) = Pushed::create(&home)?;
        let created_ns = now_ns();
        write_kept(&home, &Kept { version: 1, name: name.clone(), created_ns, readers: Vec::new() })?;
        self.captures.sync()?;
        let capture = Arc::new(Capture::live(id.clone(), name, Files::one(&home, LOG), created_ns, pushed.growth()));
        let entry = Entry { capture, readers: Vec::new(), kept: true, pushed: Some(Arc::new(pushed)), _lock: lock };
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
    pub(crate) fn part(&self, id: &CaptureId) -> io::Result<(Folder, Option<Locked>)> {
        self.make_own(&part_name(id))
    }

    /// Removes what is there of an upload that failed.
    pub(crate) fn remove_part(&self, id: &CaptureId) -> io::Result<()> {
        self.captures.remove_subfolder(&part_name(id))
    }

    /// Takes over an upload that is whole, with a reader's token.
    pub(crate) fn take(&self, id: CaptureId, name: &str, part: &Folder, lock: Option<Locked>) -> io::Result<Token> {
        let token = Token::random()?;
        let created_ns = now_ns();
        let readers = vec![token.hash()];
        write_kept(part, &Kept { version: 1, name: name.to_owned(), created_ns, readers: readers.clone() })?;
        self.captures.rename(&part_name(&id), id.as_str())?;
        self.captures.sync()?;
        let home = self.captures.subfolder(id.as_str())?;
        self.insert(finished(&home, id, name.to_owned(), created_ns)?, readers, lock, true);
        Ok(token)
    }

    /// Whether it is an agent that sends the capture `id`.
    pub(crate) fn is_pushed(&self, id: &CaptureId) -> bool {
        self.read().get(id).is_some_and(|entry| entry.pushed.is_some())
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

    /// What a token allows that is kept here.
    pub(crate) fn rights_of(&self, presented: &TokenHash) -> Option<Rights> {
        let mut found = None;
        for (id, entry) in self.read().iter() {
            if entry.readers.iter().any(|reader| reader.matches(presented)) {
                found = Some(Rights::Reader(id.clone()));
            }
            if entry.pushed.as_ref().is_some_and(|pushed| pushed.is_opened_by(presented)) {
                found = Some(Rights::Agent(id.clone()));
            }
        }
        found.or_else(|| self.tokens().may_push(presented).then_some(Rights::Pusher))
    }

    /// Whether this is a token that was revoked, or that of a pushed capture that was deleted.
    pub(crate) fn is_gone(&self, presented: &TokenHash) -> bool {
        self.tokens().is_gone(presented)
    }

    /// Hears of each token and each capture that is gone.
    pub(crate) fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    /// All tokens but the owner's, by what they are for.
    pub(crate) fn list_tokens(&self) -> Vec<Listed> {
        let mut all = self.tokens().listed();
        for (id, entry) in self.read().iter() {
            let of_capture = |kind, hash: &TokenHash| Listed {
                id: hash.id(),
                kind,
                name: entry.capture.name.clone(),
                capture: Some(id.clone()),
                created_ns: None,
            };
            all.extend(entry.pushed.iter().map(|pushed| of_capture("agent", pushed.token())));
            all.extend(entry.readers.iter().map(|reader| of_capture("reader", reader)));
        }
        all
    }

    /// A new token that may begin pushes.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn add_push_token(&self, name: &str) -> io::Result<Token> {
        let token = Token::random()?;
        let mut tokens = self.tokens();
        let added = tokens.with(name, token.hash(), now_ns());
        self.keep_tokens(&added)?;
        *tokens = added;
        Ok(token)
    }

    /// Has a token no longer be one, by what the list calls it. False when there is none. What is open by it is cut.
    ///
    /// # Errors
    /// When that cannot be kept; the token stays valid then.
    pub(crate) fn revoke(&self, id: &str) -> io::Result<bool> {
        let Some(one) = self.list_tokens().into_iter().find(|one| one.id == id) else { return Ok(false) };
        match (one.kind, one.capture) {
            ("reader", Some(capture)) => {
                let mut entries = self.write();
                let Some(entry) = entries.get_mut(&capture) else { return Ok(false) };
                let (revoked, left) = entry.readers.iter().partition(|reader| reader.id() == id);
                self.keep_readers(&capture, entry, left)?;
                let revoked: Vec<TokenHash> = revoked;
                revoked.into_iter().try_for_each(|hash| self.bury(hash))?;
            }
            ("agent", Some(capture)) => {
                let pushed = self.read().get(&capture).and_then(|entry| entry.pushed.clone());
                let Some(pushed) = pushed else { return Ok(false) };
                self.bury(*pushed.token())?;
                pushed.revoke("The agent's token was revoked.");
            }
            _ => {
                let mut tokens = self.tokens();
                let left = tokens.without(id);
                self.keep_tokens(&left)?;
                *tokens = left;
            }
        }
        self.revocations.send_modify(|count| *count += 1);
        Ok(true)
    }

    /// Remembers a token as revoked.
    fn bury(&self, hash: TokenHash) -> io::Result<()> {
        let mut tokens = self.tokens();
        let buried = tokens.with_gone(hash);
        self.keep_tokens(&buried)?;
        *tokens = buried;
        Ok(())
    }

    /// Only the first in a folder writes there what is known of tokens.
    fn keep_tokens(&self, tokens: &Tokens) -> io::Result<()> {
        if self.beside.is_some() { Ok(()) } else { tokens.write(&self.captures) }
    }

    fn keep_readers(&self, id: &CaptureId, entry: &mut Entry, readers: Vec<TokenHash>) -> io::Result<()> {
        if entry.kept {
            let (name, created_ns) = (entry.capture.name.clone(), entry.capture.created_ns);
            write_kept(&self.captures.subfolder(id.as_str())?, &Kept { version: 1, name, created_ns, readers: readers.clone() })?;
        }
        entry.readers = readers;
        Ok(())
    }

    /// A new reader's token for a capture; `None` when there is no such capture.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn share(&self, id: &CaptureId) -> io::Result<Option<Token>> {
        let mut entries = self.write();
        let Some(entry) = entries.get_mut(id) else { return Ok(None) };
        let token = Token::random()?;
        let readers = [&entry.readers[..], &[token.hash()]].concat();
        self.keep_readers(id, entry, readers)?;
        Ok(Some(token))
    }

    /// Forgets a capture and its tokens, and deletes it where it is the store's own. False when there is none. Whoever reads it
    /// is cut, and an agent that sends it is told that it is gone.
    ///
    /// # Errors
    /// When it cannot be deleted. It is forgotten all the same, except where the agent's token cannot be revoked.
    pub fn remove(&self, id: &CaptureId) -> io::Result<bool> {
        let pushed = self.read().get(id).and_then(|entry| entry.pushed.clone());
        if let Some(pushed) = &pushed {
            self.bury(*pushed.token())?;
        }
        let removed = self.forget(id);
        // Last, so that viewers hear of the deletion and not of an end.
        if let Some(pushed) = pushed {
            pushed.revoke("The capture was deleted.");
        }
        removed
    }

    /// The same, but the agent's token is not remembered as revoked: an agent that comes with it begins anew.
    pub(crate) fn forget(&self, id: &CaptureId) -> io::Result<bool> {
        let Some(entry) = self.write().remove(id) else { return Ok(false) };
        self.revocations.send_modify(|count| *count += 1);
        if entry.kept {
            // Renamed first: what a crash leaves behind is then told from a capture.
            let doomed = part_name(id);
            self.captures.rename(id.as_str(), &doomed)?;
            self.captures.remove_subfolder(&doomed)?;
        }
        Ok(true)
    }

    fn insert(&self, capture: Capture, readers: Vec<TokenHash>, lock: Option<Locked>, kept: bool) {
        let id = capture.id.clone();
        self.write().insert(id, Entry { capture: Arc::new(capture), readers, kept, pushed: None, _lock: lock });
    }

    /// Makes a folder that this store writes into, locked where the lock of all of them is another's.
    fn make_own(&self, name: &str) -> io::Result<(Folder, Option<Locked>)> {
        let folder = self.captures.make_subfolder(name)?;
        if self.beside.is_none() {
            return Ok((folder, None));
        }
        match lock::take(&folder)? {
            Ok(lock) => Ok((folder, Some(lock))),
            Err(holder) => Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{holder} has taken it"))),
        }
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A panic while the lock was held leaves the map as it was before or after one insertion: both are good.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<CaptureId, Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<CaptureId, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a file that whoever runs the command named, to read it. A FIFO is not waited for.
///
/// # Errors
/// When it cannot be opened.
pub fn open_named(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(path)
}

fn part_name(id: &CaptureId) -> String {
    format!(".{id}.part")
}

/// Every capture that is kept in a folder which this process has locked.
fn read_all(captures: &Folder) -> io::Result<BTreeMap<CaptureId, Entry>> {
    let mut entries = BTreeMap::new();
    for name in captures.names()? {
        let is_part = name.starts_with('.') && name.ends_with(".part");
        let id = CaptureId::parse(&name);
        if !is_part && id.is_none() {
            continue;
        }
        let done = captures.subfolder(&name).and_then(|home| match (lock::take(&home)?, id) {
            (Err(holder), _) => {
                tracing::info!("{} is left to {holder}", captures.at(&name).display());
                Ok(())
            }
            // Of an upload, or a deletion, that was broken off with the process that did it.
            (Ok(_), None) => captures.remove_subfolder(&name),
            (Ok(_), Some(id)) => read_kept(&home, &id).map(|entry| drop(entries.insert(id, entry))),
        });
        if let Err(error) = done {
            tracing::warn!("{} is left as it is: {error}", captures.at(&name).display());
        }
    }
    Ok(entries)
}

fn read_kept(home: &Folder, id: &CaptureId) -> io::Result<Entry> {
    let kept: Kept = serde_json::from_slice(&home.read("capture.json", LARGEST_JSON)?).map_err(io::Error::other)?;
    let pushed = Pushed::open(home)?.map(Arc::new);
    let capture = match &pushed {
        Some(pushed) => Capture::live(id.clone(), kept.name, Files::one(home, LOG), kept.created_ns, pushed.growth()),
        None => finished(home, id.clone(), kept.name, kept.created_ns)?,
    };
    Ok(Entry { capture: Arc::new(capture), readers: kept.readers, kept: true, pushed, _lock: None })
}

/// A whole capture in its folder.
fn finished(home: &Folder, id: CaptureId, name: String, created_ns: i64) -> io::Result<Capture> {
    let bytes = home.open_file(LOG)?.metadata()?.len();
    Capture::finished(id, name, Files::one(home, LOG), bytes, created_ns)
}

fn write_kept(home: &Folder, kept: &Kept) -> io::Result<()> {
    home.replace_file("capture.json", &serde_json::to_vec_pretty(kept).map_err(io::Error::other)?)
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn what_is_kept_is_there_again_after_a_restart_with_its_readers() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let reserved = store.reserve("eth0").unwrap();
        std::fs::write(reserved.home.at(LOG), b"\x0a\x0d\x0d\x0a and so on").unwrap();
        let (tell, growth) = watch::channel(Growth::default());
        let id = store.begin(reserved, growth).unwrap();
        assert!(store.get(&id).unwrap().is_live());
        let token = store.share(&id).unwrap().unwrap();
        drop((tell, store));

        let store = Store::open(folder.path()).unwrap();
        let capture = store.get(&id).unwrap();
        assert_eq!((capture.name.as_str(), capture.grown().bytes, capture.is_live()), ("eth0", 14, false));
        assert_eq!(store.rights_of(&token.hash()), Some(Rights::Reader(id.clone())));
        assert_eq!(store.rights_of(&TokenHash::of("something else")), None);

        assert!(store.remove(&id).unwrap());
        assert_eq!(std::fs::read_dir(folder.path().join("captures")).unwrap().count(), 0);
        assert_eq!(store.rights_of(&token.hash()), None);
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

    /// A store with one capture in it, and a secret beside it that no name may lead to.
    fn with_secret() -> (tempfile::TempDir, CaptureId, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(&place.path().join("data")).unwrap();
        let reserved = store.reserve("eth0").unwrap();
        std::fs::write(reserved.home.at(LOG), b"\x0a\x0d\x0d\x0a and so on").unwrap();
        let id = store.begin(reserved, watch::channel(Growth::default()).1).unwrap();
        let secret = place.path().join("secret");
        std::fs::write(&secret, "root:$6$").unwrap();
        (place, id, secret)
    }

    #[test]
    fn a_capture_in_which_a_link_was_planted_is_left_out() {
        for name in [LOG, "capture.json", "push.json"] {
            let (place, id, secret) = with_secret();
            let path = place.path().join("data/captures").join(id.as_str()).join(name);
            // What it leads to is as good as the file that was there.
            let _ = std::fs::rename(&path, &secret);
            std::os::unix::fs::symlink(&secret, &path).unwrap();
            assert!(Store::open(&place.path().join("data")).unwrap().all().is_empty(), "{name}");
        }
        let (place, id, _) = with_secret();
        let captures = place.path().join("data/captures");
        std::fs::rename(captures.join(id.as_str()), place.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(place.path().join("elsewhere"), captures.join(id.as_str())).unwrap();
        assert!(Store::open(&place.path().join("data")).unwrap().all().is_empty(), "a capture's folder");
        std::fs::rename(&captures, place.path().join("other")).unwrap();
        std::os::unix::fs::symlink(place.path().join("other"), &captures).unwrap();
        assert!(Store::open(&place.path().join("data")).is_err(), "the folder of captures");
    }

    #[test]
    fn a_link_planted_where_something_is_written_is_not_written_through() {
        let (place, id, secret) = with_secret();
        let home = place.path().join("data/captures").join(id.as_str());
        std::os::unix::fs::symlink(&secret, home.join("capture.json.new")).unwrap();
        let store = Store::open(&place.path().join("data")).unwrap();
        store.share(&id).unwrap();
        let folder = store.captures.subfolder(id.as_str()).unwrap();
        std::fs::remove_file(home.join(LOG)).unwrap();
        std::os::unix::fs::symlink(&secret, home.join(LOG)).unwrap();
        assert!(Pushed::create(&folder).is_err(), "a log is made anew");
        std::fs::remove_file(home.join(LOG)).unwrap();
        std::os::unix::fs::symlink(&secret, home.join("push.json.new")).unwrap();
        Pushed::create(&folder).unwrap();
        let part = place.path().join("data/captures").join(part_name(&id));
        std::os::unix::fs::symlink(place.path(), &part).unwrap();
        assert!(store.part(&id).is_err() && store.remove_part(&id).is_err(), "an upload's folder");
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "root:$6$");
    }
}
