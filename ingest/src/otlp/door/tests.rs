//! The doors over a real store: what exporters send, what they are told, what is in the log.

use std::io::Write as _;
use std::sync::Arc;

use axum::http::{Request, StatusCode, Version};
use axum::middleware::{Next, from_fn};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use schemas::Stream;
use schemas::principal::Role;
use store::clock::SystemClock;
use store::{Clock, Keys, Store};
use tower::ServiceExt as _;

use super::*;
use crate::http::Options;
use crate::otlp::Dialect;
use crate::otlp::status::Status;

struct Rig {
    store: Store,
    ingest: Ingest,
    router: Router,
    _data: tempfile::TempDir,
}

fn rig() -> Rig {
    rig_with(|_| {})
}

fn rig_with(change: impl FnOnce(&mut Options)) -> Rig {
    let data = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let keys = Keys::from_seed([5; 32], "plant.example").unwrap();
    let options = store::Options { disk_free_bytes_min: 0, ..store::Options::default() };
    let store = Store::open(&data.path().join("data"), keys, options, clock).unwrap();
    let mut options = Options {
        body_bytes_max: 1 << 20,
        decompressed_bytes_max: 2 << 20,
        admission_bytes: 8 << 20,
        admission_tenant_bytes: 8 << 20,
        inline_bytes_max: 1000,
        ..Options::new(Arc::new(|_| [1; 32]))
    };
    change(&mut options);
    let ingest = Ingest::new(store.clone(), options);
    let router = router(ingest.clone()).merge(grpc_router(ingest.clone())).layer(from_fn(
        async |request: Request<Body>, next: Next| {
            let dialect = Dialect::of(&request).unwrap();
            dialect.translate(next.run(request).await).await
        },
    ));
    Rig { store, ingest, router, _data: data }
}

fn spans(ids: std::ops::Range<u64>, key: &str) -> ExportTraceServiceRequest {
    let attribute = KeyValue {
        key: key.to_string(),
        value: Some(AnyValue { value: Some(Value::StringValue("search".to_string())) }),
        key_strindex: 0,
    };
    let span = |id: u64| Span {
        trace_id: vec![7; 16],
        span_id: id.to_be_bytes().to_vec(),
        start_time_unix_nano: 1_795_203_651_658_566_355,
        end_time_unix_nano: 1_795_203_651_662_507_773,
        attributes: vec![attribute.clone()],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: ids.map(span).collect(), ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

fn good(ids: std::ops::Range<u64>) -> Vec<u8> {
    spans(ids, "gen_ai.tool.name").encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 3).unwrap()
}

fn frame(message: &[u8], is_compressed: bool) -> Vec<u8> {
    let mut framed = framing::framed(message);
    framed[0] = u8::from(is_compressed);
    framed
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    trailers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).or_else(|| self.trailers.get(name));
        value.map_or("", |value| value.to_str().unwrap())
    }

    fn partial(&self) -> (i64, String) {
        let partial = ExportTraceServiceResponse::decode(&self.body[..]).unwrap().partial_success;
        partial.map_or((0, String::new()), |partial| (partial.rejected_spans, partial.error_message))
    }
}

