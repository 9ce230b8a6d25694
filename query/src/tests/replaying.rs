//! Sessions in order.

use schemas::Stream;
use schemas::principal::Role;
use schemas::rows::{Row, RowsBuilder};

use super::fixture::{START_US, World, id, principal};
use crate::{Replay, ReplayFormat, Result};

/// Alerts: one with evidence in session 3, one that only names it, one of another session.
fn alerts() -> arrow::array::RecordBatch {
    let column = |name| id(Stream::Alerts, name);
    let alert = |index: i64, name: &str, sequence: i64, evidence: &[i64], session: &str| {
        Row::new()
            .int(column("log_index"), index)
            .int(column("ingest_time"), START_US)
            .text(column("event_id"), &format!("{name}-{sequence}"))
            .int(column("time"), START_US + 34_500_000 + index)
            .text(column("tenant"), "default")
            .text(column("kind"), "alert")
            .text(column("source"), "detect")
            .text(column("session_id"), "detect")
            .text(column("decision"), "none")
            .text(column("status"), "ok")
            .text(column("alert_id"), name)
            .int(column("sequence"), sequence)
            .text(column("state"), if sequence == 0 { "open" } else { "closed" })
            .text(column("rule_id"), "exfiltration")
            .text(column("title"), "evil \u{1b}[2J title")
            .text(column("severity"), "high")
            .ints(column("evidence"), evidence)
            .texts(column("observables"), &[format!("session_id={session}")])
    };
    let mut rows = RowsBuilder::entries(Stream::Alerts);
    for row in [
        alert(0, "by-evidence", 0, &[33, 35], "elsewhere"),
        alert(1, "by-name", 0, &[500], "s000003"),
        alert(2, "by-evidence", 1, &[36], "elsewhere"),
        alert(3, "unrelated", 0, &[55], "s000005"),
    ] {
        rows.push(&row).unwrap();
    }
    rows.finish().unwrap()
}

async fn replay(world: &std::sync::Arc<World>, role: Role, replay: Replay) -> Result<String> {
    let query = world.query();
    let mut encoded = query.replay(&principal(role), replay).await?;
    let mut text = String::new();
    while let Some(chunk) = encoded.next().await {
        text.push_str(std::str::from_utf8(&chunk?).unwrap());
    }
    drop(encoded);
    query.finished().await;
    Ok(text)
}

fn session(format: ReplayFormat) -> Replay {
    Replay { session: "s000003".to_string(), format, after: None, limit: None }
}

#[tokio::test]
async fn a_session_is_told_in_order_with_its_alerts() {
    let world = World::with_events(35, 20, 100);
    world.add_unsealed("default", Stream::Alerts, alerts());
    let text = replay(&world, Role::Responder, session(ReplayFormat::Ndjson)).await.unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<String> = lines
        .iter()
        .map(|line| match line["step"].as_str() {
            Some("event") => format!("{} {}", line["log_index"], line["alerts"]),
            Some(_) => line["alert_id"].as_str().unwrap().to_string(),
            None => line.to_string(),
        })
        .collect();
    assert_eq!(
        told,
        [
            "30 null",
            "31 null",
            "32 null",
            "33 [\"by-evidence\"]",
            "34 null",
            "by-evidence",
            "by-name",
            "35 [\"by-evidence\"]",
            "36 [\"by-evidence\"]",
            "37 null",
            "38 null",
            "39 null",
            r#"{"$end":{"next":null,"rows":10}}"#,
        ]
    );
    assert_eq!(lines[0]["arguments"]["note"], "value 30");
    assert_eq!(lines[5]["state"], "closed");
    assert_eq!(lines[5]["evidence"], serde_json::json!([33, 35, 36]));
    let entries = world.entries();
    assert_eq!(entries[0]["action"], "replay");
    assert_eq!(entries[0]["statement"], "replay s000003 limit 10000");
    assert_eq!(entries[1]["rows"], "10");
}

