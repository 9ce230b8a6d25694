//! The Kafka consumer: records of topics, each once.
//!
//! ```text
//! assigned at the log's cursors ─► records of all partitions ─► parse, redact ─► dead letters delivered
//!                                          ▲                                            │
//!                    pause while there is no room ◄── append with the partitions' cursors ◄┘ ─► commit, for lag
//! ```
//! Invariants
//! - The cursors of the partitions are in the write-ahead group of their records: killed at any moment, rebalanced at any
//!   moment, each record is in this log once. The group's offsets follow and are never ahead.
//! - Where reading goes on is never the client's to say: an offset that is gone ends the client, and the next one holds what
//!   is there against the records that the cursor names. From the start only where the topic is another.
//! - A record that cannot be taken is on the dead-letter topic before the cursor passes it, and a notice says where it was;
//!   one that this topic cannot take is told by the notice alone.
//! - What is buffered of a revoked partition is dropped; its next owner reads it again.
//!
//! Two writers of one group have a log each: a partition that goes from one to the other goes on where the group's offset
//! says that a recorder has it, which is not ahead of what that one recorded. So nothing is missed between them, and what the
//! first recorded after its last commit may be in both; its ids are the same there.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use schemas::limits::{CURSORS_APPEND_MAX, KAFKA_LINGER_MS, KAFKA_PAUSE_AFTER_MS, KAFKA_RESTART_MS};
use serde_json::json;
use store::{Cursor, Log};
use tokio::sync::watch;

use crate::error::Error;
use crate::http::Ingest;
use crate::parse::Parts;
use crate::pull::{Notice, Puller};
use crate::rejected::Code;

mod buffer;
mod context;
mod dead_letter;
mod examine;
mod place;
mod settings;

use buffer::{Buffer, Changed, Partition, Reading, Record, Told};
use context::Context;
use dead_letter::{DeadLetters, Reason};
use examine::{has_no_place, metadata};
use place::{Place, hex};

pub use settings::{Kafka, Sasl, Tls};

/// First part of the names of its cursors, and of column `source`.
const COLLECTOR: &str = "kafka";

/// A consumer at work.
struct Reader {
    kafka: Kafka,
    puller: Puller,
    log: Log,
    /// Our name in the group.
    member: String,
    consumer: std::sync::Arc<StreamConsumer<Context>>,
    dead_letters: DeadLetters,
}

/// Why a client ends before the service does.
#[derive(Debug)]
enum Halt {
    /// What is assigned is not where it was: another client looks anew.
    Lost(String),
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Failed(error)
    }
}

impl From<schemas::Error> for Halt {
    fn from(error: schemas::Error) -> Halt {
        Halt::Failed(error.into())
    }
}

impl Kafka {
    /// Consumes until `stop`.
    ///
    /// # Errors
    /// [`Error::Source`] for settings or a client that cannot be; [`Error::Store`] where the store takes nothing more.
    pub async fn run(self, ingest: Ingest, stop: watch::Receiver<bool>) -> Result<(), Error> {
        self.check()?;
        let puller = Puller::new(ingest, (COLLECTOR, &self.name), &self.tenant, self.mapping, stop);
        let log = puller.log().await?;
        let result = loop {
            match self.consume(&puller, &log).await {
                Ok(()) => break Ok(()),
                Err(Halt::Lost(detail)) => {
                    tracing::warn!(kafka = self.name, detail, "the place is looked for anew");
                    metrics::counter!("tacho_kafka_places_lost_total", "kafka" => self.name.clone())
                        .increment(1);
                    puller.pause(KAFKA_RESTART_MS).await;
                    if puller.is_stopping() {
                        break Ok(());
                    }
                }
                Err(Halt::Failed(error)) => break Err(error),
            }
        };
        match result {
            // There was no room before the service ends: nothing was recorded, and it is read again.
            Err(error) if error.is_busy() && puller.is_stopping() => Ok(()),
            result => result,
        }
    }

