//! The store as its callers use it, on a real disk with its threads running.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{
    COUNTRY, COUNTRY_BY_ADDRESS, EVENT_ID, SESSION_ID, SOURCE, TAGS, TENANT, TIME, payload_ids,
};
use schemas::{CursorName, Stream};
use store::clock::SystemClock;
use store::{Cursor, Draft, Error, Keys, LogSnapshot, Options, Store};

fn draft(ids: &[&str], note: &str) -> Draft {
    let mut entries = RowsBuilder::drafts(Stream::Events);
    let mut payloads = RowsBuilder::payloads(Stream::Events);
    for id in ids {
        let row = Row::new()
            .text(EVENT_ID, id)
            .int(TIME, 1_795_219_200_000_000)
            .text(TENANT, "default")
            .text(6, "call")
            .text(SOURCE, "http/t-1/canonical/1")
            .text(SESSION_ID, "s-1")
            .text(9, "allow")
            .text(10, "ok");
        entries.push(&row).unwrap();
        let payload =
            if note.is_empty() { Row::new() } else { Row::new().text(payload_ids::ARGUMENTS, note) };
        payloads.push(&payload).unwrap();
    }
    Draft {
        entries: entries.finish().unwrap(),
        payloads: payloads.finish().unwrap(),
        idempotent: vec![true; ids.len()],
        scope: "http/t-1".to_string(),
    }
}

fn open(dir: &Path) -> Store {
    let keys = Keys::load_or_create(&dir.join("keys")).unwrap();
    let options = Options { wal_file_bytes: 1 << 20, sign_interval_us: 20_000, ..Options::default() };
    Store::open(&dir.join("data"), keys, options, Arc::new(SystemClock::new())).unwrap()
}

