//! The root log: which logs there are, and how far each has come.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::checkpoint::Checkpoint;
use schemas::control::{Control, Heartbeat, LogOpened, Predecessor, Round, RoundLog};
use schemas::limits::ROUND_LOGS_MAX;
use schemas::note::Note;
use schemas::{Origin, Stream};

use crate::error::{Error, Result};
use crate::keys::LogKeys;
use crate::sequence::{Placed, place_control};
use crate::state::{LogState, Shared, lock};

/// What the root log was last told, and when.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    told: BTreeMap<u64, RoundLog>,
    round_last_us: i64,
    heartbeat_last_us: i64,
}

/// The entry that opens a log.
pub(crate) fn opened(
    number: u64,
    origin: &Origin,
    keys: &LogKeys,
    predecessor: Option<Predecessor>,
) -> Control {
    Control::LogOpened(LogOpened {
        number,
        origin: origin.to_string(),
        key: keys.checkpoint.verifier().to_string(),
        manifest_key: keys.manifest.verifier().to_string(),
        predecessor,
    })
}

/// Queues a control entry.
pub(crate) fn append_control(shared: &Shared, log: &Arc<LogState>, control: &Control) -> Result<Placed> {
    place_control(shared, log, control)
}

/// Queues round entries for the logs that changed, and a heartbeat, if it is time or `now` is set.
pub(crate) fn rounds(shared: &Shared, rounds: &mut Rounds, now: bool) -> Result<Vec<Placed>> {
    let Some(root) = shared.find(schemas::origin::ROOT_TENANT, Stream::Root) else { return Ok(Vec::new()) };
    let now_us = shared.clock.monotonic_us();
    let mut placed = Vec::new();
    if now || now_us - rounds.round_last_us >= shared.options.round_interval_us {
        rounds.round_last_us = now_us;
        let changed = changed(shared, rounds)?;
        for logs in changed.chunks(ROUND_LOGS_MAX) {
            let round = append_control(shared, &root, &Control::Round(Round { logs: logs.to_vec() }))?;
            for log in shared.all_logs() {
                if let Ok(at) = logs.binary_search_by_key(&log.number, |told| told.number)
                    && let Some(told) = logs.get(at)
                {
                    lock(&log.proving.rounds).hear(round.first, told.size);
                }
            }
            placed.push(round);
        }
        rounds.told.extend(changed.into_iter().map(|log| (log.number, log)));
    }
    if now_us - rounds.heartbeat_last_us >= shared.options.heartbeat_interval_us {
        rounds.heartbeat_last_us = now_us;
        let logs = shared.all_logs().len() as u64;
        placed.push(append_control(shared, &root, &Control::Heartbeat(Heartbeat { logs }))?);
    }
    Ok(placed)
}

fn changed(shared: &Shared, rounds: &Rounds) -> Result<Vec<RoundLog>> {
    let mut changed = Vec::new();
    for log in shared.all_logs() {
        if log.origin.stream() == Stream::Root {
            continue;
        }
        let (checkpoint, manifest, manifest_digest, sealed) = {
            let view = lock(&log.view);
            (Arc::clone(&view.checkpoint), view.manifest, view.manifest_digest.clone(), view.sealed)
        };
        if checkpoint.is_empty() {
            continue;
        }
        let checkpoint = Checkpoint::parse(Note::parse(checkpoint.as_bytes())?.unverified_text())?;
        let now = RoundLog {
            number: log.number,
            size: checkpoint.size,
            root: checkpoint.root.to_base64(),
            manifest,
            manifest_digest,
            sealed,
        };
        if rounds.told.get(&log.number) != Some(&now) {
            changed.push(now);
        }
    }
    changed.sort_by_key(|log| log.number);
    Ok(changed)
}

impl Rounds {
    /// Continues from the last round that each log was named in.
    pub(crate) fn resume(told: BTreeMap<u64, RoundLog>) -> Rounds {
        Rounds { told, ..Rounds::default() }
    }
}

/// Waits until every one of `placed` is on stable storage. For threads.
pub(crate) fn wait(shared: &Shared, placed: Vec<Placed>) -> Result<()> {
    for durable in placed.into_iter().filter_map(|placed| placed.durable) {
        match durable.blocking_recv() {
            Ok(result) => result.map(|_| ())?,
            Err(_) => {
                shared.check_writable()?;
                return Err(Error::Poisoned { reason: "the store closed".to_string() });
            }
        }
    }
    Ok(())
}
