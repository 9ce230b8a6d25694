//! What the engine says: one emission of an episode.

use serde::{Deserialize, Serialize};

/// Where an episode stands when it is emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// First emission, `sequence` 0; a later one where it is told when other rules take effect.
    Open,
    /// The count reached a power of two, or the severity rose.
    Updated,
    /// Three quiet windows passed, the cap on open episodes was reached, somebody called it benign, or its rule is gone (the
    /// explanation says which).
    Closed,
}

/// In the order of OCSF `severity_id` 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

/// How sure the rule is that what it says happened did happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    Low,
    Medium,
    High,
}

/// How an opening stands to what its rule may open by chance in a day of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetVerdict {
    Within,
    /// The budget of that day was used up before; it is told all the same.
    Over,
}

impl BudgetVerdict {
    pub(crate) fn new(is_over: bool) -> BudgetVerdict {
        if is_over { BudgetVerdict::Over } else { BudgetVerdict::Within }
    }
}

/// One emission of an episode. All emissions of an episode share `alert_id` and are numbered by `sequence`;
/// (`position`, `ordinal`) orders all alerts of a tenant. Times are microseconds UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// 32 hex digits of BLAKE3 over rule, tenant, entity, log index of the opening record (for counts: the start of the opening
    /// bucket), model version.
    pub alert_id: String,
    pub state: State,
    /// 0 for the opening, then 1, 2, ...
    pub sequence: i64,
    pub rule_id: String,
    pub title: String,
    pub severity: Severity,
    pub confidence: Confidence,
    /// Level of the lattice: `tenant`, `principal`, `principal_tool`, `tool`, `source`, `credential`, `group` (what a rule in
    /// Sigma groups by).
    pub entity_type: String,
    /// The entity, for people; `observables` holds its exact parts.
    pub entity: String,
    /// Environment of the record that opened the episode.
    pub environment: Option<String>,
    /// Event time of the earliest and the latest offending record, at most `skew_max_s` after its receipt.
    pub first_seen_us: i64,
    pub last_seen_us: i64,
    /// Offending records in the episode so far.
    pub count: i64,
    /// What `expected` and `observed` measure.
    pub statistic: String,
    /// For rules and ceilings the threshold, in `unit`.
    pub expected: Option<i64>,
    pub observed: Option<i64>,
    /// `ppm`, `us`, `bytes` or `count`.
    pub unit: String,
    /// Whose past the expectation came from: `entity`, `peer`; `none` for rules and ceilings.
    pub baseline: String,
    /// Length of the window that `observed` covers; none for rules that judge one record, and where the explanation says which.
    pub window_us: Option<i64>,
    /// Log indices: the first 16 and the last 16 offending records, ascending.
    pub evidence: Vec<i64>,
    /// `column=value`. A value over 128 bytes stands as its beginning and its hash.
    pub observables: Vec<String>,
    pub explanation: String,
    /// SQL over the table `events` that shows the evidence; every value is quoted.
    pub query: String,
    /// `docs/runbooks/<rule_id>.md`
    pub runbook: String,
    /// MITRE ATLAS techniques and OWASP MCP Top 10 entries.
    pub references: Vec<String>,
    /// Log index of the record that caused this emission.
    pub position: i64,
    /// 0, 1, ... among the emissions of that record.
    pub ordinal: i64,
    /// Of the opening, the same in all emissions; none for rules, ceilings and rules in Sigma, and for what nobody was let in with: no
    /// budget counts those.
    pub budget_verdict: Option<BudgetVerdict>,
    /// Thousandths of log10 of the p-value that opened the episode or moved `observed` last, recalibrated where there is a past of
    /// scores; none where nothing is held against a past.
    pub log10_p_milli: Option<i64>,
    /// Who muted the entity under this rule, where somebody has: the severity is informational for it.
    pub muted_by: Option<String>,
    /// When that mute ends.
    pub muted_until_us: Option<i64>,
    /// Why it is muted, where that was said.
    pub mute_note: Option<String>,
}
