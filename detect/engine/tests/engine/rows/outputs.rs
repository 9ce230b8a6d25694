//! What tools give back: R29.

use engine::{Record, Severity, State};

use super::{at, episodes, of, told};
use crate::days::{Chance, DAY_US, HOUR_US, days, of_tool, with};
use crate::stream::{MINUTE_US, SECOND_US, START_US};

const CEILING: &str = "quarantine_ratio_ceiling";
const RATE: &str = "quarantine_rate";
const SIZE: &str = "oversized_output";
pub(super) const NOON_US: i64 = START_US + 24 * DAY_US + 12 * HOUR_US;

/// Of every tool one output in two hundred is held back; they are about two kilobytes, those of `query` a hundred times that.
fn usual(chance: &mut Chance, _: i64, tool: &'static str) -> Option<Record<'static>> {
    let is_held = chance.share() < 0.005;
    let typical = if tool == "query" { 200_000.0 } else { 2_000.0 };
    let response_bytes = Some((typical * chance.lognormal(0.9)) as i64);
    let output_action = Some(if is_held { "quarantine" } else { "pass" });
    Some(Record { output_action, response_bytes, ..of_tool(tool) })
}

/// So many outputs of a tool in a quarter of an hour from noon on, one in so many held back.
fn noon(tool: &'static str, outputs: i64, one_in: i64) -> impl Iterator<Item = Record<'static>> {
    (0..outputs).map(move |number| {
        let is_held = number % one_in == one_in - 1;
        let output_action = Some(if is_held { "quarantine" } else { "pass" });
        let time_us = NOON_US + number * 15 * MINUTE_US / outputs;
        at(time_us, Record { output_action, response_bytes: Some(2_000), ..of_tool(tool) })
    })
}

/// Weeks in which all is usual, and a noon at which `read` is at 2.2 %, `send` at 5 %, `merge` at 0.9 % and `list` at 3 of 100; then one output
/// of 40 MB of `search` and one of 2 MB of `query`.
pub(super) fn outputs() -> Vec<Record<'static>> {
    let quarter = noon("read", 1_800, 45).chain(noon("send", 900, 20)).chain(noon("merge", 1_800, 111));
    let huge =
        |tool, bytes| Record { response_bytes: Some(bytes), output_action: Some("pass"), ..of_tool(tool) };
    let sizes = [
        at(NOON_US + 2 * HOUR_US, huge("search", 40_000_000)),
        at(NOON_US + 2 * HOUR_US + SECOND_US, huge("query", 2_000_000)),
    ];
    with(days(25, 10, 1, usual), quarter.chain(noon("list", 100, 33)).chain(sizes))
}

#[test]
fn r29_quarantined_outputs_from_one_and_three_percent_on_and_oversized_ones_are_told() {
    let records = outputs();
    let alerts = told(&records);
    // `merge` is below the target of 1 %. `list` is over it with 3 of 100, and is not told: where the true share is 1 %, one such quarter of an
    // hour in thirteen has as many (`ceiling_chance_ppm`). So of a tool with few outputs 1 % to 3 % are seldom told, and 3 % not always.
    let at_noon = of(&alerts, [CEILING]).filter(|alert| alert.last_seen_us >= NOON_US);
    let mut found = episodes(at_noon);
    found.sort_unstable();
    assert_eq!(
        found,
        [(CEILING, "github/read", Severity::Medium), (CEILING, "github/send", Severity::High)],
        "{alerts:#?}"
    );
    for (tool, ratio_ppm) in [("github/read", 10_000..30_000), ("github/send", 30_000..60_000)] {
        let mut of_tool =
            of(&alerts, [CEILING]).filter(|alert| alert.entity == tool && alert.last_seen_us >= NOON_US);
        let first = of_tool.next().unwrap();
        let told_us = records[first.position as usize].time_us;
        assert!(
            (NOON_US..NOON_US + 15 * MINUTE_US).contains(&told_us),
            "{tool}: {}",
            (told_us - NOON_US) / MINUTE_US
        );
        assert_eq!((first.expected, first.window_us), (Some(10_000), Some(15 * MINUTE_US)));
        assert!(ratio_ppm.contains(&first.observed.unwrap()), "{first:?}");
        assert!(
            first.explanation.contains("the ceiling is 1.00 %, severe from 3.00 % on"),
            "{}",
            first.explanation
        );
        assert_eq!(of_tool.last().unwrap().state, State::Closed);
    }
    // By their own past the two are told as well, and the others are not.
    let since = of(&alerts, [RATE]).filter(|alert| alert.first_seen_us >= NOON_US);
    let mut found = episodes(since);
    found.sort_unstable();
    let expected = [(RATE, "github/read", Severity::High), (RATE, "github/send", Severity::High)];
    assert_eq!(found, expected, "{alerts:#?}");
    let sizes: Vec<_> = of(&alerts, [SIZE]).filter(|alert| alert.state == State::Open).collect();
    let [huge] = &sizes[..] else { panic!("{sizes:#?}") };
    assert_eq!((huge.entity.as_str(), huge.observed), ("github/search", Some(40_000_000)));
    assert_eq!(records[huge.position as usize].time_us, NOON_US + 2 * HOUR_US, "with its record");
}
