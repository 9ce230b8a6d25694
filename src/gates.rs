//! Answers under `/metrics/<gate>` for scripts that look at no status: whatever is not a number becomes one that blocks.
//!
//! The published go/no-go script compares what `curl -s` printed with a number; text in that place makes the comparison
//! fail, and the script goes on to PASS. So 401, 404, 429, 5xx and the rest keep their status, say why in a header, and
//! have the body of [`query::NO_ANSWER`].

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use http_body_util::BodyExt as _;

/// Why there is no number: the stable code, then the sentence.
const REASON: HeaderName = HeaderName::from_static("tacho-gate-reason");

/// Whether a script asks for a gate. Wherever in the path: a base address with a slash or a folder too many is a mistake that
/// must not pass either.
pub(crate) fn is_gate(path: &str) -> bool {
    path.contains("/metrics/")
}

/// The answer of a gate, or a number that blocks in its place.
pub(crate) async fn fail_closed(response: Response) -> Response {
    if response.status() == axum::http::StatusCode::OK {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let reason = reason(body).await.unwrap_or_else(|| head.status.to_string());
    head.headers.insert(REASON, header_text(&reason));
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(query::NO_ANSWER.to_string()))
}

/// `<code>: <detail>` of a problem; nothing of any other answer.
async fn reason(body: Body) -> Option<String> {
    let body = http_body_util::Limited::new(body, schemas::limits::PROGRAM_PROBLEM_BYTES_MAX);
    let bytes = body.collect().await.ok()?.to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let field = |name: &str| problem.get(name)?.as_str().map(str::to_string);
    Some(format!("{}: {}", field("code")?, field("detail")?))
}

/// What a header can carry: the rest becomes `?`.
fn header_text(text: &str) -> HeaderValue {
    let plain: String =
        text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    HeaderValue::from_str(&plain).unwrap_or(HeaderValue::from_static("no answer"))
}
