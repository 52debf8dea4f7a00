//! A filter lets through the packets that Wireshark lets through: a table of filters, put to both over the kept captures.
//!
//! TShark is started once a capture: a listener in Lua for each filter notes the packets that pass it.
#![cfg(not(target_arch = "wasm32"))]

use dropscope_core::query::{Answer, Engine, Query, Rows, Selection};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const CAPTURES: [&str; 6] = [
    "packets.pcapng",
    "mtu-100-srv.pcap",
    "nft-drop-cli.pcap",
    "labs/reject-icmp.pcap",
    "labs/zero-window.pcap",
    "labs/healthy.pcap",
];

const FILTERS: &[&str] = &[
    "ip.version == 6",
    "ip.version == 4",
    "ip.version in {4..5}",
    "udp.length > 20",
    "udp.length",
    "udp.payload",
    "udp.payload[0:2] == 08:00",
    "count(ip.ttl) == 2",
    "count(ip.len) > 1",
    "count(udp.length) > 1",
    "count(eth.addr) > 2",
    "eth.addr[-1] == 01",
    "ip.frag_offset == 1",
    "ip.flags.df",
    "ip.flags.df == 0",
    "ip.dsfield.ecn == 0",
    "ipv6.plen > 40",
    "ipv6.hlim == 64",
    "dns.flags.authoritative",
    "dns.flags.recavail",
    "dns.resp.class == 1",
    "dns.rr.udp_payload_size",
    "tcp.option_kind == 8",
    "tcp.option_kind in {2, 4}",
    "count(tcp.option_kind) > 3",
    "ntp.org",
    r#"ntp.org == "1970-01-01 00:00:00""#,
    "tcp.port == 0120",
    "tcp.port == 0b1010000",
    "tcp.port == '\\x50'",
    "tcp.port in {'P', 0x1f90}",
    "tcp.port ~= 80",
    "- tcp.len < 0",
    "tcp.srcport == - tcp.srcport",
    "tcp.flags.syn == 2",
    "ip.src[0] == 0a",
    "ip.addr[0:2] == c0:a8",
    "ip.src[2-3] == 00:02",
    "ip.src & 255.255.0.0 == 172.17.0.0",
    "ip.src & 0.0.0.255",
    "ip.addr > 10.0.0.0/8",
    "ip.addr <= 172.17.0.0/16",
    "ip.addr in {10.0.0.0/24..172.17.0.0/24}",
    "ipv6.src[0:2] == fe:80",
    "len(ip.src) == 4",
    "len(ipv6.src) == 16",
    "eth.addr[0] == 02",
    "eth.addr[0, 10] == 33",
    "eth.addr[4:5]",
    "eth.addr[6:]",
    "eth.addr[-7]",
    "eth.addr[-6:] == ff:ff:ff:ff:ff:ff",
    "eth.addr[0x1] == 33",
    "frame[60:20]",
    "frame[60:20, 0]",
    "ip[19]",
    "ip[20]",
    "ip[-1] == ip[19]",
    "len(ip) == 20",
    "eth[13:2]",
    "len(eth) == 14",
    "ipv6[39] and not icmpv6",
    "ipv6[40]",
    r#"frame contains "\x47\x45T""#,
    r#"frame contains "\107\105\124""#,
    r#"frame contains "\0\0""#,
    r#"frame contains """#,
    "frame contains 'G'",
    "frame contains '\\x0d'",
    r#"frame matches "\x47\105T""#,
    r#"http.request.method[0] == 47"#,
    r#"http.request.method[0:2] == "GE""#,
    r#"http.request.method == 'G'"#,
    "http.request == 1",
    "http.response == 1",
    r#"frame.time > "Nov 12, 1999 08:55:44.123""#,
    r#"frame.time > "2023-01-01 00:00:00+01:00""#,
    "ssl.handshake.type == 1",
    "bootp.type == 1",
    "tcp.srcport - 81 < 0",
    "tcp.srcport == 80 and tcp.srcport - 81",
    "tcp.len == -1",
    "-tcp.srcport < 0",
    "frame.len / 0 > 0",
    "not frame.len / 0 > 0",
    "frame.len % 2",
    "frame.len % 7 == 3",
    "frame.len / 2 > 40",
    "frame.time_delta - 1 < 0",
    "frame.time_delta + 0.5 > 0.6",
    "tcp.flags & 2 + 16 == 18",
    "tcp.flags & 18 == 18",
    "frame.len - 5 * 2 > 56",
    "frame.len & 6 / 2",
    "eth.src[0] & 2",
    "eth.src & 02:00:00:00:00:00",
    "tcp.srcport+1 == 81",
    "all tcp.port > 1000",
    "any tcp.port > 1000",
    "all tcp.port in {80, 30000..60000}",
    "any tcp.port in {80}",
    "any tcp.port != 80",
    "all tcp.port != 80",
    "all ip.addr == 10.0.0.0/8",
    "any ip.ttl + 1 > 64",
    "tcp.port not in {80}",
    "frame.len not in {66, 74}",
    "tcp.port in {tcp.srcport}",
    "not tcp.port not in {80}",
    "max(tcp.srcport, 1024) == 1024",
    "min(tcp.srcport, tcp.dstport) + 1 == 81",
    "abs(frame.len - 70) < 10",
    "{tcp.srcport + 1} == 81",
    "{frame.len - 14} * 2 > 104",
    "tcp.port == {80}",
    "frame.len == 60 + 6",
    "tcp and not icmp and frame.len > tcp.len * 2 + 4",
    "tcp and not icmp and frame.len == ip.len + 14",
    "tcp and not icmp and frame.len - ip.len == 14",
    "tcp.hdr_len + tcp.len + 34 == frame.len",
    "len(tcp.payload) + 66 == frame.len",
    "count(ip.addr) * 2 == 4",
    "ip.ttl - 1 == 63",
    "tcp and not icmp and tcp.seq + tcp.len > tcp.ack",
    "tcp.port === 80",
    "tcp.srcport === tcp.srcport",
    "tcp",
    "udp",
    "ip",
    "ipv6",
    "icmp",
    "icmpv6",
    "arp",
    "eth",
    "vlan",
    "dns",
    "mdns",
    "http.request or http.response",
    "tls",
    "dhcp",
    "ntp",
    "quic",
    "not tcp",
    "!(ip or arp)",
    "tcp && ip.ttl < 64",
    "tcp || udp",
    "tcp.port == 80",
    "tcp.port != 80",
    "tcp.port !== 80",
    "tcp.srcport == 80 and not tcp.flags.syn == 1",
    "tcp.port in {80, 443, 8000..9000}",
    "udp.port in {53, 5353, 67..68}",
    "tcp.dstport >= 1024",
    "tcp.srcport > tcp.dstport",
    "ip.src == ip.dst",
    "ip.addr == 10.0.0.1",
    "ip.addr == 10.0.0.0/8",
    "ip.addr != 172.17.0.2",
    "not ip.addr == 172.17.0.2",
    "ip.addr in {192.168.0.0/16, 10.0.0.1}",
    "ip.src == 172.17.0.2 and ip.dst == 192.168.0.2",
    "ipv6.addr == ff02::/16",
    "ip.ttl == 64",
    "ip.len > 100",
    "ip.id == 0",
    "ip.flags.df == 1",
    "ip.flags.mf == 1",
    "ip.frag_offset > 0",
    "ip.proto == 17",
    "ip.dsfield.dscp == 0",
    "frame.len > 100",
    "frame.len in {60..80}",
    "frame.number >= 5 and frame.number <= 8",
    "frame.time_relative > 0.5",
    "frame.time_delta < 0.001",
    "frame.cap_len < frame.len",
    r#"frame contains "GET""#,
    "frame contains 08:00:45",
    "frame[12:2] == 08:00",
    "frame[-2:] == 00:00",
    "frame[0-2,6-8] contains 42",
    "eth.dst == ff:ff:ff:ff:ff:ff",
    "eth.dst[0] & 1",
    "eth.src[0:3] == 02:42:ac",
    "eth.type == 0x0800",
    "tcp[13] == 2",
    "tcp[13] & 2",
    "tcp.payload[0:4] == 47:45:54:20",
    r#"tcp.payload contains "HTTP""#,
    r#"tcp.payload matches "get""#,
    "udp.payload[0:2] == b7:d4",
    "udp contains 00:00 and not (vxlan or geneve or gtp)",
    r#"tcp matches "^[\\x00-\\xff]{20}""#,
    r#"http matches "host""#,
    "tcp.flags == 0x002",
    "tcp.flags & 0x02",
    "tcp.flags & 2 == 2",
    "tcp.flags.syn && !tcp.flags.ack",
    "tcp.flags.syn == 1 && tcp.flags.ack == 0",
    "tcp.flags.reset == 1",
    "tcp.flags.push == 1 and tcp.len > 0",
    "tcp.seq == 0",
    "tcp.seq == 1 and tcp.ack == 1",
    "tcp.len >= 100",
    "tcp.hdr_len > 20",
    "tcp.window_size_value == 0",
    "tcp.window_size < 1000",
    "tcp.options.mss_val == 1460",
    "tcp.options.mss",
    "tcp.options.sack_perm",
    "tcp.options.sack_le",
    "tcp.options.wscale.shift >= 7",
    "tcp.options.timestamp.tsval > 0",
    "tcp.options",
    "tcp.stream == 0",
    "tcp.stream in {1, 2}",
    "tcp.stream eq 4 or udp.stream eq 0",
    "tcp.analysis.retransmission",
    "tcp.analysis.flags",
    "tcp.analysis.lost_segment",
    "tcp.analysis.duplicate_ack",
    "tcp.analysis.zero_window",
    "tcp.analysis.window_update",
    "tcp.analysis.initial_rtt > 0.001",
    "tcp.analysis.ack_rtt",
    "tcp.analysis.ack_rtt > 0.01",
    "tcp.analysis.acks_frame == 1",
    "tcp.analysis.acks_frame >= 4",
    "tcp.analysis.bytes_in_flight",
    "tcp.analysis.bytes_in_flight > 2000",
    "tcp.analysis.bytes_in_flight > tcp.len",
    "tcp.analysis.push_bytes_sent > tcp.len",
    "tcp.analysis.push_bytes_sent in {1..500}",
    "tcp.analysis.rto",
    "tcp.analysis.rto > 0.3",
    "tcp.analysis.rto_frame == 4",
    "tcp.analysis.rto_frame + 1 < frame.number",
    "tcp.analysis.duplicate_ack_num",
    "tcp.analysis.duplicate_ack_num > 1",
    "tcp.analysis.duplicate_ack_frame",
    "tcp.analysis.duplicate_ack_frame < 10",
    "tcp.time_delta > 0.1",
    "tcp.time_delta == 0",
    "tcp.time_relative > 1",
    "tcp.time_relative - tcp.time_delta == 0",
    "udp.time_delta > 0.001",
    "udp.time_relative",
    "tcp.window_size_scalefactor",
    "tcp.window_size_scalefactor == 128",
    "tcp.window_size_scalefactor == -1",
    "tcp.window_size_scalefactor < 0",
    "tcp.stream == 0 and tcp.analysis.ack_rtt",
    "udp.length > 20 and not (vxlan or geneve or gtp)",
    "udp.stream == 1",
    "icmp.type == 3",
    "icmp.type == 3 and icmp.code in {1, 3, 13}",
    "icmp.mtu",
    "icmp.mtu > 500",
    "icmp.ident",
    "icmpv6.type == 133",
    "arp.opcode == 1",
    "arp.src.proto_ipv4 == 172.17.0.2",
    "gre",
    "gre.key",
    "vxlan.vni == 42",
    "geneve.vni",
    "gtp.teid",
    "mpls.label",
    "vlan.id == 10",
    "ieee8021ad.id == 100",
    "pppoes",
    "ppp",
    "sll",
    "dns.id == 0xb7d4",
    "dns.flags.response == 1",
    "dns.flags.response == 0",
    "dns.flags.rcode == 0",
    "dns.flags.rcode",
    "dns.flags.recdesired == 1",
    "dns.count.answers > 0",
    r#"dns.qry.name == "example.com""#,
    r#"dns.qry.name contains "example""#,
    r#"dns.qry.name matches "^EX.*\\.com$""#,
    r#"dns.qry.name[0:2] == "ex""#,
    "dns.qry.type == 1",
    "dns.resp.name",
    "dns.resp.ttl == 60",
    "dns.a == 192.0.2.1",
    "dns.a == 192.0.2.0/24",
    "len(dns.qry.name) == 11",
    r#"upper(dns.qry.name) == "EXAMPLE.COM""#,
    r#"lower(http.host) contains "example""#,
    "http.request",
    "http.response",
    r#"http.request.method == "GET""#,
    r#"http.request.method in {"GET", "POST"}"#,
    r#"http.host == "example.org""#,
    r#"http.request.uri matches "index""#,
    "http.response.code == 404",
    "http.response.code >= 400",
    r#"http.server contains "test""#,
    "http.user_agent",
    "tls.record.content_type == 22",
    "tls.record.version == 0x0301",
    "tls.handshake",
    "tls.handshake.type == 1",
    "tls.handshake.type == 2",
    r#"tls.handshake.extensions_server_name == "www.example.org""#,
    r#"tls.handshake.extensions_server_name contains "example""#,
    r#"tls.handshake.extensions_alpn_str == "h2""#,
    "tls.handshake.extensions.supported_version == 0x0304",
    "tls.handshake.ciphersuite == 0x1301",
    "tls.handshake.extension.type == 0",
    "tls.handshake.session_id",
    "dhcp.type == 1",
    "dhcp.option.dhcp == 1",
    r#"dhcp.option.hostname == "host""#,
    "dhcp.hw.mac_addr == 02:42:ac:11:00:01",
    "dhcp.ip.client == 0.0.0.0",
    "ntp.flags.mode == 3",
    "ntp.flags.vn == 4",
    "ntp.stratum == 0",
    r#"ntp.xmt > "2023-01-01 00:00:00""#,
    "count(ip.addr) == 2",
    "count(ip.addr) > 2",
    "count(tcp.port) == 2",
    "len(tcp.payload) > 50",
    "len(udp.payload) == 5",
    r#"string(ip.src) matches "\\.2$""#,
    r#"string(tcp.dstport) contains "80""#,
    "max(tcp.srcport, tcp.dstport) > 40000",
    "min(tcp.srcport, tcp.dstport) == 80",
    "tcp.port == 80 and (ip.ttl == 64 or tcp.len > 0) and not tcp.flags.fin == 1",
    "ip.src == 172.17.0.2 || ip.src == 192.168.0.2 && tcp.flags.syn == 1",
];

