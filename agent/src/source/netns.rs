//! Network namespaces: finding the one that is meant, and running code inside it.
//!
//! A namespace is entered by a thread of its own, which stays in it until it ends: no other thread is ever moved. Inside,
//! `/proc/net` must not be used, since it shows the namespace of the process's first thread; `/proc/thread-self/net` and
//! `/proc/sys/net` show the thread's own.

use super::container::{ContainerError, find_process};
use super::presence::{By, Presence};
use dropscope_core::ids::NetnsId;
use dropscope_core::log::block::Entry;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// A namespace to be watched. It is held open, so that it outlives the processes in it while it is watched.
#[derive(Clone, Debug)]
pub struct Target {
    /// The inode of its `/proc/PID/ns/net`.
    pub netns: NetnsId,
    /// What the user calls it: `host`, `web-1`, `pid 4711`.
    pub name: String,
    /// A process inside, where it was found by one.
    pub pid: Option<u32>,
    /// By what it was found, for the log.
    pub entry: Entry,
    /// The file by which it was found: an absolute path.
    pub path: Option<String>,
    file: Arc<File>,
    presence: Arc<Presence>,
}

/// Why a namespace cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// Nothing of that name.
    #[error(
        "there is no network namespace `{0}`: it is neither a name that `ip netns` lists, nor the number of a running process, nor a path"
    )]
    Unknown(String),
    /// The file is there but is no network namespace.
    #[error("{0} is not a network namespace")]
    NotANamespace(PathBuf),
    /// The container cannot be found.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It is there but may not be opened or entered.
    #[error("the network namespace {name} cannot be entered: {source}; this needs root (CAP_SYS_ADMIN)")]
    Denied {
        /// Which one.
        name: String,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl Target {
    /// The namespace the agent was started in.
    pub fn host() -> Result<Self, NetnsError> {
        Self::open("host".into(), Path::new("/proc/thread-self/ns/net"), By::Itself)
    }

    /// The namespace that `text` means: a name of `ip netns`, a process's number, or a path.
    pub fn resolve(text: &str) -> Result<Self, NetnsError> {
        if text.contains('/') {
            return Self::open(text.into(), Path::new(text), By::Path(text.into()));
        }
        if let Ok(pid) = text.parse::<u32>()
            && Path::new(&format!("/proc/{pid}")).exists()
        {
            return Self::of_process(pid, format!("pid {pid}"));
        }
        for directory in NAMED {
            let path = Path::new(directory).join(text);
            if !text.is_empty() && path.exists() {
                return Self::open(text.into(), &path, By::Path(path.clone()));
            }
        }
        Err(NetnsError::Unknown(text.into()))
    }

    /// The namespace of the container that `text` means: its name, `[NAMESPACE/]POD[/CONTAINER]`, or its id or the beginning of it.
    pub fn container(text: &str) -> Result<Self, NetnsError> {
        let pid = find_process(text)?;
        Self::open(text.into(), &of_process(pid), By::container(pid))
    }

    /// The namespace of a process.
    pub fn of_process(pid: u32, name: String) -> Result<Self, NetnsError> {
        Self::open(name, &of_process(pid), By::process(pid))
    }

    /// Whether what it was found by is still there.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// The agent's own namespace and those `ip netns` lists: where another namespace has to be found by its inode. At most a
    /// thousand.
    pub(super) fn all_named() -> Vec<Self> {
        let own = Self::open("host".into(), &of_process(std::process::id()), By::Itself).ok();
        let names = std::fs::read_dir("/run/netns").into_iter().flatten().flatten().take(1000);
        let named = names
            .filter_map(|entry| Self::open(entry.file_name().to_string_lossy().into_owned(), &entry.path(), By::Itself).ok());
        own.into_iter().chain(named).collect()
    }

    fn open(name: String, path: &Path, by: By) -> Result<Self, NetnsError> {
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => NetnsError::Unknown(name.clone()),
            _ => NetnsError::Denied { name: name.clone(), source },
        })?;
        // Only nsfs may be entered; a name left behind in /run/netns by a crashed `ip netns add` is an empty file.
        if nix::sys::statfs::fstatfs(&file).is_ok_and(|fs| fs.filesystem_type() != nix::sys::statfs::NSFS_MAGIC) {
            return Err(NetnsError::NotANamespace(path.into()));
        }
        let metadata = file.metadata().map_err(|source| NetnsError::Denied { name: name.clone(), source })?;
        let (netns, pid, (entry, path)) = (NetnsId(metadata.ino()), by.pid(), entry(&by, &name));
        Ok(Self { netns, name, pid, entry, path, file: Arc::new(file), presence: Arc::new(Presence::new(by)) })
    }

    /// The descriptor that holds it open, for asking the kernel about it.
    pub(super) fn raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&*self.file)
    }

    /// Starts a thread inside the namespace. The thread's name is what `ps -L` shows; the kernel keeps 15 bytes of it.
    pub fn spawn(&self, thread_name: &str, body: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>, NetnsError> {
        let (entered, answer) = std::sync::mpsc::sync_channel(1);
        let file = Arc::clone(&self.file);
        let denied = |source| NetnsError::Denied { name: self.name.clone(), source };
        let inside = move || {
            let result = enter(&file);
            let is_inside = result.is_ok();
            // The parent waits for this answer, so it is there to take it.
            let _ = entered.send(result);
            if is_inside {
                body();
            }
        };
        let handle = thread::Builder::new().name(thread_name.into()).spawn(inside).map_err(denied)?;
        answer.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended early"))).map_err(denied)?;
        Ok(handle)
    }

    /// Runs something inside the namespace and waits for it.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        let denied = |source| NetnsError::Denied { name: self.name.clone(), source };
        thread::scope(|scope| {
            let inside = scope.spawn(|| enter(&self.file).map(|()| body()));
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
        .map_err(denied)
    }
}

/// What the log says of the way in, and the path of a file that is one.
fn entry(by: &By, name: &str) -> (Entry, Option<String>) {
    match by {
        By::Itself => (Entry::Own, None),
        By::Process(_) => (Entry::Process, None),
        By::Container(_) => (Entry::Container, None),
        By::Path(path) => match std::path::absolute(path) {
            // `ip netns exec` knows it by the name under which it is called here.
            Ok(path) if NAMED.iter().any(|folder| path == Path::new(folder).join(name)) => (Entry::Named, None),
            path => (Entry::File, path.ok().and_then(|path| path.into_os_string().into_string().ok())),
        },
    }
}

/// Where `ip netns` keeps its names.
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// Where a process's namespace is opened.
fn of_process(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/net"))
}

/// Moves the calling thread; a thread that is there already needs no right for it.
fn enter(file: &File) -> io::Result<()> {
    let here = std::fs::metadata("/proc/thread-self/ns/net").map(|metadata| metadata.ino()).ok();
    if here.is_some() && here == file.metadata().map(|metadata| metadata.ino()).ok() {
        return Ok(());
    }
    setns(file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_found_by_process_and_by_path_as_the_same() {
        let host = Target::host().expect("the own namespace can be opened");
        let by_pid = Target::resolve(&std::process::id().to_string()).expect("the own process is there");
        let by_path = Target::resolve("/proc/self/ns/net").expect("the path is there");
        assert_eq!((host.netns, host.netns), (by_pid.netns, by_path.netns));
        assert_eq!(by_pid.run(|| 7).expect("nothing has to be entered"), 7);
    }

    #[test]
    fn what_is_no_namespace_is_told() {
        let told = |text: &str| Target::resolve(text).expect_err("there is no such namespace").to_string();
        assert!(told("no-such-name").contains("neither a name that `ip netns` lists"), "{}", told("no-such-name"));
        assert_eq!(told("/proc/self/status"), "/proc/self/status is not a network namespace");
    }
}
