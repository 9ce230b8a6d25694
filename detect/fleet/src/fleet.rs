//! The stream itself: sessions by quarters of an hour, then events by time, then records by receipt.
//!
//! A quarter's sessions are made whole, their later events wait in a heap. Once the quarter is over nothing earlier can come, so that
//! what lies before its end is numbered by its source and given its receipt; what was received before that end is logged. Memory is
//! what waits: the sessions under way and what is late.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use crate::address::address;
use crate::calendar::{HOUR, MINUTE, SECOND, start};
use crate::delay::receipt;
use crate::event::Event;
use crate::injection::flow::{Change, add, change, changes};
use crate::injection::{Injection, Target, plan};
use crate::options::Options;
use crate::random::{Purpose, Random};
use crate::rate::sessions_an_hour;
use crate::session::{Draft, Visit, Writer, is_first};
use crate::world::{Class, Name, Principal, World};

/// What is made at once.
const QUARTER: i64 = 15 * MINUTE;

/// One record of the log.
#[derive(Debug)]
pub struct Logged {
    /// 0, 1, 2, ...
    pub index: i64,
    pub event: Box<Event>,
    /// Place in [`Fleet::plan`] of what caused or changed it; the record itself does not say so.
    pub injection: Option<u32>,
}

/// What came of an injection so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// Log indices of its events, ascending.
    pub indices: Vec<i64>,
    /// Events that it kept out of the log.
    pub withheld: u64,
}

#[derive(Debug)]
struct Waiting {
    at_us: i64,
    order: u64,
    draft: Draft,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    /// Of a heap the greatest comes first: the earliest.
    fn cmp(&self, other: &Waiting) -> Ordering {
        (other.at_us, other.order).cmp(&(self.at_us, self.order))
    }
}

/// What changes of a principal.
#[derive(Debug)]
struct Life {
    random: Random,
    /// Local day and hour, and how busy they are.
    day: i64,
    hour: i64,
    drift: f64,
    busy: f64,
    away_until: i64,
    entered_us: Option<i64>,
}

/// The fleet: an iterator over its log. The same options give the same records on every machine.
#[derive(Debug)]
pub struct Fleet {
    options: Options,
    world: Arc<World>,
    plan: Arc<[Injection]>,
    truth: Vec<Truth>,
    lives: Vec<Life>,
    tenant: Random,
    /// How busy the whole fleet is, in logarithms.
    common: f64,
    delays: Random,
    sequences: Vec<i64>,
    order: u64,
    now_us: i64,
    by_time: BinaryHeap<Waiting>,
    by_receipt: BinaryHeap<Waiting>,
    ready: VecDeque<Logged>,
    next_index: i64,
}

