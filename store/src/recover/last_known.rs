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
use super::{Found, Logs, carried, sealed};
use crate::cursor::Positions;
use crate::disk::Disk;
use crate::error::Result;
use crate::keys::{Keys, Seen};
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
    writer: &str,
    retired: &str,
) -> Result<Predecessors> {
    let mut found = Logs::new();
    for (tenant, stream, _) in
        sealed::log_directories_that_are(&**disk)?.into_iter().filter(|(_, _, of)| of == writer)
    {
        let origin = Origin::new(keys.installation(), &tenant, stream, writer)?;
        found.insert((tenant, stream), sealed::load_what_opens(disk, keys, origin)?);
    }
    let kept: BTreeMap<(String, Stream), (u64, Positions)> =
        found.iter().map(|(name, log)| (name.clone(), (log.view.sealed, log.view.cursors.now()))).collect();
    let roots_kept: BTreeMap<(String, Stream), String> =
        found.iter().filter_map(|(name, log)| Some((name.clone(), root_sealed(log)?))).collect();
    Replay::read_what_fits(writer, retired, &**disk, keys, &mut found);
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
        if log.view.sealed == 0 {
            known.seen(&log.origin.to_string(), nothing());
        }
    }
    known.root_log(disk, &found);
    for (origin, seen) in keys.all_remembered() {
        if origin.parse::<Origin>().is_ok_and(|origin| origin.writer() == writer) {
            known.seen(&origin, seen);
        }
    }
    let mut predecessors = Predecessors::new();
    for (name, Seen { size, root }) in known.newest {
        // What a damaged root log says may be anything.
        let Ok(origin) = name.parse::<Origin>() else { continue };
        if (origin.installation(), origin.writer()) != (keys.installation(), writer) {
            continue;
        }
        let key = keys.log(&origin)?.checkpoint.verifier().to_string();
        let place = (origin.tenant().to_string(), origin.stream());
        let (kept, read_kept) = kept.get(&place).cloned().unwrap_or_default();
        let kept = kept.min(size);
        let log = found.get(&place).filter(|_| origin.stream() != Stream::Root);
        let unsealed = log.map(|log| log.view.unsealed.clone()).unwrap_or_default();
        // What is missing between is read again, at the price of some that is carried over.
        let read =
            log.map(|log| if log.has_gap { read_kept } else { log.view.cursors.now() }).unwrap_or_default();
        let carried = carried::count(&unsealed);
        // Where all is kept its root says which.
        let kept_root = roots_kept.get(&place).filter(|_| kept > 0 && kept < size).cloned();
        let predecessor = Predecessor { origin: name, key, size, root, kept, carried, kept_root };
        predecessors.insert(place, Before { predecessor, read, unsealed });
    }
    Ok(predecessors)
}

/// The root of what is sealed of a log, as its newest manifest has it signed.
fn root_sealed(log: &Found) -> Option<String> {
    let checkpoint = Checkpoint::open(log.view.checkpoint.as_bytes(), log.keys.checkpoint.verifier()).ok()?;
    (checkpoint.size == log.view.sealed).then(|| checkpoint.root.to_base64())
}

fn nothing() -> Seen {
    Seen { size: 0, root: empty_root().to_base64() }
}

/// The logs of the writers that were given up, as far as they are remembered beside the keys, and their root logs in any case.
pub(crate) fn given_up(keys: &Keys) -> Result<Vec<Predecessor>> {
    let mut lost: BTreeMap<String, Seen> = BTreeMap::new();
    let writers = &keys.record().given_up;
    for given_up in writers {
        let root = Origin::new(keys.installation(), ROOT_TENANT, Stream::Root, &given_up.writer)?;
        lost.insert(root.to_string(), nothing());
    }
    let is_lost = |origin: &Origin| {
        origin.installation() == keys.installation()
            && writers.iter().any(|given_up| given_up.writer == origin.writer())
    };
    lost.extend(
        keys.all_remembered()
            .into_iter()
            .filter(|(name, _)| name.parse().is_ok_and(|origin| is_lost(&origin))),
    );
    let mut logs = Vec::new();
    for (name, Seen { size, root }) in lost {
        let origin: Origin = name.parse()?;
        let key = keys.log(&origin)?.checkpoint.verifier().to_string();
        logs.push(Predecessor { origin: name, key, size, root, kept: 0, carried: 0, kept_root: None });
    }
    Ok(logs)
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
        let none = nothing();
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
