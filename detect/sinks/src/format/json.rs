//! Our own columns under their own names. Times are RFC 3339, a column that is null and a list that is empty are left out, and nothing else is.
//!
//! Beside the columns: `log` (the origin that `log_index` counts in), `type` (`alert`, `event`, `digest`), `installation`, and of an alert `url`,
//! `false_positive` (where the runbook says what is likely benign) and `test`.

use super::time::{date, rfc3339};
use super::writer::{Json, object};
use super::{Context, Item};
use crate::alert::Alert;
use crate::digest::Digest;
use crate::event::{Event, Value};

pub(super) fn body(item: Item<'_>, context: &Context) -> String {
    object(|json| {
        match item {
            Item::Alert(alert) => write_alert(json, alert, context),
            Item::Event(event) => write_event(json, event),
            Item::Digest(digest) => write_digest(json, digest),
        }
        json.text("installation", &context.installation);
    })
}

fn write_alert(json: &mut Json, alert: &Alert, context: &Context) {
    json.text("type", "alert");
    json.text("log", &alert.log);
    json.int("log_index", whole(alert.log_index));
    json.text("ingest_time", &rfc3339(alert.ingest_time_us));
    json.text("event_id", &alert.event_id);
    json.text("time", &rfc3339(alert.time_us));
    json.text("tenant", &alert.tenant);
    json.text("kind", &alert.kind);
    json.text("source", &alert.source);
    json.text("session_id", &alert.session_id);
    json.text("decision", &alert.decision);
    json.text("status", &alert.status);
    json.texts("cut", &alert.cut);
    json.texts("tags", &alert.tags);
    json.texts("redactions", &alert.redactions);
    json.text_option("payload_commitment", alert.payload_commitment.as_deref());
    json.text("alert_id", &alert.alert_id);
    json.int("sequence", alert.sequence);
    json.text("state", alert.state.word());
    json.text("rule_id", &alert.rule_id);
    json.text("title", &alert.title);
    json.text("severity", alert.severity.word());
    json.text("confidence", alert.confidence.word());
    json.text("entity_type", &alert.entity_type);
    json.text("entity", &alert.entity);
    json.text_option("environment", alert.environment.as_deref());
    json.text("first_seen", &rfc3339(alert.first_seen_us));
    json.text("last_seen", &rfc3339(alert.last_seen_us));
    json.int("count", alert.count);
    json.text("statistic", &alert.statistic);
    json.int_option("expected", alert.expected);
    json.int_option("observed", alert.observed);
    json.text("unit", &alert.unit);
    json.text("baseline", &alert.baseline);
    json.int_option("window_us", alert.window_us);
    json.ints("evidence", &alert.evidence);
    json.text("evidence_log", &alert.evidence_log);
    json.texts("observables", &alert.observables);
    json.text("explanation", &alert.explanation);
    json.text("query", &alert.query);
    json.text("runbook", &alert.runbook);
    json.texts("references", &alert.references);
    json.int("position", alert.position);
    json.int("ordinal", alert.ordinal);
    json.text_option("budget_verdict", alert.budget_verdict.map(|verdict| verdict.word()));
    json.int_option("log10_p_milli", alert.log10_p_milli);
    json.text_option("muted_by", alert.muted_by.as_deref());
    json.text_option("muted_until", alert.muted_until_us.map(rfc3339).as_deref());
    json.text_option("mute_note", alert.mute_note.as_deref());
    json.text_option("url", context.url(alert).as_deref());
    json.text_option("false_positive", alert.false_positive().as_deref());
    json.bool("test", alert.is_test);
}

fn write_event(json: &mut Json, event: &Event) {
    json.text("type", "event");
    json.text("log", &event.log);
    json.int("log_index", whole(event.log_index));
    json.text("ingest_time", &rfc3339(event.ingest_time_us));
    json.text("event_id", &event.event_id);
    json.text("time", &rfc3339(event.time_us));
    json.text("tenant", &event.tenant);
    json.text("kind", &event.kind);
    json.text("source", &event.source);
    json.text("session_id", &event.session_id);
    json.text("decision", &event.decision);
    json.text("status", &event.status);
    for (name, value) in event.columns() {
        write_value(json, name, value);
    }
}

/// A column of an event under `name`.
pub(super) fn write_value(json: &mut Json, name: &str, value: &Value) {
    match value {
        Value::Int(int) => json.int(name, *int),
        Value::Time(us) => json.text(name, &rfc3339(*us)),
        Value::Text(text) => json.text(name, text),
        Value::Texts(texts) => json.texts(name, texts),
    }
}

fn write_digest(json: &mut Json, digest: &Digest) {
    json.text("type", "digest");
    json.text("log", &digest.log);
    json.int("log_index", whole(digest.log_index));
    json.text("tenant", &digest.tenant);
    json.text("day", &date(digest.day_start_us));
    write_counts(json, digest);
}

/// What a digest says, for every format that has no words of its own for it.
pub(super) fn write_counts(json: &mut Json, digest: &Digest) {
    json.int("total", whole(digest.total()));
    json.int("opened", whole(digest.opened()));
    json.int("over_budget", whole(digest.over_budget()));
    json.list("counts", |json| {
        for count in &digest.counts {
            json.object_item(|json| {
                json.text("rule_id", &count.rule_id);
                json.text("severity", count.severity.word());
                json.text("state", count.state.word());
                json.bool("over_budget", count.is_over_budget);
                json.int("count", whole(count.count));
            });
        }
    });
}

/// An index or a count, of which no store has as many as an `i64` can hold.
pub(super) fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
