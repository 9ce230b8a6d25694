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

#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use schemas::checkpoint::Checkpoint;
use schemas::control::{Adopted, Control, LogClosed, Predecessor, Succession};
use schemas::limits::ADOPTION_TEXT_BYTES_MAX;
use schemas::note::Note;
use schemas::origin::ROOT_TENANT;
use schemas::{Origin, Stream, layout};

use crate::clock::Clock;
use crate::commit::commit_once;
use crate::crash;
use crate::disk::{Disk, RealDisk};
use crate::durable::{failed, replace_synced};
use crate::error::{Error, Result};
use crate::keys::record::{Kind, Pending, Record, Writer};
use crate::keys::{Custody, Keys, Seen, random};
use crate::options::Options;
use crate::recover::last_known::{Predecessors, last_known};
use crate::recover::{Opened, Purpose, carried, controls_of, open, open_for, root_writers};
use crate::sequence::{Placed, place};
use crate::snapshot::Unsealed;
use crate::state::{LogState, Shared, lock};
use crate::{root, seal, sign};

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
    /// What the new logs go on from, by tenant and stream.
    pub logs: Vec<Predecessor>,
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
    let (disk, _guard) = locked(data)?;
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
    let (disk, _guard) = locked(data)?;
    adopt_on(&disk, keys, options, clock, adoption)
}

type Guard = Box<dyn std::fmt::Debug + Send + Sync>;

