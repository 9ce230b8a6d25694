//! Failed logins, counted: who fails too often waits, each time twice as long.
//!
//! Two things are counted. A *pair* of network and token id: ten failures in a minute lock that pair out, so that one token is
//! not guessed at; the same token from elsewhere still works. A *network*, whatever it names: a hundred failures lock out
//! strangers from there. Behind a proxy all share one network, so whoever has logged in from it before is no stranger and is
//! still checked: a neighbour who guesses does not lock others out, unless he knows the public id of their token.
//!
//! Memory is bounded. What makes room is what weighs least: never a lockout that still runs, and a count close to one last.
//! Where everything remembered is locked out, newcomers are counted together.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use schemas::limits;
use schemas::principal::network;

/// Failures of every network and pair.
#[derive(Debug)]
pub struct Attempts {
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    pairs: Table<(IpAddr, String)>,
    networks: Table<IpAddr>,
    known: Known,
}

impl Default for Attempts {
    fn default() -> Attempts {
        Attempts::of(limits::LOGIN_TRACKED_MAX)
    }
}

impl Attempts {
    fn of(tracked_max: usize) -> Attempts {
        let counted = Counted {
            pairs: Table::new(limits::LOGIN_FAILURES_MAX, tracked_max),
            networks: Table::new(limits::LOGIN_NETWORK_FAILURES_MAX, tracked_max),
            known: Known::default(),
        };
        Attempts { counted: Mutex::new(counted) }
    }

    /// Until when this caller is locked out, if it is, in microseconds of the monotonic clock. `id` is whom it claims to be.
    pub fn locked_until(&self, address: IpAddr, id: Option<&str>, now_us: i64) -> Option<i64> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network(address);
        let pair = id.map(|id| (network, id.to_string()));
        // A pair that found no room is judged by its network alone: else a flood of made-up ids would lock out every token.
        if let Some(until_us) = pair.as_ref().and_then(|pair| counted.pairs.own_lock(pair, now_us)) {
            return Some(until_us);
        }
        if pair.is_some_and(|pair| counted.known.has(&pair)) {
            return None;
        }
        counted.networks.locked_until(&network, now_us)
    }

    /// Counts a failure.
    pub fn failed(&self, address: IpAddr, id: Option<&str>, now_us: i64) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network(address);
        if let Some(id) = id {
            counted.pairs.fail((network, id.to_string()), now_us);
        }
        counted.networks.fail(network, now_us);
    }

    /// Whether it is the first time that `id` logged in from there, as far as is remembered. Takes back the failures of that
    /// pair, and of no other.
    pub fn succeeded(&self, address: IpAddr, id: &str) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (network(address), id.to_string());
        counted.pairs.failures.remove(&pair);
        counted.known.add(pair)
    }
}

/// Failures of one kind of key.
#[derive(Debug)]
struct Table<K> {
    failures: HashMap<K, Failures>,
    /// Of all that found no room.
    others: Failures,
    limit: u32,
    tracked_max: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    count: u32,
    since_us: i64,
    last_us: i64,
    locked_until_us: i64,
    /// How often it was locked out: the next time is twice as long.
    locks: u32,
}

impl Failures {
    fn fail(&mut self, limit: u32, now_us: i64) {
        if self.is_forgotten(now_us) {
            *self = Failures { since_us: now_us, ..Failures::default() };
        }
        if now_us.saturating_sub(self.since_us) > limits::LOGIN_FAILURE_WINDOW_US {
            (self.count, self.since_us) = (0, now_us);
        }
        self.count += 1;
        self.last_us = now_us;
        if self.count >= limit {
            let doubled = limits::LOGIN_LOCKOUT_FIRST_US.saturating_mul(1i64 << self.locks.min(31));
            self.locked_until_us = now_us.saturating_add(doubled.min(limits::LOGIN_LOCKOUT_LONGEST_US));
            self.locks = self.locks.saturating_add(1);
            (self.count, self.since_us) = (0, now_us);
        }
    }

    fn is_locked(&self, now_us: i64) -> bool {
        now_us < self.locked_until_us
    }

    fn is_forgotten(&self, now_us: i64) -> bool {
        now_us.saturating_sub(self.last_us) > limits::LOGIN_FORGET_US
    }
}

impl<K: Hash + Eq + Clone> Table<K> {
    fn new(limit: u32, tracked_max: usize) -> Table<K> {
        Table { failures: HashMap::new(), others: Failures::default(), limit, tracked_max }
    }

    fn own_lock(&self, key: &K, now_us: i64) -> Option<i64> {
        let failures = self.failures.get(key)?;
        failures.is_locked(now_us).then_some(failures.locked_until_us)
    }

    fn locked_until(&self, key: &K, now_us: i64) -> Option<i64> {
        let failures = match self.failures.get(key) {
            Some(failures) => failures,
            None if self.failures.len() >= self.tracked_max => &self.others,
            None => return None,
        };
        failures.is_locked(now_us).then_some(failures.locked_until_us)
    }

    fn fail(&mut self, key: K, now_us: i64) {
        let limit = self.limit;
        if !self.failures.contains_key(&key) && self.failures.len() >= self.tracked_max {
            self.make_room(now_us);
            if self.failures.len() >= self.tracked_max {
                self.others.fail(limit, now_us);
                return;
            }
        }
        self.failures.entry(key).or_default().fail(limit, now_us);
    }

