//! The stored past folded again, held against what the alerts log says of it.
//!
//! Both sides are in the order of the events that caused them, so that one pass over the two in step finds every entry that one side
//! alone has, and every pair that is not the same in every column that the detector sets. What one event caused is matched by
//! event id. What was told because those in force took effect is derived anew from the alerts before it and the fold, for the last time that they
//! did: from there on nothing differs. Memory is that of the
//! engine and one batch of each.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Int64Type;
use engine::{Engine, Setup};
use store::{Entries, LogSnapshot};

use crate::columns::{READ_COLUMNS, primitive, text};
use crate::draft::draft;
use crate::error::{Error, Result};
use crate::fold::{Fold, Found, Limits};
use crate::recorded::COLUMNS;
use crate::takeover::{self, Told};

/// Records folded at once, and alerts after which a chunk ends.
const CHUNK: Limits = Limits { records_max: 65_536, alerts_max: 4_096 };

/// What errors call either side.
const ALERTS: &str = "alerts";

/// One entry of the alerts log, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Log index of the event that caused it, and which of that event's alerts it is.
    pub position: i64,
    /// See `position`.
    pub ordinal: i64,
    /// The rule.
    pub rule_id: String,
    /// `open`, `updated`, `closed`.
    pub state: String,
    /// Whom it is about.
    pub entity: String,
    /// Why.
    pub explanation: String,
}

/// How the two sides differ in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The log has it, the fold does not give it.
    Recorded(Entry),
    /// The fold gives it, the log does not have it.
    Computed(Entry),
    /// Both have it, and these columns differ. The ordinal is none of them where one side lacks an alert of that event.
    Changed(Entry, Vec<String>),
}

/// Entries of one rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The same on both sides.
    pub same: u64,
    /// On both sides, but different.
    pub changed: u64,
    /// In the log alone.
    pub recorded: u64,
    /// In the fold alone.
    pub computed: u64,
}

impl Counts {
    /// Whether both sides say the same.
    pub fn is_same(&self) -> bool {
        (self.changed, self.recorded, self.computed) == (0, 0, 0)
    }
}

/// What a backtest found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backtest {
    /// Entries of the events log that were folded.
    pub events: u64,
    /// By rule id.
    pub rules: BTreeMap<String, Counts>,
}

/// Folds all of `events` under `setup` and tells `each` where that is not what `alerts` holds. Both are snapshots of one tenant;
/// take that of the alerts first, or a detector that runs meanwhile is ahead of the fold. A log that a running detector
/// has not caught up with differs in its last entries. Reads files and takes a core: not for an async thread.
///
/// # Errors
/// [`Error::Engine`] for settings out of range; [`Error::Entries`], [`Error::Damaged`].
pub fn backtest(
    alerts: Option<LogSnapshot>,
    events: LogSnapshot,
    setup: impl Into<Setup>,
    mut each: impl FnMut(Difference),
) -> Result<Backtest> {
    let setup = setup.into();
    setup.validate()?;
    let evidence_log = events.origin.to_string();
    let tenant = events.origin.tenant().to_owned();
    let takeover =
        alerts.as_ref().map(|alerts| takeover::place(alerts, &evidence_log, &setup)).transpose()?;
    let mut takeover = takeover.flatten();
    let before = alerts.clone();
    let mut recorded = Alerts::recorded(alerts, &evidence_log);
    let mut found = Backtest { events: events.durable, ..Backtest::default() };
    let mut fold = Fold::new(Engine::new(&tenant, setup.clone()), None);
    fold.feed(Entries::new(events, 0, &READ_COLUMNS));
    let mut chunk = Vec::new();
    loop {
        let until = takeover.map(|last| last.position.saturating_sub(fold.engine.next_index()));
        let until = until.and_then(|until| usize::try_from(until.saturating_add(1)).ok());
        let records_max = CHUNK.records_max.min(until.unwrap_or(usize::MAX)).max(1);
        if fold.chunk(Limits { records_max, ..CHUNK }, &mut chunk)? == 0 {
            break;
        }
        let next_index = fold.engine.next_index();
        if let Some(last) = takeover.take_if(|last| last.position < next_index)
            && let Some(before) = &before
        {
            let (here, others) =
                chunk.drain(..).partition(|found: &Found| found.alert.position == last.position);
            let Told { recorded, fresh, told } =
                takeover::told(before, last, &evidence_log, &mut fold.engine, &setup, here)?;
            chunk = others;
            chunk.extend(recorded.into_iter().chain(fresh).chain(told));
        }
        let batch = draft(&tenant, &evidence_log, &chunk)?.entries;
        chunk.clear();
        // A chunk holds all alerts of an event or none.
        let rows: Vec<Row> = (0..batch.num_rows()).map(|row| Row::of(&batch, row)).collect::<Result<_>>()?;
        for computed in rows.chunk_by(|one, next| one.position == next.position) {
            let position = computed.first().map_or(i64::MAX, |row| row.position);
            while let Some(before) = recorded.group(|next| next < position)? {
                found.compare(&before, &[], &mut each)?;
            }
            let there = recorded.group(|next| next == position)?.unwrap_or_default();
            found.compare(&there, computed, &mut each)?;
        }
    }
    while let Some(after) = recorded.group(|_| true)? {
        found.compare(&after, &[], &mut each)?;
    }
    Ok(found)
}

