//! Proofs and tiles of a log at every kind of moment, held against the definition of RFC 6962 over all its leaves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use schemas::checkpoint::Checkpoint;
use schemas::note::VerifierKey;
use schemas::proof::{Document, Proof};
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{EVENT_ID, SESSION_ID, SOURCE, TENANT, TIME};
use schemas::tile::TileId;
use schemas::tree::{Hash, leaf_hash, node_hash, root, verify_consistency, verify_inclusion};
use schemas::{Stream, layout};
use store::clock::SystemClock;
use store::{Draft, Keys, Log, Options, ReadError, Store};

fn draft(first: u64, rows: u64) -> Draft {
    let mut entries = RowsBuilder::drafts(Stream::Events);
    let mut payloads = RowsBuilder::payloads(Stream::Events);
    for at in first..first + rows {
        let row = Row::new()
            .text(EVENT_ID, &format!("e-{at}"))
            .int(TIME, 1_795_219_200_000_000)
            .text(TENANT, "default")
            .text(6, "call")
            .text(SOURCE, "http/t-1/canonical/1")
            .text(SESSION_ID, &format!("s-{}", at % 7))
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

fn open(data: &Path, seal_rows: u64) -> Store {
    let keys = Keys::load_or_create(&data.with_file_name("keys")).unwrap();
    let options = Options {
        wal_file_bytes: 1 << 20,
        sign_interval_us: 5_000,
        seal_rows,
        idempotency_ids_max: 16,
        ..Options::default()
    };
    Store::open(data, keys, options, Arc::new(SystemClock::new())).unwrap()
}

async fn signed(log: &Log) {
    while log.snapshot().signed < log.durable() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn grow_to(log: &Log, size: u64) {
    while log.durable() < size {
        let rows = (size - log.durable()).min(8_000);
        log.append(draft(log.durable(), rows)).await.unwrap();
    }
    signed(log).await;
}

/// Entries of a bundle.
fn split(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        bundle = rest;
    }
    assert!(bundle.is_empty());
    entries
}

/// All leaves of the signed tree, by its bundles.
fn leaves(log: &Log, size: u64) -> Vec<Hash> {
    let mut leaves = Vec::new();
    for index in 0..size.div_ceil(256) {
        let width = (size - index * 256).min(256);
        let entries = split(&log.entry_bundle(index, width).unwrap().unwrap());
        assert_eq!(entries.len() as u64, width);
        leaves.extend(entries.iter().map(|entry| leaf_hash(entry)));
    }
    leaves
}

/// Every hash of every level, by definition: level l holds the perfect subtrees of 2^l leaves.
fn levels(leaves: &[Hash]) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves.to_vec()];
    while levels.last().unwrap().len() > 1 {
        let last = levels.last().unwrap();
        levels.push(last.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect());
    }
    levels
}

/// Holds all that a log says of its tree against the definition.
fn check(log: &Log, sizes: &[u64], before: &mut Vec<Hash>) {
    let tree = log.tree().unwrap();
    let size = tree.size();
    let key: VerifierKey = log.verifier_key().parse().unwrap();
    let checkpoint = Checkpoint::open(tree.checkpoint().as_bytes(), &key).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (size, tree.root()));
    let leaves = leaves(log, size);
    assert!(leaves.starts_with(before), "what was there before is there still");
    assert_eq!(root(&leaves), tree.root(), "size {size}");
    for (level, hashes) in levels(&leaves).iter().enumerate().step_by(8) {
        for (index, tile) in hashes.chunks(256).enumerate() {
            for width in
                [1, tile.len() / 2, tile.len() - 1, tile.len()].into_iter().filter(|width| *width > 0)
            {
                let id = TileId {
                    level: u32::try_from(level / 8).unwrap(),
                    index: index as u64,
                    width: width as u64,
                };
                let found = log.tile(id).unwrap().unwrap_or_else(|| panic!("{id:?} of size {size}"));
                let expected: Vec<u8> = tile[..width].iter().flat_map(|hash| hash.0).collect();
                assert!(found == expected, "{id:?} of size {size}");
            }
            if tile.len() < 256 {
                let (level, index) = (u32::try_from(level / 8).unwrap(), index as u64);
                let past = TileId { level, index, width: tile.len() as u64 + 1 };
                assert!(log.tile(past).unwrap().is_none(), "{past:?} of size {size}");
            }
        }
    }
    assert!(log.entry_bundle(size / 256, size % 256 + 1).unwrap().is_none());
    assert!(log.entry_bundle(u64::MAX, 1).unwrap().is_none());
    for index in sizes.iter().flat_map(|size| [size.saturating_sub(1), *size]).filter(|index| *index < size) {
        let (entry, proof) = tree.prove(index).unwrap().unwrap();
        assert_eq!(leaf_hash(&entry), leaves[index as usize]);
        assert_eq!(Proof::parse(&proof.to_string()).unwrap().verify(&entry, &key).unwrap(), checkpoint);
        for older in sizes.iter().copied().filter(|older| index < *older && *older <= size) {
            let hashes = tree.inclusion(index, older).unwrap();
            let older_root = root(&leaves[..older as usize]);
            verify_inclusion(&hashes, index, older, &leaves[index as usize], &older_root).unwrap();
        }
    }
    assert!(tree.prove(size).unwrap().is_none());
    for old in sizes.iter().copied().filter(|old| *old <= size) {
        let old_root = root(&leaves[..old as usize]);
        let proof = tree.consistency(old, size).unwrap();
        verify_consistency(&proof, old, size, &old_root, &tree.root()).unwrap();
    }
    assert!(matches!(tree.consistency(0, size + 1), Err(ReadError::Damaged { .. })));
    *before = leaves;
}

