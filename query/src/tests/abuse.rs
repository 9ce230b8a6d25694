//! What a single question must not be able to do to everybody else: small texts that grow, expressions that
//! make much of little, and readers that stop reading.

use std::time::Duration;

use schemas::limits::QUERY_BATCH_BYTES_MAX;
use schemas::principal::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::fixture::{World, ask_as, principal};
use crate::{Error, Options, Query, Request};

async fn code(query: &Query, sql: &str) -> String {
    match ask_as(query, Role::Auditor, sql).await {
        Ok(rows) => format!("{} rows", rows.len()),
        Err(Error::Internal(line)) if line.starts_with("{\"$error\"") => {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            line["$error"]["code"].as_str().unwrap().to_string()
        }
        Err(error) => error.code().to_string(),
    }
}

/// `levels` queries in WITH of which each names the one before twice.
fn doubling(first: &str, levels: usize, join: &str) -> String {
    let mut sql = format!("WITH a0 AS ({first})");
    for level in 1..=levels {
        let before = format!("a{}", level - 1);
        sql.push_str(&format!(", a{level} AS ({})", join.replace('#', &before)));
    }
    sql
}

const JOIN: &str = "SELECT l.x FROM # l, # r";

#[tokio::test]
async fn a_text_that_doubles_itself_is_refused_before_it_is_planned() {
    let world = World::with_events(10, 10, 0);
    let query = world.query_with(Options { deadline_ms: 5_000, ..World::options() });
    let one = "SELECT 1 AS x";
    let chain = doubling(one, 30, JOIN);
    let wide: String = (0..1_000).map(|at| format!(", {at} AS c{at}")).collect();
    let listed = format!("SELECT 1 AS x WHERE 1 IN (0{})", ",1".repeat(9_000));
    for (sql, expected) in [
        (format!("{chain} SELECT * FROM a30"), "too_many_tables"),
        (format!("{chain} SELECT 1"), "too_many_tables"),
        (format!("{chain} SELECT 1 WHERE EXISTS (SELECT * FROM a30)"), "too_many_tables"),
        (format!("{chain} SELECT 1 WHERE 1 IN (SELECT x FROM a30)"), "too_many_tables"),
        (format!("SELECT * FROM ({chain} SELECT * FROM a30)"), "too_many_tables"),
        (format!("SELECT ({chain} SELECT max(x) FROM a30)"), "too_many_tables"),
        (
            format!("{} SELECT 1", doubling(one, 30, "SELECT x FROM # UNION ALL SELECT x FROM #")),
            "too_many_tables",
        ),
        (
            format!(
                "{} SELECT 1",
                doubling(one, 20, "SELECT (SELECT max(x) FROM #) AS x FROM # WHERE x = (SELECT x FROM #)")
            ),
            "too_many_tables",
        ),
        (
            format!(
                "{} SELECT 1",
                doubling(one, 20, "SELECT x FROM (WITH b AS (SELECT l.x FROM # l, # r) SELECT x FROM b)")
            ),
            "too_many_tables",
        ),
        (
            format!("{} SELECT 1", doubling(one, 20, "WITH b AS (SELECT x FROM #) SELECT l.x FROM b l, B r")),
            "too_many_tables",
        ),
        (format!("{} SELECT 1", doubling("SELECT log_index AS x FROM events", 8, JOIN)), "too_many_tables"),
        (format!("{} SELECT 1", doubling(&format!("SELECT 1 AS x{wide}"), 5, JOIN)), "too_many_tables"),
        (format!("{} SELECT 1", doubling(&listed, 5, JOIN)), "too_many_expressions"),
        // Types of columns are walked before the query that they belong to.
        (
            "WITH a (x NESTED(y INT DEFAULT (SELECT 1))) AS (SELECT 1 AS x) SELECT x FROM a".to_string(),
            "statement_not_allowed",
        ),
        // Wide and deep: every query over it is as wide.
        (
            format!(
                "WITH w AS (SELECT 1 AS x{wide}), b0 AS (SELECT * FROM w), {} SELECT count(*) FROM b20",
                (1..=20).map(|at| format!("b{at} AS (SELECT * FROM b{} WHERE x = 1)", at - 1)).collect::<Vec<_>>().join(", ")
            ),
            "too_many_tables",
        ),
        (format!("SELECT 1{}", ", 1".repeat(2_000)), "too_many_columns"),
        (format!("VALUES (1{})", ", 1".repeat(2_000)), "too_many_columns"),
        (
            "SELECT count(*) FROM events GROUP BY CUBE (user_id, agent_id, kind, status, server, client, target, action, decision)".to_string(),
            "too_many_groupings",
        ),
        (
            "SELECT count(*) FROM events GROUP BY CUBE (user_id, agent_id, kind), CUBE (server, client, action), ROLLUP (status, target, decision)".to_string(),
            "too_many_groupings",
        ),
        ("SELECT count(*) FROM events GROUP BY ROLLUP (kind, server)".to_string(), "8 rows"),
        // A name may be used again, and again in another scope.
        (format!("{} SELECT count(*) FROM a4", doubling(one, 4, JOIN)), "1 rows"),
        (format!("{} SELECT count(*) FROM a2", doubling("SELECT log_index AS x FROM events", 2, JOIN)), "1 rows"),
        (
            "WITH a AS (SELECT 1 AS x) SELECT * FROM (WITH b AS (SELECT x FROM a) SELECT * FROM b) UNION ALL SELECT x FROM a".to_string(),
            "2 rows",
        ),
    ] {
        let (begun, start) = (Instant::now(), sql.chars().take(200).collect::<String>());
        assert_eq!(code(&query, &sql).await, expected, "{start}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{start}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_the_walls_let_through_is_planned_in_time() {
    let world = World::with_events(10, 10, 0);
    let query = world.query();
    // The largest that is let through, of narrow tables, of wide ones, and of columns.
    let narrow = doubling("SELECT 1 AS x", 8, JOIN);
    let events = doubling("SELECT * FROM events WHERE log_index < 1", 4, "SELECT l.* FROM # l, # r");
    let wide: String = (0..500).map(|at| format!(", {at} AS c{at}")).collect();
    let columns = doubling(&format!("SELECT 1 AS x{wide}"), 3, "SELECT l.x, r.c7 FROM # l, # r");
    for sql in [
        format!("{narrow} SELECT count(*) FROM a8"),
        format!("{events} SELECT count(*) FROM a4"),
        format!("{columns} SELECT 1"),
    ] {
        let (begun, start) = (Instant::now(), sql.chars().take(60).collect::<String>());
        assert_eq!(code(&query, &sql).await, "1 rows", "{start}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{start}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn many_calls_together_make_no_more_than_one() {
    let world = World::with_events(9_000, 9_000, 0);
    let query = world.query();
    let each = |count: usize, of: &str| {
        let columns = (0..count).map(|at| format!("{} AS c{at}", of.replace('#', &at.to_string())));
        columns.collect::<Vec<_>>().join(", ")
    };
    let longest = |count: usize| (0..count).map(|at| format!("max(c{at})")).collect::<Vec<_>>().join(", ");
    for (count, of) in [
        (20, "repeat(event_id, 800 + #)"),
        (20, "CASE WHEN log_index % 2 < 5 THEN repeat(event_id, 800 + #) ELSE event_id END"),
        (20, "upper(repeat(event_id, 800 + #))"),
        (20, "repeat(event_id, 700) || 'x#'"),
    ] {
        let sql = format!("SELECT {} FROM (SELECT {} FROM events)", longest(count), each(count, of));
        assert_eq!(code(&query, &sql).await, "answer_too_large", "{of}");
    }
    // Ordinary sizes pass, however many there are.
    let sql = format!(
        "SELECT {} FROM (SELECT {} FROM events)",
        longest(500),
        each(500, "event_id || user_id || '#'")
    );
    assert_eq!(code(&query, &sql).await, "1 rows");
    // Constants of one statement: what functions make while it is planned is counted too.
    let sql = format!("SELECT {} FROM events", each(500, "repeat('x', 60000 + #)"));
    assert_eq!(code(&query, &sql).await, "answer_too_large");
}

#[tokio::test]
async fn a_constant_in_every_row_makes_batches_short() {
    let world = World::with_events(9_000, 9_000, 0);
    let query = world.query();
    let long = "x".repeat(60_000);
    for sql in [
        "SELECT CASE WHEN log_index >= 0 THEN repeat('x', 60000) END AS x FROM events".to_string(),
        "SELECT repeat('x', 60000) AS x FROM events".to_string(),
        format!("SELECT '{long}' AS x FROM events"),
    ] {
        let request = Request { sql: sql.clone(), ..Request::default() };
        let mut answer = query.sql(&principal(Role::Auditor), request).await.unwrap();
        let mut rows = 0;
        while let Some(batch) = answer.next().await {
            let batch = batch.unwrap();
            rows += batch.num_rows();
            let bytes = batch.column(0).get_buffer_memory_size() as u64;
            // The builder doubles what it holds as it grows.
            assert!(bytes <= 2 * QUERY_BATCH_BYTES_MAX, "{} rows are {bytes} bytes", batch.num_rows());
            assert!(batch.num_rows() < 5_000, "{} rows of 60,000 bytes", batch.num_rows());
        }
        assert_eq!(rows, 9_000);
    }
}

#[tokio::test]
async fn calls_within_one_batch_end_at_the_deadline() {
    let world = World::with_events(9_000, 9_000, 0);
    let query = world.query_with(Options { deadline_ms: 1_000, threads: 1, ..World::options() });
    // Each call is within its own limit, and all are of one batch.
    let calls: Vec<String> =
        (0..40).map(|at| format!("levenshtein(repeat(event_id, 20), repeat('{at}y', 50))")).collect();
    let sql = format!("SELECT {} AS x FROM events", calls.join(" + "));
    let begun = Instant::now();
    assert_eq!(code(&query, &sql).await, "deadline");
    // There is one thread, and it is free again.
    while code(&query, "SELECT 1").await != "1 rows" {
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn readers_that_stop_reading_give_their_places_back() {
    // More batches than are made ahead of a reader.
    let world = World::with_events(60_000, 60_000, 0);
    let options = Options { deadline_ms: 4_000, at_once: 3, waiting_max: 0, ..World::options() };
    let query = world.query_with(options);
    let router = crate::router(query.clone()).layer(axum::Extension(principal(Role::Auditor)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(address).await.unwrap();
        let line =
            "GET /api/v1/sql?format=ndjson&q=SELECT%20repeat('x',4000)%20AS%20x%20FROM%20events HTTP/1.1";
        client.write_all(format!("{line}\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut head = [0; 64];
        client.read_exact(&mut head).await.unwrap();
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
        stalled.push(client);
    }
    assert_eq!(code(&query, "SELECT 1").await, "busy");
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert_eq!(code(&query, "SELECT 1").await, "1 rows");
    // The outcomes are on the access log while the connections are still open.
    timeout(Duration::from_secs(5), query.finished()).await.expect("finished() ends");
    let outcomes: Vec<String> = world
        .entries()
        .iter()
        .filter(|entry| entry["phase"] == "outcome" && entry.get("error_code").is_some())
        .map(|entry| format!("{} {} {}", entry["decision"], entry["status"], entry["error_code"]))
        .collect();
    assert_eq!(outcomes, ["allow error deadline", "allow error deadline"]);
    assert!(world.entries().iter().any(|entry| entry.get("bytes").is_some_and(|bytes| bytes != "0")));
    // Who reads on learns that it is not the whole answer.
    let mut rest = Vec::new();
    let mut client = stalled.pop().unwrap();
    let mut chunk = vec![0; 1 << 20];
    while let Ok(Ok(read @ 1..)) = timeout(Duration::from_secs(2), client.read(&mut chunk)).await {
        rest.extend_from_slice(&chunk[..read]);
        if rest.ends_with(b"0\r\n\r\n") {
            break;
        }
    }
    let tail = String::from_utf8_lossy(&rest[rest.len().saturating_sub(300)..]).into_owned();
    assert!(tail.contains("{\"$error\":{\"code\":\"deadline\""), "{tail}");
    server.abort();
}

#[tokio::test]
async fn going_down_waits_for_queries_no_longer_than_it_may() {
    let world = World::with_events(20_000, 20_000, 0);
    let query = world.query_with(Options { deadline_ms: 60_000, finish_ms: 300, ..World::options() });
    let request = Request { sql: "SELECT * FROM events".to_string(), ..Request::default() };
    let mut answer = query.sql(&principal(Role::Admin), request).await.unwrap();
    answer.next().await.unwrap().unwrap();
    timeout(Duration::from_secs(3), query.finished()).await.expect("finished() ends");
    let last = world.entries().pop().unwrap();
    assert_eq!((last["phase"].as_str(), last["status"].as_str()), ("outcome", "cancelled"));
    while let Some(batch) = answer.next().await {
        if let Err(error) = batch {
            assert_eq!(error.code(), "cancelled");
            return;
        }
    }
    panic!("a part was given out as the whole");
}

#[tokio::test]
async fn queries_share_one_memory() {
    let world = World::with_events(20_000, 20_000, 100);
    let sql = "SELECT * FROM events ORDER BY latency_us, event_id";
    let alone = Options { memory_bytes: 1 << 30, memory_total_bytes: 1 << 20, ..World::options() };
    // More than all may have is more than one may have: coming again would not help.
    assert_eq!(code(&world.query_with(alone), sql).await, "answer_too_large");
    let quota = Options { memory_bytes: 1 << 20, memory_total_bytes: 1 << 30, ..World::options() };
    let query = world.query_with(quota);
    assert_eq!(code(&query, sql).await, "answer_too_large");
    // What was held is given back.
    for _ in 0..3 {
        assert_eq!(code(&query, "SELECT count(*) FROM events").await, "1 rows");
    }
}
