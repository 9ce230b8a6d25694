//! Starting the program, and a small HTTP client.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Whether everything is to be run, not the seeded subset.
pub fn is_full() -> bool {
    std::env::var_os("TACHO_FULL").is_some()
}

/// Waits for something that is true soon.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The program under test.
pub fn tacho() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tacho"))
}

/// The sum of a metric over its labels in the text of `/metrics`; 0 where it is not there.
pub fn metric(text: &str, name: &str) -> u64 {
    let lines = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
    });
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// What the text of `/metrics` says became of the events that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events {
    pub received: u64,
    pub durable: u64,
    pub duplicate: u64,
    pub refused: u64,
    pub not_recorded: u64,
}

/// Reads them, and checks that no event is unaccounted for. No request may be under way.
pub fn events(metrics: &str) -> Events {
    let of = |what: &str| metric(metrics, &format!("tacho_ingest_events_{what}_total"));
    let [received, durable, duplicate, refused, not_recorded] =
        ["received", "durable", "duplicate", "refused", "not_recorded"].map(of);
    let events = Events { received, durable, duplicate, refused, not_recorded };
    assert_eq!(received, durable + duplicate + refused + not_recorded, "{events:?}");
    events
}

/// A file of `../shared`, where the project has it beside it. A test that gets `None` is skipped, and ends.
pub fn shared(path: &str) -> Option<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    let found = std::fs::read(&file).ok();
    if found.is_none() {
        println!("SKIPPED: {} is not here", file.display());
    }
    found
}

/// A service that is killed when dropped.
#[derive(Debug)]
pub struct Service {
    pub child: Child,
    pub address: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Of its PostgreSQL port, if it has one.
    pub postgres: Option<String>,
    /// Of all its ports, by what `ready` calls them.
    pub ports: HashMap<String, String>,
    pub token: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Service {
    /// Starts the program on `<home>/data`, and waits until it is ready.
    pub fn start(home: &Path, environment: &[(&str, &str)]) -> Service {
        Service::start_program(&tacho(), home, environment).unwrap_or_else(|status| {
            panic!("the service did not start: {status}\n{}", service_log(home));
        })
    }

    /// As [`Service::start`] with another program; how it ended when it did so before it was ready.
    pub fn start_program(
        program: &Path,
        home: &Path,
        environment: &[(&str, &str)],
    ) -> Result<Service, ExitStatus> {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(home.join("service.log")).unwrap();
        // Any free port, unless the test must know it beforehand.
        let listen = environment.iter().find(|(name, _)| *name == "TACHO_LISTEN");
        let mut child = Command::new(program)
            .args(["serve", "--listen", listen.map_or("127.0.0.1:0", |(_, address)| address), "--data"])
            .arg(home.join("data"))
            .arg("--keys")
            .arg(home.join("keys"))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = line.trim().strip_prefix("ready ").unwrap_or_default();
        let mut ports = ready.split(' ').filter_map(|port| port.split_once('='));
        let Some((scheme, address)) = ports.next() else {
            return Err(child.wait().unwrap());
        };
        let ports: HashMap<String, String> =
            ports.map(|(name, address)| (name.to_string(), address.to_string())).collect();
        let postgres = ports.get("pg").cloned();
        let token = std::fs::read_to_string(home.join("keys/admin.token")).unwrap().trim().to_string();
        Ok(Service {
            child,
            address: address.to_string(),
            scheme: scheme.to_string(),
            postgres,
            ports,
            token,
        })
    }

    /// What `tacho config show` says of `<home>/tacho.toml`.
    pub fn config(home: &Path) -> String {
        let file = home.join("tacho.toml").display().to_string();
        String::from_utf8(run(&["config", "show", "--config", &file]).stdout).unwrap()
    }

    /// Sends a request with the admin token.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let with_token: Vec<(&str, &str)> =
            std::iter::once(("authorization", bearer.as_str())).chain(headers.iter().copied()).collect();
        request(&self.address, method, path, &with_token, body).expect("an answer")
    }

