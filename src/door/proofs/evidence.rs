//! `POST /api/v1/evidence`: entries of one log in one zip, with all that shows that they are in it. See docs/evidence.md.
//!
//! It is made in files without a name and then streamed, so that of a bundle only a window is in memory, and nothing of it leaves before the
//! access log says so.

use std::fs::File;
use std::io::Seek as _;
use std::time::Duration;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use schemas::evidence::{Filter, Kind, Sizes};
use serde::Serialize;
use store::{Export, ExportError, Exported, Log, Selection};
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;

use super::{
    Access, Deserialize, Extension, HeaderValue, Node, Principal, ROOT_TENANT, Response, Router, Semaphore,
    State, Status, StatusCode, forbidden, header, limits, log_of, not_there, problem, refuse_entries,
};

const ACTION: &str = "evidence";
/// Bundles that are made at one time.
static PLACES: Semaphore = Semaphore::const_new(limits::EVIDENCE_AT_ONCE);
/// How long between two looks whether all of it is signed by now.
const SIGNED_POLL: Duration = Duration::from_millis(limits::PROOF_SIGNED_POLL_MS);

/// The route.
pub(super) fn router() -> Router<Node> {
    Router::new().route("/api/v1/evidence", axum::routing::post(export_evidence))
}

/// What the bundle is to hold: one of `sql`, `session` and `range`.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[schema(as = EvidenceRequest)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// A statement whose answer has the column log_index: the entries of these indices.
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<String>,
    /// A session: its entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// `FROM..TO`, two indices or two times (RFC 3339), the second excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    /// events, alerts or access. Else events.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    /// The tenant, else the caller's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// Of a session: all entries from its first to its last, so that none of it can have been left out.
    #[serde(default)]
    complete: bool,
    /// Of a range of time: seconds that an event may have been recorded after that range. Else an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    lateness_s: Option<u32>,
    /// Payload columns whose values are withheld, and `raw` with them; `all` for every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    withhold: Option<Vec<String>>,
    /// Payload columns whose values are disclosed; every other one is withheld.
    #[serde(skip_serializing_if = "Option::is_none")]
    disclose: Option<Vec<String>>,
    /// Under the newest root checkpoint that enough witnesses have cosigned, with their signatures in the bundle.
    #[serde(default)]
    witnessed: bool,
}

fn refused(detail: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, "request", detail)
}

/// Export entries as evidence.
#[utoipa::path(post, path = "/api/v1/evidence", tag = "proofs", request_body = Asked, responses(
    (status = 200, description = "The bundle, a zip that tacho-verify checks without this service.", body = Vec<u8>, content_type = "application/zip"),
    (status = 404, description = "There is no such log, session or entry.", body = crate::door::ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "The root log, or enough of its witnesses, do not know all of it yet, or some of it is in a log before the present one (earlier_log).", body = crate::door::ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn export_evidence(
    State(node): State<Node>,
    Extension(principal): Extension<Principal>,
    request: Request,
) -> Response {
    if !principal.role.asks() {
        return forbidden(&node, &principal, ACTION, "export evidence");
    }
    let asked = match crate::door::read_json(request, limits::EVIDENCE_REQUEST_BYTES_MAX).await {
        Ok(asked) => asked,
        Err(response) => return response,
    };
    match export(&node, principal, asked).await {
        Ok((file, exported)) => served(file, exported),
        Err(response) => response,
    }
}

async fn export(node: &Node, principal: Principal, asked: Asked) -> Result<(File, Exported), Response> {
    let tenant = asked.tenant.clone().unwrap_or_else(|| principal.tenant.clone());
    let stream = asked.stream.as_deref().unwrap_or("events");
    if tenant == ROOT_TENANT || stream == "root" {
        return Err(refused(
            "the root log names every tenant; prove its entries one by one (/api/v1/proofs)",
        ));
    }
    // A bundle is of the log that is written now: only that of a tenant whom the caller sees.
    let is_seen = log_of(node, &principal, (&tenant, stream), None).is_some();
    let log = stream.parse().ok().and_then(|stream| node.store.existing(&tenant, stream));
    let log = log.filter(|_| is_seen).ok_or_else(|| not_there("there is no log of this name"))?;
    // What whoever runs the service takes of a tenant is on that tenant's access log.
    let principal = Principal { tenant, ..principal };
    if let Some(refused) = refuse_entries(node, &principal, &log, ACTION) {
        return Err(refused);
    }
    let withheld = withheld(node, &principal, &log, &asked)?;
    let query_id = node.new_query_id();
    let unwritten = |error: serde_json::Error| {
        problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            &format!("what was asked cannot be recorded: {error}"),
        )
    };
    let statement = serde_json::to_string(&asked).map_err(unwritten)?;
    let entry = |access| Access { statement: Some(&statement), format: Some("zip"), ..access };
    let intent = entry(Access::intent(&principal, &query_id, ACTION));
    node.record(intent).await.map_err(|error| not_recorded(&error))?;
    let made = make(node, &principal, &log, &asked, withheld, &query_id).await;
    let status = if made.is_ok() { Status::Ok } else { Status::Error };
    let outcome = entry(Access::outcome(&principal, &query_id, ACTION, status));
    let (rows, bytes) = made.as_ref().map_or((0, 0), |(_, exported)| (exported.entries, exported.bytes));
    let outcome = Access { rows: Some(rows), bytes: Some(bytes), ..outcome };
    node.record(outcome).await.map_err(|error| not_recorded(&error))?;
    made
}

