//! The sealed part of a log as its signed manifests name it.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use schemas::checkpoint::Checkpoint;
use schemas::control::Control;
use schemas::layout::{self, FileKind, FileName};
use schemas::manifest::{self, File, Manifest, is_snapshot};
use schemas::tile::{self, TileBuilder, TileId, partial_tiles};
use schemas::tree::{CompactRange, Hash};
use schemas::{Origin, Stream};

use super::replay::{Awaited, Noted};
use super::{Found, tampered};
use crate::cursor::Cursors;
use crate::disk::{DirEntry, Disk};
use crate::durable::{TEMPORARY, failed};
use crate::error::Result;
use crate::keys::{Keys, LogKeys};
use crate::segment_file::decode;
use crate::snapshot::{DataFile, Segment, Unsealed};
use crate::state::{SealState, View};

/// Every `<tenant>/<stream>/<writer>` below `log`.
pub(crate) fn log_directories(disk: &dyn Disk) -> Result<Vec<(String, Stream, String)>> {
    let mut found = Vec::new();
    let directories = |path: &str| -> Result<Vec<DirEntry>> {
        let entries = disk.list(path).map_err(failed(disk, "list", path))?;
        match entries.iter().find(|entry| !entry.is_dir) {
            Some(stray) => Err(tampered("store", format!("{path}/{} is not a directory", stray.name))),
            None => Ok(entries),
        }
    };
    for tenant in directories(layout::LOG)? {
        let path = format!("{}/{}", layout::LOG, tenant.name);
        for stream in directories(&path)? {
            let path = format!("{path}/{}", stream.name);
            for writer in directories(&path)? {
                found.push(layout::parse_log_dir(&tenant.name, &stream.name, &writer.name)?);
            }
        }
    }
    Ok(found)
}

/// Those of them that are in their place, whatever else lies there.
pub(crate) fn log_directories_that_are(disk: &dyn Disk) -> Result<Vec<(String, Stream, String)>> {
    let directories = |path: &str| -> Result<Vec<String>> {
        let entries = disk.list(path).map_err(failed(disk, "list", path))?;
        Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect())
    };
    let mut found = Vec::new();
    for tenant in directories(layout::LOG)? {
        let path = format!("{}/{tenant}", layout::LOG);
        for stream in directories(&path)? {
            for writer in directories(&format!("{path}/{stream}"))? {
                found.extend(layout::parse_log_dir(&tenant, &stream, &writer).ok());
            }
        }
    }
    Ok(found)
}

/// A log without entries.
pub(crate) fn empty(keys: &Keys, origin: Origin) -> Result<Found> {
    let keys = keys.log(&origin)?;
    Ok(Found {
        origin,
        keys,
        view: View {
            durable: 0,
            signed: 0,
            sealed: 0,
            manifest: 0,
            manifest_digest: String::new(),
            checkpoint: "".into(),
            notes: Default::default(),
            segments: Arc::default(),
            unsealed: Vec::new(),
            unsealed_bytes: 0,
            oldest_unsealed_us: None,
            tree: CompactRange::new(),
            leaves: Vec::new(),
            sealed_tiles: Arc::default(),
            cursors: Cursors::default(),
        },
        seal: SealState { tiles: TileBuilder::new(), live: Vec::new() },
        noted: Noted::at(CompactRange::new()),
        awaited: Awaited::default(),
        last_ingest_us: i64::MIN,
        at_end: None,
        has_gap: false,
    })
}

/// The text of `log.json`.
pub(crate) fn log_json(origin: &Origin, keys: &LogKeys) -> Result<String> {
    #[derive(serde::Serialize)]
    struct LogJson {
        format: u32,
        origin: String,
        key: String,
        manifest_key: String,
    }
    let json = LogJson {
        format: 1,
        origin: origin.to_string(),
        key: keys.checkpoint.verifier().to_string(),
        manifest_key: keys.manifest.verifier().to_string(),
    };
    let text = serde_json::to_string(&json)
        .map_err(|error| schemas::Error::malformed("log.json", error.to_string()))?;
    Ok(format!("{text}\n"))
}