fn locked(data: &Path) -> Result<(Arc<dyn Disk>, Guard)> {
    let io = |action, source| Error::Io { action, path: data.to_path_buf(), source };
    // A directory that is not there is a mistake here, not a new store.
    std::fs::metadata(data).map_err(|error| io("open data directory", error))?;
    let disk = RealDisk::open(data).map_err(|error| io("open data directory", error))?;
    let guard = disk.lock(layout::LOCK).map_err(|error| io("lock", error))?;
    let guard = guard.ok_or_else(|| Error::Locked(data.to_path_buf()))?;
    Ok((Arc::new(disk), guard))
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
    let reason = "keys rotated";
    let keys = begin(disk, &keys, Kind::Rotation, keys.writer(), generation, by, reason)?;
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
    keys.remember(remembered.iter().map(|(origin, seen)| (origin.clone(), seen.clone())))?;
    // One that was begun here is finished; one that was begun on another machine is its own affair.
    let machine = keys.machine().unwrap_or_default();
    let keys = match &keys.record().pending {
        Some(pending) if pending.machine == machine => finish(disk, &keys, options, clock)?.0,
        _ => keys,
    };
    let there = root_writers(&**disk)?;
    let writers = &keys.record().writers;
    let from = writers.iter().rev().find(|known| there.contains(&known.writer));
    let from = from.unwrap_or(keys.record().writer()).clone();
    let is_stranger = |writer: &String| !writers.iter().any(|known| known.writer == *writer);
    let strangers = there.iter().filter(|writer| is_stranger(writer)).cloned().collect();
    let keys = keys.with_record(Record { strangers, ..keys.record().clone() })?;
    let keys =
        begin(disk, &keys, Kind::Adoption, &from.writer, keys.record().writer().generation, by, reason)?;
    finish(disk, &keys, options, clock).map(|(_, succeeded)| succeeded)
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

/// Puts a succession on record: the point from which on there is the new writer.
fn begin(
    disk: &Arc<dyn Disk>,
    keys: &Keys,
    kind: Kind,
    from: &str,
    generation: u32,
    by: &str,
    reason: &str,
) -> Result<Keys> {
    let known = keys.record().writers.iter().map(|known| known.writer.clone());
    let numbers = known.chain(root_writers(&**disk)?).filter_map(|writer| number(&writer));
    let mut random_part = [0u8; 3];
    random(&mut random_part)?;
    let [a, b, c] = random_part;
    let writer = format!("w{}-{a:02x}{b:02x}{c:02x}", numbers.max().unwrap_or(1) + 1);
    let pending = Pending {
        kind,
        from: from.to_string(),
        to: Writer { writer, generation },
        by: by.to_string(),
        reason: reason.to_string(),
        machine: keys.machine().unwrap_or_default(),
        retired: false,
    };
    let keys = keys.with_record(Record { pending: Some(pending), ..keys.record().clone() })?;
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
/// [`Error::Keys`] where it was begun on another machine.
pub(crate) fn finish_begun(
    disk: &Arc<dyn Disk>,
    keys: Keys,
    options: &Options,
    clock: &Arc<dyn Clock>,
) -> Result<Keys> {
    match keys.record().pending {
        Some(_) => {
            tracing::warn!("a succession was begun and not finished: finishing it");
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
        let detail =
            "a succession was begun on another machine, and a copy must not finish it too; run tacho adopt";
        return Err(Error::Keys(detail.to_string()));
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
    let predecessors = last_known(disk, &keys, options, &pending.from, &set_aside)?;
    let Pending { from, to, by, reason, .. } = pending;
    let adopted = Adopted { machine: machine.clone(), by, reason };
    let root_key = open_new(disk, &keys, options, clock, &to.writer, &predecessors, adopted)?;
    if disk.read(layout::RESTORED).is_ok() {
        disk.remove(layout::RESTORED).map_err(failed(&**disk, "remove", layout::RESTORED))?;
        disk.sync_dir("").map_err(failed(&**disk, "sync directory", ""))?;
    }
    let mut record = Record { pending: None, machine: Some(machine), ..keys.record().clone() };
    let writer = to.writer.clone();
    record.writers.push(to);
    let keys = keys.with_record(record)?;
    let logs = predecessors.into_values().map(|before| before.predecessor).collect();
    Ok((keys, Succeeded { from, writer, root_key, logs }))
}

/// Gives every log of the old writer its last entry, the root log last of all, and seals them.
fn close_old(
    disk: &Arc<dyn Disk>,
    keys: &Keys,
    options: &Options,
    clock: &Arc<dyn Clock>,
    pending: &Pending,
) -> Result<()> {
    let options = of(options, &pending.from);
    let opened = open_for(options, Arc::clone(disk), Arc::clone(clock), keys.clone(), &Purpose::Close)?;
    let mut old = Alone(opened);
    old.0.shared.check_writable()?;
    let shared = Arc::clone(&old.0.shared);
    let (closed_logs, root_is_closed) = old.0.closed.clone();
    let successor = |log: &LogState| -> Result<Succession> {
        let new =
            Origin::new(keys.installation(), log.origin.tenant(), log.origin.stream(), &pending.to.writer)?;
        Ok(Succession { origin: new.to_string(), key: keys.log(&new)?.checkpoint.verifier().to_string() })
    };
    if !root_is_closed {
        for log in others(&shared).iter().filter(|log| !closed_logs.contains(&log.number)) {
            let last = Control::Succession(successor(log)?);
            // A crash may have come after it and before the root log says so.
            if last_control(&shared, log)?.as_ref() != Some(&last) {
                root::append_control(&shared, log, &last)?;
            }
        }
        old.seal_all()?;
        crash::point("succession-old-told");
        let root = root_log(&shared)?;
        root::rounds(&shared, &mut old.0.rounds, true)?;
        for log in others(&shared).iter().filter(|log| !closed_logs.contains(&log.number)) {
            let note = Arc::clone(&lock(&log.view).checkpoint);
            let checkpoint = Checkpoint::parse(Note::parse(note.as_bytes())?.unverified_text())?;
            let closed = LogClosed {
                number: log.number,
                size: checkpoint.size,
                root: checkpoint.root.to_base64(),
                successor: successor(log)?.origin,
            };
            root::append_control(&shared, &root, &Control::LogClosed(closed))?;
        }
        root::append_control(&shared, &root, &Control::Succession(successor(&root)?))?;
    }
    old.seal_all()?;
    old.clear()?;
    crash::point("succession-old-closed");
    Ok(())
}

/// The newest control entry that a log has, if it is its last entry.
fn last_control(shared: &Shared, log: &LogState) -> Result<Option<Control>> {
    let mut last = None;
    let durable = lock(&log.view).durable;
    controls_of(shared, log, |index, control| {
        last = (index + 1 == durable).then_some(control);
        Ok(())
    })?;
    Ok(last)
}

/// Puts on record that the write-ahead files are the new writer's from here on.
fn retired(keys: &Keys, pending: &Pending) -> Result<Keys> {
    let pending = Pending { retired: true, ..pending.clone() };
    keys.with_record(Record { pending: Some(pending), ..keys.record().clone() })
}

/// Sets the write-ahead files of a writer that is given up aside, as they are: they are evidence, and not the new one's.
fn retire(disk: &Arc<dyn Disk>, pending: &Pending) -> Result<()> {
    let list = || disk.list(layout::WAL).map_err(failed(&**disk, "list", layout::WAL));
    for entry in list()?.iter().filter(|entry| layout::parse_wal(&entry.name).is_ok()) {
        let from = format!("{}/{}", layout::WAL, entry.name);
        let bytes = disk.read(&from).map_err(failed(&**disk, "read", &from))?;
        let to = format!("{}/{}/{}", layout::RETIRED, pending.from, entry.name);
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
    predecessors: &Predecessors,
    adopted: Adopted,
) -> Result<String> {
    let purpose = Purpose::Begin { predecessors: predecessors.clone(), adopted };
    let opened = open_for(of(options, writer), Arc::clone(disk), Arc::clone(clock), keys.clone(), &purpose)?;
    let mut new = Alone(opened);
    let shared = Arc::clone(&new.0.shared);
    shared.check_writable()?;
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
    let (mut controls, durable) = (0, lock(&log.view).durable);
    controls_of(shared, log, |_, _| {
        controls += 1;
        Ok(())
    })?;
    let there = usize::try_from(durable - controls).unwrap_or(usize::MAX);
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
