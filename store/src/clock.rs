//! Time, passed in: the one place of the workspace that reads the machine's clocks.

use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where the store's time comes from.
pub trait Clock: Debug + Send + Sync {
    /// Microseconds since 1970-01-01T00:00:00Z, as the machine believes.
    fn wall_us(&self) -> i64;
    /// Microseconds since some fixed moment; never steps back.
    fn monotonic_us(&self) -> i64;
}

/// The machine's clocks, optionally sped up for soak tests.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    started_wall_us: i64,
    speed: i64,
}

impl SystemClock {
    /// Real time.
    pub fn new() -> SystemClock {
        SystemClock::faster(1)
    }

    /// Time that passes `speed` times as fast from now on.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn faster(speed: u32) -> SystemClock {
        SystemClock {
            started: Instant::now(),
            started_wall_us: machine_wall_us(),
            speed: i64::from(speed.max(1)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn machine_wall_us() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn wall_us(&self) -> i64 {
        if self.speed == 1 {
            return machine_wall_us();
        }
        self.started_wall_us + self.monotonic_us()
    }

    fn monotonic_us(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX).saturating_mul(self.speed)
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    wall_us: AtomicI64,
    monotonic_us: AtomicI64,
    step: Mutex<()>,
}

impl ManualClock {
    /// Starts at a wall time.
    pub fn new(wall_us: i64) -> ManualClock {
        ManualClock {
            wall_us: AtomicI64::new(wall_us),
            monotonic_us: AtomicI64::new(0),
            step: Mutex::new(()),
        }
    }

    /// Lets time pass.
    pub fn advance(&self, us: i64) {
        let _guard = self.step.lock();
        self.wall_us.fetch_add(us, Ordering::SeqCst);
        self.monotonic_us.fetch_add(us, Ordering::SeqCst);
    }

    /// Steps the wall clock alone, as an operator or a bad time server would.
    pub fn step_wall(&self, us: i64) {
        self.wall_us.fetch_add(us, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_us(&self) -> i64 {
        self.wall_us.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> i64 {
        self.monotonic_us.load(Ordering::SeqCst)
    }
}
