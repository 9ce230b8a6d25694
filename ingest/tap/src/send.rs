//! Events from the spool to the service, in order; what ended taps left behind goes first.
//!
//! An event leaves the spool when the service has answered for it: on record (200 means stable storage), known already, or
//! refused with a reason. Everything else is tried again, whatever a proxy on the way says of it. How many were refused is put
//! on record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schemas::limits::{
    TAP_ADOPT_INTERVAL_MS, TAP_DRAIN_MS, TAP_NOTICE_INTERVAL_US, TAP_RETRY_FIRST_MS, TAP_RETRY_LONGEST_MS,
    TAP_SEND_TIMEOUT_MS, TAP_SYNC_INTERVAL_MS,
};

use crate::clock::Clock;
use crate::notice::{Missing, Notices};
use crate::spool::{Batch, Orphan, Position, Spool};

/// What the service answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, seconds.
    pub retry_after_s: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// A way to the service.
pub trait Transport: Send {
    /// Sends events, one a line, to `/v1/events`; gives up after `patience`.
    ///
    /// # Errors
    /// Why there was no answer, for people.
    fn send(&mut self, body: Vec<u8>, patience: Duration) -> Result<Answer, String>;
}

/// What became of events.
#[derive(Debug, Default)]
pub struct Sent {
    /// On record.
    pub durable: AtomicU64,
    /// On record already.
    pub duplicates: AtomicU64,
    /// Refused by the service, with a reason.
    pub refused: AtomicU64,
    /// Of all these, events that ended taps left behind.
    pub adopted: AtomicU64,
    /// Notices that were made here.
    pub noticed: AtomicU64,
}

/// The service's answer to a batch, understood.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// All of it is dealt with.
    Done { durable: u64, duplicates: u64, refused: u64, reason: Option<String> },
    /// Too much for one request, or one bad event spoils it: send it in halves. One event alone is refused by this.
    Halve { reason: String },
    /// Send it again, after so long. A mistake is nothing that passes by itself.
    Again { wait: Option<Duration>, reason: String, is_mistake: bool },
}

/// How long is waited.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Before the second try.
    first: Duration,
    /// Between tries, at most.
    longest: Duration,
    /// For one answer.
    answer: Duration,
    /// For the service, once nothing more comes.
    drain: Duration,
}

/// Sending has to end before everything is sent.
#[derive(Debug, PartialEq, Eq)]
struct Stopped;

/// Sends what the spool holds.
pub struct Sender {
    spool: Spool,
    transport: Box<dyn Transport>,
    sent: Arc<Sent>,
    notices: Notices,
    clock: Clock,
    patience: Patience,
    retry: Duration,
    synced_us: i64,
    complained: bool,
    /// Refused events that are on record as that, and since when.
    refused_told: u64,
    refused_told_us: i64,
    has_told_all: bool,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("spool", &self.spool).finish_non_exhaustive()
    }
}

impl Sender {
    /// From `spool` over `transport`.
    pub fn new(
        spool: Spool,
        transport: Box<dyn Transport>,
        sent: Arc<Sent>,
        notices: Notices,
        clock: Clock,
    ) -> Sender {
        let patience = Patience {
            first: Duration::from_millis(TAP_RETRY_FIRST_MS),
            longest: Duration::from_millis(TAP_RETRY_LONGEST_MS),
            answer: Duration::from_millis(TAP_SEND_TIMEOUT_MS),
            drain: Duration::from_millis(TAP_DRAIN_MS),
        };
        Sender {
            spool,
            transport,
            sent,
            notices,
            clock,
            patience,
            retry: patience.first,
            synced_us: 0,
            complained: false,
            refused_told: 0,
            refused_told_us: 0,
            has_told_all: false,
        }
    }

    /// Sends until the spool is closed and empty, or has been closed for [`TAP_DRAIN_MS`].
    pub fn run(mut self) {
        if self.all().is_ok() {
            self.spool.remove_if_done();
        }
    }