/// What both refuse.
const REFUSED: &[&str] = &[
    "ip.addr == ::1",
    "ipv6.addr == 10.0.0.1",
    "ip.addr == 10.0.0.0/33",
    "ip.addr == 010.0.0.1",
    "eth.addr == ff:ff",
    "eth.addr == ff:ff:ff:ff:ff:ff:ff",
    "eth.addr[1:0] == 00",
    "eth.addr[2-1] == 00",
    "tcp.port == 080",
    "tcp.port == 80.0",
    "tcp.flags.syn == yes",
    "tcp.flags[0] == 0",
    r#"frame contains "\q""#,
    r#"frame contains "\400""#,
    "frame contains 'ab'",
    "frame contains ''",
    "frame.time_delta * 2 > 1",
    r#"frame.time < "2012-01-01 00:00:00 EST""#,
    "ip.src == eth.src",
    "ip.addr contains 10",
    "80 == tcp.port",
];

#[test]
fn the_same_packets_pass_as_in_tshark() {
    if Command::new("tshark").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "tshark is needed in CI");
        skipped();
        return;
    }
    let (mut wrong, mut passed) = (String::new(), 0);
    for capture in CAPTURES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(capture);
        let log = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let theirs = passing_in_tshark(&path, FILTERS);
        let mut engine = Engine::new();
        engine.push(&log);
        engine.finish();
        assert_eq!(theirs.len(), FILTERS.len(), "{capture}: {theirs:?}");
        for (filter, theirs) in FILTERS.iter().zip(theirs) {
            let ours = passing(&mut engine, &log, filter);
            passed += ours.len();
            let ours = ours.join(" ");
            if ours != theirs {
                let _ = writeln!(wrong, "{capture}: {filter}\n  ours   {ours}\n  tshark {theirs}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(passed > 1_000, "hardly anything passes: {passed}");
}

#[test]
fn what_tshark_refuses_is_refused() {
    if Command::new("tshark").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "tshark is needed in CI");
        skipped();
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(CAPTURES[1]);
    let log = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let theirs = passing_in_tshark(&path, REFUSED);
    let mut engine = Engine::new();
    engine.push(&log);
    engine.finish();
    for (filter, theirs) in REFUSED.iter().zip(theirs) {
        assert!(theirs.contains("is invalid"), "{filter} is understood there: {theirs}");
        let ours = passing(&mut engine, &log, filter).join(" ");
        assert!(ours.starts_with("Some"), "{filter} is understood here: {ours}");
    }
}

/// The packets that pass here.
fn passing(engine: &mut Engine, log: &[u8], filter: &str) -> Vec<String> {
    let selection = Selection { filter: filter.into(), ..Selection::default() };
    let rows = Rows { first: 0, count: 1_000 };
    loop {
        match engine.ask(&Query::Packets { selection: selection.clone(), rows, locate: None }, &mut &*log) {
            Answer::Packets(rows) if rows.filter_error.is_some() => return vec![format!("{:?}", rows.filter_error)],
            Answer::Packets(rows) if rows.complete => return rows.rows.iter().map(|row| row.no.to_string()).collect(),
            Answer::Packets(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// For each filter the packets that pass there, as `1 2 5`, or what TShark says of the filter.
fn passing_in_tshark(capture: &Path, filters: &[&str]) -> Vec<String> {
    let name = capture.file_stem().expect("it has a name").to_string_lossy();
    let script: PathBuf =
        std::env::temp_dir().join(format!("dropscope-filters-{}-{name}-{}.lua", std::process::id(), filters.len()));
    let filters: String = filters.iter().map(|filter| format!("[==[{filter}]==],\n")).collect();
    let text = format!(
        "local filters = {{\n{filters}}}
local found = {{}}
for i, text in ipairs(filters) do
  found[i] = {{}}
  local understood, tap = pcall(Listener.new, 'frame', text)
  if understood then
    function tap.packet(packet) table.insert(found[i], packet.number) end
  else
    found[i] = {{ (tostring(tap):gsub('\\n', ' ')) }}
  end
end
local last = Listener.new('frame')
function last.draw()
  for i in ipairs(filters) do print('passed ' .. table.concat(found[i], ' ')) end
end
"
    );
    std::fs::write(&script, text).expect("the script is written");
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-q", "-X", &format!("lua_script:{}", script.display()), "-r"]).arg(capture);
    let output = tshark.output().expect("tshark starts");
    std::fs::remove_file(&script).expect("the script was there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.strip_prefix("passed ")).map(str::to_owned).collect()
}

/// Reports past the test harness, which swallows what a passing test prints.
fn skipped() {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED {test}: tshark is not installed\n").as_bytes());
}
