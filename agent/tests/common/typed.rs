//! Lines as they are typed at a shell.

use super::PATIENCE;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};

/// What a line did.
pub(crate) struct Ran {
    /// `None` if a signal ended it.
    pub(crate) status: Option<i32>,
    /// What it printed, on both outputs.
    pub(crate) text: String,
}

/// Runs a line at a shell. A capture, which would go on until Ctrl-C, gets that once it has begun, with its filter set.
pub(crate) fn typed(line: &str) -> Ran {
    let mut command = Command::new("sh");
    // In the shell's place, so that its status is not that of an interrupted shell. Of its own group, as a shell starts what is
    // typed at it: Ctrl-C reaches it alone.
    command
        .args(["-c", &format!("exec {line}")])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("`{line}`: {error}"));
    let group = Pid::from_raw(child.id() as i32);
    let (to, said) = channel();
    read(child.stdout.take().expect("piped"), to.clone());
    read(child.stderr.take().expect("piped"), to);
    let mut text = String::new();
    let finished = loop {
        match said.recv_timeout(PATIENCE) {
            Ok(line) => {
                // As tcpdump says once it captures.
                if line.starts_with("listening on ") {
                    killpg(group, Signal::SIGINT).expect("it runs");
                }
                text.push_str(&line);
                text.push('\n');
            }
            Err(error) => break error == std::sync::mpsc::RecvTimeoutError::Disconnected,
        }
    };
    if !finished {
        let _ = killpg(group, Signal::SIGKILL);
        text.push_str("(and took too long)");
    }
    Ran { status: child.wait().expect("it is a child of this process").code(), text }
}

fn read(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
}
