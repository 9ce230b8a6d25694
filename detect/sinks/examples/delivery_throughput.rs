//! A sink of each format to a file, while alerts are appended to a real log at a steady rate: how many a second arrive, how far behind they are at most, and
//! what it takes in memory. Beside it, in the same minute of each format, a plain JSON write of as many objects to a file of its own, synced as often.
//!
//! `cargo run --release -p tachograph-sinks --example delivery_throughput [-- SECONDS [ALERTS_A_SECOND [FORMAT]]]`; a format alone is a process alone, whose memory is its own

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
// Measured at the rim.
#![allow(clippy::disallowed_methods)]

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use schemas::Stream;
use schemas::rows::{Row, RowsBuilder};
use sinks::{Context, Sink, Sinks};
use store::clock::SystemClock;
use store::{Draft, Keys, Store};

/// Appends a second.
const TICKS: usize = 10;

fn row(number: usize) -> Row {
    let column = |name: &str| Stream::Alerts.column(name).unwrap().id;
    let id = format!("{number:032x}");
    let texts = [
        ("event_id", format!("{id}-0")),
        ("tenant", "acme".to_owned()),
        ("kind", "alert".to_owned()),
        ("source", "detect/engine/6".to_owned()),
        ("session_id", format!("session-{}", number % 1_000)),
        ("decision", "none".to_owned()),
        ("status", "ok".to_owned()),
        ("alert_id", id),
        ("state", "open".to_owned()),
        ("rule_id", "denial_rate".to_owned()),
        ("title", "Denied calls far above what is usual".to_owned()),
        ("severity", "medium".to_owned()),
        ("confidence", "high".to_owned()),
        ("entity_type", "principal".to_owned()),
        ("entity", format!("agent-{}", number % 5_000)),
        ("environment", "production".to_owned()),
        ("statistic", "denied calls in 5 minutes".to_owned()),
        ("unit", "count".to_owned()),
        ("baseline", "entity".to_owned()),
        ("evidence_log", "installation/acme/events/w1".to_owned()),
        (
            "explanation",
            "31 denied calls in 5 minutes, where 1 is expected at this hour of this agent's own past: p = 0.0000031.".to_owned(),
        ),
        ("query", format!("SELECT * FROM events WHERE agent_id = 'agent-{}' AND decision = 'deny' ORDER BY log_index", number % 5_000)),
        ("runbook", "docs/runbooks/denial_rate.md".to_owned()),
        ("budget_verdict", "within".to_owned()),
    ];
    let row = texts.iter().fold(Row::default(), |row, (name, text)| row.text(column(name), text));
    let lists = row
        .ints(column("evidence"), &[1, 2, 3, 4, 5, 6, 7, 8])
        .texts(column("observables"), &[format!("agent_id=agent-{}", number % 5_000)])
        .texts(column("references"), &["AML.T0053", "MCP02"]);
    let number = i64::try_from(number).unwrap();
    [
        ("time", number),
        ("sequence", 0),
        ("first_seen", number),
        ("last_seen", number),
        ("count", 31),
        ("position", number),
        ("ordinal", 0),
    ]
    .iter()
    .fold(lists, |row, (name, value)| row.int_option(column(name), Some(*value)))
    .int_option(column("expected"), Some(1))
    .int_option(column("observed"), Some(31))
    .int_option(column("log10_p_milli"), Some(-5_508))
}

fn draft(numbers: std::ops::Range<usize>) -> Draft {
    let count = numbers.len();
    let mut rows = RowsBuilder::drafts(Stream::Alerts);
    for number in numbers {
        rows.push(&row(number)).unwrap();
    }
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let payloads = RecordBatch::try_new_with_options(Schema::empty().into(), Vec::new(), &options).unwrap();
    Draft {
        entries: rows.finish().unwrap(),
        payloads,
        idempotent: vec![true; count],
        scope: "detect/engine".to_owned(),
    }
}

/// Resident memory and its peak, MiB.
fn memory() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    (of("VmRSS:").unwrap_or(0) >> 10, of("VmHWM:").unwrap_or(0) >> 10)
}

fn sink(dir: &Path, format: &str) -> Sink {
    let path = dir.join("out");
    let table = format!(
        "name = \"out\"\ntype = \"file\"\nformat = \"{format}\"\nfrom = \"start\"\npath = {:?}",
        path.display().to_string()
    );
    Sink::from_table(table.parse().unwrap()).unwrap()
}

