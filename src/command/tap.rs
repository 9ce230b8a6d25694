//! `tacho tap`: this process becomes the wrapped server, and leaves a relay between it and its client that records.
//!
//! Nothing here may keep the server from starting: what is wrong with the configuration, the token or the address is said on
//! standard error, and the events wait in the spool.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::http::{Request, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use ingest::{RECEIPT, RECEIPT_CHECKPOINT};
use schemas::limits::{TAP_ANSWER_BYTES_MAX, TAP_RECEIPT_INTERVAL_MS};
use tap::identity::Given;
use tap::launch::{self, Part};
use tap::relay::{self, Ends, Options};
use tap::send::{Answer, Transport};

use crate::arguments::{Cli, Tap, Target};
use crate::configuration::Configuration;
use crate::exit;
use crate::receipts::Receipts;
use crate::service::Service;
use crate::telemetry;

/// What a shell says of a command that is not there.
const NOT_FOUND: u8 = 127;
/// What it says of one that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;

/// Becomes the server, or is the relay.
pub fn run(cli: &Cli, tap: &Tap) -> u8 {
    match Part::of_this_process() {
        Part::Server => become_server(tap),
        Part::Starter => match launch::detach() {
            Ok(()) => exit::CLEAN,
            Err(error) => {
                say(format_args!("{error}"));
                exit::COULD_NOT_RUN
            }
        },
        Part::Relay(meeting) => record(cli, tap, &meeting),
    }
}

