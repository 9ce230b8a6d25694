//! The one router: who may come in, and where to.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use schemas::principal::{Principal, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::identity::{Caller, Certificate, Credential, Login, Reason, Refusal};
use crate::node::Node;

mod alerts;
mod cookies;
mod guard;
mod login;
mod openapi;
mod proofs;
mod redaction;
mod rules;
mod sinks;
mod tokens;

/// How a request came in, set by the listener that took it.
#[derive(Debug, Clone)]
pub enum Door {
    /// A network port: a credential is needed.
    Network {
        /// Address of the caller.
        address: IpAddr,
        /// The certificate by which it proved who it is, if it has one.
        certificate: Option<Arc<Certificate>>,
    },
    /// The local socket, which only its owner can open, or this process itself.
    Local {
        /// `os:<name>`.
        user: String,
    },
}

/// The cookie of the session that let a request in.
#[derive(Clone)]
struct SessionCookie(String);

/// Everything that can be asked of a node.
pub fn router(node: &Node) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .merge(tokens::router())
        .merge(redaction::router())
        .merge(rules::router())
        .merge(alerts::router())
        .merge(sinks::router());
    let guarded = if node.query.is_some() { guarded.merge(proofs::router()) } else { guarded };
    let mut guarded = guarded.with_state(node.clone());
    if let Some(ingest) = &node.ingest {
        guarded = guarded.merge(
            ingest::router(ingest.clone())
                .merge(ingest::otlp_router(ingest.clone()))
                .layer(middleware::from_fn_with_state(node.clone(), record_forbidden)),
        );
    }
    if let Some(query) = &node.query {
        guarded = guarded.merge(query::router(query.clone()));
    }
    let mut open = Router::new().route("/health", get(health)).route("/ready", get(ready));
    if node.identity.people().is_some() {
        guarded = guarded.merge(login::guarded().with_state(node.clone()));
        open = open.merge(login::open().method_not_allowed_fallback(not_asked_so));
    }
    let document = openapi::document(node);
    let open = open
        .route("/api/v1/openapi.json", get(async move || Json(document.clone())))
        .with_state(node.clone());
    behind_door(node, guarded).merge(open)
}

/// What a port for telemetry alone answers: the services of OTLP/gRPC, or the routes of OTLP/HTTP.
pub fn otlp_router(node: &Node, is_grpc: bool) -> Router {
    let routes = node.ingest.clone().map(|ingest| match is_grpc {
        true => ingest::otlp_grpc_router(ingest),
        false => ingest::otlp_router(ingest),
    });
    let recorded = middleware::from_fn_with_state(node.clone(), record_forbidden);
    behind_door(node, routes.unwrap_or_default().layer(recorded))
}

/// Only for whoever is let in, and with an answer to everything.
fn behind_door(node: &Node, guarded: Router) -> Router {
    guarded
        .fallback(|| async {
            problem(StatusCode::NOT_FOUND, "not_found", "there is nothing under this path")
        })
        .method_not_allowed_fallback(not_asked_so)
        .layer(middleware::from_fn_with_state(node.clone(), authenticate))
}

async fn not_asked_so() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path is not asked in this way")
}

/// What is wrong, by RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServiceProblem)]
struct ProblemBody {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    /// Stable: scripts may depend on it.
    code: String,
    detail: String,
}

/// An RFC 9457 answer.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = ProblemBody {
        r#type: "about:blank",
        title,
        status: status.as_u16(),
        code: code.to_string(),
        detail: detail.to_string(),
    };
    let mut response = (status, Json(body)).into_response();
    let problem_json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, problem_json);
    response
}

/// Reads a JSON body of at most so many bytes, or says what is wrong with it.
async fn read_json<T: DeserializeOwned>(request: Request, bytes_max: usize) -> Result<T, Response> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let detail = "content type is not application/json";
        return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail));
    }
    let body = to_bytes(request.into_body(), bytes_max).await.map_err(|_| {
        let detail = format!("the request body is over {bytes_max} bytes, or broke off");
        problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &detail)
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| problem(StatusCode::BAD_REQUEST, "request", &error.to_string()))
}