/// Loads the sealed part of a log: manifests, live files, the right edge of its tree.
pub(crate) fn load(disk: &Arc<dyn Disk>, keys: &Keys, origin: Origin) -> Result<Found> {
    let mut log = empty(keys, origin)?;
    let Some((newest, digest)) = manifests(&**disk, &mut log)? else { return Ok(log) };
    let checkpoint = Checkpoint::open(newest.checkpoint.as_bytes(), log.keys.checkpoint.verifier())
        .map_err(|error| tampered(&log.origin, error.to_string()))?;
    if checkpoint.size != newest.size {
        return Err(tampered(&log.origin, format!("manifest {} and its checkpoint differ", newest.number)));
    }
    let tiles = right_edge(&**disk, &log.origin, newest.size)?;
    if tiles.compact_range().root() != checkpoint.root {
        return Err(tampered(&log.origin, format!("the tiles are not those of size {}", newest.size)));
    }
    let range = tiles.compact_range();
    log.noted = Noted::at(range.clone());
    log.view.tree = range;
    log.view.durable = newest.size;
    log.view.signed = newest.size;
    log.view.sealed = newest.size;
    log.view.manifest = newest.number;
    log.view.manifest_digest = digest;
    log.view.cursors = Cursors::of_manifest(newest.cursors);
    log.view.checkpoint = newest.checkpoint.into();
    log.view.segments = Arc::new(segments(&**disk, &log)?);
    log.view.sealed_tiles = Arc::new(tiles.clone());
    log.seal.tiles = tiles;
    if let Some(segment) = log.view.segments.last() {
        for batch in read_columns(&**disk, &log.origin, segment, &["ingest_time", "control"])? {
            log.note_last(&batch)?;
        }
    }
    Ok(log)
}

/// As [`load`], but damage is no error: as far as the newest manifest that opens says, whatever is with the files that it names.
pub(crate) fn load_what_opens(disk: &Arc<dyn Disk>, keys: &Keys, origin: Origin) -> Result<Found> {
    match load(disk, keys, origin.clone()) {
        Ok(log) => return Ok(log),
        Err(error) => tracing::warn!(%error, "a damaged log: what its newest readable manifest says counts"),
    }
    let mut log = empty(keys, origin)?;
    let newest = match manifests(&**disk, &mut log) {
        Ok(Some((newest, _))) => newest,
        Ok(None) => return Ok(log),
        Err(_) => {
            log.seal.live.clear();
            let Some(newest) = newest_that_opens(&**disk, &log)? else { return Ok(log) };
            newest
        }
    };
    log.view.durable = newest.size;
    log.view.signed = newest.size;
    log.view.sealed = newest.size;
    log.view.manifest = newest.number;
    log.view.cursors = Cursors::of_manifest(newest.cursors);
    log.view.checkpoint = newest.checkpoint.into();
    if let Ok(segments) = segments(&**disk, &log) {
        log.view.segments = Arc::new(segments);
    }
    Ok(log)
}

fn newest_that_opens(disk: &dyn Disk, log: &Found) -> Result<Option<Manifest>> {
    let directory = format!("{}/{}", layout::origin_dir(&log.origin), layout::MANIFEST);
    let entries = disk.list(&directory).map_err(failed(disk, "list", &directory))?;
    let mut numbers: Vec<u64> =
        entries.iter().filter_map(|entry| layout::parse_manifest(&entry.name).ok()).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let opened = numbers.into_iter().find_map(|number| {
        let path = format!("{}/{}", layout::origin_dir(&log.origin), layout::manifest(number));
        let manifest = Manifest::open(&disk.read(&path).ok()?, log.keys.manifest.verifier()).ok()?;
        (manifest.number == number).then_some(manifest)
    });
    Ok(opened)
}

