//! Rules in Sigma over the columns of `events`: the shipped pack, users' own, and their correlations.
//!
//! A rule is a pure function of one event. What spans events is a correlation, and its state is a fold: the same
//! events under the same rules give the same matches and the same state.
//!
//! Invariants
//! - **A rule that loads says what its author meant**: a column that `events` does not have, a modifier that is not
//!   built, a list that is not there, a selection that no condition names are errors with file, rule and remedy.
//! - **Entry side alone**: no rule sees a payload. Payloads can be erased, and an alert must stay derivable.
//! - **Bounded**: patterns run in linear time over at most 16 KiB of a value; every map of a correlation has a cap, and
//!   beyond it goes what is furthest from a match.
//! - **Absence hides nothing**: a null is a value of its own where a correlation groups, and differs from every value
//!   where a rule negates.
//! - **A digest names the set**: rules and the lists they use, whatever the order of files.
//!
//! The crate must not know: the store, arrow, the engine's structs, clocks, the network, or who is told.

mod asked;
mod cidr;
mod column;
mod correlation;
mod digest;
mod error;
mod examples;
mod json_event;
mod lists;
mod matcher;
mod nearest;
mod node;
mod parse;
mod report;
mod rule;
mod rules;
mod shipped;
mod state;

pub use column::{Fields, Value};
pub use error::Error;
pub use examples::{Examples, Failure, Rehearsal, Step};
pub use json_event::JsonEvent;
pub use lists::Lists;
pub use report::{ListReport, TestReport, TriedReport, list, rehearsals, test, try_events};
pub use rule::{Level, Rule};
pub use rules::{Options, Rules};
pub use state::{Correlations, Match};
