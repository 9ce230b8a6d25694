//! What was not observed or not kept, put on record.

use redact::Redactor;

use crate::clock::Moment;
use crate::event::Event;
use crate::identifier::Identifiers;
use crate::identity::{Given, Identity};
use crate::redacted::redacted;

/// Counts of what is missing from the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// Messages that passed while the observer was behind.
    pub unobserved: u64,
    /// Messages over the limit of one.
    pub too_long: u64,
    /// Lines that are no JSON-RPC.
    pub unparsed: u64,
    /// Messages of a batch beyond the limit of one batch.
    pub batched_over: u64,
    /// Events that could not be redacted, and so not be kept.
    pub unredactable: u64,
    /// Events for which the spool had no room.
    pub dropped: u64,
    /// Events that the service refused.
    pub refused: u64,
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
            batched_over: self.batched_over.saturating_sub(before.batched_over),
            unredactable: self.unredactable.saturating_sub(before.unredactable),
            dropped: self.dropped.saturating_sub(before.dropped),
            refused: self.refused.saturating_sub(before.refused),
            broken_bytes: self.broken_bytes.saturating_sub(before.broken_bytes),
        }
    }

    /// Writes it into an event: a notice of drops is of kind `integrity`.
    pub fn write(self, event: &mut Event) {
        event.text("kind", "integrity").text("method", "drop_notice").text("status", "ok");
        event.count("messages_unobserved", self.unobserved);
        event.count("messages_too_long", self.too_long);
        event.count("lines_unparsed", self.unparsed);
        event.count("messages_beyond_batch", self.batched_over);
        event.count("events_unredactable", self.unredactable);
        event.count("events_dropped", self.dropped);
        event.count("events_refused", self.refused);
        event.count("spool_broken_bytes", self.broken_bytes);
    }
}

/// Makes notices outside the observer.
#[derive(Debug)]
pub struct Notices {
    identity: Identity,
    identifiers: Identifiers,
    redactor: Redactor,
}

impl Notices {
    /// In the name of this run, whose ids come from `secret`.
    pub fn new(given: Given, secret: &[u8], session: &str, redactor: Redactor) -> Notices {
        let own = [secret, b"/notices"].concat();
        Notices { identity: Identity::new(given, session), identifiers: Identifiers::new(&own), redactor }
    }

    /// A notice of what is missing of this run; none if it cannot be redacted.
    pub fn of_this_run(&mut self, missing: Missing, at: Moment) -> Option<String> {
        let mut event = Event::new(&self.identifiers.next(at.wall_us), at.wall_us);
        self.identity.write(&mut event);
        missing.write(&mut event);
        redacted(&self.redactor, event.finish())
    }

    /// A notice of what is missing of the ended run `run`. Who was at its two ends is not known here, and this run's are
    /// not put in their place.
    pub fn of_ended_run(&mut self, missing: Missing, run: &str, at: Moment) -> Option<String> {
        let mut event = Event::new(&self.identifiers.next(at.wall_us), at.wall_us);
        event.text("observer", "tap").text("of_run", run);
        missing.write(&mut event);
        redacted(&self.redactor, event.finish())
    }
}
