//! A new writer in place of an old one: new logs that name what they go on from.
//!
//! ```text
//! rotate: generation ─► record: pending ─► last entry of every old log ─► sealed ─┐
//! adopt:                record: pending ─► write-ahead files set aside ────────────┼─► new logs ─► sealed ─► record: done
//! ```
//! The record beside the keys says what is under way. Crash before it: the old writer goes on. Crash after it: whatever opens
//! the data next finishes what was begun, and every step finds what of it is done. An adoption writes and signs nothing under
//! the old writer: another copy may. What that one had not sealed is recorded again in the new logs. The new writer's name holds a random part: two copies that are adopted do not sign the
//! same log.

mod closing;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use schemas::control::{Adopted, Predecessor};
use schemas::limits::ADOPTION_TEXT_BYTES_MAX;
use schemas::origin::ROOT_TENANT;
use schemas::tree::Hash;
use schemas::{Origin, Stream, layout};

use crate::backup::{Restored, restored};
use crate::clock::Clock;
use crate::commit::commit_once;
use crate::crash;
use crate::disk::{Disk, RealDisk};
use crate::durable::{failed, replace_synced};
use crate::error::{Error, Result};
use crate::keys::record::{Kind, Pending, Record, Writer};
use crate::keys::{Custody, Held, Keys, Seen, random};
use crate::options::Options;
use crate::recover::last_known::{given_up, last_known};
use crate::recover::{
    Opened, Purpose, UNFINISHED, carried, controls_of, open, open_for, root_writers, tampered,
};
use crate::sequence::{Placed, place};
use crate::snapshot::Unsealed;
use crate::state::{LogState, Shared, lock};
use crate::{root, seal, sign};
use closing::close_old;

/// Times everything is sealed until nothing is left.
const SEALS: usize = 4;

/// What a succession came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succeeded {
    /// The writer before.
    pub from: String,
    /// The writer now.
    pub writer: String,
    /// The verifier key of its root log.
    pub root_key: String,
    /// What the new logs go on from, by tenant and stream; and what is given up without one that does.
    pub logs: Vec<Predecessor>,
    /// Of the checkpoints remembered elsewhere those that were not taken, and why.
    pub refused: Vec<String>,
}

/// Who takes a copy into service, and why.
#[derive(Debug, Clone, Default)]
pub struct Adoption {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Checkpoints remembered elsewhere, by origin: what is lost is reckoned from the greatest.
    pub remembered: BTreeMap<String, Seen>,
}

/// Begins logs under a new generation of keys. The store must be whole; nothing is lost.
///
/// # Errors
/// [`Error::Locked`], [`Error::Keys`], [`Error::Io`]; [`Error::Tampered`] for a store that opens read-only, which is then as it
/// was.
pub fn rotate(
    data: &Path,
    keys: Keys,
    custody: &dyn Custody,
    options: &Options,
    clock: &Arc<dyn Clock>,
    by: &str,
) -> Result<Succeeded> {
    let (disk, keys, _guard) = locked(data, keys)?;
    rotate_on(&disk, keys, custody, options, clock, by)
}

/// Begins logs in place of those of a copy that must not be written on, and says what is lost.
///
/// # Errors
/// [`Error::Locked`], [`Error::Keys`], [`Error::Io`]; [`Error::Refused`] without a reason.
pub fn adopt(
    data: &Path,
    keys: Keys,
    options: &Options,
    clock: &Arc<dyn Clock>,
    adoption: &Adoption,
) -> Result<Succeeded> {
    let (disk, keys, _guard) = locked(data, keys)?;
    adopt_on(&disk, keys, options, clock, adoption)
}

type Guard = (Box<dyn std::fmt::Debug + Send + Sync>, Held);

