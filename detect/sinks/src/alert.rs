//! A row of the `alerts` stream, as it is delivered.

use std::fmt::Debug;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::format::time::rfc3339;
use crate::message::Importance;
use crate::rows::{Cells, Table};
use crate::{Error, Result};

/// The columns to read, for `store::Entries`. A batch without the last five is read as well.
pub const COLUMNS: [&str; 48] = [
    "log_index",
    "ingest_time",
    "event_id",
    "time",
    "tenant",
    "kind",
    "source",
    "session_id",
    "decision",
    "status",
    "control",
    "cut",
    "tags",
    "redactions",
    "payload_commitment",
    "alert_id",
    "sequence",
    "state",
    "rule_id",
    "title",
    "severity",
    "confidence",
    "entity_type",
    "entity",
    "environment",
    "first_seen",
    "last_seen",
    "count",
    "statistic",
    "expected",
    "observed",
    "unit",
    "baseline",
    "window_us",
    "evidence",
    "evidence_log",
    "observables",
    "explanation",
    "query",
    "runbook",
    "references",
    "position",
    "ordinal",
    "budget_verdict",
    "log10_p_milli",
    "muted_by",
    "muted_until",
    "mute_note",
];
/// `session_id` of an alert that is about no single session.
const SESSION_NONE: &str = "_detect";
/// The tag of an alert that was made to try the way it goes.
pub const TAG_TEST: &str = "test";
/// Rules whose statistic is of what somebody does rather than of how often: values and hours that are new to them.
const BEHAVIOURAL: [&str; 3] = ["new_network", "off_hours", "unusual_tools"];

/// A column of words, each of which stands for one value.
pub(crate) trait Word: Copy + Debug + Sized + 'static {
    /// Every value, with its word as it is persisted.
    const WORDS: &'static [(Self, &'static str)];
}

macro_rules! words {
    ($kind:ident { $($value:ident = $word:literal),+ }) => {
        impl Word for $kind {
            const WORDS: &'static [($kind, &'static str)] = &[$(($kind::$value, $word)),+];
        }
        impl $kind {
            /// Persisted.
            pub fn word(self) -> &'static str {
                match self {
                    $($kind::$value => $word),+
                }
            }
        }
    };
}

/// Where an episode stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is told for the first time, or again under other rules.
    Open,
    /// It has grown.
    Updated,
    /// It is over.
    Closed,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nobody is to be woken: also what is muted or over budget.
    Informational,
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `critical`
    Critical,
}

/// How sure the rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
}

/// Whether an alert of a statistic was within the day's budget of such alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BudgetVerdict {
    /// It was.
    Within,
    /// It was not, and is informational for that.
    Over,
}

words!(State { Open = "open", Updated = "updated", Closed = "closed" });
words!(Severity {
    Informational = "informational",
    Low = "low",
    Medium = "medium",
    High = "high",
    Critical = "critical"
});
words!(Confidence { Low = "low", Medium = "medium", High = "high" });
words!(BudgetVerdict { Within = "within", Over = "over" });

impl From<Severity> for Importance {
    fn from(severity: Severity) -> Importance {
        match severity {
            Severity::Informational => Importance::Informational,
            Severity::Low => Importance::Low,
            Severity::Medium => Importance::Medium,
            Severity::High => Importance::High,
            Severity::Critical => Importance::Critical,
        }
    }
}

/// What sort of rule it was. In the order of OCSF `analytic.type_id` 1 to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Analytic {
    /// A fact, a ceiling from the configuration, or a rule in Sigma.
    Rule,
    /// What somebody did never before.
    Behavioural,
    /// A count, a ratio, a length or a silence against its own past.
    Statistical,
}

/// One emission of an episode: a row of the `alerts` stream. Names, shapes and units are those of its columns
/// (`schemas/FORMAT.md`); times are microseconds UTC, and a null list is an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Alert {
    /// Origin of the log that the row is in.
    pub log: String,
    pub log_index: u64,
    pub ingest_time_us: i64,
    pub event_id: String,
    pub time_us: i64,
    pub tenant: String,
    pub kind: String,
    pub source: String,
    pub session_id: String,
    pub decision: String,
    pub status: String,
    pub cut: Vec<String>,
    pub tags: Vec<String>,
    pub redactions: Vec<String>,
    /// Hex digits.
    pub payload_commitment: Option<String>,
    pub alert_id: String,
    pub sequence: i64,
    pub state: State,
    pub rule_id: String,
    pub title: String,
    pub severity: Severity,
    pub confidence: Confidence,
    pub entity_type: String,
    pub entity: String,
    pub environment: Option<String>,
    pub first_seen_us: i64,
    pub last_seen_us: i64,
    pub count: i64,
    pub statistic: String,
    pub expected: Option<i64>,
    pub observed: Option<i64>,
    pub unit: String,
    pub baseline: String,
    pub window_us: Option<i64>,
    pub evidence: Vec<i64>,
    pub evidence_log: String,
    pub observables: Vec<String>,
    pub explanation: String,
    pub query: String,
    pub runbook: String,
    pub references: Vec<String>,
    pub position: i64,
    pub ordinal: i64,
    /// None for rules, which have no budget.
    pub budget_verdict: Option<BudgetVerdict>,
    /// Thousandths of the decimal logarithm of the p-value that opened it; none for rules.
    pub log10_p_milli: Option<i64>,
    /// Who muted the entity under this rule, where somebody has.
    pub muted_by: Option<String>,
    /// When that mute ends.
    pub muted_until_us: Option<i64>,
    /// Why it is muted, where that was said.
    pub mute_note: Option<String>,
    /// It was made to try the way it goes: nothing happened.
    pub is_test: bool,
}

