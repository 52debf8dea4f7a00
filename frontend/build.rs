//! Turns the page's words, Fluent files, into a table: what reads Fluent is well kept, and too large for the
//! download (40 KB of code, 30 KB of tables that do not compress), so it stays here. Of the language this takes text, `{ $name }`, and `{ $n -> [one] … *[other] … }` as a whole message; anything else,
//! a message that only one language has, and a file that is not Fluent end the build with a sentence.

use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement, VariantKey};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

/// In the order of `text::Language`.
const FILES: [&str; 2] = ["src/text/en.ftl", "src/text/zh.ftl"];

fn main() {
    let mut messages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (index, file) in FILES.iter().enumerate() {
        println!("cargo::rerun-if-changed={file}");
        let source = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file} cannot be read: {error}"));
        let resource = fluent_syntax::parser::parse(source.as_str())
            .unwrap_or_else(|(_, errors)| panic!("{file} is not well-formed Fluent: {errors:?}"));
        for entry in resource.body {
            match entry {
                Entry::Message(message) => {
                    let key = message.id.name;
                    let pattern = message.value.unwrap_or_else(|| panic!("{file}: {key} has no value"));
                    let said = messages.entry(key.to_owned()).or_default();
                    assert_eq!(said.len(), index, "{file}: {key} stands twice, or not in {}", FILES[0]);
                    said.push(written(&pattern).unwrap_or_else(|| panic!("{file}: {key} uses what build.rs does not take")));
                }
                Entry::Comment(_) | Entry::GroupComment(_) | Entry::ResourceComment(_) => {}
                other => panic!("{file}: {other:?} is neither a message nor a comment"),
            }
        }
    }
    let mut table =
        format!("/// Every message in every language, by key.\nstatic MESSAGES: [(&str, [&str; 2]); {}] = [\n", messages.len());
    for (key, said) in messages {
        assert_eq!(said.len(), FILES.len(), "{key} stands in {} alone", FILES[0]);
        writeln!(table, "    ({key:?}, {said:?}),").expect("writing to a string does not fail");
    }
    table.push_str("];\n");
    let out = env::var_os("OUT_DIR").expect("Cargo sets it");
    fs::write(Path::new(&out).join("messages.rs"), table).expect("Cargo's folder can be written");
}

/// A message as `text::say` reads it; `None` when it uses more of Fluent than the page has.
fn written(pattern: &Pattern<&str>) -> Option<String> {
    let [PatternElement::Placeable { expression: Expression::Select { selector, variants } }] = &pattern.elements[..] else {
        return form(pattern);
    };
    let [one, other] = &variants[..] else { return None };
    let known = matches!(one.key, VariantKey::Identifier { name: "one" })
        && matches!(other.key, VariantKey::Identifier { name: "other" });
    known.then_some(format!("{}|{}|{}", name(selector)?, form(&one.value)?, form(&other.value)?))
}

fn form(pattern: &Pattern<&str>) -> Option<String> {
    let element = |element: &PatternElement<&str>| match element {
        PatternElement::TextElement { value } => (!value.contains(['{', '}', '|'])).then(|| (*value).to_owned()),
        PatternElement::Placeable { expression: Expression::Inline(inline) } => Some(format!("{{{}}}", name(inline)?)),
        PatternElement::Placeable { .. } => None,
    };
    pattern.elements.iter().map(element).collect()
}

fn name<'a>(inline: &InlineExpression<&'a str>) -> Option<&'a str> {
    match inline {
        InlineExpression::VariableReference { id } => Some(id.name),
        _ => None,
    }
}
