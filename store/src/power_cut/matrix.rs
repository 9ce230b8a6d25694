//! The fault matrix: every operation of every phase fails in every way that it can, once and for good, and again amid what
//! comes after it; what each left is verified as it is, and then there is one check of everything.
//!
//! ```text
//! phase ─► fault at its N-th operation ─► the process ends ─┬─► live: what the kernel shows ─────┬─► check
//!          (each shape; once, or it lasts)                   └─► durable: the power goes ─────────┤
//!                                                               what follows, a fault in it, ends ┴─► live, durable ─► check
//! ```
//! Phases: recording from the first start on (append, sign, seal, publish), rotation, backup, restore, adoption.
//! By default every n-th fault is taken, from a start that the seed says (`TACHO_SEED`), and for each one second fault at any
//! operation; and every lost rename that comes once. With `TACHO_FULL=1` all are, and second faults after each that came once, on either image, at every operation in
//! turn, one a case; with `TACHO_FULL=all`, which takes days, at
//! every one. How many of how many is printed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::disk::{Act, Shape, Span};
use super::home::Home;
use super::random::Random;
use crate::clock::{Clock as _, SystemClock};
use crate::error::Result;

mod copies;
mod phases;

/// Of the operations that follow a fault so many fail in a full run, for one case and one image.
const SECOND_FULL: u64 = 1;
/// Threads of a full run.
const WORKERS: usize = 2;
/// Failed cases after which a run gives up: it has said enough.
const FAILED_ENOUGH: usize = 12;

/// Something that writes.
struct Phase {
    name: &'static str,
    /// What there is before it.
    before: Home,
    /// The process that the fault comes into.
    act: fn(&mut Home) -> Result<()>,
    /// What comes after that process: a second fault comes into this.
    again: fn(&mut Home) -> Result<()>,
    /// The check of everything, on what a process or a power cut left; the number says where the fault was.
    check: fn(&Phase, &Home, u64),
    /// First faults by default.
    sample: usize,
}

/// One fault.
#[derive(Debug, Clone, Copy)]
struct Case {
    at: u64,
    shape: Shape,
    span: Span,
}

/// What was run.
#[derive(Debug, Default)]
struct Counts {
    first: AtomicUsize,
    second: AtomicUsize,
    second_of: AtomicUsize,
    checks: AtomicUsize,
}

fn is_full() -> bool {
    std::env::var("TACHO_FULL").is_ok_and(|full| full == "1" || full == "all")
}

fn is_everything() -> bool {
    std::env::var("TACHO_FULL").is_ok_and(|full| full == "all")
}

/// A file that is made ahead saves time and nothing else: where there is no room for it the store goes on without one, and the
/// next that it does is to remove what there is of it.
fn may_go_on(home: &Home, at: u64, shape: Shape) -> bool {
    let trace = home.data.take_trace();
    let next = trace.get(usize::try_from(at).unwrap());
    let is_removed = |what: &String| what.starts_with("remove ") && what.contains("/spare-");
    matches!(shape, Shape::NoRoom | Shape::Short) && next.is_some_and(is_removed)
}

fn seed() -> u64 {
    std::env::var("TACHO_SEED").map_or(0, |text| text.parse().expect("TACHO_SEED is a number"))
}

/// Every way in which these operations can fail.
fn cases(acts: &[Act]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (at, act) in (1..).zip(acts) {
        for shape in Shape::ALL.into_iter().filter(|shape| shape.fits(*act)) {
            cases.push(Case { at, shape, span: Span::Once });
            if !shape.is_kill() {
                cases.push(Case { at, shape, span: Span::Lasts });
            }
        }
    }
    cases
}

impl Phase {
    fn check(&self, home: &Home, number: u64, counts: &Counts) {
        counts.checks.fetch_add(1, Ordering::Relaxed);
        home.verify_left();
        (self.check)(self, home, number);
    }

    /// The phase with a fault in it; what the process left.
    fn into(&self, case: Case) -> Home {
        let mut home = self.before.ended();
        home.data.fail(case.at, case.shape, case.span);
        let done = (self.act)(&mut home);
        assert!(home.data.has_failed(), "the operation is not reached");
        assert!(done.is_err() || may_go_on(&home, case.at, case.shape), "the fault was swallowed");
        home.ended()
    }