#[tokio::test]
async fn an_auditor_gets_no_payloads() {
    let world = World::with_events(35, 20, 100);
    for format in [ReplayFormat::Ndjson, ReplayFormat::Timeline, ReplayFormat::Jsonrpc] {
        let text = replay(&world, Role::Auditor, session(format)).await.unwrap();
        assert!(!text.contains("value 3") && !text.contains("\"arguments\""), "{text}");
        let text = replay(&world, Role::Responder, session(format)).await.unwrap();
        assert!(text.contains("value 3"), "{text}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let world = World::with_events(35, 20, 100);
    world.add_unsealed("default", Stream::Alerts, alerts());
    let whole = replay(&world, Role::Auditor, session(ReplayFormat::Ndjson)).await.unwrap();
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = Replay { after: after.take(), limit: Some(3), ..session(ReplayFormat::Ndjson) };
        let text = replay(&world, Role::Auditor, page).await.unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        let end: serde_json::Value = serde_json::from_str(lines.pop().unwrap()).unwrap();
        paged.extend(lines.into_iter().map(str::to_string));
        match end["$end"]["next"].as_str() {
            Some(next) => after = Some(next.to_string()),
            None => break,
        }
    }
    let mut whole: Vec<&str> = whole.lines().collect();
    whole.pop();
    assert_eq!(paged, whole);
}

#[tokio::test]
async fn a_timeline_shows_what_a_terminal_would_obey() {
    let world = World::with_events(35, 20, 100);
    world.add_unsealed("default", Stream::Alerts, alerts());
    let text = replay(&world, Role::Responder, session(ReplayFormat::Timeline)).await.unwrap();
    assert!(!text.contains('\u{1b}'));
    assert!(
        text.contains("! alert high exfiltration: evil \\u{1b}[2J title (closed, by-evidence)"),
        "{text}"
    );
    assert!(text.contains("    arguments: {\"note\":\"value 33\""), "{text}");
    assert!(text.ends_with("10 steps\n"), "{text}");
}

#[tokio::test]
async fn a_transcript_is_requests_and_responses() {
    let world = World::with_events(35, 20, 100);
    let text = replay(&world, Role::Responder, session(ReplayFormat::Jsonrpc)).await.unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // 31 is an approval and 39 a login: no messages.
    assert_eq!(lines.len(), 16, "{text}");
    assert_eq!(
        lines[0],
        serde_json::json!({"jsonrpc": "2.0", "id": "r30", "method": "tools/call",
            "params": {"name": "tool10", "arguments": {"note": "value 30", "needle": "hay"}}})
    );
    assert_eq!(lines[1], serde_json::json!({"jsonrpc": "2.0", "id": "r30", "result": {"ok": true}}));
    let denied = lines.iter().find(|line| line["id"] == "r33" && line["error"].is_object()).unwrap();
    assert_eq!(denied["error"]["code"], -32001);
}

#[tokio::test]
async fn no_session_is_not_found_and_past_the_end_is_empty() {
    let world = World::with_events(35, 20, 100);
    let missing = Replay { session: "none".to_string(), ..session(ReplayFormat::Ndjson) };
    assert_eq!(replay(&world, Role::Auditor, missing).await.unwrap_err().code(), "not_found");
    let past = Replay { after: Some(format!("{}:9", i64::MAX / 2)), ..session(ReplayFormat::Ndjson) };
    let text = replay(&world, Role::Auditor, past).await.unwrap();
    assert_eq!(text, "{\"$end\":{\"rows\":0,\"next\":null}}\n");
}

#[tokio::test]
async fn a_session_of_100_000_calls_is_told() {
    let world = World::with_session("long", 100_000);
    let (mut after, mut told, mut pages) = (None, 0u64, 0);
    let begun = tokio::time::Instant::now();
    loop {
        let page = Replay {
            session: "long".to_string(),
            format: ReplayFormat::Ndjson,
            after: after.take(),
            limit: Some(40_000),
        };
        let text = replay(&world, Role::Responder, page).await.unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        told += last["$end"]["rows"].as_u64().unwrap();
        pages += 1;
        match last["$end"]["next"].as_str() {
            Some(next) => after = Some(next.to_string()),
            None => break,
        }
    }
    eprintln!("100,000 calls with payloads in {pages} pages: {:?}", begun.elapsed());
    assert_eq!((told, pages), (100_000, 3));
}
