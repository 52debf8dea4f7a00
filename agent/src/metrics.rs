//! What a recording does, as numbers for Prometheus: packets taken and lost, bytes written, what reading costs, who watches.
//!
//! They speak of Dropscope's own work and not of the host's network, which the log is for. docs/metrics.md lists them.
//! Text exposition format 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use crate::connections::{self, Bounds};
use crate::push::Tally;
use crate::source::{CaptureStatistics, Event, Sample};
use crate::stderr::complain;
use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::header;
use axum::routing::get;
use dropscope_core::ids::NetnsId;
use dropscope_review::{Growth, Review};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What was counted so far. The recorder counts each event as it takes it.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    namespaces: BTreeMap<NetnsId, String>,
    captures: Vec<Lane>,
    snapshots: BTreeMap<String, Snapshots>,
    drops_traced: u64,
    drops_skipped: u64,
    marks: BTreeMap<String, u64>,
    /// What is sent elsewhere.
    push: Option<Arc<Tally>>,
}

#[derive(Debug)]
struct Lane {
    netns: String,
    interface: String,
    taken: u64,
    counted: CaptureStatistics,
}

#[derive(Debug, Default)]
struct Snapshots {
    count: u64,
    took_ns: u64,
    longest_ns: u64,
}

impl Metrics {
    /// Nothing yet, of captures on these interfaces, in the order of their numbers, in namespaces of these names.
    pub(crate) fn new(namespaces: BTreeMap<NetnsId, String>, captures: &[(NetnsId, &str)]) -> Self {
        let lane = |(netns, interface): &(NetnsId, &str)| Lane {
            netns: namespaces.get(netns).cloned().unwrap_or_default(),
            interface: (*interface).to_owned(),
            taken: 0,
            counted: CaptureStatistics::default(),
        };
        let captures = captures.iter().map(lane).collect();
        Self(Mutex::new(State { namespaces, captures, ..State::default() }))
    }

    /// Tells of what is sent elsewhere, too.
    pub(crate) fn tell_of(&self, push: Arc<Tally>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push = Some(push);
    }

    /// Counts an event.
    pub(crate) fn see(&self, event: &Event) {
        // Each event is counted whole or not at all, so what a panic left is still right.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Packets(batch) => state.lane(batch.capture, |lane| lane.taken += batch.len() as u64),
            Event::Capture(counted) => state.lane(counted.capture, |lane| lane.counted = *counted),
            Event::Sample(sample) => state.sample(sample),
            Event::CaptureEnded { .. } => *state.marks.entry("source_failed".into()).or_default() += 1,
        }
    }

    /// The exposition, with what others know: how far the log is, and who watches it.
    fn text(&self, log: &Growth, review: Option<&Review>) -> String {
        let mut text = Text::default();
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.family("dropscope_build_info", "gauge", "The version, as a label.");
        text.value("dropscope_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
        state.write(&mut text);
        text.family("dropscope_log_written_bytes_total", "counter", "Bytes of the log that are written: the offset of its end.");
        text.value("dropscope_log_written_bytes_total", &[], log.bytes);
        if let Some(review) = review {
            text.family("dropscope_viewers", "gauge", "Viewers that follow a capture now.");
            text.value("dropscope_viewers", &[], review.viewers() as u64);
        }
        let push = state.push.clone();
        drop(state);
        if let Some(push) = push {
            push.write(&mut text);
        }
        process(&mut text);
        text.0
    }
}

impl State {
    fn lane(&mut self, capture: u32, change: impl FnOnce(&mut Lane)) {
        if let Some(lane) = self.captures.get_mut(capture as usize) {
            change(lane);
        }
    }

