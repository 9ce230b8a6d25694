//! Other rules while the runner runs: recorded is what a restart under them records, and whoever holds the handle sees it go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use detect::{Detector, Error, Handle, Options, Reloaded};
use engine::{Alert, Settings, Setup, State};
use schemas::Stream;
use sigma::Rules;

use crate::fixture::{Place, busy};
use crate::other_rules::{ROGUE, at, is_in_order, later, loaded, past, ran, rogue, shown, thief, to};

fn start(place: &Place, rules: &Arc<Rules>) -> Handle {
    let options = Options { rules: Some(Arc::clone(rules)), ..place.options() };
    Detector::start(place.store.clone(), options).unwrap()
}

/// What is open by what is recorded last of each, and what a fold of the log under these rules has open.
fn open_and_expected(place: &Place, rules: &Arc<Rules>) -> [Vec<String>; 2] {
    let setup = Setup { settings: Settings::default(), rules: Some(Arc::clone(rules)) };
    let expected = detect::fold(place.store.snapshot("acme", Stream::Events).unwrap(), setup).unwrap();
    [place.recorded("acme"), expected].map(|alerts: Vec<Alert>| {
        let last: BTreeMap<String, State> =
            alerts.into_iter().map(|alert| (alert.alert_id, alert.state)).collect();
        last.into_iter().filter(|(_, state)| *state != State::Closed).map(|(id, _)| id).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_records_what_a_restart_records() {
    let (old, new) = ([thief("low"), rogue()], [thief("critical")]);
    let more = || vec![to(6, "y/thief", "a-3"), to(7, "y/rogue", "a-1"), to(8, "y/thief", "a-9")];

    let restarted = Place::new(&["acme"]).await;
    restarted.append("acme", &past()).await;
    ran(&restarted, &old).await;
    let expected_first = ran(&restarted, &new).await;
    restarted.append("acme", &more()).await;
    ran(&restarted, &new).await;
    restarted.append("acme", &later()).await;
    let expected = ran(&restarted, &new).await;
    assert!(is_in_order(&expected), "{expected:?}");

    let place = Place::new(&["acme"]).await;
    let handle = start(&place, &loaded(&old, &[]));
    place.append("acme", &past()).await;
    place.judged(&handle, "acme").await;
    let rules = loaded(&new, &[]);
    let kept = handle.clone();
    let waiting = tokio::spawn({
        let next = place.durable("acme");
        async move { kept.wait_for("acme", next).await }
    });
    let reloaded = handle.reload(Some(Arc::clone(&rules))).await.unwrap();
    assert_eq!(reloaded.after.as_deref(), Some(rules.digest()));
    assert!(reloaded.is_changed());
    place.judged(&handle, "acme").await;
    assert_eq!(
        place.recorded("acme"),
        expected_first,
        "all that changes is told before anybody is told of the end"
    );
    let closed = &expected_first[expected_first.len() - 3..];
    assert!(
        shown(closed).contains(&(ROGUE, "a-1/github/merge", State::Closed))
            && closed.iter().any(|alert| alert.explanation.contains("its rule is no longer loaded")),
        "{closed:?}"
    );
    place.append("acme", &more()).await;
    waiting.await.unwrap().expect("who waited before goes on waiting");
    place.judged(&handle, "acme").await;
    place.append("acme", &later()).await;
    place.judged(&handle, "acme").await;
    assert_eq!(place.recorded("acme"), expected);
    handle.shutdown().await;
    // And a start under the new rules finds their state.
    assert_eq!(ran(&place, &new).await, expected);
    place.store.close().await.unwrap();
    restarted.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_rules_change_nothing() {
    let place = Place::new(&["acme"]).await;
    let handle = start(&place, &loaded(&[thief("low")], &[]));
    place.append("acme", &past()).await;
    place.judged(&handle, "acme").await;
    let (before, progress) = (place.recorded("acme"), handle.progress());
    let same = loaded(&[thief("low")], &[]);
    let Reloaded { before: was, after: is } = handle.reload(Some(Arc::clone(&same))).await.unwrap();
    assert_eq!((was.as_deref(), is.as_deref()), (Some(same.digest()), Some(same.digest())));
    assert_eq!(handle.progress(), progress, "nothing is folded again");
    place.append("acme", &[at(6, &serde_json::json!({}))]).await;
    place.judged(&handle, "acme").await;
    assert_eq!(place.recorded("acme"), before);
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

/// While the log is being folded and grows, and one upon the other.
#[tokio::test(flavor = "multi_thread")]
async fn reloads_that_overtake_one_another_leave_the_last_in_force() {
    let place = Place::new(&["acme"]).await;
    let sets =
        [loaded(&[thief("low")], &[]), loaded(&[rogue()], &[]), loaded(&[thief("high"), rogue()], &[])];
    let handle = start(&place, &sets[0]);
    place.append("acme", &past()).await;
    let growing = tokio::spawn({
        let log = place.store.log("acme", Stream::Events).await.unwrap();
        let events: Vec<_> = (6..120)
            .map(|number| {
                to(number, if number % 3 == 0 { "x/thief" } else { "x/rogue" }, &format!("a-{}", number % 4))
            })
            .collect();
        async move {
            for event in events {
                log.append(crate::fixture::draft("acme", std::slice::from_ref(&event))).await.unwrap();
            }
        }
    });
    for round in 0..4 {
        let both = [1, 2].map(|at| handle.reload(Some(Arc::clone(&sets[at]))));
        let [one, other] = both;
        let (one, other) = tokio::join!(one, other);
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(one.after == other.before || other.after == one.before, "{round}: one after the other");
        handle.reload(Some(Arc::clone(&sets[0]))).await.unwrap();
        handle.reload(Some(Arc::clone(&sets[2]))).await.unwrap();
        assert!(!handle.progress().values().any(|progress| progress.is_stopped));
    }
    growing.await.unwrap();
    place.judged(&handle, "acme").await;
    assert!(is_in_order(&place.recorded("acme")), "{:?}", place.recorded("acme"));
    let [open, expected] = open_and_expected(&place, &sets[2]);
    assert!(!open.is_empty());
    assert_eq!(open, expected);
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

/// The old rules' task is ended in order though it waits for another, and a tenant that comes afterwards has the new ones.
#[tokio::test(flavor = "multi_thread")]
async fn every_tenant_has_the_new_rules_and_so_have_those_that_come() {
    let place = Place::new(&["acme", "zenith"]).await;
    let handle = start(&place, &loaded(&[thief("low")], &[]));
    for tenant in ["acme", "zenith"] {
        place.append(tenant, &past()).await;
        place.judged(&handle, tenant).await;
    }
    handle.reload(Some(loaded(&[rogue()], &[]))).await.unwrap();
    let late = place.store.log("late", Stream::Events).await.unwrap();
    log_at(&late, &to(0, "x/rogue", "a-1")).await;
    for tenant in ["acme", "zenith", "late"] {
        place.judged(&handle, tenant).await;
        let recorded = place.recorded(tenant);
        let rogues = recorded.iter().filter(|alert| alert.rule_id == ROGUE && alert.state == State::Open);
        assert_eq!(rogues.count(), if tenant == "late" { 1 } else { 2 }, "{tenant}: {recorded:?}");
    }
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

async fn log_at(log: &store::Log, event: &serde_json::Value) {
    log.append(crate::fixture::draft("late", std::slice::from_ref(event))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_shut_down_reloads_nothing() {
    let place = Place::new(&["acme"]).await;
    place.append("acme", &busy(200)).await;
    let handle = start(&place, &loaded(&[thief("low")], &[]));
    let (rules, other) = (loaded(&[rogue()], &[]), handle.clone());
    let reloading = tokio::spawn(async move { other.reload(Some(rules)).await });
    let ended = tokio::time::timeout(Duration::from_secs(30), handle.shutdown()).await;
    ended.expect("a reload under way does not hold the end up");
    let reloaded = reloading.await.unwrap();
    assert!(matches!(reloaded, Ok(_) | Err(Error::Closed)), "{reloaded:?}");
    let refused = handle.reload(Some(loaded(&[rogue()], &[]))).await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    place.store.close().await.unwrap();
}
