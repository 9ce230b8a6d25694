//! The requirement rows of detection, each as who reads it would have it shown: in one log, under the defaults, what is to be told is told, and
//! what is not to be told is not.
//!
//! Rows that are of lists or of Sigma alone (R24, R28, R32, R33, R36, R38) are shown where those are tested: `sigma_rules.rs`, the drill, and
//! `tests/suites/sigma_rules.rs`.
//!
//! What is held against the past may open by chance, by the budget that its rule states; the logs are seeded, and those here have no such episode
//! about whom the row is about. How many there are in ordinary weeks is for the tests of each rule.

mod access;
mod agents;
mod approvals;
mod markers;
mod outputs;
mod places;
mod replay;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Alert, Engine, Record, Settings, Setup, Severity};
use sigma::{Options, Rules};

use crate::days::fold;
pub use approvals::queues;
pub use replay::{DAY_US_LAST, month};

/// All that a log tells under the defaults.
fn told(records: &[Record<'_>]) -> Vec<Alert> {
    fold(&mut Engine::new("acme", Settings::default()), records)
}

/// The defaults, and the shipped rules in Sigma.
fn shipped() -> Setup {
    Setup { settings: Settings::default(), rules: Some(Arc::new(Rules::load(&Options::default()).unwrap())) }
}

/// Episodes in the order of their opening: the rule, the entity, the greatest severity.
fn episodes<'a>(alerts: impl IntoIterator<Item = &'a Alert>) -> Vec<(&'a str, &'a str, Severity)> {
    let (mut order, mut worst) = (Vec::new(), BTreeMap::new());
    for alert in alerts {
        let severity = worst.entry(alert.alert_id.as_str()).or_insert_with(|| {
            order.push(alert);
            alert.severity
        });
        *severity = alert.severity.max(*severity);
    }
    let of =
        |alert: &&'a Alert| (alert.rule_id.as_str(), alert.entity.as_str(), worst[alert.alert_id.as_str()]);
    order.iter().map(of).collect()
}

/// Alerts of some rules alone.
fn of<'a, const N: usize>(
    alerts: &'a [Alert],
    rules: [&'static str; N],
) -> impl Iterator<Item = &'a Alert> + Clone {
    alerts.iter().filter(move |alert| rules.contains(&alert.rule_id.as_str()))
}

/// A record of a moment, received when it happens.
fn at(time_us: i64, record: Record<'static>) -> Record<'static> {
    Record { time_us, ingest_time_us: time_us, ..record }
}

/// Names of which a log needs many, for as long as the test runs.
pub fn name(of: &str, number: i64) -> &'static str {
    String::leak(format!("{of}{number}"))
}
