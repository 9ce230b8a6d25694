//! What auditors ask, over sealed and unsealed rows at once.

use std::path::PathBuf;

use schemas::principal::Role;

use super::fixture::{World, ask, ask_as};

/// `(question, rows that 3,000 events give)`.
const QUESTIONS: [(&str, usize); 14] = [
    (
        "SELECT time, kind, server, capability, decision, status FROM events WHERE session_id = 's000042' ORDER BY time, request_id",
        10,
    ),
    (
        "SELECT time, agent_id, action FROM events WHERE user_id = 'user3' AND time >= TIMESTAMP '2026-11-20 00:00:00' AND time < TIMESTAMP '2026-11-20 00:10:00' ORDER BY time, event_id",
        86,
    ),
    ("SELECT * FROM events WHERE event_id = 'e0002999'", 1),
    (
        "SELECT user_id, agent_id, action, count(*) AS n, min(time) AS first_seen, max(time) AS last_seen FROM events WHERE target = 'repo/7' GROUP BY user_id, agent_id, action ORDER BY n DESC, user_id, agent_id, action",
        21,
    ),
    (
        "SELECT user_id, server, capability, count(*) AS n FROM events WHERE action = 'destructive' AND environment = 'prod' AND decision = 'allow' AND approval_id IS NULL GROUP BY 1, 2, 3 ORDER BY n DESC, 1, 2, 3 LIMIT 50",
        50,
    ),
    (
        "SELECT date_trunc('hour', time) AS hour, server, count(*) AS denied FROM events WHERE decision = 'deny' GROUP BY date_trunc('hour', time), server ORDER BY denied DESC, hour, server",
        2,
    ),
    (
        "SELECT client, CAST(floor(extract(minute FROM time) / 15) AS INTEGER) AS quarter, count(*) AS attempts, sum(CASE WHEN status = 'error' THEN 1 ELSE 0 END) AS failed FROM events WHERE kind = 'auth' GROUP BY 1, 2 ORDER BY 1, 2",
        4,
    ),
    (
        "SELECT server, capability, count(*) AS n, percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_us) AS p95 FROM events WHERE kind = 'call' GROUP BY server, capability ORDER BY p95 DESC, server, capability",
        20,
    ),
    (
        "SELECT agent_id, count(*) AS calls, count(DISTINCT user_id) AS users, sum(response_bytes) AS bytes_out FROM events GROUP BY agent_id ORDER BY calls DESC, agent_id",
        5,
    ),
    (
        "SELECT server, capability, min(time) AS first_seen, max(time) AS last_seen, count(*) AS calls FROM events WHERE capability_type = 'tool' GROUP BY server, capability ORDER BY 1, 2",
        20,
    ),
    (
        "SELECT approver, count(*) AS n, percentile_cont(0.5) WITHIN GROUP (ORDER BY approval_wait_ms) AS median FROM events WHERE kind = 'approval' GROUP BY approver",
        1,
    ),
    (
        "SELECT session_id, sum(input_tokens + output_tokens) AS tokens FROM events WHERE input_tokens IS NOT NULL GROUP BY session_id ORDER BY tokens DESC, session_id LIMIT 20",
        20,
    ),
    (
        "SELECT e.time, e.user_id, p.arguments FROM events e JOIN payloads p ON p.log_index = e.log_index WHERE p.arguments LIKE '%haystack%' ORDER BY e.time",
        3,
    ),
    (
        "SELECT user_id, sum(CASE WHEN prev IS NULL OR time > prev + INTERVAL '30' MINUTE THEN 1 ELSE 0 END) AS bursts FROM (SELECT user_id, time, lag(time) OVER (PARTITION BY user_id ORDER BY time) AS prev FROM events) AS w GROUP BY user_id ORDER BY bursts DESC, user_id",
        7,
    ),
];

