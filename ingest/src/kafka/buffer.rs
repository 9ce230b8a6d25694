//! Records that wait for the others of their batch, by partition.

use std::collections::BTreeMap;

use rdkafka::Message;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, OwnedHeaders};
use schemas::limits::{CURSORS_APPEND_MAX, PULL_BATCH_BYTES, PULL_BATCH_PARTS_MAX};

use super::context::{Assigned, Change};
use super::examine::digest_of;
use super::place::{Mark, Place};

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Partition {
    pub(super) topic: String,
    pub(super) number: i32,
}

/// One record.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) mark: Mark,
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) headers: Option<OwnedHeaders>,
}

impl Record {
    /// Its value; of none, nothing.
    pub(super) fn value(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        self.value().len() + self.key.as_ref().map_or(0, Vec::len)
    }
}

/// What is read of one partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// Where it was assigned.
    pub(super) place: Place,
    /// The last offset that came.
    last: Option<i64>,
    pub(super) records: Vec<Record>,
}

/// What is to be on record before anything else is recorded of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) partition: Partition,
    pub(super) what: &'static str,
    pub(super) more: serde_json::Value,
    /// The cursor as it was, and where it is now.
    pub(super) step: Option<(Option<String>, Place)>,
}

/// What became of the assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Changed {
    Nothing,
    Something,
    /// The client has to begin again.
    Lost(String),
}

/// The batch that is being collected.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Partitions that are assigned.
    readings: BTreeMap<Partition, Reading>,
    told: Vec<Told>,
    bytes: usize,
    count: usize,
    /// Records that came again, since this was last asked for.
    repeated: u64,
}

impl Buffer {
    /// Takes changes of the assignment in. What was buffered of a partition that goes is dropped: its next owner reads it
    /// again.
    ///
    /// # Errors
    /// What the client said.
    pub(super) fn change(&mut self, changes: Vec<Change>) -> Result<Changed, String> {
        let mut changed = if changes.is_empty() { Changed::Nothing } else { Changed::Something };
        for change in changes {
            match change {
                Change::Assigned(assigned) => {
                    let Assigned { partition, cursor, place, told } = *assigned;
                    self.forget(&partition);
                    if let Some((what, more)) = told {
                        let step = Some((cursor, place.clone()));
                        self.told.push(Told { partition: partition.clone(), what, more, step });
                    }
                    self.readings.insert(partition, Reading { place, ..Reading::default() });
                }
                Change::LeftOut(partition, more) => {
                    self.forget(&partition);
                    self.told.push(Told { partition, what: "left_out", more, step: None });
                }
                Change::Revoked(partition) => self.forget(&partition),
                Change::Lost(detail) => changed = Changed::Lost(detail),
                Change::Failed(detail) => return Err(detail),
            }
        }
        Ok(changed)
    }

    /// What is to be told now.
    pub(super) fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// How many records came again since the last call.
    pub(super) fn take_repeated(&mut self) -> u64 {
        std::mem::take(&mut self.repeated)
    }

    fn forget(&mut self, partition: &Partition) {
        self.drop_records(partition);
        self.readings.remove(partition);
        self.told.retain(|told| told.partition != *partition);
    }

    fn drop_records(&mut self, partition: &Partition) {
        if let Some(reading) = self.readings.get_mut(partition) {
            self.count -= reading.records.len();
            self.bytes -= reading.records.iter().map(Record::bytes).sum::<usize>();
            reading.records.clear();
        }
    }

