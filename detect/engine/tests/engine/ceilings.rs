//! Each ceiling fires, does not fire just below, collapses a flood to one episode, and closes; and what is over it by chance opens nothing.

use engine::{Record, Settings, Severity, State};

use crate::rules::assert_one_episode;
use crate::stream::{MINUTE_US, Stream, call, login, revoke};

/// Whatever is over a ceiling opens, also where it may be chance.
fn exact() -> Stream {
    Stream::new(Settings { ceiling_chance_ppm: 1_000_000, ..Settings::default() })
}

mod denial_ratio_ceiling {
    use super::*;

    #[test]
    fn over_a_ceiling_by_chance_opens_nothing() {
        let mut log = Stream::new(Settings::default());
        for record in [denied(), call(), call(), call()].iter().cycle().take(40) {
            log.add(*record);
        }
        assert!(log.is_quiet(), "10 of 40 at a ceiling of a fifth is nothing unusual");
        (0..10).for_each(|_| log.add(denied()));
        assert_eq!(log.states(RULE)[0], State::Open, "20 of 50 is");
        (0..20).for_each(|_| log.add(call()));
        assert_eq!(log.of(RULE).count(), log.alerts.len(), "an open episode lives by the ceiling alone");
    }

    const RULE: &str = "denial_ratio_ceiling";

    fn denied() -> Record<'static> {
        Record { decision: "deny", status: "denied", ..call() }
    }

    fn fold(denials: usize, others: usize) -> Stream {
        let mut log = exact();
        (0..denials).for_each(|_| log.add(denied()));
        (0..others).for_each(|_| log.add(call()));
        log
    }

    #[test]
    fn a_fifth_of_twenty() {
        let log = fold(4, 16);
        assert_eq!(log.states(RULE), [State::Open]);
        let alert = &log.alerts[0];
        assert_eq!(
            (alert.observed, alert.expected, alert.unit.as_str()),
            (Some(200_000), Some(200_000), "ppm")
        );
        assert_eq!((alert.severity, alert.count, alert.position), (Severity::Medium, 4, 19));
        assert_eq!(alert.evidence, [0, 1, 2, 3]);
        assert_eq!(alert.window_us, Some(15 * MINUTE_US));
    }

    #[test]
    fn just_below() {
        assert!(fold(19, 0).is_quiet(), "nineteen calls are too few");
        assert!(fold(3, 17).is_quiet(), "15 %");
        let mut log = fold(4, 15);
        log.add(Record { status: "pending", decision: "require_approval", ..call() });
        log.add(Record { decision: "unknown", ..call() });
        log.add(Record { kind: "list", ..denied() });
        log.add(Record { agent_id: Some("a-2"), ..denied() });
        assert!(log.is_quiet(), "none of these is a decided call of this agent");
        log.wait(15 * MINUTE_US);
        (0..16).for_each(|_| log.add(call()));
        assert!(log.is_quiet(), "the denials have left the window");
    }

    #[test]
    fn half_is_severe_and_a_flood_is_one_episode_that_closes() {
        let mut log = fold(5, 15);
        (0..1_000).for_each(|_| log.add(denied()));
        assert_eq!(log.alerts.last().unwrap().severity, Severity::High);
        log.tick(45 * MINUTE_US);
        assert_ne!(log.alerts.last().unwrap().state, State::Closed);
        log.tick(1);
        assert_one_episode(&log.of(RULE).collect::<Vec<_>>(), 1_005);
    }
}

mod auth_failure_rate_ceiling {
    use super::*;

    const RULE: &str = "auth_failure_rate_ceiling";

    fn fold(failures: usize, successes: usize) -> Stream {
        let mut log = exact();
        for failure in 0..failures {
            log.add(Record { source_ip: Some(&format!("192.0.2.{failure}")), ..login(false) });
        }
        (0..successes).for_each(|_| log.add(login(true)));
        log
    }

    #[test]
    fn over_two_percent_of_fifty() {
        let log = fold(2, 48);
        assert_eq!(log.states(RULE), [State::Open]);
        let alert = &log.alerts[0];
        assert_eq!(
            (alert.observed, alert.expected, alert.severity),
            (Some(40_000), Some(20_000), Severity::High)
        );
        assert_eq!((alert.entity_type.as_str(), alert.entity.as_str()), ("tenant", "acme"));
        assert!(alert.explanation.contains("the target under 0.50 %"), "{}", alert.explanation);
    }

    #[test]
    fn just_below() {
        assert!(fold(1, 49).is_quiet(), "2 % is not over 2 %");
        assert!(fold(9, 40).is_quiet(), "49 attempts are too few");
        let mut log = fold(2, 47);
        log.add(revoke("k"));
        log.add(Record { status: "pending", ..login(true) });
        assert!(log.is_quiet(), "neither is an attempt");
    }

