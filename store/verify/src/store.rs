//! The whole store, in the order that lets a live one grow meanwhile.
//!
//! First the log directories are listed and the write-ahead files read, then the root log, then every other
//! log. So each log that was listed is opened in the root log that is read after it, every manifest that a
//! round names is on disk by the time its log is read, and whatever was unsealed in the write-ahead files is
//! still there or sealed since. What is signed later than its place in this order is read again at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemas::control::LogOpened;
use schemas::layout::{self, FileKind, FileName};
use schemas::origin::ROOT_TENANT;
use schemas::tree::Hash;
use schemas::{Origin, Stream};

use crate::Error;
use crate::assembly::{Assembly, Outcome};
use crate::listing::{self, LogDirectory, LogFiles};
use crate::options::{Identity, Options, Progress};
use crate::plan::{Expected, Known, Plan, Source, plan};
use crate::range::{self, Range, RangeResult};
use crate::receipt::Receipts;
use crate::remember::Remembered;
use crate::report::{Finding, Gathered, LIMITS, Report};
use crate::root::{Catalog, entry_zero, log_json};
use crate::tree::Tree;
use crate::witnessed::Witnesses;
use crate::work::ordered;
use crate::write_ahead::{self, WriteAhead};

mod chain;
mod given_up;
mod outside;

use chain::{Chain, Declared};

/// Times a log is read again because a file went away while it was verified.
const RELOADS_MAX: usize = schemas::limits::VERIFY_RELOADS_MAX;

/// Verifies the store in `options.directory` and says what it found; `progress` is called as ranges are done.
///
/// # Errors
/// When there is no root log, a directory or the file of remembered checkpoints cannot be read, or that file
/// cannot be written after a clean run. All that is wrong with the store itself is in the report.
pub fn run(options: &Options, progress: &(dyn Fn(Progress) + Sync)) -> Result<Report, Error> {
    let remembered = options.remember.as_deref().map(Remembered::load).transpose()?;
    let receipts = Receipts::load(&options.receipts)?;
    let witnesses = Witnesses::asked(options, &receipts)?;
    let mut store = Store { receipts, witnesses, ..Store::list(options)? };
    let root = store.root_log(options)?;
    store.report.identity_established = root.identity_established;
    store.report.key_from_store = !matches!(options.identity, Identity::Key(_));
    let Some(known) = root.known else { return Ok(store.finish()) };
    store.report.root_key = Some(known.opened.key.clone());

    let seen = remembered.as_ref().map(|seen| &seen.roots);
    let chain = store.chain(known, &root.directory, seen, options, progress)?;
    let declared = chain.declared(&mut store.gathered);
    store.check_remembered(&chain, &declared, seen);
    store.check_unopened(&chain);
    store.check_receipts(&chain);
    store.check_witnesses(&chain);
    for epoch in &chain.epochs {
        store.verify_others(&epoch.catalog, &declared, options, progress)?;
    }
    store.check_gaps();
    store.check_beyond(&declared);
    store.check_successions(&chain);

    let report = store.finish();
    if report.exit_code() == 0
        && let (Some(path), Some(mut remembered)) = (&options.remember, remembered)
    {
        for epoch in chain.epochs {
            if let Some(root) = epoch.sealed_root {
                remembered.see(epoch.known.opened.origin, root);
            }
        }
        remembered.save(path)?;
    }
    Ok(report)
}

/// The root log that was chosen.
struct RootLog {
    directory: PathBuf,
    known: Option<Known>,
    identity_established: bool,
}

struct Store {
    /// The `log/` directory.
    log: PathBuf,
    directories: Vec<LogDirectory>,
    /// Whether a data directory is verified, which has the write-ahead files too, and not a copy of the logs.
    is_whole: bool,
    /// The `wal/` directory and what it holds.
    write_ahead: Option<(PathBuf, WriteAhead)>,
    gathered: Gathered,
    report: Report,
    receipts: Receipts,
    witnesses: Option<Witnesses>,
    /// Signed sizes beyond what was seen of each log.
    beyond: Vec<(Known, u64, Source)>,
    entries_done: u64,
}

