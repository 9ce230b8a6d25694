//! An export request in protobuf to its records, one after another.
//!
//! The nest of resources and scopes is walked here, so that a bad record is refused alone and only one is decoded at a
//! time; the records themselves are decoded by prost. Before that a record is weighed: two bytes of an empty item become
//! a hundred in memory, and depth costs stack.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use schemas::limits::{OTLP_ITEMS_MAX, OTLP_VALUE_DEPTH_MAX, VALUE_BYTES_MAX};

use super::{Each, Nests, Origin, Producer, Signal, Telemetry};
use crate::error::Error;
use crate::rejected::{Code, Refusal};

/// Gives every record of `body` to `each`.
pub(super) fn split(signal: Signal, body: &[u8], each: &mut Each<'_>) -> Result<(), Error> {
    let mut nests = Nests::default();
    for of_resource in messages(body, 1) {
        let of_resource = of_resource?;
        nests.enter()?;
        // Fields may come in any order: what holds for all is looked for when the first record is there.
        let mut producer = None;
        for of_scope in messages(of_resource, 2) {
            let of_scope = of_scope?;
            nests.enter()?;
            let mut origin = None;
            for record in messages(of_scope, 2) {
                let record = record?;
                let origin = origin.get_or_insert_with(|| {
                    let producer = producer.get_or_insert_with(|| read_producer(of_resource)).clone();
                    read_origin(producer?, of_scope)
                });
                let decoded = match signal {
                    Signal::Traces => {
                        decode::<Span>(record, Kind::Span).map(|span| Telemetry::Span(Box::new(span)))
                    }
                    Signal::Logs => {
                        decode::<LogRecord>(record, Kind::Log).map(|log| Telemetry::Log(Box::new(log)))
                    }
                };
                each(origin, decoded)?;
            }
        }
    }
    Ok(())
}

fn read_producer(of_resource: &[u8]) -> Result<Arc<Producer>, Refusal> {
    let resource = decode::<Resource>(&whole(of_resource, 1)?, Kind::Resource)?;
    Ok(Arc::new(Producer { resource, schema_url: text(of_resource, 3)? }))
}

fn read_origin(producer: Arc<Producer>, of_scope: &[u8]) -> Result<Arc<Origin>, Refusal> {
    let scope = decode::<InstrumentationScope>(&whole(of_scope, 1)?, Kind::Scope)?;
    Ok(Arc::new(Origin { producer, scope, scope_schema_url: text(of_scope, 3)? }))
}

/// The messages in field `number` of a message whose framing must hold, or the whole request is refused.
fn messages(bytes: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Error>> {
    Fields { rest: bytes }.filter_map(move |field| match field {
        Ok((found, Some(inner))) if found == number => Some(Ok(inner)),
        Ok(_) => None,
        Err(Malformed) => Some(Err(Error::BadTelemetry { reason: MALFORMED.to_string() })),
    })
}

/// A message field as one: where it stands several times, protobuf merges, which is what joining the bytes means.
fn whole(bytes: &[u8], number: u32) -> Result<Vec<u8>, Refusal> {
    let mut joined = Vec::new();
    for field in (Fields { rest: bytes }) {
        match field {
            Ok((found, Some(inner))) if found == number => joined.extend_from_slice(inner),
            Ok(_) => {}
            Err(Malformed) => return Err(malformed()),
        }
    }
    Ok(joined)
}

/// A text field; of several the last.
fn text(bytes: &[u8], number: u32) -> Result<String, Refusal> {
    let mut last: &[u8] = &[];
    for field in (Fields { rest: bytes }) {
        match field {
            Ok((found, Some(inner))) if found == number => last = inner,
            Ok(_) => {}
            Err(Malformed) => return Err(malformed()),
        }
    }
    let utf8 = || Refusal::new(Code::BadUtf8, "a schema URL is not UTF-8");
    std::str::from_utf8(last).map(str::to_string).map_err(|_| utf8())
}

fn decode<M: Message + Default>(bytes: &[u8], kind: Kind) -> Result<M, Refusal> {
    if bytes.len() > VALUE_BYTES_MAX {
        let detail = format!("the record or its resource is longer than {VALUE_BYTES_MAX} bytes");
        return Err(Refusal::new(Code::TooLarge, detail));
    }
    weigh(bytes, kind)?;
    // What prost says names fields and wire types, never values.
    M::decode(bytes).map_err(|error| Refusal::new(Code::BadProtobuf, error.to_string()))
}

/// The messages of OTLP, as far as they hold others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Span,
    Log,
    Resource,
    Scope,
    Event,
    Link,
    KeyValue,
    AnyValue,
    Array,
    Map,
    Leaf,
}

