//! Whether an alert is on record.

use arrow::array::Array;
use store::{Entries, LogSnapshot};

use crate::columns::text;
use crate::error::Result;

const COLUMNS: [&str; 2] = ["log_index", "alert_id"];

/// Whether the alerts log holds an alert of this id. Reads one column of all of it: not for an async thread.
///
/// # Errors
/// [`crate::Error::Entries`], [`crate::Error::Damaged`].
pub fn is_recorded(alerts: LogSnapshot, alert_id: &str) -> Result<bool> {
    let log = alerts.origin.to_string();
    let mut entries = Entries::new(alerts, 0, &COLUMNS);
    while let Some(batch) = entries.next_batch()? {
        let ids = text(&log, &batch, "alert_id")?;
        if (0..ids.len()).any(|row| ids.is_valid(row) && ids.value(row) == alert_id) {
            return Ok(true);
        }
    }
    Ok(false)
}
