//! What `deny.toml` allows, checked with no more than `cargo metadata`: licences, sources, and duplicate versions.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Every package of the lock file that some target and feature needs.
fn packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--locked", "--all-features"]).current_dir(root());
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

/// The strings of one list in `deny.toml`.
fn listed(key: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml is here");
    let (_, list) = text.split_once(&format!("\n{key} = [")).unwrap_or_else(|| panic!("deny.toml has no list `{key}`"));
    let list = list.split_once(']').expect("the list ends").0;
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

#[test]
fn every_licence_is_allowed() {
    let allowed = listed("allow");
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| !is_allowed(text(package, "license"), &allowed))
        .map(|package| format!("{} {}: {}", text(package, "name"), text(package, "version"), text(package, "license")))
        .collect();
    assert!(refused.is_empty(), "deny.toml does not allow the licences of {refused:#?}");
}

#[test]
fn every_crate_comes_from_an_allowed_registry() {
    let allowed: BTreeSet<String> = listed("allow-registry").iter().map(|url| format!("registry+{url}")).collect();
    for package in packages() {
        // The workspace's own packages have none.
        let Some(source) = package["source"].as_str() else { continue };
        assert!(allowed.contains(source), "{} comes from {source}", text(&package, "name"));
    }
}

#[test]
fn versions_built_twice_are_those_listed() {
    let mut versions: BTreeMap<String, BTreeSet<(Vec<u64>, String)>> = BTreeMap::new();
    for package in packages() {
        let version = text(&package, "version").to_owned();
        let numbers = version.split(['.', '+', '-']).take(3).map(|number| number.parse().unwrap_or(0)).collect();
        versions.entry(text(&package, "name").to_owned()).or_default().insert((numbers, version));
    }
    let older = versions
        .iter()
        .flat_map(|(name, all)| all.iter().take(all.len() - 1).map(move |(_, version)| format!("{name}@{version}")));
    let (older, skipped): (BTreeSet<String>, _) = (older.collect(), listed("skip"));
    let new: Vec<&String> = older.difference(&skipped).collect();
    assert!(new.is_empty(), "built in two versions, and not listed in deny.toml: {new:?}");
    let gone: Vec<&String> = skipped.difference(&older).collect();
    assert!(gone.is_empty(), "listed in deny.toml, and no longer needed: {gone:?}");
}

/// Whether an SPDX expression (or the older `A/B`) can be fulfilled with allowed licences.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let fulfilled = any_of(&mut rest, allowed);
    fulfilled && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut fulfilled = all_of(rest, allowed);
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        fulfilled |= all_of(rest, allowed);
    }
    fulfilled
}

fn all_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut fulfilled = one(rest, allowed);
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        fulfilled &= one(rest, allowed);
    }
    fulfilled
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let fulfilled = any_of(rest, allowed);
            *rest = rest.split_first().map_or(&[], |(_, after)| after);
            fulfilled
        }
        [licence, "WITH", exception, after @ ..] => {
            *rest = after;
            allowed.contains(&format!("{licence} WITH {exception}"))
        }
        [licence, after @ ..] => {
            *rest = after;
            allowed.contains(*licence)
        }
        [] => false,
    }
}

#[test]
fn licence_expressions_are_read() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "ISC".into(), "Apache-2.0 WITH LLVM-exception".into()]);
    for fine in
        ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "MIT AND ISC", "(GPL-3.0 OR MIT) AND ISC", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(is_allowed(fine, &allowed), "{fine}");
    }
    for not in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "Apache-2.0", "MIT)"] {
        assert!(!is_allowed(not, &allowed), "{not}");
    }
}
