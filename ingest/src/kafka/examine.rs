//! What there is of a partition that is taken over: its bounds, the records that it is known by, and what other recorders
//! of the group said of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::{ClientConfig, Message as _};
use schemas::limits::{KAFKA_ANSWER_TIMEOUT_MS, KAFKA_MARKS_TIMEOUT_MS};
use serde_json::json;

use super::buffer::Partition;
use super::place::{Digest, Found, Judged, Place, digest};

/// What begins the metadata of an offset that a recorder committed.
const RECORDER: &str = "tachograph ";

/// An offset of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Committed {
    /// The recorder that has everything below it, if one committed it.
    by: Option<String>,
    place: Place,
}

/// What is said of an offset that is committed: by whom it was recorded, and what it is known by.
pub(super) fn metadata(member: &str, place: &Place) -> String {
    format!("{RECORDER}{member} {place}")
}

impl Committed {
    /// The group's offset, if it has one.
    pub(super) fn of(element: &TopicPartitionListElem<'_>) -> Option<Committed> {
        let Offset::Offset(next) = element.offset() else { return None };
        Some(Committed::read(next, element.metadata()))
    }

    /// One that somebody else set, an administrator for one, is an offset and says nothing of what is recorded.
    fn read(next: i64, metadata: &str) -> Committed {
        let said = metadata.strip_prefix(RECORDER).and_then(|rest| rest.split_once(' '));
        let said = said.and_then(|(by, place)| Some((by.to_string(), place.parse::<Place>().ok()?)));
        match said.filter(|(_, place)| place.next == next) {
            Some((by, place)) => Committed { by: Some(by), place },
            None => Committed { by: None, place: Place::at(next) },
        }
    }
}

/// What is known of a partition before it is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The log's cursor.
    pub(super) own: Option<Place>,
    /// The group's offset.
    pub(super) committed: Option<Committed>,
}

impl Known {
    /// The places that count, the first that holds first: what another recorder of the group has read beyond our own, then
    /// our own; the group's alone where the log has none.
    pub(super) fn places(&self, member: &str) -> Vec<&Place> {
        let Some(own) = &self.own else {
            return self.committed.iter().map(|committed| &committed.place).collect();
        };
        let beyond = self.committed.as_ref().filter(|committed| {
            let is_another = committed.by.as_deref().is_some_and(|by| by != member);
            is_another && committed.place.next > own.next
        });
        beyond.map(|committed| &committed.place).into_iter().chain([own]).collect()
    }

    /// Where the partition goes on; none for its beginning.
    pub(super) fn judge(&self, member: &str, found: &Found) -> Option<Judged> {
        let places = self.places(member);
        let last = places.last()?.judge(found);
        let [elsewhere, own] = places.as_slice() else { return Some(last) };
        let judged = elsewhere.judge(found);
        // It says nothing of what is there now.
        if judged.told.is_some() {
            return Some(last);
        }
        let by = self.committed.as_ref().and_then(|committed| committed.by.as_deref());
        let more = json!({ "status": "ok", "from": own.next, "to": elsewhere.next, "by": by });
        Some(Judged { told: Some(("elsewhere", more)), ..judged })
    }
}

/// Looks at all of `wanted`: their bounds and the marks of their places.
///
/// # Errors
/// What the cluster did not answer; it may in a moment.
pub(super) fn look<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    config: &ClientConfig,
    wanted: &BTreeMap<Partition, Vec<&Place>>,
) -> Result<BTreeMap<Partition, Found>, String> {
    let mut found = BTreeMap::new();
    let timeout = Duration::from_millis(KAFKA_ANSWER_TIMEOUT_MS);
    for partition in wanted.keys() {
        let bounds = consumer.fetch_watermarks(&partition.topic, partition.number, timeout);
        let bounds =
            bounds.map_err(|error| format!("bounds of {}-{}: {error}", partition.topic, partition.number))?;
        found.insert(partition.clone(), Found { bounds, marks: BTreeMap::new() });
    }
    let mut probe = None;
    // The newest mark says it all where nothing happened; the others are asked for where it does not.
    loop {
        let mut by_topic: BTreeMap<&str, BTreeMap<i32, i64>> = BTreeMap::new();
        for (partition, places) in wanted {
            if let Some(offset) = found.get(partition).and_then(|found| next_mark(places, found)) {
                by_topic.entry(&partition.topic).or_default().insert(partition.number, offset);
            }
        }
        if by_topic.is_empty() {
            return Ok(found);
        }
        let probe = match &mut probe {
            Some(probe) => probe,
            None => probe.insert(config.create::<BaseConsumer>().map_err(|error| error.to_string())?),
        };
        for (topic, offsets) in by_topic {
            for (number, digest) in ask(probe, topic, &offsets)? {
                let partition = Partition { topic: topic.to_string(), number };
                if let (Some(found), Some(offset)) = (found.get_mut(&partition), offsets.get(&number)) {
                    found.marks.insert(*offset, digest);
                }
            }
        }
    }
}

