//! Sealing: unsealed rows become Parquet files and tiles, are read again and hashed again, and only then does a
//! signed manifest make them the log's. One straight function; each comment answers "and if we crash here?".

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use schemas::checkpoint::Checkpoint;
use schemas::entry::Encoder;
use schemas::layout::{self, FileKind, FileName};
use schemas::limits::SEGMENT_ROWS_MAX;
use schemas::manifest::{self, File, Manifest, is_snapshot};
use schemas::payload::Committer;
use schemas::stream::SALT_BYTES;
use schemas::tile::{TileBuilder, TileId};
use schemas::tree::{Hash, leaf_hash};
use schemas::{Origin, Stream, limits};

use crate::commit::payload_keys;
use crate::crash;
use crate::durable::{failed, publish, write_synced, write_unsynced};
use crate::error::{Error, Result};
use crate::segment_file::{decode, encode};
use crate::snapshot::{DataFile, Segment, Unsealed};
use crate::state::{LogState, SealState, Shared, View, lock};

/// A log's part that is to be sealed.
struct Part {
    first: u64,
    last: u64,
    checkpoint: Arc<str>,
    batches: Vec<Unsealed>,
}

/// Whether it is time to seal `log`.
pub(crate) fn is_due(shared: &Shared, log: &LogState) -> bool {
    let view = lock(&log.view);
    let rows = view.durable - view.sealed;
    if rows == 0 || view.signed == view.sealed {
        return false;
    }
    let options = &shared.options;
    let now_us = shared.clock.wall_us();
    let age_us = view.oldest_unsealed_us.map_or(0, |oldest_us| now_us.saturating_sub(oldest_us));
    let age_max_us =
        if rows < limits::SMALL_LOG_ROWS { options.seal_age_small_us } else { options.seal_age_us };
    let is_of_another_day =
        view.oldest_unsealed_us.is_some_and(|oldest_us| layout::date(oldest_us) != layout::date(now_us));
    rows >= options.seal_rows
        || view.unsealed_bytes >= options.seal_bytes
        || age_us >= age_max_us
        || (is_of_another_day && age_us > 0)
        || log.seal_wanted.load(Ordering::SeqCst)
}

