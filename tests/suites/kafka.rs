//! A real broker that is killed, a service that is killed, another that joins its group: each record is in the log once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Events, Seeded, Service, is_full, service_log, verify, whole};

pub(super) mod broker;

use broker::Broker;

/// As in the loss suite: seals and file changes within a run's short life.
const HURRY: [(&str, &str); 3] = [
    ("TACHO_STORE_SEAL_ROWS", "5000"),
    ("TACHO_STORE_SEAL_AGE_SMALL_S", "1"),
    ("TACHO_STORE_WAL_FILE_BYTES", "4000000"),
];

fn configure(home: &Path, broker: &Broker) -> String {
    let config = home.join("tacho.toml");
    let text = format!(
        "[[kafka]]\nname = \"calls\"\nbrokers = [\"{}\"]\ntopics = [\"calls\"]\ngroup = \"recorders\"\n\
         dead_letter = \"dead\"\n",
        broker.address()
    );
    fs::write(&config, text).unwrap();
    config.display().to_string()
}

fn start(home: &Path, config: &str) -> Service {
    let mut environment = HURRY.to_vec();
    environment.push(("TACHO_CONFIG", config));
    Service::start(home, &environment)
}

fn record(number: u64) -> String {
    format!("k{number}|{{\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",\"capability\":\"n-{number}\"}}")
}

fn count(service: &Service, what: &str) -> u64 {
    service.sql(&format!("SELECT {what} AS n FROM events WHERE kind = 'call'"))[0]["n"].as_u64().unwrap()
}

fn until(home: &Path, patience: Duration, what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < patience, "not within {patience:?}: {what}\n{}", service_log(home));
        std::thread::sleep(Duration::from_millis(300));
    }
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
    let config = configure(home.path(), &broker);
    let total = if is_full() { 1_000_000 } else { 100_000 };
    let kills = if is_full() { 40 } else { 8 };
    let (lines, poison) = records(total);
    let mut seeded = Seeded(3);
    // One part before, the rest while services and broker come and go.
    let (first, rest) = lines.split_at(lines.len() / 4);
    broker.produce("calls", first);
    let mut left = rest.chunks(rest.len() / (kills - 2) + 1);
    for kill in 0..kills {
        let service = start(home.path(), &config);
        if let Some(part) = left.next() {
            broker.produce("calls", part);
        }
        if kill % 3 == 1 {
            broker.kill();
            std::thread::sleep(Duration::from_millis(300));
            broker.run();
        }
        std::thread::sleep(Duration::from_millis(seeded.below(1500)));
        service.kill();
        let (code, text) = verify(home.path());
        assert!(code == 0 || text.contains("no root log"), "kill {kill}: {text}");
    }
    for part in left {
        broker.produce("calls", part);
    }
    let service = start(home.path(), &config);
    until(home.path(), Duration::from_secs(240), "all records", || count(&service, "count(*)") >= total);
    std::thread::sleep(Duration::from_secs(1));
    let topic = broker.consume("calls");
    let readable = topic.iter().filter(|line| line.ends_with('}')).count() as u64;
    let broken = topic.len() as u64 - readable;
    let recorded = (count(&service, "count(*)"), count(&service, "count(DISTINCT capability)"));
    if recorded != (readable, total) {
        // What it takes to tell who is wrong: the topic, the client, or the log.
        tell(home.path(), &service, &broker);
    }
    // The producer is idempotent: what is on the topic counts, and that should be each record once.
    assert_eq!(recorded, (readable, total));
    assert_eq!((readable, broken), (total, poison), "the topic has each record once");
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
    assert_eq!(places.len() as u64, broken, "{dead:?}");
    assert_eq!(places.values().collect::<BTreeSet<_>>().len() as u64, poison);
    println!("{poison} poison records: {} dead letters, one at least of each", dead.len());

    let metrics = service.send("GET", "/metrics", &[], b"").text();
    let lag: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("tacho_kafka_lag_records{")).collect();
    until(home.path(), Duration::from_secs(20), "lag of four partitions", || {
        let metrics = service.send("GET", "/metrics", &[], b"").text();
        let lag = metrics.lines().filter(|line| line.starts_with("tacho_kafka_lag_records{"));
        lag.filter(|line| line.ends_with(" 0")).count() == 4
    });
    assert!(lag.len() <= 4, "{lag:?}");
    whole(home.path(), service);
}

