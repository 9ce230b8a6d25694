//! How an exporter is answered: in the encoding it asked in, errors as `google.rpc.Status`.
//!
//! Inside, every door answers with problems (RFC 9457). The outermost layer translates them here, whoever made them, so
//! that an exporter is told of a bad token or a store that recovers in words that it knows, too.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, StatusCode, Version, header};
use axum::response::Response;
use prost::Message;
use schemas::limits::RETRY_AFTER_S;
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::status::{Status, retry_after};

/// Bytes of a problem that is translated; ours are short.
const PROBLEM_BYTES_MAX: usize = schemas::limits::OTLP_PROBLEM_BYTES_MAX;

/// What an exporter speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OTLP/HTTP, protobuf.
    Protobuf,
    /// OTLP/HTTP, JSON.
    Json,
    /// OTLP/gRPC.
    Grpc,
}

/// What is read of a problem.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

/// The JSON of `google.rpc.Status`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OtlpStatus)]
pub(super) struct JsonStatus {
    /// A code of gRPC.
    code: i32,
    /// What is wrong, and its stable code in brackets.
    message: String,
}

impl Dialect {
    /// What the request speaks, if that is OTLP.
    pub fn of(request: &Request<Body>) -> Option<Dialect> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if request.version() == Version::HTTP_2 {
            return Some(Dialect::Grpc);
        }
        if !matches!(request.uri().path(), super::door::TRACES | super::door::LOGS | super::door::METRICS) {
            return None;
        }
        let is_protobuf = kind.windows(8).any(|part| part.eq_ignore_ascii_case(b"protobuf"));
        Some(if is_protobuf { Dialect::Protobuf } else { Dialect::Json })
    }

    /// The answer in this dialect, if it is a problem; any other stays as it is.
    pub async fn translate(self, response: Response) -> Response {
        let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind != Some(b"application/problem+json") {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        let problem = to_bytes(body, PROBLEM_BYTES_MAX).await.ok();
        let problem = problem.and_then(|bytes| serde_json::from_slice::<Problem>(&bytes).ok());
        let message = problem.map_or_else(
            || parts.status.to_string(),
            |Problem { code, detail }| format!("{detail} ({code})"),
        );
        if parts.status == StatusCode::REQUEST_TIMEOUT {
            // An exporter drops what it is told 408 for; slow networks get better.
            parts.status = StatusCode::SERVICE_UNAVAILABLE;
            parts.headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        let code = code(parts.status);
        let seconds =
            parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        if self == Dialect::Grpc {
            return grpc(code, message, seconds);
        }
        let (kind, bytes) = match self {
            Dialect::Json => {
                let status = JsonStatus { code: code as i32, message };
                ("application/json", serde_json::to_vec(&status).unwrap_or_default())
            }
            _ => {
                let status = Status { code: code as i32, message, details: Vec::new() };
                ("application/x-protobuf", status.encode_to_vec())
            }
        };
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(bytes))
    }
}

/// The code of gRPC for a status of HTTP.
fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Code::Unimplemented
        }
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        status if status.is_client_error() => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

/// An error over gRPC. Of two that say that something is used up, only the one that says when to come again is tried again.
fn grpc(code: Code, message: String, seconds: Option<i64>) -> Response {
    let details = seconds.map(|seconds| {
        let details = vec![retry_after(seconds)];
        Status { code: code as i32, message: message.clone(), details }.encode_to_vec()
    });
    let status = tonic::Status::with_details(code, message, details.unwrap_or_default().into());
    let mut response = status.into_http::<Body>();
    if code == Code::Unimplemented {
        let known = HeaderValue::from_static("identity,gzip,zstd");
        response.headers_mut().insert("grpc-accept-encoding", known);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::http::answer;

    #[tokio::test]
    async fn problems_become_statuses() {
        let busy = || answer::problem(&Error::Busy { what: "x" });
        let json = Dialect::Json.translate(busy()).await;
        assert_eq!((json.status().as_u16(), json.headers()["retry-after"].to_str().unwrap()), (429, "1"));
        let body: serde_json::Value =
            serde_json::from_slice(&to_bytes(json.into_body(), 9999).await.unwrap()).unwrap();
        assert_eq!(body["code"], 8);
        assert!(body["message"].as_str().unwrap().ends_with("(busy)"), "{body}");
        let protobuf = Dialect::Protobuf.translate(busy()).await;
        assert_eq!(protobuf.headers()["content-type"], "application/x-protobuf");
        let status = Status::decode(to_bytes(protobuf.into_body(), 9999).await.unwrap()).unwrap();
        assert_eq!(status.code, 8);
        let grpc = Dialect::Grpc.translate(busy()).await;
        assert_eq!((grpc.status().as_u16(), grpc.headers()["grpc-status"].to_str().unwrap()), (200, "8"));
        let status = tonic::Status::from_header_map(grpc.headers()).unwrap();
        let details = Status::decode(status.details()).unwrap();
        assert!(details.details[0].type_url.ends_with("google.rpc.RetryInfo"));
        let large = Error::TooLarge { what: "x", limit: 1 };
        let large = Dialect::Grpc.translate(answer::problem(&large)).await;
        let status = tonic::Status::from_header_map(large.headers()).unwrap();
        assert_eq!((status.code(), status.details()), (Code::ResourceExhausted, &b""[..]));
        let slow = Dialect::Protobuf.translate(answer::problem(&Error::Slow)).await;
        assert_eq!((slow.status().as_u16(), slow.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    }

    #[test]
    fn otlp_is_told_from_the_rest() {
        let request = |path: &str, kind: &str| {
            Request::builder().uri(path).header("content-type", kind).body(Body::empty()).unwrap()
        };
        assert_eq!(Dialect::of(&request("/v1/traces", "application/x-protobuf")), Some(Dialect::Protobuf));
        assert_eq!(Dialect::of(&request("/v1/logs", "application/json")), Some(Dialect::Json));
        assert_eq!(Dialect::of(&request("/v1/metrics", "")), Some(Dialect::Json));
        assert_eq!(Dialect::of(&request("/v1/events", "application/x-protobuf")), None);
    }
}
