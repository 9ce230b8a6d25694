//! One pass over raw bytes that says where a rule could match.
//!
//! Every rule has anchors, every anchor a set of four-byte grams (case folded) of which a match must contain one. A bitmap
//! over a hash of the gram at each position rejects almost everything without a branch a byte; what is left is looked up
//! exactly, and its surroundings are checked (`prefilter/verify.rs`). A general multi-pattern automaton takes its steps one
//! after the other, a table load each, and cannot reach a byte a cycle; these lookups do not wait for one another.

mod grams;
mod verify;

use std::ops::ControlFlow;

use grams::Grams;

/// Where a rule could match, as found in the bytes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hit {
    /// A shape's anchor, its surroundings fit.
    Shape {
        /// Index into the shapes; one past them for the Discord bot token.
        rank: usize,
    },
    /// A secret's name ends at this offset.
    Name { end: usize },
    /// `://` starts at this offset and a password could follow.
    Url { start: usize },
    /// Our own marker may start at this offset.
    Marker { start: usize },
    /// An escape that could hide any of the others.
    Escape,
}

/// The compiled grams.
pub(crate) struct Prefilter {
    grams: Grams,
}

impl Prefilter {
    pub(crate) fn new() -> Prefilter {
        Prefilter { grams: Grams::compile(grams::all()) }
    }

    /// See [`crate::Redactor::is_clean`].
    pub(crate) fn is_clean(&self, bytes: &[u8]) -> bool {
        self.scan(bytes, |hit| {
            let dirty = match hit {
                Hit::Shape { .. } | Hit::Escape => true,
                Hit::Url { start } => verify::url_may_hold_password(bytes, start),
                Hit::Name { end } => verify::name_may_hold_secret(bytes, end),
                Hit::Marker { .. } => false,
            };
            if dirty { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .is_continue()
    }

    /// Calls `each` for every hit, in order of their grams.
    pub(crate) fn scan(&self, bytes: &[u8], mut each: impl FnMut(Hit) -> ControlFlow<()>) -> ControlFlow<()> {
        self.grams.scan(bytes, |anchor, position| match verify::hit(bytes, anchor, position) {
            Some(hit) => each(hit),
            None => ControlFlow::Continue(()),
        })
    }
}

#[cfg(test)]
mod tests;
