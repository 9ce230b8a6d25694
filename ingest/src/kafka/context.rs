//! What the client calls back: partitions that come and go, how far behind each is, what it has to say.
//!
//! Partitions are assigned where the log's cursors say, once what is there was held against what they are known by. The
//! group's own offsets count where the log has none, and where another recorder says that it has what lies between.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use schemas::CursorName;
use schemas::limits::{CURSORS_LOG_MAX, KAFKA_ANSWER_TIMEOUT_MS};
use serde_json::json;
use store::Log;

use super::COLLECTOR;
use super::buffer::Partition;
use super::examine::{Committed, Known, look};
use super::place::Place;

/// A partition that is read from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) partition: Partition,
    /// The log's cursor when it was looked at.
    pub(super) cursor: Option<String>,
    /// Where it is read from.
    pub(super) place: Place,
    /// What is to be told of that.
    pub(super) told: Option<(&'static str, serde_json::Value)>,
}

/// What happened to the assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Assigned(Box<Assigned>),
    /// The log has no room for a cursor of it: it is not read.
    LeftOut(Partition, serde_json::Value),
    /// Another reads it now.
    Revoked(Partition),
    /// It could not be taken over now; in a moment it may be.
    Lost(String),
    /// It cannot be taken over.
    Failed(String),
}

/// The callbacks of one consumer.
pub(super) struct Context {
    name: String,
    /// Whose offsets of the group are our own.
    member: String,
    log: Log,
    /// For the client that looks at single records.
    probe: ClientConfig,
    changes: Mutex<Vec<Change>>,
}

impl Context {
    pub(super) fn new(name: &str, member: &str, log: Log, probe: ClientConfig) -> Context {
        Context { name: name.to_string(), member: member.to_string(), log, probe, changes: Mutex::default() }
    }

    /// What has changed since the last call, in order.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn changed(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    /// The cursor of a partition, if the log has one.
    fn cursor(&self, partition: &Partition) -> Result<Option<(String, Place)>, String> {
        let name = partition.cursor_name(&self.name).map_err(|error| error.to_string())?;
        let Some(text) = self.log.cursor(&name) else { return Ok(None) };
        let wrong = |()| format!("cursor {name} is {text:?}, which no recorder of topics wrote");
        let place = text.parse().map_err(wrong)?;
        Ok(Some((text, place)))
    }

    fn assign(&self, consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), Change> {
        let lost = |error: KafkaError| Change::Lost(error.to_string());
        let timeout = Duration::from_millis(KAFKA_ANSWER_TIMEOUT_MS);
        let offsets = consumer.committed_offsets(list.clone(), timeout).map_err(lost)?;
        let mut room = self.log.cursor_room();
        let mut known: BTreeMap<Partition, (Option<String>, Known)> = BTreeMap::new();
        for element in offsets.elements() {
            element.error().map_err(lost)?;
            let partition = Partition { topic: element.topic().to_string(), number: element.partition() };
            let (cursor, own) = self.cursor(&partition).map_err(Change::Failed)?.unzip();
            if own.is_none() && room == 0 {
                self.leave_out(partition);
                continue;
            }
            room -= usize::from(own.is_none());
            known.insert(partition, (cursor, Known { own, committed: Committed::of(&element) }));
        }
        let wanted =
            known.iter().map(|(partition, (_, known))| (partition.clone(), known.places(&self.member)));
        let wanted = wanted.filter(|(_, places)| !places.is_empty()).collect();
        let found = look(consumer, &self.probe, &wanted).map_err(Change::Lost)?;
        let mut taken = TopicPartitionList::new();
        let mut changes = Vec::new();
        for (partition, (cursor, known)) in known {
            let judged = found.get(&partition).and_then(|found| known.judge(&self.member, found));
            let offset =
                judged.as_ref().map_or(Offset::Beginning, |judged| Offset::Offset(judged.place.next));
            taken.add_partition_offset(&partition.topic, partition.number, offset).map_err(lost)?;
            let (place, told) = judged.map_or((Place::default(), None), |judged| (judged.place, judged.told));
            let (topic, number, next) = (&partition.topic, partition.number, place.next);
            match &told {
                None => tracing::info!(kafka = self.name, topic, partition = number, next, "assigned"),
                Some((what, more)) => tracing::warn!(
                    kafka = self.name, topic, partition = number, next, what, %more, "assigned elsewhere than it was"
                ),
            }
            changes.push(Change::Assigned(Box::new(Assigned { partition, cursor, place, told })));
        }
        changes.into_iter().for_each(|change| self.changed(change));
        consumer.assign(&taken).map_err(|error| Change::Failed(error.to_string()))?;
        // What was paused when it was taken from us would stay so when it comes back.
        consumer.resume(&taken).map_err(|error| Change::Failed(error.to_string()))
    }

