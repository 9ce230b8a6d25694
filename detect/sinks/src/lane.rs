//! One range of one tenant's log on its way through a sink: read, filtered, rendered, a batch at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use schemas::limits::{SINK_BATCH_BYTES_MAX, SINK_ENTRIES_A_STEP, SINK_ENTRIES_AT_ONCE};
use store::{Entries, LogSnapshot};

use crate::alert::Alert;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::format::{Context, Format, Item, kill_switch, render};
use crate::message::Message;
use crate::settings::{Sink, Source};
use crate::settle::Batch;

/// What a role's policy leaves of a tenant's rows; fewer rows, columns changed in place, or why it cannot be said.
pub type Wall = Arc<dyn Fn(&str, &RecordBatch) -> std::result::Result<RecordBatch, String> + Send + Sync>;

/// What makes messages of entries.
#[derive(Clone)]
pub(crate) struct Press {
    pub sink: Arc<Sink>,
    pub context: Arc<Context>,
    pub wall: Option<Wall>,
}

/// A range that is being sent.
#[derive(Debug)]
pub(crate) struct Lane {
    tenant: String,
    log: String,
    entries: Option<Entries>,
    /// Read, and not yet looked at.
    rows: Option<RecordBatch>,
    /// Rendered, and not yet settled.
    ready: VecDeque<Message>,
    /// Everything below it is settled.
    pub next: u64,
    /// Everything below it is settled, in `ready`, or none of the sink's.
    covered: u64,
    /// One past the last entry of the range; none where it has no end.
    end: Option<u64>,
}

impl std::fmt::Debug for Press {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Press").field("sink", &self.sink.delivery.name).finish_non_exhaustive()
    }
}

impl Lane {
    pub(crate) fn new(tenant: &str, log: &str, next: u64, end: Option<u64>) -> Lane {
        let (tenant, log) = (tenant.to_owned(), log.to_owned());
        Lane { tenant, log, entries: None, rows: None, ready: VecDeque::new(), next, covered: next, end }
    }

    /// One past the last entry of the range, where it has one.
    pub(crate) fn end(&self) -> Option<u64> {
        self.end
    }

    /// Whether it is this range.
    pub(crate) fn is(&self, next: u64, end: u64) -> bool {
        self.next == next && self.end == Some(end)
    }

    /// Lets go of files and of what was made of them; it goes on where it is settled.
    pub(crate) fn close(&mut self) {
        (self.entries, self.rows, self.covered) = (None, None, self.next);
        self.ready.clear();
    }

    /// Whether it can read no further than where it is until it is given a newer snapshot.
    pub(crate) fn is_dry(&self) -> bool {
        self.entries.is_none() && self.rows.is_none()
    }

