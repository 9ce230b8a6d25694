//! Rules on sources: one that falls silent, and numbers that never came.

use engine::{Engine, Record, Settings, Severity, State};
use proptest::prelude::*;

use crate::days::{Chance, DAY_US, HOUR_US, commutes, fold, opened, with};
use crate::stream::{MINUTE_US, SECOND_US, START_US, Stream, call};

const SILENT: &str = "silent_source";
const GAP: &str = "sequence_gap";
const BUCKET_US: i64 = 5 * MINUTE_US;

/// Numbers are waited for no longer than anything else.
fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.sequence_gap.wait_s = settings.lateness_s;
    settings
}

fn of_source(source: &'static str, time_us: i64) -> Record<'static> {
    Record { source, time_us, ingest_time_us: time_us, agent_id: None, user_id: None, ..call() }
}

/// A gateway that is busy by day, a tap that speaks now and then, and a batch at two in the morning. `is_there` says whether one speaks.
pub fn weeks(days: i64, seed: u64, is_there: impl Fn(&'static str, i64) -> bool) -> Vec<Record<'static>> {
    let (mut chance, mut all) = (Chance(seed), Vec::new());
    for bucket in 0..days * 288 {
        let hour = bucket / 12 % 24;
        let is_day = (7..20).contains(&hour);
        for (source, busy) in [
            ("gate/1", if is_day { 14.0 } else { 5.0 }),
            ("tap/1", if is_day { 9.0 } else { 3.0 }),
            ("batch/1", if hour == 2 { 60.0 } else { 0.0 }),
        ] {
            let count = (busy * chance.lognormal(0.5)) as i64;
            for _ in 0..count {
                let at_us = bucket * BUCKET_US + (chance.share() * BUCKET_US as f64) as i64;
                if is_there(source, at_us) {
                    all.push(of_source(source, START_US + at_us));
                }
            }
        }
    }
    with(all, [])
}

const NOON: i64 = 22 * DAY_US + 12 * HOUR_US;

fn away(source: &'static str, from_us: i64, for_us: i64) -> impl Fn(&'static str, i64) -> bool {
    move |of, at_us| of != source || !(from_us..from_us + for_us).contains(&at_us)
}

#[test]
fn a_source_that_stops_is_told_once_until_it_is_back() {
    let records = weeks(24, 1, away("tap/1", NOON, 2 * HOUR_US));
    let alerts = fold(&mut Engine::new("acme", settings()), &records);
    let found = opened(&alerts, SILENT);
    assert_eq!(found.len(), 1, "{found:#?}");
    let alert = found[0];
    assert_eq!((alert.entity.as_str(), alert.entity_type.as_str()), ("tap/1", "source"));
    assert!(alert.expected >= Some(20) && alert.observed == Some(0), "{alert:?}");
    let told_us = records[alert.position as usize].time_us - START_US;
    assert!((NOON..NOON + HOUR_US).contains(&told_us), "after {} min", (told_us - NOON) / MINUTE_US);
    let last = records[alert.evidence[0] as usize];
    assert!(last.source == "tap/1" && last.time_us < START_US + NOON);
    assert_eq!(alert.first_seen_us, last.time_us);
    let closed = alerts.iter().find(|one| one.alert_id == alert.alert_id && one.state == State::Closed);
    let closed = closed.expect("not closed");
    let since = format!("no record since log index {},", alert.evidence[0]);
    assert!(closed.explanation.contains(&since), "what it said since is none: {}", closed.explanation);
    let closed_us = records[closed.position as usize].time_us - START_US;
    assert!(closed_us > NOON + 2 * HOUR_US, "{}", (closed_us - NOON) / MINUTE_US);
}

#[test]
fn a_batch_that_does_not_come_is_told_and_its_quiet_days_are_not() {
    let alerts = fold(&mut Engine::new("acme", settings()), &weeks(30, 2, |_, _| true));
    let found = opened(&alerts, SILENT).len();
    eprintln!("{found} in ordinary weeks");
    // Half an episode a day may open by chance, and about 13 days are judged.
    assert!(found <= 6, "{:#?}", opened(&alerts, SILENT));
    let away = away("batch/1", 25 * DAY_US, 3 * DAY_US);
    let alerts = fold(&mut Engine::new("acme", settings()), &weeks(30, 2, away));
    let found = opened(&alerts, SILENT);
    let batch = found.iter().find(|alert| alert.entity == "batch/1").expect("no alert");
    assert!(batch.last_seen_us < START_US + 25 * DAY_US, "{batch:?}");
}

#[test]
fn a_log_that_is_silent_as_a_whole_accuses_nobody() {
    let five_hours = |_: &'static str, at_us: i64| !(NOON..NOON + 5 * HOUR_US).contains(&at_us);
    let ticks = (0..300).map(|minute| {
        let time_us = START_US + NOON + minute * MINUTE_US;
        Record { control: true, ..of_source("own", time_us) }
    });
    let alerts = fold(&mut Engine::new("acme", settings()), &with(weeks(24, 3, five_hours), ticks));
    assert!(opened(&alerts, SILENT).is_empty(), "{:#?}", opened(&alerts, SILENT));
}

#[test]
fn a_clock_moved_by_control_records_tells_while_others_speak() {
    let away = away("tap/1", NOON, DAY_US);
    let records: Vec<_> =
        weeks(23, 4, away).into_iter().filter(|record| record.time_us < START_US + NOON + HOUR_US).collect();
    let mut engine = Engine::new("acme", settings());
    let mut alerts = fold(&mut engine, &records);
    let end = of_source("own", START_US + NOON + 2 * HOUR_US);
    engine.observe(&Record { control: true, index: records.len() as i64, ..end }, &mut alerts).unwrap();
    assert_eq!(opened(&alerts, SILENT).len(), 1);
}

#[test]
fn who_is_new_is_not_missed_and_floods_hide_nobody() {
    let names: &'static [String] = Vec::leak((0..3_000).map(|number| format!("flood/{number}")).collect());
    let flood = names.iter().zip(0..).flat_map(|(name, at)| {
        (0..3).map(move |more| of_source(name.as_str(), START_US + 21 * DAY_US + at * 10 * SECOND_US + more))
    });
    let mut settings = settings();
    settings.silent_source.sources_max = 16;
    let records = with(weeks(24, 5, away("tap/1", NOON, 2 * HOUR_US)), flood);
    let mut engine = Engine::new("acme", settings);
    let alerts = fold(&mut engine, &records);
    let found = opened(&alerts, SILENT);
    assert!(found.iter().all(|alert| !alert.entity.starts_with("flood")), "{found:#?}");
    assert!(found.iter().any(|alert| alert.entity == "tap/1"), "{found:#?}");
    assert!(engine.snapshot().len() < 2_000_000, "{}", engine.snapshot().len());
}

#[test]
fn silences_of_the_week_before_do_not_excuse_the_next() {
    let away = |of: &'static str, at_us: i64| {
        let is_away =
            [13, 15, 16, 22].contains(&(at_us / DAY_US)) && (12..14).contains(&(at_us % DAY_US / HOUR_US));
        of != "tap/1" || !is_away
    };
    let alerts = fold(&mut Engine::new("acme", settings()), &weeks(24, 6, away));
    let found = opened(&alerts, SILENT);
    assert!(found.iter().any(|alert| alert.first_seen_us >= START_US + NOON - HOUR_US), "{found:#?}");
}

#[test]
fn folding_and_restoring_commute_over_weeks() {
    let numbered = |records: Vec<Record<'static>>| -> Vec<Record<'static>> {
        // Numbers in the order of the log, one of a thousand never sent.
        let number = |(at, record): (i64, Record<'static>)| Record {
            source_seq: Some(at + at / 1_000),
            observer: Some("gateway"),
            ..record
        };
        (0..).zip(records).map(number).collect()
    };
    let records = numbered(weeks(24, 7, away("tap/1", NOON, 2 * HOUR_US)));
    let at = |from_us: i64| records.partition_point(|record| record.time_us < START_US + from_us);
    let splits = [
        0,
        1,
        at(3 * DAY_US),
        at(12 * DAY_US + 5),
        at(NOON + HOUR_US / 2),
        at(NOON + HOUR_US),
        at(NOON + 3 * HOUR_US),
    ];
    commutes(&records, &settings(), &splits);
    let alerts = fold(&mut Engine::new("acme", settings()), &records);
    assert!(!opened(&alerts, GAP).is_empty() && !opened(&alerts, SILENT).is_empty());
}

fn numbered(number: i64) -> Record<'static> {
    Record { source_seq: Some(number), observer: Some("tap"), session_id: "a", ..call() }
}

/// What was told, after all holes are due and all episodes closed.
fn missing(mut log: Stream) -> Option<i64> {
    log.tick(20 * MINUTE_US);
    log.tick(600 * MINUTE_US);
    let last = log.of(GAP).last()?;
    assert_eq!(last.state, State::Closed);
    last.observed
}

fn log(numbers: impl IntoIterator<Item = i64>) -> Stream {
    let mut log = Stream::new(settings());
    for number in numbers {
        log.add(numbered(number));
        log.wait(SECOND_US);
    }
    log
}

#[test]
fn a_hole_is_told_when_nothing_has_filled_it_in_time() {
    let mut log = log([1, 2, 3, 6, 7]);
    assert!(log.is_quiet(), "it may still come");
    log.tick(9 * MINUTE_US);
    assert!(log.is_quiet());
    log.tick(2 * MINUTE_US);
    let alert = log.of(GAP).next().expect("no alert").clone();
    assert_eq!((alert.observed, alert.severity, alert.state), (Some(2), Severity::High, State::Open));
    assert_eq!(alert.evidence, [3]);
    assert!(
        alert
            .explanation
            .contains("2 numbers in 1 holes never came, the last of them 4 to 5 before log index 3"),
        "{alert:?}"
    );
    assert!(alert.query.contains("source = 'test/1'"), "{}", alert.query);
    assert_eq!(missing(log), Some(2));
}

#[test]
fn order_duplicates_and_numbers_that_start_again_are_no_holes() {
    assert_eq!(missing(log([3, 1, 2, 5, 4, 4, 1, 6])), None);
    assert_eq!(missing(log((5_000..5_100).chain(1..200))), None, "a run that starts again below");
    assert_eq!(missing(log((1..100).chain(1..150))), None, "and within");
    assert_eq!(missing(log((1_500..1_510).chain([1_400]))), Some(99), "near below is the same run");
    assert_eq!(missing(log([-5, i64::MIN, -1])), None);
}

#[test]
fn sessions_number_apart_and_gateways_through_them() {
    let mut log = Stream::new(settings());
    for (observer, source, session_id, number) in [
        ("tap", "tap/1", "a", 1),
        ("tap", "tap/1", "b", 1),
        ("tap", "tap/1", "a", 2),
        ("tap", "tap/1", "b", 2),
        ("gateway", "gate/1", "a", 7),
        ("gateway", "gate/1", "b", 8),
        ("gateway", "gate/1", "c", 11),
    ] {
        let record = Record { observer: Some(observer), source, session_id, ..numbered(number) };
        log.add(record);
    }
    log.tick(20 * MINUTE_US);
    let told: Vec<_> = log.of(GAP).map(|alert| (alert.entity.as_str(), alert.observed)).collect();
    assert_eq!(told, [("gate/1", Some(2))]);
}

#[test]
fn a_number_far_ahead_hides_nothing_after_it() {
    let mut log = log([1, 2, i64::MAX]);
    log.tick(11 * MINUTE_US);
    assert_eq!(log.of(GAP).next().unwrap().observed, Some(1_000_000_000_000));
    log.tick(600 * MINUTE_US);
    assert_eq!(log.states(GAP), [State::Open, State::Closed]);
    for number in [3, 4, 8, 9] {
        log.add(numbered(number));
    }
    log.tick(11 * MINUTE_US);
    let last = log.of(GAP).last().unwrap();
    assert_eq!((last.state, last.observed), (State::Open, Some(3)), "{last:?}");
}

#[test]
fn a_flood_of_sessions_hides_no_hole() {
    let mut settings = settings();
    settings.sequence_gap.runs_max = 16;
    // Those have bounds of their own.
    settings.disabled = ["unusual_tools", "off_hours", "new_network"].map(str::to_owned).into();
    let mut log = Stream::new(settings);
    log.add(numbered(1));
    log.add(numbered(9));
    for flood in 0..2_000 {
        let session_id = format!("flood-{flood}");
        let holed = Record { source: "other/1", session_id: &session_id, ..numbered(1) };
        log.add(holed);
        log.add(Record { source_seq: Some(4), ..holed });
        log.add(Record { source_seq: Some(8), ..holed });
    }
    let size = log.engine.snapshot().len();
    assert!(size < 100_000, "{size}");
    log.tick(20 * MINUTE_US);
    log.tick(600 * MINUTE_US);
    let last = |source: &str| {
        log.of(GAP).filter(|alert| alert.entity == source).last().and_then(|alert| alert.observed)
    };
    assert_eq!(last("test/1"), Some(7));
    assert_eq!(last("other/1"), Some(2_000 * 5), "each of them is told, those that had to go as well");
    // More holes than are kept of one run.
    let many = (0..400).map(|number| number * 2);
    assert_eq!(missing(self::log(many)), Some(399));
}

/// Whether numbers that were skipped on the way are told as such within twenty minutes.
fn tells_skipped(mut log: Stream, skipped: std::ops::RangeInclusive<i64>) -> bool {
    log.tick(20 * MINUTE_US);
    let words = format!("the last of them {} to {} before", skipped.start(), skipped.end());
    log.of(GAP).any(|alert| alert.explanation.contains(&words))
        || (log.tick(600 * MINUTE_US), log.of(GAP).any(|alert| alert.explanation.contains(&words))).1
}

fn add(log: &mut Stream, numbers: impl IntoIterator<Item = i64>) {
    for number in numbers {
        log.add(numbered(number));
        log.wait(SECOND_US);
    }
}

#[test]
fn numbers_that_somebody_made_up_make_no_later_one_a_duplicate() {
    // One far ahead, several, and so many near and far that no told hole is left to go on in.
    let many = || (1..80).map(|at| 1_000 + at * at * 50).collect::<Vec<i64>>();
    for forged in [vec![1_900], vec![1_000_000, 1_000_000_000], vec![i64::MAX, 5_000], many()] {
        let mut log = log(1..1_000);
        add(&mut log, forged.iter().copied());
        // All of it is told, and closed.
        log.tick(20 * MINUTE_US);
        log.tick(600 * MINUTE_US);
        assert_eq!(log.states(GAP).last(), Some(&State::Closed), "{forged:?}");
        add(&mut log, (1_000..1_040).chain(1_045..1_060));
        assert!(tells_skipped(log, 1_040..=1_044), "{forged:?}");
    }
}

#[test]
fn a_restart_is_no_blind_spot() {
    // At one, within what the log has; twice; in the middle; and of a run that began far above.
    let restart = |first: i64, before: &[(i64, i64)]| {
        let mut log = log(before.iter().flat_map(|(first, end)| *first..*end));
        add(&mut log, (first..first + 20).chain(first + 25..first + 60));
        log
    };
    let twice: &[(i64, i64)] = &[(1, 2_000), (1, 900)];
    for (first, before) in [(1, &twice[..1]), (1, twice), (700, &twice[..1]), (0, &[(90_000, 90_100)])] {
        let log = restart(first, before);
        assert!(tells_skipped(log, first + 20..=first + 24), "{first} {before:?}");
    }
    // Two of three are lost from the first one on.
    let mut lossy = log(1..2_000);
    add(&mut lossy, (0..60).map(|at| 1 + 3 * at));
    assert!(missing(lossy) >= Some(80));
    // Nothing is missing where the old numbering goes on, nor where what came is sent once more.
    assert_eq!(missing(log((1..2_000).chain(1..300).chain(2_000..2_100))), None);
    assert_eq!(missing(log((1..2_000).chain(1_500..2_100))), None);
    assert_eq!(missing(log((1..2_000).chain((1..300).rev()).chain(2_000..2_001))), None);
    // Two of one name that count each for itself, and one of them loses some.
    let mut two = log(1..500);
    add(&mut two, (1..200).flat_map(|at| [at, 499 + at]).filter(|number| !(90..95).contains(number)));
    assert!(tells_skipped(two, 90..=94));
}

#[test]
fn a_number_far_below_is_no_run_of_its_own() {
    // Made up by somebody, again and again: neither do the real ones count as missing, nor is what is skipped hidden.
    let mut log = log(5_000..5_100);
    for at in 0..50 {
        add(&mut log, [at % 3 * 7, 5_100 + at]);
    }
    assert_eq!(missing(log), None);
    let mut log = self::log(5_000..5_100);
    add(&mut log, [0, 5_100, 0, 5_103]);
    assert_eq!(missing(log), Some(2));
}

#[test]
fn what_is_lost_one_by_one_adds_up() {
    let mut settings = settings();
    settings.sequence_gap.missing_min = 5;
    let mut log = Stream::new(settings);
    let mut told_at = None;
    for lost in 0..8 {
        log.add(numbered(lost * 10));
        (1..9).for_each(|more| log.add(numbered(lost * 10 + more)));
        log.tick(60 * MINUTE_US);
        told_at = told_at.or((log.of(GAP).count() > 0).then_some(lost));
    }
    // One of ten is missing from the second on.
    assert_eq!(told_at, Some(5));
    assert_eq!(log.of(GAP).next().unwrap().observed, Some(5));
}

#[test]
fn an_episode_of_a_day_ends_and_the_next_hole_is_another() {
    let mut log = Stream::new(settings());
    let mut number = 0;
    for _ in 0..52 {
        (number..number + 9).for_each(|number| log.add(numbered(number)));
        number += 10;
        log.tick(30 * MINUTE_US);
    }
    let opened: Vec<_> = log.of(GAP).filter(|alert| alert.state == State::Open).collect();
    assert_eq!(opened.len(), 2, "{opened:#?}");
    assert_eq!(opened[1].observed, Some(1), "it counts for itself");
}

#[test]
fn wild_times_and_numbers_are_survived() {
    let mut log = Stream::new(settings());
    let wild = [i64::MIN, -1, 0, 1, i64::MAX - 1, i64::MAX];
    for time_us in wild {
        for number in wild {
            log.add_at(numbered(number), time_us);
        }
    }
    log.now_us = i64::MAX;
    for number in wild {
        log.add_at(numbered(number), i64::MAX);
    }
    assert!(log.engine.snapshot().len() < 100_000);
}

proptest! {
    /// As the table `sources` has it: the span of the numbers less how many there are. No more holes than are kept.
    #[test]
    fn what_is_missing_is_what_the_table_says(numbers in prop::collection::vec(0_i64..64, 1..120)) {
        let distinct: std::collections::BTreeSet<i64> = numbers.iter().copied().collect();
        let span = distinct.last().unwrap() - distinct.first().unwrap() + 1;
        let expected = span - distinct.len() as i64;
        let mut log = Stream::new(settings());
        numbers.iter().for_each(|number| log.add(numbered(*number)));
        prop_assert_eq!(missing(log).unwrap_or(0), expected);
    }

    /// Runs of numbers that start anew, jump and come again, with snapshots between.
    #[test]
    fn folding_and_restoring_commute_over_numbers(
        runs in prop::collection::vec((0_i64..3_000, 1_i64..40, 1_i64..4, 0_i64..900), 1..25),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 3),
    ) {
        let (mut records, mut time_us) = (Vec::new(), START_US);
        for (first, many, step, wait_s) in runs {
            time_us += wait_s * SECOND_US;
            for at in 0..many {
                let index = records.len() as i64;
                records.push(Record { index, time_us, ingest_time_us: time_us, ..numbered(first + at * step) });
                time_us += SECOND_US;
            }
        }
        let mut splits: Vec<usize> = cuts.iter().map(|cut| cut.index(records.len())).collect();
        splits.sort_unstable();
        let others = engine::RULE_IDS.iter().filter(|rule| **rule != GAP);
        let disabled = others.map(|rule| (*rule).to_owned()).collect();
        let mut settings = Settings { disabled, ..settings() };
        settings.sequence_gap.missing_min = 3;
        commutes(&records, &settings, &splits);
    }
}