impl Found {
    /// Takes in what the last row of a batch says, where it has one: when it came, and whether it ends the log.
    pub(crate) fn note_last(&mut self, batch: &arrow::array::RecordBatch) -> Result<()> {
        let Some(last) = batch.num_rows().checked_sub(1) else { return Ok(()) };
        let times = batch.column_by_name("ingest_time");
        let times =
            times.and_then(|times| times.as_primitive_opt::<arrow::datatypes::TimestampMicrosecondType>());
        self.last_ingest_us = times.map_or(self.last_ingest_us, |times| times.value(last));
        let controls = batch.column_by_name("control").and_then(|array| array.as_string_opt::<i32>());
        let control =
            controls.filter(|array| array.is_valid(last)).map(|array| Control::parse(array.value(last)));
        self.at_end = match control.transpose()? {
            Some(Control::Succession(succession)) => Some(succession),
            _ => None,
        };
        Ok(())
    }
}

/// The root of the first `size` of the entries that are sealed, as far as the tiles of it are here.
pub(crate) fn root_at(disk: &dyn Disk, log: &Found, size: u64) -> Option<Hash> {
    let sealed = partial_tiles(log.view.sealed);
    let mut partials = Vec::new();
    for id in partial_tiles(size) {
        // It has grown since: its first hashes are the same.
        let grown = sealed.iter().copied().find(|other| (other.level, other.index) == (id.level, id.index));
        let here = grown.unwrap_or(TileId { width: schemas::limits::TILE_WIDTH, ..id });
        let path = format!("{}/{}", layout::origin_dir(&log.origin), layout::tile(here));
        let mut hashes = tile::parse(&disk.read(&path).ok()?, here.width).ok()?;
        hashes.truncate(usize::try_from(id.width).ok()?);
        partials.push((id, hashes));
    }
    Some(TileBuilder::resume(size, partials).ok()?.compact_range().root())
}

/// Reads the manifests from the last full list on; returns the newest and its digest.
fn manifests(disk: &dyn Disk, log: &mut Found) -> Result<Option<(Manifest, String)>> {
    let directory = format!("{}/{}", layout::origin_dir(&log.origin), layout::MANIFEST);
    let mut numbers = Vec::new();
    for entry in disk.list(&directory).map_err(failed(disk, "list", &directory))? {
        // An unfinished write is nothing yet.
        if !entry.name.ends_with(TEMPORARY) {
            numbers.push(layout::parse_manifest(&entry.name)?);
        }
    }
    numbers.sort_unstable();
    let Some(newest) = numbers.last().copied() else { return Ok(None) };
    let wrong = |detail: String| tampered(&log.origin, detail);
    if numbers.len() as u64 != newest {
        return Err(wrong(format!("{} manifests, the newest is number {newest}", numbers.len())));
    }
    let start = (1..=newest).rev().find(|number| is_snapshot(*number)).unwrap_or(1);
    let mut last: Option<(Manifest, String)> = None;
    let mut live: Vec<File> = Vec::new();
    for number in start..=newest {
        let path = format!("{}/{}", layout::origin_dir(&log.origin), layout::manifest(number));
        let bytes = disk.read(&path).map_err(failed(disk, "read", &path))?;
        let manifest = Manifest::open(&bytes, log.keys.manifest.verifier())
            .map_err(|error| wrong(format!("{path}: {error}")))?;
        if manifest.number != number
            || last.as_ref().is_some_and(|(_, digest)| *digest != manifest.previous)
            || last.as_ref().is_some_and(|(last, _)| last.size > manifest.size)
        {
            return Err(wrong(format!("{path} does not follow the one before")));
        }
        if manifest.snapshot {
            live.clear();
        }
        live.retain(|file| !manifest.remove.contains(&file.path));
        live.extend(manifest.add.iter().cloned());
        last = Some((manifest, manifest::digest(&bytes)));
    }
    log.seal.live = live;
    Ok(last)
}

