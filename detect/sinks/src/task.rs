//! One sink at work: it goes through the tenants in turn, a batch of each, until it is told to end.
//!
//! The order of one step, and what a crash after each leaves:
//! 1. A batch is read. Nothing has happened.
//! 2. It is handed over. The other side may have it or not: it is sent again, under the same ids.
//! 3. The state file is written. What was settled is not sent again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use schemas::limits::{
    SINK_BATCHES_A_TURN, SINK_DEAD_RUNS_MAX, SINK_DELIVER_MS_MAX, SINK_DISCOVER_EVERY_MS, SINK_END_MS_MAX,
    SINK_LANES_OPEN_MAX, SINK_TROUBLE_MS,
};
use store::{OwnFiles, Store};
use tokio::sync::{mpsc, watch};

use crate::error::{Error, Result};
use crate::lane::{Lane, Press};
use crate::measure;
use crate::message::Message;
use crate::patience::{Next, Patience};
use crate::settings::Source;
use crate::settle::{Batch, Waits, settle};
use crate::state::State;
use crate::status::Status;
use crate::transport::{Fate, Transport};

mod asks;
mod digests;
mod standing;
mod tenants;
#[cfg(test)]
mod tests;

pub(crate) use asks::Ask;

/// How long a sink that has nothing to do goes without looking for new tenants.
const DISCOVER_EVERY: Duration = Duration::from_millis(SINK_DISCOVER_EVERY_MS);
/// And one that could not read or write.
const TROUBLE: Duration = Duration::from_millis(SINK_TROUBLE_MS);
/// How often the place behind entries that are none of the sink's is written down.
const SAVE_EVERY_ENTRIES: u64 = 100_000;

/// One sink.
pub(crate) struct Task {
    pub store: Store,
    pub press: Press,
    pub transport: Box<dyn Transport>,
    pub files: Arc<OwnFiles>,
    pub state: State,
    pub asks: mpsc::Receiver<Ask>,
    pub stop: watch::Receiver<bool>,
    pub standing: watch::Sender<Status>,
    /// How many times faster time passes.
    pub speed: u32,
    pub lanes: BTreeMap<(String, Kind), Slot>,
    /// Nothing was ever written of this sink: it begins where the configuration says.
    pub is_new: bool,
    /// Entries passed since the state was written.
    pub unsaved: u64,
    /// Those that it takes part in and that have a log.
    pub tenants: Vec<String>,
    /// Why messages wait, by tenant.
    pub failures: BTreeMap<String, String>,
    /// What keeps all of it from going on.
    pub failure: Option<String>,
    /// By the clock that never steps: until when a tenant's digest waits.
    pub digests_wait: BTreeMap<String, i64>,
}

/// What a lane is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// What is asked for once more goes first.
    Again,
    /// What is new.
    Main,
}

/// A lane and what stands in its way.
#[derive(Debug)]
pub(crate) struct Slot {
    lane: Lane,
    patience: Patience,
    /// By the clock that never steps: not before then.
    not_before_us: i64,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There was nothing to do.
    Idle,
    /// Something was settled.
    Moved,
    /// The lane waits, until that clock.
    Waits(i64),
    /// The whole sink waits, for that long.
    Away(Duration),
}

