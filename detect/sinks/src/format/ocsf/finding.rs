//! Alerts: Detection Finding 2004.

use super::super::attack::{ATLAS_VERSION, Reference, Technique};
use super::super::time::{epoch_ms, rfc3339};
use super::super::writer::Json;
use super::{
    Context, FINDING, Metadata, Session, address, write_actor, write_class, write_metadata, write_resources,
};
use crate::alert::{Alert, Analytic, Confidence, Severity, State};

/// `verdict_id` of an alert that was made to try the way it goes, which is in the profile `incident`.
const VERDICT_TEST: i64 = 6;

pub(super) fn write(json: &mut Json, alert: &Alert, id: &str, context: &Context) {
    let (activity_id, activity) = match alert.state {
        State::Open => (1, "Create"),
        State::Updated => (2, "Update"),
        State::Closed => (3, "Close"),
    };
    write_class(json, FINDING, activity_id, activity);
    let metadata = Metadata {
        id,
        tenant: &alert.tenant,
        log: &alert.log,
        log_index: alert.log_index,
        ingest_time_us: alert.ingest_time_us,
        time_us: alert.time_us,
        correlation: Some(&alert.alert_id),
        event_code: Some(&alert.rule_id),
        labels: &alert.tags,
        profiles: if alert.is_test { &["incident"] } else { &[] },
        is_cut: !alert.cut.is_empty(),
    };
    write_metadata(json, &metadata, context);
    json.int("time", epoch_ms(alert.time_us));
    json.int("start_time", epoch_ms(alert.first_seen_us));
    json.int("end_time", epoch_ms(alert.last_seen_us));
    json.int("count", alert.count);
    json.bool("is_alert", true);
    write_levels(json, alert);
    if alert.is_test {
        json.int("verdict_id", VERDICT_TEST);
        json.text("verdict", "Test");
    }
    json.text("message", &format!("{}: {} {}", alert.title, alert.entity_type, alert.entity));
    json.object("finding_info", |json| write_finding_info(json, alert, context));
    json.list("evidences", |json| json.object_item(|json| write_evidence(json, alert)));
    write_resources(json, alert.part("server"), alert.part("capability"), None);
    json.list("observables", |json| {
        for (column, value) in alert.parts() {
            json.object_item(|json| write_observable(json, column, value));
        }
    });
    write_anomaly(json, alert);
    if !alert.runbook.is_empty() {
        json.object("remediation", |json| {
            json.text("desc", &format!("Follow the runbook {}", alert.runbook));
            json.texts("references", [&alert.runbook]);
        });
    }
    json.object("unmapped", |json| write_unmapped(json, alert));
}