impl Store {
    fn list(options: &Options) -> Result<Store, Error> {
        let given = &options.directory;
        let unreadable = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Unreadable { path, source }
        };
        std::fs::read_dir(given).map_err(unreadable(given))?;
        let below = given.join(layout::LOG);
        let is_data = below.is_dir();
        let log = if is_data { below } else { given.clone() };
        if !log.join(ROOT_TENANT).is_dir() {
            return Err(Error::NoRootLog { path: given.clone() });
        }
        let mut gathered = Gathered::default();
        let directories = listing::logs(&log, &mut gathered).map_err(unreadable(&log))?;
        let wal = given.join(layout::WAL);
        // A copy of the logs alone has neither the write-ahead files nor the writer's lock.
        let is_whole = is_data && options.write_ahead && (wal.is_dir() || given.join(layout::LOCK).exists());
        let mut write_ahead = None;
        if is_data && wal.is_dir() && options.write_ahead {
            let mut read = write_ahead::read(&wal);
            let found = std::mem::take(&mut read.gathered);
            gathered.findings.extend(found.findings);
            gathered.notes.extend(found.notes);
            gathered.unreadable.extend(found.unreadable);
            write_ahead = Some((wal, read));
        }
        let report = Report {
            verdict: "",
            findings: Vec::new(),
            notes: Vec::new(),
            unreadable: Vec::new(),
            logs: Vec::new(),
            root_key: None,
            identity_established: false,
            key_from_store: false,
            witnessed: None,
            lacks_witnesses: options.policy.is_some(),
            limits: &LIMITS,
        };
        Ok(Store {
            log,
            directories,
            is_whole,
            write_ahead,
            gathered,
            report,
            receipts: Receipts::default(),
            witnesses: None,
            beyond: Vec::new(),
            entries_done: 0,
        })
    }

    /// Chooses the root log and its keys: from outside, else from its own entry 0.
    fn root_log(&mut self, options: &Options) -> Result<RootLog, Error> {
        let path = || options.directory.clone();
        let mut roots: Vec<&LogDirectory> =
            self.directories.iter().filter(|found| found.stream == Stream::Root).collect();
        if let Identity::Key(key) = &options.identity
            && roots.len() > 1
        {
            roots.retain(|found| key.name().ends_with(&format!("/{}", found.name())));
        } else if roots.len() > 1 {
            roots = chain::newest(roots);
        }
        let directory = match roots.as_slice() {
            [] => return Err(Error::NoRootLog { path: path() }),
            [one] => one.path.clone(),
            several => return Err(Error::SeveralRootLogs { path: path(), count: several.len() }),
        };
        let files = listing::files(&directory, &mut Gathered::default()).unwrap_or_default();
        let opened = entry_zero(&directory, &files).or_else(|| self.unsealed_root());
        if opened.is_none() && files == LogFiles::default() {
            return Err(Error::NoRootLog { path: path() });
        }
        let name = format!("{ROOT_TENANT}/{}", Stream::Root);
        // Entry 0 is what these findings are about: name the file that has it.
        let is_first = |name: &FileName| name.kind == FileKind::Segment && name.first == 0;
        let place = files.data.iter().find(|(_, name)| is_first(name));
        let place = place.map_or_else(|| layout::LOG_JSON.to_string(), |(path, _)| path.to_string());
        let opened = opened.or_else(|| {
            let wrong = "entry 0 of the root log cannot be read; going on with the keys in its log.json";
            self.gathered.find(Finding::new(wrong).log(&name).index(0).file(&place));
            log_json(&directory)
        });
        let Some(opened) = opened else {
            self.gathered.find(
                Finding::new("no keys of the root log can be read; nothing was verified")
                    .log(&name)
                    .file(&place),
            );
            return Ok(RootLog { directory, known: None, identity_established: false });
        };
        let mut identity_established = options.identity != Identity::None;
        if let Identity::Key(key) = &options.identity
            && key.to_string() != opened.key
        {
            identity_established = false;
            let wrong = format!("the root log's key is {}, not the one given, {key}", opened.key);
            // The log that was meant: what its damaged entry 0 says may be anything.
            self.gathered.find(Finding::new(wrong).log(key.name()).index(0).file(&place));
        }
        let known = match Known::new(opened) {
            Ok(known) => Some(known),
            Err(error) => {
                self.gathered.find(Finding::new(error.to_string()).log(&name).index(0).file(&place));
                None
            }
        };
        Ok(RootLog { directory, known, identity_established })
    }

    /// Entry 0 of a root log that is not sealed yet.
    fn unsealed_root(&self) -> Option<LogOpened> {
        let (_, write_ahead) = self.write_ahead.as_ref()?;
        let roots = write_ahead.logs.iter().filter(|(origin, _)| origin.stream() == Stream::Root);
        roots.filter_map(|(_, log)| log.entries.get(&0)?.control.clone()).find_map(|text| {
            match schemas::control::Control::parse(&text) {
                Ok(schemas::control::Control::LogOpened(opened)) => Some(opened),
                _ => None,
            }
        })
    }

    fn has_write_ahead(&self) -> bool {
        self.write_ahead.is_some()
    }

    fn verify_root(
        &mut self,
        known: &Known,
        directory: &Path,
        remembered: Option<(u64, Hash)>,
        options: &Options,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(Plan, Outcome), Error> {
        let mut plan = plan(0, known, directory, self.has_write_ahead());
        let mut more = Vec::new();
        if let Some((size, root)) = remembered {
            // Beyond what is here it is judged with what the successor says.
            if size <= plan.sealed {
                more.push(Expected { size, root, source: Source::Remembered });
            }
        }
        more.extend(self.of_root_from_outside(known, &mut plan.gathered));
        self.gathered.absorb(&known.opened.origin, std::mem::take(&mut plan.gathered));
        let plans = [plan];
        let outcome = self.verify_planned(&plans, &[more], RELOADS_MAX, options, progress)?.pop();
        let [plan] = plans;
        match outcome {
            Some(outcome) => {
                if let Some(witnesses) = &mut self.witnesses {
                    witnesses.reached(&known.opened.origin, outcome.report.durable);
                }
                Ok((plan, outcome))
            }
            None => Err(Error::NoRootLog { path: options.directory.clone() }),
        }
    }

    /// Verifies every log but the root log.
    fn verify_others(
        &mut self,
        catalog: &Catalog,
        declared: &Declared,
        options: &Options,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), Error> {
        let logs: Vec<(usize, u64, &Known)> = (0..)
            .zip(catalog.logs.iter().filter(|(number, _)| **number != 0))
            .map(|(at, (number, known))| (at, *number, known))
            .collect();
        let has_write_ahead = self.has_write_ahead();
        let mut plans = Vec::new();
        let log = &self.log;
        let read = |(at, _, known): &(usize, u64, &Known)| {
            plan(*at, known, &log.join(listing_name(&known.origin)), has_write_ahead)
        };
        let gathered = &mut self.gathered;
        let mut failed = None;
        ordered(options.jobs, &logs, read, |(at, number, known), read| {
            let mut plan = match read {
                Ok(plan) => plan,
                // Cannot happen short of a bug; then nothing more may be said of this store.
                Err(panic) => {
                    failed.get_or_insert(panic);
                    return;
                }
            };
            debug_assert_eq!(*at, plans.len(), "plans come in order");
            let mut found = std::mem::take(&mut plan.gathered);
            catalog.check_manifests(*number, &plan, &mut found);
            let promised = catalog
                .rounds
                .get(number)
                .is_some_and(|rounds| rounds.iter().any(|(_, round)| round.manifest > 0));
            if promised && !plan.directory.is_dir() {
                found.find(Finding::new(
                    "the log's directory is missing; the root log says that it was sealed",
                ));
            }
            gathered.absorb(&known.opened.origin, found);
            plans.push(plan);
        })?;
        if let Some(panic) = failed {
            self.gathered.unread(Finding::new(format!("reading the manifests of a log failed: {panic}")));
            return Ok(());
        }
        let more = logs.iter().map(|(_, number, known)| {
            let mut found = Gathered::default();
            let mut expected = catalog.expected(*number, &mut found);
            expected.extend(declared.expected(&known.opened.origin, &mut found));
            expected.extend(self.receipts.expected(known, &mut found));
            self.gathered.absorb(&known.opened.origin, found);
            expected
        });
        let more: Vec<Vec<Expected>> = more.collect();
        self.verify_planned(&plans, &more, RELOADS_MAX, options, progress)?;
        Ok(())
    }

    /// Logs on disk or in write-ahead files that the root log never opened.
    fn check_unopened(&mut self, chain: &Chain) {
        let logs = chain.epochs.iter().flat_map(|epoch| epoch.catalog.logs.values());
        let opened: BTreeMap<String, &Known> =
            logs.map(|known| (listing_name(&known.origin), known)).collect();
        for directory in &self.directories {
            // Of a root log that nothing vouches for, nothing is verified: the report says so of that root log.
            if opened.contains_key(&directory.name()) || chain.strangers.contains(&directory.writer) {
                continue;
            }
            let mut found = Gathered::default();
            let place = |message: &str| Finding::new(message).log(directory.name());
            match listing::files(&directory.path, &mut found) {
                // A log's first manifest comes after the root log's entry for it.
                Ok(files) if files.manifests.is_empty() && files.data.is_empty() => {
                    self.gathered
                        .note(place("a log without anything sealed, not opened in the root log yet"));
                }
                Ok(_) => self.gathered.find(place("a log that the root log never opened")),
                Err(error) => self.gathered.unread(place(&format!("cannot list it: {error}"))),
            }
            self.gathered.absorb(&directory.name(), found);
        }
        let origins = self.write_ahead.iter().flat_map(|(_, write_ahead)| write_ahead.logs.keys());
        for origin in origins {
            let writer = origin.writer();
            let is_stranger = chain.strangers.contains(writer) || chain.begun.contains(writer);
            if !is_stranger && opened.get(&listing_name(origin)).is_none_or(|known| known.origin != *origin) {
                let wrong = "entries in write-ahead files, and the root log never opened this log";
                self.gathered.find(Finding::new(wrong).log(origin.to_string()));
            }
        }
    }

    /// Verifies the ranges of `plans` on all threads and puts each log together. A log whose files were superseded
    /// and removed meanwhile is read again, at most `reloads` times.
    fn verify_planned(
        &mut self,
        plans: &[Plan],
        more: &[Vec<Expected>],
        reloads: usize,
        options: &Options,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<Outcome>, Error> {
        let write_ahead = self.write_ahead.as_ref().map(|(_, write_ahead)| write_ahead);
        let mut assemblies: Vec<Assembly<'_>> = plans
            .iter()
            .zip(more)
            .map(|(plan, more)| {
                let unsealed = write_ahead.and_then(|read| read.logs.get(&plan.known.origin));
                let keep_leaves = plan.known.origin.stream() == Stream::Root;
                Assembly::new(plan, more, unsealed, keep_leaves)
            })
            .collect();
        let ranges: Vec<Range> = plans.iter().flat_map(|plan| plan.ranges.iter().cloned()).collect();
        let entries = |range: &Range| range.last - range.first;
        let entries_total = self.entries_done + ranges.iter().map(entries).sum::<u64>();
        let mut done = self.entries_done;
        ordered(options.jobs, &ranges, range::verify, |range, verified| {
            let result = verified.unwrap_or_else(|panic| {
                let mut gathered = Gathered::default();
                let wrong = format!("verifying entries {} to {} failed: {panic}", range.first, range.last);
                gathered.find(Finding::new(wrong).index(range.first));
                RangeResult { gathered, ..RangeResult::default() }
            });
            if let Some(assembly) = assemblies.get_mut(range.log) {
                assembly.add(range, result);
            }
            done += entries(range);
            progress(Progress { entries: done, entries_total });
        })?;
        self.entries_done = done;
        let has_write_ahead = write_ahead.is_some();
        let finished: Vec<Outcome> =
            assemblies.into_iter().map(|assembly| assembly.finish(has_write_ahead)).collect();
        let mut outcomes = Vec::new();
        for ((mut outcome, old), more) in finished.into_iter().zip(plans).zip(more) {
            if outcome.is_missing_files && reloads > 0 && old.has_grown() {
                let mut fresh = plan(0, &old.known, &old.directory, has_write_ahead);
                self.gathered.absorb(&old.known.opened.origin, std::mem::take(&mut fresh.gathered));
                let more = std::slice::from_ref(more);
                outcomes.extend(self.verify_planned(&[fresh], more, reloads - 1, options, progress)?);
                continue;
            }
            self.gathered.absorb(&old.known.opened.origin, std::mem::take(&mut outcome.gathered));
            self.report.logs.push(outcome.report.clone());
            for (size, source) in outcome.beyond.drain(..) {
                self.beyond.push((old.known.clone(), size, source));
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// Signed sizes beyond what was seen: not in a copy, and no failure; but in a data directory everything
    /// signed is durable, by now at the latest.
    fn check_beyond(&mut self, declared: &Declared) {
        let mut newest: BTreeMap<String, (Known, u64, Source)> = BTreeMap::new();
        for (known, size, source) in self.beyond.drain(..) {
            let held = newest.entry(known.opened.origin.clone()).or_insert((known, size, source.clone()));
            if size > held.1 {
                (held.1, held.2) = (size, source);
            }
        }
        if newest.is_empty() {
            return;
        }
        let again = self.write_ahead.as_ref().map(|(directory, _)| write_ahead::read(directory));
        for (origin, (known, size, source)) in newest {
            // A successor says that it is lost, and the report says that.
            if declared.size(&origin).is_some_and(|declared| size <= declared) {
                continue;
            }
            let Some(again) = &again else {
                let beyond = format!("signed to {size} by {source}, beyond what is in this copy");
                let finding = Finding::new(beyond).log(&origin);
                if self.is_whole {
                    self.gathered.find(finding.file(layout::WAL));
                } else {
                    self.gathered.note(finding);
                }
                continue;
            };
            let unsealed = again.logs.get(&known.origin).map_or(0, write_ahead::WriteAheadLog::end);
            let sealed = plan(0, &known, &self.log.join(listing_name(&known.origin)), true).sealed;
            let durable = unsealed.max(sealed);
            if durable < size {
                let wrong = format!("signed to {size} by {source}, but only {durable} entries are there");
                self.gathered.find(Finding::new(wrong).log(&origin).index(durable));
            }
        }
    }

    fn finish(self) -> Report {
        let mut report = self.report;
        report.findings = self.gathered.findings;
        report.notes = self.gathered.notes;
        report.unreadable = self.gathered.unreadable;
        report.logs.sort_by(|a, b| a.origin.cmp(&b.origin));
        report.judged()
    }
}

/// The directory of a log below `log/`.
fn listing_name(origin: &Origin) -> String {
    format!("{}/{}/{}", origin.tenant(), origin.stream(), origin.writer())
}

/// Rounds that the root log gives of itself, over its own leaves.
fn check_own_rounds(catalog: &Catalog, outcome: &Outcome, out: &mut Gathered) {
    let mut expected = catalog.expected(0, out);
    expected.sort();
    let mut tree = Tree::default();
    let mut leaves = outcome.leaves.iter();
    for Expected { size, root, source } in expected {
        while tree.size() < size {
            let Some(leaf) = leaves.next() else { return };
            tree.push(*leaf, &mut |_| {});
        }
        if tree.root() != root {
            out.find(Finding::new(format!(
                "the entries do not make the root that {source} gives for size {size}"
            )));
        }
    }
}
