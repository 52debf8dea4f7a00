//! The filter that a line of the decode tree stands for.

use super::Filter;
use super::field::{Field, Subject, find};
use super::literal::Literal;
use super::syntax::{Op, Word};
use super::value::{Type, Value};
use crate::dissect::Node;
use std::cmp::Ordering;

/// Values of more bytes or characters are not written into a filter: the line then filters for the field's presence.
const LONGEST: usize = 64;

/// A filter for what a line of the decode tree shows; the packet itself passes it. A layer, and a line without a value of its
/// own, filters for its presence. Empty where no field stands for the line.
pub fn of_node(node: &Node, subject: &Subject<'_>) -> String {
    let Some(field) = find(&node.field) else { return String::new() };
    let presence = field.name.to_owned();
    let compared = match field.kind {
        Type::Presence => None,
        _ => value_of(field, node, subject).map(|value| format!("{} == {value}", field.name)),
    };
    // Where only following its conversation could tell, a line without a value says itself that it is there.
    let is_unknown = if field.kind == Type::Presence { None } else { Some(false) };
    let passes = |text: &String| match Filter::parse(text) {
        Ok(Some(filter)) => filter.test(subject).or(is_unknown) != Some(false),
        Ok(None) | Err(_) => false,
    };
    compared.into_iter().chain([presence]).find(passes).unwrap_or_default()
}

/// The value of the line as it is typed: as the line shows it where that can be read, else as the packet has it. `None` where
/// the packet has several, and none of them is the one that is shown.
fn value_of(field: &Field, node: &Node, subject: &Subject<'_>) -> Option<String> {
    let shown = node.value.split([' ', ',']).next().unwrap_or_default();
    let shown = Literal::read(&Word::plain(shown, 0..shown.len()), field.kind, Op::AnyEqual).ok().map(|literal| (shown, literal));
    let mut as_shown = None;
    let mut typed = Vec::new();
    field.emit(subject, &mut |value| {
        if let Some((text, literal)) = &shown
            && field.kind != Type::Text
            && value.order(literal) == Some(Ordering::Equal)
        {
            as_shown = Some((*text).to_owned());
        }
        if let (Type::Text, Value::Text(text)) = (field.kind, value)
            && text == node.value
        {
            as_shown = text_of(value);
        }
        typed.push(text_of(value));
    });
    as_shown.or_else(|| if typed.len() == 1 { typed.pop().flatten() } else { None })
}

/// A value as it is typed into a filter.
fn text_of(value: Value<'_>) -> Option<String> {
    match value {
        Value::Bytes(bytes) if bytes.len() > LONGEST => None,
        Value::Text(text) if text.len() > LONGEST || text.chars().any(char::is_control) => None,
        Value::Text(text) => Some(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))),
        value => value.to_text(),
    }
}
