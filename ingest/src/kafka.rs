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
//! - A record that cannot be taken is on the dead-letter topic before the cursor passes it, and a notice says where it was.
//! - What is buffered of a revoked partition is dropped; its next owner reads it again.
//!
//! Two writers of one group have a log each: a partition that goes from one to the other goes on at the other's own cursor,
//! or where it has none at the group's offset, which is not ahead of what the first recorded. So nothing is missed
//! between them, and what the first recorded after its last commit may be in both.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use schemas::limits::{KAFKA_ANSWER_TIMEOUT_MS, KAFKA_LINGER_MS, KAFKA_PAUSE_AFTER_MS};
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
mod settings;

use buffer::{Buffer, Partition, Reading, Record};
use context::Context;
use dead_letter::{DeadLetters, Reason};

pub use settings::{Kafka, Sasl, Tls};

/// First part of the names of its cursors, and of column `source`.
const COLLECTOR: &str = "kafka";

/// A consumer at work.
struct Reader {
    kafka: Kafka,
    puller: Puller,
    log: Log,
    consumer: std::sync::Arc<StreamConsumer<Context>>,
    dead_letters: DeadLetters,
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
        let context = Context::new(&self.name, log.clone());
        let origin = log.origin();
        let member =
            format!("{}-{}-{}-{}", origin.installation(), origin.writer(), origin.tenant(), self.name);
        let consumer: StreamConsumer<Context> =
            self.consumer(&member)?.create_with_context(context).map_err(|error| self.refused(&error))?;
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| self.refused(&error))?;
        let dead_letters = DeadLetters::new(&self)?;
        let consumer = std::sync::Arc::new(consumer);
        let reader = Reader { kafka: self, puller, log, consumer, dead_letters };
        let result = match reader.run().await {
            // There was no room before the service ends: nothing was recorded, and it is read again.
            Err(error) if error.is_busy() && reader.puller.is_stopping() => Ok(()),
            result => result,
        };
        // Leaving the group waits for the cluster.
        let closed = tokio::task::spawn_blocking(move || drop(reader)).await;
        closed.map_err(|error| Error::Worker { reason: error.to_string() })?;
        result
    }
}

