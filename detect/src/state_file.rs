//! State files: what an engine remembers, kept so that a start need not read the whole log.
//!
//! ```text
//! <snapshot_dir>/<tenant>-<next index>.state
//!
//! tachograph-detect-state 1 <events log origin> <next index> <mark>\n
//! <engine snapshot, which carries its own checksum, model version and settings digest>
//! ```
//! The mark is a digest of entry `next index - 1`: a file is only good for the log it was folded over. Nothing here
//! is durable on purpose; a file cut short by a crash fails its checksum and the one before it is taken.

use std::path::{Path, PathBuf};

use engine::{Engine, Setup};
use store::{Entries, LogSnapshot};

use crate::columns::{Events, READ_COLUMNS};
use crate::error::{Error, Result};
use crate::fold::{Fold, Mark};

const MAGIC: &str = "tachograph-detect-state 1";
const SUFFIX: &str = ".state";

/// The state files of one tenant.
#[derive(Debug, Clone)]
pub(crate) struct StateFiles {
    dir: PathBuf,
    tenant: String,
}

/// What a file says before its state.
#[derive(Debug, PartialEq, Eq)]
struct Head<'a> {
    log: &'a str,
    next_index: u64,
    mark: Mark,
}

impl StateFiles {
    pub(crate) fn new(dir: &Path, tenant: &str) -> StateFiles {
        StateFiles { dir: dir.to_path_buf(), tenant: tenant.to_owned() }
    }

    /// The newest state that is good for this log and this setup, else the start of the log, and the files that are not. Reads files:
    /// not for an async thread.
    ///
    /// # Errors
    /// Those of reading the log; [`Error::StateDir`] where the directory cannot be.
    pub(crate) fn restore(&self, log: &LogSnapshot, setup: &Setup) -> Result<(Fold, Vec<PathBuf>)> {
        let mut passed_over = Vec::new();
        let files = self.list().map_err(|source| Error::StateDir { path: self.dir.clone(), source })?;
        for (index, path) in files {
            match self.load(&path, log, setup)? {
                Ok(fold) => return Ok((fold, passed_over)),
                Err(reason) => {
                    tracing::warn!(tenant = self.tenant, index, reason, "a state file is passed over");
                    passed_over.push(path);
                }
            }
        }
        Ok((Fold::new(Engine::new(&self.tenant, setup.clone()), None), passed_over))
    }

