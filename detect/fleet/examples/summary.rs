//! What a fleet looks like, in a few lines: `cargo run --release -p tachograph-fleet --example summary -- [SEED] [DAYS]`.

use std::collections::BTreeMap;
use std::io::Write;

use fleet::{Digest, Fleet, Options};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seed = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let days = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(90);
    let mut fleet = Fleet::new(&Options { seed, days, ..Options::default() });
    let (mut digest, mut waiting) = (Digest::default(), 0);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut total = 0_u64;
    while let Some(logged) = fleet.next() {
        logged.event.with_record(logged.index, |record| digest.add(record));
        waiting = waiting.max(fleet.waiting());
        total += 1;
        let event = &logged.event;
        let late = event.ingest_time_us - event.time_us;
        let mut add = |name: String| *counts.entry(name).or_default() += 1;
        add(format!("{} {} {}", event.kind, event.decision, event.status));
        event.output_action.into_iter().for_each(|action| add(format!("output {action}")));
        if late > fleet::calendar::MINUTE {
            add(format!("later than {} minutes", if late > 10 * fleet::calendar::MINUTE { 10 } else { 1 }));
        }
        if logged.injection.is_some() {
            add("of injections".to_owned());
        }
    }
    let mut out = std::io::stdout().lock();
    for (name, count) in counts {
        writeln!(out, "{name}: {count}")?;
    }
    writeln!(out, "{total} records, {waiting} waiting at most, BLAKE3 {}", digest.hex())
}