impl Reader {
    async fn run(&self) -> Result<(), Error> {
        let mut buffer = Buffer::default();
        let linger_us = i64::try_from(KAFKA_LINGER_MS).unwrap_or(i64::MAX) * 1000;
        let mut since_us = None;
        while !self.puller.is_stopping() {
            self.receive(&mut buffer, Duration::from_millis(KAFKA_LINGER_MS)).await?;
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
    async fn receive(&self, buffer: &mut Buffer, wait: Duration) -> Result<bool, Error> {
        let received = tokio::time::timeout(wait, self.consumer.recv()).await;
        // What changed before this message was given out is known before it.
        let changed =
            buffer.change(self.consumer.context().take_changes()).map_err(|detail| self.failed(&detail))?;
        match received {
            Ok(Ok(message)) => buffer.push(&message),
            Ok(Err(KafkaError::MessageConsumptionFatal(code))) => return Err(self.failed(&code.to_string())),
            Ok(Err(error)) => {
                // It reconnects by itself.
                tracing::warn!(kafka = self.kafka.name, %error, "nothing comes for now");
                metrics::counter!("tacho_kafka_errors_total", "kafka" => self.kafka.name.clone())
                    .increment(1);
                self.puller.pause(KAFKA_LINGER_MS).await;
            }
            Err(_nothing_came) => {}
        }
        Ok(changed)
    }

    fn failed(&self, detail: &str) -> Error {
        Error::Source { detail: format!("kafka {}: {detail}", self.kafka.name) }
    }

    /// Records a batch and serves the group meanwhile; where there is no room for it, or the next is full, all partitions
    /// pause.
    async fn record_while_polling(
        &self,
        batch: Vec<(Partition, Reading)>,
        buffer: &mut Buffer,
    ) -> Result<(), Error> {
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
        result
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
        let mut notices = Vec::new();
        let mut steps = Vec::new();
        let mut positions = TopicPartitionList::new();
        for (partition, reading) in &batch {
            let name = partition.cursor_name(&self.kafka.name)?;
            let from = self.log.cursor(&name);
            let at = from.as_deref().and_then(|at| at.parse::<i64>().ok());
            notices.extend(self.gap(partition, reading, at).await);
            let began_anew = began_anew(reading, at);
            // What an append that was on its way when the partition came back has recorded meanwhile.
            let fresh = |record: &&Record| began_anew || at.is_none_or(|at| record.offset >= at);
            let before = places.len();
            for record in reading.records.iter().filter(fresh) {
                parts.push(&record.payload);
                places.push((partition, record));
            }
            let Some((_, last)) = places.get(before..).and_then(<[_]>::last) else { continue };
            let next = last.offset + 1;
            steps.push(Cursor { name, from, to: Some(next.to_string()) });
            positions
                .add_partition_offset(&partition.topic, partition.number, Offset::Offset(next))
                .map_err(|error| self.failed(&error.to_string()))?;
        }
        if places.is_empty() {
            return Ok(());
        }
        let reservation = self.puller.reserve(parts.bytes.len()).await?;
        let prepared = self.puller.prepare(parts).await?;
        let dead = dead(&prepared.refused, &places);
        for (place, reason) in &dead {
            if let Some((partition, record)) = places.get(*place) {
                self.dead_letters.send(&self.puller, partition, record, reason).await?;
            }
        }
        // A record of nothing has no value that could be refused.
        let empty = dead.iter().filter(|(place, _)| is_blank(&places, *place)).count() as u64;
        notices.extend(self.refused(&dead, &places));
        let recorded = self.puller.record(&prepared, &notices, &steps, empty).await;
        drop(reservation);
        recorded?;
        if let Err(error) = self.consumer.commit(&positions, CommitMode::Async) {
            tracing::debug!(kafka = self.kafka.name, %error, "the group's offsets were not committed");
        }
        Ok(())
    }

    /// Notices of dead records, one a partition.
    fn refused(&self, dead: &[(usize, Reason)], places: &[(&Partition, &Record)]) -> Vec<Notice> {
        let mut by_partition: std::collections::BTreeMap<&Partition, Vec<serde_json::Value>> =
            Default::default();
        for (place, reason) in dead {
            if let Some((partition, record)) = places.get(*place) {
                let told = json!({ "offset": record.offset, "code": reason.code.name() });
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

    /// A notice where the topic no longer has what the log would go on with, or began anew.
    async fn gap(&self, partition: &Partition, reading: &Reading, at: Option<i64>) -> Option<Notice> {
        let first = reading.records.first()?.offset;
        let is_first = |at: &i64| reading.is_fresh && reading.assigned_at == Some(*at) && first != *at;
        let at = at.filter(|at| reading.has_fallen || is_first(at))?;
        let (consumer, of) = (std::sync::Arc::clone(&self.consumer), partition.clone());
        let timeout = Duration::from_millis(KAFKA_ANSWER_TIMEOUT_MS);
        let asked = move || consumer.fetch_watermarks(&of.topic, of.number, timeout);
        let low = match tokio::task::spawn_blocking(asked).await {
            Ok(Ok((low, _))) => low,
            // Unknown: what is said is what was seen.
            _ => first,
        };
        // Offsets between two records may be those of transactions or of what was compacted.
        let has_fallen = began_anew(reading, Some(at));
        if !has_fallen && low <= at {
            return None;
        }
        let what = if has_fallen { "began_anew" } else { "gap" };
        tracing::warn!(
            kafka = self.kafka.name,
            topic = partition.topic,
            partition = partition.number,
            at,
            first,
            what
        );
        let missing = low.saturating_sub(at).max(0);
        let more = json!({ "status": "error", "expected": at, "found": first, "missing": missing });
        Some(Notice { what, target: target(partition), more })
    }
}

/// Whether a partition has offsets again that the log has passed: its topic was made anew.
fn began_anew(reading: &Reading, at: Option<i64>) -> bool {
    let first = reading.records.first().map(|record| record.offset);
    reading.has_fallen || (reading.is_fresh && at.is_some() && reading.assigned_at == at && first < at)
}

fn target(partition: &Partition) -> String {
    format!("{}/{}", partition.topic, partition.number)
}

fn is_blank(places: &[(&Partition, &Record)], place: usize) -> bool {
    places.get(place).is_some_and(|(_, record)| record.payload.trim_ascii().is_empty())
}

/// The records that are not taken, each with the first reason: a value of it was refused, or it has none.
fn dead(refused: &[crate::parse::Refused], places: &[(&Partition, &Record)]) -> Vec<(usize, Reason)> {
    let mut dead: Vec<(usize, Reason)> = Vec::new();
    for refused in refused {
        if dead.last().is_none_or(|(place, _)| *place != refused.part) {
            dead.push((refused.part, Reason { code: refused.code, detail: refused.detail.clone() }));
        }
    }
    let blank = (0..places.len()).filter(|place| is_blank(places, *place));
    dead.extend(
        blank.map(|place| (place, Reason { code: Code::BadJson, detail: "the record is empty".to_string() })),
    );
    dead.sort_by_key(|(place, _)| *place);
    dead
}
