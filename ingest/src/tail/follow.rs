//! The files that one tail follows: which there are, where each goes on, and the next lines of any of them.
//!
//! Rotation
//! - Renamed: the file is the same whatever its name; it is read to its end before what took its name.
//! - Copied and truncated: the copy begins as what was read, and goes on where the file was; the file begins anew.
//! - Renamed again while nobody looked: files with a rotated name that were written after the newest one known.
//!
//! Files that begin alike
//! - One that is no longer than another and begins as all that was read of that one waits as its copy; it is held against the
//!   other again as either goes on.
//!
//! What is wrong with one file is told, once, and holds up no other.
//!
//! A file that began anew without a copy may have had lines that nobody read: a notice says so.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use schemas::CursorName;
use schemas::limits::{CURSORS_APPEND_MAX, CURSORS_LOG_MAX, TAIL_FILES_MAX, TAIL_HEAD_BYTES};
use serde_json::json;
use store::Cursor;

use super::COLLECTOR;
use super::copies::{Copies, Copy, Inherited, Start};
use super::directory::{Listing, Pattern, Seen};
use super::file::{Batch, Followed, open};
use super::lines::Reader;
use super::position::{Identity, Position, begin_the_same, comparable};
use crate::error::Error;
use crate::pull::Notice;

/// All files of one tail.
#[derive(Debug)]
pub(super) struct Files {
    name: String,
    pattern: Pattern,
    line_bytes_max: usize,
    /// The log's cursors.
    known: BTreeMap<Identity, String>,
    followed: Vec<Followed>,
    copies: Copies,
    /// Files that cannot be read, and why; each is told once.
    unreadable: BTreeMap<PathBuf, String>,
    /// How many cursors more the log takes.
    room: usize,
    /// Cursors that move with the next append, whichever it is.
    pending: Vec<(Identity, Option<Position>)>,
    notices: Vec<Notice>,
    turn: usize,
    /// The newest modification in the directory at the look before the last, and at the last.
    looked_us: [Option<i64>; 2],
    /// What was there at the last look.
    before: BTreeMap<Identity, (u64, i64)>,
    /// Something began anew: look for its copy at once.
    is_urgent: bool,
}

impl Files {
    pub(super) fn new(name: &str, pattern: Pattern, line_bytes_max: usize) -> Files {
        Files {
            name: name.to_string(),
            pattern,
            line_bytes_max,
            known: BTreeMap::new(),
            followed: Vec::new(),
            copies: Copies::default(),
            unreadable: BTreeMap::new(),
            room: usize::MAX,
            pending: Vec::new(),
            notices: Vec::new(),
            turn: 0,
            looked_us: [None; 2],
            before: BTreeMap::new(),
            is_urgent: false,
        }
    }

