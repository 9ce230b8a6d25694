//! Changes of rules that somebody means to hide in, or that come thick and fast: the log stays one that a backtest finds again.

use arrow::array::{Array, AsArray};
use detect::{Backtest, Difference, backtest};
use engine::{Settings, Setup};
use schemas::Stream;
use serde_json::json;

use crate::fixture::Place;
use crate::other_rules::{at, later, loaded, ran, thief};

fn compared(place: &Place, rules: &[String]) -> (Backtest, Vec<Difference>) {
    let mut differences = Vec::new();
    let setup = Setup { settings: Settings::default(), rules: Some(loaded(rules, &[])) };
    let alerts = place.store.snapshot("acme", Stream::Alerts);
    let events = place.store.snapshot("acme", Stream::Events).unwrap();
    let found = backtest(alerts, events, setup, |difference| differences.push(difference)).unwrap();
    (found, differences)
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
