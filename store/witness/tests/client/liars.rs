use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::post;
use schemas::limits::WITNESS_AHEAD_S_MAX;
use witness::server::{Answer, Witness};

use super::support::{
    Directory, MemoryLog, Port, client, cosigned, cosigner, eventually, line, wall, witness_at,
};

/// Answers as it is told, one after the other and then the last one for ever; counts what is in flight at once.
struct Liar {
    port: Port,
    asked: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[derive(Clone, Debug)]
enum Say {
    This(u16, String),
    /// A smaller or larger size each time.
    OtherSizes,
    /// As an honest one.
    Truth,
    /// A signature of its key over another text: the checkpoint, and more of its own behind a blank line.
    AnotherText,
    Never,
}

/// A line of the witness of seed 1 over the whole checkpoint and `x`: behind `x` and a blank line it is the signature of a note.
fn over_another_text(body: &[u8]) -> String {
    use ed25519_dalek::Signer as _;
    let request = schemas::witness::AddCheckpoint::parse(body).unwrap();
    let note = schemas::note::Note::parse(&request.checkpoint).unwrap();
    let text = format!("{}\nx\n", note.unverified_text());
    let message = schemas::cosignature::message(1_700_000_000, &text);
    let signature = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).sign(message.as_bytes()).to_bytes();
    format!("x\n\n{}\n", cosigner(1).verifier().line(1_700_000_000, &signature))
}

