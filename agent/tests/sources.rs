//! The sources against a real kernel, in the namespaces of the labs. They need root; without it each says so in one line
//! and passes, except where `CI` is set.

use anyhow::{Context as _, Result};
use dropscope_agent::source::catalogue::Registry;
use dropscope_agent::source::watch::{Watch, WatchSettings};
use dropscope_agent::source::{Event, Target, host_identity};
use dropscope_core::counters::Counters;
use dropscope_core::ids::NetnsId;
use dropscope_core::log::block::{KernelDrop, Mark};
use dropscope_core::log::record::Record;
use dropscope_labs::{Lab, Namespace};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// Whether the test can run; says why not.
fn can_run(test: &str) -> bool {
    if dropscope_labs::is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{test} needs root");
    eprintln!("{test}: skipped, it makes network namespaces and needs root");
    false
}

/// A lab whose namespaces are watched.
struct Watched {
    watch: Watch,
    events: Receiver<Event>,
    registry: Registry,
    told: Told,
}

/// What the log would say.
#[derive(Default)]
struct Told {
    counters: Counters,
    drops: Vec<KernelDrop>,
    marks: Vec<Mark>,
}

impl Watched {
    /// Watches and waits for the first reading of each namespace.
    fn start(namespaces: &[&Namespace]) -> Result<Self> {
        let targets = namespaces.iter().map(|one| Target::resolve(one.name())).collect::<Result<Vec<_>, _>>()?;
        let (to, events) = sync_channel(64);
        let watch = Watch::open(&targets, &WatchSettings::default(), &to)?;
        watch.start();
        let mut watched = Self { watch, events, registry: Registry::new(host_identity::read()), told: Told::default() };
        for target in &targets {
            while watched.told.counters.of_namespace("link.mtu", target.netns).is_none() {
                watched.take()?;
            }
        }
        Ok(watched)
    }

    fn take(&mut self) -> Result<()> {
        let event = self.events.recv_timeout(Duration::from_secs(10)).context("no source said anything for ten seconds")?;
        self.told.take(&mut self.registry, event);
        Ok(())
    }

    /// Ends it, with one last reading of everything.
    fn stop(mut self) -> Told {
        let Self { watch, events, .. } = self;
        let stopping = std::thread::spawn(move || watch.stop());
        while let Ok(event) = events.recv() {
            self.told.take(&mut self.registry, event);
        }
        stopping.join().expect("stopping does not panic");
        self.told
    }
}

impl Told {
    fn take(&mut self, registry: &mut Registry, event: Event) {
        let Event::Sample(sample) = event else { return };
        for record in registry.records(sample) {
            match record {
                Record::Catalogue(catalogue) => self.counters.describe(catalogue),
                Record::Snapshot(snapshot) => self.counters.record(&snapshot),
                Record::Host(host) => self.counters.learn_host(*host),
                Record::RuleSet(rules) => self.counters.learn_rules(*rules),
                Record::KernelDrop(drop) => self.drops.push(*drop),
                Record::Mark(mark) => self.marks.push(mark),
                _ => {}
            }
        }
    }

    fn value(&self, key: &str, netns: u64) -> u64 {
        self.counters.of_namespace(key, NetnsId(netns)).and_then(|(_, series)| series.last()).unwrap_or_default()
    }

    fn of_interface(&self, key: &str, netns: u64, ifindex: u32) -> (u64, u64) {
        let series = self.counters.of_interface(key, NetnsId(netns), ifindex).expect("the counter was read").1;
        (series.points()[0].value, series.last().expect("it has a value"))
    }

    /// The number of an interface, by the name its MTU was read under.
    fn ifindex(&self, name: &str, netns: u64) -> u32 {
        let mut mtus = self.counters.of_key("link.mtu").map(|(_, series)| &series.counter);
        let counter = mtus.find(|counter| counter.netns == Some(netns) && counter.ifname.as_deref() == Some(name));
        counter.and_then(|counter| counter.ifindex).expect("the interface was seen")
    }
}

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
