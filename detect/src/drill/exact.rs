//! Scenarios of rules that need no past: facts, and ceilings from the settings.

use engine::{Record, Settings};

use super::Scenario;
use super::past::Past;
use super::scene::{MINUTE_US, SECOND_US, Scene, approval, login, own_call};

pub(super) const SCENARIOS: [Scenario; 11] = [
    exact("unapproved_high_risk_write", "a high-risk write that nobody approved", unapproved_write),
    exact("revoked_credential_use", "a credential is used after it was revoked", revoked_credential),
    exact("auth_failure_burst", "one address fails to log in again and again", auth_burst),
    exact("auth_failure_rate_ceiling", "most logins of the tenant fail", auth_failures),
    exact("denial_ratio_ceiling", "all calls of one agent are denied", denials),
    exact("p95_latency_ceiling", "a tool takes twice as long as its ceiling", slow_tool),
    exact("tool_error_budget", "every call of a tool fails", broken_tool),
    exact("quarantine_ratio_ceiling", "all outputs of a tool are quarantined", quarantined),
    exact("sequence_gap", "numbers of a source's records are missing", gap),
    exact("approval_wait_ceiling", "approvals wait twice as long as they may", slow_approvals),
    exact("approval_too_fast", "one approver waves everything through", fast_approvals),
];

const fn exact(rule_id: &'static str, words: &'static str, play: fn(&mut Scene, &Settings)) -> Scenario {
    Scenario { rule_id, words, past: Past::Empty, play }
}

fn times(count: u64) -> std::ops::Range<u64> {
    0..count
}

fn unapproved_write(scene: &mut Scene, _: &Settings) {
    scene.add(Record { action: Some("write"), risk: Some("high"), ..own_call() });
}

fn revoked_credential(scene: &mut Scene, settings: &Settings) {
    let credential_id = Some("drill-credential");
    scene.add(Record { credential_id, ..own_call() });
    scene.wait(SECOND_US);
    scene.add(Record { method: Some("revoke"), credential_id, ..login(true) });
    scene.wait(settings.revoked_credential_use.grace_s.saturating_add(1).saturating_mul(SECOND_US));
    scene.add(Record { credential_id, ..own_call() });
}

fn auth_burst(scene: &mut Scene, settings: &Settings) {
    let burst = &settings.auth_failure_burst;
    let step_us =
        burst.window_s.saturating_mul(SECOND_US / 2) / i64::try_from(burst.failures_min).unwrap_or(1).max(1);
    for _ in 0..burst.failures_min {
        // The source is the address, else the client: here a name that the drill has.
        scene.add(Record { client: Some("drill-client"), source_ip: None, ..login(false) });
        scene.wait(step_us);
    }
}

fn auth_failures(scene: &mut Scene, settings: &Settings) {
    for at in times(settings.auth_failure_rate_ceiling.attempts_min.saturating_mul(2)) {
        let address = format!("192.0.2.{}", at % 250);
        scene.add(Record { source_ip: Some(&address), ..login(at % 4 == 0) });
    }
}

fn denials(scene: &mut Scene, settings: &Settings) {
    for _ in times(settings.denial_ratio_ceiling.calls_min) {
        scene.add(Record { decision: "deny", status: "denied", ..own_call() });
    }
}

fn slow_tool(scene: &mut Scene, settings: &Settings) {
    let ceiling = &settings.p95_latency_ceiling;
    for _ in times(ceiling.calls_min) {
        scene.add(Record { latency_us: Some(ceiling.latency_max_us.saturating_mul(2)), ..own_call() });
    }
}

fn broken_tool(scene: &mut Scene, settings: &Settings) {
    // A few that fail may be chance.
    for _ in times(settings.tool_error_budget.calls_min.max(20)) {
        scene.add(Record { status: "error", error_class: Some("tool"), ..own_call() });
    }
}

fn quarantined(scene: &mut Scene, settings: &Settings) {
    for _ in times(settings.quarantine_ratio_ceiling.outputs_min) {
        scene.add(Record { output_action: Some("quarantine"), ..own_call() });
    }
}

fn gap(scene: &mut Scene, settings: &Settings) {
    let missing = i64::try_from(settings.sequence_gap.missing_min).unwrap_or(i64::MAX);
    for number in [1, 2, 3, missing.saturating_add(4)] {
        scene.add(Record {
            source: "drill-source/1",
            observer: Some("gateway"),
            source_seq: Some(number),
            ..own_call()
        });
        scene.wait(SECOND_US);
    }
    // What comes in another order has its time to fill the hole first.
    scene.passes(settings.sequence_gap.wait_s.saturating_mul(SECOND_US).saturating_add(MINUTE_US));
}

fn slow_approvals(scene: &mut Scene, settings: &Settings) {
    let ceiling = &settings.approval_wait_ceiling;
    for number in times(ceiling.approvals_min) {
        let id = format!("drill-{number}");
        let wait_ms = ceiling.wait_min_s.saturating_mul(2_000);
        scene.add(Record { approval_wait_ms: Some(wait_ms), ..approval(&id, "approved") });
    }
    // Queues are looked at every five minutes.
    scene.passes(10 * MINUTE_US);
}

fn fast_approvals(scene: &mut Scene, settings: &Settings) {
    for number in times(settings.approval_too_fast.approvals_min) {
        let id = format!("drill-{number}");
        scene.add(Record { status: "pending", approver: None, ..approval(&id, "requested") });
        scene.wait(SECOND_US / 100);
        scene.add(approval(&id, "approved"));
        scene.wait(SECOND_US);
    }
}