fn unsealed_ids(snapshot: &LogSnapshot) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for batch in &snapshot.unsealed {
        let index = batch.entries.column_by_name("log_index").unwrap().as_primitive::<Int64Type>();
        let ids = batch.entries.column_by_name("event_id").unwrap().as_string::<i32>();
        found.extend((0..ids.len()).map(|row| (index.value(row), ids.value(row).to_string())));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_is_found_again_after_every_kind_of_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = store.log("default", Stream::Events).await.unwrap();
    let receipt = log.append(draft(&["a", "b"], "{}")).await.unwrap();
    assert_eq!(
        (receipt.first_index, receipt.count, receipt.tree_size),
        (1, 2, 3),
        "entry 0 is the log's own"
    );
    let ids = unsealed_ids(&log.snapshot());
    assert_eq!(&ids[1..], [(1, "a".to_string()), (2, "b".to_string())]);
    store.close().await.unwrap();
    assert!(matches!(log.append(draft(&["c"], "")).await, Err(Error::Poisoned { .. })));
    let snapshot = log.snapshot();
    assert_eq!((snapshot.sealed, snapshot.signed, snapshot.durable), (3, 3, 3));
    assert_eq!(snapshot.segments.len(), 1);
    assert!(
        std::fs::read_dir(dir.path().join("data/wal")).unwrap().next().is_none(),
        "nothing left to replay"
    );
    drop((store, log));

    let store = open(dir.path());
    let log = store.log("default", Stream::Events).await.unwrap();
    assert_eq!(log.snapshot().durable, 3);
    // A retry after the restart, all of it sealed: found by the ids in the segment.
    let receipt = log.append(draft(&["b", "c", "a"], "{}")).await.unwrap();
    assert_eq!(receipt.duplicates, [(0, 2), (2, 1)]);
    assert_eq!((receipt.first_index, receipt.count), (3, 1));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_id_with_other_content_is_recorded_and_tagged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = store.log("default", Stream::Events).await.unwrap();
    log.append(draft(&["a"], "{}")).await.unwrap();
    let receipt = log.append(draft(&["a"], r#"{"other":1}"#)).await.unwrap();
    assert_eq!((receipt.count, receipt.duplicates.len()), (1, 0));
    let receipt = log.append(draft(&["x", "x", "y"], "{}")).await.unwrap();
    assert_eq!((receipt.first_index, receipt.count, receipt.duplicates.clone()), (3, 2, vec![(1, 3)]));
    let snapshot = log.snapshot();
    let tags: Vec<(i64, bool)> = snapshot
        .unsealed
        .iter()
        .flat_map(|batch| {
            let index = batch.entries.column_by_name("log_index").unwrap().as_primitive::<Int64Type>();
            let tags = batch.entries.column_by_name("tags").unwrap();
            (0..tags.len()).map(|row| (index.value(row), tags.is_valid(row))).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(tags, [(0, false), (1, false), (2, true), (3, false), (4, false)]);
    store.close().await.unwrap();
}

/// A retry of an event that has no time of its own has the time of the retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_of_arrival_does_not_tell_a_retry_from_another_event() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = store.log("default", Stream::Events).await.unwrap();
    let at = |time_us: i64, tags: &[&str]| {
        let mut entries = RowsBuilder::drafts(Stream::Events);
        let row = Row::new()
            .text(EVENT_ID, "a")
            .int(TIME, time_us)
            .text(TENANT, "default")
            .text(6, "call")
            .text(SOURCE, "http/t-1/canonical/1")
            .text(SESSION_ID, "s-1")
            .text(9, "allow")
            .text(10, "ok");
        entries.push(&if tags.is_empty() { row } else { row.texts(TAGS, tags) }).unwrap();
        Draft { entries: entries.finish().unwrap(), ..draft(&["a"], "{}") }
    };
    for (time_us, tags, durable) in [
        (1_795_219_200_000_000, &["late", "arrival_time"][..], 2),
        (1_795_219_200_000_001, &["arrival_time"], 2),
        // One that says its time itself is another event, and so is that of another time.
        (1_795_219_200_000_000, &[], 3),
        (1_795_219_200_000_001, &[], 4),
        (1_795_219_200_000_001, &["late"], 4),
        (1_795_219_200_000_002, &["arrival_time"], 4),
    ] {
        log.append(at(time_us, tags)).await.unwrap();
        assert_eq!(log.snapshot().durable, durable, "{time_us} {tags:?}");
    }
    store.close().await.unwrap();
}

/// What the recorder looked up in a database is no part of what the source sent: the database may be another by the time of a retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_country_that_was_looked_up_does_not_tell_a_retry_from_another_event() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = store.log("default", Stream::Events).await.unwrap();
    let from = |id: &str, country: Option<&str>, tags: &[&str]| {
        let mut entries = RowsBuilder::drafts(Stream::Events);
        let row = Row::new()
            .text(EVENT_ID, id)
            .int(TIME, 1_795_219_200_000_000)
            .text(TENANT, "default")
            .text(6, "call")
            .text(SOURCE, "http/t-1/canonical/1")
            .text(SESSION_ID, "s-1")
            .text(9, "allow")
            .text(10, "ok");
        let row = country.into_iter().fold(row, |row, country| row.text(COUNTRY, country));
        entries.push(&if tags.is_empty() { row } else { row.texts(TAGS, tags) }).unwrap();
        Draft { entries: entries.finish().unwrap(), ..draft(&[id], "{}") }
    };
    for (id, country, tags, durable) in [
        // Without a database, then with one, with another, and without again.
        ("a", None, &[][..], 2),
        ("a", Some("DE"), &[COUNTRY_BY_ADDRESS], 2),
        ("a", Some("NL"), &["late", COUNTRY_BY_ADDRESS], 2),
        ("b", Some("DE"), &[COUNTRY_BY_ADDRESS], 3),
        ("b", Some("NL"), &[COUNTRY_BY_ADDRESS], 3),
        ("b", None, &["late"], 3),
        // What a source says is what it sent.
        ("b", Some("DE"), &[], 4),
        ("b", Some("NL"), &[], 5),
        ("b", Some("NL"), &["late"], 5),
    ] {
        log.append(from(id, country, tags)).await.unwrap();
        assert_eq!(log.snapshot().durable, durable, "{id} {country:?} {tags:?}");
    }
    store.seal().await.unwrap();
    // Held against what is sealed.
    log.append(from("b", Some("FR"), &[COUNTRY_BY_ADDRESS])).await.unwrap();
    assert_eq!(log.snapshot().durable, 5);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_of_another_tenant_or_with_control_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = store.log("other", Stream::Events).await.unwrap();
    let error = log.append(draft(&["a"], "{}")).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert_eq!(log.snapshot().durable, 1);
    assert!(store.log("Not A Tenant", Stream::Events).await.is_err());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_and_wrong_keys_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = store.log("default", Stream::Events).await.unwrap();
    log.append(draft(&["a"], "{}")).await.unwrap();
    let keys = Keys::load(&dir.path().join("keys")).unwrap();
    let clock = Arc::new(SystemClock::new());
    let second = Store::open(&dir.path().join("data"), keys, Options::default(), clock.clone());
    assert!(matches!(second, Err(Error::Locked(_))));
    store.close().await.unwrap();
    drop((store, log));
    let wrong = Keys::from_seed([9; 32], "tacho-other").unwrap();
    let store = Store::open(&dir.path().join("data"), wrong, Options::default(), clock).unwrap();
    let status = store.status();
    assert!(!status.ready && status.reason.unwrap().contains("read-only"));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_appends_from_many_tasks_make_one_contiguous_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let log = store.log("default", Stream::Events).await.unwrap();
    let mut tasks = Vec::new();
    for task in 0..16 {
        let log = log.clone();
        tasks.push(tokio::spawn(async move {
            for at in 0..50 {
                log.append(draft(&[&format!("{task}-{at}")], "{}")).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    store.seal().await.unwrap();
    let snapshot = log.snapshot();
    assert_eq!((snapshot.durable, snapshot.sealed), (801, 801));
    let last = snapshot.segments.iter().fold(0, |next, segment| {
        assert_eq!(segment.first, next);
        segment.last
    });
    assert_eq!(last, 801);
    store.close().await.unwrap();
}

fn read_from(from: Option<&str>, to: Option<&str>) -> Vec<Cursor> {
    let name = CursorName::new("kafka", "orders", "0").unwrap();
    vec![Cursor { name, from: from.map(str::to_string), to: to.map(str::to_string) }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_moves_with_its_entries_and_is_found_after_every_kind_of_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut at: Option<String> = None;
    for (life, ids) in [["a", "b"], ["c", "d"], ["e", "f"]].into_iter().enumerate() {
        let store = open(dir.path());
        let log = store.log("default", Stream::Events).await.unwrap();
        let name = CursorName::new("kafka", "orders", "0").unwrap();
        assert_eq!(log.cursor(&name), at, "life {life}");
        for id in ids {
            let next = format!("{life}-{id}");
            log.append_read(draft(&[id], "{}"), read_from(at.as_deref(), Some(&next))).await.unwrap();
            // The same range again, as a collector that was not told sends it: nothing is written.
            let again = log.append_read(draft(&["x"], "{}"), read_from(at.as_deref(), Some(&next))).await;
            let Err(Error::CursorMoved { found, .. }) = again else { panic!("taken twice: {again:?}") };
            assert_eq!(found, Some(next.clone()));
            at = Some(next);
        }
        assert_eq!(log.cursors("kafka", "orders").unwrap(), [("0".to_string(), at.clone().unwrap())].into());
        assert!(log.cursors("kafka", "order").unwrap().is_empty());
        if life == 1 {
            store.seal().await.unwrap();
        }
        store.close().await.unwrap();
    }
    let store = open(dir.path());
    let log = store.log("default", Stream::Events).await.unwrap();
    assert_eq!(log.snapshot().durable, 7, "six events and the log's own entry");
    // Nothing to stand behind: a range of duplicates moves no cursor.
    let receipt = log.append_read(draft(&["a"], "{}"), read_from(at.as_deref(), Some("x"))).await.unwrap();
    assert_eq!((receipt.count, receipt.duplicates.len()), (0, 1));
    let name = CursorName::new("kafka", "orders", "0").unwrap();
    assert_eq!(log.cursor(&name), at);
    log.append_read(draft(&["g"], "{}"), read_from(at.as_deref(), None)).await.unwrap();
    assert_eq!(log.cursor(&name), None, "forgotten");
    store.close().await.unwrap();
    drop((store, log));
    let log = open(dir.path()).log("default", Stream::Events).await.unwrap();
    assert_eq!(log.cursor(&name), None, "forgotten for good");
}
