//! The HTTP door: `POST|GET /api/v1/sql` and `GET /api/v1/sessions/{id}/replay`.
//!
//! Who asks comes with the request as an extension: whoever serves this router has checked a credential.

use std::error::Error as _;

use axum::body::{Body, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Extension, Router};
use http_body_util::LengthLimitError;
use schemas::principal::Principal;
use serde::Deserialize;

use crate::format::Encoded;
use crate::{Error, Format, Query, Replay, ReplayFormat, Request, Result};

mod gates;
mod openapi;
mod problem;
mod queries;
mod request;

pub use openapi::openapi;
use problem::Problem;

/// Log sizes the answer is computed over.
const SNAPSHOT: HeaderName = HeaderName::from_static("tacho-snapshot");
/// Joins the answer with the access log.
const QUERY_ID: HeaderName = HeaderName::from_static("tacho-query-id");
/// Bytes of a request body: an SQL text with its parameters.
const BODY_BYTES_MAX: usize = schemas::limits::QUERY_BODY_BYTES_MAX;

/// The routes. Requests must carry a [`Principal`] as an extension, or they are answered with 401.
pub fn router(query: Query) -> Router {
    Router::new()
        .route("/api/v1/sql", get(get_sql).post(post_sql))
        .route("/api/v1/sessions/{id}/replay", get(get_replay))
        .layer(axum::middleware::from_fn(refuse_old_http))
        .route("/api/v1/queries", get(queries::list))
        .route("/api/v1/queries/{id}", delete(queries::cancel))
        .route("/api/v1/gates", get(gates::all))
        .route("/metrics/{gate}", get(gates::one))
        .with_state(query)
}

/// An answer that breaks off must not look whole: without chunks, which HTTP/1.0 has not, it would.
async fn refuse_old_http(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    if request.version() < axum::http::Version::HTTP_11 {
        return Problem::http_version().into_response();
    }
    next.run(request).await
}

type Who = Option<Extension<Principal>>;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SqlParameters {
    /// One SELECT statement.
    q: String,
    /// json, ndjson, csv, arrow, parquet or table; else by `Accept`.
    format: Option<String>,
    /// An earlier moment: `events=120;alerts=4`, or what an answer gave as `tacho-snapshot`.
    as_of: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FormatParameter {
    /// json, ndjson, csv, arrow, parquet or table; else by `Accept`. What the body names comes first.
    format: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ReplayParameters {
    /// timeline, ndjson or jsonrpc.
    format: Option<String>,
    /// Where the page before ended: its `next`.
    after: Option<String>,
    /// Steps of this page.
    limit: Option<u64>,
}

/// Ask SQL: one statement, read only.
#[utoipa::path(get, path = "/api/v1/sql", tag = "query", params(SqlParameters), responses(
        (status = 200, description = "The rows. An ndjson answer ends with $end or $error, so that a cut one shows.", content(
            (serde_json::Value = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"), (Vec<u8> = "application/vnd.apache.parquet"),
            (String = "text/plain"),
        )),
))]
async fn get_sql(
    State(query): State<Query>,
    who: Who,
    headers: HeaderMap,
    parameters: Result<Parameters<SqlParameters>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Parameters(SqlParameters { q, format, as_of }) =
        parameters.map_err(|error| Problem::parameters(&error))?;
    let format = choose(format.as_deref(), &headers)?;
    let as_of = as_of.map(|text| text.parse()).transpose()?;
    sql(&query, who, Request { sql: q, as_of, ..Request::default() }, format).await
}

