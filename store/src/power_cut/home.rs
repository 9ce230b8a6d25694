//! An installation on one disk: its data, its keys and its backups, each a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::checkpoint::Checkpoint;
use schemas::{Origin, layout};

use super::check::{Read, read, read_snapshot, verify_left};
use super::disk::SimDisk;
use super::image::contents;
use super::model::{Model, Name};
use super::rig::{KEYS, Rig, START_US, kept_keys, options};
use crate::backup::{Backup, Transfer, backup_on, restore_on};
use crate::clock::{Clock, ManualClock};
use crate::disk::Disk;
use crate::error::Result;
use crate::keys::{Keys, NoCustody, Seen};
use crate::succession::tests::checkpoints;
use crate::succession::{Adoption, Succeeded, adopt_on, rotate_on};

/// The writer that everything begins with.
const FIRST: &str = "w1";

/// Data with the disk that they are on, and what was promised of them.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) data: SimDisk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) model: Model,
}

impl Home {
    /// Nothing at all.
    pub(super) fn new() -> Home {
        let clock = Arc::new(ManualClock::new(START_US));
        Home { data: SimDisk::new().part("data"), clock, model: Model::default() }
    }

    fn on(&self, data: SimDisk) -> Home {
        // Another process: another monotonic clock.
        Home { data, clock: Arc::new(ManualClock::new(self.clock.wall_us())), model: self.model.clone() }
    }

    /// As the next process finds it; nothing is shared with this one.
    pub(super) fn ended(&self) -> Home {
        self.on(self.data.process_end())
    }

    /// As it is after a power cut.
    pub(super) fn cut(&self, seed: u64) -> Home {
        self.on(self.data.cut(seed))
    }

    /// The same disk and keys with other data.
    pub(super) fn with_data(&self, name: &str) -> Home {
        self.on(self.data.part(name))
    }

    pub(super) fn keys(&self) -> Result<Keys> {
        kept_keys(&self.data)
    }

    fn arcs(&self) -> (Arc<dyn Disk>, Arc<dyn Clock>) {
        (Arc::new(self.data.clone()), self.clock.clone())
    }

    /// Opens it as a service does, with nothing promised of what it will write.
    pub(super) fn open(&self) -> Result<Rig> {
        Rig::open(self.data.clone(), Arc::clone(&self.clock), Model::default())
    }

    pub(super) fn rotate(&self) -> Result<Succeeded> {
        let (disk, clock) = self.arcs();
        rotate_on(&disk, self.keys()?, &NoCustody, &options(), &clock, "ops")
    }

    pub(super) fn adopt(&self) -> Result<Succeeded> {
        let (disk, clock) = self.arcs();
        let adoption = Adoption { by: "ops".into(), reason: "a test".into(), ..Adoption::default() };
        adopt_on(&disk, self.keys()?, &options(), &clock, &adoption)
    }

    pub(super) fn backup(&self, to: &str, transfer: Transfer) -> Result<Backup> {
        backup_on(&self.data, &self.data.part(to), transfer, self.clock.wall_us())
    }

    pub(super) fn restore(&self, from: &str, to: &str) -> Result<Backup> {
        restore_on(&self.data.part(from), &self.data.part(to))
    }

    /// The key of the root log that everything begins with.
    pub(super) fn first_root_key(&self) -> String {
        crate::root_key(&self.keys().unwrap(), FIRST).unwrap()
    }

    /// What an auditor says of it as it was left, by the key of the first root log; nothing here is touched.
    pub(super) fn verify_left(&self) {
        verify_left(&self.data, &self.ended().first_root_key());
    }

    /// What is remembered beside the keys is never behind what was shown, whatever is with the data.
    pub(super) fn check_memory(&self) {
        let keys = self.data.part(KEYS);
        let has_logs = self.data.status(layout::LOG).is_ok();
        let Ok(keys) = Keys::load_on(Arc::new(keys), &NoCustody) else {
            assert!(!has_logs, "there are logs, and the keys that signed them are gone");
            return;
        };
        for ((tenant, stream), promised) in &self.model.logs {
            let Some((size, _)) = promised.shown.last_key_value() else { continue };
            let origin = Origin::new(keys.installation(), tenant, *stream, FIRST).unwrap();
            let seen = keys.remembered(&origin).map_or(0, |seen: Seen| seen.size);
            assert!(seen >= *size, "{origin}: size {size} was shown, and {seen} is remembered");
        }
    }

    /// Every checkpoint that stands anywhere on the disk.
    fn signed(&self) -> BTreeSet<(String, u64, String)> {
        let files = contents(&self.data.part(""), "").into_values();
        let signed = files.flat_map(|bytes| checkpoints(&bytes));
        signed.map(|Checkpoint { origin, size, root }| (origin.to_string(), size, root.to_base64())).collect()
    }

    /// Of one log and size there is one root, here and in what was there before.
    pub(super) fn assert_no_fork(&self, before: &Home) {
        let mut known: BTreeMap<(String, u64), String> = BTreeMap::new();
        for (origin, size, root) in before.signed().into_iter().chain(self.signed()) {
            let first = known.entry((origin.clone(), size)).or_insert_with(|| root.clone());
            assert_eq!(*first, root, "{origin} at size {size}");
        }
    }
}

/// What is known of one log over all its writers, oldest first.
fn lineage(rig: &Rig, name: &Name) -> Vec<(String, Read)> {
    let shared = &rig.opened.shared;
    let mut found = Vec::new();
    for before in shared.history.get(name).into_iter().flatten() {
        let id = shared.keys.log(&before.origin).unwrap().log_id;
        found.push((before.origin.writer().to_string(), read_snapshot(&rig.disk, before, &id)));
    }
    if let Some(log) = shared.find(&name.0, name.1) {
        found.push((log.origin.writer().to_string(), read(&rig.disk, &log)));
    }
    found
}

/// Holds a store, whose writer may be another than the one that promised, against what was promised. Of each log so many
/// entries must be there as `kept` says of it: all, where it says nothing.
pub(super) fn check_lineage(rig: &Rig, model: &Model, kept: &dyn Fn(&Name) -> Option<u64>) {
    let shared = &rig.opened.shared;
    assert_eq!(shared.tampered.get(), None, "the store is read-only");
    assert_eq!(shared.poisoned.get(), None, "the store has stopped writing");
    rig.check();
    for (name, promised) in &model.logs {
        let logs = lineage(rig, name);
        let first = logs.iter().find(|(writer, _)| writer == FIRST).map(|(_, read)| read);
        let end = kept(name).unwrap_or(u64::MAX);
        for (index, event) in promised.acknowledged.range(..end) {
            let there = first.and_then(|first| first.events.get(index));
            assert_eq!(there, Some(event), "{name:?}: acknowledged index {index}");
        }
        for (size, root) in promised.shown.range(..=end) {
            let again = first.and_then(|first| first.roots.get(usize::try_from(*size).unwrap()));
            assert_eq!(again, Some(root), "{name:?}: the checkpoint of size {size} was shown");
        }
        let mut ids = BTreeSet::new();
        for (writer, log) in &logs {
            for event in log.events.values() {
                assert!(ids.insert(event.id.clone()), "{name:?}: {} is there again under {writer}", event.id);
            }
        }
    }
}

/// The name of a log in the model, of its origin.
pub(super) fn name_of(origin: &str) -> Name {
    let origin: Origin = origin.parse().unwrap();
    (origin.tenant().to_string(), origin.stream())
}
