use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::support::{messages, open, reason, told, with_body, write};
use super::webhook::{SHARED, keys, own, webhook};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Python with `standardwebhooks`.
fn python() -> Option<String> {
    let python = std::env::var("TACHO_WEBHOOKS_PYTHON").ok();
    if python.is_none() {
        println!("SKIPPED: TACHO_WEBHOOKS_PYTHON names no Python with the package standardwebhooks");
    }
    python
}

fn secret() -> String {
    format!("whsec_{}", STANDARD.encode(SHARED))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[tokio::test]
async fn requests_verify_with_the_libraries_of_standard_webhooks() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::status(200)).await;
    let mut sink = webhook(&dir, &server.url(), "");
    let mut batch = messages(0..5);
    batch.push(with_body(5, "{}"));
    batch.push(with_body(6, "{\"text\":\"\u{1f4a5} \\u0000\"}"));
    assert_eq!(told(&sink.deliver(&batch).await), "TTTTTTT");
    let requests: Vec<Value> = server
        .received()
        .iter()
        .map(|request| {
            let headers: serde_json::Map<String, Value> =
                request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            json!({"headers": headers, "body": std::str::from_utf8(&request.body).unwrap()})
        })
        .collect();
    let public = format!("whpk_{}", STANDARD.encode(own().verifying_key().to_bytes()));
    let captured = json!({"secret": secret(), "public": public, "requests": requests});
    let file = write(dir.path(), "captured.json", &captured.to_string());
    let scripts = repository().join("tests/interop/sinks_webhooks");
    if let Some(python) = python() {
        print!("{}", run(Command::new(python).arg(scripts.join("verify.py")).arg(&file)));
    }
    match std::env::var("TACHO_WEBHOOKS_NODE") {
        Ok(modules) => {
            print!("{}", run(Command::new("node").arg(scripts.join("verify.mjs")).args([&modules, &file])));
        }
        Err(_) => {
            println!("SKIPPED: TACHO_WEBHOOKS_NODE names no directory with the npm package standardwebhooks");
        }
    }
}

struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn the_example_of_a_kill_switch_stops_once_and_not_what_has_expired() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(python)
        .arg(repository().join("deploy/kill_switch_receiver.py"))
        .arg(port.to_string())
        .env("KILL_SWITCH_KEY", secret())
        .env("KILL_SWITCH_DONE", dir.path().join("done.txt"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut receiver = Receiver(child);
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let order = |id: &str, expires_at: &str, is_dry_run: bool, is_exact: bool| {
        json!({"id": id, "action": "stop", "dry_run": is_dry_run, "expires_at": expires_at, "reason": "r",
            "entity": {"type": "principal", "name": format!("name-of-{id}"), "complete": true,
                "parts": [{"column": "agent_id", "value": "a", "exact": is_exact}]}, "alert": {}})
        .to_string()
    };
    let (later, earlier) = ("2100-01-01T00:00:00.000000Z", "2020-01-01T00:00:00.000000Z");
    let orders = [
        order("a", later, false, true),
        order("b", earlier, false, true),
        order("a", later, false, true),
        order("c", later, true, true),
        order("d", later, false, false),
        order("e", later, false, true),
    ];
    let key = write(dir.path(), "keys", &keys());
    let url = format!("http://127.0.0.1:{port}/");
    let mut sink = open("kill_switch", &format!("url = {url:?}\nkey_file = {key:?}"));
    for (number, order) in orders.iter().enumerate() {
        let fates = sink.deliver(&[with_body(number as u64, order)]).await;
        assert_eq!(told(&fates), "T", "{fates:?}");
    }
    // Of another key: not obeyed, and not lost either.
    write(dir.path(), "keys", &format!("whsec_{}", STANDARD.encode([1; 24])));
    let fates = sink.deliver(&[with_body(9, &order("f", later, false, true))]).await;
    assert!(told(&fates) == "a" && reason(&fates).contains("401"), "{fates:?}");
    receiver.0.kill().unwrap();
    let lines: Vec<String> =
        BufReader::new(receiver.0.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    let expected =
        ["stop name-of-a - r", "would stop name-of-c - r", "would stop name-of-d - r", "stop name-of-e - r"];
    assert_eq!(lines, expected);
}