    /// Consumes with one client.
    async fn consume(&self, puller: &Puller, log: &Log) -> Result<(), Halt> {
        let refused = |error| self.refused(&error);
        let origin = log.origin();
        let member =
            format!("{}-{}-{}-{}", origin.installation(), origin.writer(), origin.tenant(), self.name);
        let context = Context::new(&self.name, &member, log.clone(), self.probe()?);
        let consumer: StreamConsumer<Context> =
            self.consumer(&member)?.create_with_context(context).map_err(refused)?;
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let reader = Reader {
            kafka: self.clone(),
            puller: puller.clone(),
            log: log.clone(),
            member,
            consumer: std::sync::Arc::new(consumer),
            dead_letters: DeadLetters::new(self)?,
        };
        reader.make_room().await?;
        reader.consumer.subscribe(&topics).map_err(refused)?;
        let result = reader.run().await;
        // Leaving the group waits for the cluster.
        let closed = tokio::task::spawn_blocking(move || drop(reader)).await;
        closed.map_err(|error| Error::Worker { reason: error.to_string() })?;
        result
    }
}

impl Reader {
    async fn run(&self) -> Result<(), Halt> {
        let mut buffer = Buffer::default();
        let linger_us = i64::try_from(KAFKA_LINGER_MS).unwrap_or(i64::MAX) * 1000;
        let mut since_us = None;
        while !self.puller.is_stopping() {
            self.receive(&mut buffer, Duration::from_millis(KAFKA_LINGER_MS)).await?;
            let told = buffer.take_told();
            if !told.is_empty() {
                self.tell(&told).await?;
            }
            if buffer.is_empty() {
                since_us = None;
                continue;
            }
            let now_us = self.puller.monotonic_us();
            let waited_us = now_us - *since_us.get_or_insert(now_us);
            if buffer.is_full() || waited_us >= linger_us {
                let batch = buffer.take_batch();
                self.record_while_polling(batch, &mut buffer).await?;
                since_us = None;
            }
        }
        Ok(())
    }

    /// Takes in what comes next, if anything does in time; whether the assignment has changed.
    async fn receive(&self, buffer: &mut Buffer, wait: Duration) -> Result<bool, Halt> {
        let received = tokio::time::timeout(wait, self.consumer.recv()).await;
        // What changed before this message was given out is known before it.
        let changed = buffer.change(self.consumer.context().take_changes());
        let changed = match changed.map_err(|detail| self.failed(&detail))? {
            Changed::Lost(detail) => return Err(Halt::Lost(detail)),
            changed => changed == Changed::Something,
        };
        match received {
            Ok(Ok(message)) => buffer.push(&message),
            Ok(Err(KafkaError::MessageConsumptionFatal(code))) => {
                return Err(self.failed(&code.to_string()).into());
            }
            Ok(Err(KafkaError::MessageConsumption(code))) if has_no_place(code) => {
                return Err(Halt::Lost(code.to_string()));
            }
            Ok(Err(error)) => {
                // It reconnects by itself.
                tracing::warn!(kafka = self.kafka.name, %error, "nothing comes for now");
                metrics::counter!("tacho_kafka_errors_total", "kafka" => self.kafka.name.clone())
                    .increment(1);
                self.puller.pause(KAFKA_LINGER_MS).await;
            }
            Err(_nothing_came) => {}
        }
        let repeated = buffer.take_repeated();
        if repeated > 0 {
            metrics::counter!("tacho_kafka_repeated_total", "kafka" => self.kafka.name.clone())
                .increment(repeated);
        }
        Ok(changed)
    }

    fn failed(&self, detail: &str) -> Error {
        Error::Source { detail: format!("kafka {}: {detail}", self.kafka.name) }
    }

    /// Forgets cursors of topics that are not read any more, where the log has hardly room for others.
    async fn make_room(&self) -> Result<(), Error> {
        if self.log.cursor_room() >= CURSORS_APPEND_MAX {
            return Ok(());
        }
        let is_read = |partition: &str| {
            let topic = partition.rsplit_once('-').map(|(topic, _)| topic);
            topic.is_some_and(|topic| self.kafka.topics.iter().any(|read| read == topic))
        };
        let mut cursors = self.log.cursors(COLLECTOR, &self.kafka.name)?;
        cursors.retain(|partition, _| !is_read(partition));
        self.puller.forget(cursors).await?;
        Ok(())
    }

