//! A folder that is used by descriptor: what lies below it may have been put there by somebody else.
//!
//! The path of the folder itself comes from whoever runs the command and is believed. Below it nothing is: a name is resolved
//! by the kernel without following a link and without leaving the folder (openat2(2), `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS`), what is opened must be a regular file or a folder of the user this process runs as, and a new file
//! takes no name that is in use (`O_EXCL`). A planted link is an error, never a way to another file.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// New files are readable by their owner alone: they hold packets and tokens.
const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
const FOLDER_MODE: Mode = Mode::S_IRWXU;

/// An open folder.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Opened with `O_PATH`: it names the folder and needs no right to list it.
    dir: Arc<File>,
    path: PathBuf,
}

/// What lies in a folder under a name; a link is a link.
#[derive(Clone, Copy, Debug)]
pub struct Entry(FileStat);

impl Folder {
    /// Opens the folder at a path that is believed.
    ///
    /// # Errors
    /// When there is none, or it cannot be reached.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = File::options().read(true).custom_flags(libc_flags(OFlag::O_PATH | OFlag::O_DIRECTORY)).open(path)?;
        Ok(Self { dir: Arc::new(dir), path: path.to_owned() })
    }

    /// Opens the folder at a path that is believed; makes it, and the folders above it, where they are missing.
    ///
    /// # Errors
    /// When it cannot be made or reached.
    pub fn make(path: &Path) -> io::Result<Self> {
        Self::make_missing(path).map(|(folder, _)| folder)
    }

    /// As [`make`](Self::make), with the folders that this call made, the uppermost first.
    ///
    /// # Errors
    /// When it cannot be made or reached.
    pub fn make_missing(path: &Path) -> io::Result<(Self, Vec<Self>)> {
        let path = std::path::absolute(path)?;
        let mut missing = Vec::new();
        let mut above = path.as_path();
        let mut folder = loop {
            match Self::open(above) {
                Ok(folder) => break folder,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let Some(Component::Normal(name)) = above.components().next_back() else {
                return Err(io::ErrorKind::NotFound.into());
            };
            missing.push(name);
            above = above.parent().ok_or(io::ErrorKind::NotFound)?;
        };
        let mut made = Vec::new();
        for name in missing.into_iter().rev() {
            let name = Path::new(name);
            let is_new = match mkdirat(&folder.dir, name, FOLDER_MODE) {
                Ok(()) => true,
                Err(Errno::EEXIST) => false,
                Err(error) => return Err(error.into()),
            };
            let next = folder.at(name);
            folder = Self { dir: Arc::new(folder.open_at(name, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty())?), path: next };
            if is_new {
                made.push(folder.clone());
            }
        }
        Ok((folder, made))
    }

    /// Where it was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where `name` lies, for messages.
    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// What the folder itself is.
    ///
    /// # Errors
    /// What the operating system answered.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.dir.metadata()
    }

    /// Gives this folder, and nothing in it, to a user. Only one that is this user's own and holds no more than `made`, which
    /// was made in it, is given away: whatever was done to its name since, nobody loses anything by that.
    ///
    /// # Errors
    /// When it is not such a folder, or the operating system refuses.
    pub fn give_to(&self, uid: u32, gid: u32, made: Option<&Self>) -> io::Result<()> {
        let folder = File::from(self.reopen()?);
        let name = made.and_then(|made| made.path.file_name());
        let holds_more = self.names()?.iter().any(|held| Some(OsStr::new(held)) != name);
        if folder.metadata()?.uid() != geteuid().as_raw() || holds_more {
            return Err(io::Error::other(format!("{} is not the folder that was just made", self.path.display())));
        }
        fchown(&folder, Some(uid), Some(gid))
    }

    /// The folder `name` in it.
    ///
    /// # Errors
    /// When there is none, it is a link, or another user's.
    pub fn subfolder(&self, name: &str) -> io::Result<Self> {
        let dir = self.open_at(Path::new(name), OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty())?;
        self.check_owner(name, &dir.metadata()?)?;
        Ok(Self { dir: Arc::new(dir), path: self.at(name) })
    }

    /// The folder `name` in it, made where it is missing.
    ///
    /// # Errors
    /// When it cannot be made, is a link, or another user's.
    pub fn make_subfolder(&self, name: &str) -> io::Result<Self> {
        match mkdirat(&self.dir, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EEXIST) => self.subfolder(name),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the file `name` for reading.
    ///
    /// # Errors
    /// When there is none, or it is no regular file of this user's.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        self.regular(name, OFlag::O_RDONLY)
    }

    /// Opens the file `name`, which has to be there, for reading and writing.
    ///
    /// # Errors
    /// When there is none, or it is no regular file of this user's.
    pub fn open_file_for_writing(&self, name: &str) -> io::Result<File> {
        self.regular(name, OFlag::O_RDWR)
    }

    /// Makes the file `name`, which must not be there, for reading and writing.
    ///
    /// # Errors
    /// When the name is in use, by a link too, or the file cannot be made.
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        self.open_at(Path::new(name), OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL, FILE_MODE)
    }

    /// All bytes of the file `name`, which holds at most `most`.
    ///
    /// # Errors
    /// When it cannot be read, or holds more.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(name)?.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::other(format!("{} is larger than {most} bytes", self.at(name).display())));
        }
        Ok(bytes)
    }

    /// Puts a file with these bytes in the place of `name`: whoever looks sees the old one or the new one, a power cut included.
    /// It is written as `name.new` first.
    ///
    /// # Errors
    /// When it cannot be written; the old one then stays.
    pub fn replace_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}.new");
        // One that a crash left, or somebody else put there: removed by its name, never opened.
        match self.remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = self.create_file(&new)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| self.rename(&new, name));
        written.inspect_err(|_| drop(self.remove_file(&new)))?;
        self.sync()
    }

    /// Gives what is called `from` the name `to`.
    ///
    /// # Errors
    /// What the operating system answered.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.dir, from, &self.dir, to)?)
    }

    /// Gives the file `name` a second name in another folder, the same one.
    ///
    /// # Errors
    /// What the operating system answered.
    pub fn link_into(&self, name: &str, other: &Self) -> io::Result<()> {
        // Without AT_SYMLINK_FOLLOW a link is linked, not what it points to.
        Ok(linkat(&self.dir, name, &other.dir, name, AtFlags::empty())?)
    }

    /// Removes the file, or the link, `name`.
    ///
    /// # Errors
    /// What the operating system answered.
    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Removes the folder `name` with the files in it; one that holds folders stays.
    ///
    /// # Errors
    /// What the operating system answered.
    pub fn remove_subfolder(&self, name: &str) -> io::Result<()> {
        let folder = self.subfolder(name)?;
        for file in folder.names()? {
            folder.remove_file(&file)?;
        }
        Ok(unlinkat(&self.dir, name, UnlinkatFlags::RemoveDir)?)
    }

    /// The names in it, sorted; those that are no UTF-8 are left out, for none of ours is such a one.
    ///
    /// # Errors
    /// What the operating system answered.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::from_fd(self.reopen()?)? {
            if let Ok(name) = entry?.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// What lies under `name`.
    ///
    /// # Errors
    /// When nothing does.
    pub fn entry(&self, name: &str) -> io::Result<Entry> {
        Ok(Entry(fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?))
    }

    /// How many bytes this user may still write on its disk.
    ///
    /// # Errors
    /// What the operating system answered.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let disk = fstatvfs(&*self.dir)?;
        Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
    }

    /// Puts the names in it on the disk: a rename survives a power cut only then.
    ///
    /// # Errors
    /// What the operating system answered.
    pub fn sync(&self) -> io::Result<()> {
        self.handle()?.sync_all()
    }

    /// The folder as a file, to lock it or to put it on the disk.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn handle(&self) -> io::Result<File> {
        self.reopen().map(File::from)
    }

    fn reopen(&self) -> io::Result<OwnedFd> {
        self.open_at(Path::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).map(OwnedFd::from)
    }

    fn regular(&self, name: &str, flags: OFlag) -> io::Result<File> {
        // Without O_NONBLOCK a FIFO would be waited for; of a regular file it changes nothing.
        let file = self.open_at(Path::new(name), flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, Mode::empty())?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other(format!("{} is no regular file", self.at(name).display())));
        }
        self.check_owner(name, &metadata)?;
        Ok(file)
    }

    fn check_owner(&self, name: &str, metadata: &Metadata) -> io::Result<()> {
        let own = geteuid().as_raw();
        if metadata.uid() == own {
            return Ok(());
        }
        let path = self.at(name);
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} belongs to the user {}, and this runs as the user {own}", path.display(), metadata.uid()),
        ))
    }

    fn open_at(&self, name: &Path, flags: OFlag, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlag::O_CLOEXEC;
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let opened = openat2(&self.dir, name, OpenHow::new().flags(flags).mode(mode).resolve(resolve));
        let opened = match opened {
            // Before Linux 5.6, and in sandboxes that do not know the call: one name has nothing but its last part.
            Err(Errno::ENOSYS) if is_one_name(name) => openat(&self.dir, name, flags | OFlag::O_NOFOLLOW, mode),
            opened => opened,
        };
        match opened {
            Ok(file) => Ok(File::from(file)),
            Err(Errno::ELOOP | Errno::EXDEV) => {
                let path = self.path.join(name);
                Err(io::Error::other(format!("{} is a link, which is not followed here", path.display())))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Entry {
    /// Whether it is a regular file of the user this process runs as.
    pub fn is_own_file(&self) -> bool {
        self.kind() == SFlag::S_IFREG && self.0.st_uid == geteuid().as_raw()
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind() == SFlag::S_IFDIR
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or_default()
    }

    /// How many names it has.
    pub fn names(&self) -> u64 {
        self.0.st_nlink
    }

    fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.0.st_mode & SFlag::S_IFMT.bits())
    }
}

fn is_one_name(name: &Path) -> bool {
    let mut parts = name.components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_) | Component::CurDir), None))
}

