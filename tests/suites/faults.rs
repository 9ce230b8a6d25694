//! What goes wrong around a recorder. Each test ends in one account: what was received is durable, a duplicate or refused;
//! what was acknowledged is there, once; and the whole store verifies.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::{Events, Service, event, eventually, is_full, run, service_log, tacho, whole};

/// The account: so many events of senders are on record, and nothing else came of what was received.
fn settle(home: &Path, service: Service, acknowledged: u64) {
    let rows = service.sql(
        "SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM events \
                            WHERE control IS NULL AND kind <> 'integrity'",
    );
    assert_eq!(rows[0], json!({"n": acknowledged, "ids": acknowledged}));
    whole(home, service);
}

/// A request of which only the first `cut` bytes are sent; what is answered before the connection ends.
fn torn(service: &Service, head: &str, body: &[u8], cut: usize) -> String {
    let mut stream = TcpStream::connect(&service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST {head}\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        service.address, service.token
    );
    let whole = [head.as_bytes(), body].concat();
    // A service that answers before all has come and ends the connection is an answer as well.
    let sent = stream.write_all(&whole[..(head.len() + cut).min(whole.len())]);
    sent.and_then(|()| stream.shutdown(Shutdown::Write)).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_body_that_breaks_off_is_refused_whole_and_what_comes_between_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let body: String = (0..50).map(|number| event(&format!("torn-{number}")) + "\n").collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(body.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    let otlp = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"timeUnixNano": "1795989621000000000", "attributes": [
            {"key": "gen_ai.tool.name", "value": {"stringValue": "x"}}]}]}]}]})
    .to_string();
    let plain = format!("/v1/events HTTP/1.1\r\ncontent-length: {}", body.len());
    let packed = format!("/v1/events HTTP/1.1\r\ncontent-encoding: gzip\r\ncontent-length: {}", gzip.len());
    let short =
        format!("/v1/events HTTP/1.1\r\ncontent-encoding: gzip\r\ncontent-length: {}", gzip.len() / 2);
    let chunked = "/v1/events HTTP/1.1\r\ntransfer-encoding: chunked".to_string();
    let traced =
        format!("/v1/logs HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}", otlp.len());
    let mut good = 0;
    let mut tear = |name: &str, head: &str, body: &[u8], cut: usize| {
        let answer = torn(&service, head, body, cut);
        assert!(!answer.contains(" 200 "), "{name} at {cut}: {answer}");
        let answer = service.post_events(event(&format!("good-{name}-{cut}")).as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        good += 1;
        if answer.json()["accepted"] != 1 {
            panic!("{}", answer.text());
        }
    };
    for part in [0, 1, 7, 15] {
        let of = |whole: usize| whole * part / 16;
        tear("plain", &plain, body.as_bytes(), of(body.len()));
        tear("packed", &packed, &gzip, of(gzip.len()));
        tear("chunked", &chunked, chunk.as_bytes(), of(chunk.len()));
        tear("traced", &traced, otlp.as_bytes(), of(otlp.len()));
    }
    // Whole by its length, and yet not: the compressed stream, or the chunk, breaks off.
    tear("short", &short, &gzip, gzip.len() / 2);
    tear("unchunked", &chunked, format!("zz\r\n{body}").as_bytes(), usize::MAX / 2);
    tear("endless", &chunked, chunk.as_bytes(), chunk.len());
    let Events { refused, .. } = service.accounted();
    assert_eq!(refused, 0, "no value of a body that breaks off was looked at");
    settle(home.path(), service, good);
}

