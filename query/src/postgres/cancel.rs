//! Which query runs on which connection, so that another connection can end it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Connections by their number.
#[derive(Debug, Clone, Default)]
pub(super) struct Cancels(Arc<Mutex<HashMap<i32, Entry>>>);

#[derive(Debug)]
struct Entry {
    secret: i32,
    running: Option<CancellationToken>,
}

/// A connection's place; gives it back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    cancels: Cancels,
    pub(super) pid: i32,
    pub(super) secret: i32,
}

impl Cancels {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<i32, Entry>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A place for a new connection; `None` where these numbers are taken.
    pub(super) fn register(&self, pid: i32, secret: i32) -> Option<Place> {
        let is_free = self.with(|entries| match entries.entry(pid) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Entry { secret, running: None });
                true
            }
        });
        is_free.then(|| Place { cancels: self.clone(), pid, secret })
    }

    /// Ends the query that runs on connection `pid`, if `secret` is its key; whether it is.
    pub(super) fn cancel(&self, pid: i32, secret: i32) -> bool {
        self.with(|entries| {
            let Some(entry) = entries.get(&pid).filter(|entry| entry.secret == secret) else { return false };
            if let Some(running) = &entry.running {
                running.cancel();
            }
            true
        })
    }
}

impl Place {
    /// Runs until the returned guard is dropped: `query` ends when somebody with the key says so.
    pub(super) fn running(&self, query: &CancellationToken) -> Running<'_> {
        self.set(Some(query.clone()));
        Running(self)
    }

    fn set(&self, running: Option<CancellationToken>) {
        self.cancels.with(|entries| {
            if let Some(entry) = entries.get_mut(&self.pid) {
                entry.running = running;
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.cancels.with(|entries| entries.remove(&self.pid));
    }
}

/// While a query runs.
#[derive(Debug)]
pub(super) struct Running<'a>(&'a Place);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_cancels_and_only_what_runs() {
        let cancels = Cancels::default();
        let place = cancels.register(7, 42).unwrap();
        assert!(cancels.register(7, 43).is_none());
        let query = CancellationToken::new();
        assert!(cancels.cancel(7, 42), "the key of a connection that asks nothing");
        let running = place.running(&query);
        assert!(!cancels.cancel(7, 41) && !cancels.cancel(8, 42));
        assert!(!query.is_cancelled());
        cancels.cancel(7, 42);
        assert!(query.is_cancelled());
        drop(running);
        drop(place);
        assert!(cancels.register(7, 43).is_some());
    }
}
