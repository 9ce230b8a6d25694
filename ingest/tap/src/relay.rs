//! The relay: the process between client and server. It copies first, and prepares to observe after that.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filedescriptor::{FileDescriptor, StdioDescriptor};
use redact::Redactor;
use rustix::process::{Resource, Rlimit, setrlimit};
use schemas::limits::{
    TAP_QUEUED_BYTES_MAX, TAP_QUEUED_PIECES_MAX, TAP_SPOOL_FILE_BYTES, TAP_START_TIMEOUT_MS,
};

use crate::clock::{Clock, Moment};
use crate::copy::copy;
use crate::error::Error;
use crate::identity::Given;
use crate::launch::{DOWN, UP};
use crate::notice::Notices;
use crate::observe::Observer;
use crate::send::{Sender, Sent, Transport};
use crate::spool::{self, Spool};
use crate::watch::{Watched, watch};

/// How much less important observing and sending are than copying, to the scheduler.
const NICENESS: i32 = 5;

/// What the relay observes with.
pub struct Options {
    /// Who is at the two ends, as far as flags say.
    pub given: Given,
    /// Directory of what is kept for this service.
    pub spool_home: Option<std::path::PathBuf>,
    /// Bytes of it.
    pub spool_bytes_max: u64,
    /// Seconds between heartbeats; none for 0.
    pub heartbeat_s: u32,
    /// Key of the fingerprints that stand for secrets.
    pub redaction_key: [u8; 32],
    /// The way to the service.
    pub transport: Box<dyn Transport>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Options").field("given", &self.given).finish_non_exhaustive()
    }
}

/// What became of what was observed: `made + adopted = durable + duplicates + refused + dropped + unredactable + left`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events made here, notices among them.
    pub made: u64,
    /// Events that ended taps left behind, and that were sent here.
    pub adopted: u64,
    /// On record at the service.
    pub durable: u64,
    /// On record there before.
    pub duplicates: u64,
    /// Refused by it.
    pub refused: u64,
    /// For which there was no room.
    pub dropped: u64,
    /// That could not be redacted, and so not be kept.
    pub unredactable: u64,
}

/// The four ends.
#[derive(Debug)]
pub struct Ends {
    /// What the client writes.
    pub client_in: File,
    /// What the server reads.
    pub server_in: File,
    /// What the server writes.
    pub server_out: File,
    /// What the client reads.
    pub client_out: File,
}

impl Ends {
    /// Of this process's standard input and output, and of the pipes in the meeting place. Standard input and output are
    /// something else afterwards, so that closing these closes them.
    ///
    /// # Errors
    /// When there are none.
    pub fn meet(place: &Path) -> Result<Ends, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Relay { reason: error.to_string() };
        let null =
            OpenOptions::new().read(true).write(true).open("/dev/null").map_err(|error| failed(&error))?;
        let take = |which| {
            let taken = FileDescriptor::redirect_stdio(&null, which).and_then(|end| end.as_file());
            taken.map_err(|error| failed(&error))
        };
        let client_in = take(StdioDescriptor::Stdin)?;
        let client_out = take(StdioDescriptor::Stdout)?;
        // Whoever started this may have given up: then nobody opens the other ends, and this waits for nothing.
        let has_met = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&has_met);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(2 * TAP_START_TIMEOUT_MS));
            if !watched.load(Ordering::Acquire) {
                std::process::exit(1);
            }
        });
        let server_in =
            OpenOptions::new().write(true).open(place.join(UP)).map_err(|error| failed(&error))?;
        let server_out = File::open(place.join(DOWN)).map_err(|error| failed(&error))?;
        has_met.store(true, Ordering::Release);
        Ok(Ends { client_in, server_in, server_out, client_out })
    }
}

/// Copies until both sides have ended, observes meanwhile, and sends until all is sent or it takes too long. `prepare` is
/// called once bytes are flowing.
pub fn run(ends: Ends, prepare: impl FnOnce() -> Options) -> Summary {
    // A core of this process would hold what passes through it.
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%error, "a core dump of the tap is not ruled out");
    }
    let clock = Clock::start();
    let started = clock.now();
    let (client, server, watched) = watch(TAP_QUEUED_BYTES_MAX, TAP_QUEUED_PIECES_MAX);
    let Ends { client_in, server_in, server_out, client_out } = ends;
    let copies = [
        std::thread::spawn(move || copy(client_in, server_in, client, clock)),
        std::thread::spawn(move || copy(server_out, client_out, server, clock)),
    ];
    // Whatever happens there, the copying goes on: this thread waits for the copies, and ends the process after them alone.
    let prepared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(prepare));
    let observing = std::thread::spawn(move || match prepared {
        Ok(options) => observe(options, &watched, clock, started),
        Err(_) => {
            tracing::error!("preparing broke off: a defect of the tap; the server runs unobserved");
            Summary::default()
        }
    });
    for copy in copies {
        if copy.join().is_err() {
            tracing::error!("copying broke off: a defect of the tap");
        }
    }
    let_go_of_standard_error();
    observing.join().unwrap_or_else(|_| {
        tracing::error!("observing broke off: a defect of the tap");
        Summary::default()
    })
}

