//! The engine's view of one log entry, and the questions every rule asks about it.

use std::cell::OnceCell;

use sigma::Fields;

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
    /// Where it was seen: host, client, gateway, server, tap, import.
    pub observer: Option<&'a str>,
    /// What wrote the record: name and version of its mapping.
    pub source: &'a str,
    pub source_seq: Option<i64>,
    pub auth_method: Option<&'a str>,
    pub country: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    /// What the call acted on.
    pub target: Option<&'a str>,
    pub policy_id: Option<&'a str>,
    pub policy_version: Option<&'a str>,
    pub policy_hash: Option<&'a str>,
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
    /// The columns that are no field here, for rules in Sigma that name one; without it these are null to them.
    pub rest: Option<&'a dyn Fields>,
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
    /// Why; empty where nothing was said.
    pub note: &'a str,
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
    tool_key: OnceCell<String>,
}

impl<'a> Event<'a> {
    pub fn new(record: &'a Record<'a>, skew_max_us: i64) -> Event<'a> {
        let event_us = record.time_us.min(record.ingest_time_us.saturating_add(skew_max_us));
        let placed_us = record.time_us.min(record.ingest_time_us);
        Event { record, event_us, placed_us, principal_key: OnceCell::new(), tool_key: OnceCell::new() }
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

    /// What only who was let in can bring about: an authentication that succeeded, a call that policy let pass and no server turned
    /// away. Only these teach what is usual for a principal; anybody can fail in its name.
    pub fn is_admitted(&self) -> bool {
        let is_turned_away = matches!(self.record.error_class, Some("auth" | "policy"));
        let is_let_pass = self.is_call() && !self.is_denied() && self.record.status != "pending";
        self.is_auth_success() || (is_let_pass && !is_turned_away)
    }

    /// The key of who acted; empty where nobody is known.
    pub fn principal_key(&self) -> &str {
        let make = |(column, name)| entity_key(&[(column, Some(name))]);
        self.principal_key.get_or_init(|| self.principal().map(make).unwrap_or_default())
    }

    /// Parts of the tool: server and capability; none where both are unknown.
    pub fn tool(&self) -> Option<[(&'static str, Option<&'a str>); 2]> {
        let (server, capability) = (self.record.server, self.record.capability);
        (server.is_some() || capability.is_some()).then_some([("server", server), ("capability", capability)])
    }

    /// The key of the tool; empty where nothing of it is known.
    pub fn tool_key(&self) -> &str {
        self.tool_key.get_or_init(|| self.tool().map(|parts| entity_key(&parts)).unwrap_or_default())
    }

    /// Latency of a call that reached its tool. Denied calls are fast and pending ones unfinished, and a negative latency is no
    /// measurement: any of them would dilute a percentile.
    pub fn latency_us(&self) -> Option<i64> {
        let reached = self.is_call() && !self.is_denied() && self.record.status != "pending";
        self.record.latency_us.filter(|latency_us| reached && *latency_us >= 0)
    }

    /// Whether it brings an output: one that output safety gave a verdict on, or that a call returned.
    pub fn is_output(&self) -> bool {
        matches!(self.record.kind, "call" | "output")
            && (self.record.output_action.is_some() || self.record.status == "ok")
    }

    /// Whether output safety kept it from the agent.
    pub fn is_quarantined(&self) -> bool {
        matches!(self.record.output_action, Some("quarantine" | "block"))
    }

    /// Who acted: the agent, else the user.
    pub fn principal(&self) -> Option<(&'static str, &'a str)> {
        self.record.agent_id.map(|id| ("agent_id", id)).or(self.record.user_id.map(|id| ("user_id", id)))
    }
}