impl Rig {
    async fn send(
        &self,
        role: Option<Role>,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if path.starts_with("/opentelemetry") {
            request = request.version(Version::HTTP_2);
        }
        let mut request = request.body(Body::from(body)).unwrap();
        if let Some(role) = role {
            let (id, tenant) = ("t-0123456789ab".to_string(), "acme".to_string());
            request.extensions_mut().insert(Principal { id, role, tenant, source_ip: None, door: "http" });
        }
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let body = collected.to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, trailers, body }
    }

    async fn protobuf(&self, headers: &[(&'static str, &str)], body: Vec<u8>) -> Answer {
        let kind = ("content-type", "application/x-protobuf");
        self.send(Some(Role::Collector), TRACES, &[&[kind], headers].concat(), body).await
    }

    async fn grpc(&self, headers: &[(&'static str, &str)], body: Vec<u8>) -> Answer {
        let kind = ("content-type", "application/grpc");
        self.send(Some(Role::Collector), GRPC_TRACES, &[&[kind], headers].concat(), body).await
    }

    fn durable(&self) -> u64 {
        self.store.snapshot("acme", Stream::Events).map_or(0, |snapshot| snapshot.durable)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_carrier_and_encoding_ends_in_the_log() {
    let rig = rig();
    let first = rig.protobuf(&[], good(100..110)).await;
    assert_eq!((first.status, first.body.len()), (StatusCode::OK, 0), "a full success says nothing");
    assert_eq!(first.header("content-type"), "application/x-protobuf");
    let start = rig.durable() - 10;
    rig.protobuf(&[("content-encoding", "gzip")], gzip(&good(110..120))).await;
    rig.protobuf(&[("content-encoding", "zstd")], zstd(&good(120..130))).await;
    let json = serde_json::to_vec(&spans(130..140, "gen_ai.tool.name")).unwrap();
    let kind = ("content-type", "application/json; charset=utf-8");
    let answer = rig.send(Some(Role::Admin), TRACES, &[kind], json).await;
    assert_eq!((answer.header("content-type"), &answer.body[..]), ("application/json", &b"{}"[..]));
    for (encoding, body) in [
        ("identity", frame(&good(140..150), false)),
        ("gzip", frame(&gzip(&good(150..160)), true)),
        ("zstd", frame(&zstd(&good(160..170)), true)),
    ] {
        let answer = rig.grpc(&[("grpc-encoding", encoding)], body).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (StatusCode::OK, "0"), "{encoding}");
        assert_eq!((answer.header("content-type"), &answer.body[..]), ("application/grpc", &[0; 5][..]));
    }
    assert_eq!(rig.durable() - start, 70);
    let again = rig.protobuf(&[], good(100..170)).await;
    assert_eq!((again.status, rig.durable() - start), (StatusCode::OK, 70), "sent again, recorded once");
    assert_eq!(rig.ingest.admission().bytes(), 0);
    rig.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_of_a_request_is_counted_in_its_answer() {
    let rig = rig();
    rig.protobuf(&[], good(100..101)).await;
    let before = rig.durable();
    let mixed = spans(0..3, "gen_ai.tool.name").encode_to_vec();
    let answer = rig.protobuf(&[], mixed).await;
    let (count, message) = answer.partial();
    assert_eq!((answer.status, count), (StatusCode::OK, 1), "the span with id zero");
    assert!(message.starts_with("bad_id: "), "{message}");
    assert_eq!(rig.durable() - before, 2);
    let answer = rig.grpc(&[], frame(&good(0..3), false)).await;
    assert_eq!(answer.header("grpc-status"), "0");
    let partial = ExportTraceServiceResponse::decode(&answer.body[5..]).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    let json = serde_json::to_vec(&spans(0..2, "gen_ai.tool.name")).unwrap();
    let answer = rig.send(Some(Role::Admin), TRACES, &[("content-type", "application/json")], json).await;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["partialSuccess"]["rejectedSpans"], "1", "{body}");
    let other = rig.protobuf(&[], spans(1..9, "db.system").encode_to_vec()).await;
    assert_eq!((other.status, other.body.len()), (StatusCode::OK, 0), "acknowledged, not recorded");
    assert_eq!(rig.protobuf(&[], Vec::new()).await.status, StatusCode::OK, "an empty request is one");
    assert_eq!(rig.durable() - before, 2);
    rig.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_are_told_what_is_wrong() {
    let rig = rig();
    let deep = (0..400_000).fold(Vec::new(), |mut inner: Vec<u8>, _| {
        // Built from the outside in, without lengths: broken framing.
        inner.extend([0x2a, 0x7f]);
        inner
    });
    let protobuf = |encoding: &'static str, body: Vec<u8>| (encoding, body);
    for ((encoding, body), status, code) in [
        (protobuf("identity", b"{\"not\":1}".to_vec()), 400, "(bad_telemetry)"),
        (protobuf("identity", deep), 400, "(bad_telemetry)"),
        (protobuf("identity", good(0..1)), 400, "(nothing_usable)"),
        (protobuf("gzip", b"nope".to_vec()), 400, "(bad_gzip)"),
        (protobuf("zstd", b"nope".to_vec()), 400, "(bad_zstd)"),
        (protobuf("gzip", gzip(&vec![0; 40 << 20])), 413, "(too_large)"),
        (protobuf("zstd", zstd(&vec![0; 40 << 20])), 413, "(too_large)"),
        (protobuf("identity", vec![0; (1 << 20) + 1]), 413, "(too_large)"),
        (protobuf("br", good(1..2)), 415, "(unknown_encoding)"),
    ] {
        let answer = rig.protobuf(&[("content-encoding", encoding)], body).await;
        let told = Status::decode(&answer.body[..]).unwrap();
        assert_eq!(answer.status.as_u16(), status, "{code}: {told:?}");
        assert_eq!(answer.header("content-type"), "application/x-protobuf");
        assert!(told.message.ends_with(code), "{told:?}");
    }
    for (role, kind, path, status, code) in [
        (Some(Role::Collector), "text/plain", TRACES, 415, "(unknown_type)"),
        (Some(Role::Collector), "application/json", TRACES, 400, "(bad_telemetry)"),
        (Some(Role::Collector), "application/json", METRICS, 404, "(unknown_signal)"),
        (None, "application/json", LOGS, 401, "(unauthenticated)"),
        (Some(Role::Auditor), "application/json", LOGS, 403, "(forbidden)"),
    ] {
        let answer = rig.send(role, path, &[("content-type", kind)], b"nope".to_vec()).await;
        let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status.as_u16(), status, "{code}: {told}");
        assert!(told["message"].as_str().unwrap().ends_with(code), "{told}");
    }
    assert_eq!(rig.ingest.admission().bytes(), 0);
    rig.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_calls_have_codes_of_grpc() {
    let rig = rig();
    let kind = ("content-type", "application/grpc");
    let bomb = frame(&gzip(&vec![0; 40 << 20]), true);
    for (role, path, headers, body, code) in [
        (Some(Role::Collector), GRPC_TRACES, vec![kind], b"\0\0\0\0\x09short".to_vec(), "3"),
        (Some(Role::Collector), GRPC_TRACES, vec![kind], frame(b"{}", false), "3"),
        (Some(Role::Collector), GRPC_TRACES, vec![kind, ("grpc-encoding", "gzip")], bomb, "8"),
        (Some(Role::Collector), GRPC_TRACES, vec![kind], vec![0; (1 << 20) + 1], "8"),
        (Some(Role::Collector), GRPC_TRACES, vec![kind, ("grpc-encoding", "br")], frame(b"", false), "12"),
        (Some(Role::Collector), GRPC_TRACES, vec![("content-type", "text/plain")], frame(b"", false), "12"),
        (Some(Role::Collector), GRPC_METRICS, vec![kind], frame(b"", false), "12"),
        (Some(Role::Operator), GRPC_LOGS, vec![kind], frame(b"", false), "7"),
        (None, GRPC_LOGS, vec![kind], frame(b"", false), "16"),
        (Some(Role::Collector), GRPC_LOGS, vec![kind], frame(b"", false), "0"),
    ] {
        let answer = rig.send(role, path, &headers, body).await;
        let seen = (answer.status.as_u16(), answer.header("grpc-status"));
        assert_eq!(seen, (200, code), "{}", answer.header("grpc-message"));
    }
    let held = rig.ingest.admission().reserve("acme", 8 << 20).unwrap();
    let busy = rig.grpc(&[], frame(&good(1..2), false)).await;
    assert_eq!(busy.header("grpc-status"), "8");
    let status = tonic::Status::from_header_map(&busy.headers).unwrap();
    assert!(!status.details().is_empty(), "it says when to come again");
    let busy = rig.protobuf(&[], good(1..2)).await;
    assert_eq!((busy.status.as_u16(), busy.header("retry-after")), (429, "1"));
    drop(held);
    assert_eq!(rig.grpc(&[], frame(&good(1..2), false)).await.header("grpc-status"), "0");
    rig.store.close().await.unwrap();
}

/// A record without a time of its own gets that of its arrival, which a retry has another of.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_a_time_that_is_sent_again_is_recorded_once() {
    let rig = rig();
    rig.protobuf(&[], good(100..101)).await;
    let log = serde_json::json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"attributes": [{"key": "gen_ai.tool.name", "value": {"stringValue": "Bash"}}]},
    ]}]}]});
    let mut untimed = spans(1..2, "gen_ai.tool.name");
    let span = &mut untimed.resource_spans[0].scope_spans[0].spans[0];
    (span.start_time_unix_nano, span.end_time_unix_nano) = (0, 0);
    let before = rig.durable();
    for _ in 0..3 {
        let kind = ("content-type", "application/json");
        let answer = rig.send(Some(Role::Collector), LOGS, &[kind], log.to_string().into_bytes()).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{}"[..]));
        assert_eq!(rig.protobuf(&[], untimed.encode_to_vec()).await.status, StatusCode::OK);
        assert_eq!(rig.durable() - before, 2);
    }
    rig.store.close().await.unwrap();
}