    pub fn post_events(&self, body: &[u8]) -> Answer {
        self.send("POST", "/v1/events", &[("content-type", "application/x-ndjson")], body)
    }

    /// The rows of an answer.
    pub fn sql(&self, query: &str) -> Vec<Value> {
        let body = serde_json::json!({"query": query, "format": "json"}).to_string();
        let answer =
            self.send("POST", "/api/v1/sql", &[("content-type", "application/json")], body.as_bytes());
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json().as_array().unwrap().clone()
    }

    /// What became of the events that came since it started.
    pub fn accounted(&self) -> Events {
        events(&self.send("GET", "/metrics", &[], b"").text())
    }

    /// SIGTERM; the exit code.
    pub fn stop(mut self) -> Option<i32> {
        signal(&self.child, "TERM");
        wait(&mut self.child, Duration::from_secs(60))
    }

    /// SIGKILL, unless it has ended; how it ended.
    pub fn kill(mut self) -> ExitStatus {
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The end of what the service under `home` said.
pub fn service_log(home: &Path) -> String {
    let text = std::fs::read(home.join("service.log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
}

fn wait(child: &mut Child, patience: Duration) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < patience {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it did not end within {patience:?}");
}

/// One request on a connection of its own.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    exchange(TcpStream::connect(address)?, address, method, path, headers, body)
}

/// The same from another address of this machine.
pub fn request_from(
    source: &str,
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let parse = |text: &str| text.parse::<std::net::SocketAddr>().map_err(std::io::Error::other);
    let (from, to) = (parse(&format!("{source}:0"))?, parse(address)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(from)?;
        socket.connect(to).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    exchange(stream, address, method, path, headers, body)
}

fn exchange(
    mut stream: TcpStream,
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    // A server may answer and close before it has read a body that it refuses.
    let sent = stream.write_all(body);
    let mut raw = Vec::new();
    match stream.read_to_end(&mut raw) {
        Err(error) if raw.is_empty() => return Err(error),
        _ => {}
    }
    if raw.is_empty() {
        sent?;
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "no answer"));
    }
    parse(&raw)
}

fn parse(raw: &[u8]) -> std::io::Result<Answer> {
    let broken = || std::io::Error::new(std::io::ErrorKind::InvalidData, "not an HTTP answer");
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(broken)?;
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(broken)?;
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_string()))
        .collect();
    let mut body = raw[end + 4..].to_vec();
    if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        body = dechunk(&body).ok_or_else(broken)?;
    } else if let Some(length) = headers.get("content-length")
        && body.len() < length.parse().map_err(|_| broken())?
    {
        return Err(broken());
    }
    Ok(Answer { status, headers, body })
}

fn dechunk(mut raw: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = raw.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..end]).ok()?.trim(), 16).ok()?;
        raw = &raw[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(raw.get(..size)?);
        raw = raw.get(size + 2..)?;
    }
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(tacho()).args(arguments).output().unwrap()
}

/// Runs `tacho verify` on `<home>/data`; exit code and output.
pub fn verify(home: &Path) -> (i32, String) {
    let output = Command::new(tacho())
        .args(["verify", "--trust-store-key", "--data"])
        .arg(home.join("data"))
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}

/// How every test of a fault ends: what came to this service is durable, a duplicate, refused or no tool activity, by its own
/// metrics; it stops in order; and the whole store verifies. No request may be under way.
pub fn whole(home: &Path, service: Service) -> Events {
    let events = service.accounted();
    assert_eq!(service.stop(), Some(0), "{}", service_log(home));
    let (code, text) = verify(home);
    assert_eq!(code, 0, "{text}");
    events
}

/// A canonical event.
pub fn event(id: &str) -> String {
    format!(
        r#"{{"event_id":"{id}","time":"2026-11-21T10:00:00Z","kind":"call","user_id":"u-1","agent_id":"a-1","session_id":"s-1","server":"github","capability":"get_issue","method":"tools/call","decision":"allow","status":"ok","latency_us":1200,"arguments":{{"number":7}},"result":"ok"}}"#
    )
}

/// A small deterministic generator for tests that choose.
#[derive(Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
