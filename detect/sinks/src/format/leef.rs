//! IBM Log Event Extended Format 2.0 (QRadar).
//!
//! `LEEF:2.0|Tachograph|Recorder|version|rule|x09|key=value<tab>key=value …`. The format has no escape at all. The delimiter is the tab, which as a control
//! character is shown in a value like any other, so that none can end a pair; an equals sign needs nothing, since the first of a pair ends its key; a pipe in
//! the header is shown as `\u007c`. `sev` is 1, 3, 5, 8, 10 from informational to critical; times are epoch milliseconds.

use std::borrow::Cow;

use schemas::limits::{SINK_HEADER_BYTES_MAX, SINK_TEXT_BYTES_MAX};

use super::line::{self, Spelling};
use super::text::{is_hidden, shown_clipped};
use super::time::epoch_ms;
use super::writer::object;
use super::{Context, Item, json};
use crate::alert::{Alert, Severity};
use crate::digest::Digest;
use crate::event::Event;

/// How attributes are spelt.
#[derive(Debug)]
struct Attributes;

type Line = line::Line<Attributes>;

impl Spelling for Attributes {
    const SEPARATOR: char = '\t';
    const ESCAPED: &'static [char] = &[];
    const TRIMMED: bool = false;
    const REMARK: &'static [(&'static str, Option<&'static str>)] = &[("cut", None)];

    fn escaped(shown: &str) -> Cow<'_, str> {
        Cow::Borrowed(shown)
    }
}

pub(super) fn body(item: Item<'_>, context: &Context) -> String {
    match item {
        Item::Alert(alert) => of_alert(alert, context),
        Item::Event(event) => of_event(event, context),
        Item::Digest(digest) => of_digest(digest, context),
    }
}

fn line(context: &Context, event_id: &str) -> Line {
    let mut header = "LEEF:2.0|Tachograph|Recorder|".to_owned();
    let mut cut = Vec::new();
    for (key, value) in [("version", context.version.as_str()), ("eventId", event_id)] {
        let barred = |character| is_hidden(character) || character == '|';
        let (shown, is_cut) = shown_clipped(value, SINK_HEADER_BYTES_MAX, barred);
        header.push_str(if shown.trim().is_empty() { "-" } else { &shown });
        header.push('|');
        cut.extend(is_cut.then_some(key));
    }
    header.push_str("x09|");
    let mut line = Line::new(header);
    cut.into_iter().for_each(|key| line.note_cut(key));
    line
}

/// The attributes of a line, all with the same bound.
fn text(line: &mut Line, key: &'static str, text: &str) {
    line.text(key, text, SINK_TEXT_BYTES_MAX);
}

fn text_option(line: &mut Line, key: &'static str, text: Option<&str>) {
    line.text_option(key, text, SINK_TEXT_BYTES_MAX);
}

fn of_alert(alert: &Alert, context: &Context) -> String {
    let severity = match alert.severity {
        Severity::Informational => 1,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Critical => 10,
    };
    let mut line = line(context, &alert.rule_id);
    text(&mut line, "cat", if alert.is_test { "test" } else { alert.state.word() });
    line.int("devTime", epoch_ms(alert.time_us));
    line.int("sev", severity);
    write_source(&mut line, alert.part("source_ip"));
    text_option(&mut line, "usrName", alert.part("user_id").or(alert.part("agent_id")));
    text(&mut line, "alertId", &alert.alert_id);
    line.int("sequence", alert.sequence);
    text(&mut line, "state", alert.state.word());
    text(&mut line, "title", &alert.title);
    text(&mut line, "tenant", &alert.tenant);
    text(&mut line, "confidence", alert.confidence.word());
    text(&mut line, "entityType", &alert.entity_type);
    text(&mut line, "entity", &alert.entity);
    text_option(&mut line, "environment", alert.environment.as_deref());
    text_option(&mut line, "session", alert.session());
    line.int("received", epoch_ms(alert.ingest_time_us));
    line.int("firstSeen", epoch_ms(alert.first_seen_us));
    line.int("lastSeen", epoch_ms(alert.last_seen_us));
    line.int("count", alert.count);
    text(&mut line, "statistic", &alert.statistic);
    line.int_option("expected", alert.expected);
    line.int_option("observed", alert.observed);
    text(&mut line, "unit", &alert.unit);
    text(&mut line, "baseline", &alert.baseline);
    line.int_option("windowUs", alert.window_us);
    text_option(&mut line, "budgetVerdict", alert.budget_verdict.map(|verdict| verdict.word()));
    line.int_option("log10PMilli", alert.log10_p_milli);
    text_option(&mut line, "mutedBy", alert.muted_by.as_deref());
    line.int_option("mutedUntil", alert.muted_until_us.map(epoch_ms));
    text_option(&mut line, "muteNote", alert.mute_note.as_deref());
    text_option(&mut line, "url", context.url(alert).as_deref());
    text(&mut line, "references", &alert.references.join(","));
    text(&mut line, "runbook", &alert.runbook);
    text(&mut line, "test", if alert.is_test { "true" } else { "false" });
    text(&mut line, "log", &alert.log);
    line.int("logIndex", json::whole(alert.log_index));
    text(&mut line, "evidenceLog", &alert.evidence_log);
    let evidence: Vec<String> = alert.evidence.iter().map(i64::to_string).collect();
    text(&mut line, "evidence", &evidence.join(","));
    text(&mut line, "explanation", &alert.explanation);
    text(&mut line, "observables", &alert.observables.join("; "));
    text(&mut line, "query", &alert.query);
    text(&mut line, "host", &context.host);
    line.finish()
}

