use std::time::{Duration, Instant};

use serde_json::json;
use sinks::{Fate, Transport};

use super::server::{Reply, Server};
use super::splunk::{Collector, start};
use super::support::{message, messages, open, reason, settle, told, with_body, write};

fn hec(dir: &tempfile::TempDir, server: &Server, more: &str) -> Box<dyn Transport> {
    let token = write(dir.path(), "token", "hunter2\n");
    open("hec", &format!("url = {:?}\ntoken_file = {token:?}\nhttp.timeout_ms = 1000\n{more}", server.url()))
}

fn collector() -> Collector {
    Collector {
        token: "hunter2".to_string(),
        asked_before_ack: Some(2),
        indexes: vec!["main"],
        ..Collector::default()
    }
}

#[tokio::test]
async fn events_come_as_the_collector_wants_them() {
    let (dir, (server, state)) = (tempfile::tempdir().unwrap(), start(collector()).await);
    let more = "index = \"main\"\nhost = \"h\"\nsourcetype = \"_json\"";
    let mut sink = hec(&dir, &server, more);
    assert_eq!(sink.target(), format!("http://{}", server.address));
    let batch = [message(1), with_body(2, "CEF:0|a|b"), with_body(3, "7"), with_body(4, "{\"a\":1.10}")];
    assert_eq!(told(&sink.deliver(&batch).await), "TTTT");
    let indexed = state.lock().unwrap().indexed.clone();
    let first = json!({"time": 1_796_054_400.000_001, "host": "h", "source": "tachograph", "sourcetype": "_json",
        "index": "main", "event": {"number": 1, "text": "Grüße \"\n]"}, "fields": {"tachograph_id": "alert-1-1",
        "tachograph_tenant": "acme", "tachograph_log": "i/acme/alerts/w", "tachograph_log_index": "1",
        "tachograph_kind": "alert"}});
    assert_eq!(indexed[0], first);
    assert_eq!((&indexed[1]["event"], &indexed[2]["event"]), (&json!("CEF:0|a|b"), &json!("7")));
    let body = String::from_utf8(server.received()[0].body.clone()).unwrap();
    assert!(
        body.contains("\"time\":1796054400.000001,") && body.contains("\"event\":{\"a\":1.10}"),
        "{body}"
    );
    assert!(sink.deliver(&[]).await.is_empty());
}

#[tokio::test]
async fn what_is_acknowledged_late_is_not_sent_again() {
    let acks = Collector { use_ack: true, asked_before_ack: Some(12), ..collector() };
    let (dir, (server, state)) = (tempfile::tempdir().unwrap(), start(acks).await);
    let mut sink = hec(&dir, &server, "use_ack = true\n");
    let batch = messages(0..5);
    let fates = sink.deliver(&batch).await;
    assert_eq!(told(&fates), "a");
    assert!(reason(&fates).ends_with("has not acknowledged yet"), "{fates:?}");
    // More has come behind them meanwhile.
    let batch = messages(0..8);
    assert!(settle(&mut *sink, &batch).await.is_empty());
    assert_eq!(state.lock().unwrap().indexed.len(), 8, "each once");
}

#[tokio::test]
async fn what_is_never_acknowledged_is_sent_again_and_not_taken() {
    let acks = Collector { use_ack: true, asked_before_ack: None, ..collector() };
    let (dir, (server, state)) = (tempfile::tempdir().unwrap(), start(acks).await);
    let mut sink = hec(&dir, &server, "use_ack = true\nack_timeout_ms = 300");
    let fates = sink.deliver(&messages(0..2)).await;
    assert!(reason(&fates).ends_with("it is sent again"), "{fates:?}");
    assert_eq!(told(&sink.deliver(&messages(0..2)).await), "a");
    assert_eq!(state.lock().unwrap().indexed.len(), 4);
    // Another batch: what the first was waiting for is forgotten.
    state.lock().unwrap().asked_before_ack = Some(0);
    assert_eq!(told(&sink.deliver(&messages(5..6)).await), "T");
}

#[tokio::test]
async fn acknowledgement_that_is_off_there_is_told() {
    let (dir, (server, state)) = (tempfile::tempdir().unwrap(), start(collector()).await);
    let mut sink = hec(&dir, &server, "use_ack = true");
    let fates = sink.deliver(&messages(0..2)).await;
    assert!(told(&fates) == "a" && reason(&fates).contains("switch it on for the token"), "{fates:?}");
    state.lock().unwrap().use_ack = true;
    assert_eq!(told(&sink.deliver(&messages(0..2)).await), "TT");
}

