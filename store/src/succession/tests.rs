//! Rotations and adoptions on real files: ended at every place and at every operation of the disk, finished by whoever comes
//! next, verified by another's code; and no two checkpoints of one log and size with different roots, in any copy.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemas::Stream;
use schemas::checkpoint::Checkpoint;
use schemas::note::Note;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{EVENT_ID, SESSION_ID, SOURCE, TENANT, TIME, payload_ids};
use tempfile::TempDir;
use verify::{Identity, Report};

use super::faulty::FaultyDisk;
use super::{Adoption, Succeeded, adopt, adopt_on, rotate, rotate_on};
use crate::clock::{Clock, SystemClock};
use crate::crash::tests::{Crashed, crash_at};
use crate::crash::SUCCESSION_PLACES;
use crate::disk::{Disk, RealDisk};
use crate::keys::tests::on_machine;
use crate::{Draft, Error, Keys, NoCustody, Options, Store};

/// A data directory and its keys.
struct Home {
    dir: TempDir,
}

fn draft(ids: &[String]) -> Draft {
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
        payloads.push(&Row::new().text(payload_ids::ARGUMENTS, "{}")).unwrap();
    }
    Draft {
        entries: entries.finish().unwrap(),
        payloads: payloads.finish().unwrap(),
        idempotent: vec![true; ids.len()],
        scope: "http/t-1".to_string(),
    }
}

fn options() -> Options {
    Options { wal_file_bytes: 256 << 10, sign_interval_us: 1_000, ..Options::default() }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Home {
    fn new() -> Home {
        Home { dir: tempfile::tempdir().unwrap() }
    }

    /// Another directory with the same content.
    fn copied(&self) -> Home {
        let home = Home::new();
        copy(&self.data(), &home.data());
        copy(&self.keys_dir(), &home.keys_dir());
        home
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn keys_dir(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    fn keys(&self) -> Keys {
        Keys::load_or_create(&self.keys_dir()).unwrap()
    }

    fn open(&self) -> Store {
        Store::open(&self.data(), self.keys(), options(), clock()).unwrap()
    }

    /// Opens it, records these events in two tenants, and ends it, cleanly or not.
    fn record(&self, prefix: &str, count: u64, cleanly: bool) -> Result<(), Error> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = self.open();
            for tenant in ["default"] {
                let log = store.log(tenant, Stream::Events).await?;
                let ids: Vec<String> = (0..count).map(|at| format!("{prefix}-{at}")).collect();
                log.append(draft(&ids)).await?;
            }
            if cleanly {
                return store.close().await;
            }
            // Until it is signed and shown.
            let log = store.log("default", Stream::Events).await?;
            while log.snapshot().signed < log.snapshot().durable {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            Ok(())
        })
    }

    /// Why nothing is taken, after opening it.
    fn refusal(&self) -> String {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = self.open();
            let status = store.status();
            store.close().await.unwrap();
            assert_eq!(status.code, Some("tampered"), "{status:?}");
            status.reason.unwrap()
        })
    }

    fn root_key(&self) -> String {
        let keys = self.keys();
        crate::root_key(&keys, keys.writer()).unwrap()
    }

    fn verify(&self, key: &str) -> Report {
        let identity = Identity::Key(key.parse().unwrap());
        verify::run(&verify::Options::new(self.data(), identity), &|_| {}).unwrap()
    }

    fn clean(&self, key: &str) -> Report {
        let report = self.verify(key);
        assert_eq!(report.exit_code(), 0, "{:#?} {:#?}", report.findings, report.unreadable);
        report
    }

    fn rotate(&self) -> Result<Succeeded, Error> {
        rotate(&self.data(), self.keys(), &NoCustody, &options(), &clock(), "ops")
    }

    fn adopt(&self) -> Result<Succeeded, Error> {
        let adoption = Adoption { by: "ops".into(), reason: "a test".into(), ..Adoption::default() };
        adopt(&self.data(), self.keys(), &options(), &clock(), &adoption)
    }

    /// Every event that is found over all logs of the stream.
    fn events(&self) -> u64 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = self.open();
            let mut logs = store.predecessors("default", Stream::Events);
            logs.extend(store.snapshot("default", Stream::Events));
            let mut count = 0;
            for log in logs {
                let mut entries = crate::Entries::new(log, 0, &["log_index", "kind"]);
                while let Some(batch) = entries.next_batch().unwrap() {
                    use arrow::array::AsArray as _;
                    let kinds = batch.column_by_name("kind").unwrap().as_string::<i32>();
                    count += kinds.iter().filter(|kind| *kind == Some("call")).count() as u64;
                }
            }
            store.close().await.unwrap();
            count
        })
    }
}

