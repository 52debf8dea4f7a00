//! Ten viewers that stall and one that keeps up, under load: the agent's memory stays flat, the fast one sees what is recorded
//! within a second, and nothing is lost. For a few seconds here; for ten minutes with
//! `DROPSCOPE_MINUTES=10 cargo test -p dropscope-agent --test viewers`.
//!
//! These need root; without it each says so in one line and passes, except where `CI` is set.

mod common;

use common::{Dropscope, Namespace, PATIENCE, can_run, read};
use dropscope_core::log::Decoder;
use dropscope_core::log::record::Record;
use futures_util::StreamExt as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// What memory may grow by once everything runs: no queue of a stalled viewer fits in it.
const MOST_GROWN: u64 = 16 << 20;

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells it");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") << 10
}

async fn follow(server: &str, id: &str, token: &str, from: u64) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let mut request = format!("ws://{server}/api/captures/{id}/live?from={from}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", format!("dropscope.v1, bearer.{token}").parse().unwrap());
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_stalled_viewers_cost_neither_memory_nor_packets_and_a_fast_one_is_within_a_second() {
    if !can_run("ten_stalled_viewers_cost_neither_memory_nor_packets_and_a_fast_one_is_within_a_second") {
        return;
    }
    let minutes = std::env::var("DROPSCOPE_MINUTES").ok().and_then(|text| text.parse::<f64>().ok());
    let lasting = minutes.map_or(Duration::from_secs(6), |minutes| Duration::from_secs_f64(minutes * 60.0));
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("viewers");
    let args = ["live", "--netns", &namespace.0, "-i", "lo", "--port", "0", "-o", "a.pcapng", "--no-browser", "udp"];
    let mut dropscope = Dropscope::start(folder.path(), &args);
    let link = dropscope.hear("http://").trim().to_owned();
    let (server, route) = link.strip_prefix("http://").unwrap().split_once("/#/c/").unwrap();
    let (id, token) = route.split_once("?k=").unwrap();
    let mut traffic = namespace.send_datagrams(1000, Duration::from_micros(300));

    // They connect and never read a byte again.
    let mut stalled = Vec::new();
    for _ in 0..10 {
        stalled.push(follow(server, id, token, 0).await);
    }
    let mut fast = follow(server, id, token, 0).await;
    let mut decoder = Decoder::new();
    let (mut newest, mut slowest, mut bytes) = (0_i64, Duration::ZERO, 0_usize);
    let began = Instant::now();
    // What is built up once (buffers, threads) is there after a third.
    let (mut settled, mut most) = (None, 0);
    while began.elapsed() < lasting {
        let message = tokio::time::timeout(PATIENCE, fast.next()).await.expect("the server went silent");
        if let Message::Binary(blocks) = message.unwrap().unwrap() {
            bytes += blocks.len();
            decoder.push(&blocks, |record| {
                if let Record::Packet(packet) = record {
                    newest = newest.max(packet.time.map_or(0, |time| time.nanos()));
                }
            });
            // Before the first packet there is nothing to be behind of.
            if newest > 0 {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
                slowest = slowest.max(Duration::from_nanos(now.saturating_sub(newest).unsigned_abs()));
            }
        }
        if began.elapsed() > lasting / 3 {
            let now = resident(dropscope.child.id());
            settled.get_or_insert(now);
            most = most.max(now);
        }
    }
    let settled = settled.expect("a message comes every 100 ms");
    traffic.stop();
    drop((fast, stalled));
    assert!(dropscope.end().success());

    let found = read(&std::fs::read(folder.path().join("a.pcapng")).unwrap());
    eprintln!(
        "{:.0} s, {bytes} bytes seen, {} packets; the fast viewer was {:.0} ms behind at most; {} KiB resident, {} KiB more at most",
        lasting.as_secs_f64(),
        found.packets,
        slowest.as_secs_f64() * 1e3,
        settled >> 10,
        most.saturating_sub(settled) >> 10
    );
    assert!(slowest < Duration::from_secs(1), "the fast viewer was {slowest:?} behind");
    assert!(most < settled + MOST_GROWN, "memory grew from {settled} to {most} bytes");
    assert_eq!(
        (found.end.is_none(), found.is_without_gap(), found.numbers.len()),
        (true, true, traffic.sent()),
        "nothing is lost"
    );
    assert!(found.marks("capture_lost").is_empty());
    assert!(bytes > 1_000_000, "the fast viewer saw {bytes} bytes");
}
