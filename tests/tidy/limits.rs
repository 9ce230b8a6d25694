use std::collections::BTreeSet;

use crate::{files, product, relative};

/// Numbers that look like limits and are none, or that are owed to the limits file. One a line: file, name, why.
const ELSEWHERE: &str = include_str!("limits.txt");
/// What counts, exactly. A constant of a number or a `Duration` (always, whatever its name), over one line or several, public or
/// not, in a module or a function, with a number written in its value, whose name ends in one of these,
const ENDINGS: [&str; 9] =
    ["_BYTES", "_ROWS", "_US", "_MS", "_S", "_PASSES", "_TIMEOUT", "_INTERVAL", "_PATIENCE"];
/// or has one of these among its words;
const WORDS: [&str; 6] = ["MAX", "MIN", "LIMIT", "TIMEOUT", "LONGEST", "MOST"];
/// and a field whose name ends so where it is set to a number or to `Duration::from_…`. What does not count: numbers in the midst of
/// expressions and arguments, and constants of other names.
const FIELDS: [&str; 4] = ["_max: ", "_min: ", "_timeout: ", "_limit: "];

/// Whether the expression holds a number of its own. `limits::X` and sizes of other constants do not.
fn has_number(value: &str) -> bool {
    let words = value.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    let is_number = |word: &str| word.starts_with(|letter: char| letter.is_ascii_digit());
    !value.contains("limits::") && words.into_iter().any(is_number)
}

fn is_number_type(kind: &str) -> bool {
    let numbers = ["usize", "u64", "u32", "u16", "u8", "i64", "i32", "i16", "f64", "f32", "Duration"];
    numbers.contains(&kind.trim().rsplit("::").next().unwrap_or_default())
}

/// The limits in a source, by name: constants over one line or several, in items or functions, and numbers given to a
/// field.
fn limits(text: &str) -> Vec<String> {
    let text: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let text = text.join("\n");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("const ") {
        let is_item = text[..at].rsplit('\n').next().is_some_and(|before| {
            let before = before.trim();
            before.is_empty() || before == "pub" || before.starts_with("pub(")
        });
        let item = text[at + "const ".len()..].split(';').next().unwrap_or_default();
        let Some((head, value)) = item.split_once('=').filter(|_| is_item) else { continue };
        let Some((name, kind)) = head.split_once(':') else { continue };
        let is_named = ENDINGS.iter().any(|ending| name.ends_with(ending))
            || name.split('_').any(|word| WORDS.contains(&word))
            || kind.contains("Duration");
        if is_named && is_number_type(kind) && has_number(value) {
            found.push(name.to_string());
        }
    }
    for line in text.lines() {
        for field in FIELDS {
            let Some((before, value)) = line.split_once(field) else { continue };
            let name = before.rsplit(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next();
            let is_value = value.starts_with(|letter: char| letter.is_ascii_digit())
                || value.starts_with("Duration::from_");
            if is_value && has_number(value) {
                found.push(format!("{}{}", name.unwrap_or_default(), field.trim_end_matches(": ")));
            }
        }
    }
    found
}

#[test]
fn every_limit_is_in_the_limits_file() {
    let known: BTreeSet<(&str, &str)> = ELSEWHERE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let entry = (words.next().unwrap(), words.next().unwrap());
            assert!(words.next().is_some_and(|why| !why.is_empty()), "{line}: say why");
            entry
        })
        .collect();
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for file in files(&[".rs"]) {
        let name = relative(&file);
        let is_product = name.contains("src/") && !name.contains("test") && !name.starts_with("benches/");
        if !is_product || name.starts_with("schemas/src/limits") || name.contains("power_cut") {
            continue;
        }
        for limit in limits(product(&std::fs::read_to_string(&file).unwrap())) {
            match known.iter().find(|entry| **entry == (name.as_str(), limit.as_str())) {
                Some(entry) => drop(seen.insert(*entry)),
                None => wrong.push(format!("{name} {limit}")),
            }
        }
    }
    assert!(wrong.is_empty(), "move these to a file under schemas/src/limits/: {wrong:#?}");
    let gone: Vec<_> = known.difference(&seen).collect();
    assert!(gone.is_empty(), "listed in tests/tidy/limits.txt and nowhere else: {gone:#?}");
}

#[test]
fn every_spelling_of_a_limit_counts() {
    for (text, name) in [
        ("const ROWS_MAX: usize = 7;", "ROWS_MAX"),
        ("pub const MAX_ROWS: u64 = 7;", "MAX_ROWS"),
        ("    pub(crate) const ROWS_MAX:\n        usize =\n    7 << 10;", "ROWS_MAX"),
        ("const STACK_BYTES: usize = 32 << 20;", "STACK_BYTES"),
        ("const SKEW_US: i64 = 300 * 1_000_000;", "SKEW_US"),
        ("const DRAIN: Duration = Duration::from_secs(30);", "DRAIN"),
        ("const DRAIN: std::time::Duration = std::time::Duration::from_secs(30);", "DRAIN"),
        ("    body_timeout: Duration::from_secs(300),", "body_timeout"),
        ("    inline_bytes_max: 64 << 10,", "inline_bytes_max"),
    ] {
        assert_eq!(limits(text), [name], "{text}");
    }
    for text in [
        "const ROWS_MAX: usize = schemas::limits::ROWS_MAX;",
        "const ROWS_MAX: usize = limits::ROWS_MAX / 2;",
        "const BOTH_BYTES: usize = A_BYTES + B_BYTES;",
        "// const ROWS_MAX: usize = 7;",
        "const VERSION: u32 = 1;",
        "    body_bytes_max: limits::BODY_BYTES_MAX,",
        "    pub body_bytes_max: usize,",
        "fn array<const BYTES_MAX: usize>() {}",
    ] {
        assert!(limits(text).is_empty(), "{text}");
    }
}
