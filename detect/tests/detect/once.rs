//! Alerts appear once, soon, in the right log, with the columns that the stream promises.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use engine::State;
use schemas::Stream;
use serde_json::json;

use crate::fixture::{Place, batches, busy, text};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_is_what_one_fold_says() {
    let place = Place::new(&["acme"]).await;
    let handle = place.start();
    place.append("acme", &busy(360)).await;
    place.judged(&handle, "acme").await;
    let expected = place.expected("acme");
    // The events are worth the test: every state, several alerts of one record, more than one rule.
    let states: BTreeSet<State> = expected.iter().map(|alert| alert.state).collect();
    assert_eq!(states.len(), 3);
    assert!(expected.iter().any(|alert| alert.ordinal > 0));
    assert!(expected.iter().map(|alert| &alert.rule_id).collect::<BTreeSet<_>>().len() >= 4);
    assert_eq!(place.recorded("acme"), expected);
    assert_eq!(handle.position("acme"), Some(place.durable("acme")));
    handle.shutdown().await;
    assert!(handle.wait_for("acme", 1_000_000).await.is_err(), "nobody waits for a detector that has ended");
    place.store.close().await.unwrap();
    assert_eq!(place.recorded("acme"), expected, "sealed as they were");
}

/// A tenant's log is folded by one engine wherever it runs, so that how many threads share the tenants changes nothing.
#[test]
fn one_two_and_seven_threads_say_the_same_of_seven_tenants() {
    const TENANTS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    let by = |threads: usize| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(threads)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let place = Place::new(&TENANTS).await;
            let handle = place.start();
            // Each log of another length, in turns, so that they are folded beside each other.
            for turn in 0..3 {
                for (at, tenant) in TENANTS.iter().enumerate() {
                    let events = busy(3 * (60 + 10 * at));
                    place
                        .append(tenant, &events[turn * events.len() / 3..(turn + 1) * events.len() / 3])
                        .await;
                }
            }
            let mut recorded = Vec::new();
            for tenant in TENANTS {
                place.judged(&handle, tenant).await;
                assert_eq!(place.recorded(tenant), place.expected(tenant));
                recorded.push(place.recorded(tenant));
            }
            handle.shutdown().await;
            place.store.close().await.unwrap();
            recorded
        })
    };
    let by_one = by(1);
    assert!(by_one.iter().all(|alerts| alerts.len() > 5));
    assert_eq!(by(2), by_one);
    assert_eq!(by(7), by_one);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_columns_name_the_evidence_and_the_session() {
    let place = Place::new(&["acme"]).await;
    let handle = place.start();
    place.append("acme", &busy(120)).await;
    place.judged(&handle, "acme").await;
    handle.shutdown().await;
    let evidence_log = place.store.snapshot("acme", Stream::Events).unwrap().origin.to_string();
    let alerts = place.store.snapshot("acme", Stream::Alerts).unwrap();
    let (mut of_one, mut of_more) = (0, 0);
    for batch in batches(&alerts) {
        for row in (0..batch.num_rows()).filter(|row| text(&batch, *row, "control").is_none()) {
            let text = |name| text(&batch, row, name).unwrap();
            assert_eq!(text("evidence_log"), evidence_log);
            assert_eq!(text("source"), format!("detect/engine/{}", engine::MODEL_VERSION));
            assert_eq!((text("kind"), text("tenant")), ("alert".to_owned(), "acme".to_owned()));
            assert_eq!((text("decision"), text("status")), ("none".to_owned(), "ok".to_owned()));
            match text("session_id").as_str() {
                "_detect" => of_more += 1,
                session => {
                    of_one += 1;
                    // Event `e-<n>` is entry n + 1 and of session `s-<n mod 5>`.
                    let alert = place
                        .recorded("acme")
                        .into_iter()
                        .find(|alert| alert.alert_id == text("alert_id") && alert.state == State::Open);
                    let alert = alert.unwrap();
                    assert_eq!(alert.evidence, [alert.position]);
                    assert_eq!(session, format!("s-{}", (alert.position - 1) % 5));
                }
            }
        }
    }
    assert!(of_one > 0 && of_more > 0, "{of_one} {of_more}");
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_durable_well_under_a_second_after_its_event() {
    let place = Place::new(&["acme"]).await;
    let handle = place.start();
    place.append("acme", &[json!({"event_id": "first", "time": crate::fixture::NOON_US})]).await;
    place.judged(&handle, "acme").await;
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        let write = json!({
            "event_id": format!("w-{number}"), "time": crate::fixture::NOON_US, "action": "write",
            "risk": "critical", "agent_id": format!("a-{number}"), "server": "payments", "capability": "refund",
        });
        place.append("acme", &[write]).await;
        #[expect(clippy::disallowed_methods, reason = "this measures")]
        let started = Instant::now();
        place.judged(&handle, "acme").await;
        slowest = slowest.max(started.elapsed());
        assert_eq!(place.recorded("acme").len(), number + 1);
    }
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_judged_apart() {
    let place = Place::new(&["acme", "zenith", "busy"]).await;
    // A day's login failures of one address, half in each tenant: together a burst, apart none.
    let login = |number: usize| {
        json!({
            "event_id": format!("l-{number}"), "time": crate::fixture::NOON_US, "kind": "auth", "method": "login",
            "source_ip": "198.51.100.23", "status": "error",
        })
    };
    let handle = place.start();
    let half: Vec<_> = (0..6).map(login).collect();
    place.append("acme", &half).await;
    place.append("zenith", &half).await;
    place.append("busy", &busy(200)).await;
    for tenant in ["acme", "zenith", "busy"] {
        place.judged(&handle, tenant).await;
    }
    assert_eq!((place.recorded("acme").len(), place.recorded("zenith").len()), (0, 0));
    assert_eq!(place.recorded("busy"), place.expected("busy"));
    place.append("acme", &half).await;
    place.judged(&handle, "acme").await;
    assert!(place.recorded("acme").iter().any(|alert| alert.rule_id == "auth_failure_burst"));
    assert_eq!(place.recorded("zenith").len(), 0);
    let known: Vec<String> = handle.progress().into_keys().collect();
    assert_eq!(known, ["acme", "busy", "zenith"]);
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_and_unsealed_entries_are_one_log() {
    let place = Place::new(&["acme"]).await;
    let events = busy(360);
    for (number, part) in events.chunks(73).enumerate() {
        place.append("acme", part).await;
        if number % 2 == 0 {
            place.store.seal().await.unwrap();
        }
    }
    let snapshot = place.store.snapshot("acme", Stream::Events).unwrap();
    assert!(snapshot.sealed > 0 && snapshot.sealed == snapshot.durable, "the last part is sealed");
    place.append("acme", &busy(380)[360..]).await;
    let snapshot = place.store.snapshot("acme", Stream::Events).unwrap();
    assert!(snapshot.segments.len() >= 2 && !snapshot.unsealed.is_empty());
    let handle = place.start();
    place.judged(&handle, "acme").await;
    let expected = place.expected("acme");
    assert_eq!(place.recorded("acme"), expected);
    // The same log, sealed to the end, says the same.
    place.store.seal().await.unwrap();
    assert_eq!(place.expected("acme"), expected);
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn control_entries_move_the_position_and_nothing_else() {
    let place = Place::new(&["acme"]).await;
    // Opening the log makes its first entry, which is the recorder's own.
    let _log = place.store.log("acme", Stream::Events).await.unwrap();
    let handle = place.start();
    handle.wait_for("acme", 0).await.unwrap();
    assert_eq!(handle.position("acme"), Some(1));
    assert!(place.recorded("acme").is_empty());
    handle.shutdown().await;
    place.store.close().await.unwrap();
}
