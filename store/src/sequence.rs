//! Giving a draft its place: duplicates found, index and ingest time assigned, the place queued for the disk.
//! Places of one log are queued in index order because both happen under its sequencer's lock.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringBuilder};
use schemas::control::{ClockRun, Control};
use schemas::entry::{FieldReader, value};
use schemas::limits::{CLOCK_JUMP_US, RANGE_BYTES_MAX};
use schemas::stream::{COUNTRY, COUNTRY_BY_ADDRESS, PAYLOAD_COMMITMENT, SESSION_ID, TAGS, TIME};
use tokio::sync::oneshot;

use crate::control::control_draft;
use crate::cursor::{self, Cursor, Positions};
use crate::draft::Draft;
use crate::error::{Error, Result};
use crate::lookup::Recorded;
use crate::prepare::{Filled, Prepared, arrow_error, prepare};
use crate::sign::closed;
use crate::state::{Item, LogState, Sequencer, Shared, Slot, lock};
use crate::window::IdKey;

/// A wall clock that falls back by less than this is held, not recorded, in microseconds.
const HELD_STEP_US: i64 = 1_000_000;

/// The tag of an event whose id was used before for other content.
const ID_CONFLICT: &str = "id_conflict";

/// The tag of an event whose time is that of its arrival, for want of one of its own.
const ARRIVAL_TIME: &[u8] = b"arrival_time";

/// A queued place: what the caller waits for, and what it will be told.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) duplicates: Vec<(usize, u64)>,
    /// `None` when every row was a duplicate.
    pub(crate) durable: Option<oneshot::Receiver<Result<u64>>>,
}

/// What is to become of each row of a draft.
struct Rows {
    keys: Vec<Option<IdKey>>,
    keep: Vec<bool>,
    duplicates: Vec<(usize, u64)>,
    /// Rows whose id is another row's too, with other content.
    conflicts: BTreeSet<usize>,
    /// The ids of those of them that are to be looked for under it as well.
    ids: Vec<Option<IdKey>>,
}

/// Places a draft in a log. Between giving out the place and filling it nothing waits and nothing can be
/// cancelled, so a place given out is always filled.
pub(crate) fn place(
    shared: &Shared,
    log: &Arc<LogState>,
    draft: &Draft,
    cursors: &[Cursor],
    from_outside: bool,
) -> Result<Placed> {
    let mut prepared = prepare(log.origin.stream(), log.origin.tenant(), draft, from_outside)?;
    if prepared.bytes() > RANGE_BYTES_MAX {
        // A range is one section of one group, and a group that is too large would stop the store.
        return Err(Error::Refused(schemas::Error::TooLarge {
            what: "bytes of one append; send fewer events at once",
            actual: prepared.bytes(),
            limit: RANGE_BYTES_MAX,
        }));
    }
    let mut rows = Rows {
        keys: id_keys(log, draft, &prepared),
        keep: vec![true; prepared.rows()],
        duplicates: Vec::new(),
        conflicts: BTreeSet::new(),
        ids: vec![None; prepared.rows()],
    };
    drop_repeats_within(log, &prepared, &mut rows);
    if !rows.conflicts.is_empty() {
        prepared.replace_entries(tagged(prepared.entries(), &rows.conflicts)?)?;
    }
    let mut recorded = Recorded::new(shared, log);
    loop {
        let mut sequencer = lock(&log.sequencer);
        // Under this lock: a close that has seen the sequencer's end sees every place that was given out.
        if from_outside && shared.closing.load(Ordering::SeqCst) {
            return Err(closed());
        }
        cursor::check(&sequencer.cursors, cursors)?;
        let hits = hits(&sequencer, &rows);
        if hits.is_empty() {
            return assign(shared, log, &mut sequencer, &prepared, rows, cursors);
        }
        // Comparing reads the log, which must not keep other appends waiting.
        drop(sequencer);
        let mut conflicts = BTreeSet::new();
        for (row, index) in hits {
            let is_same = recorded.equals(index, &prepared, row)?;
            let is_conflict = rows.conflicts.contains(&row);
            let (Some(key), Some(id)) = (rows.keys.get_mut(row), rows.ids.get_mut(row)) else { continue };
            if is_same {
                rows.duplicates.push((row, index));
                if let Some(keep) = rows.keep.get_mut(row) {
                    *keep = false;
                }
                (*key, *id) = (None, None);
            } else if id.take().is_some() {
                // Not the one that was recorded under the id itself; there may be one under its content.
            } else if is_conflict {
                *key = None;
            } else {
                // A retry of this one is looked for by its content as well: it is recorded once.
                *key = key.map(|id| conflict_key(log, &id, &prepared, row));
                conflicts.insert(row);
            }
        }
        if !conflicts.is_empty() {
            prepared.replace_entries(tagged(prepared.entries(), &conflicts)?)?;
            rows.conflicts.extend(conflicts);
        }
    }
}

