//! What goes to standard output: lines for people, in which nothing makes a terminal act, and for programs.

use anyhow::{Context as _, Result};
use dropscope_core::query::medium::{json, visible};
use std::io::{ErrorKind, Write};

/// Prints a line for people.
pub(crate) fn say(line: &str) -> Result<()> {
    write(&mut std::io::stdout().lock(), visible(line) + "\n")
}

/// Prints what tools printed, line by line.
pub(crate) fn say_lines(text: &str) -> Result<()> {
    text.lines().try_for_each(say)
}

/// Prints JSON.
pub(crate) fn say_json(text: &str) -> Result<()> {
    write(&mut std::io::stdout().lock(), json(text) + "\n")
}

/// Prints bytes that are for a program.
pub(crate) fn put(bytes: &[u8]) -> Result<()> {
    write(&mut std::io::stdout().lock(), bytes)
}

fn write(out: &mut impl Write, bytes: impl AsRef<[u8]>) -> Result<()> {
    match out.write_all(bytes.as_ref()).and_then(|()| out.flush()) {
        // `| head` has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output takes no more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    struct Refusing(ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_enough_is_no_error_and_a_full_disk_is() {
        assert!(write(&mut Refusing(ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write(&mut Refusing(ErrorKind::StorageFull), "x").is_err());
    }
}
