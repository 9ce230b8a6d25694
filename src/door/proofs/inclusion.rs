//! `GET /api/v1/proofs`: that an entry is in the record, for whoever has the root log's verifier key. `GET
//! /api/v1/proofs/consistency`: that a log still extends what it was.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use query::Status;
use schemas::origin::ROOT_TENANT;
use schemas::principal::Principal;
use schemas::{Hash, Stream, layout, limits, proof};
use serde::{Deserialize, Serialize};
use store::SignedLog;
use utoipa::ToSchema;

use super::{log_of, no_log, not_there, reading, record, refuse_entries, refuse_hashes};
use crate::door::{forbidden, problem};
use crate::node::Node;

const ACTION: &str = "prove";
/// Entries of one id that are named.
const PLACES_MAX: usize = limits::PROOF_PLACES_MAX;
/// How long between two looks whether an entry is signed by now.
const SIGNED_POLL: Duration = Duration::from_millis(limits::PROOF_SIGNED_POLL_MS);

/// The routes of proofs.
pub(super) fn router() -> Router<Node> {
    Router::new()
        .route("/api/v1/proofs", get(prove_entry))
        .route("/api/v1/proofs/consistency", get(prove_consistency))
        .route_layer(map_response(not_kept))
}

/// A proof has a row in it, and a refusal says what is there: no cache keeps either.
async fn not_kept(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

/// Which entry.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// The event, by its id; or give `index`.
    event_id: Option<String>,
    /// The entry, by its index in the log; of an earlier log with `writer`.
    index: Option<u64>,
    /// The tenant, else the caller's own.
    tenant: Option<String>,
    /// events, alerts or access; root for the root log. Else events.
    stream: Option<String>,
    /// The writer of the log, where it is not the one that writes now: as its origin names it.
    writer: Option<String>,
    /// A size of the root log: also prove that it still extends what it was then. Of an entry of an earlier log, of each root log
    /// that had come so far.
    since: Option<u64>,
    /// Under the newest root checkpoint that enough witnesses have cosigned, with their signatures.
    #[serde(default)]
    witnessed: bool,
}

/// Between which sizes.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sizes {
    /// The tenant, else the caller's own.
    tenant: Option<String>,
    /// events, alerts or access; root for the root log. Else events.
    stream: Option<String>,
    /// The writer of the log, where it is not the one that writes now: as its origin names it.
    writer: Option<String>,
    /// The older size.
    old: u64,
    /// The newer size, else that of the newest checkpoint.
    new: Option<u64>,
}

/// A proof with everything that it needs beside the root log's verifier key: see docs/proofs.md.
#[derive(Debug, ToSchema)]
#[schema(as = ProofDocument)]
#[expect(dead_code, reason = "what the document says of `schemas::proof::Document`")]
pub(super) struct Shape {
    /// `tachograph/proof/v1`.
    format: String,
    /// The log.
    origin: String,
    /// Index of the entry in it.
    index: u64,
    /// Its canonical bytes, base64.
    entry: String,
    /// C2SP tlog-proof of it.
    proof: String,
    /// The root log's entry that names the log's key, with its own proof; null for the root log.
    log_opened: Option<serde_json::Value>,
    /// The root log's entry that says how far the log had come past the entry, with its own proof, and the path of the entry in the
    /// tree that it names; null for the root log.
    round: Option<serde_json::Value>,
    /// From the older root size that was asked for.
    consistency: Option<serde_json::Value>,
    /// What leads back from the root logs that went on since; absent where there are none.
    successors: Option<Vec<serde_json::Value>>,
}

/// A consistency proof (RFC 6962).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsistencyProof)]
pub(super) struct Consistent {
    /// The log.
    origin: String,
    /// The older size.
    old: u64,
    /// Its root, base64.
    old_root: String,
    /// The newer size.
    new: u64,
    /// Its root, base64.
    new_root: String,
    /// The proof, base64 each.
    hashes: Vec<String>,
    /// The newest signed checkpoint: of `new` where that was not given.
    checkpoint: String,
}

