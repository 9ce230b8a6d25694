//! `/auth/…`: people log in by browser at the OpenID provider, see who they are, and log out.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use schemas::limits;
use schemas::principal::Principal;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::{Door, ProblemBody, SessionCookie, cookies, problem, refused};
use crate::identity::{Caller, Login, ProviderAnswer, Reason, Refusal, return_path};
use crate::node::Node;

/// Seconds that a browser keeps the cookie of a begun login.
const BEGUN_S: u64 = limits::LOGIN_BEGUN_US_MAX.unsigned_abs() / 1_000_000;

/// What these routes answer, where the configuration has them.
#[derive(OpenApi)]
#[openapi(paths(begin, callback, session, logout), components(schemas(ProblemBody)))]
pub(super) struct Document;

/// The routes that are for whoever comes.
pub(super) fn open() -> Router<Node> {
    Router::new().route("/auth/login", get(begin)).route("/auth/callback", get(callback))
}

/// The routes that are for who is let in.
pub(super) fn guarded() -> Router<Node> {
    Router::new().route("/auth/session", get(session)).route("/auth/logout", post(logout))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Begin {
    /// The path of this service to go to afterwards.
    return_to: Option<String>,
}

/// What a provider sends a browser back with; it may send more.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Callback {
    /// What this service gave the browser on its way.
    state: Option<String>,
    /// What the provider gives for the login.
    code: Option<String>,
    /// Why it gives none.
    error: Option<String>,
    /// Whose answer it is (RFC 9207).
    iss: Option<String>,
}

/// Begin a login: to the provider.
#[utoipa::path(get, path = "/auth/login", tag = "login", security(()), params(Begin), responses(
    (status = 303, description = "To the provider.", headers(("location" = String), ("set-cookie" = String))),
    (status = 400, description = "The path to return to is no path of this service.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 405, description = "This path is not asked in this way.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Too many failed logins from here.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The provider could not be asked.", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn begin(
    State(node): State<Node>,
    query: Result<Query<Begin>, QueryRejection>,
    request: Request,
) -> Response {
    let Ok(Query(Begin { return_to })) = query else { return unreadable() };
    let Some(return_to) = return_path(return_to.as_deref().unwrap_or("/")) else {
        let detail = "return_to is a path of this service, such as /; it begins with one slash";
        return problem(StatusCode::BAD_REQUEST, "return_to", detail);
    };
    let Some(people) = node.identity.people() else { return none_configured() };
    match node.identity.begin_login(return_to, caller(&request)).await {
        Ok(begun) => {
            let mut response = see_other(&begun.location);
            cookies::set(&mut response, &begun.cookie, &begun.value, people.is_secure(), Some(BEGUN_S));
            response
        }
        Err(refusal) => kept_private(failed(refusal)),
    }
}

/// Finish a login: where the provider sends the browser.
#[utoipa::path(get, path = "/auth/callback", tag = "login", security(()), params(Callback), responses(
    (status = 303, description = "To where the browser wanted to go, with the cookie of a session.", headers(("location" = String), ("set-cookie" = String))),
    (status = 400, description = "No such login was begun in this browser.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, description = "What the provider gave is not taken.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The provider knows the person, and none of their groups has a role here.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 405, description = "This path is not asked in this way.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Too many failed logins from here.", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The provider could not be asked.", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn callback(
    State(node): State<Node>,
    query: Result<Query<Callback>, QueryRejection>,
    request: Request,
) -> Response {
    let Ok(Query(Callback { state, code, error, iss })) = query else { return unreadable() };
    let parts = [&state, &code, &error, &iss];
    if parts.into_iter().flatten().any(|part| part.len() > limits::LOGIN_ANSWER_BYTES_MAX) {
        return unreadable();
    }
    let Some(people) = node.identity.people() else { return none_configured() };
    let begun = people.begun_cookie(state.as_deref().unwrap_or_default());
    let browser = cookies::find(request.headers(), &begun).map(str::to_string);
    let answer = ProviderAnswer { state, code, error, iss };
    let caller = caller(&request);
    let finished = node.identity.finish_login(answer, browser.as_deref(), caller).await;
    let mut response = match finished {
        Ok(finished) => {
            let mut response = see_other(&finished.return_to);
            // Whoever logs in where someone is logged in already takes that session's place.
            if let Some(old) = cookies::find(request.headers(), people.session_cookie()) {
                node.identity.replace_session(old, caller);
            }
            cookies::set(&mut response, people.session_cookie(), &finished.session, people.is_secure(), None);
            response
        }
        Err(refusal) => kept_private(failed(refusal)),
    };
    if browser.is_some() {
        cookies::take_back(&mut response, &begun, people.is_secure());
    }
    response
}