/// Ask SQL with parameters, limits or an earlier moment.
#[utoipa::path(post, path = "/api/v1/sql", tag = "query", params(FormatParameter),
    request_body(content((request::Body = "application/json"), (String = "text/plain"), (String = "application/sql"))),
    responses(
        (status = 200, description = "The rows. An ndjson answer ends with $end or $error, so that a cut one shows.", content(
            (serde_json::Value = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"), (Vec<u8> = "application/vnd.apache.parquet"),
            (String = "text/plain"),
        )),
))]
async fn post_sql(
    State(query): State<Query>,
    who: Who,
    headers: HeaderMap,
    parameters: Result<Parameters<FormatParameter>, axum::extract::rejection::QueryRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let Parameters(FormatParameter { format }) = parameters.map_err(|error| Problem::parameters(&error))?;
    let kind = headers.get(header::CONTENT_TYPE).map_or(Ok("text/plain"), HeaderValue::to_str);
    let body = match to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => {
            return Err(unread(&query, who).await);
        }
        Err(error) => return Err(Problem::body(format!("the request body broke off: {error}"))),
    };
    let (mut request, named) = request::parse(kind.unwrap_or(""), &body)?;
    let format = choose(named.or(format).as_deref(), &headers)?;
    request.format = Some(format.name());
    sql(&query, who, request, format).await
}

/// Why a body is no question: it is too long. That it came is on the access log.
async fn unread(query: &Query, who: Who) -> Problem {
    let error = Error::TooLarge { what: "the request body in bytes", limit: BODY_BYTES_MAX as u64 };
    let principal = match principal(who) {
        Ok(principal) => principal,
        Err(problem) => return problem,
    };
    match query.refused(&principal, "a body that was not read", &error).await {
        Ok(()) => error.into(),
        Err(unaudited) => unaudited.into(),
    }
}

/// The format that a request names, else the one that it accepts, else JSON.
fn choose(named: Option<&str>, headers: &HeaderMap) -> Result<Format> {
    if let Some(named) = named {
        return named.parse();
    }
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    Ok(accept.and_then(Format::accepted).unwrap_or(Format::Json))
}

fn principal(who: Who) -> Result<Principal, Problem> {
    who.map(|Extension(principal)| principal).ok_or_else(Problem::unauthenticated)
}

async fn sql(query: &Query, who: Who, mut request: Request, format: Format) -> Result<Response, Problem> {
    let principal = principal(who)?;
    request.format = Some(format.name());
    let answer = query.sql(&principal, request).await?;
    stream(Encoded::new(answer, format)?, format.media_type())
}

/// A session in order, with the alerts over it.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/replay", tag = "query",
    params(("id" = String, Path, description = "The session."), ReplayParameters), responses(
        (status = 200, description = "The steps.", content((String = "text/plain"), (String = "application/x-ndjson"))),
        (status = 404, description = "There is no such session.", body = problem::ProblemBody, content_type = "application/problem+json"),
))]
async fn get_replay(
    State(query): State<Query>,
    who: Who,
    session: Result<Path<String>, PathRejection>,
    parameters: Result<Parameters<ReplayParameters>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Path(session) = session.map_err(|error| Problem::path(&error))?;
    let Parameters(ReplayParameters { format, after, limit }) =
        parameters.map_err(|error| Problem::parameters(&error))?;
    let principal = principal(who)?;
    let format: ReplayFormat = format.as_deref().unwrap_or("timeline").parse()?;
    let encoded = query.replay(&principal, Replay { session, format, after, limit }).await?;
    stream(encoded, format.media_type())
}

/// A response that begins now and ends with the answer; where a format cannot say that it failed, the
/// connection is cut.
fn stream(encoded: Encoded, media_type: &'static str) -> Result<Response, Problem> {
    let text = |text: &str| {
        HeaderValue::from_str(text).map_err(|error| Problem::from(Error::Internal(error.to_string())))
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(SNAPSHOT, text(&encoded.answer().snapshot().to_header())?);
    headers.insert(QUERY_ID, text(encoded.answer().query_id())?);
    let chunks = futures::stream::unfold(encoded, |mut encoded| async move {
        let chunk = encoded.next().await?;
        Some((chunk, encoded))
    });
    Ok((StatusCode::OK, headers, Body::from_stream(chunks)).into_response())
}
