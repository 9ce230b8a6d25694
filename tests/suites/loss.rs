//! A loop that starts the real program, loads it over several connections, kills it, starts it again and compares:
//! acknowledged minus found is nothing, no retry is recorded twice, and verify is clean after each.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::main_job::files_below;
use crate::support::{Events, Seeded, Service, event, is_full, request, service_log, verify, whole};

/// Connections that send at once.
const SENDERS: usize = 4;
/// Settings under which seals, file changes and signatures happen within a run's short life.
pub(super) const HURRY: [(&str, &str); 3] = [
    ("TACHO_STORE_SEAL_ROWS", "500"),
    ("TACHO_STORE_SEAL_AGE_SMALL_S", "1"),
    ("TACHO_STORE_WAL_FILE_BYTES", "1000000"),
];

/// Kills in a full run, at random and at named points, at least.
const KILLS_MIN_FULL: u64 = 100;
const NAMED_KILLS_MIN_FULL: u64 = 20;
/// What ends a process that is killed from outside, or by itself at a named point; nothing else counts as a kill.
const SIGKILL: i32 = 9;

/// What the senders know.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) acknowledged: BTreeSet<String>,
    /// Sent, and no answer came.
    unanswered: Vec<Vec<String>>,
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_at_any_moment() {
    let rounds = if is_full() { KILLS_MIN_FULL } else { 8 };
    let mut kills = 0u64;
    let home = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    let mut seeded = Seeded(1);
    for kill in 0..rounds {
        let service = Service::start(home.path(), &HURRY);
        let after = Duration::from_millis(30 + seeded.below(700));
        let (gone, status) =
            load_until(service, &mut known, &format!("k{kill}"), |started, _| started.elapsed() >= after);
        assert!(!gone, "it ended by itself: {status}\n{}", service_log(home.path()));
        kills += u64::from(is_killed(status, home.path()));
        check(home.path(), &mut known, &format!("kill {kill} after {after:?}"));
    }
    println!("{kills} kills, {} events acknowledged, none lost", known.acknowledged.len());
    assert_eq!(kills, rounds);
    assert!(!known.acknowledged.is_empty());
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_at_a_named_point() {
    let Some(program) = std::env::var_os("TACHO_CRASH_PROGRAM").map(PathBuf::from) else {
        println!(
            "SKIPPED: TACHO_CRASH_PROGRAM names no build with feature crash-points (tests/run makes one)"
        );
        return;
    };
    let places = store::CRASH_PLACES;
    let counts: &[u64] = if is_full() { &[1, 3, 20] } else { &[2] };
    let home = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    let mut reached = BTreeMap::new();
    for count in counts {
        for place in places {
            let at = format!("{place}:{count}");
            let mut environment = HURRY.to_vec();
            environment.push(("TACHO_CRASH_AT", &at));
            let prefix = format!("{place}-{count}");
            let limit = Duration::from_secs(20);
            // A place that is passed while the store opens ends the program before it is ready.
            let (gone, status) = match Service::start_program(&program, home.path(), &environment) {
                Ok(service) => load_until(service, &mut known, &prefix, |started, gone| {
                    gone || started.elapsed() >= limit
                }),
                Err(status) => (true, status),
            };
            let crashed = gone && is_killed(status, home.path());
            if crashed {
                check_left_behind(place, home.path());
            }
            *reached.entry(place).or_insert(0u64) += u64::from(crashed);
            check(home.path(), &mut known, &at);
        }
    }
    println!("killed at: {reached:?}; {} events acknowledged, none lost", known.acknowledged.len());
    let missed: Vec<_> = reached.iter().filter(|(_, count)| **count == 0).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
    let kills: u64 = reached.values().sum();
    println!("{kills} kills at {} named points", reached.len());
    assert!(!is_full() || kills >= NAMED_KILLS_MIN_FULL, "{kills} kills at named points");
}

#[test]
fn a_slow_disk_holds_senders_up_and_loses_nothing() {
    let Some(program) = std::env::var_os("TACHO_CRASH_PROGRAM").map(PathBuf::from) else {
        println!(
            "SKIPPED: TACHO_CRASH_PROGRAM names no build with feature crash-points (tests/run makes one)"
        );
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    // The write of a group, its sync, and a seal.
    for place in ["group-written", "group-synced", "seal-files-synced"] {
        let at = format!("{place}:400");
        let mut environment = HURRY.to_vec();
        environment.push(("TACHO_SLOW_AT", &at));
        let mut service = Service::start_program(&program, home.path(), &environment).unwrap();
        let before = known.acknowledged.len();
        let seconds = Duration::from_secs(if is_full() { 30 } else { 4 });
        let enough = |started: Instant, _| started.elapsed() >= seconds;
        let gone = load(&mut service, &mut known, place, enough, |_| {});
        assert!(!gone, "it ended by itself\n{}", service_log(home.path()));
        assert!(known.acknowledged.len() > before, "nothing was taken with {at}");
        // All have their answers: the account of the slow service itself, and what it leaves behind.
        let Events { durable, .. } = whole(home.path(), service);
        assert_eq!(durable, (known.acknowledged.len() - before) as u64, "{at}");
        check(home.path(), &mut known, &at);
    }
    println!("slow disk: {} events acknowledged, none lost", known.acknowledged.len());
}

/// Whether that was a kill; any other end than that or a clean one is a defect of its own.
fn is_killed(status: ExitStatus, home: &Path) -> bool {
    assert_eq!(status.signal(), Some(SIGKILL), "it ended otherwise: {status}\n{}", service_log(home));
    true
}

/// What a kill at a point inside the manifest's write leaves: that it was the manifest, and no other file.
fn check_left_behind(place: &str, home: &Path) {
    if place == "manifest-half-written" || place == "manifest-written" {
        let files = files_below(&home.join("data/log"));
        let is_unfinished = |file: &PathBuf| {
            file.extension().is_some_and(|extension| extension == "tmp")
                && file.parent().is_some_and(|parent| parent.ends_with("manifest"))
        };
        assert!(files.iter().any(is_unfinished), "killed at {place}, and no manifest was being written");
    }
}

/// Loads the service from several threads until `enough`, then kills it; whether it had ended by itself, and how it
/// ended.
fn load_until(
    mut service: Service,
    known: &mut Known,
    prefix: &str,
    enough: impl Fn(Instant, bool) -> bool,
) -> (bool, ExitStatus) {
    // While they still send.
    let kill = |service: &mut Service| service.child.kill().unwrap();
    let gone = load(&mut service, known, prefix, enough, kill);
    (gone, service.kill())
}

/// Loads the service from several threads until `enough`, does `last` to it, and waits until each sender has its last answer or
/// none; whether the service had ended by itself.
pub(super) fn load(
    service: &mut Service,
    known: &mut Known,
    prefix: &str,
    enough: impl Fn(Instant, bool) -> bool,
    last: impl FnOnce(&mut Service),
) -> bool {
    let stop = Arc::new(AtomicBool::new(false));
    let results = Arc::new(Mutex::new(Known::default()));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (stop, results) = (Arc::clone(&stop), Arc::clone(&results));
            let (address, token) = (service.address.clone(), service.token.clone());
            let prefix = format!("{prefix}-{sender}");
            std::thread::spawn(move || send_until(&stop, &results, &address, &token, &prefix))
        })
        .collect();
    let started = Instant::now();
    let mut gone = false;
    while !enough(started, gone) {
        std::thread::sleep(Duration::from_millis(2));
        gone = service.child.try_wait().unwrap().is_some();
    }
    last(service);
    stop.store(true, Ordering::SeqCst);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let mut results = results.lock().unwrap();
    known.acknowledged.append(&mut results.acknowledged);
    known.unanswered.append(&mut results.unanswered);
    gone
}