fn id_keys(log: &LogState, draft: &Draft, prepared: &Prepared) -> Vec<Option<IdKey>> {
    let ids = prepared.entries().column_by_name("event_id").and_then(|ids| ids.as_string_opt::<i32>());
    let Some(ids) = ids.filter(|_| !draft.idempotent.is_empty()) else {
        return vec![None; prepared.rows()];
    };
    let marks = draft.idempotent.iter().zip(ids.iter());
    marks
        .map(|(idempotent, id)| id.filter(|_| *idempotent).map(|id| log.ids.digest(&draft.scope, id)))
        .collect()
}

/// Rows of one draft with one id: the same content is recorded once, other content is a conflict. Indices are not
/// known yet, so a repeat is reported at its first row's place once that is assigned.
fn drop_repeats_within(log: &LogState, prepared: &Prepared, rows: &mut Rows) {
    let mut first_of: HashMap<[u8; 16], usize> = HashMap::new();
    for row in 0..rows.keys.len() {
        let Some(key) = rows.keys.get(row).copied().flatten() else { continue };
        let Some(first) = first_of.get(key.bytes()).copied() else {
            first_of.insert(*key.bytes(), row);
            continue;
        };
        let mut repeated = same(prepared, first, row).then_some(first);
        if repeated.is_none() {
            let other = conflict_key(log, &key, prepared, row);
            // The same content as an earlier conflict, or the first of its kind.
            repeated = first_of.get(other.bytes()).copied();
            if repeated.is_none() {
                first_of.insert(*other.bytes(), row);
                rows.conflicts.insert(row);
                if let (Some(slot), Some(id)) = (rows.keys.get_mut(row), rows.ids.get_mut(row)) {
                    (*slot, *id) = (Some(other), Some(key));
                }
            }
        }
        if let (Some(original), Some(keep), Some(slot)) =
            (repeated, rows.keep.get_mut(row), rows.keys.get_mut(row))
        {
            (*keep, *slot) = (false, None);
            rows.duplicates.push((row, u64::MAX - original as u64));
        }
    }
}

/// Whether two rows of a draft have the same content.
fn same(prepared: &Prepared, one: usize, other: usize) -> bool {
    content(prepared.fields(one)).eq(content(prepared.fields(other)))
        && payload_of(prepared.record(one)) == payload_of(prepared.record(other))
}

/// What a row is looked for by that has an id which was used before for other content: the id and its own content.
/// In memory alone: after a restart a retry of such a row is recorded once more.
fn conflict_key(log: &LogState, id: &IdKey, prepared: &Prepared, row: usize) -> IdKey {
    let mut hasher = blake3::Hasher::new();
    for (field, value) in content(prepared.fields(row)) {
        hasher.update(&field.to_be_bytes()).update(&(value.len() as u64).to_be_bytes()).update(value);
    }
    hasher.update(payload_of(prepared.record(row)));
    log.ids.digest_conflict(id, hasher.finalize().as_bytes())
}

/// The fields of an entry that make its content: not what the recorder itself chose anew each time.
pub(crate) fn content(fields: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let is_of_arrival = has_tag(fields, ARRIVAL_TIME);
    // Another database may place the address elsewhere.
    let is_by_address = has_tag(fields, COUNTRY_BY_ADDRESS.as_bytes());
    FieldReader::of(fields).filter_map(|field| field.ok()).filter(move |(id, value)| {
        let is_chosen = matches!(*id, PAYLOAD_COMMITMENT | TAGS)
            || (*id == TIME && is_of_arrival)
            || (*id == COUNTRY && is_by_address);
        let is_derived = *id == SESSION_ID && value.starts_with(DERIVED_SESSION);
        !is_chosen && !is_derived
    })
}

fn has_tag(fields: &[u8], wanted: &[u8]) -> bool {
    let tags = FieldReader::of(fields).filter_map(|field| field.ok()).find(|(id, _)| *id == TAGS);
    let tags = tags.and_then(|(_, tags)| value::items("tags", tags).ok());
    tags.is_some_and(|mut tags| tags.any(|tag| tag.is_ok_and(|tag| tag == wanted)))
}

/// How session ids that the recorder derived begin; they depend on when it was started.
const DERIVED_SESSION: &[u8] = b"derived-";

/// The fields of a framed payload record, without length, index and salt.
pub(crate) fn payload_of(framed: &[u8]) -> &[u8] {
    framed.get(4 + 8 + schemas::stream::SALT_BYTES..).unwrap_or_default()
}

