//! The observer: copies in, redacted events into the spool. It runs beside the copying path and never holds it up.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use redact::Redactor;
use schemas::limits::{TAP_GATHER_MS, TAP_NOTICE_INTERVAL_US};

use crate::clock::{Clock, Moment};
use crate::event::Event;
use crate::identity::Given;
use crate::join::{Join, Out};
use crate::lines::Lines;
use crate::notice::Missing;
use crate::redacted::redacted;
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
    keeper: Keeper,
    clock: Clock,
    /// What is on record as missing, drops apart, which the spool counts.
    told: Missing,
    told_us: i64,
    /// Microseconds between heartbeats, if there are any.
    heartbeat_us: Option<i64>,
    beat_us: i64,
}

/// Redacts events as soon as they are made, and gives them to the spool: however many a line makes, one is held.
#[derive(Debug)]
struct Keeper {
    redactor: Redactor,
    spool: Spool,
    unredactable: u64,
}

impl Out for Keeper {
    fn event(&mut self, event: String) {
        match redacted(&self.redactor, event) {
            Some(event) => drop(self.spool.append(&event)),
            None => self.unredactable += 1,
        }
    }
}

/// What an observer made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Made {
    /// Events.
    pub events: u64,
    /// Those of them that could not be redacted.
    pub unredactable: u64,
}

impl Observer {
    /// Of one connection; ids of its events come from `secret`.
    pub fn new(
        given: Given,
        secret: &[u8],
        session: &str,
        redactor: Redactor,
        spool: Spool,
        clock: Clock,
    ) -> Observer {
        Observer {
            join: Join::new(given, secret, session),
            client: Sent::default(),
            server: Sent::default(),
            keeper: Keeper { redactor, spool, unredactable: 0 },
            clock,
            told: Missing::default(),
            told_us: 0,
            heartbeat_us: None,
            beat_us: 0,
        }
    }

    /// Says every `seconds` that it is alive; never for 0.
    pub fn with_heartbeat(self, seconds: u32) -> Observer {
        let heartbeat_us = (seconds > 0).then(|| i64::from(seconds) * 1_000_000);
        Observer { heartbeat_us, ..self }
    }

