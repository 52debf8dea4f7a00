//! Reference case, first act: rules in INPUT and OUTPUT drop 30 % of all packets at random.

use crate::Lab;
use crate::Net;
use anyhow::Result;

pub(super) const LAB: Lab = Lab {
    name: "random-drop",
    about: "iptables rules (nft back end) drop 30 % of the packets in INPUT and in OUTPUT at random",
    causes: &["firewall_drop"],
    build,
    fault: |net| drop_at_random(net, "iptables-nft"),
    load,
};

pub(super) const LAB_LEGACY: Lab = Lab {
    name: "random-drop-legacy",
    about: "the same rules in the legacy back end, x_tables",
    causes: &["firewall_drop"],
    build,
    fault: |net| drop_at_random(net, "iptables-legacy"),
    load,
};

fn build(net: &mut Net) -> Result<()> {
    net.docker()?;
    net.start_nginx()
}

fn drop_at_random(net: &mut Net, iptables: &str) -> Result<()> {
    for chain in ["INPUT", "OUTPUT"] {
        let rule = ["-I", chain, "-m", "statistic", "--mode", "random", "--probability", "0.3", "-j", "DROP"];
        net.server.run(iptables, &rule)?;
    }
    Ok(())
}

fn load(net: &mut Net) -> Result<String> {
    Ok(net.syn_probes(80, 15)? + &net.get("", "5")? + &net.get("big", "6")?)
}
