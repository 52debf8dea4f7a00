//! Least privilege: what a recording still may do once everything that needs rights is open.
//!
//! Linux keeps users, capabilities, seccomp filters and Landlock domains by thread, and a thread hands its own on to those it
//! starts. So each thread that exists confines itself, by [`Rights::confine`], and those that come later are confined from
//! their first instruction; [`Rights::drop_here`] looks afterwards whether any thread was forgotten. A confined thread
//!
//! - is an unprivileged user ([`user`]) without supplementary groups;
//! - holds the capabilities its sources name in [`crate::source::Source::keeps`] and no others; the bounding set is empty;
//! - gains nothing by running a program (no_new_privs);
//! - may not call what only an intruder would ([`seccomp`]);
//! - reads /proc, /sys and the host's programs, and writes the log's folder alone ([`files`], by Landlock).
//!
//! What a kernel lacks is told. What cannot be dropped although the kernel could is an error: the recording does not begin.

mod files;
mod seccomp;
pub(crate) mod user;

use anyhow::{Context as _, Result, bail};
use caps::{CapSet, Capability, CapsHashSet};
use dropscope_review::Folder;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use user::Person;

/// What a recording gives up, and what it keeps.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    /// Whom the threads become; `None` where they stay who they are.
    person: Option<Person>,
    /// Why they stay root although they are; empty otherwise.
    why_root: String,
    /// Folders in which files may be written.
    writes: Vec<PathBuf>,
    /// What confining found out, from whichever thread came first.
    found: Arc<Mutex<Found>>,
}

/// What the kernel did for us.
#[derive(Debug, Default)]
struct Found {
    held: BTreeSet<String>,
    lacks: BTreeSet<String>,
}

impl Rights {
    /// Chooses whom to become: the user who is named; else, for root, whoever called sudo, the user `dropscope`, or nobody.
    ///
    /// # Errors
    /// When the user who is named is unknown, or cannot be become.
    pub(crate) fn choose(named: Option<&str>) -> Result<Self> {
        let person = user::choose(named)?;
        Ok(Self { person, why_root: String::new(), writes: Vec::new(), found: Arc::default() })
    }

    /// Gives up nothing of who one is.
    #[cfg(test)]
    pub(crate) fn unchanged() -> Self {
        Self { person: None, why_root: String::new(), writes: Vec::new(), found: Arc::default() }
    }

    /// Whom the threads will become, where they change.
    pub(crate) fn person(&self) -> Option<&Person> {
        self.person.as_ref()
    }

    /// Has a folder of segments written after the drop. Where it is missing it is made, the chosen user's as far as that helps;
    /// one that is there stays whose it is.
    ///
    /// # Errors
    /// When it cannot be made, or whoever goes on may not write in it.
    pub(crate) fn will_record_into(&mut self, folder: &Path) -> Result<()> {
        self.will_write(folder).with_context(|| format!("the folder {} cannot be recorded into", folder.display()))
    }

    /// Has captures kept in `data` after the drop, likewise.
    ///
    /// # Errors
    /// When its folder cannot be made, or whoever goes on may not write in it.
    pub(crate) fn will_keep_captures(&mut self, data: &Path) -> Result<()> {
        let captures = data.join("captures");
        self.will_write(&captures).with_context(|| format!("the data folder {} cannot be used", data.display()))
    }

    /// Where the chosen user may not write, root stays root, without its powers.
    fn will_write(&mut self, folder: &Path) -> Result<()> {
        match &self.person {
            Some(person) => person.make(folder)?,
            None => drop(Folder::make(folder)?),
        }
        if let Some(person) = self.person.as_ref().filter(|person| !person.may_write(folder)) {
            self.why_root = format!("{} may not write in {}", person.name, folder.display());
            let root = Person::root();
            if !root.may_write(folder) {
                bail!(
                    "{}, nor may root without its powers: give the folder to whom it shall be (chown), or name that user (--user)",
                    self.why_root
                );
            }
            self.person = Some(root);
        }
        self.writes.push(folder.to_owned());
        Ok(())
    }

    /// Makes a file that must not be there. Whoever called sudo makes it as far as they may; else it is root's, and stays so: it
    /// is open, and packets are nobody else's business.
    ///
    /// # Errors
    /// When it is there, or cannot be made.
    pub(crate) fn create_file(&self, path: &Path) -> io::Result<File> {
        let create = || File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
        match self.person.as_ref().filter(|person| person.called_sudo).map(|person| person.does(create)) {
            None => create(),
            Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => create(),
            Some(made) => made,
        }
    }

