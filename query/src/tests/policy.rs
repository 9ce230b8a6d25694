//! Row filters and column policies: nothing of a query acts on what is behind the wall.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use schemas::principal::Role;
use schemas::{Origin, Stream};
use store::{LogSnapshot, Unsealed};

use super::fixture::{World, ask_as, events, payloads, principal};
use crate::{Policies, PolicySettings, Query, Request, RoleSettings, Treatment};

/// The row filter of the tests, in SQL and below in Rust.
const SEEN: &str = "server = 'github' AND user_id IN ('user0', 'user1', 'user2', 'user4')";
const KEY: [u8; 32] = [7; 32];

fn settings(columns: &[(&str, Treatment)]) -> RoleSettings {
    let rows = [("events", SEEN), ("alerts", "true"), ("access", "true")];
    RoleSettings {
        rows: rows.map(|(table, predicate)| (table.to_string(), predicate.to_string())).into(),
        columns: columns.iter().map(|(name, treatment)| ((*name).to_string(), *treatment)).collect(),
    }
}

fn policies(role: RoleSettings) -> Policies {
    Policies::new(&PolicySettings { auditor: Some(role.clone()), responder: Some(role) }).unwrap()
}

fn for_responders(role: RoleSettings) -> Policies {
    Policies::new(&PolicySettings { auditor: None, responder: Some(role) }).unwrap()
}

fn query_under(world: &Arc<World>, policies: Policies) -> Query {
    let mut options = World::options();
    options.policies = policies;
    options.column_key = Arc::new(|_| KEY);
    world.query_with(options)
}

/// A log that holds exactly `entries` and `payloads`, in memory.
fn physical(entries: RecordBatch, payloads: RecordBatch) -> Arc<World> {
    let world = World::empty();
    world.put(LogSnapshot {
        origin: Origin::new("test-1", "default", Stream::Events, "w1").unwrap(),
        sealed: 0,
        signed: 0,
        durable: entries.num_rows() as u64,
        manifest: 0,
        checkpoint: "".into(),
        segments: Arc::default(),
        unsealed: vec![Unsealed { first: 0, entries, payloads }],
    });
    world
}

/// What [`SEEN`] lets through, by hand.
fn is_seen(batch: &RecordBatch) -> BooleanArray {
    let text = |name| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
    let (server, user) = (text("server"), text("user_id"));
    let seen = (0..batch.num_rows()).map(|row| {
        server.value(row) == "github" && ["user0", "user1", "user2", "user4"].contains(&user.value(row))
    });
    seen.collect::<Vec<bool>>().into()
}

/// `batch` with the texts of a column made into others.
fn changed(batch: &RecordBatch, name: &str, of: impl Fn(&str) -> String) -> RecordBatch {
    let at = batch.schema().index_of(name).unwrap();
    let mut columns = batch.columns().to_vec();
    let texts = columns[at].as_string::<i32>().iter().map(|text| text.map(&of));
    columns[at] = Arc::new(texts.collect::<StringArray>()) as ArrayRef;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// Rows in no order, or the code of the error.
async fn outcome(query: &Query, role: Role, sql: &str) -> Result<Vec<String>, String> {
    let mut rows = ask_as(query, role, sql).await.map_err(|error| {
        // Where the stream broke off, the fixture gives its last line: the same error, said later.
        let said = error.to_string();
        let code = said.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next());
        code.unwrap_or(error.code()).to_string()
    })?;
    rows.sort();
    Ok(rows)
}

