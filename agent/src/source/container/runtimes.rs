//! What container runtimes keep of their containers: ids and names, running or not.
//!
//! The runtimes' folders are where they usually are, where their configuration says, and where their running processes work:
//! a `dockerd` started with `--data-root`, the folder a `containerd-shim` works in (k3s and others have one of their own), the
//! name and id a `conmon` was started with. So a running container is found wherever its runtime keeps it.

use super::processes::Process;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Containers by id.
pub(super) type Containers = BTreeMap<String, Container>;

/// What is known of a container.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Container {
    /// What it may be called; the last one is the most exact.
    pub(super) names: Vec<String>,
    /// Its first process, as its runtime says.
    pub(super) process: Option<u32>,
}

impl Container {
    /// What the user would call it.
    pub(super) fn called(&self, id: &str) -> String {
        let short: String = id.chars().take(12).collect();
        match self.names.last() {
            Some(name) if *name != short && name != id => format!("{name} ({short})"),
            _ => short,
        }
    }
}

/// All containers that any runtime knows.
pub(super) fn containers(root: &Path, processes: &[Process]) -> Containers {
    let mut found = Containers::new();
    let homes = entries(&root.join("home"));
    docker(root, &homes, processes, &mut found);
    podman_and_crio(root, &homes, processes, &mut found);
    containerd(root, processes, &mut found);
    nerdctl(root, &mut found);
    found
}

fn take<'a>(found: &'a mut Containers, id: &str, names: impl IntoIterator<Item = String>) -> &'a mut Container {
    let container = found.entry(id.to_owned()).or_default();
    for name in names {
        if !name.is_empty() && !container.names.contains(&name) {
            container.names.push(name);
        }
    }
    container
}

/// DATA/containers/ID/config.v2.json, whose Name begins with a slash. With `userns-remap` DATA has a folder UID.GID between.
fn docker(root: &Path, homes: &[PathBuf], processes: &[Process], found: &mut Containers) {
    let mut data = BTreeSet::from([root.join("var/lib/docker"), root.join("var/snap/docker/common/var-lib-docker")]);
    data.extend(homes.iter().map(|home| home.join(".local/share/docker")));
    let config = json(&root.join("etc/docker/daemon.json"));
    data.extend(["data-root", "graph"].iter().filter_map(|key| Some(below(root, config[*key].as_str()?))));
    let daemons = processes.iter().filter(|process| process.is_running("dockerd"));
    data.extend(daemons.filter_map(|daemon| Some(below(root, daemon.option(&["--data-root", "--graph", "-g"])?))));
    let remapped = |folder: &PathBuf| {
        let name = folder.file_name().and_then(|name| name.to_str()?.split_once('.'));
        name.is_some_and(|(user, group)| user.parse::<u32>().is_ok() && group.parse::<u32>().is_ok())
    };
    let folders = data.into_iter().flat_map(|data| entries(&data).into_iter().filter(remapped).chain([data]).collect::<Vec<_>>());
    for entry in folders.flat_map(|folder| entries(&folder.join("containers"))) {
        let config = json(&entry.join("config.v2.json"));
        let (Some(id), Some(name)) = (config["ID"].as_str(), config["Name"].as_str()) else { continue };
        take(found, id, names_of(name.trim_start_matches('/')));
    }
}

/// containers/storage, which both use: STORE/DRIVER-containers/containers.json lists them with their names. Each running one
/// has a `conmon -c ID -n NAME`.
fn podman_and_crio(root: &Path, homes: &[PathBuf], processes: &[Process], found: &mut Containers) {
    let mut stores = BTreeSet::from([root.join("var/lib/containers/storage")]);
    stores.extend(homes.iter().map(|home| home.join(".local/share/containers/storage")));
    let mut configs = vec![root.join("etc/containers/storage.conf"), root.join("usr/share/containers/storage.conf")];
    configs.extend(homes.iter().map(|home| home.join(".config/containers/storage.conf")));
    stores.extend(configs.iter().filter_map(|config| Some(below(root, &graph_root(&fs::read_to_string(config).ok()?)?))));
    let drivers = stores.iter().flat_map(|store| entries(store));
    let lists = drivers.filter(|folder| folder.to_string_lossy().ends_with("-containers"));
    // What goes when it ends (`--rm`) newer ones list apart.
    for list in lists.flat_map(|folder| ["containers.json", "volatile-containers.json"].map(|name| folder.join(name))) {
        for container in json(&list).as_array().into_iter().flatten() {
            let names = container["names"].as_array().into_iter().flatten().filter_map(Value::as_str).flat_map(names_of);
            let Some(id) = container["id"].as_str() else { continue };
            take(found, id, names);
        }
    }
    for monitor in processes.iter().filter(|process| process.is_running("conmon")) {
        let (Some(id), Some(name)) = (monitor.option(&["-c", "--cid"]), monitor.option(&["-n", "--name"])) else { continue };
        take(found, id, names_of(name));
    }
}

