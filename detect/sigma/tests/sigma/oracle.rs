//! The evaluator against another's: rsigma-eval must give the same verdict, but for what is named here.

use proptest::prelude::*;
use rsigma_eval::{JsonEvent, compile_rule, evaluate_rule};

use crate::fixture::{event, rule, set};

/// What rsigma-eval says of a rule and an event.
fn other(text: &str, json: &str) -> bool {
    let collection = rsigma_parser::parse_sigma_yaml(text).unwrap();
    let rule = compile_rule(&collection.rules[0]).unwrap();
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    evaluate_rule(&rule, &JsonEvent::borrow(&value)).is_some()
}

fn both(text: &str, json: &str) -> (bool, bool) {
    let rules = set(&[text.to_owned()]);
    (!rules.matches(&event(json)).is_empty(), other(text, json))
}

fn line() -> impl Strategy<Value = String> {
    let text = "[abAB*?.]{1,4}";
    let column = prop_oneof![Just("server"), Just("target"), Just("scopes")];
    let modifier = prop_oneof![Just(""), Just("|contains"), Just("|cased")];
    // With wildcards these differ; see below.
    let edge = prop_oneof![Just("startswith"), Just("endswith")];
    prop_oneof![
        4 => (column.clone(), modifier, text)
            .prop_map(|(column, modifier, text)| format!("{column}{modifier}: '{text}'")),
        2 => (column.clone(), edge, "[abAB.]{1,4}").prop_map(|(column, edge, text)| format!("{column}|{edge}: '{text}'")),
        1 => (column.clone(), text, text).prop_map(|(column, one, two)| format!("{column}|contains|all: ['{one}', '{two}']")),
        1 => (column.clone(), text, text).prop_map(|(column, one, two)| format!("{column}: ['{one}', '{two}']")),
        1 => (column, "[ab.]{1,3}").prop_map(|(column, pattern)| format!("{column}|re: '{pattern}'")),
        1 => (prop_oneof![Just("gt"), Just("gte"), Just("lt"), Just("lte")], -3..4_i64)
            .prop_map(|(modifier, number)| format!("latency_us|{modifier}: {number}")),
        1 => (-3..4_i64).prop_map(|number| format!("latency_us: {number}")),
        1 => any::<bool>().prop_map(|expected| format!("server|exists: {expected}")),
        1 => Just("server: null".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn verdicts_are_those_of_another(
        lines in prop::collection::vec(line(), 1..4),
        condition in prop_oneof![Just("s0"), Just("not s0"), Just("1 of s*"), Just("all of them")],
        server in prop::option::of("[abAB.]{0,4}"),
        target in prop::option::of("[abAB.]{0,4}"),
        scopes in prop::option::of(prop::collection::vec("[abAB.]{0,3}", 1..3)),
        latency in prop::option::of(-3..4_i64),
    ) {
        let selections: Vec<String> = lines.iter().enumerate().map(|(at, line)| format!("s{at}:\n    {line}")).collect();
        let selections = if condition.contains("s0") { selections[0].clone() } else { selections.join("\n") };
        let text = rule(1, &selections, condition);
        let mut json = serde_json::Map::new();
        for (name, value) in [("server", server), ("target", target)] {
            if let Some(value) = value { json.insert(name.to_owned(), value.into()); }
        }
        if let Some(scopes) = scopes { json.insert("scopes".to_owned(), scopes.into()); }
        if let Some(latency) = latency { json.insert("latency_us".to_owned(), latency.into()); }
        let json = serde_json::Value::Object(json).to_string();
        let (ours, theirs) = both(&text, &json);
        prop_assert_eq!(ours, theirs, "{}\n{}", text, json);
    }
}

/// Where we differ, on purpose. Should one of these fail, rsigma-eval has changed, and `docs/decisions/0028-sigma.md` with it.
#[test]
fn the_differences_are_these() {
    let line = |line: &str| rule(1, &format!("a:\n    {line}"), "a");
    let hidden = serde_json::json!({ "target": "x\n/etc/shadow" }).to_string();
    assert_eq!(both(&line("target: '*/etc/shadow'"), &hidden), (true, false), "a line break");
    let inside = r#"{"server":"xab"}"#;
    assert_eq!(
        both(&line("server|startswith: 'a?'"), inside),
        (false, true),
        "a wildcard at the start of a text"
    );
    let mapped = r#"{"source_ip":"::ffff:10.1.2.3"}"#;
    assert_eq!(both(&line("source_ip|cidr: 10.0.0.0/8"), mapped), (true, false), "IPv4 in IPv6");
    let near = r#"{"latency_us":9007199254740993}"#;
    assert_eq!(both(&line("latency_us: 9007199254740992"), near), (false, true), "numbers past 2^53");
    assert_eq!(
        both(&line("server|neq: root"), r#"{"kind":"call"}"#),
        (true, false),
        "what is absent is not root"
    );
}
