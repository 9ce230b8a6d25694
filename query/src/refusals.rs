//! Refusals on their way to the access log: no flood of them fills the disk, and none is forgotten.
//!
//! The first refusals of a principal are entries of their own, on stable storage before it is told. Further ones within
//! the same window are counted, and recorded as sums when the window ends or the process goes down. What could not be
//! recorded is counted too, so that it is in a later sum. What is let through does not come here: it is never summed.
//! Whoever has not shown who it is goes by its network, is not waited for, and takes no room from those who have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::limits;
use schemas::principal::{Principal, Role, STRANGER};
use tokio_util::task::TaskTracker;

use crate::access::{Access, AccessLog};
use crate::{Error, Result};

mod sum;

use sum::{Kind, Sum, Who};

/// Time after which sums are recorded.
const WINDOW: Duration = Duration::from_millis(limits::QUERY_REFUSED_WINDOW_MS);

/// The refusals of every tenant.
pub(crate) struct Refusals {
    access: AccessLog,
    windows: Mutex<Windows>,
    /// Held while sums are written, so that whoever waits for them waits for those that somebody else has taken.
    writing: tokio::sync::Mutex<()>,
}

/// The window that is open, if there is one.
#[derive(Debug, Default)]
struct Windows {
    tenants: HashMap<String, Tenant>,
    /// Whether a task waits for the end of the window.
    is_watched: bool,
}

/// One tenant's window.
#[derive(Debug, Default)]
struct Tenant {
    known: Part,
    strangers: Part,
}

#[derive(Debug, Default)]
struct Part {
    recorded: u64,
    by: HashMap<Who, Tally>,
}

/// How much of a part there may be.
struct Most {
    /// Entries of their own, for each.
    each: u64,
    /// Entries of their own, for all together.
    all: u64,
    /// Tallies.
    apart: usize,
}

/// Who may ask is known to those who let it: there is no end of strangers, but one of principals.
const KNOWN: Most = Most {
    each: limits::QUERY_REFUSED_RECORDED_MAX,
    all: u64::MAX,
    apart: limits::QUERY_REFUSED_PRINCIPALS_MAX,
};
/// As for refused logins.
const STRANGERS: Most = Most {
    each: limits::LOGIN_RECORDED_EACH_MAX,
    all: limits::LOGIN_RECORDED_MAX,
    apart: limits::LOGIN_SUMMED_MAX,
};
/// In whose access log strangers are.
const STRANGERS_TENANT: &str = "default";

/// What one principal was refused within a window.
#[derive(Debug, Default)]
struct Tally {
    recorded: u64,
    sums: HashMap<Kind, Sum>,
}

impl Part {
    /// The tally of `who`, or of all who find no room.
    fn tally(&mut self, who: &Who, most: &Most) -> (Who, &mut Tally) {
        let has_room = self.by.len() < most.apart || self.by.contains_key(who);
        let who = if has_room { who.clone() } else { Who::Others { is_known: who.is_known() } };
        (who.clone(), self.by.entry(who).or_default())
    }
}

impl Tenant {
    fn part(&mut self, who: &Who) -> (&mut Part, &'static Most) {
        if who.is_known() { (&mut self.known, &KNOWN) } else { (&mut self.strangers, &STRANGERS) }
    }

    /// Takes one more refusal for an entry of its own, if there is room for one.
    fn claim(&mut self, who: &Who) -> bool {
        let (part, most) = self.part(who);
        let is_full = part.recorded >= most.all;
        let (who, tally) = part.tally(who, most);
        let is_apart = !matches!(who, Who::Others { .. });
        let has_room = is_apart && !is_full && tally.recorded < most.each;
        tally.recorded += u64::from(has_room);
        part.recorded += u64::from(has_room);
        has_room
    }

    fn add(&mut self, kind: &Kind, sum: Sum) {
        let (part, most) = self.part(&kind.who);
        let (who, tally) = part.tally(&kind.who, most);
        match tally.sums.entry(Kind { who, ..kind.clone() }) {
            Entry::Occupied(mut own) => own.get_mut().merge(sum),
            Entry::Vacant(place) => drop(place.insert(sum)),
        }
    }

    /// Takes the sums out; who has had entries of its own gets no new ones.
    fn sums(&mut self) -> impl Iterator<Item = (Kind, Sum)> {
        let tallies = self.known.by.values_mut().chain(self.strangers.by.values_mut());
        tallies.flat_map(|tally| tally.sums.drain())
    }
}

impl Refusals {
    /// None yet; they go to `access`.
    pub(crate) fn new(access: AccessLog) -> Arc<Refusals> {
        Arc::new(Refusals { access, windows: Mutex::default(), writing: tokio::sync::Mutex::default() })
    }