    fn sample(&mut self, sample: &Sample) {
        let netns = sample.readings.iter().find_map(|reading| reading.name.netns);
        // Clocks, processors and drops belong to the whole host.
        let name = netns.and_then(|netns| self.namespaces.get(&NetnsId(netns)).cloned()).unwrap_or_default();
        let snapshots = self.snapshots.entry(name).or_default();
        snapshots.count += 1;
        snapshots.took_ns += sample.took_ns;
        snapshots.longest_ns = snapshots.longest_ns.max(sample.took_ns);
        self.drops_traced += sample.drops.len() as u64;
        self.drops_skipped += sample.drops.iter().map(|drop| drop.skipped).sum::<u64>();
        for mark in &sample.marks {
            *self.marks.entry(mark.kind.clone()).or_default() += 1;
        }
    }

    fn write(&self, text: &mut Text) {
        type Family = (&'static str, &'static str, fn(&Lane) -> u64);
        let of_lanes: [Family; 4] = [
            ("dropscope_capture_packets_total", "Packets taken from the kernel into the recording.", |lane| lane.taken),
            (
                "dropscope_capture_received_packets_total",
                "Packets that passed the filter, lost ones included (ps_recv).",
                |lane| lane.counted.received,
            ),
            ("dropscope_capture_lost_packets_total", "Packets lost because the ring was full (ps_drop).", |lane| {
                lane.counted.dropped
            }),
            ("dropscope_capture_interface_lost_packets_total", "Packets lost by the interface (ps_ifdrop).", |lane| {
                lane.counted.if_dropped
            }),
        ];
        for (name, help, value) in of_lanes {
            text.family(name, "counter", help);
            for lane in &self.captures {
                text.value(name, &[("netns", &lane.netns), ("interface", &lane.interface)], value(lane));
            }
        }
        let name = "dropscope_snapshot_duration_seconds";
        text.family(name, "summary", "How long reading the sources of a namespace took; netns is empty for those of the host.");
        for (netns, snapshots) in &self.snapshots {
            text.value(&format!("{name}_sum"), &[("netns", netns)], seconds(snapshots.took_ns));
            text.value(&format!("{name}_count"), &[("netns", netns)], snapshots.count);
        }
        let name = "dropscope_snapshot_longest_seconds";
        text.family(name, "gauge", "The longest reading so far.");
        for (netns, snapshots) in &self.snapshots {
            text.value(name, &[("netns", netns)], seconds(snapshots.longest_ns));
        }
        text.family("dropscope_kernel_drops_traced_total", "counter", "Drops of the kernel that are in the log one by one.");
        text.value("dropscope_kernel_drops_traced_total", &[], self.drops_traced);
        let help = "Drops of the kernel that were counted but not kept one by one, because they came too fast.";
        text.family("dropscope_kernel_drops_skipped_total", "counter", help);
        text.value("dropscope_kernel_drops_skipped_total", &[], self.drops_skipped);
        text.family("dropscope_marks_total", "counter", "Things that happened and stand in the log as marks.");
        for (kind, count) in &self.marks {
            text.value("dropscope_marks_total", &[("kind", kind)], *count);
        }
    }
}

/// What every exporter tells of its process, under the names all of them use.
fn process(text: &mut Text) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // After the name in brackets, which may hold anything: proc_pid_stat(5), where the state is field 3.
    let fields: Vec<u64> =
        stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
    let unit = |name| nix::unistd::sysconf(name).ok().flatten().and_then(|unit| u64::try_from(unit).ok()).unwrap_or(1).max(1);
    let cpu = (field(14) + field(15)) as f64 / unit(nix::unistd::SysconfVar::CLK_TCK) as f64;
    text.family("process_cpu_seconds_total", "counter", "Processor time, of user and system.");
    text.value("process_cpu_seconds_total", &[], cpu);
    text.family("process_resident_memory_bytes", "gauge", "Memory that is resident.");
    text.value("process_resident_memory_bytes", &[], field(24) * unit(nix::unistd::SysconfVar::PAGE_SIZE));
    text.family("process_threads", "gauge", "Threads.");
    text.value("process_threads", &[], field(20));
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// The exposition as it is written.
#[derive(Default)]
pub(crate) struct Text(String);