fn become_server(tap: &Tap) -> u8 {
    let Some((program, arguments)) = tap.command.split_first() else { return exit::COULD_NOT_RUN };
    let mut server = Command::new(program);
    // The server is not the recorder's: the credential of the one is no business of the other.
    server.args(arguments).env_remove("TACHO_TOKEN");
    let error = launch::become_server(server);
    say(format_args!("cannot run {}: {error}", Path::new(program).display()));
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// Is the relay.
fn record(cli: &Cli, tap: &Tap, meeting: &Path) -> u8 {
    ignore_signals();
    match Ends::meet(meeting) {
        Ok(ends) => {
            relay::run(ends, || options(cli, tap));
            exit::CLEAN
        }
        Err(error) => {
            say(format_args!("{error}"));
            exit::COULD_NOT_RUN
        }
    }
}

/// Says something on standard error, if somebody takes it: that nobody does must not end the relay.
fn say(what: std::fmt::Arguments<'_>) {
    writeln!(io::stderr(), "tacho tap: {what}").ok();
}

/// Signals that end a service end the server, and with it this: it must not go before its server has.
fn ignore_signals() {
    use tokio::signal::unix::{SignalKind, signal};
    let taken = runtime().and_then(|runtime| {
        runtime.block_on(async {
            for kind in
                [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()]
            {
                // The handler stays when its stream goes.
                drop(signal(kind)?);
            }
            Ok(())
        })
    });
    if let Err(error) = taken {
        say(format_args!("signals to this process will break the connection: {error}"));
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// What the relay observes with. Mistakes cost the way to the service, not the server.
fn options(cli: &Cli, tap: &Tap) -> Options {
    let configuration = Configuration::load(cli).and_then(|configuration| {
        telemetry::start(&configuration, false)?;
        Ok(configuration)
    });
    let configuration = configuration.inspect_err(|error| say(format_args!("{error:#}"))).ok();
    let program = tap.command.first().and_then(|program| Path::new(program).file_name());
    let given = Given {
        server: tap.server.clone(),
        program: program.map(|name| name.to_string_lossy().into_owned()),
        user: tap.user.clone(),
        agent: tap.agent.clone(),
        session: tap.session.clone(),
        environment: tap.environment.clone(),
        transport: "stdio",
    };
    let token = token(&tap.target);
    let state = tap.spool.clone().or_else(state_directory);
    let home = state.map(|state| {
        let home = state.join(destination(cli, &tap.target, configuration.as_ref(), token.as_deref()));
        // What is wrong with the directory is said when the spool is made in it.
        note_destination(&home, &for_people(&tap.target, configuration.as_ref())).ok();
        say_what_waits_beside(&state, &home);
        home
    });
    // Beside the directories of what waits: of the same service and login.
    let receipts = home.clone().map(Receipts::new);
    Options {
        given,
        spool_home: home,
        spool_bytes_max: tap.spool_bytes,
        heartbeat_s: tap.heartbeat,
        redaction_key: redaction_key(token.as_deref()),
        transport: Box::new(Http {
            target: tap.target.clone(),
            configuration,
            runtime: None,
            service: None,
            receipts,
            asked: None,
        }),
    }
}

fn token(target: &Target) -> Option<String> {
    let token = match &target.token_file {
        Some(file) => std::fs::read_to_string(file).ok(),
        None => std::env::var("TACHO_TOKEN").ok(),
    };
    token.map(|token| token.trim().to_string()).filter(|token| !token.is_empty())
}

/// Of the same secret the same fingerprint wherever the same token is used; without a token, in this run alone. Nobody
/// learns the token from it.
fn redaction_key(token: Option<&str>) -> [u8; 32] {
    match token {
        Some(token) => blake3::derive_key("tachograph 2026 tap redaction fingerprints", token.as_bytes()),
        None => {
            let mut random = [0; 32];
            if let Err(error) = getrandom::fill(&mut random) {
                // Without randomness the relay makes no event, so that this key is the key of nothing.
                say(format_args!("no randomness: {error}"));
            }
            random
        }
    }
}

/// Name of the directory of what waits for one service and one login: what a tap left is adopted by taps of the same alone,
/// so that no tenant's events come to another.
fn destination(
    cli: &Cli,
    target: &Target,
    configuration: Option<&Configuration>,
    token: Option<&str>,
) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("tachograph 2026 tap destination");
    let mut part = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    };
    match (&target.url, &target.token_file) {
        (Some(url), Some(file)) => {
            part(url.as_bytes());
            part(std::path::absolute(file).as_ref().unwrap_or(file).as_os_str().as_encoded_bytes());
        }
        (Some(url), None) => {
            part(url.as_bytes());
            part(token.unwrap_or_default().as_bytes());
        }
        (None, _) => {
            let data = data_directory(target, configuration);
            // A file that cannot be read today may name another directory tomorrow: its own name stands for it.
            let path = data.or_else(|| cli.config.clone()).unwrap_or_default();
            part(std::path::absolute(&path).unwrap_or(path).as_os_str().as_encoded_bytes());
        }
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}

/// The data directory, also where the rest of the configuration is broken; none if only that says it.
fn data_directory(target: &Target, configuration: Option<&Configuration>) -> Option<PathBuf> {
    let given = target.place.data.clone().or_else(|| std::env::var_os("TACHO_DATA").map(PathBuf::from));
    configuration.map(Configuration::data).or(given)
}

/// How often the recorder is asked for the checkpoint that covers what it took.
const RECEIPT_EVERY: Duration = Duration::from_millis(TAP_RECEIPT_INTERVAL_MS);
/// Name of the file that says what a directory of waiting events is for.
const NOTE: &str = "destination";

/// What the events are for, without a credential.
fn for_people(target: &Target, configuration: Option<&Configuration>) -> String {
    let Some(url) = &target.url else {
        let data = data_directory(target, configuration);
        return data.map_or_else(
            || "the service of a configuration that could not be read".to_string(),
            |data| format!("the service on {}", std::path::absolute(&data).unwrap_or(data).display()),
        );
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    match &target.token_file {
        Some(file) => format!("{scheme}://{host} with the token in {}", file.display()),
        None => format!("{scheme}://{host} with a token of TACHO_TOKEN"),
    }
}

/// Writes the note, unless it is there.
fn note_destination(home: &Path, text: &str) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home)?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(home.join(NOTE));
    match file {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        file => file?.write_all(format!("{text}\n").as_bytes()),
    }
}

/// Says what ended taps left for another service or login, such as a token that was replaced since: no tap of this one sends it.
fn say_what_waits_beside(state: &Path, own: &Path) {
    let entries = std::fs::read_dir(state).into_iter().flatten().flatten();
    for directory in entries.map(|entry| entry.path()).filter(|path| path != own) {
        // Without a note it is none of ours.
        let Ok(note) = std::fs::read_to_string(directory.join(NOTE)) else { continue };
        let left = tap::spool::orphans(&directory, None);
        let has_events = |orphan: &tap::spool::Orphan| {
            orphan.reader().next(None).is_ok_and(|batch| !batch.events.is_empty())
        };
        let count = left.iter().filter(|orphan| has_events(orphan)).count();
        if count > 0 {
            let (directory, note) = (directory.display(), note.trim());
            say(format_args!(
                "events of {count} ended taps wait in {directory} for {note}; start one for it to send them"
            ));
        }
    }
}

/// `tachograph/tap` in the user's directory for states.
fn state_directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("tachograph/tap"))
}

