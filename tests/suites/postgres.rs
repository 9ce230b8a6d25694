use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{Service, eventually, run};

/// 300 events of one minute and a bit.
fn events() -> String {
    let event = |i: usize| {
        format!(
            r#"{{"event_id":"e-{i:03}","time":"2026-11-21T10:{:02}:{:02}.123456Z","kind":"call","user_id":"u-{i}","agent_id":"a-1","session_id":"s-1","server":"github","capability":"get_issue","method":"tools/call","decision":"allow","status":"ok","latency_us":{},"scopes":["repo","with, comma"],"arguments":{{"number":{i}}},"result":"ok"}}"#,
            i / 60,
            i % 60,
            1200 + i
        )
    };
    (0..300).map(event).collect::<Vec<_>>().join("\n")
}

/// A service with a PostgreSQL port and events in it.
fn serve(home: &Path) -> (Service, String) {
    let service = Service::start(home, &[("TACHO_PG", "127.0.0.1:0")]);
    let port = service.postgres.as_ref().and_then(|address| address.strip_prefix("127.0.0.1:"));
    let port = port.expect("a PostgreSQL port").to_string();
    let answer = service.post_events(events().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    (service, port)
}

fn interop(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/postgres").join(file)
}

/// Whether a program is here; if not, that is said.
pub(super) fn has(program: &str, argument: &str) -> bool {
    let found = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_here = found.is_ok_and(|status| status.success());
    if !is_here {
        println!("SKIPPED: {program} is not here");
    }
    is_here
}

/// psql at the port, with the token as its password.
pub(super) fn psql(port: &str, token: &str, arguments: &[&str]) -> Output {
    Command::new("psql")
        .args(["-X", "-v", "ON_ERROR_STOP=1", &format!("host=127.0.0.1 port={port} user=me dbname=tacho")])
        .args(arguments)
        .env("PGPASSWORD", token)
        .env("PGTZ", "UTC")
        .output()
        .unwrap()
}

/// All that a program printed.
pub(super) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn psql_asks_describes_and_lists() {
    if !has("psql", "--version") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (service, port) = serve(home.path());
    let ask = |arguments: &[&str]| said(&psql(&port, &service.token, arguments));
    assert_eq!(ask(&["-Atc", "SELECT count(*) FROM events WHERE control IS NULL"]), "300\n");
    assert_eq!(
        ask(&["-Atc", "SELECT event_id, time, scopes FROM events WHERE event_id = 'e-001'"]),
        "e-001|2026-11-21 10:00:01.123456+00|{repo,\"with, comma\"}\n"
    );
    for (command, expected) in [
        ("\\dt", &["public | events", "public | payloads", "table"][..]),
        ("\\d", &["public | access"]),
        (
            "\\d events",
            &["Table \"public.events\"", "latency_us", "timestamp with time zone", "not null", "text[]"],
        ),
        ("\\d+ events", &["heap", "Description"]),
        ("\\l", &["tacho", "UTF8", "(1 row)"]),
        ("\\dn", &["public"]),
        ("\\conninfo", &["database \"tacho\""]),
        ("\\timing on\n", &[]),
        ("\\du", &["t-"]),
        ("\\dv", &["Did not find any"]),
        ("\\gdesc\n", &[]),
    ] {
        let said = ask(&["-c", command]);
        assert!(!said.contains("ERROR"), "{command}: {said}");
        for part in expected {
            assert!(said.contains(part), "{command}: no {part:?} in {said}");
        }
    }
    let copied = psql(&port, &service.token, &["-c", "\\copy events to stdout"]);
    assert!(!copied.status.success() && said(&copied).contains("COPY"), "{copied:?}");
    for file in ["grafana.sql", "metabase.sql", "dbeaver.sql"] {
        let asked = psql(&port, &service.token, &["-q", "-f", interop(file).to_str().unwrap()]);
        assert!(asked.status.success(), "{file}: {}", String::from_utf8_lossy(&asked.stderr));
    }
    let wrong = psql(&port, "tacho_wrong", &["-c", "SELECT 1"]);
    assert!(said(&wrong).contains("password authentication failed"), "{wrong:?}");
    let refused = || {
        service.sql(
            "SELECT decision, status, error_code FROM access WHERE door = 'pg' AND action = 'login' AND decision = 'deny'",
        )
    };
    let expected =
        serde_json::json!([{"decision": "deny", "status": "error", "error_code": "malformed_credential"}]);
    eventually("a wrong password is on the access log", || serde_json::json!(refused()) == expected);
    // What psql asked is on record, under the door's name.
    let doors = service
        .sql("SELECT count(*) AS n FROM access WHERE door = 'pg' AND action = 'sql' AND phase = 'intent'");
    assert!(doors[0]["n"].as_i64().unwrap() > 20, "{doors:?}");
    assert_eq!(service.stop(), Some(0));
}

/// Python with the packages of `tests/interop/requirements.txt`.
fn python(script: &str, success: &str) {
    let Some(python) = std::env::var_os("TACHO_PYTHON") else {
        println!("SKIPPED: no Python with psycopg and SQLAlchemy (TACHO_PYTHON)");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (service, port) = serve(home.path());
    let output = Command::new(python)
        .arg(interop(script))
        .args(["127.0.0.1", &port])
        .env("PGPASSWORD", &service.token)
        .output()
        .unwrap();
    assert!(output.status.success() && said(&output).contains(success), "{}", said(&output));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn psycopg_asks_in_text_and_binary_and_through_cursors() {
    python("psycopg_client.py", "psycopg: done");
}

/// Revoked a moment ago is revoked, also for who is already in.
#[test]
fn a_session_ends_with_its_token() {
    if !has("psql", "--version") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (service, port) = serve(home.path());
    let made = service.send(
        "POST",
        "/api/v1/tokens",
        &[("content-type", "application/json")],
        br#"{"role":"auditor","tenant":"default"}"#,
    );
    let made = made.json();
    let mut psql = Command::new("psql")
        .args(["-X", "-A", "-t", &format!("host=127.0.0.1 port={port} user=me dbname=tacho")])
        .env("PGPASSWORD", made["token"].as_str().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = psql.stdin.take().unwrap();
    stdin.write_all(b"SELECT 40 + 1;\n").unwrap();
    let mut stdout = BufReader::new(psql.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "41");
    let id = made["id"].as_str().unwrap();
    assert_eq!(service.send("DELETE", &format!("/api/v1/tokens/{id}"), &[], b"").status, 200);
    stdin.write_all(b"SELECT 40 + 2;\n").unwrap();
    drop(stdin);
    let (mut rest, mut said) = (String::new(), String::new());
    stdout.read_to_string(&mut rest).unwrap();
    psql.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    psql.wait().unwrap();
    assert!(!rest.contains("42") && said.contains("no longer taken"), "{rest}{said}");
}

#[test]
fn sqlalchemy_reflects_and_asks() {
    python("sqlalchemy_client.py", "sqlalchemy: done");
}

#[test]
fn jdbc_prepares_reflects_and_pages() {
    let Some(driver) = std::env::var_os("TACHO_PGJDBC") else {
        println!("SKIPPED: no PostgreSQL driver for Java (TACHO_PGJDBC)");
        return;
    };
    if !has("java", "-version") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (service, port) = serve(home.path());
    let output = Command::new("java")
        .arg("-cp")
        .arg(driver)
        .arg(interop("Jdbc.java"))
        .args(["127.0.0.1", &port])
        .env("PGPASSWORD", &service.token)
        .output()
        .unwrap();
    assert!(output.status.success() && said(&output).contains("jdbc: done"), "{}", said(&output));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn the_port_is_only_there_when_asked_for_and_not_beyond_loopback() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    assert_eq!(service.postgres, None);
    let data = home.path().join("other");
    let refused =
        run(&["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0", "--pg", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--allow-plaintext"), "{refused:?}");
}
