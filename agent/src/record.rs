//! `dropscope record`, and what it shares with `dropscope live`: what to capture where.

use crate::cli::{runtime, size};
use crate::keep::KeepArgs;
use crate::log_file::LogFile;
use crate::metrics::Endpoint;
use crate::probe::recorded;
use crate::recorder::Summary;
use crate::recording::{Plan, Recording};
use crate::rights::Rights;
use crate::segments::{Segments, compact_time};
use crate::serve;
use crate::source::capture::CaptureSettings;
use crate::source::netns::NetnsError;
use crate::source::watch::WatchSettings;
use crate::source::{Pace, SOURCES, Target, Tracing};
use crate::stderr::complain;
use anyhow::{Context as _, Result};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// What to capture, and what to read beside it.
#[derive(Args)]
pub(crate) struct CaptureArgs {
    /// Interface to capture on, in every namespace that is named; NAMESPACE/INTERFACE for that one alone. May be repeated.
    /// Without it, all interfaces (any).
    #[arg(short, long = "interface", value_name = "INTERFACE")]
    interfaces: Vec<String>,
    /// Network namespace to watch: a name of `ip netns`, a process's number, a path, or host. May be repeated. Without it, the
    /// one this command runs in.
    #[arg(long = "netns", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Container whose network namespace to watch: its name, [NAMESPACE/]POD[/CONTAINER], or its id or the beginning of it
    /// (Docker, Podman, containerd, CRI-O). May be repeated.
    #[arg(long = "container", value_name = "CONTAINER")]
    containers: Vec<String>,
    /// End after so long: seconds, or with m or h.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Bytes kept of each packet at most.
    #[arg(short, long, value_name = "BYTES", default_value_t = 262_144)]
    snaplen: u32,
    /// Only packets that this host would take anyway.
    #[arg(short = 'p', long)]
    no_promiscuous: bool,
    /// The kernel's buffer for each capture, with K, M or G.
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = ring)]
    ring: u32,
    /// A source not to read. May be repeated.
    #[arg(long, value_name = "SOURCE", value_parser = sources())]
    without: Vec<String>,
    /// How packets that the kernel drops are traced. What is then not seen is said at the start.
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    kernel_drops: Tracing,
    /// Probe this service with five SYNs again and again, from the first namespace that is watched; the results stand in the
    /// log. May be repeated.
    #[arg(long = "probe", value_name = "HOST:PORT", value_parser = crate::probe::target)]
    probes: Vec<String>,
    /// Between two rounds of probes.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60")]
    probe_every: Duration,
    /// Tell Prometheus of Dropscope's own work at http://ADDRESS/metrics, for example 127.0.0.1:9477.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// User to go on as once everything is open, when started by root. Without it, whoever called sudo; without sudo, the
    /// user dropscope or nobody.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Which packets to capture, in the language of tcpdump (pcap-filter(7)).
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
}

/// The names that `--without` takes, each with what it stands for.
fn sources() -> PossibleValuesParser {
    SOURCES.iter().map(|kind| PossibleValue::new(kind.name).help(kind.about)).into()
}

/// Arguments of `record`.
#[derive(Args)]
pub(crate) struct RecordArgs {
    #[command(flatten)]
    capture: CaptureArgs,
    /// The log to write; - for standard output. With --keep, the folder of its segments: a recording that ended there, however
    /// it ended, goes on. Without it, dropscope-TIME.pcapng in this folder, or with --keep the folder dropscope.
    #[arg(short, long, value_name = "FILE|FOLDER")]
    output: Option<PathBuf>,
    #[command(flatten)]
    keeping: KeepArgs,
}

