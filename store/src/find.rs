//! Entries by their event id. Which sealed segments may have an id is known by a filter each (a split-block bloom filter, as Parquet's
//! own, in memory alone); only those are read. A filter is made when its segment is sealed, or when the segment is first read for
//! an id: after a start the first question reads all of the log, and those after it next to nothing.
//!
//! The filters are for speed alone. What one wrongly lets through is read in vain, and what is found is what the file says.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use parquet::bloom_filter::Sbbf;
use schemas::limits::{EVENT_ID_FILTER_BYTES_ENTRY, EVENT_ID_FILTERS_BYTES_MAX};

use schemas::Stream;

use crate::earlier::Earlier;
use crate::entries::{ReadError, open_segment};
use crate::snapshot::Segment;
use crate::state::lock;
use crate::{SignedLog, Store};

/// What is read of a segment.
const EVENT_ID: &str = "event_id";
const COLUMNS: [&str; 2] = ["log_index", EVENT_ID];

/// The filters of all logs, by the segment's absolute path.
#[derive(Debug, Default)]
pub(crate) struct IdFilters {
    known: Mutex<Known>,
    /// Held by whoever reads segments that have no filter: what one reads all who wait have then.
    reading: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    by_path: HashMap<PathBuf, Arc<Sbbf>>,
    bytes: usize,
}

impl IdFilters {
    fn of(&self, segment: &Path) -> Option<Arc<Sbbf>> {
        lock(&self.known).by_path.get(segment).cloned()
    }

    /// Keeps the filter of a segment of these entries, while there is room: past that a segment is read for each question.
    pub(crate) fn learn(&self, segment: &Path, entries: &[RecordBatch]) {
        let rows: usize = entries.iter().map(RecordBatch::num_rows).sum();
        let bytes = (rows * EVENT_ID_FILTER_BYTES_ENTRY).next_power_of_two();
        if lock(&self.known).bytes + bytes > EVENT_ID_FILTERS_BYTES_MAX {
            return;
        }
        let mut filter = Sbbf::new_with_num_of_bytes(bytes);
        let columns =
            entries.iter().filter_map(|batch| batch.column_by_name(EVENT_ID)?.as_string_opt::<i32>());
        columns.flat_map(|column| column.iter().flatten()).for_each(|id| filter.insert(id));
        let mut known = lock(&self.known);
        if known.by_path.insert(segment.to_path_buf(), Arc::new(filter)).is_none() {
            known.bytes += bytes;
        }
    }
}

impl Store {
    /// The entries with this event id in the logs of a tenant's stream, or in that of one writer, those of earlier writers first: of
    /// the newest `most` at least, where there are so many. Reads files: not for async threads.
    ///
    /// # Errors
    /// [`ReadError`], also where an earlier log that may hold one is damaged.
    pub fn find(
        &self,
        tenant: &str,
        stream: Stream,
        writer: Option<&str>,
        event_id: &str,
        most: usize,
    ) -> Result<Vec<(SignedLog, u64)>, ReadError> {
        let place = (tenant.to_string(), stream);
        let now = self.existing(tenant, stream).map(|log| SignedLog::clone(&log));
        let is_asked = |name: &str| writer.is_none_or(|writer| name == writer);
        let now = now.filter(|log| is_asked(log.origin().writer())).map(Ok);
        let before = self.shared.earlier.iter().rev().filter(|earlier| is_asked(&earlier.writer));
        let of_writer = |earlier: &Earlier| match (earlier.logs.get(&place), earlier.damaged.get(&place)) {
            (Some(state), _) => Some(Ok(self.signed_log(state))),
            (None, Some(why)) => Some(Err(earlier.unreadable(tenant, stream, why))),
            (None, None) => None,
        };
        let mut found = Vec::new();
        for log in now.into_iter().chain(before.filter_map(of_writer)) {
            if found.len() >= most {
                break;
            }
            // Whether one that cannot be read has it is not known: it is not "not found".
            let log = log?;
            let indices = log.find(event_id, most - found.len())?;
            // The newest first, until the end.
            found.extend(indices.into_iter().rev().map(|index| (log.clone(), index)));
        }
        found.reverse();
        Ok(found)
    }
}

