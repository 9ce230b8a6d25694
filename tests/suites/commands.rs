use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Service, event, run, tacho};

#[test]
fn help_names_what_is_there_and_mistakes_exit_2() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for command in [
        "serve",
        "demo",
        "ingest",
        "sql",
        "replay",
        "verify",
        "gate",
        "mapping",
        "redaction",
        "tap",
        "cursor",
        "alerts",
        "backtest",
        "rules",
        "token",
        "keys",
        "config",
    ] {
        assert!(text.contains(command), "{command}");
    }
    assert_eq!(run(&["serve", "--nonsense"]).status.code(), Some(2));
    assert_eq!(run(&["verify", "--data", "/nowhere"]).status.code(), Some(2));
    assert_eq!(run(&["config", "show"]).status.code(), Some(0));
}

#[test]
fn a_directory_is_worked_on_with_and_without_a_service() {
    let home = tempfile::tempdir().unwrap();
    let (data, keys) = (home.path().join("data"), home.path().join("keys"));
    let place = ["--data", data.to_str().unwrap(), "--keys", keys.to_str().unwrap()];
    let with_place = |command: &[&str]| run(&[command, &place].concat());
    let file = home.path().join("events.ndjson");
    std::fs::write(&file, format!("{}\n{}\nnot json\n", event("a"), event("b"))).unwrap();

    let loaded = with_place(&["ingest", file.to_str().unwrap()]);
    assert_eq!(loaded.status.code(), Some(1), "one line was refused: {loaded:?}");
    assert!(
        String::from_utf8_lossy(&loaded.stdout).contains("accepted 2, duplicates 0, refused 1"),
        "{loaded:?}"
    );
    assert!(String::from_utf8_lossy(&loaded.stderr).contains("events.ndjson:3:"), "{loaded:?}");

    let count = ["sql", "SELECT count(*) AS n FROM events WHERE control IS NULL", "--format", "csv"];
    let asked = with_place(&count);
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "n\r\n2", "{asked:?}");
    assert_eq!(with_place(&["sql", "SELECT nothing FROM nowhere"]).status.code(), Some(2));
    assert_eq!(with_place(&["replay", "s-1"]).status.code(), Some(0));
    assert_eq!(with_place(&["replay", "s-none"]).status.code(), Some(1));
    let key = with_place(&["keys", "show", "--root"]);
    let key = String::from_utf8(key.stdout).unwrap();
    let verified = run(&["verify", "--data", data.to_str().unwrap(), "--key", key.lines().last().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let unknown = run(&["verify", "--data", data.to_str().unwrap()]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stdout).contains("IDENTITY NOT ESTABLISHED"), "{unknown:?}");

    // With a service on the directory the same commands go through it.
    let service = Service::start(home.path(), &[]);
    let mut child = Command::new(tacho())
        .args(["ingest", "-"])
        .args(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(event("c").as_bytes()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    let asked = with_place(&count);
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "n\r\n3", "{asked:?}");
    let who = service.sql("SELECT DISTINCT door, principal FROM access WHERE door = 'command'");
    assert!(who[0]["principal"].as_str().unwrap().starts_with("os:"), "{who:?}");
    let url = format!("http://{}", service.address);
    let token = keys.join("admin.token");
    let asked = run(&[&count[..], &["--url", &url, "--token-file", token.to_str().unwrap()]].concat());
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "n\r\n3", "{asked:?}");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn keys_inside_the_data_and_a_port_beyond_loopback_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let data = data.to_str().unwrap();
    let inside = format!("{data}/keys");
    let refused = run(&["serve", "--data", data, "--keys", &inside, "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("inside the data directory"), "{refused:?}");
    let refused = run(&["serve", "--data", data, "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--allow-plaintext"), "{refused:?}");
}

#[test]
fn rules_are_listed_and_tried_and_verdicts_are_exit_codes() {
    let home = tempfile::tempdir().unwrap();
    let listed = run(&["rules", "list"]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("waits for the list"), "{listed:?}");
    let listed = run(&["rules", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(listed["rules"].as_array().unwrap().len() > 20 && listed["digest"].is_string(), "{listed}");
    let tested = run(&["rules", "test"]);
    assert_eq!(tested.status.code(), Some(0), "{tested:?}");

    let events = home.path().join("events.ndjson");
    let events_path = events.to_str().unwrap();
    let line = |action: &str| {
        format!(r#"{{"time":"2026-03-01T12:00:00Z","kind":"output","output_action":"{action}"}}"#)
    };
    for (text, code) in [(line("allow"), 0), (line("block"), 1), ("{}".to_owned(), 2)] {
        std::fs::write(&events, &text).unwrap();
        let tried = run(&["rules", "test", events_path]);
        assert_eq!(tried.status.code(), Some(code), "{text}: {tried:?}");
    }
    let mut child = Command::new(tacho())
        .args(["rules", "test", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(line("block").as_bytes()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(1));

    // A rule of one's own without an example is a finding, and one that does not load is none.
    let rules = home.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    let own = |column: &str| {
        format!(
            "title: Mine\nid: 00000000-0000-4000-8000-000000000001\nlogsource:\n    product: tachograph\ndetection:\n    a:\n        {column}: x\n    condition: a\nlevel: low\n"
        )
    };
    for (column, list_code, test_code) in [("server", 0, 1), ("servr", 2, 2)] {
        std::fs::write(rules.join("mine.yml"), own(column)).unwrap();
        let at = ["--rules", rules.to_str().unwrap()];
        assert_eq!(run(&[&["rules", "list"][..], &at].concat()).status.code(), Some(list_code), "{column}");
        assert_eq!(run(&[&["rules", "test"][..], &at].concat()).status.code(), Some(test_code), "{column}");
    }
}
