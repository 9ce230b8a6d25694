//! The client against witnesses: ours over HTTP, ones that lie, and another's (litewitness), where there is one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "tests look at the clock to know when to give up")]

mod client {
    mod support;

    /// Growth, outages, quorums: all is well in the end.
    mod good;
    /// Witnesses that answer nonsense.
    mod liars;
    /// litewitness of filippo.io/torchwood.
    mod litewitness;
    /// Rollbacks and forks, seen by our witness and by what is kept.
    mod stop;
}
