//! A store without threads, driven step by step, and the model beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::checkpoint::Checkpoint;
use schemas::{CursorName, Stream};
use tokio::sync::oneshot::Receiver;

use super::check::{check, read, verify_image};
use super::disk::SimDisk;
use super::draft::{Event, draft};
use super::model::{Model, Name};
use crate::clock::ManualClock;
use crate::commit::commit_once;
use crate::cursor::Cursor;
use crate::disk::Disk as _;
use crate::draft::Draft;
use crate::durable::failed;
use crate::error::{Error, Result};
use crate::keys::{Keys, NoCustody};
use crate::options::Options;
use crate::recover::Opened;
use crate::sequence::{Placed, place};
use crate::state::lock;
use crate::{root, seal, sign, threads};

/// The logs of a run.
pub(super) const LOGS: [(&str, Stream); 4] = [
    ("default", Stream::Events),
    ("default", Stream::Alerts),
    ("default", Stream::Access),
    ("other", Stream::Events),
];
/// Where the keys are on a disk that holds them as well.
pub(super) const KEYS: &str = "keys";
/// When every run starts: 2026-11-21, noon.
pub(super) const START_US: i64 = 1_795_262_400_000_000;

pub(super) fn keys() -> Keys {
    Keys::from_seed([7; 32], "tacho-test").unwrap()
}

/// The keys on the disk that this is a part of, made if there are none and held.
pub(super) fn kept_keys(disk: &SimDisk) -> Result<Keys> {
    let keys = Keys::load_or_create_on(Arc::new(disk.part(KEYS)), &NoCustody)?;
    keys.held().map(|(keys, _)| keys)
}

pub(super) fn options() -> Options {
    Options {
        wal_file_bytes: 16 << 10,
        seal_rows: 300,
        // A retry may come at any time in these runs.
        idempotency_window_us: i64::MAX / 4,
        ..Options::default()
    }
}

/// One append that waits.
#[derive(Debug)]
struct Waiting {
    name: Name,
    events: Vec<Event>,
    first: u64,
    duplicates: Vec<(usize, u64)>,
    durable: Receiver<Result<u64>>,
    /// The position in the numbered source that it comes to.
    pulled: u64,
}

/// The cursor of the numbered source of a log.
pub(super) fn numbered() -> CursorName {
    CursorName::new("tail", "numbers", "0").unwrap()
}

/// An open store.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) model: Model,
    pub(super) opened: Opened,
    waiting: Vec<Waiting>,
}

impl Rig {
    /// A store on an empty disk.
    pub(super) fn new() -> Rig {
        Rig::open(SimDisk::new(), Arc::new(ManualClock::new(START_US)), Model::default()).unwrap()
    }

    /// Opens what is on the disk as a service does. Where the disk is a directory, its keys lie in another one of the same
    /// disk.
    pub(super) fn open(disk: SimDisk, clock: Arc<ManualClock>, model: Model) -> Result<Rig> {
        let keys = match disk.is_part() {
            true => {
                // As opening a real one does.
                disk.create_root().map_err(failed(&disk, "create directory", ""))?;
                kept_keys(&disk)?
            }
            false => keys(),
        };
        let opened = crate::open_held(Arc::new(disk.clone()), keys, options(), clock.clone())?;
        Ok(Rig { disk, clock, model, opened, waiting: Vec::new() })
    }

    /// Opens another disk with what this one has promised; nothing fails.
    pub(super) fn reopen(self, disk: SimDisk) -> Rig {
        Rig::open(disk, self.clock, self.model).unwrap()
    }

