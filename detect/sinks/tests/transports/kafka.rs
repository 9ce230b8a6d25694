use std::time::{Duration, Instant};

use sinks::{Message, Transport};

use super::certificates::Certificates;
use super::support::{message, messages, open, reason, settle, told, try_open, with_body, write};

#[path = "../../../../tests/suites/kafka/broker.rs"]
mod broker;

use broker::Broker;

fn kafka(address: &str, topic: &str, more: &str) -> Box<dyn Transport> {
    open("kafka", &format!("brokers = [{address:?}]\ntopic = {topic:?}\n{more}"))
}

/// Header `id` and the value of each record, in the order of the topic.
fn records(broker: &Broker, topic: &str) -> Vec<(String, String)> {
    let split = |line: &String| {
        let (headers, value) = line.split_once('\t').unwrap();
        let id = headers.split(',').find_map(|header| header.strip_prefix("id:")).unwrap();
        (id.to_string(), value.to_string())
    };
    broker.consume(topic).iter().map(split).collect()
}

#[tokio::test]
async fn no_broker_is_away_in_time() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut sink = kafka(&format!("127.0.0.1:{port}"), "alerts", "timeout_ms = 500");
    let started = Instant::now();
    let fates = sink.deliver(&messages(0..3)).await;
    assert!(told(&fates).starts_with('a'), "{fates:?}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(sink.deliver(&[]).await.is_empty());
    assert_eq!(sink.target(), format!("kafka://127.0.0.1:{port}/alerts"));
}

#[test]
fn what_is_wrong_with_a_table_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let password = write(dir.path(), "password", "hunter2");
    let sasl = |mechanism: &str| {
        format!("[sasl]\nmechanism = \"{mechanism}\"\nusername = \"u\"\npassword_file = {password:?}")
    };
    let head = "brokers = [\"soc.example:9092\"]\ntopic = \"t\"\n";
    for (table, says) in [
        ("brokers = []\ntopic = \"t\"".to_string(), "brokers is empty"),
        ("brokers = [\"h:1\"]\ntopic = \"^t\"".to_string(), "topic \"^t\""),
        (format!("{head}timeout_ms = 1"), "timeout_ms is 1"),
        (format!("{head}{}", sasl("GSSAPI")), "GSSAPI"),
        (format!("{head}{}", sasl("PLAIN")), "without TLS"),
        (
            format!("{head}tls = {{}}\n[sasl]\nmechanism = \"PLAIN\"\nusername = \"u\""),
            "give sasl.password_file",
        ),
        (
            format!(
                "{head}tls = {{}}\n[sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword = \"hunter2\""
            ),
            "unknown field `password`",
        ),
        (format!("{head}tls.ca = {password:?}"), "holds no certificate"),
    ] {
        let error = try_open("kafka", &table).map(|sink| format!("{sink:?}")).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let sink = open("kafka", &format!("{head}tls = {{}}\n{}", sasl("SCRAM-SHA-512")));
    assert!(!format!("{sink:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_on_a_broker_that_is_killed_between() {
    let home = tempfile::tempdir().unwrap();
    let Some(mut broker) = Broker::start(home.path()) else { return };
    broker.create("alerts", 1);
    let mut sink = kafka(&broker.address(), "alerts", "timeout_ms = 5000");
    let odd = Message { id: "\u{fc}".to_string(), ..message(0) };
    assert_eq!(told(&sink.deliver(&[odd]).await), "T");
    assert!(settle(&mut *sink, &messages(1..100)).await.is_empty());
    broker.kill();
    let fates = sink.deliver(&messages(100..110)).await;
    assert!(told(&fates).starts_with('a'), "{fates:?}");
    broker.run();
    assert!(settle(&mut *sink, &messages(100..200)).await.is_empty());
    let found = records(&broker, "alerts");
    assert_eq!(found[0].0, "\u{fc}");
    assert_eq!(found[1].1.as_bytes(), message(1).body);
    // At least once, and first comes first: what comes again is the same again.
    let mut seen: Vec<&str> = Vec::new();
    found[1..].iter().for_each(|(id, _)| {
        if !seen.contains(&id.as_str()) {
            seen.push(id);
        }
    });
    let expected: Vec<String> = (1..200).map(|number| format!("alert-{number}-1")).collect();
    assert_eq!(seen, expected);
    let line = &broker.consume("alerts")[1];
    assert!(
        line.starts_with("id:alert-1-1,tenant:acme,log:i/acme/alerts/w,log_index:1,kind:alert,content-type:application/json\t"),
        "{line}"
    );
    println!("kafka: 200 messages, the broker killed: all there, {} twice", found.len() - 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_too_large_is_refused_and_a_topic_that_is_not_there_waits() {
    let home = tempfile::tempdir().unwrap();
    let Some(broker) = Broker::start(home.path()) else { return };
    broker.create_with("alerts", 1, &["max.message.bytes=2000"]);
    let mut sink = kafka(&broker.address(), "alerts", "timeout_ms = 5000");
    let mut batch = messages(0..5);
    batch[2] = with_body(2, &"x".repeat(3000));
    assert_eq!(settle(&mut *sink, &batch).await, ["alert-2-1"]);
    let found: Vec<String> = records(&broker, "alerts").into_iter().map(|(id, _)| id).collect();
    for number in [0, 1, 3, 4] {
        assert!(found.contains(&format!("alert-{number}-1")), "{found:?}");
    }
    let mut sink = kafka(&broker.address(), "none", "timeout_ms = 3000");
    let fates = sink.deliver(&messages(0..2)).await;
    assert!(told(&fates).starts_with('a'), "{fates:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_over_tls_whose_password_changes() {
    let home = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(home.path());
    let read = |name: &str| std::fs::read_to_string(certificates.path(name)).unwrap();
    write(home.path(), "broker.pem", &(read("server.key") + &read("server.pem")));
    let Some((broker, address)) = Broker::start_secured(home.path(), "hunter2") else { return };
    broker.create("alerts", 1);
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let password = write(home.path(), "password", "hunter3");
        let ca = certificates.path("ca.pem");
        let more = format!(
            "timeout_ms = 4000\ntls.ca = {ca:?}\n[sasl]\nmechanism = {mechanism:?}\nusername = \"recorder\"\npassword_file = {password:?}"
        );
        let mut sink = kafka(&address, "alerts", &more);
        let fates = sink.deliver(&messages(0..2)).await;
        assert!(told(&fates).starts_with('a') && !reason(&fates).contains("hunter"), "{fates:?}");
        write(home.path(), "password", "hunter2\n");
        assert_eq!(told(&sink.deliver(&messages(0..2)).await), "TT", "{mechanism}");
    }
    assert_eq!(records(&broker, "alerts").len(), 4);
}