impl Fleet {
    pub fn new(options: &Options) -> Fleet {
        let (seed, days) = (options.seed, options.days);
        let world = Arc::new(World::new(seed, options.principals, days));
        let plan = if options.is_benign { Vec::new() } else { plan(seed, &world, days) };
        let life = |at: usize| Life {
            random: Random::stream(seed, Purpose::Principal, at as u64),
            day: i64::MIN,
            hour: i64::MIN,
            drift: 0.0,
            busy: 1.0,
            away_until: i64::MIN,
            entered_us: None,
        };
        Fleet {
            options: options.clone(),
            truth: vec![Truth::default(); plan.len()],
            lives: (0..world.principals.len()).map(life).collect(),
            tenant: Random::stream(seed, Purpose::Tenant, 0),
            common: 0.0,
            delays: Random::stream(seed, Purpose::Delay, u64::MAX),
            sequences: vec![0; world.sources.len()],
            order: 0,
            now_us: start(0),
            by_time: BinaryHeap::new(),
            by_receipt: BinaryHeap::new(),
            ready: VecDeque::new(),
            next_index: 0,
            plan: plan.into(),
            world,
        }
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// What goes wrong, in the order of its beginning.
    pub fn plan(&self) -> &[Injection] {
        &self.plan
    }

    /// What came of each injection of the plan so far.
    pub fn truth(&self) -> &[Truth] {
        &self.truth
    }

    /// Events that wait in memory.
    pub fn waiting(&self) -> usize {
        self.by_time.len() + self.by_receipt.len() + self.ready.len()
    }

    fn end_us(&self) -> i64 {
        start(self.options.days)
    }

    /// Makes the next quarter of an hour.
    fn step(&mut self) {
        let (from_us, to_us) = (self.now_us, self.now_us + QUARTER);
        self.now_us = to_us;
        if from_us.rem_euclid(HOUR) == 0 {
            self.common = 0.8 * self.common + 0.6 * 0.15 * self.tenant.normal();
        }
        let mut drafts = Vec::new();
        let common = libm::exp(self.common - 0.5 * 0.15 * 0.15);
        for at in 0..self.lives.len() {
            self.live(at, (from_us, to_us), common, &mut drafts);
        }
        self.go_wrong((from_us, to_us), &mut drafts);
        for draft in drafts {
            self.order += 1;
            self.by_time.push(Waiting { at_us: draft.event.time_us, order: self.order, draft });
        }
        self.number(to_us);
        let upto_us = if to_us >= self.end_us() { i64::MAX } else { to_us };
        while self.by_receipt.peek().is_some_and(|next| next.at_us < upto_us) {
            let Some(Waiting { draft, .. }) = self.by_receipt.pop() else { return };
            let index = self.next_index;
            self.next_index += 1;
            if let Some(truth) = draft.injection.and_then(|at| self.truth.get_mut(at as usize)) {
                truth.indices.push(index);
            }
            self.ready.push_back(Logged { index, event: draft.event, injection: draft.injection });
        }
    }

    /// The sessions that a principal begins in a quarter.
    fn live(&mut self, at: usize, (from_us, to_us): (i64, i64), common: f64, out: &mut Vec<Draft>) {
        let world = Arc::clone(&self.world);
        let (Some(principal), Some(life)) = (world.principals.get(at), self.lives.get_mut(at)) else {
            return;
        };
        if from_us < principal.from_us || from_us >= principal.until_us {
            return;
        }
        life.turn(principal, from_us);
        if from_us < life.away_until {
            return;
        }
        let seed = self.options.seed;
        if principal.is_machine() && (from_us / QUARTER + at as i64) % 4 == 0 {
            let visit = visit(seed, &world, at, principal, from_us, &mut life.random);
            let mut writer = Writer { world: &world, random: &mut life.random, out, injection: None };
            writer.enter(&visit, from_us + (at as i64 * 7 % 600) * SECOND, false);
        }
        for start_us in life.starts(principal, (from_us, to_us), common) {
            let visit = visit(seed, &world, at, principal, start_us, &mut life.random);
            let is_login = !principal.is_machine() && is_first(life.entered_us, start_us);
            life.entered_us = Some(start_us);
            let mut writer = Writer { world: &world, random: &mut life.random, out, injection: None };
            writer.session(&visit, start_us, is_login);
        }
    }

    /// What is added by injections in a quarter.
    fn go_wrong(&mut self, (from_us, to_us): (i64, i64), out: &mut Vec<Draft>) {
        let (world, plan) = (Arc::clone(&self.world), Arc::clone(&self.plan));
        let quarter = from_us.div_euclid(QUARTER).unsigned_abs();
        for (place, one) in plan.iter().enumerate() {
            let is_now = one.start_us < to_us && one.end_us > from_us;
            if !is_now || changes(one) {
                continue;
            }
            let seed = self.options.seed;
            // Where it has no principal of its own, somebody's agent is the one that notices.
            let mut who = Random::stream(seed, Purpose::Injection, place as u64);
            let desk = world.principals.iter().filter(|one| one.class == Class::Desk).count();
            let at = match one.target {
                Target::Principal(at) => at,
                Target::Tool(_) | Target::Source(_) | Target::Address(_) => who.below(desk),
            };
            let Some(principal) = world.principals.get(at) else { continue };
            let mut random = Random::stream(seed, Purpose::Injection, (place as u64 + 1) << 40 | quarter);
            let mut visit = visit(seed, &world, at, principal, one.start_us.max(from_us), &mut random);
            let mut writer =
                Writer { world: &world, random: &mut random, out, injection: Some(place as u32) };
            if one.is_long() {
                let more = (one.times_at(from_us) - 1.0) * sessions_an_hour(principal, from_us) / 4.0;
                for _ in 0..writer.random.poisson(more) {
                    let start_us = from_us + writer.random.below(QUARTER as usize) as i64;
                    visit.session_id = session_id(writer.random);
                    writer.session(&visit, start_us, false);
                }
            } else {
                visit.session_id = session_id(&mut who);
                add(&mut writer, one, &visit, (from_us, to_us));
            }
        }
    }

    /// Gives events before `to_us` their place at their source and their receipt.
    fn number(&mut self, to_us: i64) {
        let end_us = self.end_us();
        let plan = Arc::clone(&self.plan);
        let now: Vec<(u32, &Injection)> = (0_u32..)
            .zip(plan.iter())
            .filter(|(_, one)| changes(one) && one.start_us < to_us && one.end_us > to_us - QUARTER)
            .collect();
        while self.by_time.peek().is_some_and(|next| next.at_us < to_us) {
            let Some(Waiting { mut draft, .. }) = self.by_time.pop() else { return };
            if draft.event.time_us >= end_us {
                continue;
            }
            if self.is_withheld(&mut draft, &now) {
                continue;
            }
            let source = self.world.sources.iter().position(|name| *name == draft.event.source).unwrap_or(0);
            if let Some(sequence) = self.sequences.get_mut(source) {
                *sequence += 1;
                draft.event.source_seq = Some(*sequence);
            }
            let at_us = receipt(self.options.seed, source, draft.event.time_us, &mut self.delays);
            draft.event.ingest_time_us = at_us;
            self.order += 1;
            self.by_receipt.push(Waiting { at_us, order: self.order, draft });
        }
    }

    fn is_withheld(&mut self, draft: &mut Draft, now: &[(u32, &Injection)]) -> bool {
        for (place, one) in now {
            match change(&mut draft.event, one, &self.world, &mut self.delays) {
                Change::Nothing => {}
                Change::Changed => draft.injection = draft.injection.or(Some(*place)),
                // What goes wrong beside a silence takes another way, or it would not be known whether it could be seen.
                Change::Withheld if draft.injection.is_some() => {
                    let way = self.world.sources.iter().find(|name| **name != draft.event.source);
                    draft.event.source = way.cloned().unwrap_or_default();
                }
                Change::Withheld => {
                    if let Some(truth) = self.truth.get_mut(*place as usize) {
                        truth.withheld += 1;
                    }
                    return true;
                }
            }
        }
        false
    }
}

impl Iterator for Fleet {
    type Item = Logged;