fn locked(data: &Path, keys: Keys) -> Result<(Arc<dyn Disk>, Keys, Guard)> {
    let io = |action, source| Error::Io { action, path: data.to_path_buf(), source };
    // A directory that is not there is a mistake here, not a new store.
    std::fs::metadata(data).map_err(|error| io("open data directory", error))?;
    let disk = RealDisk::open(data).map_err(|error| io("open data directory", error))?;
    let guard = disk.lock(layout::LOCK).map_err(|error| io("lock", error))?;
    let guard = guard.ok_or_else(|| Error::Locked(data.to_path_buf()))?;
    let (keys, held) = keys.held()?;
    Ok((Arc::new(disk), keys, (guard, held)))
}

pub(crate) fn rotate_on(
    disk: &Arc<dyn Disk>,
    keys: Keys,
    custody: &dyn Custody,
    options: &Options,
    clock: &Arc<dyn Clock>,
    by: &str,
) -> Result<Succeeded> {
    check_text(by)?;
    let keys = finish_begun(disk, keys, options, clock)?.on_this_machine()?;
    // Whatever keeps it from being written keeps it from being rotated.
    let old = open(of(options, keys.writer()), Arc::clone(disk), Arc::clone(clock), keys.clone())?;
    old.shared.check_writable()?;
    drop(old);
    let (keys, generation) = keys.with_new_generation(custody)?;
    let record = keys.record().clone();
    let from = record.writer().writer.clone();
    let keys = begin(
        disk,
        &keys,
        record,
        Begun { kind: Kind::Rotation, from, generation, by, reason: "keys rotated", found: None },
    )?;
    finish(disk, &keys, options, clock).map(|(_, succeeded)| succeeded)
}

pub(crate) fn adopt_on(
    disk: &Arc<dyn Disk>,
    keys: Keys,
    options: &Options,
    clock: &Arc<dyn Clock>,
    adoption: &Adoption,
) -> Result<Succeeded> {
    let Adoption { by, reason, remembered } = adoption;
    check_text(by)?;
    check_text(reason)?;
    if reason.trim().is_empty() {
        return Err(schemas::Error::malformed("adoption", "a reason is needed").into());
    }
    if restored(&**disk)? == Restored::Unfinished {
        // What has not come yet would be lost for ever, in writing.
        return Err(tampered("store", UNFINISHED));
    }
    let (own, refused) = own(&keys, remembered);
    keys.remember(own)?;
    let (keys, replaced) = match keys.record().pending.clone() {
        Some(pending) => finish_or_replace(disk, keys, options, clock, pending)?,
        None => (keys, None),
    };
    let there = root_writers(&**disk)?;
    let generation = keys.record().generation_newest();
    let mut record = keys.record().clone();
    let (from, found) = match replaced {
        Some(Pending { from, to, retired, found, .. }) => {
            let found = if retired { Some(to.writer.clone()) } else { found };
            record.given_up.push(to);
            (from, found)
        }
        None => {
            let newest = record.writers.iter().rposition(|known| there.contains(&known.writer));
            // Of a writer after it there is nothing here: what it signed is lost, and the new root log says so.
            if let Some(newest) = newest {
                let after = record.writers.split_off(newest + 1);
                record.given_up.extend(after);
            }
            (record.writer().writer.clone(), None)
        }
    };
    let is_stranger = |writer: &&String| !record.all().any(|known| known.writer == **writer);
    record.strangers = there.iter().filter(is_stranger).cloned().collect();
    let begun = Begun { kind: Kind::Adoption, from, generation, by, reason, found };
    let keys = begin(disk, &keys, record, begun)?;
    finish(disk, &keys, options, clock).map(|(_, succeeded)| Succeeded { refused, ..succeeded })
}

/// Of remembered checkpoints those of this installation that can be meant, and what is with the others.
fn own(keys: &Keys, remembered: &BTreeMap<String, Seen>) -> (BTreeMap<String, Seen>, Vec<String>) {
    let (mut own, mut refused) = (BTreeMap::new(), Vec::new());
    for (name, seen) in remembered {
        match (name.parse::<Origin>(), Hash::from_base64(&seen.root)) {
            (Ok(origin), Ok(_)) if origin.installation() == keys.installation() => {
                own.insert(name.clone(), seen.clone());
            }
            (Ok(origin), Ok(_)) => refused.push(format!("{name}: of installation {}", origin.installation())),
            (Err(error), _) | (_, Err(error)) => refused.push(format!("{name}: {error}")),
        }
    }
    (own, refused)
}

