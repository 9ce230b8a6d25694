//! The gates over HTTP: one bare number for scripts, all six with their verdicts for everybody else.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Who, principal};
use crate::gate::{Gate, Reading, Verdict, bare};
use crate::{Query, Result};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct GateParameters {
    /// How far back: `90s`, `10m`, `1h`, `7d`; else the gate's own.
    window: Option<String>,
}

/// All six gates.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Gates {
    /// The worst of them: no answer blocks.
    verdict: Verdict,
    gates: Vec<Reading>,
}

/// `GET /metrics/{gate}`: a whole number, rounded up. Whoever serves this turns every other answer under this path into
/// [`NO_ANSWER`](crate::NO_ANSWER), because the scripts that read it look at no status.
#[utoipa::path(get, path = "/metrics/{gate}", tag = "gates",
    params(("gate" = String, Path, description = "The gate's name."), GateParameters), responses(
        (status = 200, description = "A whole number, rounded up. Every other answer has the body 2147483647.", body = String,
            content_type = "text/plain"),
))]
pub(super) async fn one(
    State(query): State<Query>,
    who: Who,
    gate: Result<Path<String>, PathRejection>,
    parameters: Result<Parameters<GateParameters>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Parameters(GateParameters { window }) = parameters.map_err(|error| Problem::parameters(&error))?;
    let Path(gate) = gate.map_err(|error| Problem::path(&error))?;
    let gate: Gate = gate.parse()?;
    let window = window.map(|window| window.parse()).transpose()?;
    let value = query.gate(&principal(who)?, gate, window).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, bare(value).to_string()).into_response())
}

/// `GET /api/v1/gates`.
#[utoipa::path(get, path = "/api/v1/gates", tag = "gates", responses(
    (status = 200, description = "All six with their thresholds and verdicts.", body = Gates),
))]
pub(super) async fn all(State(query): State<Query>, who: Who) -> Result<Response, Problem> {
    let gates = query.gates(&principal(who)?).await?;
    let is = |verdict| gates.iter().any(|reading| reading.verdict == verdict);
    let verdict = match () {
        () if is(Verdict::Block) => Verdict::Block,
        () if is(Verdict::NoAnswer) => Verdict::NoAnswer,
        () if is(Verdict::Watch) => Verdict::Watch,
        () => Verdict::Pass,
    };
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, Json(Gates { verdict, gates })).into_response())
}
