//! What runs can be seen by whom it concerns, and ended.

use std::time::Duration;

use schemas::principal::{Principal, Role};
use tokio::time::{Instant, timeout};

use super::fixture::{World, ask_as, principal};
use crate::{Answer, Error, Query, Request};

/// It computes for hours.
const ENDLESS: &str = "SELECT sum(a.latency_us * b.latency_us * c.latency_us) AS s FROM events a, events b, events c \
    WHERE a.latency_us + b.latency_us <> c.latency_us + 1";

fn other(id: &str, role: Role) -> Principal {
    Principal { id: id.to_string(), ..principal(role) }
}

async fn ask(query: Query, who: Principal, sql: &'static str) -> Result<Answer, Error> {
    let request = Request { sql: sql.to_string(), ..Request::default() };
    query.sql(&who, request).await
}

async fn until_running(query: &Query, who: &Principal) -> String {
    for _ in 0..500 {
        if let Some(found) = query.running(who).into_iter().next() {
            return found.query_id;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not run");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_query_ends_when_it_is_told_to_and_its_place_is_free() {
    let world = World::with_events(20_000, 10_000, 0);
    let options = crate::Options { at_once: 1, ..World::options() };
    let query = world.query_with(options);
    let owner = other("t-owner", Role::Auditor);
    let asked = tokio::spawn(ask(query.clone(), owner.clone(), ENDLESS));
    let id = until_running(&query, &owner).await;

    // Another auditor does not see it, nor does an admin of another tenant; an admin of this one does.
    let stranger = other("t-stranger", Role::Auditor);
    let elsewhere = Principal { tenant: "other".to_string(), ..other("t-far", Role::Admin) };
    for who in [&stranger, &elsewhere] {
        assert!(query.running(who).is_empty());
        assert_eq!(query.cancel(who, &id).await.unwrap_err().code(), "not_found");
    }
    let admin = other("t-admin", Role::Admin);
    let seen = query.running(&admin);
    assert_eq!((seen.len(), seen[0].principal.as_str(), seen[0].statement.as_str()), (1, "t-owner", ENDLESS));

    let started = Instant::now();
    query.cancel(&admin, &id).await.unwrap();
    let error = timeout(Duration::from_secs(5), asked).await.expect("it goes on").unwrap().unwrap_err();
    assert_eq!(error.code(), "cancelled");
    // The one place is free: the threads have let go.
    let next = timeout(Duration::from_secs(5), ask(query.clone(), owner.clone(), "SELECT 1")).await;
    drop(next.expect("the place is still taken").unwrap());
    assert!(started.elapsed() < Duration::from_secs(10));
    query.finished().await;
    assert!(query.running(&admin).is_empty());
    let entries = world.entries();
    let cancels: Vec<(&str, &str)> = entries
        .iter()
        .filter(|entry| entry["action"] == "cancel")
        .map(|entry| (entry["principal"].as_str(), entry["decision"].as_str()))
        .collect();
    assert_eq!(cancels, [("t-stranger", "deny"), ("t-far", "deny"), ("t-admin", "allow")]);
    let ended = entries.iter().find(|entry| entry["query_id"] == id && entry["phase"] == "outcome").unwrap();
    assert_eq!(ended["status"], "cancelled");
}

/// Whoever asked takes nothing more: the query waits for it, and ends all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_reader_has_stalled_can_be_ended() {
    let world = World::with_events(200_000, 100_000, 0);
    let options = crate::Options { at_once: 1, ..World::options() };
    let query = world.query_with(options);
    let owner = other("t-owner", Role::Auditor);
    let mut stalled = ask(query.clone(), owner.clone(), "SELECT * FROM events").await.unwrap();
    stalled.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let id = until_running(&query, &owner).await;
    query.cancel(&owner, &id).await.unwrap();
    let next = timeout(Duration::from_secs(5), ask(query.clone(), owner.clone(), "SELECT 1")).await;
    drop(next.expect("the place is still taken").unwrap());
    assert_eq!(stalled.next().await.unwrap().unwrap_err().code(), "cancelled");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_threads_of_queries_stand_back() {
    let world = World::with_events(10, 10, 0);
    let query = world.query();
    ask_as(&query, Role::Auditor, "SELECT count(*) AS n FROM events").await.unwrap();
    let own = rustix::process::getpriority_process(None).unwrap();
    let mut found = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        // Those of other tests come and go.
        let Ok(name) = std::fs::read_to_string(path.join("comm")) else { continue };
        if name.trim() == "query" {
            let id = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            found.extend(rustix::process::getpriority_process(rustix::process::Pid::from_raw(id)));
        }
    }
    assert!(!found.is_empty());
    assert!(found.iter().all(|niceness| *niceness == own + 10), "{found:?} beside {own}");
}
