//! Stopped, killed, restarted, with or without its state files: never an alert lost, doubled or changed.

use std::time::Duration;

use detect::Options;
use engine::Settings;

use crate::fixture::{Place, busy};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_after_any_event_changes_nothing() {
    let events = busy(200);
    let splits: Vec<(usize, String)> =
        (0..=events.len()).step_by(9).map(|split| (split, format!("t-{split}"))).collect();
    let tenants: Vec<&str> = splits.iter().map(|(_, tenant)| tenant.as_str()).collect();
    let mut place = Place::new(&tenants).await;
    for (number, (split, tenant)) in splits.iter().enumerate() {
        let split = *split;
        place.append(tenant, &events[..split]).await;
        let handle = place.start();
        place.judged(&handle, tenant).await;
        match number % 4 {
            0 => handle.shutdown().await,
            1 => drop(handle),
            2 => {
                handle.shutdown().await;
                std::fs::remove_dir_all(place.options().snapshot_dir).unwrap();
            }
            _ => {
                handle.shutdown().await;
                place.store.seal().await.unwrap();
                place = place.reopened().await;
            }
        }
        place.append(tenant, &events[split..]).await;
        let handle = place.start();
        place.judged(&handle, tenant).await;
        let expected = place.expected(tenant);
        assert!(expected.len() > 10);
        assert_eq!(place.recorded(tenant), expected, "split at {split}");
        handle.shutdown().await;
    }
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_changes_nothing() {
    let tenants: Vec<String> = (0..24).map(|round| format!("k-{round}")).collect();
    let place = Place::new(&tenants.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let events = busy(380);
    let mut cut_off = 0;
    for (round, tenant) in (0u64..).zip(&tenants) {
        place.append(tenant, &events).await;
        // Killed again and again, a little later each time, until it gets through.
        for attempt in 0.. {
            let handle = place.start();
            let durable = place.durable(tenant);
            let allowed = Duration::from_micros(300 * attempt * (round + 1));
            let waited = tokio::time::timeout(allowed, handle.wait_for(tenant, durable - 1)).await;
            drop(handle);
            if waited.is_ok() {
                break;
            }
            cut_off += 1;
        }
        assert_eq!(place.recorded(tenant), place.expected(tenant), "round {round}");
    }
    assert!(cut_off > 24, "{cut_off}");
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_between_two_alerts_of_one_record_goes_on_with_the_second() {
    let events = busy(360);
    let whole = Place::new(&["acme"]).await;
    whole.append("acme", &events).await;
    let handle = whole.start();
    whole.judged(&handle, "acme").await;
    handle.shutdown().await;
    let expected = whole.expected("acme");
    let rows = whole.alert_rows("acme");
    let inside: Vec<usize> = (0..expected.len()).filter(|at| expected[*at].ordinal > 0).collect();
    assert!(inside.len() > 2, "{inside:?}");
    for recorded in [inside[0], inside[inside.len() / 2], inside[inside.len() - 1]] {
        let place = Place::new(&["acme"]).await;
        place.append("acme", &events).await;
        place.append_alerts("acme", &rows.slice(0, recorded)).await;
        let handle = place.start();
        place.judged(&handle, "acme").await;
        handle.shutdown().await;
        assert_eq!(place.recorded("acme"), expected, "{recorded} were recorded");
        place.store.close().await.unwrap();
    }
    whole.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_state_files_are_passed_over() {
    let place = Place::new(&["acme"]).await;
    let events = busy(380);
    let states = place.options().snapshot_dir;
    let files = || {
        let mut files: Vec<_> =
            std::fs::read_dir(&states).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    };
    for (number, part) in events.chunks(76).enumerate() {
        place.append("acme", part).await;
        let handle = place.start();
        place.judged(&handle, "acme").await;
        handle.shutdown().await;
        assert_eq!(place.recorded("acme"), place.expected("acme"), "part {number}");
        assert_eq!(files().len(), 2, "the last two are kept");
        for (place, file) in files().iter().enumerate() {
            let mut bytes = std::fs::read(file).unwrap();
            match number {
                // In the state, in the head, cut short, the older one alone good.
                0 => *bytes.last_mut().unwrap() ^= 1,
                1 => bytes[30] ^= 1,
                2 => bytes.truncate(bytes.len() / 2),
                _ if place == 1 => bytes.clear(),
                _ => {}
            }
            std::fs::write(file, bytes).unwrap();
        }
    }
    place.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_another_log_is_not_believed() {
    let (first, second) = (Place::new(&["acme"]).await, Place::new(&["acme"]).await);
    let events = busy(380);
    first.append("acme", &events[..200]).await;
    second.append("acme", &events[180..]).await;
    let handle = first.start();
    first.judged(&handle, "acme").await;
    handle.shutdown().await;
    // The origin in the file is of the other installation; with its own put in its place the mark still differs.
    for is_renamed in [false, true] {
        std::fs::create_dir_all(second.options().snapshot_dir).unwrap();
        for file in std::fs::read_dir(first.options().snapshot_dir).unwrap() {
            let file = file.unwrap();
            let mut bytes = std::fs::read(file.path()).unwrap();
            if is_renamed {
                let origin = |place: &Place| {
                    place.store.snapshot("acme", schemas::Stream::Events).unwrap().origin.to_string()
                };
                let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
                let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                let head = head.replace(&origin(&first), &origin(&second));
                bytes.splice(..end, head.into_bytes());
            }
            std::fs::write(second.options().snapshot_dir.join(file.file_name()), bytes).unwrap();
        }
        let handle = second.start();
        second.judged(&handle, "acme").await;
        handle.shutdown().await;
        let expected = second.expected("acme");
        assert!(!expected.is_empty());
        assert_eq!(second.recorded("acme"), expected, "renamed: {is_renamed}");
        second.append("acme", &events[..50]).await;
    }
    first.store.close().await.unwrap();
    second.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_settings_hold_from_the_last_alert_on() {
    let place = Place::new(&["acme"]).await;
    let events = busy(380);
    place.append("acme", &events[..200]).await;
    let handle = place.start();
    place.judged(&handle, "acme").await;
    handle.shutdown().await;
    let before = place.recorded("acme");
    let mut settings = Settings::default();
    settings.auth_failure_burst.failures_min = 3;
    settings.disabled.insert("denial_ratio_ceiling".to_owned());
    let options = Options { settings: settings.clone(), ..place.options() };
    let handle = detect::Detector::start(place.store.clone(), options).unwrap();
    place.append("acme", &events[200..]).await;
    place.judged(&handle, "acme").await;
    handle.shutdown().await;
    let last = before.last().unwrap();
    let after: Vec<_> = place
        .expected_under("acme", settings)
        .into_iter()
        .filter(|alert| (alert.position, alert.ordinal) > (last.position, last.ordinal))
        .collect();
    assert!(!after.is_empty());
    let recorded = place.recorded("acme");
    assert_eq!(recorded[..before.len()], before[..], "what is recorded stands");
    // What the others took effect on is told where they did: `other_rules` looks at that.
    let is_of_change = |alert: &&engine::Alert| {
        alert.explanation.contains("now in force") || alert.explanation.contains("closed because its rule")
    };
    let (of_change, rest): (Vec<_>, Vec<_>) = recorded[before.len()..].iter().partition(is_of_change);
    assert!(of_change.iter().all(|alert| alert.position == last.position), "{of_change:?}");
    assert!(of_change.iter().any(|alert| alert.rule_id == "denial_ratio_ceiling"), "{of_change:?}");
    assert_eq!(rest, after.iter().collect::<Vec<_>>());
    place.store.close().await.unwrap();
}
