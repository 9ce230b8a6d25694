//! A span or a log record as one JSON object: what is redacted, mapped and kept.
//!
//! Lossless: every field of OTLP that is set is there. Integers stay exact; a double always has a point or an exponent, so
//! that the two stay apart; a double that is no number is the text `NaN`, `Infinity` or `-Infinity`; bytes are base64; an
//! empty value is `null`. A field of OTLP that has its default is absent. Enumerations are words where they have one.
//! Where a text could be mistaken, `value_types` beside it says what the value was.
//! Of a key that stands twice in a list of attributes the last value holds; the others are in a list beside it, such as
//! `attributes_repeated`, each as an object of its own, so that redaction sees its key. Inside a value it stands twice.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span};
use schemas::limits::OTLP_VALUE_DEPTH_MAX;

use super::wire::too_deep;
use super::{Origin, Producer, Telemetry};
use crate::rejected::{Code, Refusal};

mod types;

/// A record as text, or a part of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Text {
    pub(super) json: String,
    /// Whether a key of its attributes, its resource's or its scope's stands twice.
    pub(super) has_repeats: bool,
}

/// The text of `record`; `producer` and `scope` are what [`of_producer`] and [`of_scope`] give.
pub(super) fn of(record: &Telemetry, producer: &Text, scope: &Text) -> Result<Text, Refusal> {
    let mut out = Object::new();
    match record {
        Telemetry::Span(span) => of_span(&mut out, span)?,
        Telemetry::Log(log) => of_log(&mut out, log)?,
    }
    out.types("value_types");
    out.text.push_str(&producer.json);
    out.text.push_str(&scope.json);
    let has_repeats = out.has_repeats || producer.has_repeats || scope.has_repeats;
    Ok(Text { json: out.close(), has_repeats })
}

