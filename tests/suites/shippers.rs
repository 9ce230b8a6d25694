//! Debian's rsyslog and syslog-ng, unmodified, between a gateway's log and the recorder, all of them killed: every line is on record,
//! and once where it has an id.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::contextforge::{Running, counts, documented};
use crate::support::{Seeded, Service, is_full, service_log, signal, verify};

/// A gateway's log: odd lines are events with an id, even ones agentgateway's, which have none.
struct Log {
    file: File,
    lines: u64,
}

impl Log {
    fn new(path: &Path) -> Log {
        Log { file: OpenOptions::new().create(true).append(true).open(path).unwrap(), lines: 0 }
    }

    fn write(&mut self, count: u64) {
        let text: String = (self.lines..self.lines + count).map(line).collect();
        self.lines += count;
        self.file.write_all(text.as_bytes()).unwrap();
    }

    fn with_id(&self) -> u64 {
        self.lines / 2
    }

    fn without_id(&self) -> u64 {
        self.lines.div_ceil(2)
    }
}

fn line(number: u64) -> String {
    let user = format!("u-{}", number % 7);
    let record = if number % 2 == 1 {
        // Longer than shippers take unless told, and not in ASCII.
        let note = if number == 101 { "ü".repeat(50_000) } else { "Grüße \u{2713}".to_string() };
        let is_denied = number.is_multiple_of(5);
        json!({"event_id": format!("e-{number}"), "time": "2026-11-29T22:00:00Z", "kind": "call", "user_id": user,
            "server": "tickets", "method": "tools/call", "capability": if is_denied { "delete_ticket" } else { "get_ticket" },
            "target": format!("ticket://{number}"), "decision": if is_denied { "deny" } else { "allow" },
            "status": if is_denied { "denied" } else { "ok" }, "arguments": {"note": note}})
    } else {
        json!({"time": "2026-11-29T22:00:00.123Z", "level": "info", "protocol": "mcp", "mcp.method.name": "tools/call",
            "mcp.target": "tickets", "mcp.resource.type": "tool", "gen_ai.tool.name": "create_ticket",
            "jwt.sub": user, "http.status": if number.is_multiple_of(10) { 403 } else { 200 }, "duration": "12ms",
            "trace.id": format!("{number:032x}"), "span.id": format!("{number:016x}"), "src.addr": "10.0.0.7:4711"})
    };
    format!("{record}\n")
}

/// A shipper that is killed and comes back.
struct Shipper {
    program: PathBuf,
    arguments: Vec<String>,
    home: PathBuf,
    running: Option<Running>,
}

impl Shipper {
    fn new(home: &Path, program: &str, arguments: &[&str]) -> Option<Shipper> {
        let Some(programs) = std::env::var_os("TACHO_SHIPPERS").map(PathBuf::from) else {
            println!("SKIPPED: no rsyslog and syslog-ng (TACHO_SHIPPERS)");
            return None;
        };
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Some(Shipper { program: programs.join(program), arguments, home: home.to_path_buf(), running: None })
    }

    fn start(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.home.join("shipper.log")).unwrap();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.home).stdout(log.try_clone().unwrap()).stderr(log);
        self.running = Some(Running(command.spawn().unwrap()));
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.running = None;
    }

    fn signal(&self, name: &str) {
        signal(&self.running.as_ref().unwrap().0, name);
    }

    fn log(&self) -> String {
        let text = fs::read_to_string(self.home.join("shipper.log")).unwrap_or_default();
        text[text.len().saturating_sub(2000)..].to_string()
    }
}

fn one(service: &Service, query: &str) -> u64 {
    service.sql(query)[0]["n"].as_u64().unwrap()
}

const CANONICAL: &str = "source LIKE '%/canonical/1' AND kind = 'call'";
const AGENTGATEWAY: &str = "source LIKE '%/agentgateway-log/1'";