/// An address to the attribute for it; what is none would make QRadar drop the attribute.
fn write_source(line: &mut Line, address: Option<&str>) {
    let Some(address) = address else { return };
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => text(line, "src", &address.to_string()),
        Err(_) => text(line, "sourceAddress", address),
    }
}

fn of_event(event: &Event, context: &Context) -> String {
    let mut line = line(context, &event.kind);
    text(&mut line, "cat", &event.status);
    line.int("devTime", epoch_ms(event.time_us));
    line.int("sev", 1);
    write_source(&mut line, event.text("source_ip"));
    text_option(&mut line, "usrName", event.text("user_id").or(event.text("agent_id")));
    text(&mut line, "eventId", &event.event_id);
    text(&mut line, "tenant", &event.tenant);
    text(&mut line, "session", &event.session_id);
    text(&mut line, "decision", &event.decision);
    text(&mut line, "status", &event.status);
    text_option(&mut line, "policy", event.text("policy_id"));
    text_option(&mut line, "ruleId", event.text("rule_id"));
    text_option(&mut line, "userId", event.text("user_id"));
    text_option(&mut line, "agentId", event.text("agent_id"));
    text_option(&mut line, "server", event.text("server"));
    text_option(&mut line, "method", event.text("method"));
    text_option(&mut line, "capability", event.text("capability"));
    text_option(&mut line, "action", event.text("action"));
    text_option(&mut line, "risk", event.text("risk"));
    text_option(&mut line, "resource", event.text("target"));
    text_option(&mut line, "callId", event.text("call_id"));
    text_option(&mut line, "approvalId", event.text("approval_id"));
    text_option(&mut line, "errorClass", event.text("error_class"));
    text_option(&mut line, "errorCode", event.text("error_code"));
    line.int_option("latencyUs", event.int("latency_us"));
    text_option(&mut line, "environment", event.text("environment"));
    text_option(&mut line, "traceId", event.text("trace_id"));
    line.int("received", epoch_ms(event.ingest_time_us));
    text(&mut line, "source", &event.source);
    text(&mut line, "log", &event.log);
    line.int("logIndex", json::whole(event.log_index));
    text(&mut line, "host", &context.host);
    line.finish()
}

fn of_digest(digest: &Digest, context: &Context) -> String {
    let mut line = line(context, "digest");
    text(&mut line, "cat", "digest");
    line.int("devTime", epoch_ms(digest.day_end_us));
    line.int("sev", 1);
    text(&mut line, "tenant", &digest.tenant);
    line.int("total", json::whole(digest.total()));
    line.int("opened", json::whole(digest.opened()));
    line.int("overBudget", json::whole(digest.over_budget()));
    text(&mut line, "log", &digest.log);
    line.int("logIndex", json::whole(digest.log_index));
    text(&mut line, "counts", &object(|json| json::write_counts(json, digest)));
    text(&mut line, "host", &context.host);
    line.finish()
}
