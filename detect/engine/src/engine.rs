//! The fold itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::clock::Clock;
use crate::detector::{Context, Signal};
use crate::entity::bounded;
use crate::episode::{Emission, Judged};
use crate::error::Error;
use crate::filings::Confirmed;
use crate::markers::Markers;
use crate::record::{Event, Record};
use crate::rules::{Lanes, RULE_IDS};
use crate::settings::{Settings, microseconds};
use crate::setup::Setup;
use crate::sigma_rules::{self, Pack};
use crate::snapshot;

/// All that an engine remembers; the whole of it is the snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    tenant: String,
    next_index: i64,
    clock: Clock,
    lanes: Lanes,
    markers: Markers,
    /// There where there are rules in Sigma.
    sigma: Option<sigma_rules::State>,
}

/// The detection engine of one tenant. See the crate documentation for its invariants.
#[derive(Debug, Clone)]
pub struct Engine {
    settings: Settings,
    /// Which lanes see records, in the order of [`RULE_IDS`]; follows from the settings.
    enabled: [bool; RULE_IDS.len()],
    pack: Option<Pack>,
    memory: Memory,
    /// Reused between records; always empty between them.
    signals: Vec<Signal>,
}

fn enabled(settings: &Settings) -> [bool; RULE_IDS.len()] {
    RULE_IDS.map(|id| !settings.disabled.contains(id))
}

impl Engine {
    /// An engine that has seen nothing and expects log index 0. Settings should have been validated.
    pub fn new(tenant: &str, setup: impl Into<Setup>) -> Engine {
        Engine::starting_at(tenant, setup, 0)
    }

    /// An engine for a log whose entries before `first_index` are gone.
    pub fn starting_at(tenant: &str, setup: impl Into<Setup>, first_index: i64) -> Engine {
        let Setup { settings, rules } = setup.into();
        let pack = rules.map(Pack::new);
        let tenant = bounded(tenant).into_owned();
        let sigma = pack.as_ref().map(sigma_rules::State::new);
        let memory = Memory {
            tenant,
            next_index: first_index,
            clock: Clock::new(),
            lanes: Lanes::new(),
            markers: Markers::new(),
            sigma,
        };
        Engine { enabled: enabled(&settings), settings, pack, memory, signals: Vec::new() }
    }

    /// Takes in the next record and appends to `out` what it causes: closings first, then the rules in the
    /// order of [`crate::RULE_IDS`], then those in Sigma. A record observed before is ignored; one that skips others is refused
    /// with [`Error::Gap`] and changes nothing.
    pub fn observe(&mut self, record: &Record<'_>, out: &mut Vec<Alert>) -> Result<(), Error> {
        let Engine { settings, enabled, pack, memory, signals } = self;
        if record.index < memory.next_index {
            return Ok(());
        }
        if record.index > memory.next_index {
            return Err(Error::Gap { expected: memory.next_index, found: record.index });
        }
        memory.next_index = record.index.saturating_add(1);
        let event = Event::new(record, microseconds(settings.skew_max_s));
        memory.clock.advance(event.placed_us, record.ingest_time_us);
        if !record.control {
            memory.markers.observe(&event);
        }
        let watermark_us = memory.clock.watermark_us();
        let mut emission = Emission {
            settings,
            tenant: &memory.tenant,
            watermark_us,
            received_us: memory.clock.received_us(),
            position: record.index,
            ordinal: 0,
            markers: &memory.markers,
            out,
        };
        for (detector, episodes) in memory.lanes.each() {
            while let Some(due_us) = detector.due_us(settings).filter(|due_us| *due_us <= watermark_us) {
                emission.watermark_us = due_us;
                episodes.expire(detector, &mut emission);
                let context = Context { settings, tenant: emission.tenant, watermark_us: due_us, episodes };
                detector.close(watermark_us, &context, signals);
                for signal in signals.drain(..) {
                    episodes.apply(signal, None, detector, &mut emission);
                }
            }
            emission.watermark_us = watermark_us;
            episodes.expire(detector, &mut emission);
        }
        let mut sigma = memory.sigma.as_mut().zip(pack.as_ref());
        if let Some((state, pack)) = &mut sigma {
            state.episodes.expire(*pack, &mut emission);
        }
        if record.control {
            if let Some(verdict) = record.verdict {
                for (detector, episodes) in memory.lanes.each() {
                    match episodes.judge(&verdict, detector, &mut emission) {
                        Some(Judged::Benign { key }) => detector.called_benign(&key),
                        Some(Judged::True { key, since_us, until_us }) => {
                            detector.called_true(&Confirmed { key: &key, since_us, until_us });
                        }
                        None => {}
                    }
                }
                if let Some((state, pack)) = sigma {
                    state.episodes.judge(&verdict, pack, &mut emission);
                }
            }
            return Ok(());
        }
        for ((detector, episodes), is_enabled) in memory.lanes.each().into_iter().zip(enabled) {
            if !*is_enabled {
                continue;
            }
            let context = Context { settings, tenant: &memory.tenant, watermark_us, episodes };
            detector.observe(&event, &context, signals);
            if signals.is_empty() {
                continue;
            }
            for signal in signals.drain(..) {
                episodes.apply(signal, Some(&event), detector, &mut emission);
            }
        }
        if let Some((state, pack)) = sigma {
            state.observe(&event, pack, &mut emission);
        }
        Ok(())
    }

