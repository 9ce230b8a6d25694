//! How long questions take over 200,000 sealed rows: run with `--ignored --nocapture`.

use tokio::time::Instant;

use super::fixture::{World, ask};
use crate::Options;

const QUESTIONS: [(&str, &str); 12] = [
    (
        "session",
        "SELECT time, kind, server FROM events WHERE session_id = 's012345' ORDER BY time, request_id",
    ),
    (
        "user_day",
        "SELECT time, agent_id, action FROM events WHERE user_id = 'user3' AND time >= TIMESTAMP '2026-11-20 01:00:00' AND time < TIMESTAMP '2026-11-20 02:00:00' ORDER BY time, event_id",
    ),
    ("event_by_id", "SELECT * FROM events WHERE event_id = 'e0123456'"),
    ("log_index", "SELECT * FROM events WHERE log_index = 123456"),
    (
        "who_touched",
        "SELECT user_id, agent_id, action, count(*) AS n FROM events WHERE target = 'repo/7' GROUP BY 1, 2, 3 ORDER BY n DESC",
    ),
    (
        "destructive",
        "SELECT user_id, server, capability, count(*) AS n FROM events WHERE action = 'destructive' AND environment = 'prod' AND decision = 'allow' AND approval_id IS NULL GROUP BY 1, 2, 3 ORDER BY n DESC LIMIT 50",
    ),
    (
        "denials",
        "SELECT date_trunc('hour', time) AS hour, server, count(*) AS denied FROM events WHERE decision = 'deny' GROUP BY 1, 2",
    ),
    (
        "p95",
        "SELECT server, capability, percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_us) AS p95 FROM events WHERE kind = 'call' GROUP BY 1, 2",
    ),
    (
        "agents",
        "SELECT agent_id, count(*) AS calls, count(DISTINCT user_id) AS u, count(DISTINCT session_id) AS s FROM events GROUP BY 1",
    ),
    (
        "tokens",
        "SELECT session_id, sum(input_tokens + output_tokens) AS t FROM events WHERE input_tokens IS NOT NULL GROUP BY 1 ORDER BY t DESC LIMIT 20",
    ),
    (
        "text",
        "SELECT e.time, p.arguments FROM events e JOIN payloads p ON p.log_index = e.log_index WHERE p.arguments LIKE '%haystack%' ORDER BY e.time",
    ),
    (
        "bursts",
        "SELECT user_id, sum(CASE WHEN prev IS NULL OR time > prev + INTERVAL '30' MINUTE THEN 1 ELSE 0 END) AS b FROM (SELECT user_id, time, lag(time) OVER (PARTITION BY user_id ORDER BY time) AS prev FROM events) AS w GROUP BY 1",
    ),
];

/// A measurement, for `TACHO_FIGURES=1`.
#[tokio::test]
async fn questions_over_200_000_rows() {
    if std::env::var_os("TACHO_FIGURES").is_none() {
        eprintln!("SKIPPED: a measurement of how long questions take, for TACHO_FIGURES=1");
        return;
    }
    let world = World::with_events(200_000, 200_000, 0);
    for in_decoder in [false, true] {
        let query = world.query_with(Options { filters_in_decoder: in_decoder, ..World::options() });
        for (name, sql) in QUESTIONS {
            let mut times = Vec::new();
            for _ in 0..6 {
                let begun = Instant::now();
                ask(&query, sql).await.unwrap();
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            let first = times.remove(0);
            times.sort_by(f64::total_cmp);
            eprintln!(
                "filters_in_decoder={in_decoder:5} {name:12} first {first:7.1} ms, median {:7.1} ms",
                times[2]
            );
        }
    }
}
