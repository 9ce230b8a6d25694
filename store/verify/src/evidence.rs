//! Verifies an evidence bundle (FORMAT.md section 13) from the file and the root log's verifier key alone.
//!
//! Nothing that the bundle says of itself is believed: bundle.json, the tables and the custody page are held against the entries, the
//! entries against the tree that a round of the root log names, and the root log's checkpoint against the key that was given.
//!
//! In memory are the entries, what is shown of the payloads, and one more file of the bundle at a time: at most
//! [`EVIDENCE_FILES_BYTES_MAX`](schemas::limits::EVIDENCE_FILES_BYTES_MAX) of files, each once packed and once as it was read.

use std::collections::BTreeMap;
use std::path::Path;

use schemas::checkpoint::Checkpoint;
use schemas::control::LogOpened;
use schemas::evidence::{self, Manifest, page};
use schemas::note::{Note, VerifierKey};
use schemas::origin::Origin;
use schemas::proof::{Covered, Opened, Proof};
use schemas::{Hash, LogId, Stream};
use serde::Serialize;

use crate::Error;
use crate::options::Identity;
use crate::report::{Finding, Gathered};
use crate::witnessed::{Held, Within, Witnessed, hold};

mod archive;
mod entries;
mod print;
mod views;

use archive::{Archive, Failure};
pub(crate) use print::{print_json, print_text};

/// Findings that are told one by one; the rest are counted.
const LISTED_MAX: usize = schemas::limits::VERIFY_LISTED_MAX;

/// What a bundle always proves at most.
pub const BUNDLE_LIMITS: [&str; 3] = [
    "Proves: the entries here are on a log of this root log's installation, at their places; complete where it says so, and otherwise not that nothing was left out.",
    "Does not prove what never reached the recorder, nor that the question, who asked and when are as the exporter says; the access log has its own record.",
    "Whoever holds the seed can sign another history, which only a remembered checkpoint or a witness shows; times are the recorder's and the sources'.",
];

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BundleReport {
    /// `verified`, `tampered`, `not witnessed` or `identity not established`.
    pub verdict: &'static str,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Worth knowing, no failure.
    pub notes: Vec<Finding>,
    /// The log.
    pub origin: Option<String>,
    /// Size of the signed tree.
    pub size: Option<u64>,
    /// Entries.
    pub entries: u64,
    /// Rows of the tables.
    pub rows: u64,
    /// Whether it holds all entries from its first to its last.
    pub complete: bool,
    /// What it holds, in words.
    pub statement: Option<String>,
    /// The root log's verifier key that everything was checked under.
    pub root_key: Option<String>,
    /// Whether that key came from outside, or was trusted on purpose.
    pub identity_established: bool,
    /// Whether the key was taken from the bundle itself.
    pub key_from_bundle: bool,
    /// How far witnesses vouch for its root log, where a policy was given and they do.
    pub witnessed: Option<Witnessed>,
    /// Whether a policy was given that its root checkpoint does not meet.
    pub lacks_witnesses: bool,
    /// What it proves and what not.
    pub limits: &'static [&'static str],
}

impl BundleReport {
    /// The exit code: 0 verified, 1 tampered, 2 identity not established or not witnessed as asked.
    pub fn exit_code(&self) -> u8 {
        match (self.findings.is_empty(), self.identity_established && !self.lacks_witnesses) {
            (false, _) => 1,
            (true, false) => 2,
            (true, true) => 0,
        }
    }

    /// Sets the verdict from everything else.
    fn judged(mut self) -> BundleReport {
        self.verdict = match self.exit_code() {
            0 => "verified",
            1 => "tampered",
            _ if self.identity_established => "not witnessed",
            _ => "identity not established",
        };
        self
    }
}

/// Verifies the bundle at `path`, and with a policy file that witnesses cosigned its root checkpoint, since when it says.
///
/// # Errors
/// When the file cannot be read, or the policy. What is wrong with the bundle is a finding.
pub fn run(
    path: &Path,
    identity: &Identity,
    policy: Option<(&Path, Option<Within>)>,
) -> Result<BundleReport, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_path_buf(), source };
    let mut check =
        Check { gathered: Gathered::default(), digests: BTreeMap::new(), unlisted: 0, root: None };
    let mut manifest = None;
    let mut key = None;
    let done = match Archive::open(path) {
        Ok(mut zip) => check.bundle(&mut zip, identity, &mut manifest, &mut key),
        Err(failure) => Err(failure),
    };
    match done {
        Ok(()) => {}
        Err(Failure::Io(source)) => return Err(unreadable(source)),
        Err(Failure::Wrong(detail)) => check.find(Finding::new(detail)),
    }
    let mut witnessed = None;
    if let (Some((policy, within)), Some(key), Some(note)) = (policy, &key, check.root.take()) {
        match hold(policy, &note, key, within)? {
            Held::Witnessed(held) => witnessed = Some(held),
            Held::TooFew(_) => {}
            Held::Wrong(why) => check.find_in(evidence::ROOT_CHECKPOINT, why),
        }
    }
    let mut report = check.report(manifest.as_ref(), key, identity);
    report.lacks_witnesses =
        policy.is_some() && witnessed.as_ref().is_none_or(|witnessed| witnessed.is_too_old);
    report.witnessed = witnessed;
    Ok(report.judged())
}

