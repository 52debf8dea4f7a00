//! `dropscope probe`: does a service answer, how fast, what is lost on the way, and which size of packet passes.
//!
//! Probing is the one thing here that sends packets, so it happens only when it is asked for. Each probe ends in an
//! [`Outcome`]: one full sentence, numbers for `--json`, and, while a recording runs (`--probe` of `live` and `record`), a
//! record in the log.

mod dns;
mod http;
mod path_mtu;
pub(crate) mod recorded;
mod socket;
mod syn;
mod wire;

use crate::record::duration;
use crate::stdout;
use anyhow::Result;
use clap::Args;
use dropscope_core::log::block::Probe;
use serde_json::{Value, json};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `probe`.
#[derive(Args)]
pub(crate) struct ProbeArgs {
    /// The service: a name or an address, and a port. An IPv6 address stands in brackets.
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    target: String,
    /// Open so many connections half, and see how many SYNs are answered (as `hping3 -S`); whole ones without CAP_NET_RAW.
    /// This is also what is done when nothing else is asked for, five times.
    #[arg(long, value_name = "N")]
    syn: Option<u32>,
    /// Between two SYNs.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0.1")]
    interval: Duration,
    /// Fetch this path by HTTP (by HTTPS on port 443, or with --tls).
    #[arg(long, value_name = "PATH")]
    http: Option<String>,
    /// Speak TLS, whatever the port.
    #[arg(long, requires = "http")]
    tls: bool,
    /// Find the largest packet that passes, by echo requests that must not be fragmented.
    #[arg(long)]
    pmtu: bool,
    /// Ask this server for the addresses of a name, over UDP.
    #[arg(long, value_name = "NAME")]
    dns: Option<String>,
    /// How long an answer may take, and an HTTP answer as a whole. Four seconds see two retransmissions of a SYN, eight three.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "4")]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How one probe ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// As it stands in the log.
    pub(crate) probe: Probe,
    /// Whether everything was answered as it should be.
    pub(crate) is_fine: bool,
    /// What else is known, for programs.
    details: Value,
}

impl Outcome {
    fn json(&self) -> Value {
        let Probe { kind, target, sent, answered, rtt_ns, summary, .. } = &self.probe;
        json!({
            "kind": kind, "target": target, "fine": self.is_fine, "sent": sent, "answered": answered,
            "rtt_ms": syn::Times::of(rtt_ns).map(|times| times.json()), "summary": summary, "details": self.details,
        })
    }
}

/// Probes and prints.
pub(crate) fn probe(args: &ProbeArgs) -> Result<ExitCode> {
    let outcomes = match resolve(&args.target) {
        Ok(address) => args.outcomes(address),
        Err(outcome) => vec![*outcome],
    };
    if args.json {
        let all: Vec<_> = outcomes.iter().map(Outcome::json).collect();
        let text = format!("{:#}", json!({ "version": 1, "target": args.target, "probes": all }));
        stdout::say_json(&text)?;
    } else {
        for outcome in &outcomes {
            stdout::say(&outcome.probe.summary)?;
        }
    }
    Ok(if outcomes.iter().all(|outcome| outcome.is_fine) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl ProbeArgs {
    fn outcomes(&self, address: SocketAddr) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let is_alone = self.http.is_none() && self.dns.is_none() && !self.pmtu;
        if let Some(count) = self.syn.or(is_alone.then_some(5)) {
            outcomes.push(syn::series(address, &syn::Settings { count, interval: self.interval, timeout: self.timeout }));
        }
        if let Some(path) = &self.http {
            let host = self.target.rsplit_once(':').map_or(self.target.as_str(), |(host, _)| host);
            let request = http::Request { host, path, tls: self.tls || address.port() == 443, timeout: self.timeout };
            outcomes.push(http::get(address, &request));
        }
        if self.pmtu {
            outcomes.push(path_mtu::search(address, self.timeout));
        }
        if let Some(name) = &self.dns {
            outcomes.push(dns::ask(address, name, self.timeout));
        }
        outcomes
    }
}

/// The address that is probed: the first one the name has. A name that cannot be resolved is a result, not wrong use.
pub(crate) fn resolve(target: &str) -> Result<SocketAddr, Box<Outcome>> {
    let began_ns = crate::source::clock::realtime_ns();
    let found = target.to_socket_addrs().map(|mut addresses| addresses.next());
    let why = match found {
        Ok(Some(address)) => return Ok(address),
        Ok(None) => "it has no address".to_owned(),
        Err(error) => error.to_string(),
    };
    let summary = format!("{target} cannot be probed: its name cannot be resolved ({why}).");
    let probe = Probe { at_ns: began_ns, kind: "resolve".into(), target: target.into(), sent: 1, summary, ..Probe::default() };
    Err(Box::new(Outcome { probe, is_fine: false, details: json!({ "died_in": "resolve", "error": why }) }))
}

/// What can be a target: `HOST:PORT`.
pub(crate) fn target(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    port.filter(|(host, _)| !host.is_empty()).map(|_| text.to_owned()).ok_or_else(|| format!("`{text}` is not HOST:PORT"))
}

/// A duration as people read it: `0.2 ms`, `16 ms`, `1.02 s`.
fn text(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 0.01 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{:.1} ms", seconds * 1e3),
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
