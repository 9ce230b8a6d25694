//! Power cuts at any operation, by seed: a few lives of one store, each ended by a cut, a kill or a disk that fails.
//! After each cut the power goes again, at a random operation of the recovery.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use schemas::Stream;
use schemas::origin::ROOT_TENANT;

use super::disk::{Shape, SimDisk, Span};
use super::draft::Event;
use super::model::Model;
use super::random::Random;
use super::rig::{LOGS, Rig};
use crate::clock::{Clock as _, ManualClock, SystemClock};
use crate::error::Result;

/// Seeds run by default, and with `TACHO_FULL=1`.
const SEEDS: u64 = 60;
const SEEDS_FULL: u64 = 1000;
/// Power cuts in a full run, at least.
const CUTS_MIN_FULL: u64 = 1000;
/// Steps of one life, if nothing ends it before.
const STEPS_MAX: u64 = 250;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The machine loses power.
    Cut,
    /// The process ends; the kernel keeps what it has.
    Kill,
    /// The disk says no and the store stops; the kernel forgets what it could not sync.
    Fault,
}

/// How often each thing happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    cuts: u64,
    kills: u64,
    faults: u64,
    /// Cuts amid a recovery from a cut.
    second_cuts: u64,
}

impl Counts {
    fn count(&mut self, end: End) {
        *match end {
            End::Cut => &mut self.cuts,
            End::Kill => &mut self.kills,
            End::Fault => &mut self.faults,
        } += 1;
    }

    fn add(&mut self, other: Counts) {
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.faults += other.faults;
        self.second_cuts += other.second_cuts;
    }
}

/// One run, and what it did.
#[derive(Debug)]
struct Run {
    random: Random,
    events: u64,
    counts: Counts,
    trace: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Run {
        Run { random: Random::new(seed), events: 0, counts: Counts::default(), trace: Vec::new() }
    }

    /// Runs to the end; panics where a promise is broken. The last life ends in a cut, and so does the recovery from it.
    fn run(&mut self) {
        let clock = Arc::new(ManualClock::new(1_795_262_400_000_000));
        let (mut disk, mut model) = (SimDisk::new(), Model::default());
        let lives = self.random.below(3);
        for life in 0..=lives {
            let any = [End::Cut, End::Cut, End::Kill, End::Fault];
            let end =
                if life == lives { End::Cut } else { any[usize::try_from(self.random.below(4)).unwrap()] };
            self.life(&disk, &clock, &mut model, end);
            self.trace.extend(disk.take_trace());
            self.trace.push(format!("{end:?}"));
            self.counts.count(end);
            disk = match end {
                End::Cut => self.cut_twice(&disk, &clock, &model),
                End::Kill | End::Fault => disk.process_end(),
            };
        }
        let mut rig = Rig::open(disk, clock, model).unwrap();
        rig.check();
        self.drive(&mut rig, 10).unwrap();
        let last = rig.check_and_close();
        self.trace.extend(last.take_trace());
    }

    /// The power goes, and again at any operation of the recovery; what is left on the platter.
    fn cut_twice(&mut self, disk: &SimDisk, clock: &Arc<ManualClock>, model: &Model) -> SimDisk {
        let cut = self.random.next();
        // The same cut twice: once to see how long its recovery is.
        let whole = disk.cut(cut);
        Rig::open(whole.clone(), Arc::clone(clock), model.clone()).unwrap().check();
        let operations = whole.operations();
        assert!(operations > 0, "a recovery that writes nothing cannot be cut");
        let recovering = disk.cut(cut);
        let shape = if self.random.one_in(2) { Shape::KillAfter } else { Shape::Kill };
        let at = 1 + self.random.below(operations);
        recovering.fail(at, shape, Span::Lasts);
        let opened = Rig::open(recovering.clone(), Arc::clone(clock), model.clone());
        assert!(recovering.has_failed(), "operation {at} of {operations} of the recovery was not reached");
        // Only a copy that can be made again may fail unnoticed.
        drop(opened);
        self.counts.second_cuts += 1;
        self.trace.extend(recovering.take_trace());
        self.trace.push(format!("second cut at {at} of {operations}"));
        recovering.cut(self.random.next())
    }

    /// Opens and works until the disk fails.
    fn life(&mut self, disk: &SimDisk, clock: &Arc<ManualClock>, model: &mut Model, end: End) {
        let operations = if self.random.one_in(4) { 40 } else { 600 };
        let any = match end {
            End::Fault => &Shape::ALL[..5],
            End::Cut | End::Kill => &Shape::ALL[5..],
        };
        let shape = any[usize::try_from(self.random.below(any.len() as u64)).unwrap()];
        let span = if self.random.one_in(2) { Span::Once } else { Span::Lasts };
        disk.fail(1 + self.random.below(operations), shape, span);
        let failure = match Rig::open(disk.clone(), Arc::clone(clock), model.clone()) {
            Ok(mut rig) => {
                if !disk.has_failed() {
                    rig.check();
                }
                let failure = self.drive(&mut rig, STEPS_MAX).err();
                *model = rig.model;
                failure
            }
            Err(error) => Some(error),
        };
        if let Some(error) = failure.filter(|_| !disk.has_failed()) {
            panic!("an error without a fault: {error}");
        }
    }