/// A plain write of so many JSON objects of the same columns, synced after each batch of the size that sinks hand over.
fn plain(dir: &Path, count: usize) -> Duration {
    let begun = Instant::now();
    let mut file = std::fs::File::create(dir.join("plain")).unwrap();
    for start in (0..count).step_by(500) {
        let mut lines = Vec::new();
        for number in start..(start + 500).min(count) {
            let object = serde_json::json!({
                "alert_id": format!("{number:032x}"), "sequence": 0, "state": "open", "rule_id": "denial_rate",
                "title": "Denied calls far above what is usual", "severity": "medium", "confidence": "high",
                "entity_type": "principal", "entity": format!("agent-{}", number % 5_000), "environment": "production",
                "statistic": "denied calls in 5 minutes", "expected": 1, "observed": 31, "unit": "count", "baseline": "entity",
                "explanation": "31 denied calls in 5 minutes, where 1 is expected at this hour of this agent's own past: p = 0.0000031.",
                "evidence": [1, 2, 3, 4, 5, 6, 7, 8], "first_seen": number, "last_seen": number, "count": 31,
            });
            serde_json::to_writer(&mut lines, &object).unwrap();
            lines.push(b'\n');
        }
        file.write_all(&lines).unwrap();
        file.sync_data().unwrap();
    }
    begun.elapsed()
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise| {
        arguments.get(at).map_or(otherwise, |text| text.parse::<usize>().expect("a number"))
    };
    let (seconds, rate) = (number(0, 60), number(1, 10_000));
    let only = arguments.get(2);
    println!(
        "{rate} alerts a second for {seconds} s, to a file\nformat         arrived/s  drained at  behind at most  memory at each quarter, MiB (peak)  at full speed/s  plain JSON/s"
    );
    // Without a sink: what the log alone takes.
    let formats = ["none", "json", "ocsf", "ecs", "cef", "leef", "cloudevents", "chat"];
    for format in formats.into_iter().filter(|format| only.is_none_or(|only| only == format)) {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::load_or_create(&dir.path().join("keys")).unwrap();
        let store = Store::open(
            &dir.path().join("data"),
            keys,
            store::Options::default(),
            Arc::new(SystemClock::new()),
        )
        .unwrap();
        let log = store.log("acme", Stream::Alerts).await.unwrap();
        let options = || sinks::Options {
            directory: dir.path().join("sinks"),
            context: Context {
                installation: "bench".to_owned(),
                version: "0".to_owned(),
                host: "bench".to_owned(),
                external_url: None,
                record_integrity: false,
            },
            wall: Arc::new(|_, _| Err("no roles".to_owned())),
            speed: 1,
        };
        let sinks = || if format == "none" { Vec::new() } else { vec![sink(dir.path(), format)] };
        let running = Sinks::start(&store, sinks(), &options()).unwrap();
        let next = |running: &sinks::Handle| match running.status().first() {
            Some(status) => status.tenants.get("acme").map_or(0, |tenant| tenant.next),
            None => log.durable(),
        };
        let begun = Instant::now();
        let (mut behind, mut quarters) = (0, Vec::new());
        for tick in 0..seconds * TICKS {
            let part = rate / TICKS;
            log.append(draft(tick * part..(tick + 1) * part)).await.unwrap();
            behind = behind.max(log.durable().saturating_sub(next(&running)));
            let due =
                Duration::from_secs(1) * u32::try_from(tick + 1).unwrap() / u32::try_from(TICKS).unwrap();
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
            if (tick + 1).is_multiple_of((seconds * TICKS / 4).max(1)) {
                quarters.push(memory().0.to_string());
            }
        }
        while next(&running) < log.durable() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let drained = begun.elapsed();
        let count = rate * seconds;
        running.shutdown().await;
        let (resident, peak) = (quarters.join(" "), memory().1);
        // The same again from the start, with nothing else to wait for.
        std::fs::remove_dir_all(dir.path().join("sinks")).ok();
        let begun = Instant::now();
        let running = Sinks::start(&store, sinks(), &options()).unwrap();
        while next(&running) < log.durable() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let full = begun.elapsed();
        running.shutdown().await;
        let plain = plain(dir.path(), count);
        println!(
            "{format:<14} {:>9.0}  {:>8.1} s  {behind:>14}  {resident:>28} ({peak})  {:>15.0}  {:>12.0}",
            count as f64 / drained.as_secs_f64(),
            drained.as_secs_f64(),
            count as f64 / full.as_secs_f64(),
            count as f64 / plain.as_secs_f64(),
        );
        store.close().await.unwrap();
    }
}
