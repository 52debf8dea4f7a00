//! A router whose link towards the client has MTU 600: once with its ICMP filtered (a black hole), once working.

use crate::Lab;
use crate::Net;
use anyhow::Result;

pub(super) const LAB_BLACK_HOLE: Lab = Lab {
    name: "pmtud-black-hole",
    about: "a router's link has MTU 600 and its ICMP fragmentation-needed messages are filtered",
    causes: &["pmtud_black_hole"],
    build,
    fault: |net| {
        narrow_link(net)?;
        net.between
            .run("iptables-nft", &["-A", "OUTPUT", "-p", "icmp", "--icmp-type", "fragmentation-needed", "-j", "DROP"])
            .map(drop)
    },
    load,
};

pub(super) const LAB_WORKING: Lab = Lab {
    name: "pmtud-ok",
    about: "control: the same router with its ICMP working, so the server learns the path's MTU",
    causes: &[],
    build,
    fault: narrow_link,
    load,
};

fn build(net: &mut Net) -> Result<()> {
    net.router()?;
    net.start_nginx()
}

fn narrow_link(net: &mut Net) -> Result<()> {
    net.between.ip("link set cside mtu 600").map(drop)
}

fn load(net: &mut Net) -> Result<String> {
    Ok(net.get("", "2")? + &net.get("big", "4")?)
}
