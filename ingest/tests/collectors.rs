//! What all collectors owe, asked of each; and collectors in a process of their own that is killed at random: each line, each
//! record is in the log once, and the files verify after every kill. The whole program is tried in the same way by its own suites.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "tests look at the clock to know when to give up")]

#[cfg(feature = "kafka")]
#[path = "../../tests/suites/kafka/broker.rs"]
mod broker;
#[path = "collectors/child.rs"]
mod child;
#[path = "collectors/conformance.rs"]
mod conformance;
#[path = "collectors/forget.rs"]
mod forget;
#[cfg(feature = "kafka")]
#[path = "collectors/kafka.rs"]
mod kafka;
#[path = "collectors/log.rs"]
mod log;
#[cfg(feature = "kafka")]
#[path = "collectors/secured.rs"]
mod secured;
#[path = "collectors/tail.rs"]
mod tail;

/// Whether everything is to be run, not the seeded subset.
fn is_full() -> bool {
    std::env::var_os("TACHO_FULL").is_some()
}

/// Held by tests that collect in this process: its counters are everybody's.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    // A test that failed has told so itself.
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A small deterministic generator.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
