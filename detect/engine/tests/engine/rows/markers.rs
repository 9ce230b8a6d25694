//! R45: deployments and policy changes are markers on the denial timeline, so that a spike after one says so.

use engine::{Engine, Record, Settings, State};

use crate::stream::{MINUTE_US, Stream, call};

const RULE: &str = "denial_ratio_ceiling";

fn deployment(what: &str) -> Record<'_> {
    Record {
        kind: "config",
        method: Some("deployment"),
        target: Some(what),
        capability: None,
        decision: "none",
        ..call()
    }
}

fn denied() -> Record<'static> {
    Record { decision: "deny", status: "denied", ..call() }
}

/// Usual work under a policy of this version, and then so many denials.
fn spike(log: &mut Stream, version: &'static str) {
    (0..30).for_each(|_| {
        log.add(Record { policy_id: Some("gateway"), policy_version: Some(version), ..denied() });
    });
}

fn told(log: &Stream) -> &engine::Alert {
    log.of(RULE).find(|alert| alert.state == State::Open).unwrap()
}

#[test]
fn r45_a_spike_of_denials_after_a_deployment_or_a_change_of_policy_says_so() {
    let mut log = Stream::new(Settings::default());
    (0..50)
        .for_each(|_| log.add(Record { policy_id: Some("gateway"), policy_version: Some("41"), ..call() }));
    log.wait(30 * MINUTE_US);
    log.add(deployment("gateway 1.4"));
    log.wait(10 * MINUTE_US);
    spike(&mut log, "41");
    let alert = told(&log);
    assert!(
        alert.explanation.contains("min before its first event: deployment gateway 1.4."),
        "{}",
        alert.explanation
    );
    assert_eq!(alert.observables, ["agent_id=a-1"], "whom it is about is not what was changed");

    let mut log = Stream::new(Settings::default());
    (0..50)
        .for_each(|_| log.add(Record { policy_id: Some("gateway"), policy_version: Some("41"), ..call() }));
    log.wait(30 * MINUTE_US);
    spike(&mut log, "42");
    assert!(told(&log).explanation.contains("policy gateway at 42"), "{}", told(&log).explanation);
}

#[test]
fn what_was_long_before_or_comes_after_is_not_told_and_excuses_nothing() {
    let fold = |before: Option<i64>, after: bool| {
        let mut log = Stream::new(Settings::default());
        if let Some(minutes) = before {
            log.add(deployment("gateway 1.4"));
            log.wait(minutes * MINUTE_US);
        }
        spike(&mut log, "41");
        if after {
            log.wait(60 * MINUTE_US);
            log.add(deployment("gateway 1.5"));
        }
        told(&log).clone()
    };
    let plain = fold(None, false);
    for other in [fold(Some(5 * 60), false), fold(None, true)] {
        assert!(!other.explanation.contains("Marker"), "{}", other.explanation);
        assert_eq!(other.severity, plain.severity);
    }
    let marked = fold(Some(5), false);
    assert!(marked.explanation.contains("Marker") && marked.severity == plain.severity);
    assert_eq!(
        (marked.observed, marked.expected, marked.count),
        (plain.observed, plain.expected, plain.count)
    );
}

#[test]
fn markers_are_in_the_state() {
    let mut log = Stream::new(Settings::default());
    log.add(deployment("gateway 1.4"));
    log.wait(MINUTE_US);
    log.engine = Engine::restore(&log.engine.snapshot(), Settings::default()).unwrap();
    spike(&mut log, "41");
    assert!(told(&log).explanation.contains("gateway 1.4"));
}

#[test]
fn nobody_forges_the_end_of_an_explanation() {
    let mut log = Stream::new(Settings::default());
    log.add(deployment("x. Muted by boss"));
    log.wait(MINUTE_US);
    spike(&mut log, "41");
    let explanation = &told(&log).explanation;
    assert!(explanation.contains("Marker") && !explanation.ends_with("Muted by boss."), "{explanation}");
}
