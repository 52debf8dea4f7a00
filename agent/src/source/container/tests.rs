//! Containers as runtimes really left them: Docker 20.10, Podman 4.3, containerd 1.6 (ctr, and pods by its Kubernetes
//! interface) on Linux 6.1 with cgroup v2 under systemd, and Docker with cgroup v1. CRI-O and nerdctl are by their sources.

use super::*;

const WEB: &str = "fd846d9653e5801b778bced376f6f4f634e1bdda786bd7739194af441964b15f";
const DB: &str = "fd8428434d8c0d8d5fd6f9018a30a2e6c1d1dcd91a0e3f8c9d8ebd4ff8b1dbe7";

/// A host with the given files, a line each: its path, and behind the first space what is in it. `WEB` and `DB` are ids; `->` a
/// link; in `cmdline` spaces are NULs.
fn check(files: &str, text: &str) -> Result<u32, String> {
    let root = tempfile::tempdir().expect("a temporary folder");
    let files = files.replace("WEB", WEB).replace("DB", DB);
    for line in files.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (path, content) = line.split_once(' ').expect("a path, a space, and what is there");
        let content = if path.ends_with("cmdline") { content.replace(' ', "\0") } else { content.to_owned() };
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("every path has a folder")).expect("the folder is made");
        match content.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, path).expect("the link is made"),
            None => fs::write(path, content).expect("the file is written"),
        }
    }
    find_below(root.path(), &text.replace("WEB", WEB).replace("DB", DB)).map_err(|error| error.to_string())
}

#[test]
fn each_runtimes_names_lead_to_a_process_of_the_container() {
    let cases: &[(&str, &[&str], &str)] = &[
        (
            "Docker",
            &["web-1", "/web-1", "fd84", "fd846d9653e5", "WEB"],
            r#"var/lib/docker/containers/WEB/config.v2.json {"ID":"WEB","Name":"/web-1","State":{"Running":true,"Pid":20}}
            proc/31/cgroup 0::/system.slice/docker-WEB.scope
            proc/20/cgroup 0::/system.slice/docker-WEB.scope
            proc/1/cgroup 0::/init.scope"#,
        ),
        (
            "Docker, cgroup v1",
            &["web-1"],
            r#"var/lib/docker/containers/WEB/config.v2.json {"ID":"WEB","Name":"/web-1"}
            proc/20/cgroup 9:name=systemd:/docker/WEB"#,
        ),
        (
            "Docker with userns-remap and its data elsewhere",
            &["web-1"],
            r#"etc/docker/daemon.json {"userns-remap":"default","data-root":"/data/docker"}
            data/docker/100000.100000/containers/WEB/config.v2.json {"ID":"WEB","Name":"/web-1"}
            proc/20/cgroup 0::/system.slice/docker-WEB.scope"#,
        ),
        (
            "Docker whose daemon was told on its command line",
            &["web-1"],
            r#"data/docker/containers/WEB/config.v2.json {"ID":"WEB","Name":"/web-1"}
            proc/10/cmdline /usr/sbin/dockerd -H fd:// --data-root=/data/docker
            proc/20/cgroup 0::/system.slice/docker-WEB.scope"#,
        ),
        (
            "Podman, whose monitor is older and lives in the host's namespace",
            &["pod-1", "WEB"],
            r#"var/lib/containers/storage/overlay-containers/containers.json [{"id":"WEB","names":["pod-1"]},{"id":"DB"}]
            proc/18/cgroup 0::/machine.slice/libpod-conmon-WEB.scope
            proc/18/cmdline /usr/bin/conmon --api-version 1 -c WEB -u WEB -r /usr/bin/crun -p /run/x/pidfile -n pod-1 --full-attach
            proc/20/cgroup 0::/machine.slice/libpod-WEB.scope/container"#,
        ),
        (
            "Podman without root, by another driver",
            &["mine"],
            r#"home/rt/.local/share/containers/storage/vfs-containers/containers.json [{"id":"WEB","names":["mine"]}]
            proc/20/cgroup 0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-WEB.scope/container"#,
        ),
        (
            "Podman with its data elsewhere",
            &["web-1"],
            r#"etc/containers/storage.conf graphroot = "/data/podman"
            data/podman/overlay-containers/volatile-containers.json [{"id":"WEB","names":["web-1"]}]
            proc/20/cgroup 0::/machine.slice/libpod-WEB.scope/container"#,
        ),
        (
            "Podman without a control group, and with nothing to read but its monitor",
            &["web-1", "fd846d9653e5"],
            "proc/18/cgroup 0::/
            proc/18/cmdline /usr/bin/conmon -c WEB -n web-1
            proc/20/cgroup 0::/
            proc/20/status PPid:\t18",
        ),
        (
            "CRI-O",
            &["shop/nginx", "shop", "default/shop", "default/shop/nginx", "k8s_nginx_shop_default_0af_0"],
            r#"var/lib/containers/storage/overlay-containers/containers.json [{"id":"WEB","names":["k8s_nginx_shop_default_0af_0"]}]
            proc/18/cgroup 0::/kubepods.slice/kubepods-pod0af.slice/crio-conmon-WEB.scope
            proc/20/cgroup 0::/kubepods.slice/kubepods-pod0af.slice/crio-WEB.scope"#,
        ),
        (
            "a pod in containerd",
            &["nginx", "shop", "shop/nginx", "default/shop", "default/shop/nginx", "fd846d9653e5"],
            r#"run/containerd/io.containerd.runtime.v2.task/k8s.io/WEB/config.json {"annotations":{"io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-name":"shop","io.kubernetes.cri.sandbox-namespace":"default"}}
            run/containerd/io.containerd.runtime.v2.task/k8s.io/WEB/init.pid 20
            proc/20/cgroup 0::/kubepods.slice/kubepods-pod0af.slice/cri-containerd-WEB.scope"#,
        ),
        (
            "a pod in a containerd of another folder",
            &["shop/nginx"],
            r#"run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/WEB/config.json {"annotations":{"io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.sandbox-name":"shop"}}
            proc/18/cmdline /usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id WEB -address /run/k3s/containerd/containerd.sock
            proc/18/cwd -> /run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/WEB
            proc/20/cgroup 0::/k8s.io/WEB"#,
        ),
        (
            "a container of ctr, whose id is a word",
            &["web"],
            r#"run/containerd/io.containerd.runtime.v2.task/default/web/config.json {"annotations":null}
            run/containerd/io.containerd.runtime.v2.task/default/web/init.pid 20
            proc/20/cgroup 0::/default/web"#,
        ),
        (
            "nerdctl",
            &["web-1"],
            "var/lib/nerdctl/1935db59/names/default/web-1 WEB
            proc/20/cgroup 0::/system.slice/nerdctl-WEB.scope",
        ),
    ];
    for (runtime, names, files) in cases {
        for name in *names {
            assert_eq!(check(files, name), Ok(20), "{runtime}: {name}");
        }
    }
}

