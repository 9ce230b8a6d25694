//! Logins that were begun and not finished yet: what must be known when the provider sends the browser back.
//!
//! Memory is bounded, and who floods pays: a network that has begun as many as one may loses its own oldest, and where there
//! is no room at all the network that has begun most loses its oldest. Nobody's login makes room for more of someone else's
//! unless he has at least as many.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use schemas::limits;
use schemas::principal::network;

use super::secret::Digest;
use crate::identity::Reason;

/// A login that was begun.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Started {
    /// Digest of the cookie that the browser got.
    pub(super) browser: Digest,
    /// What the provider is to sign.
    pub(super) nonce: String,
    /// What only who began it can show the provider (PKCE).
    pub(super) verifier: String,
    /// Where to send the browser in the end.
    pub(super) return_to: String,
    /// When, by the monotonic clock.
    pub(super) begun_us: i64,
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Started").field("return_to", &self.return_to).finish_non_exhaustive()
    }
}

/// All of them, by the digest of their state.
#[derive(Debug)]
pub(super) struct Begun {
    table: Mutex<Table>,
    total_max: usize,
    network_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    logins: HashMap<Digest, (IpAddr, Started)>,
    /// The states of each network, oldest first.
    networks: HashMap<IpAddr, VecDeque<Digest>>,
    /// Each network by how many it has begun and how early its oldest: the last is the heaviest.
    weights: BTreeSet<(usize, Reverse<i64>, IpAddr)>,
    /// When all were last looked through for old ones.
    swept_us: Option<i64>,
}

impl Default for Begun {
    fn default() -> Begun {
        Begun::of(limits::LOGIN_BEGUN_MAX, limits::LOGIN_BEGUN_NETWORK_MAX)
    }
}

impl Begun {
    fn of(total_max: usize, network_max: usize) -> Begun {
        Begun { table: Mutex::default(), total_max, network_max }
    }

    /// Keeps one.
    pub(super) fn add(&self, state: Digest, address: IpAddr, started: Started) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let (network, now_us) = (network(address), started.begun_us);
        table.forget_old(network, now_us);
        if table.networks.get(&network).is_some_and(|states| states.len() >= self.network_max) {
            table.push_out(network);
        }
        if table.logins.len() >= self.total_max {
            table.sweep(now_us);
            if table.logins.len() >= self.total_max
                && let Some((_, _, network)) = table.weights.last().copied()
            {
                table.push_out(network);
            }
        }
        table.logins.insert(state, (network, started));
        table.change(network, |states| states.push_back(state));
    }

    /// Takes the one of this state, so that it is finished once. From another browser it is not taken and stays: whoever
    /// sees a state cannot end the login of whom it belongs to.
    ///
    /// # Errors
    /// [`Reason::LoginState`], [`Reason::LoginBrowser`].
    pub(super) fn take(
        &self,
        state: &Digest,
        browser: Option<&Digest>,
        now_us: i64,
    ) -> Result<Started, Reason> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let (network, started) = table.logins.get(state).ok_or(Reason::LoginState)?;
        if browser != Some(&started.browser) {
            return Err(Reason::LoginBrowser);
        }
        let (network, is_old) = (*network, is_old(started, now_us));
        table.change(network, |states| states.retain(|kept| kept != state));
        let (_, started) = table.logins.remove(state).ok_or(Reason::LoginState)?;
        if is_old { Err(Reason::LoginState) } else { Ok(started) }
    }
}

fn is_old(started: &Started, now_us: i64) -> bool {
    now_us.saturating_sub(started.begun_us) > limits::LOGIN_BEGUN_US_MAX
}

impl Table {
    fn forget_old(&mut self, network: IpAddr, now_us: i64) {
        while let Some(oldest) = self.networks.get(&network).and_then(VecDeque::front)
            && self.logins.get(oldest).is_none_or(|(_, started)| is_old(started, now_us))
        {
            self.drop_oldest(network);
        }
    }

    /// Forgets what is too old, of all networks: not more often than once a second, for everyone who begins waits for it.
    fn sweep(&mut self, now_us: i64) {
        let swept_us = self.swept_us.unwrap_or(i64::MIN);
        if now_us.saturating_sub(swept_us) < limits::LOGIN_BEGUN_SWEEP_US {
            return;
        }
        self.swept_us = Some(now_us);
        for network in self.networks.keys().copied().collect::<Vec<_>>() {
            self.forget_old(network, now_us);
        }
    }

    fn weight(&self, network: IpAddr) -> Option<(usize, Reverse<i64>, IpAddr)> {
        let states = self.networks.get(&network)?;
        let oldest = states.front().and_then(|state| self.logins.get(state));
        let begun_us = oldest.map_or(i64::MIN, |(_, started)| started.begun_us);
        Some((states.len(), Reverse(begun_us), network))
    }

    /// Changes the states of a network, whose logins are all still there, and with them its weight.
    fn change<T>(&mut self, network: IpAddr, change: impl FnOnce(&mut VecDeque<Digest>) -> T) -> T {
        if let Some(weight) = self.weight(network) {
            self.weights.remove(&weight);
        }
        let states = self.networks.entry(network).or_default();
        let changed = change(states);
        if states.is_empty() {
            self.networks.remove(&network);
        }
        self.weights.extend(self.weight(network));
        changed
    }

    fn push_out(&mut self, network: IpAddr) {
        metrics::counter!("tacho_logins_pushed_out_total").increment(1);
        self.drop_oldest(network);
    }

