//! Tears a lab's namespaces down when the lab's process died without doing so, even by `kill -9`.
//!
//! A small shell waits for the end of its standard input. The kernel closes that pipe when this process ends in whichever
//! way; then the shell removes what is still there. `Command` opens pipes close-on-exec, so no server of the lab holds it open.

use anyhow::{Context, Result};
use std::process::{Child, Command, Stdio};

/// The waiting shell. Dropping it closes its input and waits until it has removed everything.
pub(crate) struct Reaper {
    shell: Child,
}

/// Ends the processes inside each namespace, those of its name alone, and deletes it. `$@` are the namespaces' names.
const SCRIPT: &str = r#"
cat >/dev/null
for name in "$@"; do
    [ -e "/run/netns/$name" ] || continue
    ip netns pids "$name" | xargs -r kill 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -z "$(ip netns pids "$name")" ] && break
        sleep 0.1
    done
    ip netns pids "$name" | xargs -r kill -9 2>/dev/null
    ip netns del "$name"
done
"#;

impl Reaper {
    /// Begins to wait, for namespaces of these names.
    pub(crate) fn start(names: &[String]) -> Result<Self> {
        // A group of its own: Ctrl-C at the terminal must not end it before it has done its work.
        let shell = std::os::unix::process::CommandExt::process_group(&mut Command::new("sh"), 0)
            .args(["-c", SCRIPT, "dropscope-lab-reaper"])
            .args(names)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting sh, which removes the lab's namespaces in the end")?;
        Ok(Self { shell })
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Nothing can be done about a shell that cannot be waited for.
        let _ = self.shell.wait();
    }
}
