//! The runner over real stores: what it records is what one fold over the whole log says, once.

mod fixture;

mod backtest;
mod drill;
mod failures;
mod incident;
mod once;
mod other_rules;
mod reloads;
mod restart;
mod silence;
mod takeovers;
