//! What the store has promised: the other side of every check.

use std::collections::BTreeMap;

use schemas::Stream;
use schemas::tree::Hash;

use super::draft::Event;

/// Tenant and stream.
pub(super) type Name = (String, Stream);

/// What was promised of one log.
#[derive(Debug, Clone, Default)]
pub(super) struct Promised {
    /// Acknowledged: index to event.
    pub(super) acknowledged: BTreeMap<u64, Event>,
    /// Sent, and not acknowledged or not yet.
    pub(super) in_flight: Vec<Event>,
    /// How far the numbered source was acknowledged.
    pub(super) pulled: u64,
    /// Checkpoints that were shown.
    pub(super) shown: BTreeMap<u64, Hash>,
}

/// What was promised of all logs.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) logs: BTreeMap<Name, Promised>,
}

impl Model {
    pub(super) fn log(&mut self, name: &Name) -> &mut Promised {
        self.logs.entry(name.clone()).or_default()
    }

    /// Takes an acknowledgement in. An index is given once, an event has one index.
    pub(super) fn acknowledge(&mut self, name: &Name, index: u64, event: &Event) {
        let log = self.log(name);
        if let Some(before) = log.acknowledged.insert(index, event.clone()) {
            assert_eq!(before, *event, "index {index} of {name:?} was acknowledged for another event");
        }
        log.in_flight.retain(|waiting| waiting != event);
    }
}
