//! What every collector owes, asked of each in the same words: what came is what became of it, a restart records nothing
//! again, and what is torn or broken is told.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::{Ingest, Options};
use store::Store;
use tokio::runtime::Runtime;

use super::{alone, child, log};

#[path = "conformance/doors.rs"]
mod doors;
#[path = "conformance/ledger.rs"]
mod ledger;
#[path = "conformance/sources.rs"]
mod sources;

use ledger::{Counts, Ledger};

/// What a collector is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// An event with this number.
    Good(u64),
    /// What is no event.
    Broken,
}

/// A collector, and whoever feeds it.
trait Subject {
    /// For messages.
    const NAME: &'static str;
    /// Whether its feeder sends again what it has no answer for; else it is read from where the log says.
    const IS_SENT_AGAIN: bool;

    /// Begins to collect.
    fn start(&mut self, ingest: &Ingest);

    /// Gives it values, torn in the middle of one where it has a middle; how many its feeder is told were refused.
    async fn give(&mut self, values: &[Value]) -> u64;

    /// Ends in order.
    async fn stop(&mut self);
}

/// Good values with these numbers, and among the first of them two that are broken.
fn values(numbers: Range<u64>) -> Vec<Value> {
    let mut values: Vec<Value> = numbers.map(Value::Good).collect();
    if values.len() > 13 {
        values.insert(13, Value::Broken);
        values.insert(5, Value::Broken);
    }
    values
}

/// The line of a value; with an id where its feeder sends it again.
fn line(value: Value, has_id: bool) -> String {
    let Value::Good(number) = value else { return "{\"capability\": s3cr3t".to_string() };
    let id = if has_id { format!("\"event_id\":\"e-{number}\",") } else { String::new() };
    format!("{{{id}\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",\"capability\":\"n-{number}\"}}")
}

fn ingest(store: &Store) -> Ingest {
    Ingest::new(store.clone(), Options::new(Arc::new(|_| [7; 32])))
}

/// Waits until so many have come since `begun`, and a while longer: no more may.
async fn settle(ledger: &Ledger, begun: Counts, received: u64) -> Counts {
    let started = Instant::now();
    while ledger.counts().since(begun).received < received && started.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    ledger.counts().since(begun)
}

/// Feeds a collector, over a restart of it and of its store; what its feeder was told, and what was counted.
async fn collect<S: Subject>(ledger: &Ledger, home: &Path, mut subject: S) -> (u64, Counts) {
    let begun = ledger.counts();
    let first = values(0..20);
    let store = child::open(home);
    subject.start(&ingest(&store));
    let mut told = subject.give(&first).await;
    let counts = settle(ledger, begun, 22).await;
    assert_eq!(counts, Counts { received: 22, durable: 20, duplicate: 0, refused: 2 }, "{}", S::NAME);
    subject.stop().await;
    store.close().await.unwrap();

    let store = child::open(home);
    subject.start(&ingest(&store));
    let mut wanted = counts;
    if S::IS_SENT_AGAIN {
        told += subject.give(&first).await;
        wanted = Counts { received: 44, duplicate: 20, refused: 4, ..wanted };
    }
    let counts = settle(ledger, begun, wanted.received).await;
    assert_eq!(counts, wanted, "{}: after a restart", S::NAME);
    told += subject.give(&values(20..25)).await;
    wanted = Counts { received: wanted.received + 5, durable: 25, ..wanted };
    let counts = settle(ledger, begun, wanted.received).await;
    assert_eq!(counts, wanted, "{}: what came after it", S::NAME);
    subject.stop().await;
    store.close().await.unwrap();
    (told, counts)
}

/// Feeds a collector, and holds its log against what it said.
fn check<S: Subject>(runtime: &Runtime, ledger: &Ledger, home: &Path, subject: S) {
    let (told, counts) = runtime.block_on(collect(ledger, home, subject));
    assert_eq!(counts.received, counts.durable + counts.duplicate + counts.refused, "{}", S::NAME);
    let rows = log::rows(home);
    let calls: Vec<&str> =
        rows.iter().filter(|row| row.kind == "call").map(|row| row.capability.as_str()).collect();
    let distinct: BTreeSet<&str> = calls.iter().copied().collect();
    assert_eq!((calls.len(), distinct.len()), (25, 25), "{}: {calls:?}", S::NAME);
    let noticed = log::told(&rows, "refused", "refused");
    assert_eq!(told + noticed, counts.refused, "{}: refused and not told", S::NAME);
    assert!(!rows.iter().any(|row| row.attributes.contains("s3cr3t")), "{}: {rows:?}", S::NAME);
    log::verify_closed(home, S::NAME);
}

#[test]
fn every_collector_owes_the_same() {
    let _alone = alone();
    let ledger = Ledger::install();
    let runtime = Runtime::new().unwrap();
    let homes = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let [files, events, spans, topics] = homes.each_ref().map(|home| home.path());
    check(&runtime, &ledger, files, sources::Tailed::new(files));
    check(&runtime, &ledger, events, doors::Http::default());
    check(&runtime, &ledger, spans, doors::Otlp::default());
    #[cfg(feature = "kafka")]
    check(&runtime, &ledger, topics, sources::Topic::new());
    #[cfg(not(feature = "kafka"))]
    println!("SKIPPED: {} are not collected: built without Kafka", topics.display());
}
