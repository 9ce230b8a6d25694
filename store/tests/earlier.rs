//! Logs of earlier writers, through successions of both kinds: every tile and every entry of theirs as the definition has it, each
//! entry proved from the root key of its time and from every one since.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use schemas::Stream;
use schemas::checkpoint::Checkpoint;
use schemas::entry::EntryView;
use schemas::note::VerifierKey;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{EVENT_ID, SESSION_ID, SOURCE, TENANT, TIME};
use schemas::tile::TileId;
use schemas::tree::{Hash, leaf_hash, root};
use store::clock::SystemClock;
use store::{Adoption, Clock, Draft, Keys, NoCustody, Options, ReadError, SignedLog, Store, adopt, rotate};

fn draft(writer: usize, rows: u64) -> Draft {
    let mut entries = RowsBuilder::drafts(Stream::Events);
    let mut payloads = RowsBuilder::payloads(Stream::Events);
    for at in 0..rows {
        let row = Row::new()
            .text(EVENT_ID, &format!("e-{writer}-{at}"))
            .int(TIME, 1_795_219_200_000_000)
            .text(TENANT, "default")
            .text(6, "call")
            .text(SOURCE, "http/t-1/canonical/1")
            .text(SESSION_ID, "s-1")
            .text(9, "allow")
            .text(10, "ok");
        entries.push(&row).unwrap();
        payloads.push(&Row::new()).unwrap();
    }
    Draft {
        entries: entries.finish().unwrap(),
        payloads: payloads.finish().unwrap(),
        idempotent: vec![false; usize::try_from(rows).unwrap()],
        scope: "http/t-1".to_string(),
    }
}

fn options() -> Options {
    Options {
        wal_file_bytes: 1 << 20,
        sign_interval_us: 5_000,
        round_interval_us: 5_000,
        idempotency_ids_max: 16,
        seal_rows: 300,
        ..Options::default()
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn keys(data: &Path) -> Keys {
    Keys::load_or_create(&data.with_file_name("keys")).unwrap()
}

fn open(data: &Path) -> Store {
    Store::open(data, keys(data), options(), clock()).unwrap()
}

/// Records `rows` events and closes; the root key.
async fn record(data: &Path, writer: usize, rows: u64) -> VerifierKey {
    let store = open(data);
    let log = store.log("default", Stream::Events).await.unwrap();
    log.append(draft(writer, rows)).await.unwrap();
    let key = store.root_key().unwrap().parse().unwrap();
    store.close().await.unwrap();
    key
}

/// Entries of a bundle.
fn split(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        bundle = rest;
    }
    entries
}

/// Holds the tiles and bundles of a log against its checkpoint; its entries.
fn check(log: &SignedLog) -> Vec<Vec<u8>> {
    let key: VerifierKey = log.verifier_key().parse().unwrap();
    let checkpoint = Checkpoint::open(log.checkpoint().as_bytes(), &key).unwrap();
    assert_eq!((checkpoint.size, log.origin()), (log.durable(), &checkpoint.origin));
    let (mut entries, mut hashes) = (Vec::new(), Vec::new());
    for index in 0..checkpoint.size.div_ceil(256) {
        let width = (checkpoint.size - index * 256).min(256);
        entries.extend(split(&log.entry_bundle(index, width).unwrap().unwrap()));
        let tile = log.tile(TileId { level: 0, index, width }).unwrap().unwrap();
        hashes.extend(tile.chunks(32).map(|hash| Hash(hash.try_into().unwrap())));
        assert!(log.tile(TileId { level: 0, index, width: width + 1 }).unwrap_or(None).is_none());
    }
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert!(leaves == hashes && root(&leaves) == checkpoint.root);
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_of_every_writer_is_proved_from_its_own_root_key_and_each_since() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // Sizes on both sides of a tile, and more than one segment.
    let rows = [254, 255, 700, 3, 40];
    let mut roots = Vec::new();
    for (writer, rows) in rows.into_iter().enumerate() {
        roots.push(record(&data, writer, rows).await);
        match writer {
            4 => {}
            1 | 3 => {
                let (by, reason) = ("ops".to_string(), "a test".to_string());
                let adoption = Adoption { by, reason, remembered: BTreeMap::new() };
                drop(adopt(&data, keys(&data), &options(), &clock(), &adoption).unwrap());
            }
            _ => drop(rotate(&data, keys(&data), &NoCustody, &options(), &clock(), "ops").unwrap()),
        }
    }
    let store = open(&data);
    assert_eq!(store.predecessors("default", Stream::Events).len(), rows.len() - 1);
    for (writer, key) in roots.iter().enumerate() {
        let name = key.name().rsplit('/').next().unwrap();
        let log = store.of_writer("default", Stream::Events, name).unwrap();
        let root_log = store.of_writer("_root", Stream::Root, name).unwrap();
        let entries = check(&log);
        check(&root_log);
        assert!(entries.len() as u64 > rows[writer]);
        for (index, entry) in (0..).zip(&entries) {
            let last = entries.len() as u64 - 1;
            let is_asked = index < 2 || index % 97 == 0 || index + 2 > last || (254..258).contains(&index);
            if is_asked {
                let mut document = store.prove(&log, index, None).unwrap();
                while document.is_none() {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    document = store.prove(&log, index, None).unwrap();
                }
                let document = document.unwrap();
                assert_eq!(document.successors.len(), roots.len() - 1 - writer);
                for (other, key) in roots.iter().enumerate() {
                    match document.verify(key) {
                        Ok(proved) => assert!(other >= writer && proved.entry == *entry),
                        Err(error) => assert!(other < writer, "{writer} {other} {index}: {error}"),
                    }
                }
            }
            let view = EntryView::parse(entry).unwrap();
            let id = view.field(EVENT_ID).unwrap();
            let id = id.map(|id| std::str::from_utf8(id).unwrap().to_string());
            if let Some(id) = id.filter(|_| is_asked && index > 0) {
                let found = store.find("default", Stream::Events, Some(name), &id, 8).unwrap();
                let is_it = |(found, at): &(SignedLog, u64)| found.origin() == log.origin() && *at == index;
                assert!(found.iter().any(is_it), "{id}: {found:?}");
            }
        }
    }
    assert!(store.find("default", Stream::Events, None, "e-9-9", 8).unwrap().is_empty());
    assert!(store.find("acme", Stream::Events, None, "e-0-0", 8).unwrap().is_empty());
    assert!(store.of_writer("default", Stream::Events, "w9").is_none());
    assert!(store.of_writer("acme", Stream::Events, "w1").is_none());
    store.close().await.unwrap();
}

fn damage_newest_manifest(log: &Path) {
    let manifests = std::fs::read_dir(log.join("manifest")).unwrap();
    let newest = manifests.map(|entry| entry.unwrap().path()).max().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
}

/// A root log of an earlier writer that cannot be read is no reason to prove less.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_root_log_of_its_time_nothing_is_proved_and_the_tiles_are_still_served() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    record(&data, 0, 40).await;
    rotate(&data, keys(&data), &NoCustody, &options(), &clock(), "ops").unwrap();
    record(&data, 1, 4).await;
    damage_newest_manifest(&data.join("log/_root/root/w1"));
    let store = open(&data);
    let log = store.of_writer("default", Stream::Events, "w1").unwrap();
    check(&log);
    assert!(matches!(store.prove(&log, 7, None), Err(ReadError::Unprovable { .. })));
    assert!(store.of_writer("_root", Stream::Root, "w1").is_none());
    store.close().await.unwrap();
}

