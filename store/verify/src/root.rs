//! What the root log says: which logs there are, under which keys, and how far they had come.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::control::{Adopted, Control, LogClosed, LogOpened, Predecessor, RoundLog, Succession};
use schemas::layout::{self, FileKind};
use schemas::limits::ROUND_LOGS_MAX;
use schemas::tree::Hash;

use crate::listing::LogFiles;
use crate::plan::{Expected, Known, Plan, Source, read_small};
use crate::report::{Finding, Gathered};
use crate::thrift::check_footer;
use crate::work::caught;

/// Bytes of a file in which entry 0 is looked for, at most.
const FIRST_FILE_BYTES_MAX: u64 = schemas::limits::VERIFY_FIRST_FILE_BYTES_MAX;

/// Entry 0 of the log in `directory`, as its first segment has it. Not verified: what it says counts once the
/// tree that it is part of verifies under the key it names.
pub fn entry_zero(directory: &Path, files: &LogFiles) -> Option<LogOpened> {
    let first = files.data.iter().filter(|(_, name)| name.kind == FileKind::Segment && name.first == 0);
    first.filter_map(|(path, _)| caught(|| control_zero(&directory.join(path))).ok()?).find_map(|text| {
        match Control::parse(&text) {
            Ok(Control::LogOpened(opened)) => Some(opened),
            _ => None,
        }
    })
}

fn control_zero(path: &Path) -> Option<String> {
    if std::fs::metadata(path).ok()?.len() > FIRST_FILE_BYTES_MAX {
        return None;
    }
    let bytes = Bytes::from(std::fs::read(path).ok()?);
    check_footer(&bytes).ok()?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?;
    let columns = ProjectionMask::columns(reader.parquet_schema(), ["log_index", "control"]);
    for batch in reader.with_projection(columns).build().ok()? {
        let batch = batch.ok()?;
        let index = batch.column_by_name("log_index")?.as_primitive_opt::<Int64Type>()?;
        let control = batch.column_by_name("control")?.as_string_opt::<i32>()?;
        let row = (0..batch.num_rows()).find(|row| index.value(*row) == 0);
        if let Some(row) = row.filter(|row| control.is_valid(*row)) {
            return Some(control.value(row).to_string());
        }
    }
    None
}

/// What `log.json` says, for going on with a diagnosis where entry 0 cannot be read.
pub fn log_json(directory: &Path) -> Option<LogOpened> {
    #[derive(serde::Deserialize)]
    struct LogJson {
        origin: String,
        key: String,
        manifest_key: String,
    }
    let bytes = read_small(&directory.join(layout::LOG_JSON)).ok()?;
    let LogJson { origin, key, manifest_key } = serde_json::from_slice(&bytes).ok()?;
    Some(LogOpened { number: 0, origin, key, manifest_key, predecessor: None })
}

/// All that the control entries of the root log say.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Logs by number, the root log as 0.
    pub logs: BTreeMap<u64, Known>,
    /// What rounds say of each log, oldest first, with the round's index.
    pub rounds: BTreeMap<u64, Vec<(u64, RoundLog)>>,
    /// Logs at their end, with the index of the entry that says so.
    pub closed: BTreeMap<u64, (u64, LogClosed)>,
    /// What goes on in place of the root log, where it is at its end.
    pub succession: Option<Succession>,
    /// Who took it into service last.
    pub adopted: Option<Adopted>,
    /// Logs that were given up, and that no log goes on from.
    pub lost: Vec<Predecessor>,
}

