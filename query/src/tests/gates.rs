//! Gates: what counts, what does not, and that what cannot be answered is no number.

use std::sync::Arc;

use schemas::principal::Role;

use super::fixture::{START_US, World, principal};
use crate::{Error, Gate, GateSettings, Thresholds, Verdict, Window};

/// Now, as the world's clock says within a second.
const NOW_US: i64 = START_US;

fn world(lines: &[&str]) -> Arc<World> {
    World::with_records(NOW_US, lines)
}

async fn gate(lines: &[&str], gate: Gate) -> Result<f64, &'static str> {
    let query = world(lines).query();
    query.gate(&principal(Role::Operator), gate, None).await.map_err(|error| error.code())
}

/// A heartbeat: there is a source.
const ALIVE: &str = "1 kind=integrity";

#[tokio::test]
async fn healthy_and_empty_is_nought_and_silence_is_no_answer() {
    for each in Gate::ALL.into_iter().filter(|gate| *gate != Gate::PolicyDenyRatioToBaseline) {
        assert_eq!(gate(&[ALIVE], each).await, Ok(0.0), "{each}");
        assert_eq!(gate(&[], each).await, Err("no_source"), "{each}");
        assert_eq!(gate(&["45 kind=integrity"], each).await, Err("no_source"), "{each}");
        assert_eq!(gate(&["1 kind=control"], each).await, Err("no_source"), "{each}");
        // A clock that runs ahead keeps nothing in the window.
        assert_eq!(gate(&["-90 kind=integrity received=90"], each).await, Err("no_source"), "{each}");
    }
    let deny = Gate::PolicyDenyRatioToBaseline;
    assert_eq!(gate(&[ALIVE], deny).await, Err("no_baseline"));
}