/// Waits until every line is on record: lines with an id, and rows and distinct lines of those without.
fn settled(service: &Service, log: &Log, shipper: &Shipper) -> (u64, u64, u64) {
    let with_id = format!("SELECT count(*) AS n FROM events WHERE {CANONICAL}");
    let rows = format!("SELECT count(*) AS n FROM events WHERE {AGENTGATEWAY}");
    let distinct = format!("SELECT count(DISTINCT span_id) AS n FROM events WHERE {AGENTGATEWAY}");
    let started = Instant::now();
    loop {
        let (found, distinct) = (one(service, &with_id), one(service, &distinct));
        if found >= log.with_id() && distinct >= log.without_id() {
            // Whatever is still to come twice.
            std::thread::sleep(Duration::from_millis(1500));
            return (one(service, &with_id), one(service, &rows), distinct);
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{found} of {} and {distinct} of {} lines\n{}\n{}",
            log.with_id(),
            log.without_id(),
            shipper.log(),
            service_log(&shipper.home)
        );
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Who called what, on which target, with which decision and outcome.
fn answers(service: &Service, log: &Log) {
    let columns = "user_id, server, capability, target, decision, status";
    let rows = service.sql(&format!("SELECT {columns} FROM events WHERE event_id = 'e-15'"));
    let expected = json!([{"user_id": "u-1", "server": "tickets", "capability": "delete_ticket", "target": "ticket://15",
        "decision": "deny", "status": "denied"}]);
    assert_eq!(json!(rows), expected);
    let rows = service.sql(&format!(
        "SELECT DISTINCT {columns}, latency_us, source_ip FROM events WHERE span_id = '{:016x}'",
        20
    ));
    let expected = json!([{"user_id": "u-6", "server": "tickets", "capability": "create_ticket", "target": null,
        "decision": "deny", "status": "denied", "latency_us": 12000, "source_ip": "10.0.0.7"}]);
    assert_eq!(json!(rows), expected);
    let denied = (0..log.lines).filter(|number| number % 2 == 1 && number.is_multiple_of(5)).count() as u64;
    let found =
        one(service, &format!("SELECT count(*) AS n FROM events WHERE {CANONICAL} AND decision = 'deny'"));
    assert_eq!(found, denied);
    let notes = service.sql(
        "SELECT p.arguments FROM events e JOIN payloads p ON e.log_index = p.log_index WHERE e.event_id = 'e-101'",
    );
    assert_eq!(notes[0]["arguments"].as_str().unwrap().matches('ü').count(), 50_000);
}

#[test]
fn what_rsyslog_writes_is_recorded() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (spool, agents, input) = (home.join("spool"), home.join("agents"), home.join("gateway.log"));
    fs::create_dir(&spool).unwrap();
    fs::create_dir(&agents).unwrap();
    let placed = |language: &str| {
        documented("rsyslog", language)
            .replace("/var/spool/rsyslog", &spool.display().to_string())
            .replace("/var/log/agents", &agents.display().to_string())
            .replace("/var/log/gateway.log", &input.display().to_string())
    };
    fs::write(home.join("rsyslog.conf"), placed("rsyslog")).unwrap();
    fs::write(home.join("tacho.toml"), placed("toml")).unwrap();
    let pid = home.join("rsyslog.pid").display().to_string();
    let Some(mut shipper) = Shipper::new(home, "rsyslogd", &["-n", "-f", "rsyslog.conf", "-i", &pid]) else {
        return;
    };
    let config = home.join("tacho.toml").display().to_string();
    let environment = [("TACHO_CONFIG", config.as_str())];
    let mut service = Service::start(home, &environment);
    let mut log = Log::new(&input);
    log.write(300);
    shipper.start();
    let mut seeded = Seeded(11);
    let rounds = if is_full() { 45 } else { 9 };
    for round in 0..rounds {
        for _ in 0..4 {
            log.write(50 + seeded.below(80));
            std::thread::sleep(Duration::from_millis(seeded.below(120)));
        }
        match round % 3 {
            0 => {
                shipper.kill();
                log.write(60);
                shipper.start();
            }
            1 => {
                fs::rename(agents.join("agents.jsonl"), agents.join(format!("agents.jsonl.{}", 1 + round)))
                    .unwrap();
                log.write(60);
                shipper.signal("HUP");
                // Its next file is there before the one after it.
                std::thread::sleep(Duration::from_millis(400));
            }
            _ => {
                service.kill();
                log.write(60);
                let (code, text) = verify(home);
                assert_eq!(code, 0, "round {round}: {text}");
                service = Service::start(home, &environment);
            }
        }
    }
    let (with_id, rows, distinct) = settled(&service, &log, &shipper);
    shipper.kill();
    assert_eq!((with_id, distinct), (log.with_id(), log.without_id()), "each line with an id once");
    // What rsyslog itself wrote twice is twice in its files, and as often on record as there.
    let mut written = 0;
    for file in fs::read_dir(&agents).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let whole = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok());
        written += whole.filter(|line| line.contains("span.id")).count() as u64;
    }
    assert_eq!(rows, written, "each line of its files once");
    answers(&service, &log);
    let [_, _, refused, _] = counts(&service);
    println!(
        "rsyslog: {} lines, {rounds} kills and rotations: each recorded once with an id; {} twice without; {refused} torn",
        log.lines,
        rows - distinct
    );
    assert_eq!(service.stop(), Some(0));
    let (code, text) = verify(home);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn what_syslog_ng_posts_is_recorded() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let input = home.join("gateway.log");
    let arguments = ["-F", "--stderr", "-f", "syslog-ng.conf", "-R", "persist", "-c", "control", "-p", "pid"];
    let Some(mut shipper) = Shipper::new(home, "syslog-ng", &arguments) else { return };
    let mut service = Service::start(home, &[]);
    let address = service.address.clone();
    let body = json!({"role": "collector", "tenant": "default"}).to_string();
    let made =
        service.send("POST", "/api/v1/tokens", &[("content-type", "application/json")], body.as_bytes());
    let config = documented("syslog-ng", "syslog-ng")
        .replace("127.0.0.1:7420", &address)
        .replace("$TOKEN", made.json()["token"].as_str().unwrap())
        .replace("/var/log/gateway.log", &input.display().to_string());
    fs::write(home.join("syslog-ng.conf"), config).unwrap();
    let mut log = Log::new(&input);
    log.write(300);
    shipper.start();
    let mut seeded = Seeded(12);
    let rounds = if is_full() { 40 } else { 8 };
    for round in 0..rounds {
        for _ in 0..4 {
            log.write(50 + seeded.below(80));
            std::thread::sleep(Duration::from_millis(seeded.below(200)));
        }
        if round % 2 == 0 {
            shipper.kill();
            log.write(60);
            shipper.start();
        } else {
            service.kill();
            log.write(60);
            let (code, text) = verify(home);
            assert_eq!(code, 0, "round {round}: {text}");
            service = Service::start(home, &[("TACHO_LISTEN", address.as_str())]);
        }
    }
    settled(&service, &log, &shipper);
    // A line that is no event, alone in its batch, holds up nothing.
    log.file.write_all(b"{\"capability\": broken\n").unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    log.write(10);
    let (with_id, rows, distinct) = settled(&service, &log, &shipper);
    assert_eq!((with_id, distinct), (log.with_id(), log.without_id()), "each line with an id once");
    answers(&service, &log);
    let [_, duplicate, refused, _] = counts(&service);
    assert_eq!(refused, 1, "{}", shipper.log());
    println!(
        "syslog-ng: {} lines, {rounds} kills: each recorded once with an id; {} twice without; {duplicate} sent again to the last",
        log.lines,
        rows - distinct
    );
    assert_eq!(service.stop(), Some(0));
    let (code, text) = verify(home);
    assert_eq!(code, 0, "{text}");
}