    /// The state as bytes, equal for equal logs under an equal setup.
    pub fn snapshot(&self) -> Vec<u8> {
        self.setup().named(|under| snapshot::encode(under, &self.memory))
    }

    /// The state as JSON, to look into: what shape it has is the model version's affair.
    pub fn state_as_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.memory)
            .expect("state is plain data with string keys and always has a JSON form")
    }

    /// An engine that goes on where the snapshot was taken. Settings and rules must be the ones it was folded with.
    pub fn restore(bytes: &[u8], setup: impl Into<Setup>) -> Result<Engine, Error> {
        let setup = setup.into();
        let mut memory: Memory = setup.named(|under| snapshot::decode(bytes, under))?;
        for (detector, episodes) in memory.lanes.each() {
            detector.restored();
            episodes.rebuild_deadlines();
        }
        if let Some(sigma) = &mut memory.sigma {
            sigma.episodes.rebuild_deadlines();
        }
        let Setup { settings, rules } = setup;
        let (enabled, pack) = (enabled(&settings), rules.map(Pack::new));
        Ok(Engine { settings, enabled, pack, memory, signals: Vec::new() })
    }

    fn setup(&self) -> Setup {
        let rules = self.pack.as_ref().map(|pack| Arc::clone(pack.rules()));
        Setup { settings: self.settings.clone(), rules }
    }

    /// The clock at which something may be told or closed though no record comes; none where nothing is open.
    pub fn awaits_us(&mut self) -> Option<i64> {
        let Engine { settings, memory, .. } = self;
        let lanes = memory.lanes.each();
        let each = lanes
            .iter()
            .flat_map(|(detector, episodes)| [detector.awaits_us(settings), episodes.awaits_us()]);
        let of_sigma = memory.sigma.as_ref().and_then(|sigma| sigma.episodes.awaits_us());
        each.flatten().chain(of_sigma).min()
    }

    /// Every open episode as it would be told with the last record, in the order of rules, with `why` in the explanation: for whoever
    /// starts to tell what this engine found without having told its past. Numbered as the engine has it; changes nothing.
    pub fn open_episodes(&mut self, why: &str) -> Vec<Alert> {
        let Engine { settings, pack, memory, .. } = self;
        let mut out = Vec::new();
        let mut emission = Emission {
            settings,
            tenant: &memory.tenant,
            watermark_us: memory.clock.watermark_us(),
            received_us: memory.clock.received_us(),
            position: memory.next_index.saturating_sub(1),
            ordinal: 0,
            markers: &memory.markers,
            out: &mut out,
        };
        for (detector, episodes) in memory.lanes.each() {
            episodes.tell_open(why, detector, &mut emission);
        }
        if let Some((state, pack)) = memory.sigma.as_ref().zip(pack.as_ref()) {
            state.episodes.tell_open(why, pack, &mut emission);
        }
        out
    }

    /// Open episodes go on from the numbers under which they were told last, by alert id: an episode that was told under another setup
    /// as well has had more of them than this engine gave.
    pub fn number_on(&mut self, told: &BTreeMap<String, i64>) {
        for (_, episodes) in self.memory.lanes.each() {
            episodes.number_on(told);
        }
        if let Some(sigma) = &mut self.memory.sigma {
            sigma.episodes.number_on(told);
        }
    }

    /// The tenant whose log this engine folds.
    pub fn tenant(&self) -> &str {
        &self.memory.tenant
    }

    /// First log index not yet observed.
    pub fn next_index(&self) -> i64 {
        self.memory.next_index
    }

    /// The engine's clock in microseconds UTC, `i64::MIN` before the first record.
    pub fn watermark_us(&self) -> i64 {
        self.memory.clock.watermark_us()
    }

    /// Episodes now open, over all rules.
    pub fn episodes_open(&mut self) -> usize {
        let of_sigma = self.memory.sigma.as_ref().map_or(0, |sigma| sigma.episodes.open_count());
        let lanes = self.memory.lanes.each();
        lanes.iter().map(|(_, episodes)| episodes.open_count()).sum::<usize>().saturating_add(of_sigma)
    }

    /// Entries forgotten and episodes closed early because of a cap, since the start of the log: worth an
    /// operator's look when it grows.
    pub fn evicted(&mut self) -> u64 {
        let of_sigma = self.memory.sigma.as_ref().map_or(0, sigma_rules::State::evicted);
        let lanes = self.memory.lanes.each();
        lanes.iter().fold(of_sigma, |sum: u64, (detector, episodes)| {
            sum.saturating_add(detector.evicted()).saturating_add(episodes.closed_early())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_closing_leaves_no_deadline_behind() {
        let mut engine = Engine::new("acme", Settings { episodes_open_max: 8, ..Settings::default() });
        let mut alerts = Vec::new();
        for index in 0..100 {
            let capability = index.to_string();
            let record = Record {
                index,
                ingest_time_us: index,
                time_us: index,
                kind: "call",
                session_id: "",
                capability: Some(&capability),
                action: Some("write"),
                risk: Some("high"),
                decision: "allow",
                status: "ok",
                source: "test/1",
                ..Record::default()
            };
            engine.observe(&record, &mut alerts).unwrap();
        }
        assert!(engine.episodes_open() <= 8);
        assert!(engine.memory.lanes.each().iter().all(|(_, episodes)| episodes.is_scheduled()));
    }
}
