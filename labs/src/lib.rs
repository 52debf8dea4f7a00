//! Labs: each reproduces one cause of packet loss for real, in fresh network namespaces.
//!
//! A lab is a topology, a fault and a load. Nothing outside the namespaces it makes is touched (but for
//! `conntrack_full`, which says so), and they are gone afterwards whatever happens: on success, on failure, on a signal, and,
//! through a helper process that notices its parent's death, after `kill -9`.
//!
//! Needs root and the host's own tools: `ip`, `iptables`, `nft`, `tc`, `nginx`, `hping3`, `curl`.

mod lab;
mod namespace;
mod reaper;
mod topology;
mod web;

pub use lab::LABS;
pub use namespace::Namespace;
pub use topology::Net;

use anyhow::{Context, Result, bail};

/// One lab.
pub struct Lab {
    /// `mtu-100`.
    pub name: &'static str,
    /// One sentence: what is wrong in it.
    pub about: &'static str,
    /// The slugs of the rules that must find it; empty for a control, in which nothing may alarm.
    pub causes: &'static [&'static str],
    /// Builds the topology and starts servers.
    build: fn(&mut Net) -> Result<()>,
    /// Breaks it.
    fault: fn(&mut Net) -> Result<()>,
    /// Sends traffic once; takes a few seconds at most. What the tools printed.
    load: fn(&mut Net) -> Result<String>,
}

/// A lab that is set up and broken, ready for traffic. Dropping it tears everything down.
pub struct Running {
    lab: &'static Lab,
    net: Net,
}

impl Lab {
    /// The lab of this name.
    pub fn named(name: &str) -> Result<&'static Lab> {
        LABS.iter().find(|lab| lab.name == name).with_context(|| {
            let names: Vec<&str> = LABS.iter().map(|lab| lab.name).collect();
            format!("there is no lab `{name}`; there are {}", names.join(", "))
        })
    }

    /// Sets it up and breaks it. `prefix` begins the namespaces' names, so that several labs can run side by side.
    pub fn start(&'static self, prefix: &str) -> Result<Running> {
        require_root()?;
        let mut net = Net::new(prefix)?;
        (self.build)(&mut net).with_context(|| format!("setting up lab {}", self.name))?;
        (self.fault)(&mut net).with_context(|| format!("breaking lab {}", self.name))?;
        Ok(Running { lab: self, net })
    }
}

impl Running {
    /// The lab.
    pub fn lab(&self) -> &'static Lab {
        self.lab
    }

    /// Its namespaces and addresses.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Sends its traffic once and returns what the tools printed.
    pub fn load(&mut self) -> Result<String> {
        (self.lab.load)(&mut self.net).with_context(|| format!("loading lab {}", self.lab.name))
    }
}

/// Whether this process may make network namespaces.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn require_root() -> Result<()> {
    if !is_root() {
        bail!("a lab makes network namespaces, which needs root: run it with sudo");
    }
    Ok(())
}