    /// Begins from what the log says.
    ///
    /// # Errors
    /// [`Error::Source`] for cursors that no tail wrote.
    pub(super) fn load(&mut self, cursors: BTreeMap<String, String>) -> Result<(), Error> {
        let wrong = |text: &str| Error::Source {
            detail: format!("the log has a cursor {text:?} that no tail wrote"),
        };
        self.followed.clear();
        self.pending.clear();
        self.known.clear();
        (self.looked_us, self.before) = ([None; 2], BTreeMap::new());
        for (partition, value) in cursors {
            let position = value.parse::<Position>().map_err(|()| wrong(&value))?;
            let looked_us = Some(position.looked_us).max(self.looked_us[0]);
            self.looked_us = [looked_us; 2];
            self.known.insert(partition.parse().map_err(|()| wrong(&partition))?, value);
        }
        Ok(())
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Bytes that are there and not read yet.
    pub(super) fn lag_bytes(&self) -> u64 {
        let left = |followed: &Followed| {
            followed
                .file
                .metadata()
                .map_or(0, |metadata| metadata.len().saturating_sub(followed.position.offset))
        };
        self.followed.iter().map(left).sum()
    }

    pub(super) fn count(&self) -> usize {
        self.followed.len()
    }

    /// The log takes so many cursors more.
    pub(super) fn set_room(&mut self, room: usize) {
        self.room = room;
    }

    /// Tells that a file cannot be read, where that is not told yet.
    fn trouble(&mut self, path: &Path, why: String) {
        if self.unreadable.get(path) == Some(&why) {
            return;
        }
        let target = path.display().to_string();
        tracing::warn!(tail = self.name, path = target, why, "a file cannot be read; the others go on");
        metrics::counter!("tacho_tail_unreadable_total", "tail" => self.name.clone()).increment(1);
        let more = json!({ "status": "error", "error_class": "io", "reason": why });
        self.notices.push(Notice { what: "unreadable", target, more });
        self.unreadable.insert(path.to_path_buf(), why);
    }

    /// Looks what is in the directory now; `wall_us` is the time of day.
    pub(super) fn look(&mut self, now_us: i64, wall_us: i64) -> io::Result<()> {
        let Listing { seen, unreadable } = self.pattern.list()?;
        self.unreadable.retain(|path, _| {
            unreadable.iter().any(|(other, _)| other == path) || seen.iter().any(|seen| seen.path == *path)
        });
        for (path, error) in unreadable {
            self.trouble(&path, error.to_string());
        }
        self.copies.keep_unchanged(&seen, &self.positions());
        self.is_urgent = false;
        for followed in &mut self.followed {
            let names = || seen.iter().filter(|seen| seen.identity == followed.identity);
            let was_named = followed.is_named;
            followed.is_named = names().any(|seen| seen.is_meant);
            if was_named && !followed.is_named {
                followed.changed_us = now_us;
            }
            if let Some(seen) = names().find(|seen| seen.is_meant).or_else(|| names().next()) {
                followed.path.clone_from(&seen.path);
            }
        }
        // What the log knows comes first: a copy is told by the file that it was made of.
        self.follow_all(&seen, now_us, |files, seen| {
            files.position(seen.identity).is_some().then_some(Start::Anywhere)
        });
        let is_any_anew = self.followed.iter().any(|followed| followed.is_anew);
        if is_any_anew {
            self.copies.keep_spent();
        }
        self.follow_all(&seen, now_us, |_, seen| {
            let is_perhaps_copy = is_any_anew && seen.is_rotated_name;
            if seen.is_meant { Some(Start::Anywhere) } else { is_perhaps_copy.then_some(Start::Inherited) }
        });
        // Files that were rotated away while nobody looked: written since the last look. One that grows may be a copy that is
        // being made.
        let from_us = self.looked_us[0].map(|us| us.min(wall_us));
        let is_new = |seen: &Seen| {
            seen.is_rotated_name
                && seen.bytes > 0
                && from_us.is_some_and(|from_us| seen.modified_us >= from_us)
        };
        let is_at_rest = |files: &Files, seen: &Seen| {
            files.before.get(&seen.identity) == Some(&(seen.bytes, seen.modified_us))
        };
        self.follow_all(&seen, now_us, |files, seen| {
            (is_new(seen) && is_at_rest(files, seen)).then_some(Start::Anywhere)
        });
        let is_complete = seen.iter().all(|seen| {
            let is_wanted = seen.is_meant || self.known.contains_key(&seen.identity) || is_new(seen);
            !is_wanted || self.is_settled(seen)
        });
        if is_complete {
            // A listing may miss a file that is just being renamed: what counts is the look before. Nothing was written
            // later than now, whatever a file says.
            let is_ours = |seen: &&Seen| {
                seen.is_meant || seen.is_rotated_name || self.known.contains_key(&seen.identity)
            };
            let newest_us = seen.iter().filter(is_ours).map(|seen| seen.modified_us.min(wall_us)).max();
            self.looked_us = [self.looked_us[1].or(newest_us), newest_us];
        }
        self.begin_anew();
        self.let_go(&seen);
        self.before = seen.iter().map(|seen| (seen.identity, (seen.bytes, seen.modified_us))).collect();
        Ok(())
    }

    /// Follows the files that `which` names and that are not followed yet.
    fn follow_all(&mut self, seen: &[Seen], now_us: i64, which: impl Fn(&Files, &Seen) -> Option<Start>) {
        for at in seen {
            let Some(start) = which(self, at).filter(|_| !self.is_settled(at)) else { continue };
            if self.followed.len() >= TAIL_FILES_MAX {
                tracing::warn!(tail = self.name, "more than {TAIL_FILES_MAX} files: the others wait");
                break;
            }
            match self.follow(at, seen, start, now_us) {
                Ok(true) => drop(self.unreadable.remove(&at.path)),
                Ok(false) => {}
                Err(error) => self.trouble(&at.path, error.to_string()),
            }
        }
    }

    /// Follows `seen`, one of `all`, if it is to be; whether it is now.
    fn follow(&mut self, seen: &Seen, all: &[Seen], start: Start, now_us: i64) -> io::Result<bool> {
        let Some(file) = open(&seen.path)? else { return Ok(false) };
        // Another file has taken the name since.
        if Identity::of(&file.metadata()?) != seen.identity {
            self.is_urgent = true;
            return Ok(false);
        }
        // The inode of a file that was let go may have been used again.
        let known = self.position(seen.identity);
        let position = match known {
            Some(position) => position,
            None => match self.inherited(&file, seen, all)? {
                Inherited::Nothing if start == Start::Inherited => return Ok(false),
                // Until one of them goes on otherwise.
                Inherited::IsPerhapsCopy => return Ok(false),
                Inherited::Nothing if self.fresh() >= self.room => {
                    self.trouble(&seen.path, format!("the log has {CURSORS_LOG_MAX} cursors already"));
                    return Ok(false);
                }
                Inherited::Nothing => {
                    // Known from the next append on, whatever becomes of its name.
                    self.pending.push((seen.identity, Some(Position::default())));
                    Position::default()
                }
                Inherited::IsCopy(copy) => {
                    self.copies.insert(seen.identity, copy);
                    return Ok(false);
                }
                Inherited::From(identity, position) => {
                    self.pending.push((seen.identity, Some(position)));
                    if !self.followed.iter().any(|followed| followed.identity == identity) {
                        self.pending.push((identity, None));
                    }
                    position
                }
            },
        };
        let is_anew = !position.is_in(&file)?;
        self.followed.push(Followed {
            identity: seen.identity,
            path: seen.path.clone(),
            file,
            position,
            reader: Reader::new(self.line_bytes_max),
            is_named: seen.is_meant,
            is_anew,
            is_finished: false,
            settled: None,
            changed_us: now_us,
        });
        Ok(true)
    }

    /// Cursors that the log does not have yet.
    fn fresh(&self) -> usize {
        let is_fresh = |(identity, to): &&(Identity, Option<Position>)| {
            to.is_some() && !self.known.contains_key(identity)
        };
        self.pending.iter().filter(is_fresh).count()
    }

    /// Where every file is, followed or not.
    fn positions(&self) -> BTreeMap<Identity, Position> {
        let known = self.known.iter().filter_map(|(identity, value)| Some((*identity, value.parse().ok()?)));
        let mut positions: BTreeMap<Identity, Position> = known.collect();
        positions.extend(self.followed.iter().map(|followed| (followed.identity, followed.position)));
        positions
    }

    /// Where the log has a file.
    fn position(&self, identity: Identity) -> Option<Position> {
        self.known.get(&identity).filter(|_| !self.is_forgotten(identity))?.parse().ok()
    }

    /// Whether a file needs no look: it is followed, a copy, or was rotated away and read to its end.
    fn is_settled(&self, seen: &Seen) -> bool {
        let is_read = |position: Position| !seen.is_meant && position.offset == seen.bytes;
        self.copies.contains(seen.identity)
            || self.followed.iter().any(|followed| followed.identity == seen.identity)
            || self.position(seen.identity).is_some_and(is_read)
    }

    fn is_forgotten(&self, identity: Identity) -> bool {
        self.pending.iter().any(|(other, to)| *other == identity && to.is_none())
    }

    /// Whether a file that the log does not know goes on where another was: it begins with the same bytes.
    fn inherited(&self, file: &File, seen: &Seen, all: &[Seen]) -> io::Result<Inherited> {
        let bytes = file.metadata()?.len();
        let is_there = |identity: Identity| all.iter().any(|other| other.identity == identity);
        for (of, position) in self.positions() {
            if !position.head.is_known() || self.is_forgotten(of) {
                continue;
            }
            let copy = |is_spent| {
                let compared = comparable(position.offset, bytes);
                Inherited::IsCopy(Copy { of, is_spent, compared, bytes })
            };
            let original = self.followed.iter().find(|followed| followed.identity == of);
            let intact = match original {
                Some(original) if position.is_in(&original.file)? => Some(&original.file),
                _ => None,
            };
            match intact {
                // What has the very name is no copy, however it begins.
                Some(_) if seen.is_meant && self.pattern.is_one_name() => {}
                Some(original) => {
                    // Nor is what goes on where the other ends.
                    let is_longer = bytes > original.metadata()?.len();
                    if !is_longer && begin_the_same(original, file, position.offset)? {
                        // One that is being made may be shorter than what a file is known by.
                        let is_sure = position.offset.min(bytes) >= TAIL_HEAD_BYTES;
                        return Ok(if is_sure { copy(false) } else { Inherited::IsPerhapsCopy });
                    }
                    // It was truncated while it was looked at.
                    if !position.is_in(original)? {
                        return Ok(Inherited::IsPerhapsCopy);
                    }
                }
                // Of one that was read to its end and lies there still.
                None if original.is_none() && is_there(of) && position.is_in(file)? => return Ok(copy(true)),
                None if position.is_in(file)? => return Ok(Inherited::From(of, position)),
                None if position.head.begins(file)? => return Ok(copy(true)),
                _ => {}
            }
        }
        Ok(Inherited::Nothing)
    }

    /// Files that are not what was read of them: from their start. Copies have been found by now.
    fn begin_anew(&mut self) {
        let positions = self.positions();
        for followed in self.followed.iter_mut().filter(|followed| followed.is_anew) {
            let before = followed.position;
            // Found now, or in an earlier run.
            let has_copy = positions.iter().any(|(identity, other)| {
                *identity != followed.identity && other.head == before.head && other.offset >= before.offset
            });
            if before.offset > 0 && !has_copy {
                self.notices.push(Notice {
                    what: "truncated",
                    target: followed.path.display().to_string(),
                    more: json!({ "status": "error", "offset": before.offset, "generation": before.generation }),
                });
            }
            followed.position = before.anew();
            followed.reader = Reader::new(self.line_bytes_max);
            (followed.is_anew, followed.is_finished, followed.settled) = (false, false, None);
        }
    }

    /// Files that were rotated away and read to their end are not held open; cursors of those that are gone are forgotten.
    fn let_go(&mut self, seen: &[Seen]) {
        for at in (0..self.followed.len()).rev() {
            let is_over = |followed: &&Followed| followed.is_finished && !followed.is_named;
            let Some(followed) = self.followed.get(at).filter(is_over) else { continue };
            // A listing may miss one that is being renamed, so the file itself is asked.
            if followed.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0) {
                self.pending.push((followed.identity, None));
            }
            self.followed.remove(at);
        }
        let there: BTreeMap<Identity, &Seen> = seen.iter().map(|seen| (seen.identity, seen)).collect();
        // Where nothing is there that is known, the directory may be another; and one look is not enough.
        if self.before.is_empty() || !self.known.keys().any(|identity| there.contains_key(identity)) {
            return;
        }
        let idle = |files: &Files, identity: &Identity| {
            !files.is_forgotten(*identity)
                && !files.followed.iter().any(|followed| followed.identity == *identity)
        };
        let is_gone = |identity: &&Identity| {
            !there.contains_key(identity) && !self.before.contains_key(identity) && idle(self, identity)
        };
        let gone: Vec<Identity> = self.known.keys().filter(is_gone).copied().collect();
        let leaving = self.known.keys().filter(|identity| self.is_forgotten(**identity)).count();
        let excess = self.known.len().saturating_sub(leaving + gone.len()).saturating_sub(TAIL_FILES_MAX);
        // In the order in which they were written; what is no older than the look that the log knows of would be new without
        // its cursor.
        let positions = self.known.values().filter_map(|value| value.parse::<Position>().ok());
        let looked_us = positions.map(|position| position.looked_us).max().unwrap_or(0);
        let is_read = |seen: &&Seen| {
            self.known.contains_key(&seen.identity)
                && self.is_settled(seen)
                && idle(self, &seen.identity)
                && !seen.is_meant
                && seen.modified_us < looked_us
        };
        let oldest: Vec<Identity> =
            seen.iter().filter(is_read).map(|seen| seen.identity).take(excess).collect();
        self.pending.extend(gone.into_iter().chain(oldest).map(|identity| (identity, None)));
    }

