//! What does not fit the memory of a query goes to disk and gives the same answer.

use schemas::principal::Role;

use super::fixture::{World, ask_as};
use crate::{Error, Options, Query, SpillOptions};

const ROWS: i64 = 300_000;
/// Holds neither the rows to be sorted nor the groups, but the batches that a merge needs.
const MEMORY_BYTES: usize = 24 << 20;

fn spilling(world: &World, bytes: usize, free_bytes_min: u64) -> Options {
    let directory = world.dir.path().to_path_buf();
    Options {
        memory_bytes: MEMORY_BYTES,
        spill: Some(SpillOptions { directory, bytes, free_bytes_min }),
        ..World::options()
    }
}

async fn code(query: &Query, sql: &str) -> &'static str {
    match ask_as(query, Role::Auditor, sql).await {
        Ok(_) => "answered",
        Err(error) => match error {
            Error::Internal(line) if line.starts_with("{\"$error\"") => {
                ["answer_too_large", "disk_full", "busy"]
                    .into_iter()
                    .find(|code| line.contains(&format!("\"code\":\"{code}\"")))
                    .unwrap_or_else(|| panic!("{line}"))
            }
            error => error.code(),
        },
    }
}

const SORT: &str = "SELECT event_id, request_id, target, capability, session_id, user_id FROM events \
                    ORDER BY latency_us, event_id";
const GROUPS: &str = "SELECT event_id, request_id, count(*) AS calls, max(latency_us) AS slowest FROM events \
                      GROUP BY event_id, request_id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sort_and_groups_larger_than_the_memory_give_the_same_answer() {
    let world = World::with_events(ROWS, 65_536, 100);
    let roomy = world.query();
    let tight = world.query_with(Options { memory_bytes: MEMORY_BYTES, ..World::options() });
    let spilling = world.query_with(spilling(&world, 1 << 30, 0));
    for sql in [SORT, &format!("SELECT * FROM ({GROUPS}) ORDER BY event_id")] {
        assert_eq!(
            code(&tight, sql).await,
            "answer_too_large",
            "{sql}: fits without a disk, so this shows nothing"
        );
        let expected = ask_as(&roomy, Role::Auditor, sql).await.unwrap();
        let found = ask_as(&spilling, Role::Auditor, sql).await.unwrap();
        assert_eq!(found.len(), expected.len());
        assert!(found == expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spill_ends_at_its_limit_and_before_the_disk_is_full() {
    let world = World::with_events(ROWS, 65_536, 0);
    assert_eq!(code(&world.query_with(spilling(&world, 4 << 20, 0)), SORT).await, "answer_too_large");
    assert_eq!(code(&world.query_with(spilling(&world, 1 << 30, 1 << 60)), SORT).await, "disk_full");
    let query = world.query_with(spilling(&world, 1 << 30, 0));
    // What was held on disk is given back: each takes more than a quarter of what all may have.
    for _ in 0..3 {
        assert_eq!(code(&query, SORT).await, "answered");
    }
}
