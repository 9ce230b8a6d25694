//! The counters of this process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Counters by name, those of all labels together.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

/// What became of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub received: u64,
    pub durable: u64,
    pub duplicate: u64,
    pub refused: u64,
}

impl Counts {
    pub fn since(self, begun: Counts) -> Counts {
        Counts {
            received: self.received - begun.received,
            durable: self.durable - begun.durable,
            duplicate: self.duplicate - begun.duplicate,
            refused: self.refused - begun.refused,
        }
    }
}

impl Ledger {
    /// Counts what this process does from now on.
    pub fn install() -> Ledger {
        let ledger = Ledger::default();
        metrics::set_global_recorder(ledger.clone()).unwrap();
        ledger
    }

    pub fn counts(&self) -> Counts {
        let of = |what: &str| {
            let counters = self.0.lock().unwrap();
            let name = format!("tacho_ingest_events_{what}_total");
            counters.get(&name).map_or(0, |count| count.load(Ordering::SeqCst))
        };
        Counts {
            received: of("received"),
            durable: of("durable"),
            duplicate: of("duplicate"),
            refused: of("refused"),
        }
    }
}

impl Recorder for Ledger {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.0.lock().unwrap();
        Counter::from_arc(Arc::clone(counters.entry(key.name().to_string()).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
