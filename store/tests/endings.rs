//! How a store ends: closed while it is written to, dropped, refused, read-only from then on.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch, StringArray};
use schemas::Stream;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{EVENT_ID, SESSION_ID, SOURCE, TENANT, TIME, payload_ids};
use store::clock::SystemClock;
use store::{Draft, Error, Keys, Log, Options, Store};

/// Rows of `(event id, arguments)`.
fn draft(tenant: &str, rows: &[(&str, &str)]) -> Draft {
    let mut entries = RowsBuilder::drafts(Stream::Events);
    let mut payloads = RowsBuilder::payloads(Stream::Events);
    for (id, arguments) in rows {
        let row = Row::new()
            .text(EVENT_ID, id)
            .int(TIME, 1_795_219_200_000_000)
            .text(TENANT, tenant)
            .text(6, "call")
            .text(SOURCE, "http/t-1/canonical/1")
            .text(SESSION_ID, "s-1")
            .text(9, "allow")
            .text(10, "ok");
        entries.push(&row).unwrap();
        let payload = Row::new();
        let payload =
            if arguments.is_empty() { payload } else { payload.text(payload_ids::ARGUMENTS, arguments) };
        payloads.push(&payload).unwrap();
    }
    Draft {
        entries: entries.finish().unwrap(),
        payloads: payloads.finish().unwrap(),
        idempotent: vec![true; rows.len()],
        scope: "http/t-1".to_string(),
    }
}

fn try_open(dir: &Path) -> Result<Store, Error> {
    let keys = Keys::load_or_create(&dir.join("keys")).unwrap();
    let options = Options { wal_file_bytes: 1 << 20, sign_interval_us: 20_000, ..Options::default() };
    Store::open(&dir.join("data"), keys, options, Arc::new(SystemClock::new()))
}

async fn default_log(store: &Store) -> Log {
    store.log("default", Stream::Events).await.unwrap()
}

