use schemas::note::Note;
use schemas::policy::Policy;
use schemas::witness::Head;

use super::support::{Directory, MemoryLog, Port, client, cosigned, eventually, line, size_of, witness_at};

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_is_reached_while_one_is_away_and_the_last_one_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(5, 0);
    let witnesses = [1, 2, 3].map(|seed| witness_at(&dir.path().join(seed.to_string()), seed, &log));
    let mut ports = Vec::new();
    for witness in &witnesses {
        ports.push(Port::serve(witness.router()).await);
    }
    let lines: String = (0..3).map(|at| line(&format!("w{at}"), at as u8 + 1, &ports[at].url)).collect();
    let text = format!("log {}\n{lines}group two 2 w0 w1 w2\nquorum two\n", log.key);
    let away = ports.pop().unwrap().end().await;
    let handle = client(&log, &text, &dir.path().join("client"));
    cosigned(&handle, 5).await;
    log.grow(300, 0);
    cosigned(&handle, 305).await;
    eventually("the third fails and says why", || {
        let status = handle.status();
        status.witnesses[2].reason.as_deref().is_some_and(|reason| reason.contains("no connection"))
    })
    .await;
    assert_eq!((size_of(&handle.status(), "w2"), log.stopped()), (None, None));
    // What is kept says the same to anybody with the policy and the log's key.
    let policy: Policy = text.parse().unwrap();
    eventually("it is kept", || {
        let kept = std::fs::read(dir.path().join("client/cosigned")).ok();
        kept.as_deref() == handle.cosigned().as_deref().map(str::as_bytes)
    })
    .await;
    let kept = Note::parse(&std::fs::read(dir.path().join("client/cosigned")).unwrap()).unwrap();
    assert_eq!(Head::open(&kept, &log.key).unwrap().size, 305);
    let witnessed = policy.cosignatures(&kept).unwrap();
    assert!(witnessed.is_enough && witnessed.by.len() == 2);
    let back = Port::again(away, witnesses[2].router()).await;
    eventually("the third has caught up", || size_of(&handle.status(), "w2") == Some(305)).await;
    assert_eq!(handle.status().witnesses[2].reason, None);
    eventually("and is in the note", || {
        let note = Note::parse(handle.cosigned().unwrap().as_bytes()).unwrap();
        policy.cosignatures(&note).unwrap().by.len() == 3
    })
    .await;
    handle.shutdown().await;
    drop(back);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_run_goes_on_from_what_is_kept_and_without_it_from_what_the_witness_says() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(9, 0);
    let port = Port::serve(witness_at(&dir.path().join("1"), 1, &log).router()).await;
    let policy = format!("{}quorum w\n", line("w", 1, &port.url));
    let handle = client(&log, &policy, &dir.path().join("client"));
    cosigned(&handle, 9).await;
    handle.shutdown().await;
    log.grow(8, 0);
    let handle = client(&log, &policy, &dir.path().join("client"));
    assert!(handle.cosigned().is_some(), "what was kept is there at once");
    cosigned(&handle, 17).await;
    handle.shutdown().await;
    log.grow(1, 0);
    // All that is kept is lost, or is rubbish.
    for rubbish in [false, true] {
        std::fs::remove_dir_all(dir.path().join("client")).unwrap();
        if rubbish {
            std::fs::create_dir(dir.path().join("client")).unwrap();
            std::fs::write(dir.path().join("client/cosigned"), b"rubbish").unwrap();
        }
        log.grow(1, 0);
        let handle = client(&log, &policy, &dir.path().join("client"));
        cosigned(&handle, log.size()).await;
        assert_eq!(log.stopped(), None);
        handle.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_is_behind_or_lost_its_state_is_asked_from_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(7, 0);
    let state = dir.path().join("1");
    let port = Port::serve(witness_at(&state, 1, &log).router()).await;
    let policy = format!("{}quorum w\n", line("w", 1, &port.url));
    let handle = client(&log, &policy, &dir.path().join("client"));
    cosigned(&handle, 7).await;
    let older: Vec<_> = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path()).collect();
    let older: Vec<_> = older.iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    log.grow(10, 0);
    cosigned(&handle, 17).await;
    let address = port.end().await;
    older.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    let port = Port::again(address, witness_at(&state, 1, &log).router()).await;
    log.grow(3, 0);
    cosigned(&handle, 20).await;
    let address = port.end().await;
    std::fs::remove_dir_all(&state).unwrap();
    let port = Port::again(address, witness_at(&state, 1, &log).router()).await;
    log.grow(3, 0);
    cosigned(&handle, 23).await;
    assert_eq!(log.stopped(), None);
    handle.shutdown().await;
    drop(port);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_may_show_the_witness_a_newer_checkpoint_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(7, 0);
    let port = Port::serve(witness_at(&dir.path().join("1"), 1, &log).router()).await;
    let policy = format!("{}quorum w\n", line("w", 1, &port.url));
    let (one, other) =
        (client(&log, &policy, &dir.path().join("one")), client(&log, &policy, &dir.path().join("other")));
    for _ in 0..20 {
        log.grow(11, 0);
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
    cosigned(&one, log.size()).await;
    cosigned(&other, log.size()).await;
    assert_eq!(log.stopped(), None);
    one.shutdown().await;
    other.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_work_are_refused_at_once() {
    use witness::client::{Options, Transport, start};
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    let try_policy = |text: &str, seconds: u64| {
        let options = Options {
            policy: text.parse().unwrap(),
            key: log.key.clone(),
            interval: std::time::Duration::from_secs(seconds),
            transport: Transport::default(),
            files: Directory::open(dir.path()),
            clock: super::support::wall(),
        };
        start(std::sync::Arc::new(log.clone()), options).map(|_| ()).unwrap_err().to_string()
    };
    let good = line("w", 1, "https://w.example");
    let other = MemoryLog::new().key.to_string().replace("tacho-test", "tacho-other");
    assert!(other.parse::<schemas::note::VerifierKey>().is_err(), "the id is of the name");
    for (text, seconds, why) in [
        ("quorum none\n".to_string(), 1, "no witness has a URL"),
        (
            format!("witness w {}\nquorum w\n", super::support::cosigner(1).verifier()),
            1,
            "no witness has a URL",
        ),
        (
            format!("{good}witness v {}\nquorum v\n", super::support::cosigner(2).verifier()),
            1,
            "cannot be met",
        ),
        (format!("{}quorum w\n", line("w", 1, "http://w.example")), 1, "is not encrypted"),
        (
            format!(
                "log PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n{good}quorum w\n"
            ),
            1,
            "its logs are others",
        ),
        (format!("{good}quorum w\n"), 0, "interval"),
        (format!("{good}quorum w\n"), 86_401, "interval"),
    ] {
        let error = try_policy(&text, seconds);
        assert!(error.contains(why), "{text}: {error}");
    }
}
