//! `tacho ingest`: files into a store or a running service, in bodies that its limits allow.

mod exchanges;
mod parts;

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use ingest::{RECEIPT, RECEIPT_CHECKPOINT};

use super::{findings, percent_encoded, print};
use crate::arguments::Ingest;
use crate::configuration::Configuration;
use crate::receipts::Receipts;
use crate::service::{Service, body, failure};
use exchanges::Recorded;
use parts::{Part, Parts};

/// Bytes after which a body is sent.
const BODY_BYTES: usize = 4 << 20;
/// How often a body that was told "try later" is tried again.
const TRIES_MAX: u32 = schemas::limits::PROGRAM_TRIES_MAX;

/// What became of the records.
#[derive(Debug, Default, serde::Serialize)]
struct Totals {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    log: Option<String>,
    tree_size: Option<u64>,
    /// Whether the checkpoint that covers them is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<bool>,
}

/// Where bodies go. One is held back until the next comes: the last of all is asked for a receipt.
struct Way<'a> {
    service: &'a Service,
    format: Option<&'a str>,
    receipts: Option<Receipts>,
    held: Option<(std::path::PathBuf, Bytes, u64)>,
}

/// Loads all files.
pub async fn run(command: Ingest, configuration: Configuration) -> Result<u8> {
    let service = Service::open(&command.target, &configuration).await?;
    let mut totals = Totals::default();
    let format =
        command.format.as_deref().map(|name| if name == exchanges::FORMAT { "canonical" } else { name });
    let receipts = command.receipts.clone().map(Receipts::new);
    let mut way = Way { service: &service, format, receipts, held: None };
    let mut result = Ok(());
    for file in &command.files {
        result = load(&mut way, &command, file, &mut totals).await;
        if result.is_err() {
            break;
        }
    }
    // What was read before something failed is sent as well.
    let last = way.flush(true, &mut totals).await;
    service.close().await?;
    let result = result.and(last);
    result?;
    let text = if command.json {
        serde_json::to_string(&totals)?
    } else {
        let Totals { accepted, duplicates, rejected, log, tree_size, receipt } = &totals;
        let receipt = match receipt {
            Some(true) => "; receipt kept",
            Some(false) => "; no receipt: nothing was signed in time",
            None => "",
        };
        let place = match (log, tree_size) {
            (Some(log), Some(size)) => format!("; {log} has {size} entries"),
            _ => String::new(),
        };
        format!("accepted {accepted}, duplicates {duplicates}, refused {rejected}{place}{receipt}")
    };
    print(format!("{text}\n").as_bytes())?;
    Ok(findings(totals.rejected > 0))
}

async fn load(way: &mut Way<'_>, command: &Ingest, file: &Path, totals: &mut Totals) -> Result<()> {
    let place = || format!("read {}", file.display());
    let (input, bytes): (Box<dyn Read>, Option<u64>) = if file == Path::new("-") {
        (Box::new(std::io::stdin()), None)
    } else {
        let opened = File::open(file).with_context(place)?;
        let bytes = opened.metadata().with_context(place)?.len();
        (Box::new(opened), Some(bytes))
    };
    let mut parts = Parts::new(input, BODY_BYTES);
    let mut progress = Progress::new(file, bytes);
    // Joined here and not at the service: a request and its reply may be far apart in a file.
    let mut recorded = (command.format.as_deref() == Some(exchanges::FORMAT)).then(|| Recorded::new(file));
    while let Some(Part { first_line, bytes }) = parts.next().with_context(place)? {
        progress.add(bytes.len() as u64);
        match &mut recorded {
            None => way.take(file, Bytes::from(bytes), first_line, totals).await?,
            Some(recorded) => {
                for body in recorded.read(&bytes, first_line, totals) {
                    way.take(file, body, first_line, totals).await?;
                }
            }
        }
    }
    for body in recorded.into_iter().flat_map(Recorded::end) {
        way.take(file, body, 1, totals).await?;
    }
    progress.clear();
    Ok(())
}

