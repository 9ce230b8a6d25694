//! The process that is killed: this test program once more, with a store and one collector.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::{Ingest, Options, Tail};
use schemas::Stream;
use store::{Keys, Store};

/// What it is told by, beside `<home>`.
const HOME: &str = "TACHO_TEST_HOME";
const COLLECTOR: &str = "TACHO_TEST_COLLECTOR";

/// A child that a test which fails does not leave behind.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Opens the store of `<home>`; seals and file changes happen within a run's short life.
pub fn open(home: &Path) -> Store {
    let keys = Keys::load_or_create(&home.join("keys")).unwrap();
    let options = store::Options {
        seal_rows: 3000,
        seal_age_small_us: 300_000,
        wal_file_bytes: 1 << 20,
        sign_interval_us: 50_000,
        disk_free_bytes_min: 0,
        ..store::Options::default()
    };
    Store::open(&home.join("data"), keys, options, Arc::new(store::clock::SystemClock::new())).unwrap()
}

/// Starts it on `<home>`, where `collector` is `tail:<path>` or `kafka:<broker>`.
pub fn start(home: &Path, collector: &str) -> Running {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(home.join("child.log")).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["child::collects_until_it_is_killed", "--exact", "--nocapture"])
        .env(HOME, home)
        .env(COLLECTOR, collector)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    Running(child)
}

/// Entries of the events log that the child has on stable storage.
pub fn durable(home: &Path) -> u64 {
    std::fs::read_to_string(home.join("durable")).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Waits until the child has `entries`.
pub fn until(home: &Path, entries: u64, patience: Duration) {
    let started = Instant::now();
    while durable(home) < entries {
        let log = || std::fs::read_to_string(home.join("child.log")).unwrap_or_default();
        assert!(started.elapsed() < patience, "{} of {entries} entries\n{}", durable(home), log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn kill(mut running: Running) {
    running.0.kill().unwrap();
    running.0.wait().unwrap();
}

/// No test of its own: what `start` runs.
#[test]
fn collects_until_it_is_killed() {
    let (Ok(home), Ok(collector)) = (std::env::var(HOME), std::env::var(COLLECTOR)) else { return };
    let home = std::path::PathBuf::from(home);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(&home);
        let ingest = Ingest::new(store.clone(), Options::new(Arc::new(|_| [7; 32])));
        let stop = tokio::sync::watch::Sender::new(false);
        let task = match collector.split_once(':').unwrap() {
            ("tail", path) => {
                tokio::spawn(Tail::new("agents", "default", path).run(ingest, stop.subscribe()))
            }
            #[cfg(feature = "kafka")]
            ("kafka", broker) => tokio::spawn(super::kafka::calls(broker).run(ingest, stop.subscribe())),
            other => panic!("{other:?}"),
        };
        while !task.is_finished() {
            let durable = store.snapshot("default", Stream::Events).map_or(0, |snapshot| snapshot.durable);
            std::fs::write(home.join("durable.new"), durable.to_string()).unwrap();
            assert!(
                Command::new("mv")
                    .arg(home.join("durable.new"))
                    .arg(home.join("durable"))
                    .status()
                    .unwrap()
                    .success()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        eprintln!("the collector ended: {:?}", task.await);
    });
}