fn not_recorded(error: &anyhow::Error) -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", &format!("{error:#}"))
}

/// The payload columns that are withheld. A role that reads no payloads discloses none.
#[expect(clippy::result_large_err, reason = "an answer is made once a request")]
fn withheld(node: &Node, principal: &Principal, log: &Log, asked: &Asked) -> Result<Vec<String>, Response> {
    let all: Vec<&str> = log.origin().stream().payload_columns().map(|column| column.name).collect();
    let named = asked.withhold.iter().chain(&asked.disclose).flatten();
    let unknown = named.clone().find(|name| *name != "all" && !all.contains(&name.as_str()));
    if let Some(unknown) = unknown {
        let known = if all.is_empty() { "none".to_string() } else { all.join(", ") };
        return Err(refused(&format!("{unknown:?} is no payload column of this stream: it has {known}")));
    }
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_string).collect::<Vec<_>>();
    let has = |names: &[String], name: &str| names.iter().any(|named| named == name || named == "all");
    if !principal.role.reads_payloads() && !all.is_empty() {
        if asked.disclose.as_ref().is_some_and(|names| !names.is_empty()) {
            return Err(forbidden(node, principal, ACTION, "disclose payloads, which it may not read"));
        }
        return Ok(owned(all));
    }
    Ok(match (&asked.withhold, &asked.disclose) {
        (Some(_), Some(_)) => return Err(refused("give withhold or disclose, and not both")),
        // The record as it came holds what the other columns were made of.
        (Some(names), None) => owned(
            all.into_iter().filter(|name| has(names, name) || *name == "raw" && !names.is_empty()).collect(),
        ),
        (None, Some(names)) => owned(all.into_iter().filter(|name| !has(names, name)).collect()),
        (None, None) => Vec::new(),
    })
}

async fn make(
    node: &Node,
    principal: &Principal,
    log: &Log,
    asked: &Asked,
    withheld: Vec<String>,
    query_id: &str,
) -> Result<(File, Exported), Response> {
    let Question { kind, selection, filter } = question(node, principal, log, asked).await?;
    let snapshot = log.snapshot();
    let mut export = Export {
        kind,
        selection,
        filter,
        sql: asked.sql.as_ref().map(|sql| node.redacted(sql)),
        withheld,
        snapshot: Sizes { sealed: snapshot.sealed, signed: snapshot.signed, durable: snapshot.durable },
        exported_by: principal.id.clone(),
        role: principal.role.name().to_string(),
        door: principal.door.to_string(),
        exported_at_us: node.clock.wall_us(),
        query_id: query_id.to_string(),
        under: None,
    };
    drop(snapshot);
    let looks = limits::PROOF_SIGNED_WAIT_MS.div_ceil(limits::PROOF_SIGNED_POLL_MS).max(1);
    for _ in 0..looks {
        if asked.witnessed {
            export.under = Some(super::inclusion::cosigned(node).await?);
        }
        if let Some(made) = written(node, log, &export).await? {
            return Ok(made);
        }
        tokio::time::sleep(SIGNED_POLL).await;
    }
    let detail = "the root log, or its witnesses where they are asked for, do not know all of it yet, or the log does not reach so far";
    Err(problem(StatusCode::CONFLICT, "not_signed", detail))
}