#[tokio::test]
async fn every_question_is_answered_over_sealed_and_unsealed_rows() {
    let world = World::with_events(2500, 1000, 500);
    let query = world.query();
    for (sql, expected) in QUESTIONS {
        let rows = ask(&query, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(rows.len(), expected, "{sql}");
    }
}

#[tokio::test]
async fn sums_do_not_depend_on_what_is_sealed_or_filtered_in_the_decoder() {
    let sql = "SELECT count(*) n, sum(latency_us) l, min(log_index) a, max(log_index) b, min(time) t, \
               count(DISTINCT session_id) s FROM events WHERE user_id <> 'user1'";
    let mut answers = Vec::new();
    for (sealed, per_file, in_decoder) in
        [(0, 1, true), (3000, 3000, true), (3000, 3000, false), (3000, 700, true), (1700, 300, false)]
    {
        let world = World::with_events(sealed, per_file, 3000 - sealed);
        let options = crate::Options { filters_in_decoder: in_decoder, ..World::options() };
        answers.push(ask(&world.query_with(options), sql).await.unwrap());
    }
    assert_eq!(answers[0].len(), 1);
    assert!(answers[0][0].starts_with("{\"n\":2571,"), "{}", answers[0][0]);
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

#[tokio::test]
async fn statistics_of_manifests_answer_like_the_rows() {
    let world = World::with_events(2000, 500, 100);
    let query = world.query();
    let rows =
        ask(&query, "SELECT count(*) AS n, min(time) AS a, max(time) AS b, max(log_index) AS i FROM events")
            .await;
    assert_eq!(
        rows.unwrap(),
        [r#"{"n":2100,"a":"2026-11-20T00:00:00Z","b":"2026-11-20T00:34:59Z","i":2099}"#]
    );
    let rows =
        ask(&query, "SELECT count(*) AS n, min(log_index) AS a, max(log_index) AS b FROM payloads").await;
    assert_eq!(rows.unwrap(), [r#"{"n":2100,"a":0,"b":2099}"#]);
}

/// The data files in the plan of `sql`.
async fn files(query: &crate::Query, sql: &str) -> usize {
    let plan = ask(query, &format!("EXPLAIN {sql}")).await.unwrap().join("\n");
    let physical = plan.split("physical_plan").nth(1).unwrap();
    physical.matches(".parquet").count()
}

#[tokio::test]
async fn files_are_ruled_out_by_what_their_manifest_says() {
    let world = World::with_events(2000, 500, 100);
    let query = world.query();
    for (filter, expected) in [
        ("true", 4),
        ("log_index = 600", 1),
        ("log_index BETWEEN 499 AND 500", 2),
        ("log_index >= 2000", 0),
        ("log_index IN (3, 1999)", 2),
        ("time >= TIMESTAMP '2026-11-20 00:30:00'", 1),
        ("time < TIMESTAMP '2026-11-20 00:00:10'", 1),
        ("time > '2026-11-21T00:00:00Z'", 0),
        ("time < TIMESTAMP '2026-11-20 00:00:10' OR log_index > 1900", 2),
        ("user_id = 'user1'", 4),
    ] {
        assert_eq!(
            files(&query, &format!("SELECT user_id FROM events WHERE {filter}")).await,
            expected,
            "{filter}"
        );
    }
    assert_eq!(files(&query, "SELECT arguments FROM payloads WHERE log_index < 100").await, 1);
}

#[tokio::test]
async fn parameters_are_values_and_never_text() {
    use datafusion::common::ScalarValue;
    let world = World::with_events(100, 50, 10);
    let query = world.query();
    let ask = async |sql: &str, params: Vec<ScalarValue>| {
        let request = crate::Request { sql: sql.to_string(), params, ..Default::default() };
        let answer = query.sql(&super::fixture::principal(Role::Auditor), request).await?;
        let rows = super::fixture::rows(answer).await?;
        let rows: usize = rows.iter().map(arrow::array::RecordBatch::num_rows).sum();
        Ok::<usize, crate::Error>(rows)
    };
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_string()));
    let sql = "SELECT event_id FROM events WHERE session_id = $1 AND time >= $2 LIMIT $3";
    let params =
        |session: &str| vec![text(session), text("2026-11-20T00:00:02Z"), ScalarValue::Int64(Some(5))];
    assert_eq!(ask(sql, params("s000000")).await.unwrap(), 5);
    assert_eq!(ask(sql, params("' OR 1 = 1 --")).await.unwrap(), 0);
    assert_eq!(ask(sql, vec![text("s000000")]).await.unwrap_err().code(), "plan");
    let logged = &world.entries()[0]["statement"];
    assert!(
        logged.ends_with("LIMIT $3\n-- $1 = \"s000000\"\n-- $2 = \"2026-11-20T00:00:02Z\"\n-- $3 = \"5\""),
        "{logged}"
    );
}

#[tokio::test]
async fn nested_projections_that_read_the_same_are_each_computed() {
    let world = World::with_events(10, 5, 0);
    let query = world.query();
    for (sql, expected) in [
        (
            "SELECT i + 1 AS i FROM (SELECT i + 1 AS i FROM (SELECT log_index AS i FROM events WHERE log_index = 7))",
            9,
        ),
        (
            "SELECT i + 1 AS i FROM (SELECT i + 1 AS i FROM (SELECT log_index AS i FROM events WHERE log_index = 7) AS t) AS t",
            9,
        ),
        (
            "WITH a AS (SELECT 1 AS i), b AS (SELECT i + 1 AS i FROM a), c AS (SELECT i + 1 AS i FROM b) SELECT i + 1 AS i FROM c",
            4,
        ),
        (
            "SELECT length(x) AS i FROM (SELECT x || x AS x FROM (SELECT x || x AS x FROM (SELECT 'a' AS x)))",
            4,
        ),
        ("SELECT i * 2 AS i FROM (SELECT i * 2 AS i FROM (SELECT i * 2 AS i FROM (VALUES (1)) AS t (i)))", 8),
    ] {
        assert_eq!(ask(&query, sql).await.unwrap(), [format!("{{\"i\":{expected}}}")], "{sql}");
    }
}

#[tokio::test]
async fn a_log_that_does_not_exist_yet_is_empty() {
    let world = World::empty();
    let query = world.query();
    for table in ["events", "alerts", "access", "payloads", "segments", "checkpoints"] {
        assert!(ask(&query, &format!("SELECT * FROM {table}")).await.unwrap().is_empty(), "{table}");
    }
}

#[tokio::test]
async fn segments_checkpoints_and_columns_say_what_there_is() {
    let world = World::with_events(100, 50, 10);
    let query = world.query();
    let rows = ask(&query, "SELECT kind, first, last, rows, time_min FROM segments ORDER BY kind, first")
        .await
        .unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(
        rows[3],
        r#"{"kind":"segments","first":50,"last":100,"rows":50,"time_min":"2026-11-20T00:00:50Z"}"#
    );
    let rows = ask(&query, "SELECT origin, sealed, durable, root FROM checkpoints").await.unwrap();
    assert_eq!(rows, [r#"{"origin":"test-1/default/events/w1","sealed":100,"durable":110,"root":null}"#]);
    let rows =
        ask(&query, "SELECT type, doc FROM columns WHERE table_name = 'events' AND column_name = 'time'")
            .await;
    assert_eq!(rows.unwrap(), [r#"{"type":"timestamp","doc":"When it happened, at the observer."}"#]);
}

/// The published questions, where they are at hand; `arguments` is a column of `payloads` here.
#[tokio::test]
async fn the_published_questions_run() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/bench/queries");
    let Ok(listing) = std::fs::read_dir(&dir) else {
        eprintln!("SKIPPED: no published questions beside this repository");
        return;
    };
    let world = World::with_events(2500, 1000, 500);
    let query = world.query();
    let mut count = 0;
    for entry in listing {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut sql: String =
            text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        while let Some(at) = sql.find("PCTL(") {
            let end = at + sql[at..].find(')').unwrap();
            let (p, column) = sql[at + 5..end].split_once(", ").unwrap();
            let spelt = format!("percentile_cont({p}) WITHIN GROUP (ORDER BY {column})");
            sql.replace_range(at..=end, &spelt);
        }
        for (name, value) in [
            (":session_id", "'s000042'"),
            (":user_id", "'user3'"),
            (":day_start", "'2026-11-20 00:00:00'"),
            (":day_end", "'2026-11-21 00:00:00'"),
            (":event_id", "'e0000042'"),
            (":target", "'repo/7'"),
            (":needle_like", "'%haystack%'"),
        ] {
            sql = sql.replace(name, value);
        }
        let role = if sql.contains("arguments") {
            sql = sql.replace("FROM events", "FROM events JOIN payloads USING (log_index)");
            Role::Responder
        } else {
            Role::Auditor
        };
        let rows = ask_as(&query, role, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(!rows.is_empty(), "{sql}");
        count += 1;
    }
    assert_eq!(count, 14);
}

#[tokio::test]
async fn what_a_damaged_log_of_an_earlier_writer_held_is_not_left_out_of_an_answer() {
    let world = World::with_events(200, 100, 20);
    let damaged = ["w1", "manifest 4 is gone"].map(str::to_string);
    let place = ("default".to_string(), schemas::Stream::Events);
    world.damaged.lock().unwrap().insert(place, damaged);
    let query = world.query();
    for role in [Role::Admin, Role::Auditor, Role::Responder] {
        for sql in [
            "SELECT count(*) AS n FROM events",
            "SELECT event_id FROM events WHERE user_id = 'user3'",
            "SELECT event_id FROM events WHERE log_index >= -1",
            "SELECT event_id FROM events WHERE log_index >= 0 OR kind = 'auth'",
            "SELECT a.event_id FROM events a JOIN events b ON a.log_index = b.log_index WHERE a.log_index >= 0 OR b.log_index < 0",
        ] {
            let refused = ask_as(&query, role, sql).await.unwrap_err();
            assert_eq!(refused.code(), "earlier_log_damaged", "{role:?} {sql}: {refused}");
            let said = refused.to_string();
            assert!(said.contains("w1") && said.contains("manifest 4") && said.contains(">= 0"), "{said}");
        }
        for sql in [
            "SELECT count(*) AS n FROM events WHERE log_index >= 0",
            "SELECT event_id FROM events WHERE log_index > 17 AND user_id = 'user3'",
            "SELECT event_id FROM events WHERE log_index BETWEEN 3 AND 9",
            "SELECT count(*) AS n FROM alerts",
        ] {
            ask_as(&query, role, sql).await.unwrap_or_else(|error| panic!("{role:?} {sql}: {error}"));
        }
    }
    let payloads = ask(&query, "SELECT count(*) AS n FROM payloads").await.unwrap_err();
    assert_eq!(payloads.code(), "earlier_log_damaged");
}
