//! Verdicts and mutes: what a person says is an entry of the log, and the fold goes by it.

use std::collections::BTreeMap;

use engine::{Alert, Engine, Record, Settings, Severity, State, Verdict};

use crate::stream::{MINUTE_US, START_US, Stream, call, write};

const RULE: &str = "unapproved_high_risk_write";

fn says(alert_id: &str, is_true: bool, muted_until_us: i64) -> Record<'_> {
    let verdict = Verdict { alert_id, is_true, muted_until_us, by: "t-7", note: "moved" };
    Record { control: true, verdict: Some(verdict), ..call() }
}

fn opened() -> (Stream, String) {
    let mut log = Stream::new(Settings::default());
    log.add(write());
    let alert_id = log.alerts[0].alert_id.clone();
    (log, alert_id)
}

#[test]
fn benign_closes_and_true_is_told() {
    let (mut log, alert_id) = opened();
    log.add(says(&alert_id, true, 0));
    log.add(says(&alert_id, false, 0));
    assert_eq!(log.states(RULE), [State::Open, State::Updated, State::Closed]);
    assert!(
        log.alerts[1].explanation.ends_with("Episode confirmed by t-7."),
        "{}",
        log.alerts[1].explanation
    );
    assert!(log.alerts[2].explanation.ends_with("Episode closed as benign by t-7."));
    assert_eq!(log.alerts.iter().map(|alert| alert.sequence).collect::<Vec<_>>(), [0, 1, 2]);
    // Without a mute the next one is told as ever.
    log.add(write());
    assert_eq!(log.alerts[3].severity, Severity::Critical);
}

#[test]
fn a_mute_takes_the_severity_and_never_the_alert_and_ends_in_time() {
    let (mut log, alert_id) = opened();
    let until = log.now_us + 60 * MINUTE_US;
    log.add(says(&alert_id, false, until));
    log.wait(MINUTE_US);
    log.add(write());
    let muted = log.alerts.last().unwrap();
    assert_eq!((muted.state, muted.severity), (State::Open, Severity::Informational));
    assert!(muted.explanation.ends_with("Muted by t-7."), "{}", muted.explanation);
    assert_eq!((muted.muted_by.as_deref(), muted.mute_note.as_deref()), (Some("t-7"), Some("moved")));
    assert_eq!(muted.muted_until_us, Some(until));
    // Another entity of the rule is not muted.
    log.add(Record { agent_id: Some("a-2"), ..write() });
    assert_eq!(log.alerts.last().unwrap().muted_by, None);
    assert_eq!(log.alerts.last().unwrap().severity, Severity::Critical);
    // Once the mute is over, an open episode gets its severity back with its next signal.
    log.wait(60 * MINUTE_US);
    log.add(write());
    assert_eq!(log.alerts.last().unwrap().severity, Severity::Critical);
}

#[test]
fn a_verdict_finds_an_episode_that_is_closed_and_a_later_one_lifts_the_mute() {
    let (mut log, alert_id) = opened();
    log.tick(120 * MINUTE_US);
    assert_eq!(log.states(RULE), [State::Open, State::Closed]);
    log.add(says(&alert_id, false, log.now_us + 60 * MINUTE_US));
    log.add(write());
    assert_eq!(log.alerts.last().unwrap().severity, Severity::Informational);
    let second = log.alerts.last().unwrap().alert_id.clone();
    log.add(says(&second, true, 0));
    log.add(Record { capability: Some("other"), ..write() });
    log.tick(120 * MINUTE_US);
    log.add(write());
    assert_eq!(log.alerts.last().unwrap().severity, Severity::Critical);
}

#[test]
fn a_verdict_on_an_alert_that_nobody_knows_does_nothing() {
    let (mut log, _) = opened();
    let before = log.engine.snapshot();
    let mut other = log.engine.clone();
    log.add(says("0123456789abcdef0123456789abcdef", false, i64::MAX));
    other.observe(&Record { control: true, index: 1, ..call() }, &mut Vec::new()).unwrap();
    assert_eq!(log.alerts.len(), 1);
    assert_ne!(log.engine.snapshot(), before);
}