fn send_until(stop: &AtomicBool, results: &Mutex<Known>, address: &str, token: &str, prefix: &str) {
    let bearer = format!("Bearer {token}");
    let mut seeded = Seeded(prefix.len() as u64);
    for at in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let ids: Vec<String> =
            (0..1 + seeded.below(40)).map(|line| format!("{prefix}-{at}-{line}")).collect();
        let body = ids.iter().map(|id| event(id)).collect::<Vec<_>>().join("\n");
        let answer = request(address, "POST", "/v1/events", &[("authorization", &bearer)], body.as_bytes());
        let mut results = results.lock().unwrap();
        match answer {
            Ok(answer) if answer.status == 200 => {
                assert_eq!(answer.json()["accepted"], ids.len() as u64);
                results.acknowledged.extend(ids);
            }
            Ok(answer) if matches!(answer.status, 429 | 503) => {}
            Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
            Err(_) => {
                results.unanswered.push(ids);
                return;
            }
        }
    }
}

/// After a kill: the files verify; the service starts; every acknowledged event is there once, and a retry of the
/// unanswered ones makes them be there once.
pub(super) fn check(home: &Path, known: &mut Known, what: &str) {
    let (code, text) = verify(home);
    // Killed before the first group of a new store: there is nothing to verify, and nobody was told of anything.
    let is_nothing_yet = known.acknowledged.is_empty() && text.contains("no root log");
    let expected = if is_nothing_yet { 2 } else { 0 };
    assert_eq!(code, expected, "verify after {what}, before recovery:\n{text}");
    let service = Service::start(home, &[]);
    let (mut accepted, mut duplicates) = (0, 0);
    for ids in std::mem::take(&mut known.unanswered) {
        let body = ids.iter().map(|id| event(id)).collect::<Vec<_>>().join("\n");
        let answer = service.post_events(body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        let [new, old] = ["accepted", "duplicates"].map(|name| answer[name].as_u64().unwrap());
        assert_eq!(new + old, ids.len() as u64, "retry after {what}: {answer}");
        (accepted, duplicates) = (accepted + new, duplicates + old);
        known.acknowledged.extend(ids);
    }
    let body =
        serde_json::json!({"query": "SELECT event_id FROM events WHERE control IS NULL", "format": "csv"});
    let answer = service.send(
        "POST",
        "/api/v1/sql",
        &[("content-type", "application/json")],
        body.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let mut found = BTreeSet::new();
    for id in text.lines().skip(1) {
        assert!(found.insert(id.to_string()), "{id} is recorded twice after {what}");
    }
    let lost: Vec<_> = known.acknowledged.difference(&found).take(5).collect();
    assert!(lost.is_empty(), "lost after {what}: {lost:?}");
    let (code, text) = verify(home);
    assert_eq!(code, 0, "verify after {what}, of the running service:\n{text}");
    let Events { received, durable, duplicate, refused, .. } = whole(home, service);
    let told = (accepted + duplicates, accepted, duplicates, 0);
    assert_eq!((received, durable, duplicate, refused), told, "of the retries after {what}");
}