    fn drop_oldest(&mut self, network: IpAddr) {
        if let Some(oldest) = self.change(network, VecDeque::pop_front) {
            self.logins.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> Digest {
        *blake3::hash(&number.to_be_bytes()).as_bytes()
    }

    fn started(browser: u32, begun_us: i64) -> Started {
        Started {
            browser: digest(browser),
            nonce: String::new(),
            verifier: String::new(),
            return_to: "/".to_string(),
            begun_us,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_is_finished_once_in_time_and_in_its_own_browser() {
        let begun = Begun::default();
        begun.add(digest(1), ip("192.0.2.1"), started(7, 0));
        assert_eq!(begun.take(&digest(2), Some(&digest(7)), 1), Err(Reason::LoginState));
        assert_eq!(begun.take(&digest(1), Some(&digest(8)), 1), Err(Reason::LoginBrowser));
        assert_eq!(begun.take(&digest(1), None, 1), Err(Reason::LoginBrowser));
        assert!(begun.take(&digest(1), Some(&digest(7)), limits::LOGIN_BEGUN_US_MAX).is_ok());
        assert_eq!(begun.take(&digest(1), Some(&digest(7)), 1), Err(Reason::LoginState), "once");
        begun.add(digest(3), ip("192.0.2.1"), started(7, 0));
        let late_us = limits::LOGIN_BEGUN_US_MAX + 1;
        assert_eq!(begun.take(&digest(3), Some(&digest(7)), late_us), Err(Reason::LoginState));
        let table = begun.table.lock().unwrap();
        assert!(table.logins.is_empty() && table.networks.is_empty() && table.weights.is_empty());
    }

    #[test]
    fn a_flooder_pushes_out_no_one_but_himself() {
        let begun = Begun::default();
        let other = ip("198.51.100.9");
        begun.add(digest(0), other, started(0, 0));
        let flood = 4 * limits::LOGIN_BEGUN_MAX as u32;
        for at in 1..=flood {
            // One network, whichever address of its /64 he takes.
            let address = IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(at)).to_be_bytes());
            begun.add(digest(at), address, started(at, 1));
        }
        assert_eq!(begun.table.lock().unwrap().logins.len(), limits::LOGIN_BEGUN_NETWORK_MAX + 1);
        assert!(begun.take(&digest(flood), Some(&digest(flood)), 1).is_ok(), "the newest of his");
        assert!(begun.take(&digest(0), Some(&digest(0)), 1).is_ok());
    }

    #[test]
    fn where_all_is_full_the_heaviest_makes_room() {
        let begun = Begun::default();
        let one = |last: u32| IpAddr::from((0xc000_0200_u32 + last).to_be_bytes());
        for at in 0..40 {
            begun.add(digest(at), one(at), started(at, i64::from(at)));
        }
        // Several who flood together, none of whom is over what one may.
        for at in 1000..21_000_u32 {
            begun.add(digest(at), IpAddr::from((0x0a00_0000 + at % 64).to_be_bytes()), started(at, 50));
        }
        let table = begun.table.lock().unwrap();
        assert_eq!(table.logins.len(), limits::LOGIN_BEGUN_MAX);
        assert_eq!(table.logins.len(), table.networks.values().map(VecDeque::len).sum::<usize>());
        let weighed: BTreeSet<_> =
            table.networks.keys().filter_map(|network| table.weight(*network)).collect();
        assert_eq!(table.weights, weighed);
        drop(table);
        for at in 0..40 {
            assert!(begun.take(&digest(at), Some(&digest(at)), 60).is_ok(), "{at}");
        }
        // What is too old makes room first.
        let begun = Begun::of(3, 3);
        begun.add(digest(1), one(1), started(1, 0));
        begun.add(digest(2), one(2), started(2, limits::LOGIN_BEGUN_US_MAX));
        begun.add(digest(3), one(2), started(3, limits::LOGIN_BEGUN_US_MAX));
        begun.add(digest(4), one(4), started(4, limits::LOGIN_BEGUN_US_MAX + 1));
        assert_eq!(begun.take(&digest(1), Some(&digest(1)), 1), Err(Reason::LoginState));
        assert!(begun.take(&digest(2), Some(&digest(2)), limits::LOGIN_BEGUN_US_MAX).is_ok());
    }

    #[test]
    fn all_are_looked_through_once_a_second_at_most() {
        let begun = Begun::of(4, 4);
        let one = |last: u32| IpAddr::from((0xc000_0200_u32 + last).to_be_bytes());
        let has = |state: u32| begun.table.lock().unwrap().logins.contains_key(&digest(state));
        let first_us = limits::LOGIN_BEGUN_US_MAX;
        begun.add(digest(1), one(1), started(1, 10));
        for state in 2..=4 {
            begun.add(digest(state), one(2), started(state, first_us));
        }
        begun.add(digest(5), one(5), started(5, first_us));
        assert!(has(1) && !has(2), "none was too old, and the heaviest made room");
        begun.add(digest(6), one(6), started(6, first_us + 11));
        assert!(has(1) && !has(3), "one is too old since, and was not looked for");
        begun.add(digest(7), one(7), started(7, first_us + limits::LOGIN_BEGUN_SWEEP_US));
        assert!(!has(1) && has(4) && has(5) && has(6) && has(7), "and now it was");
    }
}
