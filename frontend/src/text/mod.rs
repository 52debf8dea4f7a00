//! The page's own words, in Fluent files: English first, Chinese complete.
//!
//! Sentences about a capture (findings, reasons, errors of the decoder) come from the engine and stay in its language.
//! A missing message shows its key, so that it is seen, and a test compares the files.

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use std::cell::{Cell, OnceCell};
use unic_langid::LanguageIdentifier;

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

    fn source(self) -> &'static str {
        match self {
            Self::English => include_str!("en.ftl"),
            Self::Chinese => include_str!("zh.ftl"),
        }
    }
}

type Bundle = FluentBundle<FluentResource>;

thread_local! {
    static LANGUAGE: Cell<Language> = const { Cell::new(Language::English) };
    static ENGLISH: OnceCell<Bundle> = const { OnceCell::new() };
    static CHINESE: OnceCell<Bundle> = const { OnceCell::new() };
}

/// Speaks `language` from now on. Whoever changes it renders the page anew.
pub fn speak(language: Language) {
    LANGUAGE.set(language);
}

/// The message `key`.
pub fn t(key: &str) -> String {
    format(key, None)
}

/// The message `key` with its arguments filled in.
pub fn tn(key: &str, arguments: &[(&'static str, Value<'_>)]) -> String {
    let mut all = FluentArgs::with_capacity(arguments.len());
    for (name, value) in arguments {
        match value {
            Value::Text(text) => all.set(*name, FluentValue::from(*text)),
            Value::Number(n) => all.set(*name, FluentValue::from(*n as f64)),
        }
    }
    format(key, Some(&all))
}

/// An argument. A number chooses the plural; what is shown of it is passed as text, grouped.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Shown as it is.
    Text(&'a str),
    /// Chooses the plural form.
    Number(u64),
}

fn format(key: &str, arguments: Option<&FluentArgs<'_>>) -> String {
    let cell = match LANGUAGE.get() {
        Language::English => &ENGLISH,
        Language::Chinese => &CHINESE,
    };
    cell.with(|bundle| {
        let bundle = bundle.get_or_init(|| load(LANGUAGE.get()));
        let Some(pattern) = bundle.get_message(key).and_then(|m| m.value()) else { return key.to_owned() };
        bundle.format_pattern(pattern, arguments, &mut vec![]).into_owned()
    })
}

fn load(language: Language) -> Bundle {
    let tag: LanguageIdentifier = language.tag().parse().expect("our own tags are well-formed");
    let mut bundle = FluentBundle::new(vec![tag]);
    // Isolation marks would end up in copied text and in the tests' comparisons; both languages run left to right.
    bundle.set_use_isolating(false);
    let resource = FluentResource::try_new(language.source().to_owned()).unwrap_or_else(|(partial, _)| partial);
    bundle.add_resource_overriding(resource);
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn keys(language: Language) -> BTreeSet<String> {
        FluentResource::try_new(language.source().to_owned()).expect("the file is well-formed Fluent");
        let message = |line: &str| line.split_once(" = ").map(|(key, _)| key.to_owned());
        let ours = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
        language
            .source()
            .lines()
            .filter(ours)
            .filter_map(|l| message(l).or_else(|| l.strip_suffix(" =").map(Into::into)))
            .collect()
    }

    #[test]
    fn both_languages_say_the_same_messages() {
        assert_eq!(keys(Language::English), keys(Language::Chinese));
        assert!(keys(Language::English).len() > 100);
    }

    #[test]
    fn every_message_the_page_asks_for_exists() {
        let known = keys(Language::English);
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
        speak(Language::English);
        let packets = |n| tn("status-packets", &[("n", Value::Number(n)), ("shown", Value::Text("1"))]);
        assert_ne!(packets(1), packets(2));
    }
}