/// The levels. `risk_level` says what the severity says: nothing else is known of the risk.
fn write_levels(json: &mut Json, alert: &Alert) {
    let (severity_id, severity) = match alert.severity {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    json.int("severity_id", severity_id);
    json.text("severity", severity);
    json.int("risk_level_id", severity_id - 1);
    json.text("risk_level", if severity_id == 1 { "Info" } else { severity });
    let (confidence_id, confidence) = match alert.confidence {
        Confidence::Low => (1, "Low"),
        Confidence::Medium => (2, "Medium"),
        Confidence::High => (3, "High"),
    };
    json.int("confidence_id", confidence_id);
    json.text("confidence", confidence);
    let (status_id, status) = match (&alert.muted_by, alert.state) {
        (_, State::Closed) => (4, "Resolved"),
        (Some(_), _) => (3, "Suppressed"),
        (None, State::Open) => (1, "New"),
        (None, State::Updated) => (2, "In Progress"),
    };
    json.int("status_id", status_id);
    json.text("status", status);
    json.text_option("status_detail", alert.mute().as_deref());
}

fn write_finding_info(json: &mut Json, alert: &Alert, context: &Context) {
    json.text("uid", &alert.alert_id);
    json.text("title", &alert.title);
    json.text("desc", &alert.explanation);
    // When the episode was opened is in the row that opened it, and in no other.
    match alert.state {
        State::Open => json.int("created_time", epoch_ms(alert.ingest_time_us)),
        State::Updated | State::Closed => json.int("modified_time", epoch_ms(alert.ingest_time_us)),
    }
    json.int("first_seen_time", epoch_ms(alert.first_seen_us));
    json.int("last_seen_time", epoch_ms(alert.last_seen_us));
    json.texts("types", [&alert.rule_id]);
    json.texts("data_sources", [&alert.evidence_log]);
    json.text_option("src_url", context.url(alert).as_deref());
    json.object("analytic", |json| {
        let (type_id, kind) = match alert.analytic() {
            Analytic::Rule => (1, "Rule"),
            Analytic::Behavioural => (2, "Behavioral"),
            Analytic::Statistical => (3, "Statistical"),
        };
        json.int("type_id", type_id);
        json.text("type", kind);
        json.text("uid", &alert.rule_id);
        json.text("name", &alert.title);
        json.text("version", &alert.source);
        json.text("algorithm", &alert.statistic);
    });
    json.list("attacks", |json| {
        for id in &alert.references {
            match Reference::of(id) {
                Reference::Atlas(technique) => write_attack(json, technique, Some(ATLAS_VERSION)),
                Reference::Attack(technique) => write_attack(json, technique, None),
                Reference::Other(_) => {}
            }
        }
    });
    json.list("tags", |json| {
        let others = alert.references.iter().filter(|id| matches!(Reference::of(id), Reference::Other(_)));
        json.object_item(|json| {
            let others: Vec<&String> = others.collect();
            if !others.is_empty() {
                json.text("name", "references");
                json.texts("values", others);
            }
        });
    });
    json.list("related_events", |json| {
        for index in &alert.evidence {
            json.object_item(|json| json.text("uid", &format!("{}#{index}", alert.evidence_log)));
        }
    });
    json.int("related_events_count", alert.count);
}

fn write_attack(json: &mut Json, technique: Technique<'_>, version: Option<&str>) {
    json.object_item(|json| {
        json.object("technique", |json| write_technique(json, technique.technique, version.is_some()));
        if technique.is_sub_technique() {
            json.object("sub_technique", |json| write_technique(json, technique.id, version.is_some()));
        }
        json.text_option("version", version);
    });
}

fn write_technique(json: &mut Json, id: &str, is_atlas: bool) {
    json.text("uid", id);
    // Readers want a name. The catalogue's own change from release to release, and the id does not.
    json.text("name", id);
    let url = if is_atlas {
        format!("https://atlas.mitre.org/techniques/{id}")
    } else {
        format!("https://attack.mitre.org/techniques/{}", id.replace('.', "/"))
    };
    json.text("src_url", &url);
}

/// The evidence as a whole: where its events are, and the parts of the entity in the places that the schema has for them.
fn write_evidence(json: &mut Json, alert: &Alert) {
    json.text("uid", &alert.evidence_log);
    let session =
        Session { uid: alert.session(), credential: alert.part("credential_id"), ..Session::default() };
    write_actor(json, alert.part("user_id"), alert.part("agent_id"), Some(session));
    json.object("src_endpoint", |json| {
        json.text_option("ip", alert.part("source_ip").and_then(address).as_deref());
        json.text_option("name", alert.part("client"));
    });
    json.object("dst_endpoint", |json| json.text_option("svc_name", alert.part("server")));
    json.object("data", |json| {
        json.text("log", &alert.evidence_log);
        json.ints("indices", &alert.evidence);
        json.int("position", alert.position);
        json.text("query", &alert.query);
    });
}

/// An observable with the type that the schema has for such a value: what has none is 99, and its type is our column.
fn write_observable(json: &mut Json, column: &str, value: &str) {
    let (name, type_id, kind) = match column {
        "user_id" => ("evidences[].actor.user.uid", 31, "User Object: uid"),
        "source_ip" if address(value).is_some() => ("evidences[].src_endpoint.ip", 2, "IP Address"),
        "credential_id" => ("evidences[].actor.session.credential_uid", 19, "User Credential ID"),
        "country" => ("unmapped.observables", 14, "Country"),
        "user_agent" => ("unmapped.observables", 16, "HTTP User-Agent"),
        "capability" => ("resources[].name", 38, "Resource Details Object: name"),
        "agent_id" => ("evidences[].actor.app_uid", 99, column),
        "server" => ("evidences[].dst_endpoint.svc_name", 99, column),
        "client" => ("evidences[].src_endpoint.name", 99, column),
        _ => ("unmapped.observables", 99, column),
    };
    json.text("name", name);
    json.int("type_id", type_id);
    json.text("type", kind);
    json.text("value", value);
}

/// What was held against what, where that was a past.
fn write_anomaly(json: &mut Json, alert: &Alert) {
    let (Some(observed), false) = (alert.observed, alert.analytic() == Analytic::Rule) else { return };
    json.list("anomaly_analyses", |json| {
        json.object_item(|json| {
            json.list("analysis_targets", |json| {
                json.object_item(|json| {
                    json.text("name", &alert.entity);
                    json.text("type", &alert.entity_type);
                });
            });
            json.list("anomalies", |json| write_observation(json, alert, observed, None));
            json.list("baselines", |json| {
                if let Some(expected) = alert.expected {
                    write_observation(json, alert, expected, Some(&alert.baseline));
                }
            });
        });
    });
}

fn write_observation(json: &mut Json, alert: &Alert, value: i64, pattern: Option<&str>) {
    json.object_item(|json| {
        json.text("observation_parameter", &alert.statistic);
        json.text("observation_type", &alert.unit);
        json.text_option("observed_pattern", pattern);
        json.list("observations", |json| json.object_item(|json| json.text("value", &value.to_string())));
    });
}

fn write_unmapped(json: &mut Json, alert: &Alert) {
    json.text("event_id", &alert.event_id);
    json.text("kind", &alert.kind);
    json.text("session_id", &alert.session_id);
    json.text("decision", &alert.decision);
    json.text("status", &alert.status);
    json.texts("cut", &alert.cut);
    json.texts("redactions", &alert.redactions);
    json.text_option("payload_commitment", alert.payload_commitment.as_deref());
    json.int("sequence", alert.sequence);
    json.text("entity_type", &alert.entity_type);
    json.text("entity", &alert.entity);
    json.text_option("environment", alert.environment.as_deref());
    json.text("statistic", &alert.statistic);
    json.int_option("expected", alert.expected);
    json.int_option("observed", alert.observed);
    json.text("unit", &alert.unit);
    json.text("baseline", &alert.baseline);
    json.int_option("window_us", alert.window_us);
    json.texts("observables", &alert.observables);
    json.texts("references", &alert.references);
    json.int("ordinal", alert.ordinal);
    json.text_option("budget_verdict", alert.budget_verdict.map(|verdict| verdict.word()));
    json.int_option("log10_p_milli", alert.log10_p_milli);
    json.text_option("muted_by", alert.muted_by.as_deref());
    json.text_option("muted_until", alert.muted_until_us.map(rfc3339).as_deref());
    json.text_option("mute_note", alert.mute_note.as_deref());
    json.text_option("false_positive", alert.false_positive().as_deref());
}
