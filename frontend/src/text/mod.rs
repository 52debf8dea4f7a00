//! The page's own words, in Fluent files: English first, Chinese complete.
//!
//! Sentences about a capture (findings, reasons, errors of the decoder) come from the engine and stay in its language.
//! `build.rs` makes the files a table and sees that both have the same messages; a missing one shows its key, so that it is seen.

use std::cell::Cell;

/// A language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, simplified.
    Chinese,
}

impl Language {
    /// The language tag, for `lang` and for storage.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// The language a tag asks for; English where it is not one of ours.
    pub fn from_tag(tag: &str) -> Self {
        if tag.starts_with("zh") { Self::Chinese } else { Self::English }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::English => Self::Chinese,
            Self::Chinese => Self::English,
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/messages.rs"));

thread_local! {
    static LANGUAGE: Cell<Language> = const { Cell::new(Language::English) };
}

/// Speaks `language` from now on. Whoever changes it renders the page anew.
pub fn speak(language: Language) {
    LANGUAGE.set(language);
}

/// The message `key`.
pub fn t(key: &str) -> String {
    tn(key, &[])
}

/// The message `key` with its arguments filled in.
pub fn tn(key: &str, arguments: &[(&'static str, Value<'_>)]) -> String {
    let Ok(at) = MESSAGES.binary_search_by(|(name, _)| (*name).cmp(key)) else { return key.to_owned() };
    say(MESSAGES[at].1[LANGUAGE.get() as usize], arguments)
}

/// An argument. A number chooses the plural; what is shown of it is passed as text, grouped.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Shown as it is.
    Text(&'a str),
    /// Chooses the plural form.
    Number(u64),
}

/// Says a message as `build.rs` writes them: `{name}` is an argument; before two forms stands the name of what chooses.
fn say(message: &str, arguments: &[(&'static str, Value<'_>)]) -> String {
    let argument = |name: &str| arguments.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let mut forms = message.split('|');
    let mut rest = match (forms.next(), forms.next(), forms.next()) {
        // English has these two forms (Unicode CLDR); Chinese has one, and its messages choose nothing.
        (Some(by), Some(one), Some(other)) => {
            if matches!(argument(by), Some(Value::Number(1))) {
                one
            } else {
                other
            }
        }
        _ => message,
    };
    let mut said = String::new();
    while let Some((before, (name, after))) =
        rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        said.push_str(before);
        match argument(name) {
            Some(Value::Text(text)) => said.push_str(text),
            Some(Value::Number(n)) => said.push_str(&n.to_string()),
            None => said.push_str(name),
        }
        rest = after;
    }
    said + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_message_the_page_asks_for_exists() {
        let known: BTreeSet<&str> = MESSAGES.iter().map(|(key, _)| *key).collect();
        assert!(known.len() > 100);
        let mut missing = BTreeSet::new();
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("the sources are here").map(|e| e.expect("readable").path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|e| e == "rs") {
                    let code = std::fs::read_to_string(&entry).expect("readable");
                    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
                    for call in ["t(\"", "tn(\"", "title: \""] {
                        for (at, _) in code.match_indices(call) {
                            let before = code[..at].chars().next_back().unwrap_or(' ');
                            let key = code[at + call.len()..].split('"').next().unwrap_or_default();
                            if !before.is_alphanumeric() && before != '_' && before != '.' && !known.contains(key) {
                                missing.insert(key.to_owned());
                            }
                        }
                    }
                }
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn plurals_follow_the_number() {
        let packets = |n, shown| tn("status-packets", &[("n", Value::Number(n)), ("shown", Value::Text(shown))]);
        speak(Language::English);
        let counts = [packets(0, "0"), packets(1, "1"), packets(2, "2"), packets(1_001, "1,001")];
        assert_eq!(counts, ["0 packets", "1 packet", "2 packets", "1,001 packets"]);
        speak(Language::Chinese);
        assert_eq!([packets(1, "1"), packets(2, "2")], ["1 个数据包", "2 个数据包"]);
        speak(Language::English);
    }

    #[test]
    fn arguments_stand_where_the_message_names_them() {
        speak(Language::English);
        let said = tn("bytes-cut", &[("len", Value::Number(1514)), ("kept", Value::Text("96"))]);
        assert_eq!(said, "96 of 1514 bytes were kept by the capture.");
    }
}
