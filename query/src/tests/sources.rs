//! Table `sources`: what it says of each, and whom it says nothing.

use serde_json::Value;

use super::fixture::{START_US, World, ask, ask_as};
use crate::{AsOf, Options, Policies, PolicySettings, Request};
use schemas::principal::Role;

/// The rows of `sql`.
async fn rows(world: &std::sync::Arc<World>, sql: &str) -> Vec<Value> {
    let rows = ask(&world.query(), sql).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

const NUMBERS: &str = "SELECT source, numbered_runs, missing FROM sources ORDER BY source";

#[tokio::test]
async fn what_is_missing_is_counted_in_the_runs_that_a_source_numbers() {
    let world = World::with_records(
        START_US,
        &[
            // Two runs of one tap: 3 never came in the first; they came in any order.
            "9 source=tap observer=tap session_id=a source_seq=1",
            "8 source=tap observer=tap session_id=a source_seq=4",
            "8 source=tap observer=tap session_id=a source_seq=2",
            "7 source=tap observer=tap session_id=b source_seq=1",
            // A number twice hides no hole.
            "7 source=tap observer=tap session_id=b source_seq=3",
            "7 source=tap observer=tap session_id=b source_seq=3",
            // A gateway counts through its sessions.
            "7 source=gate observer=gateway session_id=a source_seq=7",
            "7 source=gate observer=gateway session_id=b source_seq=8",
            "7 source=gate observer=gateway session_id=c source_seq=11",
            "7 source=plain",
            // What no source can have counted breaks nothing of the others.
            "7 source=wild observer=tap source_seq=-9223372036854775808",
            "7 source=wild observer=tap source_seq=0",
            "7 source=wild observer=tap source_seq=9223372036854775807",
        ],
    );
    let expected = [
        r#"{"source":"gate","numbered_runs":1,"missing":2}"#,
        r#"{"source":"plain","numbered_runs":0,"missing":null}"#,
        r#"{"source":"tap","numbered_runs":2,"missing":2}"#,
        r#"{"source":"wild","numbered_runs":1,"missing":999999999999}"#,
    ];
    let expected: Vec<Value> = expected.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows(&world, NUMBERS).await, expected);
}

#[tokio::test]
async fn a_source_is_known_by_when_it_spoke_last_and_how_late_that_came() {
    let now = rows(&World::empty(), "SELECT CAST(to_timestamp_micros(now()) AS BIGINT) AS us").await;
    let now_us = now[0]["us"].as_i64().unwrap();
    let world = World::with_records(
        now_us,
        &[
            "60 source=a observer=gateway received=59",
            "3 source=a observer=gateway received=2",
            "3 source=a observer=gateway received=1",
            "30 source=b observer=tap kind=integrity method=heartbeat",
            "20 source=b observer=tap kind=integrity method=drop_notice",
            // The recorder's own entries have no source.
            "1 source=own kind=control",
        ],
    );
    let sql = "SELECT source, observer, events, lag_us, round(events_per_s * 300) AS recent, drop_notices, \
               last_heartbeat IS NOT NULL AS beats, first_seen < last_seen AS spans, \
               silent_us BETWEEN 60000000 AND 120000000 AS fresh FROM sources ORDER BY source";
    let expected = [
        r#"{"source":"a","observer":"gateway","events":3,"lag_us":120000000,"recent":2,"drop_notices":0,
            "beats":false,"spans":true,"fresh":true}"#,
        r#"{"source":"b","observer":"tap","events":2,"lag_us":5,"recent":0,"drop_notices":1,
            "beats":true,"spans":true,"fresh":false}"#,
    ];
    let expected: Vec<Value> = expected.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows(&world, sql).await, expected);
    let filtered = rows(&world, "SELECT events FROM sources WHERE source = 'b'").await;
    assert_eq!(filtered, [serde_json::json!({"events": 2})]);
    let shadowed = rows(&world, "WITH sources AS (SELECT 1 AS one) SELECT one FROM sources").await;
    assert_eq!(shadowed, [serde_json::json!({"one": 1})]);
}

fn options(policy: &str) -> Options {
    let settings: PolicySettings = serde_json::from_str(policy).unwrap();
    Options { policies: Policies::new(&settings).unwrap(), ..World::options() }
}

#[tokio::test]
async fn a_role_finds_in_it_what_it_finds_in_events() {
    let world = World::with_records(
        START_US,
        &["9 source=a server=git", "8 source=b server=mail", "7 source=b server=git"],
    );
    let sql = "SELECT source, events FROM sources ORDER BY source";
    let rows = r#""rows":{"events":"server = 'git'","alerts":"true","access":"true"}"#;
    let filtered = world.query_with(options(&format!(r#"{{"auditor":{{{rows}}}}}"#)));
    assert_eq!(
        ask_as(&filtered, Role::Auditor, sql).await.unwrap(),
        [r#"{"source":"a","events":1}"#, r#"{"source":"b","events":1}"#]
    );
    // Where a column of which it is made is changed for the role, it is not there.
    for column in ["source", "session_id", "time"] {
        let hidden =
            world.query_with(options(&format!(r#"{{"auditor":{{"columns":{{"{column}":"hide"}}}}}}"#)));
        let error = ask_as(&hidden, Role::Auditor, sql).await.unwrap_err();
        assert_eq!(error.code(), "plan", "{column}: {error}");
        assert_eq!(ask_as(&hidden, Role::Admin, sql).await.unwrap().len(), 2);
    }
    // Nor where the question is about the past: it speaks of now.
    let past: AsOf = "events=1".parse().unwrap();
    let request = Request { sql: sql.to_string(), as_of: Some(past), ..Request::default() };
    let error = world.query().sql(&super::fixture::principal(Role::Admin), request).await.unwrap_err();
    assert_eq!(error.code(), "plan");
}
