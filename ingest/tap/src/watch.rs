//! A bounded copy of what passes, for the observer.
//!
//! The copying path calls [`Watch::see`], which never waits: where the observer is behind its bound, the bytes are
//! counted instead of copied, and the observer is told how many messages it missed as soon as there is room.
//!
//! Nor does it wake the observer, which would be a system call and perhaps an interrupt of another core for every message (that it does not is
//! not to be seen in the latencies of `docs/performance.md`, where waking the copying threads themselves is what counts):
//! while messages pass, the observer looks for them every few milliseconds by itself. It is woken where a quarter of
//! the bound is full, and by the first message after a second without one.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use schemas::limits::{TAP_NAP_MS, TAP_WAKEFUL_MS};

use crate::clock::Moment;

const NAP: Duration = Duration::from_millis(TAP_NAP_MS);
const NAPS: u32 = (TAP_WAKEFUL_MS / TAP_NAP_MS) as u32;

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
    queue: Arc<Queue>,
    bytes_max: usize,
    gap: Gap,
}

/// What both ends know beside the pieces.
#[derive(Debug, Default)]
struct Queue {
    bytes: AtomicUsize,
    /// Whether the observer sleeps until it is woken.
    is_asleep: AtomicBool,
    observer: OnceLock<Thread>,
}

impl Queue {
    fn wake(&self) {
        if let Some(observer) = self.observer.get() {
            observer.unpark();
        }
    }

    /// Called after a piece was put in. Between the two fences (see [`Watched::next_within`]) either the observer sees the piece, or this
    /// sees that it sleeps.
    fn wake_sleeping(&self) {
        fence(Ordering::SeqCst);
        if self.is_asleep.swap(false, Ordering::Relaxed) {
            self.wake();
        }
    }
}

/// The observer's end.
#[derive(Debug)]
pub struct Watched {
    pieces: Receiver<Seen>,
    queue: Arc<Queue>,
    /// Naps that are left before it sleeps until it is woken.
    naps: Cell<u32>,
}

/// Two watches, for what the client and what the server sends, and the observer's end of both.
pub fn watch(bytes_max: usize, pieces_max: usize) -> (Watch, Watch, Watched) {
    let (sender, pieces) = sync_channel(pieces_max);
    let queue = Arc::new(Queue::default());
    let side = |side| Watch {
        side,
        pieces: sender.clone(),
        queue: Arc::clone(&queue),
        bytes_max,
        gap: Gap::default(),
    };
    (
        side(Side::Client),
        side(Side::Server),
        Watched { pieces, queue: Arc::clone(&queue), naps: Cell::new(NAPS) },
    )
}

impl Watch {
    /// Copies `bytes`, or counts them.
    pub fn see(&mut self, at: Moment, bytes: &[u8]) {
        if !self.tell_gap(at) {
            self.gap.add(bytes);
            return;
        }
        let before = self.queue.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        let after = before.saturating_add(bytes.len());
        if after > self.bytes_max || !self.send(at, Piece::Bytes(bytes.to_vec())) {
            self.queue.bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
            self.gap.add(bytes);
        } else if before < self.bytes_max / 4 && after >= self.bytes_max / 4 {
            self.queue.wake();
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
            Ok(()) => {
                self.queue.wake_sleeping();
                true
            }
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
            self.queue.wake_sleeping();
        }
    }
}

impl Drop for Watch {
    /// An observer that sleeps learns that nobody is left.
    fn drop(&mut self) {
        self.queue.wake_sleeping();
    }
}

impl Watched {
    /// The next piece that is there already.
    pub fn next_now(&self) -> Option<Seen> {
        self.pieces.try_recv().ok().inspect(|seen| self.took(seen))
    }

    /// The next piece. Asked by one thread, which it is that is woken.
    ///
    /// # Errors
    /// If it does not come in about that time (less where the observer was woken for nothing, as when one of two sides ends), or
    /// never because both sides have ended.
    pub fn next_within(&self, patience: Duration) -> Result<Seen, RecvTimeoutError> {
        self.queue.observer.get_or_init(std::thread::current);
        let mut left = patience;
        while self.naps.get() > 0 {
            if let Some(decided) = self.next_if_decided() {
                return decided;
            }
            if left.is_zero() {
                return Err(RecvTimeoutError::Timeout);
            }
            self.naps.set(self.naps.get() - 1);
            std::thread::park_timeout(NAP.min(left));
            left = left.saturating_sub(NAP);
        }
        self.queue.is_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let decided = self.next_if_decided().or_else(|| {
            std::thread::park_timeout(left);
            self.next_if_decided()
        });
        self.queue.is_asleep.store(false, Ordering::Relaxed);
        decided.unwrap_or(Err(RecvTimeoutError::Timeout))
    }

    /// The next piece, or that there will be none; nothing where that is open.
    fn next_if_decided(&self) -> Option<Result<Seen, RecvTimeoutError>> {
        match self.pieces.try_recv() {
            Ok(seen) => {
                self.took(&seen);
                Some(Ok(seen))
            }
            Err(TryRecvError::Disconnected) => Some(Err(RecvTimeoutError::Disconnected)),
            Err(TryRecvError::Empty) => None,
        }
    }

    fn took(&self, seen: &Seen) {
        self.naps.set(NAPS);
        if let Piece::Bytes(bytes) = &seen.piece {
            self.queue.bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
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

    #[test]
    fn an_observer_that_sleeps_is_woken_by_the_first_piece_and_by_the_end() {
        let (mut client, server, watched) = watch(1 << 20, 100);
        let patience = Duration::from_secs(600);
        let next = move |watched: &Watched| loop {
            match watched.next_within(patience) {
                Err(RecvTimeoutError::Timeout) => {}
                decided => return decided.map(|seen| seen.piece),
            }
        };
        let observer = std::thread::spawn(move || [next(&watched), next(&watched)]);
        wait_until_asleep(&client);
        client.see(Moment::default(), b"a\n");
        wait_until_asleep(&client);
        drop(server);
        drop(client);
        let found = observer.join().unwrap();
        assert_eq!(found, [Ok(Piece::Bytes(b"a\n".to_vec())), Err(RecvTimeoutError::Disconnected)]);
    }

    #[test]
    fn an_observer_that_naps_finds_what_comes_unwoken_and_gives_up_in_time() {
        let (mut client, _server, watched) = watch(1 << 20, 100);
        assert_eq!(watched.next_within(Duration::from_millis(12)).unwrap_err(), RecvTimeoutError::Timeout);
        std::thread::scope(|scope| {
            let observer =
                scope.spawn(move || watched.next_within(Duration::from_secs(600)).map(|seen| seen.piece));
            client.see(Moment::default(), b"a\n");
            assert_eq!(observer.join().unwrap(), Ok(Piece::Bytes(b"a\n".to_vec())));
        });
    }

    fn wait_until_asleep(watch: &Watch) {
        while !watch.queue.is_asleep.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    }
}
