//! The commit: everything queued while the last sync ran becomes one group, is synced, and is then
//! acknowledged. A straight line; each comment answers "and if we crash here?".

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use schemas::entry::Encoder;
use schemas::group::GroupBuilder;
use schemas::payload::{record_field, record_header};
use schemas::stream::SALT_BYTES;
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::prepare::Filled;
use crate::state::{Item, LogState, Queue, Shared, SignedNote, Unhashed, lock};

/// Bytes after which a group takes no further range.
const GROUP_BYTES: u64 = 32 << 20;
/// Bytes that one log may put into a group before the others have had their turn.
const QUANTUM_BYTES: u64 = 4 << 20;
/// Write-ahead files before small logs are carried forward and others sealed.
const FILES_MAX: usize = schemas::limits::STORE_FILES_MAX;
/// A log with no more unsealed bytes than this is carried forward instead of sealed.
const CARRY_BYTES_MAX: u64 = schemas::limits::STORE_CARRY_BYTES_MAX;
/// Bytes that are carried forward in one group; the rest waits for the next.
const CARRY_GROUP_BYTES: usize = 32 << 20;
/// Bytes that may wait for the signer's hashing before the commit waits for it.
const INBOX_BYTES_MAX: u64 = schemas::limits::STORE_INBOX_BYTES_MAX;

/// About what a section of a group takes beside its entries and payloads.
const SECTION_BYTES: usize = 512;

/// What one group takes from the queue.
#[derive(Default)]
struct Batch {
    ranges: Vec<(Item, Filled)>,
    notes: Vec<(Vec<SignedNote>, oneshot::Sender<Result<()>>)>,
}

