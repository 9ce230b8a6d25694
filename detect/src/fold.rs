//! The engine folded over a log's entries, in chunks.

use engine::{Alert, Engine, Record, Setup};
use store::{Entries, LogSnapshot};

use crate::columns::{Events, READ_COLUMNS, Room};
use crate::error::Result;

/// An alert and what its record says beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub alert: Alert,
    /// Session of the causing record, where that record alone is the evidence and has one of its own making.
    pub session_id: Option<String>,
}

/// What binds a state to the log it was folded over: a digest of the last entry in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(pub [u8; 32]);

impl Mark {
    pub(crate) fn of(log: &str, record: &Record<'_>) -> Mark {
        let mut hasher = blake3::Hasher::new_derive_key("tachograph detect state mark v1");
        for text in [log, record.session_id] {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        for number in [record.index, record.ingest_time_us, record.time_us] {
            hasher.update(&number.to_le_bytes());
        }
        Mark(*hasher.finalize().as_bytes())
    }
}

/// How much is folded at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub records_max: usize,
    /// A chunk ends with the record that reaches this.
    pub alerts_max: usize,
}

/// An engine and where it stands in its log.
#[derive(Debug)]
pub(crate) struct Fold {
    pub engine: Engine,
    /// Of the last record observed; none at the start of the log.
    pub mark: Option<Mark>,
    /// When the last record observed was received; none before the first that this observed.
    pub received_us: Option<i64>,
    pending: Option<(arrow::array::RecordBatch, usize)>,
    entries: Option<Entries>,
}

impl Fold {
    /// Nothing to read yet: see [`Fold::feed`].
    pub(crate) fn new(engine: Engine, mark: Option<Mark>) -> Fold {
        Fold { engine, mark, received_us: None, pending: None, entries: None }
    }

    /// First entry not yet observed.
    pub(crate) fn next_index(&self) -> u64 {
        u64::try_from(self.engine.next_index()).unwrap_or(0)
    }

    /// Whether all that was fed is observed.
    pub(crate) fn is_drained(&self) -> bool {
        self.pending.is_none() && self.entries.is_none()
    }

    /// What to read on from, once drained.
    pub(crate) fn feed(&mut self, entries: Entries) {
        self.entries = Some(entries);
    }

    /// Observes the next records and appends to `found` what they cause; returns how many there were. No records
    /// means drained.
    ///
    /// # Errors
    /// Those of reading. The engine then stands before the record that could not be read.
    pub(crate) fn chunk(&mut self, limits: Limits, found: &mut Vec<Found>) -> Result<usize> {
        let (mut observed, mut alerts) = (0, Vec::new());
        while observed < limits.records_max && found.len() < limits.alerts_max {
            let Some(entries) = &mut self.entries else { break };
            let (batch, mut row) = match self.pending.take() {
                Some(pending) => pending,
                None => match entries.next_batch()? {
                    Some(batch) => (batch, 0),
                    None => {
                        self.entries = None;
                        break;
                    }
                },
            };
            let events = Events::of(entries.log(), &batch)?;
            let (mut last, mut room) = (None, Room::default());
            while row < events.rows() && observed < limits.records_max && found.len() < limits.alerts_max {
                let record = events.record(row, &mut room);
                self.engine.observe(&record, &mut alerts)?;
                found.extend(alerts.drain(..).map(|alert| Found::new(alert, &record)));
                self.received_us = Some(record.ingest_time_us);
                (row, observed, last) = (row + 1, observed + 1, Some(row));
            }
            let mark = |row| Mark::of(entries.log(), &events.record(row, &mut room));
            self.mark = last.map(mark).or(self.mark);
            let is_rest = row < events.rows();
            self.pending = is_rest.then_some((batch, row));
        }
        Ok(observed)
    }
}

impl Found {
    fn new(alert: Alert, record: &Record<'_>) -> Found {
        // Names that begin so are ours: whoever chooses a session's must not pass for a change of rules.
        let is_theirs = !record.session_id.starts_with('_');
        let is_alone = alert.evidence == [record.index];
        Found { alert, session_id: (is_alone && is_theirs).then(|| record.session_id.to_owned()) }
    }
}

/// All alerts of the stored past under `setup` (settings, and rules in Sigma): what the runner would have recorded, had it always
/// been in force. `snapshot` is one of a tenant's `events` log. Reads files and takes a core: not for an async
/// thread.
///
/// # Errors
/// [`crate::Error::Engine`] for settings out of range; [`crate::Error::Entries`], [`crate::Error::Damaged`].
pub fn fold(snapshot: LogSnapshot, setup: impl Into<Setup>) -> Result<Vec<Alert>> {
    let setup = setup.into();
    setup.validate()?;
    let mut fold = Fold::new(Engine::new(snapshot.origin.tenant(), setup), None);
    fold.feed(Entries::new(snapshot, 0, &READ_COLUMNS));
    let mut found = Vec::new();
    let limits = Limits { records_max: usize::MAX, alerts_max: usize::MAX };
    fold.chunk(limits, &mut found)?;
    Ok(found.into_iter().map(|found| found.alert).collect())
}
