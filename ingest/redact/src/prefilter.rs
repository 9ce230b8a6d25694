//! One pass over raw bytes that says where a rule could match.
//!
//! Every rule has anchors, and every anchor windows of four bytes of which a match must contain one (`windows`). A scan that
//! takes no branch a byte finds where a window could be (`scan`), and there the anchor's surroundings are checked (`verify`).

mod scan;
mod verify;
mod windows;

use std::ops::ControlFlow;

use crate::names::Name;
use scan::Scanner;

/// Where a rule could match, as found in the bytes at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hit {
    /// A shape's anchor, its surroundings fit.
    Shape {
        /// Index into the shapes; one past them for the Discord bot token.
        rank: usize,
    },
    /// A secret's name ends at this offset.
    Name { name: &'static Name, end: usize },
    /// `://` starts at this offset and a password could follow.
    Url { start: usize },
    /// Our own marker may start at this offset.
    Marker { start: usize },
    /// An escape that could hide any of the others.
    Escape,
}

/// The compiled windows.
pub(crate) struct Prefilter {
    scanner: Scanner,
}

impl Prefilter {
    pub(crate) fn new() -> Prefilter {
        Prefilter { scanner: Scanner::compile(windows::all()) }
    }

    /// See [`crate::Redactor::is_clean`].
    pub(crate) fn is_clean(&self, bytes: &[u8]) -> bool {
        self.scan(bytes, |hit| {
            let dirty = match hit {
                Hit::Shape { .. } | Hit::Escape => true,
                Hit::Url { start } => verify::url_may_hold_password(bytes, start),
                Hit::Name { name, end } => verify::name_may_hold_secret(bytes, name, end),
                Hit::Marker { .. } => false,
            };
            if dirty { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .is_continue()
    }

    /// Calls `each` for every hit, in order of their windows.
    pub(crate) fn scan(&self, bytes: &[u8], mut each: impl FnMut(Hit) -> ControlFlow<()>) -> ControlFlow<()> {
        self.scanner.scan(bytes, |target, start| match verify::hit(bytes, target, start) {
            Some(hit) => each(hit),
            None => ControlFlow::Continue(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::windows;

    /// Blocks of a thousand.
    const STOPS_MAX: usize = 250;

    /// What the scan costs beside the reading, in numbers that no busy machine changes.
    #[test]
    #[allow(clippy::print_stdout, reason = "the figures")]
    fn ordinary_traffic_seldom_stops_the_scan() {
        let prefilter = super::Prefilter::new();
        let options = corpus::Options { events: 2_000, ..corpus::Options::default() };
        let mut bytes = Vec::new();
        corpus::generate(&options, &mut bytes).unwrap();
        let (stops, blocks) = prefilter.scanner.stops(&bytes);
        let mut targets: BTreeMap<String, usize> = BTreeMap::new();
        let _whole = prefilter.scanner.scan(&bytes, |target, _| {
            *targets.entry(format!("{target:?}")).or_default() += 1;
            std::ops::ControlFlow::Continue(())
        });
        let mut targets: Vec<(usize, String)> =
            targets.into_iter().map(|(target, hits)| (hits, target)).collect();
        targets.sort_unstable_by(|left, right| right.cmp(left));
        let hits: usize = targets.iter().map(|(hits, _)| hits).sum();
        println!(
            "{stops} of {blocks} blocks, {hits} windows in 2000 events: {:#?}",
            &targets[..targets.len().min(25)]
        );
        assert!(stops * 1000 < blocks * STOPS_MAX, "{stops} of {blocks}");
    }

    #[test]
    fn every_anchor_has_a_window_at_an_even_and_at_an_odd_distance() {
        let mut parities: BTreeMap<String, [bool; 2]> = BTreeMap::new();
        for window in windows::all() {
            assert!(window.to_anchor <= 1, "{window:?}");
            let parity = usize::from(window.to_anchor % 2 != 0);
            parities.entry(format!("{:?}", window.target)).or_default()[parity] = true;
        }
        for (target, both) in parities {
            assert_eq!(both, [true, true], "{target}");
        }
    }
}