/// The directory as a power cut would leave it, but for what the system would still have written.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_proof_is_that_of_the_definition_before_and_after_a_seal_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut data = dir.path().join("data");
    let sizes = [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792, 65_793];
    let mut before = Vec::new();
    let mut store = open(&data, u64::MAX);
    let mut log = store.log("default", Stream::Events).await.unwrap();
    for (at, size) in sizes.into_iter().enumerate() {
        grow_to(&log, size).await;
        check(&log, &sizes, &mut before);
        if size == 65_536 || at % 3 == 0 {
            store.seal().await.unwrap();
            assert_eq!(log.snapshot().sealed, size);
            check(&log, &sizes, &mut before);
        }
        match at % 3 {
            // Everything sealed, and opened again.
            1 => {
                store.close().await.unwrap();
                drop((log, store));
            }
            // What is not sealed comes from the write-ahead files.
            2 => {
                let cut = dir.path().join(format!("cut-{size}"));
                copy(&data, &cut);
                store.close().await.unwrap();
                drop((log, store));
                data = cut;
            }
            _ => continue,
        }
        store = open(&data, u64::MAX);
        log = store.log("default", Stream::Events).await.unwrap();
        check(&log, &sizes, &mut before);
    }
    let root_log = store.existing("_root", Stream::Root).unwrap();
    let (entry, proof) = root_log.tree().unwrap().prove(log.opened_at()).unwrap().unwrap();
    proof.verify(&entry, &store.root_key().unwrap().parse().unwrap()).unwrap();
    assert!(String::from_utf8_lossy(&entry).contains(&log.verifier_key()), "it says the log's key");
    store.close().await.unwrap();
}