/// Seals all of `log` that is signed, up to [`SEGMENT_ROWS_MAX`] rows; whether there was anything.
pub(crate) fn seal(shared: &Shared, log: &Arc<LogState>) -> Result<bool> {
    let mut state = lock(&log.sealer);
    let Some(part) = part(&lock(&log.view)) else { return Ok(false) };
    shared.check_writable()?;
    log.seal_wanted.store(false, Ordering::SeqCst);
    // A log's first manifest is published only when an auditor of the root log can know of it.
    if log.origin.stream() != Stream::Root && lock(&log.view).manifest == 0 && !is_known_sealed(shared, log) {
        log.seal_wanted.store(true, Ordering::SeqCst);
        return Ok(false);
    }
    let directory = layout::origin_dir(&log.origin);
    let date = layout::date(first_ingest_us(&part)?);
    let entries: Vec<RecordBatch> = part.batches.iter().map(|batch| batch.entries.clone()).collect();
    let payloads: Vec<RecordBatch> = part.batches.iter().map(|batch| batch.payloads.clone()).collect();
    let has_payloads = payloads.iter().any(|batch| batch.num_rows() > 0);

    // Crash before the manifest: these files are named by nothing, and recovery removes them; the entries are still in
    // the write-ahead files.
    let range = (part.first, part.last);
    let (segment, payload) = at_once(
        || encode(FileKind::Segment, &log.origin, range, &entries),
        || has_payloads.then(|| encode(FileKind::Payload, &log.origin, range, &payloads)).transpose(),
    );
    let segment = write(shared, log, &part, &date, FileKind::Segment, &entries, &segment?)?;
    crash::point("seal-segment-written");
    let payload = payload?
        .map(|bytes| write(shared, log, &part, &date, FileKind::Payload, &payloads, &bytes))
        .transpose()?;
    crash::point("seal-files-synced");
    let leaves = read_again(shared, log, &part, &segment, payload.as_ref())?;
    let old_partials: Vec<TileId> = state.tiles.partials().into_iter().map(|(id, _)| id).collect();
    let tiles = write_tiles(shared, &directory, &state.tiles, &leaves, &part, log)?;
    crash::point("seal-tiles-written");
    // Names and tiles: one sync for all of them, before anything says that they are there.
    shared.disk.sync_everything().map_err(failed(&*shared.disk, "sync", &directory))?;
    crash::point("seal-synced");

    let added: Vec<File> = std::iter::once(segment).chain(payload).collect();
    let (number, digest) = publish_manifest(shared, log, &state, &part, &added)?;
    // Crash from here on: the manifest is the commit point; recovery finds the entries sealed.
    crash::point("manifest-published");
    let new_partials: Vec<TileId> = tiles.partials().into_iter().map(|(id, _)| id).collect();
    if log.origin.stream() != Stream::Root
        && let Some(segment) = segment_of(shared, &log.origin, part.first, part.last, &added)
    {
        shared.id_filters.learn(&segment.entries.path, &entries);
    }
    show(shared, log, &part, &added, &tiles, (number, digest));
    state.tiles = tiles;
    state.live.extend(added);
    for id in old_partials.into_iter().filter(|id| !new_partials.contains(id)) {
        let path = format!("{directory}/{}", layout::tile(id));
        shared.disk.remove(&path).map_err(failed(&*shared.disk, "remove", &path))?;
    }
    metrics::counter!("tacho_segments_sealed_total", "stream" => log.origin.stream().name()).increment(1);
    tracing::debug!(log = %log.origin, first = part.first, last = part.last, "sealed");
    Ok(true)
}

/// Whether the root log's segment with this log's `log_opened` is sealed; asks for it if not.
fn is_known_sealed(shared: &Shared, log: &LogState) -> bool {
    let Some(root) = shared.find(schemas::origin::ROOT_TENANT, Stream::Root) else { return false };
    let known = lock(&root.view).sealed > log.root_index;
    if !known {
        root.seal_wanted.store(true, Ordering::SeqCst);
    }
    known
}

/// The rows from S to the last signed size that fits one segment.
fn part(view: &View) -> Option<Part> {
    let fits = |size: u64| size > view.sealed && size - view.sealed <= SEGMENT_ROWS_MAX;
    let above = || view.notes.iter().find(|(size, _)| *size > view.sealed);
    let (last, checkpoint) = view.notes.iter().rev().find(|(size, _)| fits(*size)).or_else(above)?.clone();
    let mut batches = Vec::new();
    for batch in &view.unsealed {
        let rows = batch.entries.num_rows() as u64;
        if batch.first >= last {
            break;
        }
        let keep = rows.min(last - batch.first);
        batches.push(if keep == rows { batch.clone() } else { head(batch, keep) });
    }
    Some(Part { first: view.sealed, last, checkpoint, batches })
}

/// The first `rows` rows of a batch, and their payloads.
fn head(batch: &Unsealed, rows: u64) -> Unsealed {
    let end = i64::try_from(batch.first + rows).unwrap_or(i64::MAX);
    let payload_rows = payload_keys(&batch.payloads)
        .map_or(0, |(indices, _)| indices.values().partition_point(|index| *index < end));
    Unsealed {
        first: batch.first,
        entries: batch.entries.slice(0, usize::try_from(rows).unwrap_or(usize::MAX)),
        payloads: batch.payloads.slice(0, payload_rows),
    }
}

/// What is left of a batch after its first `rows` rows.
fn tail(batch: &Unsealed, rows: u64) -> Unsealed {
    let taken = head(batch, rows);
    let skip = taken.entries.num_rows();
    let payloads = taken.payloads.num_rows();
    Unsealed {
        first: batch.first + rows,
        entries: batch.entries.slice(skip, batch.entries.num_rows() - skip),
        payloads: batch.payloads.slice(payloads, batch.payloads.num_rows() - payloads),
    }
}