    /// Puts a refusal on the access log, or counts it. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`crate::Error::Unaudited`] for one that was to be an entry of its own and is none; it is counted.
    pub(crate) async fn record(self: &Arc<Self>, refusal: Access<'_>) -> Result<()> {
        let kind = Kind::of(&refusal);
        let sum = Sum::of(&refusal, self.access.now_us());
        match self.claim(&refusal.principal.tenant, &kind.who) {
            true => self.record_one(refusal, &kind, sum).await,
            false => {
                self.add(&refusal.principal.tenant, &kind, sum);
                Ok(())
            }
        }
    }

    /// The same for somebody who has not shown who it is. Returns at once: what is written is one of `tasks`, and no more than
    /// a few of a window are.
    pub(crate) fn note(
        self: &Arc<Self>,
        (door, address): (&'static str, IpAddr),
        action: &'static str,
        error: Error,
        tasks: &TaskTracker,
    ) {
        let principal = Principal {
            id: STRANGER.to_string(),
            role: Role::Operator,
            tenant: STRANGERS_TENANT.to_string(),
            source_ip: Some(address.to_string()),
            door,
        };
        let query_id = self.access.new_query_id();
        let refusal =
            Access { is_role_known: false, ..Access::refusal(&principal, &query_id, action, &error) };
        let (kind, sum) = (Kind::of(&refusal), Sum::of(&refusal, self.access.now_us()));
        if !self.claim(&principal.tenant, &kind.who) {
            return self.add(&principal.tenant, &kind, sum);
        }
        let refusals = Arc::clone(self);
        tasks.spawn(async move {
            let refusal = Access::refusal(&principal, &query_id, action, &error);
            let refusal = Access { is_role_known: false, ..refusal };
            // What is not written is counted, and that it is not was told already.
            refusals.record_one(refusal, &kind, sum).await.ok();
        });
    }

    /// Puts one on the access log that has claimed an entry of its own.
    async fn record_one(self: &Arc<Self>, refusal: Access<'_>, kind: &Kind, sum: Sum) -> Result<()> {
        let principal = refusal.principal;
        self.access.record(refusal).await.inspect_err(|_| self.add(&principal.tenant, kind, sum))
    }

    /// Records all sums now: before a process exits.
    pub(crate) async fn finish(&self) {
        let _turn = self.writing.lock().await;
        // Who has had its entries for this minute gets no new ones: the window stays open.
        let sums = Self::take(&mut self.lock());
        self.write(sums).await;
    }

    /// Ends the window; whether another may be open.
    async fn end_window(&self) -> bool {
        let _turn = self.writing.lock().await;
        let sums = {
            let mut windows = self.lock();
            windows.is_watched = !windows.tenants.is_empty();
            if !windows.is_watched {
                return false;
            }
            let sums = Self::take(&mut windows);
            windows.tenants.clear();
            sums
        };
        self.write(sums).await;
        true
    }

    fn take(windows: &mut Windows) -> Vec<(String, Kind, Sum)> {
        let mut taken = Vec::new();
        for (tenant, window) in &mut windows.tenants {
            taken.extend(window.sums().map(|(kind, sum)| (tenant.clone(), kind, sum)));
        }
        taken
    }

    async fn write(&self, sums: Vec<(String, Kind, Sum)>) {
        for (tenant, kind, sum) in sums {
            if self.record_sum(&tenant, &kind, &sum).await.is_err() {
                self.lock().tenants.entry(tenant).or_default().add(&kind, sum);
            }
        }
    }

    async fn record_sum(&self, tenant: &str, kind: &Kind, sum: &Sum) -> Result<()> {
        let (id, role) = kind.who.on_record();
        let principal = Principal {
            id,
            role: role.unwrap_or(Role::Operator),
            tenant: tenant.to_string(),
            source_ip: sum.source_ip.clone().or_else(|| kind.who.place()),
            door: kind.door,
        };
        let query_id = self.access.new_query_id();
        self.access.record(sum.entry(&principal, role.is_some(), &query_id, &kind.action)).await
    }

    fn claim(self: &Arc<Self>, tenant: &str, who: &Who) -> bool {
        self.open().tenants.entry(tenant.to_string()).or_default().claim(who)
    }

    fn add(self: &Arc<Self>, tenant: &str, kind: &Kind, sum: Sum) {
        self.open().tenants.entry(tenant.to_string()).or_default().add(kind, sum);
    }

    /// The window, which somebody ends.
    fn open(self: &Arc<Self>) -> MutexGuard<'_, Windows> {
        let mut windows = self.lock();
        if !std::mem::replace(&mut windows.is_watched, true) {
            self.watch();
        }
        windows
    }

    /// Ends windows for as long as there are any. Holds nothing meanwhile: the store behind may have to close.
    fn watch(self: &Arc<Self>) {
        let refusals = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WINDOW).await;
                let Some(refusals) = refusals.upgrade() else { return };
                if !refusals.end_window().await {
                    return;
                }
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
