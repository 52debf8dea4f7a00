//! The command line: one binary, one engine, a command for each thing a person wants to do.
//!
//! Exit status: 0 fine, 1 failed (for `check`: findings at or above `--fail-on`), 2 wrong use, 3 input that cannot be read.

use crate::agent::{AgentArgs, agent};
use crate::check::{CheckArgs, check};
use crate::input::{self, by_recording, files_of};
use crate::lab::{LabArgs, lab};
use crate::live::{LiveArgs, live};
use crate::manual::{self, CompletionsArgs, ManArgs};
use crate::packets::{PacketsArgs, packets};
use crate::probe::{ProbeArgs, probe};
use crate::record::{self, RecordArgs, say_what_is_held};
use crate::rights::Rights;
use crate::serve::{self, Browser, Server};
use crate::stderr::complain;
use crate::{output_file, stdout};
use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use dropscope_review::open_named;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit status: wrong use, as clap has it.
pub(crate) const WRONG_USE: u8 = 2;
/// Exit status: an input cannot be read.
pub(crate) const UNREADABLE: u8 = 3;

/// Why are packets being lost here?
///
/// Dropscope records packets together with what the kernel counted (interfaces, firewall rules, connection tracking), and
/// shows the causes of loss in the browser or on the terminal. It never changes anything on a host.
///
/// Without a command it serves the page with the reference case, ready to explore.
#[derive(Parser)]
#[command(name = "dropscope", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: ServerArgs,
}

const EXAMPLES: &str = "\
Examples:
  dropscope open capture.pcapng              look at a capture in the browser
  dropscope check capture.pcap               the same findings on the terminal
  sudo dropscope live -i eth0 'port 80'      record and watch as it happens
  sudo dropscope record -i eth0 -o web.pcapng --duration 30";

const LIVE_EXAMPLES: &str = "\
Examples:
  sudo dropscope live -i eth0 'port 80'
  sudo dropscope live --netns web-1                       every interface of a namespace
  sudo dropscope live -i web-1/eth0 -i host/veth-c        both ends of a veth pair";

const RECORD_EXAMPLES: &str = "\
Examples:
  sudo dropscope record -i eth0 -o web.pcapng --duration 30 'host 10.0.0.7'
  sudo dropscope record -i any -s 128 --netns 4711
  sudo dropscope record --keep 10m -o /var/log/drops      for ever, the last ten minutes
  sudo dropscope record --keep 2G --trigger 'nstat.TcpExtListenDrops>10/s' --trigger finding:critical
  sudo dropscope record --keep 1h --trigger 'rule:--dport 443 -j DROP' --trigger 'drop:NETFILTER_DROP>5/s'
  ssh web-1 sudo dropscope record -i eth0 -o - | wireshark -k -i -";

const PROBE_EXAMPLES: &str = "\
Examples:
  sudo dropscope probe --syn 20 web.example:443
  dropscope probe --http / web.example:443
  sudo dropscope probe --pmtu --json 10.0.0.7:80
  dropscope probe --dns web.example 10.0.0.53:53";

const PACKETS_EXAMPLES: &str = "\
Examples:
  dropscope packets --json capture.pcap | jq 'select(.analysis | index(\"retransmission\"))'
  dropscope packets capture.pcap --fields frame.number,ip.src,tcp.analysis.ack_rtt --filter 'tcp.analysis.ack_rtt > 0.2'
  dropscope packets capture.pcap -e tcp.stream,tcp.analysis.bytes_in_flight,judgement -Y tcp.analysis.flags --header";

const CHECK_EXAMPLES: &str = "\
Examples:
  dropscope check web.pcapng
  dropscope check --json web.pcapng | jq '.findings[].sentence'
  dropscope check --fail-on warning,interface_mtu before.pcap after.pcap
  tcpdump -w - -c 1000 | dropscope check -";

