//! The sources against a real kernel, in the namespaces of the labs. They need root; without it each says so in one line
//! and passes, except where `CI` is set.

mod common;

use anyhow::{Context as _, Result};
use common::can_run;
use common::watched::{Told, Watched};
use dropscope_core::command::netfilter::ChainName;
use dropscope_core::counters::Series;
use dropscope_core::ids::NetnsId;
use dropscope_core::log::block::{Chain, FirewallRule, KernelDrop, RuleSet, Verdict};
use dropscope_labs::Lab;

#[test]
fn both_ends_of_the_pair_show_what_a_small_mtu_drops() -> Result<()> {
    if !can_run("both_ends_of_the_pair_show_what_a_small_mtu_drops") {
        return Ok(());
    }
    let mut lab = Lab::named("mtu-100")?.start("srcmtu")?;
    let watched = Watched::start(&[&lab.net().server, &lab.net().between])?;
    lab.load()?;
    let told = watched.stop();
    let (server, host) = (lab.net().server.inode()?, lab.net().between.inode()?);
    let (eth0, veth) = (told.ifindex("eth0", server), told.ifindex("veth-c", host));
    assert_eq!(told.of_interface("link.mtu", server, eth0).1, 100);
    let (before, after) = told.of_interface("link.rx_dropped", server, eth0);
    assert!(after > before, "eth0 dropped what was too long: {before} to {after}");
    let (before, after) = told.of_interface("link.tx_dropped", host, veth);
    assert!(after > before, "its other end counted it too: {before} to {after}");
    assert!(told.counters.of_interface("ethtool.rx_queue_0_drops", NetnsId(server), eth0).is_some(), "the veth driver's own");
    assert!(told.value("nstat.TcpInSegs", server) > 0, "the server's own protocol counters, not the test's");
    Ok(())
}

#[test]
fn facts_tell_addresses_routes_and_which_interface_is_the_other_end() -> Result<()> {
    if !can_run("facts_tell_addresses_routes_and_which_interface_is_the_other_end") {
        return Ok(());
    }
    let lab = Lab::named("mtu-100")?.start("srcfact")?;
    let told = Watched::start(&[&lab.net().server, &lab.net().between])?.stop();
    let (server, host) = (lab.net().server.inode()?, lab.net().between.inode()?);
    let namespace = told.counters.namespace(NetnsId(server)).context("the facts of the server's namespace")?;
    let eth0 = namespace.interfaces.iter().find(|one| one.name == "eth0").context("eth0")?;
    assert_eq!((eth0.mtu, eth0.kind.as_str(), eth0.hard_header_len), (100, "veth", Some(14)));
    assert_eq!((eth0.peer_ifindex, eth0.peer_netns), (Some(told.ifindex("veth-c", host)), Some(host)));
    assert_eq!(eth0.addresses, ["172.17.0.2/16"]);
    assert!(eth0.features.iter().any(|one| one == "tx-checksumming"), "{:?}", eth0.features);
    let default = namespace.routes.iter().find(|route| route.destination == "default").context("the default route")?;
    assert_eq!((default.gateway.as_deref(), default.ifindex), (Some("172.17.0.1"), Some(eth0.ifindex)));
    assert!(namespace.neighbours.iter().any(|one| one.address == "172.17.0.1" && one.mac.is_some()));
    assert!(namespace.sysctls.iter().any(|(name, _)| name == "net.ipv4.tcp_mtu_probing"));
    Ok(())
}

#[test]
fn a_learnt_path_mtu_is_told() -> Result<()> {
    if !can_run("a_learnt_path_mtu_is_told") {
        return Ok(());
    }
    let mut lab = Lab::named("pmtud-ok")?.start("srcpmtu")?;
    let watched = Watched::start(&[&lab.net().server])?;
    lab.load()?;
    let told = watched.stop();
    let namespace = told.counters.namespace(NetnsId(lab.net().server.inode()?)).context("the server's facts")?;
    let to_client = namespace.path_mtus.iter().find(|one| one.destination == lab.net().client_address.to_string());
    assert_eq!(to_client.map(|one| one.mtu), Some(600), "{:?}", namespace.path_mtus);
    Ok(())
}

/// The words of the command that deletes a rule, as the rules of the engine make them from the log.
fn delete_command(set: &RuleSet, chain: &Chain, rule: &FirewallRule) -> Vec<String> {
    let command = ChainName::of(set.backend, chain).delete(&rule.text, rule.handle);
    command.map(|command| command.argv().to_vec()).unwrap_or_default()
}