/// How many unapproved writes there are where the first line is a high-risk write.
async fn unapproved(lines: &[&str]) -> f64 {
    let lines: Vec<String> = lines
        .iter()
        .map(|line| line.replace("WRITE", "kind=call action=write risk=high server=db capability=drop"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    gate(&lines, Gate::UnapprovedHighRiskWrites).await.unwrap()
}

#[tokio::test]
async fn a_high_risk_write_needs_an_approval_that_the_log_gave_before() {
    let cases: &[(&[&str], f64)] = &[
        (&["1 WRITE"], 1.0),
        (&["1 WRITE action=admin risk=critical"], 1.0),
        (&["1 WRITE action=read"], 0.0),
        (&["1 WRITE risk=medium"], 0.0),
        (&["1 WRITE decision=deny status=denied"], 0.0),
        (&["1 WRITE status=pending"], 0.0),
        (&["1 WRITE decision=require_approval status=error"], 0.0),
        (&["1 WRITE decision=require_approval status=timeout"], 1.0),
        (&["1 WRITE decision=deny status=ok"], 1.0),
        (&["1 WRITE decision=require_approval status=ok"], 1.0),
        (&["1 WRITE", "1 WRITE"], 2.0),
        // Said by the call alone, and by the log.
        (&["1 WRITE approval_id=a approval_status=approved approver=eve user_id=bob"], 0.0),
        (
            &["3 kind=approval approval_id=a approval_status=approved approver=eve", "1 WRITE approval_id=a"],
            0.0,
        ),
        (&["1 WRITE approval_id=a"], 1.0),
        (&["1 WRITE approval_id=a approval_status=rejected"], 1.0),
        (&["3 kind=approval approval_id=a approval_status=requested", "1 WRITE approval_id=a"], 1.0),
        // Too late is not before.
        (
            &[
                "1 WRITE approval_id=a",
                "0.5 kind=approval approval_id=a approval_status=approved approver=eve",
            ],
            1.0,
        ),
        // The log knows better than the call.
        (
            &[
                "3 kind=approval approval_id=a approval_status=rejected",
                "1 WRITE approval_id=a approval_status=approved approver=eve",
            ],
            1.0,
        ),
        // One's own approval is none, in whatever case it is spelt.
        (&["1 WRITE approval_id=a approval_status=approved approver=BOB user_id=bob"], 1.0),
        (
            &[
                "3 kind=approval approval_id=a approval_status=approved approver=bot",
                "1 WRITE approval_id=a agent_id=Bot",
            ],
            1.0,
        ),
        // Of another request.
        (
            &[
                "3 kind=approval approval_id=a approval_status=approved approver=eve request_hash=h1",
                "1 WRITE approval_id=a request_hash=h2",
            ],
            1.0,
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(unapproved(lines).await, *expected, "{lines:?}");
    }
}

#[tokio::test]
async fn several_observations_of_a_call_are_one_call() {
    let approved = "approval_id=a approval_status=approved approver=eve";
    let seen_twice = format!("1 WRITE call_id=c {approved}");
    assert_eq!(unapproved(&["1 WRITE call_id=c", &seen_twice]).await, 0.0);
    assert_eq!(unapproved(&["1 WRITE call_id=c", "1 WRITE call_id=c"]).await, 1.0);
    // A borrowed call id covers nothing: another user, another request, too often, too far apart.
    let by_bob = format!("{seen_twice} user_id=bob");
    assert_eq!(unapproved(&["1 WRITE call_id=c user_id=mallory", &by_bob]).await, 1.0);
    let hashed = format!("{seen_twice} request_hash=h1");
    assert_eq!(unapproved(&["1 WRITE call_id=c request_hash=h2", &hashed]).await, 1.0);
    let often =
        ["1 WRITE call_id=c", "1 WRITE call_id=c", "1 WRITE call_id=c", "1 WRITE call_id=c", &seen_twice];
    assert_eq!(unapproved(&often).await, 4.0);
    let early = format!("12 WRITE call_id=c {approved}");
    assert_eq!(unapproved(&[&early, "1 WRITE call_id=c"]).await, 1.0);
    // The approved observation lies just before the window.
    let before = format!("10.5 WRITE call_id=c {approved}");
    assert_eq!(unapproved(&[&before, "9.9 WRITE call_id=c"]).await, 0.0);
    // One refused says so whatever the others say.
    let refused = "1 WRITE call_id=c approval_id=a approval_status=rejected";
    assert_eq!(unapproved(&[refused, &seen_twice]).await, 1.0);
}

#[tokio::test]
async fn what_arrives_late_is_counted_when_it_arrives() {
    assert_eq!(unapproved(&[ALIVE, "600 WRITE received=1"]).await, 1.0);
    assert_eq!(unapproved(&[ALIVE, "600 WRITE"]).await, 0.0);
}

#[tokio::test]
async fn a_pending_approval_counts_at_its_present_age() {
    let queue = Gate::ApprovalQueueP50Minutes;
    let asked = |minutes: f64, id: &str| {
        format!("{minutes} kind=approval approval_id={id} approval_status=requested status=pending")
    };
    let granted = |minutes: f64, id: &str| {
        format!("{minutes} kind=approval approval_id={id} approval_status=approved approver=eve")
    };
    let near = |found: Result<f64, &str>, minutes: f64| {
        let found = found.unwrap();
        assert!((found - minutes).abs() < 0.01, "{found} is not {minutes}");
    };
    near(gate(&[&asked(25.4, "a"), &granted(5.0, "a")], queue).await, 20.4);
    near(gate(&[&asked(25.4, "a"), ALIVE], queue).await, 25.4);
    let three = [asked(9.0, "a"), asked(3.0, "b"), granted(1.0, "b"), asked(100.0, "c"), granted(20.0, "c")];
    let three: Vec<&str> = three.iter().map(String::as_str).collect();
    near(gate(&three, queue).await, 9.0);
    // Decided before the window: gone.
    near(gate(&[&asked(100.0, "a"), &granted(40.0, "a"), ALIVE], queue).await, 0.0);
    // What a source measured, where the log has only the end.
    near(
        gate(&["1 kind=approval approval_id=a approval_status=approved approval_wait_ms=660000"], queue)
            .await,
        11.0,
    );
    // Asked for again, it waits again; what does not say how it ended has not been decided.
    near(gate(&[&asked(100.0, "a"), &granted(90.0, "a"), &asked(25.0, "a"), ALIVE], queue).await, 25.0);
    near(
        gate(&[&asked(40.0, "a"), "39 approval_id=a decision=require_approval status=unknown", ALIVE], queue)
            .await,
        40.0,
    );
    // A call that waits for an approval without an id.
    near(gate(&["31 decision=require_approval status=pending call_id=c", ALIVE], queue).await, 31.0);
    near(
        gate(
            &[
                "31 decision=require_approval status=pending call_id=c",
                "10 decision=require_approval call_id=c",
            ],
            queue,
        )
        .await,
        21.0,
    );
}

#[tokio::test]
async fn p95_is_nearest_rank_and_a_timeout_is_slowest() {
    let p95 = Gate::ToolCallP95Ms;
    let calls = |slow: usize, slow_call: &str| -> Vec<String> {
        (0..20)
            .map(|i| if i < slow { slow_call.to_string() } else { "2 latency_us=1000".to_string() })
            .collect()
    };
    let ask =
        async |lines: Vec<String>| gate(&lines.iter().map(String::as_str).collect::<Vec<_>>(), p95).await;
    assert_eq!(ask(calls(1, "2 latency_us=9000000")).await, Ok(1.0));
    assert_eq!(ask(calls(2, "2 latency_us=9000000")).await, Ok(9000.0));
    let ten = calls(1, "2 latency_us=9000000").into_iter().take(10).collect();
    assert_eq!(ask(ten).await, Ok(9000.0), "the tenth of ten");
    assert!(ask(calls(2, "2 status=timeout")).await.unwrap() > 1e9);
    assert_eq!(ask(calls(2, "20 latency_us=9000000")).await, Ok(1.0), "before the window");
}

/// A call reports when it ends, and a spool when it can: neither hides what is slow or denied.
#[tokio::test]
async fn what_was_received_in_the_window_counts_whenever_it_began() {
    let slow = ["16 latency_us=960000000 received=0.5", ALIVE];
    assert_eq!(gate(&slow, Gate::ToolCallP95Ms).await, Ok(960_000.0));
    let late = ["20 kind=auth status=error received=1", ALIVE];
    assert_eq!(gate(&late, Gate::AuthFailureRate).await, Ok(100.0));
}

#[tokio::test]
async fn rates_are_of_what_was_decided() {
    let auth = Gate::AuthFailureRate;
    let lines = [
        "1 kind=auth",
        "1 kind=auth status=error",
        "1 kind=auth method=revoke status=error",
        "1 kind=auth status=pending",
    ];
    assert_eq!(gate(&lines, auth).await, Ok(50.0));
    let output = Gate::OutputQuarantineRatio;
    let lines = [
        "1 call_id=a output_action=pass",
        "1 call_id=b",
        "1 call_id=b kind=output output_action=quarantine",
        "1 call_id=c status=error",
        "1 kind=output output_action=redact",
        "1 kind=output output_action=pass",
    ];
    assert_eq!(gate(&lines, output).await, Ok(25.0));
}

#[tokio::test]
async fn denials_are_held_against_the_same_hour_of_the_days_before() {
    let mut lines: Vec<String> = Vec::new();
    for day in 1..=7 {
        // 00:30 of each day is in the hour around now, 01:30 is not.
        for call in 0..20 {
            let denied = if call == 0 { "decision=deny status=denied" } else { "" };
            lines.push(format!("{} {denied}", day * 1440 - 30));
            lines.push(format!("{} decision=deny status=denied", day * 1440 - 90));
        }
    }
    for call in 0..20 {
        lines.push(format!("1 {}", if call < 3 { "decision=deny status=denied" } else { "" }));
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let found = gate(&lines, Gate::PolicyDenyRatioToBaseline).await.unwrap();
    assert!((found - 3.0).abs() < 1e-9, "{found}");
    let few: Vec<&str> =
        lines.iter().copied().filter(|line| line.starts_with("1 ") || line.starts_with("2850 ")).collect();
    assert_eq!(gate(&few, Gate::PolicyDenyRatioToBaseline).await, Err("no_baseline"));
}

#[tokio::test]
async fn all_six_are_one_question_on_the_access_log() {
    let world = world(&["1 action=write risk=high", "1 latency_us=3000000"]);
    let query = world.query();
    let readings = query.gates(&principal(Role::Operator)).await.unwrap();
    let verdicts: Vec<(Verdict, i64)> =
        readings.iter().map(|reading| (reading.verdict, reading.bare)).collect();
    let expected = [
        (Verdict::Pass, 0),
        (Verdict::Block, 1),
        (Verdict::Pass, 0),
        (Verdict::Watch, 3000),
        (Verdict::Pass, 0),
        (Verdict::NoAnswer, crate::NO_ANSWER),
    ];
    assert_eq!(verdicts, expected);
    assert_eq!(readings[5].code, Some("no_baseline"));
    query.finished().await;
    let entries = world.entries();
    assert_eq!(entries.len(), 2);
    assert_eq!((entries[0]["action"].as_str(), entries[0]["phase"].as_str()), ("gates", "intent"));
    assert!(
        entries[0]["statement"].contains("gate tool-call-p95-ms window=15m"),
        "{}",
        entries[0]["statement"]
    );
    assert_eq!(entries[1]["status"], "ok");
}

#[tokio::test]
async fn who_writes_events_reads_no_gate_and_a_detector_behind_stops_all() {
    let world = world(&[ALIVE]);
    let mut options = World::options();
    options.gates_blocked = Arc::new(|tenant| {
        let blocked = (tenant == "default").then(|| "far behind".to_string());
        Box::pin(std::future::ready(blocked))
    });
    let query = world.query_with(options);
    let refused = query.gate(&principal(Role::Collector), Gate::ToolCallP95Ms, None).await.unwrap_err();
    assert_eq!(refused.code(), "forbidden");
    let behind = query.gate(&principal(Role::Auditor), Gate::ToolCallP95Ms, None).await.unwrap_err();
    assert_eq!((behind.code(), behind.status()), ("detector_behind", 503));
    // An operator reads gates, and no rows.
    let asked = super::fixture::ask_as(&query, Role::Operator, "SELECT 1").await.unwrap_err();
    assert!(matches!(asked, Error::Forbidden(_)));
}

#[test]
fn windows_are_spelt_one_way() {
    for (text, shown) in
        [("10m", "10m"), ("600s", "10m"), ("90s", "90s"), ("60m", "1h"), ("7d", "7d"), ("1s", "1s")]
    {
        assert_eq!(text.parse::<Window>().unwrap().to_string(), shown);
    }
    for text in
        ["", "m", "10", "10M", "0s", "-1m", "1.5h", "8d", "10mm", "99999999999999999999s", "١m", "+5m"]
    {
        assert_eq!(text.parse::<Window>().unwrap_err().code(), "window", "{text}");
    }
}

#[test]
fn numbers_are_rounded_up_and_stay_below_no_answer() {
    for (value, shown) in [(0.0, 0), (0.001, 1), (20.0, 20), (20.4, 21), (1e300, crate::NO_ANSWER - 1)] {
        assert_eq!(crate::gate::bare(value), shown, "{value}");
    }
}

#[test]
fn thresholds_the_wrong_way_round_are_refused() {
    let usual = Gate::ToolCallP95Ms.thresholds();
    for target in [usual.block + 1.0, -1.0, f64::NAN] {
        let wrong = vec![(Gate::ToolCallP95Ms, Thresholds { target, ..usual })];
        assert_eq!(GateSettings::new(wrong).unwrap_err().code(), "thresholds", "{target}");
    }
    assert_eq!(GateSettings::new(Vec::new()).unwrap().of(Gate::ToolCallP95Ms), usual);
}
