use std::collections::BTreeMap;

use crate::{product, root};

/// Statuses by their name in the code.
const STATUSES: [(&str, u16); 12] = [
    ("BAD_REQUEST", 400),
    ("UNAUTHORIZED", 401),
    ("FORBIDDEN", 403),
    ("NOT_FOUND", 404),
    ("REQUEST_TIMEOUT", 408),
    ("PAYLOAD_TOO_LARGE", 413),
    ("UNSUPPORTED_MEDIA_TYPE", 415),
    ("UNPROCESSABLE_ENTITY", 422),
    ("TOO_MANY_REQUESTS", 429),
    ("INTERNAL_SERVER_ERROR", 500),
    ("SERVICE_UNAVAILABLE", 503),
    ("OK", 200),
];

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The rows of the table under a heading: the cells of each, without the head.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let section = text.split(&format!("\n## {heading}\n")).nth(1).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect()).collect()
}

fn unquoted(cell: &str) -> String {
    cell.trim_matches('`').to_string()
}

/// String literals made of lower-case letters, digits and underscores, with where they stand.
fn codes(text: &str) -> Vec<(usize, String)> {
    let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
    let literals = quotes.chunks_exact(2).map(|pair| (pair[0], &text[pair[0] + 1..pair[1]]));
    literals
        .filter(|(_, literal)| {
            !literal.is_empty()
                && literal
                    .chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        })
        .map(|(at, literal)| (at, literal.to_string()))
        .collect()
}

/// Code to status, as the one place says where an error becomes a status.
fn answers() -> BTreeMap<String, u16> {
    let text = read("ingest/src/http/answer.rs");
    let text = product(&text);
    let mut found = BTreeMap::new();
    for (at, code) in codes(text) {
        // `ok` is what a good request is counted under.
        if code == "ok" {
            continue;
        }
        let before = text[..at].rfind("StatusCode::").max(text[..at].rfind("unavailable("));
        let named = |from: usize| {
            let rest = text[from..].strip_prefix("StatusCode::").unwrap_or("SERVICE_UNAVAILABLE");
            let name = rest.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_').next();
            STATUSES.iter().find(|(status, _)| Some(*status) == name).map(|(_, status)| *status)
        };
        // The answer to a body without a usable value names its code first and its status after.
        let from = before.or_else(|| text[at..].find("StatusCode::").map(|more| at + more)).unwrap();
        let status = named(from).unwrap_or_else(|| panic!("{code}: {:?}", &text[from..from + 40]));
        if let Some(other) = found.insert(code.clone(), status) {
            assert_eq!(other, status, "{code} has two statuses");
        }
    }
    found
}

#[test]
fn the_table_of_ingest_errors_names_exactly_the_codes_of_the_code() {
    let document = read("docs/ingest-errors.md");
    let documented: BTreeMap<String, u16> = table(&document, "Whole requests")
        .into_iter()
        .map(|row| {
            assert!(row.len() == 3 && row[2].len() > 20, "{row:?}: code, status, meaning");
            (unquoted(&row[0]), row[1].parse().unwrap())
        })
        .collect();
    assert_eq!(documented, answers(), "whole requests");

    let rejected = read("ingest/src/rejected.rs");
    let mut in_code: Vec<String> = codes(product(&rejected)).into_iter().map(|(_, code)| code).collect();
    in_code.sort();
    let mut documented: Vec<String> = table(&document, "Single values")
        .into_iter()
        .map(|row| {
            assert!(row.len() == 2 && row[1].len() > 20, "{row:?}: code, meaning");
            unquoted(&row[0])
        })
        .collect();
    documented.sort();
    assert_eq!(documented, in_code, "single values");
    assert!(in_code.len() > 10 && answers().len() > 15);
}

#[test]
fn the_tables_of_faults_name_tests_that_exist() {
    let document = read("docs/ingest-faults.md");
    let mut named = 0;
    for row in [table(&document, "Faults"), table(&document, "Input and limits")].concat() {
        assert_eq!(row.len(), 3, "{row:?}: fault, test, notes");
        let is_elsewhere = row[1] == "none" || row[1].contains(".rs`");
        let tests: Vec<&str> = row[1].split('`').filter(|part| part.contains("::")).collect();
        assert!(is_elsewhere || !tests.is_empty(), "{row:?} names no test");
        assert!(!is_elsewhere || row[2].len() > 40, "{row:?} does not say why");
        for test in tests {
            let (suite, name) = test.split_once("::").unwrap();
            let suite = read(&format!("tests/suites/{suite}.rs"));
            assert!(suite.contains(&format!("#[test]\nfn {name}() {{")), "{test} is nowhere");
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
}
