//! A witness: one remembered checkpoint a log, and a cosignature only for what extends it.
//!
//! Statuses are those of C2SP tlog-witness: 400 malformed, 404 unknown log, 403 no valid signature of it, 409 another size than was
//! thought (with the size) or another root of the same size, 422 a proof that does not hold, 200 cosigned.
//!
//! A log's checkpoint is checked, written and cosigned under that log's lock: of two requests that race the first wins, and the
//! other is told the new size. It is on stable storage before it is cosigned. After a write that failed nobody knows what is on
//! disk, so that log is refused (500) until a restart has read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use schemas::cosignature::{CosignerKey, with_lines};
use schemas::limits::{WITNESS_REQUEST_BYTES_MAX, WITNESS_REQUEST_MS_MAX};
use schemas::note::{Note, SignatureLine, VerifierKey, assemble};
use schemas::policy::Policy;
use schemas::witness::{AddCheckpoint, Head, SIZE_CONTENT_TYPE};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::error::{Error, Result};
use crate::key::Cosigner;
use crate::{Clock, Files};

/// A witness; cheap to clone.
#[derive(Debug, Clone)]
pub struct Witness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cosigner: Cosigner,
    files: Arc<dyn Files>,
    clock: Clock,
    logs: BTreeMap<String, Known>,
}

/// A log that is witnessed.
#[derive(Debug)]
struct Known {
    keys: Vec<VerifierKey>,
    held: Mutex<Held>,
}

/// What is remembered of a log.
#[derive(Debug)]
enum Held {
    /// None was cosigned yet.
    Nothing,
    /// The newest that was cosigned, and the note that is kept of it.
    Tree(Head, Arc<str>),
    /// A write failed.
    Unknown,
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Cosigned: signature lines, each with its newline.
    Cosigned(String),
    /// 409 with the size that is held.
    Conflict(u64),
    /// 422: what was asked does not extend what is held; the kept note, which proves that to the log.
    NotExtended(Arc<str>),
    /// Anything else, with a text for people.
    Refused(StatusCode, String),
}

/// The file in which the newest checkpoint of a log is kept: the log's note with our cosignature.
pub fn file_name(origin: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(origin.as_bytes()).into();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}.checkpoint")
}

/// The file in which a checkpoint is kept that proves, beside the one that is held, that its log has two histories.
pub fn fork_file_name(origin: &str) -> String {
    format!("{}.fork", file_name(origin).trim_end_matches(".checkpoint"))
}

impl Witness {
    /// A witness of the logs of `policy`, with what is remembered of them in `files`. Blocking.
    ///
    /// # Errors
    /// [`Error::Settings`] for a list without logs; [`Error::State`] when a file is not what a witness wrote under this key, or is
    /// signed by none of the log's keys.
    pub fn open(policy: &Policy, cosigner: Cosigner, files: Arc<dyn Files>, clock: Clock) -> Result<Witness> {
        let mut logs: BTreeMap<String, Vec<VerifierKey>> = BTreeMap::new();
        for log in &policy.logs {
            logs.entry(log.key.name().to_string()).or_default().push(log.key.clone());
        }
        if logs.is_empty() {
            return Err(Error::settings(
                "known logs",
                "there is no `log <vkey>` line; name the logs to witness",
            ));
        }
        let mut known = BTreeMap::new();
        for (origin, keys) in logs {
            let held = load(&*files, &origin, &keys, cosigner.verifier())?;
            known.insert(origin, Known { keys, held: Mutex::new(held) });
        }
        Ok(Witness(Arc::new(Inner { cosigner, files, clock, logs: known })))
    }

    /// The key under which it cosigns.
    pub fn verifier(&self) -> &CosignerKey {
        self.0.cosigner.verifier()
    }

    /// The routes below the submission prefix.
    pub fn router(&self) -> Router {
        Router::new().route("/add-checkpoint", post(add_checkpoint)).with_state(self.clone())
    }

