//! Sessions that begin when their principal's do not.

use engine::{Engine, Settings, Severity};

use crate::sessions::{Act, Chance, DAY_US, HOUR_US, act, alerts, assert_restores, at, fold, opened, sorted};
use crate::stream::{MINUTE_US, call, login};

const RULE: &str = "off_hours";
const PEOPLE: usize = 12;

/// Days of people who begin four sessions a day between 8 and 18 o'clock, Mondays to Fridays (the first day is a Thursday).
pub fn people(days: std::ops::Range<i64>, seed: u64) -> Vec<Act> {
    let (mut chance, mut all) = (Chance(seed), Vec::new());
    for day in days.filter(|day| ![2, 3].contains(&(day % 7))) {
        for person in 0..PEOPLE {
            for quarter in 0..4 {
                let time_us = at(day, 8) + quarter * 150 * MINUTE_US + chance.below(110) * MINUTE_US;
                let name = format!("person-{person}");
                all.extend((0..3).map(|minute| act(time_us + minute * MINUTE_US, &name, "s", "read")));
            }
        }
    }
    all
}

/// The same with what somebody does besides, and a record a day later.
fn with(days: i64, more: Vec<Act>) -> Vec<Act> {
    let mut all = people(0..days, 1);
    all.extend(more);
    let end_us = all.iter().map(|act| act.time_us).max().unwrap();
    all.push(act(end_us + DAY_US, "clock", "c", "read"));
    all
}

fn told(all: Vec<Act>, name: &str) -> Vec<i64> {
    let found = alerts(all);
    let of = opened(&found, RULE).into_iter().filter(|alert| alert.entity == name);
    of.map(|alert| (alert.first_seen_us - at(0, 0)) / HOUR_US).collect()
}

#[test]
fn a_session_at_night_is_told_once_and_is_low() {
    let night = (0..50).map(|minute| act(at(43, 3) + minute * MINUTE_US, "person-3", "night", "read"));
    let found = alerts(with(43, night.collect()));
    let of = opened(&found, RULE);
    let of: Vec<_> = of.iter().filter(|alert| alert.first_seen_us >= at(43, 0)).collect();
    assert_eq!(of.len(), 1, "{of:#?}");
    assert_eq!((of[0].entity.as_str(), of[0].severity), ("person-3", Severity::Low));
    assert_eq!(of[0].first_seen_us, at(43, 3), "by its first record");
    assert!(of[0].explanation.contains("on Friday between 3 and 4 o'clock UTC"), "{}", of[0].explanation);
}

#[test]
fn ordinary_weeks_open_no_more_than_the_budget() {
    for seed in 3..6 {
        let found = alerts(people(0..70, seed));
        let opened = opened(&found, RULE).len();
        eprintln!("seed {seed}: {opened} in 70 days");
        // Half an episode a day may open by chance; about 50 days are judged.
        assert!(opened <= 25, "seed {seed}: {opened}");
    }
}

#[test]
fn who_works_round_the_clock_is_not_told_of() {
    // At every hour but three.
    let mut chance = Chance(7);
    let watches = (0..43).flat_map(|day| (6..27).map(move |hour| at(day, hour)));
    let agent = watches.map(|hour_us| act(hour_us + chance.below(25) * MINUTE_US, "agent", "s", "read"));
    let night = act(at(43, 4), "agent", "night", "read");
    assert_eq!(told(with(43, agent.chain([night]).collect()), "agent"), [0_i64; 0]);
}

#[test]
fn a_job_that_a_clock_starts_is_not_told_of_when_it_is_moved() {
    let mut chance = Chance(8);
    let job = (0..43).map(|day| act(at(day, 2) + chance.below(20) * 1_000_000, "job", "s", "read"));
    let moved = act(at(43, 5), "job", "s", "read");
    assert_eq!(told(with(43, job.chain([moved]).collect()), "job"), [0_i64; 0]);
    // Somebody who begins as rarely, and by no clock, is.
    let mut chance = Chance(9);
    let rare = (0..43).map(|day| act(at(day, 8) + chance.below(120) * MINUTE_US, "rare", "s", "read"));
    let moved = act(at(43, 2), "rare", "s", "read");
    assert!(!told(with(43, rare.chain([moved]).collect()), "rare").is_empty());
}

#[test]
fn failures_in_the_night_do_not_make_it_usual() {
    let night = |day: i64| (0..3).map(move |minute| (day, at(day, 3) + minute * MINUTE_US));
    let failures = (10..43).flat_map(night).map(|(day, time_us)| {
        let failure = act(time_us, "person-3", "s", "read").with(login(false));
        let denied = call();
        if day % 2 == 0 { failure } else { failure.with(engine::Record { decision: "deny", ..denied }) }
    });
    let all = failures.chain([act(at(43, 3), "person-3", "night", "read")]).collect();
    assert_eq!(told(with(43, all), "person-3"), [43 * 24 + 3]);
}

#[test]
fn the_first_nights_of_somebody_who_means_to_make_them_usual_are_told() {
    let nights = (41..60).map(|day| act(at(day, 3), "person-3", "night", "read")).collect();
    let told = told(with(60, nights), "person-3");
    assert!((41..44).all(|day| told.contains(&(day * 24 + 3))), "{told:?}");
}

#[test]
fn a_session_kept_awake_into_the_night_begins_there() {
    let mut wake = Vec::new();
    let mut time_us = at(42, 18);
    while time_us < at(43, 4) {
        wake.push(act(time_us, "person-3", "day", "read"));
        time_us += 20 * MINUTE_US;
    }
    let told = told(with(43, wake), "person-3");
    assert!(told.contains(&(43 * 24 + 2)), "{told:?}");
}

#[test]
fn an_offset_moves_the_hours() {
    let mut settings = Settings::default();
    settings.off_hours.zones_min.insert("person-3".to_owned(), -600);
    let night = act(at(43, 3), "person-3", "night", "read");
    let found = fold(&mut Engine::new("acme", settings.clone()), &sorted(with(43, vec![night])));
    let of = opened(&found, RULE);
    let of: Vec<_> = of.iter().filter(|alert| alert.first_seen_us == at(43, 3)).collect();
    assert!(of[0].explanation.contains("on Thursday between 17 and 18 o'clock of its zone"), "{of:#?}");
    settings.off_hours.zones_min.insert("person-3".to_owned(), 1_000);
    assert!(settings.validate().unwrap_err().to_string().contains("off_hours.zones_min.person-3"));
}

#[test]
fn a_flood_of_identities_leaves_those_that_are_known() {
    let settings = Settings { entities_max: 64, ..Settings::default() };
    let mut engine = Engine::new("acme", settings);
    let mut found = fold(&mut engine, &sorted(people(0..43, 1)));
    for flood in 0..5_000_i64 {
        let name = format!("flood-{flood}");
        act(at(43, 2) + flood, &name, &name, "read").observe(&mut engine, &mut found);
    }
    act(at(43, 3), "person-3", "night", "read").observe(&mut engine, &mut found);
    assert!(opened(&found, RULE).iter().any(|alert| alert.first_seen_us == at(43, 3)));
}

#[test]
fn folding_and_restoring_commute() {
    let mut all = with(43, vec![act(at(43, 3), "person-3", "night", "read")]);
    all.extend(people(45..52, 2));
    let all = sorted(all);
    assert_restores(&all, &Settings::default());
    assert_restores(&all, &Settings { entities_max: 8, episodes_open_max: 1, ..Settings::default() });
}