/// The way to the service: a request each time, over what was opened before unless that failed.
struct Http {
    target: Target,
    configuration: Option<Configuration>,
    runtime: Option<tokio::runtime::Runtime>,
    service: Option<Service>,
    receipts: Option<Receipts>,
    /// When a receipt was asked for last.
    asked: Option<Instant>,
}

impl Transport for Http {
    fn send(&mut self, body: Vec<u8>, patience: Duration) -> Result<Answer, String> {
        let answer = self.try_send(body, patience).map_err(|error| format!("{error:#}"));
        // A token that was replaced or a certificate that was renewed is read again.
        if !matches!(&answer, Ok(answer) if answer.status == 200) {
            self.service = None;
        }
        answer
    }
}

impl Http {
    fn try_send(&mut self, body: Vec<u8>, patience: Duration) -> Result<Answer> {
        let configuration = self.configuration.as_ref().context("the configuration cannot be read")?;
        let service = match self.service.take() {
            Some(service) => service,
            None => Service::running(&self.target, configuration)?,
        };
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => runtime()?,
        };
        let mut request =
            Request::post("/v1/events?format=canonical").header(header::CONTENT_TYPE, "application/x-ndjson");
        // Now and then: an answer waits for it.
        let asks = self.receipts.is_some() && self.asked.is_none_or(|asked| asked.elapsed() >= RECEIPT_EVERY);
        if asks {
            request = request.header(RECEIPT, RECEIPT_CHECKPOINT);
        }
        let request = request.body(Bytes::from(body))?;
        let answer = runtime.block_on(async {
            tokio::time::timeout(patience, exchange(&service, request))
                .await
                .with_context(|| format!("no answer within {} ms", patience.as_millis()))?
        });
        (self.service, self.runtime) = (Some(service), Some(runtime));
        if let Ok(answer) = &answer
            && asks
            && answer.status == 200
        {
            #[expect(clippy::disallowed_methods, reason = "paces requests of a client")]
            let now = Instant::now();
            self.asked = Some(now);
            // What was acknowledged is acknowledged; that somebody should look into it is said.
            if let Some(Err(error)) = self.receipts.as_ref().map(|receipts| receipts.keep(&answer.body)) {
                tracing::error!(error = format!("{error:#}"), "no receipt was kept");
            }
        }
        answer
    }
}

async fn exchange(service: &Service, request: Request<Bytes>) -> Result<Answer> {
    let response = service.send(request).await?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after_s = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    let body = http_body_util::Limited::new(response.into_body(), TAP_ANSWER_BYTES_MAX);
    let body =
        body.collect().await.map_err(|error| anyhow::anyhow!("the answer: {error}"))?.to_bytes().to_vec();
    Ok(Answer { status, retry_after_s, body })
}