impl SignedLog {
    /// The indices, ascending.
    fn find(&self, event_id: &str, most: usize) -> Result<Vec<u64>, ReadError> {
        let snapshot = self.snapshot();
        let mut found = Vec::new();
        for unsealed in snapshot.unsealed.iter().rev() {
            found.extend(self.matching(&unsealed.entries, event_id)?);
        }
        for segment in snapshot.segments.iter().rev() {
            if found.len() >= most {
                break;
            }
            let filters = &self.shared.id_filters;
            let mut filter = filters.of(&segment.entries.path);
            let mut alone = None;
            if filter.is_none() {
                alone = Some(lock(&filters.reading));
                filter = filters.of(&segment.entries.path);
            }
            if filter.is_some_and(|filter| !filter.check(event_id)) {
                continue;
            }
            found.extend(self.in_segment(segment, event_id)?);
            drop(alone);
        }
        found.sort_unstable();
        Ok(found)
    }

    fn in_segment(&self, segment: &Segment, event_id: &str) -> Result<Vec<u64>, ReadError> {
        let (log, path) = (self.origin().to_string(), &segment.entries.path);
        let reader = open_segment(&log, self.origin().stream(), &segment.entries, &COLUMNS, 0)?;
        let batches = reader.collect::<Result<Vec<RecordBatch>, _>>();
        let batches = batches.map_err(|error| self.damaged(error.to_string()))?;
        let mut found = Vec::new();
        for batch in &batches {
            found.extend(self.matching(batch, event_id)?);
        }
        if self.shared.id_filters.of(path).is_none() {
            self.shared.id_filters.learn(path, &batches);
        }
        Ok(found)
    }

    fn matching(&self, batch: &RecordBatch, event_id: &str) -> Result<Vec<u64>, ReadError> {
        let column = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| self.damaged(format!("column {name} is missing")))
        };
        let wrong = || self.damaged("log_index or event_id is not of its type".to_owned());
        let ids = column(EVENT_ID)?.as_string_opt::<i32>().ok_or_else(wrong)?;
        let indices = column("log_index")?.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let same = ids.iter().zip(indices.values()).filter(|(id, _)| *id == Some(event_id));
        same.map(|(_, index)| u64::try_from(*index).map_err(|_| wrong())).collect()
    }

    fn damaged(&self, detail: String) -> ReadError {
        ReadError::Damaged { log: self.origin().to_string(), detail }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::succession::tests::draft;
    use crate::{Draft, Keys, Options};

    /// Recorded whether the ids are there or not.
    fn anew(ids: &[&str]) -> Draft {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        Draft { idempotent: vec![false; ids.len()], ..draft(&ids) }
    }

    /// Where an id is, and how many segments have a filter.
    fn places(store: &Store, id: &str) -> (Vec<u64>, usize) {
        let found = store.find("default", Stream::Events, None, id, 3).unwrap();
        (
            found.into_iter().map(|(_, index)| index).collect(),
            lock(&store.shared.id_filters.known).by_path.len(),
        )
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_id_is_found_wherever_it_lies_and_segments_without_it_are_not_read() {
        let home = tempfile::tempdir().unwrap();
        let open = || {
            let keys = Keys::load_or_create(&home.path().join("keys")).unwrap();
            let options = Options { wal_file_bytes: 1 << 20, ..Options::default() };
            Store::open(&home.path().join("data"), keys, options, Arc::new(SystemClock::new())).unwrap()
        };
        let store = open();
        let log = store.log("default", Stream::Events).await.unwrap();
        for ids in [["a", "b"], ["c", "a"]] {
            log.append(anew(&ids)).await.unwrap();
            store.seal().await.unwrap();
        }
        log.append(anew(&["d", "a"])).await.unwrap();
        // Filters from the seals; the newest two of three at least.
        assert_eq!(places(&store, "a"), (vec![1, 4, 6], 2));
        assert_eq!(places(&store, "c").0, [3]);
        assert_eq!(places(&store, "d").0, [5]);
        assert!(places(&store, "e").0.is_empty());
        // Of a segment that cannot have it nothing is read: this one is gone.
        let segment = log.snapshot().segments[0].entries.path.clone();
        let bytes = std::fs::read(&segment).unwrap();
        std::fs::remove_file(&segment).unwrap();
        assert_eq!(places(&store, "c").0, [3]);
        assert!(store.find("default", Stream::Events, None, "b", 3).is_err());
        std::fs::write(&segment, bytes).unwrap();
        store.close().await.unwrap();
        drop((log, store));
        // After a start they are made by the first question.
        let store = open();
        assert_eq!(places(&store, "nobody"), (vec![], 3));
        assert_eq!(places(&store, "b").0, [2]);
        store.close().await.unwrap();
    }
}