fn is_full() -> bool {
    std::env::var_os("TACHO_FULL").is_some()
}

/// All checkpoints of some copies: of one log and size there is one root.
fn assert_no_fork(homes: &[&Home]) {
    let mut seen: BTreeMap<(String, u64), (String, PathBuf)> = BTreeMap::new();
    let mut pending: Vec<PathBuf> = homes.iter().map(|home| home.data()).collect();
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            for Checkpoint { origin, size, root } in checkpoints(&std::fs::read(&path).unwrap()) {
                let root = root.to_base64();
                let known = seen.entry((origin.to_string(), size)).or_insert((root.clone(), path.clone()));
                assert_eq!(known.0, root, "{origin} at {size}: {} and {}", known.1.display(), path.display());
            }
        }
    }
    assert!(seen.len() > 3, "{seen:?}");
}

/// Every checkpoint that stands anywhere in these bytes: a manifest, a copy, a write-ahead file.
fn checkpoints(bytes: &[u8]) -> Vec<Checkpoint> {
    if let Ok(note) = Note::parse(bytes) {
        if let Ok(checkpoint) = Checkpoint::parse(note.unverified_text()) {
            return vec![checkpoint];
        }
        if let Ok(manifest) = schemas::manifest::Manifest::parse(note.unverified_text()) {
            return checkpoints(manifest.checkpoint.as_bytes());
        }
    }
    let Ok(header) = schemas::group::FileHeader::parse(bytes) else { return Vec::new() };
    let mut found = Vec::new();
    let mut at = schemas::group::FILE_HEADER_BYTES;
    while let Ok(group) = schemas::group::GroupHeader::parse(bytes.get(at..).unwrap_or_default()) {
        let start = at + schemas::group::GROUP_HEADER_BYTES;
        let Some(body) = bytes.get(start..start + group.body_bytes) else { break };
        if group.nonce != header.nonce || group.check_body(body).is_err() {
            break;
        }
        for section in schemas::group::sections(body, group.sections).unwrap() {
            if let schemas::group::Section::Checkpoint(note) = section {
                found.extend(checkpoints(note));
            }
        }
        at += usize::try_from(group.padded_bytes()).unwrap();
    }
    found
}

#[test]
fn rotated_keys_are_followed_from_the_old_root_key_alone() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let old = home.root_key();
    let told = home.rotate().unwrap();
    assert_eq!((told.from.as_str(), told.logs.len()), ("w1", 2));
    assert!(told.logs.iter().all(|log| !log.has_lost() && log.kept > 0), "{told:?}");
    assert_ne!(old, told.root_key);
    home.record("b", 7, true).unwrap();
    assert_eq!(home.events(), 17);
    let report = home.clean(&old);
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    assert_eq!(report.logs.len(), 4);
    home.clean(&told.root_key);
    // Once more, and the first key still leads to the end.
    home.rotate().unwrap();
    home.record("c", 3, true).unwrap();
    assert_eq!(home.events(), 20);
    assert_eq!(home.clean(&old).logs.len(), 6);
    home.clean(&home.root_key());
    assert!(home.keys_dir().join("generation-0003").exists());
    assert_no_fork(&[&home]);
}

#[test]
fn a_store_that_was_not_closed_is_rotated_whole() {
    let home = Home::new();
    home.record("a", 10, false).unwrap();
    let old = home.root_key();
    home.rotate().unwrap();
    assert_eq!(home.events(), 10);
    home.clean(&old);
    assert_no_fork(&[&home]);
}

