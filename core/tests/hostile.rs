//! Logs whose texts are hostile, put through every printer: each text field of each block in turn, and the options of pcapng.
//!
//! The fields are found in the bytes, not listed here, so that a new one is tried as well. Whatever a log says, no printer lets a control
//! character through, Markdown gets no tag, image or link, and each command is read by a shell as the words it consists of.

#![cfg(not(target_arch = "wasm32"))]

use dropscope_core::command::Command;

use dropscope_core::log::block::Probe;
use dropscope_core::log::record::Section;
use dropscope_core::query::report::{self, Report};
use dropscope_core::query::{Chosen, Engine, FieldLines, PacketLines, Survey, medium};
use dropscope_core::reference;
use dropscope_core::rules::Judgement;
use dropscope_core::script::Script;
use dropscope_core::text::is_control;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

/// What a terminal, a browser, Markdown or a shell would act on.
const EVIL: &str =
    "\u{1b}[2J\u{7}\r\n\u{9b}31m\u{202e}\u{2066}`<script>alert(1)</script>![i](https://evil.example/i.png)|$(id);'\"\\";

/// What can be typed, and would run where it is not quoted.
const SHELL: &str = ";`id`#'\"*";

/// A host with a bit of everything.
const TROUBLE: &str = "date 2021-06-01
host web-1 kernel 6.1.0
namespace 7 web-1 container 4711
interface 2 eth0 veth mtu 100 address 10.0.0.1/24
capture eth0
14:40:00 mark recording_started Recording of eth0 began.
14:40:00 rules iptables-nft
  filter INPUT input ACCEPT
  -A INPUT -p tcp -m comment --comment why -j DROP
14:40:00 rules nftables
  inet t in input ACCEPT
  tcp dport 80 counter drop
14:40:00 counters
  link.rx_packets eth0 1000
  link.rx_dropped eth0 0
  link.rx_missed_errors eth0 0
  qdisc.drops eth0 fq_codel 0: 0
  qdisc.packets eth0 fq_codel 0: 0
  firewall.rule.packets INPUT 1 0
  firewall.rule.packets in 1 0
  nstat.TcpExtListenOverflows 0
  nstat.UdpRcvbufErrors 0
14:40:00.5 drop NETFILTER_DROP nft_do_chain+0x3e8 eth0 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:00.5 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:01.5 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:03.5 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:03.6 IP 10.0.0.2.6 > 10.0.0.1.81: Flags [S], seq 1, win 512, length 0
14:40:03.7 IP 10.0.0.1.81 > 10.0.0.2.6: Flags [R.], seq 0, ack 2, win 0, length 0
14:40:09 counters
  link.rx_packets eth0 2000
  link.rx_dropped eth0 9
  link.rx_missed_errors eth0 90
  qdisc.drops eth0 fq_codel 0: 50
  qdisc.packets eth0 fq_codel 0: 900
  firewall.rule.packets INPUT 1 9
  firewall.rule.packets in 1 9
  nstat.TcpExtListenOverflows 4
  nstat.UdpRcvbufErrors 4
";

/// A text field: the block it is in (our kinds from 1, standard blocks above) and the way to it; lists are one step.
type Path = Vec<u64>;

/// The type of our blocks (FORMAT.md).
const OURS: u32 = 0x8044_5343;

const LIST: u64 = u64::MAX;

/// Block types whose texts are options, and where those begin.
const STANDARD: [(u32, usize); 2] = [(0x0a0d_0d0a, 16), (1, 8)];