    fn all(&mut self) -> Result<(), Stopped> {
        let mut reader = self.spool.reader();
        let mut adopted_us = None;
        let interval = Duration::from_millis(TAP_ADOPT_INTERVAL_MS);
        loop {
            let now_us = self.clock.now().monotonic_us;
            if adopted_us.is_none_or(|at| now_us - at >= us(interval)) {
                self.adopt()?;
                adopted_us = Some(now_us);
            }
            let batch = match reader.next(Some(self.spool.end())) {
                Ok(batch) => batch,
                Err(error) => {
                    self.pause(None, &format!("the spool cannot be read: {error}"))?;
                    continue;
                }
            };
            if !batch.events.is_empty() {
                let spool = self.spool.clone();
                self.deliver(batch, &mut |position| spool.acknowledge(position))?;
            } else if self.tell_refused(reader.position()) {
                continue;
            } else if self.spool.wait(reader.position(), interval) {
                // A frame that is there and cannot be read: damaged, or its file was removed by somebody else.
                let end = self.spool.end();
                let batch = reader.next(Some(end));
                match batch {
                    Ok(batch) if batch.events.is_empty() && reader.position() < end => {
                        self.pause(None, "what was written to the spool is not there any more")?;
                    }
                    Ok(batch) if batch.events.is_empty() => {}
                    Ok(batch) => {
                        let spool = self.spool.clone();
                        self.deliver(batch, &mut |position| spool.acknowledge(position))?;
                    }
                    Err(error) => self.pause(None, &format!("the spool cannot be read: {error}"))?,
                }
            } else if self.spool.is_closed() && !self.tell_refused(reader.position()) {
                // It may have been closed while this waited for more: what was refused is told all the same.
                return Ok(());
            }
        }
    }

    /// Sends what ended taps left behind.
    fn adopt(&mut self) -> Result<(), Stopped> {
        self.spool.look_at_others();
        'orphans: for mut orphan in self.spool.orphans() {
            let mut reader = orphan.reader();
            loop {
                match reader.next(None) {
                    Ok(batch) if batch.events.is_empty() => break,
                    Ok(batch) => {
                        let count = batch.events.len() as u64;
                        self.deliver(batch, &mut |position| orphan.acknowledge(position))?;
                        self.sent.adopted.fetch_add(count, Ordering::Relaxed);
                    }
                    Err(error) => {
                        let directory = orphan.directory.display();
                        tracing::warn!(%directory, %error, "what an ended tap left cannot be read");
                        // The others are sent all the same; this one stays, and is tried again later.
                        continue 'orphans;
                    }
                }
            }
            self.bury(orphan, reader.broken_bytes());
        }
        Ok(())
    }

    /// Puts on record what an ended tap dropped and did not say, and removes its directory.
    fn bury(&mut self, mut orphan: Orphan, broken_bytes: u64) {
        let dropped = orphan.dropped_unreported();
        let missing = Missing { dropped, broken_bytes, ..Missing::default() };
        if missing != Missing::default() {
            let run = orphan.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let event = self.notices.of_ended_run(missing, &run, self.clock.now());
            if !self.append_notice(event) {
                return;
            }
            orphan.report(dropped);
        }
        orphan.remove();
    }

    fn append_notice(&self, event: Option<String>) -> bool {
        let is_kept = event.is_some_and(|event| self.spool.append_notice(&event, 0));
        self.sent.noticed.fetch_add(u64::from(is_kept), Ordering::Relaxed);
        is_kept
    }

    /// Puts on record how many events were refused: now and then, and once when nothing else is left to send, so that a notice
    /// that is refused as well is the last. True if there is a new notice to send.
    fn tell_refused(&mut self, sent_to: Position) -> bool {
        let refused = self.sent.refused.load(Ordering::Relaxed);
        let missing = Missing { refused: refused - self.refused_told, ..Missing::default() };
        // Once it is closed, its end moves no more but by notices.
        let (now, is_last) = (self.clock.now(), self.spool.is_closed() && sent_to >= self.spool.end());
        let is_time = is_last || now.monotonic_us - self.refused_told_us >= TAP_NOTICE_INTERVAL_US;
        if missing.refused == 0 || !is_time || self.has_told_all {
            return false;
        }
        self.has_told_all = is_last;
        self.refused_told_us = now.monotonic_us;
        let event = self.notices.of_this_run(missing, now);
        let is_kept = self.append_notice(event);
        if is_kept {
            self.refused_told = refused;
        }
        is_kept
    }

    fn deliver(&mut self, batch: Batch, acknowledge: &mut dyn FnMut(Position)) -> Result<(), Stopped> {
        let mut left = vec![batch];
        while let Some(mut batch) = left.pop() {
            let Some(end) = batch.end() else { continue };
            let count = batch.events.len() as u64;
            match self.ask(&batch) {
                Verdict::Done { durable, duplicates, refused, reason } => {
                    acknowledge(end);
                    self.count(durable, duplicates, refused, reason.as_deref());
                }
                Verdict::Halve { .. } if count > 1 => {
                    let second = batch.split();
                    left.extend([second, batch]);
                }
                Verdict::Halve { reason } => {
                    acknowledge(end);
                    self.count(0, 0, count, Some(&reason));
                }
                Verdict::Again { wait, reason, is_mistake } => {
                    self.complain(&reason, is_mistake);
                    self.pause(wait, &reason)?;
                    left.push(batch);
                    continue;
                }
            }
            self.retry = self.patience.first;
        }
        Ok(())
    }

    fn ask(&mut self, batch: &Batch) -> Verdict {
        match self.transport.send(batch.body(), self.patience_now()) {
            Ok(answer) => verdict(&answer, batch.events.len() as u64),
            Err(reason) => Verdict::Again { wait: None, reason, is_mistake: false },
        }
    }

    /// For one answer: once nothing more comes, no longer than is left of the time for all of them.
    fn patience_now(&self) -> Duration {
        let Patience { first, answer, drain, .. } = self.patience;
        let Some(since_us) = self.spool.closed_since_us() else { return answer };
        drain.saturating_sub(Duration::from_micros(since_us.unsigned_abs())).clamp(first, answer)
    }

    fn count(&self, durable: u64, duplicates: u64, refused: u64, reason: Option<&str>) {
        self.sent.durable.fetch_add(durable, Ordering::Relaxed);
        self.sent.duplicates.fetch_add(duplicates, Ordering::Relaxed);
        self.sent.refused.fetch_add(refused, Ordering::Relaxed);
        if refused > 0 {
            tracing::warn!(refused, reason, "the service refused events");
        }
    }

    /// Once: the tap works without the service, and its standard error is the server's.
    fn complain(&mut self, reason: &str, is_mistake: bool) {
        if is_mistake && !self.complained {
            self.complained = true;
            tracing::warn!(reason, "the service does not take events; they are kept");
        } else {
            tracing::info!(reason, "the service does not take events yet; they are kept");
        }
    }

    /// Waits before the next try; in the meantime what is written is made safe from power cuts.
    fn pause(&mut self, wait: Option<Duration>, reason: &str) -> Result<(), Stopped> {
        let since_us = self.spool.closed_since_us();
        if since_us.is_some_and(|since_us| since_us >= us(self.patience.drain)) {
            tracing::warn!(reason, "not everything was sent; the next tap sends it");
            self.spool.sync();
            return Err(Stopped);
        }
        let was_closed = since_us.is_some();
        let mut rest = wait.unwrap_or(self.retry).max(self.retry).min(self.patience.longest);
        self.retry = (self.retry * 2).min(self.patience.longest);
        // In short steps: the server may end meanwhile, and after that every step is a try.
        while !rest.is_zero() {
            self.make_safe();
            let step = self.patience.first.min(rest);
            std::thread::sleep(step);
            rest = rest.saturating_sub(step);
            if was_closed || self.spool.is_closed() {
                break;
            }
        }
        Ok(())
    }

    /// Syncs the spool, and looks how much room others leave, now and then.
    fn make_safe(&mut self) {
        let now_us = self.clock.now().monotonic_us;
        if now_us - self.synced_us >= us(Duration::from_millis(TAP_SYNC_INTERVAL_MS)) {
            self.spool.sync();
            self.spool.look_at_others();
            self.synced_us = now_us;
        }
    }
}