    /// Has it read on in this snapshot.
    pub(crate) fn feed(&mut self, mut snapshot: LogSnapshot, columns: &'static [&'static str]) {
        snapshot.durable = self.end.map_or(snapshot.durable, |end| end.min(snapshot.durable));
        if snapshot.durable > self.covered {
            self.entries = Some(Entries::sealed_first(snapshot, self.covered, columns));
        }
    }

    /// The next messages, at most `messages_max`, and at most as many as fit into [`SINK_BATCH_BYTES_MAX`], but one at least; none, and yet further on,
    /// where what was read is none of the sink's. Reads files.
    ///
    /// # Errors
    /// [`Error::Entries`], [`Error::Row`].
    pub(crate) fn batch(&mut self, press: &Press, messages_max: usize) -> Result<Batch> {
        let mut looked_at = 0usize;
        while self.ready.len() < messages_max.max(1)
            && bytes(self.ready.iter()) < SINK_BATCH_BYTES_MAX
            && looked_at < SINK_ENTRIES_A_STEP
        {
            let Some(rows) = self.rows()? else { break };
            looked_at = looked_at.saturating_add(rows.num_rows());
            self.covered = last_index(&rows).map_or(self.covered, |last| last.saturating_add(1));
            self.ready.extend(press.messages(&self.tenant, &self.log, &rows)?);
        }
        let mut left = SINK_BATCH_BYTES_MAX;
        let fits = |message: &&Message| {
            let fits = message.body.len() <= left;
            left = left.saturating_sub(message.body.len());
            fits
        };
        let count = self.ready.iter().take(messages_max.max(1)).take_while(fits).count();
        let messages: Vec<Message> = self.ready.iter().take(count.max(1)).cloned().collect();
        let until = match messages.last() {
            Some(last) if messages.len() < self.ready.len() => last.log_index.saturating_add(1),
            _ => self.covered,
        };
        Ok(Batch { from: self.next, until, messages })
    }

    /// Everything below `next` is settled.
    pub(crate) fn settled(&mut self, next: u64) {
        self.next = next;
        while self.ready.front().is_some_and(|message| message.log_index < next) {
            self.ready.pop_front();
        }
    }

    /// When the first message that waits was recorded, microseconds.
    pub(crate) fn waits_since_us(&self) -> Option<i64> {
        self.ready.front().map(|message| message.time_us)
    }

    /// A few rows that follow.
    fn rows(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows.is_none() {
            self.rows = match &mut self.entries {
                Some(entries) => entries.next_batch()?,
                None => None,
            };
        }
        let Some(rows) = self.rows.take() else {
            self.entries = None;
            return Ok(None);
        };
        let few = rows.num_rows().min(SINK_ENTRIES_AT_ONCE);
        if few < rows.num_rows() {
            self.rows = Some(rows.slice(few, rows.num_rows() - few));
        }
        // What is read ends where a file or a run does, and that may be behind the range.
        let left = self
            .end
            .map_or(few, |end| usize::try_from(end.saturating_sub(self.covered)).unwrap_or(few).min(few));
        if left < few {
            (self.rows, self.entries) = (None, None);
        }
        Ok((left > 0).then(|| rows.slice(0, left)))
    }
}

impl Press {
    /// The messages of those rows that the sink is sent.
    fn messages(&self, tenant: &str, log: &str, rows: &RecordBatch) -> Result<Vec<Message>> {
        let rows = &self.walled(tenant, log, rows)?;
        let delivery = &self.sink.delivery;
        match delivery.stream {
            Source::Alerts => {
                let alerts = Alert::read(log, rows)?.into_iter().flatten();
                Ok(alerts.filter(|alert| delivery.wants(alert)).map(|alert| self.alert(&alert)).collect())
            }
            Source::Events => {
                let events = Event::read(log, rows)?.into_iter().flatten();
                let format = delivery.format.unwrap_or(Format::Json);
                Ok(events.map(|event| render(format, Item::Event(&event), &self.context)).collect())
            }
        }
    }

    /// What the receiver's role leaves of the rows.
    pub(crate) fn walled(&self, tenant: &str, log: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        let Some(wall) = &self.wall else { return Ok(rows.clone()) };
        wall(tenant, rows).map_err(|detail| Error::Row {
            log: log.to_owned(),
            index: last_index(rows).and_then(|last| i64::try_from(last).ok()).unwrap_or(-1),
            detail,
        })
    }

    /// One alert as this sink sends it.
    pub(crate) fn alert(&self, alert: &Alert) -> Message {
        match self.sink.kill_switch() {
            Some(switch) => kill_switch(alert, &self.context, switch),
            None => {
                let format = self.sink.delivery.format.unwrap_or(Format::Json);
                render(format, Item::Alert(alert), &self.context)
            }
        }
    }
}

fn bytes<'a>(messages: impl Iterator<Item = &'a Message>) -> usize {
    messages.map(|message| message.body.len()).sum()
}

fn last_index(rows: &RecordBatch) -> Option<u64> {
    let indices = rows.column_by_name("log_index")?.as_primitive_opt::<Int64Type>()?;
    indices.values().last().copied().and_then(|last| u64::try_from(last).ok())
}
