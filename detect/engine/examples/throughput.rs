//! Prints what the engine costs on one core: `cargo run --release -p tachograph-engine --example throughput`.
//!
//! With ids of rules as arguments, what the working day costs in processor time with and without them; with `digest`, a hash
//! of each log's alerts and state, by which a change that should change none is held against what was before it.
//!
//! Three logs: a working day of a fleet with few offences, a flood of denials from one agent, and a flood of
//! fresh identities that keeps every map at its cap. Memory is the growth of the process (Linux only).

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program that measures and prints")]

use std::time::Instant;

use engine::{Alert, Engine, Record, Settings};

const EVENTS: usize = 1_000_000;
const START_US: i64 = 1_767_225_600_000_000;

/// Names made once, so that only the engine is measured.
struct Names {
    agents: Vec<String>,
    credentials: Vec<String>,
    tools: Vec<String>,
    calls: Vec<String>,
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:08}")).collect()
}

/// A fixed sequence of numbers that looks like chance (Weyl sequence, then a multiplicative hash).
fn number(event: usize, stream: u64) -> usize {
    let mixed = (event as u64).wrapping_add(stream << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33) as usize
}

fn pick(from: &[String], number: usize) -> Option<&str> {
    from.get(number % from.len()).map(String::as_str)
}

fn call(names: &Names, event: usize) -> Record<'_> {
    let agent = number(event, 1);
    let time_us = START_US + event as i64 * 20_000;
    Record {
        index: event as i64,
        ingest_time_us: time_us + 30_000,
        time_us,
        kind: "call",
        method: Some("tools/call"),
        user_id: pick(&names.agents, agent / 7),
        agent_id: pick(&names.agents, agent),
        client: Some("client/1.0"),
        credential_id: pick(&names.credentials, agent),
        source_ip: Some("192.0.2.17"),
        session_id: "s-1",
        call_id: pick(&names.calls, event),
        server: Some("github"),
        capability: pick(&names.tools, number(event, 2)),
        action: Some("read"),
        risk: Some("low"),
        decision: "allow",
        status: "ok",
        latency_us: Some((number(event, 3) % 800_000) as i64),
        response_bytes: Some((number(event, 5) % 20_000) as i64),
        output_action: Some("pass"),
        environment: Some("production"),
        source: "test/1",
        source_seq: Some(event as i64),
        ..Record::default()
    }
}

fn working_day(names: &Names, event: usize) -> Record<'_> {
    let base = call(names, event);
    match number(event, 4) % 1_000 {
        0..=19 => Record { decision: "deny", status: "denied", ..base },
        20..=99 => Record { kind: "auth", method: Some("login"), decision: "none", server: None, ..base },
        100 => Record { kind: "auth", method: Some("login"), status: "error", server: None, ..base },
        101..=150 => Record { kind: "list", ..base },
        151..=190 => Record {
            action: Some("write"),
            risk: Some("high"),
            approval_id: base.call_id,
            approval_status: Some("approved"),
            approver: Some("boss"),
            ..base
        },
        191 => Record { action: Some("write"), risk: Some("high"), ..base },
        192..=230 => Record {
            kind: "approval",
            approval_id: base.call_id,
            approval_status: Some("approved"),
            approver: Some("boss"),
            ..base
        },
        _ => base,
    }
}

/// The same spread over forty days, so that rules which learn have learnt; now and then a large, slow or blocked output.
fn many_days(names: &Names, event: usize) -> Record<'_> {
    let base = working_day(names, event);
    let time_us = START_US + event as i64 * 3_456_000;
    let base = Record { time_us, ingest_time_us: time_us + 30_000, ..base };
    let hour = event / 1_041;
    match number(event, 6) % 20 {
        0 if hour % 97 == 0 => {
            Record { output_action: Some("block"), response_bytes: Some(90_000_000), ..base }
        }
        1..=9 if hour % 89 == 0 => Record { latency_us: Some(9_000_000), ..base },
        2 => {
            Record { kind: "approval", approval_id: base.call_id, approval_status: Some("requested"), ..base }
        }
        _ => base,
    }
}

fn denial_flood(names: &Names, event: usize) -> Record<'_> {
    Record { agent_id: Some("one"), decision: "deny", status: "denied", ..call(names, event) }
}

fn identity_flood(names: &Names, event: usize) -> Record<'_> {
    let fresh = pick(&names.calls, event);
    let base = Record {
        agent_id: fresh,
        credential_id: fresh,
        capability: fresh,
        source_ip: fresh,
        ..call(names, event)
    };
    match event % 3 {
        0 => Record { kind: "auth", method: Some("login"), status: "error", ..base },
        1 => Record { action: Some("write"), risk: Some("high"), ..base },
        _ => Record { decision: "deny", ..base },
    }
}

/// Processor time of this process so far, in milliseconds: the clock on the wall counts what others do (Linux only).
fn processor_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks = after_name.split_whitespace().skip(11).take(2);
    // A tick is 10 ms on every Linux.
    ticks.map(|ticks| ticks.parse::<u64>().ok().map(|ticks| ticks * 10)).sum()
}

