//! ArcSight Common Event Format, version 0 (its Implementation Standard).
//!
//! `CEF:0|Tachograph|Recorder|version|rule|title|severity|key=value key=value …`. In the header a backslash and a pipe are escaped with a backslash; in the
//! extension a backslash and an equals sign, and line ends are `\n` and `\r`. A reader may trim a value, so that a space at its beginning or end is shown.
//! Keys are those of the dictionary, within its lengths; what it has none for is `TachographRecorder…`, as it says of keys of one's own.
//! Severity is 0, 3, 5, 8, 10 from informational to critical.

use std::borrow::Cow;

use schemas::limits::{
    SINK_COUNT_MAX, SINK_CUSTOM_TEXT_BYTES_MAX, SINK_DEVICE_ID_BYTES_MAX, SINK_EXTERNAL_ID_BYTES_MAX,
    SINK_HEADER_BYTES_MAX, SINK_HOST_BYTES_MAX, SINK_TEXT_BYTES_MAX, SINK_WORD_BYTES_MAX,
};

use super::line::{self, Spelling};
use super::text::{is_hidden, shown_clipped};
use super::time::epoch_ms;
use super::writer::object;
use super::{Context, Item, json};
use crate::alert::{Alert, Severity};
use crate::digest::Digest;
use crate::event::Event;

/// How the extension is spelt.
#[derive(Debug)]
struct Extension;

type Line = line::Line<Extension>;

impl Spelling for Extension {
    const SEPARATOR: char = ' ';
    const ESCAPED: &'static [char] = &['\n', '\r'];
    const TRIMMED: bool = true;
    const REMARK: &'static [(&'static str, Option<&'static str>)] =
        &[("cs6Label", Some("cut")), ("cs6", None)];

    fn escaped(shown: &str) -> Cow<'_, str> {
        if !shown.contains(['\\', '=', '\n', '\r']) {
            return Cow::Borrowed(shown);
        }
        let mut out = String::with_capacity(shown.len() + 16);
        for character in shown.chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                '=' => out.push_str("\\="),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                _ => out.push(character),
            }
        }
        Cow::Owned(out)
    }
}

pub(super) fn body(item: Item<'_>, context: &Context) -> String {
    match item {
        Item::Alert(alert) => of_alert(alert, context),
        Item::Event(event) => of_event(event, context),
        Item::Digest(digest) => of_digest(digest, context),
    }
}

/// The header, and which of its fields were cut.
fn line(context: &Context, class: &str, name: &str, severity: i64) -> Line {
    let mut header = "CEF:0|Tachograph|Recorder|".to_owned();
    let mut cut = Vec::new();
    for (key, value) in [("version", context.version.as_str()), ("class", class), ("name", name)] {
        let (shown, is_cut) = shown_clipped(value, SINK_HEADER_BYTES_MAX, is_hidden);
        // A reader that wants every field of the header refuses one that is empty.
        let shown = if shown.trim().is_empty() { Cow::Borrowed("-") } else { shown };
        header.push_str(&shown.replace('\\', "\\\\").replace('|', "\\|"));
        header.push('|');
        cut.extend(is_cut.then_some(key));
    }
    header.push_str(&format!("{severity}|"));
    let mut line = Line::new(header);
    cut.into_iter().for_each(|key| line.note_cut(key));
    line
}