/// Prove that an entry is in the record.
#[utoipa::path(get, path = "/api/v1/proofs", tag = "proofs", params(Asked), responses(
    (status = 200, description = "The proof, which tacho-verify checks without this service.", body = Shape),
    (status = 404, description = "There is no such log or entry.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "The id is of more than one entry (ambiguous), the entry is not signed yet (not_signed), or it is of an earlier log whose root log ended before it knew of it (not_provable).", body = crate::door::ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn prove_entry(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    if !principal.role.asks() {
        return forbidden(&node, &principal, ACTION, "read proofs");
    }
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(error) => return problem(StatusCode::BAD_REQUEST, "request", &error.body_text()),
    };
    match prove(&node, principal, asked).await {
        Ok(document) => Json(document).into_response(),
        Err(response) => response,
    }
}

async fn prove(node: &Node, principal: Principal, asked: Asked) -> Result<proof::Document, Response> {
    let place = (asked.tenant.as_deref(), asked.stream.as_deref());
    let (principal, log) = meant(node, principal, place, asked.writer.as_deref())?;
    if let Some(refused) = refuse_entries(node, &principal, &log, ACTION) {
        return Err(refused);
    }
    let (log, index) = match (asked.index, &asked.event_id) {
        (Some(index), None) => (log, index),
        (None, Some(event_id)) => match place_of(node, &log, event_id, asked.writer.as_deref()).await {
            Ok(place) => place,
            // That there is none, or several, is an answer too.
            Err(refused) => {
                let statement = node.redacted(&format!("{} event {event_id}", log.origin()));
                record(node, &principal, ACTION, &statement, Status::Error, (0, 0)).await?;
                return Err(refused);
            }
        },
        _ => return Err(problem(StatusCode::BAD_REQUEST, "request", "give event_id or index, and not both")),
    };
    if index >= log.durable() {
        return Err(not_there("the log has no entry of this index"));
    }
    if let Some(since) = asked.since {
        let root = node.store.root_size_max(&log);
        if since > root {
            return Err(not_there(&format!(
                "`since`: the root log has no checkpoint of size {since}, but of {root}"
            )));
        }
    }
    let document = signed_document(node, &log, index, asked.since, asked.witnessed).await?;
    let statement = format!("{} entry {index}", log.origin());
    let bytes = (document.entry.len() + document.proof.len()) as u64;
    record(node, &principal, ACTION, &statement, Status::Ok, (1, bytes)).await?;
    Ok(document)
}

/// The log, and the caller as one of its tenant.
#[expect(clippy::result_large_err, reason = "an answer is made once a request")]
fn meant(
    node: &Node,
    principal: Principal,
    (tenant, stream): (Option<&str>, Option<&str>),
    writer: Option<&str>,
) -> Result<(Principal, SignedLog), Response> {
    let tenant = tenant.unwrap_or(&principal.tenant);
    let place = (tenant, stream.unwrap_or("events"));
    let log = log_of(node, &principal, place, writer);
    let log = log.ok_or_else(|| no_log(node, &principal, place, writer))?;
    // What whoever runs the service reads of a tenant is on that tenant's access log; the root log has none.
    let is_root = tenant == ROOT_TENANT;
    let tenant = if is_root { principal.tenant.clone() } else { tenant.to_owned() };
    Ok((Principal { tenant, ..principal }, log))
}

/// Where the event is: in the log of this writer, or in any that was written in its place. Whoever asks sees all of a row, or has been
/// refused before.
async fn place_of(
    node: &Node,
    log: &SignedLog,
    event_id: &str,
    writer: Option<&str>,
) -> Result<(SignedLog, u64), Response> {
    let (tenant, stream) = (log.origin().tenant().to_string(), log.origin().stream());
    if stream == Stream::Root {
        let detail = "entries of the root log are named by their index";
        return Err(problem(StatusCode::BAD_REQUEST, "request", detail));
    }
    let (store, event_id) = (node.store.clone(), event_id.to_string());
    let writer = writer.map(str::to_string);
    let found = move || store.find(&tenant, stream, writer.as_deref(), &event_id, PLACES_MAX);
    let mut found = reading(found).await?;
    match found.len() {
        0 => Err(not_there("no event of this id is on record")),
        1 => found.pop().ok_or_else(|| not_there("no event of this id is on record")),
        _ => {
            let several = named(&found);
            let detail =
                format!("the id is that of entries {several}: give the index of one, and its writer");
            Err(problem(StatusCode::CONFLICT, "ambiguous", &detail))
        }
    }
}