/// What every record of a resource has of it, each member behind a comma.
pub(super) fn of_producer(producer: &Producer) -> Result<Text, Refusal> {
    let Producer { resource, schema_url } = producer;
    let mut out = Object::inner();
    out.pairs("resource", &resource.attributes)?;
    out.number("resource_dropped_attributes_count", resource.dropped_attributes_count);
    out.string("resource_schema_url", schema_url);
    if !resource.entity_refs.is_empty() {
        out.key("resource_entity_refs");
        array(&mut out.text, &resource.entity_refs, |text, entity| {
            let mut inner = Object::new();
            inner.string("type", &entity.r#type);
            inner.string("schema_url", &entity.schema_url);
            inner.strings("id_keys", &entity.id_keys);
            inner.strings("description_keys", &entity.description_keys);
            text.push_str(&inner.close());
            Ok(())
        })?;
    }
    out.types("resource_value_types");
    Ok(Text { json: out.text, has_repeats: out.has_repeats })
}

/// What every record of a scope has of it, each member behind a comma.
pub(super) fn of_scope(origin: &Origin) -> Result<Text, Refusal> {
    let Origin { producer: _, scope, scope_schema_url } = origin;
    let mut inner = Object::new();
    inner.string("name", &scope.name);
    inner.string("version", &scope.version);
    inner.pairs("attributes", &scope.attributes)?;
    inner.number("dropped_attributes_count", scope.dropped_attributes_count);
    inner.types("value_types");
    let mut out = Object::inner();
    out.has_repeats = inner.has_repeats;
    if !inner.is_empty {
        out.key("scope");
        out.text.push_str(&inner.close());
    }
    out.string("scope_schema_url", scope_schema_url);
    Ok(Text { json: out.text, has_repeats: out.has_repeats })
}

fn of_span(out: &mut Object, span: &Span) -> Result<(), Refusal> {
    out.string("signal", "span");
    out.id("trace_id", &span.trace_id);
    out.id("span_id", &span.span_id);
    out.id("parent_span_id", &span.parent_span_id);
    out.string("trace_state", &span.trace_state);
    out.number("flags", span.flags);
    out.string("name", &span.name);
    out.word("kind", span.kind, &["", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]);
    out.number("start_time_unix_nano", span.start_time_unix_nano);
    out.number("end_time_unix_nano", span.end_time_unix_nano);
    if let Some(Status { message, code }) = &span.status {
        let mut inner = Object::new();
        inner.word("code", *code, &["", "OK", "ERROR"]);
        inner.string("message", message);
        out.key("status");
        out.text.push_str(&inner.close());
    }
    out.pairs("attributes", &span.attributes)?;
    out.number("dropped_attributes_count", span.dropped_attributes_count);
    if !span.events.is_empty() {
        out.key("events");
        array(&mut out.text, &span.events, of_event)?;
    }
    out.number("dropped_events_count", span.dropped_events_count);
    if !span.links.is_empty() {
        out.key("links");
        array(&mut out.text, &span.links, of_link)?;
    }
    out.number("dropped_links_count", span.dropped_links_count);
    Ok(())
}

fn of_event(text: &mut String, event: &span::Event) -> Result<(), Refusal> {
    let mut inner = Object::new();
    inner.string("name", &event.name);
    inner.number("time_unix_nano", event.time_unix_nano);
    inner.pairs("attributes", &event.attributes)?;
    inner.number("dropped_attributes_count", event.dropped_attributes_count);
    inner.types("value_types");
    text.push_str(&inner.close());
    Ok(())
}

fn of_link(text: &mut String, link: &span::Link) -> Result<(), Refusal> {
    let mut inner = Object::new();
    inner.id("trace_id", &link.trace_id);
    inner.id("span_id", &link.span_id);
    inner.string("trace_state", &link.trace_state);
    inner.number("flags", link.flags);
    inner.pairs("attributes", &link.attributes)?;
    inner.number("dropped_attributes_count", link.dropped_attributes_count);
    inner.types("value_types");
    text.push_str(&inner.close());
    Ok(())
}

fn of_log(out: &mut Object, log: &LogRecord) -> Result<(), Refusal> {
    out.string("signal", "log");
    out.id("trace_id", &log.trace_id);
    out.id("span_id", &log.span_id);
    out.number("flags", log.flags);
    out.string("event_name", &log.event_name);
    out.number("time_unix_nano", log.time_unix_nano);
    out.number("observed_time_unix_nano", log.observed_time_unix_nano);
    out.number("severity_number", log.severity_number);
    out.string("severity_text", &log.severity_text);
    if let Some(body) = &log.body {
        out.key("body");
        value(&mut out.text, Some(body), 0)?;
        out.of_types("body", |types| types::of_value(types, Some(body)));
    }
    out.pairs("attributes", &log.attributes)?;
    out.number("dropped_attributes_count", log.dropped_attributes_count);
    Ok(())
}

/// A JSON object under construction; members with a default value are left out.
struct Object {
    text: String,
    is_empty: bool,
    /// The members of its [`types`].
    types: String,
    /// Whether a list of pairs in it has a key twice.
    has_repeats: bool,
}

impl Object {
    fn new() -> Object {
        Object { text: String::from("{"), is_empty: true, types: String::new(), has_repeats: false }
    }

    /// Members of another object, each behind a comma.
    fn inner() -> Object {
        Object { text: String::new(), is_empty: false, ..Object::new() }
    }

    fn close(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn key(&mut self, key: &str) {
        if !self.is_empty {
            self.text.push(',');
        }
        self.is_empty = false;
        quote(&mut self.text, key);
        self.text.push(':');
    }

    fn string(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.key(key);
            quote(&mut self.text, value);
        }
    }

    fn strings(&mut self, key: &str, values: &[String]) {
        for (at, value) in values.iter().enumerate() {
            if at == 0 {
                self.key(key);
            }
            self.text.push(if at == 0 { '[' } else { ',' });
            quote(&mut self.text, value);
        }
        if !values.is_empty() {
            self.text.push(']');
        }
    }

    fn number<T: Into<i128>>(&mut self, key: &str, value: T) {
        let value: i128 = value.into();
        if value != 0 {
            self.key(key);
            self.text.push_str(&value.to_string());
        }
    }

    /// A member of an enumeration: its word, or its number where nobody knows it.
    fn word(&mut self, key: &str, value: i32, words: &[&str]) {
        match usize::try_from(value).ok().and_then(|at| words.get(at)) {
            Some(word) => self.string(key, word),
            None => self.number(key, value),
        }
    }

    fn id(&mut self, key: &str, id: &[u8]) {
        self.string(key, &hex(id));
    }

    /// A list of attributes: the last of each key under `key`, and the others beside it.
    fn pairs(&mut self, key: &str, list: &[KeyValue]) -> Result<(), Refusal> {
        if list.is_empty() {
            return Ok(());
        }
        let last: HashMap<&str, usize> =
            list.iter().enumerate().map(|(at, pair)| (pair.key.as_str(), at)).collect();
        let is_last = |at: usize, pair: &KeyValue| last.get(pair.key.as_str()) == Some(&at);
        let kept = || list.iter().enumerate().filter(|(at, pair)| is_last(*at, pair)).map(|(_, pair)| pair);
        self.key(key);
        pairs(&mut self.text, kept(), 0)?;
        self.of_types(key, |types| types::of_pairs(types, kept()));
        if last.len() == list.len() {
            return Ok(());
        }
        self.has_repeats = true;
        let others: Vec<&KeyValue> =
            list.iter().enumerate().filter(|(at, pair)| !is_last(*at, pair)).map(|(_, pair)| pair).collect();
        let key = format!("{key}_repeated");
        self.key(&key);
        array(&mut self.text, &others, |text, pair| pairs(text, [*pair], 0))?;
        self.of_types(&key, |types| {
            types::of_items(types, &others, |types, pair| types::of_pairs(types, [*pair]))
        });
        Ok(())
    }

    /// Takes up what `write` writes of the types in the member `key`.
    fn of_types(&mut self, key: &str, write: impl FnOnce(&mut String) -> bool) {
        let before = self.types.len();
        if before > 0 {
            self.types.push(',');
        }
        quote(&mut self.types, key);
        self.types.push(':');
        if !write(&mut self.types) {
            self.types.truncate(before);
        }
    }

    /// The types of its members as its member `key`, if there are any.
    fn types(&mut self, key: &str) {
        if !self.types.is_empty() {
            self.key(key);
            let types = std::mem::take(&mut self.types);
            self.text.extend(["{", &types, "}"]);
        }
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string does not fail.
        write!(out, "{byte:02x}").ok();
        out
    })
}

