//! Scenarios of rules that hold what happens against what is usual.

use engine::{Record, Settings};

use super::Scenario;
use super::past::Past;
use super::scene::{HOUR_US, MINUTE_US, SECOND_US, Scene, approval, call, login};

pub(super) const SCENARIOS: [Scenario; 15] = [
    on(Past::Counts, "denial_rate", "policy denies an agent far more than usual", denials),
    on(Past::Counts, "auth_failure_rate", "logins of an agent fail far more than usual", failures),
    on(Past::Counts, "call_rate", "an agent calls far more than usual", calls),
    on(Past::Office, "call_rate_sustained", "an agent calls once a minute for two hours", calls_on),
    on(
        Past::Counts,
        "denial_rate_sustained",
        "policy denies an agent once a minute for two hours",
        denials_on,
    ),
    on(
        Past::Counts,
        "auth_failure_rate_sustained",
        "a login of an agent fails once a minute for two hours",
        failures_on,
    ),
    on(Past::Tools, "quarantine_rate", "all outputs of a tool are held back for five minutes", quarantined),
    on(
        Past::Tools,
        "oversized_output",
        "a tool gives an output thousands of times its usual size",
        oversized,
    ),
    on(Past::Tools, "p95_latency", "a tool takes twenty times its usual time", slow),
    on(Past::Sources, "silent_source", "a source falls silent while another speaks", silent),
    on(Past::Approvals, "approval_wait", "an approval is decided after a day", waited),
    on(Past::Approvals, "approval_abandoned", "nobody answers a queue of approvals", abandoned),
    on(Past::Sessions, "unusual_tools", "a session exports and sends to whom nobody sends", exfiltration),
    on(Past::Office, "off_hours", "somebody who works by day begins at three in the morning", night),
    on(Past::Networks, "new_network", "somebody shows up from a new network, country and client", theft),
];

const fn on(
    past: Past,
    rule_id: &'static str,
    words: &'static str,
    play: fn(&mut Scene, &Settings),
) -> Scenario {
    Scenario { rule_id, words, past, play }
}

/// So many of one record within four minutes.
fn burst(scene: &mut Scene, count: u64, record: Record<'_>) {
    let step_us = 4 * MINUTE_US / i64::try_from(count).unwrap_or(i64::MAX).max(1);
    for _ in 0..count {
        scene.add(record);
        scene.wait(step_us);
    }
}

/// Until a window of a quarter of an hour is closed and late events had their time.
fn window_closes(scene: &mut Scene, settings: &Settings) {
    scene.passes(settings.lateness_s.saturating_mul(SECOND_US).saturating_add(HOUR_US / 2));
}

fn denials(scene: &mut Scene, settings: &Settings) {
    let denied = Record { agent_id: Some("drill-bob"), decision: "deny", status: "denied", ..call() };
    burst(scene, settings.denial_rate.count_min.saturating_mul(4).max(60), denied);
    window_closes(scene, settings);
}

fn failures(scene: &mut Scene, settings: &Settings) {
    let failed = Record { agent_id: Some("drill-bob"), ..login(false) };
    burst(scene, settings.auth_failure_rate.count_min.saturating_mul(4).max(60), failed);
    window_closes(scene, settings);
}

fn calls(scene: &mut Scene, settings: &Settings) {
    let called = Record { agent_id: Some("drill-bob"), ..call() };
    burst(scene, settings.call_rate.count_min.saturating_mul(4).max(1_000), called);
    window_closes(scene, settings);
}

/// One record a minute.
fn on_and_on(scene: &mut Scene, minutes_min: i64, record: Record<'_>) {
    for _ in 0..minutes_min.max(120) {
        scene.add(record);
        scene.wait(MINUTE_US);
    }
}

fn calls_on(scene: &mut Scene, settings: &Settings) {
    let called = Record { agent_id: Some("drill-person-3"), ..call() };
    on_and_on(scene, settings.call_rate_sustained.minutes_min, called);
}

fn denials_on(scene: &mut Scene, settings: &Settings) {
    let denied = Record { agent_id: Some("drill-bob"), decision: "deny", status: "denied", ..call() };
    on_and_on(scene, settings.denial_rate_sustained.minutes_min, denied);
}

