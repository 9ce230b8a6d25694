//! The access log: who asked what of the record, before and after.

use std::sync::Arc;

use redact::Redactor;
use schemas::principal::Principal;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{CUT, EVENT_ID, REDACTIONS, SESSION_ID, SOURCE, TENANT, TIME};
use schemas::{Column, Stream, limits};
use store::Draft;

use crate::options::{Clock, Identifiers};
use crate::source::Journal;
use crate::{Error, Result};

/// Before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Written before the first row leaves or the change is made.
    Intent,
    /// Written when it is over; a refusal has only this.
    Outcome,
}

/// Whether it was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It was.
    Allow,
    /// It was turned away.
    Deny,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not over yet: the status of an intent.
    Pending,
    /// Complete.
    Ok,
    /// It failed, or was refused.
    Error,
    /// Whoever asked had gone before the end.
    Cancelled,
}

/// One entry of the access log. Longer values than a column holds are cut, and `cut` names the column.
#[derive(Debug, Clone)]
pub struct Access<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// Whether the principal's role is established: not where a login failed.
    pub is_role_known: bool,
    /// Joins intent and outcome.
    pub query_id: &'a str,
    /// Before or after.
    pub phase: Phase,
    /// `sql`, `replay`, `token_create` and so on: see column `action`.
    pub action: &'a str,
    /// Whether it was let through.
    pub decision: Decision,
    /// How it went.
    pub status: Status,
    /// SQL text or request; secrets are removed here.
    pub statement: Option<&'a str>,
    /// Log sizes the answer is computed over.
    pub snapshot: Option<String>,
    /// Answer format.
    pub format: Option<&'a str>,
    /// Rows that left.
    pub rows: Option<u64>,
    /// Bytes that left.
    pub bytes: Option<u64>,
    /// Microseconds it took.
    pub duration_us: Option<i64>,
    /// Stable code of the refusal or failure.
    pub error_code: Option<&'a str>,
    /// What was refused and why; secrets are removed here.
    pub detail: Option<String>,
}

impl<'a> Access<'a> {
    /// An intent that is let through, without statement.
    pub fn intent(principal: &'a Principal, query_id: &'a str, action: &'a str) -> Access<'a> {
        Access {
            principal,
            is_role_known: true,
            query_id,
            phase: Phase::Intent,
            action,
            decision: Decision::Allow,
            status: Status::Pending,
            statement: None,
            snapshot: None,
            format: None,
            rows: None,
            bytes: None,
            duration_us: None,
            error_code: None,
            detail: None,
        }
    }

    /// The end of what was let through.
    pub fn outcome(
        principal: &'a Principal,
        query_id: &'a str,
        action: &'a str,
        status: Status,
    ) -> Access<'a> {
        Access { phase: Phase::Outcome, status, ..Access::intent(principal, query_id, action) }
    }

    /// Something that was turned away.
    pub fn refusal(
        principal: &'a Principal,
        query_id: &'a str,
        action: &'a str,
        error: &'a Error,
    ) -> Access<'a> {
        Access {
            decision: Decision::Deny,
            error_code: Some(error.code()),
            detail: Some(error.to_string()),
            ..Access::outcome(principal, query_id, action, Status::Error)
        }
    }
}

/// Writes the access log of every tenant; cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    journal: Arc<dyn Journal>,
    redactor: Arc<Redactor>,
    clock: Clock,
    identifiers: Identifiers,
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

impl AccessLog {
    /// A log that appends through `journal`.
    pub fn new(
        journal: Arc<dyn Journal>,
        redactor: Arc<Redactor>,
        clock: Clock,
        identifiers: Identifiers,
    ) -> AccessLog {
        AccessLog { journal, redactor, clock, identifiers }
    }

    /// A new query id.
    pub fn new_query_id(&self) -> String {
        (self.identifiers)()
    }

    /// The present time in microseconds.
    pub fn now_us(&self) -> i64 {
        (self.clock)()
    }

    /// `text` without the secrets in it, and no longer than the log holds.
    pub fn redacted(&self, text: &str) -> String {
        let bytes_max = Stream::Access.column("statement").map_or(0, |column| column.bytes_max);
        let (near, is_cut) = near_cap(text, bytes_max);
        let text = self.redactor.redact_text(near).text;
        let margin = if is_cut { limits::REDACT_CUT_MARGIN_BYTES } else { 0 };
        let bytes_max = bytes_max.min(text.len().saturating_sub(margin));
        text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default().to_string()
    }

    /// Appends `access` and returns once it is on stable storage.
    ///
    /// # Errors
    /// [`Error::Unaudited`] when it is not; what was asked must then not be done.
    pub async fn record(&self, access: Access<'_>) -> Result<()> {
        let tenant = access.principal.tenant.clone();
        let draft = self.draft(&access).map_err(|error| Error::Unaudited(error.to_string()))?;
        match self.journal.append(&tenant, draft).await {
            Ok(()) => Ok(()),
            Err(error) => {
                metrics::counter!("tacho_access_log_failures_total").increment(1);
                tracing::error!(query_id = access.query_id, %error, "access log entry was not written");
                Err(Error::Unaudited(error.to_string()))
            }
        }
    }