fn hits(sequencer: &Sequencer, rows: &Rows) -> Vec<(usize, u64)> {
    let place = |key: &Option<IdKey>| sequencer.window.get(key.as_ref()?);
    let keys = rows.ids.iter().zip(&rows.keys).enumerate();
    let mut hits: Vec<_> =
        keys.filter_map(|(row, (id, key))| Some((row, place(id).or_else(|| place(key))?))).collect();
    // In log order: comparing reads each segment once.
    hits.sort_unstable_by_key(|(_, index)| *index);
    hits
}

fn assign(
    shared: &Shared,
    log: &Arc<LogState>,
    sequencer: &mut Sequencer,
    prepared: &Prepared,
    mut rows: Rows,
    cursors: &[Cursor],
) -> Result<Placed> {
    let count = rows.keep.iter().filter(|keep| **keep).count() as u64;
    if count == 0 {
        let first = sequencer.next;
        return Ok(Placed { first, count, duplicates: rows.resolved(first), durable: None });
    }
    let ingest_us = ingest_time(shared, log, sequencer)?;
    let first = sequencer.next;
    // Refused, it must not have moved the place of the next.
    let (slot, durable) = enqueue(shared, log, prepared.bytes())?;
    sequencer.next += count;
    cursor::take(&mut sequencer.cursors, cursors);
    let mut index = first;
    for (row, keep) in rows.keep.iter().enumerate() {
        if *keep {
            if let Some(Some(key)) = rows.keys.get(row) {
                sequencer.window.insert(*key, index, ingest_us);
            }
            index += 1;
        }
    }
    let filled = prepared.fill(&rows.keep, &log.keys.log_id, first, ingest_us);
    fill(shared, &slot, filled.map(|filled| Filled { cursors: cursors.to_vec(), ..filled }))?;
    Ok(Placed { first, count, duplicates: rows.resolved(first), durable: Some(durable) })
}

impl Rows {
    /// The duplicates with the index of every repeat within the draft filled in.
    fn resolved(&mut self, first: u64) -> Vec<(usize, u64)> {
        let mut place = first;
        let places: Vec<u64> = self
            .keep
            .iter()
            .map(|keep| {
                let here = place;
                place += u64::from(*keep);
                here
            })
            .collect();
        let known: HashMap<usize, u64> =
            self.duplicates.iter().filter(|(_, index)| *index < u64::MAX / 2).copied().collect();
        let mut resolved: Vec<(usize, u64)> = self
            .duplicates
            .iter()
            .map(|(row, index)| {
                if *index < u64::MAX / 2 {
                    return (*row, *index);
                }
                let original = usize::try_from(u64::MAX - index).unwrap_or(usize::MAX);
                let at = known.get(&original).or_else(|| places.get(original)).copied();
                (*row, at.unwrap_or(first))
            })
            .collect();
        resolved.sort_unstable();
        resolved
    }
}

type Queued = (Arc<Slot>, oneshot::Receiver<Result<u64>>);

/// Queues a place. Nobody takes from the queue of a store that is poisoned or has ended, so it takes nothing then.
fn enqueue(shared: &Shared, log: &Arc<LogState>, bytes: u64) -> Result<Queued> {
    let slot = Arc::new(Slot::default());
    let (reply, durable) = oneshot::channel();
    let item = Item { log: Arc::clone(log), slot: Arc::clone(&slot), bytes, reply: Some(reply) };
    let mut queue = lock(&shared.queue);
    shared.check_writable()?;
    if shared.finished.load(Ordering::SeqCst) {
        return Err(closed());
    }
    shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
    queue.logs.entry(log.number).or_default().push_back(item);
    Ok((slot, durable))
}

/// Fills a place. What was checked before the place was given out cannot fail now; if it does, the log would have
/// a hole, so the store stops.
fn fill(shared: &Shared, slot: &Slot, filled: Result<Filled>) -> Result<()> {
    match filled {
        Ok(filled) => {
            *lock(&slot.0) = Some(filled);
            // Under the queue's lock, so that the committer cannot miss it between looking and waiting.
            let _queue = lock(&shared.queue);
            shared.queue_changed.notify_all();
            Ok(())
        }
        Err(error) => {
            shared.poison(&error);
            Err(error)
        }
    }
}

