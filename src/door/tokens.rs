//! `/api/v1/tokens`: made, listed, revoked.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use axum::{Extension, Json, Router};
use schemas::limits;
use schemas::principal::{Principal, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{forbidden, problem, read_json};
use crate::identity::TokenRecord;
use crate::node::{Node, change_of};

/// Seconds in a day.
const DAY_S: u64 = 86_400;

/// The routes of tokens.
pub(super) fn router() -> Router<Node> {
    Router::new()
        .route("/api/v1/tokens", get(list_tokens).post(create_token))
        .route("/api/v1/tokens/{id}", delete(revoke_token))
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// collector, auditor, responder, admin or operator.
    #[schema(value_type = String)]
    role: Role,
    tenant: String,
    /// Days until it expires; without either, it does not.
    expires_days: Option<u64>,
    /// Seconds until it expires.
    expires_s: Option<u64>,
}

impl NewToken {
    /// When the token is to expire.
    fn expires_us(&self, now_us: i64) -> Result<Option<i64>, &'static str> {
        let seconds = match (self.expires_days, self.expires_s) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err("give one of expires_days and expires_s"),
            (Some(days), None) => days.saturating_mul(DAY_S),
            (None, Some(seconds)) => seconds,
        };
        if !(1..=limits::TOKEN_EXPIRES_S_MAX).contains(&seconds) {
            return Err("a token lives from one second to a hundred years");
        }
        let us = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        Ok(Some(now_us.saturating_add(us)))
    }
}

/// What is told of a token: all but its digest.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(super) struct Shown {
    /// Public id.
    id: String,
    role: &'static str,
    tenant: String,
    /// RFC 3339.
    created: String,
    expires: Option<String>,
    revoked: Option<String>,
    /// The token itself, told this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

fn shown(record: &TokenRecord) -> Shown {
    Shown {
        id: record.id.clone(),
        role: record.role.name(),
        tenant: record.tenant.clone(),
        created: time(record.created_us),
        expires: record.expires_us.map(time),
        revoked: record.revoked_us.map(time),
        token: None,
    }
}

/// A time as it is told: RFC 3339.
pub(super) fn time(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| time.to_string())
}

/// All tokens of the tenant, never their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", responses(
    (status = 200, description = "The tokens.", body = Vec<Shown>),
))]
pub(super) async fn list_tokens(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
) -> Response {
    if !principal.role.administers() {
        return forbidden(&node, &principal, "token_list", "see tokens");
    }
    let is_own = |record: &&TokenRecord| principal.door == "command" || record.tenant == principal.tenant;
    let tokens: Vec<_> = node.identity.tokens.list().iter().filter(is_own).map(shown).collect();
    Json(tokens).into_response()
}

/// Make a token; its text is told this once.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken, responses(
    (status = 201, description = "It is made.", body = Shown),
))]
pub(super) async fn create_token(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Response {
    // Who makes no tokens at all is told so whatever he sends.
    if !principal.role.administers() {
        return forbidden(&node, &principal, "token_create", "make tokens");
    }
    let new = match read_json::<NewToken>(request, limits::TOKEN_BODY_BYTES_MAX).await {
        Ok(new) => new,
        Err(response) => return response,
    };
    // Only who sits at the machine makes tokens for other tenants.
    if principal.door != "command" && new.tenant != principal.tenant {
        return forbidden(&node, &principal, "token_create", "make a token for another tenant");
    }
    let of = node.clone();
    let made = async move { create(&of, &principal, &new).await };
    match node.to_its_end(made).await {
        Ok(response) | Err(response) => response,
    }
}

/// The order cannot change: what is not on record as asked for is not made, and what is not on record as made is taken back.
async fn create(node: &Node, principal: &Principal, new: &NewToken) -> Result<Response, Response> {
    let action = "token_create";
    let not_recorded = |error: anyhow::Error| {
        problem(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", &format!("{error:#}"))
    };
    let now_us = node.clock.wall_us();
    let expires_us =
        new.expires_us(now_us).map_err(|detail| problem(StatusCode::BAD_REQUEST, "bad_token", detail))?;
    let query_id = node.new_query_id();
    node.record_intent(principal, &query_id, action).await.map_err(not_recorded)?;
    let made = node.identity.tokens.create(new.role, &new.tenant, expires_us, now_us);
    let (record, token) =
        made.map_err(|error| problem(StatusCode::BAD_REQUEST, "bad_token", &format!("{error:#}")))?;
    if let Err(error) =
        node.record_token(principal, &query_id, action, change_of(&record, &principal.id)).await
    {
        take_back(node, &record).await;
        return Err(not_recorded(error));
    }
    let answer = Shown { token: Some(token), ..shown(&record) };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Revokes a token whose making is not wholly on record. That it was revoked is recorded now, or when the store next opens.
async fn take_back(node: &Node, record: &TokenRecord) {
    if let Err(error) = node.identity.tokens.revoke(&record.id, node.clock.wall_us()) {
        tracing::error!(id = record.id, %error, "an unrecorded token could not be revoked");
        return;
    }
    if let Err(error) = node.record_revocations().await {
        tracing::error!(id = record.id, %error, "a revocation is not on the access log yet");
    }
}

/// Revoke a token at once.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "Its public id.")), responses(
        (status = 200, description = "It is revoked.", body = Shown),
        (status = 404, description = "There is no such token.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn revoke_token(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    if !principal.role.administers() {
        return forbidden(&node, &principal, "token_revoke", "revoke tokens");
    }
    let Ok(Path(id)) = id else {
        return problem(StatusCode::NOT_FOUND, "no_such_token", "there is no token of this id");
    };
    let of = node.clone();
    node.to_its_end(async move { revoke(&of, &principal, &id).await }).await
}

async fn revoke(node: &Node, principal: &Principal, id: &str) -> Response {
    let tokens = &node.identity.tokens;
    let found =
        tokens.find(id).filter(|found| principal.door == "command" || found.tenant == principal.tenant);
    let revoked = if found.is_some() { tokens.revoke(id, node.clock.wall_us()) } else { Ok(None) };
    let record = match revoked {
        Ok(Some(record)) => record,
        Ok(None) => {
            let id: String = id.chars().take(limits::QUOTED_CHARS_MAX).collect();
            return problem(StatusCode::NOT_FOUND, "no_such_token", &format!("there is no token {id}"));
        }
        Err(error) => {
            return problem(StatusCode::INTERNAL_SERVER_ERROR, "not_written", &format!("{error:#}"));
        }
    };
    let query_id = node.new_query_id();
    let change = change_of(&record, &principal.id);
    let recorded = match node.record_token(principal, &query_id, "token_revoke", change).await {
        Ok(()) => tokens.recorded(&record.id),
        Err(error) => Err(error),
    };
    match recorded {
        Ok(()) => Json(shown(&record)).into_response(),
        // Revoked it is; that it could not be recorded is said, and made up for when the store next opens.
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", &format!("{error:#}")),
    }
}