/// Commits until the store closes or is poisoned.
pub(crate) fn run(shared: &Shared) {
    loop {
        {
            let mut queue = lock(&shared.queue);
            while !has_work(&queue) {
                if shared.poisoned.get().is_some() {
                    refuse_all(shared, &mut queue);
                    return;
                }
                if shared.finished.load(Ordering::SeqCst) && queue_is_empty(&queue) {
                    return;
                }
                let waited = shared.queue_changed.wait_timeout(queue, Duration::from_millis(100));
                queue = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            }
        }
        if let Err(error) = commit_once(shared) {
            shared.poison(&error);
        }
        while shared.poisoned.get().is_none()
            && !shared.closing.load(Ordering::SeqCst)
            && lock(&shared.signer_inbox).bytes > INBOX_BYTES_MAX
            // The signer may be waiting for its notes: it hashes on once they are committed.
            && lock(&shared.queue).notes.is_empty()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn has_work(queue: &Queue) -> bool {
    !queue.notes.is_empty()
        || queue.logs.values().any(|items| items.front().is_some_and(|item| lock(&item.slot.0).is_some()))
}

fn queue_is_empty(queue: &Queue) -> bool {
    queue.notes.is_empty() && queue.logs.values().all(|items| items.is_empty())
}

/// Tells everybody who waits that nothing more will be written.
pub(crate) fn refuse_all(shared: &Shared, queue: &mut Queue) {
    let reason = shared.poisoned.get().cloned().unwrap_or_default();
    let poisoned = || Error::Poisoned { reason: reason.clone() };
    for mut item in std::mem::take(&mut queue.logs).into_values().flatten() {
        // A caller that has gone needs no answer.
        item.reply.take().map(|reply| reply.send(Err(poisoned())));
    }
    for (_, reply) in std::mem::take(&mut queue.notes) {
        reply.send(Err(poisoned())).ok();
    }
}

/// Writes what is queued as one group; whether there was anything.
pub(crate) fn commit_once(shared: &Shared) -> Result<bool> {
    let batch = take(&mut lock(&shared.queue));
    if batch.ranges.is_empty() && batch.notes.is_empty() {
        return Ok(false);
    }
    shared.check_writable()?;
    let ranges_bytes =
        |(_, filled): &(Item, Filled)| filled.bundle.len() + filled.records.len() + SECTION_BYTES;
    let mut group = GroupBuilder::with_capacity(batch.ranges.iter().map(ranges_bytes).sum());
    let mut ends: BTreeMap<u64, u64> = BTreeMap::new();
    let carried = carry_forward(shared, &mut group, &mut ends)?;
    for (item, filled) in &batch.ranges {
        group.entries(&item.log.origin, filled.first, filled.count, &filled.bundle, &filled.records);
        let end = filled.first + u64::from(filled.count);
        for step in &filled.cursors {
            group.cursor(&item.log.origin, end, step.name.as_str(), step.to.as_deref().unwrap_or_default());
        }
        ends.insert(item.log.number, end);
    }
    for note in batch.notes.iter().flat_map(|(notes, _)| notes) {
        group.checkpoint(note.note.as_bytes());
        let end = ends.entry(note.log.number).or_default();
        *end = (*end).max(note.size);
    }
    // Crash before or inside the write: the group is torn or missing, nobody was told of it, recovery drops it.
    {
        let sealed = shared.sealed_of();
        let mut wal = lock(&shared.wal);
        wal.append(group, &ends.into_iter().collect::<Vec<_>>())?;
        for log in carried {
            wal.carried_forward(log);
        }
        wal.release(&|log| sealed.get(&log).copied().unwrap_or(0))?;
    }
    // Crash from here on: the group is on stable storage and recovery takes it in; who was not told retries and is
    // found by its event id.
    for (item, filled) in batch.ranges {
        let durable = apply(shared, &item.log, filled)?;
        shared.queued_bytes.fetch_sub(item.bytes, Ordering::Relaxed);
        if let Some(reply) = item.reply {
            // A caller that has gone needs no answer; what it sent is recorded.
            reply.send(Ok(durable)).ok();
        }
    }
    for (_, reply) in batch.notes {
        reply.send(Ok(())).ok();
    }
    Ok(true)
}

/// Takes filled ranges off the queue, the logs in turn, so that one busy log does not starve the others.
fn take(queue: &mut Queue) -> Batch {
    let mut batch = Batch { notes: std::mem::take(&mut queue.notes), ..Batch::default() };
    let mut bytes = 0;
    loop {
        let mut numbers: Vec<u64> = queue.logs.keys().copied().collect();
        let start = numbers.partition_point(|number| *number <= queue.served_last);
        numbers.rotate_left(start);
        let mut took = false;
        for number in numbers {
            let mut quantum = 0;
            while quantum < QUANTUM_BYTES && bytes < GROUP_BYTES {
                let Some(items) = queue.logs.get_mut(&number) else { break };
                let filled = items.front().and_then(|item| lock(&item.slot.0).take());
                let Some(filled) = filled else { break };
                let Some(item) = items.pop_front() else { break };
                quantum += item.bytes;
                bytes += item.bytes;
                batch.ranges.push((item, filled));
                took = true;
            }
            if quantum > 0 {
                queue.served_last = number;
            }
        }
        queue.logs.retain(|_, items| !items.is_empty());
        if !took || bytes >= GROUP_BYTES {
            return batch;
        }
    }
}

/// Makes a durable range visible: to readers, to the signer, to those who wait.
fn apply(shared: &Shared, log: &Arc<LogState>, mut filled: Filled) -> Result<u64> {
    let ingest_us = first_ingest_us(&filled);
    let bundle = std::mem::take(&mut filled.bundle);
    let bundle_bytes = bundle.len() as u64;
    shared.unsealed_bytes.fetch_add(bundle_bytes + filled.records.len() as u64, Ordering::Relaxed);
    let (root, durable) = {
        let mut view = lock(&log.view);
        let root = view.apply(&filled, bundle_bytes, ingest_us)?;
        (root, view.durable)
    };
    {
        let mut inbox = lock(&shared.signer_inbox);
        inbox.bytes += bundle_bytes;
        inbox.work.push_back(Unhashed { log: Arc::clone(log), bundle, root });
    }
    log.durable.send_replace(durable);
    metrics::counter!("tacho_entries_durable_total", "stream" => log.origin.stream().name())
        .increment(u64::from(filled.count));
    Ok(durable)
}

pub(crate) fn first_ingest_us(filled: &Filled) -> i64 {
    let times = filled.entries.column_by_name("ingest_time");
    times
        .and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>())
        .and_then(|times| times.values().first().copied())
        .unwrap_or_default()
}

/// Writes again what small logs have in the oldest file, so that they do not keep it; asks for a seal of the
/// others.
fn carry_forward(
    shared: &Shared,
    group: &mut GroupBuilder,
    ends: &mut BTreeMap<u64, u64>,
) -> Result<Vec<u64>> {
    let sealed = shared.sealed_of();
    let pinning = lock(&shared.wal).pinning(FILES_MAX, &|log| sealed.get(&log).copied().unwrap_or(0));
    if pinning.is_empty() {
        return Ok(Vec::new());
    }
    let mut carried = Vec::new();
    for log in shared.all_logs().iter().filter(|log| pinning.contains(&log.number)) {
        if lock(&log.view).unsealed_bytes > CARRY_BYTES_MAX {
            log.seal_wanted.store(true, Ordering::SeqCst);
            continue;
        }
        if group.body_bytes() > CARRY_GROUP_BYTES {
            break;
        }
        let snapshot = log.snapshot();
        for batch in &snapshot.unsealed {
            let (bundle, records) = encode_again(log, batch)?;
            let count = u32::try_from(batch.entries.num_rows()).unwrap_or(u32::MAX);
            group.entries(&log.origin, batch.first, count, &bundle, &records);
        }
        // A seal may come between: what it took along is in its manifest.
        for step in lock(&log.view).cursors.steps() {
            group.cursor(&log.origin, step.end, &step.name, &step.value);
        }
        if !snapshot.checkpoint.is_empty() {
            group.checkpoint(snapshot.checkpoint.as_bytes());
        }
        ends.insert(log.number, snapshot.durable);
        carried.push(log.number);
    }
    Ok(carried)
}

/// The bundle and payload records of unsealed rows, from their columns.
fn encode_again(log: &LogState, batch: &crate::snapshot::Unsealed) -> Result<(Vec<u8>, Vec<u8>)> {
    let stream = log.origin.stream();
    let encoder = Encoder::entries(stream, &batch.entries)?;
    let mut bundle = Vec::new();
    for row in 0..batch.entries.num_rows() {
        let start = bundle.len();
        bundle.extend_from_slice(&[0, 0]);
        encoder.entry(&log.keys.log_id, row, &mut bundle)?;
        let length = u16::try_from(bundle.len() - start - 2).unwrap_or(u16::MAX);
        if let Some(place) = bundle.get_mut(start..start + 2) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }
    let mut records = Vec::new();
    let (indices, salts) = payload_keys(&batch.payloads)?;
    let encoder = Encoder::payloads(stream, &batch.payloads)?;
    let mut scratch = Vec::new();
    for row in 0..batch.payloads.num_rows() {
        let salt: [u8; SALT_BYTES] = salts.value(row).try_into().unwrap_or_default();
        let start = records.len();
        records.extend_from_slice(&[0; 4]);
        record_header(u64::try_from(indices.value(row)).unwrap_or_default(), &salt, &mut records);
        encoder.values(row, &mut scratch, |id, value| record_field(id, value, &mut records))?;
        let length = u32::try_from(records.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(place) = records.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok((bundle, records))
}

/// The `log_index` and `salt` columns of a payload batch.
pub(crate) fn payload_keys(
    payloads: &arrow::array::RecordBatch,
) -> Result<(&arrow::array::Int64Array, &arrow::array::BinaryArray)> {
    let indices =
        payloads.column_by_name("log_index").and_then(|array| array.as_primitive_opt::<Int64Type>());
    let salts = payloads.column_by_name("salt").and_then(|array| array.as_binary_opt::<i32>());
    match (indices, salts) {
        (Some(indices), Some(salts)) => Ok((indices, salts)),
        _ => Err(schemas::Error::malformed("payload batch", "no log_index or salt").into()),
    }
}