impl Text {
    /// What the values that follow are: name, type, help.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A value of that family.
    pub(crate) fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let escaped = |text: &str| text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// A place where the numbers are asked for, open but not answered yet.
#[derive(Debug)]
pub(crate) struct Endpoint(TcpListener);

impl Endpoint {
    /// Opens the port.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("{address} cannot be listened on for --metrics"))?;
        listener.set_nonblocking(true).context("the port of --metrics cannot be waited on")?;
        Ok(Self(listener))
    }

    /// Answers `GET /metrics` for as long as the runtime lives.
    pub(crate) fn serve(self, metrics: Arc<Metrics>, log: watch::Receiver<Growth>, review: Option<Review>) -> Result<()> {
        let address = self.0.local_addr().context("the port of --metrics cannot be read")?;
        let listener = tokio::net::TcpListener::from_std(self.0).context("the port of --metrics cannot be waited on")?;
        let answer = move || async move {
            let text = metrics.text(&log.borrow(), review.as_ref());
            ([(header::CONTENT_TYPE, CONTENT_TYPE)], text)
        };
        let router = Router::new().route("/metrics", get(answer));
        tokio::spawn(async move {
            connections::serve(listener, router, Bounds::default(), std::future::pending()).await;
        });
        complain!("metrics at http://{address}/metrics");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dropscope_core::log::block::{KernelDrop, Mark};

    #[test]
    fn events_become_an_exposition() {
        let namespaces = BTreeMap::from([(NetnsId(7), "web \"1\"".to_owned())]);
        let metrics = Metrics::new(namespaces, &[(NetnsId(7), "eth0")]);
        metrics.see(&Event::Capture(CaptureStatistics { received: 12, dropped: 2, if_dropped: 1, ..Default::default() }));
        let mark = Mark { at_ns: 0, kind: "rules_changed".into(), text: String::new(), netns: None, ifindex: None };
        let drops = vec![KernelDrop { skipped: 5, ..KernelDrop::default() }, KernelDrop::default()];
        metrics.see(&Event::Sample(Sample { took_ns: 1_500_000, drops, marks: vec![mark], ..Sample::default() }));
        metrics.see(&Event::Sample(Sample { took_ns: 500_000, ..Sample::default() }));
        let text = metrics.text(&Growth { bytes: 4096, ..Growth::default() }, None);
        let mut told = String::new();
        for line in text.lines().filter(|line| line.starts_with("dropscope_")) {
            told.push_str(line);
            told.push('\n');
        }
        let expected = r#"dropscope_build_info{version="VERSION"} 1
dropscope_capture_packets_total{netns="web \"1\"",interface="eth0"} 0
dropscope_capture_received_packets_total{netns="web \"1\"",interface="eth0"} 12
dropscope_capture_lost_packets_total{netns="web \"1\"",interface="eth0"} 2
dropscope_capture_interface_lost_packets_total{netns="web \"1\"",interface="eth0"} 1
dropscope_snapshot_duration_seconds_sum{netns=""} 0.002
dropscope_snapshot_duration_seconds_count{netns=""} 2
dropscope_snapshot_longest_seconds{netns=""} 0.0015
dropscope_kernel_drops_traced_total 2
dropscope_kernel_drops_skipped_total 5
dropscope_marks_total{kind="rules_changed"} 1
dropscope_log_written_bytes_total 4096
"#;
        assert_eq!(told, expected.replace("VERSION", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn every_value_follows_its_help_and_type_and_is_documented() {
        let metrics = Metrics::new(BTreeMap::new(), &[(NetnsId(7), "eth0")]);
        let spool = tempfile::tempdir().unwrap();
        let folder = dropscope_review::Folder::open(spool.path()).unwrap();
        metrics.tell_of(Arc::new(Tally::new(folder, Arc::default())));
        let text = metrics.text(&Growth::default(), None);
        let documented = include_str!("../../docs/metrics.md");
        let mut family = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split(' ').next().unwrap_or_default().to_owned();
                let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {family} "))).expect("a type follows");
                assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
                assert!(documented.contains(&format!("`{family}`")), "{family} is not in docs/metrics.md");
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a name and a value");
                assert!(name.starts_with(&family) && value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }
}
