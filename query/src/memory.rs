//! The memory of queries: each has its quota, and all together have what the machine can spare.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use schemas::limits;

use crate::Error;

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

    fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn try_take(&self, bytes: usize) -> bool {
        let within = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The memory of one query, out of what all have.
#[derive(Debug)]
pub(crate) struct Quota {
    own: Bytes,
    all: Arc<Bytes>,
}

impl Quota {
    pub(crate) fn new(bytes: usize, all: &Arc<Bytes>) -> Quota {
        Quota { own: Bytes::new(bytes), all: Arc::clone(all) }
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

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        self.own.take(additional);
        self.all.take(additional);
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        self.own.give(shrink);
        self.all.give(shrink);
    }

    fn try_grow(&self, _: &MemoryReservation, additional: usize) -> Result<()> {
        if !self.own.try_take(additional) {
            return Err(DataFusionError::ResourcesExhausted(format!("{self} are in use")));
        }
        if !self.all.try_take(additional) {
            self.own.give(additional);
            if self.own.used.load(Ordering::Relaxed).saturating_add(additional) > self.all.limit {
                return Err(DataFusionError::ResourcesExhausted(format!(
                    "{self}, more than all queries may use"
                )));
            }
            // It may fit once the others are done.
            return Err(Error::Busy.into());
        }
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.own.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.own.limit)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::MemoryConsumer;

    use super::*;

    #[test]
    fn a_query_has_its_quota_and_all_have_the_total() {
        let all = Arc::new(Bytes::new(150));
        let pools: Vec<Arc<dyn MemoryPool>> =
            (0..2).map(|_| Arc::new(Quota::new(100, &all)) as Arc<dyn MemoryPool>).collect();
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
        assert_eq!(all.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_memory_of_the_machine_is_read() {
        assert_eq!(total_bytes("MemTotal:       1024 kB\nMemFree: 1 kB\n"), Some(1 << 20));
        assert_eq!(total_bytes("MemFree: 1 kB\n"), None);
        assert!(half_of_machine() > 0);
    }
}