/// Event ids that are recorded, each once.
fn ids(log: &Log) -> BTreeSet<String> {
    let snapshot = log.snapshot();
    assert!(snapshot.segments.is_empty(), "these stores are read before they are sealed");
    let mut found = BTreeSet::new();
    for batch in &snapshot.unsealed {
        let column = batch.entries.column_by_name("event_id").unwrap().as_string::<i32>();
        for id in column.iter().flatten() {
            assert!(found.insert(id.to_string()), "{id} twice");
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_acknowledged_while_the_store_closes_is_kept() {
    for round in 0..20u64 {
        let dir = tempfile::tempdir().unwrap();
        let store = try_open(dir.path()).unwrap();
        let log = default_log(&store).await;
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (log, store) = (log.clone(), store.clone());
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    for at in 0.. {
                        let id = format!("{task}-{at}");
                        // A log that is opened while the store closes is there whole or not at all.
                        let opened = store.log(&format!("t{task}-{at}"), Stream::Events).await;
                        let appended = log.append(draft("default", &[(&id, "{}")])).await;
                        match (opened, appended) {
                            (_, Ok(_)) => acknowledged.push(id),
                            (_, Err(Error::Poisoned { .. })) => break,
                            (_, Err(error)) => panic!("{error}"),
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(5 + round)).await;
        tokio::time::timeout(Duration::from_secs(60), store.close()).await.expect("it closes").unwrap();
        let mut acknowledged = BTreeSet::new();
        for task in tasks {
            acknowledged.extend(
                tokio::time::timeout(Duration::from_secs(60), task).await.expect("answered").unwrap(),
            );
        }
        drop((log, store));
        let store = try_open(dir.path()).unwrap();
        assert!(store.status().ready, "{:?}", store.status());
        let log = default_log(&store).await;
        let receipt = log.append(draft("default", &[("probe", "")])).await.unwrap();
        let retried: Vec<_> = acknowledged.iter().map(|id| (id.as_str(), "{}")).collect();
        let retried = log.append(draft("default", &retried)).await.unwrap();
        assert_eq!(retried.duplicates.len(), acknowledged.len(), "round {round}: each was recorded");
        assert!(receipt.first_index > acknowledged.len() as u64);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_store_ends_its_threads_and_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path()).unwrap();
    let log = default_log(&store).await;
    log.append(draft("default", &[("a", "{}")])).await.unwrap();
    drop(store);
    assert!(matches!(log.append(draft("default", &[("b", "{}")])).await, Err(Error::Poisoned { .. })));
    // The handle is still there; what writes is not.
    let store = try_open(dir.path()).unwrap();
    assert_eq!(ids(&default_log(&store).await).into_iter().filter(|id| id == "a").count(), 1);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_larger_than_the_signers_inbox_does_not_stop_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path()).unwrap();
    let log = default_log(&store).await;
    let rows: Vec<String> = (0..230_000).map(|at| format!("{at:0>250}")).collect();
    let rows: Vec<_> = rows.iter().map(|id| (id.as_str(), "")).collect();
    let large = draft("default", &rows);
    for round in 0..3 {
        // Something to sign while the large group is written.
        log.append(draft("default", &[(&format!("small-{round}"), "")])).await.unwrap();
        let mut large = large.clone();
        large.scope = format!("http/t-{round}");
        let appended = tokio::time::timeout(Duration::from_secs(120), log.append(large)).await;
        appended.expect("the committer and the signer do not wait for one another").unwrap();
    }
    tokio::time::timeout(Duration::from_secs(120), store.close()).await.expect("it closes").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_no_group_can_hold_is_refused_and_the_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path()).unwrap();
    let log = default_log(&store).await;
    let arguments = "x".repeat(15 << 20);
    let rows: Vec<_> =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|id| (id, arguments.as_str())).to_vec();
    let error = log.append(draft("default", &rows)).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(schemas::Error::TooLarge { .. })), "{error}");
    let mut over_the_cap = draft("default", &[("a", "{}")]);
    let at = over_the_cap.payloads.schema_ref().index_of("arguments").unwrap();
    let mut columns = over_the_cap.payloads.columns().to_vec();
    columns[at] = Arc::new(StringArray::from(vec!["x".repeat((16 << 20) + 1)]));
    over_the_cap.payloads = RecordBatch::try_new(over_the_cap.payloads.schema(), columns).unwrap();
    let error = log.append(over_the_cap).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused(schemas::Error::TooLarge { .. })),
        "what could not be read again: {error}"
    );
    assert!(store.status().ready);
    assert_eq!(log.append(draft("default", &rows[..2])).await.unwrap().count, 2);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_tagged_once_and_recorded_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path()).unwrap();
    let log = default_log(&store).await;
    let receipt =
        log.append(draft("default", &[("a", "1"), ("a", "2"), ("a", "1"), ("b", "1")])).await.unwrap();
    assert_eq!((receipt.first_index, receipt.count, receipt.duplicates.clone()), (1, 3, vec![(2, 1)]));
    for _ in 0..2 {
        let receipt = log.append(draft("default", &[("a", "2"), ("a", "3"), ("b", "2")])).await.unwrap();
        assert!(receipt.duplicates.contains(&(0, 2)), "the conflict of before: {receipt:?}");
    }
    let receipt = log
        .append(draft("default", &[("b", "2"), ("a", "3"), ("a", "4"), ("a", "1"), ("a", "4")]))
        .await
        .unwrap();
    assert_eq!(receipt.duplicates, [(0, 5), (1, 4), (3, 1), (4, 6)], "{receipt:?}");
    let receipt = log.append(draft("default", &[("a", "9"), ("a", "1")])).await.unwrap();
    assert_eq!((receipt.count, receipt.duplicates), (1, vec![(1, 1)]), "a new conflict before the original");
    let mut tags = Vec::new();
    for batch in &log.snapshot().unsealed {
        let column = batch.entries.column_by_name("tags").unwrap().as_list::<i32>();
        tags.extend(column.iter().map(|row| row.map_or(0, |row| row.len())));
    }
    assert_eq!(tags, [0, 0, 1, 0, 1, 1, 1, 1], "control, a1, a2, b1, a3, b2, a4, a9");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_never_held_against_a_changed_segment() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path()).unwrap();
    let log = default_log(&store).await;
    log.append(draft("default", &[("a", "{}")])).await.unwrap();
    store.seal().await.unwrap();
    let payloads = log.snapshot().segments[0].payloads.clone().unwrap();
    let mut bytes = std::fs::read(&payloads.path).unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    std::fs::write(&payloads.path, bytes).unwrap();
    let error = log.append(draft("default", &[("a", "{}")])).await.unwrap_err();
    assert!(matches!(&error, Error::Tampered { reason, .. } if reason.contains("payloads/")), "{error}");
    assert_eq!(store.status().code, Some("tampered"));
    // The threads find that out one after the other; it stays what it is.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(store.status().code, Some("tampered"));
    assert!(store.close().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_writes_go_even_where_a_tenant_is_called_tile() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path()).unwrap();
    let log = store.log("tile", Stream::Events).await.unwrap();
    log.append(draft("tile", &[("a", "{}")])).await.unwrap();
    store.close().await.unwrap();
    drop((log, store));
    let manifests = dir.path().join("data/log/tile/events/w1/manifest");
    let unfinished = manifests.join("00000000000000000002.tmp");
    std::fs::write(&unfinished, b"half").unwrap();
    let store = try_open(dir.path()).unwrap();
    assert!(store.status().ready, "{:?}", store.status());
    assert!(!unfinished.exists());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_file_among_the_logs_makes_the_store_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path()).unwrap();
    default_log(&store).await;
    store.close().await.unwrap();
    drop(store);
    std::fs::write(dir.path().join("data/log/default/stray"), b"?").unwrap();
    let store = try_open(dir.path()).unwrap();
    assert_eq!(store.status().code, Some("tampered"));
    assert!(store.status().reason.unwrap().contains("log/default/stray"));
    store.close().await.unwrap();
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "a skip is said where tests/run reads it")]
async fn parts_of_a_store_on_another_file_system_are_refused() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let elsewhere = Path::new("/dev/shm");
    if device(elsewhere).is_none() || device(elsewhere) == device(dir.path()) {
        println!("SKIPPED: no second file system at /dev/shm to put the logs on");
        return;
    }
    let other = tempfile::tempdir_in(elsewhere).unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    std::os::unix::fs::symlink(other.path(), dir.path().join("data/log")).unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("another file system"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_stopped_signs_and_takes_nothing_until_a_person_has_acted() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = |store: &Store| store.snapshot("_root", Stream::Root).unwrap().checkpoint;
    let store = try_open(dir.path()).unwrap();
    let log = default_log(&store).await;
    log.append(draft("default", &[("a", "{}")])).await.unwrap();
    store.seal().await.unwrap();
    store.stop_signing("a witness holds more").unwrap();
    store.stop_signing("another reason").unwrap();
    let signed = checkpoint(&store);
    let error = log.append(draft("default", &[("b", "{}")])).await.unwrap_err();
    assert!(
        matches!(&error, Error::Tampered { reason, .. } if reason.contains("a witness holds more")),
        "{error}"
    );
    assert!(error.to_string().contains("/_root/root/w1 is read-only"), "{error}");
    assert_eq!(store.status().code, Some("tampered"));
    assert!(store.seal().await.is_err());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(checkpoint(&store), signed, "nothing was signed since");
    store.close().await.unwrap();
    drop((log, store));

    let kept = dir.path().join("data/stopped");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "a witness holds more\n");
    let store = try_open(dir.path()).unwrap();
    assert_eq!(store.status().code, Some("tampered"));
    assert!(store.status().reason.unwrap().contains("a witness holds more"));
    assert_eq!(checkpoint(&store), signed, "it is served all the same");
    assert!(default_log(&store).await.append(draft("default", &[("b", "{}")])).await.is_err());
    store.close().await.unwrap();
    drop(store);

    std::fs::remove_file(kept).unwrap();
    let store = try_open(dir.path()).unwrap();
    assert!(store.status().ready, "{:?}", store.status());
    default_log(&store).await.append(draft("default", &[("b", "{}")])).await.unwrap();
    store.close().await.unwrap();
}
