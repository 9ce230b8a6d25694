//! Sinks of the running service: what arrives where, through outages, kills, refusals and roles.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{Service, event, eventually, request, run, service_log, verify};

/// A secret of Standard Webhooks, of no one.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WRITE_RULE: &str = "unapproved_high_risk_write";

/// A high-risk write of `agent` that nobody approved.
fn write(id: &str, agent: &str) -> String {
    let mut event: Value = serde_json::from_str(&event(id)).unwrap();
    event["action"] = "write".into();
    event["risk"] = "critical".into();
    event["agent_id"] = agent.into();
    event.to_string()
}

fn post(service: &Service, events: &[String]) {
    let answer = service.post_events(events.join("\n").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Starts the service with these tables in its configuration.
fn start(home: &Path, tables: &str, environment: &[(&str, &str)]) -> Service {
    let file = configured(home, tables);
    Service::start(home, &[environment, &[("TACHO_CONFIG", file.as_str())]].concat())
}

fn configured(home: &Path, tables: &str) -> String {
    let file = home.join("tacho.toml");
    std::fs::write(&file, tables).unwrap();
    file.display().to_string()
}

/// The objects of a file of lines; a line that is not one is a defect.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// As [`recorded`], of openings alone.
fn opened(service: &Service) -> Vec<(String, i64)> {
    recorded(service).into_iter().filter(|(_, sequence)| *sequence == 0).collect()
}

/// `alert_id` and `sequence` of what the alerts log holds, in its order.
fn recorded(service: &Service) -> Vec<(String, i64)> {
    let rows = service.sql("SELECT alert_id, sequence FROM alerts WHERE control IS NULL ORDER BY log_index");
    rows.iter()
        .map(|row| (row["alert_id"].as_str().unwrap().to_owned(), row["sequence"].as_i64().unwrap()))
        .collect()
}

fn emissions(objects: &[Value]) -> Vec<(String, i64)> {
    let of = |object: &Value| {
        (object["alert_id"].as_str().unwrap().to_owned(), object["sequence"].as_i64().unwrap())
    };
    objects.iter().map(of).collect()
}

/// The first of each, in the order in which they came.
fn firsts(all: &[(String, i64)]) -> Vec<(String, i64)> {
    let mut seen = BTreeSet::new();
    all.iter().filter(|one| seen.insert((*one).clone())).cloned().collect()
}

/// What a receiver got in one request.
#[derive(Debug, Clone)]
struct Received {
    headers: BTreeMap<String, String>,
    body: String,
}

/// A receiver on a port of its own that answers every request with the status it is set to.
struct Receiver {
    port: u16,
    status: Arc<AtomicU16>,
    received: Arc<Mutex<Vec<Received>>>,
    is_over: Arc<AtomicBool>,
}

impl Receiver {
    fn new() -> Receiver {
        Receiver::on(0)
    }

    fn on(port: u16) -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let receiver = Receiver {
            port: listener.local_addr().unwrap().port(),
            status: Arc::new(AtomicU16::new(200)),
            received: Arc::default(),
            is_over: Arc::default(),
        };
        let (status, received, is_over) =
            (Arc::clone(&receiver.status), Arc::clone(&receiver.received), Arc::clone(&receiver.is_over));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (status, received) = (Arc::clone(&status), Arc::clone(&received));
                let stream = stream.unwrap();
                std::thread::spawn(move || while answer(&stream, &status, &received).is_some() {});
            }
        });
        receiver
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/alerts", self.port)
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Its last connection lets go of the port.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

/// Reads one request and answers it; none at the end of the connection.
fn answer(mut stream: &TcpStream, status: &AtomicU16, received: &Mutex<Vec<Received>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let status = status.load(Ordering::SeqCst);
    if status == 200 {
        let body = String::from_utf8(body).unwrap();
        received.lock().unwrap().push(Received { headers, body });
    }
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").ok()
}

/// The table of a signed webhook to this receiver.
fn webhook(home: &Path, name: &str, kind: &str, receiver: &Receiver, more: &str) -> String {
    let key = home.join(format!("{name}.key"));
    std::fs::write(&key, KEY).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    format!(
        "[[sinks]]\nname = \"{name}\"\ntype = \"{kind}\"\nurl = \"{}\"\nkey_file = \"{}\"\n{more}\n",
        receiver.url(),
        key.display()
    )
}

