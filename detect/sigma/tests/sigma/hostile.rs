//! What somebody can send to slow a rule down or to make it forget.

use std::borrow::Cow;

use schemas::Column;
use schemas::limits::{SIGMA_GROUPS_MAX, SIGMA_VALUE_BYTES_MAX};
use sigma::{Correlations, Fields, Options, Rules, Value};

use crate::fixture::{SECOND_US, correlation, event, rule, set};

/// Every text column holds the same text, every list many of it.
#[derive(Debug)]
struct Flood(String);

impl Fields for Flood {
    fn value(&self, column: &'static Column) -> Value<'_> {
        match column.kind {
            schemas::ColumnType::Utf8 if column.name != "kind" => Value::Text(&self.0),
            schemas::ColumnType::Utf8 => Value::Text("call"),
            schemas::ColumnType::ListUtf8 => Value::List(Cow::Owned(vec![self.0.as_str(); 4])),
            schemas::ColumnType::Int64 | schemas::ColumnType::Timestamp => Value::Number(i64::MIN),
            _ => Value::Null,
        }
    }
}

#[test]
fn no_value_takes_long_or_is_looked_at_beyond_its_bound() {
    let shipped = Rules::load(&Options::default()).unwrap();
    let worst = set(&[
        rule(
            1,
            r"a:
    target|re: '(x+x+)+y'
    server|contains: 'xxxxxxxxxxxxxxxxxxxxy'
    capability: '*x*x*x*x*x*x*x*x*y'
    user_agent|re|i: '(é|x|[^a]){1,200}y$'",
            "a",
        ),
        rule(2, "a:\n    target|contains: found", "a"),
    ]);
    for letter in ["x", "é", "\u{212a}", "\n", "%", "\\"] {
        let flood = Flood(letter.repeat(1 << 20));
        assert!(worst.matches(&flood).is_empty());
        let _any = shipped.matches(&flood);
    }
    let text = |at: usize| Flood(format!("{}found", "x".repeat(at)));
    assert_eq!(worst.matches(&text(SIGMA_VALUE_BYTES_MAX - 5)).len(), 1);
    assert_eq!(worst.matches(&text(SIGMA_VALUE_BYTES_MAX - 4)).len(), 0);
}

fn burst() -> Rules {
    set(&[
        rule(2, "a:\n    server: x", "a"),
        correlation(1, "event_count", &["rule_2"], "60s", "group-by: [agent_id]\ncondition:\n    gte: 3"),
    ])
}

#[test]
fn a_flood_of_names_does_not_push_out_a_victim() {
    let rules = burst();
    let mut state = Correlations::new(&rules);
    let of = |name: &str| event(&format!(r#"{{"server":"x","agent_id":"{name}"}}"#));
    for index in 0..2 {
        state.observe(&rules, &of("victim"), index, 0, 0);
    }
    for index in 2..3 * SIGMA_GROUPS_MAX as i64 {
        state.observe(&rules, &of(&index.to_string()), index, SECOND_US, SECOND_US);
    }
    assert!(state.groups() <= SIGMA_GROUPS_MAX && state.evicted() > 0);
    assert_eq!(state.observe(&rules, &of("victim"), 1_000_000, 2 * SECOND_US, 2 * SECOND_US).len(), 1);
}

#[test]
fn what_time_has_passed_by_is_forgotten() {
    let rules = burst();
    let mut state = Correlations::new(&rules);
    for index in 0..100 {
        let name = event(&format!(r#"{{"server":"x","agent_id":"{index}"}}"#));
        state.observe(&rules, &name, index, 0, 0);
    }
    assert_eq!(state.groups(), 100);
    state.observe(&rules, &event(r#"{"server":"y"}"#), 100, 661 * SECOND_US, 661 * SECOND_US);
    assert_eq!(state.groups(), 0);
}

#[test]
fn hits_of_a_group_are_bounded_and_a_burst_after_a_flood_is_seen() {
    let rules = set(&[
        rule(2, "a:\n    server: x", "a"),
        rule(3, "a:\n    server: y", "a"),
        correlation(1, "temporal_ordered", &["rule_2", "rule_3"], "60s", "group-by: []"),
    ]);
    let mut state = Correlations::new(&rules);
    // Whatever they are dated, first matches do not push out the one that is followed.
    for index in 0..10_000 {
        let back = (index * 7_919) % 700;
        state.observe(
            &rules,
            &event(r#"{"server":"x"}"#),
            index,
            (1_000 - back) * SECOND_US,
            1_000 * SECOND_US,
        );
    }
    assert!(serde_json::to_string(&state).unwrap().len() < 4_096);
    let found =
        state.observe(&rules, &event(r#"{"server":"y"}"#), 10_000, 1_001 * SECOND_US, 1_001 * SECOND_US);
    assert_eq!(found.len(), 1);
}

#[test]
fn extreme_times_neither_panic_nor_loop() {
    let rules = burst();
    let mut state = Correlations::new(&rules);
    let times = [i64::MIN, i64::MAX, 0, -1, i64::MIN + 1, i64::MAX - 1];
    let mut index = 0;
    for time_us in times {
        for watermark_us in times {
            state.observe(&rules, &event(r#"{"server":"x"}"#), index, time_us, watermark_us);
            index += 1;
        }
    }
    assert!(state.groups() <= 1);
}

/// How many of 64 victims with one hit are still known after so many names of a flood before and after them.
fn survivors(before: i64, after: i64) -> usize {
    let rules = set(&[
        rule(2, "a:\n    server: x", "a"),
        correlation(1, "event_count", &["rule_2"], "60s", "group-by: [agent_id]\ncondition:\n    gte: 2"),
    ]);
    let mut state = Correlations::new(&rules);
    let of = |name: String| event(&format!(r#"{{"server":"x","agent_id":"{name}"}}"#));
    let flood = (0..before).map(|at| format!("flood {at}"));
    let victims = (0..64).map(|at| format!("victim {at}"));
    let names = flood.chain(victims).chain((0..after).map(|at| format!("more {at}")));
    for (name, index) in names.zip(0..) {
        state.observe(&rules, &of(name), index, index * 1_000, index * 1_000);
    }
    let clock_us = (before + after + 64) * 1_000;
    let mut found = 0;
    for at in 0..64 {
        // Each is asked for in a state of its own: what is found pushes out others.
        let mut state = state.clone();
        found += state.observe(&rules, &of(format!("victim {at}")), 1_000_000, clock_us, clock_us).len();
    }
    found
}

#[test]
fn no_order_of_a_flood_is_sure_to_push_out_a_victim_with_as_little_evidence() {
    let groups = SIGMA_GROUPS_MAX as i64;
    for (before, after) in [(0, groups + 2_000), (groups, 2_000), (groups / 2, groups / 2 + 2_000)] {
        let found = survivors(before, after);
        assert!((20..=55).contains(&found), "{found} of 64 with {before} before and {after} after");
    }
}

#[test]
fn a_flood_of_last_stages_does_not_push_out_a_first_stage() {
    let rules = set(&[
        rule(2, "a:\n    server: x", "a"),
        rule(3, "a:\n    server: y", "a"),
        correlation(1, "temporal_ordered", &["rule_2", "rule_3"], "60s", "group-by: [agent_id]"),
    ]);
    let mut state = Correlations::new(&rules);
    let of = |server: &str, name: &str| event(&format!(r#"{{"server":"{server}","agent_id":"{name}"}}"#));
    state.observe(&rules, &of("x", "victim"), 0, 0, 0);
    for index in 1..3 * SIGMA_GROUPS_MAX as i64 {
        state.observe(&rules, &of("y", &index.to_string()), index, SECOND_US, SECOND_US);
    }
    assert_eq!(state.observe(&rules, &of("y", "victim"), 1_000_000, SECOND_US, SECOND_US).len(), 1);
}

#[test]
fn repeating_stages_does_not_break_a_chain() {
    let servers = ["x", "y", "z", "w"];
    let rules = servers.iter().zip(2..).map(|(server, n)| rule(n, &format!("a:\n    server: {server}"), "a"));
    let mut documents: Vec<String> = rules.collect();
    let names = ["rule_2", "rule_3", "rule_4", "rule_5"];
    documents.push(correlation(1, "temporal_ordered", &names, "300s", "group-by: []"));
    let rules = set(&documents);
    let repeats = [vec!["x"; 40], vec!["y"; 40], ["x", "y"].repeat(40), ["z", "x"].repeat(40), vec!["w"; 40]];
    for repeated in repeats {
        let events = ["x", "y"].into_iter().chain(repeated.iter().copied()).chain(["z", "w"]);
        let mut state = Correlations::new(&rules);
        let mut last = 0;
        for (server, index) in events.zip(0..) {
            let time_us = index * SECOND_US;
            let seen = event(&format!(r#"{{"server":"{server}"}}"#));
            last = state.observe(&rules, &seen, index, time_us, time_us).len();
        }
        assert_eq!(last, 1, "{repeated:?}");
        assert!(serde_json::to_string(&state).unwrap().len() < 16_384);
    }
}
