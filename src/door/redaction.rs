//! `/api/v1/redaction`: samples for the review of what redaction missed, and its verdicts. Both are entries of the access log;
//! there is no other record of a review.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use query::{Access, Status};
use schemas::principal::Principal;
use schemas::{Stream, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{forbidden, problem, read_json};
use crate::node::Node;
use crate::review::Sample;

/// The routes of reviews.
pub(super) fn router() -> Router<Node> {
    Router::new()
        .route("/api/v1/redaction/samples", post(draw_sample))
        .route("/api/v1/redaction/samples/{sample}/verdict", post(record_verdict))
}

/// A sample to be drawn.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRedactionSample)]
pub(super) struct NewSample {
    /// How many events.
    rows: u64,
    /// Index in the log of the first event that may be drawn.
    #[serde(default)]
    from: u64,
}

/// A sample that was drawn.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RedactionSample)]
pub(super) struct Drawn {
    /// Its name, which a verdict needs.
    sample: String,
    /// Indices of its events in the log.
    indices: Vec<u64>,
}

/// What a review found.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RedactionVerdict)]
pub(super) struct Verdict {
    /// Events in which something was missed; empty where nothing was.
    missed: Vec<Missed>,
    /// What there is to say of it; secrets are removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Something that was missed.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RedactionMissed)]
pub(super) struct Missed {
    /// Index of the event in the log.
    log_index: u64,
    /// What it was, as a class: never the thing itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    what: Option<String>,
}

/// What is recorded of a verdict.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RedactionReview)]
pub(super) struct Recorded {
    sample: String,
    /// Events that were looked through.
    rows: u64,
    /// `clean`, or `missed`.
    verdict: &'static str,
    missed: Vec<Missed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Draw a sample of recorded events at random.
#[utoipa::path(post, path = "/api/v1/redaction/samples", tag = "redaction", request_body = NewSample, responses(
    (status = 201, description = "It is drawn.", body = Drawn),
    (status = 404, description = "There are no events in that range.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn draw_sample(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Response {
    let action = "redaction_sample";
    if !principal.role.reads_payloads() {
        return forbidden(&node, &principal, action, "review payloads");
    }
    let new: NewSample = match read_json(request, limits::REDACT_REVIEW_BODY_BYTES_MAX).await {
        Ok(new) => new,
        Err(response) => return response,
    };
    if !(1..=limits::REDACT_REVIEW_ROWS_MAX).contains(&new.rows) {
        let detail = format!("rows is {}, give 1 to {}", new.rows, limits::REDACT_REVIEW_ROWS_MAX);
        return problem(StatusCode::BAD_REQUEST, "bad_sample", &detail);
    }
    let mut seed = [0; 8];
    if let Err(error) = getrandom::fill(&mut seed) {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", &format!("no randomness: {error}"));
    }
    let size = node.store.snapshot(&principal.tenant, Stream::Events).map_or(0, |snapshot| snapshot.durable);
    let Some(sample) = Sample::new(new.from, size, new.rows, u64::from_le_bytes(seed)) else {
        let detail = format!("the log has {size} events, none at or after {}", new.from);
        return problem(StatusCode::NOT_FOUND, "no_events", &detail);
    };
    let drawn = Drawn { sample: name(&node, &principal, &sample), indices: Vec::from_iter(sample.indices()) };
    match record(&node, &principal, action, &serde_json::json!({ "sample": drawn.sample })).await {
        Ok(()) => (StatusCode::CREATED, Json(drawn)).into_response(),
        Err(response) => response,
    }
}

/// Record what the review of a sample found.
#[utoipa::path(post, path = "/api/v1/redaction/samples/{sample}/verdict", tag = "redaction",
    params(("sample" = String, Path, description = "Its name.")), request_body = Verdict, responses(
        (status = 201, description = "It is on the access log.", body = Recorded),
        (status = 404, description = "No such sample was drawn.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn record_verdict(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    sample: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let action = "redaction_review";
    if !principal.role.reads_payloads() {
        return forbidden(&node, &principal, action, "review payloads");
    }
    let key = node.store.keys().fingerprint_key(&principal.tenant);
    let Some(sample) = sample.ok().and_then(|Path(name)| Sample::parse(&name, &key)) else {
        return problem(StatusCode::NOT_FOUND, "no_such_sample", "no sample of this name was drawn here");
    };
    let found: Verdict = match read_json(request, limits::REDACT_REVIEW_BODY_BYTES_MAX).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let indices = sample.indices();
    if let Some(other) = found.missed.iter().find(|missed| !indices.contains(&missed.log_index)) {
        let detail = format!("event {} is not in this sample", other.log_index);
        return problem(StatusCode::BAD_REQUEST, "bad_verdict", &detail);
    }
    let recorded = Recorded {
        sample: name(&node, &principal, &sample),
        rows: indices.len() as u64,
        verdict: if found.missed.is_empty() { "clean" } else { "missed" },
        missed: found.missed,
        note: found.note,
    };
    match record(&node, &principal, action, &recorded).await {
        Ok(()) => (StatusCode::CREATED, Json(recorded)).into_response(),
        Err(response) => response,
    }
}

fn name(node: &Node, principal: &Principal, sample: &Sample) -> String {
    sample.name(&node.store.keys().fingerprint_key(&principal.tenant))
}

/// Puts it on the access log: the statement is redacted there.
async fn record(
    node: &Node,
    principal: &Principal,
    action: &'static str,
    what: &impl Serialize,
) -> Result<(), Response> {
    let not_recorded = |detail: String| problem(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", &detail);
    let statement = serde_json::to_string(what).map_err(|error| not_recorded(error.to_string()))?;
    let query_id = node.new_query_id();
    let entry =
        Access { statement: Some(&statement), ..Access::outcome(principal, &query_id, action, Status::Ok) };
    node.record(entry).await.map_err(|error| not_recorded(format!("{error:#}")))
}