    /// Observes what is watched since `started` until both sides have ended; what it made.
    pub fn run(mut self, watched: &Watched, started: Moment) -> Made {
        self.session("start", started);
        let patience_us = TAP_NOTICE_INTERVAL_US.min(self.heartbeat_us.unwrap_or(i64::MAX));
        let patience = Duration::from_micros(patience_us.unsigned_abs());
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
            self.beat();
            // While messages flow it need not be woken for each.
            std::thread::sleep(Duration::from_millis(TAP_GATHER_MS));
        }
        let at = self.clock.now();
        self.join.end(at, &mut self.keeper);
        self.session("end", at);
        self.notice(true);
        Made { events: self.join.made, unredactable: self.keeper.unredactable }
    }

    fn take(&mut self, seen: Seen) {
        let Observer { join, client, server, keeper, .. } = self;
        let sent = if seen.side == Side::Client { client } else { server };
        let Sent { messages, bytes, lines } = sent;
        let mut line = |line: &[u8]| {
            *messages += 1;
            join.line(seen.side, line, seen.at, keeper);
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
    }

    /// Puts a beginning or an end of the session on record.
    fn session(&mut self, method: &str, at: Moment) {
        let mut event = self.join.event(Side::Client, at);
        event.text("kind", "session").text("method", method).text("status", "ok");
        if method == "end" {
            self.count(&mut event, at);
        }
        self.join.emit(event, &mut self.keeper);
    }

    /// Says that it is alive, now and then: who hears nothing of a session can tell that from nothing to hear. It bears a
    /// number like every event, so what was lost before it shows.
    fn beat(&mut self) {
        let at = self.clock.now();
        let is_due = self.heartbeat_us.is_some_and(|every_us| at.monotonic_us - self.beat_us >= every_us);
        if !is_due {
            return;
        }
        self.beat_us = at.monotonic_us;
        let mut event = self.join.event(Side::Client, at);
        event.text("kind", "integrity").text("method", "heartbeat").text("status", "ok");
        self.count(&mut event, at);
        self.join.emit(event, &mut self.keeper);
    }

    /// Writes what has passed so far.
    fn count(&self, event: &mut Event, at: Moment) {
        event.count("messages_from_client", self.client.messages);
        event.count("messages_from_server", self.server.messages);
        event.count("bytes_from_client", self.client.bytes);
        event.count("bytes_from_server", self.server.bytes);
        event.count("duration_us", u64::try_from(at.monotonic_us).unwrap_or(0));
    }

    fn missing(&self) -> Missing {
        let (client, server) = (self.client.lines.missed, self.server.lines.missed);
        Missing {
            unobserved: client.unobserved + server.unobserved,
            too_long: client.too_long + server.too_long,
            unparsed: self.join.unparsed,
            batched_over: self.join.batched_over,
            unredactable: self.keeper.unredactable,
            ..Missing::default()
        }
    }

    /// Puts on record what is missing and not yet told of: now and then, and at the end, for which there is always room.
    fn notice(&mut self, is_end: bool) {
        let at = self.clock.now();
        if !is_end
            && (at.monotonic_us - self.told_us < TAP_NOTICE_INTERVAL_US || !self.keeper.spool.has_room())
        {
            return;
        }
        self.told_us = at.monotonic_us;
        let now = self.missing();
        let dropped = self.keeper.spool.dropped_unreported();
        let missing = Missing { dropped, ..now.since(self.told) };
        if missing == Missing::default() {
            return;
        }
        let mut event = self.join.event(Side::Client, at);
        missing.write(&mut event);
        let mut made = Vec::with_capacity(1);
        self.join.emit(event, &mut made);
        for event in made {
            let event = redacted(&self.keeper.redactor, event);
            if event.is_some_and(|event| self.keeper.spool.append_notice(&event, dropped)) {
                self.told = now;
            } else {
                self.join.take_back();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::watch;

    /// What is in the spool once `lines` were seen from the server and the connection has ended.
    fn spooled(lines: &[&str]) -> String {
        let home = tempfile::tempdir().unwrap();
        let options =
            crate::spool::Options { home: home.path().into(), bytes_max: 1 << 24, file_bytes: 1 << 20 };
        let spool = Spool::create(options, "run").unwrap();
        let given = Given { transport: "stdio", ..Given::default() };
        let clock = Clock::start();
        let redactor = Redactor::new([7; 32]);
        let observer = Observer::new(given, b"secret", "s", redactor, spool.clone(), clock);
        let (mut client, mut server, watched) = watch(1 << 20, 100);
        client.see(clock.now(), b"{\"id\":1,\"method\":\"initialize\"}\n");
        for line in lines {
            server.see(clock.now(), format!("{line}\n").as_bytes());
        }
        client.end(clock.now());
        server.end(clock.now());
        observer.run(&watched, clock.now());
        let batch = spool.reader().next(None).unwrap();
        String::from_utf8(batch.body()).unwrap()
    }

    #[test]
    fn it_says_that_it_is_alive_while_nothing_passes() {
        let home = tempfile::tempdir().unwrap();
        let options =
            crate::spool::Options { home: home.path().into(), bytes_max: 1 << 24, file_bytes: 1 << 20 };
        let spool = Spool::create(options, "run").unwrap();
        let clock = Clock::start();
        let given = Given { transport: "stdio", ..Given::default() };
        let observer = Observer::new(given, b"secret", "s", Redactor::new([7; 32]), spool.clone(), clock);
        let observer = Observer { heartbeat_us: Some(1_000), ..observer };
        let (mut client, server, watched) = watch(1 << 20, 100);
        client.see(clock.now(), b"{\"id\":1,\"method\":\"ping\"}\n");
        let observing = std::thread::spawn(move || observer.run(&watched, clock.now()));
        let beats = loop {
            let text = String::from_utf8(spool.reader().next(None).unwrap().body()).unwrap();
            let beats: Vec<String> =
                text.lines().filter(|line| line.contains("heartbeat")).map(str::to_string).collect();
            if beats.len() >= 2 {
                break beats;
            }
            std::thread::yield_now();
        };
        client.end(clock.now());
        server.end(clock.now());
        observing.join().unwrap();
        // The first event is that the session began.
        assert!(beats[0].contains("\"source_seq\":2"), "{beats:?}");
        assert!(beats[1].contains("\"source_seq\":3"), "{beats:?}");
        assert!(beats[1].contains("\"messages_from_client\":1"), "{beats:?}");
    }

    #[test]
    fn a_secret_in_the_name_of_a_server_is_in_no_event_and_in_no_notice() {
        let secret = format!("ghp_{}", "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xYz123");
        let hello = format!(r#"{{"id":1,"result":{{"serverInfo":{{"name":"key {secret}"}}}}}}"#);
        let text = spooled(&[&hello, "no JSON"]);
        assert!(text.contains("\"lines_unparsed\":1"), "{text}");
        assert!(!text.contains(&secret), "{text}");
        let notice = text.lines().find(|line| line.contains("drop_notice")).unwrap();
        assert!(notice.contains("redacted_by_tap"), "{notice}");
    }
}
