//! What is known of the logs of a writer that is given up: how far each was signed, as far as anything here says so, and how
//! much of it is sealed here.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::checkpoint::Checkpoint;
use schemas::control::{Control, Predecessor};
use schemas::note::Note;
use schemas::origin::ROOT_TENANT;
use schemas::tree::{Hash, empty_root};
use schemas::{Origin, Stream, layout};

use super::replay::Replay;
use super::{Found, Logs, carried, load_sealed, sealed};
use crate::cursor::Positions;
use crate::disk::Disk;
use crate::error::Result;
use crate::keys::{Keys, Seen};
use crate::options::Options;
use crate::snapshot::Unsealed;

/// What a new log goes on from.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    /// The log, as its successor's first entry says.
    pub(crate) predecessor: Predecessor,
    /// How far it had read its sources with the entries that are here: what came after is read again.
    pub(crate) read: Positions,
    /// What it had acknowledged and not sealed, as far as it is here.
    pub(crate) unsealed: Vec<Unsealed>,
}

/// By log.
pub(crate) type Predecessors = BTreeMap<(String, Stream), Before>;

/// The logs of `writer`, of sealed files, of the write-ahead files in `retired`, and of what is remembered beside the keys.
/// Damage is no error: what can be read counts. Nothing is written.
pub(crate) fn last_known(
    disk: &Arc<dyn Disk>,
    keys: &Keys,
    options: &Options,
    writer: &str,
    retired: &str,
) -> Result<Predecessors> {
    let options = Options { writer: writer.to_string(), ..options.clone() };
    let mut found = load_sealed(disk, keys, &options, &mut None)?;
    let kept: BTreeMap<(String, Stream), u64> =
        found.iter().map(|(name, log)| (name.clone(), log.view.sealed)).collect();
    if let Err(error) = Replay::of(writer, retired).run(&**disk, keys, &mut found) {
        tracing::warn!(%error, "the write-ahead files are read up to here");
    }
    let mut known = Known::default();
    for log in found.values() {
        known.checkpoint(&log.view.checkpoint);
        let path = format!("{}/{}", layout::origin_dir(&log.origin), layout::CHECKPOINT);
        // Whether or not the entries are there: somebody was shown it.
        if let Ok(copy) = disk.read(&path)
            && Checkpoint::open(&copy, log.keys.checkpoint.verifier()).is_ok()
        {
            known.checkpoint(&String::from_utf8_lossy(&copy));
        }
        let sealed = Seen { size: log.view.sealed, root: sealed_root(log) };
        known.seen(&log.origin.to_string(), sealed);
    }
    known.root_log(disk, &found);
    for (origin, seen) in keys.all_remembered() {
        if origin.parse::<Origin>().is_ok_and(|origin| origin.writer() == writer) {
            known.seen(&origin, seen);
        }
    }
    let mut predecessors = Predecessors::new();
    for (name, Seen { size, root }) in known.newest {
        let origin: Origin = name.parse()?;
        let key = keys.log(&origin)?.checkpoint.verifier().to_string();
        let place = (origin.tenant().to_string(), origin.stream());
        let kept = kept.get(&place).copied().unwrap_or(0).min(size);
        let log = found.get(&place).filter(|_| origin.stream() != Stream::Root);
        let unsealed = log.map(|log| log.view.unsealed.clone()).unwrap_or_default();
        let read = log.map(|log| log.view.cursors.now()).unwrap_or_default();
        let carried = carried::count(&unsealed);
        let predecessor = Predecessor { origin: name, key, size, root, kept, carried };
        predecessors.insert(place, Before { predecessor, read, unsealed });
    }
    Ok(predecessors)
}

fn sealed_root(log: &Found) -> String {
    let root = if log.view.sealed == 0 { empty_root() } else { log.seal.tiles.compact_range().root() };
    root.to_base64()
}

/// The newest checkpoint of each log, by origin.
#[derive(Debug, Default)]
struct Known {
    newest: BTreeMap<String, Seen>,
}

impl Known {
    fn seen(&mut self, origin: &str, seen: Seen) {
        let known = self.newest.entry(origin.to_string()).or_insert_with(|| seen.clone());
        if seen.size > known.size {
            *known = seen;
        }
    }

    fn checkpoint(&mut self, note: &str) {
        let checkpoint =
            Note::parse(note.as_bytes()).and_then(|note| Checkpoint::parse(note.unverified_text()));
        if let Ok(Checkpoint { origin, size, root }) = checkpoint {
            self.seen(&origin.to_string(), Seen { size, root: root.to_base64() });
        }
    }

    /// What the root log says of the others, as far as it can be read.
    fn root_log(&mut self, disk: &Arc<dyn Disk>, found: &Logs) {
        let Some(root) = found.get(&(ROOT_TENANT.to_string(), Stream::Root)) else { return };
        let mut origins: BTreeMap<u64, String> = BTreeMap::new();
        let none = Seen { size: 0, root: empty_root().to_base64() };
        let heard = sealed::controls(&**disk, root, |_, control| {
            match control {
                Control::LogOpened(opened) => {
                    self.seen(&opened.origin, none.clone());
                    origins.insert(opened.number, opened.origin);
                }
                Control::Round(round) => {
                    for log in round.logs {
                        if let Some(origin) = origins.get(&log.number)
                            && Hash::from_base64(&log.root).is_ok()
                        {
                            self.seen(origin, Seen { size: log.size, root: log.root });
                        }
                    }
                }
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = heard {
            tracing::warn!(%error, "the root log is read up to here");
        }
    }
}
