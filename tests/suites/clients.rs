//! Clients that stall, flood, and send more at once than there is room for: each is held to its own, everybody else is served, and
//! the account is whole.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::otlp::{PORTS, python, said, token};
use crate::support::{Events, Service, event, request, run, whole};

/// After which one that says nothing more is cut off, with a while for a busy machine.
const CUT_OFF_WITHIN: Duration = Duration::from_millis(schemas::limits::HTTP_HEAD_TIMEOUT_MS + 20_000);

/// A client of `port` that has said this much.
fn stalled(port: &str, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(port).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.set_read_timeout(Some(CUT_OFF_WITHIN)).unwrap();
    stream
}

/// What a client is told before its connection ends; none where it does not end in time.
fn last_words(mut stream: TcpStream) -> Option<String> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        // A connection that is reset has ended too.
        _ => Some(String::from_utf8_lossy(&heard).into_owned()),
    }
}

#[test]
fn clients_that_stop_in_the_middle_are_cut_off_and_keep_nobody_waiting() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &PORTS);
    let bearer = format!("authorization: Bearer {}", service.token);
    let body = event("half");
    let http = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\n{bearer}\r\n");
    let length = format!("content-length: {}\r\n\r\n", body.len());
    let otlp = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\n{bearer}\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{{"
    );
    let (half, one_short) = (&body[..body.len() / 2], &body[..body.len() - 1]);
    let http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Port, what was said, and the status that must be told: none to who has not asked for anything yet.
    let events = service.address.as_str();
    let (telemetry, grpc) = (service.ports["otlp"].as_str(), service.ports["otlp_grpc"].as_str());
    let cases: [(&str, String, &str); 10] = [
        (events, String::new(), ""),
        (events, "POST /v1/ev".to_string(), ""),
        (events, http.clone(), ""),
        (events, format!("{http}{length}"), " 408 "),
        (events, format!("{http}{length}{half}"), " 408 "),
        (events, format!("{http}{length}{one_short}"), " 408 "),
        (events, format!("{http}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len()), " 408 "),
        (telemetry, otlp, " 503 "),
        (grpc, String::new(), ""),
        (grpc, http2[..10].to_string(), ""),
    ];
    let each = 10;
    let clients: Vec<(usize, TcpStream)> = (0..each * cases.len())
        .map(|at| at % cases.len())
        .map(|case| (case, stalled(cases[case].0, &cases[case].1)))
        .collect();
    // One that asks, and never reads what it is answered.
    let deaf: Vec<TcpStream> = (0..each)
        .map(|_| {
            let asks = format!("GET /metrics HTTP/1.1\r\nhost: x\r\n{bearer}\r\n\r\n");
            stalled(events, &asks.repeat(200))
        })
        .collect();
    let begun = Instant::now();
    let (mut good, mut slowest) = (0, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(5) {
        let sent = Instant::now();
        let answer = service.post_events(event(&format!("good-{good}")).as_bytes());
        assert_eq!((answer.status, &answer.json()["accepted"]), (200, &json!(1)), "{}", answer.text());
        slowest = slowest.max(sent.elapsed());
        good += 1;
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    for (case, client) in clients {
        let (port, text, status) = &cases[case];
        let heard = last_words(client).unwrap_or_else(|| panic!("{text:?} at {port} is not cut off"));
        assert!(heard.contains(status), "{text:?}: {heard}");
        assert!(!heard.contains(" 200 "), "{text:?}: {heard}");
    }
    println!(
        "half-open clients: {} cut off, {good} events meanwhile, the slowest in {slowest:?}",
        each * cases.len()
    );
    drop(deaf);
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE control IS NULL");
    assert_eq!(rows[0]["n"], good);
    let Events { received, durable, .. } = whole(home.path(), service);
    assert_eq!((received, durable), (good, good), "no value of half a body was looked at");
}

/// A token that may send and ask, of another tenant.
fn tenant(home: &Path, name: &str) -> String {
    let [data, keys] = ["data", "keys"].map(|part| home.join(part).display().to_string());
    let made =
        run(&["token", "create", "--role", "admin", "--tenant", name, "--data", &data, "--keys", &keys]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    format!("Bearer {}", made["token"].as_str().unwrap())
}

/// A tenant that sends as fast as it can over its rate is told so; what the other sends is taken as if it were alone; and of both
/// exactly what was acknowledged is there.
#[test]
fn a_tenant_that_floods_is_turned_away_alone() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[("TACHO_INGEST_RATE_BYTES_S", "200000")]);
    let (quiet, flood) = (tenant(home.path(), "quiet"), tenant(home.path(), "flood"));
    let post = |bearer: &str, body: &str| {
        request(&service.address, "POST", "/v1/events", &[("authorization", bearer)], body.as_bytes())
            .unwrap()
    };
    let stop = AtomicBool::new(false);
    let (taken, turned_away, quiet_taken) = std::thread::scope(|scope| {
        let floods: Vec<_> = (0..4)
            .map(|sender| {
                let (stop, post, flood) = (&stop, &post, &flood);
                scope.spawn(move || {
                    let (mut taken, mut turned_away) = (0u64, 0u64);
                    for round in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let body: String =
                            (0..2000).map(|at| event(&format!("f-{sender}-{round}-{at}")) + "\n").collect();
                        let answer = post(flood, &body);
                        match answer.status {
                            200 => taken += answer.json()["accepted"].as_u64().unwrap(),
                            429 | 503 => {
                                assert!(answer.headers.contains_key("retry-after"), "{}", answer.text());
                                turned_away += 1;
                            }
                            status => panic!("{status}: {}", answer.text()),
                        }
                    }
                    (taken, turned_away)
                })
            })
            .collect();
        let (begun, mut quiet_taken) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(6) {
            let answer = post(&quiet, &event(&format!("q-{quiet_taken}")));
            assert_eq!(answer.status, 200, "the quiet tenant: {}", answer.text());
            quiet_taken += 1;
        }
        stop.store(true, Ordering::SeqCst);
        let of_all = floods.into_iter().map(|flood| flood.join().unwrap());
        let (taken, turned_away) = of_all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (taken, turned_away, quiet_taken)
    });
    println!(
        "flood: {taken} events taken and {turned_away} bodies turned away; {quiet_taken} of the quiet tenant, none turned away"
    );
    assert!(turned_away > 0 && taken > 0 && quiet_taken > 20);
    for (bearer, wanted) in [(&quiet, quiet_taken), (&flood, taken)] {
        let query = "SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM events WHERE control IS NULL";
        let asked = json!({"query": query, "format": "json"}).to_string();
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let rows =
            request(&service.address, "POST", "/api/v1/sql", &headers, asked.as_bytes()).unwrap().json();
        assert_eq!(rows[0], json!({"n": wanted, "ids": wanted}));
    }
    let Events { durable, duplicate, .. } = whole(home.path(), service);
    assert_eq!((durable, duplicate), (taken + quiet_taken, 0));
}

/// Bodies take bytes of their tenant's budget for as long as they are coming; what has no room is told when to come again.
#[test]
fn bodies_over_the_budget_are_told_to_come_later() {
    let home = tempfile::tempdir().unwrap();
    let budget = schemas::limits::BODY_BYTES_MAX;
    let service =
        Service::start(home.path(), &[("TACHO_INGEST_ADMISSION_TENANT_BYTES", &budget.to_string())]);
    let bearer = format!("authorization: Bearer {}", service.token);
    let large = |id: &str, bytes: usize| {
        event(id).replace("\"result\":\"ok\"", &format!("\"result\":\"{}\"", "word ".repeat(bytes / 5)))
    };
    let body = large("held", 12 << 20);
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\n{bearer}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // All but its last byte. Where one of the others comes first, it is the held one that is turned away: once more, then.
    let (mut taken, begun) = (0, Instant::now());
    let (mut held, told) = loop {
        let held = stalled(&service.address, &format!("{head}{}", &body[..body.len() - 1]));
        std::thread::sleep(Duration::from_millis(500));
        let answer = service.post_events(large(&format!("more-{taken}"), 6 << 20).as_bytes());
        if answer.status != 200 {
            break (held, answer);
        }
        taken += 1;
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{taken} more were taken beside the one that is held"
        );
    };
    assert_eq!((told.status, told.json()["code"].as_str()), (429, Some("busy")), "{}", told.text());
    assert!(told.headers.contains_key("retry-after"), "{told:?}");
    // What is small has room, and the one that is held is taken once it is whole; then there is room again.
    assert_eq!(service.post_events(event("small").as_bytes()).status, 200);
    held.write_all(&body.as_bytes()[body.len() - 1..]).unwrap();
    let heard = last_words(held).unwrap();
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    assert_eq!(service.post_events(large("again", 6 << 20).as_bytes()).status, 200);
    let Events { durable, duplicate, .. } = whole(home.path(), service);
    assert_eq!((durable, duplicate), (taken + 3, 0));
}

/// Messages of gRPC are taken out of the same budget as bodies.
#[test]
fn grpc_messages_over_the_budget_are_told_to_come_later() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &PORTS);
    let collector = token(&service, "collector");
    let Some(output) = python("crowd.py", &[&service.ports["otlp_grpc"]], &[("OTLP_TOKEN", &collector)])
    else {
        return;
    };
    let told = said(&output);
    assert!(output.status.success() && told.contains("crowd: done"), "{told}");
    let taken: u64 = told.split("done, ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let Events { durable, duplicate, .. } = whole(home.path(), service);
    assert_eq!((durable, duplicate), (taken, 0));
}
