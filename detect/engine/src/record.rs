//! The engine's view of one log entry, and the questions every rule asks about it.

use std::cell::OnceCell;

use crate::entity::entity_key;

/// Borrowed view of one entry of a tenant's `events` log, in log order. `None` = unknown. Enums are the
/// lower-case words of the event schema; times are microseconds UTC.
///
/// The default is a record that says nothing: no log holds one, but what makes records may name what it knows and take the rest
/// from it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    pub index: i64,
    pub ingest_time_us: i64,
    pub time_us: i64,
    pub kind: &'a str,
    pub method: Option<&'a str>,
    pub user_id: Option<&'a str>,
    pub agent_id: Option<&'a str>,
    pub client: Option<&'a str>,
    pub credential_id: Option<&'a str>,
    pub source_ip: Option<&'a str>,
    pub session_id: &'a str,
    pub call_id: Option<&'a str>,
    pub server: Option<&'a str>,
    pub capability: Option<&'a str>,
    pub action: Option<&'a str>,
    pub risk: Option<&'a str>,
    pub decision: &'a str,
    pub approval_id: Option<&'a str>,
    pub approval_status: Option<&'a str>,
    pub approver: Option<&'a str>,
    pub request_hash: Option<&'a str>,
    pub status: &'a str,
    pub error_class: Option<&'a str>,
    pub latency_us: Option<i64>,
    pub environment: Option<&'a str>,
    /// What wrote the record: name and version of its mapping.
    pub source: &'a str,
    pub source_seq: Option<i64>,
    pub auth_method: Option<&'a str>,
    pub country: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    pub capability_type: Option<&'a str>,
    pub tool_hash: Option<&'a str>,
    pub workflow: Option<&'a str>,
    pub approval_wait_ms: Option<i64>,
    pub output_action: Option<&'a str>,
    pub response_bytes: Option<i64>,
    pub output_tokens: Option<i64>,
    /// Items `tool:argument:class:fingerprint`.
    pub destinations: &'a [&'a str],
    /// An entry of the log's own (seal, cut, marker): it moves the index and the clock, and says what `verdict` holds.
    pub control: bool,
    /// What a person says of an alert, in an entry of the log's own.
    pub verdict: Option<Verdict<'a>>,
}

/// What a person says of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'a> {
    pub alert_id: &'a str,
    /// It should not have happened; else nothing is wrong.
    pub is_true: bool,
    /// Until when its entity is muted under its rule; 0 without a mute.
    pub muted_until_us: i64,
    pub by: &'a str,
}

/// A record with the two times that rules may use.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub record: &'a Record<'a>,
    /// Event time, at most the allowed skew after the receipt: for comparing events with each other.
    pub event_us: i64,
    /// Event time, at most the receipt: for windows, which nothing may push ahead of the clock.
    pub placed_us: i64,
    /// Made once for all rules that ask.
    principal_key: OnceCell<String>,
}

impl<'a> Event<'a> {
    pub fn new(record: &'a Record<'a>, skew_max_us: i64) -> Event<'a> {
        let event_us = record.time_us.min(record.ingest_time_us.saturating_add(skew_max_us));
        let placed_us = record.time_us.min(record.ingest_time_us);
        Event { record, event_us, placed_us, principal_key: OnceCell::new() }
    }

    pub fn is_call(&self) -> bool {
        self.record.kind == "call"
    }

    /// A call that policy let pass or not. A call without a decision was not denied; one that waits for its
    /// approval comes again when it is decided.
    pub fn is_decided_call(&self) -> bool {
        self.is_call()
            && self.record.status != "pending"
            && (self.is_denied() || self.record.decision != "unknown")
    }

    pub fn is_denied(&self) -> bool {
        self.record.decision == "deny" || self.record.status == "denied"
    }

    pub fn is_revocation(&self) -> bool {
        self.record.kind == "auth" && self.record.method == Some("revoke")
    }

    /// An authentication that was decided: revocations and pending ones are not attempts.
    pub fn is_auth_attempt(&self) -> bool {
        self.record.kind == "auth" && !self.is_revocation() && self.record.status != "pending"
    }

    pub fn is_auth_failure(&self) -> bool {
        self.is_auth_attempt() && (self.is_denied() || self.record.status == "error")
    }

    pub fn is_auth_success(&self) -> bool {
        self.is_auth_attempt() && self.record.status == "ok" && !self.is_denied()
    }

    /// The key of who acted; empty where nobody is known.
    pub fn principal_key(&self) -> &str {
        let make = |(column, name)| entity_key(&[(column, Some(name))]);
        self.principal_key.get_or_init(|| self.principal().map(make).unwrap_or_default())
    }

    /// Who acted: the agent, else the user.
    pub fn principal(&self) -> Option<(&'static str, &'a str)> {
        self.record.agent_id.map(|id| ("agent_id", id)).or(self.record.user_id.map(|id| ("user_id", id)))
    }
}
