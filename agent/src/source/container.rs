//! Finding a container's process by the container's name or id, without any runtime's client: by what Docker, Podman,
//! containerd (nerdctl, Kubernetes) and CRI-O keep on disk, and by the control groups of processes.
//!
//! Names lead to ids by the runtimes' files; an id, or its beginning, leads to a process by /proc/PID/cgroup, where every
//! runtime puts it: `docker-ID.scope`, `libpod-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `/kubepods/…/ID`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Why a container cannot be found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// Nobody knows it.
    #[error(
        "there is no running container `{0}`: neither Docker, Podman, containerd nor CRI-O keep a container of that name or id here (reading their state needs root)"
    )]
    Unknown(String),
    /// It is known but has no process.
    #[error("the container `{name}` ({id}) is not running")]
    NotRunning {
        /// As it was asked for.
        name: String,
        /// Its id.
        id: String,
    },
    /// The text means several.
    #[error("`{name}` means several containers: {}", .ids.join(", "))]
    Ambiguous {
        /// As it was asked for.
        name: String,
        /// Their ids, shortened.
        ids: Vec<String>,
    },
}

/// The first process of the container that `text` means: a name, `POD/CONTAINER`, or an id or its beginning.
pub(super) fn find_process(text: &str) -> Result<u32, ContainerError> {
    find_below(Path::new("/"), text)
}

fn find_below(root: &Path, text: &str) -> Result<u32, ContainerError> {
    let running = processes(root);
    let mut ids: BTreeSet<String> = ids_of_name(root, text);
    // A name wins over an id that begins alike.
    if ids.is_empty() && is_id_beginning(text) {
        ids = running.keys().filter(|id| id.starts_with(text)).cloned().collect();
    }
    let alive: Vec<(&String, u32)> = ids.iter().filter_map(|id| Some((id, *running.get(id)?))).collect();
    match (alive.as_slice(), ids.first()) {
        ([(_, process)], _) => Ok(*process),
        ([], Some(id)) => Err(ContainerError::NotRunning { name: text.into(), id: short(id) }),
        ([], None) => Err(ContainerError::Unknown(text.into())),
        (several, _) => {
            // The containers of a pod share one namespace: any of them will do.
            let namespaces: BTreeSet<_> = several.iter().map(|(_, process)| namespace_of(root, *process)).collect();
            match (namespaces.len(), namespaces.first()) {
                (1, Some(Some(_))) => Ok(several[0].1),
                _ => Err(ContainerError::Ambiguous { name: text.into(), ids: several.iter().map(|(id, _)| short(id)).collect() }),
            }
        }
    }
}

/// The first process of each container, by the container's id.
fn processes(root: &Path) -> BTreeMap<String, u32> {
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    for entry in entries(&root.join("proc")) {
        let Some(process) = entry.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        let text = fs::read_to_string(entry.join("cgroup")).unwrap_or_default();
        for id in text.lines().filter_map(id_in_cgroup) {
            let first = found.entry(id.to_owned()).or_insert(process);
            *first = process.min(*first);
        }
    }
    found
}