/// What a damaged log held is unknown, and not "not there".
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_of_an_earlier_writer_is_named_and_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for writer in 0..2 {
        record(&data, writer, 40).await;
        rotate(&data, keys(&data), &NoCustody, &options(), &clock(), "ops").unwrap();
    }
    record(&data, 2, 4).await;
    let names: Vec<String> = {
        let store = open(&data);
        let before = store.predecessors("default", Stream::Events);
        store.close().await.unwrap();
        before.iter().map(|log| log.origin.writer().to_string()).collect()
    };
    damage_newest_manifest(&data.join(format!("log/default/events/{}", names[1])));
    let store = open(&data);
    let damaged = store.damaged_predecessors("default", Stream::Events);
    assert_eq!(damaged.len(), 1);
    assert!(damaged[0].0 == names[1] && damaged[0].1.contains("manifest"), "{damaged:?}");
    assert!(store.damaged_predecessors("default", Stream::Alerts).is_empty());
    assert!(store.damaged_predecessors("acme", Stream::Events).is_empty());
    let find = |writer: Option<&str>, id: &str, most| store.find("default", Stream::Events, writer, id, most);
    for (writer, id) in [(None, "e-0-7"), (None, "e-1-7"), (None, "e-9-9"), (Some(&*names[1]), "e-1-7")] {
        let refused = find(writer, id, 8).unwrap_err();
        assert!(matches!(&refused, ReadError::Damaged { log, .. } if log.contains(&names[1])), "{refused}");
    }
    // What is newer than it is found without it, and what is asked of another writer.
    assert_eq!(find(None, "e-2-1", 1).unwrap().len(), 1);
    assert_eq!(find(Some(&names[0]), "e-0-7", 8).unwrap().len(), 1);
    // It keeps nobody from recording.
    let log = store.log("default", Stream::Events).await.unwrap();
    log.append(draft(3, 2)).await.unwrap();
    store.close().await.unwrap();
}
