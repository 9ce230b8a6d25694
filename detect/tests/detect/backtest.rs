//! The stored past, folded again: the same settings give the same log, others say what would have been.

use detect::{Backtest, Difference, backtest};
use engine::{Settings, State};
use schemas::Stream;

use crate::fixture::{Place, busy};

fn compared(place: &Place, settings: Settings) -> (Backtest, Vec<Difference>) {
    let alerts = place.store.snapshot("acme", Stream::Alerts);
    let events = place.store.snapshot("acme", Stream::Events).unwrap();
    let mut differences = Vec::new();
    let found = backtest(alerts, events, settings, |difference| differences.push(difference)).unwrap();
    (found, differences)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_settings_give_the_alerts_log_bit_for_bit_and_others_a_difference() {
    let place = Place::new(&["acme"]).await;
    let handle = place.start();
    let events = busy(360);
    place.append("acme", &events[..200]).await;
    place.judged(&handle, "acme").await;
    // Part of both logs is sealed, part is not.
    place.store.seal().await.unwrap();
    place.append("acme", &events[200..]).await;
    place.judged(&handle, "acme").await;
    handle.shutdown().await;
    let recorded = place.recorded("acme");
    let (found, differences) = compared(&place, Settings::default());
    assert!(found.is_same() && differences.is_empty(), "{differences:?}");
    assert_eq!(found.events, place.durable("acme"));
    assert_eq!(found.rules.values().map(|counts| counts.same).sum::<u64>(), recorded.len() as u64);

    // Without one rule its entries are in the log alone, and all others are the same.
    let rule = "unapproved_high_risk_write";
    let of_rule = recorded.iter().filter(|alert| alert.rule_id == rule).count();
    let without = Settings { disabled: [rule.to_owned()].into(), ..Settings::default() };
    let (found, differences) = compared(&place, without);
    assert!(of_rule > 0 && of_rule < recorded.len() && !found.is_same());
    assert!(found.rules.iter().all(|(id, counts)| id == rule || counts.is_same()), "{found:?}");
    assert_eq!(differences.len(), of_rule);
    for difference in &differences {
        assert!(matches!(difference, Difference::Recorded(entry) if entry.rule_id == rule), "{difference:?}");
    }

    // A lower threshold says what would have been told.
    let mut lower = Settings::default();
    lower.denial_ratio_ceiling.calls_min = 2;
    let (found, differences) = compared(&place, lower);
    let opened = |difference: &Difference| matches!(difference, Difference::Computed(entry) if entry.rule_id == "denial_ratio_ceiling" && entry.state == "open");
    let before =
        recorded.iter().filter(|a| a.rule_id == "denial_ratio_ceiling" && a.state == State::Open).count();
    assert!(!found.is_same() && (before > 0 || differences.iter().any(opened)), "{differences:?}");
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_alerts_is_held_against_what_should_be_there() {
    let place = Place::new(&["acme"]).await;
    place.append("acme", &busy(120)).await;
    let expected = place.expected("acme");
    let (found, differences) = compared(&place, Settings::default());
    assert_eq!(differences.len(), expected.len());
    assert!(differences.iter().all(|difference| matches!(difference, Difference::Computed(_))));
    assert_eq!(found.rules.values().map(|counts| counts.computed).sum::<u64>(), expected.len() as u64);
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_there_twice_is_one_too_many() {
    let place = Place::new(&["acme"]).await;
    place.append("acme", &busy(120)).await;
    let handle = place.start();
    place.judged(&handle, "acme").await;
    handle.shutdown().await;
    assert!(compared(&place, Settings::default()).0.is_same());
    let last = place.alert_rows("acme");
    let last = last.slice(last.num_rows() - 1, 1);
    place.append_alerts_again("acme", &last).await;
    let (found, differences) = compared(&place, Settings::default());
    assert!(!found.is_same());
    assert!(matches!(&differences[..], [Difference::Recorded(_)]), "{differences:?}");
    place.store.close().await.unwrap();
}