/// A small deterministic generator.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn predicate(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 9 } else { 12 }) {
            0 => format!("log_index {} {}", self.of(&["<", ">=", "=", "<>"]), self.below(1300)),
            1 => format!("user_id {} 'user{}'", self.of(&["=", "<", "<>"]), self.below(7)),
            2 => format!("user_id LIKE '{}'", self.of(&["%1", "user%", "u_er2", "***"])),
            3 => format!("upper(target) = 'REPO/{}'", self.below(50)),
            4 => format!("target IN ('repo/{}', 'repo/{}', '***')", self.below(50), self.below(50)),
            5 => self.of(&["capability IS NULL", "approver IS NOT NULL", "user_id IS NULL"]).to_string(),
            6 => format!("latency_us BETWEEN {} AND {}", self.below(3000), 2000 + self.below(4000)),
            7 => format!("time >= TIMESTAMP '2026-11-20 00:{:02}:00'", self.below(21)),
            8 => format!("kind = '{}' AND decision <> 'deny'", self.of(&["call", "auth"])),
            9 => format!("({} OR {})", self.predicate(depth - 1), self.predicate(depth - 1)),
            10 => format!("({} AND {})", self.predicate(depth - 1), self.predicate(depth - 1)),
            _ => format!("NOT ({})", self.predicate(depth - 1)),
        }
    }

    /// Expressions that fail on some rows, and on others do not.
    fn failing(&mut self) -> String {
        match self.below(4) {
            0 => format!("1000 / (log_index - {})", self.below(1300)),
            1 => format!("100 % (latency_us - {})", 1000 + self.below(5000)),
            2 => "CAST(substr(session_id, 2) AS BIGINT)".to_string(),
            _ => format!("CAST(replace(target, 'repo/{}', 'x') AS BIGINT)", self.below(50)),
        }
    }

    fn question(&mut self) -> String {
        let predicate = self.predicate(2);
        match self.below(12) {
            0 => format!("SELECT log_index, user_id, target, time FROM events WHERE {predicate}"),
            1 => format!(
                "SELECT user_id, count(*) AS n, max(latency_us) AS m FROM events WHERE {predicate} GROUP BY user_id"
            ),
            2 => format!(
                "SELECT count(*) AS n, min(log_index) AS a, max(time) AS b, min(user_id) AS c FROM events WHERE {predicate}"
            ),
            3 => format!(
                "SELECT log_index, user_id FROM events WHERE {predicate} ORDER BY user_id, log_index DESC LIMIT {}",
                self.below(40)
            ),
            4 => format!("SELECT DISTINCT target, server FROM events WHERE {predicate}"),
            5 => format!("SELECT log_index, {} AS x FROM events", self.failing()),
            6 => format!("SELECT count(*) AS n FROM events WHERE {} > 0", self.failing()),
            7 => format!(
                "SELECT e.log_index, e.user_id, p.arguments FROM events e JOIN payloads p ON p.log_index = e.log_index WHERE e.{}",
                self.of(&["kind = 'call'", "user_id = '***'", "latency_us > 3000"])
            ),
            8 => format!(
                "SELECT count(*) AS n, min(log_index) AS a FROM payloads WHERE arguments LIKE '%{}%'",
                self.of(&["hay", "value 1", "haystack"])
            ),
            9 => format!(
                "SELECT log_index, lag(user_id) OVER (ORDER BY log_index) AS before FROM events WHERE {predicate}"
            ),
            10 => format!(
                "SELECT a.log_index, b.log_index AS other FROM events a JOIN events b ON a.target = b.target AND a.log_index < b.log_index WHERE a.log_index < {}",
                self.below(200)
            ),
            _ => format!(
                "SELECT log_index FROM events WHERE log_index IN (SELECT log_index FROM events WHERE {predicate}) OR user_id = 'user3'"
            ),
        }
    }
}

/// Any question under a role is the same question over a copy in which forbidden rows and values never were.
#[tokio::test]
async fn a_role_sees_what_a_physically_filtered_copy_holds() {
    let world = World::with_events(1_000, 250, 300);
    let treatments = [
        ("events.target", Treatment::Mask),
        ("user_id", Treatment::Hash),
        ("payloads.arguments", Treatment::Keep),
    ];
    let query = query_under(&world, for_responders(settings(&treatments)));

    let entries = events(0..1_300);
    let seen = is_seen(&entries);
    let hash_key = blake3::derive_key(
        "tachograph 2026-11 column policy hash v1",
        &[KEY.as_slice(), b"user_id"].concat(),
    );
    let entries = filter_record_batch(&entries, &seen).unwrap();
    let entries = changed(&entries, "target", |_| "***".to_string());
    let entries = changed(&entries, "user_id", |user| {
        blake3::keyed_hash(&hash_key, user.as_bytes()).to_hex()[..32].to_string()
    });
    let seen_payloads = filter_record_batch(&payloads(0..1_300), &seen).unwrap();
    let copy = physical(entries, seen_payloads).query();

    let mut seeded = Seeded(20_261_125);
    let (mut rows, mut failed, mut some) = (0, 0, 0);
    let count = if std::env::var_os("TACHO_FULL").is_some() { 4_000 } else { 300 };
    for _ in 0..count {
        let sql = seeded.question();
        let found = outcome(&query, Role::Responder, &sql).await;
        let expected = outcome(&copy, Role::Responder, &sql).await;
        assert_eq!(found, expected, "{sql}");
        match found {
            Ok(found) => {
                rows += found.len();
                some += usize::from(!found.is_empty());
            }
            Err(_) => failed += 1,
        }
    }
    assert!(some > count / 3 && failed > count / 40, "{count} questions: {some} with rows, {failed} failed");
    eprintln!("policy: {count} questions, {some} with rows ({rows} in all), {failed} failed alike");
}

