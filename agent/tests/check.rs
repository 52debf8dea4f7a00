//! `dropscope check` as continuous integration runs it: what it prints, and what it exits with.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn dropscope(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dropscope")).current_dir(folder).args(args).output().expect("the command runs")
}

/// A folder with the reference case in it, as `reference.pcapng`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert!(dropscope(folder.path(), &["reference", "-o", "reference.pcapng"]).status.success());
    folder
}

#[test]
fn the_reference_case_is_found_and_told_the_same_in_every_form() {
    let folder = folder();
    let json = dropscope(folder.path(), &["check", "--json", "reference.pcapng"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["rule"] == "interface_mtu").expect("the cause of the reference case");
    assert_eq!(finding["severity"], "critical");
    let (id, sentence) = (finding["id"].as_str().unwrap(), finding["sentence"].as_str().unwrap());
    let joined = |output: Output| String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for form in [&["check", "reference.pcapng"][..], &["check", "--markdown", "reference.pcapng"]] {
        let text = joined(dropscope(folder.path(), form));
        let start = sentence.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
        assert!(text.contains(&start) && text.contains("interface_mtu"), "{form:?}: {text}");
    }
    assert!(id.starts_with("interface_mtu-"));
}

#[test]
fn the_exit_status_is_what_a_pipeline_needs() {
    let folder = folder();
    std::fs::write(folder.path().join("notes.txt"), "eth0 lost packets again\n").unwrap();
    let whole = std::fs::read(folder.path().join("reference.pcapng")).unwrap();
    std::fs::write(folder.path().join("cut.pcapng"), &whole[..whole.len() - 10]).unwrap();
    std::fs::write(folder.path().join("byte.pcap"), b"\xd4").unwrap();
    for (args, status) in [
        (&["reference.pcapng"][..], 0),
        (&["byte.pcap"], 3),
        (&["--fail-on", "critical", "reference.pcapng"], 1),
        (&["--fail-on", "interface_mtu", "reference.pcapng"], 1),
        (&["--fail-on", "conntrack_full,refused", "reference.pcapng"], 0),
        (&["cut.pcapng"], 0),
        (&["--fail-on", "severe", "reference.pcapng"], 2),
        (&[], 2),
        (&["notes.txt"], 3),
        (&["missing.pcap"], 3),
        (&["--fail-on", "critical", "reference.pcapng", "missing.pcap"], 3),
    ] {
        let output = dropscope(folder.path(), &[&["check"], args].concat());
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let told = dropscope(folder.path(), &["check", "notes.txt"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("not a capture"), "{}", String::from_utf8_lossy(&told.stdout));
}

#[test]
fn standard_input_is_a_capture_like_any_other() {
    let folder = folder();
    let log = std::fs::read(folder.path().join("reference.pcapng")).unwrap();
    let file: serde_json::Value =
        serde_json::from_slice(&dropscope(folder.path(), &["check", "--json", "reference.pcapng"]).stdout).unwrap();
    assert!(file["findings"].as_array().is_some_and(|findings| !findings.is_empty()));
    // What a shell gives for `<(zcat FILE)` is such a name of a pipe: its bytes are there once.
    for name in ["-", "/dev/stdin"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dropscope"));
        let mut child = command.args(["check", "--json", name]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&log).unwrap();
        let piped: serde_json::Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(piped["findings"], file["findings"], "{name}");
    }
}

#[test]
fn fields_of_packets_are_listed_as_tshark_lists_them() {
    let folder = folder();
    let list = |args: &[&str]| {
        let output = dropscope(folder.path(), &[&["packets", "reference.pcapng"], args].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let first = "frame.number in {1..3}";
    let (_, rows, _) = list(&["--fields", "frame.number, tcp.flags,tcp.analysis.ack_rtt", "--filter", first, "--header"]);
    assert_eq!(rows, "frame.number\ttcp.flags\ttcp.analysis.ack_rtt\n1\t0x0002\t\n2\t0x0002\t\n3\t0x0012\t0.000041000\n");
    let refused = |args: &[&str]| {
        let (status, out, error) = list(args);
        assert_eq!((status, out.as_str()), (Some(2), ""));
        error
    };
    assert_eq!(
        refused(&["-e", "ip.src,ip.dts"]),
        "dropscope: `ip.dts` is not a field. Did you mean `ip.dst`?\n  ip.src,ip.dts\n         ^^^^^^\n"
    );
    assert_eq!(
        refused(&["-e", "ip.src", "-Y", "tcp.port = = 80"]),
        "dropscope: `=` stands where `and`, `or` or the end is expected.\n  tcp.port = = 80\n           ^\n"
    );
}

#[test]
fn packets_are_listed_with_a_trailer_that_counts_them() {
    let folder = folder();
    let output = dropscope(folder.path(), &["packets", "--json", "reference.pcapng"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (trailer, packets) = lines.split_last().unwrap();
    assert_eq!((&trailer["packets"], &trailer["status"]), (&packets.len().into(), &"ok".into()));
    assert!(packets.iter().enumerate().all(|(at, packet)| packet["n"] == at + 1));
}

/// Who only looks at captures needs no libpcap. The dynamic linker lists what a program is linked with instead of starting it.
#[test]
fn libpcap_is_not_loaded_at_the_start() {
    let listed = Command::new(env!("CARGO_BIN_EXE_dropscope")).env("LD_TRACE_LOADED_OBJECTS", "1").output().expect("it starts");
    let libraries = String::from_utf8_lossy(&listed.stdout);
    assert!(libraries.contains("libc"), "{libraries}");
    assert!(!libraries.contains("libpcap"), "{libraries}");
}

/// Whatever the umask, others may read these files and not change them; and a link that was put in their place is not followed.
#[test]
fn files_for_everybody_are_changed_by_nobody_else_and_written_through_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let shell = |line: &str| {
        let line = format!("umask 0; exec {} {line}", env!("CARGO_BIN_EXE_dropscope"));
        Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output().unwrap()
    };
    for (line, name) in [("reference -o a.pcapng", "a.pcapng"), ("man --folder .", "dropscope-record.1")] {
        let path = folder.path().join(name);
        // Twice: it may be written over.
        assert!(shell(line).status.success() && shell(line).status.success(), "{line}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644, "{name}");

        let planted = folder.path().join("theirs");
        std::fs::write(&planted, "theirs").unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&planted, &path).unwrap();
        let refused = shell(line);
        assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains(name), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&planted).unwrap(), "theirs");
    }
}
