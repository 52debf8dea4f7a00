//! The sources against a kernel whose settings change while it is watched, and against what the labs do not have. They need
//! root; without it each says so in one line and passes, except where `CI` is set.

mod common;

use anyhow::{Context as _, Result};
use common::can_run;
use common::watched::{Told, Watched};
use dropscope_core::ids::NetnsId;
use dropscope_core::log::block::Verdict;
use dropscope_labs::{Lab, Namespace};
use std::net::UdpSocket;

/// Sends datagrams from inside a namespace to itself.
fn send(place: &Namespace, count: usize, from: &str, to: &str) -> Result<()> {
    place.enter(|| {
        let socket = UdpSocket::bind(from)?;
        for _ in 0..count {
            socket.send_to(b"to be dropped", to)?;
        }
        Ok(())
    })
}

/// The hits of each counted rule whose text has these words.
fn hits(told: &Told, netns: u64, words: &str) -> Vec<Vec<u64>> {
    let rules = told.counters.rules().filter(|(_, _, rule)| rule.text.contains(words));
    let series = rules.filter_map(|(_, _, rule)| told.counters.of_rule("firewall.rule.packets", NetnsId(netns), &rule.id));
    series.map(|(_, series)| series.points().iter().map(|point| point.value).collect()).collect()
}

#[test]
fn each_class_of_a_discipline_is_counted() -> Result<()> {
    if !can_run("each_class_of_a_discipline_is_counted") {
        return Ok(());
    }
    let lab = Lab::named("healthy")?.start("chgcls")?;
    let client = &lab.net().client;
    for words in [
        "qdisc add dev eth0 root handle 1: htb default 20",
        "class add dev eth0 parent 1: classid 1:10 htb rate 10mbit",
        "class add dev eth0 parent 1: classid 1:20 htb rate 8kbit burst 1600",
        "qdisc add dev eth0 parent 1:20 handle 20: pfifo limit 2",
    ] {
        client.run("tc", &words.split(' ').collect::<Vec<_>>())?;
    }
    let watched = Watched::start(&[client])?;
    send(client, 200, "0.0.0.0:0", &format!("{}:9", lab.net().server_address))?;
    let told = watched.stop();
    let of = |key: &str, object: &str| {
        let mut all = told.counters.of_key(key).filter(|(_, series)| series.counter.object.as_deref() == Some(object));
        all.next().and_then(|(_, series)| series.last())
    };
    assert_eq!(of("qdisc.packets", "htb class 1:10"), Some(0));
    assert!(of("qdisc.packets", "htb class 1:20") > Some(0), "what is not classified goes there");
    assert!(of("qdisc.drops", "pfifo 20:") > Some(20), "its queue takes two packets");
    assert!(of("qdisc.drops", "htb class 1:20").is_some() && of("qdisc.overlimits", "htb 1:").is_some());
    Ok(())
}

#[test]
fn named_counters_and_rules_of_ipv6_have_their_hits() -> Result<()> {
    if !can_run("named_counters_and_rules_of_ipv6_have_their_hits") {
        return Ok(());
    }
    let lab = Lab::named("healthy")?.start("chgnam")?;
    let server = &lab.net().server;
    let netns = server.inode()?;
    server.run("ip6tables-nft", &["-A", "INPUT", "-p", "udp", "--dport", "10", "-j", "DROP"])?;
    server.run("ip6tables-legacy", &["-A", "INPUT", "-p", "udp", "--dport", "12", "-j", "DROP"])?;
    let native = "add table inet own; add counter inet own lost; \
                  add chain inet own in { type filter hook input priority 5; policy accept; }; \
                  add rule inet own in udp dport 11 counter name lost drop";
    server.run("nft", &[native])?;
    let watched = Watched::start(&[server])?;
    send(server, 2, "[::1]:0", "[::1]:10")?;
    send(server, 3, "[::1]:0", "[::1]:12")?;
    send(server, 4, "127.0.0.1:0", "127.0.0.1:11")?;
    let told = watched.stop();
    let rise =
        |part: &str| hits(&told, netns, part).iter().map(|points| points[points.len() - 1] - points[0]).collect::<Vec<_>>();
    assert_eq!((rise("--dport 10"), rise("--dport 12"), rise("udp dport 11")), (vec![2], vec![3], vec![4]));
    Ok(())
}

