//! Generated secrets through a tap, its spool, a followed file, OTLP and a topic: no file of the recorder's, no answer and no
//! metric has any of them, however they are packed or encoded there.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::kafka::broker::Broker;
use super::otlp::PORTS;
use super::search::places::Planted;
use super::search::{MISSED_MAX, Probes, canary, known, planted, search};
use super::tap::{settled, tapped, until};
use crate::support::{Service, whole};

/// Of a thousand secrets, how many the rules may miss where a door has the record twice, or in text once more.
const MISSED_WRAPPED_MAX: usize = 10;

/// Bytes of one body.
const BODY: usize = 256 << 10;

/// An event with the canary.
fn marked() -> String {
    json!({"time": "2026-11-21T10:00:00Z", "kind": "call", "decision": "allow", "status": "ok", "arguments": canary()})
        .to_string()
}

/// Lines for a collector that reads: each event, and of every seventh one that breaks off inside, which is told and not quoted.
fn lines(planted: &[Planted]) -> (Vec<String>, u64) {
    let mut lines = vec![marked()];
    let mut broken = 0;
    for (at, planted) in planted.iter().enumerate() {
        lines.push(planted.event.clone());
        if at % 7 == 0 {
            lines.push(planted.event[..planted.event.len() - 2].to_string());
            broken += 1;
        }
    }
    (lines, broken)
}

fn count(service: &Service, condition: &str) -> u64 {
    service.sql(&format!("SELECT count(*) AS n FROM events WHERE {condition}"))[0]["n"].as_u64().unwrap()
}

/// Searches what the service has, says and leaves behind; it ends.
fn nothing_is_left(home: &Path, service: Service, probes: &Probes, what: &str) {
    let answer = |path: &str, query: &str, format: &str| {
        let body = json!({"query": query, "format": format}).to_string();
        let answer = service.send("POST", path, &[("content-type", "application/json")], body.as_bytes());
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        answer.body
    };
    let beside = [
        ("/metrics", service.send("GET", "/metrics", &[], b"").body),
        ("events", answer("/api/v1/sql", "SELECT * FROM events", "arrow")),
        ("payloads", answer("/api/v1/sql", "SELECT * FROM payloads", "arrow")),
    ];
    let running = search(home, &beside, probes, &format!("{what}, while the service runs"));
    assert!(running[0] > 1, "{what}: the search does not see write-ahead files and answers");
    let events = whole(home, service);
    assert!(events.durable > 0, "{what}");
    let sealed = search(home, &[], probes, &format!("{what}, once it is stopped"));
    assert!(
        sealed.iter().all(|seen| *seen > 0),
        "{what}: the search does not see the sealed files: {sealed:?}"
    );
    println!("{what}: {} pieces of secrets looked for, none left; {events:?}", probes.len());
}

#[test]
fn no_secret_in_a_followed_file_is_left() {
    let (home, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let planted = known(planted(31), MISSED_MAX, str::to_owned);
    let (lines, broken) = lines(&planted);
    let file = outside.path().join("a.jsonl");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let config = home.path().join("tacho.toml");
    fs::write(&config, format!("[[tail]]\nname = \"agents\"\npath = {file:?}\n")).unwrap();
    let config = config.display().to_string();
    let service = Service::start(home.path(), &[("TACHO_CONFIG", &config), ("TACHO_LOG_LEVEL", "debug")]);
    until("all lines", || count(&service, "kind = 'call'") == planted.len() as u64 + 1);
    assert_eq!(service.accounted().refused, broken);
    nothing_is_left(home.path(), service, &Probes::of(&planted), "a followed file");
}

#[test]
fn no_secret_on_a_topic_is_left() {
    let (home, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(broker) = Broker::start(outside.path()) else { return };
    broker.create("calls", 2);
    broker.create("dead", 1);
    let planted = known(planted(32), MISSED_MAX, str::to_owned);
    let (lines, broken) = lines(&planted);
    let records: Vec<String> = lines.iter().enumerate().map(|(at, line)| format!("k{at}|{line}")).collect();
    broker.produce("calls", &records);
    let config = home.path().join("tacho.toml");
    let text = format!(
        "[[kafka]]\nname = \"calls\"\nbrokers = [\"{}\"]\ntopics = [\"calls\"]\ngroup = \"recorders\"\ndead_letter = \"dead\"\n",
        broker.address()
    );
    fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let service = Service::start(home.path(), &[("TACHO_CONFIG", &config), ("TACHO_LOG_LEVEL", "debug")]);
    until("all records", || {
        count(&service, "kind = 'call'") == planted.len() as u64 + 1 && service.accounted().refused == broken
    });
    nothing_is_left(home.path(), service, &Probes::of(&planted), "a topic");
}

/// A span of a tool with these arguments, as exporters have them: JSON in a text.
fn span(number: usize, arguments: &str) -> Value {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": format!("{:016x}", number + 1), "kind": 3,
        "startTimeUnixNano": "1795203651658566355", "endTimeUnixNano": "1795203651662507773",
        "attributes": [attribute("gen_ai.tool.name", "search"), attribute("gen_ai.tool.call.arguments", arguments)]})
}