/// `[8, 301] of writer w1, [4] of writer w2-a0b1c2`, of entries in order.
fn named(entries: &[(SignedLog, u64)]) -> String {
    let mut parts: Vec<(&str, Vec<u64>)> = Vec::new();
    for (log, index) in entries {
        let writer = log.origin().writer();
        match parts.last_mut().filter(|(last, _)| *last == writer) {
            Some((_, indices)) => indices.push(*index),
            None => parts.push((writer, vec![*index])),
        }
    }
    let parts = parts.iter().map(|(writer, indices)| format!("{indices:?} of writer {writer}"));
    parts.collect::<Vec<_>>().join(", ")
}

/// The document, once the entry is signed and the root log has a round that covers it: some seconds after it came.
async fn signed_document(
    node: &Node,
    log: &SignedLog,
    index: u64,
    since: Option<u64>,
    is_witnessed: bool,
) -> Result<proof::Document, Response> {
    let looks = limits::PROOF_SIGNED_WAIT_MS.div_ceil(limits::PROOF_SIGNED_POLL_MS).max(1);
    for _ in 0..looks {
        let (store, log) = (node.store.clone(), log.clone());
        let checkpoint = if is_witnessed { Some(cosigned(node).await?) } else { None };
        if let Some(document) = reading(move || store.prove_under(&log, index, since, checkpoint)).await? {
            return Ok(document);
        }
        tokio::time::sleep(SIGNED_POLL).await;
    }
    let detail = "the entry is recorded, and the root log, or its witnesses where they are asked for, do not know the log that far yet: ask again in some seconds";
    Err(problem(StatusCode::CONFLICT, "not_signed", detail))
}

/// The newest checkpoint of the root log that enough witnesses have cosigned.
pub(super) async fn cosigned(node: &Node) -> Result<Arc<str>, Response> {
    let path = node.store.path(layout::WITNESS).join(layout::COSIGNED);
    let read = tokio::fs::read_to_string(&path).await;
    read.map(Arc::from).map_err(|error| {
        tracing::info!(path = %path.display(), %error, "no cosigned checkpoint");
        problem(
            StatusCode::CONFLICT,
            "not_witnessed",
            "no checkpoint of the root log is cosigned by enough witnesses yet",
        )
    })
}

/// Prove that a log extends what it was.
#[utoipa::path(get, path = "/api/v1/proofs/consistency", tag = "proofs", params(Sizes), responses(
    (status = 200, description = "The proof.", body = Consistent),
    (status = 403, description = "Of a tenant's log, and the caller's policy takes rows or columns away.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "There is no such log, or it is not of that size.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn prove_consistency(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    asked: Result<Query<Sizes>, QueryRejection>,
) -> Response {
    if !principal.role.asks() {
        return forbidden(&node, &principal, ACTION, "read proofs");
    }
    let Sizes { tenant, stream, writer, old, new } = match asked {
        Ok(Query(asked)) => asked,
        Err(error) => return problem(StatusCode::BAD_REQUEST, "request", &error.body_text()),
    };
    let place = (tenant.as_deref(), stream.as_deref());
    let (principal, log) = match meant(&node, principal, place, writer.as_deref()) {
        Ok(meant) => meant,
        Err(response) => return response,
    };
    if let Some(refused) = refuse_hashes(&node, &principal, &log, ACTION) {
        return refused;
    }
    if new.is_some_and(|new| old > new) {
        return problem(StatusCode::BAD_REQUEST, "request", "`old` is over `new`");
    }
    let made = reading(move || {
        let tree = log.tree()?;
        let new = new.unwrap_or(tree.size());
        if old > new || new > tree.size() {
            return Ok(None);
        }
        Ok(Some(Consistent {
            origin: log.origin().to_string(),
            old,
            old_root: tree.root_at(old)?.to_base64(),
            new,
            new_root: tree.root_at(new)?.to_base64(),
            hashes: tree.consistency(old, new)?.into_iter().map(Hash::to_base64).collect(),
            checkpoint: tree.checkpoint().to_string(),
        }))
    });
    match made.await {
        Ok(Some(proof)) => Json(proof).into_response(),
        Ok(None) => not_there("the log has no checkpoint of that size"),
        Err(response) => response,
    }
}