impl Way<'_> {
    /// Takes a body, and sends the one before it.
    async fn take(&mut self, file: &Path, chunk: Bytes, first_line: u64, totals: &mut Totals) -> Result<()> {
        self.flush(false, totals).await?;
        self.held = Some((file.to_path_buf(), chunk, first_line));
        Ok(())
    }

    /// Sends what is held.
    async fn flush(&mut self, is_last: bool, totals: &mut Totals) -> Result<()> {
        let Some((file, chunk, first_line)) = self.held.take() else { return Ok(()) };
        let receipts = self.receipts.as_ref().filter(|_| is_last);
        let kept = send(self.service, self.format, &file, chunk, (first_line, receipts), totals).await?;
        totals.receipt = receipts.map(|_| kept);
        Ok(())
    }
}

/// Sends a body that begins on that line; keeps a receipt where receipts are kept, and says whether it did.
async fn send(
    service: &Service,
    format: Option<&str>,
    file: &Path,
    chunk: Bytes,
    (first_line, receipts): (u64, Option<&Receipts>),
    totals: &mut Totals,
) -> Result<bool> {
    let format = format.map(|name| format!("?format={}", percent_encoded(name)));
    let path = format!("/v1/events{}", format.unwrap_or_default());
    // The same part of the same content: a repeated run is found by the ids made from this.
    let key = format!("file-{}", blake3::hash(&chunk).to_hex());
    for _ in 0..TRIES_MAX {
        let mut request = Request::post(&path)
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .header("idempotency-key", &key);
        if receipts.is_some() {
            request = request.header(RECEIPT, RECEIPT_CHECKPOINT);
        }
        let request = request.body(chunk.clone())?;
        let response = service.send(request).await?;
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                tokio::time::sleep(Duration::from_secs(schemas::limits::RETRY_AFTER_S)).await;
            }
            status if status.is_success() || status == StatusCode::BAD_REQUEST => {
                let answer = body(response).await?;
                count(file, first_line, &answer, totals)?;
                return receipts.map_or(Ok(false), |receipts| receipts.keep(&answer));
            }
            _ => return Err(failure(response).await),
        }
    }
    bail!("{}: the service was busy for {TRIES_MAX} tries at line {first_line}", file.display())
}

/// Adds an answer up, and shows what was refused with its line in the file.
fn count(file: &Path, first_line: u64, answer: &[u8], totals: &mut Totals) -> Result<()> {
    let answer: serde_json::Value = serde_json::from_slice(answer).context("the service's answer")?;
    let number = |name: &str| answer.get(name).and_then(serde_json::Value::as_u64);
    totals.accepted += number("accepted").unwrap_or(0);
    totals.duplicates += number("duplicates").unwrap_or(0);
    totals.rejected += number("rejected_count").unwrap_or(0);
    totals.log =
        answer.get("log").and_then(serde_json::Value::as_str).map(str::to_string).or(totals.log.take());
    totals.tree_size = number("tree_size").or(totals.tree_size);
    let rejected = answer.get("rejected").and_then(serde_json::Value::as_array);
    for refused in rejected.into_iter().flatten() {
        let line = refused.get("line").and_then(serde_json::Value::as_u64).unwrap_or(1);
        let detail = refused.get("detail").and_then(serde_json::Value::as_str).unwrap_or_default();
        eprintln!("{}:{}: {detail}", file.display(), first_line + line - 1);
    }
    if number("accepted").is_none() && number("rejected_count").is_none() {
        // A problem without counts: an empty part of a file is no failure.
        let code = answer.get("code").and_then(serde_json::Value::as_str).unwrap_or_default();
        if code != "empty" {
            bail!("{}: {answer}", file.display());
        }
    }
    Ok(())
}

/// A line on the terminal that says how far the file is.
struct Progress {
    name: String,
    bytes: Option<u64>,
    done: u64,
    shown: bool,
}

impl Progress {
    fn new(file: &Path, bytes: Option<u64>) -> Progress {
        let shown = std::io::stderr().is_terminal();
        Progress { name: file.display().to_string(), bytes, done: 0, shown }
    }

    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if !self.shown {
            return;
        }
        let mib = self.done >> 20;
        match self.bytes.filter(|bytes| *bytes > 0) {
            Some(all) => {
                let filled = usize::try_from(self.done.min(all) * 30 / all).unwrap_or(30);
                eprint!("\r{} [{:<30}] {mib} MiB", self.name, "#".repeat(filled));
            }
            None => eprint!("\r{} {mib} MiB", self.name),
        }
    }

    fn clear(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
