//! Proofs and tiles of a log at every kind of moment, held against the definition of RFC 6962 over all its leaves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use schemas::checkpoint::Checkpoint;
use schemas::control::{ClockRead, Control};
use schemas::note::VerifierKey;
use schemas::proof::{Covered, Document, Proof};
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
    open_with(data, seal_rows, Options::default().round_interval_us)
}

/// With a root log that is told soon how far logs have come.
fn open_told(data: &Path, seal_rows: u64) -> Store {
    open_with(data, seal_rows, 5_000)
}

fn open_with(data: &Path, seal_rows: u64, round_interval_us: i64) -> Store {
    let keys = Keys::load_or_create(&data.with_file_name("keys")).unwrap();
    let options = Options {
        wal_file_bytes: 1 << 20,
        sign_interval_us: 5_000,
        seal_rows,
        idempotency_ids_max: 16,
        round_interval_us,
        ..Options::default()
    };
    Store::open(data, keys, options, Arc::new(SystemClock::new())).unwrap()
}

async fn signed(log: &Log) {
    while log.snapshot().signed < log.durable() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The document, once the root log knows the log that far.
async fn proof_of(store: &Store, log: &Log, index: u64, since: Option<u64>) -> Document {
    loop {
        if let Some(document) = store.prove(log, index, since).unwrap() {
            return document;
        }
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
                copy(&data, &cut.join("data"));
                // With what is remembered beside the keys at that moment.
                copy(&data.with_file_name("keys"), &cut.join("keys"));
                store.close().await.unwrap();
                drop((log, store));
                data = cut.join("data");
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
    let store = open_told(&dir.path().join("data"), u64::MAX);
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
    let document = proof_of(&store, &log, 257, Some(seen.size())).await;
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
    let document = proof_of(&store, &log, 257, None).await;
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
    let told = |to: Option<Covered>| Document { round: to, ..document.clone() };
    let error = told(None).verify(&key).unwrap_err().to_string();
    assert!(error.contains("knows a tree of"), "{error}");
    assert!(opened(&document, None).verify(&key).is_err());
    assert!(opened(&of_root, document.log_opened.clone()).verify(&key).is_err());
    let of_other = store.existing("t-1", Stream::Events).unwrap();
    signed(&of_other).await;
    let of_other = proof_of(&store, &of_other, 0, None).await;
    of_other.verify(&key).unwrap();
    assert!(told(of_other.round.clone()).verify(&key).is_err(), "another log's round");
    assert!(opened(&document, of_other.log_opened.clone()).verify(&key).is_err(), "another log's opening");
    let elsewhere = Document { origin: of_other.origin.clone(), ..document.clone() };
    assert!(elsewhere.verify(&key).is_err());
    assert!(
        opened(&elsewhere, of_other.log_opened).verify(&key).is_err(),
        "an entry of one log as another's"
    );
    store.close().await.unwrap();
}

/// Whoever has a log's key alone can sign another tree of it, but no proof of that: the root log knows the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_the_root_log_never_saw_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one/data"), dir.path().join("other/data"));
    let store = open_told(&one, u64::MAX);
    let root_log = store.existing("_root", Stream::Root).unwrap();
    store.log("default", Stream::Events).await.unwrap();
    signed(&root_log).await;
    store.close().await.unwrap();
    // The same installation twice, as of one moment: the same keys, the same log_opened.
    copy(&dir.path().join("one"), &dir.path().join("other"));
    let grown = |data: std::path::PathBuf, first: u64| async move {
        let store = open_told(&data, u64::MAX);
        let log = store.existing("default", Stream::Events).unwrap();
        log.append(draft(first, 9)).await.unwrap();
        let document = proof_of(&store, &log, log.durable() - 1, None).await;
        let key: VerifierKey = store.root_key().unwrap().parse().unwrap();
        document.verify(&key).unwrap();
        store.close().await.unwrap();
        (document, key)
    };
    let (seen, key) = grown(one, 100).await;
    let (forged, _) = grown(other, 500).await;
    assert_eq!((&seen.origin, seen.index), (&forged.origin, forged.index));
    // What the true root log says, with the entry and the checkpoint of the tree that it never saw.
    for hashes in [seen.round.clone().unwrap().hashes, forged.round.clone().unwrap().hashes] {
        let round = Covered { hashes, ..seen.round.clone().unwrap() };
        let document = Document { round: Some(round), log_opened: seen.log_opened.clone(), ..forged.clone() };
        let error = document.verify(&key).unwrap_err().to_string();
        assert!(error.contains("inclusion proof"), "{error}");
    }
}

/// After a start the newest round of a log is looked for in the root log, however far back it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_from_before_the_start_is_found_behind_many_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = open_told(&data, u64::MAX);
    let quiet = store.log("default", Stream::Events).await.unwrap();
    grow_to(&quiet, 5).await;
    let at = proof_of(&store, &quiet, 4, None).await.round.unwrap().index;
    let busy = store.log("busy", Stream::Events).await.unwrap();
    let root_log = store.existing("_root", Stream::Root).unwrap();
    while root_log.durable() < at + 600 {
        busy.append_control(Control::ClockRead(ClockRead { due_us: 1 })).await.unwrap();
        signed(&busy).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.close().await.unwrap();
    let store = open_told(&data, u64::MAX);
    let quiet = store.existing("default", Stream::Events).unwrap();
    let document = proof_of(&store, &quiet, 4, None).await;
    assert!(document.round.as_ref().unwrap().index >= at);
    let key: VerifierKey = store.root_key().unwrap().parse().unwrap();
    assert_eq!(document.verify(&key).unwrap().round, Some(5));
    store.close().await.unwrap();
}

/// Under an older checkpoint with lines of others, which are then in the document, however far the log has come since.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_may_be_under_a_checkpoint_that_others_signed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_told(&dir.path().join("data"), 300);
    let log = store.log("default", Stream::Events).await.unwrap();
    let root_log = store.existing("_root", Stream::Root).unwrap();
    let key: VerifierKey = store.root_key().unwrap().parse().unwrap();
    grow_to(&log, 40).await;
    proof_of(&store, &log, 39, None).await;
    let older = root_log.checkpoint();
    let cosigned: Arc<str> = format!("{older}\u{2014} witness.example/w1 AAAABAAA\n").into();
    for size in [41, 400, 700] {
        grow_to(&log, size).await;
        let newer = proof_of(&store, &log, size - 1, None).await;
        assert!(newer.verify(&key).unwrap().root.size > older.lines().nth(1).unwrap().parse().unwrap());
        let under = |index| store.prove_under(&log, index, None, Some(Arc::clone(&cosigned))).unwrap();
        let document = under(39).unwrap();
        let proved = document.verify(&key).unwrap();
        let root = Checkpoint::open(older.as_bytes(), &key).unwrap();
        assert_eq!((proved.root, proved.round, proved.checkpoint.size), (root, Some(40), size));
        for proof in [&document.log_opened.unwrap().proof, &document.round.unwrap().proof] {
            assert_eq!(Proof::parse(proof).unwrap().checkpoint, *cosigned);
        }
        assert!(under(size - 1).is_none(), "they have not seen it yet");
    }
    let of_root = store.prove_under(&root_log, 0, None, Some(Arc::clone(&cosigned))).unwrap().unwrap();
    assert_eq!(Proof::parse(&of_root.proof).unwrap().checkpoint, *cosigned);
    assert!(store.prove_under(&log, 3, None, Some(log.checkpoint())).unwrap().is_none(), "another log's");
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
    let whole = TileId { level: 0, index: 1, width: 256 };
    assert!(matches!(log.tile(whole), Err(ReadError::Damaged { .. })), "no tile is given out unchecked");
    assert!(matches!(log.tile(TileId { width: 3, ..whole }), Err(ReadError::Damaged { .. })));
    assert!(matches!(log.tree().unwrap().consistency(300, 400), Err(ReadError::Damaged { .. })));
    assert!(log.tile(TileId { index: 0, ..whole }).unwrap().is_some());
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
