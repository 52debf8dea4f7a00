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
    need("netstat", "net-tools"),
    need("sysctl", "procps"),
    need("conntrack", "conntrack"),
    need("ethtool", "ethtool"),
];

/// Sets up what building needs. Returns the folders that come first on PATH when the page is built.
pub(crate) fn for_build() -> Result<OsString> {
    wasm_target()?;
    let trunk = trunk()?;
    let tools = build_tools()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [tools, trunk].into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("a folder on PATH has a colon in its name")
}

/// Sets up what testing needs, too. Tests that miss a tool say so themselves and are skipped; under CI none may.
pub(crate) fn for_tests() -> Result<OsString> {
    let missing = provide()?;
    for need in &missing {
        if shell::is_ci() {
            bail!("{} is missing (Debian package {}), and CI skips no test", need.what, need.package);
        }
        say(&format!(
            "{} is missing, so some tests will be skipped; on Debian or Ubuntu: sudo apt-get install {}",
            need.what, need.package
        ));
    }
    for_build()
}

/// Installs what tests miss where that is possible, and returns what still is.
fn provide() -> Result<Vec<&'static Need>> {
    let lacking = || TO_TEST.iter().filter(|need| which(need.what).is_none()).collect::<Vec<_>>();
    let missing = lacking();
    if missing.is_empty() || which("apt-get").is_none() || shell::output("id", &["-u"]).as_deref() != Some("0\n") {
        return Ok(missing);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    say(&format!("installing Debian packages: {}", packages.join(" ")));
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
fn trunk() -> Result<PathBuf> {
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
        say(&format!("building Trunk {TRUNK} into {} (once for this user; about ten minutes on two cores)", root.display()));
        // Trunk's own downloads are not needed, and without TLS it builds in less time.
        let install = ["install", "--locked", "--no-default-features", "--root"];
        let mut cargo = Command::new("cargo");
        shell::status(cargo.args(install).arg(&root).arg(format!("trunk@{TRUNK}")))?;
    }
    Ok(folder)
}

fn cache() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    base.unwrap_or_else(|| shell::root().join("target")).join("dropscope/tools")
}

/// The folder that holds wasm-bindgen; builds it, its test runner and `precompress` from this workspace.
fn build_tools() -> Result<PathBuf> {
    say("building wasm-bindgen of the locked version");
    shell::run("cargo", &["build", "-p", "dropscope-tools"])?;
    let folder = target_folder().join("tools");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // The name by which Trunk calls it.
    let (built, name) = (target_folder().join("debug/bindgen"), folder.join("wasm-bindgen"));
    let _ = std::fs::remove_file(&name);
    std::fs::hard_link(&built, &name).with_context(|| format!("linking {} to {}", name.display(), built.display()))?;
    Ok(folder)
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| shell::root().join("target"), PathBuf::from)
}
