//! What goes away while it is recorded. Namespaces: that is told, the recording ends where nothing is left to watch, and a new start
//! goes on in the same folder with what has the name now. The terminal: the log is ended, except after `nohup`.
//!
//! These need root; without it each says so in one line and passes, except where `CI` is set.

mod common;

use common::{Dropscope, Namespace, can_run, length, read, run, wait_until};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// All segments of a folder, in their order.
fn log(folder: &Path) -> Vec<u8> {
    let mut segments: Vec<_> = fs::read_dir(folder).unwrap().map(|one| one.unwrap().path()).collect();
    segments.sort();
    segments.iter().filter(|one| one.is_file()).flat_map(|one| fs::read(one).unwrap()).collect()
}

#[test]
fn a_name_that_is_made_anew_ends_the_recording_and_a_new_start_goes_on_with_the_new_one() {
    if !can_run("a_name_that_is_made_anew_ends_the_recording_and_a_new_start_goes_on_with_the_new_one") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("anew");
    let args = ["record", "--netns", &namespace.0, "-i", "lo", "--keep", "10m", "-o", "kept", "--user", "root", "udp"];
    let mut first = Dropscope::start(folder.path(), &args);
    first.hear("and nothing else.");
    run(Command::new("ip").args(["netns", "del", &namespace.0]));
    run(Command::new("ip").args(["netns", "add", &namespace.0]));
    run(Command::new("ip").args(["-n", &namespace.0, "link", "set", "lo", "up"]));
    first.hear("is gone. What has that name next is another namespace: start again to record it");
    assert_eq!(first.child.wait().unwrap().code(), Some(1), "a service starts it again");

    let kept = folder.path().join("kept");
    let before = read(&log(&kept));
    assert_eq!(before.end, None, "the log is whole");
    let left = before.marks("namespace_left");
    assert!(matches!(left[..], [one] if one.contains(" was made anew: it is ") || one.ends_with(" was deleted.")), "{left:?}");

    let mut second = Dropscope::start(folder.path(), &args);
    second.hear("and nothing else.");
    let mut traffic = namespace.send_datagrams(100, Duration::from_millis(1));
    wait_until("some were sent", || traffic.sent() >= 20);
    traffic.stop();
    assert!(second.end().success());
    let both = read(&log(&kept));
    assert_eq!((both.end.is_none(), both.is_without_gap(), both.numbers.len()), (true, true, traffic.sent()));
}

#[test]
fn the_end_of_a_process_is_told_and_what_else_is_in_its_namespace_is_recorded_on() {
    if !can_run("the_end_of_a_process_is_told_and_what_else_is_in_its_namespace_is_recorded_on") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("pid");
    let mut inside =
        Command::new("nsenter").arg(format!("--net=/run/netns/{}", namespace.0)).args(["sleep", "1000"]).spawn().unwrap();
    let pid = inside.id().to_string();
    let entered = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "sleep\n";
    wait_until("it is inside", entered);
    let mut dropscope = Dropscope::start(folder.path(), &["record", "--netns", &pid, "-i", "lo", "-o", "a.pcapng", "udp"]);
    dropscope.hear("and nothing else.");
    inside.kill().unwrap();
    inside.wait().unwrap();
    let path = folder.path().join("a.pcapng");
    let told = || length(&path) > 0 && !read(&fs::read(&path).unwrap()).marks("namespace_left").is_empty();
    wait_until("its end is told", told);
    let mut traffic = namespace.send_datagrams(100, Duration::from_millis(1));
    wait_until("some were sent", || traffic.sent() >= 20);
    traffic.stop();
    assert!(dropscope.end().success());
    let found = read(&fs::read(&path).unwrap());
    assert!(found.is_without_gap());
    assert_eq!(found.numbers.len(), traffic.sent());
    let told =
        format!("The process {pid}, by which a namespace was found, has ended; what else is in its namespace is still recorded.");
    assert_eq!(found.marks("namespace_left"), [told]);
}

