//! Prints what the engine costs on one core: `cargo run --release -p tachograph-engine --example throughput`.
//!
//! Logs: a working day of a fleet with few offences, with and without the rules on sessions; 100,000 agents that work in turns of twenty calls or
//! so, 250 records a second of all (what the generated fleet's principals make), once each has been seen and through the end of a day; a flood of
//! denials from one agent; and a flood of fresh identities that keeps every map at its cap. Names of logs as arguments choose
//! among them (`-- "working day" "large fleet"`); those with sigma
//! are the same with the shipped rules in Sigma. Time is the process's own, so that a machine shared with others measures the same; memory is
//! its growth (both Linux only). The digest is of all alerts: what is made cheaper must not tell another thing.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program that measures and prints")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Alert, Engine, Record, Settings, Setup};
use sigma::{Options, Rules};

const EVENTS: usize = 1_000_000;
const START_US: i64 = 1_767_225_600_000_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Agents of the large fleet, and how many work at a time.
const AGENTS: usize = 100_000;
const AT_WORK: usize = 7_500;
/// Records after which whoever works has changed, and after which each agent has.
const TURN: usize = AT_WORK * 20;
const ALL_SEEN: usize = TURN * AGENTS.div_ceil(AT_WORK);

const SESSION_RULES: [&str; 3] = ["unusual_tools", "off_hours", "new_network"];

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
        environment: Some("production"),
        source: "test/1",
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

/// Who works changes one by one, each after ten minutes.
fn large(names: &Names, event: usize) -> Record<'_> {
    let place = number(event, 5) % AT_WORK;
    let agent = place + AT_WORK * ((event + place * 20) / TURN);
    let time_us = START_US + 21 * 3_600_000_000 + event as i64 * 4_000;
    let of_day = working_day(names, event);
    Record {
        time_us,
        ingest_time_us: time_us + 30_000,
        agent_id: pick(&names.agents, agent),
        user_id: pick(&names.agents, agent / 7),
        credential_id: pick(&names.credentials, agent),
        // An approval of each would be of calls that nobody makes.
        kind: if of_day.kind == "approval" { "list" } else { of_day.kind },
        ..of_day
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

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1_024)
}

/// Time that a core worked for this process.
fn worked() -> Duration {
    let read = std::fs::read_to_string("/proc/self/schedstat").ok();
    let spent = read.as_deref().and_then(|text| text.split_whitespace().next()?.parse().ok());
    Duration::from_nanos(spent.expect("the kernel counts the time that processes work"))
}

/// A log to be measured.
#[derive(Clone, Copy)]
struct Log<'a> {
    title: &'static str,
    names: &'a Names,
    record: fn(&'a Names, usize) -> Record<'a>,
    disabled: &'static [&'static str],
    rules: Option<&'a Arc<Rules>>,
    /// Records before those that are measured.
    before: usize,
}

fn measure(log: &Log<'_>) {
    let Log { title, names, record, disabled, rules, before: unmeasured } = *log;
    let disabled: BTreeSet<String> = disabled.iter().map(|id| (*id).to_owned()).collect();
    let settings = Settings { disabled, entities_max: names.agents.len().max(10_000), ..Settings::default() };
    let mut engine = Engine::new("acme", Setup { settings, rules: rules.cloned() });
    let mut alerts: Vec<Alert> = Vec::new();
    let (mut emitted, mut slowest_us) = (0, 0);
    let (mut elapsed, mut digest) = (Duration::ZERO, blake3::Hasher::new());
    let mut records: Vec<Record<'_>> = Vec::with_capacity(1_000);
    let before = resident_bytes();
    for chunk in (0..unmeasured + EVENTS).step_by(1_000) {
        records.clear();
        records.extend((chunk..chunk + 1_000).map(|event| record(names, event)));
        let started = worked();
        for record in &records {
            engine.observe(record, &mut alerts).expect("the log has no gaps");
        }
        let took = worked().saturating_sub(started);
        if chunk >= unmeasured {
            elapsed += took;
            slowest_us = slowest_us.max(took.as_micros());
        }
        emitted += alerts.len();
        for alert in alerts.drain(..) {
            digest.update(format!("{alert:?}").as_bytes());
        }
    }
    let grown = resident_bytes().zip(before).map_or(0, |(after, before)| after.saturating_sub(before));
    let snapshot_started = Instant::now();
    let snapshot = engine.snapshot();
    println!(
        "{title:24} {:>9.0} events/s  {:>6.0} ns/event  slowest 1,000: {slowest_us} us  alerts {emitted} ({})  open {}  \
         evicted {}  memory {} kB  snapshot {} kB ({}) in {} ms",
        EVENTS as f64 / elapsed.as_secs_f64(),
        elapsed.as_nanos() as f64 / EVENTS as f64,
        &digest.finalize().to_hex()[..12],
        engine.episodes_open(),
        engine.evicted(),
        grown / 1_024,
        snapshot.len() / 1_024,
        &blake3::hash(&snapshot).to_hex()[..12],
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

fn fleet(agents: usize) -> Names {
    Names {
        agents: names("agent", agents),
        credentials: names("credential", agents),
        tools: names("tool", 200),
        calls: names("call", EVENTS),
    }
}

fn main() {
    let chosen: BTreeSet<String> = std::env::args().skip(1).collect();
    let is_chosen = |title: &str| chosen.is_empty() || chosen.contains(title);
    if is_chosen("memory") {
        memory_of_principals(100_000);
    }
    let (small, many) = (fleet(400), fleet(AGENTS));
    let log = |title, names, record| Log { title, names, record, disabled: &[], rules: None, before: 0 };
    let all_seen = |title| Log { before: ALL_SEEN, ..log(title, &many, large) };
    // With the shipped rules in Sigma, as they are without a list, and with every list that they know.
    let pack = Arc::new(Rules::load(&Options::default()).expect("the shipped rules load"));
    let lists = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/tests/lists"));
    let listed = Rules::load(&Options { lists, ..Options::default() }).expect("and with lists");
    let listed = Arc::new(listed);
    for log in [
        log("working day", &small, working_day),
        Log { disabled: &SESSION_RULES, ..log("day without sessions", &small, working_day) },
        Log { rules: Some(&pack), ..log("day with sigma", &small, working_day) },
        Log { rules: Some(&listed), ..log("day with sigma and lists", &small, working_day) },
        all_seen("large fleet"),
        Log { disabled: &SESSION_RULES, ..all_seen("large without sessions") },
        Log { rules: Some(&listed), ..all_seen("large with sigma") },
        log("denial flood", &small, denial_flood),
        log("identity flood", &small, identity_flood),
        Log { rules: Some(&listed), ..log("flood with sigma", &small, identity_flood) },
    ] {
        if is_chosen(log.title) {
            measure(&log);
        }
    }
}
