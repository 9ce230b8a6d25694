use std::path::Path;

use super::support::{MemoryLog, Port, client, cosigned, eventually, line, witness_at};

/// A log that two witnesses know at `size`, and the policy that names them.
struct Witnessed {
    dir: tempfile::TempDir,
    log: MemoryLog,
    policy: String,
    ports: Vec<Port>,
}

async fn witnessed(size: u64) -> Witnessed {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(size, 0);
    let mut ports = Vec::new();
    let mut policy = String::new();
    for seed in [1, 2] {
        let port = Port::serve(witness_at(&dir.path().join(seed.to_string()), seed, &log).router()).await;
        policy.push_str(&line(&format!("w{seed}"), seed, &port.url));
        ports.push(port);
    }
    policy.push_str("group both all w1 w2\nquorum both\n");
    let handle = client(&log, &policy, &dir.path().join("client"));
    cosigned(&handle, size).await;
    handle.shutdown().await;
    Witnessed { dir, log, policy, ports }
}

/// The reason for which the log was stopped, and that it is kept.
async fn stopped(log: &MemoryLog, policy: &str, directory: &Path) -> String {
    let handle = client(log, policy, directory);
    eventually("it is stopped", || log.stopped().is_some()).await;
    eventually("and says so", || handle.status().stopped.is_some()).await;
    handle.shutdown().await;
    let kept = std::fs::read_to_string(directory.join("status.json")).unwrap();
    let reason = log.stopped().unwrap();
    assert!(kept.contains("\"stopped\": \"witness w"), "{kept}");
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_holds_more_than_was_ever_signed_stops_the_log() {
    let Witnessed { dir, log, policy, ports } = witnessed(100).await;
    // The data came back from a backup, and with it nothing of what the witnesses signed.
    let restored = log.restored(60);
    let reason = stopped(&restored, &policy, &dir.path().join("new")).await;
    assert!(
        reason.contains("holds size 100") && reason.contains("no more than 60 was ever signed"),
        "{reason}"
    );
    drop(ports);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_that_has_grown_past_the_witness_stops_the_log() {
    let Witnessed { dir, log, policy, ports } = witnessed(100).await;
    let restored = log.restored(60);
    restored.grow(60, 1);
    let reason = stopped(&restored, &policy, &dir.path().join("new")).await;
    assert!(reason.contains("holds size 100") && reason.contains("two histories"), "{reason}");
    drop(ports);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tree_of_the_same_size_stops_the_log() {
    let Witnessed { dir, log, policy, ports } = witnessed(100).await;
    let restored = log.restored(99);
    restored.grow(1, 1);
    let reason = stopped(&restored, &policy, &dir.path().join("new")).await;
    assert!(reason.contains("holds size 100") && reason.contains("two histories"), "{reason}");
    // Each witness has kept the other note: together with the one it holds it proves the fork.
    let kept: Vec<_> = std::fs::read_dir(dir.path().join("1"))
        .unwrap()
        .chain(std::fs::read_dir(dir.path().join("2")).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "fork"))
        .collect();
    assert!(!kept.is_empty());
    drop(ports);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_that_has_seen_more_stops_the_log_though_others_have_not() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(100, 0);
    let restored = log.restored(60);
    let witnesses = [1, 2, 3].map(|seed| witness_at(&dir.path().join(seed.to_string()), seed, &log));
    let mut ports = Vec::new();
    for witness in &witnesses {
        ports.push(Port::serve(witness.router()).await);
    }
    let policy = |of: &[usize]| {
        let lines: String =
            of.iter().map(|at| line(&format!("w{at}"), *at as u8 + 1, &ports[*at].url)).collect();
        let names: String = of.iter().map(|at| format!(" w{at}")).collect();
        format!("{lines}group two 2{names}\nquorum two\n")
    };
    let handle = client(&log, &policy(&[0, 1]), &dir.path().join("old"));
    cosigned(&handle, 100).await;
    handle.shutdown().await;
    // The third has seen nothing: it cosigns what it is shown, and is not enough.
    let reason = stopped(&restored, &policy(&[0, 1, 2]), &dir.path().join("new")).await;
    assert!(reason.contains("holds size 100") && reason.contains("(w0, w1) there is no quorum"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signed_note_of_another_history_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    log.grow(100, 0);
    let witnesses = [1, 2, 3].map(|seed| witness_at(&dir.path().join(seed.to_string()), seed, &log));
    let mut ports = Vec::new();
    for witness in &witnesses {
        ports.push(Port::serve(witness.router()).await);
    }
    let first = format!("{}quorum w0\n", line("w0", 1, &ports[0].url));
    let handle = client(&log, &first, &dir.path().join("old"));
    cosigned(&handle, 100).await;
    handle.shutdown().await;
    let restored = log.restored(60);
    restored.grow(60, 1);
    let lines: String = (0..3).map(|at| line(&format!("w{at}"), at as u8 + 1, &ports[at].url)).collect();
    let policy = format!("{lines}group any any w0 w1 w2\nquorum any\n");
    let reason = stopped(&restored, &policy, &dir.path().join("new")).await;
    assert!(reason.contains("shows a checkpoint that this log's key signed"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_here_is_a_failure_and_accuses_nobody() {
    let Witnessed { dir, log, policy, ports } = witnessed(100).await;
    log.damage();
    log.grow(9, 0);
    // The checkpoint is what was signed; what is read of the tree is another.
    let handle = client(&log, &policy, &dir.path().join("client"));
    eventually("it fails and says why", || {
        let reason = handle.status().witnesses[0].reason.clone();
        reason.is_some_and(|reason| reason.contains("does not lead to the root that was signed here"))
    })
    .await;
    assert_eq!(log.stopped(), None);
    handle.shutdown().await;
    drop(ports);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_enough_to_stop_though_no_witness_answers() {
    let Witnessed { dir, log, policy, ports } = witnessed(100).await;
    for port in ports {
        port.end().await;
    }
    for (size, more) in [(60, 0), (60, 60)] {
        let restored = log.restored(size);
        restored.grow(more, 1);
        let reason = stopped(&restored, &policy, &dir.path().join("client")).await;
        assert!(reason.contains("100"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_views_shown_to_two_witnesses_are_found_by_comparing_what_they_keep() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (MemoryLog::new(), MemoryLog::new());
    one.grow(50, 0);
    other.grow(49, 0);
    other.grow(1, 1);
    let mut kept = Vec::new();
    // Neither witness can know by itself.
    for (seed, log) in [(1, &one), (2, &other)] {
        let state = dir.path().join(seed.to_string());
        let port = Port::serve(witness_at(&state, seed, log).router()).await;
        let handle = client(
            log,
            &format!("{}quorum w\n", line("w", seed, &port.url)),
            &dir.path().join(format!("c{seed}")),
        );
        cosigned(&handle, 50).await;
        handle.shutdown().await;
        assert_eq!(log.stopped(), None);
        let name = witness::server::file_name(super::support::ORIGIN);
        kept.push(schemas::note::Note::parse(&std::fs::read(state.join(name)).unwrap()).unwrap());
    }
    let compare = |a: usize, b: usize| schemas::witness::compare(&kept[a], &kept[b], &one.key).unwrap();
    assert_eq!(compare(0, 1), schemas::witness::Comparison::Forked);
    assert_eq!(compare(0, 0), schemas::witness::Comparison::Same);
}