/// Runs a lab and tells each drop rule of the server: `backend table/chain position verdict counted probability: hits; the command that deletes it`.
fn drop_rules(test: &str, lab: &str, prefix: &str) -> Result<Option<Vec<String>>> {
    if !can_run(test) {
        return Ok(None);
    }
    let mut lab = Lab::named(lab)?.start(prefix)?;
    let watched = Watched::start(&[&lab.net().server])?;
    lab.load()?;
    let told = watched.stop();
    let server = NetnsId(lab.net().server.inode()?);
    let drops = told.counters.rules().filter(|(_, _, rule)| rule.verdict == Verdict::Drop);
    let lines = drops.map(|(set, chain, rule)| {
        let hits = told.counters.of_rule("firewall.rule.packets", server, &rule.id).map(|(_, series)| {
            let points = series.points();
            if points[points.len() - 1].value > points[0].value { "hits rise" } else { "no hits" }
        });
        let probability = rule.probability.map(|p| format!(" p={p:.2}")).unwrap_or_default();
        let (table, name, position) = (&chain.table, &chain.name, rule.position);
        format!(
            "{:?} {table}/{name} {position}{probability}: {}; {}",
            set.backend,
            hits.unwrap_or("not counted"),
            delete_command(set, chain, rule).join(" ")
        )
    });
    Ok(Some(lines.collect()))
}

#[test]
fn hits_of_drop_rules_rise_in_iptables_nft() -> Result<()> {
    let Some(told) = drop_rules("hits_of_drop_rules_rise_in_iptables_nft", "random-drop", "srcnft")? else { return Ok(()) };
    let rule = "-m statistic --mode random --probability 0.29999999981 -j DROP";
    assert_eq!(
        told,
        [
            format!("IptablesNft filter/INPUT 1 p=0.30: hits rise; iptables-nft -D INPUT {rule}"),
            format!("IptablesNft filter/OUTPUT 1 p=0.30: hits rise; iptables-nft -D OUTPUT {rule}"),
        ]
    );
    Ok(())
}

#[test]
fn hits_of_drop_rules_rise_in_iptables_legacy() -> Result<()> {
    let Some(told) = drop_rules("hits_of_drop_rules_rise_in_iptables_legacy", "random-drop-legacy", "srcleg")? else {
        return Ok(());
    };
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told.iter().all(|line| line.starts_with("IptablesLegacy filter/") && line.contains("p=0.30: hits rise;")),
        "{told:#?}"
    );
    Ok(())
}

#[test]
fn a_native_rule_without_a_counter_is_told_as_one_that_cannot_be_seen() -> Result<()> {
    let Some(told) = drop_rules("a_native_rule_without_a_counter_is_told_as_one_that_cannot_be_seen", "nft-drop", "srcnat")?
    else {
        return Ok(());
    };
    let counted: Vec<_> = told.iter().map(|line| line.contains("hits rise")).collect();
    assert!(counted.contains(&true) && told.iter().any(|line| line.contains("not counted")), "{told:#?}");
    assert!(told.iter().all(|line| line.starts_with("Nftables ") && line.contains("; nft delete rule ")), "{told:#?}");
    Ok(())
}

#[test]
fn the_command_of_a_rule_deletes_exactly_that_rule_and_the_change_is_told() -> Result<()> {
    if !can_run("the_command_of_a_rule_deletes_exactly_that_rule_and_the_change_is_told") {
        return Ok(());
    }
    let lab = Lab::named("healthy")?.start("srcdel")?;
    let server = &lab.net().server;
    let netns = NetnsId(server.inode()?);
    for tool in ["iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy"] {
        for port in ["9", "7"] {
            let statistic = ["-m", "statistic", "--mode", "random", "--probability", "0.3"];
            let rule = [["-A", "INPUT", "-p", "tcp", "--dport", port].as_slice(), &statistic, &["-j", "DROP"]].concat();
            server.run(tool, &rule)?;
        }
    }
    server.run("nft", &["add table inet t; add chain inet t in { type filter hook input priority 0; }"])?;
    server.run("nft", &["add rule inet t in tcp dport 9 counter drop; add rule inet t in tcp dport 7 counter drop"])?;
    let mut watched = Watched::start(&[server])?;
    let rules = |told: &Told| -> Vec<(String, Vec<String>)> {
        told.counters.rules().map(|(set, chain, rule)| (rule.text.clone(), delete_command(set, chain, rule))).collect()
    };
    let before = rules(&watched.told);
    assert_eq!(before.len(), 10, "{before:#?}");
    for (_, delete) in before.iter().filter(|(text, _)| text.contains("dport 9")) {
        let words: Vec<&str> = delete.iter().map(String::as_str).collect();
        server.run(words[0], &words[1..])?;
    }
    while rules(&watched.told).len() > 5 {
        watched.take()?;
    }
    let told = watched.stop();
    assert!(rules(&told).iter().all(|(text, _)| text.contains("dport 7")), "{:#?}", rules(&told));
    assert!(told.marks.iter().any(|mark| mark.kind == "rules_changed" && mark.netns == Some(netns.0)), "{:#?}", told.marks);
    Ok(())
}