/// The container's id in a line of /proc/PID/cgroup: the last part of the path that holds 64 hexadecimal digits.
fn id_in_cgroup(line: &str) -> Option<&str> {
    let path = line.splitn(3, ':').nth(2)?;
    path.rsplit('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let id = part.rsplit(['-', ':']).next()?;
        (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
    })
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

/// The ids of containers that bear a name in any runtime.
fn ids_of_name(root: &Path, name: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    docker(root, name, &mut ids);
    podman_and_crio(root, name, &mut ids);
    containerd(root, name, &mut ids);
    nerdctl(root, name, &mut ids);
    ids
}

/// /var/lib/docker/containers/ID/config.v2.json, whose Name begins with a slash.
fn docker(root: &Path, name: &str, ids: &mut BTreeSet<String>) {
    for entry in entries(&root.join("var/lib/docker/containers")) {
        let config = json(&entry.join("config.v2.json"));
        if config["Name"].as_str().is_some_and(|found| found.trim_start_matches('/') == name) {
            ids.extend(config["ID"].as_str().map(str::to_owned));
        }
    }
}

/// containers/storage, which both use: a list of containers with their names. CRI-O's are `k8s_CONTAINER_POD_NAMESPACE_UID_N`.
fn podman_and_crio(root: &Path, name: &str, ids: &mut BTreeSet<String>) {
    let mut stores = vec![root.join("var/lib/containers/storage")];
    stores.extend(entries(&root.join("home")).into_iter().map(|home| home.join(".local/share/containers/storage")));
    for store in stores {
        let list = json(&store.join("overlay-containers/containers.json"));
        for container in list.as_array().into_iter().flatten() {
            let mut names = container["names"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let is_it = |found: &str| {
                let parts: Vec<&str> = found.split('_').collect();
                found == name
                    || matches!(parts.as_slice(), ["k8s", container, pod, ..]
                        if *container != "POD" && (*container == name || *pod == name || format!("{pod}/{container}") == name))
            };
            if names.any(is_it) {
                ids.extend(container["id"].as_str().map(str::to_owned));
            }
        }
    }
}

/// /run/containerd/io.containerd.runtime.v2.task/NAMESPACE/ID/config.json, where Kubernetes leaves names as annotations.
fn containerd(root: &Path, name: &str, ids: &mut BTreeSet<String>) {
    for namespace in entries(&root.join("run/containerd/io.containerd.runtime.v2.task")) {
        for task in entries(&namespace) {
            let Some(id) = task.file_name().and_then(|id| id.to_str()) else { continue };
            let annotations = json(&task.join("config.json"));
            let annotations = &annotations["annotations"];
            let text = |key: &str| annotations[key].as_str().unwrap_or_default();
            let container = text("io.kubernetes.cri.container-name");
            let pod = text("io.kubernetes.cri.sandbox-name");
            let is_it = id == name || container == name || pod == name || format!("{pod}/{container}") == name;
            if is_it && !name.is_empty() {
                ids.insert(id.to_owned());
            }
        }
    }
}

/// /var/lib/nerdctl/HASH/names/NAMESPACE/NAME, which holds the id.
fn nerdctl(root: &Path, name: &str, ids: &mut BTreeSet<String>) {
    if name.contains('/') {
        return;
    }
    for store in entries(&root.join("var/lib/nerdctl")) {
        for namespace in entries(&store.join("names")) {
            ids.extend(fs::read_to_string(namespace.join(name)).ok().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()));
        }
    }
}

/// What a folder holds, in order; nothing where it is not there or may not be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn json(path: &Path) -> Value {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "11ba3b5c8a2f4c0e9d7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e";
    const DB: &str = "11bf00000000000000000000000000000000000000000000000000000000beef";

    /// A root with the given files; a process is a file `proc/PID/cgroup`.
    fn check(files: &[(&str, &str)], text: &str) -> Result<u32, String> {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (path, content) in files {
            let path = root.path().join(path.replace("WEB", WEB).replace("DB", DB));
            fs::create_dir_all(path.parent().expect("every path has a folder")).expect("the folder is made");
            fs::write(path, content.replace("WEB", WEB).replace("DB", DB)).expect("the file is written");
        }
        find_below(root.path(), text).map_err(|error| error.to_string())
    }

    #[test]
    fn each_runtimes_name_leads_to_the_first_process() {
        let docker = [
            ("var/lib/docker/containers/WEB/config.v2.json", r#"{"ID":"WEB","Name":"/web-1","State":{"Pid":20}}"#),
            ("proc/31/cgroup", "0::/system.slice/docker-WEB.scope\n"),
            ("proc/20/cgroup", "0::/system.slice/docker-WEB.scope\n"),
            ("proc/1/cgroup", "0::/init.scope\n"),
        ];
        assert_eq!(check(&docker, "web-1"), Ok(20));
        let podman = [
            ("var/lib/containers/storage/overlay-containers/containers.json", r#"[{"id":"WEB","names":["web-1"]},{"id":"DB"}]"#),
            ("proc/20/cgroup", "0::/machine.slice/libpod-WEB.scope/container\n"),
        ];
        assert_eq!(check(&podman, "web-1"), Ok(20));
        let crio = [
            (
                "var/lib/containers/storage/overlay-containers/containers.json",
                r#"[{"id":"WEB","names":["k8s_nginx_shop_default_0af_0"]}]"#,
            ),
            ("proc/20/cgroup", "0::/kubepods.slice/kubepods-pod0af.slice/crio-WEB.scope\n"),
        ];
        assert_eq!((check(&crio, "shop/nginx"), check(&crio, "shop")), (Ok(20), Ok(20)));
        let kubernetes = [
            (
                "run/containerd/io.containerd.runtime.v2.task/k8s.io/WEB/config.json",
                r#"{"annotations":{"io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.sandbox-name":"shop"}}"#,
            ),
            ("proc/20/cgroup", "0::/kubepods.slice/kubepods-pod0af.slice/cri-containerd-WEB.scope\n"),
        ];
        assert_eq!(check(&kubernetes, "shop/nginx"), Ok(20));
        let nerdctl =
            [("var/lib/nerdctl/1935db59/names/default/web-1", "WEB"), ("proc/20/cgroup", "0::/system.slice/nerdctl-WEB.scope\n")];
        assert_eq!(check(&nerdctl, "web-1"), Ok(20));
    }

    #[test]
    fn an_ids_beginning_is_enough_as_long_as_it_means_one() {
        let two = [("proc/20/cgroup", "12:cpu:/docker/WEB\n0::/\n"), ("proc/30/cgroup", "0::/kubepods/burstable/pod0af/DB\n")];
        assert_eq!(check(&two, "11ba3"), Ok(20));
        assert_eq!(check(&two, DB), Ok(30));
        assert!(check(&two, "11b").is_err(), "three digits are no id");
    }

    #[test]
    fn what_cannot_be_found_is_told_apart() {
        let stopped = [("var/lib/docker/containers/WEB/config.v2.json", r#"{"ID":"WEB","Name":"/web-1"}"#)];
        assert_eq!(check(&stopped, "web-1"), Err("the container `web-1` (11ba3b5c8a2f) is not running".into()));
        assert!(check(&[], "web-1").expect_err("nothing is there").starts_with("there is no running container `web-1`"));
        let twins = [
            ("var/lib/docker/containers/WEB/config.v2.json", r#"{"ID":"WEB","Name":"/web-1"}"#),
            ("var/lib/containers/storage/overlay-containers/containers.json", r#"[{"id":"DB","names":["web-1"]}]"#),
            ("proc/20/cgroup", "0::/docker/WEB\n"),
            ("proc/30/cgroup", "0::/machine.slice/libpod-DB.scope\n"),
        ];
        assert_eq!(check(&twins, "web-1"), Err("`web-1` means several containers: 11ba3b5c8a2f, 11bf00000000".into()));
    }
}
