//! A real broker that is killed, and its reader as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
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
    let told: Vec<_> = rows.iter().filter(|row| row.kind == "integrity").collect();
    println!("ends of the topic:\n{}told: {told:?}", broker.ends("calls"));
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

/// A broker with topics `calls`, of one partition, and `dead`, which takes small records alone.
fn broker(home: &Path) -> Option<Broker> {
    let broker = Broker::start(home)?;
    broker.create("calls", 1);
    broker.create_with("dead", 1, &["max.message.bytes=1000"]);
    Some(broker)
}

fn lines(from: u64, to: u64) -> Vec<String> {
    (from..to).map(record).collect()
}

/// How many calls there are in all, how many different ones, and which notices.
fn recorded(home: &Path) -> (u64, u64, Vec<log::Row>) {
    let rows = log::rows(home);
    let calls: Vec<&str> =
        rows.iter().filter(|row| row.kind == "call").map(|row| row.capability.as_str()).collect();
    let distinct: BTreeSet<&str> = calls.iter().copied().collect();
    let counts = (calls.len() as u64, distinct.len() as u64);
    (counts.0, counts.1, rows.into_iter().filter(|row| row.kind == "integrity").collect())
}

fn methods(told: &[log::Row]) -> Vec<&str> {
    told.iter().map(|row| row.method.as_str()).collect()
}

#[test]
fn a_topic_that_lost_its_end_is_not_recorded_again() {
    let home = tempfile::tempdir().unwrap();
    let Some(mut broker) = broker(home.path()) else { return };
    let collector = format!("kafka:{}", broker.address());
    let child = child::start(home.path(), &collector);
    for from in [0, 500, 1000, 1500] {
        broker.produce("calls", &lines(from, from + 500));
    }
    child::until(home.path(), 2001, Duration::from_secs(60));
    // While it is read: what is cut off is recorded, and what comes in its place is new.
    broker.kill();
    broker.cut("calls", 0, |bytes| bytes * 7 / 10);
    broker.run();
    broker.produce("calls", &lines(2000, 2100));
    child::until(home.path(), 2102, Duration::from_secs(60));
    std::thread::sleep(Duration::from_secs(3));
    child::kill(child);
    let (calls, distinct, told) = recorded(home.path());
    assert_eq!((calls, distinct), (2100, 2100), "{told:?}");
    assert_eq!(methods(&told).first(), Some(&"truncated"), "{told:?}");
    // Refilled past where we were before anybody looks: no offset says so.
    broker.kill();
    broker.cut("calls", 0, |bytes| bytes * 9 / 10);
    broker.run();
    broker.produce("calls", &lines(3000, 4000));
    let child = child::start(home.path(), &collector);
    child::until(home.path(), child::durable(home.path()) + 1000, Duration::from_secs(60));
    std::thread::sleep(Duration::from_secs(3));
    child::kill(child);
    let (calls, distinct, told) = recorded(home.path());
    assert_eq!((calls, distinct), (3100, 3100), "{told:?}");
    assert_eq!(methods(&told).iter().filter(|what| **what == "truncated").count(), 2, "{told:?}");
    log::verify(home.path(), "at the end");
}

#[test]
fn a_topic_that_was_made_anew_is_read_from_its_start_and_a_gap_is_told() {
    let home = tempfile::tempdir().unwrap();
    let Some(broker) = broker(home.path()) else { return };
    let collector = format!("kafka:{}", broker.address());
    broker.produce("calls", &lines(0, 300));
    let child = child::start(home.path(), &collector);
    child::until(home.path(), 301, Duration::from_secs(60));
    child::kill(child);
    broker.delete("calls");
    broker.create("calls", 1);
    // More than before: its offsets say nothing.
    broker.produce("calls", &lines(1000, 1400));
    let child = child::start(home.path(), &collector);
    child::until(home.path(), 702, Duration::from_secs(60));
    child::kill(child);
    let (calls, distinct, told) = recorded(home.path());
    assert_eq!((calls, distinct, methods(&told)), (700, 700, vec!["began_anew"]), "{told:?}");
    // What retention removes while nobody reads is counted.
    broker.produce("calls", &lines(2000, 2100));
    broker.remove_below("calls", 0, 450);
    let child = child::start(home.path(), &collector);
    child::until(home.path(), 702 + 51, Duration::from_secs(60));
    child::kill(child);
    let rows = log::rows(home.path());
    assert_eq!(log::told(&rows, "gap", "missing"), 50);
    let (calls, distinct, told) = recorded(home.path());
    assert_eq!((calls, distinct, methods(&told)), (750, 750, vec!["began_anew", "gap"]), "{told:?}");
}

#[test]
fn a_dead_letter_that_cannot_be_delivered_holds_up_nothing() {
    let home = tempfile::tempdir().unwrap();
    let Some(broker) = broker(home.path()) else { return };
    let collector = format!("kafka:{}", broker.address());
    let child = child::start(home.path(), &collector);
    broker.produce("calls", &[format!("k|{{\"poison\": \"{}", "x".repeat(5000)), "k|{small".to_string()]);
    broker.produce("calls", &lines(0, 10));
    child::until(home.path(), 12, Duration::from_secs(60));
    child::kill(child);
    let (calls, _, told) = recorded(home.path());
    assert_eq!(calls, 10);
    assert!(told.iter().any(|row| row.attributes.contains("\"stub\"")), "{told:?}");
    let dead = broker.consume("dead");
    let stub = dead.iter().find(|letter| letter.contains("tachograph-digest:")).unwrap();
    assert!(stub.contains("tachograph-bytes:50") && stub.contains("tachograph-offset:0"), "{stub}");
    assert!(dead.iter().any(|letter| letter.ends_with("{small")), "{dead:?}");
}
