//! `tacho witness`: how the witnesses stand, and being one.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use schemas::layout;
use schemas::limits::{WITNESS_END_MS_MAX, WITNESS_KEY_BYTES_MAX};
use schemas::note::{Note, VerifierKey};
use schemas::witness::{Comparison, compare};
use store::clock::SystemClock;
use store::disk::{Disk as _, RealDisk};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tower::ServiceExt as _;
use witness::Clock;
use witness::client::{STATUS, Status};
use witness::key::Cosigner;
use zeroize::Zeroizing;

use super::serve::{Network, check_plaintext};
use super::{findings, print, printable};
use crate::arguments::Witness;
use crate::configuration::Configuration;
use crate::descriptors::{self, Places};
use crate::exit;
use crate::listen::{self, Connections, Secure};
use crate::tls::Tls;
use crate::witnesses::{OwnFiles, read_policy};

/// Runs the command.
pub async fn run(command: Witness, configuration: Configuration) -> Result<u8> {
    match command {
        Witness::Status { json, .. } => status(json, &configuration),
        Witness::Key { file, name } => key(&file, &name),
        Witness::Serve { state, listen, key, logs } => {
            serve(&state, listen, &key, &logs, &configuration).await
        }
        Witness::Compare { one, other, key } => compared(&one, &other, &key),
    }
}

/// Prints how the witnesses of the service stood when something last changed.
fn status(json: bool, configuration: &Configuration) -> Result<u8> {
    let (policy, _) =
        configuration.witness_files().context("witness.policy is not set: there are no witnesses")?;
    let policy = read_policy(&policy)?;
    let directory = configuration.data().join(layout::WITNESS);
    let path = directory.join(STATUS);
    let bytes =
        std::fs::read(&path).with_context(|| format!("read {}; has the service run?", path.display()))?;
    let status: Status = serde_json::from_slice(&bytes).with_context(|| format!("in {}", path.display()))?;
    // What is said of a quorum is held against the note itself.
    let is_enough = match std::fs::read(directory.join(layout::COSIGNED)) {
        Ok(note) => {
            let witnessed = Note::parse(&note).and_then(|note| policy.cosignatures(&note));
            witnessed.with_context(|| format!("in {}", directory.join(layout::COSIGNED).display()))?.is_enough
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            return Err(error)
                .with_context(|| format!("read {}", directory.join(layout::COSIGNED).display()));
        }
    };
    let is_failing = status.witnesses.iter().any(|witness| witness.failures > 0);
    if json {
        print(format!("{}\n", serde_json::to_string_pretty(&status)?).as_bytes())?;
    } else {
        print(table(&status, is_enough).as_bytes())?;
    }
    Ok(findings(status.stopped.is_some() || is_failing || !is_enough))
}

fn table(status: &Status, is_enough: bool) -> String {
    let mut text = String::new();
    let time = |seconds: u64| {
        let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        time.map_or_else(|| "-".to_string(), |time| time.to_string())
    };
    // Writing to a String does not fail.
    let mut line = |words: std::fmt::Arguments<'_>| writeln!(text, "{words}").unwrap_or_default();
    match &status.quorum {
        Some(quorum) if is_enough => line(format_args!(
            "cosigned: size {} at {} by {}",
            quorum.size,
            time(quorum.time_s),
            quorum.by.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ")
        )),
        _ => line(format_args!("cosigned: nothing by enough witnesses of this policy")),
    }
    for witness in &status.witnesses {
        let size = witness.size.map_or_else(|| "nothing yet".to_string(), |size| format!("size {size}"));
        let at = witness.time_s.map_or_else(String::new, |at| format!(" at {}", time(at)));
        line(format_args!("{}: {size}{at}", printable(&witness.name)));
        if let Some(reason) = &witness.reason {
            let since = witness.failing_since_s.map_or_else(|| "-".to_string(), time);
            let what = if witness.accuses { "ACCUSES THIS LOG, failing" } else { "failing" };
            line(format_args!("  {what} since {since}, {} times: {}", witness.failures, printable(reason)));
        }
    }
    if let Some(reason) = &status.stopped {
        line(format_args!("SIGNING IS STOPPED: {}", printable(reason)));
    }
    text
}

/// Makes a key unless there is one, and prints the public half.
fn key(file: &Path, name: &str) -> Result<u8> {
    let cosigner = match std::fs::symlink_metadata(file) {
        Ok(_) => {
            let cosigner = load_key(file)?;
            if cosigner.verifier().name() != name {
                bail!(
                    "{} holds the key of {}; choose another file",
                    file.display(),
                    cosigner.verifier().name()
                );
            }
            cosigner
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let cosigner = Cosigner::generate(name)?;
            create(file, cosigner.to_secret().as_bytes())
                .with_context(|| format!("create {}", file.display()))?;
            cosigner
        }
        Err(error) => return Err(error).with_context(|| format!("look at {}", file.display())),
    };
    print(format!("{}\n", cosigner.verifier()).as_bytes())?;
    Ok(exit::CLEAN)
}