    fn drive(&mut self, rig: &mut Rig, steps: u64) -> Result<()> {
        for _ in 0..steps {
            self.step(rig)?;
        }
        Ok(())
    }

    fn step(&mut self, rig: &mut Rig) -> Result<()> {
        let (tenant, stream) = LOGS[usize::try_from(self.random.below(LOGS.len() as u64)).unwrap()];
        let choice = self.random.below(100);
        self.trace.push(format!("step {choice} {tenant} {stream}"));
        match choice {
            0..28 => self.append(rig, tenant, stream),
            28..36 => {
                rig.open_log(tenant, stream)?;
                rig.pull(tenant, stream, 1 + self.random.below(5))
            }
            36..58 => rig.commit().map(|_| ()),
            58..70 => rig.sign(self.random.one_in(2)),
            70..76 => rig.rounds(self.random.one_in(2)),
            76..82 => rig.seal(tenant, stream).map(|_| ()),
            82..85 => rig.seal(ROOT_TENANT, Stream::Root).map(|_| ()),
            85..91 => rig.tick(),
            91..95 => {
                rig.clock.advance(i64::try_from(self.random.below(20_000_000)).unwrap());
                Ok(())
            }
            95 => {
                rig.clock.advance(i64::try_from(self.random.below(7_200_000_000)).unwrap());
                Ok(())
            }
            96 => {
                rig.clock.step_wall(i64::try_from(self.random.below(7_200_000_000)).unwrap() - 3_600_000_000);
                Ok(())
            }
            97 => self.grow(rig, tenant, stream),
            98 => {
                rig.finish()?;
                *rig = Rig::open(rig.disk.clone(), Arc::clone(&rig.clock), std::mem::take(&mut rig.model))?;
                Ok(())
            }
            _ => rig.seal_all(),
        }
    }

    /// New events and, now and then, old ones again.
    fn append(&mut self, rig: &mut Rig, tenant: &str, stream: Stream) -> Result<()> {
        rig.open_log(tenant, stream)?;
        let rows = if self.random.one_in(10) { 40 + self.random.below(60) } else { 1 + self.random.below(6) };
        let mut events: Vec<Event> = (0..rows).map(|_| self.event(stream)).collect();
        let known = rig.model.log(&(tenant.to_string(), stream));
        if self.random.one_in(4) && !known.acknowledged.is_empty() {
            let at = usize::try_from(self.random.below(known.acknowledged.len() as u64)).unwrap();
            events.extend(known.acknowledged.values().nth(at).cloned());
        }
        if self.random.one_in(4) {
            events.extend(known.in_flight.first().cloned());
        }
        rig.append(tenant, stream, &events)
    }

    fn event(&mut self, stream: Stream) -> Event {
        self.events += 1;
        Event::new(self.events, stream)
    }

    /// Takes a log past a full tile, sealed in two parts.
    fn grow(&mut self, rig: &mut Rig, tenant: &str, stream: Stream) -> Result<()> {
        rig.open_log(tenant, stream)?;
        for _ in 0..4 {
            let events: Vec<Event> = (0..90).map(|_| self.event(stream)).collect();
            rig.append(tenant, stream, &events)?;
            rig.commit()?;
        }
        rig.sign(true)?;
        rig.seal_all()
    }
}

fn seed_of_environment() -> Option<u64> {
    std::env::var("TACHO_SEED").ok().map(|text| text.parse().expect("TACHO_SEED is a number"))
}

#[test]
fn a_seed_names_one_run() {
    for seed in 0..6 {
        let (mut first, mut second) = (Run::new(seed), Run::new(seed));
        first.run();
        second.run();
        assert_eq!(first.counts, second.counts);
        let differs = first.trace.iter().zip(&second.trace).position(|(a, b)| a != b);
        if let Some(at) = differs {
            panic!("seed {seed}, operation {at}: {} and {}", first.trace[at], second.trace[at]);
        }
        assert_eq!(first.trace.len(), second.trace.len());
    }
}

#[test]
fn nothing_promised_is_lost_in_a_power_cut() {
    let full = std::env::var("TACHO_FULL").is_ok_and(|full| full == "1") && seed_of_environment().is_none();
    let seeds = match seed_of_environment() {
        Some(seed) => seed..seed + 1,
        None if full => 0..SEEDS_FULL,
        None => 0..SEEDS,
    };
    let clock = SystemClock::new();
    let mut failed = Vec::new();
    let mut counts = Counts::default();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let run = || {
            let mut run = Run::new(seed);
            run.run();
            run.counts
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(of_run) => counts.add(of_run),
            Err(_) => {
                eprintln!(
                    "seed {seed} failed: TACHO_SEED={seed} cargo test --release -p tachograph-store power_cut::cuts"
                );
                failed.push(seed);
            }
        }
    }
    let Counts { cuts, kills, faults, second_cuts } = counts;
    eprintln!(
        "{count} seeds, {cuts} power cuts, {second_cuts} second cuts during recovery, {kills} kills, {faults} disk faults in {} ms",
        clock.monotonic_us() / 1000
    );
    assert!(failed.is_empty(), "{} of {count} seeds failed: {failed:?}", failed.len());
    assert!(second_cuts > 0 && cuts >= count, "{counts:?} in {count} seeds");
    if full {
        assert!(cuts >= CUTS_MIN_FULL, "{cuts} power cuts");
    }
}