/// Records without a page.
pub(crate) fn record(args: &RecordArgs) -> Result<ExitCode> {
    let plan = Plan { triggers: args.keeping.triggers().to_vec(), ..args.capture.plan(None)? };
    let bounds = args.keeping.bounds()?;
    let path = args.output.clone().unwrap_or_else(|| match bounds {
        Some(_) => PathBuf::from("dropscope"),
        None => PathBuf::from(format!("dropscope-{}.pcapng", compact_time(SystemTime::now()))),
    });
    let mut rights = args.capture.rights()?;
    if bounds.is_some() {
        rights.will_record_into(&path)?;
    }
    let endpoint = args.capture.endpoint()?;
    let opened = plan.open(&rights)?;
    let file = bounds.is_none().then(|| LogFile::create(&path, &rights)).transpose()?;
    // Every thread that is started from here on holds nothing.
    rights.drop_here(&[])?;
    // Only now: the folder may be somebody else's, and so may be what lies in it.
    let log = match (file, bounds) {
        (None, Some(bounds)) => LogFile::in_segments(Segments::open(&path, bounds)?),
        (file, _) => file.context("a log is a file or has bounds")?,
    };
    runtime()?.block_on(async {
        // From here on a signal ends the recording instead of the process.
        let stop = serve::asked_to_stop();
        let limits = opened.limits().to_vec();
        // What reads standard output shows it as it comes.
        let pace = if path.as_os_str() == "-" { Pace::watched() } else { Pace::steady() };
        let recording = opened.begin(log, pace)?;
        say_what_is_recorded(&plan, &limits, &path);
        say_what_is_held(&rights);
        if let Some(endpoint) = endpoint {
            endpoint.serve(recording.metrics(), recording.growth(), None)?;
        }
        tokio::select! {
            () = stop => {}
            () = run_out(args.capture.duration) => {}
            () = recording.ended() => {}
        }
        Ok(conclude(&end(recording).await?, &path))
    })
}

impl CaptureArgs {
    /// What is given up once everything is open.
    pub(crate) fn rights(&self) -> Result<Rights> {
        Rights::choose(self.user.as_deref())
    }

    /// Opens the port of `--metrics`.
    pub(crate) fn endpoint(&self) -> Result<Option<Endpoint>> {
        if let Some(address) = self.metrics.filter(|address| !address.ip().is_loopback()) {
            complain!("metrics at {address}: whoever reaches this address reads them, without a token and not encrypted.");
        }
        self.metrics.map(Endpoint::open).transpose()
    }

    /// What these arguments mean on this host.
    pub(crate) fn plan(&self, own_port: Option<u16>) -> Result<Plan> {
        let mut watched = Vec::new();
        for text in &self.namespaces {
            add(&mut watched, namespace(text)?);
        }
        for text in &self.containers {
            add(&mut watched, Target::container(text)?);
        }
        let here = Target::host()?;
        let mut placed = Vec::new();
        let mut everywhere = Vec::new();
        for text in &self.interfaces {
            // A namespace may be a path; an interface's name holds no slash.
            match text.rsplit_once('/') {
                Some((place, interface)) => placed.push((namespace(place)?, interface)),
                None => everywhere.push(text.as_str()),
            }
        }
        if self.interfaces.is_empty() {
            everywhere.push("any");
        }
        if watched.is_empty() && !everywhere.is_empty() {
            watched.push(here.clone());
        }
        let mut captures = Vec::new();
        for target in &watched {
            captures.extend(everywhere.iter().map(|interface| (target.clone(), *interface)));
        }
        for (target, interface) in placed {
            add(&mut watched, target.clone());
            captures.push((target, interface));
        }
        let filter = self.filter.join(" ");
        let settings = |(target, interface): (Target, &str)| {
            let settings = CaptureSettings {
                snaplen: self.snaplen,
                filter: filter.clone(),
                ring_bytes: self.ring,
                promiscuous: !self.no_promiscuous,
                leave_out_port: own_port.filter(|_| target.netns == here.netns),
                ..CaptureSettings::of(interface)
            };
            (target, settings)
        };
        let captures = captures.into_iter().map(settings).collect();
        Ok(Plan {
            watched,
            captures,
            sources: WatchSettings { without: self.without.clone(), tracing: self.kernel_drops, ..WatchSettings::default() },
            triggers: Vec::new(),
            probes: recorded::Plan { targets: self.probes.clone(), every: self.probe_every },
        })
    }
}