/// Prints what a wrong count is judged by.
fn tell(home: &Path, service: &Service, broker: &Broker) {
    println!("ends of the topic:\n{}", broker.ends("calls"));
    let sql = "SELECT log_index, method, target, attributes FROM events WHERE kind = 'integrity' ORDER BY log_index";
    for row in service.sql(sql) {
        println!("told: {row}");
    }
    let sql = "SELECT capability, count(*) AS n, min(log_index) AS first, max(log_index) AS last FROM events \
               WHERE kind = 'call' GROUP BY capability HAVING count(*) > 1 ORDER BY first LIMIT 20";
    for row in service.sql(sql) {
        println!("twice: {row}");
    }
    let metrics = service.send("GET", "/metrics", &[], b"").text();
    metrics.lines().filter(|line| line.starts_with("tacho_kafka_")).for_each(|line| println!("{line}"));
    let log = fs::read_to_string(home.join("service.log")).unwrap_or_default();
    let words = ["OFFSET", "assigned", "revoked", "looked for anew"];
    log.lines()
        .filter(|line| words.iter().any(|word| line.contains(word)))
        .for_each(|line| println!("{line}"));
}

/// Two recorders of one group, each with its own log: partitions go over and come back, and nothing is missed.
#[test]
fn partitions_go_over_to_another_recorder_and_come_back() {
    let home = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(home.path()) else { return };
    broker.create("calls", 4);
    broker.create("dead", 1);
    let homes = ["one", "other"].map(|name| home.path().join(name));
    homes.iter().for_each(|home| fs::create_dir(home).unwrap());
    let [one_home, other_home] = &homes;
    let one = start(one_home, &configure(one_home, &broker));
    let lines = |from: u64, to: u64| (from..to).map(record).collect::<Vec<_>>();
    broker.produce("calls", &lines(0, 5000));
    until(one_home, Duration::from_secs(60), "the first records", || count(&one, "count(*)") == 5000);
    let other = start(other_home, &configure(other_home, &broker));
    // The other joins: two partitions go over to it.
    until(other_home, Duration::from_secs(60), "an assignment", || {
        service_metric(&other, "tacho_kafka_rebalances_total") > 0.0
    });
    std::thread::sleep(Duration::from_secs(2));
    broker.produce("calls", &lines(5000, 10_000));
    let both = || count(&one, "count(*)") + count(&other, "count(*)");
    until(one_home, Duration::from_secs(60), "the records of both", || both() >= 10_000);
    assert!(count(&other, "count(*)") > 0, "the other has a share");
    // It leaves, and they come back: behind what it recorded.
    assert_eq!(other.stop(), Some(0));
    broker.produce("calls", &lines(10_000, 12_000));
    until(one_home, Duration::from_secs(60), "the records after it left", || {
        one.sql("SELECT count(*) AS n FROM events WHERE kind = 'call' AND capability >= 'n-10000' AND capability < 'n-12000' AND length(capability) = 7")[0]["n"] == 2000
    });
    let own = (count(&one, "count(*)"), count(&one, "count(DISTINCT capability)"));
    assert_eq!(own.0, own.1, "in one log each record is once");
    let other = start(other_home, &configure(other_home, &broker));
    let names = |service: &Service| -> BTreeSet<String> {
        let rows = service.sql("SELECT capability FROM events WHERE kind = 'call'");
        rows.iter().map(|row| row["capability"].as_str().unwrap().to_string()).collect()
    };
    let (of_one, of_other) = (names(&one), names(&other));
    let all: BTreeSet<_> = of_one.union(&of_other).collect();
    assert_eq!(all.len(), 12_000, "nothing is missed");
    println!(
        "two recorders: {} and {} records, {} in both",
        of_one.len(),
        of_other.len(),
        of_one.intersection(&of_other).count()
    );
    // Each of this life of the two: the first was never restarted, the other has what came since it was.
    let Events { durable, refused, .. } = whole(one_home, one);
    assert_eq!((durable, refused), (of_one.len() as u64, 0));
    whole(other_home, other);
}

fn service_metric(service: &Service, name: &str) -> f64 {
    let text = service.send("GET", "/metrics", &[], b"").text();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