#[tokio::test]
async fn a_row_that_is_not_seen_makes_no_error() {
    let world = World::with_events(100, 50, 20);
    // Where most rows are seen, an engine does not sort out the others before it evaluates what comes next.
    let mut most = settings(&[]);
    most.rows.insert("events".to_string(), "user_id <> 'user3'".to_string());
    for role in [settings(&[]), most] {
        no_error_of_hidden_rows(&query_under(&world, policies(role))).await;
    }
}

/// Rows 3, which is sealed, and 101, which is not yet, are of user3: a division by zero, a cast that fails and a
/// comparison would all tell of them.
async fn no_error_of_hidden_rows(query: &Query) {
    for (row, sql) in [3, 101].into_iter().flat_map(|row| {
        [
            "SELECT 1 / (log_index - ROW) AS x FROM events",
            "SELECT log_index FROM events WHERE 1 / (log_index - ROW) > 5",
            "SELECT log_index FROM events WHERE log_index >= 0 AND 1 / (log_index - ROW) > 5",
            "SELECT CAST(replace(user_id, 'user3', 'x') AS BIGINT) FROM events WHERE user_id LIKE '%3'",
            "SELECT log_index FROM events ORDER BY 1 / (log_index - ROW)",
            "SELECT sum(1 / (log_index - ROW)) AS s FROM events",
            "SELECT CASE WHEN user_id = 'user3' THEN 1 / (log_index - ROW) ELSE 1 END AS x FROM events",
            "SELECT 1 FROM payloads WHERE 1 / (log_index - ROW) > 5",
            "SELECT a.log_index FROM events a JOIN events b ON 1 / (a.log_index - ROW) = b.log_index",
            "SELECT log_index FROM events WHERE regexp_like(user_id, 'user3') AND 1 / (log_index - ROW) > 5",
        ]
        .map(|sql| (row, sql))
    }) {
        let sql = sql.replace("ROW", &row.to_string());
        ask_as(query, Role::Responder, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let count = ask_as(query, Role::Responder, "SELECT count(*) AS n FROM events WHERE user_id = 'user3'");
    assert_eq!(count.await.unwrap(), [r#"{"n":0}"#]);
    // Over everything the same questions do fail, and a row that is seen does too.
    let error = ask_as(query, Role::Responder, "SELECT 1 / (log_index - 2) AS x FROM events").await;
    assert!(error.is_err());
    let error = ask_as(query, Role::Admin, "SELECT 1 / (log_index - 101) AS x FROM events").await;
    assert!(error.is_err());
}

#[tokio::test]
async fn counts_and_bounds_come_from_rows_that_are_seen() {
    let world = World::with_events(1_000, 250, 0);
    let query = query_under(&world, policies(settings(&[])));
    let seen = is_seen(&events(0..1_000)).true_count();
    for (sql, expected) in [
        ("SELECT count(*) AS n FROM events".to_string(), format!(r#"{{"n":{seen}}}"#)),
        ("SELECT count(*) AS n FROM payloads".to_string(), format!(r#"{{"n":{seen}}}"#)),
        ("SELECT max(log_index) AS n FROM events WHERE log_index < 6".to_string(), r#"{"n":4}"#.to_string()),
    ] {
        assert_eq!(ask_as(&query, Role::Responder, &sql).await.unwrap(), [expected], "{sql}");
    }
}

#[tokio::test]
async fn masked_values_cannot_be_found_by_asking_for_them() {
    let world = World::with_events(100, 50, 20);
    let role = RoleSettings {
        columns: [
            ("user_id", Treatment::Mask),
            ("latency_us", Treatment::Mask),
            ("session_id", Treatment::Hide),
        ]
        .map(|(name, treatment)| (name.to_string(), treatment))
        .into(),
        rows: BTreeMap::new(),
    };
    let query = query_under(&world, policies(role));
    for (sql, expected) in [
        ("SELECT count(*) AS n FROM events WHERE user_id = 'user3'", r#"{"n":0}"#),
        ("SELECT count(*) AS n FROM events WHERE user_id <> 'user3'", r#"{"n":120}"#),
        ("SELECT count(*) AS n FROM events WHERE user_id NOT LIKE 'user%'", r#"{"n":120}"#),
        ("SELECT count(*) AS n FROM events WHERE user_id LIKE 'user%'", r#"{"n":0}"#),
        ("SELECT count(*) AS n FROM events WHERE upper(user_id) = 'USER3'", r#"{"n":0}"#),
        ("SELECT count(*) AS n FROM events WHERE user_id > 'user'", r#"{"n":0}"#),
        (
            "SELECT min(user_id) AS a, max(user_id) AS b, count(DISTINCT user_id) AS n FROM events",
            r#"{"a":"***","b":"***","n":1}"#,
        ),
        ("SELECT count(*) AS n FROM events WHERE latency_us > 0", r#"{"n":0}"#),
        (
            "SELECT count(latency_us) AS n, sum(CAST(latency_us AS DOUBLE)) AS s FROM events",
            r#"{"n":0,"s":null}"#,
        ),
        (
            "SELECT count(*) AS n FROM events a JOIN (VALUES ('user3')) AS v(u) ON a.user_id = v.u",
            r#"{"n":0}"#,
        ),
        (
            "SELECT count(*) AS n FROM columns WHERE column_name = 'session_id' AND table_name = 'events'",
            r#"{"n":0}"#,
        ),
    ] {
        assert_eq!(ask_as(&query, Role::Auditor, sql).await.unwrap(), [expected], "{sql}");
    }
    let first =
        ask_as(&query, Role::Auditor, "SELECT log_index FROM events ORDER BY user_id, log_index LIMIT 3")
            .await;
    let expected = [r#"{"log_index":0}"#, r#"{"log_index":1}"#, r#"{"log_index":2}"#];
    assert_eq!(first.unwrap(), expected, "the order of users shows through");
    let hidden = ask_as(&query, Role::Auditor, "SELECT session_id FROM events").await.unwrap_err();
    let absent = ask_as(&query, Role::Auditor, "SELECT no_such_one FROM events").await.unwrap_err();
    assert_eq!(hidden.code(), absent.code());
    assert!(!hidden.to_string().contains("events.session_id"), "{hidden}");
    // What quotes other columns is masked with them, and another role is not concerned.
    let quoted = ask_as(&query, Role::Responder, "SELECT DISTINCT arguments FROM payloads").await.unwrap();
    assert_eq!(quoted, [r#"{"arguments":"***"}"#]);
    let admin = ask_as(&query, Role::Admin, "SELECT count(*) AS n FROM events WHERE user_id = 'user3'").await;
    assert_eq!(admin.unwrap(), [r#"{"n":17}"#]);
}

#[tokio::test]
async fn replay_and_gates_stand_behind_the_same_wall() {
    let world = World::with_events(100, 50, 20);
    let query = query_under(&world, policies(settings(&[("agent_id", Treatment::Mask)])));
    let replay = |format: crate::ReplayFormat| crate::Replay {
        session: "s000000".to_string(),
        format,
        after: None,
        limit: None,
    };
    let mut encoded =
        query.replay(&principal(Role::Responder), replay(crate::ReplayFormat::Ndjson)).await.unwrap();
    let mut text = String::new();
    while let Some(chunk) = encoded.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    assert!(text.contains("user0") && !text.contains("user3") && !text.contains("agent1"), "{text}");
    // Six numbers about rows that the role does not see are not for it.
    let gate = query.gate(&principal(Role::Auditor), crate::Gate::ToolCallP95Ms, None).await;
    assert_eq!(gate.unwrap_err().code(), "forbidden");
    let gone = ask_as(&query, Role::Auditor, "SELECT * FROM segments").await.unwrap_err();
    assert_eq!(gone.code(), "plan");
}

#[tokio::test]
async fn an_earlier_moment_gives_the_same_answer_again() {
    let world = World::with_events(500, 250, 0);
    let query = world.query();
    let everything = "SELECT count(*) AS n, max(log_index) AS last, sum(latency_us) AS s FROM events";
    let request = |as_of: Option<&str>| Request {
        sql: everything.to_string(),
        as_of: as_of.map(|text| text.parse().unwrap()),
        ..Request::default()
    };
    let answer = query.sql(&principal(Role::Auditor), request(None)).await.unwrap();
    let snapshot = answer.snapshot().to_header();
    let before = super::fixture::rows(answer).await.unwrap();
    world.add_events("default", 700, 350, 100);
    let answer = query.sql(&principal(Role::Auditor), request(Some(&snapshot))).await.unwrap();
    assert_eq!(answer.snapshot().to_header(), snapshot);
    assert_eq!(super::fixture::rows(answer).await.unwrap(), before);
    let answer = query.sql(&principal(Role::Auditor), request(Some("events=3"))).await.unwrap();
    let rows = super::fixture::rows(answer).await.unwrap();
    assert_eq!(rows[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0), 3);
    let refused = query.sql(&principal(Role::Auditor), request(Some("events=801"))).await.unwrap_err();
    assert_eq!(refused.code(), "as_of");
    query.finished().await;
    assert!(world.entries().iter().any(|entry| entry.get("error_code").is_some_and(|code| code == "as_of")));
    let payloads = Request {
        sql: "SELECT count(*) AS n FROM payloads".to_string(),
        as_of: Some("events=650".parse().unwrap()),
        ..Request::default()
    };
    let rows =
        super::fixture::rows(query.sql(&principal(Role::Responder), payloads).await.unwrap()).await.unwrap();
    assert_eq!(rows[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0), 650);
}

#[test]
fn what_is_not_said_or_could_fail_is_refused() {
    let of = |rows: &[(&str, &str)], columns: &[(&str, Treatment)]| {
        let role = RoleSettings {
            rows: rows.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())).collect(),
            columns: columns.iter().map(|(a, b)| ((*a).to_string(), *b)).collect(),
        };
        Policies::new(&PolicySettings { auditor: Some(role), responder: None }).map(|_| ())
    };
    let all = |predicate| [("events", predicate), ("alerts", "true"), ("access", "true")];
    for predicate in [
        "true",
        SEEN,
        "time >= '2026-11-01T00:00:00Z'",
        "time < TIMESTAMP '2026-11-01 00:00:00'",
        "time BETWEEN '2026-11-01T00:00:00Z' AND '2027-01-01T00:00:00Z'",
        "lower(environment) = 'prod'",
        "array_has(scopes, 'repo')",
    ] {
        of(&all(predicate), &[]).unwrap_or_else(|error| panic!("{predicate}: {error}"));
    }
    for (predicate, named) in [
        ("1 / log_index > 0", "could fail on a row"),
        ("CAST(user_id AS BIGINT) = 1", "could fail on a row"),
        ("user_id IN (1001, 1002)", "the cast could fail"),
        ("session_id < 5", "the cast could fail"),
        ("user_id = latency_us", "the cast could fail"),
        ("user_id", "not true or false"),
        ("nobody = 'x'", "nobody"),
        ("user_id = (SELECT max(user_id) FROM events)", "rows.events"),
        ("random() > 0.5", "random"),
        ("user_id =", "rows.events"),
        ("repeat(user_id, 3) = 'x'", "repeat"),
    ] {
        let error = of(&all(predicate), &[]).unwrap_err();
        assert!(error.code() == "policy" && error.to_string().contains(named), "{predicate}: {error}");
    }
    let half = of(&[("events", "true")], &[]).unwrap_err();
    assert!(
        half.to_string().contains("rows.access is not said")
            || half.to_string().contains("rows.alerts is not said"),
        "{half}"
    );
    for (column, treatment, named) in [
        ("log_index", Treatment::Mask, "joins tables"),
        ("latency_us", Treatment::Hash, "only text"),
        ("nobody", Treatment::Mask, "no table"),
        ("payloads.arguments", Treatment::Mask, "no table"),
        ("alerts.user_id", Treatment::Mask, "no table"),
    ] {
        let error = of(&[], &[(column, treatment)]).unwrap_err();
        assert!(error.to_string().contains(named), "{column}: {error}");
    }
    assert!(of(&[("payloads", "true")], &[]).unwrap_err().to_string().contains("follow their events"));
}