/// Finishes what was begun on this machine. What cannot be finished, or not here, is given back: another comes in its place.
fn finish_or_replace(
    disk: &Arc<dyn Disk>,
    keys: Keys,
    options: &Options,
    clock: &Arc<dyn Clock>,
    pending: Pending,
) -> Result<(Keys, Option<Pending>)> {
    let is_elsewhere = pending.machine != keys.machine().unwrap_or_default();
    // What was begun may have been begun on other data than those that were put back.
    if is_elsewhere || restored(&**disk)? != Restored::No {
        return Ok((keys, Some(pending)));
    }
    match finish(disk, &keys, options, clock) {
        Ok((keys, _)) => Ok((keys, None)),
        Err(Error::Tampered { log, reason }) => {
            tracing::warn!(%log, %reason, "the succession that was begun cannot be finished; an adoption takes its place");
            Ok((keys, Some(pending)))
        }
        Err(error) => Err(error),
    }
}

fn check_text(text: &str) -> Result<()> {
    if text.len() > ADOPTION_TEXT_BYTES_MAX {
        return Err(Error::Refused(schemas::Error::TooLarge {
            what: "bytes of who or why",
            actual: text.len() as u64,
            limit: ADOPTION_TEXT_BYTES_MAX as u64,
        }));
    }
    Ok(())
}

fn of(options: &Options, writer: &str) -> Options {
    Options { writer: writer.to_string(), ..options.clone() }
}

/// A succession as it begins.
struct Begun<'a> {
    kind: Kind,
    from: String,
    generation: u32,
    by: &'a str,
    reason: &'a str,
    found: Option<String>,
}

/// Puts a succession on record: the point from which on there is the new writer. What else changes in the record changes with
/// it.
fn begin(disk: &Arc<dyn Disk>, keys: &Keys, record: Record, begun: Begun<'_>) -> Result<Keys> {
    let known = keys.record().all().map(|known| known.writer.clone());
    let numbers = known.chain(root_writers(&**disk)?).filter_map(|writer| number(&writer));
    let mut random_part = [0u8; 3];
    random(&mut random_part)?;
    let [a, b, c] = random_part;
    let writer = format!("w{}-{a:02x}{b:02x}{c:02x}", numbers.max().unwrap_or(1) + 1);
    let Begun { kind, from, generation, by, reason, found } = begun;
    let pending = Pending {
        kind,
        from,
        to: Writer { writer, generation },
        by: by.to_string(),
        reason: reason.to_string(),
        machine: keys.machine().unwrap_or_default(),
        retired: false,
        found,
    };
    let keys = keys.with_record(Record { pending: Some(pending), ..record })?;
    crash::point("succession-begun");
    Ok(keys)
}

/// The number in a writer's name: 12 of `w12` and `w12-a0b1c2`.
fn number(writer: &str) -> Option<u64> {
    writer.strip_prefix('w')?.split('-').next()?.parse().ok()
}

/// Finishes a succession that was begun, if there is one.
///
/// # Errors
/// [`Error::Tampered`] where it was begun on another machine, or cannot be finished on what is here: an adoption leads on.
pub(crate) fn finish_begun(
    disk: &Arc<dyn Disk>,
    keys: Keys,
    options: &Options,
    clock: &Arc<dyn Clock>,
) -> Result<Keys> {
    match keys.record().pending {
        Some(_) => {
            tracing::warn!("a succession was begun and not finished: finishing it");
            if restored(&**disk)? != Restored::No {
                return Err(tampered("store", "put back from a backup, and a succession was begun before"));
            }
            finish(disk, &keys, options, clock).map(|(keys, _)| keys)
        }
        None => Ok(keys),
    }
}

