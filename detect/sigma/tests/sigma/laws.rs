//! Laws of the fold.

use proptest::prelude::*;
use sigma::{Correlations, Rules};

use crate::fixture::{SECOND_US, correlation, event, rule, set};

fn rules() -> Rules {
    set(&[
        rule(2, "a:\n    server: x", "a"),
        rule(3, "a:\n    server: y", "a"),
        rule(8, "a:\n    server: z", "a"),
        correlation(
            1,
            "event_count",
            &["rule_2", "rule_3"],
            "30s",
            "group-by: [agent_id]\ncondition:\n    gte: 3",
        ),
        correlation(
            4,
            "value_count",
            &["rule_2"],
            "30s",
            "group-by: [agent_id]\ncondition:\n    field: capability\n    gte: 3",
        ),
        correlation(5, "temporal", &["rule_2", "rule_3", "rule_8"], "30s", "group-by: [agent_id]"),
        correlation(6, "temporal_ordered", &["rule_2", "rule_3", "rule_8"], "30s", "group-by: [agent_id]"),
        correlation(7, "temporal_ordered", &["rule_1", "rule_8"], "90s", "group-by: []"),
        correlation(
            9,
            "event_count",
            &["rule_2", "rule_3"],
            "30s",
            "group-by: [agent_id]\ncondition:\n    gte: 3",
        ),
    ])
}

/// Server, agent, tool, seconds since the event before, seconds that it is late.
type Step = (u8, u8, u8, i64, i64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        (0..4_u8, 0..3_u8, 0..4_u8, 0..40_i64, prop_oneof![3 => Just(0_i64), 1 => 0..900_i64]),
        1..60,
    )
}