    /// One fault and what it left.
    fn first(&self, case: Case, counts: &Counts) -> Home {
        let left = self.into(case);
        self.check(&left, case.at, counts);
        self.check(&left.cut(case.at), case.at, counts);
        counts.first.fetch_add(1, Ordering::Relaxed);
        left
    }

    fn case(&self, case: Case, turn: u64, counts: &Counts) {
        let number = case.at;
        let left = self.first(case, counts);
        // The next process does not know for how long the disk failed.
        if case.span == Span::Lasts && is_full() {
            return;
        }
        let mut random = Random::new(number << 8 | case.shape as u64);
        for image in [left.ended(), left.cut(number + 1)] {
            self.twice(&image, turn, &mut random, counts);
        }
    }

    /// What follows a fault, with a fault in it.
    fn twice(&self, image: &Home, turn: u64, random: &mut Random, counts: &Counts) {
        let mut whole = image.ended();
        // It may be refused for good: an unfinished restore, say. The check says what must be.
        let undisturbed = (self.again)(&mut whole).is_ok();
        let acts = whole.data.take_acts();
        counts.second_of.fetch_add(acts.len(), Ordering::Relaxed);
        if acts.is_empty() {
            return;
        }
        let step = match () {
            () if is_everything() => 1,
            () if is_full() => (acts.len() as u64).div_ceil(SECOND_FULL),
            () => acts.len() as u64,
        };
        let start = if is_full() { turn % step } else { random.below(step) };
        for (at, act) in (0..).zip(&acts).filter(|(at, _)| at % step == start) {
            let fits: Vec<Shape> = Shape::ALL.into_iter().filter(|shape| shape.fits(*act)).collect();
            let shape = fits[usize::try_from(random.below(fits.len() as u64)).unwrap()];
            let span = if random.one_in(2) { Span::Once } else { Span::Lasts };
            let mut home = image.ended();
            home.data.fail(at + 1, shape, span);
            let done = (self.again)(&mut home);
            assert!(
                done.is_err() || !undisturbed || !home.data.has_failed() || may_go_on(&home, at + 1, shape),
                "{shape:?} at {at} was swallowed the second time"
            );
            let left = home.ended();
            self.check(&left, at, counts);
            self.check(&left.cut(at), at, counts);
            counts.second.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of it, or a part by the rule that the module states.
    fn run(&self) {
        let clock = SystemClock::new();
        let counts = Counts::default();
        let mut whole = self.before.ended();
        (self.act)(&mut whole).unwrap();
        let acts = whole.data.take_acts();
        self.check(&whole.ended(), 0, &counts);
        let all = cases(&acts);
        let step = if is_full() { 1 } else { all.len().div_ceil(self.sample) };
        let start = usize::try_from(seed()).unwrap() % step;
        let is_chosen = |at: usize| at % step == start;
        // Few, and nothing else tells whether what a start relies on is written again: each of them, and nothing after it.
        let is_rare = |case: &Case| case.shape == Shape::LostRename && case.span == Span::Once;
        let cases = all.iter().copied().enumerate();
        let chosen: Vec<(usize, Case)> = cases.filter(|(at, case)| is_chosen(*at) || is_rare(case)).collect();
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            loop {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let Some((at, case)) = chosen.get(turn) else { return };
                let run = || match is_chosen(*at) {
                    true => self.case(*case, turn as u64, &counts),
                    false => drop(self.first(*case, &counts)),
                };
                if failed.lock().unwrap().len() >= FAILED_ENOUGH {
                    return;
                }
                if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                    let why = panic.downcast_ref::<String>().cloned();
                    let why = why.or_else(|| panic.downcast_ref::<&str>().map(|why| (*why).to_string()));
                    let why: String = why.unwrap_or_default().chars().take(600).collect();
                    let failure = format!("{case:?}: {why}");
                    eprintln!("{}: {failure}", self.name);
                    failed.lock().unwrap().push(failure);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..if is_full() { WORKERS } else { 1 } {
                scope.spawn(work);
            }
        });
        let failed = failed.into_inner().unwrap();
        eprintln!(
            "{}: {} of {} faults at {} operations, {} of {} second faults, {} checks, {} failed, in {} ms (seed {})",
            self.name,
            counts.first.into_inner(),
            all.len(),
            acts.len(),
            counts.second.into_inner(),
            counts.second_of.into_inner(),
            counts.checks.into_inner(),
            failed.len(),
            clock.monotonic_us() / 1000,
            seed()
        );
        assert!(failed.is_empty(), "{}: {failed:#?}", self.name);
    }
}