/// The bundle in a file; none where not all of it is signed yet.
async fn written(node: &Node, log: &Log, export: &Export) -> Result<Option<(File, Exported)>, Response> {
    let internal = |detail: &str| problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail);
    let Ok(place) = PLACES.acquire().await else { return Err(internal("no place to make it")) };
    let (store, log, export) = (node.store.clone(), log.clone(), export.clone());
    let work = move || {
        let file = || tempfile::tempfile().map_err(ExportError::Write);
        let (mut out, scratch) = (file()?, [file()?, file()?]);
        let target = out.try_clone().map_err(ExportError::Write)?;
        let exported = store.export(&log, &export, target, scratch)?;
        out.rewind().map_err(ExportError::Write)?;
        Ok((out, exported))
    };
    let made = tokio::task::spawn_blocking(work).await;
    drop(place);
    match made {
        Ok(Ok(made)) => Ok(Some(made)),
        Ok(Err(ExportError::NotSigned)) => Ok(None),
        Ok(Err(error @ (ExportError::TooLarge { .. } | ExportError::Refused(_)))) => {
            Err(refused(&error.to_string()))
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a bundle of evidence could not be made");
            Err(match error {
                ExportError::Read(store::ReadError::Damaged { .. }) => problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "damaged",
                    "what is stored does not have the signed root: verify the store",
                ),
                ExportError::Write(_) => {
                    internal("the bundle could not be written: see to the room for temporary files")
                }
                _ => internal("a file of this log could not be read"),
            })
        }
        Err(error) => {
            tracing::error!(%error, "a bundle of evidence could not be made");
            Err(internal("the making ended"))
        }
    }
}

/// What is asked, in entries.
struct Question {
    kind: Kind,
    selection: Selection,
    filter: Filter,
}

async fn question(
    node: &Node,
    principal: &Principal,
    log: &Log,
    asked: &Asked,
) -> Result<Question, Response> {
    let Asked { sql, session, range, complete, lateness_s, .. } = asked;
    if *complete && session.is_none() {
        return Err(refused("complete goes with a session; a range is complete as it is"));
    }
    if lateness_s.is_some() && range.is_none() {
        return Err(refused("lateness_s goes with a range of time"));
    }
    match (sql, session, range) {
        (Some(sql), None, None) => {
            let indices = indices(node, principal, sql.clone()).await?;
            let selection = Selection::Indices(indices);
            Ok(Question { kind: Kind::Sql, selection, filter: Filter::All {} })
        }
        (None, Some(session), None) => {
            let table = log.origin().stream().name();
            let literal = session.replace('\'', "''");
            let sql = format!("SELECT log_index FROM {table} WHERE session_id = '{literal}'");
            let indices = indices(node, principal, sql).await?;
            let selection = match (complete, indices.first(), indices.last()) {
                (true, Some(first), Some(last)) => Selection::Range(*first..*last + 1),
                _ => Selection::Indices(indices),
            };
            let filter = Filter::Session { session_id: session.clone() };
            Ok(Question { kind: Kind::Session, selection, filter })
        }
        (None, None, Some(range)) => ranged(node, principal, log, range, *lateness_s).await,
        _ => Err(refused("give one of sql, session and range")),
    }
}

