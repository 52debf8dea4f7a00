//! The host's own firewall tools, run for the text of rules. They only list; none changes anything.

use std::io;
use std::process::{Command, Stdio};

/// Administrators' tools are not on every user's PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Which `iptables-save` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaveTool {
    Nft,
    Legacy,
}

/// What `iptables-save` (or `ip6tables-save`) of the wanted back end prints, in the namespace of the calling thread.
///
/// Of x_tables, the `tables` are named one by one: only root may list which there are.
pub(super) fn save(family_prefix: &str, tool: SaveTool, tables: &[String]) -> io::Result<String> {
    if tool == SaveTool::Nft {
        return save_by(family_prefix, tool, &[]);
    }
    let texts = tables.iter().map(|table| save_by(family_prefix, tool, &["-t", table]));
    Ok(texts.collect::<io::Result<Vec<_>>>()?.concat())
}

fn save_by(family_prefix: &str, tool: SaveTool, args: &[&str]) -> io::Result<String> {
    let own_name = match tool {
        SaveTool::Nft => format!("{family_prefix}-nft-save"),
        SaveTool::Legacy => format!("{family_prefix}-legacy-save"),
    };
    match output(&own_name, args) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A host with one back end may have it under the plain name only; its first line says which it is.
            let plain = format!("{family_prefix}-save");
            let text = output(&plain, args).map_err(|_| missing(&own_name))?;
            let is_nft = text.lines().next().is_some_and(|line| line.contains("nf_tables"));
            if is_nft == (tool == SaveTool::Nft) { Ok(text) } else { Err(missing(&own_name)) }
        }
        other => other,
    }
}

/// What `nft -s -a list ruleset` prints: rules with handles, without counters.
pub(super) fn nft_list() -> io::Result<String> {
    output("nft", &["-s", "-a", "list", "ruleset"])
}

fn missing(tool: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{tool} is not installed"))
}

fn output(program: &str, args: &[&str]) -> io::Result<String> {
    let result = Command::new(program).args(args).env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = result.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(program),
        _ => io::Error::new(error.kind(), format!("{program} could not be started: {error}")),
    })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{program} failed: {}", why.lines().next().unwrap_or("it did not say why"))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
