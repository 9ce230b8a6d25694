//! The logs of one earlier writer, for whoever asks for their tiles and for proofs of what is in them: sealed, at their end,
//! and never written again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use schemas::Stream;
use schemas::control::Control;
use schemas::origin::ROOT_TENANT;

use crate::entries::ReadError;
use crate::error::Error;
use crate::recover::controls_of;
use crate::state::{LogState, Shared, lock};

/// See the module.
#[derive(Debug)]
pub(crate) struct Earlier {
    pub(crate) writer: String,
    /// Those that could be read.
    pub(crate) logs: BTreeMap<(String, Stream), Arc<LogState>>,
    /// Those that could not, and why: an answer without them would be a part told as the whole.
    pub(crate) damaged: BTreeMap<(String, Stream), String>,
    /// What its root log says, once somebody has asked.
    told: Mutex<Option<Arc<Told>>>,
}

/// Where a root log says what a proof needs. It only says where to look: what is found there goes through the tree and the
/// checks of a proof.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// By origin.
    pub(crate) opened: BTreeMap<String, Opening>,
    /// By the origin of the log before.
    pub(crate) successors: BTreeMap<String, Following>,
    /// The newest round that names a tree of the log that is sealed here, by the log's number.
    pub(crate) rounds: BTreeMap<u64, Round>,
}

/// Where a log is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) number: u64,
    /// Index in the root log.
    pub(crate) index: u64,
}

/// Where a log is opened that goes on from another, and what it says of that one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Following {
    /// Index in the root log.
    pub(crate) index: u64,
    /// How far the one before was signed, and how much of it is kept.
    pub(crate) size: u64,
    pub(crate) kept: u64,
}

/// A round that names a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Index in the root log.
    pub(crate) index: u64,
    /// The size that it names.
    pub(crate) size: u64,
}

impl Earlier {
    pub(crate) fn new(writer: &str) -> Earlier {
        Earlier {
            writer: writer.to_string(),
            logs: BTreeMap::new(),
            damaged: BTreeMap::new(),
            told: Mutex::default(),
        }
    }

    /// Its root log, where that could be read.
    pub(crate) fn root(&self) -> Option<&Arc<LogState>> {
        self.logs.get(&(ROOT_TENANT.to_string(), Stream::Root))
    }

    /// What a question is told that needs a log of it that is damaged.
    pub(crate) fn unreadable(&self, tenant: &str, stream: Stream, why: &str) -> ReadError {
        ReadError::Damaged { log: format!("{tenant}/{stream}/{}", self.writer), detail: why.to_string() }
    }

    /// What its root log says: the first who asks reads the whole of it, as every start of that writer did.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(crate) fn told(&self, shared: &Shared) -> Result<Arc<Told>, ReadError> {
        // Held while it is read, so that this is done once.
        let mut kept = lock(&self.told);
        if let Some(told) = kept.as_ref() {
            return Ok(Arc::clone(told));
        }
        let mut told = Told::default();
        let mut sealed: BTreeMap<u64, u64> = BTreeMap::new();
        if let Some(root) = self.root() {
            let heard = controls_of(shared, root, |index, control| {
                self.hear(index, control, &mut told, &mut sealed);
                Ok(())
            });
            heard.map_err(|error| unread(root, error))?;
        }
        Ok(Arc::clone(kept.insert(Arc::new(told))))
    }

    /// Takes in one control entry of the root log; `sealed` is how much is here of the logs that it has opened, by number.
    fn hear(&self, index: u64, control: Control, told: &mut Told, sealed: &mut BTreeMap<u64, u64>) {
        match control {
            Control::LogOpened(opened) => {
                let log = self.logs.values().find(|log| log.origin.to_string() == opened.origin);
                if let Some(log) = log {
                    sealed.insert(opened.number, lock(&log.view).sealed);
                }
                told.opened.insert(opened.origin, Opening { number: opened.number, index });
                if let Some(before) = opened.predecessor {
                    let following = Following { index, size: before.size, kept: before.kept };
                    told.successors.insert(before.origin, following);
                }
            }
            Control::Round(round) => {
                let here = |number: &u64| sealed.get(number).copied().unwrap_or(0);
                let rounds = round.logs.iter().filter(|log| log.size <= here(&log.number));
                told.rounds.extend(rounds.map(|log| (log.number, Round { index, size: log.size })));
            }
            _ => {}
        }
    }
}

fn unread(root: &LogState, error: Error) -> ReadError {
    match error {
        Error::Io { path, source, .. } => ReadError::Read { path, source },
        other => ReadError::Damaged { log: root.origin.to_string(), detail: other.to_string() },
    }
}
