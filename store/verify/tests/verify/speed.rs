//! How fast verification is, on a store as large as is asked for.

use std::time::Instant;

use schemas::Stream;
use verify::{Identity, Options, run};

use crate::clean::assert_clean;
use crate::writer::Store;

/// A measurement: `TACHO_FIGURES=1 cargo test --release --workspace speed_on -- --nocapture`.
#[test]
fn speed_on_more_than_half_a_million_events() {
    if std::env::var_os("TACHO_FIGURES").is_none() {
        eprintln!("SKIPPED: a measurement of how fast verification is, for TACHO_FIGURES=1");
        return;
    }
    let mut store = Store::new(4, 16_384);
    let events = store.open("default", Stream::Events);
    store.logs[0].seal();
    for _ in 0..9 {
        store.logs[events].events(65_536);
        store.logs[events].seal();
    }
    store.round();
    store.logs[0].seal();
    if let Some(keep) = std::env::var_os("TACHO_KEEP") {
        crate::damage::copy_tree(store.data.path(), std::path::Path::new(&keep));
    }
    for jobs in [1, 2] {
        let options = Options { jobs, ..Options::new(store.data.path(), Identity::TrustStoreKey) };
        let started = Instant::now();
        let report = run(&options, &|_| {}).unwrap();
        let seconds = started.elapsed().as_secs_f64();
        assert_clean(&report);
        let (entries, bytes) =
            report.logs.iter().fold((0, 0), |sum, log| (sum.0 + log.entries, sum.1 + log.bytes));
        eprintln!(
            "{jobs} jobs: {entries} entries, {bytes} bytes in {seconds:.3} s, {:.0} a second",
            entries as f64 / seconds
        );
    }
}