    /// Records what became of partitions that were taken over, and where they go on.
    async fn tell(&self, told: &[Told]) -> Result<(), Halt> {
        let nothing = self.puller.prepare(Parts::default()).await?;
        for told in told.chunks(CURSORS_APPEND_MAX) {
            let (mut notices, mut steps) = (Vec::new(), Vec::new());
            for Told { partition, what, more, step } in told {
                notices.push(Notice { what, target: target(partition), more: more.clone() });
                let Some((from, place)) = step else { continue };
                let name = partition.cursor_name(&self.kafka.name)?;
                // An append that was on its way: what was found is to be held against what it recorded.
                if self.log.cursor(&name) != *from {
                    return Err(Halt::Lost(format!("{name} moved while it was looked at")));
                }
                let step = Cursor { name, from: from.clone(), to: Some(place.to_string()) };
                steps.extend((step.from != step.to).then_some(step));
            }
            self.puller.record(&nothing, &notices, &steps, 0).await?;
        }
        Ok(())
    }

    /// Records a batch and serves the group meanwhile; where there is no room for it, or the next is full, all partitions
    /// pause.
    async fn record_while_polling(
        &self,
        batch: Vec<(Partition, Reading)>,
        buffer: &mut Buffer,
    ) -> Result<(), Halt> {
        let work = self.record(batch);
        tokio::pin!(work);
        let patience = tokio::time::sleep(Duration::from_millis(KAFKA_PAUSE_AFTER_MS));
        tokio::pin!(patience);
        let mut is_paused = false;
        let mut is_late = false;
        let result = loop {
            if (is_late || buffer.is_full()) && !is_paused {
                self.pause(true)?;
                is_paused = true;
            }
            tokio::select! {
                result = &mut work => break result,
                () = &mut patience, if !is_late => is_late = true,
                changed = self.receive(buffer, Duration::from_secs(1)) => {
                    // Partitions that have just come are not paused yet.
                    is_paused &= !changed?;
                }
            }
        };
        if is_paused {
            self.pause(false)?;
        }
        Ok(result?)
    }

    fn pause(&self, pauses: bool) -> Result<(), Error> {
        let assigned = self.consumer.assignment().map_err(|error| self.failed(&error.to_string()))?;
        let done = if pauses { self.consumer.pause(&assigned) } else { self.consumer.resume(&assigned) };
        metrics::gauge!("tacho_kafka_paused", "kafka" => self.kafka.name.clone())
            .set(f64::from(u8::from(pauses)));
        done.map_err(|error| self.failed(&error.to_string()))
    }

    async fn record(&self, batch: Vec<(Partition, Reading)>) -> Result<(), Error> {
        let mut parts = Parts::default();
        let mut places: Vec<(&Partition, &Record)> = Vec::new();
        let mut steps = Vec::new();
        let mut next: Vec<(&Partition, Place)> = Vec::new();
        for (partition, reading) in &batch {
            let name = partition.cursor_name(&self.kafka.name)?;
            let from = self.log.cursor(&name);
            let known = from.as_deref().map(str::parse::<Place>);
            let at = match known {
                Some(Ok(at)) => at,
                Some(Err(())) => return Err(self.failed(&format!("cursor {name} is no place"))),
                None => reading.place.clone(),
            };
            // What an append that was on its way when the partition came back has recorded meanwhile is passed over.
            let fresh = |record: &&Record| record.mark.offset >= at.next;
            let before = places.len();
            for record in reading.records.iter().filter(fresh) {
                parts.push_known(record.value(), id(partition, record));
                places.push((partition, record));
            }
            let Some([(_, first), .., (_, last)] | [(_, first @ last)]) = places.get(before..) else {
                continue;
            };
            let place = at.behind_batch(first.mark, last.mark);
            steps.push(Cursor { name, from, to: Some(place.to_string()) });
            next.push((partition, place));
        }
        if places.is_empty() {
            return Ok(());
        }
        let reservation = self.puller.reserve(parts.bytes.len()).await?;
        let prepared = self.puller.prepare(parts).await?;
        let mut dead = dead(&prepared.refused, &places);
        if !dead.is_empty() {
            // Letters of records that are not going to be passed would be sent without end.
            self.log.check_writable()?;
        }
        for (place, reason) in &mut dead {
            if let Some((partition, record)) = places.get(*place) {
                reason.letter = self.dead_letters.send(&self.puller, partition, record, reason).await?;
            }
        }
        // A record of nothing has no value that could be refused.
        let empty = dead.iter().filter(|(place, _)| is_blank(&places, *place)).count() as u64;
        let notices = self.refused(&dead, &places);
        let recorded = self.puller.record(&prepared, &notices, &steps, empty).await;
        drop(reservation);
        recorded?;
        if let Err(error) = self.commit(&next) {
            tracing::debug!(kafka = self.kafka.name, %error, "the group's offsets were not committed");
        }
        Ok(())
    }

