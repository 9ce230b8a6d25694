//! What every way in owes, asked of the real program in the words of the collectors' own suite (`ingest/tests/collectors/conformance.rs`,
//! which has followed files, HTTP, OTLP and Kafka): what came is what became of it, a restart records nothing again, and what is
//! torn or broken is told and not quoted. Here: files, standard input, the stdio tap, recorded HTTP; and HTTP to compare with.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::tap::{settled, tapped, until};
use crate::support::{Events, Service, run, tacho, whole};

/// What a door is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// A call of the tool with this number.
    Good(u64),
    /// What is none.
    Broken,
}

/// What stands in what is broken.
const BROKEN: &str = "s3cr3t";

/// A way in, and whoever uses it.
trait Door {
    /// For messages.
    const NAME: &'static str;
    /// Whether its user gives everything again who does not know what became of it; else it is given once.
    const IS_GIVEN_AGAIN: bool;

    /// Gives it values, torn in the middle of one where it has a middle; how many its user is told were refused.
    fn give(&mut self, home: &Path, service: &Service, values: &[Given]) -> u64;

    /// Ends in order; the service is still there.
    fn end(&mut self, _home: &Path) {}
}

/// Good values with these numbers, and among the first of them two that are broken.
fn values(numbers: Range<u64>) -> Vec<Given> {
    let mut values: Vec<Given> = numbers.map(Given::Good).collect();
    if values.len() > 13 {
        values.insert(13, Given::Broken);
        values.insert(5, Given::Broken);
    }
    values
}

/// Lines without ids of their own.
fn lines(values: &[Given]) -> String {
    let line = |value: &Given| match value {
        Given::Good(number) => {
            format!("{{\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",\"capability\":\"n-{number}\"}}\n")
        }
        Given::Broken => format!("{{\"capability\": {BROKEN}\n"),
    };
    values.iter().map(line).collect()
}

/// What an import was told: refused, of so many.
fn refused(output: &Output) -> u64 {
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let refused = said["rejected"].as_u64().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(refused > 0)), "{said}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains(BROKEN), "{output:?}");
    refused
}