/// Puts the principal into the request, or answers that it is not let in.
async fn authenticate(State(node): State<Node>, mut request: Request, next: Next) -> Response {
    let door = request.extensions().get::<Door>().cloned();
    let session = login::session_of(node.identity.people(), request.headers());
    let credential = match &door {
        Some(Door::Network { certificate, .. }) => {
            Credential::of(request.headers(), session.as_deref(), certificate.as_ref())
        }
        _ => Err(Reason::NoCredential),
    };
    // Whether it is the cookie that lets the request in.
    let session = session.filter(|_| matches!(credential, Ok(Credential::Session(_))));
    let by = match &credential {
        Ok(Credential::Session(_)) => "cookie",
        Ok(Credential::Certificate(_)) => "certificate",
        _ => "token",
    };
    match (admit(&node, door, credential).await, session.zip(node.identity.people())) {
        (Ok(principal), session) => {
            let origin = node.identity.people().map(Login::origin);
            let (method, headers) = (request.method(), request.headers());
            let is_own = match &session {
                Some((_, people)) => guard::is_own(method, headers, &people.origin()),
                None => !guard::is_foreign(method, headers, origin.as_deref()),
            };
            if !is_own {
                return from_elsewhere(&node, &principal, &request, by);
            }
            if let Some((cookie, _)) = session {
                request.extensions_mut().insert(SessionCookie(cookie));
            }
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        (Err(refusal), session) => {
            let mut response = refused(refusal);
            if response.status() == StatusCode::UNAUTHORIZED {
                // A browser would ask the person for a password, and send it along from then on whoever made it ask.
                if guard::is_browser(request.headers()) || session.is_some() {
                    login::no_dialogue(&mut response);
                }
                if let Some((_, people)) = session {
                    login::forget(people, &mut response);
                }
            }
            response
        }
    }
}

/// Says, and records, that what a browser sends along by itself lets in no request that another site may have made.
fn from_elsewhere(node: &Node, principal: &Principal, request: &Request, by: &str) -> Response {
    let detail = format!("{} by {by}, not from a page of this service", request.method());
    node.identity.forbid(principal, "cross_site", detail);
    problem(
        StatusCode::FORBIDDEN,
        "cross_site",
        "a browser is heard from this service's own pages alone (Sec-Fetch-Site, Origin)",
    )
}

async fn admit(
    node: &Node,
    door: Option<Door>,
    credential: Result<Credential, Reason>,
) -> Result<Principal, Refusal> {
    match door {
        Some(Door::Local { user }) => Ok(Principal {
            id: user,
            role: Role::Admin,
            tenant: "default".to_string(),
            source_ip: None,
            door: "command",
        }),
        Some(Door::Network { address, .. }) => {
            node.identity.login(credential, Caller { address: Some(address), door: "http", user: None }).await
        }
        None => Err(Refusal { reason: Reason::NoCredential, retry_after_s: None }),
    }
}

/// What whoever is not let in is told.
fn refused(refusal: Refusal) -> Response {
    let mut response = match refusal.reason {
        Reason::LockedOut => problem(
            StatusCode::TOO_MANY_REQUESTS,
            "locked_out",
            "too many failed logins from here; what you send now is not even checked",
        ),
        Reason::NoCredential => problem(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "give an API token: Authorization: Bearer TOKEN",
        ),
        Reason::ProviderDown => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "provider_down",
            "the OpenID provider's keys could not be had; API tokens work",
        ),
        Reason::AssertionKeyUnasked => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "provider_asked",
            "the key that signed this is not known, and the OpenID provider was asked for its keys a moment ago; come again",
        ),
        // Which of these it was helps only who guesses.
        _ => problem(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "this credential is unknown, expired or revoked",
        ),
    };
    let headers = response.headers_mut();
    match refusal.retry_after_s {
        Some(seconds) => headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds)),
        None => headers
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer, Basic realm=\"tachograph\"")),
    };
    response
}

/// Whether the process answers.
#[utoipa::path(get, path = "/health", tag = "service", security(()), responses(
    (status = 200, description = "It lives.", body = serde_json::Value),
))]
async fn health() -> Response {
    Json(serde_json::json!({"status": "alive", "version": env!("CARGO_PKG_VERSION")})).into_response()
}

/// Whether events are accepted.
#[utoipa::path(get, path = "/ready", tag = "service", security(()), responses(
    (status = 200, description = "They are.", body = serde_json::Value),
    (status = 503, description = "Recovering, poisoned, or out of disk.", body = ProblemBody, content_type = "application/problem+json"),
))]
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

/// Records who was told that its role may not send events: ingest itself knows no access log.
async fn record_forbidden(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::FORBIDDEN {
        node.identity.forbid(&principal, "ingest", format!("role {} may not send events", principal.role));
    }
    response
}

/// Says, and records, that the principal's role does not allow this.
fn forbidden(node: &Node, principal: &Principal, action: &'static str, what: &str) -> Response {
    node.identity.forbid(principal, action, format!("role {} may not {what}", principal.role));
    problem(StatusCode::FORBIDDEN, "forbidden", &format!("this token's role may not {what}"))
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
))]
async fn metrics(State(node): State<Node>, Extension(principal): Extension<Principal>) -> Response {
    if !principal.role.reads_metrics() {
        return forbidden(&node, &principal, "metrics", "read metrics");
    }
    match node.metrics() {
        Some(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], Body::from(text)).into_response()
        }
        None => problem(StatusCode::NOT_FOUND, "not_found", "this process collects no metrics"),
    }
}
