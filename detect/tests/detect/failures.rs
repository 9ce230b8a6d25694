//! What the store cannot take waits; what cannot go on says so and stops its own tenant alone.

use std::time::Duration;

use detect::{Detector, Error, Options};
use engine::Settings;
use schemas::Stream;

use crate::fixture::{Place, busy, small};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_delays_alerts_and_loses_none() {
    let events = busy(380);
    let place = Place::with(store::Options { unsealed_bytes_max: 15_000, ..small() });
    let log = place.store.log("acme", Stream::Events).await.unwrap();
    let mut refused = 0;
    let mut rest = events.as_slice();
    let handle = place.start();
    while !rest.is_empty() {
        let count = rest.len().min(40);
        match log.append(crate::fixture::draft("acme", &rest[..count])).await {
            Ok(_) => rest = &rest[count..],
            Err(store::Error::Busy { .. }) => {
                // Long enough for alerts to be refused too.
                tokio::time::sleep(Duration::from_millis(30)).await;
                refused += 1;
                place.store.seal().await.unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 1, "the store was never full");
    let sealing = tokio::spawn({
        let store = place.store.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                store.seal().await.unwrap();
            }
        }
    });
    place.judged(&handle, "acme").await;
    sealing.abort();
    assert!(sealing.await.is_err());
    assert_eq!(place.recorded("acme"), place.expected("acme"));
    handle.shutdown().await;
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_full_store() {
    let place = Place::with(store::Options { unsealed_bytes_max: 2_000, ..small() });
    place.append("acme", &busy(380)).await;
    let handle = place.start();
    tokio::time::sleep(Duration::from_millis(50)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_segment_stops_its_tenant_and_no_other() {
    let place = Place::new();
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
    let place = Place::new();
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
    let place = Place::new();
    let settings = Settings { buckets: 0, ..Settings::default() };
    let error = Detector::start(place.store.clone(), Options { settings, ..place.options() }).unwrap_err();
    assert!(error.to_string().contains("buckets"), "{error}");
    let file = place.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let options = Options { snapshot_dir: file.join("states"), ..place.options() };
    assert!(matches!(Detector::start(place.store.clone(), options), Err(Error::SnapshotDir { .. })));
    place.store.close().await.unwrap();
}
