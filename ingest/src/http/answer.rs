//! Answers: what was taken as JSON, problems as RFC 9457. The one place where an error becomes a status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::limits::RETRY_AFTER_S;
use serde::Serialize;
use utoipa::ToSchema;

use super::Taken;
use crate::error::Error;
use crate::measure;
use crate::rejected::Rejected;

/// The body of a 200.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    accepted: u64,
    duplicates: usize,
    rejected: Vec<RejectedItem>,
    rejected_count: u64,
    log: String,
    first_index: u64,
    count: u64,
    tree_size: u64,
    /// The signed checkpoint that covers the first `tree_size` entries, where a receipt was asked for and one is signed in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RejectedItem {
    line: u64,
    position: usize,
    code: &'static str,
    detail: String,
}

/// The body of every other answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IngestProblem)]
pub(super) struct Problem {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<RejectedItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_count: Option<u64>,
}

/// What an error means to a client.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    /// Stands for the error's own text where that speaks of the inside of the service.
    detail: Option<&'static str>,
}

/// The answer to a body that held values.
pub(super) fn taken(taken: Taken) -> Response {
    let Taken { receipt, checkpoint, rejected, rejected_count } = taken;
    let rejected: Vec<RejectedItem> = rejected.into_iter().map(RejectedItem::from).collect();
    let Some(receipt) = receipt else {
        let code = "nothing_usable";
        let first = rejected.first().map_or_else(String::new, |item| {
            format!("; the first, on line {}: {}: {}", item.line, item.code, item.detail)
        });
        measure::request(code);
        return respond(
            StatusCode::BAD_REQUEST,
            Problem {
                r#type: problem_type(code),
                title: "nothing in the body is usable",
                status: StatusCode::BAD_REQUEST.as_u16(),
                detail: format!("none of {rejected_count} values is an event{first}"),
                code,
                rejected,
                rejected_count: Some(rejected_count),
            },
        );
    };
    measure::request("ok");
    Json(Accepted {
        accepted: receipt.count,
        duplicates: receipt.duplicates.len(),
        rejected,
        rejected_count,
        log: receipt.origin.to_string(),
        first_index: receipt.first_index,
        count: receipt.count,
        tree_size: receipt.tree_size,
        checkpoint: checkpoint.map(|note| note.to_string()),
    })
    .into_response()
}

/// The answer to a request that failed as a whole.
pub(crate) fn problem(error: &Error) -> Response {
    let Meaning { status, code, title, detail } = meaning(error);
    if status.is_server_error() {
        tracing::error!(code, %error, "events were not taken");
    }
    measure::request(code);
    let detail = detail.map_or_else(|| error.to_string(), str::to_string);
    let problem = Problem {
        r#type: problem_type(code),
        title,
        status: status.as_u16(),
        detail,
        code,
        rejected: Vec::new(),
        rejected_count: None,
    };
    let mut response = respond(status, problem);
    let headers = response.headers_mut();
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let wait_s = match error {
                Error::TooFast { retry_after_s, .. } => *retry_after_s,
                _ => RETRY_AFTER_S,
            };
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd, identity"));
        }
        _ => {}
    }
    response
}

/// The code of the answer to a request that failed as a whole.
pub(crate) fn code(error: &Error) -> &'static str {
    meaning(error).code
}

fn respond(status: StatusCode, problem: Problem) -> Response {
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, kind)], Json(problem)).into_response()
}

fn problem_type(code: &str) -> String {
    format!("urn:tachograph:problem:{code}")
}

fn meaning(error: &Error) -> Meaning {
    let new = |status, code, title| Meaning { status, code, title, detail: None };
    match error {
        Error::Unauthenticated => {
            new(StatusCode::UNAUTHORIZED, "unauthenticated", "who is asking is not known")
        }
        Error::Forbidden { .. } => new(StatusCode::FORBIDDEN, "forbidden", "the role may not do this"),
        Error::TooLarge { .. } => new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large"),
        Error::UnknownEncoding { .. } => {
            new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown_encoding", "the content encoding is not known")
        }
        Error::BadGzip { .. } => new(StatusCode::BAD_REQUEST, "bad_gzip", "the compressed body is damaged"),
        Error::BadZstd { .. } => new(StatusCode::BAD_REQUEST, "bad_zstd", "the compressed body is damaged"),
        Error::UnknownType { .. } => {
            new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unknown_type", "the content type is not known")
        }
        Error::BadTelemetry { .. } => {
            new(StatusCode::BAD_REQUEST, "bad_telemetry", "the body is no OTLP export request")
        }
        Error::NothingUsable { .. } => {
            new(StatusCode::BAD_REQUEST, "nothing_usable", "nothing in the body is usable")
        }
        Error::UnknownSignal { .. } => {
            new(StatusCode::NOT_FOUND, "unknown_signal", "this signal is not recorded")
        }
        Error::BrokenBody { .. } => new(StatusCode::BAD_REQUEST, "broken_body", "the body broke off"),
        Error::Slow => new(StatusCode::REQUEST_TIMEOUT, "slow", "the body did not arrive in time"),
        Error::UnknownMapping { .. } => {
            new(StatusCode::BAD_REQUEST, "unknown_mapping", "the mapping is not known")
        }
        Error::Empty => new(StatusCode::BAD_REQUEST, "empty", "the body is empty"),
        Error::Busy { .. } => new(StatusCode::TOO_MANY_REQUESTS, "busy", "too much is in flight"),
        Error::TooFast { .. } => {
            new(StatusCode::TOO_MANY_REQUESTS, "too_fast", "the credential sends faster than it may")
        }
        Error::Store(error) => store_meaning(error),
        // A body comes from no source that is read, and its mapping was read at the start.
        Error::Draft(_) | Error::Source { .. } | Error::BadMapping { .. } | Error::CountryDatabase { .. } => {
            internal()
        }
        Error::Worker { .. } => {
            new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the service is stopping or failed")
        }
    }
}