    /// Answers one request.
    pub async fn answer(&self, body: &[u8]) -> Answer {
        let refused = |status, why: String| Answer::Refused(status, why);
        let read = AddCheckpoint::parse(body).and_then(|request| {
            let note = Note::parse(&request.checkpoint)?;
            let head = Head::parse(note.unverified_text())?;
            Ok((request, note, head))
        });
        let (request, note, head) = match read {
            Ok(read) => read,
            Err(error) => return refused(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let Some(log) = self.0.logs.get(&head.origin) else {
            return refused(StatusCode::NOT_FOUND, "this log is not known here".to_string());
        };
        // Unknown keys are ignored; of the known ones one must have signed, and none wrongly.
        if let Err(error) = verified(&note, &log.keys) {
            return refused(StatusCode::FORBIDDEN, error.to_string());
        }
        if request.old > head.size {
            let why = format!("old size {} is over the size of the checkpoint, {}", request.old, head.size);
            return refused(StatusCode::BAD_REQUEST, why);
        }
        // Whoever asked may go away meanwhile: what was begun is ended.
        let witness = self.clone();
        let cosigned = tokio::spawn(async move { witness.cosign(&request, &note, head).await }).await;
        cosigned.unwrap_or_else(|error| refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }

    /// From the check against what is held to the cosignature, under the log's lock.
    async fn cosign(&self, request: &AddCheckpoint, note: &Note, head: Head) -> Answer {
        let internal = |why: &str| Answer::Refused(StatusCode::INTERNAL_SERVER_ERROR, why.to_string());
        let Some(log) = self.0.logs.get(&head.origin) else { return internal("no such log") };
        let mut held = log.held.lock().await;
        let (old, kept) = match &*held {
            Held::Nothing => (None, None),
            Held::Tree(tree, note) => (Some(tree), Some(Arc::clone(note))),
            Held::Unknown => {
                return internal("what is kept of this log could not be written; restart the witness");
            }
        };
        let held_size = old.map_or(0, |old| old.size);
        if request.old != held_size {
            return Answer::Conflict(held_size);
        }
        if let Some(old) = old.filter(|old| old.size == head.size && old.root != head.root) {
            tracing::error!(origin = %head.origin, size = head.size, held = ?old.root, shown = ?head.root,
                "a log has signed two trees of one size");
            self.keep_fork(&head.origin, note).await;
            return Answer::Conflict(held_size);
        }
        if let Err(error) = head.extends(old, &request.proof) {
            tracing::warn!(origin = %head.origin, held_size, size = head.size, %error, "a checkpoint that does not extend the last");
            let refused = || Answer::Refused(StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
            return kept.map_or_else(refused, Answer::NotExtended);
        }
        let line = self.0.cosigner.cosign(self.0.clock.now_s(), note.unverified_text());
        if old == Some(&head) {
            // It is on stable storage already: whoever sends the same again and again does not wear out the disk.
            return Answer::Cosigned(format!("{line}\n"));
        }
        // Of the note only what is known here: what others added to it would count against the limit when it is read again.
        let of_log = note
            .signatures()
            .iter()
            .filter(|line| log.keys.iter().any(|key| line.name == key.name() && line.id == key.id()));
        let lines: Vec<SignatureLine> = of_log.chain([&line]).cloned().collect();
        let kept: Arc<str> = assemble(note.unverified_text(), &lines).into();
        // Before this is on stable storage the cosignature does not leave this function.
        *held = Held::Unknown;
        if let Err(error) = self.replace(file_name(&head.origin), kept.as_bytes().to_vec()).await {
            tracing::error!(origin = %head.origin, %error, "the state of a log could not be written");
            return internal("what is kept of this log could not be written; restart the witness");
        }
        tracing::info!(origin = %head.origin, size = head.size, "cosigned");
        metrics::gauge!("tacho_witness_server_size", "origin" => head.origin.clone()).set(head.size as f64);
        *held = Held::Tree(head, kept);
        Answer::Cosigned(format!("{line}\n"))
    }

    async fn replace(&self, name: String, bytes: Vec<u8>) -> Result<(), String> {
        let files = Arc::clone(&self.0.files);
        let written = tokio::task::spawn_blocking(move || files.replace(&name, &bytes)).await;
        written.map_err(|error| error.to_string())?
    }

    /// Keeps the first note that proves a fork. It changes nothing of what is cosigned.
    async fn keep_fork(&self, origin: &str, note: &Note) {
        let (files, name, bytes) =
            (Arc::clone(&self.0.files), fork_file_name(origin), with_lines(note, &[]).into_bytes());
        let kept = tokio::task::spawn_blocking(move || match files.read(&name)? {
            Some(_) => Ok(()),
            None => files.replace(&name, &bytes),
        });
        if let Err(error) = kept.await.unwrap_or_else(|error| Err(error.to_string())) {
            tracing::error!(origin, %error, "the proof of a fork could not be kept");
        }
    }
}

/// The note's head, if one of these keys signed it and none of them wrongly.
fn verified(note: &Note, keys: &[VerifierKey]) -> schemas::Result<Head> {
    let is_of = |key: &&VerifierKey| {
        note.signatures().iter().any(|line| line.name == key.name() && line.id == key.id())
    };
    let mut found = None;
    for key in keys.iter().filter(is_of) {
        found = Some(Head::open(note, key)?);
    }
    found
        .ok_or_else(|| schemas::Error::mismatch("note signature", "none of a key that is known for this log"))
}

fn load(files: &dyn Files, origin: &str, keys: &[VerifierKey], own: &CosignerKey) -> Result<Held> {
    let wrong = |detail: String| Error::State { origin: origin.to_string(), detail };
    let name = file_name(origin);
    let Some(bytes) = files.read(&name).map_err(wrong)? else { return Ok(Held::Nothing) };
    let read = Note::parse(&bytes).and_then(|note| {
        let head = verified(&note, keys)?;
        own.verify(&note)?;
        Ok(head)
    });
    let head = read.map_err(|error| wrong(format!("{name}: {error}; it is not what this witness wrote")))?;
    if head.origin != origin {
        return Err(wrong(format!("{name} is of {}", head.origin)));
    }
    // It may have been read from memory after a write that never reached the disk. What is built on it must not be forgotten.
    files
        .replace(&name, &bytes)
        .map_err(|error| wrong(format!("{name} could not be made durable: {error}")))?;
    Ok(Held::Tree(head, String::from_utf8_lossy(&bytes).into_owned().into()))
}

async fn add_checkpoint(Shared(witness): Shared<Witness>, body: Body) -> Response {
    let limit = std::time::Duration::from_millis(WITNESS_REQUEST_MS_MAX);
    let body: Bytes = match tokio::time::timeout(limit, to_bytes(body, WITNESS_REQUEST_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let why = format!("the body is over {WITNESS_REQUEST_BYTES_MAX} bytes or broke off\n");
            return (StatusCode::PAYLOAD_TOO_LARGE, why).into_response();
        }
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n").into_response(),
    };
    let (status, kind, text) = match witness.answer(&body).await {
        Answer::Cosigned(lines) => (StatusCode::OK, "text/plain; charset=utf-8", lines),
        Answer::Conflict(size) => (StatusCode::CONFLICT, SIZE_CONTENT_TYPE, format!("{size}\n")),
        Answer::NotExtended(note) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "text/plain; charset=utf-8", note.to_string())
        }
        Answer::Refused(status, why) => (status, "text/plain; charset=utf-8", format!("{why}\n")),
    };
    metrics::counter!("tacho_witness_server_requests_total", "status" => status.as_u16().to_string())
        .increment(1);
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}

#[cfg(test)]
mod tests;