/// Whoever reads the server's standard error to its end waits for nobody but the server.
fn let_go_of_standard_error() {
    let null = OpenOptions::new().write(true).open("/dev/null").map_err(filedescriptor::Error::from);
    let taken = null.and_then(|null| FileDescriptor::redirect_stdio(&null, StdioDescriptor::Stderr));
    if let Err(error) = taken {
        tracing::warn!(%error, "standard error stays open until everything is sent");
    }
}

/// Says something on standard error, if somebody takes it: that nobody does must not end the relay.
fn say(what: &str) {
    writeln!(std::io::stderr(), "tacho tap: {what}").ok();
}

/// Gives way to the copying threads, and to the agent and its server.
fn be_nice() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the observer is as important as the agent");
    }
}

fn observe(options: Options, watched: &Watched, clock: Clock, started: Moment) -> Summary {
    be_nice();
    let Options { given, spool_home, spool_bytes_max, heartbeat_s, redaction_key, transport } = options;
    // Ids of events come from the secret; the run's name is for everybody to see, and tells nothing of it.
    let (mut random, mut secret) = ([0; 8], [0; 32]);
    if let Err(error) = getrandom::fill(&mut random).and_then(|()| getrandom::fill(&mut secret)) {
        tracing::error!(%error, "no randomness: the server runs unobserved");
        return Summary::default();
    }
    // Names sort by the time of their run.
    let run = format!(
        "{:016x}-{}",
        started.wall_us,
        blake3::Hash::from_bytes(*blake3::hash(&random).as_bytes()).to_hex()
    );
    let run = run.get(..33).unwrap_or(&run).to_string();
    let (spool, _scratch) = match open_spool(spool_home, spool_bytes_max, &run) {
        Ok(opened) => opened,
        Err(error) => {
            say(&format!("{error}: the server runs unobserved"));
            return Summary::default();
        }
    };
    let session = format!("tap-{run}");
    let sent = Arc::new(Sent::default());
    let notices = Notices::new(given.clone(), &secret, &session, Redactor::new(redaction_key));
    let sender = Sender::new(spool.clone(), transport, Arc::clone(&sent), notices, clock);
    let sending = std::thread::spawn(move || {
        be_nice();
        sender.run();
    });
    let observer =
        Observer::new(given, &secret, &session, Redactor::new(redaction_key), spool.clone(), clock)
            .with_heartbeat(heartbeat_s);
    // The spool is closed even if observing breaks off, so that what was observed is sent.
    let closing = Closing(spool.clone());
    let made = observer.run(watched, started);
    drop(closing);
    if sending.join().is_err() {
        tracing::error!("sending broke off: a defect of the tap");
    }
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let summary = Summary {
        made: made.events + count(&sent.noticed),
        adopted: count(&sent.adopted),
        durable: count(&sent.durable),
        duplicates: count(&sent.duplicates),
        refused: count(&sent.refused),
        dropped: spool.dropped(),
        unredactable: made.unredactable,
    };
    tracing::info!(?summary, "the tap has ended");
    summary
}

struct Closing(Spool);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The spool in `home`, or else in a scratch directory, which the next tap does not find.
fn open_spool(
    home: Option<std::path::PathBuf>,
    bytes_max: u64,
    run: &str,
) -> Result<(Spool, Option<tempfile::TempDir>), Error> {
    let options =
        |home| spool::Options { home, bytes_max, file_bytes: TAP_SPOOL_FILE_BYTES.min(bytes_max / 4).max(1) };
    let failed = match home.map(|home| Spool::create(options(home), run)) {
        Some(Ok(spool)) => return Ok((spool, None)),
        Some(Err(error)) => error.to_string(),
        None => "there is no home directory; give a directory with --spool".to_string(),
    };
    let scratch = tempfile::Builder::new().prefix("tacho-tap-").tempdir();
    let scratch = scratch.map_err(Error::spool("make a directory in", std::env::temp_dir()))?;
    let spool = Spool::create(options(scratch.path().to_path_buf()), run)?;
    say(&format!("{failed}: what cannot be sent before the tap ends is lost"));
    Ok((spool, Some(scratch)))
}
