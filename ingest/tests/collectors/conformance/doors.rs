//! Collectors that are sent to: HTTP, OTLP.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use ingest::Ingest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use schemas::principal::{Principal, Role};
use tower::ServiceExt as _;

use super::{Subject, Value, line};

/// Sends `bytes` in two parts; what a good answer has.
async fn post(router: &Router, path: &str, kind: &str, bytes: &[u8]) -> Vec<u8> {
    let (begin, end) = bytes.split_at(bytes.len() / 2);
    let parts = [begin.to_vec(), end.to_vec()].map(Ok::<_, std::io::Error>);
    let body = Body::from_stream(futures::stream::iter(parts));
    let mut request = Request::post(path).header("content-type", kind).body(body).unwrap();
    request.extensions_mut().insert(Principal {
        id: "t-0123456789ab".to_string(),
        role: Role::Collector,
        tenant: "default".to_string(),
        source_ip: None,
        door: "http",
    });
    let answer = router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// `POST /v1/events`.
#[derive(Debug, Default)]
pub struct Http(Option<Router>);

impl Subject for Http {
    const NAME: &'static str = "http";
    const IS_SENT_AGAIN: bool = true;

    fn start(&mut self, ingest: &Ingest) {
        self.0 = Some(ingest::router(ingest.clone()));
    }

    async fn give(&mut self, values: &[Value]) -> u64 {
        let text: String = values.iter().map(|value| line(*value, true) + "\n").collect();
        let answer = post(self.0.as_ref().unwrap(), "/v1/events", "application/x-ndjson", text.as_bytes());
        let answer: serde_json::Value = serde_json::from_slice(&answer.await).unwrap();
        answer["rejected_count"].as_u64().unwrap()
    }

    async fn stop(&mut self) {
        self.0 = None;
    }
}

/// `POST /v1/traces`.
#[derive(Debug, Default)]
pub struct Otlp(Option<Router>);

/// A span of a tool; one that is broken has no id.
fn span(value: Value) -> Span {
    let (id, tool) = match value {
        Value::Good(number) => (number + 1, format!("n-{number}")),
        Value::Broken => (0, "s3cr3t".to_string()),
    };
    let attribute = KeyValue {
        key: "gen_ai.tool.name".to_string(),
        value: Some(AnyValue { value: Some(Any::StringValue(tool)) }),
        key_strindex: 0,
    };
    Span {
        trace_id: vec![7; 16],
        span_id: id.to_be_bytes().to_vec(),
        start_time_unix_nano: 1_795_203_651_658_566_355,
        end_time_unix_nano: 1_795_203_651_662_507_773,
        attributes: vec![attribute],
        ..Span::default()
    }
}

impl Subject for Otlp {
    const NAME: &'static str = "otlp";
    const IS_SENT_AGAIN: bool = true;

    fn start(&mut self, ingest: &Ingest) {
        self.0 = Some(ingest::otlp_router(ingest.clone()));
    }

    async fn give(&mut self, values: &[Value]) -> u64 {
        let spans = values.iter().map(|value| span(*value)).collect();
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
        };
        let bytes = request.encode_to_vec();
        let answer = post(self.0.as_ref().unwrap(), "/v1/traces", "application/x-protobuf", &bytes).await;
        let partial = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap().partial_success;
        partial.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap())
    }

    async fn stop(&mut self) {
        self.0 = None;
    }
}
