//! Rotations and adoptions on real files: ended at every place, finished by whoever comes next, verified by another's code (at
//! every operation of the disk: `power_cut/matrix.rs`); and no two checkpoints of one log and size with different roots, in any copy.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemas::Stream;
use schemas::checkpoint::Checkpoint;
use schemas::control::Predecessor;
use schemas::note::Note;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{EVENT_ID, SESSION_ID, SOURCE, TENANT, TIME, payload_ids};
use tempfile::TempDir;
use verify::{Identity, Report};

use super::{Adoption, Succeeded, adopt, rotate};
use crate::clock::{Clock, SystemClock};
use crate::crash::SUCCESSION_PLACES;
use crate::crash::tests::{Crashed, crash_at};
use crate::disk::{Disk, RealDisk};
use crate::keys::tests::on_machine;
use crate::{Draft, Error, Keys, NoCustody, Options, Store};

/// A data directory and its keys.
struct Home {
    dir: TempDir,
}

pub(crate) fn draft(ids: &[String]) -> Draft {
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
pub(crate) fn checkpoints(bytes: &[u8]) -> Vec<Checkpoint> {
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

/// Ends `what` on a copy of `before` at every place it passes, and hands what is left to `check`.
fn at_every_place(
    before: &Home,
    what: &dyn Fn(&Home) -> Result<Succeeded, Error>,
    check: &dyn Fn(&Home, &str),
) {
    let mut places: Vec<&'static str> = SUCCESSION_PLACES.to_vec();
    places.extend(crate::CRASH_PLACES);
    let mut crashes = 0;
    for place in places {
        let mut count = 0;
        loop {
            // Every passing of a place in a full run, else the first and, further and further apart, later ones.
            count += if is_full() { 1 } else { (2 * count).max(1) };
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
}

mod adoption;
mod reviewed;
mod rotation;
