//! What collectors that read have in common: a batch is parsed, what is refused becomes a notice, and all of it is
//! appended together with the place that the source has been read up to.
//!
//! Invariants
//! - A place stands behind an entry. A batch of nothing but refused or duplicate values is followed by a notice that says so,
//!   and the place rides with that.
//! - A notice says where, how many and why; it quotes nothing of what was refused.
//! - No room is waited for: nothing is read meanwhile, nothing is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::limits::{CURSORS_APPEND_MAX, PULL_PLACES_MAX, PULL_RETRY_MS};
use schemas::principal::{Principal, Role};
use schemas::{CursorName, Stream};
use serde_json::json;
use store::{Cursor, Log};
use tokio::sync::watch;

use crate::error::Error;
use crate::http::Ingest;
use crate::mapping::Mapping;
use crate::measure::{self, Outcome};
use crate::parse::{Context, ParsedParts, Parts, Refused, parse_parts};
use crate::rejected::Code;
use crate::rim;

/// One source of one tenant.
#[derive(Debug, Clone)]
pub(crate) struct Puller {
    ingest: Ingest,
    principal: Principal,
    mapping: Option<Mapping>,
    stop: watch::Receiver<bool>,
}

/// What is to be recorded of a source itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// `method` of the event.
    pub(crate) what: &'static str,
    /// Of the source: a path, a topic and partition.
    pub(crate) target: String,
    /// What else is to be said.
    pub(crate) more: serde_json::Value,
}

/// A batch that was parsed.
#[derive(Debug)]
pub(crate) struct Prepared {
    parts: Arc<Parts>,
    draft: Option<store::Draft>,
    /// Every value that is not taken.
    pub(crate) refused: Vec<Refused>,
    /// Events, good or bad.
    received: u64,
}

