//! `tacho demo`: everything at once on a scratch store, with a simulated fleet of agents and an incident in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use axum::http::{Request, header};
use bytes::Bytes;
use corpus::fleet::Script;
use schemas::Stream;
use tokio::signal::unix::{SignalKind, signal};

use super::print;
use super::serve::Running;
use crate::arguments::Demo;
use crate::configuration::Configuration;
use crate::exit;
use crate::service::{Service, body, failure};

/// Events in one request of the simulated gateway.
const EVENTS_A_REQUEST: usize = 500;
/// How long the detector may take to say something.
const PATIENCE: Duration = Duration::from_secs(20);
/// The port of the service, if it is free.
const PORT: u16 = 7420;

/// Runs the demo.
pub async fn run(command: Demo, configuration: Configuration) -> Result<u8> {
    let scratch = tempfile::Builder::new().prefix("tacho-demo-").tempdir().context("scratch directory")?;
    let home = match &command.keep {
        Some(keep) => keep.clone(),
        None => scratch.path().to_path_buf(),
    };
    let data = home.join("data");
    ensure!(!data.exists(), "{} is there already; choose another directory for --keep", data.display());
    let is_free = std::net::TcpListener::bind(("127.0.0.1", PORT)).is_ok();
    let listen = format!("127.0.0.1:{}", if is_free && !command.once { PORT } else { 0 });
    let configuration = configuration
        .with("data", data.display().to_string())
        .with("keys", home.join("keys").display().to_string())
        .with("listen", listen)
        .with("tls.cert", "")
        .with("tls.key", "")
        .with("tls.client_ca", "");
    let running = Running::start(&configuration).await?;
    let demo = Show { home, data, url: format!("http://{}", running.address), step: 0 };
    demo.play(running, command.once).await
}

/// What is shown, step by step.
struct Show {
    home: PathBuf,
    data: PathBuf,
    url: String,
    step: u32,
}

impl Show {
    fn say(&mut self, text: &str) -> Result<()> {
        self.step += 1;
        print(format!("\n{}. {text}\n", self.step).as_bytes())
    }

    async fn play(mut self, running: Running, once: bool) -> Result<u8> {
        let token_file = self.home.join("keys/admin.token");
        let service = Service::open(
            &crate::arguments::Target {
                url: Some(self.url.clone()),
                token_file: Some(token_file.clone()),
                ..Default::default()
            },
            &Configuration::load(&crate::arguments::Cli {
                config: None,
                command: crate::arguments::Command::Config(crate::arguments::Config::Show),
            })?,
        )
        .await?;
        let now_us = u64::try_from(running.node.clock.wall_us()).context("clock")?;
        let script = Script::new(7, now_us)?;
        self.say(&format!("The service runs at {} on {}", self.url, self.data.display()))?;
        self.ingest(&service, &script).await?;
        self.alerts(&running, &service).await?;
        self.sql(&service).await?;
        self.replay(&service, &script).await?;
        if !once {
            return self.stay(running, &script, &token_file).await;
        }
        running.stop().await?;
        self.secret_is_nowhere(&script)?;
        self.verify_finds_a_flipped_byte()?;
        print(b"\nAll of it happened.\n")?;
        Ok(exit::CLEAN)
    }

    async fn ingest(&mut self, service: &Service, script: &Script) -> Result<()> {
        let mut accepted = 0;
        let mut last = String::new();
        for events in script.events().chunks(EVENTS_A_REQUEST) {
            let request = Request::post("/v1/events")
                .header(header::CONTENT_TYPE, "application/x-ndjson")
                .body(Bytes::from(events.join("\n")))?;
            let response = service.send(request).await?;
            if !response.status().is_success() {
                return Err(failure(response).await);
            }
            let answer: serde_json::Value = serde_json::from_slice(&body(response).await?)?;
            accepted += answer.get("accepted").and_then(serde_json::Value::as_u64).unwrap_or(0);
            last = answer.to_string();
        }
        ensure!(accepted == script.events().len() as u64, "{accepted} of {} accepted", script.events().len());
        self.say(&format!(
            "Two hours of a fleet's tool calls went in over HTTP: {accepted} events, each acknowledged once it was on disk.\n   The last answer: {last}"
        ))?;
        for beat in script.story() {
            print(format!("   - {}\n", beat.what).as_bytes())?;
        }
        Ok(())
    }

    async fn alerts(&mut self, running: &Running, service: &Service) -> Result<()> {
        let events =
            running.node.store.snapshot("default", Stream::Events).context("the events log")?.durable;
        let detector = running.node.detector().context("the detector does not run")?;
        let caught_up = detector.wait_for("default", events.saturating_sub(1));
        tokio::time::timeout(PATIENCE, caught_up).await.context("the detector is late")??;
        let query = "SELECT severity, rule_id, entity, count, title FROM alerts \
                     WHERE control IS NULL AND state = 'open' ORDER BY position, ordinal";
        let table = sql(service, query, "table").await?;
        self.say(&format!(
            "The detector read the log and wrote its alerts into a log of its own:\n\n{table}"
        ))?;
        for rule in ["unapproved_high_risk_write", "auth_failure_burst", "revoked_credential_use"] {
            ensure!(table.contains(rule), "no alert of rule {rule}");
        }
        Ok(())
    }

