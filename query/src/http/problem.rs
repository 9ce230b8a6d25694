//! Errors over HTTP: RFC 9457 with a stable code.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::limits::RETRY_AFTER_S;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Error;

/// An `application/problem+json` answer.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    body: ProblemBody,
}

/// What is wrong, by RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// Stable: scripts may depend on it.
    code: &'static str,
    detail: String,
    /// Line of the SQL text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// Column of the SQL text in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
}

impl Problem {
    fn new(status: u16, code: &'static str, detail: String) -> Problem {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let title = status.canonical_reason().unwrap_or("Error");
        let body = ProblemBody {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            code,
            detail,
            line: None,
            column: None,
        };
        Problem { status, body }
    }

    /// No credential was checked for this request.
    pub(super) fn unauthenticated() -> Problem {
        Problem::new(401, "unauthenticated", "send a token: Authorization: Bearer TOKEN".to_string())
    }

    /// A version of HTTP in which the end of an answer cannot be told from its breaking off.
    pub(super) fn http_version() -> Problem {
        Problem::new(505, "http_version", "ask over HTTP/1.1; a proxy in between must do so too".to_string())
    }

    /// A body of a kind that is not read here.
    pub(super) fn media_type(found: &str) -> Problem {
        Problem::new(
            415,
            "media_type",
            format!("content type {found:?} is not application/json or text/plain"),
        )
    }

    /// A body that is not as documented.
    pub(super) fn body(detail: String) -> Problem {
        Problem::new(400, "request", detail)
    }

    /// A part of the path that is no text.
    pub(super) fn path(error: &axum::extract::rejection::PathRejection) -> Problem {
        Problem::new(400, "request", error.body_text())
    }

    /// Parameters of the URL that are not as documented.
    pub(super) fn parameters(error: &axum::extract::rejection::QueryRejection) -> Problem {
        Problem::new(400, "request", error.body_text())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let mut problem = Problem::new(error.status(), error.code(), error.to_string());
        problem.body.line = error.position().map(|position| position.line);
        problem.body.column = error.position().map(|position| position.column);
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