impl Liar {
    async fn start(honest: Witness, say: &[Say]) -> Liar {
        let say = Arc::new(Mutex::new(VecDeque::from(say.to_vec())));
        let (asked, most, now) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, high) = (Arc::clone(&asked), Arc::clone(&most));
        let answer = move |body: Bytes| {
            let (say, count, high, now, honest) =
                (Arc::clone(&say), Arc::clone(&count), Arc::clone(&high), Arc::clone(&now), honest.clone());
            async move {
                let at = count.fetch_add(1, Ordering::SeqCst);
                high.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let next = {
                    let mut say = say.lock().unwrap();
                    if say.len() > 1 { say.pop_front().unwrap() } else { say[0].clone() }
                };
                let answer = match next {
                    Say::This(status, body) => (status, body),
                    Say::OtherSizes => (409, format!("{}\n", 1 + at % 4)),
                    Say::Truth => match honest.answer(&body).await {
                        Answer::Cosigned(lines) => (200, lines),
                        Answer::Conflict(size) => (409, format!("{size}\n")),
                        Answer::NotExtended(note) => (422, note.to_string()),
                        Answer::Refused(status, why) => (status.as_u16(), why),
                    },
                    Say::AnotherText => (200, over_another_text(&body)),
                    Say::Never => std::future::pending().await,
                };
                tokio::time::sleep(Duration::from_millis(20)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                (
                    StatusCode::from_u16(answer.0).unwrap(),
                    [(header::LOCATION, "http://127.0.0.1:1/")],
                    answer.1,
                )
                    .into_response()
            }
        };
        Liar { port: Port::serve(Router::new().route("/add-checkpoint", post(answer))).await, asked, most }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_a_failure_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(20, 0);
    let ahead = {
        // A witness whose clock is far ahead, honest otherwise.
        let policy = format!("log {}\nquorum none\n", log.key).parse().unwrap();
        let clock = wall();
        let clock = witness::Clock::new(move || clock.now_s() + WITNESS_AHEAD_S_MAX + 60);
        Witness::open(&policy, cosigner(1), Directory::open(&dir.path().join("ahead")), clock).unwrap()
    };
    let honest = |name: &str, seed| witness_at(&dir.path().join(name), seed, &log);
    let this = |status: u16, body: &str| vec![Say::This(status, body.to_string())];
    for (what, say, witness, expected) in [
        ("another size each time", vec![Say::OtherSizes], honest("a", 1), "another size in each"),
        ("nothing", this(200, ""), honest("b", 1), "200 without its cosignature"),
        (
            "a wrong line",
            this(200, "— witness.example/1 AAAA\n"),
            honest("c", 1),
            "200 without its cosignature",
        ),
        ("another text", vec![Say::AnotherText], honest("x", 1), "over another text"),
        ("another key", vec![Say::Truth], honest("d", 2), "200 without its cosignature"),
        ("the future", vec![Say::Truth], ahead, "clocks is wrong"),
        ("no size", this(409, "many\n"), honest("e", 1), "409 without the size"),
        ("its own words", this(409, "0\n"), honest("f", 1), "contradicts itself"),
        ("a first proof", this(422, "bad"), honest("g", 1), "422 to a first checkpoint"),
        ("not known", this(404, ""), honest("h", 1), "404: it does not know this log"),
        ("elsewhere", this(307, ""), honest("i", 1), "leads elsewhere"),
        ("too much", this(200, &"x".repeat(100_000)), honest("j", 1), "an answer of more than"),
        ("busy", this(429, "later"), honest("k", 1), "429"),
        // One garbled answer is asked about once more.
        (
            "a large size, once",
            vec![Say::This(409, "9999\n".to_string()), Say::This(500, "oops".to_string())],
            honest("l", 1),
            "500",
        ),
    ] {
        let liar = Liar::start(witness, &say).await;
        let handle =
            client(&log, &format!("{}quorum w\n", line("w", 1, &liar.port.url)), &dir.path().join("client"));
        let found = || handle.status().witnesses[0].reason.clone();
        eventually(what, || found().is_some_and(|reason| reason.contains(expected))).await;
        assert_eq!(log.stopped(), None, "{what}");
        assert!(handle.cosigned().is_none(), "{what}");
        handle.shutdown().await;
        assert_eq!(liar.most.load(Ordering::SeqCst), 1, "{what}: one request at a time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accusation_is_believed_the_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(20, 0);
    let honest = witness_at(&dir.path().join("1"), 1, &log);
    let once = vec![Say::This(409, "9999\n".to_string()), Say::Truth];
    let liar = Liar::start(honest.clone(), &once).await;
    let handle =
        client(&log, &format!("{}quorum w\n", line("w", 1, &liar.port.url)), &dir.path().join("client"));
    cosigned(&handle, 20).await;
    assert_eq!(log.stopped(), None);
    handle.shutdown().await;
    let always = vec![Say::This(409, "9999\n".to_string())];
    let liar = Liar::start(honest, &always).await;
    let handle =
        client(&log, &format!("{}quorum w\n", line("w", 1, &liar.port.url)), &dir.path().join("client"));
    log.grow(1, 0);
    eventually("it is stopped", || log.stopped().is_some()).await;
    let asked = liar.asked.load(Ordering::SeqCst);
    assert!(asked >= 2, "{asked}");
    log.grow(1, 0);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(liar.asked.load(Ordering::SeqCst), asked, "and asks no more");
    handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_accusers_than_break_the_quorum_are_an_alarm_and_stop_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(20, 0);
    let this = |status: u16, body: &str| Say::This(status, body.to_string());
    let honest = [2, 3].map(|seed| witness_at(&dir.path().join(seed.to_string()), seed, &log));
    let ports = [Port::serve(honest[0].router()).await, Port::serve(honest[1].router()).await];
    for at in 0..3 {
        let say = match at {
            0 => vec![this(409, "9999\n")],
            // A size, and then that the proof from there does not hold; twice in each hand-over.
            1 => vec![[this(409, "7\n"), this(422, "bad")]; 200].concat(),
            // Another tree of the size that it is shown.
            _ => vec![this(409, &format!("{}\n", log.size())); 400],
        };
        let liar = Liar::start(witness_at(&dir.path().join("1"), 1, &log), &say).await;
        let policy = format!(
            "{}{}{}group two 2 w1 w2 w3\nquorum two\n",
            line("w1", 1, &liar.port.url),
            line("w2", 2, &ports[0].url),
            line("w3", 3, &ports[1].url)
        );
        let handle = client(&log, &policy, &dir.path().join(format!("client{at}")));
        let accuser = || handle.status().witnesses[0].clone();
        eventually("it accuses", || accuser().accuses).await;
        cosigned(&handle, log.size()).await;
        assert!(accuser().failures > 0 && accuser().reason.unwrap().contains("holds size"), "{say:?}");
        log.grow(1, 0);
        cosigned(&handle, log.size()).await;
        assert_eq!(log.stopped(), None, "{say:?}");
        handle.shutdown().await;
        let kept = std::fs::read_to_string(dir.path().join(format!("client{at}/status.json"))).unwrap();
        assert!(kept.contains("\"accuses\": true"), "{kept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_cosigns_again_accuses_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(20, 0);
    let say = [vec![Say::This(409, "9999\n".to_string()); 2], vec![Say::Truth]].concat();
    let liar = Liar::start(witness_at(&dir.path().join("1"), 1, &log), &say).await;
    let port = Port::serve(witness_at(&dir.path().join("2"), 2, &log).router()).await;
    let policy = format!(
        "{}{}group any any w1 w2\nquorum any\n",
        line("w1", 1, &liar.port.url),
        line("w2", 2, &port.url)
    );
    let handle = client(&log, &policy, &dir.path().join("client"));
    eventually("it cosigns", || handle.status().witnesses[0].size == Some(20)).await;
    assert!(liar.asked.load(Ordering::SeqCst) >= 3);
    assert!(!handle.status().witnesses[0].accuses);
    assert_eq!(log.stopped(), None);
    handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_answers_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(20, 0);
    let silent = Liar::start(witness_at(&dir.path().join("1"), 1, &log), &[Say::Never]).await;
    let port = Port::serve(witness_at(&dir.path().join("2"), 2, &log).router()).await;
    let policy = format!(
        "{}{}group any any w1 w2\nquorum any\n",
        line("w1", 1, &silent.port.url),
        line("w2", 2, &port.url)
    );
    let handle = client(&log, &policy, &dir.path().join("client"));
    for _ in 0..3 {
        log.grow(7, 0);
        cosigned(&handle, log.size()).await;
    }
    assert_eq!(silent.asked.load(Ordering::SeqCst), 1, "one request, still in flight");
    tokio::time::timeout(Duration::from_secs(10), handle.shutdown()).await.expect("and it ends");
}
