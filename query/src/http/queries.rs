//! What runs now, and ending it.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Who, principal};
use crate::{Query, RunningQuery};

/// The queries that run now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Queries {
    queries: Vec<Listed>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listed {
    /// RFC 3339.
    started: String,
    #[serde(flatten)]
    query: RunningQuery,
}

/// That a query was told to end.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cancelled {
    query_id: String,
    cancelled: bool,
}

/// `GET /api/v1/queries`: one's own; for an admin all of the tenant.
#[utoipa::path(get, path = "/api/v1/queries", tag = "query", responses(
    (status = 200, description = "What runs.", body = Queries),
))]
pub(super) async fn list(State(query): State<Query>, who: Who) -> Result<Response, Problem> {
    let queries = query.running(&principal(who)?).into_iter().map(|query| {
        let started = jiff::Timestamp::from_microsecond(query.started_us)
            .map_or_else(|_| query.started_us.to_string(), |time| time.to_string());
        Listed { started, query }
    });
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, Json(Queries { queries: queries.collect() })).into_response())
}

/// `DELETE /api/v1/queries/{id}`.
#[utoipa::path(delete, path = "/api/v1/queries/{id}", tag = "query",
    params(("id" = String, Path, description = "`tacho-query-id` of its answer.")), responses(
        (status = 200, description = "It was told to end.", body = Cancelled),
        (status = 404, description = "No such query of yours runs.", body = super::problem::ProblemBody,
            content_type = "application/problem+json"),
))]
pub(super) async fn cancel(
    State(query): State<Query>,
    who: Who,
    query_id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(query_id) = query_id.map_err(|error| Problem::path(&error))?;
    query.cancel(&principal(who)?, &query_id).await?;
    Ok(Json(Cancelled { query_id, cancelled: true }).into_response())
}