fn array<T>(
    out: &mut String,
    items: &[T],
    mut each: impl FnMut(&mut String, &T) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        each(out, item)?;
    }
    out.push(']');
    Ok(())
}

fn pairs<'l>(
    out: &mut String,
    list: impl IntoIterator<Item = &'l KeyValue>,
    depth: usize,
) -> Result<(), Refusal> {
    out.push('{');
    for (at, pair) in list.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        if pair.key_strindex != 0 {
            return Err(no_dictionary());
        }
        quote(out, &pair.key);
        out.push(':');
        value(out, pair.value.as_ref(), depth)?;
    }
    out.push('}');
    Ok(())
}

fn value(out: &mut String, any: Option<&AnyValue>, depth: usize) -> Result<(), Refusal> {
    let Some(found) = any.and_then(|any| any.value.as_ref()) else {
        out.push_str("null");
        return Ok(());
    };
    let is_nest = matches!(found, Value::ArrayValue(_) | Value::KvlistValue(_));
    if is_nest && depth == OTLP_VALUE_DEPTH_MAX {
        return Err(too_deep());
    }
    match found {
        Value::StringValue(text) => quote(out, text),
        Value::BoolValue(is_so) => out.push_str(if *is_so { "true" } else { "false" }),
        Value::IntValue(number) => out.push_str(&number.to_string()),
        Value::DoubleValue(number) => double(out, *number),
        Value::BytesValue(bytes) => quote(out, &STANDARD.encode(bytes)),
        Value::ArrayValue(list) => {
            array(out, &list.values, |out, item| value(out, Some(item), depth + 1))?;
        }
        Value::KvlistValue(list) => pairs(out, &list.values, depth + 1)?,
        Value::StringValueStrindex(_) => return Err(no_dictionary()),
    }
    Ok(())
}

fn double(out: &mut String, number: f64) {
    if number.is_nan() {
        out.push_str("\"NaN\"");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        // The shortest text that gives the same double; never that of an integer.
        out.push_str(&format!("{number:?}"));
    }
}

/// Profiles keep their texts in a table beside; the other signals have none.
fn no_dictionary() -> Refusal {
    let detail = "a key or value is an index into a table of texts, which only profiles have";
    Refusal::new(Code::BadType, detail)
}

/// `text` as a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(text.get(plain..at).unwrap_or_default());
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => out.push_str(&format!("\\u{control:04x}")),
        }
    }
    out.push_str(text.get(plain..).unwrap_or_default());
    out.push('"');
}

#[cfg(test)]
mod tests;
