use crate::{files, product, relative};

/// Directory, and crates or modules that no path in it may begin with.
const FORBIDDEN: [(&str, &[&str]); 13] = [
    (
        "schemas/src",
        &["store", "ingest", "detect", "engine", "query", "verify", "redact", "tokio", "std::fs", "std::net"],
    ),
    (
        "ingest/redact/src",
        &["store", "ingest", "detect", "engine", "query", "verify", "tokio", "std::fs", "std::net"],
    ),
    ("ingest/tap/src", &["store", "ingest", "detect", "engine", "query", "verify", "tokio", "std::net"]),
    ("ingest/src", &["detect", "engine", "query", "verify"]),
    ("store/src", &["ingest", "detect", "engine", "query", "verify", "redact"]),
    (
        "store/witness/src",
        &["store", "ingest", "detect", "engine", "query", "verify", "redact", "std::fs", "tokio::fs"],
    ),
    ("store/verify/src", &["store", "ingest", "detect", "engine", "query", "redact", "datafusion", "tokio"]),
    (
        "detect/engine/src",
        &[
            "store",
            "ingest",
            "detect",
            "query",
            "verify",
            "redact",
            "tokio",
            "arrow",
            "std::fs",
            "std::net",
            "std::time",
        ],
    ),
    (
        "detect/fleet/src",
        &[
            "schemas",
            "store",
            "ingest",
            "detect",
            "query",
            "verify",
            "redact",
            "std::fs",
            "std::net",
            "std::time",
        ],
    ),
    ("detect/src", &["ingest", "query", "verify", "redact"]),
    (
        "detect/sigma/src",
        &["store", "ingest", "detect", "engine", "query", "verify", "redact", "tokio", "arrow", "std::time"],
    ),
    ("detect/sinks/src", &["ingest", "detect", "engine", "query", "verify", "redact"]),
    ("query/src", &["ingest", "detect", "engine", "verify"]),
];

/// The text without comments and string literals, character by character of the same kind.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let (mut in_string, mut escaped) = (false, false);
        let mut before = ' ';
        for letter in line.chars() {
            if in_string {
                in_string = escaped || letter != '"';
                escaped = !escaped && letter == '\\';
                continue;
            }
            if letter == '/' && before == '/' {
                out.pop();
                break;
            }
            // A quote as a character begins no string.
            in_string = letter == '"' && before != '\'';
            out.push(letter);
            before = letter;
        }
        out.push('\n');
    }
    out
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether the file itself brings something of that name in, so that a path may begin with it: `mod name`, or a `use` of
/// another path that ends in it.
fn is_local(code: &str, name: &str) -> bool {
    let declares = [format!("mod {name};"), format!("mod {name} {{")];
    let imports = [
        format!("crate::{name};"),
        format!("super::{name};"),
        format!("self::{name};"),
        format!("fn {name}("),
        format!("fn {name}<"),
    ];
    declares.iter().chain(&imports).any(|text| code.contains(text.as_str()))
}

/// Lines in which a path begins with `name`, in a `use` of any kind or in the middle of a line.
fn lines_with(code: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    if is_local(code, name) {
        return found;
    }
    for (at, _) in code.match_indices(name) {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let starts = !before.ends_with("::") && !before.ends_with('.') && !before.ends_with(is_name);
        let is_path = after.starts_with("::");
        let is_module = name.contains("::") && !after.starts_with(is_name);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let is_import = ["use ", "extern crate "].iter().any(|word| line.ends_with(word))
            && (after.starts_with(';') || after.starts_with(" as "));
        if starts && (is_path || is_module || is_import) {
            let rest = after.split('\n').next().unwrap_or_default();
            found.push(format!("{line}{name}{rest}"));
        }
    }
    // `use std::{fs, io}` names the module behind the brace.
    if let Some((krate, module)) = name.split_once("::") {
        for (at, group) in code.match_indices(&format!("{krate}::{{")) {
            let group = code[at + group.len()..].split(';').next().unwrap_or_default();
            if group.split(|letter: char| !is_name(letter)).any(|word| word == module) {
                found.push(format!("{krate}::{{{group}"));
            }
        }
    }
    found
}

#[test]
fn paths_keep_to_the_edges() {
    let mut wrong = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for file in files(&[".rs"]) {
        let name = relative(&file);
        if name.contains("tests") || name.contains("power_cut") {
            continue;
        }
        for (dir, banned) in FORBIDDEN.iter().filter(|(dir, _)| name.starts_with(&format!("{dir}/"))) {
            seen.insert(*dir);
            let code = code(product(&std::fs::read_to_string(&file).unwrap()));
            for krate in *banned {
                wrong.extend(lines_with(&code, krate).iter().map(|line| format!("{name}: {}", line.trim())));
            }
        }
    }
    assert_eq!(seen.len(), FORBIDDEN.len(), "{seen:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_kind_of_path_counts() {
    for line in [
        "use verify::run;",
        "pub use verify::run;",
        "pub(crate) use verify::run;",
        "    use verify;",
        "use verify as checker;",
        "use {\n    store::Log,\n    verify::run,\n};",
        "    let report = verify::run(&options);",
        "fn a(b: verify::Report) {}",
        "extern crate verify;",
    ] {
        assert_eq!(lines_with(&code(line), "verify").len(), 1, "{line}");
    }
    for line in [
        "// verify::run",
        "let text = \"verify::run\";",
        "let a = key.verify(b);",
        "use crate::verify::run;",
        "mod verify;\nuse verify::run;",
        "use super::verify;\nfn a() { verify::run() }",
        "fn unverify() { un_verify::run() }",
    ] {
        assert!(lines_with(&code(line), "verify").is_empty(), "{line}");
    }
    for line in ["use std::fs;", "std::fs::read(x)", "use std::{fs, io};", "use std::{io, fs::File};"] {
        assert!(!lines_with(&code(line), "std::fs").is_empty(), "{line}");
    }
    assert!(lines_with("use std::{fmt, io};\nuse std::fsx;\n", "std::fs").is_empty());
}
