//! `/api/v1/sinks`: how sinks stand, and what they are to send again. Whoever administers a tenant sees and changes what is his tenant's; all of it is for
//! whoever runs the service.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use query::{Access, Status};
use schemas::limits;
use schemas::principal::Principal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{forbidden, problem, read_json};
use crate::node::Node;

/// The routes of sinks.
pub(super) fn router() -> Router<Node> {
    Router::new()
        .route("/api/v1/sinks", get(list_sinks))
        .route("/api/v1/sinks/{name}/replay", post(replay_sink))
        .route("/api/v1/sinks/{name}/discard", post(discard_sink))
}

/// What is to be sent again.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SinkReplay)]
pub(super) struct Replay {
    /// The tenant; none: all that the caller may speak for.
    #[serde(default)]
    tenant: Option<String>,
    /// From this entry of the tenant's log on; none: the dead letters.
    #[serde(default)]
    from: Option<u64>,
    /// Up to this entry, which is left out; none: as far as the sink has come.
    #[serde(default)]
    to: Option<u64>,
}

/// Whose dead letters are to be forgotten.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SinkDiscard)]
pub(super) struct Discard {
    /// The tenant; none: all that the caller may speak for.
    #[serde(default)]
    tenant: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SinkChanged)]
pub(super) struct Changed {
    /// Dead letters, or entries of the range.
    count: u64,
}

/// Whether the caller speaks for all tenants.
fn is_operator(principal: &Principal) -> bool {
    principal.door == "command"
}

/// How every sink stands: where it leads, how far it is in each tenant's log, what it could not deliver.
#[utoipa::path(get, path = "/api/v1/sinks", tag = "sinks", responses(
    (status = 200, description = "The sinks.", body = Vec<Object>),
))]
pub(super) async fn list_sinks(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
) -> Response {
    if !principal.role.administers() {
        return forbidden(&node, &principal, "sink_list", "see sinks");
    }
    let standing = node.sinks().map(|sinks| match is_operator(&principal) {
        true => sinks.status(),
        false => sinks.status_of(&principal.tenant),
    });
    let standing = standing.unwrap_or_default();
    Json(standing).into_response()
}

/// Have a sink send its dead letters, or a range of a log, again.
#[utoipa::path(post, path = "/api/v1/sinks/{name}/replay", tag = "sinks",
    params(("name" = String, Path, description = "Its name.")), request_body = Replay, responses(
        (status = 200, description = "It is noted, and will be sent.", body = Changed),
))]
pub(super) async fn replay_sink(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    if !principal.role.administers() {
        return forbidden(&node, &principal, "sink_replay", "have sinks send again");
    }
    let mut what: Replay = match read_json(request, limits::SINK_BODY_BYTES_MAX).await {
        Ok(what) => what,
        Err(response) => return response,
    };
    if what.from.is_none() && what.to.is_some() {
        return problem(StatusCode::BAD_REQUEST, "request", "`to` ends a range: give `from` as well");
    }
    if !may_mean(&principal, what.tenant.as_ref()) {
        return of_another();
    }
    what.tenant = meant(&principal, what.tenant.take());
    if what.from.is_some() && what.tenant.is_none() {
        what.tenant = Some(principal.tenant.clone());
    }
    let name = name.map(|Path(name)| name).unwrap_or_default();
    // Whoever asks may hang up meanwhile; who asked and what was done belong together.
    let change = change(node.clone(), principal, name, "sink_replay", Asked::Replay(what));
    node.to_its_end(change).await
}

/// Forget a sink's dead letters; the entries stay in the log.
#[utoipa::path(post, path = "/api/v1/sinks/{name}/discard", tag = "sinks",
    params(("name" = String, Path, description = "Its name.")), request_body = Discard, responses(
        (status = 200, description = "They are forgotten.", body = Changed),
))]
pub(super) async fn discard_sink(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    if !principal.role.administers() {
        return forbidden(&node, &principal, "sink_discard", "forget dead letters");
    }
    let mut what: Discard = match read_json(request, limits::SINK_BODY_BYTES_MAX).await {
        Ok(what) => what,
        Err(response) => return response,
    };
    if !may_mean(&principal, what.tenant.as_ref()) {
        return of_another();
    }
    what.tenant = meant(&principal, what.tenant.take());
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let change = change(node.clone(), principal, name, "sink_discard", Asked::Discard(what));
    node.to_its_end(change).await
}

/// Whether the caller may mean this tenant.
fn may_mean(principal: &Principal, tenant: Option<&String>) -> bool {
    is_operator(principal) || tenant.is_none_or(|tenant| *tenant == principal.tenant)
}

/// The tenant that is meant; none for all, which only whoever runs the service can mean.
fn meant(principal: &Principal, tenant: Option<String>) -> Option<String> {
    if is_operator(principal) { tenant } else { Some(principal.tenant.clone()) }
}

fn of_another() -> Response {
    problem(StatusCode::FORBIDDEN, "forbidden", "this is another tenant's")
}

/// What a sink is asked for.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Asked {
    Replay(Replay),
    Discard(Discard),
}

/// First who asks, then the change, then that it was made.
async fn change(
    node: Node,
    principal: Principal,
    name: String,
    action: &'static str,
    asked: Asked,
) -> Response {
    let Some(sinks) = node.sinks().cloned() else {
        return problem(StatusCode::NOT_FOUND, "no_such_sink", "this process runs no sinks");
    };
    let statement = serde_json::json!({ "sink": name, "asked": asked }).to_string();
    let query_id = node.new_query_id();
    let entry = |access| Access { statement: Some(&statement), ..access };
    if let Err(error) = node.record(entry(Access::intent(&principal, &query_id, action))).await {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", &format!("{error:#}"));
    }
    let done = match asked {
        Asked::Replay(Replay { tenant: Some(tenant), from: Some(from), to }) => {
            sinks.replay_range(&name, tenant, from, to).await
        }
        Asked::Replay(Replay { tenant, .. }) => sinks.replay_dead(&name, tenant).await,
        Asked::Discard(Discard { tenant }) => sinks.discard_dead(&name, tenant).await,
    };
    let status = if done.is_ok() { Status::Ok } else { Status::Error };
    if let Err(error) = node.record(entry(Access::outcome(&principal, &query_id, action, status))).await {
        tracing::error!(%error, action, "what was done to a sink is on the access log as asked alone");
    }
    match done {
        Ok(count) => Json(Changed { count }).into_response(),
        Err(error @ (sinks::Error::Unknown(_) | sinks::Error::Tenant { .. })) => {
            problem(StatusCode::NOT_FOUND, "no_such_sink", &error.to_string())
        }
        Err(error @ sinks::Error::Ranges { .. }) => {
            problem(StatusCode::CONFLICT, "too_many_ranges", &error.to_string())
        }
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, "sink", &error.to_string()),
    }
}
