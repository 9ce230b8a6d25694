//! The rules of the house that a machine can check, as one fast test: dependency edges, second copies of crates that
//! must be one, leftovers, file sizes, limits outside the limits file, words that do not belong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

mod tidy {
    /// Tables in documents name exactly what the code has.
    mod documents;
    /// Paths in sources keep to the edges.
    mod edges;
    /// Limits are in the limits file.
    mod limits;
}

/// Arrows run down, and these are all: package, and what of ours it may depend on.
const EDGES: [(&str, &[&str]); 16] = [
    (
        "tachograph",
        &[
            "tachograph-schemas",
            "tachograph-redact",
            "tachograph-store",
            "tacho-verify",
            "tachograph-witness",
            "tachograph-ingest",
            "tachograph-tap",
            "tachograph-engine",
            "tachograph-sigma",
            "tachograph-detect",
            "tachograph-sinks",
            "tachograph-query",
            "tachograph-corpus",
        ],
    ),
    ("tachograph-ingest", &["tachograph-schemas", "tachograph-store", "tachograph-redact"]),
    ("tachograph-query", &["tachograph-schemas", "tachograph-store", "tachograph-redact"]),
    (
        "tachograph-detect",
        &["tachograph-schemas", "tachograph-store", "tachograph-engine", "tachograph-sigma"],
    ),
    ("tachograph-sinks", &["tachograph-schemas", "tachograph-store"]),
    ("tachograph-engine", &["tachograph-schemas", "tachograph-sigma"]),
    ("tachograph-sigma", &["tachograph-schemas"]),
    ("tachograph-fleet", &["tachograph-engine"]),
    ("tachograph-store", &["tachograph-schemas"]),
    ("tacho-verify", &["tachograph-schemas"]),
    ("tachograph-witness", &["tachograph-schemas"]),
    ("tachograph-redact", &["tachograph-schemas"]),
    ("tachograph-tap", &["tachograph-schemas", "tachograph-redact"]),
    ("tachograph-schemas", &[]),
    ("tachograph-corpus", &[]),
    (
        "tachograph-detection",
        &["tachograph-engine", "tachograph-fleet", "tachograph-ingest", "tachograph-redact"],
    ),
];

/// What an auditor's program must not contain, whoever brings it.
const NOT_IN_VERIFY: [&str; 4] = ["datafusion", "tokio", "tachograph-store", "object_store"];
/// Crates of which a second copy would not fit the first.
const ONCE: [&str; 7] = ["arrow", "parquet", "datafusion", "object_store", "tonic", "axum", "rustls"];
/// Lines of a source file from which it must be in the ratchet.
const LINES_MAX: usize = 500;
/// Files that were longer when the rule came, with the length they may not pass. Shorten one: lower its number.
const RATCHET: &str = include_str!("tidy-ratchet.txt");
/// Top-level names.
const TOP: [&str; 26] = [
    ".ci",
    ".git",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "clippy.toml",
    "deploy",
    "detect",
    "docs",
    "ingest",
    "query",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "schemas",
    "src",
    "store",
    "tests",
    "NOTICE",
    "target",
    "tacho-data",
    "tacho-data-keys",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files that git would take, by ending.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(
                    name.as_str(),
                    ".git" | "target" | "tacho-data" | "tacho-data-keys" | "__pycache__"
                ) {
                    dirs.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// What of a source is part of the product: all but a `mod tests { … }` at its very foot. Nothing else that is marked
/// `#[cfg(test)]` hides what follows it.
fn product(text: &str) -> &str {
    let Some(at) = text.rfind("\n#[cfg(test)]\nmod tests {\n") else { return text };
    // The first line that closes something at the margin closes the module; at the foot it is the last line.
    let inside = &text[at..];
    let end = inside.find("\n}\n").map_or(inside.len(), |end| end + "\n}\n".len());
    if inside[end..].trim().is_empty() { &text[..at + 1] } else { text }
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn dependencies_run_down_and_come_once() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        if package["source"].is_null() {
            let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
                wrong.push(format!("package {name} is not in the list of edges"));
                continue;
            };
            seen.insert(name);
            for dependency in package["dependencies"].as_array().unwrap() {
                let to = dependency["name"].as_str().unwrap();
                let is_dev = dependency["kind"].as_str() == Some("dev");
                if ours.contains(to) && !allowed.contains(&to) && !is_dev {
                    wrong.push(format!("{name} -> {to}"));
                }
            }
        }
    }
    assert_eq!(seen, ours, "packages");
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions
            .entry(package["name"].as_str().unwrap())
            .or_default()
            .insert(package["version"].as_str().unwrap());
    }
    for name in ONCE {
        if let Some(found) = versions.get(name)
            && found.len() > 1
        {
            wrong.push(format!("{name} comes in {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_verifier_contains_no_server_and_no_writer() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "tacho-verify", "--edges", "normal", "--prefix", "none", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for line in text.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        assert!(!NOT_IN_VERIFY.contains(&name), "tacho-verify contains {line}");
    }
}

#[test]
fn nothing_is_left_unfinished_or_out_of_place() {
    // Split so that this file does not find itself.
    let banned = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("#[ign", "ore"),
    ];
    let mut wrong = Vec::new();
    for file in files(&[".rs", ".py", ".sh", "run"]) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (at, line) in text.lines().enumerate() {
            if let Some(found) = banned.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{}:{}: {found}", relative(&file), at + 1));
            }
        }
    }
    let machine_paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/fa", "rm/")];
    for file in files(&[".rs", ".py", ".md", ".toml", ".sh", ".json", "run"]) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (at, line) in text.lines().enumerate() {
            // At the start of a path, not inside one: a log's directory may be called so.
            let starts_here = |path: &str| {
                line.match_indices(path).any(|(at, _)| {
                    line.get(..at)
                        .and_then(|before| before.chars().next_back())
                        .is_none_or(|c| " \"'(=:`".contains(c))
                })
            };
            if ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark)) {
                wrong.push(format!("{}:{}: a mark of a merge", relative(&file), at + 1));
            }
            if let Some(found) = machine_paths.iter().find(|path| starts_here(path)) {
                wrong.push(format!("{}:{}: a path of one machine: {found}", relative(&file), at + 1));
            }
        }
    }
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !TOP.contains(&name.as_str()) {
            wrong.push(format!("{name} at the top level"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_do_not_grow_past_their_ratchet() {
    let ratchet: BTreeMap<&str, usize> = RATCHET
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').map(|(lines, file)| (file, lines.parse().unwrap())).unwrap())
        .collect();
    let mut wrong = Vec::new();
    for file in files(&[".rs", ".py"]) {
        let name = relative(&file);
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        let max = ratchet.get(name.as_str()).copied().unwrap_or(LINES_MAX);
        if lines > max {
            wrong.push(format!("{name} has {lines} lines, at most {max}: ask what second thing lives there"));
        }
    }
    for name in ratchet.keys() {
        if !root().join(name).exists() {
            wrong.push(format!("{name} is in the ratchet and nowhere else"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_tests_at_the_foot_are_left_out() {
    let tests = "#[cfg(test)]\nmod tests {\n    use x::y;\n}\n";
    let both = format!("fn a() {{}}\n\n{tests}");
    assert_eq!(product(&both), "fn a() {}\n\n");
    let early = format!("{both}\nfn b() {{}}\n");
    assert_eq!(product(&early), early);
    let elsewhere = "#[cfg(test)]\nmod power_cut;\n\nuse verify::run;\n";
    assert_eq!(product(elsewhere), elsewhere);
}
