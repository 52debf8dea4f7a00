//! The host's connection tracking table is full: new connections vanish, and no rule's counter rises.
//!
//! `nf_conntrack_max` is one number for the whole machine, so this lab lowers it for as long as it runs and puts it back;
//! each namespace counts its own entries against it.

use crate::Lab;
use anyhow::{Context, Result};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

pub(super) const LAB: Lab = Lab {
    name: "conntrack-full",
    about: "the host's connection tracking table holds 20 entries and is full (lowers nf_conntrack_max while it runs)",
    causes: &["conntrack_full"],
    build: |net| {
        net.docker()?;
        net.start_nginx()
    },
    fault: |net| {
        // A rule that looks at the state switches connection tracking on.
        net.between.run("iptables-nft", &["-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "ACCEPT"])?;
        let restore = Restore::lower_to("20")?;
        net.keep.push(Box::new(restore));
        Ok(())
    },
    load: |net| {
        let server = SocketAddr::from((net.server_address, 80));
        let (streams, told) = net.client.enter(|| {
            let attempts: Vec<_> = (0..40).map(|_| TcpStream::connect_timeout(&server, Duration::from_millis(200))).collect();
            let connected: Vec<TcpStream> = attempts.into_iter().flatten().collect();
            let told = format!("40 tries, {} connected\n", connected.len());
            Ok((connected, told))
        })?;
        drop(streams);
        Ok(told)
    },
};

/// Puts the machine's limit back, by a shell that outlives even `kill -9` of this process.
struct Restore {
    shell: Child,
}

impl Restore {
    fn lower_to(limit: &str) -> Result<Self> {
        let before = std::fs::read_to_string(MAX).with_context(|| format!("reading {MAX}"))?;
        let script = format!("cat >/dev/null; echo {} > {MAX}", before.trim());
        let shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().context("starting sh")?;
        let restore = Self { shell };
        std::fs::write(MAX, limit).with_context(|| format!("writing {MAX}"))?;
        Ok(restore)
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Nothing can be done about a shell that cannot be waited for.
        let _ = self.shell.wait();
    }
}
