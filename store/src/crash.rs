//! Named places in the commit path at which a test build kills itself.
//!
//! `TACHO_CRASH_AT=<place>:<n>` makes the n-th passing of that place end the process with SIGKILL, as a power
//! button would, but keeps what the kernel has. `TACHO_SLOW_AT=<place>:<ms>` makes every passing of that place take so
//! long, as a slow disk would. Without the feature `crash-points` this is nothing.

/// Every place, so that a test can go through them.
pub const PLACES: [&str; 13] = [
    "group-built",
    "group-half-written",
    "group-written",
    "group-synced",
    "notes-signed",
    "notes-shown",
    "seal-segment-written",
    "seal-files-synced",
    "seal-tiles-written",
    "seal-synced",
    "manifest-half-written",
    "manifest-written",
    "manifest-published",
];

/// Those of a sink's delivery.
pub const SINK_PLACES: [&str; 3] = ["sink-batch-made", "sink-delivered", "sink-settled"];

/// Those of a succession, in its order; those of a sealed log's own are passed between.
pub const SUCCESSION_PLACES: [&str; 8] = [
    "generation-written",
    "succession-begun",
    "succession-old-told",
    "succession-old-closed",
    "succession-wal-retired",
    "succession-new-begun",
    "succession-carried",
    "succession-new-sealed",
];

/// Passes a place.
#[cfg(all(not(feature = "crash-points"), not(test)))]
#[inline(always)]
pub fn point(_place: &'static str) {}

/// Passes a place; in a unit test on the thread that asked for it, the n-th time ends it as a crash would: nothing after it is
/// done.
#[cfg(all(not(feature = "crash-points"), test))]
pub fn point(place: &'static str) {
    tests::passed(place);
}

#[cfg(all(not(feature = "crash-points"), test))]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        static AT: Cell<Option<(&'static str, u64)>> = const { Cell::new(None) };
    }

    /// What a thread that crashes at a place panics with.
    #[derive(Debug)]
    pub(crate) struct Crashed;

    /// Crashes this thread the `count`-th time it passes `place`.
    pub(crate) fn crash_at(place: Option<(&'static str, u64)>) {
        AT.set(place);
    }

    pub(super) fn passed(place: &'static str) {
        match AT.get() {
            Some((at, 1)) if at == place => {
                AT.set(None);
                std::panic::panic_any(Crashed);
            }
            Some((at, count)) if at == place => AT.set(Some((at, count - 1))),
            _ => {}
        }
    }
}

/// Passes a place.
#[cfg(feature = "crash-points")]
pub fn point(place: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static SLOW: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    debug_assert!(
        PLACES.iter().chain(&SINK_PLACES).chain(&SUCCESSION_PLACES).any(|known| *known == place),
        "{place} is not listed"
    );
    let setting = |name| {
        let text = std::env::var(name).ok()?;
        let (place, number) = text.rsplit_once(':')?;
        Some((place.to_string(), number.parse().ok()?))
    };
    if let Some((slow, ms)) = SLOW.get_or_init(|| setting("TACHO_SLOW_AT"))
        && slow == place
    {
        std::thread::sleep(std::time::Duration::from_millis(*ms));
    }
    let wanted = WANTED.get_or_init(|| setting("TACHO_CRASH_AT"));
    if let Some((wanted, count)) = wanted
        && wanted == place
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        // Nothing may run after this: no destructor, no flush.
        let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        assert!(killed.is_ok(), "a process may end itself");
        loop {
            std::thread::park();
        }
    }
}