impl Task {
    /// Works until it is told to end.
    pub(crate) async fn run(mut self) {
        let mut wait = Duration::ZERO;
        loop {
            // What could not be read or written may be later; nothing is passed over for it.
            self.failure = match self.round(&mut wait).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(sink = self.name(), %error, "the sink does not go on; it is tried again");
                    wait = TROUBLE;
                    Some(error.to_string())
                }
            };
            self.tell();
            if *self.stop.borrow() {
                break;
            }
            self.sleep(wait).await;
        }
        if let Err(error) = self.state.write(&self.files) {
            tracing::error!(sink = self.name(), %error, "the sink's state was not written at the end; a little is sent again");
        }
    }

    fn name(&self) -> &str {
        &self.press.sink.delivery.name
    }

    /// Waits for so long, or, where that is nothing, until there is something to do.
    async fn sleep(&mut self, wait: Duration) {
        let idle = wait.is_zero();
        let wait = if idle { DISCOVER_EVERY } else { wait / self.speed.max(1) };
        let mut growth: FuturesUnordered<_> = FuturesUnordered::new();
        if idle {
            let stream = self.press.sink.delivery.stream.stream();
            for tenant in &self.tenants {
                if let Some((log, place)) =
                    self.store.existing(tenant, stream).zip(self.state.places.get(tenant))
                {
                    let next = self.next_of(tenant, place);
                    growth.push(async move { log.grown_past(next).await });
                }
            }
        }
        let asked = tokio::select! {
            () = tokio::time::sleep(wait) => None,
            Some(_) = growth.next(), if !growth.is_empty() => None,
            asked = self.asks.recv() => asked,
            _ = self.stop.changed() => None,
        };
        drop(growth);
        if let Some(asked) = asked {
            self.answer(asked);
        }
    }

    /// Once through all tenants, a batch of each lane. Says how long to wait then.
    async fn round(&mut self, wait: &mut Duration) -> Result<()> {
        *wait = Duration::ZERO;
        while let Ok(asked) = self.asks.try_recv() {
            self.answer(asked);
        }
        self.discover();
        if self.is_new {
            // Before anything else: what comes from here on is the sink's, whatever becomes of this process.
            self.save().await?;
            self.is_new = false;
        }
        let (mut is_moving, mut until_us) = (false, None::<i64>);
        for tenant in self.tenants.clone() {
            for kind in [Kind::Again, Kind::Main] {
                match self.turn(&tenant, kind).await? {
                    Step::Idle => {}
                    Step::Moved => is_moving = true,
                    Step::Waits(us) => until_us = Some(until_us.map_or(us, |least| least.min(us))),
                    Step::Away(long) => {
                        *wait = long;
                        return Ok(());
                    }
                }
                if *self.stop.borrow() {
                    return Ok(());
                }
            }
            if let Err(error) = self.digest(&tenant).await {
                tracing::error!(sink = self.name(), tenant, %error, "a digest could not be made; it is tried again");
            }
        }
        if is_moving {
            *wait = Duration::from_nanos(1);
        } else if let Some(until_us) = until_us {
            let us = until_us.saturating_sub(self.store.clock().monotonic_us()).max(1);
            *wait = Duration::from_micros(us.unsigned_abs())
                .min(DISCOVER_EVERY.saturating_mul(self.speed.max(1)));
        }
        if !is_moving && self.unsaved > 0 {
            self.save().await?;
        }
        Ok(())
    }

    /// Several batches of one lane, so that a file that was opened is used; then others have their turn.
    async fn turn(&mut self, tenant: &str, kind: Kind) -> Result<Step> {
        let mut turn = Step::Idle;
        for _ in 0..SINK_BATCHES_A_TURN {
            match self.step(tenant, kind).await? {
                Step::Moved => turn = Step::Moved,
                Step::Idle => break,
                other => return Ok(other),
            }
            if *self.stop.borrow() || !self.asks.is_empty() {
                break;
            }
        }
        let open = self.lanes.values().filter(|slot| !slot.lane.is_dry()).count();
        if open > SINK_LANES_OPEN_MAX
            && let Some(slot) = self.lanes.get_mut(&(tenant.to_owned(), kind))
        {
            slot.lane.close();
        }
        Ok(turn)
    }

    /// One batch of one lane.
    async fn step(&mut self, tenant: &str, kind: Kind) -> Result<Step> {
        let key = (tenant.to_owned(), kind);
        let Some(mut slot) = self.take_slot(&key) else { return Ok(Step::Idle) };
        if slot.not_before_us > self.store.clock().monotonic_us() {
            let until_us = slot.not_before_us;
            self.lanes.insert(key, slot);
            return Ok(Step::Waits(until_us));
        }
        let stepped = self.step_slot(tenant, kind, &mut slot).await;
        let step = match stepped {
            Ok(step) => step,
            // One tenant's trouble is not another's. The lane begins again where it is settled.
            Err(error) => {
                tracing::error!(sink = self.name(), tenant, %error, "the sink does not go on with a tenant; it is tried again");
                self.waits(tenant, &error.to_string());
                slot.lane.close();
                slot.not_before_us = self.later_us();
                Step::Waits(slot.not_before_us)
            }
        };
        let head = self.state.places.get(tenant).and_then(|place| place.again.first());
        let is_kept = match kind {
            Kind::Main => true,
            // What is at the head now may be another range, or none.
            Kind::Again => head.is_some_and(|again| slot.lane.is(again.next, again.end)),
        };
        if is_kept {
            self.lanes.insert(key, slot);
        }
        Ok(step)
    }

    /// When what went wrong is tried again, by the clock that never steps.
    fn later_us(&self) -> i64 {
        let us = i64::try_from(TROUBLE.as_micros())
            .unwrap_or(i64::MAX)
            .saturating_mul(i64::from(self.speed.max(1)));
        self.store.clock().monotonic_us().saturating_add(us)
    }

    /// The lane, made where it is not there yet.
    fn take_slot(&mut self, key: &(String, Kind)) -> Option<Slot> {
        let place = self.state.places.get(&key.0)?;
        if let Some(slot) = self.lanes.remove(key) {
            return Some(slot);
        }
        let lane = match key.1 {
            Kind::Main => Lane::new(&key.0, &place.log, place.next, None),
            Kind::Again => {
                let again = place.again.first()?;
                Lane::new(&key.0, &place.log, again.next, Some(again.end))
            }
        };
        Some(Slot { lane, patience: Patience::default(), not_before_us: i64::MIN })
    }

    async fn step_slot(&mut self, tenant: &str, kind: Kind, slot: &mut Slot) -> Result<Step> {
        if slot.lane.is_dry() && !self.feed(tenant, &mut slot.lane) && slot.lane.waits_since_us().is_none() {
            return Ok(Step::Idle);
        }
        let room = self.room(tenant);
        if room == 0 {
            let full = Error::Full { sink: self.name().to_owned(), tenant: tenant.to_owned() };
            self.waits(tenant, &full.to_string());
            slot.not_before_us = self.later_us();
            return Ok(Step::Waits(slot.not_before_us));
        }
        let most = if slot.patience.is_alone() { 1 } else { self.transport.batch_max().min(room) };
        let log = self.state.places.get(tenant).map_or("", |place| place.log.as_str());
        // What stands here if the read fails: nothing read, at the same place.
        let (next, end) = (slot.lane.next, slot.lane.end());
        let lane = std::mem::replace(&mut slot.lane, Lane::new(tenant, log, next, end));
        let press = self.press.clone();
        let (lane, batch) = blocking(move || {
            let mut lane = lane;
            let batch = lane.batch(&press, most)?;
            Ok((lane, batch))
        })
        .await?;
        slot.lane = lane;
        store::crash_point("sink-batch-made");
        let fates = self.deliver(&batch.messages).await;
        store::crash_point("sink-delivered");
        self.settle(tenant, kind, slot, &batch, fates).await
    }

    /// Gives the lane what the log has now; whether there is anything.
    fn feed(&self, tenant: &str, lane: &mut Lane) -> bool {
        let stream = self.press.sink.delivery.stream;
        let Some(snapshot) = self.store.snapshot(tenant, stream.stream()) else { return false };
        let columns: &'static [&'static str] = match stream {
            Source::Alerts => &crate::alert::COLUMNS,
            Source::Events => &crate::event::COLUMNS,
        };
        lane.feed(snapshot, columns);
        !lane.is_dry()
    }

    /// How many dead letters more there is room for.
    fn room(&self, tenant: &str) -> usize {
        let dead = self.state.places.get(tenant).map_or(0, |place| place.dead.len());
        SINK_DEAD_RUNS_MAX.saturating_sub(dead)
    }

    /// Hands a batch over. A service that ends gives it a moment more.
    async fn deliver(&mut self, messages: &[Message]) -> Vec<Fate> {
        if messages.is_empty() {
            return Vec::new();
        }
        let most = Duration::from_millis(SINK_DELIVER_MS_MAX);
        let mut stop = self.stop.clone();
        let ending = async {
            // Where the sender is gone the service is too.
            drop(stop.wait_for(|stop| *stop).await);
            tokio::time::sleep(Duration::from_millis(SINK_END_MS_MAX)).await;
        };
        tokio::select! {
            fates = tokio::time::timeout(most, self.transport.deliver(messages)) => {
                fates.unwrap_or_else(|_| vec![Fate::away(format!("no answer in {} s", most.as_secs()))])
            }
            () = ending => vec![Fate::away("the service ends")],
        }
    }

    async fn settle(
        &mut self,
        tenant: &str,
        kind: Kind,
        slot: &mut Slot,
        batch: &Batch,
        fates: Vec<Fate>,
    ) -> Result<Step> {
        let mut settled = settle(batch, fates);
        let now_us = self.store.clock().monotonic_us();
        let mut step = if settled.next > batch.from { Step::Moved } else { Step::Idle };
        if let Some(waits) = settled.waits.take() {
            measure::retried(self.name());
            if settled.next > batch.from {
                slot.patience.went_well();
            }
            match slot.patience.waits(&waits, now_us, self.jitter(&waits, now_us)) {
                Next::GiveUp => {
                    let end = waits.index.saturating_add(1);
                    settled.refused.push((settled.next, end, waits.reason.clone()));
                    settled.next = end;
                    slot.patience.went_well();
                    step = Step::Moved;
                }
                Next::Wait(long) if waits.answered || slot.patience.is_apart() => {
                    let us = i64::try_from(long.as_micros()).unwrap_or(i64::MAX);
                    slot.not_before_us = now_us.saturating_add(us);
                    step = Step::Waits(slot.not_before_us);
                }
                Next::Wait(long) => step = Step::Away(long),
            }
            self.waits(tenant, &waits.reason);
        } else if batch.messages.is_empty() {
            // What could not be read can be again, and nothing of it is to be sent.
            self.failures.remove(tenant);
        } else {
            slot.patience.went_well();
            self.went_well(tenant);
        }
        if settled.next == batch.from {
            return Ok(step);
        }
        let wall_us = self.store.clock().wall_us();
        measure::settled(self.name(), settled.taken, settled.refused.len());
        if let Some((_, end, reason)) = settled.refused.first() {
            tracing::warn!(
                sink = self.name(),
                tenant,
                entry = end.saturating_sub(1),
                messages = settled.refused.len(),
                reason,
                "refused: on the list of dead letters"
            );
        }
        if let Some(place) = self.state.places.get_mut(tenant) {
            for (first, end, reason) in &settled.refused {
                place.bury(*first, *end, reason, wall_us);
            }
        }
        slot.lane.settled(settled.next);
        let is_written = settled.taken + settled.refused.len() > 0;
        self.moved(tenant, kind, batch.from, settled.next);
        if is_written || self.unsaved >= SAVE_EVERY_ENTRIES {
            self.save().await?;
        }
        store::crash_point("sink-settled");
        Ok(step)
    }

    /// Notes how far a lane is.
    fn moved(&mut self, tenant: &str, kind: Kind, from: u64, next: u64) {
        self.unsaved = self.unsaved.saturating_add(next.saturating_sub(from).max(1));
        let Some(place) = self.state.places.get_mut(tenant) else { return };
        match kind {
            Kind::Main => place.next = next,
            Kind::Again => {
                if let Some(again) = place.again.first_mut() {
                    again.next = next;
                }
                place.again.retain(|again| again.next < again.end);
            }
        }
    }

    async fn save(&mut self) -> Result<()> {
        let (state, files) = (self.state.clone(), Arc::clone(&self.files));
        blocking(move || state.write(&files)).await?;
        self.unsaved = 0;
        Ok(())
    }

    /// Where within a wait this sink comes back: another moment each time, without a source of chance.
    fn jitter(&self, waits: &Waits, now_us: i64) -> u32 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.press.context.installation.as_bytes());
        hasher.update(self.name().as_bytes());
        hasher.update(&waits.index.to_le_bytes());
        hasher.update(&now_us.to_le_bytes());
        let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("sink", &self.name()).finish_non_exhaustive()
    }
}

/// Runs what reads or writes files on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(Error::Panicked(error.to_string())),
        // The runtime is going down.
        Err(_) => Err(Error::Closed),
    }
}
