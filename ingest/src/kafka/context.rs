//! What the client calls back: partitions that come and go, how far behind each is, what it has to say.
//!
//! Partitions are assigned at the log's cursors. The group's own offsets count only where the log has none.

use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use schemas::CursorName;
use store::Log;

use super::COLLECTOR;
use super::buffer::Partition;

/// What happened to the assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is read from here on; none for where the group was, or the beginning.
    Assigned(Partition, Option<i64>),
    /// Another reads it now.
    Revoked(Partition),
    /// It could not be taken over.
    Failed(String),
}

/// The callbacks of one consumer.
pub(super) struct Context {
    name: String,
    log: Log,
    changes: Mutex<Vec<Change>>,
}

impl Context {
    pub(super) fn new(name: &str, log: Log) -> Context {
        Context { name: name.to_string(), log, changes: Mutex::default() }
    }

    /// What has changed since the last call, in order.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn changed(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    /// Where a partition goes on, if the log knows.
    fn cursor(&self, partition: &Partition) -> Result<Option<i64>, String> {
        let name = partition.cursor_name(&self.name).map_err(|error| error.to_string())?;
        let Some(at) = self.log.cursor(&name) else { return Ok(None) };
        at.parse().map(Some).map_err(|_| format!("cursor {name} is {at:?}, which is no offset"))
    }

    fn assign(&self, consumer: &BaseConsumer<Context>, list: &mut TopicPartitionList) -> Result<(), String> {
        let partitions: Vec<Partition> = partitions(list);
        for partition in partitions {
            let at = self.cursor(&partition)?;
            if let Some(at) = at {
                list.set_partition_offset(&partition.topic, partition.number, Offset::Offset(at))
                    .map_err(|error| error.to_string())?;
            }
            tracing::info!(
                kafka = self.name,
                topic = partition.topic,
                partition = partition.number,
                at,
                "assigned"
            );
            self.changed(Change::Assigned(partition, at));
        }
        consumer.assign(list).map_err(|error| error.to_string())
    }

    fn revoke(&self, consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), String> {
        for partition in partitions(list) {
            tracing::info!(
                kafka = self.name,
                topic = partition.topic,
                partition = partition.number,
                "revoked"
            );
            self.changed(Change::Revoked(partition));
        }
        consumer.unassign().map_err(|error| error.to_string())
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
        if let Err(detail) = done {
            self.changed(Change::Failed(detail));
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
        tracing::debug!(kafka = self.name, ?level, facility, message, "client");
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
                let Ok(Some(at)) = self.cursor(&partition) else { continue };
                let lag = of_partition.hi_offset.saturating_sub(at).max(0);
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
