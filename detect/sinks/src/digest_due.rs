//! A day's counts: read off the log once the day is over.

use std::collections::BTreeMap;

use store::{Entries, LogSnapshot};

use crate::alert::{Alert, BudgetVerdict, COLUMNS, Severity, State};
use crate::digest::{Digest, DigestCount};
use crate::error::Result;
use crate::format::{Format, Item, render};
use crate::lane::Press;
use crate::message::Message;
use crate::state::DigestPlace;
use crate::task::blocking;

const US_PER_S: i64 = 1_000_000;
const US_PER_DAY: i64 = 86_400 * US_PER_S;

/// The message of that day's counts, and where the next day begins.
///
/// # Errors
/// [`crate::Error::Entries`], [`crate::Error::Row`].
pub(crate) async fn made(at: DigestPlace, log: LogSnapshot, press: &Press) -> Result<(Message, DigestPlace)> {
    let press = press.clone();
    let made = move || {
        let (digest, first) = count(&press, log, at)?;
        let format = press.sink.delivery.format.unwrap_or(Format::Json);
        let message = render(format, Item::Digest(&digest), &press.context);
        Ok((message, DigestPlace { day: at.day.saturating_add(1), first }))
    };
    blocking(made).await
}

/// Counts a day, by receipt; says where the next one begins.
fn count(press: &Press, log: LogSnapshot, at: DigestPlace) -> Result<(Digest, u64)> {
    let day_start_us = at.day.saturating_mul(US_PER_DAY);
    let day_end_us = day_start_us.saturating_add(US_PER_DAY);
    let (tenant, origin) = (log.origin.tenant().to_owned(), log.origin.to_string());
    let mut counts: BTreeMap<(String, Severity, State, bool), u64> = BTreeMap::new();
    let mut next = at.first.min(log.durable);
    let durable = log.durable;
    let mut entries = Entries::new(log, next, &COLUMNS);
    'log: while let Some(rows) = entries.next_batch()? {
        let rows = press.walled(&tenant, &origin, &rows)?;
        for alert in Alert::read(&origin, &rows)?.into_iter().flatten() {
            next = alert.log_index;
            if alert.ingest_time_us >= day_end_us {
                break 'log;
            }
            next = next.saturating_add(1);
            if alert.ingest_time_us < day_start_us {
                continue;
            }
            let is_over = alert.budget_verdict == Some(BudgetVerdict::Over);
            let of = (alert.rule_id, alert.severity, alert.state, is_over);
            let counted = counts.entry(of).or_default();
            *counted = counted.saturating_add(1);
        }
    }
    let counts = counts.into_iter().map(|((rule_id, severity, state, is_over_budget), count)| DigestCount {
        rule_id,
        severity,
        state,
        is_over_budget,
        count,
    });
    let digest = Digest {
        tenant,
        log: origin,
        log_index: next.saturating_sub(1),
        day_start_us,
        day_end_us,
        counts: counts.collect(),
    };
    Ok((digest, next.min(durable)))
}
