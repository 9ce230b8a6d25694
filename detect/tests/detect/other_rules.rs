//! Other rules than those that told the past: what goes on under them is told, what does not is closed, and both once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use detect::{Detector, Difference, Options, backtest};
use engine::{Alert, Settings, Setup, Severity, State};
use schemas::Stream;
use schemas::control::{Control, Judgement, Verdict};
use serde_json::{Value, json};
use sigma::Rules;

use crate::fixture::{NOON_US, Place, SECOND_US};

pub const THIEF: &str = "00000000-0000-4000-8000-00000000000a";
pub const ROGUE: &str = "00000000-0000-4000-8000-00000000000b";
/// Of the engine itself.
pub const WRITE: &str = "unapproved_high_risk_write";

pub fn rule(id: &str, target: &str, level: &str) -> String {
    format!(
        "title: Call to {target}\nid: {id}\nlogsource:\n    product: tachograph\ndetection:\n    a:\n        target|contains: {target}\n    condition: a\nlevel: {level}\n"
    )
}

pub fn thief(level: &str) -> String {
    rule(THIEF, "thief", level)
}

pub fn rogue() -> String {
    rule(ROGUE, "rogue", "high")
}

pub fn loaded(rules: &[String], disabled: &[&str]) -> Arc<Rules> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("own.yml"), rules.join("---\n")).unwrap();
    let options = sigma::Options {
        without_shipped: true,
        rules: Some(directory.path().to_path_buf()),
        disabled: disabled.iter().map(|name| (*name).to_owned()).collect(),
        ..sigma::Options::default()
    };
    Arc::new(Rules::load(&options).unwrap())
}

/// The event of that number, twenty seconds after the one before.
pub fn at(number: i64, columns: &Value) -> Value {
    let mut event = json!({
        "event_id": format!("e-{number}"), "time": NOON_US - 3_600 * SECOND_US + number * 20 * SECOND_US,
        "agent_id": "a-1", "user_id": "u-1", "session_id": "s-1", "server": "github", "capability": "merge",
        "method": "tools/call", "action": "read", "risk": "low", "environment": "prod",
    });
    event.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    event
}

pub fn to(number: i64, target: &str, agent: &str) -> Value {
    at(number, &json!({"target": target, "agent_id": agent}))
}

/// Three rogues, then a thief and a write: where rules change, the last alert on record is that of the write.
pub fn past() -> Vec<Value> {
    vec![
        to(0, "x/rogue", "a-1"),
        to(1, "x/rogue", "a-2"),
        to(2, "x/rogue", "a-1"),
        to(3, "x/thief", "a-3"),
        at(4, &json!({"action": "write", "risk": "critical", "agent_id": "a-4"})),
        at(5, &json!({})),
    ]
}

/// Long after, so that all episodes are closed.
pub fn later() -> Vec<Value> {
    (0..3).map(|number| at(400 + number, &json!({}))).collect()
}

pub async fn run(place: &Place, rules: Arc<Rules>, settings: Settings) -> Vec<Alert> {
    let options = Options { rules: Some(rules), settings, ..place.options() };
    let handle = Detector::start(place.store.clone(), options).unwrap();
    place.judged(&handle, "acme").await;
    handle.shutdown().await;
    place.recorded("acme")
}

pub async fn ran(place: &Place, rules: &[String]) -> Vec<Alert> {
    run(place, loaded(rules, &[]), Settings::default()).await
}

pub fn forget(states: &Path) {
    std::fs::remove_dir_all(states).unwrap();
}

/// The last state of each alert on record.
fn standing(alerts: &[Alert]) -> BTreeMap<String, State> {
    alerts.iter().map(|alert| (alert.alert_id.clone(), alert.state)).collect()
}

pub fn shown(alerts: &[Alert]) -> Vec<(&str, &str, State)> {
    alerts.iter().map(|alert| (alert.rule_id.as_str(), alert.entity.as_str(), alert.state)).collect()
}