fn times<'a>(batch: &'a RecordBatch, column: &str) -> &'a [i64] {
    let array = batch.column_by_name(column);
    array
        .and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>())
        .map_or(&[], |times| times.values())
}

fn first_ingest_us(part: &Part) -> Result<i64> {
    let first = part.batches.first().and_then(|batch| times(&batch.entries, "ingest_time").first());
    first.copied().ok_or_else(|| schemas::Error::malformed("seal", "no rows").into())
}

fn write(
    shared: &Shared,
    log: &LogState,
    part: &Part,
    date: &str,
    kind: FileKind,
    batches: &[RecordBatch],
    bytes: &[u8],
) -> Result<File> {
    let digest = manifest::digest(bytes);
    let name = FileName {
        kind,
        date: date.to_string(),
        first: part.first,
        last: part.last,
        digest: digest.get(..16).unwrap_or_default().to_string(),
    };
    let path = name.path();
    write_synced(&*shared.disk, &format!("{}/{path}", layout::origin_dir(&log.origin)), bytes)?;
    let all = || part.batches.iter().flat_map(|batch| times(&batch.entries, "time")).copied();
    Ok(File {
        path,
        rows: batches.iter().map(|batch| batch.num_rows() as u64).sum(),
        bytes: bytes.len() as u64,
        blake3: digest,
        time_min_us: all().min().unwrap_or_default(),
        time_max_us: all().max().unwrap_or_default(),
    })
}

/// Reads both files again and hashes what is in them; the root must be the one that was signed.
fn read_again(
    shared: &Shared,
    log: &LogState,
    part: &Part,
    segment: &File,
    payload: Option<&File>,
) -> Result<Vec<Hash>> {
    let stream = log.origin.stream();
    let directory = layout::origin_dir(&log.origin);
    let read = |file: &File| {
        let path = format!("{directory}/{}", file.path);
        shared.disk.read(&path).map_err(failed(&*shared.disk, "read", &path))
    };
    let (segment_bytes, payload_bytes) = (read(segment)?, payload.map(read).transpose()?);
    let (leaves, found) = at_once(
        || hash_segment(log, part, segment, segment_bytes),
        || payload_bytes.map_or(Ok(Vec::new()), |bytes| hash_payloads(stream, bytes)),
    );
    let ((leaves, committed), found) = (leaves?, found?);
    if committed != found {
        let differs = committed.iter().zip(&found).find(|(committed, found)| committed != found);
        let index = differs.map(|(committed, found)| committed.0.min(found.0));
        let index = index
            .or_else(|| committed.get(found.len()).or_else(|| found.get(committed.len())).map(|row| row.0));
        let detail = format!("{}: payload of index {index:?} is not what its entry commits to", segment.path);
        return Err(schemas::Error::mismatch("payload file", detail).into());
    }
    Ok(leaves)
}