#[test]
fn what_a_policy_drops_is_counted() -> Result<()> {
    if !can_run("what_a_policy_drops_is_counted") {
        return Ok(());
    }
    for (tool, prefix) in [("iptables-nft", "srcpol"), ("iptables-legacy", "srcpll")] {
        let lab = Lab::named("healthy")?.start(prefix)?;
        let router = &lab.net().between;
        router.run(tool, &["-P", "FORWARD", "DROP"])?;
        let watched = Watched::start(&[router])?;
        let server = lab.net().server_address.to_string();
        lab.net().client.try_run("hping3", &["-S", "-c", "2", "-i", "u100000", "-p", "80", &server])?;
        let told = watched.stop();
        let forward = told.counters.rule_sets().flat_map(|set| &set.chains).find(|chain| chain.name == "FORWARD");
        let forward = forward.context("the chain FORWARD")?;
        assert_eq!(forward.policy, Some(Verdict::Drop));
        let id = forward.policy_id.as_deref().context("its policy is counted")?;
        let hits = told.counters.of_rule("firewall.policy.packets", NetnsId(router.inode()?), id).context("its counter")?.1;
        assert_eq!((hits.points()[0].value, hits.last()), (0, Some(2)), "{tool}");
    }
    Ok(())
}

/// The kernel's own count is the judge: `conntrack -C` in the same namespace, while nothing adds or removes entries. So the
/// lab is one without a bridge: a bridge that listens for multicast joins 224.0.0.106, and its IGMP reports, some of them up
/// to a second late, are tracked too (net/bridge/br_multicast.c).
#[test]
fn entries_of_connection_tracking_are_counted_as_conntrack_counts_them() -> Result<()> {
    if !can_run("entries_of_connection_tracking_are_counted_as_conntrack_counts_them") {
        return Ok(());
    }
    let lab = Lab::named("pmtud-ok")?.start("srcct")?;
    let router = &lab.net().between;
    // A namespace tracks connections once a rule asks for their state.
    router.run("iptables-nft", &["-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"])?;
    let before = Watched::start(&[router])?.stop().value("conntrack.count", router.inode()?);
    let server = lab.net().server_address.to_string();
    // Each connection has a port of its own: an entry each, kept for two minutes after its end.
    for _ in 0..5 {
        lab.net().client.run("curl", &["-s", "-o", "/dev/null", "--max-time", "3", &format!("http://{server}/")])?;
    }
    let told = Watched::start(&[router])?.stop();
    let counted: u64 = router.run("conntrack", &["-C"])?.trim().parse().context("conntrack -C prints a number")?;
    let here = router.inode()?;
    assert_eq!(told.value("conntrack.count", here), counted);
    assert!(counted >= before + 5, "{before} entries before, {counted} after five connections");
    let limit: u64 = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max")?.trim().parse()?;
    assert_eq!(told.value("conntrack.max", here), limit);
    Ok(())
}

/// Source and destination address and port of an IPv4 packet of TCP.
fn ends(bytes: &[u8]) -> Option<([u8; 4], u16, [u8; 4], u16)> {
    let header = usize::from(*bytes.first()? & 15) * 4;
    let port = |at: usize| Some(u16::from_be_bytes(*bytes.get(header + at..)?.first_chunk()?));
    Some((*bytes.get(12..)?.first_chunk()?, port(0)?, *bytes.get(16..)?.first_chunk()?, port(2)?))
}