/// `graphroot = "…"` of a storage.conf.
fn graph_root(config: &str) -> Option<String> {
    let value = config.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == "graphroot")?.1;
    Some(value.trim().trim_matches('"').to_owned()).filter(|path| path.starts_with('/'))
}

/// STATE/io.containerd.runtime.v2.task/NAMESPACE/ID/config.json, where Kubernetes leaves names as annotations, and `init.pid`.
fn containerd(root: &Path, processes: &[Process], found: &mut Containers) {
    let mut states = BTreeSet::from([root.join("run/containerd/io.containerd.runtime.v2.task")]);
    // A shim works in the folder of its first container.
    for shim in processes.iter().filter(|process| process.is_running("containerd-shim-runc-v2")) {
        let works_in = fs::read_link(root.join(format!("proc/{}/cwd", shim.pid)));
        let works_in = works_in.ok().map(|folder| below(root, &folder.to_string_lossy()));
        states.extend(works_in.and_then(|folder| Some(folder.parent()?.parent()?.to_owned())));
    }
    for task in states.iter().flat_map(|state| entries(state)).flat_map(|namespace| entries(&namespace)) {
        let Some(id) = task.file_name().and_then(|id| id.to_str()) else { continue };
        let config = json(&task.join("config.json"));
        let text = |key: &str| config["annotations"][key].as_str().unwrap_or_default();
        let names = kubernetes_names(
            text("io.kubernetes.cri.sandbox-namespace"),
            text("io.kubernetes.cri.sandbox-name"),
            text("io.kubernetes.cri.container-name"),
        );
        let container = take(found, id, names);
        container.process = fs::read_to_string(task.join("init.pid")).ok().and_then(|pid| pid.trim().parse().ok());
    }
}

/// /var/lib/nerdctl/HASH/names/NAMESPACE/NAME, which holds the id.
fn nerdctl(root: &Path, found: &mut Containers) {
    for namespace in entries(&root.join("var/lib/nerdctl")).iter().flat_map(|store| entries(&store.join("names"))) {
        for file in entries(&namespace) {
            let id = fs::read_to_string(&file).unwrap_or_default();
            let Some(name) = file.file_name().and_then(|name| name.to_str()).filter(|_| !id.trim().is_empty()) else { continue };
            take(found, id.trim(), [name.to_owned()]);
        }
    }
}

/// The name itself; what Docker and CRI-O call `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT` Kubernetes calls otherwise. `POD` is
/// the container that holds the pod's namespaces.
fn names_of(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('_').collect();
    let kubernetes = match parts.as_slice() {
        ["k8s", "POD", pod, namespace, ..] => kubernetes_names(namespace, pod, ""),
        ["k8s", container, pod, namespace, ..] => kubernetes_names(namespace, pod, container),
        _ => Vec::new(),
    };
    [vec![name.to_owned()], kubernetes].concat()
}

/// `CONTAINER`, `POD`, `POD/CONTAINER`, `NAMESPACE/POD`, `NAMESPACE/POD/CONTAINER`, as far as they are known.
fn kubernetes_names(namespace: &str, pod: &str, container: &str) -> Vec<String> {
    let ways: [&[&str]; 5] = [&[container], &[pod], &[pod, container], &[namespace, pod], &[namespace, pod, container]];
    let known = ways.iter().filter(|parts| parts.iter().all(|part| !part.is_empty()));
    known.map(|parts| parts.join("/")).collect()
}

/// An absolute path below `root`.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// What a folder holds, in order; nothing where it is not there or may not be read.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn json(path: &Path) -> Value {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
}
