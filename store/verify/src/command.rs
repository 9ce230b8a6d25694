//! The command line that `tacho-verify` and `tacho verify` share: flags, progress, printing, exit code.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use schemas::layout::timestamp;
use schemas::note::VerifierKey;

use crate::options::{Identity, Options, Progress, cores};
use crate::report::{Finding, Report};
use crate::witnessed::{Age, Within, Witnessed};
use crate::{Error, evidence, run, witnessed, work};

/// How often the progress line changes.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// The flags, without the directory.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Verifier key of the root log, got from elsewhere than this store
    #[arg(long, value_name = "VKEY", conflicts_with = "trust_store_key")]
    pub key: Option<VerifierKey>,
    /// Take the root log's key from the store itself: shows that it is consistent, not whose it is
    #[arg(long)]
    pub trust_store_key: bool,
    /// File of root checkpoints seen before: shows a store rolled back or forked; written after a clean run
    #[arg(long, value_name = "FILE")]
    pub remember: Option<PathBuf>,
    /// Checkpoint that a client kept, or a directory of them: shows a log rolled back or forked; may be given several times
    #[arg(long = "receipt", value_name = "PATH")]
    pub receipts: Vec<PathBuf>,
    /// Policy file (C2SP tlog-policy): witnesses that must have cosigned the root log; without --key, its one log is whose store
    /// this must be
    #[arg(long, value_name = "FILE", conflicts_with = "trust_store_key")]
    pub policy: Option<PathBuf>,
    /// How long ago enough of these witnesses may have cosigned it at most, by their clocks: 90s, 10m, 1h, 7d
    #[arg(long, value_name = "DURATION", requires = "policy")]
    pub witnessed_within: Option<Age>,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print nothing but findings
    #[arg(long, conflicts_with = "json")]
    pub quiet: bool,
}

impl Flags {
    /// Where the root log's key comes from.
    ///
    /// # Errors
    /// [`Error::Policy`] where it is to come from a policy that does not name one log.
    pub(crate) fn identity(&self) -> Result<Identity, Error> {
        Ok(match (&self.key, self.trust_store_key, &self.policy) {
            (Some(key), ..) => Identity::Key(key.clone()),
            (None, true, _) => Identity::TrustStoreKey,
            (None, false, Some(policy)) => Identity::Key(witnessed::only_log(policy)?),
            (None, false, None) => Identity::None,
        })
    }

    /// The options that these flags mean for `directory`.
    ///
    /// # Errors
    /// [`Error::Policy`] where the key is to come from a policy that does not name one log.
    pub fn options(&self, directory: PathBuf) -> Result<Options, Error> {
        let identity = self.identity()?;
        let jobs = self.jobs.map_or_else(cores, usize::from);
        let (remember, receipts) = (self.remember.clone(), self.receipts.clone());
        let (policy, witnessed_within) = (self.policy.clone(), self.within());
        let options = Options::new(directory, identity);
        Ok(Options { remember, receipts, policy, witnessed_within, jobs, ..options })
    }

    pub(crate) fn within(&self) -> Option<Within> {
        self.witnessed_within.map(within_now)
    }
}

/// So long ago at most, from now on.
#[allow(clippy::disallowed_methods, reason = "what is new is so at the time of whoever asks")]
pub(crate) fn within_now(age: Age) -> Within {
    // A clock before 1970 makes all cosignatures ones from the future, and none of them counts.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Within { age, now_s: since_1970.as_secs() }
}

/// Verifies `directory`, or the evidence bundle that it is where it is a file; prints the report to standard output and what went wrong to standard error, and gives
/// the exit code: 0 clean, 1 tampered, 2 could not run or identity not established.
pub fn execute(directory: PathBuf, flags: &Flags) -> u8 {
    quiet_workers();
    if directory.is_file() {
        return evidence::execute(&directory, flags);
    }
    let line = ProgressLine::new(!flags.quiet && !flags.json && io::stderr().is_terminal());
    let options = flags.options(directory);
    let result = options.and_then(|options| run(&options, &|progress| line.show(progress)));
    line.clear();
    let printed = match &result {
        Ok(report) if flags.json => print_json(report, &mut io::stdout().lock()),
        Ok(report) => print_text(report, flags.quiet, &mut io::stdout().lock()),
        Err(error) => writeln!(io::stderr(), "error: {error}"),
    };
    match (printed, result) {
        // A reader that closed the pipe has seen enough; the verdict stands.
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => 2,
        (_, Ok(report)) => report.exit_code(),
        (_, Err(_)) => 2,
    }
}

/// A hostile file may make the Parquet reader panic; that is a finding and need not be printed as well.
fn quiet_workers() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(work::THREAD) {
            before(panic);
        }
    }));
}

/// Prints the report as one line of JSON.
///
/// # Errors
/// When `out` cannot be written to.
pub fn print_json(report: &Report, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    writeln!(out)
}

