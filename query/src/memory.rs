//! The memory of queries: each has its quota, and all together have what the machine can spare.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use schemas::limits;

use crate::Error;
use crate::guard::Stop;

/// Why an operator that can spill gets no more: its query's neighbours hold the rest of the memory of all.
pub(crate) const CROWDED: &str = "the other queries hold the memory of all";

/// Half of what this process may use of the machine's memory, or the default where that is not known.
pub(crate) fn half_of_machine() -> usize {
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let group = group.and_then(|text| text.trim().parse::<usize>().ok());
    let machine = machine.as_deref().and_then(total_bytes);
    match (group, machine) {
        (Some(group), Some(machine)) => group.min(machine) / 2,
        (Some(bytes), None) | (None, Some(bytes)) => bytes / 2,
        (None, None) => limits::QUERIES_MEMORY_BYTES,
    }
}

/// `MemTotal` of `/proc/meminfo`, which is in KiB.
fn total_bytes(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// Bytes in use, up to a limit.
#[derive(Debug)]
pub(crate) struct Bytes {
    used: AtomicUsize,
    limit: usize,
}

impl Bytes {
    pub(crate) fn new(limit: usize) -> Bytes {
        Bytes { used: AtomicUsize::new(0), limit }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn try_take(&self, bytes: usize) -> bool {
        let within = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok()
    }

    pub(crate) fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The memory of one query, out of what all have.
///
/// Where a query may spill, its operators that can are held to equal parts of what the others leave, as in the engine's
/// own fair pool: one that took all would leave the next nothing to begin with, and nothing of its own to put on disk.
///
/// A query that must end gets no more: an operator may fill its memory, sort it and put it on disk without a batch that a guard
/// of the plan sees.
#[derive(Debug)]
pub(crate) struct Quota {
    own: Bytes,
    all: Arc<Bytes>,
    spills: bool,
    stop: Arc<Stop>,
    /// What operators that cannot spill hold.
    fixed: AtomicUsize,
    /// How many operators can spill.
    spillers: AtomicUsize,
}

impl Quota {
    pub(crate) fn new(bytes: usize, all: &Arc<Bytes>, spills: bool, stop: &Arc<Stop>) -> Quota {
        Quota {
            own: Bytes::new(bytes),
            all: Arc::clone(all),
            spills,
            stop: Arc::clone(stop),
            fixed: AtomicUsize::new(0),
            spillers: AtomicUsize::new(0),
        }
    }

    fn can_spill(&self, reservation: &MemoryReservation) -> bool {
        self.spills && reservation.consumer().can_spill()
    }

    /// Whether an operator that can spill would pass its part.
    fn past_its_part(&self, reservation: &MemoryReservation, additional: usize) -> bool {
        let shared = self.own.limit.saturating_sub(self.fixed.load(Ordering::Relaxed));
        let part = shared / self.spillers.load(Ordering::Relaxed).max(1);
        reservation.size().saturating_add(additional) > part
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.reserved(), self.own.limit)
    }
}

impl MemoryPool for Quota {
    fn name(&self) -> &str {
        "quota"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spillers.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spillers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.take(additional);
        self.all.take(additional);
        if !self.can_spill(reservation) {
            self.fixed.fetch_add(additional, Ordering::Relaxed);
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.give(shrink);
        self.all.give(shrink);
        if !self.can_spill(reservation) {
            self.fixed.fetch_sub(shrink, Ordering::Relaxed);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.stop.check()?;
        let can_spill = self.can_spill(reservation);
        if can_spill && self.past_its_part(reservation, additional) || !self.own.try_take(additional) {
            return Err(DataFusionError::ResourcesExhausted(format!("{self} are in use")));
        }
        if !self.all.try_take(additional) {
            self.own.give(additional);
            if can_spill {
                // It makes room by what it puts on disk; its next request shows whether that was enough.
                return Err(DataFusionError::ResourcesExhausted(CROWDED.to_string()));
            }
            if self.own.used().saturating_add(additional) > self.all.limit {
                return Err(DataFusionError::ResourcesExhausted(format!(
                    "{self}, more than all queries may use"
                )));
            }
            // It may fit once the others are done.
            return Err(Error::Busy.into());
        }
        if !can_spill {
            self.fixed.fetch_add(additional, Ordering::Relaxed);
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.own.used()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.own.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_its_quota_and_all_have_the_total() {
        let all = Arc::new(Bytes::new(150));
        let pools: Vec<Arc<dyn MemoryPool>> = (0..2)
            .map(|_| Arc::new(Quota::new(100, &all, false, &Stop::endless())) as Arc<dyn MemoryPool>)
            .collect();
        let first = MemoryConsumer::new("first").register(&pools[0]);
        let second = MemoryConsumer::new("second").register(&pools[1]);
        first.try_grow(100).unwrap();
        assert!(matches!(first.try_grow(1), Err(DataFusionError::ResourcesExhausted(_))));
        second.try_grow(50).unwrap();
        let busy = second.try_grow(1).unwrap_err();
        assert!(matches!(busy, DataFusionError::External(_)), "{busy}");
        assert_eq!((pools[0].reserved(), pools[1].reserved()), (100, 50));
        drop(first);
        second.try_grow(50).unwrap();
        drop(second);
        assert_eq!(all.used(), 0);
    }

    #[test]
    fn operators_that_spill_have_equal_parts_of_what_the_others_leave() {
        let all = Arc::new(Bytes::new(1000));
        let pool: Arc<dyn MemoryPool> = Arc::new(Quota::new(100, &all, true, &Stop::endless()));
        let spiller = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (first, second) = (spiller("first"), spiller("second"));
        let fixed = MemoryConsumer::new("fixed").register(&pool);
        fixed.try_grow(20).unwrap();
        first.try_grow(40).unwrap();
        assert!(matches!(first.try_grow(1), Err(DataFusionError::ResourcesExhausted(_))));
        second.try_grow(40).unwrap();
        drop(second);
        first.try_grow(40).unwrap();
        first.free();
        fixed.free();
        assert_eq!((pool.reserved(), all.used()), (0, 0));
        fixed.try_grow(100).unwrap();
        assert!(first.try_grow(1).is_err(), "nothing is left");
    }

    #[test]
    fn an_operator_that_spills_is_told_that_others_hold_the_memory() {
        let all = Arc::new(Bytes::new(100));
        let pool: Arc<dyn MemoryPool> = Arc::new(Quota::new(100, &all, true, &Stop::endless()));
        let other: Arc<dyn MemoryPool> = Arc::new(Quota::new(100, &all, true, &Stop::endless()));
        let held = MemoryConsumer::new("held").register(&other);
        held.try_grow(90).unwrap();
        let first = MemoryConsumer::new("first").with_can_spill(true).register(&pool);
        let refused = first.try_grow(20).unwrap_err();
        assert!(matches!(&refused, DataFusionError::ResourcesExhausted(why) if why == CROWDED), "{refused}");
        assert!(matches!(Error::engine(&refused, crate::error::Stage::Run), Error::Busy));
    }

    #[test]
    fn a_query_that_must_end_gets_no_more() {
        let (all, stop) = (Arc::new(Bytes::new(100)), Stop::endless());
        let pool: Arc<dyn MemoryPool> = Arc::new(Quota::new(100, &all, true, &stop));
        let held = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        held.try_grow(10).unwrap();
        stop.cancel();
        let refused = held.try_grow(10).unwrap_err();
        assert!(matches!(Error::engine(&refused, crate::error::Stage::Run), Error::Cancelled), "{refused}");
        held.try_resize(5).unwrap();
        drop(held);
        assert_eq!((pool.reserved(), all.used()), (0, 0));
    }

    #[test]
    fn the_memory_of_the_machine_is_read() {
        assert_eq!(total_bytes("MemTotal:       1024 kB\nMemFree: 1 kB\n"), Some(1 << 20));
        assert_eq!(total_bytes("MemFree: 1 kB\n"), None);
        assert!(half_of_machine() > 0);
    }
}