#[test]
fn what_a_rule_drops_is_told_packet_by_packet_with_reason_and_five_tuple() -> Result<()> {
    if !can_run("what_a_rule_drops_is_told_packet_by_packet_with_reason_and_five_tuple") {
        return Ok(());
    }
    for (lab, prefix) in [("random-drop", "srcdrn"), ("random-drop-legacy", "srcdrl")] {
        let mut lab = Lab::named(lab)?.start(prefix)?;
        let watched = Watched::start(&[&lab.net().server])?;
        lab.load()?;
        let told = watched.stop();
        let netns = lab.net().server.inode()?;
        let (server, client) = (lab.net().server_address.octets(), lab.net().client_address.octets());
        let hits: u64 = told
            .counters
            .rules()
            .map(|(_, _, rule)| {
                let hits = told.counters.of_rule("firewall.rule.packets", NetnsId(netns), &rule.id).expect("it is counted").1;
                hits.last().unwrap_or(0) - hits.points()[0].value
            })
            .sum();
        let is_right = |drop: &&KernelDrop| {
            let ends = ends(&drop.bytes);
            drop.netns == netns
                && drop.reason == "NETFILTER_DROP"
                && drop.ether_type == 0x0800
                && ends.is_some_and(|(from, from_port, to, to_port)| {
                    (from, to, to_port) == (client, server, 80) || (from, from_port, to) == (server, 80, client)
                })
        };
        let right = told.drops.iter().filter(is_right).count() as u64;
        assert!(hits > 0 && right * 100 >= hits * 95, "{right} of {hits} hits are told as drops; all: {:#?}", told.drops);
        assert!(told.drops.iter().all(|drop| drop.place.contains('+')), "every drop has a place");
        let counted: i64 = told
            .counters
            .of_key("drop.count")
            .filter(|(_, series)| series.counter.object.as_deref().is_some_and(|object| object.starts_with("NETFILTER_DROP ")))
            .map(|(_, series)| series.last().unwrap_or(0) as i64 - series.points()[0].value as i64)
            .sum();
        assert!(counted as u64 >= right, "counted {counted}, recorded {right}");
    }
    Ok(())
}

#[test]
fn a_drop_at_the_other_end_of_the_pair_is_told_with_the_lost_request() -> Result<()> {
    if !can_run("a_drop_at_the_other_end_of_the_pair_is_told_with_the_lost_request") {
        return Ok(());
    }
    let mut lab = Lab::named("mtu-100")?.start("srcdmt")?;
    let watched = Watched::start(&[&lab.net().server])?;
    lab.load()?;
    let told = watched.stop();
    let host = lab.net().between.inode()?;
    let lost = told.drops.iter().filter(|drop| drop.netns == host && drop.ifname == "veth-c");
    let lost: Vec<_> = lost.filter(|drop| ends(&drop.bytes).is_some_and(|(.., to_port)| to_port == 80)).collect();
    assert!(!lost.is_empty(), "{:#?}", told.drops);
    for drop in lost {
        assert!(drop.len > 104, "longer than the MTU and the four bytes a veth grants: {drop:?}");
        assert_eq!(drop.bytes.first(), Some(&0x45), "the bytes begin with the network header");
    }
    Ok(())
}

#[test]
fn queues_and_sockets_tell_what_they_dropped() -> Result<()> {
    if !can_run("queues_and_sockets_tell_what_they_dropped") {
        return Ok(());
    }
    let is_of = |series: &Series, object: &str| series.counter.object.as_deref().is_some_and(|found| found.starts_with(object));
    let grown = |told: &Told, key: &str, object: &str| -> i64 {
        let series = told.counters.of_key(key).map(|(_, series)| series);
        let wanted = series.filter(|series| is_of(series, object));
        wanted.map(|series| series.last().unwrap_or(0) as i64 - series.points()[0].value as i64).sum()
    };
    let cases = [("queue-drop", "srcqdr", "qdisc.drops", "tbf "), ("udp-receive-buffer", "srcudp", "socket.drops", "udp ")];
    for (lab, prefix, key, object) in cases {
        let mut lab = Lab::named(lab)?.start(prefix)?;
        let mut watched = Watched::start(&[&lab.net().server, &lab.net().between])?;
        // What is to grow has been read once before anything is dropped.
        while !watched.told.counters.of_key(key).any(|(_, series)| is_of(series, object)) {
            watched.take()?;
        }
        lab.load()?;
        let told = watched.stop();
        assert!(grown(&told, key, object) > 0, "{prefix}: {key} of {object}");
    }
    Ok(())
}

#[test]
fn a_full_accept_queue_shows_its_length_and_its_limit() -> Result<()> {
    if !can_run("a_full_accept_queue_shows_its_length_and_its_limit") {
        return Ok(());
    }
    let mut lab = Lab::named("accept-queue-overflow")?.start("srcacc")?;
    let server = lab.net().server.clone();
    let watched = Watched::start(&[&server])?;
    lab.load()?;
    let told = watched.stop();
    let most = |key: &str| {
        let series = told.counters.of_key(key).flat_map(|(_, series)| series.points());
        series.map(|point| point.value).max()
    };
    assert!(most("socket.accept_queue") > most("socket.accept_queue_max"), "{:?}", most("socket.accept_queue"));
    assert!(told.value("nstat.TcpExtListenOverflows", server.inode()?) > 0);
    Ok(())
}