    fn draft(&self, access: &Access<'_>) -> schemas::Result<Draft> {
        let Access { principal, query_id, action, .. } = access;
        let phase = match access.phase {
            Phase::Intent => "intent",
            Phase::Outcome => "outcome",
        };
        let scope = format!("{}/{}", principal.door, principal.id);
        let mut row = Cells::new();
        row.text(EVENT_ID, &format!("{query_id}-{phase}"));
        row.int(TIME, (self.clock)());
        row.text(TENANT, &principal.tenant);
        row.named("kind", "query");
        row.text(SOURCE, &format!("{scope}/{action}/1"));
        row.text(SESSION_ID, &principal.id);
        row.named("decision", if access.decision == Decision::Allow { "allow" } else { "deny" });
        row.named(
            "status",
            match access.status {
                Status::Pending => "pending",
                Status::Ok => "ok",
                Status::Error => "error",
                Status::Cancelled => "cancelled",
            },
        );
        row.named("query_id", query_id);
        row.named("phase", phase);
        row.named("action", action);
        row.named("principal", &principal.id);
        row.named_option("role", access.is_role_known.then(|| principal.role.name()));
        row.named("door", principal.door);
        row.named_option("source_ip", principal.source_ip.as_deref());
        let mut removed = redact::Removed::default();
        for (name, text) in [("statement", access.statement), ("detail", access.detail.as_deref())] {
            if let Some(text) = text {
                let bytes_max = Stream::Access.column(name).map_or(0, |column| column.bytes_max);
                let (near, is_cut) = near_cap(text, bytes_max);
                let redacted = self.redactor.redact_text(near);
                removed.merge_at(name, &redacted.removed);
                row.named_near(name, &redacted.text, is_cut);
            }
        }
        row.removed = removed.items();
        row.named_option("snapshot", access.snapshot.as_deref());
        row.named_option("error_code", access.error_code);
        row.named_option("format", access.format);
        row.count("rows", access.rows);
        row.count("bytes", access.bytes);
        row.count("duration_us", access.duration_us.and_then(|us| u64::try_from(us).ok()));
        let mut entries = RowsBuilder::drafts(Stream::Access);
        entries.push(&row.finish())?;
        let mut payloads = RowsBuilder::payloads(Stream::Access);
        payloads.push(&Row::new())?;
        Ok(Draft { entries: entries.finish()?, payloads: payloads.finish()?, idempotent: Vec::new(), scope })
    }
}

/// As much of a statement as its column can hold, and a margin for what stands over the cap; whether that is not all. What is
/// cut off is not redacted first: a statement can be a thousand times as long as its column.
fn near_cap(text: &str, bytes_max: usize) -> (&str, bool) {
    let mut end = text.len().min(bytes_max.saturating_add(limits::REDACT_CUT_MARGIN_BYTES));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (text.get(..end).unwrap_or_default(), end < text.len())
}

fn column_id(name: &str) -> Option<u16> {
    Stream::Access.column(name).map(|column| column.id)
}

/// A row whose texts are cut to their columns' caps.
struct Cells {
    row: Row,
    cut: Vec<&'static str>,
    removed: Vec<String>,
}

impl Cells {
    fn new() -> Cells {
        Cells { row: Row::new(), cut: Vec::new(), removed: Vec::new() }
    }

    fn put(&mut self, column: &'static Column, value: &str) {
        let mut end = value.len().min(column.bytes_max);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        if end < value.len() {
            self.cut.push(column.name);
        }
        let kept = value.get(..end).unwrap_or("");
        self.row = std::mem::take(&mut self.row).text(column.id, kept);
    }

    fn text(&mut self, id: u16, value: &str) {
        if let Some(column) = Stream::Access.column_by_id(id) {
            self.put(column, value);
        }
    }

    fn named(&mut self, name: &str, value: &str) {
        if let Some(column) = Stream::Access.column(name) {
            self.put(column, value);
        }
    }

    /// A text of which the end was cut off before it was redacted: the margin goes, since a secret may have stood over the cut.
    fn named_near(&mut self, name: &'static str, value: &str, is_cut: bool) {
        let mut end =
            if is_cut { value.len().saturating_sub(limits::REDACT_CUT_MARGIN_BYTES) } else { value.len() };
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        let cuts = self.cut.len();
        self.named(name, value.get(..end).unwrap_or_default());
        if is_cut && self.cut.len() == cuts {
            self.cut.push(name);
        }
    }

    fn named_option(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.named(name, value);
        }
    }

    fn int(&mut self, id: u16, value: i64) {
        self.row = std::mem::take(&mut self.row).int(id, value);
    }

    fn count(&mut self, name: &str, value: Option<u64>) {
        let id = column_id(name);
        let value = value.and_then(|value| i64::try_from(value).ok());
        if let (Some(id), Some(value)) = (id, value) {
            self.int(id, value);
        }
    }

    fn finish(self) -> Row {
        self.row.texts(CUT, &self.cut).texts(REDACTIONS, &self.removed)
    }
}

#[cfg(test)]
mod tests {
    use super::near_cap;

    #[test]
    fn no_more_of_a_statement_is_redacted_than_its_column_and_a_margin_hold() {
        let margin = schemas::limits::REDACT_CUT_MARGIN_BYTES;
        let long = "é".repeat(1 << 20);
        let (near, is_cut) = near_cap(&long, 101);
        assert!(is_cut && near.len() <= 101 + margin && near.len() + 2 > 101 + margin, "{}", near.len());
        assert_eq!(near_cap("select 1", 101), ("select 1", false));
    }
}
