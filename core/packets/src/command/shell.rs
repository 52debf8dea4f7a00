//! How words are typed at a shell.

/// The words as one line: each as it is where no shell gives any of its characters a meaning, else in single quotes.
pub(super) fn line(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    // zsh expands a word that begins with an equals sign.
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('=') {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_otherwise() {
        for (word, typed) in [
            ("eth0", "eth0"),
            ("10.0.0.1/24", "10.0.0.1/24"),
            ("fd77::1", "fd77::1"),
            ("", "''"),
            ("a b", "'a b'"),
            ("x;id;#", "'x;id;#'"),
            ("$(id)", "'$(id)'"),
            ("`id`", "'`id`'"),
            ("it's", r"'it'\''s'"),
            ("'", r"''\'''"),
            ("~root", "'~root'"),
            ("=ls", "'=ls'"),
            ("!", "'!'"),
            ("*", "'*'"),
            ("a\\b", r"'a\b'"),
            ("ü", "'ü'"),
        ] {
            assert_eq!(quote(word), typed, "{word:?}");
        }
    }

    /// What a real shell makes of it.
    #[cfg(unix)]
    #[test]
    fn a_shell_reads_the_same_words_back() {
        let words = [
            "printf", "%s\\0", "x;id;#", "$(id)", "`id`", "it's", "'", "\"", "~", "=", "!x", "*", "\\", "a\\nb", "", "{a,b}",
            "ü", "&&", "#",
        ];
        let words = words.map(str::to_owned);
        let shown = std::process::Command::new("sh").arg("-c").arg(line(&words)).output().expect("a shell runs");
        let back: Vec<_> = std::str::from_utf8(&shown.stdout).expect("it is text").split_terminator('\0').collect();
        assert_eq!(back, words[2..]);
    }
}