/// Who someone is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// Principal id, as the access log has it.
    principal: String,
    role: &'static str,
    tenant: String,
    /// When the session ends at the latest, RFC 3339; null where a token or certificate let the request in.
    expires: Option<String>,
}

/// Who am I?
#[utoipa::path(get, path = "/auth/session", tag = "login", responses(
    (status = 200, description = "You are.", body = Session),
))]
pub(super) async fn session(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    cookie: Option<Extension<SessionCookie>>,
) -> Response {
    let remaining_us = |Extension(SessionCookie(cookie)): Extension<SessionCookie>| {
        node.identity.people()?.remaining_us(&cookie)
    };
    let expires_us = cookie.and_then(remaining_us).map(|us| node.clock.wall_us().saturating_add(us));
    let expires = expires_us.map(super::tokens::time);
    let (role, tenant) = (principal.role.name(), principal.tenant);
    kept_private(Json(Session { principal: principal.id, role, tenant, expires }).into_response())
}

/// End the session.
#[utoipa::path(post, path = "/auth/logout", tag = "login", responses(
    (status = 204, description = "It is ended.", headers(("set-cookie" = String))),
    (status = 400, description = "The request came with no session.", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn logout(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    cookie: Option<Extension<SessionCookie>>,
    request: Request,
) -> Response {
    let (Some(Extension(SessionCookie(cookie))), Some(people)) = (cookie, node.identity.people()) else {
        let detail = "there is no session to end; a token is revoked at /api/v1/tokens/{id}";
        return problem(StatusCode::BAD_REQUEST, "no_session", detail);
    };
    node.identity.logout(&cookie, &principal, caller(&request));
    let mut response = kept_private(StatusCode::NO_CONTENT.into_response());
    cookies::take_back(&mut response, people.session_cookie(), people.is_secure());
    response
}

/// The session cookie of a request, where people log in by browser.
pub(super) fn session_of(people: Option<&Login>, headers: &HeaderMap) -> Option<String> {
    cookies::find(headers, people?.session_cookie()).map(str::to_string)
}

/// Has a browser forget the cookie of a session that is over.
pub(super) fn forget(people: &Login, response: &mut Response) {
    cookies::take_back(response, people.session_cookie(), people.is_secure());
}

/// Challenges without Basic, for which a browser would ask the person for a password.
pub(super) fn no_dialogue(response: &mut Response) {
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
}

fn caller(request: &Request) -> Caller<'static> {
    let address = match request.extensions().get::<Door>() {
        Some(Door::Network { address, .. }) => Some(*address),
        Some(Door::Local { .. }) | None => None,
    };
    Caller { address, door: "http", user: None }
}

/// What whose login fails is told: enough to begin again, or to ask for a role; nothing of which check it was.
fn failed(refusal: Refusal) -> Response {
    let (status, code, detail) = match refusal.reason {
        Reason::LoginState | Reason::LoginBrowser => (
            StatusCode::BAD_REQUEST,
            "login_not_begun",
            "no such login was begun in this browser, or too long ago, or it is finished; begin again at /auth/login",
        ),
        Reason::AssertionRole | Reason::AssertionTenant => (
            StatusCode::FORBIDDEN,
            "no_role",
            "the provider knows you, and none of your groups has a role here; ask who runs this service for one",
        ),
        Reason::ProviderDown => (
            StatusCode::SERVICE_UNAVAILABLE,
            "provider_down",
            "the OpenID provider could not be asked; API tokens work",
        ),
        Reason::NoCredential | Reason::LockedOut | Reason::AssertionKeyUnasked => return refused(refusal),
        _ => (
            StatusCode::UNAUTHORIZED,
            "login_failed",
            "the OpenID provider did not let you in, or what it gave is not taken; begin again at /auth/login",
        ),
    };
    let mut response = problem(status, code, detail);
    if status == StatusCode::UNAUTHORIZED {
        no_dialogue(&mut response);
    }
    if let Some(seconds) = refusal.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn unreadable() -> Response {
    problem(
        StatusCode::BAD_REQUEST,
        "request",
        "the query cannot be read: a parameter is there twice or too long",
    )
}

fn none_configured() -> Response {
    problem(StatusCode::NOT_FOUND, "not_found", "no login by browser is configured here")
}

fn see_other(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => kept_private((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this address is no header value"),
    }
}

/// For no cache, and for no other site to be told of: the address of a callback has a code in it.
fn kept_private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
