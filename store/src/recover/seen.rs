//! The idempotency window, read from the log on start.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;

use super::{Found, sealed};
use crate::disk::Disk;
use crate::error::Result;
use crate::options::Options;
use crate::snapshot::LogSnapshot;
use crate::window::{self, IdDigester, Window, scope_of};

/// One batch's ids: where the first row is, below 0 in the logs before, and the batch.
type Rows = (i64, RecordBatch);

/// Fills `window` with the ids that a retry may still carry, oldest first: of the log, and of those that were written in its place
/// before, `history`, oldest first. Of one that is in these the answer names the place there.
pub(crate) fn fill(
    disk: &dyn Disk,
    log: &Found,
    history: &[LogSnapshot],
    ids: &IdDigester,
    now_us: i64,
    options: &Options,
    window: &mut Window,
) -> Result<()> {
    if log.origin.stream() == schemas::Stream::Root {
        return Ok(());
    }
    let oldest_us = now_us.saturating_sub(options.idempotency_window_us);
    let mut newest: Vec<Vec<Rows>> = Vec::new();
    let unsealed: Vec<Rows> =
        log.view.unsealed.iter().map(|batch| (place(batch.first), batch.entries.clone())).collect();
    let mut count: usize = unsealed.iter().map(|(_, batch)| batch.num_rows()).sum();
    newest.push(unsealed);
    let mut goes_on = count < options.idempotency_ids_max;
    let own = (&log.origin, &log.view.segments, 0);
    let mut starts = 0;
    let before = history.iter().rev().map(|log| {
        starts -= place(log.sealed);
        (&log.origin, &log.segments, starts)
    });
    for (origin, segments, starts) in std::iter::once(own).chain(before) {
        if !goes_on {
            break;
        }
        let columns = ["ingest_time", "event_id", "source"];
        let read = sealed::newest_first(disk, origin, segments, &columns, |segment, batches| {
            let mut first = starts + place(segment.first);
            let rows: Vec<Rows> = batches
                .iter()
                .map(|batch| {
                    let at = first;
                    first += place(batch.num_rows() as u64);
                    (at, batch.clone())
                })
                .collect();
            count += rows.iter().map(|(_, batch)| batch.num_rows()).sum::<usize>();
            let is_recent = batches
                .first()
                .and_then(|batch| times(batch))
                .is_some_and(|times| times.values().first().is_some_and(|first_us| *first_us > oldest_us));
            newest.push(rows);
            goes_on = is_recent && count < options.idempotency_ids_max;
            Ok(goes_on)
        });
        match read {
            // Verification says what is wrong with a log before, and it keeps nobody from going on.
            Err(error) if starts < 0 => {
                tracing::error!(%error, "retries of what is in a log of an earlier writer are not all known");
                goes_on = false;
            }
            read => read?,
        }
    }
    for (first, batch) in newest.into_iter().rev().flatten() {
        remember(first, &batch, ids, oldest_us, window);
    }
    Ok(())
}

fn place(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn times(batch: &RecordBatch) -> Option<&arrow::array::TimestampMicrosecondArray> {
    batch.column_by_name("ingest_time")?.as_primitive_opt::<TimestampMicrosecondType>()
}

fn remember(first: i64, batch: &RecordBatch, ids: &IdDigester, oldest_us: i64, window: &mut Window) {
    let text = |name: &str| batch.column_by_name(name).and_then(|array| array.as_string_opt::<i32>());
    let (Some(times), Some(event_ids), Some(sources)) = (times(batch), text("event_id"), text("source"))
    else {
        return;
    };
    for row in 0..batch.num_rows() {
        if times.value(row) < oldest_us || event_ids.is_null(row) {
            continue;
        }
        let key = ids.digest(scope_of(sources.value(row)), event_ids.value(row));
        // The first record of an id is the one that a retry is held against.
        if window.get(&key).is_none() {
            window.insert(key, window::index_of(first + place(row as u64)), times.value(row));
        }
    }
}
