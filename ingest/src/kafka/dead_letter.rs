//! Records that cannot be taken, sent on as they are to a topic of their own, with the reason and where they were.
//!
//! A dead letter is on the cluster before the cursor passes its record. A kill between the two sends it once more: there
//! is at least one of each. A record that the topic can never take goes as a stub: our headers, its size and its digest;
//! where the topic takes nothing at all, the notice is what is left of it: one record does not hold up those behind it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Header;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;
use schemas::limits::{KAFKA_DEAD_LETTER_RETRY_MS, KAFKA_DEAD_LETTER_TRIES_MAX};

use super::buffer::{Partition, Record};
use super::place::hex;
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
    /// What became of its letter, if that is worth telling.
    pub(super) letter: Option<&'static str>,
}

impl Reason {
    pub(super) fn new(code: Code, detail: &str) -> Reason {
        Reason { code, detail: detail.to_string(), letter: None }
    }
}

/// What a failed delivery says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The cluster takes no such record; others it may.
    Record,
    /// The topic takes none, until somebody changes that.
    Topic,
    /// It is away.
    Now,
}

impl Failure {
    fn of(error: &KafkaError) -> Failure {
        use RDKafkaErrorCode::{
            ClusterAuthorizationFailed, InvalidMessageSize, InvalidRecord, InvalidTopic, MessageSizeTooLarge,
            PolicyViolation, TopicAuthorizationFailed, UnknownTopic, UnknownTopicOrPartition,
        };
        match error.rdkafka_error_code() {
            Some(MessageSizeTooLarge | InvalidMessageSize | InvalidRecord) => Failure::Record,
            Some(
                UnknownTopic
                | UnknownTopicOrPartition
                | InvalidTopic
                | PolicyViolation
                | TopicAuthorizationFailed
                | ClusterAuthorizationFailed,
            ) => Failure::Topic,
            _ => Failure::Now,
        }
    }
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

    /// Returns once the cluster has it, or cannot take it; tries until then. What is worth telling of that.
    ///
    /// # Errors
    /// [`Error::Busy`] when the service ends before that; [`Error::Source`] where the client has to be made anew.
    pub(super) async fn send(
        &self,
        puller: &Puller,
        partition: &Partition,
        record: &Record,
        reason: &Reason,
    ) -> Result<Option<&'static str>, Error> {
        let Some((producer, topic)) = &self.producer else { return Ok(None) };
        let (mut is_stub, mut tries) = (false, 0);
        loop {
            let sent = producer.send(letter(topic, partition, record, reason, is_stub), Timeout::Never).await;
            let Err((error, _)) = sent else {
                self.count(if is_stub { "stub" } else { "whole" });
                return Ok(is_stub.then_some("stub"));
            };
            if let Some((code, detail)) = producer.client().fatal_error() {
                let detail = format!("kafka {}: dead letters: {code}: {detail}", self.name);
                return Err(Error::Source { detail });
            }
            tracing::warn!(kafka = self.name, topic, %error, "a dead letter was not taken");
            match Failure::of(&error) {
                Failure::Record if !is_stub => {
                    is_stub = true;
                    continue;
                }
                Failure::Record => tries = KAFKA_DEAD_LETTER_TRIES_MAX,
                Failure::Topic => tries += 1,
                Failure::Now => {}
            }
            if tries >= KAFKA_DEAD_LETTER_TRIES_MAX {
                tracing::error!(kafka = self.name, topic, %error, "a dead letter cannot be delivered: the notice tells of it");
                self.count("undelivered");
                return Ok(Some("undelivered"));
            }
            if puller.is_stopping() {
                return Err(Error::Busy { what: "dead letters" });
            }
            puller.pause(KAFKA_DEAD_LETTER_RETRY_MS).await;
        }
    }

    fn count(&self, outcome: &'static str) {
        let labels = [("kafka", self.name.clone()), ("outcome", outcome.to_string())];
        metrics::counter!("tacho_kafka_dead_letters_total", &labels).increment(1);
    }
}

/// The record as it was, and why it is here.
fn letter<'a>(
    topic: &'a str,
    partition: &Partition,
    record: &'a Record,
    reason: &Reason,
    is_stub: bool,
) -> FutureRecord<'a, [u8], [u8]> {
    let (number, offset) = (partition.number.to_string(), record.mark.offset.to_string());
    let (digest, bytes) = (hex(&record.mark.digest), record.value().len().to_string());
    let mut headers = record.headers.clone().filter(|_| !is_stub).unwrap_or_default();
    let ours = [
        ("tachograph-reason", reason.code.name()),
        ("tachograph-detail", &reason.detail),
        ("tachograph-topic", &partition.topic),
        ("tachograph-partition", &number),
        ("tachograph-offset", &offset),
    ];
    let of_stub = [("tachograph-digest", digest.as_str()), ("tachograph-bytes", &bytes)];
    let of_stub = of_stub.into_iter().filter(|_| is_stub);
    for (key, value) in ours.into_iter().chain(of_stub) {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    let payload = record.payload.as_deref().filter(|_| !is_stub);
    let key = record.key.as_deref().filter(|_| !is_stub);
    FutureRecord { topic, partition: None, payload, key, timestamp: None, headers: Some(headers) }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Headers as _, OwnedHeaders};

    use super::super::place::Mark;
    use super::*;

    fn record() -> Record {
        let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some("t-1") });
        let headers = headers.insert(Header { key: "none", value: None::<&str> });
        let mark = Mark { offset: 7, digest: [1; 16] };
        Record { mark, key: Some(b"k".to_vec()), payload: None, headers: Some(headers) }
    }

    #[test]
    fn a_letter_is_the_record_as_it_was() {
        let partition = Partition { topic: "calls".to_string(), number: 3 };
        let (record, reason) = (record(), Reason::new(Code::BadJson, "the record is empty"));
        let whole = letter("dead", &partition, &record, &reason, false);
        assert_eq!((whole.key, whole.payload), (Some(b"k".as_slice()), None), "no value is not an empty one");
        let headers = whole.headers.unwrap();
        let names: Vec<_> = headers.iter().map(|header| header.key).collect();
        assert_eq!(names[..3], ["trace", "none", "tachograph-reason"]);
        assert_eq!(headers.get(1).value, None);
        // What does not fit goes without what made it large.
        let large = Record { payload: Some(vec![b'x'; 1000]), ..record };
        let stub = letter("dead", &partition, &large, &reason, true);
        assert_eq!((stub.key, stub.payload), (None, None));
        let headers = stub.headers.unwrap();
        let value = |name: &str| headers.iter().find(|header| header.key == name).unwrap().value.unwrap();
        assert_eq!(
            (value("tachograph-bytes"), value("tachograph-offset")),
            (b"1000".as_slice(), b"7".as_slice())
        );
        assert_eq!(value("tachograph-digest"), "01".repeat(16).as_bytes());
    }

    #[test]
    fn what_the_cluster_never_takes_is_told_from_what_it_does_not_take_now() {
        let failure = |code| Failure::of(&KafkaError::MessageProduction(code));
        assert_eq!(failure(RDKafkaErrorCode::MessageSizeTooLarge), Failure::Record);
        assert_eq!(failure(RDKafkaErrorCode::TopicAuthorizationFailed), Failure::Topic);
        assert_eq!(failure(RDKafkaErrorCode::UnknownTopic), Failure::Topic);
        assert_eq!(failure(RDKafkaErrorCode::MessageTimedOut), Failure::Now);
        assert_eq!(failure(RDKafkaErrorCode::AllBrokersDown), Failure::Now);
    }
}
