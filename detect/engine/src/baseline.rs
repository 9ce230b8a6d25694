//! What a count usually is: level times season, with as much spread as it has shown.
//!
//! A [`CountBaseline`] belongs to one entity and metric and learns from closed buckets in event order. It keeps two levels:
//! a **slow** one with the season (24 hours and 7 days, each of mean 1), which takes an hour in only 72 h after it, and a
//! **fast** one that follows at once; their ratio, within a factor of 2, scales what is usual. So neither a burst nor a
//! slow poisoning of the last days can be what it is judged by, and a busy week is not a week of alerts.
//! On that the **recent** level of the last half hour: a bucket is judged by what it adds to what was there, since counts
//! of one hour hang together. It cannot see what lasts; coarser buckets are for that.
//!
//! Unusual counts are learnt as the largest count that would not have been (winsorised), but for the recent level, which
//! forgets them by itself. What an entity has not shown is taken from its [`Parent`]. Sums are touched at bucket close
//! only and in a fixed order; state is about 3 kB.

mod count;
mod decayed;
mod parent;
mod season;

pub use count::{CountBaseline, Prediction};
pub(crate) use decayed::{Decayed, kept};
pub use parent::Parent;
