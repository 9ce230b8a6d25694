//! A sink over a real store, with another side that does as a script says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::format::Context;
use crate::settings::Sink;

mod fixture;

use fixture::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_alert_arrives_once_and_in_order_sealed_or_not() {
    let place = Home::new();
    place.append("acme", 0, 3_000, |_| false).await;
    place.store.seal().await.unwrap();
    place.append("acme", 3_000, 700, |_| false).await;
    place.append("beta", 0, 10, |_| false).await;
    let running = place.start("from = \"start\"", 64, all_taken);
    place.taken(3_710).await;
    place.append("acme", 3_700, 5, |_| false).await;
    place.append("late", 0, 3, |_| false).await;
    place.taken(3_718).await;
    let status =
        running.until(|status| status.tenants.values().map(|tenant| tenant.lag).sum::<u64>() == 0).await;
    assert_eq!(status.tenants.len(), 3);
    assert!(status.is_up && status.delivered_us.is_some());
    running.end().await;
    assert_eq!(place.ids("acme"), numbers(0..3_705));
    assert_eq!(place.ids("beta"), numbers(0..10));
    assert_eq!(place.ids("late"), numbers(0..3));
    // A new start sends nothing again.
    let running = place.start("from = \"start\"", 64, all_taken);
    place.append("acme", 3_705, 1, |_| false).await;
    place.taken(3_719).await;
    running.end().await;
    assert_eq!(place.ids("acme"), numbers(0..3_706));
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sink_begins_at_the_end_and_is_bound_to_it_at_once() {
    let place = Home::new();
    place.append("acme", 0, 10, |_| false).await;
    let down = |_: u64, batch: &[Message]| batch.iter().map(|_| Fate::away("down")).collect();
    let running = place.start("", 64, down);
    running.until(|status| status.tenants.contains_key("acme")).await;
    place.append("acme", 10, 5, |_| false).await;
    place.append("beta", 0, 2, |_| false).await;
    running.until(|status| !status.is_up).await;
    // As a kill would: nothing of the end is written.
    running.task.abort();
    let running = place.start("", 64, all_taken);
    place.taken(7).await;
    running.end().await;
    assert_eq!((place.ids("acme"), place.ids("beta")), (numbers(10..15), numbers(0..2)));
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r41_delivery_survives_an_outage_of_an_hour_flapping_and_refusals() {
    for seed in 0..6 {
        let place = Home::new();
        let (mut throw, hour) = (dice(seed), Duration::from_secs(3_600) / SPEED);
        let begun = tokio::time::Instant::now();
        let is_in_order = seed % 2 == 0;
        let refused = |message: &Message| message.log_index % 97 == 13;
        let running = place.start("from = \"start\"", 32, move |_, batch| {
            if begun.elapsed() < hour {
                return vec![Fate::away("down")];
            }
            let mut fates = Vec::new();
            for message in batch {
                // Where the protocol lets it, nothing is tried behind what waits.
                if is_in_order && matches!(fates.last(), Some(Fate::Later { .. })) {
                    return fates;
                }
                fates.push(match throw(20) {
                    0 => Fate::away("flapping"),
                    1 => Fate::Later { reason: "500".to_owned(), answered: true, wait: None },
                    2 => Fate::Later {
                        reason: "429".to_owned(),
                        answered: false,
                        wait: Some(Duration::from_secs(2)),
                    },
                    // It breaks off, having taken some.
                    3 => return fates,
                    _ if refused(message) => Fate::Refused("too large".to_owned()),
                    _ => Fate::Taken,
                });
            }
            fates
        });
        // Meanwhile alerts come.
        for part in 0..10 {
            place.append("acme", part * 100, 100, |_| false).await;
            place.append("beta", part * 20, 20, |_| false).await;
        }
        let status = running
            .until(|status| {
                status.tenants.len() == 2 && status.tenants.values().all(|tenant| tenant.lag == 0)
            })
            .await;
        running.end().await;
        let mut dead = 0;
        for (tenant, count) in [("acme", 1_000), ("beta", 200)] {
            let ids = first_of_each(&place.ids(tenant));
            let mut sorted = ids.clone();
            sorted.sort();
            assert!(!is_in_order || ids == sorted, "seed {seed}: {tenant} in order");
            let of_tenant = status.tenants[tenant].dead_letters;
            // Entry 0 of a log is the recorder's own.
            let expected = (1..=count).filter(|index| index % 97 == 13).count();
            assert_eq!(of_tenant, expected as u64, "seed {seed}: dead letters");
            assert_eq!(ids.len() + expected, count, "seed {seed}: {tenant} whole");
            dead += of_tenant;
        }
        assert_eq!(place.state().dead_messages(), dead);
        place.store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_nothing_is_passed_that_was_not_taken() {
    let place = Home::new();
    place.append("acme", 0, 2_000, |number| number % 3 == 0).await;
    let expected: Vec<String> =
        (0..2_000).filter(|number| number % 3 != 0).map(|number| format!("{}-0", id(number))).collect();
    let mut throw = dice(7);
    for _ in 0..200 {
        let running = place.start("from = \"start\"\nseverity = \"medium\"", 16, all_taken);
        tokio::time::sleep(Duration::from_micros(throw(4_000))).await;
        running.task.abort();
        let _cut_off = running.task.await;
        let Some(state) = State::read(&place.files()).unwrap() else { continue };
        let next = state.places.get("acme").map_or(0, |place| place.next);
        let taken: BTreeSet<String> = place.ids("acme").into_iter().collect();
        let passed = (0..2_000).filter(|number| number % 3 != 0 && (*number as u64 + 1) < next);
        for number in passed {
            assert!(taken.contains(&format!("{}-0", id(number))), "{number} was passed and never taken");
        }
    }
    let running = place.start("from = \"start\"\nseverity = \"medium\"", 16, all_taken);
    place.taken(expected.len()).await;
    running.end().await;
    assert_eq!(first_of_each(&place.ids("acme")), expected);
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_that_is_always_answered_with_a_failure_is_a_dead_letter_and_comes_back() {
    let place = Home::new();
    place.append("acme", 0, 40, |_| false).await;
    place.append("beta", 0, 5, |_| false).await;
    let is_mended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mended = Arc::clone(&is_mended);
    let running = place.start("from = \"start\"", 8, move |_, batch| {
        let is_mended = mended.load(std::sync::atomic::Ordering::SeqCst);
        let is_bad = |message: &Message| !is_mended && message.tenant == "acme" && message.log_index == 20;
        // The whole request fails where the bad one is in it, as a batch does over there.
        if batch.iter().any(is_bad) {
            return vec![Fate::Later { reason: "500".to_owned(), answered: true, wait: None }];
        }
        vec![Fate::Taken; batch.len()]
    });
    place.taken(44).await;
    let status = running.until(|status| status.tenants["acme"].dead_letters == 1).await;
    assert_eq!(status.tenants["acme"].dead_reason.as_deref(), Some("500"));
    assert_eq!(place.state().places["acme"].dead.len(), 1);
    assert_eq!(place.ids("beta").len(), 5);
    is_mended.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(
        running.ask(|told| Ask::Dead(Some("nobody".to_owned()), told)).await,
        Err(Error::Tenant { .. })
    ));
    assert_eq!(running.ask(|told| Ask::Dead(None, told)).await.unwrap(), 1);
    place.taken(45).await;
    running.until(|status| status.tenants["acme"].replay_entries == 0).await;
    running.end().await;
    let mut ids = place.ids("acme");
    // Its place is the end, once; nothing else came twice.
    assert_eq!(ids.pop(), Some(format!("{}-0", id(19))));
    assert_eq!(ids.len(), 39);
    assert_eq!(place.state().dead_messages(), 0);
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_sent_again_and_dead_letters_are_discarded_when_asked() {
    let place = Home::new();
    place.append("acme", 0, 100, |_| false).await;
    let running = place.start("from = \"start\"", 8, |_, batch| {
        batch
            .iter()
            .map(|message| if message.log_index == 50 { Fate::Refused("no".to_owned()) } else { Fate::Taken })
            .collect()
    });
    place.taken(99).await;
    running.until(|status| status.tenants["acme"].lag == 0).await;
    assert_eq!(running.ask(|told| Ask::Range("acme".to_owned(), 45, Some(55), told)).await.unwrap(), 10);
    running.until(|status| status.tenants["acme"].replay_entries == 0).await;
    assert_eq!(place.ids("acme")[99..], [numbers(44..49), numbers(50..54)].concat());
    // The same refused entry twice is one run or two, and never more than were refused.
    assert_eq!(running.ask(|told| Ask::Discard(None, told)).await.unwrap(), 2);
    assert_eq!(running.ask(|told| Ask::Range("acme".to_owned(), 1_000, None, told)).await.unwrap(), 0);
    running.end().await;
    assert_eq!(place.state().dead_messages(), 0);
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_dead_letters_it_stands_still_and_passes_nothing() {
    let place = Home::new();
    let runs = SINK_DEAD_RUNS_MAX;
    // Every second one is refused, so that no two runs touch.
    place.append("acme", 0, 2 * runs + 100, |_| false).await;
    let running = place.start("from = \"start\"", 512, |_, batch| {
        batch
            .iter()
            .map(
                |message| {
                    if message.log_index % 2 == 0 { Fate::Refused("no".to_owned()) } else { Fate::Taken }
                },
            )
            .collect()
    });
    let status = running
        .until(|status| {
            status
                .tenants
                .get("acme")
                .is_some_and(|acme| acme.failure.as_deref().is_some_and(|why| why.contains("no room")))
        })
        .await;
    let stands = status.tenants["acme"].next;
    assert!(stands <= 2 * runs as u64 + 1, "{stands}");
    assert_eq!(place.state().places["acme"].dead.len(), runs);
    assert_eq!(running.ask(|told| Ask::Discard(None, told)).await.unwrap(), runs as u64);
    running.until(|status| status.tenants["acme"].lag == 0).await;
    running.end().await;
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_that_never_ends_does_not_hold_up_the_end() {
    #[derive(Debug)]
    struct Never;
    #[async_trait]
    impl Transport for Never {
        async fn deliver(&mut self, _batch: &[Message]) -> Vec<Fate> {
            std::future::pending().await
        }
        fn batch_max(&self) -> usize {
            1
        }
        fn target(&self) -> String {
            String::new()
        }
    }
    let place = Home::new();
    place.append("acme", 0, 1, |_| false).await;
    let mut running = place.start("from = \"start\"", 1, all_taken);
    running.task.abort();
    let (stop, stopping) = watch::channel(false);
    let (_asks, asked) = mpsc::channel(1);
    let (told, _standing) = watch::channel(running.standing.borrow_and_update().clone());
    let table = "name = \"it\"\ntype = \"stdout\"\nfrom = \"start\"";
    let task = Task {
        store: place.store.clone(),
        press: Press {
            sink: Arc::new(Sink::from_table(table.parse().unwrap()).unwrap()),
            context: Arc::new(Context {
                installation: String::new(),
                version: String::new(),
                host: String::new(),
                external_url: None,
                record_integrity: false,
            }),
            wall: None,
        },
        transport: Box::new(Never),
        files: Arc::new(place.files()),
        is_new: true,
        state: State::default(),
        asks: asked,
        stop: stopping,
        standing: told,
        speed: SPEED,
        lanes: BTreeMap::new(),
        unsaved: 0,
        tenants: Vec::new(),
        failures: BTreeMap::new(),
        failure: None,
        digests_wait: BTreeMap::new(),
    };
    let task = tokio::spawn(task.run());
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_millis(SINK_END_MS_MAX + 10_000), task).await.unwrap().unwrap();
    assert!(place.state().places["acme"].next <= 1);
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_told_of_once_it_is_over() {
    let place = Home::new();
    place.append("acme", 0, 30, |number| number % 3 == 0).await;
    let digests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&digests);
    let running =
        place.start("severity = \"critical\"\ndigest = true\nfrom = \"start\"", 8, move |_, batch| {
            for message in batch {
                kept.lock()
                    .unwrap()
                    .push((message.id.clone(), String::from_utf8(message.body.to_vec()).unwrap()));
            }
            vec![Fate::Taken; batch.len()]
        });
    // A day is 86 s at this speed: the first ends within that.
    for _ in 0..1_000 {
        if !digests.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.end().await;
    let told = digests.lock().unwrap().clone();
    assert!(!told.is_empty() && told.iter().all(|(id, _)| id.starts_with("digest-acme-")), "{told:?}");
    assert_eq!(told.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len(), told.len(), "each day once");
    let body: serde_json::Value = serde_json::from_str(&told[0].1).unwrap();
    assert_eq!((body["total"].as_u64(), body["opened"].as_u64()), (Some(30), Some(30)), "{body}");
    let counts = body["counts"].as_array().unwrap();
    let of =
        |severity: &str| counts.iter().find(|count| count["severity"] == severity).unwrap()["count"].as_u64();
    assert_eq!((of("low"), of("high")), (Some(10), Some(20)), "{body}");
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_is_not_taken_holds_up_nothing() {
    let place = Home::new();
    place.append("acme", 0, 1, |_| false).await;
    place.append("beta", 0, 1, |_| false).await;
    let refused = Arc::new(Mutex::new(0));
    let count = Arc::clone(&refused);
    let running = place.start("digest = true\nfrom = \"start\"", 8, move |_, batch| {
        if batch[0].kind == "digest" {
            *count.lock().unwrap() += 1;
            return vec![Fate::Later { reason: "500".to_owned(), answered: true, wait: None }];
        }
        vec![Fate::Taken; batch.len()]
    });
    for number in 1..2_000 {
        if *refused.lock().unwrap() > 2 {
            break;
        }
        place.append("beta", number, 1, |_| false).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(*refused.lock().unwrap() > 2, "digests came due");
    let status = running.until(|status| status.tenants.values().all(|tenant| tenant.lag == 0)).await;
    assert!(status.is_up, "alerts go on");
    running.end().await;
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_beyond_the_end_of_a_restored_log_goes_on_at_its_end() {
    let place = Home::new();
    place.append("acme", 0, 20, |_| false).await;
    let running = place.start("from = \"start\"", 8, |_, batch| {
        batch
            .iter()
            .map(|message| if message.log_index == 5 { Fate::Refused("no".to_owned()) } else { Fate::Taken })
            .collect()
    });
    place.taken(19).await;
    running.until(|status| status.tenants["acme"].lag == 0).await;
    running.end().await;
    // As if what is here were the older copy of a longer log.
    let mut state = place.state();
    let of_acme = state.places.get_mut("acme").unwrap();
    of_acme.next = 500;
    of_acme.bury(300, 301, "gone", 0);
    of_acme.again.push(crate::state::Again { next: 400, end: 450 });
    of_acme.again.push(crate::state::Again { next: 2, end: 4 });
    state.write(&place.files()).unwrap();
    let running = place.start("from = \"start\"", 8, all_taken);
    running.until(|status| status.tenants.get("acme").is_some_and(|acme| acme.replay_entries == 0)).await;
    place.append("acme", 20, 5, |_| false).await;
    place.taken(24).await;
    running.end().await;
    let ids = place.ids("acme");
    assert_eq!(ids[19..21], numbers(1..3), "what is in the log is sent again");
    assert_eq!(ids[21..], numbers(20..25), "and what comes then, all of it");
    let dead: Vec<_> = place.state().places["acme"].dead.iter().map(|dead| dead.first).collect();
    assert_eq!(dead.len(), 1, "{dead:?}");
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_it_takes_no_part_in_any_more_is_left_alone() {
    let place = Home::new();
    place.append("acme", 0, 5, |_| false).await;
    place.append("beta", 0, 5, |_| false).await;
    let running = place.start("from = \"start\"", 8, all_taken);
    place.taken(10).await;
    running.until(|status| status.tenants.len() == 2).await;
    running.end().await;
    let running = place.start("from = \"start\"\ntenants = [\"beta\"]", 8, all_taken);
    place.append("acme", 5, 5, |_| false).await;
    place.append("beta", 5, 1, |_| false).await;
    place.taken(11).await;
    let status = running.until(|status| status.tenants.len() == 1).await;
    assert_eq!(status.tenants.keys().collect::<Vec<_>>(), ["beta"]);
    assert!(running.ask(|told| Ask::Dead(Some("acme".to_owned()), told)).await.is_err());
    running.end().await;
    assert_eq!(place.ids("acme").len(), 5);
    // And where it takes part again, nothing of what came meanwhile is missing.
    let running = place.start("from = \"start\"", 8, all_taken);
    place.taken(16).await;
    running.end().await;
    assert_eq!(place.ids("acme"), numbers(0..10));
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_never_answered_keeps_its_tenant_alone_waiting_in_the_end() {
    let place = Home::new();
    place.append("acme", 0, 5, |_| false).await;
    place.append("beta", 0, 5, |_| false).await;
    let running = place.start("from = \"start\"", 8, |_, batch| match batch[0].tenant.as_str() {
        "acme" => vec![Fate::away("cut off")],
        _ => vec![Fate::Taken; batch.len()],
    });
    place.taken(5).await;
    let status = running.until(|status| status.tenants.get("beta").is_some_and(|beta| beta.lag == 0)).await;
    assert_eq!(status.tenants["acme"].failure.as_deref(), Some("cut off"));
    assert_eq!((status.is_up, status.tenants["beta"].failure.as_deref()), (false, None));
    let of_beta = status.clone().of_tenant("beta");
    assert!(of_beta.is_up && of_beta.tenants.len() == 1);
    assert!(!status.clone().of_tenant("acme").is_up && status.of_tenant("nobody").tenants.is_empty());
    running.end().await;
    assert_eq!(place.state().places["acme"].next, 0);
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_behind_are_all_served_though_few_files_are_open() {
    let place = Home::new();
    let tenants: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    for tenant in &tenants {
        place.append(tenant, 0, 300, |number| number % 7 != 0).await;
    }
    place.store.seal().await.unwrap();
    let running = place.start("from = \"start\"\nseverity = \"high\"", 1, all_taken);
    place.taken(40 * 43).await;
    running.end().await;
    for tenant in &tenants {
        let expected: Vec<String> =
            (0..300).filter(|number| number % 7 == 0).map(|number| format!("{}-0", id(number))).collect();
        assert_eq!(place.ids(tenant), expected, "{tenant}");
    }
    place.store.close().await.unwrap();
}