#[test]
fn counters_that_are_set_back_and_rules_that_are_loaded_anew_begin_anew() -> Result<()> {
    if !can_run("counters_that_are_set_back_and_rules_that_are_loaded_anew_begin_anew") {
        return Ok(());
    }
    for (tool, prefix) in [("iptables-nft", "chgzro"), ("iptables-legacy", "chgzrl")] {
        let lab = Lab::named("healthy")?.start(prefix)?;
        let server = &lab.net().server;
        let netns = server.inode()?;
        server.run(tool, &["-A", "INPUT", "-p", "udp", "--dport", "9", "-j", "DROP"])?;
        let mut watched = Watched::start(&[server])?;
        let last = |told: &Told| hits(told, netns, "--dport 9").first().and_then(|points| points.last().copied());
        send(server, 3, "127.0.0.1:0", "127.0.0.1:9")?;
        watched.until("three hits are read", |told| last(told) == Some(3))?;
        server.run(tool, &["-Z"])?;
        watched.until("the hits are set back", |told| last(told) == Some(0))?;
        send(server, 2, "127.0.0.1:0", "127.0.0.1:9")?;
        watched.until("two hits are read", |told| last(told) == Some(2))?;
        // The same rules again: the kernel makes new ones of them, which have no hits. x_tables shows no other difference.
        let reload = format!("{tool}-save | {tool}-restore");
        server.run("sh", &["-c", &reload])?;
        watched.until("the rules are loaded anew", |told| last(told) == Some(0))?;
        let told = watched.stop();
        let all = hits(&told, netns, "--dport 9");
        let falls = all.iter().flat_map(|points| points.windows(2)).filter(|pair| pair[1] < pair[0]).count();
        assert_eq!((all.len(), falls), (1, 2), "{tool}: one rule, whose count fell twice: {all:?}");
        let is_told = told.marks.iter().any(|mark| mark.kind == "rules_changed");
        assert!(is_told || tool == "iptables-legacy", "{tool}: {:?}", told.marks);
    }
    Ok(())
}

/// Each reading of changed rules says when they were found otherwise last, and a policy that was set back is remembered.
#[test]
fn a_policy_that_is_set_back_is_remembered_with_the_times_between_which_it_went() -> Result<()> {
    if !can_run("a_policy_that_is_set_back_is_remembered_with_the_times_between_which_it_went") {
        return Ok(());
    }
    for (tool, prefix) in [("iptables-nft", "chgpln"), ("iptables-legacy", "chgpll")] {
        let lab = Lab::named("healthy")?.start(prefix)?;
        let server = &lab.net().server;
        let netns = NetnsId(server.inode()?);
        server.run(tool, &["-P", "FORWARD", "DROP"])?;
        let mut watched = Watched::start(&[server])?;
        let policy = |told: &Told| {
            let chains = told.counters.rule_sets().flat_map(|set| set.chains.iter().map(move |chain| (set, chain)));
            let mut of_it = chains.filter(|(set, chain)| set.netns == netns.0 && chain.name == "FORWARD");
            of_it.find_map(|(set, chain)| Some((chain.policy?, set.after_ns, set.at_ns)))
        };
        watched.until("the policy is read", |told| policy(told).is_some())?;
        assert!(matches!(policy(&watched.told), Some((Verdict::Drop, None, _))), "{tool}: {:?}", policy(&watched.told));
        server.run(tool, &["-P", "FORWARD", "ACCEPT"])?;
        watched.until("it is another", |told| policy(told).is_some_and(|(policy, ..)| policy == Verdict::Accept))?;
        let told = watched.stop();
        let Some((_, Some(after), at)) = policy(&told) else { panic!("{tool}: {:?}", policy(&told)) };
        let gone: Vec<_> = told.counters.removed_policies().filter(|(of, ..)| *of == netns).map(|(.., gone)| gone).collect();
        let [gone] = gone[..] else { panic!("{tool}: {gone:?}") };
        assert_eq!((gone.chain.policy, gone.last_read.nanos(), gone.at.nanos()), (Some(Verdict::Drop), after, at), "{tool}");
        assert!(after < at, "{tool}: {after} {at}");
    }
    Ok(())
}