/// Sends `count` requests of one event each on one connection, `PIPELINED` at a time.
fn tiny(service: &Service, sender: usize, count: usize) {
    const PIPELINED: usize = 32;
    let mut stream = TcpStream::connect(&service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut sent = 0;
    while sent < count {
        let now = PIPELINED.min(count - sent);
        let mut text = String::new();
        for number in sent..sent + now {
            let body = event(&format!("t-{sender}-{number}"));
            text.push_str(&format!(
                "POST /v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
                service.address,
                service.token,
                body.len()
            ));
        }
        stream.write_all(text.as_bytes()).unwrap();
        let (mut answers, mut piece) = (Vec::new(), [0; 1 << 16]);
        while answers.windows(12).filter(|window| *window == b"\"accepted\":1").count() < now {
            let read = stream.read(&mut piece).unwrap();
            answers.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&answers);
            assert!(read > 0 && !text.contains("\"code\""), "{text}");
        }
        sent += now;
    }
}

#[test]
fn a_flood_of_tiny_requests_is_taken_one_by_one() {
    let (senders, each) = if is_full() { (64, 15_625) } else { (32, 250) };
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for sender in 0..senders {
            let service = &service;
            scope.spawn(move || tiny(service, sender, each));
        }
    });
    println!("{} tiny requests of one event in {:.1} s", senders * each, started.elapsed().as_secs_f64());
    settle(home.path(), service, (senders * each) as u64);
}

/// A small disk of its own: a file system in memory, in a name space that lives as long as this.
struct SmallDisk {
    holder: Child,
}

impl SmallDisk {
    /// At `<home>/data`; none where the system does not let one.
    fn mount(home: &Path, mib: u32) -> Option<SmallDisk> {
        let data = home.join("data");
        fs::create_dir(&data).unwrap();
        let script = format!("mount -t tmpfs -o size={mib}m tmpfs {data:?} && echo up && exec sleep 100000");
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut up = [0; 3];
        let is_up = holder.stdout.take()?.read_exact(&mut up).is_ok();
        let disk = SmallDisk { holder };
        is_up.then_some(disk)
    }

    fn enter(&self) -> String {
        format!("nsenter --preserve-credentials --user --mount --target {}", self.holder.id())
    }