/// Seals come and go under the reader: old partial tiles are removed, rows move from memory to files.
#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_right_while_the_log_grows_and_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("data"), 300);
    let log = store.log("default", Stream::Events).await.unwrap();
    let (done, proved) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..2u64)
        .map(|reader| {
            let (log, done, proved) = (log.clone(), Arc::clone(&done), Arc::clone(&proved));
            std::thread::spawn(move || {
                let key: VerifierKey = log.verifier_key().parse().unwrap();
                let (mut old, mut old_root, mut at) = (0, schemas::tree::empty_root(), reader);
                while !done.load(Ordering::SeqCst) {
                    let tree = log.tree().unwrap();
                    if tree.size() == 0 {
                        continue;
                    }
                    at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let index = (at >> 33) % tree.size();
                    let (entry, proof) = tree.prove(index).unwrap().unwrap();
                    proof.verify(&entry, &key).unwrap();
                    let proof = tree.consistency(old, tree.size()).unwrap();
                    verify_consistency(&proof, old, tree.size(), &old_root, &tree.root()).unwrap();
                    (old, old_root) = (tree.size(), tree.root());
                    proved.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    // However fast this machine seals and proves: until enough of both has happened at once.
    let is_enough = || log.snapshot().segments.len() > 3 && proved.load(Ordering::SeqCst) >= 50;
    while !is_enough() && readers.iter().all(|reader| !reader.is_finished()) {
        log.append(draft(log.durable(), 97)).await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    store.close().await.unwrap();
}

/// A document is worth nothing but as it was made, and to nobody without the root log's key.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_proves_from_the_root_key_alone_and_not_with_a_byte_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("data"), u64::MAX);
    let log = store.log("default", Stream::Events).await.unwrap();
    let root_log = store.existing("_root", Stream::Root).unwrap();
    grow_to(&log, 300).await;
    signed(&root_log).await;
    let key: VerifierKey = store.root_key().unwrap().parse().unwrap();
    let seen = root_log.tree().unwrap();
    for at in 0..3 {
        store.log(&format!("t-{at}"), Stream::Events).await.unwrap();
    }
    signed(&root_log).await;
    assert!(store.prove(&log, 300, None).unwrap().is_none(), "no such entry");
    assert!(store.prove(&log, 3, Some(1_000)).unwrap().is_none(), "no such root size");
    let document = store.prove(&log, 257, Some(seen.size())).unwrap().unwrap();
    let proved = document.verify(&key).unwrap();
    assert_eq!(
        (proved.checkpoint.size, proved.checkpoint.origin.to_string()),
        (300, log.origin().to_string())
    );
    assert!(proved.root.size > seen.size() && document.extends(&proved, seen.size(), &seen.root()).unwrap());
    assert!(document.extends(&proved, seen.size(), &Hash([7; 32])).is_err(), "another history");
    assert!(!document.extends(&proved, seen.size() - 1, &seen.root()).unwrap(), "nothing is said of that");
    let other: VerifierKey = log.verifier_key().parse().unwrap();
    assert!(document.verify(&other).is_err(), "a key that is no root log's");

    // The consistency proof is not of the entry: without it every byte counts.
    let document = store.prove(&log, 257, None).unwrap().unwrap();
    let text = serde_json::to_vec(&document).unwrap();
    assert_eq!(Document::parse(&text).unwrap(), document);
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] ^= 1;
        let result = Document::parse(&changed).and_then(|document| document.verify(&key));
        assert!(result.is_err(), "byte {at}: {}", String::from_utf8_lossy(&changed));
    }
    let of_root = store.prove(&root_log, 0, Some(1)).unwrap().unwrap();
    assert_eq!(of_root.verify(&key).unwrap().root.origin.to_string(), key.name());
    let opened = |document: &Document, to| Document { log_opened: to, ..document.clone() };
    assert!(opened(&document, None).verify(&key).is_err());
    assert!(opened(&of_root, document.log_opened.clone()).verify(&key).is_err());
    let of_other = store.existing("t-1", Stream::Events).unwrap();
    signed(&of_other).await;
    let of_other = store.prove(&of_other, 0, None).unwrap().unwrap();
    of_other.verify(&key).unwrap();
    assert!(opened(&document, of_other.log_opened.clone()).verify(&key).is_err(), "another log's opening");
    let elsewhere = Document { origin: of_other.origin.clone(), ..document.clone() };
    assert!(elsewhere.verify(&key).is_err());
    assert!(
        opened(&elsewhere, of_other.log_opened).verify(&key).is_err(),
        "an entry of one log as another's"
    );
    store.close().await.unwrap();
}

/// A changed byte below the signed root is an error and no proof.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_and_not_proved() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = open(&data, u64::MAX);
    let log = store.log("default", Stream::Events).await.unwrap();
    grow_to(&log, 600).await;
    store.seal().await.unwrap();
    let directory = data.join(layout::origin_dir(log.origin()));
    let tile = directory.join("tile/0/001");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[17] ^= 1;
    std::fs::write(&tile, &bytes).unwrap();
    let tree = log.tree().unwrap();
    assert!(matches!(tree.prove(256), Err(ReadError::Damaged { .. })), "its own leaf");
    assert!(matches!(log.tree().unwrap().prove(300), Err(ReadError::Damaged { .. })), "a sibling");
    assert!(matches!(log.entry_bundle(1, 256), Err(ReadError::Damaged { .. })));
    assert!(log.entry_bundle(0, 256).is_ok());
    std::fs::write(&tile, &bytes[..8_000]).unwrap();
    assert!(matches!(log.tile(TileId { level: 0, index: 1, width: 1 }), Err(ReadError::Damaged { .. })));
    std::fs::remove_file(&tile).unwrap();
    assert!(matches!(log.tree().unwrap().prove(300), Err(ReadError::Read { .. })));
    store.close().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// However a log grew, was sealed and was opened again: the same tree.
    #[test]
    fn any_history_gives_the_tree_of_its_entries(steps in prop::collection::vec((1u64..600, 0u8..4), 1..7)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let data = dir.path().join("data");
            let mut store = open(&data, u64::MAX);
            let mut log = store.log("default", Stream::Events).await.unwrap();
            let mut before = Vec::new();
            let mut sizes = vec![0, 1];
            for (rows, then) in steps {
                let size = log.durable() + rows;
                grow_to(&log, size).await;
                sizes.push(size);
                match then {
                    0 => store.seal().await.unwrap(),
                    1 => {
                        store.close().await.unwrap();
                        drop((log, store));
                        store = open(&data, u64::MAX);
                        log = store.log("default", Stream::Events).await.unwrap();
                    }
                    // Asked only now and then: the edge goes on from where it was left.
                    2 => continue,
                    _ => {}
                }
                check(&log, &sizes, &mut before);
            }
            check(&log, &sizes, &mut before);
            store.close().await.unwrap();
        });
    }
}
