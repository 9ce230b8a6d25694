//! Mapping files: what is wrong is named with its line, and every conversion does what its name says.

use super::plan::{address, duration, scaled};
use super::*;
use schemas::limits::JSON_DEPTH_MAX;

fn bad(text: &str) -> (usize, String) {
    match Mappings::with(&[("mine.toml".to_string(), text.to_string())]) {
        Err(Error::BadMapping { file, line, reason }) => {
            assert_eq!(file, "mine.toml");
            (line, reason)
        }
        other => panic!("{text}: {other:?}"),
    }
}

/// A mapping with these lines from line 5 on, in its columns.
fn columns(lines: &str) -> String {
    format!("[[mapping]]\nname = \"mine/1\"\nwhen = {{ \"/a\" = true }}\n[mapping.columns]\n{lines}\n")
}

#[test]
fn mistakes_are_named_with_their_line() {
    let time = "time = \"/t\"\n";
    for (text, line, said) in [
        ("x = 1".to_string(), 1, "[[mapping]]"),
        (String::new(), 1, "no [[mapping]]"),
        ("[mapping]\n".to_string(), 1, "two brackets"),
        ("[[mapping]]\nname = ".to_string(), 2, ""),
        ("[[mapping]]\n\ncolour = 1".to_string(), 3, "\"colour\" is not known here"),
        ("[[mapping]]\nname = \"Mine\"".to_string(), 2, "\"my-gateway/1\""),
        ("[[mapping]]\nname = \"canonical/2\"".to_string(), 2, "are taken"),
        ("[[mapping]]\nname = \"mine/1\"".to_string(), 1, "lacks when"),
        (
            "[[mapping]]\nname = \"mine/1\"\nwhen = { \"/a\" = false }".to_string(),
            3,
            "something that is there",
        ),
        ("[[mapping]]\nname = \"mine/1\"\nwhen = { a = true }".to_string(), 3, "JSON pointer"),
        ("[[mapping]]\nname = \"mine/1\"\nwhen = { \"/a\" = true }".to_string(), 1, "lacks a table columns"),
        (columns("user_id = \"/u\""), 1, "lacks the column time"),
        (columns(&format!("{time}colour = \"/c\"")), 6, "there is no column colour; there are: event_id, "),
        (columns(&format!("{time}tenant = \"/c\"")), 6, "the recorder's own"),
        (columns(&format!("{time}status = \"fine\"")), 6, "is none of ok, error"),
        (columns(&format!("{time}latency_us = \"fast\"")), 6, "no whole number"),
        (
            columns(&format!("{time}latency_us = {{ from = \"/l\", as = \"days\" }}")),
            6,
            "there is no conversion",
        ),
        (columns(&format!("{time}user_id = {{ from = \"/l\", as = \"ms\" }}")), 6, "this column holds"),
        (columns(&format!("{time}user_id = {{ from = \"/l\", value = \"x\" }}")), 6, "one of from, join"),
        (columns(&format!("{time}user_id = {{ as = \"plain\" }}")), 6, "one of from, join"),
        (columns(&format!("{time}user_id = {{ from = \"/l\", split = \".\" }}")), 6, "belong together"),
        (
            columns(&format!("{time}user_id = {{ from = \"/l\", split = \".\", part = -1 }}")),
            6,
            "counts from 0",
        ),
        (columns(&format!("{time}user_id = {{ arrival = true }}")), 6, "only the column time"),
        (columns(&format!("{time}user_id = {{ between = [\"/a\", \"/b\"] }}")), 6, "gives a duration"),
        (columns(&format!("{time}latency_us = {{ between = [\"/a\"] }}")), 6, "two paths"),
        (
            columns(&format!("{time}status = {{ from = \"/s\", words = {{ good = \"fine\" }} }}")),
            6,
            "is none of ok",
        ),
        (
            columns(&format!("{time}status = {{ value = \"ok\", when = {{ \"/s\" = {{ least = 1 }} }} }}")),
            6,
            "min, max",
        ),
        (
            columns(&format!(
                "{time}status = {{ from = \"/s\", words = {{ bad = \"error\", \"*\" = \"ok\" }} }}"
            )),
            6,
            "whatever nobody has seen yet",
        ),
        (
            columns(&format!("{time}user_id = \"{}\"", "/u".repeat(JSON_DEPTH_MAX + 1))),
            6,
            "at most 64 keys, this one has 65",
        ),
        (
            columns(&format!("{time}user_id = \"/a#{}\"", "/u".repeat(JSON_DEPTH_MAX + 1))),
            6,
            "at most 64 keys",
        ),
        (columns(time) + &columns(time), 1, "is there twice"),
        (format!("#{}\n", "x".repeat(schemas::limits::MAPPING_FILE_BYTES_MAX)), 1, "split it"),
    ] {
        let (found, reason) = bad(&text);
        assert!(
            found == line && reason.contains(said),
            "line {found}, not {line}: {reason:?}, not {said:?}\n{text}"
        );
    }
    let many: String = (0..=MAPPINGS_MAX)
        .map(|at| format!("[[mapping]]\nname=\"m{at}/1\"\nwhen={{\"/a\"=true}}\ncolumns={{time=\"/t\"}}\n"))
        .collect();
    assert!(bad(&many).1.contains("more than"));
}