/// The tree's right edge at `size`, from its partial tiles.
fn right_edge(disk: &dyn Disk, origin: &Origin, size: u64) -> Result<TileBuilder> {
    let mut partials = Vec::new();
    for id in partial_tiles(size) {
        let path = format!("{}/{}", layout::origin_dir(origin), layout::tile(id));
        let bytes = disk.read(&path).map_err(|error| tampered(origin, format!("{path}: {error}")))?;
        partials.push((id, tile::parse(&bytes, id.width)?));
    }
    Ok(TileBuilder::resume(size, partials)?)
}

/// The live files, paired and in index order, together exactly `0..sealed`.
fn segments(disk: &dyn Disk, log: &Found) -> Result<Vec<Arc<Segment>>> {
    let directory = layout::origin_dir(&log.origin);
    let mut names: Vec<(FileName, &File)> = Vec::new();
    for file in &log.seal.live {
        names.push((file.name()?, file));
    }
    names.sort_by_key(|(name, _)| (name.first, name.kind));
    let data_file = |file: &File| DataFile {
        path: disk.absolute(&format!("{directory}/{}", file.path)),
        file: file.clone(),
    };
    let mut segments = Vec::new();
    let mut next = 0;
    for (name, file) in names.iter().filter(|(name, _)| name.kind == FileKind::Segment) {
        if name.first != next {
            return Err(tampered(&log.origin, format!("no segment holds index {next}")));
        }
        next = name.last;
        let payload = names.iter().find(|(other, _)| {
            other.kind == FileKind::Payload && (other.first, other.last) == (name.first, name.last)
        });
        segments.push(Arc::new(Segment {
            first: name.first,
            last: name.last,
            entries: data_file(file),
            payloads: payload.map(|(_, file)| data_file(file)),
        }));
    }
    if next != log.view.sealed {
        return Err(tampered(&log.origin, format!("segments end at {next}, sealed are {}", log.view.sealed)));
    }
    Ok(segments)
}

fn read_columns(
    disk: &dyn Disk,
    origin: &Origin,
    segment: &Segment,
    columns: &[&str],
) -> Result<Vec<arrow::array::RecordBatch>> {
    let path = format!("{}/{}", layout::origin_dir(origin), segment.entries.file.path);
    let bytes = disk.read(&path).map_err(|error| tampered(origin, format!("{path}: {error}")))?;
    if manifest::digest(&bytes) != segment.entries.file.blake3 {
        return Err(tampered(origin, format!("{path} is not the file that its manifest names")));
    }
    decode(FileKind::Segment, origin.stream(), bytes, Some(columns))
}

/// Calls `each` with every control entry of a log, in index order.
pub(crate) fn controls(
    disk: &dyn Disk,
    log: &Found,
    each: impl FnMut(u64, Control) -> Result<()>,
) -> Result<()> {
    controls_in(disk, &log.origin, &log.view.segments, &log.view.unsealed, each)
}

/// The same of what a log consists of.
pub(crate) fn controls_in(
    disk: &dyn Disk,
    origin: &Origin,
    segments: &[Arc<Segment>],
    unsealed: &[Unsealed],
    mut each: impl FnMut(u64, Control) -> Result<()>,
) -> Result<()> {
    let mut index = 0;
    let mut batches = |batches: &[arrow::array::RecordBatch]| -> Result<()> {
        for batch in batches {
            let controls = batch.column_by_name("control").and_then(|array| array.as_string_opt::<i32>());
            for row in 0..batch.num_rows() {
                if let Some(text) = controls.filter(|array| array.is_valid(row)).map(|array| array.value(row))
                {
                    each(index, Control::parse(text)?)?;
                }
                index += 1;
            }
        }
        Ok(())
    };
    for segment in segments {
        batches(&read_columns(disk, origin, segment, &["control"])?)?;
    }
    for unsealed in unsealed {
        batches(std::slice::from_ref(&unsealed.entries))?;
    }
    Ok(())
}

