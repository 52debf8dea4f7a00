//! What goes to standard error: lines for people, and the log.
//!
//! Names, paths and answers of servers stand in them. Each line is one line, in which nothing makes a terminal act; only a terminal
//! gets colours, and none where `NO_COLOR` is set (no-color.org).

use dropscope_core::query::medium::visible;
use std::fmt;
use std::io::IsTerminal as _;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// A line to whoever runs the command.
macro_rules! complain {
    ($($text:tt)*) => {
        eprintln!("dropscope: {}", dropscope_core::query::medium::visible(&format!($($text)*)))
    };
}
pub(crate) use complain;

/// Sends the log to standard error.
pub(crate) fn log() {
    let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt().with_writer(std::io::stderr).event_format(Line { is_coloured }).init();
}

/// An event on one line: its level, and what it says.
struct Line {
    is_coloured: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        let level = *event.metadata().level();
        let colour = match level {
            Level::ERROR => "31",
            Level::WARN => "33",
            _ => "32",
        };
        if self.is_coloured {
            writeln!(writer, "\x1b[{colour}m{level:>5}\x1b[0m {}", visible(&text))
        } else {
            writeln!(writer, "{level:>5} {}", visible(&text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(is_coloured: bool) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).event_format(Line { is_coloured }).finish();
        let answer = "HTTP/1.1 500 a\r\n WARN forged\x1b[2J\u{202e}";
        tracing::subscriber::with_default(subscriber, || tracing::warn!("sending stopped: {answer}"));
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn what_a_server_answers_begins_no_line_of_the_log_and_moves_no_cursor() {
        let line = logged(false);
        assert!(line.starts_with(" WARN sending stopped: HTTP/1.1 500 a\\r\\n WARN forged"), "{line:?}");
        let text = line.strip_suffix('\n').unwrap();
        assert!(!text.chars().any(dropscope_core::text::is_control), "{line:?}");
    }

    #[test]
    fn only_a_terminal_gets_colours() {
        assert!(logged(true).starts_with("\x1b[33m WARN\x1b[0m sending"), "{:?}", logged(true));
        assert!(!logged(false).contains('\x1b'));
    }
}
