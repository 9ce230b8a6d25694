//! A tool that uses up its error budget: by the windows of an hour and of six, each with its last twelfth.

use engine::{Engine, Record, Settings, Severity, State};

use crate::days::{DAY_US, HOUR_US, QUARTER_US, days, fold, of_tool, opened};
use crate::stream::{MINUTE_US, SECOND_US, START_US, Stream, call};

const RULE: &str = "tool_error_budget";

fn failed(number: i64) -> Record<'static> {
    let (status, error_class) = if number % 2 == 0 { ("error", "tool") } else { ("timeout", "timeout") };
    Record { status, error_class: Some(error_class), ..call() }
}

/// So many calls a second apart, of which one in so many fails.
fn calls(log: &mut Stream, number: i64, one_in: i64) {
    for at in 0..number {
        log.add(if at % one_in == one_in - 1 { failed(at / one_in) } else { call() });
        log.wait(SECOND_US);
    }
}

#[test]
fn a_tool_that_fails_is_told_within_minutes_and_closed_when_it_is_over() {
    let mut log = Stream::new(Settings::default());
    calls(&mut log, 3_600, 60);
    assert!(log.is_quiet(), "1.7 % of an hour's calls, as much as a usual fleet has");
    calls(&mut log, 1_200, 2);
    let first = log.alerts[0].clone();
    assert_eq!((first.rule_id.as_str(), first.state, first.severity), (RULE, State::Open, Severity::Medium));
    assert_eq!((first.entity.as_str(), first.expected), ("github/merge", Some(60_000)));
    // Fourteen times the budget of an hour takes longer than six times.
    let severe = log.of(RULE).find(|alert| alert.severity == Severity::High).unwrap();
    assert_eq!((severe.state, severe.expected), (State::Updated, Some(144_000)));
    assert!(severe.observed >= Some(144_000) && severe.window_us.is_none(), "{severe:?}");
    let parts =
        ["calls failed within 3600 s and", "within the last 300 s", "14.4 times the budget of 1.00 %"];
    assert!(parts.iter().all(|part| severe.explanation.contains(part)), "{}", severe.explanation);
    calls(&mut log, 2 * 3_600, 60);
    assert_eq!(log.states(RULE).last(), Some(&State::Closed));
    assert_eq!(log.of(RULE).filter(|alert| alert.state == State::Open).count(), 1);
}

#[test]
fn what_fails_slowly_is_told_after_hours_and_is_less_severe() {
    let mut log = Stream::new(Settings::default());
    let start_us = log.now_us;
    let mut told_us = None;
    for minute in 0..12 * 60 {
        // From the second hour on one in eleven, and ten calls a minute.
        for at in 0..10 {
            let is_failed = minute >= 60 && (minute * 10 + at) % 11 == 0;
            log.add(if is_failed { failed(at) } else { call() });
        }
        told_us = told_us.or((!log.is_quiet()).then_some(log.now_us - start_us));
        log.wait(MINUTE_US);
    }
    // Of six hours' calls 6 % and what chance adds have failed after more than four.
    let hours = told_us.expect("not told") as f64 / HOUR_US as f64;
    assert!((2.0..6.0).contains(&hours), "{hours}");
    assert!(log.of(RULE).all(|alert| alert.severity == Severity::Medium), "{:#?}", log.alerts);
    assert!(log.alerts[0].explanation.contains("within 21600 s"), "{}", log.alerts[0].explanation);
}

#[test]
fn what_is_over_opens_nothing() {
    let mut settings = Settings::default();
    settings.tool_error_budget.calls_min = 100;
    let mut log = Stream::new(settings);
    (0..60).for_each(|at| log.add(failed(at)));
    log.wait(40 * MINUTE_US);
    (0..60).for_each(|_| log.add(call()));
    assert!(
        log.is_quiet(),
        "half of an hour's calls failed, and none of the last half hour: {:#?}",
        log.alerts
    );
    (0..60).for_each(|at| log.add(failed(at)));
    assert_eq!(log.states(RULE)[0], State::Open, "it goes on");
}

#[test]
fn what_says_nothing_of_the_tool_does_not_count() {
    let none = [
        Record { status: "denied", decision: "deny", ..call() },
        Record { status: "pending", ..call() },
        Record { status: "cancelled", ..call() },
        Record { status: "unknown", ..call() },
        Record { status: "error", error_class: Some("policy"), ..call() },
        Record { status: "error", error_class: Some("auth"), ..call() },
        Record { status: "error", server: None, capability: None, ..call() },
        Record { status: "error", kind: "output", ..call() },
    ];
    for record in none {
        let mut log = Stream::new(Settings::default());
        (0..200).for_each(|_| log.add(record));
        assert_eq!(log.of(RULE).count(), 0, "{record:?}");
    }
    let mut log = Stream::new(Settings::default());
    (0..19).for_each(|at| log.add(failed(at)));
    assert!(log.is_quiet(), "nineteen are too few");
    log.add(failed(19));
    assert_eq!(log.states(RULE), [State::Open]);
}

#[test]
fn ordinary_weeks_with_the_failures_of_a_fleet_are_quiet() {
    // The made fleet has 1.5 % errors and 0.3 % timeouts; twice that is quiet too.
    for (share, seed) in [(0.018, 1), (0.036, 2)] {
        let records = days(28, 10, seed, |chance, _, tool| {
            let is_failed = chance.share() < share;
            Some(Record { status: if is_failed { "error" } else { "ok" }, ..of_tool(tool) })
        });
        let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
        assert!(opened(&alerts, RULE).is_empty(), "{:#?}", opened(&alerts, RULE));
    }
}

#[test]
fn folding_and_restoring_commute() {
    let records = days(3, 6, 5, |chance, at_us, tool| {
        let is_bad = tool == "send" && (30 * HOUR_US..33 * HOUR_US).contains(&at_us);
        let is_failed = chance.share() < if is_bad { 0.5 } else { 0.02 };
        Some(Record { status: if is_failed { "error" } else { "ok" }, ..of_tool(tool) })
    });
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records);
    let [open] = &opened(&alerts, RULE)[..] else { panic!("{alerts:#?}") };
    let told_us = records[open.position as usize].time_us - START_US;
    assert!((30 * HOUR_US..31 * HOUR_US + 2 * QUARTER_US).contains(&told_us), "{} min", told_us / MINUTE_US);
    assert!(told_us < 3 * DAY_US);
    let at = open.position as usize;
    crate::days::commutes(&records, &Settings::default(), &[at - 100, at, at + 1, at + 200]);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    type Set = fn(&mut engine::ToolErrorBudget);
    let wrong: [(Set, &str); 6] = [
        (|budget| budget.budget_ppm = 0, "tool_error_budget.budget_ppm"),
        (|budget| budget.budget_ppm = 100_000, "tool_error_budget.fast_times_milli"),
        (|budget| budget.slow_window_s = 1_800, "tool_error_budget.slow_window_s"),
        (|budget| budget.period_s = 3_600, "tool_error_budget.period_s"),
        (|budget| budget.fast_times_milli = 5_000, "tool_error_budget.fast_times_milli"),
        (|budget| budget.calls_min = 0, "tool_error_budget.calls_min"),
    ];
    for (set, name) in wrong {
        let mut settings = Settings::default();
        set(&mut settings.tool_error_budget);
        let error = settings.validate().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}