    fn leave_out(&self, partition: Partition) {
        let Partition { topic, number } = &partition;
        tracing::error!(
            kafka = self.name,
            topic,
            partition = number,
            "the log has {CURSORS_LOG_MAX} cursors: this partition is not read"
        );
        metrics::counter!("tacho_kafka_left_out_total", "kafka" => self.name.clone()).increment(1);
        let more = json!({ "status": "error", "cursors_max": CURSORS_LOG_MAX });
        self.changed(Change::LeftOut(partition, more));
    }

    fn revoke(&self, consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), Change> {
        for partition in partitions(list) {
            tracing::info!(
                kafka = self.name,
                topic = partition.topic,
                partition = partition.number,
                "revoked"
            );
            self.changed(Change::Revoked(partition));
        }
        // The client keeps a pause beyond the assignment that it was for.
        if let Err(error) = consumer.resume(list) {
            tracing::debug!(kafka = self.name, %error, "what is revoked was not resumed");
        }
        consumer.unassign().map_err(|error| Change::Failed(error.to_string()))
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let of = |(topic, number): (&str, i32)| Partition { topic: topic.to_string(), number };
    list.elements().iter().map(|element| of((element.topic(), element.partition()))).collect()
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        metrics::counter!("tacho_kafka_rebalances_total", "kafka" => self.name.clone()).increment(1);
        let done = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        };
        if let Err(change) = done {
            self.changed(change);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        // Offsets of the group are for who looks at lag there; the next commit says the same and more.
        if let Err(error) = result {
            tracing::debug!(kafka = self.name, %error, "the group's offsets were not committed");
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
        // Where reading goes on is ours to say: the client never should.
        if facility == "OFFSET" {
            metrics::counter!("tacho_kafka_offset_resets_total", "kafka" => self.name.clone()).increment(1);
        }
        match level {
            // `error` says the same.
            _ if facility == "FAIL" => tracing::debug!(kafka = self.name, facility, message, "client"),
            Emerg | Alert | Critical | Error => {
                tracing::error!(kafka = self.name, facility, message, "client");
            }
            Warning => tracing::warn!(kafka = self.name, facility, message, "client"),
            Notice | Info => tracing::info!(kafka = self.name, facility, message, "client"),
            Debug => tracing::debug!(kafka = self.name, facility, message, "client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(kafka = self.name, %error, reason, "the cluster");
        metrics::counter!("tacho_kafka_errors_total", "kafka" => self.name.clone()).increment(1);
    }

    fn stats(&self, statistics: Statistics) {
        for (topic, of_topic) in statistics.topics {
            for (number, of_partition) in of_topic.partitions {
                // -1 stands for what is not known; partition -1 for those not assigned to anything.
                if number < 0 || of_partition.hi_offset < 0 {
                    continue;
                }
                let partition = Partition { topic: topic.clone(), number };
                let Ok(Some((_, at))) = self.cursor(&partition) else { continue };
                let lag = of_partition.hi_offset.saturating_sub(at.next).max(0);
                let labels = [
                    ("kafka", self.name.clone()),
                    ("topic", topic.clone()),
                    ("partition", number.to_string()),
                ];
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                metrics::gauge!("tacho_kafka_lag_records", &labels).set(lag as f64);
            }
        }
    }
}

impl Partition {
    /// Its cursor's name.
    pub(super) fn cursor_name(&self, name: &str) -> Result<CursorName, schemas::Error> {
        CursorName::new(COLLECTOR, name, &format!("{}-{}", self.topic, self.number))
    }
}
