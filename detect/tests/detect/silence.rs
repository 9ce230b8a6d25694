//! A log in which nothing comes, and one in which people say what an alert was.

use detect::backtest;
use engine::{Settings, State};
use schemas::Stream;
use schemas::control::{ClockRead, Control, Judgement, Verdict};
use serde_json::json;

use crate::fixture::{NOON_US, Place, SECOND_US};

const MINUTE_US: i64 = 60 * SECOND_US;

fn write(number: usize) -> serde_json::Value {
    json!({
        "event_id": format!("w-{number}"), "time": NOON_US, "action": "write", "risk": "critical", "agent_id": "a-1",
        "server": "payments", "capability": "refund",
    })
}

fn states(place: &Place) -> Vec<State> {
    let recorded = place.recorded("acme");
    recorded
        .iter()
        .filter(|alert| alert.rule_id == "unapproved_high_risk_write")
        .map(|alert| alert.state)
        .collect()
}

fn is_same(place: &Place) -> bool {
    let alerts = place.store.snapshot("acme", Stream::Alerts);
    let events = place.store.snapshot("acme", Stream::Events).unwrap();
    backtest(alerts, events, Settings::default(), |_| {}).unwrap().is_same()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_episode_closes_though_nothing_comes_and_the_log_is_left_alone_after_that() {
    let place = Place::new(&["acme"]).await;
    let handle = place.start();
    place.append("acme", &[write(1)]).await;
    place.judged(&handle, "acme").await;
    let quiet = place.durable("acme");
    place.wait(9 * MINUTE_US);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(place.durable("acme"), quiet, "the log waits for late events");
    // Three quiet windows of a quarter of an hour, and the ten minutes that late events have.
    place.wait(60 * MINUTE_US);
    place.eventually(|| states(&place) == [State::Open, State::Closed]).await;
    // Whatever else was open closes too; then nothing is due for ever.
    place.wait(24 * 60 * MINUTE_US);
    let settled = place.settled("acme").await;
    place.wait(24 * 60 * MINUTE_US);
    assert_eq!(place.settled("acme").await, settled);
    assert!(settled - quiet <= 40, "{} entries for what was open", settled - quiet);
    handle.shutdown().await;
    assert!(is_same(&place));
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_in_the_log_closes_and_mutes_and_is_folded_again() {
    let place = Place::new(&["acme"]).await;
    let handle = place.start();
    place.append("acme", &[write(1)]).await;
    place.judged(&handle, "acme").await;
    let alert_id = place.recorded("acme")[0].alert_id.clone();
    let log = place.store.log("acme", Stream::Events).await.unwrap();
    let muted_until_us = NOON_US + 60 * MINUTE_US;
    let verdict = Verdict {
        alert_id,
        verdict: Judgement::Benign,
        muted_until_us,
        by: "t-7".to_owned(),
        note: "moved".to_owned(),
    };
    log.append_control(Control::Verdict(verdict)).await.unwrap();
    place.append("acme", &[write(2)]).await;
    place.judged(&handle, "acme").await;
    assert_eq!(states(&place), [State::Open, State::Closed, State::Open]);
    let last = place.recorded("acme").pop().unwrap();
    assert!(last.explanation.contains("Muted by t-7."), "{}", last.explanation);
    handle.shutdown().await;
    assert!(is_same(&place));
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_the_recorder_belong_in_their_log() {
    let place = Place::new(&["acme"]).await;
    let alerts = place.store.log("acme", Stream::Alerts).await.unwrap();
    let refused = alerts.append_control(Control::ClockRead(ClockRead { due_us: 1 })).await.unwrap_err();
    assert!(refused.to_string().contains("not of this stream"), "{refused}");
    place.store.close().await.unwrap();
}
