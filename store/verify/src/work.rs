//! A queue of work over scoped threads whose results arrive in order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};

use crate::Error;

/// Name of the worker threads; a panic in one of them is a finding, so nobody need print it.
pub const THREAD: &str = "verify-worker";

/// Results that may wait per worker for an earlier one, so that memory stays bounded.
const AHEAD_PER_JOB: usize = 2;

/// Runs `work` over `items` on `jobs` threads and gives each result to `each`, in the order of `items`, on this
/// thread. A panic of `work` arrives as an `Err` with its message.
///
/// # Errors
/// [`Error::Thread`] when no thread can be started.
pub fn ordered<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut each: impl FnMut(&T, Result<R, String>),
) -> Result<(), Error> {
    let jobs = jobs.clamp(1, items.len().max(1));
    let window = jobs * AHEAD_PER_JOB;
    // (next item to take, results delivered so far)
    let state = Mutex::new((0usize, 0usize));
    let delivered_more = Condvar::new();
    let (sender, receiver) = mpsc::sync_channel(window);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            let (state, delivered_more, work) = (&state, &delivered_more, &work);
            let worker = move || loop {
                let mut guard = state.lock().unwrap_or_else(PoisonError::into_inner);
                while guard.0 >= guard.1.saturating_add(window) {
                    guard = delivered_more.wait(guard).unwrap_or_else(PoisonError::into_inner);
                }
                let at = guard.0;
                guard.0 += 1;
                drop(guard);
                let Some(item) = items.get(at) else { return };
                if sender.send((at, caught(|| work(item)))).is_err() {
                    return;
                }
            };
            let builder = std::thread::Builder::new().name(THREAD.to_string());
            if let Err(error) = builder.spawn_scoped(scope, worker) {
                // Lets the workers that did start run out of items.
                *state.lock().unwrap_or_else(PoisonError::into_inner) = (items.len(), items.len());
                delivered_more.notify_all();
                return Err(Error::Thread(error));
            }
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut delivered = 0;
        for (at, result) in receiver {
            waiting.insert(at, result);
            while let Some(result) = waiting.remove(&delivered) {
                if let Some(item) = items.get(delivered) {
                    each(item, result);
                }
                delivered += 1;
            }
            state.lock().unwrap_or_else(PoisonError::into_inner).1 = delivered;
            delivered_more.notify_all();
        }
        Ok(())
    })
}

/// Runs `work`; a panic in it becomes its message. For code that parses hostile bytes.
pub fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_arrive_in_order_whatever_the_threads_do() {
        for jobs in [1, 2, 7] {
            let items: Vec<u64> = (0..500).collect();
            let mut seen = Vec::new();
            let work = |item: &u64| {
                if item.is_multiple_of(7) {
                    std::thread::yield_now();
                }
                item * 2
            };
            ordered(jobs, &items, work, |item, result| seen.push((*item, result.unwrap()))).unwrap();
            assert_eq!(seen, items.iter().map(|item| (*item, item * 2)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_is_a_result() {
        let mut failed = Vec::new();
        let work = |item: &u64| assert!(*item != 3, "three");
        ordered(2, &[1, 2, 3, 4], work, |item, result| {
            if let Err(message) = result {
                failed.push((*item, message));
            }
        })
        .unwrap();
        assert_eq!(failed, [(3, "three".to_string())]);
    }
}
