//! The file tail: lines of JSON from files that grow, are rotated and truncated, each once.
//!
//! ```text
//! look at the directory ─► lines of a file ─► parse, redact ─► append with the file's cursor ─► go on behind them
//! ```
//! Invariants
//! - The cursor of a file is in the same write-ahead group as the entries of its lines: killed at any moment, each line
//!   is in the log once.
//! - A line that is not taken is counted, and a notice in the log says where it is and why.
//! - Where there is no room nothing is read.
//!
//! What cannot be seen: lines that were written and truncated between two looks; a file that was truncated and begins
//! again with the same bytes, and is as long as it was.

use std::path::PathBuf;

use schemas::limits::{TAIL_LINE_BYTES_MAX, TAIL_POLL_MS};
use serde_json::json;
use tokio::sync::watch;

use crate::error::Error;
use crate::http::Ingest;
use crate::mapping::Mapping;
use crate::parse::Parts;
use crate::pull::{Notice, Puller};
use crate::rejected::Code;

mod copies;
mod directory;
mod file;
mod follow;
mod lines;
mod position;

use directory::Pattern;
use file::Batch;
use follow::Files;

/// First part of the names of its cursors, and of column `source`.
const COLLECTOR: &str = "tail";

/// What is to be followed.
#[derive(Debug, Clone)]
pub struct Tail {
    /// Its name: part of column `source` and of its cursors, so that it stays when paths change.
    pub name: String,
    /// Whose events these are.
    pub tenant: String,
    /// A file, or files of one directory: `*` and `?` may stand in the name.
    pub path: PathBuf,
    /// The mapping; none to tell it from each record's keys.
    pub mapping: Option<Mapping>,
    /// Bytes of one line; longer ones are refused.
    pub line_bytes_max: usize,
}

impl Tail {
    /// With the usual limit.
    pub fn new(name: impl Into<String>, tenant: impl Into<String>, path: impl Into<PathBuf>) -> Tail {
        Tail {
            name: name.into(),
            tenant: tenant.into(),
            path: path.into(),
            mapping: None,
            line_bytes_max: TAIL_LINE_BYTES_MAX,
        }
    }

    /// Follows the files until `stop`; looks at them every [`TAIL_POLL_MS`].
    ///
    /// # Errors
    /// [`Error::Source`] for a path or cursors that cannot be; [`Error::Store`] where the store takes nothing more.
    pub async fn run(self, ingest: Ingest, stop: watch::Receiver<bool>) -> Result<(), Error> {
        let pattern = Pattern::new(&self.path)?;
        let puller = Puller::new(ingest, (COLLECTOR, &self.name), &self.tenant, self.mapping, stop);
        let mut files = Files::new(&self.name, pattern, self.line_bytes_max);
        let log = puller.log().await?;
        files.load(log.cursors(COLLECTOR, &self.name)?)?;
        let (mut looked_us, mut was_unreadable) = (None, false);
        while !puller.is_stopping() {
            let now_us = puller.monotonic_us();
            let poll_us = i64::try_from(TAIL_POLL_MS).unwrap_or(i64::MAX) * 1000;
            let is_due = looked_us.is_none_or(|looked_us| now_us - looked_us >= poll_us);
            let looks = is_due || files.is_urgent();
            files.set_room(log.cursor_room());
            let wall_us = puller.wall_us();
            let read = move || {
                let looked = if looks { files.look(now_us, wall_us) } else { Ok(()) };
                let batch = files.next(now_us);
                (files, looked, batch)
            };
            let read = tokio::task::spawn_blocking(read).await;
            let (back, looked, batch) = read.map_err(|error| Error::Worker { reason: error.to_string() })?;
            files = back;
            if looks {
                looked_us = Some(now_us);
                self.measure(&files);
            }
            // The directory as a whole; what is wrong with one file is told of that.
            if let Err(error) = &looked
                && !was_unreadable
            {
                tracing::warn!(tail = self.name, path = %self.path.display(), %error, "cannot be read; trying on");
            }
            if looks {
                was_unreadable = looked.is_err();
            }
            let notices = files.take_notices();
            if batch.is_none() && notices.is_empty() {
                puller.pause(TAIL_POLL_MS).await;
                continue;
            }
            match self.record(&puller, &mut files, batch, notices).await {
                // There was no room before the service ends: nothing was recorded, and it is read again.
                Err(error) if error.is_busy() && puller.is_stopping() => return Ok(()),
                recorded => recorded?,
            }
        }
        Ok(())
    }

    async fn record(
        &self,
        puller: &Puller,
        files: &mut Files,
        mut batch: Option<Batch>,
        mut notices: Vec<Notice>,
    ) -> Result<(), Error> {
        let parts =
            batch.as_mut().map_or_else(Parts::default, |batch| std::mem::take(&mut batch.lines.parts));
        let reservation = puller.reserve(parts.bytes.len()).await?;
        let prepared = puller.prepare(parts).await?;
        let mut also_refused = 0;
        if let Some(batch) = &batch {
            let start = |part: usize| batch.lines.starts.get(part).copied().unwrap_or(batch.lines.end);
            let refused = prepared.refused.iter().map(|refused| (start(refused.part), refused.code));
            let too_long = batch.lines.too_long.iter().map(|start| (*start, Code::TooLarge));
            let mut places: Vec<(u64, Code)> = refused.chain(too_long).collect();
            places.sort_unstable_by_key(|(offset, _)| *offset);
            also_refused = batch.lines.too_long.len() as u64;
            if !places.is_empty() {
                self.count_refused(&places);
                let places_told =
                    places.iter().map(|(offset, code)| json!({ "offset": offset, "code": code.name() }));
                let target = batch.path.display().to_string();
                notices.push(Notice::refused(target, places.len() as u64, places_told.collect()));
            }
        }
        let steps = files.steps(batch.as_ref())?;
        let recorded = puller.record(&prepared, &notices, &steps, also_refused).await;
        drop(reservation);
        if recorded? {
            files.recorded(&steps);
        }
        if let Some(batch) = &batch {
            files.advance(batch);
        }
        Ok(())
    }

    fn count_refused(&self, places: &[(u64, Code)]) {
        for (_, code) in places {
            let name = self.name.clone();
            metrics::counter!("tacho_tail_refused_total", "tail" => name, "code" => code.name()).increment(1);
        }
    }

    fn measure(&self, files: &Files) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("tacho_tail_lag_bytes", "tail" => self.name.clone()).set(files.lag_bytes() as f64);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("tacho_tail_files", "tail" => self.name.clone()).set(files.count() as f64);
    }
}

#[cfg(test)]
mod tests;