#[test]
fn an_ids_beginning_is_enough_as_long_as_it_means_one() {
    let two = "proc/20/cgroup 12:cpu:/docker/WEB
        proc/30/cgroup 0::/kubepods/burstable/pod0af/DB";
    assert_eq!(check(two, "fd846"), Ok(20));
    assert_eq!(check(two, "DB"), Ok(30));
    assert_eq!(
        check(two, "fd84"),
        Err("`fd84` means several containers: fd8428434d8c, fd846d9653e5; say which by its whole name or its id".into())
    );
    assert!(check(two, "fd8").is_err(), "three digits are no id");
}

#[test]
fn what_cannot_be_found_is_told_apart() {
    let stopped = r#"var/lib/docker/containers/WEB/config.v2.json {"ID":"WEB","Name":"/web-1"}"#;
    for text in ["web-1", "fd846d9653e5"] {
        assert_eq!(check(stopped, text), Err("the container web-1 (fd846d9653e5) is not running: start it first".into()));
    }
    let nobody = "there is no running container `web`: neither Docker, Podman, containerd nor CRI-O keep a container of that name or id here";
    assert_eq!(
        check("etc/hostname here", "web"),
        Err(format!("{nobody}; none runs here, or this user may not read what they keep: that needs root"))
    );
    let other = format!("{stopped}\nproc/20/cgroup 0::/docker/WEB\nproc/30/cgroup 0::/docker/DB");
    assert_eq!(check(&other, "web"), Err(format!("{nobody}; running are fd8428434d8c, web-1 (fd846d9653e5)")));
}

#[test]
fn pods_of_one_name_in_two_namespaces_are_told_apart_and_a_pods_containers_are_not() {
    let task = |id: &str, namespace: &str, container: &str, process: u32, netns: u32| {
        format!(
            r#"run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json {{"annotations":{{"io.kubernetes.cri.container-name":"{container}","io.kubernetes.cri.sandbox-name":"shop","io.kubernetes.cri.sandbox-namespace":"{namespace}"}}}}
            proc/{process}/cgroup 0::/k8s.io/{id}
            proc/{process}/ns/net -> net:[{netns}]
            "#
        )
    };
    let apart = task("WEB", "default", "nginx", 20, 7) + &task("DB", "test", "nginx", 30, 8);
    let told = "`shop` means several containers: test/shop/nginx (fd8428434d8c), default/shop/nginx (fd846d9653e5); say which by its whole name or its id";
    assert_eq!((check(&apart, "shop"), check(&apart, "test/shop")), (Err(told.into()), Ok(30)));
    let together = task("WEB", "default", "nginx", 20, 7) + &task("DB", "default", "sidecar", 30, 7);
    assert!(check(&together, "shop").is_ok(), "{:?}", check(&together, "shop"));
}

#[test]
fn a_process_that_got_the_number_of_one_that_ended_is_not_the_containers() {
    let ended = r#"run/containerd/io.containerd.runtime.v2.task/default/web/init.pid 20
        proc/20/cgroup 0::/system.slice/sshd.service"#;
    assert_eq!(check(ended, "web"), Err("the container web is not running: start it first".into()));
}
