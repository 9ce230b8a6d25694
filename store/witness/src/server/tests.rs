use std::collections::BTreeMap;
use std::sync::Mutex as SyncMutex;

use axum::http::Request;
use ed25519_dalek::{Signer as _, SigningKey};
use schemas::limits::WITNESS_REQUEST_BYTES_MAX;
use schemas::tree::{CompactRange, Hash, Nodes, consistency_proof, empty_root, leaf_hash, root};

use super::*;

/// Files in memory, which can be told to fail.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    files: SyncMutex<BTreeMap<String, Vec<u8>>>,
    is_broken: std::sync::atomic::AtomicBool,
}

impl Files for Memory {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.files.lock().unwrap().get(name).cloned())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        if self.is_broken.load(std::sync::atomic::Ordering::SeqCst) {
            return Err("no disk".to_string());
        }
        self.files.lock().unwrap().insert(name.to_string(), bytes.to_vec());
        Ok(())
    }
}

/// A log in memory.
struct Leaves {
    signing: SigningKey,
    key: VerifierKey,
    leaves: Vec<Hash>,
}

impl Nodes for Leaves {
    fn node(&self, level: u32, index: u64) -> schemas::Result<Hash> {
        let (first, width) = ((index << level) as usize, 1 << level);
        Ok(root(&self.leaves[first..first + width]))
    }
}

impl Leaves {
    fn new(origin: &str, seed: u8) -> Leaves {
        let signing = SigningKey::from_bytes(&[seed; 32]);
        let key = VerifierKey::new(origin, &signing.verifying_key().to_bytes()).unwrap();
        Leaves { signing, key, leaves: Vec::new() }
    }

    fn grown(mut self, count: u64, salt: u8) -> Leaves {
        let from = self.leaves.len() as u64;
        self.leaves
            .extend((from..from + count).map(|at| leaf_hash(&[&at.to_be_bytes()[..], &[salt]].concat())));
        self
    }

    fn note(&self, size: u64) -> String {
        let mut range = CompactRange::new();
        self.leaves[..size as usize].iter().for_each(|leaf| range.push(*leaf));
        self.sign(&format!("{}\n{size}\n{}\n", self.key.name(), range.root().to_base64()))
    }

    fn sign(&self, text: &str) -> String {
        assemble(text, &[SignatureLine::new(&self.key, &self.signing.sign(text.as_bytes()).to_bytes())])
    }

    fn request(&self, old: u64, size: u64) -> Vec<u8> {
        let proof = consistency_proof(self, old, size).unwrap();
        AddCheckpoint { old, proof, checkpoint: self.note(size).into_bytes() }.to_bytes()
    }
}

fn cosigner() -> Cosigner {
    Cosigner::from_seed("witness.example/w1", &[42; 32]).unwrap()
}

fn witness_of(logs: &[&Leaves], files: &Arc<Memory>) -> Result<Witness> {
    let lines: String = logs.iter().map(|log| format!("log {}\n", log.key)).collect();
    let policy = format!("{lines}quorum none\n").parse().unwrap();
    Witness::open(&policy, cosigner(), Arc::clone(files) as Arc<dyn Files>, Clock::new(|| 1_700_000_000))
}

fn status(answer: &Answer) -> u16 {
    match answer {
        Answer::Cosigned(_) => 200,
        Answer::Conflict(_) => 409,
        Answer::NotExtended(_) => 422,
        Answer::Refused(status, _) => status.as_u16(),
    }
}

fn verified_line(witness: &Witness, note: &str, answer: &Answer) -> u64 {
    let Answer::Cosigned(lines) = answer else { panic!("{answer:?}") };
    let cosigned = Note::parse(format!("{note}{lines}").as_bytes()).unwrap();
    witness.verifier().verify(&cosigned).unwrap().time_s
}