    fn next(&mut self) -> Option<Logged> {
        while self.ready.is_empty() && self.now_us < self.end_us() {
            self.step();
        }
        self.ready.pop_front()
    }
}

impl Life {
    /// A new day and a new hour have a mood of their own; yesterday's carries on in part. People are ill and go on holiday.
    fn turn(&mut self, principal: &Principal, now_us: i64) {
        let local = principal.zone.local(now_us);
        let (day, hour) = (principal.zone.day(now_us), local.div_euclid(HOUR));
        if day > self.day {
            self.day = day;
            let sigma = if principal.is_machine() { 0.2 } else { 0.4 };
            self.drift = 0.5 * self.drift + 0.866 * sigma * self.random.normal();
            let away = match self.random.below(1_000) {
                _ if principal.is_machine() => 0,
                0..=14 => 1,
                15..=44 if day.rem_euclid(7) == 0 => 7,
                _ => 0,
            };
            if away > 0 {
                self.away_until = now_us + away * 24 * HOUR;
            }
        }
        if hour > self.hour {
            self.hour = hour;
            let sigma = if principal.is_machine() { 0.2 } else { 0.4 };
            self.busy = libm::exp(self.drift - 0.5 * sigma * sigma) * self.random.mood(sigma);
        }
    }

    /// When sessions begin within a quarter.
    fn starts(&mut self, principal: &Principal, (from_us, to_us): (i64, i64), common: f64) -> Vec<i64> {
        if principal.class == Class::Timetable {
            let first =
                (from_us - principal.phase).div_euclid(principal.every) * principal.every + principal.phase;
            let next = if first < from_us { first + principal.every } else { first };
            let jitter = (self.random.exponential(4.0) * SECOND as f64) as i64;
            return if next < to_us { vec![next + jitter] } else { Vec::new() };
        }
        let mean = sessions_an_hour(principal, from_us) / 4.0 * self.busy * common;
        let count = self.random.poisson(mean);
        (0..count).map(|_| from_us + self.random.below((to_us - from_us) as usize) as i64).collect()
    }
}

fn session_id(random: &mut Random) -> Name {
    Arc::from(format!("session-{:016x}", random.next()))
}

fn visit<'a>(
    seed: u64,
    world: &World,
    at: usize,
    principal: &'a Principal,
    time_us: i64,
    random: &mut Random,
) -> Visit<'a> {
    let (source_ip, country) = address(seed, at, principal, time_us, random);
    let workflow =
        principal.workflows.get(random.rank(principal.workflows.len().max(1))).copied().unwrap_or(0);
    debug_assert!(workflow < world.workflows.len());
    Visit { principal, session_id: session_id(random), workflow, source_ip: Arc::from(source_ip), country }
}
