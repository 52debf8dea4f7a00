//! What text becomes on its way to a reader: at a terminal, in Markdown, in JSON.
//!
//! Names in a capture are somebody else's. A report is put together of literals and of [`Text`]; only literals may hold what a medium
//! acts on. So a control character moves no cursor, a line break begins no line, and no name becomes a link, an image or a tag.

use crate::text::is_control;
use std::fmt::{Display, Write as _};

/// How a medium shows a string that is not a literal of ours.
pub(super) trait Medium {
    /// Appends it so that the medium shows it and does not act on it.
    fn show(text: &str, out: &mut String);
}

/// A terminal, or a file that will be looked at on one.
pub(super) enum Terminal {}

/// GitHub's and GitLab's Markdown.
pub(super) enum Markdown {}

/// A report that grows: literals as they are, everything else as the medium shows it.
pub(super) struct Page<M> {
    out: String,
    medium: std::marker::PhantomData<M>,
}

impl<M: Medium> Page<M> {
    pub(super) fn new() -> Self {
        Self { out: String::new(), medium: std::marker::PhantomData }
    }

    /// A literal.
    pub(super) fn put(&mut self, literal: &'static str) -> &mut Self {
        self.out.push_str(literal);
        self
    }

    /// Anything else.
    pub(super) fn show(&mut self, text: impl Display) -> &mut Self {
        M::show(&text.to_string(), &mut self.out);
        self
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

impl Page<Markdown> {
    /// A sentence: what stands between two backticks is code.
    pub(super) fn prose(&mut self, sentence: &str) -> &mut Self {
        let parts: Vec<&str> = sentence.split('`').collect();
        // A backtick without its partner is text.
        let is_paired = parts.len() % 2 == 1;
        for (at, part) in parts.iter().enumerate() {
            match (is_paired && at % 2 == 1, is_paired || at == 0) {
                (true, _) => self.code(part),
                (false, true) => self.show(part),
                (false, false) => self.show("`").show(part),
            };
        }
        self
    }

    /// Code within a line.
    pub(super) fn code(&mut self, text: &str) -> &mut Self {
        let text = visible(text);
        // A fence longer than any run of backticks inside; the spaces belong to the fence.
        let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest + 1);
        let space = if text.is_empty() || text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
        // A column of a table ends at a bar, in code as well.
        let _ = write!(self.out, "{fence}{space}{}{space}{fence}", text.replace('|', "\\|"));
        self
    }

    /// A command in a block of its own; the argument vector has no line breaks.
    pub(super) fn block(&mut self, line: &str) -> &mut Self {
        let _ = write!(self.out, "\n```\n{}\n```\n", visible(line));
        self
    }
}

impl Medium for Terminal {
    fn show(text: &str, out: &mut String) {
        text.chars().for_each(|c| push_visible(c, out));
    }
}

impl Medium for Markdown {
    fn show(text: &str, out: &mut String) {
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '&' => out.push_str("&amp;"),
                // The rest are those whose escape every Markdown knows; with the dots and colons nothing becomes a link by itself.
                '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '#' | '|' | '~' => {
                    out.push('\\');
                    out.push(c);
                }
                ':' if chars.peek() == Some(&'/') => out.push_str("\\:"),
                '.' if out.ends_with("www") || out.ends_with("WWW") => out.push_str("\\."),
                // Nobody is called by a name in a capture.
                '@' => out.push_str("&#64;"),
                c => push_visible(c, out),
            }
        }
    }
}

/// The text with what a medium would act on written out: `\u{1b}`.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_visible(c, &mut out));
    out
}

pub(super) fn push_visible(c: char, out: &mut String) {
    if is_control(c) {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// JSON text in which no character is one that a terminal acts on: serde_json escapes C0, this the others.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(write: impl FnOnce(&mut Page<Markdown>)) -> String {
        let mut page = Page::new();
        write(&mut page);
        page.finish()
    }

    #[test]
    fn a_terminal_gets_nothing_to_act_on() {
        let mut page = Page::<Terminal>::new();
        page.put("eth0: ").show("a\u{1b}[2Jb\u{7}\nFix: id\u{202e}\u{9b}31m");
        assert_eq!(page.finish(), "eth0: a\\u{1b}[2Jb\\u{7}\\nFix: id\\u{202e}\\u{9b}31m");
    }

    #[test]
    fn markdown_gets_no_tag_no_image_and_no_link() {
        for (text, shown) in [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("![x](https://e/a.png)", "\\!\\[x\\](https\\://e/a.png)"),
            ("see www.example.org or a@b", "see www\\.example.org or a&#64;b"),
            ("a | b\n# c", "a \\| b\\n\\# c"),
        ] {
            assert_eq!(markdown(|page| _ = page.show(text)), shown);
        }
        assert_eq!(markdown(|page| _ = page.prose("the rule `-j DROP` <b>")), "the rule `-j DROP` &lt;b&gt;");
        assert_eq!(markdown(|page| _ = page.prose("a ` <b> *c*")), "a \\` &lt;b&gt; \\*c\\*");
        assert_eq!(markdown(|page| _ = page.code("a``b`")), "``` a``b` ```");
        assert_eq!(markdown(|page| _ = page.code("<b>|")), "`<b>\\|`");
    }

    #[test]
    fn json_means_the_same_and_holds_nothing_to_act_on() {
        let value = serde_json::json!({"name": "a\u{1b}\u{9b}\u{202e}\u{e0041}\u{7f}\n"});
        let text = json(&value.to_string());
        assert!(!text.chars().any(is_control), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