async fn ranged(
    node: &Node,
    principal: &Principal,
    log: &Log,
    range: &str,
    lateness_s: Option<u32>,
) -> Result<Question, Response> {
    let wrong = || {
        refused(
            "a range is FROM..TO: two indices, or two times such as 2026-11-21T10:00:00Z, the second excluded and later",
        )
    };
    let (from, to) = range.split_once("..").ok_or_else(wrong)?;
    if let (Ok(first), Ok(last)) = (from.parse::<u64>(), to.parse::<u64>()) {
        if lateness_s.is_some() || first >= last {
            return Err(wrong());
        }
        if last > log.durable() {
            return Err(not_there(&format!("the log has {} entries", log.durable())));
        }
        let selection = Selection::Range(first..last);
        return Ok(Question { kind: Kind::Range, selection, filter: Filter::All {} });
    }
    let time = |text: &str| text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_microsecond);
    let (Ok(from_us), Ok(to_us)) = (time(from), time(to)) else { return Err(wrong()) };
    let lateness_us =
        lateness_s.map_or(limits::EVIDENCE_LATENESS_US, |seconds| i64::from(seconds) * 1_000_000);
    if lateness_us > limits::EVIDENCE_LATENESS_LONGEST_US {
        let days = limits::EVIDENCE_LATENESS_LONGEST_US / 86_400_000_000;
        return Err(refused(&format!("lateness_s is at most {days} days")));
    }
    if from_us >= to_us {
        return Err(wrong());
    }
    let (table, stamp) = (log.origin().stream().name(), schemas::layout::timestamp);
    let (since, until) = (stamp(from_us), stamp(to_us.saturating_add(lateness_us)));
    // The ends of what was recorded then, or the last entry before it; the store goes on to the entries beyond.
    let sql = format!(
        "SELECT min(log_index) AS log_index FROM {table} WHERE ingest_time >= '{since}' AND ingest_time < '{until}' \
         UNION ALL SELECT max(log_index) FROM {table} WHERE ingest_time >= '{since}' AND ingest_time < '{until}'"
    );
    let mut found = ends(node, principal, sql).await?;
    if found.is_empty() {
        // Where nothing of the present log came before it, one of an earlier log is no end of what is asked for.
        let sql = format!(
            "SELECT max(log_index) AS log_index FROM {table} WHERE ingest_time < '{since}' AND log_index >= 0"
        );
        found = ends(node, principal, sql).await?;
    }
    let (first, last) = (found.first().copied().unwrap_or(0), found.last().copied().unwrap_or(0));
    let filter = Filter::Time { from_us, to_us, lateness_us };
    Ok(Question { kind: Kind::Range, selection: Selection::Range(first..last + 1), filter })
}

/// The indices that a statement names, ascending, each once; 404 where there are none.
async fn indices(node: &Node, principal: &Principal, sql: String) -> Result<Vec<u64>, Response> {
    let found = ends(node, principal, sql).await?;
    if found.is_empty() { Err(not_there("nothing on record fits")) } else { Ok(found) }
}

/// The values of the column `log_index`, ascending, each once.
async fn ends(node: &Node, principal: &Principal, sql: String) -> Result<Vec<u64>, Response> {
    let Some(query) = &node.query else { return Err(not_there("this process answers no queries")) };
    let failed = |error: query::Error| {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        problem(status, error.code(), &error.to_string())
    };
    let rows_max = Some(limits::EVIDENCE_ENTRIES_MAX);
    let request = query::Request { sql, rows_max, ..query::Request::default() };
    let mut answer = query.sql(principal, request).await.map_err(failed)?;
    let mut found = std::collections::BTreeSet::new();
    while let Some(batch) = answer.next().await {
        let batch = batch.map_err(failed)?;
        let column =
            batch.column_by_name("log_index").and_then(|array| array.as_primitive_opt::<Int64Type>());
        let column = column.ok_or_else(|| {
            refused("the statement must select log_index, which says which entries the bundle is to hold")
        })?;
        for place in column.iter().flatten() {
            found.insert(u64::try_from(place).map_err(|_| of_earlier_log())?);
        }
    }
    Ok(found.into_iter().collect())
}

/// Left out without a word, a bundle would lack what was asked for.
fn of_earlier_log() -> Response {
    let detail = "some of it is in a log before the present one (log_index below 0: the writer or its key changed since), and a bundle \
                  is of the present log. Ask for what is in that (log_index >= 0, a later time), and prove entries of earlier logs one \
                  by one (/api/v1/proofs)";
    problem(StatusCode::CONFLICT, "earlier_log", detail)
}

fn served(file: File, exported: Exported) -> Response {
    let stream = ReaderStream::new(tokio::fs::File::from_std(file));
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(exported.bytes));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let name = HeaderValue::from_static("attachment; filename=\"evidence.zip\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    response
}
