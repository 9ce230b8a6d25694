//! How long a proof takes: `cargo run --release -p tachograph-store --example proofs -- [ENTRIES]...`.
//!
//! For each size, on a log that has just grown to it (its last entries in memory, the rest in sealed files): the path alone, the
//! path with the entry that it is of, a consistency proof, a full tile and a full entry bundle. Median and worst of many, in
//! microseconds, from a warm page cache.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, clippy::disallowed_methods)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::Stream;
use schemas::rows::{Row, RowsBuilder};
use schemas::stream::{EVENT_ID, SESSION_ID, SOURCE, TENANT, TIME};
use schemas::tile::TileId;
use store::clock::SystemClock;
use store::{Draft, Error, Keys, Log, LogTree, Options, Store};

/// Rows appended at once.
const ROWS: u64 = 8_192;

fn draft(first: u64) -> Draft {
    let mut entries = RowsBuilder::drafts(Stream::Events);
    let mut payloads = RowsBuilder::payloads(Stream::Events);
    for at in first..first + ROWS {
        let row = Row::new()
            .text(EVENT_ID, &format!("event-{at:020}"))
            .int(TIME, 1_795_219_200_000_000)
            .text(TENANT, "default")
            .text(6, "call")
            .text(SOURCE, "http/t-1/canonical/1")
            .text(SESSION_ID, &format!("session-{}", at % 997))
            .text(9, "allow")
            .text(10, "ok");
        entries.push(&row).unwrap();
        payloads.push(&Row::new()).unwrap();
    }
    Draft {
        entries: entries.finish().unwrap(),
        payloads: payloads.finish().unwrap(),
        idempotent: vec![false; usize::try_from(ROWS).unwrap()],
        scope: "http/t-1".to_string(),
    }
}

async fn grow(log: &Log, size: u64) {
    while log.durable() < size {
        match log.append(draft(log.durable())).await {
            Ok(_) => {}
            Err(Error::Busy { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
    while log.snapshot().signed < log.durable() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn timed(what: &str, times: u64, mut run: impl FnMut(u64)) {
    let mut took: Vec<u128> = (0..times)
        .map(|at| {
            let started = Instant::now();
            run(at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1);
            started.elapsed().as_micros()
        })
        .collect();
    took.sort_unstable();
    println!("  {what:<42} median {:>8} us  worst {:>8} us", took[took.len() / 2], took[took.len() - 1]);
}

#[tokio::main]
async fn main() {
    let mut sizes: Vec<u64> = std::env::args().skip(1).map(|size| size.parse().unwrap()).collect();
    if sizes.is_empty() {
        sizes = vec![1_000_000, 3_000_000, 10_000_000];
    }
    sizes.sort_unstable();
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::load_or_create(&dir.path().join("keys")).unwrap();
    let clock = Arc::new(SystemClock::new());
    let store = Store::open(&dir.path().join("data"), keys, Options::default(), clock).unwrap();
    let log = store.log("default", Stream::Events).await.unwrap();
    for size in sizes {
        grow(&log, size).await;
        let snapshot = log.snapshot();
        println!("{} entries signed, {} of them sealed", snapshot.signed, snapshot.sealed);
        let tree = || -> LogTree { log.tree().unwrap() };
        let started = Instant::now();
        tree();
        println!("  {:<42} {:>15} us", "the edge, hashed for the first time", started.elapsed().as_micros());
        let all = snapshot.signed;
        timed("inclusion proof", 2_000, |at| {
            tree().inclusion(at % all, all).unwrap();
        });
        timed("inclusion proof with its entry", 200, |at| {
            tree().prove(at % all).unwrap().unwrap();
        });
        timed("consistency proof, checked", 1_000, |at| {
            tree().consistency(at % all, all).unwrap();
        });
        timed("full tile", 1_000, |at| {
            log.tile(TileId { level: 0, index: at % (all / 256), width: 256 }).unwrap().unwrap();
        });
        timed("full entry bundle", 100, |at| {
            log.entry_bundle(at % (all / 256), 256).unwrap().unwrap();
        });
    }
    store.close().await.unwrap();
}