fn observe(
    state: &mut Correlations,
    rules: &Rules,
    index: usize,
    step: &Step,
    clock_us: &mut i64,
) -> Vec<String> {
    let (server, agent, tool, gap_s, late_s) = step;
    *clock_us += gap_s * SECOND_US;
    let server = ["x", "y", "z", "w"][usize::from(*server)];
    let json = event(&format!(r#"{{"server":"{server}","agent_id":"{agent}","capability":"{tool}"}}"#));
    let time_us = *clock_us - late_s * SECOND_US;
    let found = state.observe(rules, &json, index as i64, time_us, *clock_us);
    found
        .iter()
        .map(|found| format!("{:?} {:?} {} {:?}", found.rule.name, found.evidence, found.count, found.group))
        .collect()
}

/// Whether the events before and at `at`, all on time, hold a match of rule 4, 5, 6 or 9 that ends at the last: by trying.
fn brute(events: &[(i64, Step)], name: &str) -> bool {
    let Some(((last_us, (_, agent, ..)), _)) = events.split_last() else { return false };
    let inside: Vec<&Step> = events
        .iter()
        .filter(|(us, step)| step.1 == *agent && last_us - us <= 30 * SECOND_US)
        .map(|(_, step)| step)
        .collect();
    let last = inside[inside.len() - 1];
    match name {
        "rule_9" => last.0 < 2 && inside.iter().filter(|step| step.0 < 2).count() >= 3,
        "rule_4" => {
            let tools: std::collections::BTreeSet<u8> =
                inside.iter().filter(|step| step.0 == 0).map(|step| step.2).collect();
            last.0 == 0 && tools.len() >= 3
        }
        "rule_5" => last.0 < 3 && (0..3).all(|server| inside.iter().any(|step| step.0 == server)),
        _ => {
            let mut stage = 0;
            inside.iter().for_each(|step| stage += u8::from(step.0 == stage && stage < 2));
            last.0 == 2 && stage == 2
        }
    }
}

proptest! {
    #[test]
    fn a_fold_goes_on_from_any_snapshot(steps in steps(), cut in 0..60_usize) {
        let rules = rules();
        let (mut whole, mut part) = (Correlations::new(&rules), Correlations::new(&rules));
        let (mut clock_us, mut part_clock_us) = (0, 0);
        for (index, step) in steps.iter().enumerate() {
            if index == cut.min(steps.len() - 1) {
                let bytes = serde_json::to_vec(&part).unwrap();
                part = serde_json::from_slice(&bytes).unwrap();
                prop_assert_eq!(serde_json::to_vec(&part).unwrap(), bytes);
                part.check(&rules).unwrap();
            }
            let found = observe(&mut whole, &rules, index, step, &mut clock_us);
            prop_assert_eq!(observe(&mut part, &rules, index, step, &mut part_clock_us), found);
        }
        prop_assert_eq!(serde_json::to_vec(&part).unwrap(), serde_json::to_vec(&whole).unwrap());
    }

    #[test]
    fn events_on_time_match_as_trying_all_says(steps in steps()) {
        let rules = rules();
        let mut state = Correlations::new(&rules);
        let (mut clock_us, mut events) = (0, Vec::new());
        for (index, step) in steps.iter().enumerate() {
            let step = (step.0, step.1, step.2, step.3, 0);
            let found = observe(&mut state, &rules, index, &step, &mut clock_us);
            events.push((clock_us, step));
            for name in ["rule_4", "rule_5", "rule_6", "rule_9"] {
                let is_found = found.iter().any(|text| text.contains(name));
                prop_assert_eq!(is_found, brute(&events, name), "{} at {}: {:?}", name, index, events);
            }
        }
    }

    #[test]
    fn a_chain_is_found_whatever_repeats(steps in prop::collection::vec((stage(), 0..3_i64), 40..160)) {
        let rules = set(&[
            rule(2, "a:\n    server: x", "a"),
            rule(3, "a:\n    server: y", "a"),
            rule(8, "a:\n    server: z", "a"),
            correlation(1, "temporal_ordered", &["rule_2", "rule_3", "rule_8"], "100s", "group-by: []"),
        ]);
        let (mut state, mut clock_us, mut seen) = (Correlations::new(&rules), 0, Vec::new());
        for (index, (server, gap_s)) in steps.iter().enumerate() {
            let found = observe(&mut state, &rules, index, &(*server, 0, 0, *gap_s, 0), &mut clock_us);
            seen.push((clock_us, *server));
            let inside = seen.iter().filter(|(us, _)| clock_us - us <= 100 * SECOND_US);
            let mut stage = 0;
            inside.for_each(|(_, server)| stage += u8::from(*server == stage && stage < 2));
            prop_assert_eq!(!found.is_empty(), *server == 2 && stage == 2, "at {}: {:?}", index, seen);
        }
    }

    #[test]
    fn no_line_of_a_rule_panics(line in line(), condition in condition()) {
        let files = crate::fixture::Files::new();
        files.list("names.txt", "one\ntwo*\n").list("nets.cidr", "10.0.0.0/8\n");
        files.rule("any.yml", &rule(1, &format!("a:\n    {line}"), &condition));
        if let Ok(rules) = files.load() {
            for text in ["", "one", "10.1.2.3:4", "\u{0}\n\u{212a}", "-9223372036854775808"] {
                let json = serde_json::json!({"server": text, "source_ip": text, "scopes": [text], "latency_us": i64::MIN});
                let _any = rules.matches(&event(&json.to_string()));
            }
        }
    }
}

/// Servers of the three stages and another; the first comes more often.
fn stage() -> impl Strategy<Value = u8> {
    prop_oneof![6 => Just(0_u8), 2 => Just(1_u8), 1 => Just(2_u8), 1 => Just(3_u8)]
}

/// A line of a selection: mostly one of real columns and modifiers, of which many load.
fn line() -> impl Strategy<Value = String> {
    let column = prop::sample::select(vec![
        "server",
        "source_ip",
        "scopes",
        "latency_us",
        "time",
        "credential_expired",
    ]);
    let modifiers = [
        "contains",
        "startswith",
        "endswith",
        "all",
        "cased",
        "neq",
        "re",
        "i",
        "m",
        "s",
        "cidr",
        "exists",
        "expand",
        "fieldref",
        "gt",
        "gte",
        "lt",
        "lte",
        "base64",
    ];
    let modifiers = prop::collection::vec(prop::sample::select(modifiers.to_vec()), 0..3);
    let value = prop_oneof![
        prop::sample::select(vec![
            "one",
            "'*'",
            "'%names%'",
            "'%nets%'",
            "10.0.0.0/8",
            "user_id",
            "true",
            "null",
            "0",
            "-1",
            "9223372036854775807",
            "1.5",
            "'(a|b)+$'",
            "'[a'",
            "[one, 'two*']",
            "{gte: 1}",
            "''",
        ])
        .prop_map(str::to_owned),
        ".{0,40}",
    ];
    let real = (column, modifiers, value).prop_map(|(column, modifiers, value)| {
        let modifiers: String = modifiers.iter().map(|modifier| format!("|{modifier}")).collect();
        format!("{column}{modifiers}: {value}")
    });
    prop_oneof![4 => real, 1 => "[a-z_|]{1,30}: .{0,40}"]
}

fn condition() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(vec!["a", "not a", "1 of them", "all of a*"]).prop_map(str::to_owned), 1 => "[a-z0-9 ()*]{1,20}"]
}
