//! What the store cannot take waits; what cannot go on says so and stops its own tenant alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use detect::{Detector, Error, Options};
use engine::{Settings, Setup};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use schemas::Stream;

use crate::fixture::{Place, busy, small};
use crate::other_rules::{ROGUE, loaded, rule};

/// How often an append of alerts was refused and tried again, over all detectors of this process.
static RETRIED: LazyLock<Arc<AtomicU64>> = LazyLock::new(|| {
    metrics::set_global_recorder(Retries).expect("no other recorder in these tests");
    Arc::default()
});

/// The tests with a full store run one at a time: they share [`RETRIED`].
static FULL: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Retries;

impl Recorder for Retries {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match key.name() {
            "tacho_detect_appends_retried_total" => Counter::from_arc(Arc::clone(&RETRIED)),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Waits until an append was refused that was not before.
async fn refused_once_more(before: u64) {
    let refused = async {
        while RETRIED.load(Ordering::SeqCst) <= before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), refused).await.expect("an append of alerts was refused");
}

/// Seals until it is aborted, so that there is room again.
fn sealing(place: &Place) -> tokio::task::JoinHandle<()> {
    let store = place.store.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            store.seal().await.unwrap();
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_delays_alerts_and_loses_none() {
    let _alone = FULL.lock().await;
    let before = RETRIED.load(Ordering::SeqCst);
    let events = busy(380);
    let place = Place::with(store::Options { unsealed_bytes_max: 40_000, ..small() }, &["acme"]).await;
    let log = place.store.log("acme", Stream::Events).await.unwrap();
    let mut handle = None;
    let mut rest = events.as_slice();
    while !rest.is_empty() {
        let count = rest.len().min(40);
        match log.append(crate::fixture::draft("acme", &rest[..count])).await {
            Ok(_) => rest = &rest[count..],
            Err(store::Error::Busy { .. }) => {
                // The detector starts on a full store, so that its first append is refused.
                if handle.is_none() {
                    handle = Some(place.start());
                    refused_once_more(before).await;
                }
                place.store.seal().await.unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    let handle = handle.expect("the store was full once");
    let sealing = sealing(&place);
    place.judged(&handle, "acme").await;
    sealing.abort();
    assert!(sealing.await.is_err());
    assert_eq!(place.recorded("acme"), place.expected("acme"));
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_full_store() {
    let _alone = FULL.lock().await;
    let before = RETRIED.load(Ordering::SeqCst);
    let place = Place::with(store::Options { unsealed_bytes_max: 20_000, ..small() }, &["acme"]).await;
    place.append("acme", &busy(380)).await;
    let handle = place.start();
    refused_once_more(before).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), handle.shutdown()).await;
    ended.expect("it ends though its alerts could not be appended");
    assert!(place.recorded("acme").is_empty());
    let place = place.reopened().await;
    let handle = place.start();
    place.judged(&handle, "acme").await;
    assert_eq!(place.recorded("acme"), place.expected("acme"));
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

/// What the old rules found and could not tell is left to the new ones, and until they have, whoever asks is told that detection is behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_does_not_wait_for_a_full_store() {
    let _alone = FULL.lock().await;
    let before = RETRIED.load(Ordering::SeqCst);
    let place = Place::with(store::Options { unsealed_bytes_max: 20_000, ..small() }, &["acme"]).await;
    place.append("acme", &busy(380)).await;
    let handle = place.start();
    refused_once_more(before).await;
    let write = rule(ROGUE, "x", "high").replace("target|contains: x", "action: write");
    let rules = loaded(&[write], &[]);
    let again = RETRIED.load(Ordering::SeqCst);
    let reloaded =
        tokio::time::timeout(Duration::from_secs(5), handle.reload(Some(Arc::clone(&rules)))).await;
    assert!(reloaded.expect("it ends though alerts could not be appended").unwrap().is_changed());
    refused_once_more(again).await;
    let waited = tokio::time::timeout(Duration::from_millis(50), handle.wait_for("acme", 379)).await;
    assert!(waited.is_err(), "behind, not stopped: {waited:?}");
    assert!(!handle.progress()["acme"].is_stopped && handle.progress()["acme"].failure.is_none());
    assert!(place.recorded("acme").is_empty());
    let sealing = sealing(&place);
    place.judged(&handle, "acme").await;
    sealing.abort();
    assert!(sealing.await.is_err());
    let setup = Setup { settings: Settings::default(), rules: Some(rules) };
    let expected = detect::fold(place.store.snapshot("acme", Stream::Events).unwrap(), setup).unwrap();
    assert!(expected.iter().any(|alert| alert.rule_id == ROGUE), "{expected:?}");
    assert_eq!(place.recorded("acme"), expected);
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_segment_stops_its_tenant_and_no_other() {
    let place = Place::new(&["acme", "zenith"]).await;
    for tenant in ["acme", "zenith"] {
        place.append(tenant, &busy(120)).await;
    }
    place.store.seal().await.unwrap();
    let segment = place.store.snapshot("acme", Stream::Events).unwrap().segments[0].entries.path.clone();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&segment).unwrap();
    std::fs::write(&segment, bytes).unwrap();
    let handle = place.start();
    place.judged(&handle, "zenith").await;
    let error = handle.wait_for("acme", 5).await.unwrap_err();
    assert!(
        matches!(&error, Error::Stopped { tenant, reason } if tenant == "acme" && reason.contains("digest"))
    );
    assert!(handle.progress()["acme"].is_stopped && !handle.progress()["zenith"].is_stopped);
    assert!(place.recorded("acme").is_empty());
    assert_eq!(place.recorded("zenith"), place.expected("zenith"));
    handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_ends_detection_and_says_so() {
    let place = Place::new(&["acme"]).await;
    let handle = place.start();
    place.append("acme", &busy(10)).await;
    place.judged(&handle, "acme").await;
    let log = place.store.log("acme", Stream::Events).await.unwrap();
    // The last writes trip a rule just before the store closes under the runner: whatever of it is recorded is
    // right, and the rest follows at the next start.
    let appended =
        tokio::spawn(async move { log.append(crate::fixture::draft("acme", &busy(120)[10..])).await });
    let closed = place.store.close().await;
    let appended = appended.await.unwrap();
    assert!(closed.is_ok(), "{closed:?}, {appended:?}");
    handle.shutdown().await;
    let recorded = place.recorded("acme");
    let expected = place.expected("acme");
    assert_eq!(recorded[..], expected[..recorded.len()]);
    let place = place.reopened().await;
    let handle = place.start();
    place.judged(&handle, "acme").await;
    assert_eq!(place.recorded("acme"), expected);
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_directories_are_checked_at_the_start() {
    let place = Place::new(&["acme"]).await;
    let settings = Settings { buckets: 0, ..Settings::default() };
    let error = Detector::start(place.store.clone(), Options { settings, ..place.options() }).unwrap_err();
    assert!(error.to_string().contains("buckets"), "{error}");
    let file = place.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let options = Options { snapshot_dir: file.join("states"), ..place.options() };
    assert!(matches!(Detector::start(place.store.clone(), options), Err(Error::SnapshotDir { .. })));
    place.store.close().await.unwrap();
}
