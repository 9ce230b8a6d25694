//! What must not work, and what must end.

use std::time::Duration;

use schemas::principal::Role;
use tokio::time::Instant;

use super::fixture::{World, ask, ask_as};
use crate::{Options, Query};

async fn code(query: &Query, sql: &str) -> String {
    match ask_as(query, Role::Auditor, sql).await {
        Ok(rows) => format!("{} rows", rows.len()),
        Err(crate::Error::Internal(line)) if line.starts_with("{\"$error\"") => {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            line["$error"]["code"].as_str().unwrap().to_string()
        }
        Err(error) => error.code().to_string(),
    }
}

#[tokio::test]
async fn nothing_but_one_query_is_answered() {
    let world = World::with_events(100, 50, 10);
    let query = world.query();
    let file = world.dir.path().join("out.csv");
    let copy = format!("COPY events TO '{}'", file.display());
    let copy_query = format!("COPY (SELECT * FROM events) TO '{}' STORED AS CSV", file.display());
    let external =
        format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{}'", world.dir.path().display());
    for sql in [
        copy.as_str(),
        &copy_query,
        &external,
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT * FROM events",
        "CREATE SCHEMA s",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "DROP TABLE events",
        "INSERT INTO events VALUES (1)",
        "UPDATE events SET kind = 'x'",
        "DELETE FROM events",
        "TRUNCATE TABLE events",
        "MERGE INTO events USING alerts ON true WHEN MATCHED THEN DELETE",
        "SET datafusion.catalog.information_schema = true",
        "RESET datafusion.execution.batch_size",
        "SHOW TABLES",
        "SHOW ALL",
        "DESCRIBE events",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DEALLOCATE p",
        "BEGIN",
        "COMMIT",
        "USE tacho",
        "LOAD 'x'",
        "ATTACH 'x' AS y",
        "CALL f()",
        "GRANT SELECT ON events TO x",
        "ANALYZE TABLE events",
        "VACUUM",
        "KILL 1",
    ] {
        let refusal = code(&query, sql).await;
        assert!(["statement_not_allowed", "syntax"].contains(&refusal.as_str()), "{sql}: {refusal}");
    }
    assert!(!file.exists());
    for (sql, expected) in [
        ("EXPLAIN SELECT 1", "forbidden"),
        ("EXPLAIN ANALYZE SELECT * FROM events", "forbidden"),
        ("SELECT 1; SELECT 2", "statement_count"),
        ("SELECT 1; DROP TABLE events", "statement_count"),
        ("SELECT 1;", "1 rows"),
        ("", "statement_count"),
        ("SELECT * INTO t FROM events", "statement_not_allowed"),
        ("SELECT * FROM events FOR UPDATE", "statement_not_allowed"),
        ("WITH x AS (INSERT INTO events VALUES (1) RETURNING *) SELECT * FROM x", "statement_not_allowed"),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
            "recursion_not_allowed",
        ),
        (
            "SELECT * FROM (WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r)",
            "recursion_not_allowed",
        ),
        ("SELECT * FROM generate_series(1, 10)", "function_not_allowed"),
        ("SELECT * FROM range(10)", "function_not_allowed"),
        ("SELECT * FROM read_parquet('x')", "function_not_allowed"),
        ("SELECT * FROM events, LATERAL generate_series(1, 10)", "function_not_allowed"),
        ("SELECT generate_series(1, 1000000000)", "plan"),
        ("SELECT range(0, 1000000000)", "plan"),
        ("SELECT unnest(generate_series(1, 10))", "plan"),
        ("SELECT array_repeat('x', 1000000000)", "plan"),
        ("SELECT arrow_cast('x', 'LargeUtf8')", "plan"),
        ("SELECT version()", "plan"),
        ("SELECT nothing FROM events", "plan"),
        ("SELECT 1 FROM events WHERE )", "syntax"),
        ("SELEC 1", "syntax"),
        ("SELECT 1 / 0 FROM events", "execution"),
        ("SELECT CAST(user_id AS INT) FROM events", "execution"),
        ("TABLE checkpoints", "statement_not_allowed"),
        ("VALUES (1), (2)", "2 rows"),
        ("SELECT 1 FROM events WHERE time < now() + INTERVAL '1 day' LIMIT 1", "1 rows"),
        ("SELECT now(), current_timestamp, current_date", "1 rows"),
        ("(SELECT 1) UNION ALL (SELECT 2)", "2 rows"),
    ] {
        assert_eq!(code(&query, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn no_text_names_a_file() {
    let world = World::with_events(100, 50, 10);
    let query = world.query();
    let sealed = ask(&query, "SELECT path FROM segments LIMIT 1").await.unwrap().remove(0);
    let below: serde_json::Value = serde_json::from_str(&sealed).unwrap();
    let below = below["path"].as_str().unwrap();
    let absolute = world.dir.path().join("log/default/events/w1").join(below);
    assert!(absolute.exists());
    for name in [
        absolute.display().to_string(),
        format!("file://{}", absolute.display()),
        format!("tacho://snapshot/test-1/default/events/w1/{below}"),
        format!("test-1/default/events/w1/{below}"),
        "/etc/passwd".to_string(),
        "https://example.org/x.parquet".to_string(),
    ] {
        for quote in ["'", "\""] {
            let sql = format!("SELECT * FROM {quote}{name}{quote}");
            let refusal = code(&query, &sql).await;
            assert!(["plan", "syntax"].contains(&refusal.as_str()), "{sql}: {refusal}");
        }
    }
    for sql in ["SELECT * FROM information_schema.tables", "SELECT * FROM datafusion.public.events"] {
        assert_eq!(code(&query, sql).await, "plan", "{sql}");
    }
}

#[tokio::test]
async fn the_engine_has_no_store_but_ours() {
    use datafusion::execution::object_store::ObjectStoreUrl;
    let files = std::sync::Arc::new(crate::file::SnapshotFiles::default());
    let registry = files.registry().unwrap();
    assert!(registry.get_store(ObjectStoreUrl::local_filesystem().as_ref()).is_err());
    assert!(registry.get_store(crate::file::SnapshotFiles::url().unwrap().as_ref()).is_ok());
}

#[tokio::test]
async fn shapes_that_would_exhaust_a_stack_are_refused_or_answered() {
    let world = World::with_events(10, 10, 0);
    let query = world.query();
    let wrap = |n: usize, open: &str, close: &str| format!("SELECT {}1{}", open.repeat(n), close.repeat(n));
    for (sql, expected) in [
        (wrap(10_000, "(", ")"), "too_deep"),
        (wrap(64, "(", ")"), "1 rows"),
        (wrap(60, "abs(", ")"), "1 rows"),
        (wrap(10_000, "NOT ", ""), "too_deep"),
        (wrap(5_000, "CASE WHEN true THEN ", " END"), "too_large"),
        (wrap(2_000, "CASE WHEN true THEN ", " END"), "too_deep"),
        (format!("SELECT 1{}", " + 1".repeat(10_000)), "too_deep"),
        (format!("SELECT 1{}", " + 1".repeat(1_000)), "1 rows"),
        (format!("SELECT 'x'{}", " || 'x'".repeat(1_000)), "1 rows"),
        (format!("SELECT count(*) FROM events WHERE {}false", "kind = 'x' OR ".repeat(500)), "1 rows"),
        (format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_000)), "1001 rows"),
        (format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(3_000)), "too_deep"),
        (format!("SELECT 1 FROM events{}", ", events".repeat(100)), "too_many_tables"),
        (format!("SELECT 1 IN (1{})", ",1".repeat(9_999)), "1 rows"),
        (format!("SELECT 1 IN (1{})", ",1".repeat(10_000)), "too_many_items"),
        (format!("SELECT '{}'", "x".repeat(10_000_000)), "too_large"),
        (format!("SELECT 1::{}int{}", "ARRAY<".repeat(5_000), ">".repeat(5_000)), "too_deep"),
        (format!("{}SELECT 1", "EXPLAIN ".repeat(5_000)), "statement_not_allowed"),
    ] {
        let start = sql.chars().take(60).collect::<String>();
        assert_eq!(code(&query, &sql).await, expected, "{start}");
    }
}