#[derive(Subcommand)]
enum Command {
    /// Look at captures in the browser.
    ///
    /// The files stay where they are; the page reads them from this process. Ends with Ctrl-C.
    #[command(after_help = "Example:\n  dropscope open before.pcap after.pcapng")]
    Open(OpenArgs),
    /// Record packets and counters, and watch in the browser as it happens.
    ///
    /// Packets and the kernel's counters go into one pcapng log on disk; the page reads that log while it grows. Whatever
    /// takes rights is opened first and the rights are given up; with fewer rights than root less is seen, and said. Ctrl-C ends it; the log stays.
    #[command(after_help = LIVE_EXAMPLES)]
    Live(LiveArgs),
    /// Record packets and counters without a page, as tcpdump -w.
    ///
    /// The log is a pcapng file that Wireshark opens; `dropscope check` and `dropscope open` show what is in it. Ctrl-C ends it.
    /// Exit status: 0 the log holds what was asked for, 1 it failed, a capture ended before the recording did, or the log could
    /// not be written for a while or was removed.
    #[command(after_help = RECORD_EXAMPLES)]
    Record(RecordArgs),
    /// Record for ever and send what is recorded to a review server.
    ///
    /// What is recorded goes to a spool on disk first and from there over one WebSocket to the server, where it can be watched
    /// live. After a cut sending goes on where the server's copy ends; the spool's size is bounded. Ctrl-C ends it.
    #[command(
        after_help = "Example:\n  sudo dropscope agent --push http://10.0.0.5:4747/ --push-token-file /etc/dropscope/token -i eth0 --spool-size 2G 'port 443'"
    )]
    Agent(AgentArgs),
    /// Say what is wrong in captures, on the terminal.
    ///
    /// The same findings as in the browser. Exit status: 0 fine, 1 something that --fail-on names was found, 2 wrong use, 3 a
    /// capture cannot be read.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// List the packets of a capture: one JSON object a line, or the values of fields.
    ///
    /// The values are Wireshark's. With --json the last line is a trailer that says how the file ends; --fields prints what
    /// `tshark -T fields` does, and knows every field that filters do.
    #[command(after_help = PACKETS_EXAMPLES)]
    Packets(PacketsArgs),
    /// Reproduce a cause of packet loss for real, record it, show it.
    ///
    /// A lab builds a small network in fresh network namespaces, breaks it in one way, and sends traffic through it, round after
    /// round until Ctrl-C. Nothing outside those namespaces is touched, and they are removed whatever happens. Needs root.
    #[command(after_help = "Examples:\n  dropscope lab\n  sudo dropscope lab mtu-100")]
    Lab(LabArgs),
    /// Write the reference case, which the page shows first, as a log.
    #[command(after_help = "Example:\n  dropscope reference -o - | dropscope check -")]
    Reference(ReferenceArgs),
    /// Does a service answer, how fast, and what is lost on the way?
    ///
    /// SYNs as `hping3 -S` sends them, an HTTP request with the phase it dies in, the path's MTU, a name server. Exit status: 0
    /// everything was answered, 1 something was lost or failed, 2 wrong use.
    #[command(after_help = PROBE_EXAMPLES)]
    Probe(ProbeArgs),
    /// The review server: captures that people share, behind links.
    ///
    /// Uploaded captures are kept in the data folder with the links that were made to them. The link printed at the start
    /// carries the right to do everything; a link made by sharing opens one capture and nothing else.
    #[command(after_help = "Example:\n  dropscope serve --listen 10.0.0.5 --port 8080 --data /srv/dropscope")]
    Serve(ServeArgs),
    /// Print what a shell reads to complete commands and options.
    #[command(after_help = "Example:\n  dropscope completions bash > /usr/share/bash-completion/completions/dropscope")]
    Completions(CompletionsArgs),
    /// Print a manual page.
    #[command(after_help = "Examples:\n  dropscope man record | man -l -\n  dropscope man --folder /usr/share/man/man1")]
    Man(ManArgs),
}

