//! `/api/v1/proofs` and `/api/v1/logs`: what an auditor takes away, and the logs in the form that other people's programs
//! read (C2SP tlog-tiles).
//!
//! Checkpoints are for whoever asks in the tenant, and all that is hashes of the root log for everybody who asks anywhere.
//! Entries are rows with all their columns: for whom no policy takes rows or columns away, and on the access log before they
//! leave. So are tiles and consistency proofs of a tenant's log: a leaf hash tells whoever knows the rest of a row whether a
//! guess at what is masked is right, and two sizes that differ by one entry say the same of that entry. The root log's entries
//! name every tenant: for whoever runs the service.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use query::{Access, Status};
use schemas::origin::ROOT_TENANT;
use schemas::principal::Principal;
use schemas::{Stream, layout, limits};
use serde::Deserialize;
use store::{ReadError, SignedLog};
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::OpenApi;

use super::{forbidden, problem};
use crate::identity::DEFAULT_TENANT;
use crate::node::Node;

mod evidence;
mod inclusion;

#[derive(OpenApi)]
#[openapi(paths(
    inclusion::prove_entry,
    inclusion::prove_consistency,
    evidence::export_evidence,
    get_checkpoint,
    get_tile
))]
pub(super) struct Document;

/// Proofs and bundles that are made at one time: each reads files and hashes, beside what records.
static PLACES: Semaphore = Semaphore::const_new(limits::PROOF_READS_AT_ONCE);

/// The routes, for a process that answers queries.
pub(super) fn router() -> Router<Node> {
    inclusion::router()
        .merge(evidence::router())
        .route("/api/v1/logs/{tenant}/{stream}/{writer}/checkpoint", get(get_checkpoint))
        .route("/api/v1/logs/{tenant}/{stream}/{writer}/tile/{*path}", get(get_tile))
}

/// The parts of a path that name a log.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    tenant: String,
    stream: String,
    writer: String,
    #[serde(default)]
    path: String,
}

/// Whether the caller speaks for every tenant.
fn is_operator(principal: &Principal) -> bool {
    principal.role.administers() && (principal.door == "command" || principal.tenant == DEFAULT_TENANT)
}

/// The log of this writer, else the one that is written now, where it is there for the caller: one of another tenant is as one
/// that does not exist.
fn log_of(
    node: &Node,
    principal: &Principal,
    (tenant, stream): (&str, &str),
    writer: Option<&str>,
) -> Option<SignedLog> {
    let stream: Stream = stream.parse().ok().filter(|_| is_seen(principal, tenant))?;
    match writer {
        Some(writer) => node.store.of_writer(tenant, stream, writer),
        None => node.store.existing(tenant, stream).map(|log| SignedLog::clone(&log)),
    }
}

/// Whether the caller is told what logs of this tenant there are.
fn is_seen(principal: &Principal, tenant: &str) -> bool {
    tenant == principal.tenant || tenant == ROOT_TENANT || principal.door == "command"
}

fn not_there(what: &str) -> Response {
    problem(StatusCode::NOT_FOUND, "not_found", what)
}

/// Why [`log_of`] has none: there is no such log, or it is that of an earlier writer and cannot be read.
fn no_log(
    node: &Node,
    principal: &Principal,
    (tenant, stream): (&str, &str),
    writer: Option<&str>,
) -> Response {
    let damaged = match (stream.parse(), writer) {
        (Ok(stream), Some(_)) if is_seen(principal, tenant) => {
            node.store.damaged_predecessors(tenant, stream)
        }
        _ => Vec::new(),
    };
    if damaged.iter().any(|(damaged, _)| Some(damaged.as_str()) == writer) {
        let detail = "the log of this earlier writer is damaged: verify the store";
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "damaged", detail);
    }
    not_there("there is no log of this name")
}

/// Runs `work` where it may read files and hash, so many at once.
async fn reading<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Response> {
    reading_in_place(work).await.map(|(found, _)| found)
}