/// The next mark of a partition that has to be looked at: the newest of each place until one is as it was.
fn next_mark(places: &[&Place], found: &Found) -> Option<i64> {
    let of = |place: &&Place| {
        for mark in place.marks_within(found.bounds) {
            match found.marks.get(&mark.offset) {
                None => return Some(mark.offset),
                Some(now) if *now == Some(mark.digest) => return None,
                Some(_) => {}
            }
        }
        None
    };
    places.iter().find_map(of)
}

/// What has these offsets in the partitions of a topic; none where nothing has.
fn ask(
    probe: &BaseConsumer,
    topic: &str,
    offsets: &BTreeMap<i32, i64>,
) -> Result<BTreeMap<i32, Option<Digest>>, String> {
    let mut list = TopicPartitionList::new();
    for (number, offset) in offsets {
        list.add_partition_offset(topic, *number, Offset::Offset(*offset))
            .map_err(|error| error.to_string())?;
    }
    probe.assign(&list).map_err(|error| error.to_string())?;
    let mut answers = BTreeMap::new();
    #[expect(clippy::disallowed_methods, reason = "when to give up waiting for the cluster")]
    let until = Instant::now() + Duration::from_millis(KAFKA_MARKS_TIMEOUT_MS);
    while answers.len() < offsets.len() {
        #[expect(clippy::disallowed_methods, reason = "when to give up waiting for the cluster")]
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("records of {topic} did not come"));
        }
        match probe.poll(left) {
            Some(Ok(message)) => {
                let Some(wanted) = offsets.get(&message.partition()) else { continue };
                if message.topic() == topic && message.offset() >= *wanted {
                    let is_it = message.offset() == *wanted;
                    answers.entry(message.partition()).or_insert_with(|| is_it.then(|| digest_of(&message)));
                }
            }
            // Nothing from there to the end but what compaction or a transaction left.
            Some(Err(KafkaError::PartitionEOF(number))) => drop(answers.entry(number).or_insert(None)),
            Some(Err(KafkaError::MessageConsumption(code))) if has_no_place(code) => {
                return Err(format!("{topic} changes while it is looked at"));
            }
            // It reconnects by itself.
            Some(Err(_)) | None => {}
        }
    }
    Ok(answers)
}

/// What a message is known by.
pub(super) fn digest_of(message: &BorrowedMessage<'_>) -> Digest {
    digest(message.key(), message.payload(), message.timestamp().to_millis())
}

/// Whether an offset that was asked for is not there.
pub(super) fn has_no_place(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{AutoOffsetReset, LogTruncation, OffsetOutOfRange};
    matches!(code, AutoOffsetReset | LogTruncation | OffsetOutOfRange)
}

#[cfg(test)]
mod tests {
    use super::super::place::Mark;
    use super::*;

    fn place(next: i64, log: u8) -> Place {
        let mark = |offset: i64| Mark { offset, digest: digest(None, Some(&[log]), Some(offset)) };
        Place::at(0).behind(mark(0)).behind(mark(next - 1))
    }

    fn found(places: &[&Place], bounds: (i64, i64)) -> Found {
        let marks = places.iter().flat_map(|place| &place.marks);
        Found { bounds, marks: marks.map(|mark| (mark.offset, Some(mark.digest))).collect() }
    }

    #[test]
    fn what_another_recorder_has_is_not_recorded_again() {
        let (own, other) = (place(100, 0), place(300, 0));
        let known = |own: Option<&Place>, metadata: &str| Known {
            own: own.cloned(),
            committed: Some(Committed::read(300, metadata)),
        };
        let of_other = metadata("other", &other);
        let there = found(&[&own, &other], (0, 500));
        let judged = known(Some(&own), &of_other).judge("us", &there).unwrap();
        assert_eq!((judged.place, judged.told.unwrap().0), (other.clone(), "elsewhere"));
        // Our own, of a log that was put back to an earlier state; or one that no recorder set.
        for metadata in [metadata("us", &other).as_str(), "", "an administrator", "tachograph other 299"] {
            let judged = known(Some(&own), metadata).judge("us", &there).unwrap();
            assert_eq!((judged.place, judged.told), (own.clone(), None), "{metadata}");
        }
        // The other's was of a topic that is not there any more.
        let judged = known(Some(&own), &of_other).judge("us", &found(&[&own, &place(300, 1)], (0, 500)));
        assert_eq!(judged.unwrap().place, own);
        // A log without a cursor goes on where the group is.
        let judged = known(None, "").judge("us", &there).unwrap();
        assert_eq!((judged.place, judged.told), (Place::at(300), None));
        assert_eq!(Known::default().judge("us", &there), None);
    }

    #[test]
    fn marks_are_asked_for_until_one_is_as_it_was() {
        let place = place(100, 0);
        let mut found = Found { bounds: (0, 100), ..Found::default() };
        assert_eq!(next_mark(&[&place], &found), Some(99));
        found.marks.insert(99, None);
        assert_eq!(next_mark(&[&place], &found), Some(0));
        found.marks.insert(0, Some(place.marks[1].digest));
        assert_eq!(next_mark(&[&place], &found), None);
        assert_eq!(next_mark(&[&place], &Found { bounds: (100, 100), ..Found::default() }), None);
    }
}