struct Check {
    gathered: Gathered,
    /// SHA-256 by name of the files that were read.
    digests: BTreeMap<String, String>,
    unlisted: usize,
    /// The root checkpoint, once the key has signed it.
    root: Option<Note>,
}

/// What the log's entries are held against.
struct Signed {
    origin: Origin,
    /// Of the tree that the root log knows.
    size: u64,
    root: Hash,
    log_id: LogId,
}

impl Check {
    fn find(&mut self, finding: Finding) {
        if self.gathered.findings.len() < LISTED_MAX {
            self.gathered.find(finding);
        } else {
            self.unlisted += 1;
        }
    }

    fn find_in(&mut self, file: &str, message: impl Into<String>) {
        self.find(Finding::new(message).file(file));
    }

    /// Reads a file; one that is not as it must be is a finding.
    fn read(&mut self, zip: &mut Archive, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        match zip.read(name) {
            Ok((contents, digest)) => {
                self.digests.insert(name.to_string(), digest);
                Ok(Some(contents))
            }
            Err(Failure::Wrong(detail)) => {
                self.find_in(name, detail);
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    fn bundle(
        &mut self,
        zip: &mut Archive,
        identity: &Identity,
        known: &mut Option<Manifest>,
        used: &mut Option<VerifierKey>,
    ) -> Result<(), Failure> {
        let Some(text) = self.read(zip, evidence::MANIFEST)? else { return Ok(()) };
        let manifest = match Manifest::parse(&text) {
            Ok(manifest) => &*known.insert(manifest),
            Err(error) => {
                self.find_in(evidence::MANIFEST, error.to_string());
                return Ok(());
            }
        };
        let (Ok(files), Ok(stream)) = (manifest.files(), manifest.stream()) else { return Ok(()) };
        let names: Vec<String> = zip.names().map(str::to_string).collect();
        for name in files.iter().filter(|name| !names.contains(name)) {
            self.find_in(name, "it is missing");
        }
        for name in names.iter().filter(|name| !files.contains(name)) {
            self.find_in(name, "no bundle has such a file");
        }
        if names != files {
            self.find(Finding::new("the files are not those of a bundle, in their order"));
            return Ok(());
        }
        let signed = self.signed(zip, manifest, identity, used)?;
        self.contents(zip, manifest, stream, signed)?;
        self.pages(zip, manifest, &files)
    }

    /// From the key down to the log's tree.
    fn signed(
        &mut self,
        zip: &mut Archive,
        manifest: &Manifest,
        identity: &Identity,
        used: &mut Option<VerifierKey>,
    ) -> Result<Option<Signed>, Failure> {
        let root_note = self.read(zip, evidence::ROOT_CHECKPOINT)?;
        let mut pair = |entry, proof| Ok::<_, Failure>(self.read(zip, entry)?.zip(self.read(zip, proof)?));
        let opened_by = pair(evidence::OPENED_ENTRY, evidence::OPENED_PROOF)?;
        let round = pair(evidence::ROUND_ENTRY, evidence::ROUND_PROOF)?;
        let (Some(root_note), Some(opened_by), Some(round)) = (root_note, opened_by, round) else {
            return Ok(None);
        };
        let said = manifest.root_key.parse::<VerifierKey>();
        let key = match (identity, said) {
            (Identity::Key(key), _) => key.clone(),
            (_, Ok(key)) => key,
            (_, Err(error)) => {
                self.find_in(evidence::MANIFEST, format!("root_key: {error}"));
                return Ok(None);
            }
        };
        let key = &*used.insert(key);
        if manifest.root_key != key.to_string() {
            let theirs = manifest.root_key.split('+').next().unwrap_or_default();
            let message =
                format!("it is of the installation of {theirs}, and the key given is of {}", key.name());
            self.find_in(evidence::MANIFEST, message);
        }
        if let Err(error) = Checkpoint::open(&root_note, key) {
            let of = Note::parse(&root_note).ok();
            let of =
                of.as_ref().and_then(|note| note.unverified_text().split('\n').next()).unwrap_or("nobody");
            self.find_in(
                evidence::ROOT_CHECKPOINT,
                format!("not signed by {key}; it calls itself {of:?}: {error}"),
            );
            return Ok(None);
        }
        self.root = Note::parse(&root_note).ok();
        let (opened, log_key, root) = match opened(manifest, key, &root_note, &opened_by) {
            Ok(opened) => opened,
            Err(detail) => {
                self.find_in(evidence::OPENED_PROOF, detail);
                return Ok(None);
            }
        };
        if manifest.key != log_key.to_string() {
            self.find_in(evidence::MANIFEST, "`key` is not the key that the root log names");
        }
        let (entry, proof) = round;
        let told = proof_of(&proof)
            .and_then(|proof| Covered::new(&entry, &proof, &[]).told(&opened, &root, key))
            .and_then(|told| Ok((told, manifest.origin.parse::<Origin>()?)));
        let ((size, root), origin) = match told {
            Ok(told) => told,
            Err(error) => {
                self.find(Finding::new(error.to_string()).log(&manifest.origin).file(evidence::ROUND_PROOF));
                return Ok(None);
            }
        };
        if manifest.size != size {
            let message = format!("size {}, the root log knows {size}", manifest.size);
            self.find_in(evidence::MANIFEST, message);
        }
        let log_id = origin.log_id(&log_key.key_bytes());
        Ok(Some(Signed { origin, size, root, log_id }))
    }

    /// Entries, payloads, tables.
    fn contents(
        &mut self,
        zip: &mut Archive,
        manifest: &Manifest,
        stream: Stream,
        signed: Option<Signed>,
    ) -> Result<(), Failure> {
        let (csv, parquet) = (evidence::csv_name(stream), evidence::parquet_name(stream));
        let bytes = self.read(zip, evidence::ENTRIES)?;
        let hashes = self.read(zip, evidence::HASHES)?;
        // Without a signature there is nothing that they could be held against; what they are is read for the sums.
        let (Some(signed), Some(bytes), Some(hashes)) = (signed, bytes, hashes) else {
            for name in [evidence::PAYLOADS, &csv, &parquet] {
                self.read(zip, name)?;
            }
            return Ok(());
        };
        let hashes = match entries::Hashes::parse(&hashes) {
            Ok(hashes) => hashes,
            Err(error) => {
                self.find_in(evidence::HASHES, error.to_string());
                return Ok(());
            }
        };
        let mut entries = None;
        self.saying(manifest, evidence::ENTRIES, |say| {
            entries = Some(entries::check(bytes, hashes, manifest, &signed, say));
        });
        let Some(entries) = entries else { return Ok(()) };
        let Some(bytes) = self.read(zip, evidence::PAYLOADS)? else { return Ok(()) };
        let mut payloads = views::Payloads::new();
        self.saying(manifest, evidence::PAYLOADS, |say| {
            payloads = views::check_payloads(&bytes, &entries, manifest, stream, say);
        });
        drop(bytes);
        if let Some(bytes) = self.read(zip, &csv)? {
            self.saying(manifest, &csv, |say| views::check_csv(&bytes, &entries, &payloads, stream, say));
        }
        if let Some(bytes) = self.read(zip, &parquet)? {
            let mut checked = Ok(());
            self.saying(manifest, &parquet, |say| {
                checked = views::check_parquet(bytes, &entries, &payloads, signed.log_id, stream, say);
            });
            if let Err(error) = checked {
                return Err(Failure::Io(std::io::Error::other(error)));
            }
        }
        if let evidence::Filter::Time { .. } = manifest.filter
            && manifest.last == signed.size
        {
            let message = "the log ended here, as far as the root log knew: what was recorded after that is not in the bundle";
            self.gathered.note(Finding::new(message).log(&manifest.origin).index(manifest.last - 1));
        }
        Ok(())
    }

    fn saying(&mut self, manifest: &Manifest, file: &str, run: impl FnOnce(entries::Say<'_>)) {
        run(&mut |index, message| {
            let finding = Finding::new(message).log(&manifest.origin).file(file);
            self.find(match index {
                Some(index) => finding.index(index),
                None => finding,
            });
        });
    }

    /// The pages for people and the sums.
    fn pages(&mut self, zip: &mut Archive, manifest: &Manifest, files: &[String]) -> Result<(), Failure> {
        if let Some(sql) = &manifest.sql
            && let Some(text) = self.read(zip, evidence::SQL)?
            && text != sql.as_bytes()
        {
            self.find_in(evidence::SQL, "it is not the statement of bundle.json");
        }
        let before = files.iter().take_while(|name| *name != evidence::CUSTODY);
        let sums: Vec<(String, String)> =
            before.filter_map(|name| Some((name.clone(), self.digests.get(name)?.clone()))).collect();
        let custody = page::custody(manifest, &sums);
        for (name, expected) in [
            (evidence::CUSTODY, custody.as_str()),
            (evidence::LIMITS, page::LIMITS),
            (evidence::VERIFY, page::VERIFY),
        ] {
            if let Some(text) = self.read(zip, name)?
                && text != expected.as_bytes()
            {
                self.find_in(name, "it is not the page that belongs to what the bundle holds");
            }
        }
        let Some(said) = self.read(zip, evidence::SUMS)? else { return Ok(()) };
        let mut lines = said.split_inclusive(|byte| *byte == b'\n');
        for name in files.iter().filter(|name| *name != evidence::SUMS) {
            let Some(digest) = self.digests.get(name) else { continue };
            if lines.next() != Some(evidence::sums_line(digest, name).as_bytes()) {
                self.find_in(
                    name,
                    format!("its line in {} is missing, or has another SHA-256", evidence::SUMS),
                );
            }
        }
        if lines.next().is_some() {
            self.find_in(evidence::SUMS, "more lines than files");
        }
        Ok(())
    }

    fn report(
        mut self,
        manifest: Option<&Manifest>,
        key: Option<VerifierKey>,
        identity: &Identity,
    ) -> BundleReport {
        if self.unlisted > 0 {
            self.gathered.find(Finding::new(format!("{} findings more", self.unlisted)));
        }
        BundleReport {
            verdict: "",
            findings: self.gathered.findings,
            notes: self.gathered.notes,
            origin: manifest.map(|manifest| manifest.origin.clone()),
            size: manifest.map(|manifest| manifest.size),
            entries: manifest.map_or(0, |manifest| manifest.entries),
            rows: manifest.map_or(0, |manifest| manifest.rows),
            complete: manifest.is_some_and(|manifest| manifest.complete),
            statement: manifest.map(page::statement),
            root_key: key.map(|key| key.to_string()),
            identity_established: *identity != Identity::None,
            key_from_bundle: !matches!(identity, Identity::Key(_)),
            witnessed: None,
            lacks_witnesses: false,
            limits: &BUNDLE_LIMITS,
        }
    }
}

/// What opens the log, its key, and the root checkpoint that covers that.
fn opened(
    manifest: &Manifest,
    root_key: &VerifierKey,
    root_note: &[u8],
    (entry, proof): &(Vec<u8>, Vec<u8>),
) -> Result<(LogOpened, VerifierKey, Checkpoint), String> {
    let origin: Origin = manifest.origin.parse().map_err(|error: schemas::Error| error.to_string())?;
    let proof = proof_of(proof).map_err(|error| error.to_string())?;
    let opened = Opened::new(entry, &proof).verify(&origin, root_key).map_err(|error| error.to_string())?;
    let text = |note: &[u8]| Note::parse(note).map(|note| note.unverified_text().to_string()).ok();
    if text(proof.checkpoint.as_bytes()) != text(root_note) {
        return Err(format!("its checkpoint is not the one of {}", evidence::ROOT_CHECKPOINT));
    }
    Ok(opened)
}

fn proof_of(text: &[u8]) -> schemas::Result<Proof> {
    let wrong = |error: std::str::Utf8Error| schemas::Error::malformed("tlog-proof", error.to_string());
    Proof::parse(std::str::from_utf8(text).map_err(wrong)?)
}

/// Verifies a bundle and prints; see [`crate::command::execute`].
pub(crate) fn execute(path: &Path, flags: &crate::command::Flags) -> u8 {
    use std::io::{ErrorKind, Write as _, stderr, stdout};
    if flags.remember.is_some() || !flags.receipts.is_empty() {
        let said = "a bundle says nothing of checkpoints seen before: verify it without --remember and --receipt, and a proof (tacho prove --since) with it";
        return match writeln!(stderr(), "error: {said}") {
            Ok(()) | Err(_) => 2,
        };
    }
    let result = flags.identity().and_then(|identity| {
        let policy = flags.policy.as_deref().map(|policy| (policy, flags.within()));
        run(path, &identity, policy)
    });
    let printed = match &result {
        Ok(report) if flags.json => print_json(report, &mut stdout().lock()),
        Ok(report) => print_text(report, flags.quiet, &mut stdout().lock()),
        Err(error) => writeln!(stderr(), "error: {error}"),
    };
    match (printed, result) {
        // A reader that closed the pipe has seen enough; the verdict stands.
        (Err(error), _) if error.kind() != ErrorKind::BrokenPipe => 2,
        (_, Ok(report)) => report.exit_code(),
        (_, Err(_)) => 2,
    }
}