    /// As the threads do: the first failure stops all writing.
    fn poisoning<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && !matches!(error, Error::Busy { .. } | Error::DiskFull { .. })
        {
            self.opened.shared.poison(error);
        }
        result
    }

    /// Opens every log that is not open.
    pub(super) fn open_logs(&mut self) -> Result<()> {
        for (tenant, stream) in LOGS {
            self.open_log(tenant, stream)?;
        }
        Ok(())
    }

    pub(super) fn open_log(&mut self, tenant: &str, stream: Stream) -> Result<()> {
        let shared = Arc::clone(&self.opened.shared);
        if shared.find(tenant, stream).is_none() {
            let wait = |_: Placed| self.poisoning(commit_once(&shared)).map(|_| ());
            let (_, placed) = self.poisoning(crate::open_log(&shared, tenant, stream, &wait))?;
            placed.map_or(Ok(()), wait)?;
        }
        Ok(())
    }

    /// Sends events to a log; they wait for the next commit. An event may be sent again.
    pub(super) fn append(&mut self, tenant: &str, stream: Stream, events: &[Event]) -> Result<()> {
        let shared = Arc::clone(&self.opened.shared);
        shared.admit(0)?;
        let log = shared.find(tenant, stream).unwrap();
        let name = (tenant.to_string(), stream);
        let known = self.model.log(&name);
        for event in events {
            if !known.in_flight.contains(event) && !known.acknowledged.values().any(|other| other == event) {
                known.in_flight.push(event.clone());
            }
        }
        let Placed { first, duplicates, durable, .. } =
            match place(&shared, &log, &draft(tenant, stream, events), &[], true) {
                // The same event waits for the disk: its second sender is told to come again.
                Err(Error::Busy { .. }) => return Ok(()),
                placed => placed?,
            };
        let events = events.to_vec();
        match durable {
            Some(durable) => {
                self.waiting.push(Waiting { name, events, first, duplicates, durable, pulled: 0 });
            }
            None => self.acknowledge(&name, &events, first, &duplicates),
        }
        Ok(())
    }

    /// Reads the next events of a numbered source from where the log's cursor is; they wait for the next commit. Their
    /// ids are not looked for: the cursor alone keeps them from being recorded twice.
    pub(super) fn pull(&mut self, tenant: &str, stream: Stream, count: u64) -> Result<()> {
        let shared = Arc::clone(&self.opened.shared);
        shared.admit(0)?;
        let log = shared.find(tenant, stream).unwrap();
        let from = lock(&log.sequencer).cursors.get(numbered().as_str()).cloned();
        let first: u64 = from.as_ref().map_or(0, |from| from.parse().unwrap());
        let events: Vec<Event> = (first..first + count).map(|at| Event::numbered(at, stream)).collect();
        let draft = Draft { idempotent: Vec::new(), ..draft(tenant, stream, &events) };
        let step = Cursor { name: numbered(), from, to: Some((first + count).to_string()) };
        let Placed { first: index, durable, .. } =
            place(&shared, &log, &draft, std::slice::from_ref(&step), true)?;
        // A second reader that goes on from the same place is refused.
        let again = place(&shared, &log, &draft, std::slice::from_ref(&step), true);
        assert!(matches!(again, Err(Error::CursorMoved { .. } | Error::Poisoned { .. })), "{again:?}");
        self.waiting.push(Waiting {
            name: (tenant.to_string(), stream),
            events: Vec::new(),
            first: index,
            duplicates: Vec::new(),
            durable: durable.unwrap(),
            pulled: first + count,
        });
        Ok(())
    }

    fn acknowledge(&mut self, name: &Name, events: &[Event], first: u64, duplicates: &[(usize, u64)]) {
        let duplicates: BTreeMap<usize, u64> = duplicates.iter().copied().collect();
        let mut next = first;
        for (row, event) in events.iter().enumerate() {
            let index = *duplicates.get(&row).unwrap_or(&next);
            next += u64::from(!duplicates.contains_key(&row));
            self.model.acknowledge(name, index, event);
        }
    }

    /// Commits one group; whoever is told that it is durable goes into the model.
    pub(super) fn commit(&mut self) -> Result<bool> {
        let committed = self.poisoning(commit_once(&self.opened.shared));
        for mut waiting in std::mem::take(&mut self.waiting) {
            match waiting.durable.try_recv() {
                Ok(Ok(_)) => {
                    self.acknowledge(&waiting.name, &waiting.events, waiting.first, &waiting.duplicates);
                    let promised = self.model.log(&waiting.name);
                    promised.pulled = promised.pulled.max(waiting.pulled);
                }
                Ok(Err(_)) | Err(tokio::sync::oneshot::error::TryRecvError::Closed) => {}
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => self.waiting.push(waiting),
            }
        }
        committed
    }

    pub(super) fn commit_all(&mut self) -> Result<()> {
        while self.commit()? {}
        Ok(())
    }

    /// Signs, syncs and shows.
    pub(super) fn sign(&mut self, now: bool) -> Result<()> {
        let shared = Arc::clone(&self.opened.shared);
        let hashed = sign::hash_inbox(&shared, &mut self.opened.signer);
        self.poisoning(hashed)?;
        let notes = sign::notes(&shared, &mut self.opened.signer, now);
        let notes = self.poisoning(notes)?;
        if notes.is_empty() {
            return Ok(());
        }
        let mut synced = sign::queue_notes(&shared, notes.clone());
        self.commit()?;
        synced.try_recv().expect("a commit that went well answers")?;
        let remembered = sign::remember(&shared, &notes);
        self.poisoning(remembered)?;
        for note in &notes {
            let name = (note.log.origin.tenant().to_string(), note.log.origin.stream());
            let checkpoint =
                Checkpoint::open(note.note.as_bytes(), note.log.keys.checkpoint.verifier()).unwrap();
            self.model.log(&name).shown.insert(note.size, checkpoint.root);
        }
        let shown = sign::show(&shared, &mut self.opened.signer, &notes);
        self.poisoning(shown)
    }

    pub(super) fn rounds(&mut self, now: bool) -> Result<()> {
        let placed = root::rounds(&self.opened.shared, &mut self.opened.rounds, now);
        self.poisoning(placed).map(|_| ())
    }

    pub(super) fn seal(&mut self, tenant: &str, stream: Stream) -> Result<bool> {
        let Some(log) = self.opened.shared.find(tenant, stream) else { return Ok(false) };
        self.poisoning(seal::seal(&self.opened.shared, &log))
    }

    /// The root log first, so that no log waits for it.
    pub(super) fn seal_all(&mut self) -> Result<()> {
        while self.seal(schemas::origin::ROOT_TENANT, Stream::Root)? {}
        for (tenant, stream) in LOGS {
            while self.seal(tenant, stream)? {}
        }
        Ok(())
    }

    /// What the sealing thread does every few milliseconds.
    pub(super) fn tick(&mut self) -> Result<()> {
        let ticked = threads::tick(&self.opened.shared, &mut self.opened.rounds);
        self.poisoning(ticked)
    }

    /// Closes the store as its threads do.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.commit_all()?;
        self.sign(true)?;
        self.seal_all()?;
        self.rounds(true)?;
        self.commit_all()?;
        self.sign(true)?;
        self.seal(schemas::origin::ROOT_TENANT, Stream::Root)?;
        let sealed = self.opened.shared.sealed_of();
        let cleared = lock(&self.opened.shared.wal).clear(&|log| sealed.get(&log).copied().unwrap_or(0));
        self.poisoning(cleared)
    }

    pub(super) fn check(&self) {
        check(&self.disk, &self.opened.shared, &self.model);
    }

    /// Takes all that is there for promised.
    pub(super) fn promise_everything(&mut self) {
        for log in self.opened.shared.all_logs() {
            let found = read(&self.disk, &log);
            let promised = self.model.log(&(log.origin.tenant().to_string(), log.origin.stream()));
            let size = found.roots.len() - 1;
            promised.shown.insert(size as u64, found.roots[size]);
            promised.acknowledged.extend(found.events);
        }
    }

    /// Sends everything that was ever sent once more.
    pub(super) fn retry_everything(&mut self) -> Result<()> {
        self.commit_all()?;
        for (name, promised) in self.model.logs.clone() {
            self.open_log(&name.0, name.1)?;
            let mut sent: Vec<Event> = promised.acknowledged.into_values().collect();
            sent.extend(promised.in_flight);
            for events in sent.chunks(64) {
                self.append(&name.0, name.1, events)?;
                self.commit_all()?;
            }
        }
        let waits = self.model.logs.values().any(|promised| !promised.in_flight.is_empty());
        assert!(!waits, "a retry was neither recorded nor found");
        Ok(())
    }

    /// Verifies the files as they are.
    pub(super) fn verify(&self) {
        let shared = &self.opened.shared;
        verify_image(&self.disk, &crate::root_key(&shared.keys, &shared.options.writer).unwrap());
    }

    /// Everything that a recovered store must be able to do: keep its promises, take retries, go on, close clean.
    pub(super) fn check_and_close(mut self) -> SimDisk {
        self.check();
        self.retry_everything().unwrap();
        self.check();
        self.finish().unwrap();
        self.check();
        self.verify();
        self.disk
    }
}
