//! `/api/v1/alerts`: what people say of alerts. A verdict is an entry of the events log, which the detector folds, and who gave it why is
//! on the access log.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use query::{Access, Status};
use schemas::control::{Control, Judgement, Verdict};
use schemas::principal::Principal;
use schemas::{Stream, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{forbidden, problem, read_json};
use crate::node::Node;

const ACTION: &str = "alert_verdict";

/// The routes of alerts.
pub(super) fn router() -> Router<Node> {
    Router::new().route("/api/v1/alerts/{alert_id}/verdict", post(judge_alert))
}

/// What an alert turned out to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertVerdict)]
pub(super) struct Said {
    /// `true`: it happened and should not have. `benign`: nothing is wrong, and its episode closes.
    #[schema(value_type = String)]
    verdict: Judgement,
    /// For how many seconds from now its entity is muted under its rule: what is told of it then is on record and informational.
    #[serde(default)]
    mute_s: u64,
    /// Why, in at most 1,024 bytes; secrets are removed. It stands in the log and in what is told under the mute.
    #[serde(default)]
    note: Option<String>,
}

/// What is recorded of a verdict.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertJudged)]
pub(super) struct Judged {
    alert_id: String,
    #[schema(value_type = String)]
    verdict: Judgement,
    /// Microseconds since 1970; 0 without a mute.
    muted_until_us: i64,
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Say what an alert turned out to be, and mute its entity under its rule for a while.
#[utoipa::path(post, path = "/api/v1/alerts/{alert_id}/verdict", tag = "alerts",
    params(("alert_id" = String, Path, description = "Its id.")), request_body = Said, responses(
        (status = 201, description = "It is in the log.", body = Judged),
        (status = 409, description = "The alert is in a log before this one.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such alert is on record.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn judge_alert(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    alert_id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    if !principal.role.judges_alerts() {
        return forbidden(&node, &principal, ACTION, "judge alerts");
    }
    let said: Said = match read_json(request, limits::ALERT_VERDICT_BODY_BYTES_MAX).await {
        Ok(said) => said,
        Err(response) => return response,
    };
    if said.mute_s > limits::ALERT_MUTE_S_MAX {
        let detail = format!("mute_s is {}, give 0 to {}", said.mute_s, limits::ALERT_MUTE_S_MAX);
        return problem(StatusCode::BAD_REQUEST, "bad_verdict", &detail);
    }
    let note = said.note.as_deref().filter(|note| !note.is_empty()).map(|note| node.redacted(note));
    if note.as_ref().is_some_and(|note| note.len() > limits::ALERT_VERDICT_NOTE_BYTES_MAX) {
        let detail =
            format!("note is over {} bytes, give a shorter one", limits::ALERT_VERDICT_NOTE_BYTES_MAX);
        return problem(StatusCode::BAD_REQUEST, "bad_verdict", &detail);
    }
    let alert_id = alert_id.map(|Path(alert_id)| alert_id).unwrap_or_default();
    if alert_id.len() != 32 || !alert_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return problem(StatusCode::NOT_FOUND, "no_such_alert", "an alert's id is 32 hexadecimal digits");
    }
    match find(&node, &principal, &alert_id).await {
        Ok(Place::Here) => {}
        Ok(Place::Before) => {
            let detail = "the alert is in a log before this one (the writer or its key changed since): no verdict reaches it any more";
            return problem(StatusCode::CONFLICT, "earlier_log", detail);
        }
        Ok(Place::Nowhere) => {
            return problem(StatusCode::NOT_FOUND, "no_such_alert", "no alert of this id is on record");
        }
        Err(detail) => return problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", &detail),
    }
    let mute_us = i64::try_from(said.mute_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let muted_until_us = if mute_us == 0 { 0 } else { node.clock.wall_us().saturating_add(mute_us) };
    let verdict = said.verdict;
    let by = principal.id.clone();
    let judged = Judged { alert_id, verdict, muted_until_us, by, note };
    // Whoever asks may hang up meanwhile; who said it and what was said belong together.
    let change = record(node.clone(), principal, judged);
    node.to_its_end(change).await
}

/// Where an alert is on record.
enum Place {
    Here,
    /// In the log of an earlier writer.
    Before,
    Nowhere,
}

async fn find(node: &Node, principal: &Principal, alert_id: &str) -> Result<Place, String> {
    let (store, tenant, alert_id) = (node.store.clone(), principal.tenant.clone(), alert_id.to_owned());
    let damaged = store.damaged_predecessors(&tenant, Stream::Alerts);
    let looked = tokio::task::spawn_blocking(move || {
        if let Some(alerts) = store.snapshot(&tenant, Stream::Alerts)
            && detect::is_recorded(alerts, &alert_id)?
        {
            return Ok(Place::Here);
        }
        for alerts in store.predecessors(&tenant, Stream::Alerts) {
            if detect::is_recorded(alerts, &alert_id)? {
                return Ok(Place::Before);
            }
        }
        Ok::<_, detect::Error>(Place::Nowhere)
    });
    let place = looked.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    match (&place, damaged.first()) {
        (Place::Nowhere, Some((writer, why))) => Err(format!(
            "the alerts log of the earlier writer {writer} is damaged, so that nobody knows what it held: {why}"
        )),
        _ => Ok(place),
    }
}

/// First who says it, then what is said, then that it was said: what the detector goes by is never without a name.
async fn record(node: Node, principal: Principal, judged: Judged) -> Response {
    let recorded = async {
        let statement = serde_json::to_string(&judged)?;
        let query_id = node.new_query_id();
        let entry = |access| Access { statement: Some(&statement), ..access };
        node.record(entry(Access::intent(&principal, &query_id, ACTION))).await?;
        let log = node.store.log(&principal.tenant, Stream::Events).await?;
        let Judged { alert_id, verdict, muted_until_us, by, note } = &judged;
        log.append_control(Control::Verdict(Verdict {
            alert_id: alert_id.clone(),
            verdict: *verdict,
            muted_until_us: *muted_until_us,
            by: by.clone(),
            note: note.clone().unwrap_or_default(),
        }))
        .await?;
        node.record(entry(Access::outcome(&principal, &query_id, ACTION, Status::Ok))).await
    };
    match recorded.await {
        Ok(()) => (StatusCode::CREATED, Json(judged)).into_response(),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", &format!("{error:#}")),
    }
}