fn failures_on(scene: &mut Scene, settings: &Settings) {
    let failed = Record { agent_id: Some("drill-bob"), ..login(false) };
    on_and_on(scene, settings.auth_failure_rate_sustained.minutes_min, failed);
}

fn of_tool() -> Record<'static> {
    Record { server: Some("drill-server"), capability: Some("drill-read"), ..call() }
}

fn quarantined(scene: &mut Scene, settings: &Settings) {
    let rate = &settings.quarantine_rate;
    let count = rate.outputs_min.max(rate.quarantined_min).max(30);
    burst(scene, count, Record { output_action: Some("quarantine"), ..of_tool() });
    window_closes(scene, settings);
}

fn oversized(scene: &mut Scene, settings: &Settings) {
    let bytes = settings.oversized_output.bytes_min.saturating_mul(2).max(40_000_000);
    scene.add(Record { response_bytes: Some(bytes), ..of_tool() });
}

fn slow(scene: &mut Scene, settings: &Settings) {
    let latency = &settings.p95_latency;
    let latency_us =
        latency.more_min_ms.saturating_mul(2_000).max(latency.times_min_milli.saturating_mul(4_000));
    let record = Record { latency_us: Some(latency_us.max(4_000_000)), ..of_tool() };
    burst(scene, latency.calls_min.max(60), record);
    window_closes(scene, settings);
}

fn silent(scene: &mut Scene, settings: &Settings) {
    let away_s = settings.silent_source.silence_min_s.saturating_mul(2).max(3 * 3_600);
    for _ in 0..away_s / 60 {
        scene.add(Record { source: "gate/1", ..call() });
        scene.wait(MINUTE_US);
    }
}

fn waited(scene: &mut Scene, settings: &Settings) {
    let wait_ms = settings.approval_wait.wait_min_s.saturating_mul(2_000).max(90_000_000);
    let late = approval("drill-late", "approved");
    scene.add(Record { server: Some("drill-bank"), approval_wait_ms: Some(wait_ms), ..late });
    window_closes(scene, settings);
}

fn abandoned(scene: &mut Scene, settings: &Settings) {
    let rule = &settings.approval_abandoned;
    for number in 0..rule.ended_min.max(rule.abandoned_min).max(20) {
        let id = format!("drill-{number}");
        scene.add(Record { server: Some("drill-bank"), ..approval(&id, "expired") });
        scene.wait(SECOND_US);
    }
    window_closes(scene, settings);
}

fn exfiltration(scene: &mut Scene, settings: &Settings) {
    let of_session = Record {
        agent_id: Some("drill-agent-3"),
        session_id: "drill-session",
        workflow: Some("refund"),
        ..call()
    };
    let steps: [(&str, &[&str]); 5] = [
        ("find_order", &[]),
        ("read_policy", &[]),
        ("export_customers", &[]),
        ("refund", &["refund:to:url:evil", "refund:to:host:ev"]),
        ("send_mail", &["send_mail:to:recipient:mallory"]),
    ];
    for (tool, destinations) in steps {
        scene.add(Record { capability: Some(tool), destinations, ..of_session });
        scene.wait(MINUTE_US);
    }
    window_closes(scene, settings);
}

fn night(scene: &mut Scene, _: &Settings) {
    let record = Record {
        agent_id: Some("drill-person-3"),
        session_id: "night",
        workflow: Some("refund"),
        capability: Some("read"),
        ..call()
    };
    for _ in 0..10 {
        scene.add(record);
        scene.wait(MINUTE_US);
    }
}

fn theft(scene: &mut Scene, _: &Settings) {
    let record = Record {
        agent_id: Some("drill-person-3"),
        session_id: "theft",
        workflow: Some("refund"),
        capability: Some("read"),
        source_ip: Some("192.0.2.66"),
        country: Some("XX"),
        user_agent: Some("curl/8.1"),
        ..call()
    };
    for _ in 0..5 {
        scene.add(record);
        scene.wait(MINUTE_US);
    }
}