    async fn sql(&mut self, service: &Service) -> Result<()> {
        let query = "SELECT user_id, agent_id, server, capability, decision, approval_id FROM events \
                     WHERE action IN ('write', 'destructive', 'admin') AND risk IN ('high', 'critical') \
                     AND decision = 'allow' AND approval_id IS NULL AND kind = 'call' ORDER BY time";
        let table = sql(service, query, "table").await?;
        self.say(&format!(
            "An auditor asks who wrote something of high risk without an approval:\n\n   {query}\n\n{table}"
        ))?;
        ensure!(table.contains("issue_refund"), "the unapproved write is not in the answer");
        let access =
            sql(service, "SELECT count(*) AS asked FROM access WHERE phase = 'intent'", "csv").await?;
        let asked = access.lines().nth(1).unwrap_or_default();
        print(format!("   The question itself is on the access log, as are all {asked} so far.\n").as_bytes())
    }

    async fn replay(&mut self, service: &Service, script: &Script) -> Result<()> {
        let path = format!("/api/v1/sessions/{}/replay?format=timeline", script.incident_session());
        let response = service.send(Request::get(path).body(Bytes::new())?).await?;
        if !response.status().is_success() {
            return Err(failure(response).await);
        }
        let text = String::from_utf8(body(response).await?.to_vec())?;
        let shown: Vec<&str> = text.lines().take(40).collect();
        self.say(&format!("A responder replays the session of the incident:\n\n{}", shown.join("\n")))?;
        ensure!(text.contains("issue_refund"), "the replay does not show the write");
        Ok(())
    }

    async fn stay(mut self, running: Running, script: &Script, token_file: &Path) -> Result<u8> {
        let mut terminated = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
        let token = std::fs::read_to_string(token_file).with_context(|| token_file.display().to_string())?;
        let (data, keys, session) = (self.data.display(), self.home.join("keys"), script.incident_session());
        let text = format!(
            "It stays up at {}, for this token: {}\n   Three things to try in another terminal:\n\n   \
             tacho sql --data {data} --keys {keys} \"SELECT server, count(*) AS calls FROM events GROUP BY server ORDER BY calls DESC\"\n   \
             tacho replay --data {data} --keys {keys} {session}\n   \
             tacho verify --data {data} --trust-store-key\n\n   Ctrl-C ends it{}.",
            self.url,
            token.trim_end(),
            if self.home.starts_with(std::env::temp_dir()) {
                " and removes the scratch directory"
            } else {
                ""
            },
            keys = keys.display(),
        );
        self.say(&text)?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.context("wait for Ctrl-C")?,
            _ = terminated.recv() => {}
        }
        running.stop().await?;
        Ok(exit::CLEAN)
    }

    fn secret_is_nowhere(&mut self, script: &Script) -> Result<()> {
        let mut files = 0;
        for secret in [script.secret(), script.password()] {
            files = search(&self.data, secret.as_bytes())?;
        }
        self.say(&format!(
            "The agent had sent a key and a password in an argument. Neither is in any of the {files} files of the store."
        ))
    }

    fn verify_finds_a_flipped_byte(&mut self) -> Result<()> {
        let report = verified(&self.data)?;
        ensure!(report.findings.is_empty(), "verify found {:?} in an untouched store", report.findings);
        let entries: u64 = report.logs.iter().map(|log| log.entries).sum();
        self.say(&format!(
            "verify recomputed every hash from the files alone: {entries} entries in {} logs, clean.",
            report.logs.len()
        ))?;
        let victim = largest_segment(&self.data)?;
        let mut bytes = std::fs::read(&victim)?;
        let middle = bytes.len() / 2;
        let byte = bytes.get_mut(middle).context("an empty segment")?;
        *byte ^= 1;
        std::fs::write(&victim, &bytes)?;
        let report = verified(&self.data)?;
        let found = report.findings.first().context("verify did not find the flipped byte")?;
        self.say(&format!(
            "Then one bit of byte {middle} of one segment was flipped, and verify said:\n   {}{}: {}",
            found.file.as_deref().unwrap_or_default(),
            found.index.map_or(String::new(), |index| format!(" index {index}")),
            found.message
        ))
    }
}

async fn sql(service: &Service, query: &str, format: &str) -> Result<String> {
    let question = serde_json::json!({"query": query, "format": format});
    let request = Request::post("/api/v1/sql")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(question.to_string()))?;
    let response = service.send(request).await?;
    if !response.status().is_success() {
        return Err(failure(response).await);
    }
    Ok(String::from_utf8(body(response).await?.to_vec())?)
}

fn verified(data: &Path) -> Result<verify::Report> {
    let options = verify::Options::new(data, verify::Identity::TrustStoreKey);
    verify::run(&options, &|_| {}).map_err(|error| anyhow::anyhow!("verify: {error}"))
}

/// Every file below `dir`.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_below(&path)?) } else { files.push(path) }
    }
    Ok(files)
}

/// Fails if `needle` is in any file below `dir`; how many files there are.
fn search(dir: &Path, needle: &[u8]) -> Result<usize> {
    let files = files_below(dir)?;
    for file in &files {
        let bytes = std::fs::read(file)?;
        if bytes.windows(needle.len()).any(|window| window == needle) {
            bail!("the planted secret is in {}", file.display());
        }
    }
    Ok(files.len())
}

fn largest_segment(data: &Path) -> Result<PathBuf> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "parquet");
    let files = files_below(data)?.into_iter().filter(is_segment);
    let largest = files.max_by_key(|path| path.metadata().map_or(0, |metadata| metadata.len()));
    largest.context("no segment was written")
}
