//! What is known outside the data directory, held against what is in it: nothing is signed that somebody else may have signed
//! otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::control::Adopted;
use schemas::origin::ROOT_TENANT;
use schemas::tile::TileBuilder;
use schemas::{Origin, Stream, layout};

use super::{Found, Logs, Purpose, Told, empty_window, sealed, state, tampered};
use crate::backup::{Restored, restored};
use crate::disk::Disk;
use crate::earlier::Earlier;
use crate::error::{Error, Result};
use crate::keys::{Keys, Seen};
use crate::options::Options;
use crate::snapshot::LogSnapshot;
use crate::state::SealState;

/// What leads on from here.
pub(super) const WAY_ON: &str = "nothing is signed here. If this copy is to go on, run tacho adopt --reason TEXT: it begins \
                      successors and names what is lost (docs/keys.md)";

/// What is said of a directory that a restore broke off in. Nothing leads on from here.
pub(crate) const UNFINISHED: &str = "a restore into this directory was not finished, and what has not come is not lost: remove \
                                     the directory and restore the backup again";

/// What keeps this copy from being written.
pub(super) fn check(
    disk: &dyn Disk,
    keys: &Keys,
    options: &Options,
    found: &Logs,
    told: &Told,
    purpose: &Purpose,
) -> Vec<Error> {
    let mut wrong = Vec::new();
    for (name, seen) in keys.all_remembered() {
        let Ok(origin) = name.parse::<Origin>() else { continue };
        if origin.writer() != options.writer {
            continue;
        }
        let result = match found.get(&(origin.tenant().to_string(), origin.stream())) {
            Some(log) => check_remembered(disk, log, &seen),
            None => sealed::empty(keys, origin).and_then(|none| check_remembered(disk, &none, &seen)),
        };
        wrong.extend(result.err());
    }
    if !matches!(purpose, Purpose::Serve) {
        return wrong;
    }
    wrong.extend(check_machine(keys, told));
    match restored(disk) {
        Ok(Restored::No) => {}
        Ok(Restored::Whole) => wrong.push(tampered("store", "put back from a backup")),
        // Said before anything was read: what is missing is missing for that reason.
        Ok(Restored::Unfinished) => {}
        Err(error) => wrong.push(error),
    }
    if let Some(successor) = &told.closed {
        let closed = format!(
            "it is at its end, and {} goes on in its place; these keys do not know that: they are older than the \
             data. Put back the newest copy of their directory",
            successor.origin
        );
        wrong.push(tampered("root log", closed));
    }
    let ended = found.values().filter(|log| log.origin.stream() != Stream::Root);
    wrong.extend(ended.filter_map(|log| Some((log, log.at_end.as_ref()?))).map(|(log, successor)| {
        let closed = format!(
            "it is at its end, and {} goes on in its place; these keys do not know that: these keys are older than the \
             data. Put back the newest copy of their directory",
            successor.origin
        );
        tampered(&log.origin, closed)
    }));
    let record = keys.record();
    let known = |writer: &String| {
        record.all().any(|known| known.writer == *writer) || record.strangers.contains(writer)
    };
    match root_writers(disk) {
        Ok(there) if keys.are_kept() => {
            wrong.extend(there.iter().find(|writer| !known(writer)).map(|writer| {
                let newer = format!(
                    "writer {writer} is here, and these keys do not know it: they are older than the data"
                );
                tampered("store", format!("{newer}. Put back the newest copy of their directory"))
            }));
        }
        Ok(_) => {}
        Err(error) => wrong.push(error),
    }
    let has_root = found.contains_key(&(ROOT_TENANT.to_string(), Stream::Root));
    if !has_root && keys.writers_before().next().is_some() {
        let older = format!("older than writer {}, which these keys sign for", options.writer);
        wrong.push(tampered("store", older));
    }
    wrong
}

