//! A bounded copy of what passes, for the observer.
//!
//! The copying path calls [`Watch::see`], which never waits: where the observer is behind its bound, the bytes are
//! counted instead of copied, and the observer is told how many messages it missed as soon as there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::clock::Moment;

/// Who sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The client, to the server.
    Client,
    /// The server, to the client.
    Server,
}

impl Side {
    /// The one it sends to.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    /// As events say it.
    pub fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }
}

/// Bytes that were passed on and not copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gap {
    /// How many.
    pub bytes: u64,
    /// Lines that end in them.
    pub lines: u64,
    /// Whether the last of them ends a line.
    pub ends_line: bool,
}

impl Gap {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.lines = self.lines.saturating_add(memchr::memchr_iter(b'\n', bytes).count() as u64);
        self.ends_line = bytes.last() == Some(&b'\n');
    }
}

/// What the observer gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes that passed.
    Bytes(Vec<u8>),
    /// Bytes that it missed.
    Gap(Gap),
    /// Nothing more comes from this side.
    End,
}

/// A piece, who sent it and when.
#[derive(Debug)]
pub struct Seen {
    /// Who sent it.
    pub side: Side,
    /// When it was read.
    pub at: Moment,
    /// What.
    pub piece: Piece,
}

/// The copying path's end.
#[derive(Debug)]
pub struct Watch {
    side: Side,
    pieces: SyncSender<Seen>,
    queued_bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    gap: Gap,
}

/// The observer's end.
#[derive(Debug)]
pub struct Watched {
    pieces: Receiver<Seen>,
    queued_bytes: Arc<AtomicUsize>,
}

/// Two watches, for what the client and what the server sends, and the observer's end of both.
pub fn watch(bytes_max: usize, pieces_max: usize) -> (Watch, Watch, Watched) {
    let (sender, pieces) = sync_channel(pieces_max);
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let side = |side| Watch {
        side,
        pieces: sender.clone(),
        queued_bytes: Arc::clone(&queued_bytes),
        bytes_max,
        gap: Gap::default(),
    };
    (side(Side::Client), side(Side::Server), Watched { pieces, queued_bytes: Arc::clone(&queued_bytes) })
}

impl Watch {
    /// Copies `bytes`, or counts them.
    pub fn see(&mut self, at: Moment, bytes: &[u8]) {
        if !self.tell_gap(at) {
            self.gap.add(bytes);
            return;
        }
        let queued = self.queued_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        let fits = queued.saturating_add(bytes.len()) <= self.bytes_max;
        if !fits || !self.send(at, Piece::Bytes(bytes.to_vec())) {
            self.queued_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
            self.gap.add(bytes);
        }
    }

    /// Tells of what was missed so far; whether nothing is left to tell.
    fn tell_gap(&mut self, at: Moment) -> bool {
        if self.gap.bytes > 0 && self.send(at, Piece::Gap(self.gap)) {
            self.gap = Gap::default();
        }
        self.gap.bytes == 0
    }

    fn send(&self, at: Moment, piece: Piece) -> bool {
        match self.pieces.try_send(Seen { side: self.side, at, piece }) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Says that nothing more comes. This may wait: nothing is copied any more.
    pub fn end(self, at: Moment) {
        let gap = (self.gap.bytes > 0).then_some(Piece::Gap(self.gap));
        for piece in gap.into_iter().chain([Piece::End]) {
            // An observer that is gone needs no end.
            if self.pieces.send(Seen { side: self.side, at, piece }).is_err() {
                return;
            }
        }
    }
}

impl Watched {
    /// The next piece that is there already.
    pub fn next_now(&self) -> Option<Seen> {
        self.pieces.try_recv().ok().inspect(|seen| self.took(seen))
    }

    /// The next piece.
    ///
    /// # Errors
    /// If it does not come in time, or never because both sides have ended.
    pub fn next_within(&self, patience: Duration) -> Result<Seen, RecvTimeoutError> {
        self.pieces.recv_timeout(patience).inspect(|seen| self.took(seen))
    }

    fn took(&self, seen: &Seen) {
        if let Piece::Bytes(bytes) = &seen.piece {
            self.queued_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_bytes_are_counted_and_told_before_what_follows() {
        let (mut client, server, watched) = watch(10, 100);
        let at = Moment::default();
        client.see(at, b"12345\n");
        client.see(at, b"67\n89");
        client.see(at, b"0\n12\n");
        client.see(at, b"3");
        let gap = |bytes, lines, ends_line| Piece::Gap(Gap { bytes, lines, ends_line });
        assert_eq!(watched.next_now().unwrap().piece, Piece::Bytes(b"12345\n".to_vec()));
        assert_eq!(watched.next_now().unwrap().piece, gap(5, 1, false));
        assert_eq!(watched.next_now().unwrap().piece, gap(5, 2, true));
        assert_eq!(watched.next_now().unwrap().piece, Piece::Bytes(b"3".to_vec()));
        client.see(at, b"0123456789abc");
        client.end(at);
        drop(server);
        assert_eq!(watched.next_now().unwrap().piece, gap(13, 0, false));
        assert_eq!(watched.next_now().unwrap().piece, Piece::End);
        assert!(watched.next_now().is_none());
    }

    #[test]
    fn a_full_queue_and_an_observer_that_is_gone_hold_nobody_up() {
        let (mut client, _server, watched) = watch(1 << 20, 2);
        for _ in 0..10 {
            client.see(Moment::default(), b"a\n");
        }
        assert_eq!(client.gap.lines, 8);
        drop(watched);
        client.see(Moment::default(), b"a\n");
        client.end(Moment::default());
    }
}
