//! Rules in Sigma: what loads, what matches, what correlations remember.

mod correlations;
mod fixture;
mod healthy;
mod hostile;
mod laws;
mod loading;
mod matching;
mod oracle;
mod reports;