    #[test]
    fn a_flood_is_one_episode_that_closes() {
        let mut log = fold(250, 40);
        log.tick(45 * MINUTE_US + 1);
        assert_one_episode(&log.of(RULE).collect::<Vec<_>>(), 250);
    }
}

mod p95_latency_ceiling {
    use super::*;

    const RULE: &str = "p95_latency_ceiling";

    fn fold(slow: usize, fast: usize, latency_us: i64) -> Stream {
        let mut log = exact();
        (0..slow).for_each(|_| log.add(Record { latency_us: Some(latency_us), ..call() }));
        (0..fast).for_each(|_| log.add(Record { latency_us: Some(1_000), ..call() }));
        log
    }

    #[test]
    fn two_slow_calls_of_twenty() {
        let log = fold(2, 18, 6_000_000);
        assert_eq!(log.states(RULE), [State::Open]);
        let alert = &log.alerts[0];
        let observed = alert.observed.unwrap();
        assert!((6_000_000..=6_750_000).contains(&observed), "{observed}");
        assert_eq!((alert.expected, alert.unit.as_str()), (Some(5_000_000), "us"));
        assert_eq!((alert.entity_type.as_str(), alert.entity.as_str()), ("tool", "github/merge"));
        assert_eq!(fold(2, 18, 5_000_000).of(RULE).count(), 1, "a p95 equal to the ceiling blocks");
    }

    #[test]
    fn just_below() {
        assert!(fold(1, 39, i64::MAX).is_quiet(), "one of twenty or more is not the 95th percentile");
        assert!(fold(20, 20, 4_999_999).is_quiet());
        assert!(fold(10, 9, 6_000_000).is_quiet(), "nineteen calls are too few");
        let mut log = exact();
        for _ in 0..20 {
            log.add(Record {
                latency_us: Some(9_000_000),
                status: "denied",
                decision: "deny",
                agent_id: None,
                user_id: None,
                ..call()
            });
            log.add(Record { latency_us: Some(9_000_000), kind: "list", ..call() });
            log.add(Record { latency_us: Some(-9_000_000), ..call() });
            log.add(Record { latency_us: Some(9_000_000), server: None, capability: None, ..call() });
        }
        assert!(log.is_quiet());
    }

    #[test]
    fn observed_follows_the_definition() {
        let mut latencies: Vec<i64> = (0..100).map(|n| 4_000_000 + n * 37_000 % 3_000_000).collect();
        let mut log = exact();
        for latency_us in &latencies {
            log.add(Record { latency_us: Some(*latency_us), ..call() });
        }
        log.tick(50 * MINUTE_US);
        latencies.sort_unstable();
        let last = log.of(RULE).last().unwrap();
        let (p95, observed) = (latencies[94], last.observed.unwrap());
        assert!(observed >= p95 && (observed - p95) * 8 <= p95, "{observed} for {p95}");
    }

    #[test]
    fn a_flood_is_one_episode_that_closes() {
        let mut log = fold(700, 0, 8_000_000);
        log.tick(45 * MINUTE_US + 1);
        assert_one_episode(&log.of(RULE).collect::<Vec<_>>(), 700);
    }
}

#[test]
fn whoever_dates_records_back_is_in_sight_of_every_ceiling() {
    let denied = Record { decision: "deny", status: "denied", ..call() };
    let held = Record { output_action: Some("quarantine"), ..call() };
    let slow = Record { latency_us: Some(9_000_000), ..call() };
    let stamp = Record {
        kind: "approval",
        approval_id: Some("a"),
        approval_status: Some("approved"),
        approver: Some("boss"),
        approval_wait_ms: Some(3),
        ..call()
    };
    let of = [
        ("denial_ratio_ceiling", denied),
        ("quarantine_ratio_ceiling", held),
        ("p95_latency_ceiling", slow),
        ("auth_failure_rate_ceiling", login(false)),
        ("approval_too_fast", stamp),
    ];
    for (rule, record) in of {
        for back in [20 * MINUTE_US, 3_000 * MINUTE_US, i64::MAX] {
            let mut log = Stream::new(Settings::default());
            // One with an honest time puts all others out of its window.
            log.add(Record { latency_us: Some(1), ..record });
            for _ in 0..200 {
                log.wait(100_000);
                log.add_at(record, log.now_us.saturating_sub(back));
            }
            assert_eq!(log.states(rule).first(), Some(&State::Open), "{rule}, {back} us back");
        }
    }
}
