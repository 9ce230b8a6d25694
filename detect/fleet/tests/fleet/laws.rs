//! What holds of every stream.

use std::collections::BTreeMap;

use fleet::{Class, Digest, Fleet, Options};

fn options(seed: u64, days: i64) -> Options {
    Options { seed, days, principals: 60, is_benign: false }
}

fn digest(options: &Options) -> (i64, String) {
    let (mut digest, mut count) = (Digest::default(), 0);
    for logged in Fleet::new(options) {
        logged.event.with_record(logged.index, |record| digest.add(record));
        count += 1;
    }
    (count, digest.hex())
}

#[test]
fn a_seed_gives_its_own_records_and_no_others() {
    let first = digest(&options(1, 9));
    assert_eq!(first, digest(&options(1, 9)));
    assert_ne!(first.1, digest(&options(2, 9)).1);
    assert!(first.0 > 30_000, "{first:?}");
}

#[test]
fn records_come_in_the_order_of_the_log() {
    let mut fleet = Fleet::new(&options(3, 9));
    let (mut received_us, mut late, mut later) = (i64::MIN, 0, 0);
    let mut sequences: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    let mut expected = 0;
    for logged in &mut fleet {
        let event = &logged.event;
        assert_eq!(logged.index, expected);
        expected += 1;
        assert!(event.ingest_time_us >= received_us && event.ingest_time_us > event.time_us);
        received_us = event.ingest_time_us;
        let delay_s = (event.ingest_time_us - event.time_us) / 1_000_000;
        late += i64::from(delay_s > 30);
        later += i64::from(delay_s > 600);
        let sequence = event.source_seq.unwrap();
        sequences.entry(event.source.to_string()).or_default().push((event.time_us, sequence));
    }
    assert!(late * 1_000 > expected && later > 0 && later * 100 < expected, "{late} {later} {expected}");
    for (source, mut seen) in sequences {
        seen.sort_by_key(|(_, sequence)| *sequence);
        // Numbered by time at the source, none left out, none twice.
        for pair in seen.windows(2) {
            assert!(pair[0].0 <= pair[1].0 && pair[0].1 + 1 == pair[1].1, "{source} {pair:?}");
        }
    }
}

#[test]
fn what_waits_does_not_grow() {
    let mut fleet = Fleet::new(&options(4, 30));
    let mut most = [0, 0];
    while let Some(logged) = fleet.next() {
        let half = usize::from(logged.event.time_us >= fleet::calendar::start(15));
        most[half] = most[half].max(fleet.waiting());
    }
    assert!(most[1] < 2 * most[0] && most[1] < 20_000, "{most:?}");
}

#[test]
fn principals_work_as_much_as_they_should_and_when_they_should() {
    let options = Options { is_benign: true, ..options(5, 21) };
    let mut fleet = Fleet::new(&options);
    let (mut calls, mut expected) = (BTreeMap::<String, u64>::new(), BTreeMap::new());
    let mut night = [0_u64; 2];
    for one in &fleet.world().principals {
        expected.insert(one.id().to_owned(), (one.class, one.calls(0, 21)));
    }
    let zones: BTreeMap<String, _> =
        fleet.world().principals.iter().map(|one| (one.id().to_owned(), one.zone)).collect();
    for logged in &mut fleet {
        let event = &logged.event;
        if event.kind != "call" || event.status == "pending" {
            continue;
        }
        let id = event.agent_id.as_ref().or(event.user_id.as_ref()).unwrap().to_string();
        if expected[&id].0 == Class::Desk {
            night[usize::from((1.0..5.0).contains(&zones[&id].hour(event.time_us)))] += 1;
        }
        *calls.entry(id).or_default() += 1;
    }
    assert!(night[1] * 30 < night[0], "{night:?}");
    let (mut found, mut law) = (0.0, 0.0);
    for (id, (class, expected)) in &expected {
        let seen = calls.get(id).copied().unwrap_or(0) as f64;
        found += seen;
        law += expected;
        if *class == Class::Service && *expected > 0.0 {
            assert!((0.5..2.0).contains(&(seen / expected)), "{id} {seen} {expected}");
        }
    }
    assert!((0.8..1.2).contains(&(found / law)), "{found} {law}");
}
