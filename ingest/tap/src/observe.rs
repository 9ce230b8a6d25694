//! The observer: copies in, redacted events into the spool. It runs beside the copying path and never holds it up.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use redact::Redactor;
use schemas::limits::{TAP_GATHER_MS, TAP_NOTICE_INTERVAL_US};

use crate::clock::{Clock, Moment};
use crate::identity::Given;
use crate::join::Join;
use crate::lines::Lines;
use crate::notice::Missing;
use crate::spool::Spool;
use crate::watch::{Piece, Seen, Side, Watched};

/// Counts of one side.
#[derive(Debug, Default)]
struct Sent {
    messages: u64,
    bytes: u64,
    lines: Lines,
}

/// Reads what passes.
#[derive(Debug)]
pub struct Observer {
    join: Join,
    client: Sent,
    server: Sent,
    redactor: Redactor,
    spool: Spool,
    clock: Clock,
    unredactable: u64,
    /// What is on record as missing, drops apart, which the spool counts.
    told: Missing,
    told_us: i64,
    events: Vec<String>,
}

impl Observer {
    /// Of one connection.
    pub fn new(
        given: Given,
        run: &[u8],
        session: &str,
        redactor: Redactor,
        spool: Spool,
        clock: Clock,
    ) -> Observer {
        Observer {
            join: Join::new(given, run, session),
            client: Sent::default(),
            server: Sent::default(),
            redactor,
            spool,
            clock,
            unredactable: 0,
            told: Missing::default(),
            told_us: 0,
            events: Vec::new(),
        }
    }

    /// Observes what is watched since `started` until both sides have ended; how many events it made.
    pub fn run(mut self, watched: &Watched, started: Moment) -> u64 {
        self.session("start", started);
        let patience = Duration::from_micros(TAP_NOTICE_INTERVAL_US.unsigned_abs());
        loop {
            match watched.next_within(patience) {
                Ok(seen) => self.take(seen),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Some(seen) = watched.next_now() {
                self.take(seen);
            }
            self.notice(false);
            // While messages flow it need not be woken for each.
            std::thread::sleep(Duration::from_millis(TAP_GATHER_MS));
        }
        let at = self.clock.now();
        self.join.end(at, &mut self.events);
        self.session("end", at);
        self.notice(true);
        self.join.made
    }

    fn take(&mut self, seen: Seen) {
        let Observer { join, client, server, events, .. } = self;
        let sent = if seen.side == Side::Client { client } else { server };
        let Sent { messages, bytes, lines } = sent;
        let mut line = |line: &[u8]| {
            *messages += 1;
            join.line(seen.side, line, seen.at, events);
        };
        match seen.piece {
            Piece::Bytes(piece) => {
                *bytes += piece.len() as u64;
                lines.push(&piece, line);
            }
            Piece::Gap(gap) => {
                *bytes += gap.bytes;
                lines.gap(gap);
            }
            Piece::End => lines.end(&mut line),
        }
        self.keep();
    }

    /// Puts a beginning or an end of the session on record.
    fn session(&mut self, method: &str, at: Moment) {
        let mut event = self.join.event(Side::Client, at);
        event.text("kind", "session").text("method", method).text("status", "ok");
        if method == "end" {
            event.count("messages_from_client", self.client.messages);
            event.count("messages_from_server", self.server.messages);
            event.count("bytes_from_client", self.client.bytes);
            event.count("bytes_from_server", self.server.bytes);
            event.count("duration_us", u64::try_from(at.monotonic_us).unwrap_or(0));
        }
        self.join.emit(event, &mut self.events);
        self.keep();
    }

    /// Redacts what was made, and gives it to the spool.
    fn keep(&mut self) {
        for event in self.events.drain(..) {
            match redacted(&self.redactor, event) {
                Some(event) => drop(self.spool.append(&event)),
                None => self.unredactable += 1,
            }
        }
    }

    fn missing(&self) -> Missing {
        let (client, server) = (self.client.lines.missed, self.server.lines.missed);
        Missing {
            unobserved: client.unobserved + server.unobserved,
            too_long: client.too_long + server.too_long,
            unparsed: self.join.unparsed,
            unredactable: self.unredactable,
            ..Missing::default()
        }
    }

    /// Puts on record what is missing and not yet told of: now and then, and at the end, for which there is always room.
    fn notice(&mut self, is_end: bool) {
        let at = self.clock.now();
        if !is_end && (at.monotonic_us - self.told_us < TAP_NOTICE_INTERVAL_US || !self.spool.has_room()) {
            return;
        }
        self.told_us = at.monotonic_us;
        let now = self.missing();
        let dropped = self.spool.dropped_unreported();
        let missing = Missing { dropped, ..now.since(self.told) };
        if missing == Missing::default() {
            return;
        }
        let mut event = self.join.event(Side::Client, at);
        missing.write(&mut event);
        let mut made = Vec::with_capacity(1);
        self.join.emit(event, &mut made);
        for event in made {
            if self.spool.append_notice(&event, dropped) {
                self.told = now;
            } else {
                self.join.made -= 1;
            }
        }
    }
}

/// The event without secrets, and with a note of what was removed; none if it cannot be redacted.
fn redacted(redactor: &Redactor, event: String) -> Option<String> {
    if redactor.is_clean(event.as_bytes()) {
        return Some(event);
    }
    let (text, removed) = {
        let redacted = redactor.redact_json(&event).ok()?;
        (redacted.text.into_owned(), redacted.removed.items())
    };
    if removed.is_empty() {
        return Some(text);
    }
    let mut text = text;
    text.pop().filter(|last| *last == '}')?;
    text.push_str(",\"redacted_by_tap\":");
    text.push_str(&serde_json::to_string(&removed).ok()?);
    text.push('}');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_reach_the_spool_and_what_was_removed_is_said() {
        let redactor = Redactor::new([7; 32]);
        let secret = format!("ghp_{}", "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xYz123");
        let event = format!(r#"{{"kind":"call","arguments":{{"note":"use {secret}"}}}}"#);
        let text = redacted(&redactor, event).unwrap();
        assert!(!text.contains(&secret), "{text}");
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(parsed["redacted_by_tap"][0].as_str().unwrap().starts_with("github_token:1"), "{text}");
        let clean = r#"{"kind":"call"}"#.to_string();
        assert_eq!(redacted(&redactor, clean.clone()), Some(clean));
    }
}
