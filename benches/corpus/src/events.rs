//! Sessions merged in time order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io::{self, Write};

use crate::event::{Decision, Kind};
use crate::options::{Error, Options};
use crate::random::Random;
use crate::season::Arrivals;
use crate::session::{Identity, Scratch, Session};
use crate::summary::Summary;
use crate::world::World;

/// What is known of one event besides its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Microseconds since 1970 in UTC; the line has its milliseconds.
    pub time_us: u64,
    pub kind: Kind,
    pub decision: Decision,
    /// Whose token the event is sent with, from 0.
    pub tenant: u32,
    /// The arguments carry something that looks like a secret.
    pub secret: bool,
    /// The first event of its session.
    pub opens_session: bool,
    /// Index in [`World::agents`].
    pub(crate) agent: u32,
}

/// A session and when its next event happens.
#[derive(Debug)]
struct Scheduled {
    time_us: u64,
    number: u64,
    session: Box<Session>,
}

impl Ord for Scheduled {
    /// Reversed: the heap's greatest is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time_us, other.number).cmp(&(self.time_us, self.number))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

/// The events of a corpus in time order. As an iterator: one line a time, without the line end.
#[derive(Debug)]
pub struct Events {
    world: World,
    shares: Shares,
    arrivals: std::iter::Peekable<Arrivals>,
    running: BinaryHeap<Scheduled>,
    scratch: Scratch,
    seed: u64,
    secret_ppm: u64,
    end_us: u64,
}

impl Events {
    /// # Errors
    /// When the options describe no corpus: [`Options::check`].
    pub fn new(options: &Options) -> Result<Self, Error> {
        options.check()?;
        Ok(Self::in_world(options, World::numbered(options)))
    }

    /// `options` must have passed [`Options::check`]; its numbers of people and things are those of `world`.
    pub(crate) fn in_world(options: &Options, world: World) -> Self {
        let Options { seed, start_us, span_us, season, events, .. } = *options;
        let sessions = options.session_count();
        Self {
            world,
            shares: Shares::new(events, sessions, seed),
            arrivals: Arrivals::new(season, start_us, span_us, sessions, seed).peekable(),
            running: BinaryHeap::new(),
            scratch: Scratch::default(),
            seed,
            secret_ppm: options.secret_ppm(),
            end_us: start_us + span_us,
        }
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// Appends the next event's line, with its line end, to `out`; `None` after the last.
    pub fn push_next(&mut self, out: &mut String) -> Option<Facts> {
        self.admit();
        let mut earliest = self.running.peek_mut()?;
        let Scheduled { time_us, session, .. } = &mut *earliest;
        let facts = session.step(&self.world, *time_us, self.secret_ppm, &mut self.scratch, out);
        // An equal part of the time left is the most a gap may be: all events fit before the end.
        match (self.end_us - 1 - *time_us).checked_div(session.remaining()) {
            Some(gap_us_max) => *time_us += session.gap_us().min(gap_us_max),
            None => drop(PeekMut::pop(earliest)),
        }
        Some(facts)
    }

    /// Starts the sessions that come before the next event of those that run.
    fn admit(&mut self) {
        while let Some(&start_us) = self.arrivals.peek() {
            if self.running.peek().is_some_and(|earliest| earliest.time_us < start_us) {
                return;
            }
            self.arrivals.next();
            let (number, events) = self.shares.next_share();
            if events > 0 {
                let session = Box::new(open(&self.world, self.seed, number, events, start_us));
                self.running.push(Scheduled { time_us: start_us, number, session });
            }
        }
    }
}

fn open(world: &World, seed: u64, number: u64, events: u64, start_us: u64) -> Session {
    let mut random = Random::stream(seed, 4, number);
    let (person, agent) = world.pair(number, &mut random);
    let identity = Identity::new(world, person, agent, start_us, &mut random);
    Session::new(world, identity, events, random)
}

impl Iterator for Events {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut line = String::with_capacity(1_024);
        self.push_next(&mut line)?;
        line.pop();
        Some(line)
    }
}

/// Divides the events among the sessions: heavy-tailed sizes whose sum is exact.
#[derive(Debug)]
struct Shares {
    weights: Random,
    events: u64,
    weight_total: u64,
    weight_before: u64,
    given: u64,
    next: u64,
}

const SHARE_WEIGHT_MEDIAN: u64 = 1_000;

impl Shares {
    fn new(events: u64, sessions: u64, seed: u64) -> Self {
        let weights = Random::stream(seed, 5, 0);
        let mut ahead = weights.clone();
        let weight_total = (0..sessions).map(|_| ahead.spread(SHARE_WEIGHT_MEDIAN)).sum();
        Self { weights, events, weight_total, weight_before: 0, given: 0, next: 0 }
    }

    /// (number of the session, its events); to be called once a session.
    fn next_share(&mut self) -> (u64, u64) {
        self.weight_before += self.weights.spread(SHARE_WEIGHT_MEDIAN);
        let upto =
            u128::from(self.events) * u128::from(self.weight_before) / u128::from(self.weight_total.max(1));
        let share = upto as u64 - self.given;
        self.given = upto as u64;
        self.next += 1;
        (self.next - 1, share)
    }
}

/// Bytes gathered before a write.
const BUFFER_BYTES: usize = 256 * 1024;

/// Writes the corpus as NDJSON.
///
/// # Errors
/// `InvalidInput` when the options describe no corpus, else what `output` says.
pub fn generate(options: &Options, output: &mut dyn Write) -> io::Result<Summary> {
    let mut events = Events::new(options)?;
    let (mut buffer, mut summary) = (String::with_capacity(BUFFER_BYTES + 16 * 1024), Summary::default());
    summary.tenants.resize(options.tenants as usize, 0);
    loop {
        let before = buffer.len();
        let Some(facts) = events.push_next(&mut buffer) else { break };
        summary.count(&facts, buffer.len() - before);
        if buffer.len() >= BUFFER_BYTES {
            output.write_all(buffer.as_bytes())?;
            buffer.clear();
        }
    }
    output.write_all(buffer.as_bytes())?;
    output.flush()?;
    Ok(summary)
}