#[test]
fn paths_go_as_deep_as_records_and_words_may_leave_open_what_is_not_known() {
    let file = columns(&format!(
        "time = \"/t\"\nuser_id = \"{}\"\nstatus = {{ from = \"/s\", words = {{ \"*\" = \"unknown\" }} }}",
        "/u".repeat(JSON_DEPTH_MAX)
    ));
    assert!(Mappings::with(&[("mine.toml".to_string(), file)]).is_ok());
}

#[test]
fn names_are_found_with_or_without_version() {
    let mappings = Mappings::built_in();
    assert_eq!(mappings.find("simple").unwrap(), Mapping::Simple);
    assert_eq!(mappings.find("canonical/1").unwrap(), Mapping::Canonical);
    assert_eq!(mappings.name(mappings.find("kuadrant").unwrap()), "kuadrant/1");
    for unknown in ["canonical/2", "", "kuadrant/9"] {
        assert!(
            mappings.find(unknown).unwrap_err().to_string().contains("known are canonical/1, simple/1, ")
        );
    }
}

#[test]
fn numbers_and_durations_are_scaled() {
    for (text, us) in [
        ("10ms", 10_000),
        ("1.5s", 1_500_000),
        ("1m2.5s", 62_500_000),
        ("250µs", 250),
        ("999ns", 0),
        ("2h", 7_200_000_000),
    ] {
        assert_eq!(duration(text, 1_000), Some(us), "{text}");
    }
    for text in ["", "10", "ms", "10 ms", "1.2.3s", "10days", "-1s"] {
        assert_eq!(duration(text, 1_000), None, "{text}");
    }
    assert_eq!(scaled("1795203651724414156", 1, 1_000), Some(1_795_203_651_724_414));
    assert_eq!(scaled("12.5", 1_000_000, 1_000), Some(12_500));
    assert_eq!(scaled("9223372036854775807", 1_000_000, 1_000), None);
    assert_eq!(scaled("18446744073709551615", 1, 1_000), Some(18_446_744_073_709_551));
    assert_eq!(scaled(&i128::MAX.to_string(), 1_000_000, 1), None);
    assert_eq!(scaled("1e400", 1, 1), None);
}

#[test]
fn an_address_loses_its_port() {
    for (text, found) in
        [("127.0.0.1:80", "127.0.0.1"), ("[::1]:80", "::1"), ("::1", "::1"), ("host", "host"), ("a:b", "a:b")]
    {
        assert_eq!(address(text), found);
    }
}
