use std::sync::atomic::Ordering;

use super::*;
use crate::Error;
use crate::tests::fixture::{World, counted, principal};

const OWN: usize = limits::QUERY_REFUSED_RECORDED_MAX as usize;

fn refusals(world: &Arc<World>) -> Arc<Refusals> {
    let options = World::options();
    Refusals::new(AccessLog::new(
        Arc::clone(world) as _,
        options.redactor,
        options.clock,
        options.identifiers,
    ))
}

async fn refuse(refusals: &Arc<Refusals>, id: &str, times: usize) -> usize {
    let who = Principal { id: id.to_string(), ..principal(Role::Auditor) };
    let error = Error::Forbidden("no".to_string());
    let mut failed = 0;
    for _ in 0..times {
        let query_id = refusals.access.new_query_id();
        failed +=
            usize::from(refusals.record(Access::refusal(&who, &query_id, "sql", &error)).await.is_err());
    }
    failed
}

fn total(world: &World) -> u64 {
    world.entries().iter().map(counted).sum()
}

#[tokio::test]
async fn a_window_ends_with_its_sums_and_a_quiet_one_is_the_last() {
    let world = World::empty();
    let refusals = refusals(&world);
    refuse(&refusals, "t-1", OWN + 7).await;
    refuse(&refusals, "t-2", 1).await;
    assert_eq!(world.entries().len(), OWN + 1);
    assert!(refusals.end_window().await);
    let entries = world.entries();
    assert_eq!((entries.len(), total(&world)), (OWN + 2, OWN as u64 + 8));
    let sum = entries.last().unwrap();
    assert_eq!((sum["principal"].as_str(), sum["error_code"].as_str()), ("t-1", "forbidden"));
    assert_eq!(sum["role"], "auditor");
    // The next minute begins anew.
    refuse(&refusals, "t-1", 1).await;
    assert_eq!(world.entries().len(), OWN + 3);
    assert!(refusals.end_window().await);
    assert!(!refusals.end_window().await);
    assert!(refuse(&refusals, "t-1", 1).await == 0 && refusals.lock().is_watched);
}

#[tokio::test]
async fn the_process_going_down_gives_nobody_a_new_minute() {
    let world = World::empty();
    let refusals = refusals(&world);
    refuse(&refusals, "t-1", OWN + 1).await;
    refusals.finish().await;
    refuse(&refusals, "t-1", 5).await;
    refusals.finish().await;
    assert_eq!((world.entries().len(), total(&world)), (OWN + 2, OWN as u64 + 6));
}

#[tokio::test]
async fn what_could_not_be_recorded_is_counted_until_it_is() {
    let world = World::empty();
    let refusals = refusals(&world);
    world.refusing.store(true, Ordering::Relaxed);
    assert_eq!(
        refuse(&refusals, "t-1", OWN + 5).await,
        OWN,
        "those of their own are told that they are not on record"
    );
    refusals.finish().await;
    assert!(refusals.end_window().await && world.entries().is_empty());
    world.refusing.store(false, Ordering::Relaxed);
    refuse(&refusals, "t-1", 2).await;
    assert!(refusals.end_window().await);
    assert_eq!((world.entries().len(), total(&world)), (3, OWN as u64 + 7));
}

#[tokio::test]
async fn principals_without_end_are_bounded_and_counted() {
    let world = World::empty();
    let refusals = refusals(&world);
    let most = limits::QUERY_REFUSED_PRINCIPALS_MAX;
    for number in 0..most + 30 {
        refuse(&refusals, &format!("o-{number}"), 1).await;
    }
    assert_eq!(world.entries().len(), most);
    refusals.finish().await;
    let entries = world.entries();
    let sum = entries.last().unwrap();
    assert_eq!((entries.len(), counted(sum)), (most + 1, 30));
    assert!(sum["principal"] == "several" && !sum.contains_key("role"), "{sum:?}");
}

#[tokio::test]
async fn strangers_without_end_are_bounded_and_take_no_room_from_principals() {
    let world = World::empty();
    let refusals = refusals(&world);
    let tasks = TaskTracker::new();
    for number in 0..5_000u32 {
        let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        let error = Error::Refused { code: "wrong_cancel_key", detail: "no".to_string() };
        refusals.note(("pg", address), "cancel", error, &tasks);
    }
    refuse(&refusals, "t-1", 1).await;
    tasks.close();
    tasks.wait().await;
    refusals.finish().await;
    let entries = world.entries();
    let most = limits::LOGIN_RECORDED_MAX as usize + limits::LOGIN_SUMMED_MAX + 2;
    assert!(entries.len() <= most, "{} entries", entries.len());
    assert_eq!(total(&world), 5_001);
    assert!(entries.iter().all(|entry| (entry["principal"] == "unknown") != entry.contains_key("role")));
    assert_eq!(entries.iter().filter(|entry| entry["principal"] == "t-1").count(), 1);
}