/// Ends `what` on a copy of `before` at every place it passes, and hands what is left to `check`.
fn at_every_place(before: &Home, what: &dyn Fn(&Home) -> Result<Succeeded, Error>, check: &dyn Fn(&Home, &str)) {
    let mut places: Vec<&'static str> = SUCCESSION_PLACES.to_vec();
    places.extend(crate::CRASH_PLACES);
    let mut crashes = 0;
    for place in places {
        let mut count = 0;
        loop {
            // Every passing of a place in a full run, else the first and, further and further apart, later ones.
            count += if is_full() { 1 } else { count.max(1) };
            let home = before.copied();
            crash_at(Some((place, count)));
            let ended = catch_unwind(AssertUnwindSafe(|| what(&home)));
            crash_at(None);
            match ended {
                Ok(done) => {
                    done.unwrap();
                    break;
                }
                Err(panic) => assert!(panic.is::<Crashed>(), "{place}:{count} is another panic"),
            }
            crashes += 1;
            check(&home, &format!("{place}:{count}"));
        }
    }
    assert!(crashes > 20, "{crashes} crashes");
    println!("{crashes} crashes");
}

#[test]
fn a_rotation_that_is_killed_anywhere_is_finished_or_never_was() {
    let before = Home::new();
    before.record("a", 10, false).unwrap();
    let old = before.root_key();
    let check = |home: &Home, at: &str| {
        // As it was left: nothing that looks like tampering.
        let left = home.verify(&old);
        assert_eq!(left.findings, [], "{at}");
        home.record("b", 5, true).unwrap();
        let writer = home.keys().writer().to_string();
        assert!(writer == "w1" || writer.starts_with("w2-"), "{at}: {writer}");
        assert_eq!(home.events(), 15, "{at}");
        home.clean(&old);
        home.rotate().unwrap();
        home.clean(&old);
        assert_no_fork(&[&before, home]);
    };
    at_every_place(&before, &Home::rotate, &check);
}

#[test]
fn a_rotation_on_a_disk_that_fails_at_any_operation_is_finished_or_never_was() {
    let before = Home::new();
    before.record("a", 10, false).unwrap();
    let old = before.root_key();
    let step = if is_full() { 1 } else { 17 };
    for at in (1..).step_by(step) {
        let home = before.copied();
        let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new(RealDisk::open(&home.data()).unwrap(), at));
        let done = rotate_on(&disk, home.keys(), &NoCustody, &options(), &clock(), "ops");
        drop(disk);
        if done.is_ok() {
            assert!(at > 50, "{at} operations");
            break;
        }
        home.record("b", 5, true).unwrap();
        assert_eq!(home.events(), 15, "operation {at}");
        home.clean(&old);
        assert_no_fork(&[&before, &home]);
    }
}

/// A home whose data are those of an earlier moment, and the one that went on.
fn rolled_back() -> (Home, Home) {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let older = home.copied();
    home.record("b", 7, true).unwrap();
    // Last week's data, today's keys.
    std::fs::remove_dir_all(older.keys_dir()).unwrap();
    copy(&home.keys_dir(), &older.keys_dir());
    (older, home)
}

fn assert_adopted(home: &Home, others: &[&Home], lost: bool) {
    let old = home.root_key();
    let told = home.adopt().unwrap();
    assert_eq!(told.logs.iter().any(schemas::control::Predecessor::has_lost), lost, "{told:?}");
    home.record("c", 3, true).unwrap();
    let report = home.clean(&told.root_key);
    let says = report.notes.iter().any(|note| note.message.contains("lost for ever"));
    assert_eq!(says, lost, "{:?}", report.notes);
    // The old key does not vouch for a successor that it did not name: neither clean nor tampered.
    let report = home.verify(&old);
    assert_eq!((report.exit_code(), report.findings.as_slice()), (2, [].as_slice()));
    let mut all = vec![home];
    all.extend(others);
    assert_no_fork(&all);
}

#[test]
fn last_weeks_data_is_known_by_the_memory_beside_the_keys() {
    let (older, home) = rolled_back();
    let reason = older.refusal();
    assert!(reason.contains("rolled back") && reason.contains("tacho adopt"), "{reason}");
    assert!(matches!(older.record("x", 1, true), Err(Error::Tampered { .. })));
    assert!(matches!(older.rotate(), Err(Error::Tampered { .. })));
    // The other goes on meanwhile.
    home.record("d", 2, true).unwrap();
    assert_adopted(&older, &[&home], true);
    assert_eq!(older.events(), 13);
    home.clean(&home.root_key());
}

