//! What was recorded at an index: for telling a retried delivery from another event under the same id.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use schemas::Origin;
use schemas::entry::Encoder;
use schemas::layout::{FileKind, origin_dir};
use schemas::manifest::{self, File};
use schemas::payload::record_field;

use crate::durable::failed;
use crate::error::{Error, Result};
use crate::prepare::Prepared;
use crate::segment_file::{decode, index_rows};
use crate::sequence::{content, payload_of};
use crate::snapshot::Segment;
use crate::state::{LogState, Shared, lock};
use crate::window::place_of;

/// Reads recorded rows; keeps the last segment read, since retries come in runs.
#[derive(Debug)]
pub(crate) struct Recorded<'a> {
    shared: &'a Shared,
    log: &'a Arc<LogState>,
    /// First and last place of the rows, below 0 in the logs before.
    segment: Option<(i64, i64, Vec<RecordBatch>, Vec<RecordBatch>)>,
}

impl<'a> Recorded<'a> {
    pub(crate) fn new(shared: &'a Shared, log: &'a Arc<LogState>) -> Recorded<'a> {
        Recorded { shared, log, segment: None }
    }

    /// Whether the entry at `index` has the content of `row`.
    ///
    /// # Errors
    /// [`Error::Busy`] while the entry is not durable: until then nobody may be told that it is recorded.
    pub(crate) fn equals(&mut self, index: u64, prepared: &Prepared, row: usize) -> Result<bool> {
        let place = place_of(index);
        if place < 0 {
            return match self.equals_before(place, prepared, row) {
                // It keeps nobody from going on: recorded once more, and marked as another under the same id.
                Err(error @ (Error::Tampered { .. } | Error::Refused(_) | Error::Io { .. })) => {
                    tracing::error!(%error, "what is in a log of an earlier writer cannot be compared");
                    Ok(false)
                }
                same => same,
            };
        }
        let (unsealed, segment) = {
            let view = lock(&self.log.view);
            if index >= view.durable {
                return Err(Error::Busy { what: "deliveries of one event at once" });
            }
            let unsealed = view.unsealed.iter().rev().find(|batch| batch.first <= index);
            let unsealed = unsealed.filter(|_| index >= view.sealed).cloned();
            (unsealed, find_segment(&view.segments, index))
        };
        if let Some(batch) = unsealed {
            return self.same(index, std::slice::from_ref(&batch.entries), &[batch.payloads], prepared, row);
        }
        let segment = segment.ok_or_else(|| {
            Error::Refused(schemas::Error::malformed("lookup", format!("no segment holds index {index}")))
        })?;
        if self.segment.as_ref().is_none_or(|(first, last, ..)| !(*first..*last).contains(&place)) {
            let read = self.read(&self.log.origin, &segment);
            if let Err(Error::Tampered { log, reason }) = &read {
                // Whether an event is a duplicate cannot be told from it, and nothing more is sealed over it.
                self.shared.tampered.set((log.clone(), reason.clone())).ok();
            }
            let (entries, payloads) = read?;
            self.segment = Some((signed(segment.first), signed(segment.last), entries, payloads));
        }
        self.same_in_segment(index, prepared, row)
    }

    /// The same of an entry in the logs that were written in its place before.
    fn equals_before(&mut self, place: i64, prepared: &Prepared, row: usize) -> Result<bool> {
        let shared = self.shared;
        let name = (self.log.origin.tenant().to_string(), self.log.origin.stream());
        let mut end = 0;
        for log in shared.history.get(&name).into_iter().flatten().rev() {
            let start = end - signed(log.sealed);
            if place < start {
                end = start;
                continue;
            }
            let index = place.abs_diff(start);
            if self.segment.as_ref().is_none_or(|(first, last, ..)| !(*first..*last).contains(&place)) {
                let Some(segment) = find_segment(&log.segments, index) else { return Ok(false) };
                let (entries, payloads) = self.read(&log.origin, &segment)?;
                let (first, last) = (start + signed(segment.first), start + signed(segment.last));
                self.segment = Some((first, last, entries, payloads));
            }
            return self.same_in_segment(index, prepared, row);
        }
        Ok(false)
    }

    fn same_in_segment(&mut self, index: u64, prepared: &Prepared, row: usize) -> Result<bool> {
        match self.segment.take() {
            Some((first, last, entries, payloads)) => {
                let same = self.same(index, &entries, &payloads, prepared, row);
                self.segment = Some((first, last, entries, payloads));
                same
            }
            None => Ok(false),
        }
    }

    fn read(&self, origin: &Origin, segment: &Segment) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>)> {
        let stream = origin.stream();
        let read = |file: &File| {
            let path = format!("{}/{}", origin_dir(origin), file.path);
            let bytes = self.shared.disk.read(&path).map_err(failed(&*self.shared.disk, "read", &path))?;
            if manifest::digest(&bytes) == file.blake3 {
                return Ok(bytes);
            }
            let log = origin.to_string();
            let reason = format!("{path} is not the file that its manifest names");
            tracing::error!(%log, %reason, "damage found");
            Err(Error::Tampered { log, reason })
        };
        let entries = decode(FileKind::Segment, stream, read(&segment.entries.file)?, None)?;
        let payloads = match &segment.payloads {
            Some(payloads) => decode(FileKind::Payload, stream, read(&payloads.file)?, None)?,
            None => Vec::new(),
        };
        Ok((entries, payloads))
    }

    fn same(
        &self,
        index: u64,
        entries: &[RecordBatch],
        payloads: &[RecordBatch],
        prepared: &Prepared,
        row: usize,
    ) -> Result<bool> {
        let stream = self.log.origin.stream();
        let Some((batch, at)) = find_row(entries, index) else { return Ok(false) };
        let mut fields = Vec::new();
        Encoder::entries(stream, batch)?.fields(at, &mut fields)?;
        if !content(&fields).eq(content(prepared.fields(row))) {
            return Ok(false);
        }
        let mut payload = Vec::new();
        if let Some((batch, at)) = find_row(payloads, index) {
            let mut scratch = Vec::new();
            Encoder::payloads(stream, batch)?
                .values(at, &mut scratch, |id, value| record_field(id, value, &mut payload))?;
        }
        Ok(payload == payload_of(prepared.record(row)))
    }
}

fn signed(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn find_segment(segments: &[Arc<Segment>], index: u64) -> Option<Arc<Segment>> {
    let at = segments.partition_point(|segment| segment.last <= index);
    segments.get(at).filter(|segment| segment.first <= index).cloned()
}

fn find_row(batches: &[RecordBatch], index: u64) -> Option<(&RecordBatch, usize)> {
    let index = i64::try_from(index).ok()?;
    batches.iter().find_map(|batch| {
        let indices = batch.column_by_name("log_index")?.as_primitive_opt::<Int64Type>()?;
        // In log order nearly always: look where it would be before searching.
        let guess = usize::try_from(index - indices.values().first()?).ok();
        let guess = guess.filter(|at| indices.values().get(*at) == Some(&index));
        guess.or_else(|| index_rows(indices).get(&index).copied()).map(|row| (batch, row))
    })
}
