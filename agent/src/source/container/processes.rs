//! Which processes run in which container, by their control groups, and what runtimes' own processes were started with.
//!
//! Every runtime puts a container's id where its processes' /proc/PID/cgroup shows it: `docker-ID.scope`, `libpod-ID.scope`,
//! `cri-containerd-ID.scope`, `crio-ID.scope`, `/kubepods/…/ID`, `/NAMESPACE/ID`. So is the id of the monitor beside it
//! (`libpod-conmon-ID.scope`), which is no process of the container: it lives in the host's namespaces.

use super::runtimes::entries;
use std::fs;
use std::path::Path;

/// A process that may belong to a container or a runtime.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// /proc/PID/cgroup.
    cgroup: String,
    /// What it was started with.
    command: Vec<String>,
}

/// All processes, the oldest number first.
pub(super) fn processes(root: &Path) -> Vec<Process> {
    let numbered = entries(&root.join("proc")).into_iter().filter_map(|folder| {
        let pid = folder.file_name()?.to_str()?.parse().ok()?;
        let cgroup = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
        let command = fs::read(folder.join("cmdline")).unwrap_or_default();
        let command = command.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Some(Process { pid, cgroup, command })
    });
    let mut processes: Vec<_> = numbered.collect();
    processes.sort_by_key(|process| process.pid);
    processes
}

impl Process {
    /// Whether it is the program `name`, whatever folder that lies in.
    pub(super) fn is_running(&self, name: &str) -> bool {
        self.command.first().is_some_and(|program| program.rsplit('/').next() == Some(name))
    }

    /// The value of the first option of the given names that it was started with: `--name value` or `--name=value`.
    pub(super) fn option(&self, names: &[&str]) -> Option<&str> {
        self.command.iter().enumerate().find_map(|(at, word)| match word.split_once('=') {
            Some((name, value)) if names.contains(&name) => Some(value),
            _ if names.contains(&word.as_str()) => self.command.get(at + 1).map(String::as_str),
            _ => None,
        })
    }

    /// The container it runs in: the last part of a control group's path that ends in 64 hexadecimal digits.
    pub(super) fn container(&self) -> Option<&str> {
        self.cgroup.lines().find_map(|line| {
            let parts = line.splitn(3, ':').nth(2)?.rsplit('/').map(|part| part.strip_suffix(".scope").unwrap_or(part));
            let group = parts.into_iter().find(|part| is_id(tail(part)))?;
            (!group.contains("conmon-")).then(|| tail(group))
        })
    }

    /// Whether a control group of it is called `id`, which need not be digits.
    pub(super) fn is_in_group(&self, id: &str) -> bool {
        let names = |line: &str| line.splitn(3, ':').nth(2).is_some_and(|path| path.split('/').any(|part| part == id));
        self.container() == Some(id) || self.cgroup.lines().any(names)
    }

    /// The process that started it.
    pub(super) fn parent(&self, root: &Path) -> Option<u32> {
        let status = fs::read_to_string(root.join(format!("proc/{}/status", self.pid))).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    }
}

/// What follows the runtime's name: `docker-ID`, and `SLICE:cri-containerd:ID` where systemd does not see to the groups.
fn tail(part: &str) -> &str {
    part.rsplit(['-', ':']).next().unwrap_or(part)
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
