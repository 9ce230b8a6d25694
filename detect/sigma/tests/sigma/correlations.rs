//! What correlations join, and what they do not.

use sigma::{Correlations, Rules};

use crate::fixture::{SECOND_US, correlation, event, fold, rule, set};

/// A rule on one server, and a correlation of it.
fn counted(kind: &str, timespan: &str, rest: &str) -> Rules {
    set(&[rule(2, "a:\n    server: x", "a"), correlation(1, kind, &["rule_2"], timespan, rest)])
}

/// At which of the events rule 1 alerts.
fn alerts(rules: &Rules, events: &[(i64, &str)]) -> Vec<usize> {
    let found = fold(rules, events);
    found
        .iter()
        .enumerate()
        .filter(|(_, names)| names.contains(&"rule_1".to_owned()))
        .map(|(at, _)| at)
        .collect()
}

const X: &str = r#"{"server":"x"}"#;

#[test]
fn events_are_counted_in_a_sliding_window() {
    let rules = counted("event_count", "10s", "group-by: []\ncondition:\n    gte: 3");
    assert_eq!(alerts(&rules, &[(0, X), (5, X), (10, X)]), [2]);
    assert_eq!(alerts(&rules, &[(0, X), (5, X), (11, X), (15, X)]), [3]);
    assert_eq!(alerts(&rules, &[(0, X), (6, X), (12, X), (18, X)]), [0; 0]);
    assert_eq!(alerts(&rules, &[(0, X), (1, X), (2, X), (3, X), (40, X)]), [2, 3]);
}

#[test]
fn a_late_event_counts_at_its_own_time() {
    let rules = counted("event_count", "10s", "group-by: []\ncondition:\n    gte: 3");
    assert_eq!(alerts(&rules, &[(0, X), (4, X), (100, X), (2, X)]), [3]);
    assert_eq!(alerts(&rules, &[(0, X), (4, X), (100, X), (50, X)]), [0; 0]);
    // The window may end at an event that came before the late one.
    assert_eq!(alerts(&rules, &[(0, X), (9, X), (200, X), (1, X)]), [3]);
}