fn libc_flags(flags: OFlag) -> i32 {
    flags.bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// A folder with a secret beside it, which nothing below may reach.
    fn scene() -> (tempfile::TempDir, Folder, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let secret = place.path().join("secret");
        std::fs::write(&secret, "root:$6$").unwrap();
        let folder = Folder::make(&place.path().join("data")).unwrap();
        (place, folder, secret)
    }

    #[test]
    fn a_link_is_neither_read_nor_written_nor_made_anew() {
        let (place, folder, secret) = scene();
        for (name, target) in [("far", secret.clone()), ("near", "own".into()), ("up", "../secret".into())] {
            symlink(target, folder.at(name)).unwrap();
            for opened in [folder.open_file(name), folder.open_file_for_writing(name)] {
                let error = opened.unwrap_err().to_string();
                assert!(error.ends_with("is a link, which is not followed here"), "{name}: {error}");
            }
            assert_eq!(folder.create_file(name).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{name}");
        }
        assert!(folder.open_file("../secret").is_err(), "no name leaves the folder");
        symlink(place.path(), folder.at("elsewhere")).unwrap();
        assert!(folder.subfolder("elsewhere").is_err());
        assert!(folder.make_subfolder("elsewhere").is_err());
        assert_eq!(std::fs::read_to_string(secret).unwrap(), "root:$6$");
    }

    #[test]
    fn a_planted_link_is_removed_by_its_name_when_a_file_is_replaced() {
        let (_place, folder, secret) = scene();
        for planted in ["capture.json.new", "capture.json"] {
            symlink(&secret, folder.at(planted)).unwrap();
        }
        folder.replace_file("capture.json", b"{}").unwrap();
        assert_eq!(folder.read("capture.json", 2).unwrap(), b"{}");
        assert_eq!(std::fs::read_to_string(secret).unwrap(), "root:$6$");
        assert_eq!(folder.names().unwrap(), ["capture.json"]);
        assert_eq!(folder.open_file("capture.json").unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(folder.read("capture.json", 1).is_err(), "what is larger than expected is not read");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let (_place, folder, _) = scene();
        nix::unistd::mkfifo(&folder.at("log"), FILE_MODE).unwrap();
        assert!(folder.open_file("log").unwrap_err().to_string().ends_with("is no regular file"));
        folder.make_subfolder("sub").unwrap();
        assert!(folder.open_file("sub").is_err());
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        if !geteuid().is_root() {
            return;
        }
        let (_place, folder, _) = scene();
        std::fs::write(folder.at("log"), "theirs").unwrap();
        std::fs::create_dir(folder.at("home")).unwrap();
        for name in ["log", "home"] {
            std::os::unix::fs::chown(folder.at(name), Some(4242), None).unwrap();
        }
        let error = folder.open_file("log").unwrap_err().to_string();
        assert!(error.ends_with("data/log belongs to the user 4242, and this runs as the user 0"), "{error}");
        assert!(folder.subfolder("home").is_err());
    }

    #[test]
    fn only_what_was_missing_is_made_and_only_that_is_given_away() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("there")).unwrap();
        let (folder, made) = Folder::make_missing(&place.path().join("there/a/b")).unwrap();
        let paths: Vec<_> = made.iter().map(|one| one.path().strip_prefix(place.path()).unwrap().to_owned()).collect();
        assert_eq!(paths, [Path::new("there/a"), Path::new("there/a/b")]);
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let (again, made) = Folder::make_missing(folder.path()).unwrap();
        assert!(made.is_empty());
        again.create_file("x").unwrap();
        let (uid, gid) = (geteuid().as_raw(), nix::unistd::getegid().as_raw());
        assert!(again.give_to(uid, gid, None).is_err(), "a folder that holds something is not one that was just made");
    }

    #[test]
    fn a_folder_with_files_is_removed_with_them_and_links_with_their_names_alone() {
        let (_place, folder, secret) = scene();
        let home = folder.make_subfolder("home").unwrap();
        home.create_file("log").unwrap();
        symlink(&secret, home.at("link")).unwrap();
        folder.remove_subfolder("home").unwrap();
        assert!(folder.names().unwrap().is_empty() && secret.exists());
    }
}