/// Does two things at once: a seal's two files are independent until their hashes are compared.
fn at_once<A, B: Send>(here: impl FnOnce() -> A, beside: impl FnOnce() -> B + Send) -> (A, B) {
    std::thread::scope(|scope| {
        let beside = scope.spawn(beside);
        let here = here();
        (here, beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Commitments by log index, ascending.
type Commitments = Vec<(u64, Hash)>;

/// The leaf of every row of a segment file, and the commitments that the rows hold.
fn hash_segment(
    log: &LogState,
    part: &Part,
    segment: &File,
    bytes: Vec<u8>,
) -> Result<(Vec<Hash>, Commitments)> {
    let stream = log.origin.stream();
    let batches = decode(FileKind::Segment, stream, bytes, None)?;
    let mut leaves = Vec::new();
    let mut commitments = Commitments::new();
    let mut entry = Vec::new();
    for batch in &batches {
        let encoder = Encoder::entries(stream, batch)?;
        let committed =
            batch.column_by_name("payload_commitment").and_then(|array| array.as_binary_opt::<i32>());
        for row in 0..batch.num_rows() {
            let index = part.first + leaves.len() as u64;
            if encoder.log_index(row).and_then(|found| u64::try_from(found).ok()) != Some(index) {
                let detail = format!("{}: row {row} is not index {index}", segment.path);
                return Err(schemas::Error::mismatch("segment file", detail).into());
            }
            entry.clear();
            encoder.entry(&log.keys.log_id, row, &mut entry)?;
            leaves.push(leaf_hash(&entry));
            let commitment = committed.filter(|array| arrow::array::Array::is_valid(array, row));
            if let Some(commitment) = commitment.and_then(|array| array.value(row).try_into().ok()) {
                commitments.push((index, Hash(commitment)));
            }
        }
    }
    Ok((leaves, commitments))
}

/// The commitment of every row of a payload file.
fn hash_payloads(stream: Stream, bytes: Vec<u8>) -> Result<Commitments> {
    let mut commitments = Commitments::new();
    let mut committer = Committer::new();
    let mut scratch = Vec::new();
    for batch in decode(FileKind::Payload, stream, bytes, None)? {
        let (indices, salts) = payload_keys(&batch)?;
        let encoder = Encoder::payloads(stream, &batch)?;
        for row in 0..batch.num_rows() {
            let index = u64::try_from(indices.value(row)).unwrap_or(u64::MAX);
            let salt: [u8; SALT_BYTES] = salts.value(row).try_into().unwrap_or_default();
            let mut commitment = committer.row(salt);
            encoder.values(row, &mut scratch, |id, value| commitment.field(id, value))?;
            let commitment = commitment.finish().ok_or_else(|| {
                schemas::Error::malformed("payload file", format!("index {index} has no field"))
            })?;
            commitments.push((index, commitment));
        }
    }
    Ok(commitments)
}

/// Writes the tiles that the leaves complete and the new right edge, after checking the root against the signed
/// one. A partial tile that is still of the right edge is the same and is left alone: it is the only copy that the
/// newest manifest has.
fn write_tiles(
    shared: &Shared,
    directory: &str,
    tiles: &TileBuilder,
    leaves: &[Hash],
    part: &Part,
    log: &LogState,
) -> Result<TileBuilder> {
    let mut tiles = tiles.clone();
    let there: Vec<TileId> = tiles.partials().into_iter().map(|(id, _)| id).collect();
    let mut full: Vec<(TileId, Vec<u8>)> = Vec::new();
    let bytes = |hashes: &[Hash]| hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>();
    for leaf in leaves {
        tiles.push(*leaf, &mut |id, hashes| full.push((id, bytes(hashes))));
    }
    let signed = Checkpoint::open(part.checkpoint.as_bytes(), log.keys.checkpoint.verifier())?;
    if (signed.size, signed.root) != (part.last, tiles.compact_range().root()) {
        let detail = format!("{}: what was sealed is not what was signed at size {}", log.origin, part.last);
        return Err(schemas::Error::mismatch("root", detail).into());
    }
    let partials = tiles.partials().into_iter().filter(|(id, _)| !there.contains(id));
    full.extend(partials.map(|(id, hashes)| (id, bytes(hashes))));
    for (id, bytes) in full {
        write_unsynced(&*shared.disk, &format!("{directory}/{}", layout::tile(id)), &bytes)?;
    }
    Ok(tiles)
}

fn publish_manifest(
    shared: &Shared,
    log: &LogState,
    state: &SealState,
    part: &Part,
    added: &[File],
) -> Result<(u64, String)> {
    let (number, previous) = {
        let view = lock(&log.view);
        let none = view.manifest == 0;
        (
            view.manifest + 1,
            if none { manifest::NO_PREVIOUS.to_string() } else { view.manifest_digest.clone() },
        )
    };
    let snapshot = is_snapshot(number);
    let live: &[File] = if snapshot { &state.live } else { &[] };
    let manifest = Manifest {
        version: manifest::VERSION,
        origin: log.origin.to_string(),
        number,
        previous,
        size: part.last,
        checkpoint: part.checkpoint.to_string(),
        snapshot,
        add: live.iter().chain(added).cloned().collect(),
        remove: Vec::new(),
        cursors: lock(&log.view).cursors.at(part.last),
    };
    let note = log.keys.manifest.sign(&manifest.to_text()?);
    let path = format!("{}/{}", layout::origin_dir(&log.origin), layout::manifest(number));
    publish(&*shared.disk, &path, note.as_bytes())?;
    Ok((number, manifest::digest(note.as_bytes())))
}

/// Shows readers the sealed files in place of the unsealed rows, at once.
fn show(
    shared: &Shared,
    log: &LogState,
    part: &Part,
    added: &[File],
    tiles: &TileBuilder,
    (number, digest): (u64, String),
) {
    let mut view = lock(&log.view);
    let rows = view.durable - view.sealed;
    let sealed_rows = part.last - part.first;
    let sealed_bytes = if sealed_rows >= rows {
        view.unsealed_bytes
    } else {
        u64::try_from(u128::from(view.unsealed_bytes) * u128::from(sealed_rows) / u128::from(rows.max(1)))
            .unwrap_or(view.unsealed_bytes)
    };
    view.unsealed_bytes -= sealed_bytes;
    shared.unsealed_bytes.fetch_sub(sealed_bytes, Ordering::Relaxed);
    let mut segments = view.segments.as_ref().clone();
    segments.extend(segment_of(shared, &log.origin, part.first, part.last, added).map(Arc::new));
    view.segments = Arc::new(segments);
    let left: Vec<Unsealed> = view
        .unsealed
        .iter()
        .filter(|batch| batch.first + batch.entries.num_rows() as u64 > part.last)
        .map(
            |batch| {
                if batch.first >= part.last { batch.clone() } else { tail(batch, part.last - batch.first) }
            },
        )
        .collect();
    view.oldest_unsealed_us =
        left.first().and_then(|batch| times(&batch.entries, "ingest_time").first().copied());
    view.unsealed = left;
    let sealed_leaves = usize::try_from(sealed_rows).unwrap_or(usize::MAX).min(view.leaves.len());
    view.leaves = view.leaves.split_off(sealed_leaves);
    view.sealed_tiles = Arc::new(tiles.clone());
    view.sealed = part.last;
    view.cursors.seal(part.last);
    view.manifest = number;
    view.manifest_digest = digest;
    while view.notes.front().is_some_and(|(size, _)| *size <= part.last) {
        view.notes.pop_front();
    }
}

/// The segment that these files of one range are.
pub(crate) fn segment_of(
    shared: &Shared,
    origin: &Origin,
    first: u64,
    last: u64,
    files: &[File],
) -> Option<Segment> {
    let directory = layout::origin_dir(origin);
    let data_file = |kind: FileKind| {
        let file = files.iter().find(|file| file.path.starts_with(kind.dir()))?;
        let path = shared.disk.absolute(&format!("{directory}/{}", file.path));
        Some(DataFile { path, file: file.clone() })
    };
    Some(Segment {
        first,
        last,
        entries: data_file(FileKind::Segment)?,
        payloads: data_file(FileKind::Payload),
    })
}

/// Seals whatever is due; returns the first failure, after which the store is poisoned.
pub(crate) fn seal_due(shared: &Shared) -> Result<()> {
    for log in shared.all_logs() {
        if is_due(shared, &log) {
            seal(shared, &log)?;
        }
    }
    Ok(())
}

/// As an error for a log that should have been sealed and was not.
pub(crate) fn unsealed_error(log: &LogState) -> Error {
    schemas::Error::malformed("seal", format!("{} has entries that could not be sealed", log.origin)).into()
}