fn finish(
    disk: &Arc<dyn Disk>,
    keys: &Keys,
    options: &Options,
    clock: &Arc<dyn Clock>,
) -> Result<(Keys, Succeeded)> {
    let Some(pending) = keys.record().pending.clone() else {
        return Err(Error::Keys("no succession is under way".to_string()));
    };
    let machine = keys.machine().unwrap_or_default();
    if pending.machine != machine {
        let detail = "a succession was begun on another machine, and a copy must not finish it too";
        return Err(tampered("store", detail));
    }
    let keys = match pending.kind {
        _ if pending.retired => keys.clone(),
        Kind::Rotation => {
            close_old(disk, keys, options, clock, &pending)?;
            retired(keys, &pending)?
        }
        Kind::Adoption => {
            retire(disk, &pending)?;
            retired(keys, &pending)?
        }
    };
    // After a rotation there are none of these files.
    let set_aside = format!("{}/{}", layout::RETIRED, pending.from);
    let predecessors = last_known(disk, &keys, &pending.from, &set_aside)?;
    // What was closed whole is not here: these are older data than it was begun on.
    if pending.kind == Kind::Rotation && predecessors.values().any(|before| before.predecessor.has_lost()) {
        return Err(tampered("store", "older than the rotation that was begun on it"));
    }
    let Pending { kind, from, to, by, reason, .. } = pending;
    let adopted = Adopted { machine: machine.clone(), by, reason };
    // What a rotation goes on from has it on record already.
    let lost = if kind == Kind::Adoption { given_up(&keys)? } else { Vec::new() };
    let logs = predecessors.values().map(|before| &before.predecessor);
    let logs = logs.chain(lost.iter().filter(|lost| lost.has_lost())).cloned().collect();
    let purpose = Purpose::Begin { predecessors, adopted, lost };
    let root_key = open_new(disk, &keys, options, clock, &to.writer, &purpose)?;
    if restored(&**disk)? != Restored::No {
        disk.remove(layout::RESTORED).map_err(failed(&**disk, "remove", layout::RESTORED))?;
        disk.sync_dir("").map_err(failed(&**disk, "sync directory", ""))?;
    }
    let mut record = Record { pending: None, machine: Some(machine), ..keys.record().clone() };
    let writer = to.writer.clone();
    record.writers.push(to);
    let keys = keys.with_record(record)?;
    Ok((keys, Succeeded { from, writer, root_key, logs, refused: Vec::new() }))
}

/// Puts on record that the write-ahead files are the new writer's from here on.
fn retired(keys: &Keys, pending: &Pending) -> Result<Keys> {
    let pending = Pending { retired: true, ..pending.clone() };
    keys.with_record(Record { pending: Some(pending), ..keys.record().clone() })
}

/// Sets the write-ahead files of a writer that is given up aside, as they are: they are evidence, and not the new one's.
fn retire(disk: &Arc<dyn Disk>, pending: &Pending) -> Result<()> {
    let whose = pending.found.as_ref().unwrap_or(&pending.from);
    let list = || disk.list(layout::WAL).map_err(failed(&**disk, "list", layout::WAL));
    for entry in list()?.iter().filter(|entry| layout::parse_wal(&entry.name).is_ok()) {
        let from = format!("{}/{}", layout::WAL, entry.name);
        let bytes = disk.read(&from).map_err(failed(&**disk, "read", &from))?;
        let to = format!("{}/{whose}/{}", layout::RETIRED, entry.name);
        replace_synced(&**disk, &to, &bytes)?;
    }
    // Crash between: they are copied again. All copies are on stable storage before the first file goes.
    for entry in list()? {
        let path = format!("{}/{}", layout::WAL, entry.name);
        disk.remove(&path).map_err(failed(&**disk, "remove", &path))?;
        crash::point("succession-wal-retired");
    }
    if disk.list("").map_err(failed(&**disk, "list", ""))?.iter().any(|entry| entry.name == layout::WAL) {
        disk.sync_dir(layout::WAL).map_err(failed(&**disk, "sync directory", layout::WAL))?;
    }
    Ok(())
}

