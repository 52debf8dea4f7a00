//! Which files a confined thread reaches, by Landlock (Linux 5.13 and later): it reads what the kernel tells and runs the
//! host's own tools, and writes nowhere but in the folders of logs. What is open already stays open.
//!
//! Listening on new ports is refused too, where Landlock knows of ports (Linux 6.7).

use anyhow::{Context as _, Result};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, path_beneath_rules,
};
use std::path::PathBuf;

/// The newest rules that are asked for; an older kernel takes what it knows of them.
const NEWEST: ABI = ABI::V5;
/// Read: counters, facts, names of namespaces, and what the tools look up.
const READ: [&str; 8] = [
    "/proc",
    "/sys",
    "/run/netns",
    "/var/run/netns",
    "/etc",
    "/dev/null",
    // Where /etc/resolv.conf leads to.
    "/run/systemd/resolve",
    "/run/NetworkManager",
];
/// Read and run: the host's firewall tools and their libraries.
const RUN: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];

/// Confines the calling thread; answers what the kernel lacks.
pub(super) fn confine(writes: &[PathBuf]) -> Result<Option<String>> {
    let status = restrict(writes).context("Landlock refuses its rules")?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => None,
        RulesetStatus::PartiallyEnforced => Some("this kernel's Landlock is older and guards files, but not all of it".into()),
        RulesetStatus::NotEnforced => Some("this kernel has no Landlock: files are guarded by their permissions alone".into()),
    })
}

fn restrict(writes: &[PathBuf]) -> Result<RestrictionStatus, landlock::RulesetError> {
    let read = AccessFs::from_read(NEWEST) & !AccessFs::Execute;
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::BindTcp)?
        .create()?
        // What a host does not have is left out.
        .add_rules(path_beneath_rules(READ, read))?
        .add_rules(path_beneath_rules(RUN, AccessFs::from_read(NEWEST)))?
        .add_rules(path_beneath_rules(["/dev/null"], read | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(writes, AccessFs::from_all(NEWEST) & !AccessFs::Execute))?;
    // A debug build serves the page from the checkout.
    let rules = if cfg!(debug_assertions) {
        rules.add_rules(path_beneath_rules([concat!(env!("CARGO_MANIFEST_DIR"), "/../dist")], read))?
    } else {
        rules
    };
    rules.restrict_self()
}
