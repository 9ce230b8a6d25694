use std::time::{Duration, Instant};

use super::main_job::files_below;
use crate::support::{Service, event, is_full, verify};

/// One event a second for an hour, sped up, leaves at most 15 segments.
#[test]
fn an_hour_of_one_event_a_second_leaves_few_segments() {
    let (speed, seconds) = if is_full() { (60, 3600) } else { (240, 3600) };
    let home = tempfile::tempdir().unwrap();
    let speed_text = speed.to_string();
    let service = Service::start(home.path(), &[("TACHO_STORE_CLOCK_SPEED", &speed_text)]);
    let started = Instant::now();
    let length = Duration::from_secs(seconds / speed);
    let mut sent = 0u64;
    while started.elapsed() < length {
        let due = (started.elapsed().as_millis() as u64 * speed / 1000).min(seconds);
        while sent < due {
            // Several a request only where the sped-up clock leaves no time for one each.
            let body: Vec<String> = (sent..due.min(sent + 8)).map(|at| event(&format!("e-{at}"))).collect();
            assert_eq!(service.post_events(body.join("\n").as_bytes()).status, 200);
            sent += body.len() as u64;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let segments = || {
        let all = files_below(&home.path().join("data/log"));
        all.into_iter().filter(|file| file.components().any(|part| part.as_os_str() == "segments")).count()
    };
    let running = segments();
    assert_eq!(service.stop(), Some(0));
    println!(
        "{sent} events in {length:?} at {speed} times: {running} segments in all logs, {} once stopped",
        segments()
    );
    assert!(segments() <= 15, "{} segments", segments());
    let (code, text) = verify(home.path());
    assert_eq!(code, 0, "{text}");
}
