//! The shipped pack over traffic in which nothing is wrong.

use std::collections::BTreeMap;

use schemas::Stream;
use schemas::column::Side;
use sigma::{Correlations, JsonEvent, Options, Rules};

use crate::fixture::rule_name;

/// Events of the corpus.
const EVENTS: u64 = 60_000;
/// Alerts of one rule per 10,000 healthy events that the pack may tell.
const TOLD_PER_10_000: u64 = 1;

#[test]
fn the_pack_is_quiet_over_healthy_traffic() {
    let rules = Rules::load(&Options::default()).unwrap();
    let mut state = Correlations::new(&rules);
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    let mut fed = 0;
    let options = corpus::Options { events: EVENTS, ..corpus::Options::default() };
    for (line, index) in corpus::Events::new(&options).unwrap().zip(0..) {
        let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        object.retain(|key, _| Stream::Events.column(key).is_some_and(|column| column.side == Side::Entry));
        let event = JsonEvent::parse(&serde_json::Value::Object(object.clone()).to_string()).unwrap();
        let time = object.get("time").and_then(serde_json::Value::as_str).unwrap();
        let time_us = time.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        fed += rules.matches(&event).len();
        for found in state.observe(&rules, &event, index, time_us, time_us) {
            *told.entry(rule_name(found.rule)).or_default() += 1;
        }
    }
    // Otherwise the columns were not read at all.
    assert!(fed as u64 > EVENTS / 10, "{fed} of {EVENTS} events are what a rule looks for");
    let most = EVENTS / 10_000 * TOLD_PER_10_000;
    assert!(
        told.values().all(|count| *count <= most),
        "over {EVENTS} healthy events at most {most} each: {told:#?}"
    );
}