fn of_alert(alert: &Alert, context: &Context) -> String {
    let severity = match alert.severity {
        Severity::Informational => 0,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Critical => 10,
    };
    let mut line = line(context, &alert.rule_id, &alert.title, severity);
    line.text("externalId", &alert.alert_id, SINK_EXTERNAL_ID_BYTES_MAX);
    custom_number(&mut line, ("cn1Label", "cn1"), "sequence", Some(alert.sequence));
    custom_text(&mut line, ("cs1Label", "cs1"), "state", alert.state.word());
    line.text("cat", if alert.is_test { "test" } else { "alert" }, SINK_TEXT_BYTES_MAX);
    line.int("rt", epoch_ms(alert.ingest_time_us));
    line.int("start", epoch_ms(alert.first_seen_us));
    line.int("end", epoch_ms(alert.last_seen_us));
    line.int("cnt", alert.count.clamp(-SINK_COUNT_MAX, SINK_COUNT_MAX));
    if !(-SINK_COUNT_MAX..=SINK_COUNT_MAX).contains(&alert.count) {
        line.note_cut("cnt");
    }
    line.text("deviceFacility", &alert.tenant, SINK_TEXT_BYTES_MAX);
    line.text("dvchost", &context.host, SINK_HOST_BYTES_MAX);
    custom_text(&mut line, ("cs2Label", "cs2"), "entity", &format!("{} {}", alert.entity_type, alert.entity));
    write_parts(&mut line, alert);
    line.text("msg", &alert.explanation, SINK_TEXT_BYTES_MAX);
    custom_number(&mut line, ("cn2Label", "cn2"), "expected", alert.expected);
    custom_number(&mut line, ("cn3Label", "cn3"), "observed", alert.observed);
    custom_text(&mut line, ("cs3Label", "cs3"), "statistic", &alert.statistic);
    line.text("TachographRecorderUnit", &alert.unit, SINK_TEXT_BYTES_MAX);
    line.text("TachographRecorderBaseline", &alert.baseline, SINK_TEXT_BYTES_MAX);
    line.int_option("TachographRecorderWindowUs", alert.window_us);
    line.text("TachographRecorderConfidence", alert.confidence.word(), SINK_TEXT_BYTES_MAX);
    line.text_option("TachographRecorderEnvironment", alert.environment.as_deref(), SINK_TEXT_BYTES_MAX);
    line.text_option(
        "TachographRecorderBudgetVerdict",
        alert.budget_verdict.map(|verdict| verdict.word()),
        SINK_TEXT_BYTES_MAX,
    );
    line.int_option("TachographRecorderLog10PMilli", alert.log10_p_milli);
    line.text_option("TachographRecorderMutedBy", alert.muted_by.as_deref(), SINK_TEXT_BYTES_MAX);
    line.int_option("TachographRecorderMutedUntil", alert.muted_until_us.map(epoch_ms));
    line.text_option("TachographRecorderMuteNote", alert.mute_note.as_deref(), SINK_TEXT_BYTES_MAX);
    line.text_option("request", context.url(alert).as_deref(), SINK_TEXT_BYTES_MAX);
    line.text("TachographRecorderReferences", &alert.references.join(","), SINK_TEXT_BYTES_MAX);
    line.text("TachographRecorderRunbook", &alert.runbook, SINK_TEXT_BYTES_MAX);
    let test = if alert.is_test { "true" } else { "false" };
    line.text("TachographRecorderTest", test, SINK_TEXT_BYTES_MAX);
    line.text("deviceExternalId", &alert.log, SINK_DEVICE_ID_BYTES_MAX);
    line.int("TachographRecorderLogIndex", json::whole(alert.log_index));
    line.text("TachographRecorderEvidenceLog", &alert.evidence_log, SINK_TEXT_BYTES_MAX);
    let evidence: Vec<String> = alert.evidence.iter().map(i64::to_string).collect();
    line.text("TachographRecorderEvidence", &evidence.join(","), SINK_TEXT_BYTES_MAX);
    custom_text(&mut line, ("cs4Label", "cs4"), "observables", &alert.observables.join("; "));
    custom_text(&mut line, ("cs5Label", "cs5"), "query", &alert.query);
    line.finish()
}

/// Parts of the entity that the dictionary has a key for.
fn write_parts(line: &mut Line, alert: &Alert) {
    line.text_option("suid", alert.part("user_id"), SINK_TEXT_BYTES_MAX);
    line.text_option("suser", alert.part("agent_id"), SINK_TEXT_BYTES_MAX);
    line.text_option("destinationServiceName", alert.part("server"), SINK_TEXT_BYTES_MAX);
    write_address(line, alert.part("source_ip"));
    line.text_option("dproc", alert.part("capability"), SINK_TEXT_BYTES_MAX);
    line.text_option("TachographRecorderSession", alert.session(), SINK_TEXT_BYTES_MAX);
}

/// An address to the key of its kind; what is none is in no key of addresses, and for an alert still among the observables.
fn write_address(line: &mut Line, address: Option<&str>) {
    match address.map(|address| (address, address.parse::<std::net::IpAddr>())) {
        Some((_, Ok(std::net::IpAddr::V4(address)))) => {
            line.text("src", &address.to_string(), SINK_TEXT_BYTES_MAX);
        }
        Some((_, Ok(std::net::IpAddr::V6(address)))) => {
            line.text("c6a2Label", "Source IPv6 Address", SINK_TEXT_BYTES_MAX);
            line.text("c6a2", &address.to_string(), SINK_TEXT_BYTES_MAX);
        }
        Some((address, Err(_))) => line.text("shost", address, SINK_TEXT_BYTES_MAX),
        None => {}
    }
}

fn custom_text(line: &mut Line, keys: (&'static str, &'static str), label: &str, text: &str) {
    if !text.is_empty() {
        line.text(keys.0, label, SINK_TEXT_BYTES_MAX);
        line.text(keys.1, text, SINK_CUSTOM_TEXT_BYTES_MAX);
    }
}

