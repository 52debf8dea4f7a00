//! `dropscope agent`: records for ever and sends what it records to a review server.

use crate::cli::{runtime, size};
use crate::keep::FreezeArgs;
use crate::log_file::LogFile;
use crate::push::{self, Address, Pusher, Saved, Tally};
use crate::record::{CaptureArgs, conclude, end, run_out, say_what_is_held, say_what_is_recorded};
use crate::recording::Plan;
use crate::segments::{Bounds, Segments, Sent};
use crate::serve;
use crate::source::Pace;
use crate::stderr::complain;
use crate::tls;
use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long what is left may take to be sent when the recording ends.
const GOODBYE: Duration = Duration::from_secs(10);
/// A segment of the spool is followed by the next after so long, and is at most a sixteenth of the spool.
const SEGMENT_TIME: Duration = Duration::from_secs(60);
const SEGMENT_BYTES: u64 = 64 << 20;
const SEGMENTS: u64 = 16;

/// Arguments of `agent`.
#[derive(Args)]
pub(crate) struct AgentArgs {
    /// The review server: the link that `dropscope serve` printed. With https:// (a proxy in front of it that speaks TLS) it is
    /// sent encrypted, to a server this host trusts.
    #[arg(long, value_name = "LINK", env = "DROPSCOPE_PUSH", hide_env_values = true)]
    push: Address,
    /// Read the token from this file instead of the link: what stands in a command line every user of this host can read. Or
    /// set DROPSCOPE_PUSH_TOKEN.
    #[arg(long, value_name = "FILE", env = "DROPSCOPE_PUSH_TOKEN_FILE")]
    push_token_file: Option<PathBuf>,
    /// Trust the authorities in this PEM file instead of the host's.
    #[arg(long, value_name = "FILE", env = "DROPSCOPE_PUSH_CA")]
    push_ca: Option<PathBuf>,
    /// Folder for what is not sent yet. An agent that is started again in it goes on with the same capture.
    #[arg(long, value_name = "FOLDER")]
    spool: Option<PathBuf>,
    /// Bytes the spool may take, with K, M or G. What does not fit is removed, the oldest first: that is told in the log.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    spool_size: u64,
    #[command(flatten)]
    capture: CaptureArgs,
    #[command(flatten)]
    freezing: FreezeArgs,
}

/// Records and sends.
pub(crate) fn agent(args: &AgentArgs) -> Result<ExitCode> {
    let address = address(args)?;
    let folder = args.spool.clone().map_or_else(|| serve::data_folder().map(|data| data.join("spool")), Ok)?;
    if args.push_ca.is_some() && !args.push.tls {
        bail!("--push-ca is for a link with https://; what is sent to {} is not encrypted", args.push);
    }
    let trust = args.push.tls.then(|| tls::client(args.push_ca.as_deref())).transpose()?;
    let mut plan = Plan { triggers: args.freezing.triggers().to_vec(), ..args.capture.plan(None)? };
    // What is sent must not be captured: every packet would cause another one.
    let servers = (args.push.host.as_str(), args.push.port).to_socket_addrs();
    let server = servers.ok().and_then(|mut found| found.next());
    plan.leave_out(server)?;
    let mut rights = args.capture.rights()?;
    rights.will_record_into(&folder)?;
    let endpoint = args.capture.endpoint()?;
    let opened = plan.open(&rights)?;
    let bounds = Bounds {
        segment_bytes: SEGMENT_BYTES.min(args.spool_size / SEGMENTS).max(4096),
        segment_time: SEGMENT_TIME,
        keep_bytes: Some(args.spool_size),
        keep_time: None,
        freeze: args.freezing.freeze,
        most_frozen: args.freezing.most_frozen,
    };
    rights.drop_here(&[])?;
    // Only now: the spool may be somebody else's, and so may be what lies in it.
    let mut segments = Segments::open(&folder, bounds)?;
    let saved = Saved::read(segments.folder(), &address);
    if saved.is_none() && address.token.is_empty() {
        bail!(
            "there is no token: name its file with --push-token-file, or set DROPSCOPE_PUSH_TOKEN; it stands behind k= in the link that `dropscope serve` printed"
        );
    }
    let sent = Arc::new(Sent::default());
    if let Some(saved) = &saved {
        sent.acknowledged.store(saved.acknowledged, Ordering::Release);
        sent.sending.store(saved.sending, Ordering::Release);
    }
    segments.guard(Arc::clone(&sent));
    let progress = segments.progress();
    let spool = segments.folder().clone();
    runtime()?.block_on(async {
        let stop = serve::asked_to_stop();
        let limits = opened.limits().to_vec();
        let recording = opened.begin(LogFile::in_segments(segments), Pace::watched())?;
        let tally = Arc::new(Tally::new(spool.clone(), Arc::clone(&sent)));
        recording.metrics().tell_of(Arc::clone(&tally));
        say_what_is_recorded(&plan, &limits, &folder);
        say_what_is_held(&rights);
        complain!("sending it to {}.", args.push);
        if let Some(endpoint) = endpoint {
            endpoint.serve(recording.metrics(), recording.growth(), None)?;
        }
        let pusher = Pusher { address, trust, name: plan.name(), folder: spool, progress, sent, tally, saved, reached: (0, 0) };
        let mut pushing = tokio::spawn(pusher.run());
        let mut sent = None;
        tokio::select! {
            () = stop => {}
            () = run_out(args.capture.duration) => {}
            () = recording.ended() => {}
            done = &mut pushing => sent = Some(done),
        }
        let status = conclude(&end(recording).await?, &folder);
        if sent.is_none() {
            sent = tokio::time::timeout(GOODBYE, pushing).await.ok();
        }
        let spool = folder.display();
        match sent {
            Some(done) => done.context("sending failed")?.map_err(|why| {
                anyhow!(
                    "{} takes no more of this recording, so it was stopped. {why} What was not sent lies in {spool}; \
                     to record anew, start with another --spool.",
                    args.push
                )
            })?,
            None => complain!("not everything was sent; an agent that is started again with --spool {spool} goes on."),
        }
        Ok(status)
    })
}

/// The server, with the token from wherever it was given: its file, the environment, or the link.
fn address(args: &AgentArgs) -> Result<Address> {
    const TOKEN: &str = "DROPSCOPE_PUSH_TOKEN";
    let given = match &args.push_token_file {
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("the token in {} cannot be read", path.display()))?)
        }
        None => std::env::var(TOKEN).ok(),
    };
    let mut address = args.push.clone();
    if let Some(given) = given {
        address.token = push::token_in(&given).map_err(anyhow::Error::msg)?;
    } else if !address.token.is_empty() && std::env::var_os("DROPSCOPE_PUSH").is_none() {
        complain!(
            "the token stands in this command line, where every user of this host can read it: use --push-token-file or {TOKEN}."
        );
    }
    Ok(address)
}
