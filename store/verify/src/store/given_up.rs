//! Write-ahead files that were given up and came back.

use std::collections::BTreeMap;

use super::Store;

impl Store {
    /// Judges the groups that are missing between write-ahead files, once it is known how much of each log is sealed. Where the
    /// files before them hold another entry than the one that is sealed, that is a finding already.
    pub(super) fn check_gaps(&mut self) {
        let gaps = self.write_ahead.iter_mut().flat_map(|(_, write_ahead)| write_ahead.gaps.drain(..));
        let sealed: BTreeMap<&str, u64> =
            self.report.logs.iter().map(|log| (log.origin.as_str(), log.sealed)).collect();
        for gap in gaps {
            gap.judge(&sealed, &mut self.gathered);
        }
    }
}
