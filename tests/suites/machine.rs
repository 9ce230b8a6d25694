//! A disk that fails to sync, writes by halves or in small pieces, and a clock that steps, under the real program: what was
//! acknowledged is there once, the account is whole, and the store verifies.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::loss::{HURRY, Known, check, load};
use crate::support::{Events, Service, event, is_full, request, service_log, whole};

/// What stands between the program and the machine.
struct Faults {
    library: String,
    directory: PathBuf,
}

impl Faults {
    /// Builds it under `home`; none where there is no C compiler.
    fn build(home: &Path) -> Option<Faults> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/machine/faults.c");
        let (library, directory) = (home.join("faults.so"), home.join("faults"));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .status();
        if !built.is_ok_and(|status| status.success()) {
            println!("SKIPPED: no C compiler (cc) builds what makes a disk fail and a clock step");
            return None;
        }
        fs::create_dir(&directory).unwrap();
        Some(Faults { library: library.display().to_string(), directory })
    }

    fn start(&self, home: &Path) -> Service {
        let directory = self.directory.display().to_string();
        let own = [("LD_PRELOAD", self.library.as_str()), ("TACHO_FAULTS", directory.as_str())];
        Service::start(home, &[&HURRY[..], &own].concat())
    }

    /// Puts a fault in force; what its file holds changes at once.
    fn set(&self, name: &str, text: &str) {
        let new = self.directory.join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.directory.join(name)).unwrap();
    }

    fn lift(&self, name: &str) {
        fs::remove_file(self.directory.join(name)).unwrap();
    }
}

/// Loads a service, lets a fault come under load, and waits until the store says that it takes nothing more.
fn until_poisoned(faults: &Faults, home: &Path, known: &mut Known, fault: (&str, &str), round: u64) {
    let (name, text) = fault;
    let what = format!("{name} {text} {round}");
    let mut service = faults.start(home);
    let (address, bearer) = (service.address.clone(), format!("Bearer {}", service.token));
    let in_force = Cell::new(false);
    let is_poisoned = || {
        let answer = request(&address, "POST", "/v1/events", &[("authorization", &bearer)], b"{}");
        let ready = request(&address, "GET", "/ready", &[], b"").map(|answer| answer.status);
        // What is no event is refused before the store is asked; whether that takes any, /ready knows.
        answer.is_ok_and(|answer| answer.status == 400) && ready.is_ok_and(|status| status == 503)
    };
    let enough = |started: Instant, gone: bool| {
        assert!(!gone, "{what}: it ended by itself\n{}", service_log(home));
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: it goes on");
        if !in_force.get() && started.elapsed() > Duration::from_millis(300 + 170 * round) {
            faults.set(name, text);
            in_force.set(true);
        }
        in_force.get() && is_poisoned()
    };
    load(&mut service, known, &format!("{name}{text}-{round}"), enough, |_| {});
    let told = service.post_events(event(&format!("late-{name}{text}-{round}")).as_bytes());
    assert_eq!(
        (told.status, told.json()["code"].as_str()),
        (503, Some("poisoned")),
        "{what}: {}",
        told.text()
    );
    // The account of the service whose store has stopped; what it leaves is recovered by the next.
    let Events { refused, .. } = service.accounted();
    assert!(refused > 0, "{what}");
    service.kill();
    faults.lift(name);
    check(home, known, &what);
}

#[test]
fn a_disk_that_fails_stops_the_store_and_nothing_acknowledged_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let Some(faults) = Faults::build(home.path()) else { return };
    let mut known = Known::default();
    // In pairs: not on the disk, and on the disk although it said otherwise.
    for round in 0..if is_full() { 10 } else { 2 } {
        for fault in [("sync", "before"), ("sync", "after"), ("torn", "")] {
            let before = known.acknowledged.len();
            until_poisoned(&faults, home.path(), &mut known, fault, round);
            assert!(known.acknowledged.len() > before, "{fault:?}: nothing was taken before");
        }
    }
    println!("failing disk: {} events acknowledged, none lost", known.acknowledged.len());
}

#[test]
fn a_disk_that_writes_in_small_pieces_is_written_to_its_end() {
    let home = tempfile::tempdir().unwrap();
    let Some(faults) = Faults::build(home.path()) else { return };
    faults.set("short", "");
    let mut known = Known::default();
    let mut service = faults.start(home.path());
    let enough = |started: Instant, gone: bool| gone || started.elapsed() > Duration::from_secs(3);
    let gone = load(&mut service, &mut known, "short", enough, |_| {});
    assert!(!gone, "{}", service_log(home.path()));
    let Events { durable, refused, .. } = whole(home.path(), service);
    assert_eq!((durable, refused), (known.acknowledged.len() as u64, 0));
    assert!(durable > 100, "{durable}");
    check(home.path(), &mut known, "short writes");
}

const DAY_S: i64 = 86_400;

#[test]
fn a_clock_that_steps_changes_neither_order_nor_account() {
    let home = tempfile::tempdir().unwrap();
    let Some(faults) = Faults::build(home.path()) else { return };
    let mut sent = Vec::new();
    let mut service = faults.start(home.path());
    // Forward by a leap, a day and forty years, back before all of it, and to where a clock without a battery begins.
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let first_days = DAY_S - i64::try_from(now_s).unwrap();
    let steps = [0, 3, DAY_S, -3 * DAY_S, 40 * 365 * DAY_S, first_days, 0];
    for (round, off_s) in steps.into_iter().enumerate() {
        let ids: Vec<String> = (0..30).map(|number| format!("c-{round}-{number}")).collect();
        let body = ids.iter().map(|id| event(id)).collect::<Vec<_>>().join("\n");
        let (first, second) = body.split_at(body.match_indices('\n').nth(14).unwrap().0 + 1);
        let post = |part: &str| service.post_events(part.as_bytes());
        let accepted = |answer: crate::support::Answer| {
            assert_eq!(answer.status, 200, "{off_s}: {}", answer.text());
            let answer = answer.json();
            (answer["accepted"].as_u64().unwrap(), answer["duplicates"].as_u64().unwrap())
        };
        assert_eq!(accepted(post(first)), (15, 0), "{off_s}");
        faults.set("clock", &off_s.to_string());
        // Again after the step, as a sender does who had no answer: it is known, whatever the clock says.
        assert_eq!(accepted(post(first)), (0, 15), "{off_s}");
        assert_eq!(accepted(post(second)), (15, 0), "{off_s}");
        sent.extend(ids);
        // Signatures and seals go on under the new time.
        std::thread::sleep(Duration::from_millis(1200));
        if round % 3 == 2 {
            service.kill();
            service = faults.start(home.path());
        }
    }
    let rows = service.sql("SELECT event_id FROM events WHERE control IS NULL ORDER BY log_index");
    let found: Vec<&str> = rows.iter().map(|row| row["event_id"].as_str().unwrap()).collect();
    assert_eq!(found, sent, "in the order in which they came, each once");
    let signed = service.sql("SELECT signed FROM checkpoints WHERE stream = 'events'");
    assert!(signed[0]["signed"].as_u64().unwrap() >= sent.len() as u64, "{signed:?}");
    let Events { received, durable, duplicate, refused, .. } = whole(home.path(), service);
    // Since the last start: one round.
    assert_eq!((received, durable, duplicate, refused), (45, 30, 15, 0));
    let service = Service::start(home.path(), &[]);
    assert_eq!(
        service.sql("SELECT count(*) AS n FROM events WHERE control IS NULL")[0],
        json!({"n": sent.len()})
    );
    whole(home.path(), service);
}