/// Processor time of the records without some rules, in milliseconds.
fn cost_ms(records: &[Record<'_>], without: &[&str]) -> Option<u64> {
    let disabled = without.iter().map(|id| (*id).to_owned()).collect();
    let mut engine = Engine::new("acme", Settings { disabled, ..Settings::default() });
    let mut alerts = Vec::new();
    let before = processor_ms()?;
    for record in records {
        engine.observe(record, &mut alerts).expect("the log has no gaps");
    }
    Some(processor_ms()?.saturating_sub(before))
}

/// What rules cost together: the lesser of two each, in turn, since others use the machine.
fn cost_of(records: &[Record<'_>], rules: &[&str]) {
    let sets: [&[&str]; 2] = [&[], rules];
    let mut least = [u64::MAX; 2];
    for _ in 0..2 {
        for (least, without) in least.iter_mut().zip(&sets) {
            *least = cost_ms(records, without).map_or(*least, |cost_ms| cost_ms.min(*least));
        }
    }
    for (cost_ms, without) in least.iter().zip(&sets) {
        println!("{cost_ms:>6} ms without {without:?}");
    }
}

fn digest<'a>(title: &str, names: &'a Names, record: impl Fn(&'a Names, usize) -> Record<'a>) {
    let mut engine = Engine::new("acme", Settings::default());
    let (mut alerts, mut hash, mut number) = (Vec::new(), blake3::Hasher::new(), 0);
    for event in 0..EVENTS {
        engine.observe(&record(names, event), &mut alerts).expect("the log has no gaps");
        number += alerts.len();
        for alert in alerts.drain(..) {
            hash.update(format!("{alert:?}").as_bytes());
        }
    }
    let state = blake3::hash(&engine.snapshot());
    println!(
        "{title:16} alerts {number} {}  state {}",
        &hash.finalize().to_hex()[..32],
        &state.to_hex()[..32]
    );
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1_024)
}

fn measure<'a>(title: &str, names: &'a Names, record: impl Fn(&'a Names, usize) -> Record<'a>) {
    let mut engine = Engine::new("acme", Settings::default());
    let mut alerts: Vec<Alert> = Vec::new();
    let (mut emitted, mut slowest_us) = (0, 0);
    let records: Vec<Record<'_>> = (0..EVENTS).map(|event| record(names, event)).collect();
    let before = resident_bytes();
    let started = Instant::now();
    for chunk in records.chunks(1_000) {
        let chunk_started = Instant::now();
        for record in chunk {
            engine.observe(record, &mut alerts).expect("the log has no gaps");
        }
        slowest_us = slowest_us.max(chunk_started.elapsed().as_micros());
        emitted += alerts.len();
        alerts.clear();
    }
    let elapsed = started.elapsed();
    let grown = resident_bytes().zip(before).map_or(0, |(after, before)| after.saturating_sub(before));
    let snapshot_started = Instant::now();
    let snapshot = engine.snapshot();
    println!(
        "{title:16} {:>9.0} events/s  {:>6.0} ns/event  slowest 1,000: {slowest_us} us  alerts {emitted}  open {}  \
         evicted {}  memory {} kB  snapshot {} kB in {} ms",
        EVENTS as f64 / elapsed.as_secs_f64(),
        elapsed.as_nanos() as f64 / EVENTS as f64,
        engine.episodes_open(),
        engine.evicted(),
        grown / 1_024,
        snapshot.len() / 1_024,
        snapshot_started.elapsed().as_millis(),
    );
}

/// Growth of the process over `count` principals that each fill their windows.
fn memory_of_principals(count: usize) {
    let names = Names {
        agents: names("agent", count),
        credentials: Vec::new(),
        tools: Vec::new(),
        calls: Vec::new(),
    };
    let mut engine = Engine::new("acme", Settings { entities_max: count, ..Settings::default() });
    let mut alerts = Vec::new();
    let before = resident_bytes();
    let mut index = 0;
    for minute in 0..15 {
        for agent in &names.agents {
            let time_us = START_US + minute * 60_000_000;
            let base =
                Record { agent_id: Some(agent), user_id: None, latency_us: None, call_id: None, ..blank() };
            let base = Record { index, time_us, ingest_time_us: time_us, ..base };
            engine.observe(&base, &mut alerts).expect("the log has no gaps");
            index += 1;
        }
    }
    let grown = resident_bytes().zip(before).map_or(0, |(after, before)| after.saturating_sub(before));
    println!("memory           {} bytes a principal with a full window, over {count}", grown / count as u64);
}

fn blank() -> Record<'static> {
    Record {
        index: 0,
        ingest_time_us: 0,
        time_us: 0,
        kind: "call",
        session_id: "s-1",
        server: Some("github"),
        capability: Some("merge"),
        action: Some("read"),
        risk: Some("low"),
        decision: "allow",
        status: "ok",
        source: "test/1",
        ..Record::default()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names = Names {
        agents: names("agent", 400),
        credentials: names("credential", 400),
        tools: names("tool", 200),
        calls: names("call", EVENTS),
    };
    let rules: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if rules == ["digest"] {
        digest("working day", &names, working_day);
        digest("denial flood", &names, denial_flood);
        digest("identity flood", &names, identity_flood);
        digest("many days", &names, many_days);
        return;
    }
    if !rules.is_empty() {
        let records: Vec<Record<'_>> = (0..EVENTS).map(|event| working_day(&names, event)).collect();
        return cost_of(&records, &rules);
    }
    memory_of_principals(100_000);
    measure("working day", &names, working_day);
    measure("denial flood", &names, denial_flood);
    measure("identity flood", &names, identity_flood);
}
