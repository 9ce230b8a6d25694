//! A real broker that is killed, and its reader as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ingest::Kafka;

use super::broker::Broker;
use super::{Seeded, child, is_full, log};

/// What the child consumes.
pub fn calls(broker: &str) -> Kafka {
    Kafka {
        name: "calls".to_string(),
        tenant: "default".to_string(),
        brokers: vec![broker.to_string()],
        topics: vec!["calls".to_string()],
        group: "recorders".to_string(),
        mapping: None,
        dead_letter: Some("dead".to_string()),
        tls: None,
        sasl: None,
    }
}

fn record(number: u64) -> String {
    format!("k{number}|{{\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",\"capability\":\"n-{number}\"}}")
}

/// Records, and among them 25 that are no events.
fn records(count: u64) -> (Vec<String>, u64) {
    let mut lines = Vec::new();
    let mut poison = 0;
    for number in 0..count {
        if number % (count / 25) == 7 {
            lines.push(format!("p{number}|{{\"poison\": {number}"));
            poison += 1;
        }
        lines.push(record(number));
    }
    (lines, poison)
}

#[test]
fn each_record_is_in_the_log_once_whoever_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let Some(mut broker) = Broker::start(home.path()) else { return };
    broker.create("calls", 4);
    broker.create("dead", 1);
    let collector = format!("kafka:{}", broker.address());
    let total = if is_full() { 1_000_000 } else { 100_000 };
    let kills = if is_full() { 40 } else { 8 };
    let (lines, poison) = records(total);
    let mut seeded = Seeded(3);
    // One part before, the rest while reader and broker come and go.
    let (first, rest) = lines.split_at(lines.len() / 4);
    broker.produce("calls", first);
    let mut left = rest.chunks(rest.len() / (kills - 2) + 1);
    for kill in 0..kills {
        let child = child::start(home.path(), &collector);
        if let Some(part) = left.next() {
            broker.produce("calls", part);
        }
        if kill % 3 == 1 {
            broker.kill();
            std::thread::sleep(Duration::from_millis(300));
            broker.run();
        }
        std::thread::sleep(Duration::from_millis(seeded.below(2500)));
        child::kill(child);
        log::verify(home.path(), &format!("kill {kill}, {} entries", child::durable(home.path())));
        println!("kill {kill}: {} entries", child::durable(home.path()));
    }
    for part in left {
        broker.produce("calls", part);
    }
    let child = child::start(home.path(), &collector);
    child::until(home.path(), total + 1, Duration::from_secs(240));
    std::thread::sleep(Duration::from_secs(3));
    child::kill(child);
    let rows = log::rows(home.path());
    let calls: Vec<&str> =
        rows.iter().filter(|row| row.kind == "call").map(|row| row.capability.as_str()).collect();
    let distinct: BTreeSet<&str> = calls.iter().copied().collect();
    assert_eq!((calls.len() as u64, distinct.len() as u64), (total, total));
    assert_eq!(log::told(&rows, "refused", "refused"), poison, "every poison record is told once");
    let others: Vec<_> =
        rows.iter().filter(|row| row.kind == "integrity" && row.method != "refused").collect();
    assert!(others.is_empty(), "{others:?}");
    log::verify(home.path(), "at the end");
    println!("{kills} kills, {total} records of 4 partitions: each recorded once");

    // What was poison is there with its place, and nothing else is.
    let dead = broker.consume("dead");
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for letter in &dead {
        let (headers, value) = letter.split_once('\t').unwrap_or_else(|| panic!("{letter}"));
        assert!(headers.contains("tachograph-reason:bad_json"), "{letter}");
        assert!(headers.contains("tachograph-topic:calls"), "{letter}");
        let place = |name: &str| {
            let at = headers.split(name).nth(1).unwrap_or_else(|| panic!("{letter}"));
            at.chars().take_while(char::is_ascii_digit).collect::<String>()
        };
        let place = format!("{}@{}", place("tachograph-partition:"), place("tachograph-offset:"));
        // A kill between a letter and the cursor sends it again; it is the same one then.
        assert_eq!(places.entry(place).or_insert(value.to_string()), value);
    }
    assert_eq!(places.len() as u64, poison, "{dead:?}");
    println!("{poison} poison records: {} dead letters, one at least of each", dead.len());
}
