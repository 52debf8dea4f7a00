//! Probes that run beside a recording, over and over, and stand in its log.

use super::{Outcome, resolve, syn};
use crate::rights::Rights;
use crate::source::{Capability, Event, Sample, Sender, Target};
use anyhow::{Context as _, Result, bail};
use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// One series: five SYNs, which two seconds see retransmitted once.
const SERIES: syn::Settings = syn::Settings { count: 5, interval: Duration::from_millis(100), timeout: Duration::from_secs(2) };

/// What is probed while a recording runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Each as HOST:PORT.
    pub(crate) targets: Vec<String>,
    /// Between the beginnings of two rounds.
    pub(crate) every: Duration,
}

/// The thread that probes.
#[derive(Debug)]
pub(crate) struct Prober {
    orders: std::sync::mpsc::Sender<Order>,
    thread: JoinHandle<()>,
}

enum Order {
    Begin,
    Probed(Vec<Outcome>),
    End,
}

impl Prober {
    /// Gets ready to probe from inside `place`: names are resolved and rights given up, but for raw sockets.
    pub(crate) fn open(plan: &Plan, place: &Target, rights: &Rights, to: &Sender) -> Result<Option<Self>> {
        if plan.targets.is_empty() {
            return Ok(None);
        }
        let mut addresses = Vec::new();
        for target in &plan.targets {
            match resolve(target) {
                Ok(address) => addresses.push(address),
                Err(outcome) => bail!("{}", outcome.probe.summary),
            }
        }
        let (orders, taken) = channel();
        let (confined, answer) = sync_channel(1);
        let (tell, rights, to, every) = (orders.clone(), rights.clone(), to.clone(), plan.every);
        let body = move || {
            let result = rights.confine(&[Capability::CAP_NET_RAW]);
            let is_confined = result.is_ok();
            let _ = confined.send(result);
            if !is_confined || !matches!(taken.recv(), Ok(Order::Begin)) {
                return;
            }
            loop {
                // On a thread of its own, so that a recording that ends need not wait for answers that do not come.
                let (tell, addresses) = (tell.clone(), addresses.clone());
                std::thread::spawn(move || tell.send(Order::Probed(addresses.iter().map(series).collect())));
                let Ok(Order::Probed(outcomes)) = taken.recv() else { return };
                let probes = outcomes.into_iter().map(|outcome| outcome.probe).collect();
                if to.send(Event::Sample(Sample { probes, ..Sample::begin() })).is_err() {
                    return;
                }
                if !matches!(taken.recv_timeout(every), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        };
        let thread = place.spawn("probe", body)?;
        answer.recv().context("the thread that probes ended early")??;
        Ok(Some(Self { orders, thread }))
    }

    /// Begins to probe.
    pub(crate) fn start(&self) {
        let _ = self.orders.send(Order::Begin);
    }

    /// Ends it; an answer that is still waited for is not recorded.
    pub(crate) fn stop(self) {
        let _ = self.orders.send(Order::End);
        if self.thread.join().is_err() {
            tracing::warn!("the thread that probes failed");
        }
    }
}

fn series(address: &SocketAddr) -> Outcome {
    syn::series(*address, &SERIES)
}
