//! Agreement with tshark, packet by packet and field by field.

use crate::shell::{self, say};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The captures of the repository, which the tests compare.
const OURS: &str = "core/tests/data";

/// What is compared: link, addresses, transport, and what Wireshark works out along a TCP conversation.
const FIELDS: &[&str] = &[
    "frame.len",
    "frame.cap_len",
    "eth.type",
    "arp.opcode",
    "ip.src",
    "ip.dst",
    "ip.ttl",
    "ip.len",
    "ip.proto",
    "ip.flags.df",
    "ip.frag_offset",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.hlim",
    "icmp.type",
    "icmp.code",
    "icmpv6.type",
    "udp.srcport",
    "udp.dstport",
    "udp.length",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.stream",
    "tcp.seq",
    "tcp.ack",
    "tcp.len",
    "tcp.window_size_value",
    "tcp.window_size",
    "tcp.options.mss_val",
    "tcp.options.timestamp.tsval",
    "tcp.analysis.retransmission",
    "tcp.analysis.fast_retransmission",
    "tcp.analysis.spurious_retransmission",
    "tcp.analysis.out_of_order",
    "tcp.analysis.duplicate_ack_num",
    "tcp.analysis.lost_segment",
    "tcp.analysis.ack_lost_segment",
    "tcp.analysis.zero_window",
    "tcp.analysis.zero_window_probe",
    "tcp.analysis.window_full",
    "tcp.analysis.window_update",
    "tcp.analysis.keep_alive",
    "tcp.analysis.reused_ports",
    "tcp.analysis.initial_rtt",
];

/// The bars, in thousandths: of the values of each field, of all values, and of captures with as many packets.
const EACH_FIELD: u64 = 995;
const ALL_FIELDS: u64 = 999;
/// Differences that are printed.
const MOST_SHOWN: usize = 20;

/// `cargo xtask agree [DIR]`: compares every capture below a folder, with the binary that `DROPSCOPE` names or else a release build.
pub(crate) fn agree(args: &[String]) -> Result<()> {
    let folder = args.first().map_or(Path::new(OURS), Path::new);
    if let Some(dropscope) = std::env::var_os("DROPSCOPE") {
        return compare(folder, Path::new(&dropscope));
    }
    say("building the binary (release)");
    shell::run("cargo", &["build", "--release", "-p", "dropscope-agent"])?;
    compare(folder, &crate::setup::target_folder().join("release/dropscope"))
}

/// The same over the captures of the repository, as one of the tests.
pub(crate) fn agree_on_ours(dropscope: &Path) -> Result<()> {
    compare(Path::new(OURS), dropscope)
}

fn compare(folder: &Path, dropscope: &Path) -> Result<()> {
    ensure!(shell::which("tshark").is_some(), "tshark is missing");
    let captures = captures_below(folder)?;
    ensure!(!captures.is_empty(), "{} holds no capture", folder.display());
    let mut sums = vec![Sum::default(); FIELDS.len()];
    let (mut unread, mut shown) = (Vec::new(), 0);
    for capture in &captures {
        let (ours, theirs) = (ours(dropscope, capture)?, tsharks(capture)?);
        if ours.len() != theirs.len() {
            unread.push(format!("{}: {} packets, TShark {}", capture.display(), ours.len(), theirs.len()));
            continue;
        }
        for (no, (ours, theirs)) in (1..).zip(ours.iter().zip(&theirs)) {
            for (field, sum) in sums.iter_mut().enumerate() {
                let of = |line: &'_ str| line.split('\t').nth(field).unwrap_or_default().to_owned();
                let (ours, theirs) = (plain(FIELDS[field], &of(ours)), plain(FIELDS[field], &of(theirs)));
                if !sum.add(&ours, &theirs) && shown < MOST_SHOWN {
                    shown += 1;
                    println!("{} {no} {}: {ours:?}, TShark {theirs:?}", capture.display(), FIELDS[field]);
                }
            }
        }
    }
    verdict(&sums, captures.len(), &unread)
}