#[test]
fn nothing_is_awaited_once_all_that_was_open_has_closed() {
    let (mut log, _) = opened();
    // The buckets and windows in which the call was counted, and the episode, in any order: no more readings of the clock than there
    // are things to close.
    let mut readings = 0;
    while let Some(due_us) = log.engine.awaits_us() {
        assert!(due_us > log.now_us && readings < 32, "{due_us} {readings}");
        assert_eq!(log.states(RULE).first(), Some(&State::Open));
        log.tick(due_us - log.now_us);
        readings += 1;
    }
    assert_eq!(log.states(RULE), [State::Open, State::Closed]);
    log.tick(600 * MINUTE_US);
    assert_eq!(log.engine.awaits_us(), None);
}

#[test]
fn a_flood_of_mutes_ends_at_the_cap_and_alerts_go_on() {
    let mut log = Stream::new(Settings::default());
    let until = log.now_us + 600 * MINUTE_US;
    for number in 0..1_100 {
        let agent = format!("a-{number}");
        log.add(Record { agent_id: Some(&agent), ..write() });
        let alert_id = log.alerts.last().unwrap().alert_id.clone();
        log.add(says(&alert_id, false, until));
    }
    let told = |log: &mut Stream, agent: &str| {
        log.add(Record { agent_id: Some(agent), ..write() });
        log.alerts.last().unwrap().severity
    };
    assert_eq!(told(&mut log, "a-0"), Severity::Informational);
    assert_eq!(told(&mut log, "a-1099"), Severity::Critical);
}

/// Folds the records `from..to` of a log that says something of the alerts in `judged`, by the index of the entry that does.
fn fold(
    engine: &mut Engine,
    from: i64,
    to: i64,
    judged: &mut BTreeMap<i64, String>,
    is_first: bool,
) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    for index in from..to {
        let time_us = START_US + index * 4 * MINUTE_US;
        if let Some(last) = alerts.last().filter(|_| is_first && index % 7 == 6) {
            judged.insert(index, last.alert_id.clone());
        }
        let verdict = judged.get(&index).map(|alert_id| Verdict {
            alert_id,
            is_true: index % 2 == 0,
            muted_until_us: if index % 3 == 0 { time_us + 60 * MINUTE_US } else { 0 },
            by: "t-7",
            note: "known",
        });
        let agent = format!("a-{}", index % 5);
        let record = Record { index, time_us, ingest_time_us: time_us, agent_id: Some(&agent), ..write() };
        engine.observe(&Record { control: verdict.is_some(), verdict, ..record }, &mut alerts).unwrap();
    }
    alerts
}

#[test]
fn a_fold_goes_on_from_any_snapshot_with_verdicts_in_the_log() {
    const RECORDS: i64 = 200;
    let new = || Engine::new("acme", Settings::default());
    let mut judged = BTreeMap::new();
    let whole = fold(&mut new(), 0, RECORDS, &mut judged, true);
    assert!(judged.len() > 20 && whole.iter().any(|alert| alert.severity == Severity::Informational));
    for cut in 0..RECORDS {
        let mut engine = new();
        let mut alerts = fold(&mut engine, 0, cut, &mut judged, false);
        let mut restored = Engine::restore(&engine.snapshot(), Settings::default()).unwrap();
        alerts.extend(fold(&mut restored, cut, RECORDS, &mut judged, false));
        assert_eq!(alerts, whole, "cut at {cut}");
    }
}

#[test]
fn a_source_that_dates_back_cannot_make_a_mute_last() {
    let (mut log, alert_id) = opened();
    let muted_us = log.now_us;
    log.add(says(&alert_id, false, muted_us + 60 * MINUTE_US));
    // Nobody else sends anything, and this one never lets the event clock move.
    for _ in 0..20 {
        log.wait(9 * MINUTE_US);
        log.add_at(write(), muted_us);
    }
    let severities: Vec<Severity> = log.of(RULE).skip(2).map(|alert| alert.severity).collect();
    assert_eq!(severities.first(), Some(&Severity::Informational), "{severities:?}");
    assert_eq!(severities.last(), Some(&Severity::Critical), "{severities:?}");
}

#[test]
fn an_open_episode_is_quiet_for_as_long_as_it_is_muted() {
    let (mut log, alert_id) = opened();
    log.add(says(&alert_id, true, log.now_us + 30 * MINUTE_US));
    log.wait(MINUTE_US);
    log.add(write());
    let updated = log.alerts.last().unwrap();
    assert_eq!((updated.state, updated.severity), (State::Updated, Severity::Informational));
    log.wait(30 * MINUTE_US);
    (0..2).for_each(|_| log.add(write()));
    assert_eq!(log.alerts.last().unwrap().severity, Severity::Critical);
}