fn us(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// What an answer to `count` events means.
fn verdict(answer: &Answer, count: u64) -> Verdict {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let number = |name: &str| body.get(name).and_then(serde_json::Value::as_u64);
    let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str);
    let reason = format!("{} {}", answer.status, text("detail").or(text("code")).unwrap_or_default());
    // Whatever stands between answers as it likes: only the recorder's own word makes an event go.
    let of_recorder = |code: &&str| text("type") == Some(&format!("urn:tachograph:problem:{code}"));
    let code = text("code").filter(of_recorder);
    let first_refused = || {
        let rejected = body.get("rejected").and_then(|rejected| rejected.get(0))?;
        Some(format!("{}: {}", rejected.get("code")?.as_str()?, rejected.get("detail")?.as_str()?))
    };
    match (answer.status, code) {
        (200, _) => match (number("accepted"), number("duplicates"), number("rejected_count")) {
            (Some(durable), Some(duplicates), Some(refused)) if durable + duplicates + refused == count => {
                Verdict::Done { durable, duplicates, refused, reason: first_refused() }
            }
            // Whoever answers so is not the recorder, and nothing is known to be safe.
            _ => {
                let reason = "200 without the counts that the recorder gives".to_string();
                Verdict::Again { wait: None, reason, is_mistake: true }
            }
        },
        (400, Some("nothing_usable")) => Verdict::Done {
            durable: 0,
            duplicates: 0,
            refused: count,
            reason: first_refused().or(Some(reason)),
        },
        (413, Some("too_large")) | (422, Some("refused")) => Verdict::Halve { reason },
        // A proxy may take less in one request than the recorder does; halves lose nothing, and one event is tried again.
        (413, None) if count > 1 => Verdict::Halve { reason },
        (status, _) => {
            let is_mistake = (300..500).contains(&status) && !matches!(status, 408 | 429);
            Verdict::Again { wait: answer.retry_after_s.map(Duration::from_secs), reason, is_mistake }
        }
    }
}

#[cfg(test)]
mod tests;
