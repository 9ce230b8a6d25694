//! Records that cannot be taken, sent on as they are to a topic of their own, with the reason and where they were.
//!
//! A dead letter is on the cluster before the cursor passes its record. A kill between the two sends it once more: there
//! is at least one of each.

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use schemas::limits::KAFKA_DEAD_LETTER_RETRY_MS;

use super::buffer::{Partition, Record};
use super::settings::Kafka;
use crate::error::Error;
use crate::pull::Puller;
use crate::rejected::Code;

/// Why a record is dead.
#[derive(Debug, Clone)]
pub(super) struct Reason {
    pub(super) code: Code,
    /// For people; quotes nothing that is not redacted.
    pub(super) detail: String,
}

/// Sends dead letters, if there is a topic for them.
pub(super) struct DeadLetters {
    producer: Option<(FutureProducer, String)>,
    name: String,
}

impl DeadLetters {
    pub(super) fn new(kafka: &Kafka) -> Result<DeadLetters, Error> {
        let producer = match &kafka.dead_letter {
            None => None,
            Some(topic) => {
                let producer = kafka.producer()?.create().map_err(|error| kafka.refused(&error))?;
                Some((producer, topic.clone()))
            }
        };
        Ok(DeadLetters { producer, name: kafka.name.clone() })
    }

    /// Returns once the cluster has it; tries until then.
    ///
    /// # Errors
    /// [`Error::Busy`] when the service ends before that.
    pub(super) async fn send(
        &self,
        puller: &Puller,
        partition: &Partition,
        record: &Record,
        reason: &Reason,
    ) -> Result<(), Error> {
        let Some((producer, topic)) = &self.producer else { return Ok(()) };
        loop {
            let (number, offset) = (partition.number.to_string(), record.offset.to_string());
            let mut headers = OwnedHeaders::new();
            for (key, value) in [
                ("tachograph-reason", reason.code.name()),
                ("tachograph-detail", &reason.detail),
                ("tachograph-topic", &partition.topic),
                ("tachograph-partition", &number),
                ("tachograph-offset", &offset),
            ] {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut letter = FutureRecord::to(topic).payload(record.payload.as_slice()).headers(headers);
            if let Some(key) = &record.key {
                letter = letter.key(key.as_slice());
            }
            let sent = producer.send(letter, Timeout::Never).await;
            let Err((error, _)) = sent else {
                metrics::counter!("tacho_kafka_dead_letters_total", "kafka" => self.name.clone())
                    .increment(1);
                return Ok(());
            };
            tracing::warn!(kafka = self.name, topic, %error, "a dead letter was not taken; trying on");
            if puller.is_stopping() {
                return Err(Error::Busy { what: "dead letters" });
            }
            puller.pause(KAFKA_DEAD_LETTER_RETRY_MS).await;
        }
    }
}
