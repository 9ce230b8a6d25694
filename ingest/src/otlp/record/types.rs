//! Types that the text of a value does not tell: bytes are base64 and a double that is no number is a word, which texts may
//! be too. They are written as the shape of what they stand in, with the type in place of each such value and nothing of
//! the others, an item of an array under its number: never longer than the record.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use super::quote;

/// Writes the types in `list`, if there are any.
pub(super) fn of_pairs<'l>(out: &mut String, list: impl IntoIterator<Item = &'l KeyValue>) -> bool {
    let start = out.len();
    for pair in list {
        let before = out.len();
        out.push(if before == start { '{' } else { ',' });
        quote(out, &pair.key);
        out.push(':');
        if !of_value(out, pair.value.as_ref()) {
            out.truncate(before);
        }
    }
    close(out, start)
}

/// Writes the types in the items of an array, if there are any.
pub(super) fn of_items<T>(
    out: &mut String,
    items: &[T],
    mut of_item: impl FnMut(&mut String, &T) -> bool,
) -> bool {
    let start = out.len();
    for (at, item) in items.iter().enumerate() {
        let before = out.len();
        out.push(if before == start { '{' } else { ',' });
        quote(out, &at.to_string());
        out.push(':');
        if !of_item(out, item) {
            out.truncate(before);
        }
    }
    close(out, start)
}

/// Writes the type of a value, or those in it.
pub(super) fn of_value(out: &mut String, any: Option<&AnyValue>) -> bool {
    let word = match any.and_then(|any| any.value.as_ref()) {
        Some(Value::BytesValue(_)) => "\"bytes\"",
        Some(Value::DoubleValue(number)) if !number.is_finite() => "\"double\"",
        Some(Value::ArrayValue(list)) => {
            return of_items(out, &list.values, |out, item| of_value(out, Some(item)));
        }
        Some(Value::KvlistValue(list)) => return of_pairs(out, &list.values),
        _ => return false,
    };
    out.push_str(word);
    true
}

fn close(out: &mut String, start: usize) -> bool {
    let is_any = out.len() > start;
    if is_any {
        out.push('}');
    }
    is_any
}
