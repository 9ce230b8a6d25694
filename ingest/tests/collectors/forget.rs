//! A source that nobody reads any more: kept until it is told to be forgotten, and then read from its start.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ingest::{Ingest, Options, Source, Tail};
use schemas::Stream;
use store::Store;

use super::{alone, child, log};

fn ingest(store: &Store) -> Ingest {
    Ingest::new(store.clone(), Options::new(Arc::new(|_| [7; 32])))
}

/// Reads `name` until the log has `entries`, and a while longer.
async fn read(store: &Store, home: &Path, name: &str, entries: u64) {
    let stop = tokio::sync::watch::Sender::new(false);
    let tail = Tail::new(name, "default", home.join(name).join("a.jsonl"));
    let task = tokio::spawn(tail.run(ingest(store), stop.subscribe()));
    let durable = || store.snapshot("default", Stream::Events).map_or(0, |snapshot| snapshot.durable);
    for _ in 0..200 {
        if durable() >= entries {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(durable(), entries, "{name}");
    stop.send_replace(true);
    task.await.unwrap().unwrap();
}

fn source(name: &str, cursors: usize) -> Source {
    Source { tenant: "default".to_string(), collector: "tail".to_string(), name: name.to_string(), cursors }
}

#[test]
fn what_nobody_reads_is_kept_until_it_is_told_to_be_forgotten() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    for name in ["agents", "agents-old"] {
        std::fs::create_dir(home.path().join(name)).unwrap();
        let lines: String = (0..3)
            .map(|number| {
                format!("{{\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",\"capability\":\"{name}-{number}\"}}\n")
            })
            .collect();
        std::fs::write(home.path().join(name).join("a.jsonl"), lines).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = child::open(home.path());
        // Entry 0 is the log's own.
        read(&store, home.path(), "agents", 4).await;
        read(&store, home.path(), "agents-old", 7).await;
        assert_eq!(ingest(&store).sources(), [source("agents-old", 1), source("agents", 1)]);
        store.close().await.unwrap();

        // A table that was missing for a while comes back: nothing is read twice.
        let store = child::open(home.path());
        assert_eq!(ingest(&store).sources().len(), 2, "of a manifest too");
        read(&store, home.path(), "agents-old", 7).await;

        let door = ingest(&store);
        assert_eq!(door.forget("default", "tail", "agents-ol").await.unwrap(), 0, "the beginning of a name");
        assert_eq!(door.forget("default", "kafka", "agents-old").await.unwrap(), 0);
        assert_eq!(door.forget("nobody", "tail", "agents-old").await.unwrap(), 0);
        assert!(store.snapshot("nobody", Stream::Events).is_none(), "a question opened a log");
        let error = door.forget("default", "http", "agents-old").await.unwrap_err().to_string();
        assert!(error.contains("tail and kafka"), "{error}");
        assert_eq!(door.forget("default", "tail", "agents-old").await.unwrap(), 1);
        assert_eq!(door.forget("default", "tail", "agents-old").await.unwrap(), 0);
        assert_eq!(door.sources(), [source("agents", 1)]);
        store.close().await.unwrap();

        let store = child::open(home.path());
        assert_eq!(ingest(&store).sources(), [source("agents", 1)], "it came back with a restart");
        read(&store, home.path(), "agents", 8).await;
        read(&store, home.path(), "agents-old", 11).await;
        store.close().await.unwrap();
    });
    let rows = log::rows(home.path());
    assert_eq!(log::told(&rows, "forgotten", "forgotten"), 1);
    let calls = |begins: &str| rows.iter().filter(|row| row.capability.starts_with(begins)).count();
    assert_eq!((calls("agents-old-"), calls("agents-")), (6, 9), "{rows:?}");
    log::verify_closed(home.path(), "at the end");
}
