//! ContextForge, unmodified, tells of itself by its own two exporters: its spans over OTLP and its SIEM records by webhook.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Service, request, signal, verify};

const ADMIN_PASSWORD: &str = "Gate-Keeper-77!x";
/// So that it starts without a database server, on loopback and in a hurry.
const LOCAL: [(&str, &str); 13] = [
    ("JWT_SECRET_KEY", "Qn7vX2mZ9wLk4TtRb8YcHd3EfGj6PsUa5NxK"),
    ("AUTH_ENCRYPTION_SECRET", "Vb3kM8sTq1ZxW7yLr5HnC9dGf2JpEu6Ra4Xo"),
    ("CACHE_TYPE", "memory"),
    ("PLATFORM_ADMIN_EMAIL", "admin@acme.example"),
    ("PLATFORM_ADMIN_PASSWORD", ADMIN_PASSWORD),
    ("ADMIN_REQUIRE_PASSWORD_CHANGE_ON_BOOTSTRAP", "false"),
    ("SSRF_ALLOW_LOCALHOST", "true"),
    ("SSRF_ALLOW_PRIVATE_NETWORKS", "true"),
    ("MCPGATEWAY_UI_ENABLED", "false"),
    ("MCPGATEWAY_ADMIN_API_ENABLED", "true"),
    ("PLUGINS_ENABLED", "true"),
    ("SIEM_EXPORT_FLUSH_INTERVAL_SECONDS", "1"),
    ("OTEL_BSP_SCHEDULE_DELAY", "300"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/contextforge")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The first block of this language under this heading of `docs/producers.md`.
pub(super) fn documented(heading: &str, language: &str) -> String {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/producers.md")).unwrap();
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let block = section.split(&format!("\n```{language}\n")).nth(1).unwrap();
    block.split("\n```\n").next().unwrap().to_string() + "\n"
}

/// A process that is killed when dropped.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The gateway and the MCP server behind it.
struct Gateway {
    python: PathBuf,
    home: PathBuf,
    gateway: Running,
    _upstream: Running,
    url: String,
    upstream_port: u16,
}

impl Gateway {
    /// Starts both; the gateway tells the recorder at `recorder`.
    fn start(home: &Path, recorder: &str, token: &str) -> Option<Gateway> {
        let Some(programs) = std::env::var_os("TACHO_CONTEXTFORGE").map(PathBuf::from) else {
            println!("SKIPPED: no ContextForge (TACHO_CONTEXTFORGE)");
            return None;
        };
        let (port, upstream_port) = (free_port(), free_port());
        let said = |name: &str| File::create(home.join(name)).unwrap();
        let python = programs.join("python");
        let upstream = Command::new(&python)
            .arg(folder().join("server.py"))
            .arg(upstream_port.to_string())
            .stdout(said("upstream.log"))
            .stderr(said("upstream.err"))
            .spawn()
            .unwrap();
        // What the documentation says, as a shell does it.
        let exports = documented("ContextForge", "sh").replace("127.0.0.1:7420", recorder);
        let gateway = Command::new("sh")
            .args(["-c", &format!("{exports}\nexec \"$0\" \"$@\"")])
            .arg(programs.join("mcpgateway"))
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .current_dir(home)
            .envs(LOCAL)
            .env("TOKEN", token)
            .env("DATABASE_URL", format!("sqlite:///{}", home.join("gateway.db").display()))
            .env("PLUGINS_CONFIG_FILE", folder().join("plugins.yaml"))
            .env("PYTHONPATH", folder())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(said("gateway.log"))
            .stderr(said("gateway.err"))
            .spawn()
            .unwrap();
        let mut gateway = Running(gateway);
        let address = format!("127.0.0.1:{port}");
        let started = Instant::now();
        while !request(&address, "GET", "/health", &[], b"").is_ok_and(|answer| answer.status == 200) {
            assert!(gateway.0.try_wait().unwrap().is_none(), "the gateway ended: {}", said_last(home));
            assert!(
                started.elapsed() < Duration::from_secs(180),
                "the gateway did not start: {}",
                said_last(home)
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("ContextForge: took {} s to start", started.elapsed().as_secs());
        let url = format!("http://{address}");
        Some(Gateway {
            python,
            home: home.to_path_buf(),
            gateway,
            _upstream: Running(upstream),
            url,
            upstream_port,
        })
    }

    fn client(&self) -> Client {
        let mut child = Command::new(&self.python)
            .arg(folder().join("client.py"))
            .arg(&self.url)
            .arg(format!("http://127.0.0.1:{}/mcp", self.upstream_port))
            .envs(LOCAL)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(self.home.join("client.err")).unwrap())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Client { _child: Running(child), input, output, said: String::new(), home: self.home.clone() }
    }

    /// SIGTERM: what waits in its exporters is sent before it ends.
    fn stop(mut self) {
        signal(&self.gateway.0, "TERM");
        let started = Instant::now();
        while self.gateway.0.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "the gateway does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn said_last(home: &Path) -> String {
    let files = ["gateway.err", "gateway.log", "upstream.err", "client.err"];
    let texts = files.map(|file| std::fs::read(home.join(file)).unwrap_or_default());
    let ends =
        texts.map(|text| String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned());
    ends.join("\n")
}

/// `client.py`, which stops where it waits for us.
struct Client {
    _child: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    said: String,
    home: PathBuf,
}

impl Client {
    /// Reads until a line begins so; the rest of that line.
    fn until(&mut self, beginning: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "{}\n{}", self.said, said_last(&self.home));
            self.said.push_str(&line);
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.trim().to_string();
            }
        }
    }

    fn go_on(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }
}

/// Received is durable, duplicate, refused or not recorded; those four, of this life of the service.
pub(super) fn counts(service: &Service) -> [u64; 4] {
    let text = service.send("GET", "/metrics", &[], b"").text();
    let of = |what: &str| {
        let name = format!("tacho_ingest_events_{what}_total");
        let lines = text.lines().filter(|line| {
            line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    let counts = ["durable", "duplicate", "refused", "not_recorded"].map(of);
    assert_eq!(of("received"), counts.iter().sum::<u64>(), "{counts:?}");
    counts
}

fn wait_for(service: &Service, home: &Path, query: &str, rows: u64) {
    let started = Instant::now();
    loop {
        let found = service.sql(query)[0]["n"].as_u64().unwrap();
        if found >= rows {
            return;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{found} of {rows}: {query}\n{}",
            said_last(home)
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn what_contextforge_exports_answers_who_did_what() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let service = Service::start(home, &[]);
    let address = service.address.clone();
    let body = json!({"role": "collector", "tenant": "default"}).to_string();
    let made =
        service.send("POST", "/api/v1/tokens", &[("content-type", "application/json")], body.as_bytes());
    let token = made.json()["token"].as_str().unwrap().to_string();
    let Some(gateway) = Gateway::start(home, &address, &token) else { return };
    let mut client = gateway.client();
    client.until("recorder: may go");
    for line in [
        "wrong password: 401",
        "eve: 401",
        "tickets-get-ticket: ok ticket 7: the printer is on fire",
        "tickets-delete-ticket: error Error executing tool delete_ticket: permission denied for ticket 7",
        "tickets-get-ticket: error tool_pre_invoke blocked by plugin SealedTickets",
        "tickets-no-such-tool: error Tool not found",
        "bob: {'code': -32003, 'message': 'Access denied'",
    ] {
        assert!(client.said.contains(line), "{line}\n{}", client.said);
    }
    let siem = "source LIKE '%/contextforge-siem/1'";
    let spans = "source LIKE '%/contextforge-otel/1'";
    wait_for(
        &service,
        home,
        &format!("SELECT count(*) AS n FROM events WHERE {spans} AND method = 'prompts/get'"),
        1,
    );
    wait_for(
        &service,
        home,
        &format!("SELECT count(*) AS n FROM events WHERE {siem} AND user_id LIKE 'bob@%'"),
        1,
    );
    let [durable, duplicate, refused, not_recorded] = counts(&service);
    assert!(duplicate == 0 && refused == 0 && not_recorded > 50, "HTTP requests and the parts of calls");
    answers(&service, gateway.upstream_port, spans, siem);

    // The recorder is killed, the gateway goes on, the recorder comes back.
    service.kill();
    client.go_on();
    client.until("recorder: may come back");
    let service = Service::start(home, &[("TACHO_LISTEN", address.as_str())]);
    let found = |what: &str| service.sql(&format!("SELECT count({what}) AS n FROM events WHERE {siem}"));
    let refusals =
        format!("SELECT count(DISTINCT event_id) AS n FROM events WHERE {siem} AND error_class = 'auth'");
    wait_for(&service, home, &refusals, 2);
    client.go_on();
    let acknowledged: u64 = client.until("siem: ").parse().unwrap();
    gateway.stop();
    let distinct = found("DISTINCT event_id")[0]["n"].as_u64().unwrap();
    assert!(distinct >= acknowledged, "{acknowledged} acknowledged, {distinct} found");
    // What was sent again because its answer was lost has another `_meta`: it is on record twice, and says so.
    let twice = service.sql(&format!(
        "SELECT count(*) - count(DISTINCT event_id) AS n, count(*) FILTER (WHERE array_has(tags, 'id_conflict')) AS told FROM events WHERE {siem}"
    ));
    assert_eq!(twice[0]["n"], twice[0]["told"], "{twice:?}");
    let away = format!(
        "SELECT count(*) AS n FROM events WHERE {spans} AND user_id LIKE 'admin@%' AND method = 'tools/call' AND observer = 'gateway'"
    );
    wait_for(&service, home, &away, 1);
    let [again, ..] = counts(&service);
    let rows =
        service.sql("SELECT count(*) AS n FROM events WHERE control IS NULL")[0]["n"].as_u64().unwrap();
    // The life that was killed may have recorded more than it was last asked about.
    assert!(rows >= durable + again, "{durable} and {again} counted durable, {rows} on record");
    println!(
        "ContextForge: {acknowledged} SIEM records acknowledged, none lost; {rows} events of it on record"
    );
    assert_eq!(service.stop(), Some(0));
    let (code, text) = verify(home);
    assert_eq!(code, 0, "{text}");
}

/// Who called what, on which target, with which decision and outcome.
fn answers(service: &Service, upstream_port: u16, spans: &str, siem: &str) {
    let rows = service.sql(&format!(
        "SELECT user_id, auth_method, capability, decision, status, error_class, count(*) AS n FROM events \
         WHERE {spans} AND kind = 'call' AND observer = 'gateway' GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 3, 4"
    ));
    let of = |capability: &str, decision: &str, status: &str, class: Value, n: u64| {
        json!({"user_id": "ann@acme.example", "auth_method": "jwt", "capability": capability, "decision": decision,
            "status": status, "error_class": class, "n": n})
    };
    let expected = json!([
        of("notes://today", "none", "ok", Value::Null, 1),
        of("tickets-delete-ticket", "none", "error", json!("tool"), 1),
        of("tickets-get-ticket", "deny", "denied", json!("policy"), 1),
        of("tickets-get-ticket", "none", "ok", Value::Null, 2),
        of("tickets-summarise", "none", "ok", Value::Null, 1),
    ]);
    assert_eq!(json!(rows), expected);
    // What was denied, and why.
    let rows = service.sql(
        "SELECT p.arguments, p.decision_reason FROM events e JOIN payloads p ON e.log_index = p.log_index \
         WHERE e.decision = 'deny' AND e.method = 'tools/call'",
    );
    assert_eq!(rows[0]["arguments"], json!("{\"number\":100}"), "{rows:?}");
    assert!(
        rows[0]["decision_reason"].as_str().unwrap().ends_with("(tickets from 100 on are sealed)"),
        "{rows:?}"
    );
    // The upstream that a call went to, by the gateway's own client span of the same call and trace.
    let rows = service.sql(
        "SELECT c.target, c.capability, g.capability AS asked, count(*) AS n FROM events c \
         JOIN events g ON c.call_id = g.call_id AND c.trace_id = g.trace_id AND c.server = g.server \
         WHERE c.observer = 'client' AND g.observer = 'gateway' GROUP BY 1, 2, 3 ORDER BY 2",
    );
    let target = format!("http://localhost:{upstream_port}/mcp");
    let expected = json!([
        {"target": target, "capability": "delete_ticket", "asked": "tickets-delete-ticket", "n": 1},
        {"target": target, "capability": "get_ticket", "asked": "tickets-get-ticket", "n": 2},
    ]);
    assert_eq!(json!(rows), expected);
    // Each call once from each side: the spans of its parts are no calls.
    let rows = service.sql(
        "SELECT observer, count(*) AS n, count(DISTINCT call_id) AS calls, min(latency_us) > 0 AS timed FROM events \
         WHERE method = 'tools/call' GROUP BY 1 ORDER BY 1",
    );
    let expected = json!([
        {"observer": "client", "n": 3, "calls": 3, "timed": true},
        {"observer": "gateway", "n": 4, "calls": 4, "timed": true},
    ]);
    assert_eq!(json!(rows), expected);
    // The server's name, by the SIEM record of its registration.
    let rows = service.sql(&format!(
        "SELECT DISTINCT s.user_id, s.capability FROM events s JOIN events c ON s.target = c.server \
         WHERE s.{siem} AND s.kind = 'config' AND s.action = 'write' AND c.capability = 'tickets-get-ticket'"
    ));
    assert_eq!(json!(rows), json!([{"user_id": "admin@acme.example", "capability": "tickets"}]));
    // Logins are FastAPI's spans, checks of tokens the SIEM exporter's records.
    let rows = service.sql(
        "SELECT decision, status, error_code, count(*) AS n FROM events WHERE method = 'login' GROUP BY 1, 2, 3 ORDER BY 1",
    );
    let expected = json!([
        {"decision": "allow", "status": "ok", "error_code": null, "n": 4},
        {"decision": "deny", "status": "denied", "error_code": "401", "n": 1},
    ]);
    assert_eq!(json!(rows), expected);
    let rows = service.sql(&format!(
        "SELECT user_id, decision, status, source_ip, auth_method, count(*) > 0 AS some FROM events \
         WHERE {siem} AND kind = 'auth' GROUP BY 1, 2, 3, 4, 5 ORDER BY 1"
    ));
    let checked = |user: Value, decision: &str, status: &str| {
        json!({"user_id": user, "decision": decision, "status": status, "source_ip": "127.0.0.1",
            "auth_method": "bearer_token", "some": true})
    };
    let expected = json!([
        checked(json!("admin@acme.example"), "allow", "ok"),
        checked(json!("ann@acme.example"), "allow", "ok"),
        checked(json!("bob@acme.example"), "allow", "ok"),
        checked(Value::Null, "deny", "denied"),
    ]);
    assert_eq!(json!(rows), expected);
}
