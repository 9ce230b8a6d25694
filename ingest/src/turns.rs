//! Turns at the parsers: the tenants that wait are served one after another, so that one with a long queue delays another by one
//! body and not by its queue.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// As many turns at once as there are parsers; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    free: usize,
    /// Only tenants that wait; each body that waits holds its bytes in [`crate::Admission`], which bounds them.
    queues: HashMap<String, VecDeque<oneshot::Sender<Turn>>>,
    /// The same tenants in the order of their next turn.
    round: VecDeque<String>,
}

/// A parser's time, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    shared: Arc<Shared>,
}

impl Turns {
    /// `parsers` at once, at least one.
    pub(crate) fn new(parsers: usize) -> Turns {
        let waiting = Waiting { free: parsers.max(1), queues: HashMap::new(), round: VecDeque::new() };
        Turns { shared: Arc::new(Shared { waiting: Mutex::new(waiting) }) }
    }

    /// The next turn of `tenant`; who stops waiting loses nobody a turn.
    pub(crate) async fn take(&self, tenant: &str) -> Turn {
        let receiver = {
            let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.free > 0 {
                waiting.free -= 1;
                None
            } else {
                let (sender, receiver) = oneshot::channel();
                if !waiting.queues.contains_key(tenant) {
                    waiting.round.push_back(tenant.to_string());
                }
                waiting.queues.entry(tenant.to_string()).or_default().push_back(sender);
                Some(receiver)
            }
        };
        let new = || Turn { shared: Arc::clone(&self.shared) };
        match receiver {
            None => new(),
            // A sender is only dropped with `self.shared`, which this borrows.
            Some(receiver) => receiver.await.unwrap_or_else(|_| new()),
        }
    }
}

impl Shared {
    /// Gives one turn to the next who still waits.
    fn pass_on(self: &Arc<Shared>) {
        loop {
            let sender = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                match waiting.next() {
                    Some(sender) => sender,
                    None => {
                        waiting.free += 1;
                        return;
                    }
                }
            };
            // Not under the lock: a turn that nobody takes is dropped, and so passed on.
            if sender.is_closed() {
                continue;
            }
            drop(sender.send(Turn { shared: Arc::clone(self) }));
            return;
        }
    }
}

impl Waiting {
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let tenant = self.round.pop_front()?;
        let queue = self.queues.get_mut(&tenant)?;
        let sender = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&tenant);
        } else {
            self.round.push_back(tenant);
        }
        sender
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.pass_on();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::task::yield_now;

    use super::*;

    /// Queues a body of `tenant` that says so when its turn comes.
    async fn queue(turns: &Turns, tenant: &'static str, said: &mpsc::Sender<(&'static str, Turn)>) {
        let (turns, said) = (turns.clone(), said.clone());
        tokio::spawn(async move {
            let turn = turns.take(tenant).await;
            said.send((tenant, turn)).await.unwrap();
        });
        yield_now().await;
    }

    #[tokio::test]
    async fn a_long_queue_of_one_tenant_delays_another_by_one_body() {
        let turns = Turns::new(1);
        let (said, mut order) = mpsc::channel(16);
        let held = turns.take("flood").await;
        for _ in 0..5 {
            queue(&turns, "flood", &said).await;
        }
        queue(&turns, "quiet", &said).await;
        queue(&turns, "other", &said).await;
        drop(held);
        let mut seen = Vec::new();
        for _ in 0..7 {
            let (tenant, turn) = order.recv().await.unwrap();
            seen.push(tenant);
            drop(turn);
        }
        assert_eq!(seen, ["flood", "quiet", "other", "flood", "flood", "flood", "flood"]);
        assert!(turns.shared.waiting.lock().unwrap().queues.is_empty());
    }

    #[tokio::test]
    async fn who_stops_waiting_loses_nobody_a_turn() {
        let turns = Turns::new(1);
        let held = turns.take("a").await;
        for _ in 0..3 {
            let gone = tokio::time::timeout(Duration::from_millis(5), turns.take("a")).await;
            assert!(gone.is_err());
        }
        let (said, mut order) = mpsc::channel(16);
        queue(&turns, "b", &said).await;
        drop(held);
        let (tenant, turn) = order.recv().await.unwrap();
        assert_eq!(tenant, "b");
        drop(turn);
        let waiting = turns.shared.waiting.lock().unwrap();
        assert_eq!((waiting.free, waiting.round.len()), (1, 0));
    }

    #[tokio::test]
    async fn as_many_at_once_as_there_are_parsers() {
        let turns = Turns::new(2);
        let (first, second) = (turns.take("a").await, turns.take("a").await);
        assert!(tokio::time::timeout(Duration::from_millis(5), turns.take("b")).await.is_err());
        drop(first);
        let third = tokio::time::timeout(Duration::from_secs(5), turns.take("b")).await.unwrap();
        drop((second, third));
        assert_eq!(turns.shared.waiting.lock().unwrap().free, 2);
    }
}
