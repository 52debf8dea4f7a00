//! Finding a container's process by the container's name or id, without any runtime's client: by what Docker, Podman,
//! containerd (ctr, nerdctl, Kubernetes) and CRI-O keep on disk ([`runtimes`]), and by the control groups of processes
//! ([`processes`]).
//!
//! Names lead to ids; an id, or its beginning, leads to a process that runs in the container. Names that only a runtime's
//! database has are not found: those of Podman's pods (their containers' are).

mod processes;
mod runtimes;

use processes::Process;
use runtimes::Containers;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How many containers an error lists.
const LISTED: usize = 8;

/// Why a container cannot be found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// Nobody knows it.
    #[error(
        "there is no running container `{name}`: neither Docker, Podman, containerd nor CRI-O keep a container of that name or id here; {}",
        advice(.running)
    )]
    Unknown {
        /// As it was asked for.
        name: String,
        /// Those that run, as the user would call them.
        running: Vec<String>,
    },
    /// It is known but has no process.
    #[error("the container {0} is not running: start it first")]
    NotRunning(String),
    /// The text means several.
    #[error("`{name}` means several containers: {}; say which by its whole name or its id", .containers.join(", "))]
    Ambiguous {
        /// As it was asked for.
        name: String,
        /// What it may mean, as the user would call them.
        containers: Vec<String>,
    },
}

fn advice(running: &[String]) -> String {
    let more = if running.len() > LISTED { format!(" and {} more", running.len() - LISTED) } else { String::new() };
    match running {
        [] => "none runs here, or this user may not read what they keep: that needs root".to_owned(),
        _ => format!("running are {}{more}", running[..running.len().min(LISTED)].join(", ")),
    }
}

/// A process of the container that `text` means: a name, `[NAMESPACE/]POD[/CONTAINER]`, or an id or its beginning.
pub(super) fn find_process(text: &str) -> Result<u32, ContainerError> {
    find_below(Path::new("/"), text)
}

fn find_below(root: &Path, text: &str) -> Result<u32, ContainerError> {
    let processes = processes::processes(root);
    let known = runtimes::containers(root, &processes);
    let running = running(root, &processes, &known);
    let called = |id: &String| known.get(id).map_or_else(|| short(id), |container| container.called(id));
    // A name wins over an id that begins alike. Docker itself shows names with a slash before them.
    let name = text.strip_prefix('/').unwrap_or(text);
    let named = known.iter().filter(|(id, known)| *id == name || known.names.iter().any(|one| one == name));
    let mut ids: BTreeSet<&String> = named.map(|(id, _)| id).collect();
    if ids.is_empty() && is_id_beginning(text) {
        ids = known.keys().chain(running.keys()).filter(|id| id.starts_with(text)).collect();
    }
    let alive: Vec<(&String, u32)> = ids.iter().filter_map(|id| Some((*id, *running.get(*id)?))).collect();
    match (alive.as_slice(), ids.first()) {
        ([(_, process)], _) => Ok(*process),
        ([], Some(id)) => Err(ContainerError::NotRunning(called(id))),
        ([], None) => {
            let running: BTreeSet<String> = running.keys().map(called).collect();
            Err(ContainerError::Unknown { name: text.into(), running: running.into_iter().collect() })
        }
        (several, _) => {
            // The containers of a pod share one namespace: any of them will do, best the one that lasts as long as the pod.
            let namespaces: BTreeSet<_> = several.iter().map(|(_, process)| namespace_of(root, *process)).collect();
            match (namespaces.len(), namespaces.first()) {
                (1, Some(Some(_))) => {
                    let pauses = |pid| processes.iter().any(|process| process.pid == pid && process.is_running("pause"));
                    Ok(several.iter().find(|(_, pid)| pauses(*pid)).unwrap_or(&several[0]).1)
                }
                _ => Err(ContainerError::Ambiguous {
                    name: text.into(),
                    containers: several.iter().map(|(id, _)| called(id)).collect(),
                }),
            }
        }
    }
}

/// A process of each running container, by the container's id.
fn running(root: &Path, processes: &[Process], known: &Containers) -> BTreeMap<String, u32> {
    let mut running = BTreeMap::new();
    for process in processes {
        if let Some(id) = process.container() {
            running.entry(id.to_owned()).or_insert(process.pid);
        }
    }
    // Its number may have gone to another process since, which is not in the container's control group.
    for (id, told) in known.iter().filter_map(|(id, container)| Some((id, container.process?))) {
        if processes.iter().any(|process| process.pid == told && process.is_in_group(id)) {
            running.insert(id.clone(), told);
        }
    }
    // Without a control group of its own (Podman without root on cgroup v1) its monitor's child is it.
    for monitor in processes.iter().filter(|process| process.is_running("conmon")) {
        let Some(id) = monitor.option(&["-c", "--cid"]).filter(|id| !running.contains_key(*id)) else { continue };
        if let Some(child) = processes.iter().find(|process| process.parent(root) == Some(monitor.pid)) {
            running.insert(id.to_owned(), child.pid);
        }
    }
    running
}

fn is_id_beginning(text: &str) -> bool {
    (4..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn namespace_of(root: &Path, process: u32) -> Option<PathBuf> {
    fs::read_link(root.join(format!("proc/{process}/ns/net"))).ok()
}

fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

#[cfg(test)]
mod tests;