impl Plan {
    /// What is captured, for people: `eth0`, `web-1/eth0, host/veth-c`.
    pub(crate) fn name(&self) -> String {
        let is_one_place = self.watched.len() == 1 && self.watched.iter().all(|target| target.name == "host");
        let one = |(target, settings): &(Target, CaptureSettings)| {
            if is_one_place { settings.interface.clone() } else { format!("{}/{}", target.name, settings.interface) }
        };
        self.captures.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

fn namespace(text: &str) -> Result<Target, NetnsError> {
    match Target::resolve(text) {
        Err(NetnsError::Unknown(name)) if name == "host" => Target::host(),
        other => other,
    }
}

fn add(watched: &mut Vec<Target>, target: Target) {
    if !watched.iter().any(|known| known.netns == target.netns) {
        watched.push(target);
    }
}

pub(crate) fn say_what_is_recorded(plan: &Plan, limits: &[String], path: &Path) {
    let to = if path.as_os_str() == "-" { "standard output".to_owned() } else { path.display().to_string() };
    complain!("recording {} to {to}. Ctrl-C ends it.", plan.name());
    for limit in limits {
        complain!("not recorded: {limit}");
    }
}

pub(crate) fn say_what_is_held(rights: &Rights) {
    for sentence in rights.sentences() {
        complain!("{sentence}");
    }
}

/// Ends a recording where it holds up nobody: its threads are waited for.
pub(crate) async fn end(recording: Recording) -> Result<Summary> {
    tokio::task::spawn_blocking(move || recording.end()).await.context("ending the recording failed")
}

/// Says what was recorded; fails when the log is not whole.
pub(crate) fn conclude(summary: &Summary, path: &Path) -> ExitCode {
    for (interface, packets, lost) in &summary.captures {
        complain!("{packets} packets on {interface}, {lost} lost by the capture.");
    }
    complain!("{} bytes in {}.", summary.bytes, path.display());
    for sentence in &summary.missing {
        complain!("the recording is not whole: {sentence}");
    }
    if let Some(trouble) = &summary.trouble {
        complain!("{trouble}");
    }
    if summary.missing.is_empty() && summary.trouble.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Waits as long as was asked for; for ever when nobody asked.
pub(crate) async fn run_out(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Bytes of a capture's ring: libpcap takes no more than an `int` holds, for each capture.
fn ring(text: &str) -> Result<u32, String> {
    let bytes = size(text)?;
    u32::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= i32::MAX as u32)
        .ok_or_else(|| format!("`{text}` is more than a capture's buffer may have, which is 2047M"))
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(char, f64); 3] = [('s', 1.0), ('m', 60.0), ('h', 3600.0)];
    let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let (digits, factor) = unit.unwrap_or((text, 1.0));
    let seconds = digits.parse::<f64>().ok().map(|number| number * factor);
    let length = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|length| !length.is_zero());
    length.ok_or_else(|| format!("`{text}` is not a time such as 30, 90s, 10m or 2h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_unless_a_unit_says_otherwise() {
        for (text, seconds) in [("30", 30.0), ("1.5", 1.5), ("90s", 90.0), ("10m", 600.0), ("2h", 7200.0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "s", "0", "-1", "NaN", "inf", "1e300", "3d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_ring_is_no_larger_than_libpcap_takes() {
        assert_eq!((ring("16M"), ring("2047M")), (Ok(16 << 20), Ok(2047 << 20)));
        for text in ["2G", "999999G", "5000000000"] {
            assert!(ring(text).is_err_and(|why| why.contains("2047M")), "{text}");
        }
    }

    #[test]
    fn only_a_source_that_there_is_can_be_left_out() {
        let parsed = |name: &str| crate::cli::command().try_get_matches_from(["dropscope", "record", "--without", name]);
        assert!(parsed("kernel_drops").is_ok());
        let why = parsed("kernel-drop").expect_err("there is no such source").to_string();
        assert!(why.contains("kernel_drops") && why.contains("softnet"), "{why}");
    }

    #[test]
    fn an_interface_belongs_to_its_own_namespace_or_to_all_that_are_named() {
        let args = |interfaces: &[&str], namespaces: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            let (interfaces, namespaces) = (texts(interfaces), texts(namespaces));
            CaptureArgs {
                interfaces,
                namespaces,
                containers: Vec::new(),
                duration: None,
                snaplen: 96,
                no_promiscuous: false,
                ring: 1 << 20,
                without: Vec::new(),
                kernel_drops: Tracing::Auto,
                probes: Vec::new(),
                probe_every: Duration::from_secs(60),
                metrics: None,
                user: None,
                filter: vec!["tcp".into(), "port".into(), "80".into()],
            }
        };
        let own = format!("/proc/{}/ns/net", std::process::id());
        let plan = args(&["lo", &format!("{own}/eth7")], &["host"]).plan(Some(4747)).unwrap();
        assert_eq!(plan.watched.len(), 1, "both are one namespace");
        let filters: Vec<_> = plan.captures.iter().map(|(_, one)| (one.interface.as_str(), one.whole_filter())).collect();
        let filter = "(tcp port 80) and not tcp port 4747".to_owned();
        assert_eq!(filters, [("lo", filter.clone()), ("eth7", filter)]);
        assert_eq!(args(&[], &[]).plan(None).unwrap().name(), "any");
    }
}
