//! Changes of rules that somebody means to hide in, or that come thick and fast: the log stays one that a backtest finds again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use detect::{Backtest, Difference, backtest};
use engine::{Settings, Setup, State};
use schemas::Stream;
use serde_json::json;

use crate::fixture::Place;
use crate::other_rules::{
    ROGUE, THIEF, at, forget, is_in_order, later, loaded, past, ran, rogue, rule, shown, thief, to,
};

fn compared(place: &Place, rules: &[String]) -> (Backtest, Vec<Difference>) {
    let mut differences = Vec::new();
    let setup = Setup { settings: Settings::default(), rules: Some(loaded(rules, &[])) };
    let alerts = place.store.snapshot("acme", Stream::Alerts);
    let events = place.store.snapshot("acme", Stream::Events).unwrap();
    let found = backtest(alerts, events, setup, |difference| differences.push(difference)).unwrap();
    (found, differences)
}

fn with_column(rows: &RecordBatch, name: &str, value: impl Fn(&str) -> String) -> RecordBatch {
    let at = rows.schema().index_of(name).unwrap();
    let column = rows.column(at).as_string::<i32>();
    let changed: StringArray = (0..column.len()).map(|row| Some(value(column.value(row)))).collect();
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns[at] = Arc::new(changed);
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

fn sessions(place: &Place) -> Vec<String> {
    let rows = place.alert_rows("acme");
    let sessions = rows.column_by_name("session_id").unwrap().as_string::<i32>();
    (0..sessions.len()).map(|row| sessions.value(row).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_calls_itself_a_change_of_rules_is_none() {
    let place = Place::new(&["acme"]).await;
    let rules = [thief("low")];
    let write = |number, session: &str| {
        at(
            number,
            &json!({"action": "write", "risk": "critical", "agent_id": format!("a-{number}"), "session_id": session}),
        )
    };
    place.append("acme", &[write(0, "_refold"), write(1, "s-1"), write(2, "_refold-0123456789abcdef")]).await;
    place.append("acme", &later()).await;
    assert!(!ran(&place, &rules).await.is_empty());
    let (found, differences) = compared(&place, &rules);
    assert!(found.is_same(), "{differences:?}");
    let sessions = sessions(&place);
    assert!(sessions.iter().any(|session| session == "s-1"), "{sessions:?}");
    assert!(sessions.iter().all(|session| session == "s-1" || session == "_detect"), "{sessions:?}");
    place.store.close().await.unwrap();
}

/// Rules are changed and put back within a quiet hour: no alert lies between.
#[tokio::test(flavor = "multi_thread")]
async fn rules_that_come_back_at_once_are_found_again_by_a_backtest() {
    let place = Place::new(&["acme"]).await;
    let (one, other) = ([thief("low")], [rogue()]);
    place.append("acme", &past()).await;
    let first = ran(&place, &one).await;
    let changed = ran(&place, &other).await;
    assert_eq!(shown(&changed[first.len()..]).len(), 3, "a thief closed, two rogues told");
    let back = ran(&place, &one).await;
    let told = &back[changed.len()..];
    assert_eq!(told.len(), 3, "two rogues closed, a thief told: {told:?}");
    place.append("acme", &[to(6, "x/thief", "a-3")]).await;
    place.append("acme", &later()).await;
    let all = ran(&place, &one).await;
    assert!(is_in_order(&all), "{all:?}");
    let by_change: std::collections::BTreeSet<String> =
        sessions(&place).into_iter().filter(|session| session.starts_with("_refold")).collect();
    assert_eq!(by_change.len(), 2, "{by_change:?}");
    // What the other rules told is on record alone. All else is the same: before them, and from the last change on.
    let (found, differences) = compared(&place, &one);
    let of_others = |difference: &Difference| match difference {
        Difference::Recorded(entry) => {
            entry.position == told[0].position
                && changed[first.len()..]
                    .iter()
                    .any(|alert| (alert.ordinal, alert.state) == (entry.ordinal, alert.state))
        }
        _ => false,
    };
    assert!(differences.len() == 3 && differences.iter().all(of_others), "{differences:?}");
    let same: u64 = found.rules.values().map(|counts| counts.same).sum();
    assert_eq!(same as usize, all.len() - 3);
    // And under a third set at the same place.
    let third = [thief("low"), rogue()];
    let before = all.len();
    let all = ran(&place, &third).await;
    assert_eq!(all.len(), before, "all is closed");
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_set_at_the_same_place_is_found_again_by_a_backtest() {
    let place = Place::new(&["acme"]).await;
    place.append("acme", &past()).await;
    ran(&place, &[thief("low")]).await;
    let changed = ran(&place, &[rogue()]).await;
    let third = [thief("high"), rogue()];
    let all = ran(&place, &third).await;
    assert_eq!(shown(&all[changed.len()..]), [(THIEF, "a-3/github/merge", State::Open)]);
    let (found, differences) = compared(&place, &third);
    assert_eq!(found.rules[THIEF].same, 1, "{differences:?}");
    assert!(
        !differences.iter().any(|one| matches!(one, Difference::Computed(entry) if entry.explanation.contains("folding the log again"))),
        "{differences:?}"
    );
    place.store.close().await.unwrap();
}

/// What an earlier model told has another id: it is closed for that, whatever the rules say.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_model_told_is_closed_with_that_reason() {
    let whole = Place::new(&["acme"]).await;
    whole.append("acme", &past()).await;
    let rules = [rogue()];
    ran(&whole, &rules).await;
    let rows = whole.alert_rows("acme");
    let old = |id: &str| format!("{}{}", "f".repeat(8), &id[8..]);
    let rows = with_column(&with_column(&rows, "alert_id", old), "event_id", old);
    let rows = with_column(&rows, "source", |_| "detect/engine/1".to_owned());
    let place = Place::new(&["acme"]).await;
    place.append("acme", &past()).await;
    place.append_alerts("acme", &rows).await;
    let all = ran(&place, &rules).await;
    let told = &all[rows.num_rows()..];
    let closed: Vec<_> = told.iter().filter(|alert| alert.state == State::Closed).collect();
    assert!(closed.len() >= 2, "{all:?}");
    for alert in closed {
        assert!(
            alert.explanation.contains("closed because it was told by an earlier model"),
            "{}",
            alert.explanation
        );
    }
    assert!(told.iter().any(|alert| alert.state == State::Open && alert.rule_id == ROGUE));
    for of in [&whole, &place] {
        of.store.close().await.unwrap();
    }
}

/// A rule on single events that is new, and older in order than what that event is on record with: it is told all the same, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_event_on_record_causes_anew_is_told_once() {
    let place = Place::new(&["acme"]).await;
    let early = rule("00000000-0000-4000-8000-000000000001", "x/both", "high");
    let late = rule(ROGUE, "both", "high");
    place.append("acme", &[to(0, "x/both", "a-1"), to(1, "x/both", "a-1")]).await;
    let before = ran(&place, std::slice::from_ref(&late)).await;
    let both = [early, late];
    let after = ran(&place, &both).await;
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(after.len(), before.len() + 1, "{after:?}");
    assert!(is_in_order(&after), "{after:?}");
    forget(&place.options().snapshot_dir);
    assert_eq!(ran(&place, &both).await, after);
    let (_, differences) = compared(&place, &both);
    let open = |one: &Difference| matches!(one, Difference::Computed(entry) if entry.state == "open");
    assert!(differences.iter().all(open), "{differences:?}");
    place.store.close().await.unwrap();
}

/// A state file of other rules that cannot be deleted: nothing is told, or it would be gone on with when those rules come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_deleted_keeps_anything_from_being_told() {
    let place = Place::new(&["acme"]).await;
    place.append("acme", &past()).await;
    let states = place.options().snapshot_dir;
    let stays = states.join("acme-3.state");
    std::fs::create_dir_all(stays.join("in it")).unwrap();
    let rules = loaded(&[thief("low")], &[]);
    let options = detect::Options { rules: Some(rules), ..place.options() };
    let handle = detect::Detector::start(place.store.clone(), options).unwrap();
    place
        .eventually(|| handle.progress().get("acme").is_some_and(|progress| progress.failure.is_some()))
        .await;
    let failure = handle.progress()["acme"].failure.clone().unwrap();
    assert!(failure.contains("acme-3.state") && failure.contains("delete"), "{failure}");
    assert!(place.recorded("acme").is_empty());
    // It is tried again.
    std::fs::remove_dir_all(stays).unwrap();
    place.judged(&handle, "acme").await;
    assert_eq!(place.recorded("acme").len(), 2);
    handle.shutdown().await;
    place.store.close().await.unwrap();
}