fn custom_number(line: &mut Line, keys: (&'static str, &'static str), label: &str, number: Option<i64>) {
    if let Some(number) = number {
        line.text(keys.0, label, SINK_TEXT_BYTES_MAX);
        line.int(keys.1, number);
    }
}

fn of_event(event: &Event, context: &Context) -> String {
    let name = event.text("capability").or(event.text("method")).unwrap_or(&event.kind);
    let mut line = line(context, &event.kind, name, 0);
    line.text("cat", "event", SINK_TEXT_BYTES_MAX);
    line.int("rt", epoch_ms(event.ingest_time_us));
    line.int("start", epoch_ms(event.time_us));
    if let Some(latency_us) = event.int("latency_us") {
        line.int("end", epoch_ms(event.time_us.saturating_add(latency_us)));
    }
    line.text("act", &event.decision, SINK_WORD_BYTES_MAX);
    line.text("outcome", &event.status, SINK_WORD_BYTES_MAX);
    line.text("deviceFacility", &event.tenant, SINK_TEXT_BYTES_MAX);
    line.text("dvchost", &context.host, SINK_HOST_BYTES_MAX);
    custom_text(&mut line, ("cs1Label", "cs1"), "event_id", &event.event_id);
    custom_text(&mut line, ("cs2Label", "cs2"), "session_id", &event.session_id);
    custom_text(&mut line, ("cs3Label", "cs3"), "source", &event.source);
    line.text_option("suid", event.text("user_id"), SINK_TEXT_BYTES_MAX);
    line.text_option("suser", event.text("agent_id"), SINK_TEXT_BYTES_MAX);
    line.text_option("destinationServiceName", event.text("server"), SINK_TEXT_BYTES_MAX);
    write_address(&mut line, event.text("source_ip"));
    line.text_option("requestMethod", event.text("method"), SINK_TEXT_BYTES_MAX);
    line.text_option("dproc", event.text("capability"), SINK_TEXT_BYTES_MAX);
    line.text_option("filePath", event.text("target"), SINK_TEXT_BYTES_MAX);
    line.text_option("reason", event.text("error_class"), SINK_TEXT_BYTES_MAX);
    line.text_option("requestClientApplication", event.text("user_agent"), SINK_TEXT_BYTES_MAX);
    line.int_option("in", event.int("request_bytes"));
    line.int_option("out", event.int("response_bytes"));
    line.text_option("TachographRecorderCall", event.text("call_id"), SINK_TEXT_BYTES_MAX);
    line.text_option("TachographRecorderAction", event.text("action"), SINK_TEXT_BYTES_MAX);
    line.text_option("TachographRecorderRisk", event.text("risk"), SINK_TEXT_BYTES_MAX);
    line.text_option("TachographRecorderPolicy", event.text("policy_id"), SINK_TEXT_BYTES_MAX);
    line.text_option("TachographRecorderRule", event.text("rule_id"), SINK_TEXT_BYTES_MAX);
    line.text_option("TachographRecorderApproval", event.text("approval_id"), SINK_TEXT_BYTES_MAX);
    line.text_option("TachographRecorderTrace", event.text("trace_id"), SINK_TEXT_BYTES_MAX);
    line.text_option("TachographRecorderEnvironment", event.text("environment"), SINK_TEXT_BYTES_MAX);
    line.text("deviceExternalId", &event.log, SINK_DEVICE_ID_BYTES_MAX);
    line.int("TachographRecorderLogIndex", json::whole(event.log_index));
    line.finish()
}

fn of_digest(digest: &Digest, context: &Context) -> String {
    let mut line = line(context, "digest", "Daily digest", 0);
    line.text("cat", "digest", SINK_TEXT_BYTES_MAX);
    line.int("rt", epoch_ms(digest.day_end_us));
    line.int("start", epoch_ms(digest.day_start_us));
    line.int("end", epoch_ms(digest.day_end_us));
    line.text("deviceFacility", &digest.tenant, SINK_TEXT_BYTES_MAX);
    line.text("dvchost", &context.host, SINK_HOST_BYTES_MAX);
    custom_number(&mut line, ("cn1Label", "cn1"), "total", Some(json::whole(digest.total())));
    custom_number(&mut line, ("cn2Label", "cn2"), "opened", Some(json::whole(digest.opened())));
    custom_number(&mut line, ("cn3Label", "cn3"), "over_budget", Some(json::whole(digest.over_budget())));
    line.text("deviceExternalId", &digest.log, SINK_DEVICE_ID_BYTES_MAX);
    line.int("TachographRecorderLogIndex", json::whole(digest.log_index));
    let counts = object(|json| json::write_counts(json, digest));
    custom_text(&mut line, ("cs4Label", "cs4"), "counts", &counts);
    line.finish()
}
