use std::time::{Duration, Instant};

use super::main_job::files_below;
use crate::support::{Service, event, is_full, verify};

/// One a second for an hour.
const EVENTS: u64 = 3600;

/// One event a second for an hour, sped up, leaves at most 15 segments.
#[test]
fn an_hour_of_one_event_a_second_leaves_few_segments() {
    let speed: u64 = if is_full() { 60 } else { 240 };
    let home = tempfile::tempdir().unwrap();
    let speed_text = speed.to_string();
    let service = Service::start(home.path(), &[("TACHO_STORE_CLOCK_SPEED", &speed_text)]);
    let started = Instant::now();
    let (mut sent, mut acknowledged) = (0u64, 0u64);
    while sent < EVENTS {
        let due = (started.elapsed().as_millis() as u64 * speed / 1000).min(EVENTS);
        while sent < due {
            // Several a request only where the sped-up clock leaves no time for one each.
            let body: Vec<String> = (sent..due.min(sent + 8)).map(|at| event(&format!("e-{at}"))).collect();
            let answer = service.post_events(body.join("\n").as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.text());
            acknowledged += answer.json()["accepted"].as_u64().unwrap();
            sent += body.len() as u64;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let segments = || {
        let all = files_below(&home.path().join("data/log"));
        all.into_iter().filter(|file| file.components().any(|part| part.as_os_str() == "segments")).count()
    };
    assert_eq!((sent, acknowledged), (EVENTS, EVENTS));
    let length = started.elapsed();
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE control IS NULL");
    assert_eq!(rows[0]["n"], EVENTS);
    let running = segments();
    assert_eq!(service.stop(), Some(0));
    println!(
        "{acknowledged} of {sent} events acknowledged in {length:?} at {speed} times: {running} segments in all logs, {} once stopped",
        segments()
    );
    assert!(segments() <= 15, "{} segments", segments());
    let (code, text) = verify(home.path());
    assert_eq!(code, 0, "{text}");
}
