//! The doors: `POST /v1/traces` and `/v1/logs`, and the same two as services of gRPC.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;
use schemas::principal::Principal;
use serde::Serialize;

use super::dialect::JsonStatus;
use super::take::{Carrier, Taken, take};
use super::{Form, Signal, framing};
use crate::error::Error;
use crate::http::{Ingest, answer};

/// Where OTLP/HTTP has traces.
pub(super) const TRACES: &str = "/v1/traces";
/// Where it has logs.
pub(super) const LOGS: &str = "/v1/logs";
/// Where it has what is not taken here.
pub(super) const METRICS: &str = "/v1/metrics";
const GRPC_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const GRPC_LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const GRPC_METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

#[derive(utoipa::OpenApi)]
#[openapi(paths(traces, logs), components(schemas(JsonStatus)))]
pub(crate) struct Document;

/// The routes of OTLP/HTTP; the door before them puts a [`Principal`] into the extensions of each request, and
/// [`super::Dialect`] translates what they answer.
pub fn router(state: Ingest) -> Router {
    Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/logs", post(logs))
        .route(METRICS, post(metrics))
        .with_state(state)
}

/// The services of OTLP/gRPC, under the same conditions, for a listener that speaks HTTP/2.
pub fn grpc_router(state: Ingest) -> Router {
    Router::new()
        .route(GRPC_TRACES, post(grpc_traces))
        .route(GRPC_LOGS, post(grpc_logs))
        .route(GRPC_METRICS, post(metrics))
        .with_state(state)
}

/// The JSON of a good answer.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Exported {
    /// Where not everything was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct PartialSuccess {
    /// Of spans, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_spans: Option<String>,
    /// Of log records, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_log_records: Option<String>,
    /// Why the first of them was refused.
    error_message: String,
}

/// Send spans (OTLP/HTTP). Answered once those that are tool activity are on stable storage.
#[utoipa::path(post, path = "/v1/traces", tag = "ingest", params(
        ("content-encoding" = Option<String>, Header, description = "gzip, zstd or identity."),
    ),
    request_body(content((serde_json::Value = "application/json"), (Vec<u8> = "application/x-protobuf"))),
    responses((status = 200, description = "Taken; if not all of it, partialSuccess says how many were refused.",
        content((Exported = "application/json"), (Vec<u8> = "application/x-protobuf")))))]
async fn traces(
    State(ingest): State<Ingest>,
    principal: Option<Extension<Principal>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    export(ingest, principal, Signal::Traces, Carrier::Http, headers, body).await
}

/// Send log records (OTLP/HTTP). Answered once those that are tool activity are on stable storage.
#[utoipa::path(post, path = "/v1/logs", tag = "ingest", params(
        ("content-encoding" = Option<String>, Header, description = "gzip, zstd or identity."),
    ),
    request_body(content((serde_json::Value = "application/json"), (Vec<u8> = "application/x-protobuf"))),
    responses((status = 200, description = "Taken; if not all of it, partialSuccess says how many were refused.",
        content((Exported = "application/json"), (Vec<u8> = "application/x-protobuf")))))]
async fn logs(
    State(ingest): State<Ingest>,
    principal: Option<Extension<Principal>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    export(ingest, principal, Signal::Logs, Carrier::Http, headers, body).await
}

async fn grpc_traces(
    State(ingest): State<Ingest>,
    principal: Option<Extension<Principal>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    export(ingest, principal, Signal::Traces, Carrier::Grpc, headers, body).await
}

async fn grpc_logs(
    State(ingest): State<Ingest>,
    principal: Option<Extension<Principal>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    export(ingest, principal, Signal::Logs, Carrier::Grpc, headers, body).await
}

async fn metrics() -> Response {
    answer::problem(&Error::UnknownSignal { signal: "metrics" })
}

async fn export(
    ingest: Ingest,
    principal: Option<Extension<Principal>>,
    signal: Signal,
    carrier: Carrier,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let principal = principal.map(|Extension(principal)| principal);
    match take(ingest, principal, signal, carrier, &headers, body).await {
        Err(error) => answer::problem(&error),
        Ok((taken, form)) => match (carrier, form) {
            (Carrier::Grpc, _) => grpc(&message(signal, taken)),
            (Carrier::Http, Form::Protobuf) => {
                let kind = HeaderValue::from_static("application/x-protobuf");
                ([(header::CONTENT_TYPE, kind)], message(signal, taken)).into_response()
            }
            (Carrier::Http, Form::Json) => axum::Json(exported(signal, taken)).into_response(),
        },
    }
}

/// The answer as protobuf. Where everything was taken it says nothing, which is how OTLP says so.
fn message(signal: Signal, Taken { rejected, message: error_message }: Taken) -> Vec<u8> {
    let is_partial = rejected > 0;
    let rejected = i64::try_from(rejected).unwrap_or(i64::MAX);
    match signal {
        Signal::Traces => {
            let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message };
            ExportTraceServiceResponse { partial_success: is_partial.then_some(partial) }.encode_to_vec()
        }
        Signal::Logs => {
            let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message };
            ExportLogsServiceResponse { partial_success: is_partial.then_some(partial) }.encode_to_vec()
        }
    }
}

fn exported(signal: Signal, Taken { rejected, message: error_message }: Taken) -> Exported {
    let count = Some(rejected.to_string());
    let (rejected_spans, rejected_log_records) = match signal {
        Signal::Traces => (count, None),
        Signal::Logs => (None, count),
    };
    let partial = PartialSuccess { rejected_spans, rejected_log_records, error_message };
    Exported { partial_success: (rejected > 0).then_some(partial) }
}

/// A good answer over gRPC: its message, and the status behind it.
fn grpc(message: &[u8]) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::from(framing::framed(message)).with_trailers(async move { Some(Ok(trailers)) });
    let kind = HeaderValue::from_static("application/grpc");
    let known = HeaderValue::from_static("identity,gzip,zstd");
    let headers = [(header::CONTENT_TYPE, kind)];
    let mut response = (headers, Body::new(body)).into_response();
    response.headers_mut().insert("grpc-accept-encoding", known);
    response
}

#[cfg(test)]
mod tests;