/// The ingest time of the next range. Within a run it does not fall; a step of the wall clock opens a new run with
/// an entry of its own.
fn ingest_time(shared: &Shared, log: &Arc<LogState>, sequencer: &mut Sequencer) -> Result<i64> {
    let (wall_us, monotonic_us) = (shared.clock.wall_us(), shared.clock.monotonic_us());
    let (run_wall_us, run_monotonic_us) = sequencer.run;
    let expected_us = run_wall_us.saturating_add(monotonic_us - run_monotonic_us);
    let fell = wall_us < sequencer.last_ingest_us.saturating_sub(HELD_STEP_US);
    let jumped = wall_us.saturating_sub(expected_us) > CLOCK_JUMP_US;
    if !fell && !jumped {
        sequencer.last_ingest_us = wall_us.max(sequencer.last_ingest_us);
        return Ok(sequencer.last_ingest_us);
    }
    let control = Control::ClockRun(ClockRun { last_us: sequencer.last_ingest_us, first_us: wall_us });
    tracing::warn!(log = %log.origin, last_us = sequencer.last_ingest_us, first_us = wall_us, "clock stepped");
    sequencer.run = (wall_us, monotonic_us);
    sequencer.last_ingest_us = wall_us;
    enqueue_control(shared, log, sequencer, &control, wall_us)?;
    Ok(wall_us)
}

/// Places a control entry; its `time` is its ingest time.
pub(crate) fn place_control(shared: &Shared, log: &Arc<LogState>, control: &Control) -> Result<Placed> {
    let mut sequencer = lock(&log.sequencer);
    let ingest_us = ingest_time(shared, log, &mut sequencer)?;
    enqueue_control(shared, log, &mut sequencer, control, ingest_us)
}

/// Places the first entry of a log that goes on from another, with how far that one had read its sources.
pub(crate) fn place_first(
    shared: &Shared,
    log: &Arc<LogState>,
    control: &Control,
    read: &Positions,
) -> Result<Placed> {
    let mut cursors = Vec::with_capacity(read.len());
    for (name, position) in read {
        cursors.push(Cursor { name: name.parse()?, from: None, to: Some(position.clone()) });
    }
    let mut sequencer = lock(&log.sequencer);
    let ingest_us = ingest_time(shared, log, &mut sequencer)?;
    let draft = control_draft(&log.origin, control, sequencer.next, ingest_us)?;
    let prepared = prepare(log.origin.stream(), log.origin.tenant(), &draft, false)?;
    let first = sequencer.next;
    let (slot, durable) = enqueue(shared, log, prepared.bytes())?;
    sequencer.next += 1;
    cursor::take(&mut sequencer.cursors, &cursors);
    let filled = prepared.fill(&[true], &log.keys.log_id, first, ingest_us);
    fill(shared, &slot, filled.map(|filled| Filled { cursors, ..filled }))?;
    Ok(Placed { first, count: 1, duplicates: Vec::new(), durable: Some(durable) })
}

fn enqueue_control(
    shared: &Shared,
    log: &Arc<LogState>,
    sequencer: &mut Sequencer,
    control: &Control,
    ingest_us: i64,
) -> Result<Placed> {
    let draft = control_draft(&log.origin, control, sequencer.next, ingest_us)?;
    let prepared = prepare(log.origin.stream(), log.origin.tenant(), &draft, false)?;
    let first = sequencer.next;
    let (slot, durable) = enqueue(shared, log, prepared.bytes())?;
    sequencer.next += 1;
    fill(shared, &slot, prepared.fill(&[true], &log.keys.log_id, first, ingest_us))?;
    Ok(Placed { first, count: 1, duplicates: Vec::new(), durable: Some(durable) })
}

/// The batch with one more tag in some rows.
fn tagged(entries: &RecordBatch, rows: &BTreeSet<usize>) -> Result<RecordBatch> {
    let place = entries.schema_ref().index_of("tags").map_err(arrow_error)?;
    let schemas_column = schemas::Stream::Events.column_by_id(TAGS);
    let old = entries.column(place).as_list_opt::<i32>();
    let (Some(column), Some(old)) = (schemas_column, old) else {
        return Err(Error::Refused(schemas::Error::malformed("tags", "not a list of texts")));
    };
    let item = match column.kind.data_type() {
        arrow::datatypes::DataType::List(item) => item,
        other => return Err(Error::Refused(schemas::Error::malformed("tags", other.to_string()))),
    };
    let mut tags = ListBuilder::new(StringBuilder::new()).with_field(item);
    for row in 0..entries.num_rows() {
        let mut any = false;
        if old.is_valid(row) {
            for tag in old.value(row).as_string::<i32>().iter().flatten() {
                tags.values().append_value(tag);
                any = true;
            }
        }
        if rows.contains(&row) {
            tags.values().append_value(ID_CONFLICT);
            any = true;
        }
        tags.append(any);
    }
    let mut columns: Vec<ArrayRef> = entries.columns().to_vec();
    if let Some(slot) = columns.get_mut(place) {
        *slot = Arc::new(tags.finish());
    }
    RecordBatch::try_new(entries.schema(), columns).map_err(arrow_error)
}
