//! `/api/v1/rules`: the rules in Sigma read again, for whoever cannot send the service a signal.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use schemas::principal::Principal;

use super::{forbidden, problem};
use crate::identity::DEFAULT_TENANT;
use crate::node::Node;
use crate::rules::{self, Failure, Loaded};

/// The routes of rules.
pub(super) fn router() -> Router<Node> {
    Router::new().route("/api/v1/rules/reload", post(reload_rules))
}

/// Read the rules in Sigma again, all or none, and have detection go on under them. Nothing is sent along: which directories and what
/// is switched off is in the configuration, as it was at the start.
#[utoipa::path(post, path = "/api/v1/rules/reload", tag = "rules", responses(
    (status = 200, description = "They are in force.", body = Loaded),
    (status = 409, description = "This process does not detect.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "The set does not load; the detail has every error, one a line. The set that was in force still is.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn reload_rules(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
) -> Response {
    // They hold for all tenants, and errors show what is in them.
    if !principal.role.administers() || principal.tenant != DEFAULT_TENANT {
        return forbidden(&node, &principal, "rules_reload", "reload rules, which hold for every tenant");
    }
    // Whoever asks may hang up meanwhile; a change and its record belong together.
    let of = node.clone();
    match node.to_its_end(async move { rules::reload(&of, &principal).await }).await {
        Ok(loaded) => Json(loaded).into_response(),
        Err(failure) => {
            let (status, code) = match failure {
                Failure::NoDetector => (StatusCode::CONFLICT, "no_detector"),
                Failure::Rules(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_rules"),
                Failure::Ended(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_reloaded"),
                Failure::IntentNotRecorded(_) | Failure::OutcomeNotRecorded(_) => {
                    (StatusCode::SERVICE_UNAVAILABLE, "not_recorded")
                }
            };
            problem(status, code, &failure.to_string())
        }
    }
}