/// Writes a file that is not there yet, and of two that try one only: a key that was given away is never replaced.
#[expect(clippy::disallowed_methods, reason = "a key file of the command's own, outside every store")]
fn create(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    created.write_all(bytes)?;
    created.sync_all()?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn load_key(file: &Path) -> Result<Cosigner> {
    use std::io::Read as _;
    let open = || -> std::io::Result<(u32, Zeroizing<Vec<u8>>)> {
        let mut bytes = Zeroizing::new(Vec::new());
        let opened = std::fs::File::open(file)?;
        let mode = opened.metadata()?.permissions().mode();
        opened.take(WITNESS_KEY_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok((mode, bytes))
    };
    let (mode, bytes) = open().with_context(|| format!("read {}", file.display()))?;
    if mode & 0o077 != 0 {
        bail!("{}: others may read it; chmod 600, and think about who has", file.display());
    }
    Cosigner::from_secret(&bytes).with_context(|| format!("in {}", file.display()))
}

/// Is a witness until SIGTERM or SIGINT.
async fn serve(
    state: &Path,
    listen: SocketAddr,
    key: &Path,
    logs: &Path,
    configuration: &Configuration,
) -> Result<u8> {
    descriptors::raise();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let told = signal(SignalKind::hangup()).context("wait for SIGHUP")?;
    let tls = Tls::from_configuration(configuration, Arc::new(SystemClock::new()))?;
    if tls.is_none() {
        check_plaintext(listen, configuration)?;
    }
    let files = store::OwnFiles::open(state)?;
    // Two witnesses under one key with one state would promise two things.
    let disk = RealDisk::open(state).with_context(|| format!("open {}", state.display()))?;
    let Some(_lock) = disk.lock(layout::LOCK).with_context(|| format!("lock {}", state.display()))? else {
        bail!("{} is in use by another witness", state.display());
    };
    let clock = SystemClock::new();
    let clock =
        Clock::new(move || u64::try_from(store::Clock::wall_us(&clock) / 1_000_000).unwrap_or_default());
    let policy = read_policy(logs)?;
    let witness = witness::server::Witness::open(&policy, load_key(key)?, Arc::new(OwnFiles(files)), clock)?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let address = listener.local_addr()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (stop, stopped) = watch::channel(false);
    let connections = Connections::new(&Places::of_network());
    let router = witness.router();
    let answer = move |request: Request<Body>| {
        let router = router.clone();
        async move {
            let Ok(response): Result<Response, std::convert::Infallible> = router.oneshot(request).await;
            response
        }
    };
    let mut servers = Vec::new();
    match tls {
        None => {
            let answer = move |request, _peer| answer(request);
            servers.push(tokio::spawn(listen::serve(Network(listener), connections, answer, stopped)));
        }
        Some(tls) => {
            servers.push(tokio::spawn(tls.clone().watch(stopped.clone(), told)));
            let answer = move |request, _peer| answer(request);
            servers.push(tokio::spawn(listen::serve(
                Secure::new(listener, tls),
                connections,
                answer,
                stopped,
            )));
        }
    }
    print(format!("ready {scheme}={address}\n{}\n", witness.verifier()).as_bytes())?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    stop.send_replace(true);
    for mut server in servers {
        match tokio::time::timeout(Duration::from_millis(WITNESS_END_MS_MAX), &mut server).await {
            Ok(ended) => ended.context("the port did not end in order")?,
            Err(_) => server.abort(),
        }
    }
    Ok(exit::CLEAN)
}

fn compared(one: &Path, other: &Path, key: &str) -> Result<u8> {
    let key: VerifierKey = key.parse().context("--key")?;
    let read = |path: &Path| -> Result<Note> {
        let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        Note::parse(&bytes).with_context(|| format!("in {}", path.display()))
    };
    let (code, text) = match compare(&read(one)?, &read(other)?, &key)? {
        Comparison::Same => (exit::CLEAN, "the same tree"),
        Comparison::Forked => (
            exit::FINDINGS,
            "TWO HISTORIES: the log has signed two trees of one size; keep both files, they prove it",
        ),
        Comparison::TwoSizes => (
            exit::COULD_NOT_RUN,
            "two sizes: only a consistency proof can tell; hand both to one witness, or compare again at the same size",
        ),
    };
    print(format!("{text}\n").as_bytes())?;
    Ok(code)
}