#[tokio::test]
async fn a_log_that_grows_is_cosigned_and_every_other_is_refused() {
    let log = Leaves::new("example.com/log", 1).grown(20, 0);
    let files = Arc::new(Memory::default());
    let witness = witness_of(&[&log], &files).unwrap();
    assert_eq!(
        verified_line(&witness, &log.note(3), &witness.answer(&log.request(0, 3)).await),
        1_700_000_000
    );
    // Where it was thought to be elsewhere it says where it is.
    assert_eq!(witness.answer(&log.request(0, 10)).await, Answer::Conflict(3));
    assert_eq!(witness.answer(&log.request(5, 10)).await, Answer::Conflict(3));
    verified_line(&witness, &log.note(10), &witness.answer(&log.request(3, 10)).await);
    // The same again is the same again.
    verified_line(&witness, &log.note(10), &witness.answer(&log.request(10, 10)).await);
    // A rollback: an older checkpoint, however it is put.
    assert_eq!(witness.answer(&log.request(0, 5)).await, Answer::Conflict(10));
    assert_eq!(witness.answer(&log.request(5, 5)).await, Answer::Conflict(10));
    let down = AddCheckpoint { old: 10, proof: Vec::new(), checkpoint: log.note(5).into_bytes() };
    assert_eq!(status(&witness.answer(&down.to_bytes()).await), 400);
    // A fork: the same log with another past, larger, and of the same size.
    let fork = Leaves::new("example.com/log", 1).grown(9, 0).grown(11, 1);
    let Answer::NotExtended(shown) = witness.answer(&fork.request(10, 20)).await else { panic!() };
    // With what proves it to the log that was asked for.
    assert_eq!(Head::open(&Note::parse(shown.as_bytes()).unwrap(), &log.key).unwrap().size, 10);
    assert_eq!(witness.answer(&fork.request(10, 10)).await, Answer::Conflict(10));
    // Which is kept: two notes of one size, both signed by the log.
    let kept = |name: String| Note::parse(&files.read(&name).unwrap().unwrap()).unwrap();
    let (held, forked) = (kept(file_name("example.com/log")), kept(fork_file_name("example.com/log")));
    assert_eq!(
        schemas::witness::compare(&held, &forked, &log.key).unwrap(),
        schemas::witness::Comparison::Forked
    );
    // And nothing of all that moved it.
    verified_line(&witness, &log.note(20), &witness.answer(&log.request(10, 20)).await);
}

#[tokio::test]
async fn what_is_wrong_has_the_status_of_the_specification() {
    let log = Leaves::new("example.com/log", 1).grown(20, 0);
    let other = Leaves::new("example.com/other", 2).grown(20, 0);
    let impostor = Leaves::new("example.com/log", 3).grown(20, 0);
    let files = Arc::new(Memory::default());
    let witness = witness_of(&[&log], &files).unwrap();
    for (body, expected) in [
        (other.request(0, 3), 404),
        (impostor.request(0, 3), 403),
        (Vec::new(), 400),
        (b"old 0\n\n".to_vec(), 400),
        (b"old 0\n\nexample.com/log\n".to_vec(), 400),
        (log.request(0, 3)[1..].to_vec(), 400),
        (AddCheckpoint { old: 4, proof: Vec::new(), checkpoint: log.note(3).into_bytes() }.to_bytes(), 400),
        (
            AddCheckpoint { old: 0, proof: vec![empty_root()], checkpoint: log.note(3).into_bytes() }
                .to_bytes(),
            422,
        ),
        // An empty tree has one root.
        (
            AddCheckpoint {
                old: 0,
                proof: Vec::new(),
                checkpoint: log
                    .sign(&format!("example.com/log\n0\n{}\n", leaf_hash(b"x").to_base64()))
                    .into_bytes(),
            }
            .to_bytes(),
            422,
        ),
        (
            AddCheckpoint {
                old: 0,
                proof: Vec::new(),
                checkpoint: log
                    .sign("example.com/log\n01\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
                    .into_bytes(),
            }
            .to_bytes(),
            400,
        ),
    ] {
        let answer = witness.answer(&body).await;
        assert_eq!(status(&answer), expected, "{:?}: {answer:?}", String::from_utf8_lossy(&body));
    }
    assert_eq!(files.read(&file_name("example.com/log")).unwrap(), None, "nothing was cosigned");
    // The empty tree may be cosigned, and what grows from it.
    let empty = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: log.note(0).into_bytes() };
    assert_eq!(status(&witness.answer(&empty.to_bytes()).await), 200);
    assert_eq!(status(&witness.answer(&log.request(0, 3)).await), 200);
}

#[tokio::test]
async fn lines_of_keys_that_nobody_knows_are_ignored_and_are_not_kept() {
    let log = Leaves::new("example.com/log", 1).grown(5, 0);
    let files = Arc::new(Memory::default());
    let witness = witness_of(&[&log], &files).unwrap();
    let unknown = |at: usize| SignatureLine { name: format!("w{at}"), id: 6, signature: vec![6; 2428] };
    let more: Vec<SignatureLine> = (0..30).map(unknown).collect();
    let note = with_lines(&Note::parse(log.note(3).as_bytes()).unwrap(), &more);
    let request = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: note.into_bytes() };
    assert_eq!(status(&witness.answer(&request.to_bytes()).await), 200);
    let kept = Note::parse(&files.read(&file_name("example.com/log")).unwrap().unwrap()).unwrap();
    assert_eq!(kept.signatures().len(), 2);
}