    /// Deletes files that were passed over, before anything is told. One of other rules is behind the alerts log from then on, and whoever
    /// puts those rules back must not go on from it as if nothing had been told since. The file of `saved` may have taken the place of one.
    /// Writes files: not for an async thread.
    ///
    /// # Errors
    /// [`Error::StaleState`] where one stays. Nothing may be told then.
    pub(crate) fn forget(&self, passed_over: &[PathBuf], saved: u64) -> Result<()> {
        let own = self.path(saved);
        for path in passed_over.iter().filter(|path| **path != own) {
            match std::fs::remove_file(path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::StaleState { path: path.clone(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn load(&self, path: &Path, log: &LogSnapshot, setup: &Setup) -> Result<Result<Fold, String>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let Some((head, state)) = parse(&bytes) else {
            return Ok(Err("its first line is damaged".to_owned()));
        };
        if head.log != log.origin.to_string() {
            return Ok(Err(format!("it is of log {}", head.log)));
        }
        if mark_before(log, head.next_index)? != Some(head.mark) {
            return Ok(Err("the log is not the one that it was folded over".to_owned()));
        }
        let engine = match Engine::restore(state, setup.clone()) {
            Ok(engine) => engine,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let fold = Fold::new(engine, Some(head.mark));
        if fold.next_index() != head.next_index || fold.engine.tenant() != self.tenant {
            return Ok(Err("its first line is of another state".to_owned()));
        }
        Ok(Ok(fold))
    }

    /// Writes the state, keeps the newest one before it, and deletes all others: older ones, and newer ones, which
    /// would have been taken had they been good. Gives back the length of the file. Writes files: not for an async thread.
    pub(crate) fn save(&self, log: &str, fold: &Fold) -> std::io::Result<u64> {
        let Some(mark) = fold.mark else { return Ok(0) };
        let head = Head { log, next_index: fold.next_index(), mark };
        let mut bytes = head.line().into_bytes();
        bytes.extend_from_slice(&fold.engine.snapshot());
        std::fs::write(self.path(head.next_index), &bytes)?;
        let mut is_before_kept = false;
        for (index, path) in self.list()? {
            let is_kept = index == head.next_index
                || index < head.next_index && !std::mem::replace(&mut is_before_kept, true);
            if !is_kept {
                std::fs::remove_file(path)?;
            }
        }
        Ok(bytes.len() as u64)
    }

    /// Index and path of each, newest first. A directory that is not there has none, one that cannot be read may have some.
    fn list(&self) -> std::io::Result<Vec<(u64, PathBuf)>> {
        let files = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files?,
        };
        let mut found = Vec::new();
        for file in files {
            let file = file?;
            if let Some(index) = file.file_name().to_str().and_then(|name| self.index_in(name)) {
                found.push((index, file.path()));
            }
        }
        found.sort_unstable();
        found.reverse();
        Ok(found)
    }

    /// The index in a file name of this tenant; tenants may end in digits, so only the canonical spelling counts.
    fn index_in(&self, name: &str) -> Option<u64> {
        let index = name.strip_prefix(&self.tenant)?.strip_prefix('-')?.strip_suffix(SUFFIX)?;
        let parsed: u64 = index.parse().ok()?;
        (parsed.to_string() == index).then_some(parsed)
    }

    fn path(&self, next_index: u64) -> PathBuf {
        self.dir.join(format!("{}-{next_index}{SUFFIX}", self.tenant))
    }
}

impl Head<'_> {
    fn line(&self) -> String {
        format!(
            "{MAGIC} {} {} {}\n",
            self.log,
            self.next_index,
            blake3::Hash::from_bytes(self.mark.0).to_hex()
        )
    }
}

fn parse(bytes: &[u8]) -> Option<(Head<'_>, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    let line = std::str::from_utf8(line).ok()?;
    let mut parts = line.strip_prefix(MAGIC)?.strip_prefix(' ')?.split(' ');
    let (log, index, mark) = (parts.next()?, parts.next()?, parts.next()?);
    let head = Head {
        log,
        next_index: index.parse().ok()?,
        mark: Mark(*blake3::Hash::from_hex(mark).ok()?.as_bytes()),
    };
    // Exactly what is written, nothing that merely parses alike.
    (head.line().as_bytes().strip_suffix(b"\n")? == line.as_bytes())
        .then(|| (head, rest.get(1..).unwrap_or_default()))
}

/// The mark of entry `next_index - 1` of the log, if it has that entry.
fn mark_before(log: &LogSnapshot, next_index: u64) -> Result<Option<Mark>> {
    let Some(index) = next_index.checked_sub(1).filter(|index| *index < log.durable) else { return Ok(None) };
    let mut entries = Entries::new(log.clone(), index, &READ_COLUMNS);
    let batch = entries.next_batch()?;
    let missing =
        || Error::Damaged { log: log.origin.to_string(), detail: format!("entry {index} is missing") };
    let batch = batch.ok_or_else(missing)?;
    let events = Events::of(entries.log(), &batch)?;
    Ok(Some(Mark::of(entries.log(), &events.record(0, &mut crate::columns::Room::default()))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_tenants_do_not_run_into_one_another() {
        let files = |tenant: &str| StateFiles::new(Path::new("/nowhere"), tenant);
        assert_eq!(files("a").index_in("a-15.state"), Some(15));
        for (tenant, name) in [
            ("a", "a-1-5.state"),
            ("a-1", "a-15.state"),
            ("a", "a-05.state"),
            ("a", "a-+5.state"),
            ("a", "a-5"),
        ] {
            assert_eq!(files(tenant).index_in(name), None, "{tenant} {name}");
        }
        assert_eq!(files("a-1").index_in("a-1-5.state"), Some(5));
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_not_an_empty_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(StateFiles::new(file.path(), "acme").list().is_err());
        let gone = StateFiles::new(&file.path().with_extension("gone"), "acme");
        assert!(gone.list().unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn the_first_line_round_trips_and_any_flipped_bit_is_another_or_none(
            next_index in any::<u64>(), mark in any::<[u8; 32]>(), at in any::<proptest::sample::Index>(), bit in 0..8,
        ) {
            let head = Head { log: "i/acme/events/w1", next_index, mark: Mark(mark) };
            let line = head.line();
            let mut bytes = line.clone().into_bytes();
            bytes.extend_from_slice(b"state\nmore");
            let (parsed, rest) = parse(&bytes).unwrap();
            prop_assert_eq!(&parsed, &head);
            prop_assert_eq!(rest, &b"state\nmore"[..]);
            let at = at.index(line.len());
            bytes[at] ^= 1u8 << bit;
            let flipped = parse(&bytes).map(|(head, _)| format!("{head:?}"));
            prop_assert_ne!(flipped, Some(format!("{head:?}")));
        }
    }
}