#[test]
fn lost_write_ahead_files_do_not_fork_what_was_shown() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    home.record("b", 7, false).unwrap();
    let before = home.copied();
    std::fs::remove_dir_all(home.data().join("wal")).unwrap();
    // Without the copy of the checkpoint the data directory alone does not know.
    for log in ["default/events/w1", "_root/root/w1"] {
        std::fs::remove_file(home.data().join("log").join(log).join("checkpoint")).unwrap();
    }
    assert!(home.refusal().contains("write-ahead files are lost"));
    assert_adopted(&home, &[&before], true);
    assert_eq!(home.events(), 13);
}

#[test]
fn a_copied_machine_signs_under_a_name_of_its_own() {
    let home = Home::new();
    on_machine(Some("one"));
    home.record("a", 10, true).unwrap();
    let cloned = home.copied();
    on_machine(Some("two"));
    let reason = cloned.refusal();
    assert!(reason.contains("machine"), "{reason}");
    assert!(matches!(cloned.record("x", 1, true), Err(Error::Tampered { .. })));
    let third = cloned.copied();
    on_machine(Some("one"));
    home.record("b", 7, true).unwrap();
    on_machine(Some("two"));
    assert_adopted(&cloned, &[&home], false);
    // A third copy of the same machine's: another successor, not the same one twice.
    on_machine(Some("three"));
    assert_adopted(&third, &[&home, &cloned], false);
    on_machine(Some("one"));
    home.rotate().unwrap();
    home.record("c", 1, true).unwrap();
    assert_no_fork(&[&home, &cloned, &third]);
    on_machine(None);
}

#[test]
fn an_adoption_that_is_killed_anywhere_is_finished() {
    let (before, home) = rolled_back();
    let old = before.root_key();
    let check = |adopted: &Home, at: &str| {
        assert_eq!(adopted.verify(&old).findings, [], "{at}");
        if adopted.keys().record().pending.is_some() {
            adopted.record("c", 3, true).unwrap();
            assert_eq!(adopted.events(), 13, "{at}");
        } else if adopted.keys().writer() == "w1" {
            adopted.refusal();
            adopted.adopt().unwrap();
        }
        let report = adopted.clean(&adopted.root_key());
        assert!(report.notes.iter().any(|note| note.message.contains("lost for ever")), "{at}");
        assert_no_fork(&[&home, adopted]);
    };
    at_every_place(&before, &Home::adopt, &check);
}

#[test]
fn an_adoption_on_a_disk_that_fails_at_any_operation_is_finished() {
    let (before, home) = rolled_back();
    let step = if is_full() { 1 } else { 17 };
    for at in (1..).step_by(step) {
        let adopted = before.copied();
        let disk: Arc<dyn Disk> = Arc::new(FaultyDisk::new(RealDisk::open(&adopted.data()).unwrap(), at));
        let adoption = Adoption { by: "ops".into(), reason: "a test".into(), ..Adoption::default() };
        let done = adopt_on(&disk, adopted.keys(), &options(), &clock(), &adoption);
        drop(disk);
        if done.is_ok() {
            assert!(at > 50, "{at} operations");
            break;
        }
        if adopted.keys().record().pending.is_none() {
            adopted.adopt().unwrap();
        }
        adopted.record("c", 3, true).unwrap();
        adopted.clean(&adopted.root_key());
        assert_no_fork(&[&home, &adopted]);
    }
}

#[test]
fn data_from_before_a_rotation_is_known_without_a_memory_too() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let older = home.copied();
    home.rotate().unwrap();
    std::fs::remove_dir_all(older.keys_dir()).unwrap();
    copy(&home.keys_dir(), &older.keys_dir());
    std::fs::remove_file(older.keys_dir().join("remembered")).unwrap();
    assert!(older.refusal().contains("older than writer w2-"));
    older.adopt().unwrap();
    older.record("b", 2, true).unwrap();
    older.clean(&older.root_key());
    assert_no_fork(&[&home, &older]);
}

#[test]
fn keys_from_before_a_rotation_do_not_write_on_at_a_log_s_end() {
    let home = Home::new();
    home.record("a", 10, true).unwrap();
    let keys = home.copied();
    home.rotate().unwrap();
    std::fs::remove_dir_all(home.keys_dir()).unwrap();
    copy(&keys.keys_dir(), &home.keys_dir());
    assert!(home.refusal().contains("at its end"));
}