/// Holds what is remembered outside the data directory against what was found.
fn check_remembered(disk: &dyn Disk, log: &Found, seen: &Seen) -> Result<()> {
    let Seen { size, root } = seen;
    if *size > log.view.durable {
        let rolled_back = format!(
            "rolled back: size {size} of it was signed with these keys, and only {} entries are here. This is an \
             older copy, or the write-ahead files are lost",
            log.view.durable
        );
        return Err(tampered(&log.origin, rolled_back));
    }
    // Of what is sealed as far as its tiles tell; they are held against the entries when it is verified.
    let here = match usize::try_from(size.saturating_sub(log.view.sealed)) {
        Ok(leaves) if *size >= log.view.sealed => {
            let mut range = log.seal.tiles.compact_range();
            log.view.leaves.iter().take(leaves).for_each(|leaf| range.push(*leaf));
            Some(range.root())
        }
        _ => sealed::root_at(disk, log, *size),
    };
    if here.is_some_and(|here| here.to_base64() != *root) {
        let forked =
            format!("another root was signed at size {size} with these keys: this is another copy's history");
        return Err(tampered(&log.origin, forked));
    }
    Ok(())
}

fn check_machine(keys: &Keys, told: &Told) -> Option<Error> {
    let machine = keys.machine()?;
    let in_log = told.adopted.as_ref().map(|adopted| adopted.machine.as_str());
    let known = [in_log, keys.record().machine.as_deref()];
    // A machine without an id cannot be told from another.
    let other = known.into_iter().flatten().any(|known| !known.is_empty() && known != machine);
    other.then(|| {
        tampered(
            "store",
            "the machine is another than the one that wrote it: this may be a copy of one still running",
        )
    })
}

/// The entry that says who takes the store into service, where there is somebody to say it.
pub(super) fn adopted(keys: &Keys, purpose: &Purpose) -> Option<Adopted> {
    if let Purpose::Begin { adopted, .. } = purpose {
        return Some(adopted.clone());
    }
    let machine = keys.machine()?;
    Some(Adopted { machine, by: "tachograph".to_string(), reason: "first start".to_string() })
}

/// The writers of root logs in the data directory.
pub(crate) fn root_writers(disk: &dyn Disk) -> Result<Vec<String>> {
    let path = format!("{}/{ROOT_TENANT}/{}", layout::LOG, Stream::Root);
    let entries = disk.list(&path).map_err(crate::durable::failed(disk, "list", &path))?;
    Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect())
}

/// The sealed logs of earlier writers.
#[derive(Debug, Default)]
pub(super) struct History {
    /// For answers, oldest first.
    pub(super) rows: BTreeMap<(String, Stream), Vec<LogSnapshot>>,
    /// For proofs, by writer, oldest first.
    pub(super) writers: Vec<Earlier>,
}

/// The sealed logs of earlier writers. One that is damaged keeps nobody from recording: verification says what is wrong with it, and
/// whoever asks for what it holds is told that it cannot be read.
pub(super) fn history(disk: &Arc<dyn Disk>, keys: &Keys, options: &Options) -> Result<History> {
    let mut history = History::default();
    let directories = sealed::log_directories(&**disk)?;
    for writer in keys.writers_before() {
        let mut earlier = Earlier::new(writer);
        for (tenant, stream, _) in directories.iter().filter(|(_, _, of)| of == writer) {
            let log = Origin::new(keys.installation(), tenant, *stream, writer)
                .map_err(Error::from)
                .and_then(|origin| sealed::load(disk, keys, origin));
            match log {
                Ok(mut log) if log.view.sealed > 0 => {
                    // It is never sealed again: what a seal goes on from is of no use.
                    log.seal = SealState { tiles: TileBuilder::new(), live: Vec::new() };
                    let place = (tenant.clone(), *stream);
                    // Its number, and where it is opened, are looked for when somebody asks for a proof.
                    let state = Arc::new(state(keys, log, empty_window(options), 0, 0, (0, 0))?);
                    history.rows.entry(place.clone()).or_default().push(state.snapshot());
                    earlier.logs.insert(place, state);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "a log of an earlier writer is damaged: what it holds is answered with this error");
                    earlier.damaged.insert((tenant.clone(), *stream), error.to_string());
                }
            }
        }
        history.writers.push(earlier);
    }
    Ok(history)
}