/// Begins the logs of the new writer, those that are not begun yet, and seals them; the verifier key of the root log.
fn open_new(
    disk: &Arc<dyn Disk>,
    keys: &Keys,
    options: &Options,
    clock: &Arc<dyn Clock>,
    writer: &str,
    purpose: &Purpose,
) -> Result<String> {
    let opened = open_for(of(options, writer), Arc::clone(disk), Arc::clone(clock), keys.clone(), purpose)?;
    let mut new = Alone(opened);
    let shared = Arc::clone(&new.0.shared);
    shared.check_writable()?;
    let predecessors = &shared.predecessors;
    let wait = |_: Placed| commit_once(&shared).map(|_| ());
    for (tenant, stream) in predecessors.keys().filter(|(_, stream)| *stream != Stream::Root) {
        if let (_, Some(placed)) = crate::open_log(&shared, tenant, *stream, &wait)? {
            wait(placed)?;
        }
    }
    crash::point("succession-new-begun");
    for ((tenant, stream), before) in predecessors.iter().filter(|((_, stream), _)| *stream != Stream::Root) {
        if let Some(log) = shared.find(tenant, *stream) {
            carry(&shared, &log, &before.unsealed)?;
        }
    }
    crash::point("succession-carried");
    new.seal_all()?;
    root::rounds(&shared, &mut new.0.rounds, true)?;
    new.seal_all()?;
    new.clear()?;
    crash::point("succession-new-sealed");
    crate::root_key(keys, writer)
}

/// Records again what the old log had acknowledged and not sealed. While a succession is under way nothing else is recorded: the
/// events that are there are the first of these.
fn carry(shared: &Shared, log: &Arc<LogState>, unsealed: &[Unsealed]) -> Result<()> {
    if unsealed.is_empty() {
        return Ok(());
    }
    let (mut own, durable) = (0, lock(&log.view).durable);
    controls_of(shared, log, |_, control| {
        own += u64::from(!carried::is_carried(&control));
        Ok(())
    })?;
    let there = usize::try_from(durable - own).unwrap_or(usize::MAX);
    for draft in carried::drafts(log.origin.stream(), unsealed, there)? {
        place(shared, log, &draft, &[], false)?;
        while commit_once(shared)? {}
    }
    Ok(())
}

fn root_log(shared: &Shared) -> Result<Arc<LogState>> {
    let root = shared.find(ROOT_TENANT, Stream::Root);
    root.ok_or_else(|| Error::Poisoned { reason: "the root log is not open".to_string() })
}

fn others(shared: &Shared) -> Vec<Arc<LogState>> {
    shared.all_logs().into_iter().filter(|log| log.origin.stream() != Stream::Root).collect()
}

/// A store without threads: one thing after the other, so that what is done is done when a step returns.
struct Alone(Opened);

impl Alone {
    /// Commits, signs and seals all that there is, the root log first.
    fn seal_all(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.0.shared);
        for _ in 0..SEALS {
            while commit_once(&shared)? {}
            sign::alone(&shared, &mut self.0.signer)?;
            let mut logs = shared.all_logs();
            logs.sort_by_key(|log| log.origin.stream() != Stream::Root);
            for log in &logs {
                while seal::seal(&shared, log)? {}
            }
            let behind = |log: &&Arc<LogState>| {
                let view = lock(&log.view);
                view.durable > view.sealed
            };
            if !logs.iter().any(|log| behind(&log)) {
                return Ok(());
            }
        }
        let behind = others(&shared);
        behind.first().map_or(Ok(()), |log| Err(seal::unsealed_error(log)))
    }

    /// Gives the write-ahead files up: all of it is sealed.
    fn clear(&self) -> Result<()> {
        let sealed = self.0.shared.sealed_of();
        lock(&self.0.shared.wal).clear(&|log| sealed.get(&log).copied().unwrap_or(0))
    }
}
