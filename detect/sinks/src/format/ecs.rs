//! Elastic Common Schema 9.4: only names of its published list, and for what it has none, `labels` under our columns' names, as texts.
//!
//! `event.kind` is `alert`, `event`, or `metric` for a digest; `event.id` is the message's id, and `event.severity` 1 (informational) to 5 (critical).

use std::borrow::Cow;

use super::attack::Reference;
use super::time::rfc3339;
use super::writer::{Json, object};
use super::{Context, Item, json};
use crate::alert::{Alert, Analytic};
use crate::digest::Digest;
use crate::event::{Event, Value};
use crate::message::Importance;

/// The release whose names these are.
const VERSION: &str = "9.4.0";
const NANOSECONDS_IN_MICROSECOND: i64 = 1_000;

/// A document: fields by their dotted names.
#[derive(Debug, Default)]
struct Document<'a> {
    fields: Vec<(Cow<'static, str>, Field<'a>)>,
}

#[derive(Debug)]
enum Field<'a> {
    Int(i64),
    Text(Cow<'a, str>),
    Texts(Vec<Cow<'a, str>>),
}

pub(super) fn body(item: Item<'_>, context: &Context) -> String {
    let mut document = Document::default();
    document.text("ecs.version", VERSION);
    document.text("event.id", super::id(item));
    document.text("event.module", "tachograph");
    document.text("observer.vendor", "Tachograph");
    document.text("observer.product", "Tachograph");
    document.text("observer.version", context.version.as_str());
    document.text("observer.name", context.installation.as_str());
    document.text("observer.hostname", context.host.as_str());
    match item {
        Item::Alert(alert) => document.alert(alert, context),
        Item::Event(event) => document.event(event),
        Item::Digest(digest) => document.digest(digest),
    }
    document.json()
}

impl<'a> Document<'a> {
    fn text(&mut self, name: &'static str, text: impl Into<Cow<'a, str>>) {
        self.fields.push((Cow::Borrowed(name), Field::Text(text.into())));
    }

    fn text_option(&mut self, name: &'static str, text: Option<&'a str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn texts(&mut self, name: &'static str, texts: impl IntoIterator<Item = impl Into<Cow<'a, str>>>) {
        let texts: Vec<Cow<'a, str>> = texts.into_iter().map(Into::into).collect();
        if !texts.is_empty() {
            self.fields.push((Cow::Borrowed(name), Field::Texts(texts)));
        }
    }

    fn int(&mut self, name: &'static str, int: i64) {
        self.fields.push((Cow::Borrowed(name), Field::Int(int)));
    }

    fn label(&mut self, column: &str, value: impl Into<Cow<'a, str>>) {
        self.fields.push((Cow::Owned(format!("labels.{column}")), Field::Text(value.into())));
    }

    fn label_option(&mut self, column: &str, value: Option<impl Into<Cow<'a, str>>>) {
        if let Some(value) = value {
            self.label(column, value);
        }
    }

    fn label_list(&mut self, column: &str, values: impl IntoIterator<Item = impl Into<Cow<'a, str>>>) {
        let values: Vec<Cow<'a, str>> = values.into_iter().map(Into::into).collect();
        if !values.is_empty() {
            self.fields.push((Cow::Owned(format!("labels.{column}")), Field::Texts(values)));
        }
    }

    fn alert(&mut self, alert: &'a Alert, context: &Context) {
        self.text("@timestamp", rfc3339(alert.time_us));
        self.text("message", format!("{}: {} {}", alert.title, alert.entity_type, alert.entity));
        self.texts("tags", alert.tags.iter().map(String::as_str));
        self.text("event.kind", "alert");
        self.texts("event.category", ["intrusion_detection"]);
        self.texts("event.type", ["info"]);
        self.text("event.action", alert.state.word());
        self.text("event.dataset", "tachograph.alerts");
        self.text("event.provider", alert.source.as_str());
        self.text("event.code", alert.rule_id.as_str());
        self.int("event.sequence", alert.sequence);
        self.int("event.severity", severity(alert.severity.into()));
        self.text("event.created", rfc3339(alert.ingest_time_us));
        self.text("event.start", rfc3339(alert.first_seen_us));
        self.text("event.end", rfc3339(alert.last_seen_us));
        let length_us = alert.last_seen_us.saturating_sub(alert.first_seen_us);
        self.int("event.duration", length_us.saturating_mul(NANOSECONDS_IN_MICROSECOND));
        self.text("event.reason", alert.explanation.as_str());
        if let Some(url) = context.url(alert) {
            self.text("event.url", url);
        }
        self.text("organization.id", alert.tenant.as_str());
        self.text_option("service.environment", alert.environment.as_deref());
        self.rule(alert);
        for (column, value) in alert.parts() {
            self.part(column, value);
        }
        self.alert_labels(alert);
    }

    fn rule(&mut self, alert: &'a Alert) {
        self.text("rule.id", alert.rule_id.as_str());
        self.text("rule.name", alert.title.as_str());
        let category = match alert.analytic() {
            Analytic::Rule => "rule",
            Analytic::Behavioural => "behavioral",
            Analytic::Statistical => "statistical",
        };
        self.text("rule.category", category);
        self.text("rule.reference", alert.runbook.as_str());
        let (mut techniques, mut parts, mut frameworks, mut others) = (vec![], vec![], vec![], vec![]);
        for id in &alert.references {
            let (framework, technique) = match Reference::of(id) {
                Reference::Atlas(technique) => ("MITRE ATLAS", technique),
                Reference::Attack(technique) => ("MITRE ATT&CK", technique),
                Reference::Other(id) => {
                    others.push(id);
                    continue;
                }
            };
            frameworks.push(framework);
            techniques.push(technique.technique);
            if technique.is_sub_technique() {
                parts.push(technique.id);
            }
        }
        // One framework a document: that of the first reference. All ids say for themselves which one they are of.
        self.text_option("threat.framework", frameworks.first().copied());
        self.texts("threat.technique.id", techniques);
        self.texts("threat.technique.subtechnique.id", parts);
        self.label_list("references", others);
    }

    /// A part of the entity, by the column that it is of.
    fn part(&mut self, column: &str, value: &'a str) {
        match column {
            "user_id" => {
                self.text("user.id", value);
                self.texts("related.user", [value]);
            }
            "source_ip" => self.address(value),
            "server" => self.text("service.name", value),
            "user_agent" => self.text("user_agent.original", value),
            _ => {}
        }
    }

    fn address(&mut self, value: &'a str) {
        self.text("source.address", value);
        if value.parse::<std::net::IpAddr>().is_ok() {
            self.text("source.ip", value);
            self.texts("related.ip", [value]);
        }
    }

    fn alert_labels(&mut self, alert: &'a Alert) {
        self.label("log", alert.log.as_str());
        self.label("log_index", alert.log_index.to_string());
        self.label("event_id", alert.event_id.as_str());
        self.label("kind", alert.kind.as_str());
        self.label("session_id", alert.session_id.as_str());
        self.label("decision", alert.decision.as_str());
        self.label("status", alert.status.as_str());
        self.label_list("cut", alert.cut.iter().map(String::as_str));
        self.label_list("redactions", alert.redactions.iter().map(String::as_str));
        self.label_option("payload_commitment", alert.payload_commitment.as_deref());
        self.label("alert_id", alert.alert_id.as_str());
        self.label("confidence", alert.confidence.word());
        self.label("severity", alert.severity.word());
        self.label("entity_type", alert.entity_type.as_str());
        self.label("entity", alert.entity.as_str());
        self.label("count", alert.count.to_string());
        self.label("statistic", alert.statistic.as_str());
        self.label_option("expected", alert.expected.map(|int| int.to_string()));
        self.label_option("observed", alert.observed.map(|int| int.to_string()));
        self.label("unit", alert.unit.as_str());
        self.label("baseline", alert.baseline.as_str());
        self.label_option("window_us", alert.window_us.map(|int| int.to_string()));
        self.label_list("evidence", alert.evidence.iter().map(i64::to_string));
        self.label("evidence_log", alert.evidence_log.as_str());
        self.label_list("observables", alert.observables.iter().map(String::as_str));
        self.label("query", alert.query.as_str());
        self.label("position", alert.position.to_string());
        self.label("ordinal", alert.ordinal.to_string());
        self.label_option("budget_verdict", alert.budget_verdict.map(|verdict| verdict.word()));
        self.label_option("log10_p_milli", alert.log10_p_milli.map(|int| int.to_string()));
        self.label_option("muted_by", alert.muted_by.clone());
        self.label_option("muted_until", alert.muted_until_us.map(rfc3339));
        self.label_option("mute_note", alert.mute_note.clone());
        self.label_option("false_positive", alert.false_positive());
        self.label("test", if alert.is_test { "true" } else { "false" });
    }

    fn event(&mut self, event: &'a Event) {
        self.text("@timestamp", rfc3339(event.time_us));
        self.text("event.kind", "event");
        self.text("event.dataset", "tachograph.events");
        self.text("event.created", rfc3339(event.ingest_time_us));
        self.text("event.provider", event.source.as_str());
        self.text("event.action", event.text("method").unwrap_or(&event.kind));
        if let Some((category, kind)) = category(event) {
            self.texts("event.category", [category]);
            self.texts("event.type", kind.iter().copied());
        }
        let outcome = match event.status.as_str() {
            "ok" => "success",
            "error" | "denied" | "timeout" | "cancelled" => "failure",
            _ => "unknown",
        };
        self.text("event.outcome", outcome);
        self.text("organization.id", event.tenant.as_str());
        self.label("log", event.log.as_str());
        self.label("log_index", event.log_index.to_string());
        self.label("kind", event.kind.as_str());
        self.label("session_id", event.session_id.as_str());
        self.label("decision", event.decision.as_str());
        self.label("status", event.status.as_str());
        for (column, value) in event.columns() {
            self.column(column, value);
        }
    }

    /// A column of an event: to its name in the schema, else to `labels`.
    fn column(&mut self, column: &'static str, value: &'a Value) {
        match (column, value) {
            ("environment", Value::Text(text)) => self.text("service.environment", text.as_str()),
            ("user_id" | "source_ip" | "server" | "user_agent", Value::Text(text)) => self.part(column, text),
            ("server_version", Value::Text(text)) => self.text("service.version", text.as_str()),
            ("trace_id", Value::Text(text)) => self.text("trace.id", text.as_str()),
            ("span_id", Value::Text(text)) => self.text("span.id", text.as_str()),
            ("error_class", Value::Text(text)) => self.text("error.type", text.as_str()),
            ("error_code", Value::Text(text)) => self.text("error.code", text.as_str()),
            ("rule_id", Value::Text(text)) => self.text("rule.id", text.as_str()),
            ("policy_id", Value::Text(text)) => self.text("rule.ruleset", text.as_str()),
            ("policy_version", Value::Text(text)) => self.text("rule.version", text.as_str()),
            ("latency_us", Value::Int(us)) => {
                self.int("event.duration", us.saturating_mul(NANOSECONDS_IN_MICROSECOND));
            }
            ("tags", Value::Texts(texts)) => self.texts("tags", texts.iter().map(String::as_str)),
            (_, Value::Int(int)) => self.label(column, int.to_string()),
            (_, Value::Time(us)) => self.label(column, rfc3339(*us)),
            (_, Value::Text(text)) => self.label(column, text.as_str()),
            (_, Value::Texts(texts)) => self.label_list(column, texts.iter().map(String::as_str)),
        }
    }

    fn digest(&mut self, digest: &'a Digest) {
        self.text("@timestamp", rfc3339(digest.day_end_us));
        self.text("event.kind", "metric");
        self.text("event.dataset", "tachograph.digest");
        self.text("event.start", rfc3339(digest.day_start_us));
        self.text("event.end", rfc3339(digest.day_end_us));
        self.text("organization.id", digest.tenant.as_str());
        let (total, over) = (digest.total(), digest.over_budget());
        self.text("message", format!("{total} alerts, {over} of them over budget"));
        self.label("log", digest.log.as_str());
        self.label("log_index", digest.log_index.to_string());
        // `labels` holds no objects: the counts are one text of JSON.
        self.label("digest", object(|json| json::write_counts(json, digest)));
    }

    /// The fields as nested objects.
    fn json(mut self) -> String {
        self.fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        object(|json| {
            let mut open: Vec<&str> = Vec::new();
            for (name, field) in &self.fields {
                let (parents, leaf) = name.rsplit_once('.').unwrap_or(("", name));
                let parents: Vec<&str> = parents.split('.').filter(|part| !part.is_empty()).collect();
                let shared = open.iter().zip(&parents).take_while(|(a, b)| a == b).count();
                open.drain(shared..).for_each(|_| json.end());
                for parent in parents.into_iter().skip(shared) {
                    json.begin(parent);
                    open.push(parent);
                }
                field.write(json, leaf);
            }
            open.iter().for_each(|_| json.end());
        })
    }
}

impl Field<'_> {
    fn write(&self, json: &mut Json, name: &str) {
        match self {
            Field::Int(int) => json.int(name, *int),
            Field::Text(text) => json.text(name, text),
            Field::Texts(texts) => json.texts(name, texts),
        }
    }
}

fn severity(importance: Importance) -> i64 {
    match importance {
        Importance::Informational => 1,
        Importance::Low => 2,
        Importance::Medium => 3,
        Importance::High => 4,
        Importance::Critical => 5,
    }
}

/// Category and types, where the schema has a category for such a record.
fn category(event: &Event) -> Option<(&'static str, &'static [&'static str])> {
    Some(match event.kind.as_str() {
        "call" => match event.text("action") {
            Some("read") => ("api", &["access"]),
            Some("write") => ("api", &["change"]),
            Some("destructive") => ("api", &["deletion"]),
            Some("admin") => ("api", &["admin"]),
            _ => ("api", &["info"]),
        },
        "list" => ("api", &["access"]),
        "auth" => match event.text("method") {
            Some("end" | "logout" | "revoke") => ("authentication", &["end"]),
            Some("login" | "start") => ("authentication", &["start"]),
            _ => ("authentication", &["info"]),
        },
        "session" => match event.text("method") {
            Some("start") => ("session", &["start"]),
            Some("end") => ("session", &["end"]),
            _ => ("session", &["info"]),
        },
        "config" | "tool_definition" => ("configuration", &["change"]),
        "approval" => ("iam", &["info"]),
        _ => return None,
    })
}