    /// Takes a message in.
    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>) {
        let partition = Partition { topic: message.topic().to_string(), number: message.partition() };
        let record = Record {
            mark: Mark { offset: message.offset(), digest: digest_of(message) },
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(BorrowedHeaders::detach),
        };
        self.take(&partition, record);
    }

    fn take(&mut self, partition: &Partition, record: Record) {
        // Of a partition that is not ours any more: its next owner reads it.
        let Some(reading) = self.readings.get_mut(partition) else { return };
        // Whatever the client does: what came once is not taken again.
        if reading.last.is_some_and(|last| record.mark.offset <= last) {
            self.repeated += 1;
            return;
        }
        self.bytes += record.bytes();
        self.count += 1;
        reading.last = Some(record.mark.offset);
        reading.records.push(record);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= PULL_BATCH_BYTES || self.count >= PULL_BATCH_PARTS_MAX
    }

    /// The records of as many partitions as one append may move.
    pub(super) fn take_batch(&mut self) -> Vec<(Partition, Reading)> {
        let mut batch = Vec::new();
        for (partition, reading) in &mut self.readings {
            if reading.records.is_empty() {
                continue;
            }
            if batch.len() == CURSORS_APPEND_MAX {
                break;
            }
            let records = std::mem::take(&mut reading.records);
            self.count -= records.len();
            self.bytes -= records.iter().map(Record::bytes).sum::<usize>();
            batch.push((partition.clone(), Reading { records, ..reading.clone() }));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        Partition { topic: "t".to_string(), number }
    }

    fn record(offset: i64) -> Record {
        let mark = Mark { offset, digest: [0; 16] };
        Record { mark, key: None, payload: Some(vec![b'x'; 10]), headers: None }
    }

    fn assigned(number: i32, next: i64) -> Change {
        let place = Place::at(next);
        let partition = partition(number);
        Change::Assigned(Box::new(Assigned { partition, cursor: None, place, told: None }))
    }

    #[test]
    fn what_is_revoked_is_dropped_and_read_again_by_who_comes_next() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.change(vec![assigned(0, 5), assigned(1, 0)]), Ok(Changed::Something));
        buffer.take(&partition(0), record(5));
        buffer.take(&partition(1), record(0));
        buffer.take(&partition(2), record(0));
        assert_eq!(buffer.count, 2, "of what is not assigned nothing is kept");
        buffer.change(vec![Change::Revoked(partition(0))]).unwrap();
        buffer.take(&partition(0), record(6));
        let batch = buffer.take_batch();
        assert_eq!(batch.len(), 1);
        assert_eq!((&batch[0].0, batch[0].1.records[0].mark.offset), (&partition(1), 0));
        assert!(buffer.is_empty() && buffer.bytes == 0);
        // Assigned again: from where the log is, without what was buffered.
        buffer.take(&partition(1), record(1));
        buffer.change(vec![assigned(1, 1)]).unwrap();
        assert!(buffer.is_empty());
        let lost = Changed::Lost("later".to_string());
        assert_eq!(buffer.change(vec![Change::Lost("later".to_string())]), Ok(lost));
        assert!(buffer.change(vec![Change::Failed("no".to_string())]).is_err());
    }

    #[test]
    fn what_comes_again_is_not_taken_again() {
        let mut buffer = Buffer::default();
        buffer.change(vec![assigned(0, 0)]).unwrap();
        for offset in [0, 1, 2, 1, 2, 0, 3] {
            buffer.take(&partition(0), record(offset));
        }
        let batch = buffer.take_batch();
        let offsets: Vec<i64> = batch[0].1.records.iter().map(|record| record.mark.offset).collect();
        assert_eq!((offsets, buffer.take_repeated()), (vec![0, 1, 2, 3], 3));
        // Nor after the batch was taken.
        buffer.take(&partition(0), record(3));
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_to_be_told_goes_with_its_partition() {
        let mut buffer = Buffer::default();
        let told = Some(("gap", serde_json::Value::Null));
        let gap = Assigned { partition: partition(0), cursor: None, place: Place::at(7), told };
        buffer.change(vec![Change::Assigned(Box::new(gap.clone()))]).unwrap();
        buffer.change(vec![Change::Revoked(partition(0))]).unwrap();
        assert_eq!(buffer.take_told(), []);
        let left_out = Change::LeftOut(partition(1), serde_json::Value::Null);
        buffer.change(vec![Change::Assigned(Box::new(gap)), left_out]).unwrap();
        let told: Vec<_> = buffer.take_told().into_iter().map(|told| (told.what, told.step)).collect();
        assert_eq!(told, [("gap", Some((None, Place::at(7)))), ("left_out", None)]);
        buffer.take(&partition(1), record(0));
        assert!(buffer.is_empty(), "nothing is read of it");
    }

    #[test]
    fn a_batch_moves_no_more_cursors_than_one_append_may() {
        let mut buffer = Buffer::default();
        for number in 0..i32::try_from(CURSORS_APPEND_MAX).unwrap() + 3 {
            buffer.change(vec![assigned(number, 0)]).unwrap();
            buffer.take(&partition(number), record(0));
        }
        assert_eq!(buffer.take_batch().len(), CURSORS_APPEND_MAX);
        assert_eq!(buffer.take_batch().len(), 3);
        assert!(buffer.is_empty());
        for offset in 0..i64::try_from(PULL_BATCH_PARTS_MAX).unwrap() {
            assert!(!buffer.is_full());
            buffer.take(&partition(0), record(offset + 1));
        }
        assert!(buffer.is_full());
    }
}
