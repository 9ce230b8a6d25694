//! What the runner counts. No tenant is named: whoever may read metrics need not be allowed to know them.

use engine::Alert;
use metrics::{counter, gauge};
use sigma::Rules;

use crate::draft::severity_name;

pub(crate) fn folded(records: usize) {
    counter!("tacho_detect_records_folded_total").increment(records as u64);
}

pub(crate) fn alert(alert: &Alert) {
    counter!(
        "tacho_detect_alerts_total",
        "rule" => alert.rule_id.clone(),
        "severity" => severity_name(alert.severity),
    )
    .increment(1);
}

/// Over all tenants: entries done, durable entries not yet done, and tenants whose detection has ended.
pub(crate) fn standing(position: u64, lag: u64, stopped: usize) {
    gauge!("tacho_detect_position_records").set(position as f64);
    gauge!("tacho_detect_lag_records").set(lag as f64);
    gauge!("tacho_detect_stopped_tenants").set(stopped as f64);
}

pub(crate) fn state_file_failed() {
    counter!("tacho_detect_state_files_failed_total").increment(1);
}

/// An append that the store could not take at once.
pub(crate) fn append_retried() {
    counter!("tacho_detect_appends_retried_total").increment(1);
}

/// Hexadecimal digits of a digest that a label has: enough to tell sets apart.
const DIGEST_LENGTH: usize = 12;

/// Whether these rules are in force: an info metric under the first digits of their digest. A set that was in force stays with 0.
pub(crate) fn rules(rules: Option<&Rules>, is_in_force: bool) {
    let digest: String =
        rules.map_or_else(|| "none".to_owned(), |rules| rules.digest().chars().take(DIGEST_LENGTH).collect());
    gauge!("tacho_detect_rules_info", "digest" => digest).set(f64::from(u8::from(is_in_force)));
}
