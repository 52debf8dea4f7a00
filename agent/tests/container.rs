//! The reference case in a real container: Podman's nginx, to which requests do not get, and every third packet of which is dropped.
//!
//! Needs root, Podman, runc and a static busybox, and no registry. Where one of them is missing, this says so in one line and
//! passes, except where `CI` is set. Podman keeps everything in a folder of the test and thinks that a namespace of the test is the
//! host, so its bridge and its rules go with that.

mod common;

use common::typed::typed;
use common::{Dropscope, Namespace, can_run, run};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What the test cannot do without, and where it may lie.
const NEEDS: [(&str, &[&str]); 4] = [
    ("podman", &["/usr/bin"]),
    ("runc", &["/usr/sbin", "/usr/bin"]),
    ("netavark", &["/usr/lib/podman", "/usr/libexec/podman"]),
    ("busybox", &["/bin"]),
];

/// Whether everything is there; says what is not.
fn has_podman(test: &str) -> bool {
    let is_missing = |(name, folders): &&(&str, &[&str])| !folders.iter().any(|folder| Path::new(folder).join(name).exists());
    let Some((name, _)) = NEEDS.iter().find(is_missing) else { return can_run(test) };
    assert!(std::env::var_os("CI").is_none(), "{test} needs {name}");
    // Past the test harness, which swallows what a passing test prints.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED {test}: {name} is not installed\n").as_bytes());
    false
}

/// A running container.
struct Container {
    name: String,
    folder: TempDir,
    host: Namespace,
}

impl Container {
    /// A web server called `name`, of an image made here.
    fn start(name: String) -> Self {
        let container = Self { name, folder: TempDir::new().expect("a folder"), host: Namespace::new("podman") };
        let image = container.path("image");
        for folder in ["bin", "www"] {
            fs::create_dir_all(image.join(folder)).expect("a folder of the test");
        }
        fs::copy("/bin/busybox", image.join("bin/busybox")).expect("busybox is there");
        symlink("busybox", image.join("bin/httpd")).expect("a folder of the test");
        fs::write(image.join("www/index.html"), "welcome\n").expect("a folder of the test");
        fs::write(container.path("containers.conf"), "[network]\nnetwork_backend = \"netavark\"\n[engine]\nruntime = \"runc\"\n")
            .expect("a folder of the test");
        let archive = container.path("image.tar");
        run(Command::new("tar").arg("-C").arg(&image).arg("-cf").arg(&archive).arg("."));
        container.podman(&["import", "-q", &archive.to_string_lossy(), "localhost/web:1"]);
        // Not more than a process of the test may have.
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
        let begin = ["run", "-d", "--name", &container.name];
        container.podman(&[&begin[..], &limits, &["localhost/web:1", "/bin/httpd", "-f", "-p", "80", "-h", "/www"]].concat());
        container
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What podman prints.
    fn podman(&self, args: &[&str]) -> String {
        let mut podman = Command::new("nsenter");
        podman.arg(format!("--net=/run/netns/{}", self.host.0)).args(["podman", "--storage-driver", "vfs"]);
        for (option, folder) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            podman.arg(option).arg(self.path(folder));
        }
        let output = podman.args(args).env("CONTAINERS_CONF", self.path("containers.conf")).output().expect("podman starts");
        assert!(output.status.success(), "podman {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn inspect(&self, what: &str) -> String {
        self.podman(&["inspect", "-f", what, &self.name])
    }

    /// What a line prints on the container's host.
    fn on_host(&self, line: &str) -> String {
        typed(&format!("nsenter --net=/run/netns/{} {line}", self.host.0)).text
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A test that fails is failing already.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.podman(&["rm", "-f", "-t", "0", &self.name])));
    }
}

#[test]
fn the_reference_case_in_a_container_is_proved_and_its_fixes_fix_it() {
    if !has_podman("the_reference_case_in_a_container_is_proved_and_its_fixes_fix_it") {
        return;
    }
    let container = Container::start(format!("nginx-{}", std::process::id()));
    let (pid, address) = (container.inspect("{{.State.Pid}}"), container.inspect("{{.NetworkSettings.IPAddress}}"));
    let within = format!("nsenter -n -t {pid} ");
    let faults =
        ["INPUT", "OUTPUT"].map(|chain| format!("iptables -I {chain} -m statistic --mode nth --every 3 --packet 0 -j DROP"));
    for fault in faults.iter().map(String::as_str).chain(["ip link set eth0 mtu 100"]) {
        assert_eq!(typed(&format!("{within}{fault}")).status, Some(0), "{fault}");
    }

    let log = container.path("nginx.pcapng").to_string_lossy().into_owned();
    let args = ["record", "-i", "eth0", "--container", &container.name, "-o", &log];
    let mut dropscope = Dropscope::start(container.folder.path(), &args);
    dropscope.hear("recording ");
    container.on_host(&format!("hping3 -q -S -c 15 -i u50000 -p 80 {address}"));
    let get = format!("curl -sS -m 4 http://{address}/");
    let told = container.on_host(&get);
    assert!(told.contains("timed out"), "{told}");
    assert!(dropscope.end().success(), "{:?}", dropscope.heard);

    let checked = Command::new(env!("CARGO_BIN_EXE_dropscope")).args(["check", "--json", &log]).output().expect("it runs");
    let answer: Value = serde_json::from_slice(&checked.stdout).expect("it answers in JSON");
    let findings = answer["findings"].as_array().expect("there are findings");
    for (rule, words) in [("interface_mtu", "eth0"), ("firewall_drop", "INPUT"), ("firewall_drop", "OUTPUT")] {
        let is_it = |finding: &&Value| finding["rule"] == rule && finding["sentence"].to_string().contains(words);
        let finding = findings.iter().find(is_it).unwrap_or_else(|| panic!("no {rule} of {words}: {findings:#?}"));
        assert_eq!(finding["confidence"], "proved", "{finding:#}");
        assert!(finding["sentence"].to_string().contains(&container.name), "{finding:#}");
    }
    for kind in ["confirm", "fix"] {
        for line in findings.iter().flat_map(|finding| finding[kind].as_array().into_iter().flatten()).filter_map(Value::as_str) {
            // Only pings come from elsewhere: from the container's host, where the client is.
            assert!(line.starts_with(&within) || kind == "confirm" && line.starts_with("ping "), "{line}");
            if line.starts_with(&within) {
                let ran = typed(line);
                assert_eq!(ran.status, Some(0), "{line}: {}", ran.text);
            }
        }
    }
    assert_eq!(container.on_host(&get), "welcome\n");
}
