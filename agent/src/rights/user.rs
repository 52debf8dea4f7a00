//! Whom root becomes.

// The C library changes the user of all threads at once, which would take the capabilities of those that are not ready.
#![allow(unsafe_code)]

use anyhow::{Context as _, Result, bail};
use dropscope_review::Folder;
use nix::unistd::{AccessFlags, Uid, User, eaccess};
use std::io;
use std::path::{Path, PathBuf};

/// The user of nobody's files, where /etc/passwd has no name for it.
const NOBODY: u32 = 65_534;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// As /etc/passwd names it.
    pub(crate) name: String,
    uid: u32,
    gid: u32,
    /// The home folder, of whoever called sudo and of root: recordings go below it.
    home: Option<PathBuf>,
    /// Whether this is who typed the command.
    pub(super) called_sudo: bool,
}

/// Whom to become; `None` for whoever is not root and may not change.
pub(super) fn choose(named: Option<&str>) -> Result<Option<Person>> {
    let is_root = nix::unistd::geteuid().is_root();
    if let Some(name) = named {
        let Some(person) = person_named(name)? else { bail!("there is no user `{name}`") };
        if !is_root && person.uid != nix::unistd::geteuid().as_raw() {
            bail!("only root can become the user `{name}`");
        }
        return Ok(is_root.then_some(person));
    }
    if !is_root {
        return Ok(None);
    }
    let nobody = || Person { name: "nobody".into(), uid: NOBODY, gid: NOBODY, home: None, called_sudo: false };
    let system = || Ok(person_named("dropscope")?.or(person_named("nobody")?).unwrap_or_else(nobody));
    Ok(Some(caller_of_sudo().map_or_else(system, anyhow::Ok)?))
}

/// The name of whoever runs this, or the number.
pub(super) fn own_name() -> String {
    let uid = nix::unistd::geteuid();
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

fn person_named(name: &str) -> Result<Option<Person>> {
    let user = User::from_name(name).context("the list of users cannot be read")?;
    Ok(user.map(|user| Person {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        home: None,
        called_sudo: false,
    }))
}

/// Whoever typed `sudo`: files are theirs, then.
fn caller_of_sudo() -> Option<Person> {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let (uid, gid) = (number("SUDO_UID").filter(|uid| *uid != 0)?, number("SUDO_GID")?);
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let (name, home) = user.map_or((uid.to_string(), None), |user| (user.name, Some(user.dir)));
    Some(Person { name, uid, gid, home, called_sudo: true })
}

impl Person {
    /// Where recordings go that are given no place: below the home of whoever called sudo, and of root where it stays root and
    /// so has no power over what is usual, which another user may hold (XDG Base Directory Specification).
    pub(crate) fn data_folder(&self) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join(".local/share/dropscope"))
    }

    /// Root, who keeps its own files but, without capabilities, no power over those of others.
    pub(super) fn root() -> Self {
        let home = User::from_uid(Uid::from_raw(0)).ok().flatten().map(|user| user.dir);
        Self { name: "root".into(), uid: 0, gid: 0, home, called_sudo: false }
    }

    /// Whether files could be made in `folder`.
    pub(super) fn may_write(&self, folder: &Path) -> bool {
        self.may(folder, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK)
    }

    fn may(&self, folder: &Path, access: AccessFlags) -> bool {
        self.does(|| Ok(eaccess(folder, access)?)).is_ok()
    }

    /// Makes a folder with those above it, where they are missing: as this user if it can, else as root. What root makes here is
    /// given to the user, and nothing else ever is. It stays root's where that would not help, or where somebody chose the
    /// place through sudo: a folder of one's own among root's is a way to become root.
    pub(super) fn make(&self, folder: &Path) -> io::Result<()> {
        if self.does(|| Folder::make(folder)).is_ok() {
            return Ok(());
        }
        let (_, made) = Folder::make_missing(folder)?;
        let Some(above) = made.first().and_then(|first| first.path().parent()) else { return Ok(()) };
        if caller_of_sudo().is_some() || !self.may(above, AccessFlags::X_OK) {
            return Ok(());
        }
        // By descriptor: the names may lead elsewhere by now.
        let held = made.iter().skip(1).map(Some).chain([None]);
        made.iter().zip(held).try_for_each(|(one, next)| one.give_to(self.uid, self.gid, next))
    }

    /// Does something as this user: by a thread that becomes it, without capabilities, and ends.
    pub(super) fn does<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let powerless = || {
            // access(2) gives root's permitted capabilities back to it.
            [caps::CapSet::Effective, caps::CapSet::Permitted].into_iter().try_for_each(|set| caps::clear(None, set))
        };
        let as_user = || {
            self.become_on_this_thread()?;
            powerless().map_err(io::Error::other)?;
            work()
        };
        let failed = |_| Err(io::Error::other("the thread that tried it failed"));
        std::thread::scope(|scope| scope.spawn(as_user).join().unwrap_or_else(failed))
    }

    /// Becomes this user on the calling thread alone. The permitted capabilities stay; dropping them is the next step.
    pub(super) fn become_on_this_thread(&self) -> io::Result<()> {
        nix::sys::prctl::set_keepcaps(true)?;
        let (uid, gid) = (libc::c_long::from(self.uid), libc::c_long::from(self.gid));
        // SAFETY: plain system calls; the pointer belongs to an empty list and is not read.
        unsafe {
            answer(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()))?;
            answer(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
            answer(libc::syscall(libc::SYS_setresuid, uid, uid, uid))
        }
    }
}

fn answer(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_is_unknown_is_told() {
        let error = choose(Some("no-such-user")).expect_err("nobody is called that");
        assert_eq!(error.to_string(), "there is no user `no-such-user`");
    }
}
