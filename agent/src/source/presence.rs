//! Whether a watched namespace is still the one that its name means: a container that is started again has another one, and so
//! has a name of `ip netns` that was deleted and made anew.
//!
//! The recording holds the old one open and would go on with it in silence. To enter another takes rights that are given up
//! by then, so this only notices: a mark and a limit say so, and a recording that has nothing else to watch ends. To notice
//! takes no right: the end of a process shows at a descriptor of it that was opened at the start, and the inode behind a name
//! at its metadata.

#![allow(unsafe_code)]

use super::{Sample, Scene, Scope, Source, SourceError, SourceKind, Target};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use tokio::sync::watch;

/// The source.
pub(super) const KIND: SourceKind = SourceKind {
    name: "presence",
    about: "whether a watched container, process or name is still the same",
    scope: Scope::Namespace,
    interval: super::SECOND,
    open,
};

/// By what a namespace was found.
#[derive(Debug)]
pub(super) enum By {
    /// By being in it: it lasts as long as this process.
    Itself,
    /// By a path, which may later lead to another one, or nowhere.
    Path(PathBuf),
    /// By a process, whose end need not be that of the namespace.
    Process(Process),
    /// By the process of a container, whose end is that of the container.
    Container(Process),
}

/// A process that cannot be mistaken for a later one of its number.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    /// Becomes readable when it ends. `None` before Linux 5.3, or when it had ended.
    descriptor: io::Result<OwnedFd>,
}

/// What is known of it so far.
#[derive(Debug)]
pub struct Presence {
    by: By,
    is_gone: watch::Sender<bool>,
}

impl By {
    pub(super) fn process(pid: u32) -> Self {
        Self::Process(Process { pid, descriptor: pidfd_open(pid) })
    }

    pub(super) fn container(pid: u32) -> Self {
        Self::Container(Process { pid, descriptor: pidfd_open(pid) })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Process(process) | Self::Container(process) => Some(process.pid),
            Self::Itself | Self::Path(_) => None,
        }
    }
}

impl Process {
    fn has_ended(&self) -> bool {
        match &self.descriptor {
            Ok(descriptor) => {
                let mut asked = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
                poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
            }
            Err(error) => error.raw_os_error() == Some(libc::ESRCH),
        }
    }
}

impl Presence {
    pub(super) fn new(by: By) -> Self {
        Self { by, is_gone: watch::Sender::new(false) }
    }

    /// Turns true, once, when nothing is to be expected of the namespace any more.
    pub fn is_gone(&self) -> watch::Receiver<bool> {
        self.is_gone.subscribe()
    }

    /// What has become of that by which `target` was found, in a full sentence; `None` while it is what it was.
    fn change(&self, target: &Target) -> Option<String> {
        let name = &target.name;
        match &self.by {
            By::Itself => None,
            By::Process(process) => process.has_ended().then(|| {
                format!("The process {}, by which a namespace was found, has ended; what else is in its namespace is still recorded.", process.pid)
            }),
            By::Container(process) => process.has_ended().then(|| {
                format!("The container {name} has ended (its process was {}, its namespace {}). Started again it has another namespace, which takes a new start of the recording to enter.", process.pid, target.netns.0)
            }),
            By::Path(path) => match std::fs::metadata(path) {
                Ok(now) if now.ino() == target.netns.0 => None,
                Ok(now) => Some(format!(
                    "The namespace {name} was made anew: it is {} now and was {}. To enter it takes a new start of the recording.",
                    now.ino(),
                    target.netns.0
                )),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!("The namespace {name} was deleted.")),
                // A folder that only root may look into says nothing.
                Err(_) => None,
            },
        }
    }
}

fn open(scene: &Scene<'_>) -> Result<Box<dyn Source>, SourceError> {
    if let By::Process(process) | By::Container(process) = &scene.target.presence().by
        && let Err(error) = &process.descriptor
        && !process.has_ended()
    {
        let what = format!("the end of process {}", process.pid);
        return Err(SourceError::from_io(what, "a kernel with pidfd_open (5.3)", error));
    }
    Ok(Box::new(Watched { target: scene.target.clone(), is_told: false }))
}

struct Watched {
    target: Target,
    is_told: bool,
}

impl Source for Watched {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn poll(&mut self, out: &mut Sample) -> Result<(), SourceError> {
        let presence = self.target.presence();
        let Some(change) = (!self.is_told).then(|| presence.change(&self.target)).flatten() else { return Ok(()) };
        self.is_told = true;
        out.mark("namespace_left", change.as_str(), Some(self.target.netns.0), None);
        out.limits.push(change);
        if !matches!(presence.by, By::Process(_)) {
            presence.is_gone.send_replace(true);
        }
        Ok(())
    }
}

/// A descriptor of a process, which is closed when a program is run (pidfd_open(2)).
fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two numbers and touches no memory of this process.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    match i32::try_from(descriptor) {
        // SAFETY: the kernel has just opened it for nobody else.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_ended_only_after_its_end() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let target = Target::of_process(child.id(), "one".into()).unwrap();
        assert_eq!(target.presence().change(&target), None);
        child.kill().unwrap();
        child.wait().unwrap();
        let change = target.presence().change(&target).unwrap();
        assert!(change.starts_with(&format!("The process {}, by which", child.id())), "{change}");
    }

    #[test]
    fn a_path_that_leads_elsewhere_or_nowhere_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("name");
        std::os::unix::fs::symlink("/proc/self/ns/net", &path).unwrap();
        let target = Target::resolve(path.to_str().unwrap()).unwrap();
        assert_eq!(target.presence().change(&target), None);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/proc/self/ns/uts", &path).unwrap();
        assert!(target.presence().change(&target).unwrap().contains("was made anew"));
        std::fs::remove_file(&path).unwrap();
        assert!(target.presence().change(&target).unwrap().ends_with("was deleted."));
    }
}