/// The log with the texts that `put` wants otherwise.
fn rewritten(log: &[u8], put: &mut dyn FnMut(&Path, &str) -> Option<String>) -> Vec<u8> {
    let u32_at = |at: usize| u32::from_le_bytes(log[at..at + 4].try_into().expect("four bytes"));
    let (mut out, mut at) = (Vec::new(), 0);
    while at < log.len() {
        let (block, length) = (u32_at(at), u32_at(at + 4) as usize);
        let body = &log[at + 8..at + length - 4];
        let mut new = match STANDARD.iter().find(|(one, _)| *one == block) {
            Some((_, options)) => with_options(body, *options, u64::from(block), put),
            None if block == OURS => with_item(body, put),
            None => body.to_vec(),
        };
        new.resize(new.len().next_multiple_of(4), 0);
        let total = (new.len() as u32 + 12).to_le_bytes();
        out.extend([&block.to_le_bytes()[..], &total, &new, &total].concat());
        at += length;
    }
    out
}

fn with_options(body: &[u8], begin: usize, block: u64, put: &mut dyn FnMut(&Path, &str) -> Option<String>) -> Vec<u8> {
    let (mut out, mut rest) = (body[..begin].to_vec(), &body[begin..]);
    while let [a, b, c, d, ..] = *rest {
        let (code, length) = (u16::from_le_bytes([a, b]), usize::from(u16::from_le_bytes([c, d])));
        let value = &rest[4..4 + length];
        // Texts: comments, and all options of a section; of an interface its name, description, filter and system.
        let is_text = code == 1 || (begin == 16 && code != 0) || [2, 3, 12].contains(&code);
        let text = std::str::from_utf8(value).ok().filter(|_| is_text);
        let new = text.and_then(|text| put(&vec![block, code.into()], text)).map_or_else(|| value.to_vec(), String::into_bytes);
        out.extend([code.to_le_bytes(), (new.len() as u16).to_le_bytes()].concat());
        out.extend(&new);
        out.resize(out.len().next_multiple_of(4), 0);
        rest = &rest[(4 + length.next_multiple_of(4)).min(rest.len())..];
    }
    out
}

fn with_item(body: &[u8], put: &mut dyn FnMut(&Path, &str) -> Option<String>) -> Vec<u8> {
    let length = u32::from_le_bytes(body[12..16].try_into().expect("four bytes")) as usize;
    let (mut decoder, mut encoder) = (Decoder::new(&body[16..16 + length]), Encoder::new(Vec::new()));
    copy(&mut decoder, &mut encoder, &mut vec![u64::from(body[10])], put);
    let item = encoder.into_writer();
    [&body[..12], &(item.len() as u32).to_le_bytes(), &item].concat()
}

fn copy(from: &mut Decoder<'_>, to: &mut Encoder<Vec<u8>>, path: &mut Path, put: &mut dyn FnMut(&Path, &str) -> Option<String>) {
    match from.datatype().expect("an item") {
        Type::Map => {
            let count = from.map().expect("a map").expect("of known length");
            to.map(count).expect("memory");
            for _ in 0..count {
                let key = from.u64().expect("a key");
                to.u64(key).expect("memory");
                path.push(key);
                copy(from, to, path, put);
                path.pop();
            }
        }
        Type::Array => {
            let count = from.array().expect("a list").expect("of known length");
            to.array(count).expect("memory");
            path.push(LIST);
            (0..count).for_each(|_| copy(from, to, path, put));
            path.pop();
        }
        Type::String => {
            let text = from.str().expect("a text");
            to.str(put(path, text).as_deref().unwrap_or(text)).expect("memory");
        }
        _ => {
            let (begin, bytes) = (from.position(), from.input());
            from.skip().expect("an item");
            to.writer_mut().extend(&bytes[begin..from.position()]);
        }
    }
}

/// The ways to all texts of a log.
fn paths(log: &[u8]) -> BTreeSet<Path> {
    let mut paths = BTreeSet::new();
    rewritten(log, &mut |path, _| {
        paths.insert(path.clone());
        None
    });
    paths
}

