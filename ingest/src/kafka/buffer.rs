//! Records that wait for the others of their batch, by partition.

use std::collections::BTreeMap;

use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use schemas::limits::{CURSORS_APPEND_MAX, PULL_BATCH_BYTES, PULL_BATCH_PARTS_MAX};

use super::context::Change;

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Partition {
    pub(super) topic: String,
    pub(super) number: i32,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) offset: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Vec<u8>,
}

/// What is read of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Where it was assigned; none for where the group was, or the beginning.
    pub(super) assigned_at: Option<i64>,
    /// Whether nothing has come of it since it was assigned.
    pub(super) is_fresh: bool,
    /// Whether offsets fell: the topic was made anew while it was read.
    pub(super) has_fallen: bool,
    last: Option<i64>,
    pub(super) records: Vec<Record>,
}

/// The batch that is being collected.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Partitions that are assigned.
    readings: BTreeMap<Partition, Reading>,
    bytes: usize,
    count: usize,
}

impl Buffer {
    /// Takes changes of the assignment in. What was buffered of a partition that goes is dropped: its next owner reads it
    /// again.
    ///
    /// # Errors
    /// What the client said.
    pub(super) fn change(&mut self, changes: Vec<Change>) -> Result<bool, String> {
        let has_changed = !changes.is_empty();
        for change in changes {
            match change {
                Change::Assigned(partition, assigned_at) => {
                    self.drop_records(&partition);
                    let reading = Reading { assigned_at, is_fresh: true, ..Reading::default() };
                    self.readings.insert(partition, reading);
                }
                Change::Revoked(partition) => {
                    self.drop_records(&partition);
                    self.readings.remove(&partition);
                }
                Change::Failed(detail) => return Err(detail),
            }
        }
        Ok(has_changed)
    }

    fn drop_records(&mut self, partition: &Partition) {
        if let Some(reading) = self.readings.get_mut(partition) {
            self.count -= reading.records.len();
            self.bytes -= reading.records.iter().map(|record| record.payload.len()).sum::<usize>();
            reading.records.clear();
        }
    }

    /// Takes a message in.
    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>) {
        let partition = Partition { topic: message.topic().to_string(), number: message.partition() };
        let record = Record {
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().unwrap_or_default().to_vec(),
        };
        self.take(&partition, record);
    }

    fn take(&mut self, partition: &Partition, record: Record) {
        // Of a partition that is not ours any more: its next owner reads it.
        let Some(reading) = self.readings.get_mut(partition) else { return };
        self.bytes += record.payload.len();
        self.count += 1;
        reading.has_fallen |= reading.last.is_some_and(|last| record.offset <= last);
        reading.last = Some(record.offset);
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
            self.bytes -= records.iter().map(|record| record.payload.len()).sum::<usize>();
            batch.push((partition.clone(), Reading { records, ..reading.clone() }));
            (reading.is_fresh, reading.has_fallen) = (false, false);
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
        Record { offset, key: None, payload: vec![b'x'; 10] }
    }

    #[test]
    fn what_is_revoked_is_dropped_and_read_again_by_who_comes_next() {
        let mut buffer = Buffer::default();
        buffer
            .change(vec![Change::Assigned(partition(0), Some(5)), Change::Assigned(partition(1), None)])
            .unwrap();
        buffer.take(&partition(0), record(5));
        buffer.take(&partition(1), record(0));
        buffer.take(&partition(2), record(0));
        assert_eq!(buffer.count, 2, "of what is not assigned nothing is kept");
        buffer.change(vec![Change::Revoked(partition(0))]).unwrap();
        buffer.take(&partition(0), record(6));
        let batch = buffer.take_batch();
        assert_eq!(batch.len(), 1);
        assert_eq!(
            (&batch[0].0, batch[0].1.is_fresh, batch[0].1.records[0].offset),
            (&partition(1), true, 0)
        );
        assert!(buffer.is_empty() && buffer.bytes == 0);
        // Assigned again: from where the log is, without what was buffered.
        buffer.take(&partition(1), record(1));
        buffer.change(vec![Change::Assigned(partition(1), Some(1))]).unwrap();
        assert!(buffer.is_empty());
        assert!(buffer.change(vec![Change::Failed("no".to_string())]).is_err());
    }

    #[test]
    fn a_batch_moves_no_more_cursors_than_one_append_may() {
        let mut buffer = Buffer::default();
        for number in 0..i32::try_from(CURSORS_APPEND_MAX).unwrap() + 3 {
            buffer.change(vec![Change::Assigned(partition(number), None)]).unwrap();
            buffer.take(&partition(number), record(0));
        }
        assert_eq!(buffer.take_batch().len(), CURSORS_APPEND_MAX);
        assert_eq!(buffer.take_batch().len(), 3);
        assert!(buffer.is_empty());
        for offset in 0..i64::try_from(PULL_BATCH_PARTS_MAX).unwrap() {
            assert!(!buffer.is_full());
            buffer.take(&partition(0), record(offset));
        }
        assert!(buffer.is_full());
    }
}
