//! What a line of a rule means.

use crate::fixture::{event, matches, rule, set};

#[test]
fn texts_are_compared_without_case_unless_cased() {
    assert!(matches("a:\n    server: CRM", r#"{"server":"crm"}"#));
    assert!(matches("a:\n    server: 'Zürich'", r#"{"server":"ZÜRICH"}"#));
    assert!(!matches("a:\n    server|cased: CRM", r#"{"server":"crm"}"#));
    assert!(matches("a:\n    server|cased|endswith: RM", r#"{"server":"CRM"}"#));
    assert!(!matches("a:\n    server|cased|endswith: RM", r#"{"server":"crm"}"#));
    assert!(!matches("a:\n    server: crm", r#"{"server":"crm2"}"#));
    assert!(!matches("a:\n    server: crm", r#"{"kind":"call"}"#));
}

#[test]
fn parts_of_texts_and_wildcards() {
    for (line, yes, no) in [
        ("target|contains: 'B/c'", "/a/b/c/d", "/a/bc"),
        ("target|startswith: /A", "/a/b", "x/a"),
        ("target|endswith: .Env", "/x/.env", ".env.bak"),
        ("target: '/a/*/c'", "/a/b/c", "/a/b/c/d"),
        ("target: 'a?c'", "abc", "abbc"),
        (r"target: 'a\*c'", "a*c", "abc"),
        ("target|contains|all:\n        - ab\n        - cd", "cd-ab", "ab"),
        ("target|contains:\n        - ab\n        - cd", "xcdx", "acbd"),
        ("target|neq: abc", "abd", "ABC"),
        ("target|re: '^a[0-9]+$'", "a12", "A12"),
        ("target|re|i: '^a[0-9]+$'", "A12", "b12"),
        ("target: ''", "", "x"),
        ("target: 17", "17", "170"),
        ("target: true", "TRUE", "false"),
        (r"target: 'c:\dir\file'", r"c:\DIR\file", r"c:dirfile"),
    ] {
        let selection = format!("a:\n    {line}");
        let json = |text: &str| serde_json::json!({ "target": text }).to_string();
        assert!(matches(&selection, &json(yes)), "{line}: {yes}");
        assert!(!matches(&selection, &json(no)), "{line}: {no}");
    }
}

#[test]
fn a_line_break_hides_nothing() {
    let text = serde_json::json!({ "target": "first\nthen /etc/shadow\nlast" }).to_string();
    for line in ["target: '*/etc/shadow*'", "target|contains: 'then?/etc'", "target|contains: 'first*last'"] {
        assert!(matches(&format!("a:\n    {line}"), &text), "{line}");
    }
}

#[test]
fn numbers_are_exact_and_bounds_hold_at_the_ends() {
    let near = i64::MAX - 1;
    assert!(matches(&format!("a:\n    latency_us: {near}"), &format!(r#"{{"latency_us":{near}}}"#)));
    assert!(!matches(&format!("a:\n    latency_us: {near}"), &format!(r#"{{"latency_us":{}}}"#, i64::MAX)));
    for (modifier, bound, yes, no) in [
        ("gt", 5, 6, 5),
        ("gte", 5, 5, 4),
        ("lt", 5, 4, 5),
        ("lte", 5, 5, 6),
        ("gte", i64::MIN, i64::MIN, i64::MAX),
        ("lte", i64::MAX, i64::MAX, i64::MIN),
    ] {
        let selection = format!("a:\n    latency_us|{modifier}: {bound}");
        assert!(matches(&selection, &format!(r#"{{"latency_us":{yes}}}"#)), "{modifier} {bound}");
        if bound != i64::MIN && bound != i64::MAX {
            assert!(!matches(&selection, &format!(r#"{{"latency_us":{no}}}"#)), "{modifier} {bound}");
        }
    }
    assert!(!matches(
        &format!("a:\n    latency_us|gt: {}", i64::MAX),
        &format!(r#"{{"latency_us":{}}}"#, i64::MAX)
    ));
    assert!(!matches("a:\n    latency_us|gte: 0", "{}"));
    assert!(matches("a:\n    time|gte: 5", r#"{"time":"1970-01-01T00:00:00.000005Z"}"#));
}

#[test]
fn absence_is_null_and_differs_from_every_value() {
    for json in ["{}", r#"{"user_id":null}"#] {
        assert!(matches("a:\n    user_id: null", json));
        assert!(matches("a:\n    user_id|exists: false", json));
        assert!(!matches("a:\n    user_id|exists: true", json));
        assert!(matches("a:\n    user_id|neq: root", json));
        assert!(!matches("a:\n    user_id: '*'", json));
        assert!(!matches("a:\n    approver|fieldref: user_id", json));
    }
    assert!(matches("a:\n    scopes: null", r#"{"scopes":[]}"#));
    assert!(matches("a:\n    user_id:\n        - null\n        - root", r#"{"user_id":"root"}"#));
}

#[test]
fn one_item_of_a_list_is_enough_and_all_need_each() {
    let json = r#"{"scopes":["crm:read","Mail:Write"]}"#;
    assert!(matches("a:\n    scopes: mail:write", json));
    assert!(matches("a:\n    scopes|contains|all:\n        - crm\n        - mail", json));
    assert!(!matches("a:\n    scopes|contains|all:\n        - crm\n        - admin", json));
    assert!(!matches("a:\n    scopes|neq: mail:write", json));
}

#[test]
fn columns_are_compared_with_each_other() {
    assert!(matches("a:\n    approver|fieldref: user_id", r#"{"approver":"Ann","user_id":"ann"}"#));
    assert!(!matches("a:\n    approver|cased|fieldref: user_id", r#"{"approver":"Ann","user_id":"ann"}"#));
    assert!(matches(
        "a:\n    request_bytes|fieldref: response_bytes",
        r#"{"request_bytes":7,"response_bytes":7}"#
    ));
    assert!(matches("a:\n    approver|neq|fieldref: user_id", r#"{"approver":"bob","user_id":"ann"}"#));
}

#[test]
fn networks_hold_whatever_spelling() {
    let lines = "a:\n    source_ip|cidr:\n        - 10.0.0.0/8\n        - 2001:db8::/32";
    for (address, inside) in [
        ("10.9.8.7", true),
        ("::ffff:10.9.8.7", true),
        ("10.9.8.7:443", true),
        ("2001:db8::1", true),
        ("11.0.0.1", false),
        ("10.9.8", false),
        ("", false),
    ] {
        assert_eq!(
            matches(lines, &serde_json::json!({ "source_ip": address }).to_string()),
            inside,
            "{address}"
        );
    }
}

#[test]
fn conditions_join_selections() {
    let selections = "one:\n    server: a\none_more:\n    capability: b\ntwo:\n    kind: call";
    for (condition, json, expected) in [
        ("one and one_more and two", r#"{"server":"a","capability":"b","kind":"call"}"#, true),
        ("one and one_more and not two", r#"{"server":"a","capability":"b","kind":"call"}"#, false),
        ("1 of one* and two", r#"{"capability":"b","kind":"call"}"#, true),
        ("all of one* and two", r#"{"capability":"b","kind":"call"}"#, false),
        ("2 of them", r#"{"capability":"b","kind":"call"}"#, true),
        ("2 of them", r#"{"kind":"call"}"#, false),
        ("one or (one_more and two)", r#"{"kind":"call"}"#, false),
        ("not 1 of one* and two", r#"{"kind":"call"}"#, true),
    ] {
        let rules = set(&[rule(1, selections, condition)]);
        assert_eq!(!rules.matches(&event(json)).is_empty(), expected, "{condition}: {json}");
    }
}

#[test]
fn rules_of_every_kind_of_event_are_asked() {
    // An index by kind must change no verdict.
    let rules = set(&[
        rule(1, "a:\n    kind: Call", "a"),
        rule(2, "a:\n    kind:\n        - call\n        - auth\n    server: x", "a"),
        rule(3, "a:\n    kind: call\nb:\n    server: x", "a or b"),
        rule(4, "a:\n    kind: call", "not a"),
        rule(5, "a:\n    kind|startswith: ca", "a"),
        rule(6, "a:\n    kind: call\nb:\n    kind: auth", "a and not b"),
    ]);
    let names = |json: &str| -> Vec<String> {
        rules.matches(&event(json)).iter().map(|rule| rule.name.clone().unwrap()).collect()
    };
    assert_eq!(names(r#"{"kind":"call"}"#), ["rule_1", "rule_3", "rule_5", "rule_6"]);
    assert_eq!(names(r#"{"kind":"CALL","server":"x"}"#), ["rule_1", "rule_2", "rule_3", "rule_5", "rule_6"]);
    assert_eq!(names(r#"{"kind":"auth","server":"x"}"#), ["rule_2", "rule_3", "rule_4"]);
    assert_eq!(names(r#"{"kind":"list","server":"x"}"#), ["rule_3", "rule_4"]);
    assert_eq!(names(r#"{"server":"x"}"#), ["rule_3", "rule_4"]);
}
