//! An export request in JSON to its records, one after another: hexadecimal ids, integers of 64 bits as text, unknown
//! fields ignored.
//!
//! The nest of resources and scopes is split into raw texts, without recursion; each record is then read on its own, so
//! that a bad one is refused alone. `null` is the same as absent, and enumerations may come by number or by name, as
//! protobuf's own JSON allows.

use std::fmt;
use std::sync::Arc;

use schemas::limits::{BODY_VALUES_MAX, OTLP_ITEMS_MAX, VALUE_BYTES_MAX};
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::wire::too_many;
use super::{Each, Nests, Origin, Producer, Signal, Telemetry};
use crate::error::Error;
use crate::rejected::{Code, Refusal};

mod message;
mod value;

/// Texts of an array that are read one by one; at most [`BODY_VALUES_MAX`].
#[derive(Debug, Default)]
struct Raws<'a>(Vec<&'a RawValue>);

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow)]
    resource_spans: Option<Raws<'a>>,
    #[serde(borrow)]
    resource_logs: Option<Raws<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfResource<'a> {
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    scope_spans: Option<Raws<'a>>,
    #[serde(borrow)]
    scope_logs: Option<Raws<'a>>,
    schema_url: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfScope<'a> {
    #[serde(borrow)]
    scope: Option<&'a RawValue>,
    #[serde(borrow)]
    spans: Option<Raws<'a>>,
    #[serde(borrow)]
    log_records: Option<Raws<'a>>,
    schema_url: Option<String>,
}

/// Gives every record of `body` to `each`.
pub(super) fn split(signal: Signal, body: &[u8], each: &mut Each<'_>) -> Result<(), Error> {
    let pick = |traces, logs| match signal {
        Signal::Traces => traces,
        Signal::Logs => logs,
    };
    let request: Request<'_> = serde_json::from_slice(body).map_err(|error| broken(&error))?;
    let mut nests = Nests::default();
    for of_resource in items(pick(request.resource_spans, request.resource_logs)) {
        nests.enter()?;
        let OfResource { resource, scope_spans, scope_logs, schema_url } =
            serde_json::from_str(of_resource.get()).map_err(|error| broken(&error))?;
        let mut producer = None;
        for of_scope in items(pick(scope_spans, scope_logs)) {
            nests.enter()?;
            let OfScope { scope, spans, log_records, schema_url: scope_schema_url } =
                serde_json::from_str(of_scope.get()).map_err(|error| broken(&error))?;
            let mut origin = None;
            for record in items(pick(spans, log_records)) {
                let origin = origin.get_or_insert_with(|| {
                    let producer =
                        producer.get_or_insert_with(|| read_producer(resource, schema_url.as_deref()));
                    read_origin(producer.clone()?, scope, scope_schema_url.as_deref())
                });
                let decoded = match signal {
                    Signal::Traces => {
                        read::<message::Span>(record).map(|span| Telemetry::Span(Box::new(span.into())))
                    }
                    Signal::Logs => {
                        read::<message::Log>(record).map(|log| Telemetry::Log(Box::new(log.into())))
                    }
                };
                each(origin, decoded)?;
            }
        }
    }
    Ok(())
}

fn read_producer(resource: Option<&RawValue>, schema_url: Option<&str>) -> Result<Arc<Producer>, Refusal> {
    let resource = read_or_default::<message::Resource>(resource)?.into();
    Ok(Arc::new(Producer { resource, schema_url: schema_url.unwrap_or_default().to_string() }))
}

fn read_origin(
    producer: Arc<Producer>,
    scope: Option<&RawValue>,
    schema_url: Option<&str>,
) -> Result<Arc<Origin>, Refusal> {
    let scope = read_or_default::<message::Scope>(scope)?.into();
    Ok(Arc::new(Origin { producer, scope, scope_schema_url: schema_url.unwrap_or_default().to_string() }))
}

fn items(raws: Option<Raws<'_>>) -> Vec<&RawValue> {
    raws.unwrap_or_default().0
}

fn read_or_default<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> Result<T, Refusal> {
    raw.map_or_else(|| Ok(T::default()), read)
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Refusal> {
    let text = raw.get();
    if text.len() > VALUE_BYTES_MAX {
        let detail = format!("the record or its resource is longer than {VALUE_BYTES_MAX} bytes");
        return Err(Refusal::new(Code::TooLarge, detail));
    }
    if weight(text) > OTLP_ITEMS_MAX {
        return Err(too_many());
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        // The parser bounds its depth, and calls passing it a fault of syntax; the text was found whole before.
        Category::Syntax if error.to_string().contains("recursion limit") => super::wire::too_deep(),
        _ => Refusal::new(Code::BadType, place("a field of the record has a value of another type", &error)),
    })
}

/// How many objects, arrays and items a text holds.
fn weight(text: &str) -> usize {
    let (mut count, mut in_string, mut is_escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' | b',' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

fn broken(error: &serde_json::Error) -> Error {
    let what = match error.classify() {
        Category::Eof => "the JSON ends too early",
        Category::Syntax | Category::Io => "it is not JSON",
        Category::Data => "resources, scopes and records are not where OTLP has them, or are too many",
    };
    Error::BadTelemetry { reason: place(what, error) }
}

/// Says where; the parser's own words may quote a secret.
fn place(what: &str, error: &serde_json::Error) -> String {
    format!("{what}, at line {} column {} of it", error.line(), error.column())
}

impl<'de: 'a, 'a> Deserialize<'de> for Raws<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raws<'a>, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Raws<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Raws<'de>, A::Error> {
                let mut raws = Vec::new();
                while let Some(raw) = sequence.next_element::<&'de RawValue>()? {
                    if raws.len() == BODY_VALUES_MAX {
                        return Err(A::Error::custom("too many"));
                    }
                    raws.push(raw);
                }
                Ok(Raws(raws))
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

#[cfg(test)]
mod tests;