/// Prints the agreement and fails below the bars.
fn verdict(sums: &[Sum], captures: usize, unread: &[String]) -> Result<()> {
    let mut below: Vec<String> = unread.to_vec();
    for (field, sum) in FIELDS.iter().zip(sums) {
        if sum.is_below(EACH_FIELD) {
            below.push(format!("{field}: {} of {} values agree", sum.equal, sum.values));
        }
    }
    let all = sums.iter().fold(Sum::default(), |all, sum| Sum { equal: all.equal + sum.equal, values: all.values + sum.values });
    ensure!(all.values > 0, "no value was compared");
    if all.is_below(ALL_FIELDS) {
        below.push(format!("all fields: {} of {} values agree", all.equal, all.values));
    }
    say(&format!("{captures} captures: {} of {} values agree with TShark", all.equal, all.values));
    if !below.is_empty() {
        bail!("agreement with TShark is below its bars:\n  {}", below.join("\n  "));
    }
    Ok(())
}

/// Values of a field that one of both shows, and those that are equal.
#[derive(Clone, Copy, Default)]
struct Sum {
    equal: u64,
    values: u64,
}

impl Sum {
    /// Counts a pair; false if it differs.
    fn add(&mut self, ours: &str, theirs: &str) -> bool {
        let is_equal = ours == theirs;
        if !(ours.is_empty() && theirs.is_empty()) {
            self.values += 1;
            self.equal += u64::from(is_equal);
        }
        is_equal
    }

    fn is_below(&self, thousandths: u64) -> bool {
        self.equal * 1_000 < self.values * thousandths
    }
}

/// A value without what only its notation makes different: numbers are padded otherwise, and labels are there or not.
fn plain(field: &str, values: &str) -> String {
    let is_label = field.starts_with("tcp.analysis.") && !field.ends_with("_num") && !field.ends_with("_rtt");
    if is_label {
        return if values.is_empty() { String::new() } else { "there".into() };
    }
    let number = |value: &str| match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).map_or_else(|_| value.to_owned(), |number| number.to_string()),
        None => value.to_owned(),
    };
    values.split(',').map(number).collect::<Vec<_>>().join(",")
}

fn captures_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut captures = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            captures.extend(captures_below(&path)?);
        } else if path.extension().is_some_and(|kind| ["pcap", "pcapng", "cap"].iter().any(|known| kind == *known)) {
            captures.push(path);
        }
    }
    captures.sort();
    Ok(captures)
}

fn ours(dropscope: &Path, capture: &Path) -> Result<Vec<String>> {
    let mut command = Command::new(dropscope);
    lines(command.arg("packets").arg(capture).args(["--fields", &FIELDS.join(",")]))
}

fn tsharks(capture: &Path) -> Result<Vec<String>> {
    let mut command = Command::new("tshark");
    // Twice over the capture, as Wireshark's window shows it; nobody's own settings.
    command.args(["-n", "-2", "-T", "fields"]).env("WIRESHARK_CONFIG_DIR", "/nonexistent");
    for field in FIELDS {
        command.args(["-e", field]);
    }
    lines(command.arg("-r").arg(capture))
}

fn lines(command: &mut Command) -> Result<Vec<String>> {
    let line = shell::line_of(command);
    let output = command.output().with_context(|| format!("starting `{line}`"))?;
    if output.stdout.is_empty() && !output.status.success() {
        bail!("`{line}` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_the_bar_fails_and_an_equal_count_does_not() {
        let mut sums = vec![Sum { equal: 1_000, values: 1_000 }; FIELDS.len()];
        assert!(verdict(&sums, 1, &[]).is_ok());
        assert!(verdict(&sums, 1, &["a.pcap: 1 packets, TShark 2".into()]).is_err());
        sums[3] = Sum { equal: 994, values: 1_000 };
        assert!(verdict(&sums, 1, &[]).is_err_and(|error| error.to_string().contains(FIELDS[3])));
        assert!(verdict(&vec![Sum::default(); FIELDS.len()], 1, &[]).is_err(), "nothing was compared");
    }
}
