//! The messages of OTLP as JSON has them.

use opentelemetry_proto::tonic::common::v1::{EntityRef, InstrumentationScope};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1;
use opentelemetry_proto::tonic::trace::v1 as trace;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde::Deserialize;

use super::value::{Any, Hex, Int, Member, Pair, pairs};

type Text = Option<String>;
type Id = Option<Hex>;
type Time = Option<Int<u64>>;
type Count = Option<Int<u32>>;
type Pairs = Option<Vec<Pair>>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Resource {
    attributes: Pairs,
    dropped_attributes_count: Count,
    entity_refs: Option<Vec<Entity>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entity {
    schema_url: Text,
    r#type: Text,
    id_keys: Option<Vec<String>>,
    description_keys: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Scope {
    name: Text,
    version: Text,
    attributes: Pairs,
    dropped_attributes_count: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Span {
    trace_id: Id,
    span_id: Id,
    trace_state: Text,
    parent_span_id: Id,
    flags: Count,
    name: Text,
    kind: Option<Member<SpanKind>>,
    start_time_unix_nano: Time,
    end_time_unix_nano: Time,
    attributes: Pairs,
    dropped_attributes_count: Count,
    events: Option<Vec<Event>>,
    dropped_events_count: Count,
    links: Option<Vec<Link>>,
    dropped_links_count: Count,
    status: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    time_unix_nano: Time,
    name: Text,
    attributes: Pairs,
    dropped_attributes_count: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Link {
    trace_id: Id,
    span_id: Id,
    trace_state: Text,
    attributes: Pairs,
    dropped_attributes_count: Count,
    flags: Count,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    message: Text,
    code: Option<Member<StatusCode>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Log {
    time_unix_nano: Time,
    observed_time_unix_nano: Time,
    severity_number: Option<Member<SeverityNumber>>,
    severity_text: Text,
    body: Option<Any>,
    attributes: Pairs,
    dropped_attributes_count: Count,
    flags: Count,
    trace_id: Id,
    span_id: Id,
    event_name: Text,
}

fn id(id: Id) -> Vec<u8> {
    id.unwrap_or_default().0
}

fn number<T: Default>(number: Option<Int<T>>) -> T {
    number.map(|number| number.0).unwrap_or_default()
}

impl From<Resource> for v1::Resource {
    fn from(resource: Resource) -> v1::Resource {
        let entity = |entity: Entity| EntityRef {
            schema_url: entity.schema_url.unwrap_or_default(),
            r#type: entity.r#type.unwrap_or_default(),
            id_keys: entity.id_keys.unwrap_or_default(),
            description_keys: entity.description_keys.unwrap_or_default(),
        };
        v1::Resource {
            attributes: pairs(resource.attributes),
            dropped_attributes_count: number(resource.dropped_attributes_count),
            entity_refs: resource.entity_refs.unwrap_or_default().into_iter().map(entity).collect(),
        }
    }
}

impl From<Scope> for InstrumentationScope {
    fn from(scope: Scope) -> InstrumentationScope {
        InstrumentationScope {
            name: scope.name.unwrap_or_default(),
            version: scope.version.unwrap_or_default(),
            attributes: pairs(scope.attributes),
            dropped_attributes_count: number(scope.dropped_attributes_count),
        }
    }
}

impl From<Span> for trace::Span {
    fn from(span: Span) -> trace::Span {
        let status = |status: Status| trace::Status {
            message: status.message.unwrap_or_default(),
            code: status.code.map_or(0, |code| code.0),
        };
        trace::Span {
            trace_id: id(span.trace_id),
            span_id: id(span.span_id),
            trace_state: span.trace_state.unwrap_or_default(),
            parent_span_id: id(span.parent_span_id),
            flags: number(span.flags),
            name: span.name.unwrap_or_default(),
            kind: span.kind.map_or(0, |kind| kind.0),
            start_time_unix_nano: number(span.start_time_unix_nano),
            end_time_unix_nano: number(span.end_time_unix_nano),
            attributes: pairs(span.attributes),
            dropped_attributes_count: number(span.dropped_attributes_count),
            events: span.events.unwrap_or_default().into_iter().map(Into::into).collect(),
            dropped_events_count: number(span.dropped_events_count),
            links: span.links.unwrap_or_default().into_iter().map(Into::into).collect(),
            dropped_links_count: number(span.dropped_links_count),
            status: span.status.map(status),
        }
    }
}

impl From<Event> for trace::span::Event {
    fn from(event: Event) -> trace::span::Event {
        trace::span::Event {
            time_unix_nano: number(event.time_unix_nano),
            name: event.name.unwrap_or_default(),
            attributes: pairs(event.attributes),
            dropped_attributes_count: number(event.dropped_attributes_count),
        }
    }
}

impl From<Link> for trace::span::Link {
    fn from(link: Link) -> trace::span::Link {
        trace::span::Link {
            trace_id: id(link.trace_id),
            span_id: id(link.span_id),
            trace_state: link.trace_state.unwrap_or_default(),
            attributes: pairs(link.attributes),
            dropped_attributes_count: number(link.dropped_attributes_count),
            flags: number(link.flags),
        }
    }
}

impl From<Log> for LogRecord {
    fn from(log: Log) -> LogRecord {
        LogRecord {
            time_unix_nano: number(log.time_unix_nano),
            observed_time_unix_nano: number(log.observed_time_unix_nano),
            severity_number: log.severity_number.map_or(0, |severity| severity.0),
            severity_text: log.severity_text.unwrap_or_default(),
            body: log.body.map(|body| body.0),
            attributes: pairs(log.attributes),
            dropped_attributes_count: number(log.dropped_attributes_count),
            flags: number(log.flags),
            trace_id: id(log.trace_id),
            span_id: id(log.span_id),
            event_name: log.event_name.unwrap_or_default(),
        }
    }
}