#[tokio::test]
async fn the_event_at_fault_is_refused_and_no_other() {
    for indexes_before_fault in [false, true] {
        for use_ack in [false, true] {
            let collector = Collector { indexes_before_fault, use_ack, ..collector() };
            let (dir, (server, state)) = (tempfile::tempdir().unwrap(), start(collector).await);
            let mut sink = hec(&dir, &server, &format!("use_ack = {use_ack}"));
            let mut batch = messages(0..9);
            for at in [0, 4, 5, 8] {
                batch[at] = with_body(at as u64, "  ");
            }
            let refused = settle(&mut *sink, &batch).await;
            assert_eq!(refused, ["alert-0-1", "alert-4-1", "alert-5-1", "alert-8-1"]);
            let mut ids: Vec<String> = state
                .lock()
                .unwrap()
                .indexed
                .iter()
                .map(|event| event["fields"]["tachograph_id"].as_str().unwrap().to_string())
                .collect();
            ids.dedup();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), 5, "all others are there");
            let fates = sink.deliver(&batch[..1]).await;
            assert!(
                reason(&fates).ends_with("answered 400 with code 13, event field cannot be blank"),
                "{fates:?}"
            );
            server.received();
        }
    }
}

#[tokio::test]
async fn a_fault_that_is_not_said_of_which_is_found() {
    // An event that this collector has never heard of, by its text; and a request that is too large.
    for status in [400, 413] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(move |request| {
            let text = String::from_utf8_lossy(&request.body).into_owned();
            let body = json!({"text": "Unheard of", "code": 99});
            let is_wrong = text.contains("unheard") || (status == 413 && text.lines().count() > 3);
            if is_wrong {
                Reply::json(status, &body)
            } else {
                Reply::json(200, &json!({"text": "Success", "code": 0}))
            }
        })
        .await;
        let mut sink = hec(&dir, &server, "");
        let mut batch = messages(0..7);
        batch[3] = with_body(3, "unheard of");
        assert_eq!(settle(&mut *sink, &batch).await, ["alert-3-1"], "{status}");
    }
}

#[tokio::test]
async fn nothing_is_thrown_away_because_the_sink_is_set_up_wrongly() {
    let (dir, (server, state)) = (tempfile::tempdir().unwrap(), start(collector()).await);
    for (more, wrong, says) in
        [("index = \"none\"", None, "look at index"), ("", Some(("token", "hunter3")), "403: our credential")]
    {
        let mut sink = hec(&dir, &server, more);
        if let Some((name, text)) = wrong {
            write(dir.path(), name, text);
        }
        let fates = sink.deliver(&messages(0..3)).await;
        assert!(told(&fates) == "a" && reason(&fates).contains(says), "{fates:?}");
    }
    let mut sink = hec(&dir, &server, "");
    for (reply, expected) in [
        (Reply::status(404), "a"),
        (Reply::Http(302, vec![("location", "http://127.0.0.1:1/".to_string())], Vec::new()), "a"),
        (Reply::Http(200, Vec::new(), b"<html>log in</html>".to_vec()), "a"),
        (Reply::json(200, &json!({"text": "Success", "code": 1})), "a"),
        (Reply::json(503, &json!({"text": "Server is busy", "code": 9})), "a"),
        (Reply::json(500, &json!({"text": "Internal server error", "code": 8})), "A"),
        (
            Reply::json(400, &json!({"text": "Invalid data format", "code": 6, "invalid-event-number": 3})),
            "a",
        ),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"text\"".to_vec()), "a"),
    ] {
        state.lock().unwrap().script = vec![reply];
        let fates = sink.deliver(&messages(0..3)).await;
        assert_eq!(told(&fates), expected, "{fates:?}");
    }
    state.lock().unwrap().script = vec![Reply::Http(503, vec![("retry-after", "7".to_string())], Vec::new())];
    let fates = sink.deliver(&messages(0..3)).await;
    assert!(
        matches!(&fates[..], [Fate::Later { wait: Some(wait), .. }] if *wait == Duration::from_secs(7)),
        "{fates:?}"
    );
    assert_eq!(told(&sink.deliver(&messages(0..3)).await), "TTT");
    assert_eq!(state.lock().unwrap().indexed.len(), 3);
}

#[tokio::test]
async fn a_cancelled_call_waits_for_what_it_sent() {
    let acks = Collector { use_ack: true, asked_before_ack: Some(4), ..collector() };
    let (dir, (server, state)) = (tempfile::tempdir().unwrap(), start(acks).await);
    let mut sink = hec(&dir, &server, "use_ack = true");
    let batch = messages(0..3);
    let started = Instant::now();
    assert!(tokio::time::timeout(Duration::from_millis(150), sink.deliver(&batch)).await.is_err());
    assert!(settle(&mut *sink, &batch).await.is_empty() && started.elapsed() < Duration::from_secs(10));
    assert_eq!(state.lock().unwrap().indexed.len(), 3, "each once");
}