impl Puller {
    /// For `tenant`, reading as `collector`; `name` says which source in column `source`.
    pub(crate) fn new(
        ingest: Ingest,
        (collector, name): (&'static str, &str),
        tenant: &str,
        mapping: Option<Mapping>,
        stop: watch::Receiver<bool>,
    ) -> Puller {
        let principal = Principal {
            id: name.to_string(),
            role: Role::Collector,
            tenant: tenant.to_string(),
            source_ip: None,
            door: collector,
        };
        Puller { ingest, principal, mapping, stop }
    }

    /// The tenant's log of events; waits where there is no room to open it.
    pub(crate) async fn log(&self) -> Result<Log, Error> {
        loop {
            match self.ingest.shared.store.log(&self.principal.tenant, Stream::Events).await {
                Err(error) => self.wait_out(error.into()).await?,
                Ok(log) => return Ok(log),
            }
        }
    }

    /// Whether the service ends.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits, or until the service ends.
    pub(crate) async fn pause(&self, ms: u64) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => {}
            // Its sender is gone: the service has ended too.
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Microseconds of a clock that does not step.
    pub(crate) fn monotonic_us(&self) -> i64 {
        self.ingest.shared.options.clock.monotonic_us()
    }

    /// Microseconds of the time of day.
    pub(crate) fn wall_us(&self) -> i64 {
        self.ingest.shared.options.clock.wall_us()
    }

    /// Parses a batch.
    pub(crate) async fn prepare(&self, parts: Parts) -> Result<Prepared, Error> {
        let parts = Arc::new(parts);
        let ParsedParts { draft, refused, received } = self.parse(Arc::clone(&parts), Vec::new()).await?;
        Ok(Prepared { parts, draft, refused, received })
    }

    async fn parse(&self, parts: Arc<Parts>, own: Vec<String>) -> Result<ParsedParts, Error> {
        let this = self.clone();
        let work = move || {
            let tenant = this.ingest.tenant(&this.principal.tenant);
            let context = Context {
                collector: this.principal.door,
                principal: &this.principal,
                mappings: &this.ingest.shared.options.mappings,
                mapping: this.mapping,
                idempotency_key: None,
                line_first: 1,
                now_us: this.ingest.shared.options.clock.wall_us(),
                seed: rim::seed()?,
                redactor: &tenant.redactor,
                sessions: &tenant.sessions,
                countries: this.ingest.shared.options.countries.as_deref(),
            };
            parse_parts(&parts, &own, &context)
        };
        let stopped = |reason: String| Error::Worker { reason };
        let turn = self.ingest.shared.parsers.take(&self.principal.tenant).await;
        let parsed = tokio::task::spawn_blocking(work).await.map_err(|error| stopped(error.to_string()))?;
        drop(turn);
        parsed
    }

    /// Records a batch with `notices`, and that the source has been read up to `cursors`; waits where there is no room.
    /// `also_refused` values never got as far as a part. Whether the cursors are recorded: nothing at all has nothing for
    /// them to stand behind.
    ///
    /// # Errors
    /// [`Error::Store`]: the cursor has moved, the draft is refused, the store takes nothing more, or there was no room
    /// until the service ended. Nothing was recorded then.
    pub(crate) async fn record(
        &self,
        prepared: &Prepared,
        notices: &[Notice],
        cursors: &[Cursor],
        also_refused: u64,
    ) -> Result<bool, Error> {
        let draft =
            if notices.is_empty() { prepared.draft.clone() } else { self.with(prepared, notices).await? };
        let Some(draft) = draft else { return Ok(false) };
        let receipt = self.append(draft, cursors).await?;
        let duplicate = receipt.duplicates.len() as u64;
        // The notices are on record too, and nobody sent them.
        let durable = receipt.count.saturating_sub(notices.len() as u64);
        let mut outcome = Outcome { durable, duplicate, ..Outcome::default() };
        for refused in &prepared.refused {
            outcome.refused.add(refused.code.name(), 1);
        }
        outcome.refused.add(Code::BadJson.name(), also_refused);
        measure::received(prepared.received + also_refused);
        measure::events(&outcome);
        if receipt.count == 0 {
            let notice = Notice {
                what: "duplicates",
                target: cursors.last().map_or_else(String::new, |cursor| cursor.name.to_string()),
                more: json!({ "status": "ok", "duplicates": duplicate }),
            };
            let nothing = Prepared { parts: Arc::default(), draft: None, refused: Vec::new(), received: 0 };
            if let Some(draft) = self.with(&nothing, &[notice]).await? {
                self.append(draft, cursors).await?;
            }
        }
        Ok(true)
    }

    async fn append(&self, draft: store::Draft, cursors: &[Cursor]) -> Result<store::Receipt, Error> {
        loop {
            let log = self.log().await?;
            match log.append_read(draft.clone(), cursors.to_vec()).await {
                Ok(receipt) => return Ok(receipt),
                Err(error) => self.wait_out(error.into()).await?,
            }
        }
    }

    /// Forgets cursors of this source, partition and value of each, and says so in the log; how many there were.
    ///
    /// # Errors
    /// As [`Puller::record`]: a cursor that is no longer where it is said to be is kept, for somebody reads there.
    pub(crate) async fn forget(&self, cursors: BTreeMap<String, String>) -> Result<usize, Error> {
        let (collector, source) = (self.principal.door, self.principal.id.as_str());
        let mut steps = Vec::new();
        for (partition, value) in cursors {
            let name = CursorName::new(collector, source, &partition)?;
            steps.push(Cursor { name, from: Some(value), to: None });
        }
        let nothing = self.prepare(Parts::default()).await?;
        for steps in steps.chunks(CURSORS_APPEND_MAX) {
            let places: Vec<&str> =
                steps.iter().map(|step| step.name.partition()).take(PULL_PLACES_MAX).collect();
            let more = json!({ "status": "ok", "forgotten": steps.len(), "places": places });
            let notice = Notice { what: "forgotten", target: source.to_string(), more };
            self.record(&nothing, &[notice], steps, 0).await?;
        }
        Ok(steps.len())
    }

    /// The draft of a batch and of notices.
    async fn with(&self, prepared: &Prepared, notices: &[Notice]) -> Result<Option<store::Draft>, Error> {
        let now_us = self.ingest.shared.options.clock.wall_us();
        let own = notices.iter().map(|notice| notice.event(&self.principal, now_us)).collect();
        let ParsedParts { draft, refused, .. } = self.parse(Arc::clone(&prepared.parts), own).await?;
        match refused.get(prepared.refused.len()) {
            None => Ok(draft),
            Some(Refused { detail, .. }) => {
                Err(Error::Worker { reason: format!("a notice is no event: {detail}") })
            }
        }
    }

    /// Room for `bytes` of a batch; waits for it.
    ///
    /// # Errors
    /// [`Error::Busy`] when the service ends before there is.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<crate::admit::Reservation, Error> {
        loop {
            match self.ingest.shared.admission.reserve(&self.principal.tenant, bytes) {
                Err(error) => self.wait_out(error).await?,
                Ok(reservation) => return Ok(reservation),
            }
        }
    }

    /// Waits a moment where nothing is wrong but the amount; gives every other error back.
    async fn wait_out(&self, error: Error) -> Result<(), Error> {
        if !error.is_busy() || self.is_stopping() {
            return Err(error);
        }
        metrics::counter!("tacho_pull_waits_total", "collector" => self.principal.door).increment(1);
        self.pause(PULL_RETRY_MS).await;
        Ok(())
    }
}

impl Notice {
    /// That values were refused: how many, and where the first of them are.
    pub(crate) fn refused(target: String, count: u64, places: Vec<serde_json::Value>) -> Notice {
        let places: Vec<_> = places.into_iter().take(PULL_PLACES_MAX).collect();
        let more =
            json!({ "status": "error", "error_class": "validation", "refused": count, "places": places });
        Notice { what: "refused", target, more }
    }

    /// The canonical event.
    fn event(&self, principal: &Principal, now_us: i64) -> String {
        let mut event = json!({
            "time": now_us,
            "kind": "integrity",
            "observer": "import",
            "session_id": format!("{}/{}", principal.door, principal.id),
            "server": principal.id,
            "method": self.what,
            "target": self.target,
        });
        if let (Some(event), Some(more)) = (event.as_object_mut(), self.more.as_object()) {
            event.extend(more.clone());
        }
        event.to_string()
    }
}

#[cfg(test)]
pub(crate) mod rig;
