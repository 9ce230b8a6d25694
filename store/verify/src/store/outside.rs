//! What is held against a store from outside it: receipts, and what witnesses cosigned.

use std::collections::BTreeSet;

use super::{Chain, Store};
use crate::plan::{Expected, Known};
use crate::report::{Finding, Gathered};

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

    /// Tells how far witnesses vouch for the newest root log. What they vouch for in one before it says nothing of what came since:
    /// whoever has the newer key alone could have written that.
    pub(super) fn check_witnesses(&mut self, chain: &Chain) {
        let Some(mut witnesses) = self.witnesses.take() else { return };
        if let Some(unreadable) = witnesses.unreadable() {
            self.gathered.unread(Finding::new(unreadable));
        }
        let origins = || chain.epochs.iter().map(|epoch| epoch.known.opened.origin.as_str());
        let best = origins().next_back().and_then(|newest| witnesses.best(newest));
        if best.is_none() {
            for witnessed in origins().filter_map(|origin| witnesses.best(origin)) {
                let said = format!("witnessed to size {}, and no root log since", witnessed.size);
                self.gathered.note(Finding::new(said).log(&witnessed.origin));
            }
        }
        self.report.lacks_witnesses = best.as_ref().is_none_or(|best| best.is_too_old);
        self.report.witnessed = best;
    }
}