/// Prints the report for people; `quiet` leaves out all but findings and what could not be read.
///
/// # Errors
/// When `out` cannot be written to.
pub fn print_text(report: &Report, quiet: bool, out: &mut impl Write) -> io::Result<()> {
    if !quiet {
        for log in &report.logs {
            let unsealed = log.durable.saturating_sub(log.sealed);
            writeln!(
                out,
                "log {}: {} entries sealed, {} payload rows, {} manifests; signed to {}, {unsealed} in write-ahead files",
                log.origin, log.entries, log.payload_rows, log.manifests, log.signed
            )?;
        }
        print_all("note", &report.notes, out)?;
    }
    print_all("COULD NOT READ", &report.unreadable, out)?;
    print_all("FINDING", &report.findings, out)?;
    if quiet {
        return Ok(());
    }
    let key = report.root_key.as_deref().unwrap_or("none was found");
    let whence = match (report.key_from_store, report.identity_established) {
        (false, true) => "given from outside",
        (false, false) => "in the store, not the one given",
        (true, true) => "taken from the store itself, as asked: whose store this is was not checked",
        (true, false) => "taken from the store itself",
    };
    writeln!(out, "root key: {key} ({whence})")?;
    if let Some(witnessed) = &report.witnessed {
        print_witnessed(witnessed, out)?;
    }
    let entries: u64 = report.logs.iter().map(|log| log.entries).sum();
    match report.exit_code() {
        0 => writeln!(out, "CLEAN: {entries} entries in {} logs", report.logs.len())?,
        1 => writeln!(out, "TAMPERED: {} findings", report.findings.len())?,
        _ if !report.unreadable.is_empty() => {
            writeln!(
                out,
                "INCOMPLETE: {} things could not be read; nothing else was wrong",
                report.unreadable.len()
            )?;
        }
        _ if report.identity_established => {
            writeln!(out, "CONSISTENT, NOT WITNESSED: {entries} entries in {} logs", report.logs.len())?;
            match &report.witnessed {
                Some(witnessed) => print_too_old(witnessed, out)?,
                None => writeln!(
                    out,
                    "no checkpoint of the root log here has the cosignatures that the policy asks for; give one that has with --receipt"
                )?,
            }
        }
        _ => {
            writeln!(
                out,
                "CONSISTENT, IDENTITY NOT ESTABLISHED: {entries} entries in {} logs",
                report.logs.len()
            )?;
            writeln!(out, "give the root log's key with --key, or --trust-store-key to trust the one above")?;
        }
    }
    report.limits.iter().try_for_each(|limit| writeln!(out, "{limit}"))
}

pub(crate) fn print_witnessed(witnessed: &Witnessed, out: &mut impl Write) -> io::Result<()> {
    let Witnessed { origin, size, by, time_s, entries_past, .. } = witnessed;
    let at = at_s(*time_s);
    let by = by.join(", ");
    writeln!(out, "witnessed: {origin} to size {size} by {by}, the last of them at {at} by its own clock")?;
    match entries_past {
        0 => Ok(()),
        past => writeln!(out, "past that, on its key alone: {past} entries of the root log"),
    }
}

/// Says since when enough have cosigned nothing newer.
pub(crate) fn print_too_old(witnessed: &Witnessed, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", too_old(witnessed))
}

pub(crate) fn too_old(witnessed: &Witnessed) -> String {
    format!(
        "enough witnesses have cosigned it at {} or later, and not within the time of --witnessed-within",
        at_s(witnessed.time_enough_s)
    )
}

fn at_s(time_s: u64) -> String {
    timestamp(i64::try_from(time_s).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}

pub(crate) fn print_all(what: &str, findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    for Finding { log, index, file, message } in findings {
        write!(out, "{what}:")?;
        if let Some(log) = log {
            write!(out, " log {log}")?;
        }
        if let Some(index) = index {
            write!(out, " entry {index}")?;
        }
        if let Some(file) = file {
            write!(out, " file {}", file.escape_debug())?;
        }
        writeln!(out, ": {}", message.escape_debug())?;
    }
    Ok(())
}

/// One line on standard error, where that is a terminal.
struct ProgressLine {
    started: Option<Instant>,
    shown: Mutex<Option<Instant>>,
}

impl ProgressLine {
    #[allow(clippy::disallowed_methods, reason = "progress is shown to a person, in their time")]
    fn now() -> Instant {
        Instant::now()
    }

    fn new(is_shown: bool) -> ProgressLine {
        ProgressLine { started: is_shown.then(Self::now), shown: Mutex::new(None) }
    }

    fn show(&self, Progress { entries, entries_total }: Progress) {
        let (Some(started), Ok(mut shown)) = (self.started, self.shown.lock()) else { return };
        let now = Self::now();
        if shown.is_some_and(|last| now.duration_since(last) < PROGRESS_INTERVAL) {
            return;
        }
        *shown = Some(now);
        let seconds = now.duration_since(started).as_secs_f64();
        let rate = entries as f64 / seconds.max(0.001);
        // Progress that cannot be shown is not worth failing for.
        _ = write!(io::stderr(), "\r\x1b[Kverified {entries} of {entries_total} entries, {rate:.0} a second");
    }

    fn clear(&self) {
        if self.started.is_some() {
            _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