/// Markdown without code: what a renderer reads as Markdown and HTML.
fn outside_code(markdown: &str) -> String {
    let mut out = String::new();
    let mut fenced = false;
    for line in markdown.lines() {
        if line == "```" {
            fenced = !fenced;
        } else if !fenced {
            let mut rest = line;
            while let Some(c) = rest.chars().next() {
                let run = rest.len() - rest.trim_start_matches('`').len();
                let fence = &rest[..run];
                if c == '\\' {
                    rest = rest.get(2..).unwrap_or_default();
                } else if run > 0 {
                    let inside = &rest[run..];
                    let end = inside
                        .match_indices(fence)
                        .find(|(at, _)| !inside[at + run..].starts_with('`') && !inside[..*at].ends_with('`'));
                    rest = end.map_or_else(|| panic!("code ends: {line}"), |(at, _)| &inside[at + run..]);
                } else {
                    out.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
            out.push('\n');
        }
    }
    out
}

fn assert_harmless(printer: &str, text: &str, of: &Path) {
    let bad = text.chars().find(|c| is_control(*c) && *c != '\n' && !(printer == "fields" && *c == '\t'));
    assert_eq!(bad, None, "{printer} of {of:?}: {text}");
}

/// Every printer over a log; the commands it prints.
fn printed(log: &[u8], of: &Path) -> Vec<Command> {
    let mut engine = Engine::new();
    engine.push(log);
    engine.finish();
    let overview = engine.overview();
    let Judgement { findings, checked } = engine.findings();
    let judgement = Judgement { findings: findings.clone(), checked: checked.clone() };
    let report = Report { file: EVIL, overview: &overview, judgement: &judgement };
    assert_harmless("text", &report::text(&report), of);
    let markdown = report::markdown(&report);
    assert_harmless("Markdown", &markdown, of);
    let live = outside_code(&markdown);
    assert!(!live.contains(['<', '[']) && !live.contains("://"), "{of:?}: {live}");
    let json = report::json(&[report]);
    let text = medium::json(&json.to_string());
    assert_harmless("JSON", &text, of);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON"), json);

    let mut survey = Survey::new();
    survey.push(log);
    let (mut lines, mut text) = (PacketLines::new(survey.finish()), String::new());
    lines.push(log, &mut text);
    let _ = lines.finish(&mut text);
    assert_harmless("packets", &text, of);
    assert_harmless("fields", &fields(log), of);
    let commands = findings_commands(&judgement);
    for command in &commands {
        assert!(!command.line().chars().any(is_control), "{command:?}");
    }
    commands
}

/// Fields with text in them, as `dropscope packets` prints them.
fn fields(log: &[u8]) -> String {
    let names = "frame.interface_name,frame.comment,frame.protocols,ip.src,http.host,http.request.uri,dns.qry.name";
    let chosen = names.split(',').filter(|name| Chosen::fields(name).is_ok()).collect::<Vec<_>>().join(",");
    let mut engine = Engine::new();
    engine.push(log);
    engine.finish();
    let mut lines = FieldLines::new(Chosen::fields(&chosen).expect("they exist"), engine);
    let mut text = String::new();
    lines.push(log, &mut text);
    let _ = lines.finish(&mut text);
    text
}

fn findings_commands(judgement: &Judgement) -> Vec<Command> {
    judgement.findings.iter().flat_map(|finding| finding.confirm.iter().chain(&finding.fix)).cloned().collect()
}

/// What a shell makes of these lines: the words of each.
fn read_by_a_shell(commands: &[Command]) -> Vec<Vec<String>> {
    let script: String = commands.iter().map(|command| format!("printf '%s\\0' {}; printf '\\0'\n", command.line())).collect();
    let mut shell = std::process::Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell runs");
    let mut stdin = shell.stdin.take().expect("it is piped");
    let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()).expect("it reads"));
    let read = shell.wait_with_output().expect("it ends");
    writer.join().expect("it was written");
    assert!(read.status.success(), "{read:?}");
    let text = String::from_utf8(read.stdout).expect("it is text");
    text.split_terminator("\0\0").map(|words| words.split('\0').map(str::to_owned).collect()).collect()
}

