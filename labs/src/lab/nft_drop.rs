//! Native nftables drops 30 % in both directions; one rule has a counter, the other has none and is invisible to counters.

use crate::Lab;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::process::Stdio;

const RULES: &str = r#"table inet filter {
    chain input { type filter hook input priority 0; policy accept; tcp dport 80 numgen random mod 100 < 30 counter drop comment "in30"; }
    chain output { type filter hook output priority 0; policy accept; tcp sport 80 numgen random mod 100 < 30 drop comment "out30-nocounter"; }
}
"#;

pub(super) const LAB: Lab = Lab {
    name: "nft-drop",
    about: "native nftables drops 30 % at random; the input rule has a counter, the output rule has none",
    causes: &["firewall_drop"],
    build: |net| {
        net.docker()?;
        net.start_nginx()
    },
    fault: |net| {
        let mut nft = net.server.command("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().context("starting nft")?;
        nft.stdin.take().context("nft has no standard input")?.write_all(RULES.as_bytes())?;
        let status = nft.wait()?;
        if !status.success() {
            bail!("nft refused the rules: {status}");
        }
        Ok(())
    },
    load: |net| -> Result<String> { Ok(net.syn_probes(80, 15)? + &net.get("", "5")?) },
};