    /// The program, on this disk.
    fn program(&self, home: &Path) -> std::path::PathBuf {
        let script = home.join("tacho-there");
        fs::write(&script, format!("#!/bin/sh\nexec {} {:?} \"$@\"\n", self.enter(), tacho())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        script
    }

    fn shell(&self, command: &str) -> std::process::Output {
        Command::new("sh").arg("-c").arg(format!("{} sh -c '{command}'", self.enter())).output().unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

/// Posts batches until one is not taken; how many events were.
fn post_until_refused(service: &Service, prefix: &str) -> (u64, String) {
    let mut taken = 0;
    for batch in 0..4_000 {
        let body: String =
            (0..100).map(|number| event(&format!("{prefix}-{batch}-{number}")) + "\n").collect();
        let answer = service.post_events(body.as_bytes());
        if answer.status != 200 {
            assert_eq!(answer.status, 503, "{}", answer.text());
            return (taken, answer.json()["code"].as_str().unwrap().to_string());
        }
        taken += 100;
    }
    panic!("{taken} events, and the disk is not full");
}

/// With `floor` bytes to be kept free. A file of somebody else fills the disk up; then there is room again.
fn full_disk(floor: &str) {
    let home = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(home.path(), 96) else {
        println!("SKIPPED: no disk of its own can be made (unshare, mount)");
        return;
    };
    let program = disk.program(home.path());
    let logs = home.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let config = home.path().join("tacho.toml");
    fs::write(&config, format!("[[tail]]\nname = \"t\"\npath = {:?}\n", logs.join("a.jsonl"))).unwrap();
    let config = config.display().to_string();
    let environment = [
        ("TACHO_STORE_DISK_FREE_BYTES_MIN", floor),
        ("TACHO_STORE_WAL_FILE_BYTES", "4000000"),
        ("TACHO_STORE_SEAL_ROWS", "20000"),
        ("TACHO_CONFIG", &config),
    ];
    let start = || {
        Service::start_program(&program, home.path(), &environment)
            .unwrap_or_else(|status| panic!("{status}\n{}", service_log(home.path())))
    };
    let mut service = start();
    let mut acknowledged = 0;
    let fill = format!("head -c 200000000 /dev/zero > {}/data/ballast; true", home.path().display());
    for round in 0..2 {
        disk.shell(&fill);
        let (taken, code) = post_until_refused(&service, &format!("r{round}"));
        acknowledged += taken;
        // What a file holds waits in it.
        fs::write(
            logs.join("a.jsonl"),
            (0..=round).map(|line| event(&format!("line-{line}")) + "\n").collect::<String>(),
        )
        .unwrap();
        println!("full disk, floor {floor}, {taken} events taken, then {code}");
        assert!(["disk_full", "poisoned"].contains(&code.as_str()), "{code}");
        eventually("it is not ready", || service.send("GET", "/ready", &[], b"").status == 503);
        disk.shell(&format!("rm -f {}/data/ballast", home.path().display()));
        // A disk that is full to the last byte may have stopped the store after it refused the first event, too.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = service.post_events(event(&format!("again-{round}")).as_bytes());
            if answer.status == 200 {
                break;
            }
            assert!(Instant::now() < deadline, "there is room again, but: {}", answer.text());
            if answer.json()["code"] == "poisoned" {
                service.kill();
                service = start();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        acknowledged += 1;
    }
    eventually("what waited in the file", || {
        service.sql("SELECT 1 AS one FROM events WHERE event_id = 'line-1'").len() == 1
    });
    acknowledged += 2;
    service.accounted();
    let rows = service.sql(
        "SELECT count(DISTINCT event_id) AS n FROM events WHERE control IS NULL AND kind <> 'integrity'",
    );
    assert_eq!(rows[0]["n"], acknowledged);
    assert_eq!(service.stop(), Some(0), "{}", service_log(home.path()));
    let data = home.path().join("data");
    let verified = disk.shell(&format!("{:?} verify --trust-store-key --data {data:?}", tacho()));
    let text =
        String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
    assert_eq!(verified.status.code(), Some(0), "{text}");
}

#[test]
fn a_disk_that_fills_up_refuses_and_takes_again_once_there_is_room() {
    full_disk("33554432");
}

#[test]
fn a_disk_that_is_really_full_loses_nothing_acknowledged() {
    full_disk("0");
}

#[test]
fn odd_lines_of_a_followed_file_are_told_and_spoil_nothing() {
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let config = home.path().join("tacho.toml");
    fs::write(&config, format!("[[tail]]\nname = \"t\"\npath = {:?}\n", logs.join("a.jsonl"))).unwrap();
    let with = |from: &str, to: &str| event("bad").replace(from, to).into_bytes();
    let long = with("\"ok\"}", &format!("\"{}\"}}", "x".repeat(17 << 20)));
    let deep = [b"{\"a\":".repeat(10_000), b"1".to_vec(), b"}".repeat(10_000)].concat();
    let odd: [Vec<u8>; 8] = [
        b"{\"time\":\"\xff\xfe\"}".to_vec(),
        with("\"kind\":\"call\"", "\"kind\":\"call\",\"kind\":\"auth\""),
        with("get_issue", "\\ud800"),
        with("1200", "99999999999999999999"),
        deep,
        long,
        b"\0\0\0\0".to_vec(),
        b"{\"time\":".to_vec(),
    ];
    let mut file = Vec::new();
    for (number, odd) in odd.iter().enumerate() {
        file.extend_from_slice(event(&format!("good-{number}")).as_bytes());
        file.push(b'\n');
        file.extend_from_slice(odd);
        file.push(b'\n');
    }
    file.extend_from_slice(
        event("big").replace("{\"number\":7}", "{\"number\":9007199254740993}").as_bytes(),
    );
    file.push(b'\n');
    fs::write(logs.join("a.jsonl"), file).unwrap();
    let config = config.display().to_string();
    let service = Service::start(home.path(), &[("TACHO_CONFIG", &config)]);
    eventually("the last line", || {
        service.sql("SELECT 1 AS one FROM events WHERE event_id = 'big'").len() == 1
    });
    let notices = service.sql(
        "SELECT p.attributes AS told FROM events e JOIN payloads p ON e.log_index = p.log_index \
         WHERE e.kind = 'integrity'",
    );
    let Events { refused, .. } = service.accounted();
    assert!(!notices.is_empty(), "{refused} refused, and nothing told");
    let rows = service.sql("SELECT 1 AS one FROM payloads WHERE arguments LIKE '%9007199254740993%'");
    assert_eq!(rows.len(), 1);
    settle(home.path(), service, odd.len() as u64 + 1);
}

#[test]
fn events_over_every_limit_are_refused_or_kept_whole_beside() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let keys: Vec<String> = (0..1_100).map(|number| format!("\"k{number}\":1")).collect();
    let many = format!("{{\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",{}}}", keys.join(","));
    let answer = service.post_events(many.as_bytes());
    assert_eq!(answer.json()["rejected"][0]["code"], "too_many_keys", "{}", answer.text());
    let long = "long ".repeat(20_000);
    let columns = [
        "event_id",
        "environment",
        "user_id",
        "agent_id",
        "client",
        "model",
        "auth_method",
        "credential_id",
        "issuer",
        "audience",
        "country",
        "user_agent",
        "session_id",
        "conversation_id",
        "call_id",
        "request_id",
        "trace_id",
        "span_id",
        "method",
        "server",
        "server_version",
        "capability",
        "target",
        "tool_hash",
        "protocol_version",
        "transport",
        "workflow",
        "policy_id",
        "policy_version",
        "rule_id",
        "approval_id",
        "approver",
        "error_code",
        "error_message",
        "reason",
        "decision_reason",
    ];
    let cells: Vec<String> = columns.iter().map(|name| format!("\"{name}\":\"{name} {long}\"")).collect();
    let whole = format!("{{\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",{}}}", cells.join(","));
    let answer = service.post_events(whole.as_bytes());
    assert_eq!(answer.json()["accepted"], 1, "{}", answer.text());
    let rows = service.sql(
        "SELECT array_length(e.cut) AS cut, array_has(e.tags, 'oversize') AS tagged, \
         array_length(map_keys(p.oversize)) AS kept FROM events e JOIN payloads p ON e.log_index = p.log_index \
         WHERE e.cut IS NOT NULL",
    );
    assert_eq!(rows.len(), 1);
    assert!(rows[0]["cut"].as_u64() > Some(20) && rows[0]["cut"] == rows[0]["kept"], "{rows:?}");
    assert_eq!(rows[0]["tagged"], true);
    settle(home.path(), service, 1);
}

#[test]
fn an_import_that_is_killed_and_run_again_is_there_once() {
    let count = 40_000;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("events.ndjson");
    let lines: String = (0..count).map(|number| event(&format!("i-{number}")) + "\n").collect();
    fs::write(&file, lines).unwrap();
    let (data, keys) = (home.path().join("data"), home.path().join("keys"));
    let arguments = |json: bool| -> Vec<String> {
        let mut all = vec!["ingest".to_string(), file.display().to_string()];
        all.extend(["--data", data.to_str().unwrap(), "--keys", keys.to_str().unwrap()].map(str::to_string));
        all.extend(json.then(|| "--json".to_string()));
        all
    };
    // Killed later and later, until it ends before it is.
    for turn in 1.. {
        let mut import = Command::new(tacho()).args(arguments(false)).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(turn * turn * 100));
        import.kill().ok();
        if import.wait().unwrap().success() {
            break;
        }
    }
    let again = run(&arguments(true).iter().map(String::as_str).collect::<Vec<_>>());
    let said: serde_json::Value = serde_json::from_slice(&again.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&again.stderr)));
    let of = |name: &str| said[name].as_u64().unwrap();
    assert_eq!(of("accepted") + of("duplicates"), count, "{said}");
    assert!(of("duplicates") > 0, "no kill came in the middle: {said}");
    let service = Service::start(home.path(), &[]);
    settle(home.path(), service, count);
}
