//! Who reports: R34.

use engine::{Record, Severity, State};

use super::{episodes, of, told};
use crate::days::{DAY_US, HOUR_US, with};
use crate::sources::weeks;
use crate::stream::{MINUTE_US, START_US};

const SILENT: &str = "silent_source";
const GAP: &str = "sequence_gap";

/// Noon of a day.
fn noon_us(day: i64) -> i64 {
    START_US + day * DAY_US + 12 * HOUR_US
}

/// Weeks of a gateway and of a tap that number what they send, and of a batch at two in the morning. At noon of one day, and for an hour, one in
/// ten of the gateway's records comes fifty minutes late; of the next day's five never come; two days later the tap says nothing for two hours.
pub(super) fn reports() -> Vec<Record<'static>> {
    let silent = noon_us(22)..noon_us(22) + 2 * HOUR_US;
    let spoken = weeks(24, 1, |source, at_us| source != "tap/1" || !silent.contains(&(START_US + at_us)));
    let (mut of_gate, mut of_tap, mut lost) = (0, 0, 0);
    let number = |record: Record<'static>| {
        let is_gate = record.source == "gate/1";
        let (sent, observer) = match record.source {
            "gate/1" => (&mut of_gate, "gateway"),
            "tap/1" => (&mut of_tap, "tap"),
            _ => return Some(record),
        };
        *sent += 1;
        let is_lost = is_gate && record.time_us >= noon_us(20) && lost < 5;
        lost += i32::from(is_lost);
        let is_held =
            is_gate && *sent % 10 == 0 && (noon_us(19)..noon_us(19) + HOUR_US).contains(&record.time_us);
        let ingest_time_us = record.time_us + if is_held { 50 * MINUTE_US } else { 0 };
        let numbered = Record { source_seq: Some(*sent), observer: Some(observer), ingest_time_us, ..record };
        (!is_lost).then_some(numbered)
    };
    with(spoken.into_iter().filter_map(number).collect(), [])
}

#[test]
fn r34_a_source_that_falls_silent_and_numbers_that_never_came_are_told() {
    let records = reports();
    let alerts = told(&records);
    // The batch is silent for 23 hours of every day, and what comes late has come.
    let expected = [(GAP, "gate/1", Severity::High), (SILENT, "tap/1", Severity::Medium)];
    assert_eq!(episodes(of(&alerts, [SILENT, GAP])), expected, "{alerts:#?}");
    let first = |rule| {
        let alert = of(&alerts, [rule]).next().unwrap();
        (alert, records[alert.position as usize].time_us)
    };
    let (gap, told_us) = first(GAP);
    assert_eq!((gap.observed, gap.expected), (Some(5), Some(0)));
    // Numbers are waited for four hours, in which a collector may send what it held back.
    let waited = 4 * HOUR_US..4 * HOUR_US + 15 * MINUTE_US;
    assert!(waited.contains(&(told_us - noon_us(20))), "{} min", (told_us - noon_us(20)) / MINUTE_US);
    let (silent, told_us) = first(SILENT);
    assert!(
        (noon_us(22)..noon_us(22) + HOUR_US).contains(&told_us),
        "{} min",
        (told_us - noon_us(22)) / MINUTE_US
    );
    assert_eq!((silent.entity_type.as_str(), silent.observed), ("source", Some(0)));
    let before =
        records.iter().rposition(|record| record.source == "tap/1" && record.time_us < noon_us(22)).unwrap();
    assert_eq!(silent.evidence, [before as i64], "the last that it said");
    let closed = of(&alerts, [SILENT]).find(|alert| alert.state == State::Closed).unwrap();
    assert!(records[closed.position as usize].time_us > noon_us(22) + 2 * HOUR_US, "closed once it is back");
}