impl Backtest {
    /// Whether the log is what the fold gives.
    pub fn is_same(&self) -> bool {
        self.rules.values().all(Counts::is_same)
    }

    /// Takes what both sides have of one event.
    fn compare(
        &mut self,
        recorded: &[Row],
        computed: &[Row],
        each: &mut impl FnMut(Difference),
    ) -> Result<()> {
        let mut left: BTreeMap<&str, &Row> = BTreeMap::new();
        for row in recorded {
            if left.insert(row.event_id.as_str(), row).is_some() {
                // The same alert a second time, like the first or not, is one too many.
                self.count(row).recorded += 1;
                each(Difference::Recorded(row.entry()?));
            }
        }
        let is_whole = recorded.len() == computed.len()
            && computed.iter().all(|row| left.contains_key(row.event_id.as_str()));
        for row in computed {
            let counts = self.count(row);
            match left.remove(row.event_id.as_str()) {
                None => {
                    counts.computed += 1;
                    each(Difference::Computed(row.entry()?));
                }
                Some(there) => {
                    let mut columns = row.unlike(there)?;
                    columns.retain(|column| is_whole || column != "ordinal");
                    if columns.is_empty() {
                        counts.same += 1;
                    } else {
                        counts.changed += 1;
                        each(Difference::Changed(row.entry()?, columns));
                    }
                }
            }
        }
        for row in recorded.iter().filter(|row| left.contains_key(row.event_id.as_str())) {
            self.count(row).recorded += 1;
            each(Difference::Recorded(row.entry()?));
        }
        Ok(())
    }

    fn count(&mut self, row: &Row) -> &mut Counts {
        self.rules.entry(row.rule_id.clone()).or_default()
    }
}

/// One row of either side.
struct Row {
    batch: RecordBatch,
    row: usize,
    position: i64,
    event_id: String,
    rule_id: String,
}

impl Row {
    fn of(batch: &RecordBatch, row: usize) -> Result<Row> {
        let text = |name| Ok::<_, Error>(text(ALERTS, batch, name)?.value(row).to_owned());
        Ok(Row {
            batch: batch.clone(),
            row,
            position: primitive::<Int64Type>(ALERTS, batch, "position")?.value(row),
            event_id: text("event_id")?,
            rule_id: text("rule_id")?,
        })
    }

    /// Columns of this row that the other's are unlike.
    fn unlike(&self, other: &Row) -> Result<Vec<String>> {
        let mut columns = Vec::new();
        for (field, own) in self.batch.schema().fields().iter().zip(self.batch.columns()) {
            let theirs = other.batch.column_by_name(field.name()).ok_or_else(|| Error::Damaged {
                log: ALERTS.to_owned(),
                detail: format!("column {} is missing", field.name()),
            })?;
            if own.slice(self.row, 1).as_ref() != theirs.slice(other.row, 1).as_ref() {
                columns.push(field.name().clone());
            }
        }
        Ok(columns)
    }

    fn entry(&self) -> Result<Entry> {
        let text = |name| Ok::<_, Error>(text(ALERTS, &self.batch, name)?.value(self.row).to_owned());
        Ok(Entry {
            position: self.position,
            ordinal: primitive::<Int64Type>(ALERTS, &self.batch, "ordinal")?.value(self.row),
            rule_id: self.rule_id.clone(),
            state: text("state")?,
            entity: text("entity")?,
            explanation: text("explanation")?,
        })
    }
}

/// The alerts of the log over one events log, event by event.
struct Alerts {
    evidence_log: String,
    entries: Option<Entries>,
    batch: Option<(RecordBatch, usize)>,
}

impl Alerts {
    fn recorded(alerts: Option<LogSnapshot>, evidence_log: &str) -> Alerts {
        let entries = alerts.map(|alerts| Entries::new(alerts, 0, &COLUMNS));
        Alerts { evidence_log: evidence_log.to_owned(), entries, batch: None }
    }

    /// All alerts of the next event, if there is one and its index is wanted.
    fn group(&mut self, is_wanted: impl Fn(i64) -> bool) -> Result<Option<Vec<Row>>> {
        let mut group: Vec<Row> = Vec::new();
        while let Some(next) = self.front()? {
            let is_next =
                group.last().map_or_else(|| is_wanted(next.position), |last| last.position == next.position);
            if !is_next {
                break;
            }
            group.push(next);
            if let Some((_, row)) = &mut self.batch {
                *row += 1;
            }
        }
        Ok((!group.is_empty()).then_some(group))
    }

    /// The next alert; none at the end. Entries of the recorder's own have no position.
    fn front(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some((batch, row)) = &mut self.batch {
                let positions = primitive::<Int64Type>(ALERTS, batch, "position")?;
                let logs = text(ALERTS, batch, "evidence_log")?;
                let is_alert = |row: &usize| {
                    positions.is_valid(*row) && logs.is_valid(*row) && logs.value(*row) == self.evidence_log
                };
                if let Some(next) = (*row..batch.num_rows()).find(is_alert) {
                    *row = next;
                    return Row::of(batch, next).map(Some);
                }
            }
            match self.entries.as_mut().map(Entries::next_batch).transpose()?.flatten() {
                Some(batch) => self.batch = Some((batch, 0)),
                None => {
                    self.batch = None;
                    return Ok(None);
                }
            }
        }
    }
}