    /// Confines the calling thread, but for the capabilities it needs to go on.
    ///
    /// # Errors
    /// When something that the kernel has cannot be given up.
    pub(crate) fn confine(&self, keep: &[Capability]) -> Result<()> {
        let held = caps::read(None, CapSet::Permitted).context("this thread's capabilities cannot be read")?;
        let keep: CapsHashSet = keep.iter().copied().filter(|one| held.contains(one)).collect();
        // Before the bounding set goes: nothing becomes inheritable that is not in it.
        caps::set(None, CapSet::Inheritable, &keep).context("capabilities cannot be made inheritable")?;
        let mut lacks = BTreeSet::new();
        if held.contains(&Capability::CAP_SETPCAP) {
            // What this kernel does not know it cannot grant.
            let mut known = caps::runtime::thread_all_supported().into_iter();
            known.try_for_each(|one| caps::drop(None, CapSet::Bounding, one)).context("the bounding set cannot be emptied")?;
        } else if !held.is_empty() {
            lacks.insert("without CAP_SETPCAP the bounding set stays; no_new_privs makes it worthless".to_owned());
        }
        if let Some(person) = &self.person {
            person.become_on_this_thread().with_context(|| format!("becoming the user {} failed", person.name))?;
        }
        keep_only(&keep).context("capabilities cannot be dropped")?;
        nix::sys::prctl::set_no_new_privs().context("no_new_privs cannot be set")?;
        lacks.extend(files::confine(&self.writes)?);
        lacks.extend(seccomp::confine()?);
        let mut found = self.found.lock().expect("no thread panics while it holds this");
        found.held.extend(keep.iter().map(ToString::to_string));
        found.lacks.extend(lacks);
        Ok(())
    }

    /// Confines the calling thread, which keeps no capability, and looks whether every thread of this process is confined, but
    /// for those named in `except`.
    ///
    /// # Errors
    /// When something cannot be given up, or a thread was forgotten.
    pub(crate) fn drop_here(&self, except: &[&str]) -> Result<()> {
        self.confine(&[])?;
        let tasks = std::fs::read_dir("/proc/self/task").context("this process's threads cannot be listed")?;
        for task in tasks.flatten() {
            // A thread may end meanwhile.
            let Ok(status) = std::fs::read_to_string(task.path().join("status")) else { continue };
            let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
            if line("NoNewPrivs:") != "1" && !except.contains(&line("Name:").as_str()) {
                bail!("the thread {} kept its rights; this is a defect of Dropscope", line("Name:"));
            }
        }
        Ok(())
    }

    /// What is held and why, in full sentences.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let found = self.found.lock().expect("no thread panics while it holds this");
        let who = match (&self.person, self.why_root.as_str()) {
            (None, _) => format!("runs as the user {}", user::own_name()),
            (Some(person), "") => format!("runs on as the user {}", person.name),
            (Some(_), why) => format!("stays the user root, without its powers, since {why}"),
        };
        let held: Vec<&str> = found.held.iter().map(String::as_str).collect();
        let held = match held.as_slice() {
            [] => "no thread holds a capability".to_owned(),
            held => {
                format!("only the threads that read firewalls and connection tracking, or probe, hold {}", held.join(" and "))
            }
        };
        let folders: Vec<_> = self.writes.iter().map(|folder| folder.display().to_string()).collect();
        let writes = if folders.is_empty() { "the log, which is open".to_owned() } else { folders.join(" and ") };
        let mut sentences = vec![format!("{who}; {held}. It writes {writes}, and nothing else.")];
        sentences.extend(found.lacks.iter().map(|lack| format!("less guarded than it could be: {lack}.")));
        sentences
    }
}

/// Shrinks all sets to `keep`. The ambient set too, so that the host's tools, when they are run, may read what they list.
fn keep_only(keep: &CapsHashSet) -> Result<(), caps::errors::CapsError> {
    caps::set(None, CapSet::Effective, &CapsHashSet::new())?;
    caps::set(None, CapSet::Permitted, keep)?;
    caps::set(None, CapSet::Effective, keep)?;
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::set(None, CapSet::Ambient, keep)?;
    }
    Ok(())
}