fn import(home: &Path, flags: &[&str], file: &str) -> Vec<String> {
    let data = home.join("data").display().to_string();
    [&["ingest", "--json", "--data", &data], flags, &[file]]
        .concat()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// `tacho ingest FILE`.
struct Import;

impl Door for Import {
    const NAME: &'static str = "import";
    const IS_GIVEN_AGAIN: bool = true;

    fn give(&mut self, home: &Path, _: &Service, values: &[Given]) -> u64 {
        let file = home.join("import.ndjson");
        fs::write(&file, lines(values)).unwrap();
        let arguments = import(home, &[], file.to_str().unwrap());
        refused(&run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    }
}

/// `tacho ingest -`.
struct StandardInput;

impl Door for StandardInput {
    const NAME: &'static str = "standard input";
    const IS_GIVEN_AGAIN: bool = true;

    fn give(&mut self, home: &Path, _: &Service, values: &[Given]) -> u64 {
        let mut command = Command::new(tacho());
        command
            .args(import(home, &[], "-"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text = lines(values);
        let (begin, end) = text.split_at(text.len() / 2);
        stdin.write_all(begin.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        stdin.write_all(end.as_bytes()).unwrap();
        drop(stdin);
        refused(&child.wait_with_output().unwrap())
    }
}

/// `tacho ingest --format http-exchange FILE`: mirrored traffic of Streamable HTTP.
struct HttpTap;

impl Door for HttpTap {
    const NAME: &'static str = "HTTP tap";
    const IS_GIVEN_AGAIN: bool = true;

    fn give(&mut self, home: &Path, _: &Service, values: &[Given]) -> u64 {
        let exchange = |value: &Given| match value {
            Given::Good(number) => {
                let asks = json!({"jsonrpc": "2.0", "id": number, "method": "tools/call",
                    "params": {"name": format!("n-{number}"), "arguments": {}}});
                let answers = json!({"jsonrpc": "2.0", "id": number, "result": {"content": []}});
                json!({"ts": 1_795_203_659.5 + *number as f64, "dur_ms": 2.5, "client": ["10.0.0.7", 50000], "method": "POST",
                    "path": "/mcp", "req_headers": {"Host": "tools.example"}, "req_body": asks.to_string(), "status": 200,
                    "resp_headers": {"Content-Type": "application/json"}, "resp_body": answers.to_string()})
            }
            Given::Broken => json!({"no": BROKEN}),
        };
        let file = home.join("recorded.jsonl");
        fs::write(&file, values.iter().map(|value| exchange(value).to_string() + "\n").collect::<String>())
            .unwrap();
        let arguments = import(home, &["--format", "http-exchange"], file.to_str().unwrap());
        refused(&run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    }
}

/// `tacho tap -- COMMAND`: one session, over a restart of the service.
#[derive(Default)]
struct StdioTap(Option<(Child, BufReader<ChildStdout>)>);

/// Answers calls of tools with an empty result, and what is broken with nothing.
const ANSWERING: [&str; 3] = ["sed", "-une", r#"s|"method":"tools/call"|"result":{}|p"#];

impl Door for StdioTap {
    const NAME: &'static str = "stdio tap";
    const IS_GIVEN_AGAIN: bool = false;

    fn give(&mut self, home: &Path, service: &Service, values: &[Given]) -> u64 {
        let (child, answers) = self.0.get_or_insert_with(|| {
            let mut command = tapped(home, &["--session", "s"], &ANSWERING);
            let mut child = command.stderr(Stdio::null()).spawn().unwrap();
            let answers = BufReader::new(child.stdout.take().unwrap());
            (child, answers)
        });
        for (at, value) in values.iter().enumerate() {
            let line = match value {
                Given::Good(number) => json!({"jsonrpc": "2.0", "id": number, "method": "tools/call",
                    "params": {"name": format!("n-{number}"), "arguments": {}}})
                .to_string(),
                Given::Broken => format!("{{\"method\": {BROKEN}"),
            };
            let (begin, end) = line.split_at(line.len() / 2);
            let stdin = child.stdin.as_mut().unwrap();
            stdin.write_all(begin.as_bytes()).unwrap();
            if at % 8 == 3 {
                std::thread::sleep(Duration::from_millis(50));
            }
            stdin.write_all(format!("{end}\n").as_bytes()).unwrap();
            if let Given::Good(_) = value {
                let mut answer = String::new();
                answers.read_line(&mut answer).unwrap();
                assert!(answer.contains("\"result\""), "{answer}");
            }
        }
        let good = values
            .iter()
            .filter_map(|value| if let Given::Good(number) = value { Some(number + 1) } else { None });
        let wanted = good.max().unwrap();
        until("what the tap saw is on record", || calls(service).len() as u64 >= wanted);
        0
    }

    fn end(&mut self, home: &Path) {
        let (mut child, _) = self.0.take().unwrap();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        settled(home);
    }
}

/// `POST /v1/events`.
struct Http;

impl Door for Http {
    const NAME: &'static str = "HTTP";
    const IS_GIVEN_AGAIN: bool = true;

    fn give(&mut self, _: &Path, service: &Service, values: &[Given]) -> u64 {
        // The key that says which body it is, as a sender without ids has one.
        let body = lines(values);
        let key = format!("k-{}", body.len());
        let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key.as_str())];
        let answer = service.send("POST", "/v1/events", &headers, body.as_bytes());
        assert!(answer.status == 200 && !answer.text().contains(BROKEN), "{}", answer.text());
        answer.json()["rejected_count"].as_u64().unwrap()
    }
}

fn calls(service: &Service) -> Vec<String> {
    let rows = service.sql("SELECT capability FROM events WHERE kind = 'call' ORDER BY log_index");
    rows.iter().map(|row| row["capability"].as_str().unwrap_or_default().to_string()).collect()
}

/// How many broken values are told on record, in the notices of collectors and taps.
fn noticed(service: &Service) -> u64 {
    let rows = service.sql(
        "SELECT p.attributes FROM events e JOIN payloads p ON p.log_index = e.log_index WHERE e.kind = 'integrity'",
    );
    let of = |row: &Value| {
        ["lines_unparsed", "refused"].map(|name| {
            row["attributes"][name]
                .as_str()
                .map_or(0, |number| number.trim_matches('"').parse::<u64>().unwrap())
        })
    };
    rows.iter().flat_map(of).sum()
}

/// Uses a door, over a restart of the service, and holds the log against what its user was told.
fn check<D: Door>(mut door: D) {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let first = values(0..20);
    let service = Service::start(home, &[]);
    let mut told = door.give(home, &service, &first);
    let mut broken = 2;
    let Events { durable, duplicate, .. } = service.accounted();
    assert!(durable >= 20 && duplicate == 0, "{}: {durable} durable, {duplicate} duplicates", D::NAME);
    whole(home, service);

    let service = Service::start(home, &[]);
    let mut duplicates = 0;
    if D::IS_GIVEN_AGAIN {
        told += door.give(home, &service, &first);
        (broken, duplicates) = (4, 20);
        let Events { durable, duplicate, .. } = service.accounted();
        assert_eq!((durable, duplicate), (0, 20), "{}: given again", D::NAME);
    }
    told += door.give(home, &service, &values(20..25));
    door.end(home);
    let calls = calls(&service);
    let wanted: BTreeSet<String> = (0..25).map(|number| format!("n-{number}")).collect();
    assert_eq!((calls.len(), calls.iter().cloned().collect()), (25, wanted), "{}: {calls:?}", D::NAME);
    assert_eq!(told + noticed(&service), broken, "{}: broken and not told", D::NAME);
    for table in ["events", "payloads"] {
        let everything = Value::from(service.sql(&format!("SELECT * FROM {table}"))).to_string();
        assert!(!everything.contains(BROKEN), "{}: {BROKEN} is in {table}", D::NAME);
    }
    let Events { received, duplicate, .. } = whole(home, service);
    assert!(duplicate == duplicates && received >= 5 + duplicates, "{}: {received} received", D::NAME);
}

#[test]
fn an_import_owes_what_every_way_in_owes() {
    check(Import);
}

#[test]
fn standard_input_owes_what_every_way_in_owes() {
    check(StandardInput);
}

#[test]
fn the_stdio_tap_owes_what_every_way_in_owes() {
    check(StdioTap::default());
}

#[test]
fn the_http_tap_owes_what_every_way_in_owes() {
    check(HttpTap);
}

#[test]
fn http_owes_what_every_way_in_owes() {
    check(Http);
}