/// A few bytes may become a great many: that is a parser's work, not that of a thread which serves connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_frame_waits_for_its_turn_however_short_it_is() {
    let rig = rig_with(|options| options.parsers_max = 1);
    let turn = rig.ingest.shared.parsers.take("other").await;
    assert_eq!(rig.grpc(&[], frame(&good(1..2), false)).await.header("grpc-status"), "0");
    let packed = frame(&zstd(&good(2..3)), true);
    assert!(packed.len() < 1000);
    let headers = [("grpc-encoding", "zstd")];
    let waits = rig.grpc(&headers, packed);
    tokio::pin!(waits);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), &mut waits).await.is_err());
    drop(turn);
    assert_eq!(waits.await.header("grpc-status"), "0");
    rig.store.close().await.unwrap();
}

/// By whichever door, and whether or not anything came of it, what is paid for is what came out of the wrapping.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_counts_the_bytes_of_messages_not_of_their_wrapping() {
    let rated = || rig_with(|options| options.rate_bytes_s = 1000);
    let large = vec![0; 1 << 20];
    for (encoding, packed) in [("gzip", gzip(&large)), ("zstd", zstd(&large))] {
        assert!(packed.len() < large.len() / 10);
        let rig = rated();
        let answer = rig.grpc(&[("grpc-encoding", encoding)], frame(&packed, true)).await;
        assert_eq!(
            answer.header("grpc-status"),
            "3",
            "the message is none: {}",
            answer.header("grpc-message")
        );
        let answer = rig.grpc(&[], frame(&good(1..2), false)).await;
        assert_eq!(answer.header("grpc-status"), "8", "{encoding}: {}", answer.header("grpc-message"));
        let rig = rated();
        rig.protobuf(&[("content-encoding", encoding)], packed[..packed.len() - 1].to_vec()).await;
        assert_eq!(rig.protobuf(&[], good(1..2)).await.status, StatusCode::TOO_MANY_REQUESTS, "{encoding}");
    }
}
