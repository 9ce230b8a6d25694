//! Who sees what, and files that are not what they were.

use schemas::principal::Role;
use store::LogSnapshot;

use super::fixture::{World, ask, ask_as, principal};
use crate::{Request, Snapshots};

#[tokio::test]
async fn a_principal_sees_its_own_tenant_alone() {
    let world = World::with_events(100, 50, 10);
    world.add_events("other", 40, 40, 2);
    let query = world.query();
    let mut other = principal(Role::Admin);
    other.tenant = "other".to_string();
    let count = async |who: &schemas::principal::Principal, sql: &str| {
        let request = Request { sql: sql.to_string(), ..Request::default() };
        let rows = super::fixture::rows(query.sql(who, request).await.unwrap()).await.unwrap();
        rows.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>()
    };
    for (table, ours, theirs) in
        [("events", 110, 42), ("payloads", 110, 42), ("segments", 4, 2), ("checkpoints", 1, 1)]
    {
        let sql = format!("SELECT * FROM {table}");
        assert_eq!(count(&principal(Role::Admin), &sql).await, ours, "{table}");
        assert_eq!(count(&other, &sql).await, theirs, "{table}");
    }
    let origins = ask(&query, "SELECT origin FROM checkpoints").await.unwrap();
    assert_eq!(origins, [r#"{"origin":"test-1/default/events/w1"}"#]);
}

#[tokio::test]
async fn payloads_do_not_exist_for_an_auditor() {
    let world = World::with_events(100, 50, 10);
    let query = world.query();
    let absent = ask_as(&query, Role::Auditor, "SELECT * FROM no_such_table").await.unwrap_err();
    let hidden = ask_as(&query, Role::Auditor, "SELECT * FROM payloads").await.unwrap_err();
    assert_eq!(
        hidden.to_string().replace("payloads", "no_such_table"),
        absent.to_string(),
        "hidden and absent must read the same"
    );
    let columns = "SELECT count(*) AS n FROM columns WHERE table_name = 'payloads'";
    assert_eq!(ask_as(&query, Role::Auditor, columns).await.unwrap(), [r#"{"n":0}"#]);
    assert_eq!(ask_as(&query, Role::Responder, columns).await.unwrap(), [r#"{"n":9}"#]);
    for sql in ["SELECT arguments FROM events", "SELECT salt FROM events", "SELECT raw FROM events"] {
        assert_eq!(ask_as(&query, Role::Auditor, sql).await.unwrap_err().code(), "plan", "{sql}");
    }
    let rows = ask_as(&query, Role::Responder, "SELECT * FROM payloads WHERE log_index = 107").await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].contains("value 107") && !rows[0].contains("salt"), "{}", rows[0]);
    assert_eq!(
        ask_as(&query, Role::Responder, "SELECT salt FROM payloads").await.unwrap_err().code(),
        "plan"
    );
}

#[tokio::test]
async fn roles_that_do_not_ask_are_turned_away() {
    let world = World::with_events(10, 10, 0);
    let query = world.query();
    for role in [Role::Collector, Role::Operator] {
        assert_eq!(ask_as(&query, role, "SELECT 1").await.unwrap_err().code(), "forbidden");
    }
    assert_eq!(world.entries().len(), 2);
}

#[tokio::test]
async fn a_changed_file_is_refused_by_name() {
    let world = World::with_events(100, 50, 10);
    let log: LogSnapshot = world.snapshot("default", schemas::Stream::Events).unwrap();
    let file = &log.segments[1].entries;
    let good = std::fs::read(&file.path).unwrap();
    let last = "SELECT event_id FROM events WHERE log_index = 75";
    let first = "SELECT event_id FROM events WHERE log_index = 5";
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    let cut = good[..good.len() - 1].to_vec();
    for bad in [flipped, cut, Vec::new()] {
        std::fs::write(&file.path, &bad).unwrap();
        let query = world.query();
        let error = ask(&query, last).await.unwrap_err();
        assert_eq!(error.code(), "tampered", "{error}");
        let text = error.to_string();
        assert!(text.contains(&file.file.path) && text.contains("test-1/default/events/w1"), "{text}");
        assert_eq!(ask(&query, "SELECT count(*) FROM events").await.unwrap_err().code(), "tampered");
        assert_eq!(ask(&query, first).await.unwrap().len(), 1, "a file that is not needed is not read");
    }
    std::fs::remove_file(&file.path).unwrap();
    assert_eq!(ask(&world.query(), last).await.unwrap_err().code(), "tampered");
    // Also when it was good the first time.
    std::fs::write(&file.path, &good).unwrap();
    let query = world.query();
    assert_eq!(ask(&query, last).await.unwrap().len(), 1);
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    std::fs::write(&file.path, &flipped).unwrap();
    assert_eq!(ask(&query, last).await.unwrap_err().code(), "tampered");
    assert_eq!(world.entries().last().unwrap()["phase"], "outcome");
}
