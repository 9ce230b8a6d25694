//! What was not observed or not kept, put on record.

use crate::clock::Moment;
use crate::event::Event;
use crate::identifier::Identifiers;
use crate::identity::{Given, Identity};

/// Counts of what is missing from the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// Messages that passed while the observer was behind.
    pub unobserved: u64,
    /// Messages over the limit of one.
    pub too_long: u64,
    /// Lines that are no JSON-RPC.
    pub unparsed: u64,
    /// Events that could not be redacted, and so not be kept.
    pub unredactable: u64,
    /// Events for which the spool had no room.
    pub dropped: u64,
    /// Bytes of the spool that were no whole event.
    pub broken_bytes: u64,
}

impl Missing {
    /// What is missing now and was not `before`.
    pub fn since(self, before: Missing) -> Missing {
        Missing {
            unobserved: self.unobserved.saturating_sub(before.unobserved),
            too_long: self.too_long.saturating_sub(before.too_long),
            unparsed: self.unparsed.saturating_sub(before.unparsed),
            unredactable: self.unredactable.saturating_sub(before.unredactable),
            dropped: self.dropped.saturating_sub(before.dropped),
            broken_bytes: self.broken_bytes.saturating_sub(before.broken_bytes),
        }
    }

    /// Writes it into an event: a notice of drops is of kind `integrity`.
    pub fn write(self, event: &mut Event) {
        event.text("kind", "integrity").text("method", "drop_notice").text("status", "ok");
        event.count("messages_unobserved", self.unobserved);
        event.count("messages_too_long", self.too_long);
        event.count("lines_unparsed", self.unparsed);
        event.count("events_unredactable", self.unredactable);
        event.count("events_dropped", self.dropped);
        event.count("spool_broken_bytes", self.broken_bytes);
    }
}

/// Makes notices outside the observer.
#[derive(Debug)]
pub struct Notices {
    identity: Identity,
    identifiers: Identifiers,
}

impl Notices {
    /// In the name of the run `run`.
    pub fn new(given: Given, run: &[u8], session: &str) -> Notices {
        let own = [run, b"/notices"].concat();
        Notices { identity: Identity::new(given, session), identifiers: Identifiers::new(&own) }
    }

    /// A notice of what is missing.
    pub fn event(&mut self, missing: Missing, at: Moment) -> String {
        let mut event = Event::new(&self.identifiers.next(at.wall_us), at.wall_us);
        self.identity.write(&mut event);
        missing.write(&mut event);
        event.finish()
    }
}