#[test]
fn a_closed_terminal_ends_the_log_whole_and_nohup_goes_on() {
    if !can_run("a_closed_terminal_ends_the_log_whole_and_nohup_goes_on") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("hangup");
    let path = folder.path().join("a.pcapng");
    let args = ["record", "--netns", &namespace.0, "-i", "lo", "-o", "a.pcapng", "--user", "root", "udp"];
    // Whoever runs the tests may be under `nohup` itself.
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_dropscope")]);
    let mut dropscope = Dropscope::start_by(command.args(args), folder.path());
    dropscope.hear("and nothing else.");
    dropscope.signal(Signal::SIGHUP);
    assert!(dropscope.child.wait().unwrap().success());
    assert_eq!(read(&fs::read(&path).unwrap()).end, None);

    fs::remove_file(&path).unwrap();
    let mut command = Command::new("nohup");
    let mut dropscope = Dropscope::start_by(command.arg(env!("CARGO_BIN_EXE_dropscope")).args(args), folder.path());
    dropscope.hear("and nothing else.");
    dropscope.signal(Signal::SIGHUP);
    let mut traffic = namespace.send_datagrams(100, Duration::from_millis(1));
    wait_until("some were sent", || traffic.sent() >= 20);
    traffic.stop();
    assert!(dropscope.end().success());
    let found = read(&fs::read(&path).unwrap());
    assert_eq!((found.is_without_gap(), found.numbers.len()), (true, traffic.sent()));
}

#[test]
fn a_capture_that_dies_is_an_exit_status_and_a_remark() {
    if !can_run("a_capture_that_dies_is_an_exit_status_and_a_remark") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("died");
    let ip = |words: &[&str]| run(Command::new("ip").args(["-n", &namespace.0]).args(words));
    ip(&["link", "add", "d0", "type", "veth", "peer", "name", "d1"]);
    ip(&["link", "set", "d0", "up"]);
    let args = ["record", "--netns", &namespace.0, "-i", "d0", "-i", "lo", "-o", "a.pcapng", "--without", "kernel_drops"];
    let mut dropscope = Dropscope::start(folder.path(), &args);
    dropscope.hear("and nothing else.");
    ip(&["link", "del", "d0"]);
    dropscope.hear("The capture on d0 ended: ");
    assert_eq!(dropscope.end().code(), Some(1));
    dropscope.hear("the recording is not whole: The capture on d0 ended: ");
    let check = Command::new(env!("CARGO_BIN_EXE_dropscope")).args(["check", "--json", "a.pcapng"]).current_dir(&folder).output();
    let report: serde_json::Value = serde_json::from_slice(&check.unwrap().stdout).unwrap();
    let remarks = report["captures"][0]["quality"].as_array().unwrap();
    let told = remarks.iter().filter(|one| one["kind"] == "source_failed").map(|one| one["sentence"].as_str().unwrap());
    assert!(told.clone().any(|sentence| sentence.starts_with("The capture on d0 ended: ")), "{remarks:?}");
}

#[test]
fn a_log_or_a_folder_that_is_removed_ends_the_recording_with_a_status() {
    if !can_run("a_log_or_a_folder_that_is_removed_ends_the_recording_with_a_status") {
        return;
    }
    let namespace = Namespace::new("removed");
    let _traffic = namespace.send_datagrams(100, Duration::from_millis(5));
    for more in [&["-o", "log"][..], &["-o", "log", "--keep", "10m"]] {
        let folder = tempfile::tempdir().unwrap();
        let args = ["record", "--netns", &namespace.0, "-i", "lo", "--without", "kernel_drops", "--user", "root"];
        let mut dropscope = Dropscope::start(folder.path(), &[&args[..], more].concat());
        dropscope.hear("and nothing else.");
        let log = folder.path().join("log");
        wait_until("something is recorded", || {
            if log.is_dir() { fs::read_dir(&log).unwrap().count() > 0 } else { length(&log) > 0 }
        });
        if log.is_dir() {
            fs::remove_dir_all(&log).unwrap()
        } else {
            fs::remove_file(&log).unwrap()
        }
        dropscope.hear("its file was removed while it was being written");
        assert_eq!(dropscope.child.wait().unwrap().code(), Some(1), "{more:?}");
    }
}
