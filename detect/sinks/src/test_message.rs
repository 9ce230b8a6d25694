//! The alert by which somebody finds out whether a sink works.

use crate::alert::{Alert, Confidence, Severity, State, TAG_TEST};
use crate::format::Context;
use crate::lane::Press;
use crate::message::Message;
use crate::settings::Sink;

/// A test alert as `sink` would send it, whatever its filters. It says that it is a test wherever its format can, and a kill switch gets it as a dry run.
pub fn test_message(sink: &Sink, context: &Context, tenant: &str, now_us: i64) -> Message {
    let name = &sink.delivery.name;
    let told = format!("test of sink {name} at {now_us}");
    let alert_id: String = blake3::hash(told.as_bytes()).to_hex().chars().take(32).collect();
    let alert = Alert {
        log: format!("{}/{tenant}/alerts/test", context.installation),
        log_index: 0,
        ingest_time_us: now_us,
        event_id: format!("{alert_id}-0"),
        time_us: now_us,
        tenant: tenant.to_owned(),
        kind: "alert".to_owned(),
        source: "sinks/test".to_owned(),
        session_id: "_detect".to_owned(),
        decision: "none".to_owned(),
        status: "ok".to_owned(),
        cut: Vec::new(),
        tags: vec![TAG_TEST.to_owned()],
        redactions: Vec::new(),
        payload_commitment: None,
        alert_id,
        sequence: 0,
        state: State::Open,
        rule_id: "sink_test".to_owned(),
        title: "Test of a sink: nothing happened".to_owned(),
        severity: Severity::Informational,
        confidence: Confidence::High,
        entity_type: "sink".to_owned(),
        entity: name.clone(),
        environment: None,
        first_seen_us: now_us,
        last_seen_us: now_us,
        count: 1,
        statistic: "tests".to_owned(),
        expected: None,
        observed: Some(1),
        unit: "count".to_owned(),
        baseline: "none".to_owned(),
        window_us: None,
        evidence: Vec::new(),
        evidence_log: format!("{}/{tenant}/events/test", context.installation),
        observables: vec![format!("sink={name}")],
        explanation: format!("Somebody ran `tacho sinks test {name}`. Nothing happened; close it."),
        query: "SELECT 1".to_owned(),
        runbook: "docs/sinks.md".to_owned(),
        references: Vec::new(),
        position: 0,
        ordinal: 0,
        budget_verdict: None,
        log10_p_milli: None,
        muted_by: None,
        muted_until_us: None,
        mute_note: None,
        is_test: true,
    };
    let press = Press {
        sink: std::sync::Arc::new(sink.clone()),
        context: std::sync::Arc::new(context.clone()),
        wall: None,
    };
    press.alert(&alert)
}
