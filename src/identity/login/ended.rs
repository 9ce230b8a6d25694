//! Sessions that ended without anyone's asking for it are on record as those that someone did.

use std::sync::Arc;
use std::time::Duration;

use schemas::limits;

use super::Login;
use crate::identity::{Identity, Journal, Note};

/// Time between two looks for sessions that are over.
const SWEEP: Duration = Duration::from_millis(limits::LOGIN_SESSIONS_SWEEP_MS);

/// Ends sessions when they are over, though nobody comes with their cookies again, and records it, as long as `people` is there.
pub(in crate::identity) fn record_ends(people: &Arc<Login>, journal: Journal) {
    let people = Arc::downgrade(people);
    tokio::spawn(async move {
        let mut looks = tokio::time::interval(SWEEP);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Some(people) = people.upgrade() else { return };
            people.sessions.end_those_over(people.now());
            people.note_ended(&journal);
        }
    });
}

impl Identity {
    /// Records the sessions that have ended since this was last done.
    pub(in crate::identity) fn note_ended_sessions(&self) {
        if let Some(people) = &self.people {
            people.note_ended(&self.journal);
        }
    }
}

impl Login {
    fn note_ended(&self, journal: &Journal) {
        for (person, why) in self.sessions.take_ended() {
            journal.note(Note {
                role: self.oidc.role_of(&person.groups),
                tenant: person.tenant,
                principal: person.id,
                address: None,
                door: "http",
                action: "logout",
                code: None,
                detail: format!("the session ended: {}", why.text()),
            });
        }
    }
}