/// As [`reading`], with the place, for whoever still holds in memory what was read.
async fn reading_in_place<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<(T, SemaphorePermit<'static>), Response> {
    let internal = |detail: &str| problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail);
    let Ok(place) = PLACES.acquire().await else { return Err(internal("no place to read")) };
    // The reading goes on when whoever asked hangs up, and so it is the reading that holds the place.
    let read = tokio::task::spawn_blocking(move || work().map(|found| (found, place))).await;
    match read {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            if !matches!(error, ReadError::Unprovable { .. }) {
                tracing::error!(%error, "a proof could not be made");
            }
            // What is wrong may name files; which log it is, whoever asks has said.
            Err(match error {
                ReadError::Read { .. } => internal("a file of this log could not be read"),
                ReadError::Unprovable { .. } => {
                    problem(StatusCode::CONFLICT, "not_provable", &error.to_string())
                }
                ReadError::Damaged { .. } => problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "damaged",
                    "what is stored does not have the signed root: verify the store",
                ),
            })
        }
        Err(error) => {
            tracing::error!(%error, "a proof could not be made");
            Err(internal("the reading ended"))
        }
    }
}

/// Refuses whoever does not see every row and column of the tenant's log as it is.
fn refuse_entries(
    node: &Node,
    principal: &Principal,
    log: &SignedLog,
    action: &'static str,
) -> Option<Response> {
    if log.origin().stream() == Stream::Root && !is_operator(principal) {
        return Some(forbidden(
            node,
            principal,
            action,
            "read entries of the root log, which name every tenant",
        ));
    }
    let sees_all = node.query.as_ref().is_some_and(|query| query.sees_all(principal.role));
    let what = "read whole entries: its policy takes rows or columns away";
    (!sees_all).then(|| forbidden(node, principal, action, what))
}

/// Refuses hashes of a tenant's log to whoever does not see every row and column of it: they would confirm guesses.
fn refuse_hashes(
    node: &Node,
    principal: &Principal,
    log: &SignedLog,
    action: &'static str,
) -> Option<Response> {
    (log.origin().stream() != Stream::Root).then(|| refuse_entries(node, principal, log, action)).flatten()
}