#[test]
fn what_comes_and_changes_while_it_is_watched_is_told() -> Result<()> {
    if !can_run("what_comes_and_changes_while_it_is_watched_is_told") {
        return Ok(());
    }
    let lab = Lab::named("healthy")?.start("chgnew")?;
    let (server, between) = (&lab.net().server, &lab.net().between);
    let netns = server.inode()?;
    // Several at once: what comes in one is told of that one.
    let mut watched = Watched::start(&[server, between])?;
    let facts = |told: &Told| told.counters.namespace(NetnsId(netns)).cloned();
    let sysctl = |told: &Told| {
        let facts = facts(told)?;
        facts.sysctls.iter().find(|(name, _)| name == "net.ipv4.tcp_mtu_probing").map(|(_, value)| value.clone())
    };
    let before = sysctl(&watched.told).context("it is read at the start")?;
    let other = if before == "1" { "0" } else { "1" };
    server.run("sysctl", &["-qw", &format!("net.ipv4.tcp_mtu_probing={other}")])?;
    server.run("ip", &["link", "add", "new0", "type", "veth", "peer", "name", "new1"])?;
    server.run("ip", &["link", "set", "new0", "up", "mtu", "1400"])?;
    server.run("ip", &["link", "set", "new1", "up"])?;
    server.run("ip", &["address", "add", "10.55.0.1/24", "dev", "new0"])?;
    server.run("ip", &["route", "add", "10.66.0.0/16", "via", "10.55.0.9"])?;
    server.run("ip", &["neighbour", "add", "10.55.0.9", "lladdr", "02:00:00:00:00:09", "dev", "new0"])?;
    watched.until("what came is read", |told| {
        let Some(facts) = facts(told) else { return false };
        let has_route = facts.routes.iter().any(|route| route.destination == "10.66.0.0/16");
        let has_neighbour = facts.neighbours.iter().any(|one| one.address == "10.55.0.9" && one.state == "permanent");
        let has_counters = told.counters.of_key("link.mtu").any(|(_, series)| series.counter.ifname.as_deref() == Some("new0"));
        has_route && has_neighbour && has_counters && sysctl(told).as_deref() == Some(other)
    })?;
    server.run("ip", &["link", "set", "new0", "mtu", "1300"])?;
    server.run("ip", &["link", "set", "new0", "down"])?;
    let has = |told: &Told, kind: &str, word: &str| {
        told.marks.iter().any(|mark| mark.kind == kind && mark.netns == Some(netns) && mark.text.contains(word))
    };
    watched
        .until("the changes are told", |told| has(told, "mtu_changed", "1400 to 1300") && has(told, "interface_down", "new0"))?;
    let told = watched.stop();
    assert!(has(&told, "interface_appeared", "new0"), "{:?}", told.marks);
    assert!(told.marks.iter().all(|mark| mark.netns == Some(netns)), "{:?}", told.marks);
    Ok(())
}

/// A kernel before 6.18 writes as many values as there are when it is asked, whatever room it was promised.
#[test]
fn a_device_whose_queues_grow_is_read_on() -> Result<()> {
    if !can_run("a_device_whose_queues_grow_is_read_on") {
        return Ok(());
    }
    let lab = Lab::named("healthy")?.start("chgque")?;
    let client = &lab.net().client;
    let queues = "numrxqueues 512 numtxqueues 512";
    for line in [
        format!("ip link add grows {queues} type veth peer name other {queues}"),
        "ip link set grows up".into(),
        "ip link set other up".into(),
        "ethtool -L grows rx 1 tx 1".into(),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        client.run(words[0], &words[1..])?;
    }
    let mut watched = Watched::start(&[client])?;
    let netns = client.inode()?;
    let ifindex = watched.told.ifindex("grows", netns);
    let points = |told: &Told, queue: u32| {
        let series = told.counters.of_interface(&format!("ethtool.rx_queue_{queue}_drops"), NetnsId(netns), ifindex);
        series.map_or(0, |(_, series)| series.points().len())
    };
    let last_told = |told: &Told| (0..512).filter(|queue| points(told, *queue) > 0).count();
    for (queues, at_least) in [("512", 60), ("1", 60), ("512", 60)] {
        client.run("ethtool", &["-L", "grows", "rx", queues])?;
        watched.until("its counters are told", |told| last_told(told) >= at_least)?;
    }
    let told = watched.stop();
    assert!(told.marks.iter().all(|mark| mark.kind != "source_failed"), "{:?}", told.marks);
    Ok(())
}