impl Alert {
    /// The rows of a batch of the log `log`, in order. An entry of the recorder's own is `None`: it says nothing to a sink, and has its index
    /// all the same, so that a cursor can pass it.
    ///
    /// # Errors
    /// [`Error::Row`] for a row without what every alert has, or with a word that nobody knows.
    pub fn read(log: &str, batch: &RecordBatch) -> Result<Vec<Option<Alert>>> {
        let schema = batch.schema();
        let table = Table::new(log, batch, &schema);
        table.rows().map(|cells| Alert::row(log, &cells?)).collect()
    }

    fn row(log: &str, cells: &Cells<'_>) -> Result<Option<Alert>> {
        if cells.text_option("control")?.is_some() {
            return Ok(None);
        }
        let text = |name: &str| cells.text(name).map(str::to_owned);
        let tags = cells.texts("tags")?;
        let alert = Alert {
            log: log.to_owned(),
            log_index: cells.index()?,
            ingest_time_us: cells.int("ingest_time")?,
            event_id: text("event_id")?,
            time_us: cells.int("time")?,
            tenant: text("tenant")?,
            kind: text("kind")?,
            source: text("source")?,
            session_id: text("session_id")?,
            decision: text("decision")?,
            status: text("status")?,
            cut: cells.texts("cut")?,
            redactions: cells.texts("redactions")?,
            payload_commitment: cells.hex_option("payload_commitment")?,
            alert_id: text("alert_id")?,
            sequence: cells.int("sequence")?,
            state: word(cells, "state")?,
            rule_id: text("rule_id")?,
            title: text("title")?,
            severity: word(cells, "severity")?,
            confidence: word(cells, "confidence")?,
            entity_type: text("entity_type")?,
            entity: text("entity")?,
            environment: cells.text_option("environment")?.map(str::to_owned),
            first_seen_us: cells.int("first_seen")?,
            last_seen_us: cells.int("last_seen")?,
            count: cells.int("count")?,
            statistic: text("statistic")?,
            expected: cells.int_option("expected")?,
            observed: cells.int_option("observed")?,
            unit: text("unit")?,
            baseline: text("baseline")?,
            window_us: cells.int_option("window_us")?,
            evidence: cells.ints("evidence")?,
            evidence_log: text("evidence_log")?,
            observables: cells.texts("observables")?,
            explanation: text("explanation")?,
            query: text("query")?,
            runbook: text("runbook")?,
            references: cells.texts("references")?,
            position: cells.int("position")?,
            ordinal: cells.int("ordinal")?,
            budget_verdict: word_option(cells, "budget_verdict")?,
            log10_p_milli: cells.int_option("log10_p_milli")?,
            muted_by: cells.text_option("muted_by")?.map(str::to_owned),
            muted_until_us: cells.int_option("muted_until")?,
            mute_note: cells.text_option("mute_note")?.map(str::to_owned),
            is_test: tags.iter().any(|tag| tag == TAG_TEST),
            tags,
        };
        Ok(Some(alert))
    }

    /// The same whenever this row is sent again, another for each emission.
    pub fn message_id(&self) -> String {
        format!("{}-{}", self.alert_id, self.sequence)
    }

    /// The session, where the alert is about one.
    pub fn session(&self) -> Option<&str> {
        Some(self.session_id.as_str()).filter(|session| *session != SESSION_NONE)
    }

    /// What sort of rule told it, by what it held its count against.
    pub fn analytic(&self) -> Analytic {
        match self.baseline.as_str() {
            "none" => Analytic::Rule,
            _ if BEHAVIOURAL.contains(&self.rule_id.as_str()) => Analytic::Behavioural,
            _ => Analytic::Statistical,
        }
    }

    /// Who muted it, until when and why, in words for people.
    pub fn mute(&self) -> Option<String> {
        let by = self.muted_by.as_deref()?;
        let until = self.muted_until_us.map(|until_us| format!(" until {}", rfc3339(until_us)));
        let note = self.mute_note.as_deref().map(|note| format!(": {note}"));
        Some(format!("muted by {by}{}{}", until.unwrap_or_default(), note.unwrap_or_default()))
    }

    /// The columns of `events` that the entity consists of, with their values there.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.observables.iter().filter_map(|observable| observable.split_once('='))
    }

    /// The value of one such column.
    pub fn part(&self, column: &str) -> Option<&str> {
        self.parts().find(|(name, _)| *name == column).map(|(_, value)| value)
    }

    /// Where the runbook says what is likely benign.
    pub fn false_positive(&self) -> Option<String> {
        (!self.runbook.is_empty()).then(|| format!("{}#likely-benign", self.runbook))
    }
}

fn word_option<W: Word>(cells: &Cells<'_>, name: &str) -> Result<Option<W>> {
    let Some(text) = cells.text_option(name)? else { return Ok(None) };
    let known = W::WORDS.iter().find(|(_, word)| *word == text).map(|(value, _)| *value);
    known.map(Some).ok_or_else(|| unknown(cells, name, text, W::WORDS.iter().map(|(_, word)| *word)))
}

fn word<W: Word>(cells: &Cells<'_>, name: &str) -> Result<W> {
    word_option(cells, name)?.ok_or_else(|| cells.error(format!("column {name} has no value")))
}

fn unknown<'a>(cells: &Cells<'_>, name: &str, text: &str, words: impl Iterator<Item = &'a str>) -> Error {
    let words: Vec<&str> = words.collect();
    cells.error(format!("column {name} is {text:?}, and may be {}", words.join(", ")))
}
