//! What a capture may be called. Names come from file names, interface names and agents; they are shown in a page, in terminals
//! and as names of downloads.

/// Characters of a name at most.
const LONGEST: usize = 200;

/// A name without characters that nobody sees or that change how others are shown: control characters, zero-width ones, and those
/// that turn the direction of text around (with U+202E, `a[U+202E]pac.exe` is shown as `aexe.cap`).
pub(crate) fn clean(name: &str) -> String {
    let shown: String = name.chars().filter(|c| !is_hidden(*c)).take(LONGEST).collect();
    shown.trim().to_owned()
}

/// What is left of a file name that somebody sent: its last part, cleaned, without dots before it. `None` when that is nothing.
pub(crate) fn of_file(sent: &str) -> Option<String> {
    let base = sent.rsplit(['/', '\\']).next().unwrap_or(sent);
    let name = clean(base);
    let name = name.trim_start_matches(['.', ' ']);
    (!name.is_empty()).then(|| name.to_owned())
}

/// General categories Cc and Cf, and the separators of lines and paragraphs (Unicode 16).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_invisible_is_left_of_a_name() {
        let cases = [
            ("web-1/eth0, ä", "web-1/eth0, ä"),
            ("a\u{202e}pac.exe", "apac.exe"),
            ("\u{2066}a\u{2069}\u{200b}b\u{feff}", "ab"),
            ("a\r\nb\u{1b}[31m\u{7f}\u{85}", "ab[31m"),
            ("  eth0 ", "eth0"),
            ("日本.pcap", "日本.pcap"),
        ];
        for (name, expected) in cases {
            assert_eq!(clean(name), expected, "{name:?}");
        }
        assert_eq!(clean(&"x".repeat(1000)).len(), LONGEST);
    }

    #[test]
    fn a_file_name_that_names_no_file_is_none() {
        for sent in ["", ".", "..", "...", "a/", "../..", "\u{202e}", " . ", "/", "\\", "\0"] {
            assert_eq!(of_file(sent), None, "{sent:?}");
        }
        for (sent, expected) in [("../b\n.pcap", "b.pcap"), ("C:\\x\\a.pcap", "a.pcap"), (".hidden", "hidden"), (". .a", "a")] {
            assert_eq!(of_file(sent).as_deref(), Some(expected), "{sent:?}");
        }
    }
}