    /// The next lines: of files that were rotated away first, then of the others in turn.
    pub(super) fn next(&mut self, now_us: i64) -> Option<Batch> {
        let count = self.followed.len();
        let mut order: Vec<usize> = (0..count).map(|at| (self.turn + at) % count.max(1)).collect();
        order.sort_by_key(|at| self.followed.get(*at).is_some_and(|followed| followed.is_named));
        for at in order {
            let Some(followed) = self.followed.get_mut(at) else { continue };
            match followed.read(now_us) {
                Ok(Some(batch)) => {
                    self.turn = at + 1;
                    return Some(batch);
                }
                Ok(None) => self.is_urgent |= followed.is_anew,
                Err(error) => {
                    let path = followed.path.clone();
                    self.trouble(&path, error.to_string());
                }
            }
        }
        None
    }

    /// The notices that wait.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The steps of the next append: what is pending, and what `batch` moves.
    pub(super) fn steps(&self, batch: Option<&Batch>) -> Result<Vec<Cursor>, Error> {
        let own = batch.map(|batch| (batch.identity, Some(batch.to)));
        let own_id = batch.map(|batch| batch.identity);
        let pending = self.pending.iter().copied().filter(|(identity, _)| Some(*identity) != own_id);
        let moves: Vec<_> = own.into_iter().chain(pending).collect();
        // Where not all that was found at the last look becomes known, the look does not count yet.
        let is_whole = moves.len() <= CURSORS_APPEND_MAX;
        let looked_us = if is_whole { self.looked_us[0] } else { None };
        let mut steps: Vec<Cursor> = Vec::new();
        for (identity, to) in moves.into_iter().take(CURSORS_APPEND_MAX) {
            let name = CursorName::new(COLLECTOR, &self.name, &identity.partition())?;
            let to = to.map(|to| Position { looked_us: looked_us.unwrap_or(to.looked_us), ..to }.to_string());
            let step = Cursor { name, from: self.known.get(&identity).cloned(), to };
            if step.from != step.to && !steps.iter().any(|other| other.name == step.name) {
                steps.push(step);
            }
        }
        Ok(steps)
    }

    /// Takes steps that are on record, and what they were made of.
    pub(super) fn recorded(&mut self, steps: &[Cursor]) {
        for step in steps {
            let Ok(identity) = step.name.partition().parse::<Identity>() else { continue };
            match &step.to {
                Some(to) => drop(self.known.insert(identity, to.clone())),
                None => drop(self.known.remove(&identity)),
            }
            self.pending.retain(|(pending, _)| *pending != identity);
        }
    }

    /// Goes on behind a batch.
    pub(super) fn advance(&mut self, batch: &Batch) {
        if let Some(followed) = self.followed.iter_mut().find(|followed| followed.identity == batch.identity)
        {
            followed.position = batch.to;
        }
    }
}
