//! A log in memory, files in a directory, witnesses on ports.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use ed25519_dalek::{Signer as _, SigningKey};
use schemas::note::{SignatureLine, VerifierKey, assemble};
use schemas::tree::{CompactRange, Hash, Nodes, consistency_proof, leaf_hash, root};
use tokio::task::JoinHandle;
use witness::client::{Consistency, Handle, Log, Options, Status, Transport, start};
use witness::key::Cosigner;
use witness::server::Witness;
use witness::{Clock, Files};

pub const ORIGIN: &str = "tacho-test/_root/root/w1";

/// What the log holds; grows while it is witnessed.
#[derive(Debug, Default)]
struct Grown {
    leaves: Vec<Hash>,
    note: Option<Arc<str>>,
    stopped: Option<String>,
    is_damaged: bool,
}

#[derive(Debug, Clone)]
pub struct MemoryLog {
    signing: Arc<SigningKey>,
    pub key: VerifierKey,
    grown: Arc<Mutex<Grown>>,
}

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    fn node(&self, level: u32, index: u64) -> schemas::Result<Hash> {
        let (first, width) = ((index << level) as usize, 1 << level);
        Ok(root(&self.0[first..first + width]))
    }
}

impl MemoryLog {
    pub fn new() -> MemoryLog {
        let signing = SigningKey::from_bytes(&[5; 32]);
        let key = VerifierKey::new(ORIGIN, &signing.verifying_key().to_bytes()).unwrap();
        MemoryLog { signing: Arc::new(signing), key, grown: Arc::default() }
    }

    /// The log as it was when it had this many entries: what a restored backup is.
    pub fn restored(&self, size: usize) -> MemoryLog {
        let other = MemoryLog::new();
        other.grown.lock().unwrap().leaves = self.grown.lock().unwrap().leaves[..size].to_vec();
        other.sign();
        other
    }

    /// Appends and signs.
    pub fn grow(&self, count: u64, salt: u8) {
        {
            let mut grown = self.grown.lock().unwrap();
            let from = grown.leaves.len() as u64;
            grown
                .leaves
                .extend((from..from + count).map(|at| leaf_hash(&[&at.to_be_bytes()[..], &[salt]].concat())));
        }
        self.sign();
    }

    fn sign(&self) {
        let mut grown = self.grown.lock().unwrap();
        let mut range = CompactRange::new();
        grown.leaves.iter().for_each(|leaf| range.push(*leaf));
        let text = format!("{ORIGIN}\n{}\n{}\n", range.size(), range.root().to_base64());
        let line = SignatureLine::new(&self.key, &self.signing.sign(text.as_bytes()).to_bytes());
        grown.note = Some(assemble(&text, &[line]).into());
    }

    /// What is read of its tree from now on is not what was signed.
    pub fn damage(&self) {
        self.grown.lock().unwrap().is_damaged = true;
    }

    pub fn size(&self) -> u64 {
        self.grown.lock().unwrap().leaves.len() as u64
    }

    pub fn stopped(&self) -> Option<String> {
        self.grown.lock().unwrap().stopped.clone()
    }
}

#[async_trait]
impl Log for MemoryLog {
    fn checkpoint(&self) -> Option<Arc<str>> {
        self.grown.lock().unwrap().note.clone()
    }

    async fn consistency(&self, old: u64, new: u64) -> Result<Consistency, String> {
        let (mut leaves, is_damaged) = {
            let grown = self.grown.lock().unwrap();
            (grown.leaves.clone(), grown.is_damaged)
        };
        if is_damaged {
            leaves[0] = leaf_hash(b"another");
        }
        let old_root = root(&leaves[..old as usize]);
        let hashes = consistency_proof(&Leaves(leaves), old, new).map_err(|error| error.to_string())?;
        Ok(Consistency { old_root, hashes })
    }

    async fn stop_signing(&self, reason: &str) -> Result<(), String> {
        self.grown.lock().unwrap().stopped.get_or_insert_with(|| reason.to_string());
        Ok(())
    }
}

#[derive(Debug)]
pub struct Directory(pub store::OwnFiles);

impl Directory {
    pub fn open(path: &Path) -> Arc<Directory> {
        Arc::new(Directory(store::OwnFiles::open(path).unwrap()))
    }
}

impl Files for Directory {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.0.read(name).map_err(|error| error.to_string())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        self.0.replace(name, bytes).map_err(|error| error.to_string())
    }
}

pub fn wall() -> Clock {
    Clock::new(|| std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs())
}

/// Something that listens where a witness does.
pub struct Port {
    pub url: String,
    address: std::net::SocketAddr,
    task: JoinHandle<()>,
}

impl Port {
    pub async fn serve(router: Router) -> Port {
        Port::serve_on("127.0.0.1:0".parse().unwrap(), router).await
    }

    async fn serve_on(address: std::net::SocketAddr, router: Router) -> Port {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Port { url: format!("http://{address}"), address, task }
    }

    /// Goes away: nobody listens there any more.
    pub async fn end(self) -> std::net::SocketAddr {
        self.task.abort();
        self.task.await.ok();
        self.address
    }

    /// Comes back where it was.
    pub async fn again(address: std::net::SocketAddr, router: Router) -> Port {
        Port::serve_on(address, router).await
    }
}

pub fn cosigner(seed: u8) -> Cosigner {
    Cosigner::from_seed(&format!("witness.example/{seed}"), &[seed; 32]).unwrap()
}

/// A witness of ours with its state in a directory.
pub fn witness_at(directory: &Path, seed: u8, log: &MemoryLog) -> Witness {
    let policy = format!("log {}\nquorum none\n", log.key).parse().unwrap();
    Witness::open(&policy, cosigner(seed), Directory::open(directory), wall()).unwrap()
}

/// A policy line.
pub fn line(name: &str, seed: u8, url: &str) -> String {
    format!("witness {name} {} {url}\n", cosigner(seed).verifier())
}

pub fn client(log: &MemoryLog, policy: &str, directory: &Path) -> Handle {
    let options = Options {
        policy: policy.parse().unwrap(),
        key: log.key.clone(),
        interval: Duration::from_secs(1),
        transport: Transport::default(),
        files: Directory::open(directory),
        clock: wall(),
    };
    start(Arc::new(log.clone()), options).unwrap()
}

pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until enough have cosigned this size.
pub async fn cosigned(handle: &Handle, size: u64) {
    let started = Instant::now();
    while handle.status().quorum.is_none_or(|quorum| quorum.size != size) {
        assert!(started.elapsed() < Duration::from_secs(30), "size {size}: {:#?}", handle.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn size_of(status: &Status, name: &str) -> Option<u64> {
    status.witnesses.iter().find(|witness| witness.name == name).unwrap().size
}
