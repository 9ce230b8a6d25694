//! Places of the queries that run at once. Where there are two or more, no tenant holds all of them, nor all of the queue: an open
//! cursor or a slow client of one must not keep the others out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::{Error, Result};

/// All places and the queue for them.
#[derive(Debug)]
pub(super) struct Places {
    all: Share,
    /// One for each tenant that has asked.
    tenants: Mutex<HashMap<String, Arc<Share>>>,
    tenant_at_once: usize,
    tenant_waiting_max: usize,
}

/// Places, and a queue with an end.
#[derive(Debug)]
struct Share {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_tenant: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(at_once: usize, waiting_max: usize) -> Places {
        Places {
            all: Share::new(at_once.max(1), waiting_max),
            tenants: Mutex::default(),
            tenant_at_once: at_once.saturating_sub(1).max(1),
            tenant_waiting_max: waiting_max.div_ceil(2),
        }
    }

    /// A place for a query of `tenant`.
    ///
    /// # Errors
    /// [`Error::Busy`] where the queue is full, or `patience` is over.
    pub(super) async fn take(&self, tenant: &str, patience: Duration) -> Result<Place> {
        let share = Arc::clone(
            self.tenants
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(tenant.to_string())
                .or_insert_with(|| Arc::new(Share::new(self.tenant_at_once, self.tenant_waiting_max))),
        );
        let both = async {
            let of_tenant = share.take().await?;
            Ok(Place { _of_all: self.all.take().await?, _of_tenant: of_tenant })
        };
        timeout(patience, both).await.unwrap_or(Err(Error::Busy))
    }

    /// Places that are free for whoever has some left.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.all.places.available_permits()
    }
}

impl Share {
    fn new(places: usize, waiting_max: usize) -> Share {
        Share { places: Arc::new(Semaphore::new(places)), waiting: AtomicUsize::new(0), waiting_max }
    }

    async fn take(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.waiting_max {
            return Err(Error::Busy);
        }
        Arc::clone(&self.places).acquire_owned().await.map_err(|_| Error::Busy)
    }
}

/// One who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_tenant_leaves_a_place_to_the_others() {
        let places = Places::new(3, 4);
        let held = [places.take("a", SHORT).await.unwrap(), places.take("a", SHORT).await.unwrap()];
        assert!(matches!(places.take("a", SHORT).await, Err(Error::Busy)));
        let other = places.take("b", SHORT).await.unwrap();
        assert_eq!(places.free(), 0);
        assert!(matches!(places.take("c", SHORT).await, Err(Error::Busy)));
        drop(held);
        places.take("c", SHORT).await.unwrap();
        drop(other);
        assert_eq!(places.free(), 3);
    }

    #[tokio::test]
    async fn a_tenant_leaves_room_in_the_queue() {
        let places = Arc::new(Places::new(1, 4));
        let held = places.take("a", SHORT).await.unwrap();
        let wait = |tenant: &'static str| {
            let places = Arc::clone(&places);
            tokio::spawn(async move { places.take(tenant, Duration::from_secs(60)).await.map(drop) })
        };
        let waiting = [wait("a"), wait("a")];
        tokio::task::yield_now().await;
        let turned_away = places.take("a", Duration::from_secs(60)).await;
        assert!(matches!(turned_away, Err(Error::Busy)), "at once, not after a minute");
        let other = wait("b");
        tokio::task::yield_now().await;
        drop(held);
        for one in waiting.into_iter().chain([other]) {
            one.await.unwrap().unwrap();
        }
    }
}