impl Kind {
    /// What field `number` of it holds, if that is a message.
    fn child(self, number: u32) -> Option<Kind> {
        Some(match (self, number) {
            (Kind::Span, 9)
            | (Kind::Log, 6)
            | (Kind::Resource, 1)
            | (Kind::Scope | Kind::Event, 3)
            | (Kind::Link, 4) => Kind::KeyValue,
            (Kind::Span, 11) => Kind::Event,
            (Kind::Span, 13) => Kind::Link,
            (Kind::Span, 15) | (Kind::Resource, 3) => Kind::Leaf,
            (Kind::Log, 5) | (Kind::KeyValue, 2) | (Kind::Array, 1) => Kind::AnyValue,
            (Kind::Map, 1) => Kind::KeyValue,
            (Kind::AnyValue, 5) => Kind::Array,
            (Kind::AnyValue, 6) => Kind::Map,
            _ => return None,
        })
    }
}

/// Refuses what would take too much memory or stack to decode; itself takes neither.
fn weigh(bytes: &[u8], kind: Kind) -> Result<(), Refusal> {
    let mut open = vec![(Fields { rest: bytes }, kind, 0)];
    let mut items = 0usize;
    while let Some((fields, kind, depth)) = open.last_mut() {
        let (kind, depth) = (*kind, *depth);
        let (number, inner) = match fields.next() {
            Some(field) => field.map_err(|Malformed| malformed())?,
            None => {
                open.pop();
                continue;
            }
        };
        items += 1;
        if items > OTLP_ITEMS_MAX {
            return Err(too_many());
        }
        let (Some(child), Some(inner)) = (kind.child(number), inner) else { continue };
        let depth = depth + usize::from(matches!(child, Kind::Array | Kind::Map));
        if depth > OTLP_VALUE_DEPTH_MAX {
            return Err(too_deep());
        }
        open.push((Fields { rest: inner }, child, depth));
    }
    Ok(())
}

pub(super) fn too_many() -> Refusal {
    let detail = format!("the record has more than {OTLP_ITEMS_MAX} fields and items; send fewer");
    Refusal::new(Code::TooManyKeys, detail)
}

pub(super) fn too_deep() -> Refusal {
    let detail = format!("a value is more than {OTLP_VALUE_DEPTH_MAX} levels deep; flatten it");
    Refusal::new(Code::TooDeep, detail)
}

const MALFORMED: &str =
    "the framing of the protobuf message is broken: a field ends beyond its message or is of no type";

fn malformed() -> Refusal {
    Refusal::new(Code::BadProtobuf, MALFORMED)
}

/// That bytes are no fields of a message.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

