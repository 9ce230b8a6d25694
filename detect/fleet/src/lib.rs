//! A made-up fleet of agents: ninety benign days as a log in its order, with what goes wrong in it by plan.
//!
//! For the evaluation of the detector, the demo and drills. It is made to be hard in the ways in which real fleets are: work comes in turns that
//! lead to turns (a Hawkes process), each of a Pareto number of calls; hours, days and the whole fleet have moods; people sleep, eat, travel, fall
//! ill, work in shifts, change their clocks, mistype, retry what is denied and leave; there are a holiday, a release, a wave of newcomers
//! and a gateway that holds its records back. No count of a bucket is drawn from a negative binomial or a Poisson.
//!
//! Invariants
//! - **Determinism**: [`Options`] give the same records on every machine, as [`Digest`] shows: SplitMix64, `libm`, no clock.
//! - **Log order**: indices 0, 1, 2, ...; receipts never fall; no record is received before it was observed.
//! - **Truth apart**: what an injection caused is in [`Fleet::truth`] and in [`Logged::injection`], never in a record.
//! - **Benign is benign**: high-risk writes have an approval by somebody else, for that request, unless an injection left it out.
//! - **Memory is flat**: what waits is the sessions under way and what is late.
//!
//! Not in it: duplicates (the log removes them), several observers of one call, revocations, real series, prompts.
//!
//! Must not know: what the engine's rules are, or what they make of it.

mod address;
pub mod calendar;
mod catalog;
mod delay;
mod event;
mod fleet;
pub mod injection;
mod options;
mod random;
mod rate;
mod session;
mod world;

pub use event::{Digest, Event};
pub use fleet::{Fleet, Logged, Truth};
pub use options::{Options, seeds_of};
pub use world::{Class, Name, Principal, Tool, World};
