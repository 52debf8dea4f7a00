//! What has to be on the machine: found, or installed, or named.

use crate::shell::{self, say, which};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Trunk that works with Rust 1.95; later ones want a newer compiler.
const TRUNK: &str = "0.21.14";

/// A program that must be there, and the Debian package that brings it.
struct Need {
    what: &'static str,
    package: &'static str,
}

const fn need(what: &'static str, package: &'static str) -> Need {
    Need { what, package }
}

/// Without these some tests cannot run. tcpdump brings libpcap, which captures need.
const TO_TEST: &[Need] = &[
    need("chromium", "chromium"),
    need("chromedriver", "chromium-driver"),
    need("tshark", "tshark"),
    need("tcpdump", "tcpdump"),
    need("ip", "iproute2"),
    need("iptables-nft", "iptables"),
    need("nft", "nftables"),
    need("nginx", "nginx-light"),
    need("hping3", "hping3"),
    need("curl", "curl"),
    need("ping", "iputils-ping"),
    need("tracepath", "iputils-tracepath"),
    need("netstat", "net-tools"),
    need("sysctl", "procps"),
    need("conntrack", "conntrack"),
    need("ethtool", "ethtool"),
    need("podman", "podman"),
    need("runc", "runc"),
    need("netavark", "netavark"),
    need("busybox", "busybox-static"),
];

/// A profile that builds the page's tools, as cargo and its folders call it.
#[derive(Clone, Copy)]
pub(crate) enum Tools {
    /// Those of the tests and of releases.
    Dev,
    /// Those of `cargo xtask run`, which shares one profile among all it builds.
    Quick,
}

/// Sets up what building needs. Returns the folders that come first on PATH when the page is built.
pub(crate) fn for_build() -> Result<OsString> {
    sources()?;
    let trunk = std::thread::spawn(trunk);
    say("building wasm-bindgen of the locked version (about a minute the first time)");
    // Of the whole workspace, so that the crates they share with the tests are built with the same features, once.
    let build =
        ["build", "--locked", "--workspace", "--bin", "bindgen", "--bin", "wasm-bindgen-test-runner", "--bin", "precompress"];
    let built = shell::run("cargo", &build);
    let trunk = joined(trunk)?;
    built?;
    path_of(&trunk, Tools::Dev)
}

/// The compiler's WebAssembly target and every crate of the lock file. The page is built offline, and its crates are not those
/// that a native build fetches.
pub(crate) fn sources() -> Result<()> {
    wasm_target()?;
    say("fetching crates (the first time, half a minute)");
    shell::run("cargo", &["fetch", "--locked", "--quiet"])
}

/// What a thread returned that sets something up.
pub(crate) fn joined<T>(thread: std::thread::JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread of xtask panicked"))?
}

/// PATH with Trunk and the built wasm-bindgen first.
pub(crate) fn path_of(trunk: &Path, tools: Tools) -> Result<OsString> {
    let profile = match tools {
        Tools::Dev => "debug",
        Tools::Quick => "quick",
    };
    let folder = target_folder().join("tools").join(profile);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // The name by which Trunk calls it.
    let (built, name) = (target_folder().join(profile).join("bindgen"), folder.join("wasm-bindgen"));
    let _ = std::fs::remove_file(&name);
    std::fs::hard_link(&built, &name).with_context(|| format!("linking {} to {}", name.display(), built.display()))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [folder, trunk.to_owned()].into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("a folder on PATH has a colon in its name")
}

/// Sets up what testing needs, too. Tests that miss a tool say so themselves and are skipped; under CI none may.
pub(crate) fn for_tests() -> Result<OsString> {
    let missing = provide()?;
    if !missing.is_empty() {
        let names = |name: fn(&Need) -> &str| missing.iter().map(|need| name(need)).collect::<Vec<_>>().join(" ");
        let (programs, packages) = (names(|need| need.what), names(|need| need.package));
        if shell::is_ci() {
            bail!("missing: {programs} (Debian packages: {packages}), and CI skips no test");
        }
        say(&format!("missing, so some tests will be skipped: {programs}; on Debian or Ubuntu: sudo apt-get install {packages}"));
    }
    for_build()
}

/// Installs what tests miss where that is possible, and returns what still is.
fn provide() -> Result<Vec<&'static Need>> {
    // Podman's helpers are not on PATH.
    let is_there = |need: &&Need| which(need.what).is_some() || Path::new("/usr/lib/podman").join(need.what).is_file();
    let lacking = || TO_TEST.iter().filter(|need| !is_there(need)).collect::<Vec<_>>();
    let missing = lacking();
    if missing.is_empty() || which("apt-get").is_none() || shell::output("id", &["-u"]).as_deref() != Some("0\n") {
        return Ok(missing);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    say(&format!("installing Debian packages, as root: {}", packages.join(" ")));
    let apt =
        |args: &[&str]| shell::status(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").arg("-q").args(args));
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"][..], &packages].concat())?;
    Ok(lacking())
}

fn wasm_target() -> Result<()> {
    let target = "wasm32-unknown-unknown";
    let installed = shell::output("rustup", &["target", "list", "--installed"]).unwrap_or_default();
    if installed.lines().any(|line| line == target) {
        return Ok(());
    }
    say("adding the Rust target wasm32-unknown-unknown");
    shell::run("rustup", &["target", "add", target])
}

/// The folder that holds Trunk of the right version: on PATH, or in a cache of the user's that all clones share.
pub(crate) fn trunk() -> Result<PathBuf> {
    let right = |program: &Path| {
        let version = shell::output(&program.to_string_lossy(), &["--version"]);
        version.is_some_and(|version| version.trim() == format!("trunk {TRUNK}"))
    };
    if let Some(found) = which("trunk").filter(|found| right(found)) {
        return Ok(found.parent().unwrap_or(Path::new("/")).to_owned());
    }
    let root = cache().join(format!("trunk-{TRUNK}"));
    let folder = root.join("bin");
    if !right(&folder.join("trunk")) {
        let log = target_folder().join("trunk.log");
        say(&format!(
            "building Trunk {TRUNK} into {} beside everything else (once for this user; about four minutes; see {})",
            root.display(),
            log.display()
        ));
        std::fs::create_dir_all(target_folder()).context("making the target folder")?;
        let output = std::fs::File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        // Not optimised, for it only moves files; and without its own downloads, which need TLS.
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--locked", "--debug", "--no-default-features", "--root"]).arg(&root);
        cargo.arg(format!("trunk@{TRUNK}")).env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        // A folder of its own, which cargo removes: none of this is of use again.
        cargo.env_remove("CARGO_TARGET_DIR").stdout(output.try_clone()?).stderr(output);
        shell::status(&mut cargo).with_context(|| format!("see {}", log.display()))?;
    }
    Ok(folder)
}

fn cache() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    base.unwrap_or_else(|| shell::root().join("target")).join("dropscope/tools")
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| shell::root().join("target"), PathBuf::from)
}