fn file(home: &Path, name: &str, more: &str) -> (PathBuf, String) {
    let path = home.join(format!("{name}.jsonl"));
    let table =
        format!("[[sinks]]\nname = \"{name}\"\ntype = \"file\"\npath = \"{}\"\n{more}\n", path.display());
    (path, table)
}

fn sinks(service: &Service, home: &Path, arguments: &[&str]) -> (i32, String) {
    let url = format!("http://{}", service.address);
    let token = home.join("keys/admin.token").display().to_string();
    let output = run(&[&["sinks"], arguments, &["--url", &url, "--token-file", &token]].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn r40_several_sinks_get_every_alert_each_in_its_format_across_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let receiver = Receiver::new();
    let (json, table) = file(home.path(), "archive", "");
    let (ocsf, other) = file(home.path(), "siem", "format = \"ocsf\"\nseverity = \"high\"");
    let hook = webhook(home.path(), "hook", "webhook", &receiver, "format = \"cloudevents\"");
    let tables = format!("external_url = \"https://tacho.test/alerts/{{alert_id}}\"\n{table}{other}{hook}");
    let service = start(home.path(), &tables, &[]);
    let agents: Vec<String> = (0..20).map(|number| format!("a-{number}")).collect();
    post(&service, &agents[..10].iter().map(|agent| write(&format!("{agent}-w"), agent)).collect::<Vec<_>>());
    eventually("all arrive", || {
        lines(&json).len() == 10 && lines(&ocsf).len() == 10 && receiver.received().len() == 10
    });
    let (code, text) = sinks(&service, home.path(), &["list"]);
    assert_eq!(code, 0, "{text}");
    for part in ["archive", "siem", "hook", "cloudevents", "0 behind", "3 sinks"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("whsec"), "{text}");
    assert_eq!(service.stop(), Some(0));
    let service = start(home.path(), &tables, &[]);
    post(&service, &agents[10..].iter().map(|agent| write(&format!("{agent}-w"), agent)).collect::<Vec<_>>());
    eventually("the rest arrives", || {
        lines(&json).len() >= 20 && lines(&ocsf).len() >= 20 && receiver.received().len() >= 20
    });
    let expected = recorded(&service);
    assert_eq!(emissions(&lines(&json)), expected, "once each, in the order of the log");
    let uids: Vec<String> =
        lines(&ocsf).iter().map(|alert| alert["finding_info"]["uid"].as_str().unwrap().to_owned()).collect();
    assert_eq!(uids, expected.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
    for received in receiver.received() {
        let event: Value = serde_json::from_str(&received.body).unwrap();
        assert_eq!(event["specversion"], "1.0", "{event}");
        assert_eq!(event["id"].as_str(), received.headers.get("webhook-id").map(String::as_str));
        assert!(received.headers["webhook-signature"].starts_with("v1,"), "{received:?}");
    }
    let metrics = service.send("GET", "/metrics", &[], b"").text();
    assert!(metrics.contains("tacho_sink_messages_total{sink=\"archive\",fate=\"taken\"} 10"), "{metrics}");
    assert!(metrics.contains("tacho_sink_up{sink=\"hook\"} 1"), "{metrics}");
    assert_eq!(service.stop(), Some(0));
    assert_eq!(verify(home.path()).0, 0);
}

#[test]
fn r41_what_a_receiver_misses_while_it_is_away_arrives_whole_and_in_order_though_the_service_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let receiver = Receiver::new();
    let port = receiver.port;
    // Time that flies closes episodes: how many there are is told by what opens.
    let hook = webhook(home.path(), "hook", "webhook", &receiver, "states = [\"open\"]");
    let (archive, table) = file(home.path(), "archive", "states = [\"open\"]");
    let tables = format!("{hook}{table}");
    // An hour of a receiver that is away is twelve seconds.
    let faster = [("TACHO_STORE_CLOCK_SPEED", "300")];
    let service = start(home.path(), &tables, &faster);
    drop(receiver);
    let batch = |round: usize| {
        (0..10).map(|n| write(&format!("r{round}-{n}"), &format!("a-{round}-{n}"))).collect::<Vec<_>>()
    };
    for round in 0..3 {
        post(&service, &batch(round));
    }
    eventually("the other sink is not held up", || lines(&archive).len() >= 30);
    eventually("it says so", || sinks(&service, home.path(), &["list"]).0 == 1);
    std::thread::sleep(std::time::Duration::from_secs(12));
    assert_eq!(service.kill().signal(), Some(9));
    let service = start(home.path(), &tables, &faster);
    post(&service, &batch(3));
    let receiver = Receiver::on(port);
    receiver.status.store(503, Ordering::SeqCst);
    eventually("all are recorded", || opened(&service).len() == 40);
    std::thread::sleep(std::time::Duration::from_secs(1));
    receiver.status.store(200, Ordering::SeqCst);
    eventually("all arrive", || receiver.received().len() >= 40);
    let arrived: Vec<Value> =
        receiver.received().iter().map(|one| serde_json::from_str(&one.body).unwrap()).collect();
    assert_eq!(firsts(&emissions(&arrived)), opened(&service), "in the order of the log");
    let ids: BTreeSet<String> =
        receiver.received().iter().map(|one| one.headers["webhook-id"].clone()).collect();
    assert_eq!(ids.len(), 40, "what came twice has the same id");
    eventually("it is well again", || sinks(&service, home.path(), &["list"]).0 == 0);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn r42_r43_one_episode_is_one_finding_that_explains_itself_and_a_mute_says_whose_it_is() {
    let home = tempfile::tempdir().unwrap();
    let (ocsf, table) = file(home.path(), "siem", "format = \"ocsf\"");
    let (json, other) = file(home.path(), "archive", "");
    let service = start(home.path(), &format!("{table}{other}"), &[]);
    for number in 0..20 {
        post(&service, &[write(&format!("w-{number}"), "a-1")]);
    }
    // 1, 2, 4, 8, 16: an opening and four updates of twenty offences.
    eventually("it is told", || lines(&ocsf).len() == 5);
    let told = lines(&ocsf);
    let uids: BTreeSet<&str> =
        told.iter().map(|alert| alert["finding_info"]["uid"].as_str().unwrap()).collect();
    assert_eq!(uids.len(), 1, "one episode");
    assert_eq!(
        told.iter().map(|alert| alert["activity_id"].as_i64().unwrap()).collect::<Vec<_>>(),
        [1, 2, 2, 2, 2]
    );
    let ids: BTreeSet<&str> = told.iter().map(|alert| alert["metadata"]["uid"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 5, "a message each");
    let alert = &lines(&json)[0];
    for key in
        ["explanation", "query", "runbook", "evidence", "evidence_log", "observables", "statistic", "count"]
    {
        assert!(!alert[key].is_null(), "{key}: {alert}");
    }
    let shown = service.sql(alert["query"].as_str().unwrap());
    assert!(!shown.is_empty(), "its query shows the evidence");
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(alert["runbook"].as_str().unwrap()).is_file());
    // Closed and muted by a person; what comes then is told as muted, and by whom.
    let id = alert["alert_id"].as_str().unwrap();
    let body = br#"{"verdict":"benign","mute_s":3600,"note":"a load test"}"#;
    let path = format!("/api/v1/alerts/{id}/verdict");
    assert_eq!(service.send("POST", &path, &[("content-type", "application/json")], body).status, 201);
    eventually("it is closed", || lines(&ocsf).last().is_some_and(|alert| alert["activity_id"] == 3));
    assert_eq!(lines(&ocsf).last().unwrap()["status_id"], 4);
    post(&service, &[write("again", "a-1")]);
    eventually("what is muted is told", || {
        lines(&ocsf).last().is_some_and(|alert| alert["activity_id"] == 1)
    });
    let muted = lines(&ocsf).pop().unwrap();
    assert_eq!((muted["status_id"].as_i64(), muted["severity_id"].as_i64()), (Some(3), Some(1)), "{muted}");
    let detail = muted["status_detail"].as_str().unwrap();
    assert!(detail.starts_with("muted by ") && detail.ends_with("Z: a load test"), "{muted}");
    assert_eq!(muted["unmapped"]["mute_note"], "a load test");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn r44_an_alert_pulls_a_kill_switch_and_a_test_is_a_dry_run() {
    let home = tempfile::tempdir().unwrap();
    let receiver = Receiver::new();
    let tables = webhook(
        home.path(),
        "stop",
        "kill_switch",
        &receiver,
        &format!("rules = [\"{WRITE_RULE}\"]\nholds_s = 600"),
    );
    let service = start(home.path(), &tables, &[]);
    post(&service, &[write("w", "a-1")]);
    eventually("it is asked to stop", || receiver.received().len() == 1);
    let received = receiver.received().remove(0);
    let stop: Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!((stop["action"].as_str(), stop["dry_run"].as_bool()), (Some("stop"), Some(false)), "{stop}");
    let parts = stop["entity"]["parts"].as_array().unwrap();
    assert!(
        parts
            .iter()
            .any(|part| part["column"] == "agent_id" && part["value"] == "a-1" && part["exact"] == true),
        "{stop}"
    );
    assert!(stop["expires_at"].as_str().unwrap() > stop["issued_at"].as_str().unwrap());
    assert!(received.headers.contains_key("webhook-signature"));
    let config = home.path().join("tacho.toml").display().to_string();
    let tested = run(&["sinks", "test", "stop", "--config", &config]);
    assert_eq!(tested.status.code(), Some(0), "{}", String::from_utf8_lossy(&tested.stderr));
    let test: Value = serde_json::from_str(&receiver.received()[1].body).unwrap();
    assert_eq!(
        (test["dry_run"].as_bool(), test["alert"]["test"].as_bool()),
        (Some(true), Some(true)),
        "{test}"
    );
    receiver.status.store(401, Ordering::SeqCst);
    let refused = run(&["sinks", "test", "stop", "--config", &config]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(run(&["sinks", "test", "nobody", "--config", &config]).status.code(), Some(2));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn what_is_refused_is_a_dead_letter_that_is_sent_again_when_asked() {
    let home = tempfile::tempdir().unwrap();
    let receiver = Receiver::new();
    let tables = webhook(home.path(), "hook", "webhook", &receiver, "");
    let service = start(home.path(), &tables, &[]);
    receiver.status.store(422, Ordering::SeqCst);
    post(&service, &[write("w1", "a-1"), write("w2", "a-2")]);
    eventually("they are refused", || sinks(&service, home.path(), &["list"]).1.contains("2 dead letters"));
    let (code, text) = sinks(&service, home.path(), &["list"]);
    assert!(code == 1 && text.contains("422"), "{text}");
    receiver.status.store(200, Ordering::SeqCst);
    // They survive a kill.
    assert_eq!(service.kill().signal(), Some(9));
    let service = start(home.path(), &tables, &[]);
    let (code, text) = sinks(&service, home.path(), &["replay", "hook"]);
    assert_eq!((code, text.as_str()), (0, "2 dead letters are sent again\n"));
    eventually("they arrive", || receiver.received().len() == 2);
    eventually("none is left", || sinks(&service, home.path(), &["list"]).0 == 0);
    assert_eq!(sinks(&service, home.path(), &["replay", "nobody"]).0, 2);
    let (code, text) =
        sinks(&service, home.path(), &["replay", "hook", "--tenant", "default", "--from", "0"]);
    assert_eq!(code, 0, "{text}");
    eventually("the range arrives again", || receiver.received().len() == 4);
    // It is on the access log, and nobody does it without the role.
    let asked = service.sql("SELECT count(*) AS n FROM access WHERE action = 'sink_replay'");
    assert!(asked[0]["n"].as_u64().unwrap() >= 4, "{asked:?}");
    let url = format!("http://{}", service.address);
    let token = home.path().join("keys/admin.token").display().to_string();
    let made = run(&["token", "create", "--role", "auditor", "--url", &url, "--token-file", &token]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    for (method, path) in [
        ("GET", "/api/v1/sinks"),
        ("POST", "/api/v1/sinks/hook/replay"),
        ("POST", "/api/v1/sinks/hook/discard"),
    ] {
        assert_eq!(request(&service.address, method, path, &headers, b"{}").unwrap().status, 403, "{path}");
    }
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_receiver_sees_what_its_role_sees_of_alerts_and_events() {
    let home = tempfile::tempdir().unwrap();
    let (alerts, first) = file(home.path(), "alerts", "role = \"auditor\"");
    let (events, second) = file(home.path(), "events", "stream = \"events\"\nrole = \"auditor\"");
    let (all, third) = file(home.path(), "all", "stream = \"events\"\nrole = \"admin\"\nformat = \"ocsf\"");
    let policy = "[policy.auditor.columns]\nagent_id = \"hash\"\n[policy.auditor.rows]\nevents = \"server <> 'secret'\"\nalerts = \"true\"\naccess = \"false\"\n";
    let service = start(home.path(), &format!("{first}{second}{third}{policy}"), &[]);
    let mut secret: Value = serde_json::from_str(&event("hidden")).unwrap();
    secret["server"] = "secret".into();
    post(&service, &[write("w", "agent-somebody"), secret.to_string()]);
    eventually("they arrive", || {
        lines(&alerts).len() == 1 && !lines(&events).is_empty() && lines(&all).len() >= 2
    });
    for path in [&alerts, &events] {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains("agent-somebody") && !text.contains("hidden"), "{text}");
    }
    assert_eq!(lines(&events).len(), 1);
    let text = std::fs::read_to_string(&all).unwrap();
    assert!(text.contains("agent-somebody") && text.contains("\"class_uid\":6003"), "{text}");
    assert_eq!(service.stop(), Some(0));
    // What a policy takes away that a message cannot be without is refused at the start.
    let file = configured(home.path(), &format!("{first}[policy.auditor.columns]\nseverity = \"mask\"\n"));
    let failed = Service::start_program(&crate::support::tacho(), home.path(), &[("TACHO_CONFIG", &file)]);
    assert!(failed.is_err());
    assert!(service_log(home.path()).contains("severity"), "{}", service_log(home.path()));
}

#[test]
fn killed_at_every_point_of_a_delivery_no_alert_is_missing() {
    let Some(program) = std::env::var_os("TACHO_CRASH_PROGRAM").map(PathBuf::from) else {
        println!(
            "SKIPPED: TACHO_CRASH_PROGRAM names no build with feature crash-points (tests/run makes one)"
        );
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (archive, table) = file(home.path(), "archive", "from = \"start\"");
    let config = configured(home.path(), &table);
    let (mut kills, mut sent) = (0, 0);
    for place in store::SINK_CRASH_PLACES {
        for count in [1, 2, 5] {
            let at = format!("{place}:{count}");
            let environment = [("TACHO_CONFIG", config.as_str()), ("TACHO_CRASH_AT", at.as_str())];
            // One that is passed at once ends the program before it is ready.
            let Ok(mut service) = Service::start_program(&program, home.path(), &environment) else {
                kills += 1;
                continue;
            };
            for _ in 0..20 {
                let body = write(&format!("w-{sent}"), &format!("a-{sent}"));
                let headers = [("authorization", format!("Bearer {}", service.token))];
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let answer = request(&service.address, "POST", "/v1/events", &headers, body.as_bytes());
                if !answer.is_ok_and(|answer| answer.status == 200) {
                    break;
                }
                sent += 1;
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            let ended = service.child.try_wait().unwrap();
            kills += usize::from(ended.is_some_and(|status| status.signal() == Some(9)));
            drop(service);
        }
    }
    let service = Service::start_program(&program, home.path(), &[("TACHO_CONFIG", &config)]).unwrap();
    eventually("every alert is recorded", || recorded(&service).len() >= sent);
    eventually("every alert is there", || firsts(&emissions(&lines(&archive))) == recorded(&service));
    assert!(kills >= store::SINK_CRASH_PLACES.len(), "{kills} kills");
    println!("{kills} kills at points of a delivery, {} alerts, none missing", recorded(&service).len());
    assert_eq!(service.stop(), Some(0));
    assert_eq!(verify(home.path()).0, 0);
}