/// Event ids are there once, and (position, ordinal) goes up.
pub fn is_in_order(alerts: &[Alert]) -> bool {
    let ids: std::collections::BTreeSet<_> =
        alerts.iter().map(|alert| (&alert.alert_id, alert.sequence)).collect();
    let place = |alert: &Alert| (alert.position, alert.ordinal);
    ids.len() == alerts.len() && alerts.is_sorted_by(|one, next| place(one) < place(next))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_rule_tells_what_goes_on_where_it_takes_effect() {
    let place = Place::new(&["acme"]).await;
    place.append("acme", &past()).await;
    let before = ran(&place, &[thief("low")]).await;
    assert_eq!(before.len(), 2, "{before:?}");
    let both = [thief("low"), rogue()];
    let after = ran(&place, &both).await;
    assert_eq!(after[..2], before[..], "what is recorded stands");
    let told = &after[2..];
    let expected = [(ROGUE, "a-1/github/merge", State::Open), (ROGUE, "a-2/github/merge", State::Open)];
    assert_eq!(shown(told), expected);
    let last = before.last().unwrap();
    for (alert, ordinal) in told.iter().zip(last.ordinal + 1..) {
        assert_eq!((alert.position, alert.ordinal), (last.position, ordinal));
        assert!(alert.explanation.contains("found by folding the log again"), "{}", alert.explanation);
    }
    assert_eq!(
        (told[0].count, told[0].evidence.as_slice()),
        (2, [1, 3].as_slice()),
        "all of it, not what comes next"
    );
    // Once, with its state or without.
    assert_eq!(ran(&place, &both).await, after);
    forget(&place.options().snapshot_dir);
    assert_eq!(ran(&place, &both).await, after);
    // And what goes on under the rule is the same alert.
    place.append("acme", &[to(6, "y/rogue", "a-1"), to(7, "y/rogue", "a-1")]).await;
    place.append("acme", &later()).await;
    let all = ran(&place, &both).await;
    assert!(is_in_order(&all), "{all:?}");
    let of_first = all.iter().filter(|alert| alert.alert_id == told[0].alert_id);
    let states: Vec<_> = of_first.map(|alert| (alert.state, alert.count)).collect();
    assert_eq!(states, [(State::Open, 2), (State::Updated, 4), (State::Closed, 4)]);
    assert!(standing(&all).values().all(|state| *state == State::Closed));
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_gone_or_off_closes_what_it_had_open_once() {
    for (rules, disabled, why) in [
        (vec![thief("low")], vec![], "closed because its rule is no longer loaded"),
        (vec![thief("low"), rogue()], vec![ROGUE], "closed because its rule is switched off"),
        (
            vec![thief("low"), rule(ROGUE, "no_such_place", "high")],
            vec![],
            "not open under the rules and settings now in force",
        ),
    ] {
        let place = Place::new(&["acme"]).await;
        place.append("acme", &past()).await;
        let before = ran(&place, &[thief("low"), rogue()]).await;
        let rules = loaded(&rules, &disabled);
        let run = || run(&place, Arc::clone(&rules), Settings::default());
        let after = run().await;
        assert_eq!(after[..before.len()], before[..], "what is recorded stands");
        let closed = &after[before.len()..];
        let expected =
            [(ROGUE, "a-2/github/merge", State::Closed), (ROGUE, "a-1/github/merge", State::Closed)];
        assert_eq!(shown(closed), expected);
        for alert in closed {
            assert!(alert.explanation.contains(why), "{}", alert.explanation);
            let last = before.iter().rfind(|before| before.alert_id == alert.alert_id).unwrap();
            assert_eq!((alert.sequence, alert.count), (last.sequence + 1, last.count));
            assert_eq!(alert.position, before.last().unwrap().position);
            assert_eq!(
                (&alert.title, &alert.evidence, &alert.query),
                (&last.title, &last.evidence, &last.query)
            );
        }
        assert_eq!(run().await, after, "once");
        forget(&place.options().snapshot_dir);
        assert_eq!(run().await, after, "once, whatever is remembered");
        place.append("acme", &later()).await;
        let all = run().await;
        assert!(is_in_order(&all) && standing(&all).values().all(|state| *state == State::Closed));
        place.store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_the_engine_that_is_switched_off_closes_what_it_had_open() {
    let place = Place::new(&["acme"]).await;
    place.append("acme", &past()).await;
    let rules = loaded(&[thief("low")], &[]);
    let before = run(&place, Arc::clone(&rules), Settings::default()).await;
    let off = Settings { disabled: [WRITE.to_owned()].into(), ..Settings::default() };
    let after = run(&place, Arc::clone(&rules), off).await;
    assert_eq!(shown(&after[before.len()..]), [(WRITE, "a-4/github/merge", State::Closed)]);
    let why = &after.last().unwrap().explanation;
    assert!(why.contains("closed because its rule is switched off"), "{why}");
    // Back again: it goes on, and somebody must know.
    let back = run(&place, rules, Settings::default()).await;
    assert_eq!(shown(&back[after.len()..]), [(WRITE, "a-4/github/merge", State::Open)]);
    assert!(is_in_order(&back), "{back:?}");
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sharpened_level_is_told_and_a_blunted_one_is_not() {
    let place = Place::new(&["acme"]).await;
    place.append("acme", &past()).await;
    let before = ran(&place, &[thief("low")]).await;
    let sharpened = ran(&place, &[thief("critical")]).await;
    let told = &sharpened[before.len()..];
    assert_eq!(shown(told), [(THIEF, "a-3/github/merge", State::Updated)]);
    assert_eq!(
        (told[0].severity, told[0].alert_id.as_str()),
        (Severity::Critical, before[0].alert_id.as_str())
    );
    assert_eq!(ran(&place, &[thief("low")]).await, sharpened);
    // It goes on from the number that it was told under, with its state or without, whichever rules told it.
    place.append("acme", &[to(6, "y/thief", "a-3")]).await;
    let updated = ran(&place, &[thief("low")]).await;
    assert_eq!((updated.len(), updated.last().unwrap().sequence), (sharpened.len() + 1, 2));
    forget(&place.options().snapshot_dir);
    assert_eq!(ran(&place, &[thief("low")]).await, updated);
    place.append("acme", &later()).await;
    let all = ran(&place, &[thief("low")]).await;
    let of_thief: Vec<_> =
        all.iter().filter(|alert| alert.rule_id == THIEF).map(|alert| alert.sequence).collect();
    assert_eq!(of_thief, [0, 1, 2, 3]);
    assert!(is_in_order(&all), "{all:?}");
    place.store.close().await.unwrap();
}

/// Rules are changed and put back, and each time state files of the other set lie about: one that was gone on with would not know what was
/// closed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn rules_that_go_and_come_are_told_each_time() {
    let place = Place::new(&["acme"]).await;
    let (one, both) = ([thief("low")], [thief("low"), rogue()]);
    place.append("acme", &past()).await;
    let open = |alerts: &[Alert]| {
        let last: BTreeMap<&str, &Alert> =
            alerts.iter().map(|alert| (alert.alert_id.as_str(), alert)).collect();
        last.values().filter(|alert| alert.state != State::Closed && alert.rule_id == ROGUE).count()
    };
    for round in 0..3 {
        assert_eq!(open(&ran(&place, &both).await), 2, "{round}");
        if round == 1 {
            place.append("acme", &[at(6, &json!({})), at(7, &json!({}))]).await;
        }
        assert_eq!(open(&ran(&place, &one).await), 0, "{round}");
    }
    assert!(is_in_order(&place.recorded("acme")));
    place.store.close().await.unwrap();
}

/// What was told as less than it is, because it was muted then, is no news to a fold that finds the mute over.
#[tokio::test(flavor = "multi_thread")]
async fn a_mute_that_is_over_is_no_change_of_rules() {
    let place = Place::new(&["acme"]).await;
    let rules = [thief("high")];
    place.append("acme", &[to(0, "x/thief", "a-1")]).await;
    let alert_id = ran(&place, &rules).await[0].alert_id.clone();
    let muted_until_us = NOON_US + 60 * SECOND_US;
    let verdict = Verdict {
        alert_id,
        verdict: Judgement::Benign,
        muted_until_us,
        by: "t-7".to_owned(),
        note: "moved".to_owned(),
    };
    let log = place.store.log("acme", Stream::Events).await.unwrap();
    log.append_control(Control::Verdict(verdict)).await.unwrap();
    place.append("acme", &[to(1, "x/thief", "a-1")]).await;
    let muted = ran(&place, &rules).await;
    assert_eq!(muted.last().unwrap().severity, Severity::Informational);
    place.wait(120 * SECOND_US);
    place.append("acme", &[to(2, "x/thief", "a-2")]).await;
    let after = ran(&place, &rules).await;
    assert_eq!(after.len(), muted.len() + 1);
    forget(&place.options().snapshot_dir);
    assert_eq!(ran(&place, &rules).await, after);
    // Under a changed rule neither: what is told of a muted one does not say how bad it was.
    assert_eq!(ran(&place, &[thief("critical")]).await.len(), after.len() + 1, "that of a-2 alone");
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_inside_the_change_leaves_the_rest_to_the_next_start() {
    let whole = Place::new(&["acme"]).await;
    whole.append("acme", &past()).await;
    let (old, new) = ([rogue()], [thief("low"), rule(ROGUE, "x/rogue", "high").replace(ROGUE, WRITE_ID)]);
    let before = ran(&whole, &old).await;
    let expected = ran(&whole, &new).await;
    let rows = whole.alert_rows("acme");
    assert!(expected.len() >= before.len() + 5, "{expected:?}");
    for recorded in before.len()..expected.len() {
        let place = Place::new(&["acme"]).await;
        place.append("acme", &past()).await;
        place.append_alerts("acme", &rows.slice(0, recorded)).await;
        assert_eq!(ran(&place, &new).await, expected, "{recorded} were recorded");
        place.store.close().await.unwrap();
    }
    whole.store.close().await.unwrap();
}

/// A third id, for the same rule under another name.
const WRITE_ID: &str = "00000000-0000-4000-8000-00000000000c";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_told_is_found_again_by_a_backtest() {
    let place = Place::new(&["acme"]).await;
    place.append("acme", &past()).await;
    let (old, new) = ([rogue()], [thief("low")]);
    let before = ran(&place, &old).await.len();
    let changed = ran(&place, &new).await.len();
    assert_eq!(changed, before + 3, "two closed, one told");
    place.append("acme", &[to(6, "x/thief", "a-3")]).await;
    place.append("acme", &later()).await;
    let all = ran(&place, &new).await;
    let mut differences = Vec::new();
    let setup = Setup { settings: Settings::default(), rules: Some(loaded(&new, &[])) };
    let alerts = place.store.snapshot("acme", Stream::Alerts);
    let events = place.store.snapshot("acme", Stream::Events).unwrap();
    let found = backtest(alerts, events, setup, |difference| differences.push(difference)).unwrap();
    // Before the change the log is what the old rules said: the rogues are on record alone, the thief's opening in the fold.
    let (recorded, computed): (Vec<_>, Vec<_>) =
        differences.iter().partition(|difference| matches!(difference, Difference::Recorded(_)));
    assert!(recorded.iter().all(|one| matches!(one, Difference::Recorded(entry) if entry.rule_id == ROGUE && entry.state != "closed")), "{recorded:?}");
    assert!(
        matches!(computed[..], [Difference::Computed(entry)] if entry.rule_id == THIEF && entry.state == "open"),
        "{computed:?}"
    );
    let same: u64 = found.rules.values().map(|counts| counts.same).sum();
    assert_eq!(same as usize + recorded.len(), all.len());
    // One that was added by hand is none of it.
    let rows = place.alert_rows("acme");
    let sessions = rows.column_by_name("session_id").unwrap().as_string::<i32>();
    assert_eq!((0..sessions.len()).filter(|row| sessions.value(*row).starts_with("_refold-")).count(), 3);
    place.store.close().await.unwrap();
}
