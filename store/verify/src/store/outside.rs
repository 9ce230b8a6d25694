//! What is held against a store from outside it: receipts, and what witnesses cosigned.

use std::collections::BTreeSet;

use super::{Chain, Store};
use crate::plan::{Expected, Known};
use crate::report::{Finding, Gathered};
use crate::witnessed::Witnesses;

impl Store {
    /// The roots that this root log must have.
    pub(super) fn of_root_from_outside(&mut self, known: &Known, out: &mut Gathered) -> Vec<Expected> {
        let mut expected = self.receipts.expected(known, out);
        expected.extend(self.witnesses.iter_mut().flat_map(|witnesses| witnesses.expected(known, out)));
        expected
    }

    /// Tells receipts of logs that are not here.
    pub(super) fn check_receipts(&mut self, chain: &Chain) {
        let logs = chain.epochs.iter().flat_map(|epoch| epoch.catalog.logs.values());
        let known: BTreeSet<&str> = logs.map(|known| known.opened.origin.as_str()).collect();
        let strangers = self.receipts.strangers(|origin| known.contains(origin));
        strangers.for_each(|finding| self.gathered.find(finding));
    }

    /// Tells how far witnesses vouch for the root logs, and what of the newest is past that.
    pub(super) fn check_witnesses(&mut self, chain: &Chain) {
        let origins = || chain.epochs.iter().map(|epoch| epoch.known.opened.origin.as_str());
        let best = self.witnesses.take().and_then(|witnesses: Witnesses| witnesses.best(origins()));
        if let (Some(witnessed), Some(newest)) = (&best, origins().next_back())
            && witnessed.origin != newest
        {
            let said = "nothing of it is witnessed; the root log before it is";
            self.gathered.note(Finding::new(said).log(newest));
        }
        self.report.lacks_witnesses &= best.is_none();
        self.report.witnessed = best;
    }
}