impl Catalog {
    /// From the control entries of the root log, in order.
    pub fn new(controls: &[(u64, Control)], out: &mut Gathered) -> Catalog {
        let mut catalog = Catalog::default();
        for (index, control) in controls {
            let wrong = match control {
                Control::LogOpened(opened) => catalog.open(*index, opened),
                Control::Round(round) => catalog.round(*index, &round.logs),
                Control::LogClosed(closed) => catalog.close(*index, closed),
                Control::Succession(succession) => {
                    catalog.succession = Some(succession.clone());
                    None
                }
                Control::Adopted(adopted) => {
                    catalog.adopted = Some(adopted.clone());
                    None
                }
                Control::LogLost(lost) => {
                    catalog.lost.push(lost.clone());
                    None
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                out.find(Finding::new(wrong).index(*index));
            }
        }
        catalog
    }

    fn open(&mut self, index: u64, opened: &LogOpened) -> Option<String> {
        let known = match Known::new(opened.clone()) {
            Ok(known) => known,
            Err(error) => return Some(format!("log {}: {error}", opened.number)),
        };
        let root = self.logs.get(&0).unwrap_or(&known);
        if root.origin.installation() != known.origin.installation() {
            return Some(format!("log {} is of another installation: {}", opened.number, opened.origin));
        }
        if (index == 0) != (opened.number == 0) {
            return Some(format!("log {} is opened at entry {index}", opened.number));
        }
        if let Some(same) = self.logs.values().find(|log| log.origin == known.origin) {
            return Some(format!(
                "{} is opened as log {} and as log {}",
                known.origin, same.opened.number, opened.number
            ));
        }
        match self.logs.insert(opened.number, known) {
            Some(before) => {
                Some(format!("log {} is opened as {} and as {}", opened.number, before.origin, opened.origin))
            }
            None => None,
        }
    }

    fn close(&mut self, index: u64, closed: &LogClosed) -> Option<String> {
        let number = closed.number;
        if number == 0 || !self.logs.contains_key(&number) {
            return Some(format!("log {number} is closed, and none of that number was opened before"));
        }
        let before = self.closed.insert(number, (index, closed.clone()));
        before.map(|_| format!("log {number} is closed twice"))
    }

    fn round(&mut self, index: u64, logs: &[RoundLog]) -> Option<String> {
        if logs.len() > ROUND_LOGS_MAX || !logs.is_sorted_by(|a, b| a.number < b.number) {
            return Some(format!("a round of {} logs, not ascending or too many", logs.len()));
        }
        for log in logs {
            if !self.logs.contains_key(&log.number) {
                return Some(format!("a round names log {}, which was not opened before", log.number));
            }
            if self.closed.contains_key(&log.number) {
                return Some(format!("a round names log {}, which was closed before", log.number));
            }
            self.rounds.entry(log.number).or_default().push((index, log.clone()));
        }
        None
    }

    /// The roots that rounds give for log `number`.
    pub fn expected(&self, number: u64, out: &mut Gathered) -> Vec<Expected> {
        let mut expected = Vec::new();
        for (index, round) in self.rounds.get(&number).into_iter().flatten() {
            match Hash::from_base64(&round.root) {
                Ok(root) => expected.push(Expected { size: round.size, root, source: Source::Round(*index) }),
                Err(error) => out.find(Finding::new(format!("log {number}: {error}")).index(*index)),
            }
        }
        if let Some((index, closed)) = self.closed.get(&number) {
            match Hash::from_base64(&closed.root) {
                Ok(root) => {
                    expected.push(Expected { size: closed.size, root, source: Source::Closed(*index) });
                }
                Err(error) => out.find(Finding::new(format!("log {number}: {error}")).index(*index)),
            }
        }
        expected
    }

    /// Holds what rounds say of the manifests of log `number` against those on disk.
    pub fn check_manifests(&self, number: u64, plan: &Plan, out: &mut Gathered) {
        let mut last = (0, 0, 0);
        for (index, round) in self.rounds.get(&number).into_iter().flatten() {
            let of = format!("the round at entry {index} of the root log");
            let here = (round.size, round.manifest, round.sealed);
            if here.0 < last.0 || here.1 < last.1 || here.2 < last.2 || round.sealed > round.size {
                out.find(Finding::new(format!(
                    "{of} has it at {here:?}, after {last:?} (size, manifest, sealed)"
                )));
            }
            last = here;
            let path = layout::manifest(round.manifest);
            if round.manifest == 0 {
                if !round.manifest_digest.is_empty() || round.sealed != 0 {
                    out.find(Finding::new(format!(
                        "{of} gives a digest or a sealed size without a manifest"
                    )));
                }
            } else if let Some(seen) = plan.manifests.get(&round.manifest) {
                if seen.digest != round.manifest_digest {
                    out.find(
                        Finding::new(format!("not the manifest that {of} names: another digest")).file(&path),
                    );
                }
                if seen.size != round.sealed {
                    let wrong = format!("{of} says sealed size {}, the manifest {}", round.sealed, seen.size);
                    out.find(Finding::new(wrong).file(path));
                }
            } else if !plan.files.manifests.contains(&round.manifest) {
                out.find(Finding::new(format!("{of} names this manifest, and it is not there")).file(path));
            }
        }
        if plan.sealed < last.2 {
            let wrong = format!("sealed size {}, below {} that the root log gives", plan.sealed, last.2);
            out.find(Finding::new(wrong).index(plan.sealed));
        }
    }
}
