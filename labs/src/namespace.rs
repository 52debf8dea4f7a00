//! A network namespace with a name, as `ip netns` makes them.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

/// A named network namespace.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes it, with its loopback interface up.
    pub(crate) fn create(name: String) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.ip("link set lo up")?;
        // Duplicate address detection would keep IPv6 addresses unusable for a second.
        namespace.run("sysctl", &["-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0"])?;
        Ok(namespace)
    }

    /// Its name, for `ip netns exec` and `--netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its inode number, by which the kernel's own tools name it.
    pub fn inode(&self) -> Result<u64> {
        Ok(std::fs::metadata(self.path()).with_context(|| format!("looking for namespace {}", self.name))?.ino())
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// A command that will run inside it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a command inside it; an error if it fails.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        run(self.command(program).args(args))
    }

    /// Runs a command inside it and returns everything it printed, however it ended: for traffic that is meant to fail.
    pub fn try_run(&self, program: &str, args: &[&str]) -> Result<String> {
        let output = self.command(program).args(args).output().with_context(|| format!("starting {program}"))?;
        Ok(printed(&output))
    }

    /// `ip -n NAME …`, words separated by spaces.
    pub(crate) fn ip(&self, words: &str) -> Result<String> {
        run(Command::new("ip").args(["-n", &self.name]).args(words.split(' ')))
    }

    /// Runs code inside it, on a thread of its own: sockets made there belong to the namespace for good.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = File::open(self.path()).with_context(|| format!("opening namespace {}", self.name))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("entering namespace {}", self.name))?;
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// Runs a command; an error with everything it printed if it fails.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let line = format!("{command:?}").replace('"', "");
    let output = command.output().with_context(|| format!("starting `{line}`: is the tool installed?"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({}): {}", output.status, printed(&output).trim());
    }
    Ok(printed(&output))
}

fn printed(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}