fn store_meaning(error: &store::Error) -> Meaning {
    let unavailable =
        |code, title, detail| Meaning { status: StatusCode::SERVICE_UNAVAILABLE, code, title, detail };
    match error {
        store::Error::Busy { .. } => unavailable("store_busy", "the store is at a limit", None),
        store::Error::DiskFull { .. } => unavailable("disk_full", "the disk is nearly full", None),
        store::Error::Poisoned { .. } => unavailable(
            "poisoned",
            "the store stopped writing",
            Some("the store stopped writing after a failure; restart the service to recover"),
        ),
        store::Error::Tampered { .. } => unavailable(
            "tampered",
            "the log is read-only",
            Some("the log is damaged or rolled back and takes nothing more; verify it"),
        ),
        store::Error::Refused(schemas::Error::TooLarge { .. }) => Meaning {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: "too_large",
            title: "the events are too large for one append",
            detail: None,
        },
        store::Error::Refused(_) => Meaning {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "refused",
            title: "the events cannot be stored",
            detail: None,
        },
        store::Error::Locked(_) | store::Error::Keys(_) | store::Error::Io { .. } => unavailable(
            "unavailable",
            "the store is not available",
            Some("the store is not available; the service's own log says why"),
        ),
        _ => internal(),
    }
}

fn internal() -> Meaning {
    Meaning {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "internal",
        title: "a defect of the service",
        detail: Some("the service failed on this body; its own log says why"),
    }
}

impl From<Rejected> for RejectedItem {
    fn from(rejected: Rejected) -> RejectedItem {
        let Rejected { line, position, code, detail } = rejected;
        RejectedItem { line, position, code: code.name(), detail }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use schemas::Origin;
    use store::Receipt;

    use super::*;
    use crate::rejected::Code;

    async fn json(response: Response) -> serde_json::Value {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn rejected() -> Rejected {
        Rejected { line: 3, position: 2, code: Code::BadType, detail: "why".to_string() }
    }

    #[tokio::test]
    async fn a_good_answer_has_the_promised_names() {
        let origin = Origin::new("plant.example", "acme", schemas::Stream::Events, "w1").unwrap();
        let log = origin.to_string();
        let receipt = Receipt { origin, first_index: 7, count: 2, duplicates: vec![(1, 3)], tree_size: 9 };
        let response = taken(Taken {
            receipt: Some(receipt),
            checkpoint: None,
            rejected: vec![rejected()],
            rejected_count: 1,
        });
        assert_eq!(response.status(), StatusCode::OK);
        let expected = serde_json::json!({"accepted": 2, "duplicates": 1, "rejected":
            [{"line": 3, "position": 2, "code": "bad_type", "detail": "why"}], "rejected_count": 1,
            "log": log, "first_index": 7, "count": 2, "tree_size": 9});
        assert_eq!(json(response).await, expected);
    }

    #[tokio::test]
    async fn nothing_usable_is_a_problem_that_lists_what_was_wrong() {
        let response =
            taken(Taken { receipt: None, checkpoint: None, rejected: vec![rejected()], rejected_count: 1 });
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = json(response).await;
        assert_eq!(body["code"], "nothing_usable");
        assert_eq!(body["status"], 400);
        assert_eq!(body["rejected"][0]["line"], 3);
        for key in ["type", "title", "detail"] {
            assert!(body[key].is_string(), "{key}");
        }
    }

    #[tokio::test]
    async fn errors_have_their_status_and_say_when_to_come_back() {
        let store = |error: store::Error| Error::Store(error);
        for (error, status, code, retries) in [
            (Error::Unauthenticated, 401, "unauthenticated", false),
            (Error::Forbidden { role: schemas::principal::Role::Auditor }, 403, "forbidden", false),
            (Error::TooLarge { what: "x", limit: 1 }, 413, "too_large", false),
            (Error::UnknownEncoding { encoding: "br".into() }, 415, "unknown_encoding", false),
            (Error::Empty, 400, "empty", false),
            (Error::Slow, 408, "slow", false),
            (Error::Busy { what: "x" }, 429, "busy", true),
            (store(store::Error::Busy { what: "x" }), 503, "store_busy", true),
            (store(store::Error::DiskFull { free: 1, needed: 2 }), 503, "disk_full", true),
            (store(store::Error::Poisoned { reason: "/secret/path".into() }), 503, "poisoned", true),
            (store(store::Error::Locked("/secret/path".into())), 503, "unavailable", true),
            (store(store::Error::Refused(schemas::Error::malformed("x", "y"))), 422, "refused", false),
            (Error::Draft(schemas::Error::malformed("x", "/secret/path")), 500, "internal", false),
        ] {
            let response = problem(&error);
            assert_eq!(response.status().as_u16(), status, "{error}");
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retries, "{error}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
            let body = json(response).await;
            assert_eq!(
                (body["code"].as_str(), body["status"].as_u64()),
                (Some(code), Some(u64::from(status)))
            );
            assert!(!body["detail"].as_str().unwrap().contains("/secret/path"), "{error}");
        }
    }
}