    /// Forgets an eighth, so that this is not done for every newcomer.
    fn make_room(&mut self, now_us: i64) {
        self.failures.retain(|_, failures| failures.is_locked(now_us) || !failures.is_forgotten(now_us));
        let wanted = self.tracked_max - self.tracked_max.div_ceil(8);
        let mut open: Vec<(K, Failures)> = self
            .failures
            .iter()
            .filter(|(_, failures)| !failures.is_locked(now_us))
            .map(|(key, failures)| (key.clone(), *failures))
            .collect();
        open.sort_by_key(|(_, failures)| (failures.locks, failures.count, failures.last_us));
        let surplus = self.failures.len().saturating_sub(wanted);
        for (key, _) in open.into_iter().take(surplus) {
            self.failures.remove(&key);
        }
    }
}

/// Who has logged in from where; only a good credential gets in here.
#[derive(Debug, Default)]
struct Known {
    pairs: HashSet<(IpAddr, String)>,
    order: VecDeque<(IpAddr, String)>,
}

impl Known {
    fn has(&self, pair: &(IpAddr, String)) -> bool {
        self.pairs.contains(pair)
    }

    /// Whether it was not there.
    fn add(&mut self, pair: (IpAddr, String)) -> bool {
        if self.pairs.contains(&pair) {
            return false;
        }
        if self.order.len() >= limits::LOGIN_KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.pairs.remove(&oldest);
        }
        self.order.push_back(pair.clone());
        self.pairs.insert(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;
    const LIMIT: usize = limits::LOGIN_FAILURES_MAX as usize;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_pair_is_locked_out_longer_each_time_and_alone() {
        let attempts = Attempts::default();
        let (here, there) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let mut now_us = 5 * S;
        let mut waits = Vec::new();
        for _ in 0..8 {
            for left in (0..LIMIT).rev() {
                assert_eq!(attempts.locked_until(here, Some("t-a"), now_us), None, "{left} left");
                attempts.failed(here, Some("t-a"), now_us);
            }
            let until_us = attempts.locked_until(here, Some("t-a"), now_us).unwrap();
            waits.push((until_us - now_us) / S);
            assert_eq!(attempts.locked_until(here, Some("t-b"), now_us), None);
            assert_eq!(attempts.locked_until(there, Some("t-a"), now_us), None);
            now_us = until_us;
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900]);
        now_us += limits::LOGIN_FORGET_US + 1;
        for _ in 0..LIMIT {
            attempts.failed(here, Some("t-a"), now_us);
        }
        assert_eq!(
            attempts.locked_until(here, Some("t-a"), now_us),
            Some(now_us + 30 * S),
            "it starts afresh"
        );
    }

    #[test]
    fn slow_failures_and_a_success_between_do_not_add_up() {
        let attempts = Attempts::default();
        let here = ip("192.0.2.1");
        for at in 0..100 {
            attempts.failed(here, Some("t-a"), at * 7 * S);
        }
        assert_eq!(attempts.locked_until(here, Some("t-a"), 700 * S), None);
        for _ in 0..3 {
            for _ in 1..LIMIT {
                attempts.failed(here, Some("t-b"), 800 * S);
            }
            attempts.succeeded(here, "t-b");
        }
        assert_eq!(attempts.locked_until(here, Some("t-b"), 800 * S), None);
    }

    #[test]
    fn a_network_locks_strangers_out_and_no_one_else() {
        let attempts = Attempts::default();
        let (here, neighbour) = (ip("2001:db8::1"), ip("2001:db8::ffff:2"));
        assert!(attempts.succeeded(neighbour, "t-known"));
        assert!(!attempts.succeeded(here, "t-known"), "the /64 is one");
        for at in 0..limits::LOGIN_NETWORK_FAILURES_MAX {
            assert_eq!(attempts.locked_until(here, None, S), None, "{at}");
            attempts.failed(here, Some(&format!("t-{at}")), S);
        }
        assert!(attempts.locked_until(neighbour, None, S).is_some());
        assert!(attempts.locked_until(neighbour, Some("t-stranger"), S).is_some());
        assert_eq!(attempts.locked_until(neighbour, Some("t-known"), S), None);
        assert_eq!(attempts.locked_until(ip("2001:db8:0:1::1"), None, S), None);
    }

    #[test]
    fn filling_the_memory_frees_no_one() {
        let attempts = Attempts::of(64);
        let here = ip("192.0.2.1");
        for _ in 0..LIMIT {
            attempts.failed(here, Some("t-a"), S);
        }
        let close = ip("192.0.2.2");
        for _ in 1..LIMIT {
            attempts.failed(close, Some("t-a"), S);
        }
        for at in 0..10_000u32 {
            attempts.failed(IpAddr::from(0x0a00_0000u32.wrapping_add(at).to_be_bytes()), Some("t-a"), S);
        }
        let counted = attempts.counted.lock().unwrap();
        assert!(counted.pairs.failures.len() <= 64 && counted.networks.failures.len() <= 64);
        drop(counted);
        assert!(attempts.locked_until(here, Some("t-a"), S).is_some());
        attempts.failed(close, Some("t-a"), S);
        assert!(attempts.locked_until(close, Some("t-a"), S).is_some(), "its nine failures are remembered");
        // Where all that is remembered is locked out, a newcomer is judged by its network alone: whoever could fill the
        // memory would otherwise lock out every token everywhere.
        for at in 0..64u32 {
            for _ in 0..LIMIT {
                attempts.failed(IpAddr::from(0x0b00_0000u32.wrapping_add(at).to_be_bytes()), Some("t-a"), S);
            }
        }
        for at in 0..(LIMIT as u32 * 2) {
            attempts.failed(IpAddr::from(0x0c00_0000u32.wrapping_add(at).to_be_bytes()), Some("t-a"), S);
        }
        assert!(attempts.locked_until(ip("198.51.100.1"), Some("t-a"), S).is_none());
    }
}