#[tokio::test]
async fn a_value_cannot_be_made_huge() {
    let world = World::with_events(3000, 3000, 0);
    let query = world.query();
    for sql in [
        "SELECT repeat('x', 500000000)",
        "SELECT repeat(event_id, 500000000) FROM events",
        "SELECT repeat(event_id, 100000) FROM events",
        "SELECT length(repeat('x', 500000000))",
        "SELECT lpad('x', 500000000)",
        "SELECT rpad(event_id, 500000000, 'y') FROM events",
        "SELECT replace(repeat(event_id, 10000), 'e', repeat('y', 60000)) FROM events",
        "SELECT regexp_replace(repeat(event_id, 10000), '.', repeat('y', 60000), 'g') FROM events",
        "SELECT levenshtein(repeat(event_id, 10000), repeat(user_id, 10000)) FROM events",
    ] {
        assert_eq!(code(&query, sql).await, "answer_too_large", "{sql}");
    }
    let doubling = |join: &str| {
        let mut sql = "SELECT repeat('x', 60000) AS x".to_string();
        for _ in 0..30 {
            sql = format!("SELECT {} AS x FROM ({sql})", join.replace('#', "x"));
        }
        sql
    };
    for join in ["# || #", "concat(#, #)", "concat_ws('', #, #)"] {
        assert_eq!(code(&query, &doubling(join)).await, "answer_too_large", "{join}");
    }
    assert_eq!(
        ask(
            &query,
            "SELECT repeat('ab', 2) AS a, lpad('x', 3, '-') AS b, 'a' || 1 || NULL AS c, 'a' || 1 AS d"
        )
        .await
        .unwrap(),
        [r#"{"a":"abab","b":"--x","c":null,"d":"a1"}"#]
    );
}

#[tokio::test]
async fn a_query_ends_at_its_deadline_even_in_a_join() {
    let world = World::with_events(20_000, 20_000, 100);
    let deadline = Duration::from_millis(700);
    let query = world.query_with(Options { deadline_ms: 700, ..World::options() });
    // Each has 6.4e13 rows to look at: no machine is done with them by then.
    for sql in [
        "SELECT count(CASE WHEN a.latency_us + b.latency_us > c.latency_us THEN 1 END) FROM events a, events b, events c",
        "SELECT count(*) FROM events a JOIN events b ON true JOIN events c ON a.latency_us + b.latency_us + c.latency_us < 0",
        "SELECT a.event_id FROM events a, events b, events c WHERE a.user_id || b.user_id || c.user_id = 'x'",
        "SELECT sum(a.latency_us * b.latency_us * c.latency_us) FROM events a, events b, events c GROUP BY a.user_id",
    ] {
        let begun = Instant::now();
        assert_eq!(code(&query, sql).await, "deadline", "{sql}");
        let elapsed = begun.elapsed();
        // Not before it; how soon after it is the machine's affair, but not when the join is done.
        assert!(elapsed >= deadline, "{sql}: {elapsed:?}");
        assert!(elapsed < Duration::from_secs(10), "{sql}: {elapsed:?}");
    }
    // The threads are free again.
    let begun = Instant::now();
    let patient = world.query_with(World::options());
    assert_eq!(ask(&patient, "SELECT 1 AS a").await.unwrap(), [r#"{"a":1}"#]);
    while code(&query, "SELECT 1").await != "1 rows" {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn memory_rows_and_bytes_are_bounded() {
    let world = World::with_events(20_000, 20_000, 100);
    let query = world.query_with(Options { memory_bytes: 1 << 20, ..World::options() });
    assert_eq!(code(&query, "SELECT * FROM events ORDER BY latency_us, event_id").await, "answer_too_large");
    let query = world.query_with(Options { rows_max: 1000, ..World::options() });
    assert_eq!(code(&query, "SELECT event_id FROM events").await, "answer_too_large");
    assert_eq!(code(&query, "SELECT event_id FROM events LIMIT 1000").await, "1000 rows");
    let query = world.query_with(Options { output_bytes_max: 10_000, ..World::options() });
    assert_eq!(code(&query, "SELECT event_id FROM events").await, "answer_too_large");
}

#[tokio::test]
async fn too_many_at_once_are_turned_away_and_the_rest_wait() {
    let world = World::with_events(20_000, 20_000, 0);
    let options = Options { at_once: 1, waiting_max: 1, deadline_ms: 2_000, ..World::options() };
    let query = world.query_with(options);
    let slow = "SELECT sum(a.latency_us * b.latency_us) FROM events a, events b, events c";
    let (a, b) = (query.clone(), query.clone());
    let first = tokio::spawn(async move { code(&a, slow).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let second = tokio::spawn(async move { code(&b, "SELECT 1").await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(code(&query, "SELECT 1").await, "busy");
    assert_eq!(first.await.unwrap(), "deadline");
    // It waited no longer than it may, and then either had its place or was told to come again.
    let second = second.await.unwrap();
    assert!(["1 rows", "busy"].contains(&second.as_str()), "{second}");
}