    /// Tells the group how far partitions are recorded, of those that are still ours.
    fn commit(&self, next: &[(&Partition, Place)]) -> Result<(), KafkaError> {
        let assigned = self.consumer.assignment()?;
        let mut positions = TopicPartitionList::new();
        for (partition, place) in next {
            if assigned.find_partition(&partition.topic, partition.number).is_some() {
                let mut position = positions.add_partition(&partition.topic, partition.number);
                position.set_offset(Offset::Offset(place.next))?;
                position.set_metadata(metadata(&self.member, place));
            }
        }
        if positions.count() == 0 {
            return Ok(());
        }
        self.consumer.commit(&positions, CommitMode::Async)
    }

    /// Notices of dead records, one a partition.
    fn refused(&self, dead: &[(usize, Reason)], places: &[(&Partition, &Record)]) -> Vec<Notice> {
        let mut by_partition: std::collections::BTreeMap<&Partition, Vec<serde_json::Value>> =
            Default::default();
        for (place, reason) in dead {
            if let Some((partition, record)) = places.get(*place) {
                let mut told = json!({ "offset": record.mark.offset, "code": reason.code.name() });
                if let (Some(letter), Some(told)) = (reason.letter, told.as_object_mut()) {
                    told.insert("dead_letter".to_string(), letter.into());
                }
                by_partition.entry(partition).or_default().push(told);
                let labels = [("kafka", self.kafka.name.clone()), ("code", reason.code.name().to_string())];
                metrics::counter!("tacho_kafka_refused_total", &labels).increment(1);
            }
        }
        let notice = |(partition, told): (&Partition, Vec<serde_json::Value>)| {
            Notice::refused(target(partition), told.len() as u64, told)
        };
        by_partition.into_iter().map(notice).collect()
    }
}

/// The id of a record that has none of its own: the same wherever and whenever it is recorded.
fn id(partition: &Partition, record: &Record) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(partition.topic.len() as u64).to_be_bytes()).update(partition.topic.as_bytes());
    hasher.update(&partition.number.to_be_bytes()).update(&record.mark.offset.to_be_bytes());
    let mut digest = place::Digest::default();
    hasher.update(&record.mark.digest).finalize_xof().fill(&mut digest);
    format!("kafka-{}", hex(&digest))
}

fn target(partition: &Partition) -> String {
    format!("{}/{}", partition.topic, partition.number)
}

fn is_blank(places: &[(&Partition, &Record)], place: usize) -> bool {
    places.get(place).is_some_and(|(_, record)| record.value().trim_ascii().is_empty())
}

/// The records that are not taken, each with the first reason: a value of it was refused, or it has none.
fn dead(refused: &[crate::parse::Refused], places: &[(&Partition, &Record)]) -> Vec<(usize, Reason)> {
    let mut dead: Vec<(usize, Reason)> = Vec::new();
    for refused in refused {
        if dead.last().is_none_or(|(place, _)| *place != refused.part) {
            dead.push((refused.part, Reason::new(refused.code, &refused.detail)));
        }
    }
    let blank = (0..places.len()).filter(|place| is_blank(places, *place));
    dead.extend(blank.map(|place| (place, Reason::new(Code::BadJson, "the record is empty"))));
    dead.sort_by_key(|(place, _)| *place);
    dead
}

#[cfg(test)]
mod tests;
