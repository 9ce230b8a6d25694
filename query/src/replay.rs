//! A session in order: each step with its decision, approval and latency, arguments and result where the role
//! reads payloads, alerts laid over.
//!
//! It runs through the same core as SQL: one snapshot, the same limits, an intent before the first step leaves.

use std::str::FromStr;

use datafusion::common::ScalarValue;
use schemas::principal::Principal;

use crate::core::{Job, Param};
use crate::format::Encoded;
use crate::{Error, Query, Result};

mod alert;
mod jsonrpc;
mod lines;
mod step;
mod timeline;

/// Steps of one page, unless the caller says.
pub const STEPS_DEFAULT: u64 = 10_000;
/// Steps of one page.
pub const STEPS_MAX: u64 = schemas::limits::QUERY_STEPS_MAX;

/// The form of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFormat {
    /// Text for people; hidden characters of recorded text are shown.
    Timeline,
    /// One object a step, then `{"$end":{"rows":n,"next":...}}`.
    Ndjson,
    /// Requests and responses as a JSON-RPC 2.0 transcript, one message a line.
    Jsonrpc,
}

impl ReplayFormat {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            ReplayFormat::Timeline => "timeline",
            ReplayFormat::Ndjson => "ndjson",
            ReplayFormat::Jsonrpc => "jsonrpc",
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            ReplayFormat::Timeline => "text/plain; charset=utf-8",
            ReplayFormat::Ndjson | ReplayFormat::Jsonrpc => "application/x-ndjson",
        }
    }
}

impl FromStr for ReplayFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<ReplayFormat> {
        match text {
            "timeline" => Ok(ReplayFormat::Timeline),
            "ndjson" => Ok(ReplayFormat::Ndjson),
            "jsonrpc" => Ok(ReplayFormat::Jsonrpc),
            _ => Err(Error::Refused {
                code: "format",
                detail: format!("format {text:?} is not timeline, ndjson or jsonrpc"),
            }),
        }
    }
}

/// A place in a session: `<time in microseconds>:<log index>` of the last step seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) time_us: i64,
    pub(crate) log_index: i64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.time_us, self.log_index)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Cursor> {
        let parsed = text.split_once(':').and_then(|(time, index)| {
            Some(Cursor { time_us: time.parse().ok()?, log_index: index.parse().ok()? })
        });
        parsed.ok_or_else(|| Error::Refused {
            code: "cursor",
            detail: format!("after {text:?} is not what an earlier page gave as next"),
        })
    }
}

/// Which part of which session.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The session.
    pub session: String,
    /// The form.
    pub format: ReplayFormat,
    /// Where the page before ended: its `next`.
    pub after: Option<String>,
    /// Steps of this page, [`STEPS_MAX`] at most.
    pub limit: Option<u64>,
}

/// What a step shows, of `events`.
const STEP_COLUMNS: [&str; 32] = [
    "time",
    "log_index",
    "event_id",
    "kind",
    "method",
    "server",
    "capability_type",
    "capability",
    "target",
    "action",
    "risk",
    "decision",
    "decision_basis",
    "policy_id",
    "rule_id",
    "approval_id",
    "approval_status",
    "approver",
    "approval_wait_ms",
    "status",
    "error_class",
    "error_code",
    "latency_us",
    "output_action",
    "user_id",
    "agent_id",
    "client",
    "call_id",
    "request_id",
    "observer",
    "request_bytes",
    "response_bytes",
];
/// What a step shows, of `payloads`.
const PAYLOAD_COLUMNS: [&str; 5] = ["arguments", "result", "error_message", "reason", "decision_reason"];

const EXTENT: &str = "SELECT count(*) AS steps, min(log_index) AS first, max(log_index) AS last FROM events WHERE session_id = $1";
const ALERTS: &str = "SELECT alert_id, sequence, state, rule_id, title, severity, explanation, time, evidence \
    FROM alerts WHERE array_has(observables, $2) OR log_index IN (\
        SELECT about.log_index FROM (SELECT log_index, unnest(evidence) AS event_index FROM alerts) AS about \
        JOIN events ON events.log_index = about.event_index \
        WHERE events.session_id = $1 AND events.log_index BETWEEN $3 AND $4) \
    ORDER BY time, log_index LIMIT 10000";

/// The query for the steps. The bounds of the session (`$2`, `$3`) let both tables rule files out.
fn steps_sql(reads_payloads: bool, after: bool) -> String {
    let mut columns: Vec<String> = STEP_COLUMNS.iter().map(|name| format!("e.{name}")).collect();
    let mut from = "events AS e".to_string();
    if reads_payloads {
        columns.extend(PAYLOAD_COLUMNS.iter().map(|name| format!("p.{name}")));
        from.push_str(
            " LEFT JOIN (SELECT * FROM payloads WHERE log_index BETWEEN $2 AND $3) AS p \
             ON p.log_index = e.log_index",
        );
    }
    let after = if after { " AND (e.time > $5 OR (e.time = $5 AND e.log_index > $6))" } else { "" };
    format!(
        "SELECT {} FROM {from} WHERE e.session_id = $1 AND e.log_index BETWEEN $2 AND $3{after} \
         ORDER BY e.time, e.log_index LIMIT $4",
        columns.join(", ")
    )
}

impl Query {
    /// A page of a session.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no event names the session; as [`Query::sql`].
    pub async fn replay(&self, principal: &Principal, replay: Replay) -> Result<Encoded> {
        let Replay { session, format, after, limit } = replay;
        let limit = limit.unwrap_or(STEPS_DEFAULT).clamp(1, STEPS_MAX);
        let after = after.as_deref().map(Cursor::from_str).transpose()?;
        let bounds = || [Param::Before { part: 0, column: 1 }, Param::Before { part: 0, column: 2 }];
        let id = Param::text(&session);
        let mut alerts = vec![id.clone(), Param::text(&format!("session_id={session}"))];
        alerts.extend(bounds());
        let mut steps = vec![id.clone()];
        steps.extend(bounds());
        steps.push(Param::Value(ScalarValue::Int64(i64::try_from(limit).ok())));
        if let Some(cursor) = after {
            steps.push(Param::Value(ScalarValue::TimestampMicrosecond(
                Some(cursor.time_us),
                Some("UTC".into()),
            )));
            steps.push(Param::Value(ScalarValue::Int64(Some(cursor.log_index))));
        }
        let page = after.map_or_else(String::new, |cursor| format!(" after {cursor}"));
        let job = Job {
            action: "replay",
            statement: format!("replay {session}{page} limit {limit}"),
            parts: vec![
                (EXTENT.to_string(), vec![id]),
                (ALERTS.to_string(), alerts),
                (steps_sql(principal.role.reads_payloads(), after.is_some()), steps),
            ],
            format: Some(format.name()),
            rows_max: None,
            ..Job::default()
        };
        let mut answer = self.run(principal, job).await?;
        let mut before = std::mem::take(&mut answer.before).into_iter();
        let (extent, alerts) = (before.next().unwrap_or_default(), before.next().unwrap_or_default());
        if step::count(&extent) == 0 {
            return Err(answer.fail(Error::NotFound(format!("there is no session {session:?}"))));
        }
        let steps = step::Steps::new(answer.schema(), alert::read(&alerts)?, after, limit);
        Ok(Encoded::with(
            answer,
            match format {
                ReplayFormat::Timeline => Box::new(timeline::Timeline::new(steps, &session)),
                ReplayFormat::Ndjson => Box::new(lines::Lines::new(steps)),
                ReplayFormat::Jsonrpc => Box::new(jsonrpc::Transcript::new(steps)),
            },
        ))
    }
}