/// The fields of a message: their numbers, and the bytes of those that have a length.
#[derive(Debug)]
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u32, Option<&'a [u8]>), Malformed> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed)?;
        if number == 0 {
            return Err(Malformed);
        }
        let inner = match key & 7 {
            0 => {
                self.varint()?;
                None
            }
            1 => self.take(8).map(|_| None)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Some(self.take(length)?)
            }
            5 => self.take(4).map(|_| None)?,
            // Groups are gone from protobuf since before there was OTLP.
            _ => return Err(Malformed),
        };
        Ok((number, inner))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // Of the tenth byte only one bit is left.
                return if shift == 63 && *byte > 1 { Err(Malformed) } else { Ok(value) };
            }
        }
        Err(Malformed)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Option<&'a [u8]>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use schemas::limits::BODY_VALUES_MAX;

    use super::*;

    /// `{ field 2: inner }`, a length-delimited field.
    fn field(number: u8, inner: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend_from_slice(inner);
        out
    }

    fn nested(levels: usize) -> Vec<u8> {
        let value = (0..levels).fold(Vec::new(), |inner, _| field(5, &field(1, &inner)));
        field(9, &field(2, &value))
    }

    #[test]
    fn depth_and_items_are_bounded_before_anything_is_decoded() {
        assert!(decode::<Span>(&nested(OTLP_VALUE_DEPTH_MAX), Kind::Span).is_ok());
        for levels in [OTLP_VALUE_DEPTH_MAX + 1, 200_000] {
            let refused = decode::<Span>(&nested(levels.min(20_000)), Kind::Span).unwrap_err();
            assert_eq!(refused.code, Code::TooDeep);
        }
        let empty = field(9, &[]);
        assert!(decode::<Span>(&empty.repeat(OTLP_ITEMS_MAX), Kind::Span).is_ok());
        let refused = decode::<Span>(&empty.repeat(OTLP_ITEMS_MAX + 1), Kind::Span).unwrap_err();
        assert_eq!(refused.code, Code::TooManyKeys);
        let long = field(5, &vec![b'x'; VALUE_BYTES_MAX]);
        assert_eq!(decode::<Span>(&long, Kind::Span).unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn a_bad_record_is_refused_alone_and_a_bad_frame_whole() {
        let good = field(5, b"name");
        let scope =
            [field(2, &good), field(2, &field(5, b"\xff")), field(2, b"\x4a\x7f"), field(2, &good)].concat();
        let body = field(1, &field(2, &scope));
        let mut codes = Vec::new();
        let mut each = |origin: &Result<Arc<Origin>, Refusal>, record: Result<Telemetry, Refusal>| {
            assert!(origin.is_ok());
            codes.push(record.map_err(|refusal| refusal.code).err());
            Ok(())
        };
        split(Signal::Traces, &body, &mut each).unwrap();
        assert_eq!(codes, [None, Some(Code::BadProtobuf), Some(Code::BadProtobuf), None]);
        for bad in
            [&b"\x0a\x05ab"[..], b"\x0b\x0c", b"\x00", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", b"{}"]
        {
            let refused = split(Signal::Traces, bad, &mut |_, _| Ok(()));
            assert!(matches!(refused, Err(Error::BadTelemetry { .. })), "{bad:?}");
        }
        split(Signal::Traces, b"", &mut |_, _| panic!("no record")).unwrap();
    }

    #[test]
    fn what_holds_for_all_may_come_last_and_in_parts() {
        let attribute = |key: &[u8]| field(1, &field(1, key));
        let scope = [field(2, &field(5, b"name")), field(1, &field(1, b"scope")), field(3, b"url")].concat();
        let body =
            field(1, &[field(2, &scope), field(1, &attribute(b"a")), field(1, &attribute(b"b"))].concat());
        let mut seen = 0;
        let mut each = |origin: &Result<Arc<Origin>, Refusal>, _: Result<Telemetry, Refusal>| {
            let origin = origin.as_ref().unwrap();
            let attributes = &origin.producer.resource.attributes;
            let keys: Vec<&str> = attributes.iter().map(|pair| pair.key.as_str()).collect();
            assert_eq!((keys, origin.scope.name.as_str()), (vec!["a", "b"], "scope"));
            assert_eq!(origin.scope_schema_url, "url");
            seen += 1;
            Ok(())
        };
        split(Signal::Traces, &body, &mut each).unwrap();
        assert_eq!(seen, 1);
    }

    /// Sixty kilobytes of gzip may hold one large resource and millions of scopes of two bytes.
    #[test]
    fn scopes_without_records_cost_no_more_than_their_bytes() {
        let resource = field(1, &field(1, &[]).repeat(OTLP_ITEMS_MAX));
        let scopes = |count: usize| field(1, &[resource.clone(), field(2, &[]).repeat(count)].concat());
        let mut none = |_: &Result<Arc<Origin>, Refusal>, _| panic!("no record");
        split(Signal::Traces, &scopes(BODY_VALUES_MAX - 1), &mut none).unwrap();
        let resources = field(1, &[]).repeat(BODY_VALUES_MAX + 1);
        for many in [scopes(BODY_VALUES_MAX), resources] {
            let refused = split(Signal::Traces, &many, &mut none);
            assert!(matches!(refused, Err(Error::TooLarge { limit: BODY_VALUES_MAX, .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_resource_is_read_once_for_all_its_records() {
        let scope = field(2, &[field(2, &field(5, b"a")), field(2, &field(5, b"b"))].concat());
        let body = field(1, &[scope.clone(), scope, field(1, &field(1, &field(1, b"k")))].concat());
        let mut seen: Vec<Arc<Origin>> = Vec::new();
        let mut each = |origin: &Result<Arc<Origin>, Refusal>, _: Result<Telemetry, Refusal>| {
            seen.push(origin.clone().unwrap());
            Ok(())
        };
        split(Signal::Traces, &body, &mut each).unwrap();
        let [a, b, c, d] = &seen[..] else { panic!("{seen:?}") };
        assert!(Arc::ptr_eq(a, b) && Arc::ptr_eq(c, d) && !Arc::ptr_eq(b, c));
        assert!(Arc::ptr_eq(&a.producer, &d.producer));
    }
}