/// Calls `each` with the sealed segments, newest first, decoded to `columns`, while it returns true.
pub(crate) fn newest_first(
    disk: &dyn Disk,
    origin: &Origin,
    segments: &[Arc<Segment>],
    columns: &[&str],
    mut each: impl FnMut(&Segment, &[arrow::array::RecordBatch]) -> Result<bool>,
) -> Result<()> {
    for segment in segments.iter().rev() {
        if !each(segment, &read_columns(disk, origin, segment, columns)?)? {
            break;
        }
    }
    Ok(())
}

/// Whether there is a data file of entries that are not here. A seal writes what is durable, so more was durable
/// once: the log was rolled back, and the file is evidence of it.
pub(crate) fn check_unpublished(disk: &dyn Disk, log: &Found) -> Result<()> {
    let durable = log.view.durable;
    for (name, file) in data_files(disk, &log.origin)? {
        if file.last > durable {
            let detail = format!("{name} is there, and only {durable} entries are");
            return Err(tampered(&log.origin, detail));
        }
    }
    Ok(())
}

/// The data files below a log's directory: path in it, and what the name says.
fn data_files(disk: &dyn Disk, origin: &Origin) -> Result<Vec<(String, FileName)>> {
    let directory = layout::origin_dir(origin);
    let mut found = Vec::new();
    for kind in [FileKind::Segment, FileKind::Payload] {
        let path = format!("{directory}/{}", kind.dir());
        for date in disk.list(&path).map_err(failed(disk, "list", &path))? {
            let path = format!("{path}/{}", date.name);
            for entry in disk.list(&path).map_err(failed(disk, "list", &path))? {
                let name = format!("{}/{}/{}", kind.dir(), date.name, entry.name);
                if let Ok(parsed) = FileName::parse(&name) {
                    found.push((name, parsed));
                }
            }
        }
    }
    Ok(found)
}

/// Removes data files that no manifest names and tiles past S: what a seal left that did not reach its manifest.
/// Entries `sealed..durable` were in the write-ahead files, so only files over these can be meant.
pub(crate) fn remove_unpublished(
    disk: &dyn Disk,
    origin: &Origin,
    live: &[File],
    sealed: u64,
    durable: u64,
) -> Result<()> {
    let directory = layout::origin_dir(origin);
    for (name, parsed) in data_files(disk, origin)? {
        if parsed.first >= sealed && !live.iter().any(|file| file.path == name) {
            let path = format!("{directory}/{name}");
            tracing::warn!(%path, "removing a file of an unfinished seal");
            disk.remove(&path).map_err(failed(disk, "remove", &path))?;
        }
    }
    remove_tiles_past(disk, &directory, sealed, durable)
}

fn remove_tiles_past(disk: &dyn Disk, directory: &str, sealed: u64, durable: u64) -> Result<()> {
    let keep = partial_tiles(sealed);
    let (mut level, mut from, mut to) = (0, sealed, durable);
    while to > 0 {
        for index in from / 256..=to / 256 {
            let full = TileId { level, index, width: 256 };
            let path = format!("{directory}/{}", layout::tile(full));
            let partials = format!("{path}.p");
            match disk.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(disk, "remove", &path)(error));
                }
                _ => {}
            }
            for entry in disk.list(&partials).map_err(failed(disk, "list", &partials))? {
                let is_kept =
                    entry.name.parse().is_ok_and(|width| keep.contains(&TileId { level, index, width }));
                if !is_kept {
                    let path = format!("{partials}/{}", entry.name);
                    disk.remove(&path).map_err(failed(disk, "remove", &path))?;
                }
            }
        }
        (level, from, to) = (level + 1, from / 256, to / 256);
    }
    Ok(())
}