#[test]
fn a_source_that_dates_everything_back_is_seen() {
    let rules = counted("event_count", "10s", "group-by: []\ncondition:\n    gte: 3");
    let mut events = vec![(1_000_000, r#"{"server":"other"}"#)];
    events.extend((0..3).map(|at| (at * 86_400, X)));
    assert_eq!(alerts(&rules, &events), [3]);
}

#[test]
fn ranges_and_exact_counts() {
    let rules = counted("event_count", "10s", "group-by: []\ncondition:\n    gt: 1\n    lte: 3");
    assert_eq!(alerts(&rules, &[(0, X), (1, X), (2, X), (3, X), (4, X)]), [1, 2]);
    let rules = counted("event_count", "10s", "group-by: []\ncondition:\n    eq: 2");
    assert_eq!(alerts(&rules, &[(0, X), (1, X), (2, X)]), [1]);
}

#[test]
fn groups_are_apart_and_null_is_a_group() {
    let rules = counted("event_count", "10s", "group-by: [agent_id, user_id]\ncondition:\n    gte: 2");
    let (one, two) = (r#"{"server":"x","agent_id":"a","user_id":"b"}"#, r#"{"server":"x","agent_id":"ab"}"#);
    assert_eq!(alerts(&rules, &[(0, one), (1, two), (2, X), (3, one)]), [3]);
    assert_eq!(alerts(&rules, &[(0, X), (1, X)]), [1]);
    let empty = r#"{"server":"x","agent_id":"","user_id":""}"#;
    assert_eq!(alerts(&rules, &[(0, X), (1, empty)]), [0; 0]);
}

#[test]
fn values_are_counted_once() {
    let rules = counted("value_count", "10s", "group-by: []\ncondition:\n    field: capability\n    gte: 3");
    let tool = |name: &str| format!(r#"{{"server":"x","capability":"{name}"}}"#);
    let (a, b, c) = (tool("a"), tool("b"), tool("c"));
    assert_eq!(alerts(&rules, &[(0, &a), (1, &a), (2, &a), (3, &b), (4, X), (5, &c)]), [5]);
    assert_eq!(alerts(&rules, &[(0, &a), (8, &b), (9, &a), (15, &c)]), [3], "the latest of a value counts");
    assert_eq!(alerts(&rules, &[(0, &a), (6, &b), (12, &c)]), [0; 0]);
    let lists =
        counted("value_count", "10s", "group-by: []\ncondition:\n    field: destinations\n    gte: 3");
    let sends = r#"{"server":"x","destinations":["1","2","3","3"]}"#;
    assert_eq!(alerts(&lists, &[(0, sends)]), [0]);
}

#[test]
fn repeating_a_value_pushes_out_no_other() {
    let rules = counted("value_count", "10s", "group-by: []\ncondition:\n    field: capability\n    gte: 3");
    let tool = |name: &str| format!(r#"{{"server":"x","capability":"{name}"}}"#);
    let (a, b, c) = (tool("a"), tool("b"), tool("c"));
    let mut events: Vec<(i64, &str)> = vec![(1_000, &c)];
    events.extend((0..5_000).map(|at| (1_001 - at % 600, a.as_str())));
    events.extend([(1_001, a.as_str()), (1_002, &b)]);
    assert_eq!(alerts(&rules, &events), [5_002]);
}

fn joined(kind: &str, rest: &str) -> Rules {
    let rules =
        ["x", "y", "z"].iter().zip(2..).map(|(server, n)| rule(n, &format!("a:\n    server: {server}"), "a"));
    let mut documents: Vec<String> = rules.collect();
    documents.push(correlation(1, kind, &["rule_2", "rule_3", "rule_4"], "10s", rest));
    set(&documents)
}

const Y: &str = r#"{"server":"y"}"#;
const Z: &str = r#"{"server":"z"}"#;

#[test]
fn joined_rules_in_any_order() {
    let rules = joined("temporal", "group-by: []");
    assert_eq!(alerts(&rules, &[(0, Z), (1, X), (9, Y)]), [2]);
    assert_eq!(alerts(&rules, &[(0, Z), (1, X), (11, Y)]), [0; 0]);
    let two = joined("temporal", "group-by: []\ncondition:\n    gte: 2");
    assert_eq!(alerts(&two, &[(0, Z), (1, Z), (2, X)]), [2]);
}

#[test]
fn joined_rules_in_their_order() {
    let rules = joined("temporal_ordered", "group-by: []");
    assert_eq!(alerts(&rules, &[(0, X), (1, Y), (2, Z)]), [2]);
    assert_eq!(alerts(&rules, &[(0, X), (1, Z), (2, Y)]), [0; 0]);
    assert_eq!(
        alerts(&rules, &[(0, X), (5, X), (6, Y), (15, Z)]),
        [3],
        "the later start is the one that fits"
    );
    assert_eq!(alerts(&rules, &[(0, X), (6, Y), (15, X), (16, Z)]), [0; 0]);
    assert_eq!(
        alerts(&rules, &[(0, X), (2, Z), (20, X), (1, Y)]),
        [3],
        "what came late completes what came before"
    );
    assert_eq!(alerts(&rules, &[(0, X), (1, Y), (2, Z), (3, X)]), [2], "a new start is no new chain");
    assert_eq!(alerts(&rules, &[(0, X), (3, X), (12, Z), (4, Y)]), [3], "from the later start it is in time");
}

#[test]
fn no_event_is_followed_by_itself() {
    let both = [rule(2, "a:\n    server: x", "a"), rule(3, "a:\n    kind: call", "a")];
    let ordered = correlation(1, "temporal_ordered", &["rule_2", "rule_3"], "10s", "group-by: []");
    let turned = correlation(1, "temporal_ordered", &["rule_3", "rule_2"], "10s", "group-by: []");
    let event = r#"{"server":"x","kind":"call"}"#;
    for last in [ordered, turned] {
        let rules = set(&[both[0].clone(), both[1].clone(), last]);
        assert_eq!(alerts(&rules, &[(0, event)]), [0; 0]);
        assert_eq!(alerts(&rules, &[(0, event), (0, event)]), [1]);
    }
}

#[test]
fn what_is_joined_tells_nothing_by_itself_unless_generated() {
    let rules = counted("event_count", "10s", "group-by: []\ncondition:\n    gte: 2");
    assert_eq!(fold(&rules, &[(0, X), (1, X)]), [vec![], vec!["rule_1".to_owned()]]);
    let told = set(&[
        rule(2, "a:\n    server: x", "a"),
        correlation(1, "event_count", &["rule_2"], "10s", "group-by: []\ncondition:\n    gte: 2")
            + "generate: true\n",
    ]);
    assert_eq!(fold(&told, &[(0, X), (1, X)]), [vec!["rule_2"], vec!["rule_2", "rule_1"]]);
}

#[test]
fn correlations_join_correlations_and_aliases_name_columns() {
    let rules = set(&[
        rule(3, "a:\n    server: x", "a"),
        rule(4, "a:\n    server: y", "a"),
        correlation(2, "event_count", &["rule_3"], "10s", "group-by: [agent_id]\ncondition:\n    gte: 2"),
        correlation(
            1,
            "temporal_ordered",
            &["rule_2", "rule_4"],
            "60s",
            "group-by: [who]\naliases:\n    who:\n        rule_2: agent_id\n        rule_4: user_id",
        ),
    ]);
    let (x, y) = (r#"{"server":"x","agent_id":"ann"}"#, r#"{"server":"y","user_id":"ann"}"#);
    assert_eq!(alerts(&rules, &[(0, x), (1, y), (2, x), (3, y)]), [3]);
    assert_eq!(alerts(&rules, &[(0, x), (2, x), (3, r#"{"server":"y","user_id":"bob"}"#)]), [0; 0]);
}

#[test]
fn a_match_says_what_it_stands_on() {
    let rules = counted("event_count", "10s", "group-by: [agent_id]\ncondition:\n    gte: 40");
    let mut state = Correlations::new(&rules);
    let x = event(r#"{"server":"x","agent_id":"ann"}"#);
    for index in 0..39 {
        assert!(state.observe(&rules, &x, index, index * SECOND_US / 10, index * SECOND_US / 10).is_empty());
    }
    let found = state.observe(&rules, &x, 39, 39 * SECOND_US / 10, 39 * SECOND_US / 10);
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((found.count, found.first_us, found.evidence.len()), (40, 0, 32));
    assert_eq!(
        (found.evidence[0], found.evidence[15], found.evidence[16], found.evidence[31]),
        (0, 15, 24, 39)
    );
    assert_eq!(found.group, [("agent_id", Some("ann".to_owned()))]);
}

#[test]
fn a_reload_carries_what_means_the_same() {
    let kept = correlation(1, "event_count", &["rule_2"], "10s", "group-by: []\ncondition:\n    gte: 2");
    let before = set(&[rule(2, "a:\n    server: x", "a"), kept.clone()]);
    let beside = set(&[rule(2, "a:\n    server: x", "a"), kept.clone(), rule(9, "a:\n    server: q", "a")]);
    let changed = set(&[rule(2, "a:\n    server|contains: x", "a"), kept]);
    let mut state = Correlations::new(&before);
    state.observe(&before, &event(X), 0, 0, 0);
    assert!(state.check(&before).is_ok());
    assert!(state.check(&beside).unwrap_err().to_string().contains("fold the log again"));
    for (rules, expected) in [(&beside, 1), (&changed, 0)] {
        let mut carried = state.clone().carried(rules);
        assert!(carried.check(rules).is_ok());
        assert_eq!(carried.observe(rules, &event(X), 1, 1, 1).len(), expected);
    }
}

#[test]
fn spellings_of_one_value_are_one() {
    let rules = counted("event_count", "10s", "group-by: [user_id]\ncondition:\n    gte: 2");
    let user = |name: &str| format!(r#"{{"server":"x","user_id":"{name}"}}"#);
    assert_eq!(alerts(&rules, &[(0, &user("alice")), (1, &user(" ALICE "))]), [1]);
    let rules = counted("event_count", "10s", "group-by: [source_ip]\ncondition:\n    gte: 3");
    let from = |address: &str| format!(r#"{{"server":"x","source_ip":"{address}"}}"#);
    let spelt = [from("10.1.2.3"), from("10.1.2.3:50123"), from("[::ffff:10.1.2.3]:443")];
    let events: Vec<(i64, &str)> = spelt.iter().zip(0..).map(|(text, at)| (at, text.as_str())).collect();
    assert_eq!(alerts(&rules, &events), [2]);
    assert_eq!(alerts(&rules, &[(0, &spelt[0]), (1, &spelt[1]), (2, &from("10.1.2.4"))]), [0; 0]);
    let rules = counted("value_count", "10s", "group-by: []\ncondition:\n    field: source_ip\n    gte: 2");
    assert_eq!(alerts(&rules, &events), [0; 0], "one address is one value");
}

#[test]
fn a_match_tells_the_time_that_its_events_say() {
    let rules = counted("event_count", "10s", "group-by: []\ncondition:\n    gte: 3");
    let mut state = Correlations::new(&rules);
    let clock_us = 1_000_000 * SECOND_US;
    for index in 0..2 {
        assert!(state.observe(&rules, &event(X), index, index * 86_400 * SECOND_US, clock_us).is_empty());
    }
    let found = state.observe(&rules, &event(X), 2, 2 * 86_400 * SECOND_US, clock_us);
    assert_eq!((found[0].first_us, found[0].is_moved), (0, true));
    let on_time: Vec<_> = (3..6).map(|at| (at, clock_us + (at + 100) * SECOND_US)).collect();
    let mut last = Vec::new();
    for (index, time_us) in &on_time {
        last = state.observe(&rules, &event(X), *index, *time_us, *time_us);
    }
    assert_eq!((last[0].first_us, last[0].is_moved), (on_time[0].1, false));
}