fn trouble() -> Vec<u8> {
    let mut log = reference::encode(&Script::parse(TROUBLE).unwrap_or_else(|error| panic!("{error}")));
    let probe = Probe {
        at_ns: 1_622_558_405_000_000_000,
        kind: "syn".into(),
        target: "10.0.0.1:80".into(),
        sent: 5,
        answered: 3,
        rtt_ns: vec![250_000; 3],
        summary: "5 SYNs to 10.0.0.1:80, 3 answered.".into(),
    };
    let mut section = Vec::new();
    let encoder = dropscope_core::log::Encoder::begin(&Section::default(), &mut section);
    encoder.record(&probe, &mut log).expect("it is short");
    log
}

/// A conversation and a question whose contents the printers show.
const CONTENTS: &str = "date 2021-06-01
14:40:01.000 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [S], seq 1, win 512, length 0
14:40:01.001 IP 10.0.0.1.80 > 10.0.0.2.5: Flags [S.], seq 1, ack 2, win 512, length 0
14:40:01.002 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [.], ack 1, win 512, length 0
14:40:01.403 IP 10.0.0.2.5 > 10.0.0.1.80: Flags [P.], seq 1:301, ack 1, win 512, length 300: HTTP: GET /PATH HTTP/1.1
14:40:02 IP 10.0.0.2.9 > 10.0.0.1.53: UDP, length 81
";

/// A log in which the packets' contents hold these bytes: in the path that is asked for by HTTP, and in the name asked for by DNS.
fn with_contents(evil: &[u8]) -> Vec<u8> {
    let room = "P".repeat(evil.len());
    let script = CONTENTS.replace("PATH", &room);
    let log = reference::encode(&Script::parse(&script).unwrap_or_else(|error| panic!("{error}")));
    let label = &evil[..evil.len().min(63)];
    let header = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let mut question = [&header[..], &[label.len() as u8], label, &[0, 0, 1, 0, 1]].concat();
    question.resize(81, 0);
    replaced(&replaced(&log, room.as_bytes(), evil), &[b'u'; 81], &question)
}

/// The bytes with each `old` in them become `new`, which is as long.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = bytes.windows(old.len()).enumerate().filter(|(_, some)| *some == old).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "nothing to replace");
    places.into_iter().for_each(|at| bytes[at..at + old.len()].copy_from_slice(new));
    bytes
}

#[test]
fn no_content_of_a_packet_gets_through_a_printer() {
    // As one word, which a path and a name are; as text with line breaks; and as bytes that are no text.
    let word = EVIL.replace(['\r', '\n', ' '], "");
    let bytes = [&b"\x1b[2J\x9b3\xff\xfe\x07\x08\x0c\xe2\x80"[..], word.as_bytes()].concat();
    for evil in [word.as_bytes(), EVIL.as_bytes(), &bytes] {
        let log = with_contents(evil);
        printed(&log, &vec![]);
        let told = fields(&log);
        assert!(told.contains("alert") && told.contains("2J"), "the fields show what was asked for: {told}");
    }
}

#[test]
fn no_text_of_a_log_gets_through_a_printer_or_a_shell() {
    let log = trouble();
    let paths = paths(&log);
    assert!(paths.len() > 20, "there are many: {paths:?}");
    let mut commands: BTreeSet<Vec<String>> = BTreeSet::new();
    let mut all = Vec::new();
    for (at, path) in paths.iter().enumerate() {
        for evil in [EVIL, SHELL] {
            let hostile = rewritten(&log, &mut |place, text| (place == path).then(|| format!("{text}{evil}")));
            assert_ne!(hostile, log, "{at}: {path:?}");
            for command in printed(&hostile, path) {
                if commands.insert(command.argv().to_vec()) {
                    all.push(command);
                }
            }
        }
    }
    assert!(all.iter().any(|command| command.line().contains("'eth0;`id`#'\\''\"*'")), "{all:#?}");
    assert_eq!(read_by_a_shell(&all), all.iter().map(|command| command.argv().to_vec()).collect::<Vec<_>>());
}
