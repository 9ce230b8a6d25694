//! The one router: who may come in, and where to.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Extension, Json, Router};
use schemas::control::TokenChange;
use schemas::principal::{Principal, Role};
use serde::{Deserialize, Serialize};

use crate::identity::{Refusal, TokenRecord, credential};
use crate::node::Node;

/// How a request came in, set by the listener that took it.
#[derive(Debug, Clone)]
pub enum Door {
    /// A network port: a credential is needed.
    Network {
        /// Address of the caller.
        source_ip: String,
    },
    /// The local socket, which only its owner can open, or this process itself.
    Local {
        /// `os:<name>`.
        user: String,
    },
}

/// Everything that can be asked of a node.
pub fn router(node: &Node) -> Router {
    let mut guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/tokens", get(list_tokens).post(create_token))
        .route("/api/v1/tokens/{id}", delete(revoke_token))
        .with_state(node.clone());
    if let Some(ingest) = &node.ingest {
        guarded = guarded.merge(ingest::router(ingest.clone()));
    }
    if let Some(query) = &node.query {
        guarded = guarded.merge(query::router(query.clone()));
    }
    let open =
        Router::new().route("/health", get(health)).route("/ready", get(ready)).with_state(node.clone());
    guarded
        .fallback(|| async {
            problem(StatusCode::NOT_FOUND, "not_found", "there is nothing under this path")
        })
        .layer(middleware::from_fn_with_state(node.clone(), authenticate))
        .merge(open)
}

/// An RFC 9457 answer.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    #[derive(Serialize)]
    struct Problem<'a> {
        r#type: &'static str,
        title: &'a str,
        status: u16,
        code: &'a str,
        detail: &'a str,
    }
    let title = status.canonical_reason().unwrap_or_default();
    let body = Problem { r#type: "about:blank", title, status: status.as_u16(), code, detail };
    let mut response = (status, Json(body)).into_response();
    let problem_json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, problem_json);
    response
}

/// Puts the principal into the request, or answers 401.
async fn authenticate(State(node): State<Node>, mut request: Request, next: Next) -> Response {
    let door = request.extensions().get::<Door>().cloned();
    let found = match door {
        Some(Door::Local { user }) => Ok(Principal {
            id: user,
            role: Role::Admin,
            tenant: "default".to_string(),
            source_ip: None,
            door: "command",
        }),
        Some(Door::Network { source_ip }) => {
            let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            credential(header)
                .and_then(|token| node.identity.authenticate(&token, Some(source_ip), node.clock.wall_us()))
        }
        None => Err(Refusal::Missing),
    };
    match found {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(refusal) => {
            metrics::counter!("tacho_unauthenticated_total").increment(1);
            let detail = match refusal {
                Refusal::Missing => "give an API token: Authorization: Bearer TOKEN",
                Refusal::Invalid => "this token is unknown, expired or revoked",
            };
            let mut response = problem(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
            let challenge = HeaderValue::from_static("Bearer, Basic realm=\"tachograph\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
    }
}

async fn health() -> Response {
    Json(serde_json::json!({"status": "alive", "version": env!("CARGO_PKG_VERSION")})).into_response()
}

async fn ready(State(node): State<Node>) -> Response {
    let status = node.store.status();
    match status.code {
        None => Json(serde_json::json!({"status": "ready"})).into_response(),
        // Whoever asks is not known: why, in full, is in the service's own log.
        Some(code) => {
            let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready", code);
            let seconds = HeaderValue::from(schemas::limits::RETRY_AFTER_S);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response
        }
    }
}

fn forbidden(what: &str) -> Response {
    problem(StatusCode::FORBIDDEN, "forbidden", &format!("this token's role may not {what}"))
}

async fn metrics(State(node): State<Node>, Extension(principal): Extension<Principal>) -> Response {
    if !principal.role.reads_metrics() {
        return forbidden("read metrics");
    }
    match node.metrics() {
        Some(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], Body::from(text)).into_response()
        }
        None => problem(StatusCode::NOT_FOUND, "not_found", "this process collects no metrics"),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    role: Role,
    tenant: String,
    expires_days: Option<u32>,
}

/// What is told of a token: all but its digest.
fn shown(record: &TokenRecord) -> serde_json::Value {
    serde_json::json!({
        "id": record.id,
        "role": record.role,
        "tenant": record.tenant,
        "created": time(record.created_us),
        "expires": record.expires_us.map(time),
        "revoked": record.revoked_us.map(time),
    })
}

fn time(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| time.to_string())
}

async fn list_tokens(State(node): State<Node>, Extension(principal): Extension<Principal>) -> Response {
    if !principal.role.administers() {
        return forbidden("see tokens");
    }
    let is_own = |record: &&TokenRecord| principal.door == "command" || record.tenant == principal.tenant;
    let tokens: Vec<_> = node.identity.list().iter().filter(is_own).map(shown).collect();
    Json(tokens).into_response()
}

async fn create_token(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    Json(new): Json<NewToken>,
) -> Response {
    // Only who sits at the machine makes tokens for other tenants.
    if !principal.role.administers() || (principal.door != "command" && new.tenant != principal.tenant) {
        return forbidden("make this token");
    }
    let now_us = node.clock.wall_us();
    let day_us = 86_400_000_000i64;
    let expires_us =
        new.expires_days.map(|days| now_us.saturating_add(i64::from(days).saturating_mul(day_us)));
    let made = node.identity.create(new.role, &new.tenant, expires_us, now_us);
    let (record, token) = match made {
        Ok(made) => made,
        Err(error) => return problem(StatusCode::BAD_REQUEST, "bad_token", &format!("{error:#}")),
    };
    let change = change_of(&record, &principal);
    if let Err(error) = node.record_token(&principal, "token_create", change).await {
        // What is not on record is not in force either.
        let revoked = node.identity.revoke(&record.id, node.clock.wall_us());
        if let Err(error) = revoked {
            tracing::error!(id = record.id, %error, "an unrecorded token could not be revoked");
        }
        return problem(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", &format!("{error:#}"));
    }
    let mut answer = shown(&record);
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("token".to_string(), token.into());
    }
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn revoke_token(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Response {
    let is_own = principal.door == "command"
        || node.identity.list().iter().any(|record| record.id == id && record.tenant == principal.tenant);
    if !principal.role.administers() {
        return forbidden("revoke tokens");
    }
    let revoked = if is_own { node.identity.revoke(&id, node.clock.wall_us()) } else { Ok(None) };
    let record = match revoked {
        Ok(Some(record)) => record,
        Ok(None) => {
            return problem(StatusCode::NOT_FOUND, "no_such_token", &format!("there is no token {id}"));
        }
        Err(error) => {
            return problem(StatusCode::INTERNAL_SERVER_ERROR, "not_written", &format!("{error:#}"));
        }
    };
    let change = change_of(&record, &principal);
    match node.record_token(&principal, "token_revoke", change).await {
        Ok(()) => Json(shown(&record)).into_response(),
        // Revoked it is; that it could not be recorded is said.
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", &format!("{error:#}")),
    }
}

fn change_of(record: &TokenRecord, principal: &Principal) -> TokenChange {
    TokenChange {
        id: record.id.clone(),
        role: record.role.name().to_string(),
        tenant: record.tenant.clone(),
        by: principal.id.clone(),
    }
}