/// Puts what is about to leave on the access log, of the tenant that it is of.
async fn record(
    node: &Node,
    principal: &Principal,
    action: &'static str,
    statement: &str,
    status: Status,
    (rows, bytes): (u64, u64),
) -> Result<(), Response> {
    let query_id = node.new_query_id();
    let entry = Access {
        statement: Some(statement),
        rows: Some(rows),
        bytes: Some(bytes),
        ..Access::outcome(principal, &query_id, action, status)
    };
    let recorded = node.record(entry).await;
    recorded.map_err(|error| problem(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", &format!("{error:#}")))
}

/// The newest signed checkpoint of a log (C2SP tlog-checkpoint).
#[utoipa::path(get, path = "/api/v1/logs/{tenant}/{stream}/{writer}/checkpoint", tag = "proofs",
    params(
        ("tenant" = String, Path, description = "The tenant; _root for the root log."),
        ("stream" = String, Path, description = "events, alerts or access; root for the root log."),
        ("writer" = String, Path, description = "The writer, as the origin names it: the present one or an earlier."),
    ), responses(
    (status = 200, description = "The signed note.", body = String, content_type = "text/plain"),
    (status = 404, description = "There is no such log, or nothing of it is signed yet.", body = super::ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_checkpoint(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    named: Result<Path<Named>, PathRejection>,
) -> Response {
    if !principal.role.asks() {
        return forbidden(&node, &principal, "checkpoint", "read checkpoints");
    }
    let Ok(Path(named)) = named else { return not_there("there is no log of this name") };
    let (place, writer) = ((named.tenant.as_str(), named.stream.as_str()), Some(named.writer.as_str()));
    let Some(log) = log_of(&node, &principal, place, writer) else {
        return no_log(&node, &principal, place, writer);
    };
    match log.checkpoint() {
        checkpoint if !checkpoint.is_empty() => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::CACHE_CONTROL, "private, no-cache"),
            ];
            (headers, checkpoint.to_string()).into_response()
        }
        _ => not_there("there is no checkpoint of a log of this name"),
    }
}

/// A tile of hashes, or a bundle of entries, of a log's newest signed tree (C2SP tlog-tiles): `0/x001/234`, `0/x001/234.p/17`,
/// `entries/000`.
#[utoipa::path(get, path = "/api/v1/logs/{tenant}/{stream}/{writer}/tile/{path}", tag = "proofs",
    params(
        ("tenant" = String, Path, description = "The tenant; _root for the root log."),
        ("stream" = String, Path, description = "events, alerts or access; root for the root log."),
        ("writer" = String, Path, description = "The writer, as the origin names it: the present one or an earlier."),
        ("path" = String, Path, description = "Level or `entries`, index, and the width where it is partial."),
    ), responses(
    (status = 403, description = "Of a tenant's log, and the caller's policy takes rows or columns away.", body = super::ProblemBody, content_type = "application/problem+json"),
    (status = 200, description = "The hashes, or the entries with their lengths.", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 404, description = "The signed tree does not have it.", body = super::ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_tile(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    named: Result<Path<Named>, PathRejection>,
) -> Response {
    if !principal.role.asks() {
        return forbidden(&node, &principal, "tile", "read tiles");
    }
    let Ok(Path(named)) = named else { return not_there("there is no log of this name") };
    let (place, writer) = ((named.tenant.as_str(), named.stream.as_str()), Some(named.writer.as_str()));
    let Some(log) = log_of(&node, &principal, place, writer) else {
        return no_log(&node, &principal, place, writer);
    };
    let path = format!("{}/{}", layout::TILE, named.path);
    if let Ok(id) = layout::parse_tile(&path) {
        if let Some(refused) = refuse_hashes(&node, &principal, &log, "tile") {
            return refused;
        }
        let found = reading(move || log.tile(id)).await;
        return served(found, "private, max-age=31536000, immutable");
    }
    let Ok((index, width)) = layout::parse_entries(&path) else {
        return not_there("this is no path of a tile");
    };
    let action = "entry_bundle";
    if let Some(refused) = refuse_entries(&node, &principal, &log, action) {
        return refused;
    }
    let statement = format!("{} {path}", log.origin());
    // Held to the end: a bundle is some megabytes in memory.
    let (found, _place) = match reading_in_place(move || log.entry_bundle(index, width)).await {
        Ok((found, place)) => (Ok(found), Some(place)),
        Err(response) => (Err(response), None),
    };
    if let Ok(Some(bundle)) = &found {
        let left = (width, bundle.len() as u64);
        if let Err(response) = record(&node, &principal, action, &statement, Status::Ok, left).await {
            return response;
        }
    }
    // As every other answer that has rows in it: no cache holds it, though it never changes.
    served(found, "private, no-store")
}

fn served(found: Result<Option<Bytes>, Response>, cache: &'static str) -> Response {
    match found {
        Ok(Some(bytes)) => {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            (headers, bytes).into_response()
        }
        Ok(None) => not_there("the signed tree of this log does not have this tile"),
        Err(response) => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_place_is_taken_until_the_reading_ends_though_nobody_waits_for_it() {
        let (end, ended) = std::sync::mpsc::sync_channel::<()>(1);
        let (begin, begun) = tokio::sync::oneshot::channel();
        let asked = tokio::spawn(reading(move || {
            begin.send(()).ok();
            ended.recv().ok();
            Ok(())
        }));
        begun.await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(PLACES.available_permits(), limits::PROOF_READS_AT_ONCE - 1);
        end.send(()).unwrap();
        let all = PLACES.acquire_many(u32::try_from(limits::PROOF_READS_AT_ONCE).unwrap()).await;
        drop(all.unwrap());
        let ((), place) = reading_in_place(|| Ok(())).await.unwrap();
        assert_eq!(PLACES.available_permits(), limits::PROOF_READS_AT_ONCE - 1);
        drop(place);
    }
}