#[derive(Args)]
struct OpenArgs {
    /// Captures: pcap or pcapng, also compressed. Files that go on from each other, as tcpdump -C, dumpcap and dropscope record
    /// rotate them, and a folder of segments are one capture; the page shows one and lists the others.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// User to go on as once everything is open, when started by root. Without it, whoever called sudo; without sudo, the
    /// user dropscope or nobody.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

#[derive(Args)]
struct ReferenceArgs {
    /// The file to write; - for standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Where to serve, of the commands that show a page to the person who typed them.
#[derive(Args, Clone)]
pub(crate) struct ServerArgs {
    /// Port of the page; any free one when the usual one is taken.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Address to listen on; only this machine reaches the usual one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<IpAddr>,
    /// A name or address, other than localhost and the address listened on, under which browsers reach this server.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Folder for captures that are uploaded or recorded.
    #[arg(long, value_name = "FOLDER", env = "DROPSCOPE_DATA")]
    data: Option<PathBuf>,
    /// Do not open a browser.
    #[arg(long)]
    no_browser: bool,
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Largest upload, with K, M or G.
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = size)]
    max_upload: u64,
    /// User to go on as once port and data folder are open, when started by root. Without it, whoever called sudo; without
    /// sudo, the user dropscope or nobody.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

impl ServerArgs {
    pub(crate) fn settings(&self) -> serve::Settings {
        serve::Settings {
            listen: self.listen,
            port: self.port,
            names: self.names.clone(),
            data: self.data.clone(),
            max_upload: None,
            alone: false,
        }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::ready(!self.no_browser)
    }
}

/// Runs the command line this process was started with.
pub fn main() -> ExitCode {
    crate::stderr::log();
    let cli = Cli::parse();
    let done = match cli.command {
        None => reference_page(&cli.server),
        Some(Command::Open(args)) => open(&args),
        Some(Command::Live(args)) => live(&args),
        Some(Command::Lab(args)) => lab(&args),
        Some(Command::Agent(args)) => agent(&args),
        Some(Command::Check(args)) => check(&args),
        Some(Command::Packets(args)) => packets(&args),
        Some(Command::Reference(args)) => reference(&args),
        Some(Command::Record(args)) => record::record(&args),
        Some(Command::Probe(args)) => probe(&args),
        Some(Command::Serve(args)) => review_server(&args),
        Some(Command::Completions(args)) => manual::completions(&args),
        Some(Command::Man(args)) => manual::man(&args),
    };
    done.unwrap_or_else(|error| {
        complain!("{error:#}");
        ExitCode::FAILURE
    })
}

/// The command line, as data.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

fn reference_page(args: &ServerArgs) -> Result<ExitCode> {
    let (browser, mut rights) = (args.browser(), Rights::choose(None)?);
    let server = Server::open(args.settings(), &mut rights)?;
    say_what_root_holds(&rights);
    runtime()?.block_on(async {
        let stop = serve::asked_to_stop();
        let link = server.link(None).replacen("#/?", "#/reference?", 1);
        announce(&server, "The reference case, ready to explore, and a place to drop a capture:", &[link], &browser)?;
        eprintln!("To go live: sudo dropscope live -i INTERFACE");
        server.run(stop).await
    })?;
    Ok(ExitCode::SUCCESS)
}

fn open(args: &OpenArgs) -> Result<ExitCode> {
    let (browser, mut rights) = (args.server.browser(), Rights::choose(args.user.as_deref())?);
    // Opened now, for whoever this goes on as may not get there; a recording may have more segments than files are usually open.
    input::allow_many_open_files();
    let mut captures = Vec::new();
    for files in by_recording(&args.files) {
        let Some(file) = files.first().map(|piece| &piece.path) else { continue };
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        let mut opened = Vec::new();
        for one in &files {
            for path in files_of(&one.path)? {
                match open_named(&path) {
                    Ok(file) => opened.push((file, one.skip as u64)),
                    Err(error) => {
                        complain!("{} cannot be read: {error}", path.display());
                        return Ok(UNREADABLE.into());
                    }
                }
            }
        }
        captures.push((file.clone(), name, opened));
    }
    let server = Server::open(args.server.settings(), &mut rights)?;
    say_what_root_holds(&rights);
    let mut links = Vec::new();
    for (file, name, opened) in captures {
        match server.store().add_files(&name, opened) {
            Ok(id) => links.push(server.link(Some(&id))),
            Err(error) => {
                complain!("{} cannot be read: {error}", file.display());
                return Ok(UNREADABLE.into());
            }
        }
    }
    runtime()?.block_on(async {
        let stop = serve::asked_to_stop();
        announce(&server, "Dropscope shows what you opened. Ctrl-C ends it.", &links, &browser)?;
        server.run(stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Says what is held, where there was something to give up.
fn say_what_root_holds(rights: &Rights) {
    if rights.person().is_some() {
        say_what_is_held(rights);
    }
}

fn reference(args: &ReferenceArgs) -> Result<ExitCode> {
    let log = dropscope_core::reference::log();
    match args.output.as_os_str() == "-" {
        true => stdout::put(&log)?,
        false => output_file::write(&args.output, &log)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn review_server(args: &ServeArgs) -> Result<ExitCode> {
    let (browser, mut rights) = (args.server.browser(), Rights::choose(args.user.as_deref())?);
    let settings = serve::Settings { max_upload: Some(args.max_upload), alone: true, ..args.server.settings() };
    let server = Server::open(settings, &mut rights)?;
    say_what_is_held(&rights);
    runtime()?.block_on(async {
        let stop = serve::asked_to_stop();
        let link = server.link(None);
        announce(&server, "Dropscope keeps captures for review. Whoever has this link may do everything:", &[link], &browser)?;
        server.run(stop).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Says where the page is, on standard output, where a program that started this one can read it.
pub(crate) fn announce(server: &Server, sentence: &str, links: &[String], browser: &Browser) -> Result<()> {
    if let Some(warning) = server.warning() {
        complain!("{warning}");
    }
    stdout::say(sentence)?;
    for link in links {
        stdout::say(&format!("  {link}"))?;
    }
    if let Some(first) = links.first() {
        browser.show(first);
    }
    Ok(())
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("the threads that serve cannot be started")
}

/// Bytes, with K, M, G or T for powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(char, u64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix([*unit, unit.to_ascii_lowercase()])?, *factor)));
    let (digits, factor) = unit.unwrap_or((text, 1));
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| format!("`{text}` is not a size such as 500M or 4G"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [("0", Ok(0)), ("1500", Ok(1500)), ("2K", Ok(2048)), ("4G", Ok(4 << 30)), ("500m", Ok(500 << 20))] {
            assert_eq!(size(text), bytes, "{text}");
        }
        for text in ["", "G", "4X", "-1", "99999999999T", "4 G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