#[test]
fn a_backup_taken_while_it_is_written_is_put_back_read_only_and_adopted() {
    use crate::backup::{Backup, Transfer, backup, restore};
    let home = Home::new();
    home.record("a", 600, true).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = home.dir.path().join("backup");
    let key = home.root_key();
    // Amid appends and seals.
    runtime.block_on(async {
        let store = home.open();
        let writer = store.clone();
        let appends = tokio::spawn(async move {
            let log = writer.log("default", Stream::Events).await.unwrap();
            for at in 0..40 {
                log.append(draft(&[format!("b-{at}")])).await.unwrap();
                writer.seal().await.unwrap();
            }
        });
        let (data, to) = (home.data(), place.clone());
        let taken = tokio::task::spawn_blocking(move || backup(&data, &to, Transfer::HardLink, 7)).await;
        taken.unwrap().unwrap();
        appends.await.unwrap();
        store.close().await.unwrap();
    });
    let copied = home.dir.path().join("copied");
    let whole = backup(&home.data(), &copied, Transfer::Copy, 8).unwrap();
    assert!(matches!(backup(&home.data(), &copied, Transfer::Copy, 8), Err(Error::Io { .. })));
    home.record("c", 5, true).unwrap();
    for (place, events) in [(&place, None), (&copied, Some(640))] {
        let identity = Identity::Key(key.parse().unwrap());
        let report = verify::run(&verify::Options::new(place, identity), &|_| {}).unwrap();
        assert_eq!(report.exit_code(), 0, "{report:#?}");
        let restored = Home::new();
        let said = restore(place, &restored.data()).unwrap();
        assert_eq!(said, Backup::load(place).unwrap());
        // Its own keys remember nothing of what came after: the marker alone holds it.
        copy(&home.keys_dir(), &restored.keys_dir());
        std::fs::remove_file(restored.keys_dir().join("remembered")).unwrap();
        assert!(restored.refusal().contains("put back from a backup"));
        std::fs::remove_dir_all(restored.keys_dir()).unwrap();
        copy(&home.keys_dir(), &restored.keys_dir());
        assert_adopted(&restored, &[&home], true);
        if let Some(events) = events {
            assert_eq!(restored.events(), events + 3);
        }
    }
    // One flipped byte, or a file that is missing.
    let data = whole.files.iter().find(|file| file.path.ends_with(".parquet")).unwrap();
    let path = copied.join(&data.path);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let restored = Home::new();
    assert!(matches!(restore(&copied, &restored.data()), Err(Error::Tampered { .. })));
    // What broke off is not written on.
    copy(&home.keys_dir(), &restored.keys_dir());
    restored.refusal();
    std::fs::remove_file(&path).unwrap();
    assert!(restore(&copied, &Home::new().data()).is_err());
}

#[test]
fn an_adoption_needs_a_reason_and_a_store() {
    let home = Home::new();
    let adoption = Adoption::default();
    assert!(matches!(
        adopt(&home.data(), home.keys(), &options(), &clock(), &adoption),
        Err(Error::Io { .. })
    ));
    home.record("a", 1, true).unwrap();
    assert!(matches!(
        adopt(&home.data(), home.keys(), &options(), &clock(), &adoption),
        Err(Error::Refused(_))
    ));
    let long = Adoption { reason: "x".repeat(2000), ..Adoption::default() };
    assert!(matches!(adopt(&home.data(), home.keys(), &options(), &clock(), &long), Err(Error::Refused(_))));
    // A verifier's memory says that more was lost than anything here knows.
    let (origin, size) = (format!("{}/_root/root/w1", home.keys().installation()), 900);
    let root = schemas::tree::empty_root().to_base64();
    let remembered = BTreeMap::from([(origin.clone(), crate::Seen { size, root })]);
    let adoption = Adoption { by: "ops".into(), reason: "older".into(), remembered };
    let told = adopt(&home.data(), home.keys(), &options(), &clock(), &adoption).unwrap();
    let root = told.logs.iter().find(|log| log.origin == origin).unwrap();
    assert_eq!(root.size, 900);
    assert!(root.has_lost());
    home.clean(&told.root_key);
}
