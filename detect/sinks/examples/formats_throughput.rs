//! Alerts a second through each format, beside what `serde_json` takes to write the same alert's columns, and the peak of memory.
//!
//! `cargo run --release -p tachograph-sinks --example formats_throughput [-- ROUNDS]`. Each figure is the median of the rounds; in a round every format has its
//! turn, so that a machine that slows down slows all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
// Measured at the rim.
#![allow(clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::Instant;

use serde::Serialize;
use sinks::{Alert, Format, Item, KillSwitch, kill_switch, render};

#[path = "../tests/formats/fixture.rs"]
#[allow(dead_code)]
mod fixture;

const ALERTS: usize = 20_000;

/// The same columns, as anybody would write them.
#[derive(Serialize)]
struct Plain<'a> {
    log: &'a str,
    log_index: u64,
    ingest_time: i64,
    event_id: &'a str,
    time: i64,
    tenant: &'a str,
    kind: &'a str,
    source: &'a str,
    session_id: &'a str,
    decision: &'a str,
    status: &'a str,
    cut: &'a [String],
    tags: &'a [String],
    redactions: &'a [String],
    payload_commitment: Option<&'a str>,
    alert_id: &'a str,
    sequence: i64,
    state: &'a str,
    rule_id: &'a str,
    title: &'a str,
    severity: &'a str,
    confidence: &'a str,
    entity_type: &'a str,
    entity: &'a str,
    environment: Option<&'a str>,
    first_seen: i64,
    last_seen: i64,
    count: i64,
    statistic: &'a str,
    expected: Option<i64>,
    observed: Option<i64>,
    unit: &'a str,
    baseline: &'a str,
    window_us: Option<i64>,
    evidence: &'a [i64],
    evidence_log: &'a str,
    observables: &'a [String],
    explanation: &'a str,
    query: &'a str,
    runbook: &'a str,
    references: &'a [String],
    position: i64,
    ordinal: i64,
}

fn plain(alert: &Alert) -> Vec<u8> {
    let row = Plain {
        log: &alert.log,
        log_index: alert.log_index,
        ingest_time: alert.ingest_time_us,
        event_id: &alert.event_id,
        time: alert.time_us,
        tenant: &alert.tenant,
        kind: &alert.kind,
        source: &alert.source,
        session_id: &alert.session_id,
        decision: &alert.decision,
        status: &alert.status,
        cut: &alert.cut,
        tags: &alert.tags,
        redactions: &alert.redactions,
        payload_commitment: alert.payload_commitment.as_deref(),
        alert_id: &alert.alert_id,
        sequence: alert.sequence,
        state: alert.state.word(),
        rule_id: &alert.rule_id,
        title: &alert.title,
        severity: alert.severity.word(),
        confidence: alert.confidence.word(),
        entity_type: &alert.entity_type,
        entity: &alert.entity,
        environment: alert.environment.as_deref(),
        first_seen: alert.first_seen_us,
        last_seen: alert.last_seen_us,
        count: alert.count,
        statistic: &alert.statistic,
        expected: alert.expected,
        observed: alert.observed,
        unit: &alert.unit,
        baseline: &alert.baseline,
        window_us: alert.window_us,
        evidence: &alert.evidence,
        evidence_log: &alert.evidence_log,
        observables: &alert.observables,
        explanation: &alert.explanation,
        query: &alert.query,
        runbook: &alert.runbook,
        references: &alert.references,
        position: alert.position,
        ordinal: alert.ordinal,
    };
    serde_json::to_vec(&row).unwrap()
}

/// Seconds and bytes of one turn over all alerts.
fn turn(alerts: &[Alert], mut write: impl FnMut(&Alert) -> usize) -> (f64, usize) {
    let start = Instant::now();
    let bytes = (0..ALERTS).map(|at| black_box(write(black_box(&alerts[at % alerts.len()])))).sum();
    (start.elapsed().as_secs_f64(), bytes)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn peak_kb() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".to_owned(), |line| line.trim().to_owned())
}

fn main() {
    let rounds: usize =
        std::env::args().nth(1).map_or(9, |rounds| rounds.parse().expect("a number of rounds"));
    let context = fixture::context();
    let attested = sinks::Context { record_integrity: true, ..context.clone() };
    let alerts: Vec<Alert> = fixture::alerts().into_iter().map(|(_, alert)| alert).collect();
    let switch = KillSwitch { holds_s: 900, is_dry_run: false };
    let mut names = vec!["serde_json".to_owned()];
    names.extend(Format::ALL.iter().map(|format| format.name().to_owned()));
    names.extend(["ocsf with record_integrity".to_owned(), "kill switch".to_owned()]);
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    let mut bytes = vec![0; names.len()];
    for _ in 0..rounds {
        let mut at = 0;
        let mut note = |(second, size): (f64, usize)| {
            seconds[at].push(second);
            bytes[at] = size;
            at += 1;
        };
        note(turn(&alerts, |alert| plain(alert).len()));
        for format in Format::ALL {
            note(turn(&alerts, |alert| render(format, Item::Alert(alert), &context).body.len()));
        }
        note(turn(&alerts, |alert| render(Format::Ocsf, Item::Alert(alert), &attested).body.len()));
        note(turn(&alerts, |alert| kill_switch(alert, &context, switch).body.len()));
    }
    let base = median(seconds[0].clone());
    println!("{ALERTS} alerts a turn, median of {rounds} rounds");
    for ((name, times), bytes) in names.iter().zip(seconds).zip(bytes) {
        let median = median(times);
        println!(
            "{name:28} {:>9.0} alerts/s  {:>5} bytes each  {:.2} times serde_json",
            ALERTS as f64 / median,
            bytes / ALERTS,
            median / base
        );
    }
    println!("peak memory {}", peak_kb());
}