#[tokio::test]
async fn it_remembers_past_a_restart_and_does_not_begin_without_its_memory() {
    let log = Leaves::new("example.com/log", 1).grown(20, 0);
    let files = Arc::new(Memory::default());
    assert_eq!(status(&witness_of(&[&log], &files).unwrap().answer(&log.request(0, 7)).await), 200);
    assert_eq!(witness_of(&[&log], &files).unwrap().answer(&log.request(0, 9)).await, Answer::Conflict(7));
    let name = file_name("example.com/log");
    let kept = files.read(&name).unwrap().unwrap();
    for at in 0..kept.len() {
        let mut bad = kept.clone();
        bad[at] ^= 1;
        files.replace(&name, &bad).unwrap();
        assert!(witness_of(&[&log], &files).is_err(), "byte {at}");
    }
    files.replace(&name, &kept[..kept.len() / 2]).unwrap();
    assert!(witness_of(&[&log], &files).is_err());
    files.replace(&name, &kept).unwrap();
    // Under another key of the log's it would have to forget.
    let rekeyed = Leaves::new("example.com/log", 3);
    assert!(witness_of(&[&rekeyed], &files).is_err());
    assert!(witness_of(&[&rekeyed, &log], &files).is_ok());
    let none: Policy = "quorum none\n".parse().unwrap();
    assert!(Witness::open(&none, cosigner(), files, Clock::new(|| 0)).is_err());
}

#[tokio::test]
async fn a_cosignature_comes_after_the_disk_and_a_failed_write_ends_the_log() {
    let log = Leaves::new("example.com/log", 1).grown(20, 0);
    let files = Arc::new(Memory::default());
    let witness = witness_of(&[&log], &files).unwrap();
    assert_eq!(status(&witness.answer(&log.request(0, 7)).await), 200);
    files.is_broken.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(status(&witness.answer(&log.request(7, 9)).await), 500);
    files.is_broken.store(false, std::sync::atomic::Ordering::SeqCst);
    // Nobody knows what is on disk now.
    assert_eq!(status(&witness.answer(&log.request(7, 9)).await), 500);
    // What is read again is believed once it is durable, and not before.
    files.is_broken.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = witness_of(&[&log], &files).unwrap_err().to_string();
    assert!(error.contains("could not be made durable"), "{error}");
    files.is_broken.store(false, std::sync::atomic::Ordering::SeqCst);
    let again = witness_of(&[&log], &files).unwrap();
    assert_eq!(again.answer(&log.request(0, 9)).await, Answer::Conflict(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_that_race_one_wins_and_the_others_are_told() {
    let log = Leaves::new("example.com/log", 1).grown(40, 0);
    for _ in 0..20 {
        let files = Arc::new(Memory::default());
        let witness = witness_of(&[&log], &files).unwrap();
        assert_eq!(status(&witness.answer(&log.request(0, 7)).await), 200);
        let racing: Vec<_> = (8..40)
            .map(|size| {
                let (witness, body) = (witness.clone(), log.request(7, size));
                tokio::spawn(async move { (size, witness.answer(&body).await) })
            })
            .collect();
        let mut won = Vec::new();
        let mut told = Vec::new();
        for task in racing {
            match task.await.unwrap() {
                (size, Answer::Cosigned(_)) => won.push(size),
                (_, Answer::Conflict(size)) => told.push(size),
                (size, other) => panic!("{size}: {other:?}"),
            }
        }
        assert_eq!((won.len(), told.len()), (1, 31));
        assert!(told.iter().all(|size| *size == won[0]), "{won:?} {told:?}");
    }
}

#[tokio::test]
async fn over_http_a_conflict_has_the_content_type_of_the_specification_and_bodies_end() {
    use tower::ServiceExt as _;
    let log = Leaves::new("example.com/log", 1).grown(20, 0);
    let witness = witness_of(&[&log], &Arc::default()).unwrap();
    let ask = |method: &str, path: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        let router = witness.router();
        async move {
            let response = router.oneshot(request).await.unwrap();
            let kind =
                response.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_string());
            let status = response.status().as_u16();
            (status, kind.unwrap_or_default(), to_bytes(response.into_body(), 1 << 16).await.unwrap())
        }
    };
    assert_eq!(ask("POST", "/add-checkpoint", log.request(0, 3)).await.0, 200);
    let (status, kind, body) = ask("POST", "/add-checkpoint", log.request(0, 3)).await;
    assert_eq!((status, kind.as_str(), &body[..]), (409, "text/x.tlog.size", &b"3\n"[..]));
    assert_eq!(ask("GET", "/add-checkpoint", Vec::new()).await.0, 405);
    assert_eq!(ask("POST", "/other", Vec::new()).await.0, 404);
    assert_eq!(ask("POST", "/add-checkpoint", vec![b'x'; WITNESS_REQUEST_BYTES_MAX]).await.0, 400);
    assert_eq!(ask("POST", "/add-checkpoint", vec![b'x'; WITNESS_REQUEST_BYTES_MAX + 1]).await.0, 413);
}