#[test]
fn no_secret_in_telemetry_is_left() {
    let home = tempfile::tempdir().unwrap();
    let wrap = |event: &str| json!({"attributes": {"gen_ai.tool.call.arguments": event}}).to_string();
    let planted = known(planted(33), MISSED_WRAPPED_MAX, wrap);
    let service = Service::start(home.path(), &[&PORTS[..], &[("TACHO_LOG_LEVEL", "debug")]].concat());
    let send = |spans: &[Value]| {
        let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
        let kind = [("content-type", "application/json")];
        let answer = service.send("POST", "/v1/traces", &kind, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        body.len()
    };
    send(&[span(planted.len(), &canary().to_string())]);
    let mut spans = Vec::new();
    for (at, planted) in planted.iter().enumerate() {
        spans.push(span(at, &planted.event));
        if spans.len() == 200 {
            assert!(send(&spans) > BODY / 8);
            spans.clear();
        }
    }
    send(&spans);
    assert_eq!(count(&service, "kind = 'call'"), planted.len() as u64 + 1);
    nothing_is_left(home.path(), service, &Probes::of(&planted), "OTLP");
}

/// Says as its result what it was called with.
const ECHOING: [&str; 3] = ["sed", "-u", r#"s|"method":"tools/call","params"|"result"|"#];

#[test]
fn no_secret_that_a_tap_saw_is_left_in_its_spool_or_behind_it() {
    let home = tempfile::tempdir().unwrap();
    let wrap = |event: &str| format!("{{\"arguments\":{event},\"result\":{{\"arguments\":{event}}}}}");
    let planted = known(planted(34), MISSED_WRAPPED_MAX, wrap);
    let probes = Probes::of(&planted);
    let call = |id: usize, arguments: &str| {
        let text = |text: &str| json!(text).to_string();
        format!(
            "{{\"id\":{id},\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{{\"name\":{},\"arguments\":{arguments}}}}}\n",
            text("get_thing")
        )
    };
    // Nobody takes what it observes: it lies in the spool.
    let mut child = tapped(home.path(), &["--session", "s", "--server", "things"], &ECHOING).spawn().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    let stdin = child.stdin.as_mut().unwrap();
    let canary = canary().to_string();
    let all = std::iter::once(canary.as_str()).chain(planted.iter().map(|planted| planted.event.as_str()));
    for (id, arguments) in all.enumerate() {
        let line = call(id, arguments);
        stdin.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        assert_eq!(
            answer,
            line.replace("\"method\":\"tools/call\",\"params\"", "\"result\""),
            "it passes untouched"
        );
    }
    // What is no message of the protocol is told, and not quoted.
    let torn =
        planted.iter().step_by(50).map(|planted| format!("{}\n", &planted.event[..planted.event.len() - 2]));
    stdin.write_all(torn.collect::<String>().as_bytes()).unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    settled(home.path());
    let spooled = search(&home.path().join("spool"), &[], &probes, "in the spool");
    assert!(spooled.iter().all(|seen| *seen > 0), "the search does not see the spool: {spooled:?}");

    let service = Service::start(home.path(), &[("TACHO_LOG_LEVEL", "debug")]);
    // The next tap sends what waits.
    let mut next = tapped(home.path(), &["--session", "next"], &["true"]).spawn().unwrap();
    drop(next.stdin.take());
    next.wait().unwrap();
    settled(home.path());
    assert_eq!(count(&service, "kind = 'call' AND session_id = 's'"), planted.len() as u64 + 1);
    let told = service.sql(
        "SELECT p.attributes FROM events e JOIN payloads p ON p.log_index = e.log_index WHERE e.method = 'drop_notice'",
    );
    assert!(!told.is_empty());
    nothing_is_left(home.path(), service, &probes, "a tap");
}
