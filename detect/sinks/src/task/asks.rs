//! What a running sink is asked for, and does between two rounds.

use schemas::limits::SINK_RANGES_MAX;
use tokio::sync::oneshot;

use super::Task;
use crate::error::{Error, Result};
use crate::state::{Again, Place};

/// What a running sink is asked for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Send dead letters again; of one tenant or all. Answers how many messages that is.
    Dead(Option<String>, oneshot::Sender<Result<u64>>),
    /// Send a range of a tenant's log again; answers how many entries that is.
    Range(String, u64, Option<u64>, oneshot::Sender<Result<u64>>),
    /// Forget dead letters, and what was asked to be sent again; answers how many dead letters that was.
    Discard(Option<String>, oneshot::Sender<Result<u64>>),
}

impl Task {
    /// Does what is asked, durably before it says so.
    pub(super) fn answer(&mut self, ask: Ask) {
        let (done, told) = match ask {
            Ask::Dead(tenant, told) => {
                (self.change(tenant.as_deref(), |place| Some(place.resurrect())), told)
            }
            Ask::Discard(tenant, told) => {
                let discard = |place: &mut Place| {
                    place.again.clear();
                    Some(place.dead.drain(..).map(|dead| dead.messages).sum())
                };
                (self.change(tenant.as_deref(), discard), told)
            }
            Ask::Range(tenant, first, end, told) => {
                let range = |place: &mut Place| {
                    let end = end.unwrap_or(place.next).min(place.next);
                    let again = Again { next: first, end };
                    if first < end && !place.again.contains(&again) {
                        if place.again.len() >= SINK_RANGES_MAX {
                            return None;
                        }
                        place.again.push(again);
                    }
                    Some(end.saturating_sub(first))
                };
                (self.change(Some(&tenant), range), told)
            }
        };
        // What is asked next how the sink stands knows of it.
        self.tell();
        // Whoever asked may be gone; it is done all the same.
        let _gone = told.send(done);
    }

    /// Changes the places of a tenant, or of all that the sink takes part in; all of it, on disk, or nothing.
    fn change(&mut self, tenant: Option<&str>, change: impl Fn(&mut Place) -> Option<u64>) -> Result<u64> {
        if let Some(tenant) = tenant
            && !self.tenants.iter().any(|known| known == tenant)
        {
            return Err(Error::Tenant { sink: self.name().to_owned(), tenant: tenant.to_owned() });
        }
        let mut changed = self.state.clone();
        let mut count = 0u64;
        for name in self.tenants.iter().filter(|name| tenant.is_none_or(|tenant| tenant == *name)) {
            let Some(place) = changed.places.get_mut(name) else { continue };
            let of_place = change(place)
                .ok_or_else(|| Error::Ranges { sink: self.name().to_owned(), tenant: name.clone() })?;
            count = count.saturating_add(of_place);
        }
        changed.write(&self.files)?;
        self.state = changed;
        Ok(count)
    }
}
