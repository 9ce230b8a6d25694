//! Evidence bundles: what the store exports the verifier accepts with the root key alone, and nothing that was changed in one.

#![allow(clippy::print_stdout, reason = "says what a run found")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use schemas::Stream;
use schemas::entry::EntryView;
use schemas::evidence::archive::Method;
use schemas::evidence::payload::Payload;
use schemas::evidence::{self, Filter, Kind, Manifest};
use schemas::limits::{EVIDENCE_ENTRIES_MAX, EVIDENCE_FILES_BYTES_MAX};
use store::{ExportError, Selection};
use verify::Identity;

mod frame;

use frame::*;

#[test]
fn whatever_is_asked_for_and_withheld_the_bundle_verifies() {
    let made = blocking(made(400, 300));
    let size = made.log.snapshot().signed;
    assert_eq!(size, 701);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let indices = prop::collection::btree_set(0..size, 1..60);
    let strategy = (indices, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0..5u8);
    let checked = runner.run(&strategy, |(indices, a, b, withheld, kind)| {
        let withheld: Vec<&str> =
            (0..8).filter(|bit| withheld >> bit & 1 == 1).map(|bit| PAYLOAD[bit]).collect();
        let (a, b) = (a.index(size as usize) as u64, b.index(size as usize) as u64);
        let range = a.min(b)..a.max(b) + 1;
        let session = |at: u64| at > 0 && at % 7 == 3;
        let filter = Filter::Session { session_id: "s-3".to_string() };
        let (asked, rows) = match kind {
            0 => {
                let rows = range.end - range.start;
                (asked(Kind::Range, Selection::Range(range), Filter::All {}, &withheld), rows)
            }
            1 => {
                let rows = range.clone().filter(|at| session(*at)).count() as u64;
                (asked(Kind::Session, Selection::Range(range), filter, &withheld), rows)
            }
            2 => {
                let indices: Vec<u64> = (0..size).filter(|at| session(*at)).collect();
                let rows = indices.len() as u64;
                (asked(Kind::Session, Selection::Indices(indices), filter, &withheld), rows)
            }
            3 => {
                // Recorded now, and happened in 2026: a range that takes in both.
                let time = Filter::Time { from_us: START_US + 10_000_000, to_us: i64::MAX, lateness_us: 0 };
                let selection = Selection::Range(0..size);
                let rows = made_rows(&made, &time, size);
                (asked(Kind::Range, selection, time, &withheld), rows)
            }
            _ => {
                let rows = indices.len() as u64;
                let selection = Selection::Indices(indices.into_iter().collect());
                (asked(Kind::Sql, selection, Filter::All {}, &withheld), rows)
            }
        };
        let path = made.export(&asked).unwrap();
        let report = made.verify(&path);
        prop_assert_eq!(report.exit_code(), 0, "{:#?}", report);
        prop_assert_eq!(report.rows, rows);
        prop_assert_eq!(report.complete, matches!(asked.selection, Selection::Range(_)));
        // Nothing of what is withheld is in it, in any form, nor any row salt.
        let all: Vec<u8> = files(&path).into_iter().flat_map(|(_, contents)| contents).collect();
        let text = String::from_utf8_lossy(&all);
        if withheld.contains(&"arguments") {
            prop_assert!(!text.contains("carol") && !text.contains("eyJ0byI6ImNhcm9s"));
        }
        prop_assert!(!text.contains(",\"=cmd"), "a formula in the table");
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn a_changed_byte_of_any_file_is_found_whatever_is_dressed_up() {
    let made = blocking(made(20, 20));
    let good = files(&made.range(3..30, &["result"]));
    assert_eq!(said(&made, good.clone()).exit_code(), 0, "packed again it still verifies");
    let (mut tried, mut found) = (0, 0);
    for at in 0..good.len() {
        // The sums are made again for every bundle here; they have their own test.
        if good[at].0 == evidence::SUMS || good[at].0 == evidence::CUSTODY {
            continue;
        }
        let length = good[at].1.len();
        for place in (0..length).step_by((length / 40).max(1)) {
            let mut other = good.clone();
            other[at].1[place] ^= 1 << (place % 8);
            let same = match good[at].0.as_str() {
                evidence::MANIFEST => says_the_same(&good[at].1, &other[at].1),
                // Which program wrote it stands in its footer, and nobody reads that.
                "events.parquet" => batch_of(&good[at].1) == batch_of(&other[at].1),
                _ => false,
            };
            let report = said(&made, other);
            let is_found = report.exit_code() == 1;
            assert!(is_found || same, "{} byte {place}: {report:#?}", good[at].0);
            found += usize::from(is_found);
            tried += 1;
        }
    }
    println!("evidence: {found} of {tried} changed bytes found; the others are the exporter's own words");
    assert!(found * 20 > tried * 19, "{found} of {tried}");
    for name in [evidence::CUSTODY, evidence::SUMS] {
        let mut other = good.clone();
        let contents = &mut of(&mut other, name).1;
        let middle = contents.len() / 2;
        contents[middle] ^= 1;
        let path = made.home.path().join("other.zip");
        std::fs::write(&path, zip(&other, |_| ())).unwrap();
        assert_eq!(made.verify(&path).exit_code(), 1, "{name}");
    }
}

#[test]
fn a_row_left_out_a_cell_edited_and_a_withheld_value_swapped_are_found_by_name() {
    let made = blocking(made(20, 20));
    let good = files(&made.range(3..30, &["reason"]));
    let place = |index: u64| usize::try_from(index - 3).unwrap();

    // One row left out of a complete range, everywhere, and everything that can be made again made again.
    let mut other = good.clone();
    let mut entries = entries_of(&of(&mut other, evidence::ENTRIES).1);
    entries.remove(place(12));
    of(&mut other, evidence::ENTRIES).1 = entries_file(&entries);
    let report = said(&made, other.clone());
    assert_eq!(report.exit_code(), 1, "the hash that would cover it is not there");
    finds(&report, None, evidence::ENTRIES, "here are");
    edit_manifest(&mut other, |manifest| {
        (manifest.entries, manifest.rows, manifest.complete, manifest.kind) = (26, 26, false, Kind::Sql);
        manifest.sql = Some(String::new());
    });
    other.insert(1, (evidence::SQL.to_string(), Vec::new()));
    let report = said(&made, other);
    assert_eq!(report.exit_code(), 1, "nor where it is said to be no range: {report:#?}");

    // A cell of an entry: the root is another, and the tables name the place.
    let mut other = good.clone();
    let mut entries = entries_of(&of(&mut other, evidence::ENTRIES).1);
    let entry = &mut entries[place(9)];
    let at = entry.windows(4).position(|bytes| bytes == b"s-2\0" || bytes.starts_with(b"s-2")).unwrap();
    entry[at + 2] = b'5';
    of(&mut other, evidence::ENTRIES).1 = entries_file(&entries);
    let report = said(&made, other);
    finds(&report, None, evidence::ENTRIES, "the root that the root log knows");
    finds(&report, Some(9), "events.csv", "not what the entry says");
    finds(&report, Some(9), "events.parquet", "not what the entry");

    // A cell of the tables.
    let mut other = good.clone();
    let csv = String::from_utf8(of(&mut other, "events.csv").1.clone()).unwrap();
    of(&mut other, "events.csv").1 = csv.replacen("\"e-17\"", "\"e-71\"", 1).into_bytes();
    finds(&said(&made, other), Some(17), "events.csv", "not what the entry says");
    let mut other = good.clone();
    let parquet = &mut of(&mut other, "events.parquet").1;
    *parquet = parquet_with(parquet, "event_id", place(17), "e-71");
    finds(&said(&made, other), Some(17), "events.parquet", "not what the entry");
    let mut other = good.clone();
    let parquet = &mut of(&mut other, "events.parquet").1;
    *parquet = parquet_with(parquet, "arguments", place(17), "{}");
    finds(&said(&made, other), Some(17), "events.parquet", "not what the entry");

    // What is withheld, exchanged between two rows; what is shown, put in the place of another.
    let mut other = good.clone();
    let text = String::from_utf8(of(&mut other, evidence::PAYLOADS).1.clone()).unwrap();
    let mut lines: Vec<Payload> = text.lines().map(|line| Payload::parse(line.as_bytes()).unwrap()).collect();
    let with_reason = |line: &&mut Payload| line.fields.iter().any(|field| field.name == "reason");
    let mut held: Vec<&mut Payload> = lines.iter_mut().filter(with_reason).take(2).collect();
    let first = held[0].fields.pop().unwrap();
    let second = held[1].fields.pop().unwrap();
    assert!(first.commitment.is_some() && first != second, "equal values have other commitments");
    let indices = [held[0].index, held[1].index];
    held[0].fields.push(second);
    held[1].fields.push(first);
    of(&mut other, evidence::PAYLOADS).1 =
        lines.iter().flat_map(|line| line.to_line().unwrap().into_bytes()).collect();
    let report = said(&made, other);
    indices.iter().for_each(|index| finds(&report, Some(*index), evidence::PAYLOADS, "commits to"));

    // A value that is said to be shown and is not, and the other way.
    let mut other = good;
    edit_manifest(&mut other, |manifest| manifest.withheld.clear());
    assert_eq!(said(&made, other).exit_code(), 1);
}

#[test]
fn a_time_that_the_bundle_does_not_reach_the_ends_of_is_found() {
    let made = blocking(made(20, 20));
    let tree = made.log.tree().unwrap();
    let recorded = |index: u64| {
        let entry = tree.entries(index..index + 1).unwrap().remove(0);
        let view = EntryView::parse(&entry).unwrap();
        let value = view.field(schemas::stream::INGEST_TIME).unwrap().unwrap();
        i64::from_be_bytes(value.try_into().unwrap())
    };
    // The second draft came later than the first: a window over what was recorded with the first alone.
    let (first, second) = (recorded(5), recorded(30));
    assert!(first < second);
    let window = Filter::Time { from_us: first, to_us: second, lateness_us: 0 };
    // Whatever part is asked for, the store goes on to what shows its ends.
    for range in [5..6, 1..21, 0..41, 12..22] {
        let path = made.export(&asked(Kind::Range, Selection::Range(range.clone()), window.clone(), &[]));
        let path = path.unwrap();
        let manifest = Manifest::parse(&files(&path)[0].1).unwrap();
        assert!(manifest.first == 0 && manifest.last >= 22, "{range:?}: {manifest:?}");
        assert_eq!(made.verify(&path).exit_code(), 0, "{range:?}");
    }
    // Whoever shows less than that has no bundle of this time.
    for (range, index, words) in [(0..15, 14, "what came after"), (7..22, 7, "what came before")] {
        let mut short = files(&made.range(range, &[]));
        edit_manifest(&mut short, |manifest| manifest.filter = window.clone());
        finds(&said(&made, short), Some(index), evidence::ENTRIES, words);
    }
    // A time in which nothing was recorded.
    let nothing = Filter::Time { from_us: first - 2, to_us: first - 1, lateness_us: 0 };
    let path = made.export(&asked(Kind::Range, Selection::Range(0..1), nothing, &[])).unwrap();
    let report = made.verify(&path);
    assert!(report.exit_code() == 0 && report.rows == 0 && report.entries == 2, "{report:#?}");
    let open = Filter::Time { from_us: first, to_us: i64::MAX, lateness_us: 0 };
    let report = made.verify(&made.export(&asked(Kind::Range, Selection::Range(0..41), open, &[])).unwrap());
    assert!(
        report.exit_code() == 0 && report.notes.len() == 1,
        "the log ended before the time did: {report:#?}"
    );
}

#[test]
fn another_installation_and_no_key_are_told_apart() {
    let (made, stranger) = (blocking(made(5, 5)), blocking(made(5, 5)));
    let path = made.range(0..8, &[]);
    let report = stranger.verify(&path);
    finds(&report, None, evidence::MANIFEST, made.key.name());
    finds(&report, None, evidence::ROOT_CHECKPOINT, stranger.key.name());
    // Their checkpoint in our bundle, and what their root log says of a log under ours.
    let (ours, theirs) = (files(&path), files(&stranger.range(0..8, &[])));
    for name in [
        evidence::ROOT_CHECKPOINT,
        evidence::OPENED_ENTRY,
        evidence::OPENED_PROOF,
        evidence::ROUND_ENTRY,
        evidence::ROUND_PROOF,
    ] {
        let mut mixed = ours.clone();
        let other = theirs.iter().find(|(found, _)| found == name).unwrap().1.clone();
        of(&mut mixed, name).1 = other;
        assert_eq!(said(&made, mixed).exit_code(), 1, "{name}");
    }
    let none = verify::evidence::run(&path, &Identity::None, None).unwrap();
    assert_eq!((none.exit_code(), none.verdict), (2, "identity not established"));
    assert_eq!(verify::evidence::run(&path, &Identity::TrustStoreKey, None).unwrap().exit_code(), 0);
    assert!(verify::evidence::run(&made.home.path().join("nothing"), &Identity::None, None).is_err());
}

#[test]
fn a_tree_that_the_root_log_does_not_know_is_no_evidence() {
    let made = blocking(made(5, 5));
    let older = files(&made.range(0..8, &[]));
    blocking(grown(&made, 11, 4));
    let newer = files(&made.range(0..8, &[]));
    let one =
        |name: &str, of: &[(String, Vec<u8>)]| of.iter().find(|(found, _)| found == name).unwrap().1.clone();
    // An older round, of another size and under another root checkpoint; its entry alone; the entry that opens the log for one.
    let pairs = [
        (one(evidence::ROUND_ENTRY, &older), one(evidence::ROUND_PROOF, &older)),
        (one(evidence::ROUND_ENTRY, &older), one(evidence::ROUND_PROOF, &newer)),
        (one(evidence::OPENED_ENTRY, &newer), one(evidence::OPENED_PROOF, &newer)),
    ];
    for (entry, proof) in pairs {
        let mut other = newer.clone();
        of(&mut other, evidence::ROUND_ENTRY).1 = entry;
        of(&mut other, evidence::ROUND_PROOF).1 = proof;
        finds(&said(&made, other), None, evidence::ROUND_PROOF, "");
    }
    // All that the root log said earlier, over what it knows now.
    let mut other = newer;
    let proofs =
        [evidence::ROOT_CHECKPOINT, evidence::OPENED_PROOF, evidence::ROUND_ENTRY, evidence::ROUND_PROOF];
    for name in proofs {
        of(&mut other, name).1 = one(name, &older);
    }
    let report = said(&made, other.clone());
    finds(&report, None, evidence::MANIFEST, "the root log knows 11");
    edit_manifest(&mut other, |manifest| manifest.size = 11);
    finds(&said(&made, other), None, evidence::ENTRIES, "");
}

#[test]
fn hostile_zips_are_findings() {
    let made = blocking(made(5, 5));
    let good = files(&made.range(0..8, &[]));
    let path = made.home.path().join("hostile.zip");
    let verdict = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        made.verify(&path)
    };
    let whole = zip(&good, |_| ());
    assert_eq!(verdict(&whole).exit_code(), 0);
    let found = |bytes: &[u8], words: &str| {
        let report = verdict(bytes);
        let said = format!("{:?}", report.findings);
        assert!(report.exit_code() == 1 && said.contains(words), "{words}: {said}");
    };
    let with = |more: (&str, usize)| {
        let mut files = good.clone();
        files.insert(more.1, (more.0.to_string(), b"x".to_vec()));
        zip(&files, |_| ())
    };
    found(&with(("../../etc/passwd", 3)), "no bundle has such a file");
    found(&with(("/tmp/x", 3)), "no bundle has such a file");
    found(&with(("log/entries", 3)), "twice");
    found(&with(("README.md", 3)), "no bundle has such a file");
    for at in 1..good.len() {
        let mut files = good.clone();
        let (name, _) = files.remove(at);
        found(&zip(&files, |_| ()), "missing");
        assert!(verdict(&zip(&files, |_| ())).findings.iter().any(|f| f.file.as_deref() == Some(&name)));
    }
    let mut swapped = good.clone();
    swapped.swap(4, 5);
    found(&zip(&swapped, |_| ()), "in their order");
    // Sizes that are not so: more than there is, and more than may be.
    let lie = |bytes: u64| {
        zip(&good, move |member| {
            if member.name == evidence::HASHES {
                member.bytes = bytes;
            }
        })
    };
    found(&lie(1 << 20), "the directory says");
    found(&lie(EVIDENCE_FILES_BYTES_MAX), "over the limit");
    // A megabyte of zeros in a kilobyte, said to be one byte.
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &vec![0; 1 << 20]).unwrap();
    let mut bomb = good.clone();
    of(&mut bomb, evidence::HASHES).1 = packed.finish().unwrap();
    let bomb = zip(&bomb, |member| {
        if member.name == evidence::HASHES {
            (member.method, member.bytes) = (Method::Deflated, 1);
        }
    });
    found(&bomb, "the directory says");
    let deflated = zip(&good, |member| {
        if member.name == evidence::HASHES {
            member.method = Method::Deflated;
        }
    });
    assert_eq!(verdict(&deflated).exit_code(), 1);
    found(&[&whole[..], b"more"].concat(), "zip");
    found(&[b"#!/bin/sh\n", &whole[..]].concat(), "layout");
    for cut in (0..whole.len()).step_by(whole.len() / 50) {
        assert_eq!(verdict(&whole[..cut]).exit_code(), 1, "cut at {cut}");
    }
    assert_eq!(verdict(b"").exit_code(), 1);
}

#[test]
fn what_makes_no_bundle_is_said() {
    let made = blocking(made(5, 5));
    let of = |selection: Selection| {
        let kind = if matches!(selection, Selection::Range(_)) { Kind::Range } else { Kind::Sql };
        made.export(&asked(kind, selection, Filter::All {}, &[])).unwrap_err()
    };
    assert!(matches!(of(Selection::Range(3..3)), ExportError::Refused(_)));
    assert!(matches!(of(Selection::Indices(vec![])), ExportError::Refused(_)));
    assert!(matches!(of(Selection::Indices(vec![3, 3])), ExportError::Refused(_)));
    assert!(matches!(of(Selection::Range(3..12)), ExportError::NotSigned));
    assert!(matches!(of(Selection::Range(0..EVIDENCE_ENTRIES_MAX + 1)), ExportError::TooLarge { .. }));
    let root = made.store.existing("_root", Stream::Root).unwrap();
    let scratch = [0, 1].map(|_| tempfile::tempfile().unwrap());
    let export = asked(Kind::Range, Selection::Range(0..1), Filter::All {}, &[]);
    let refused = made.store.export(&root, &export, tempfile::tempfile().unwrap(), scratch);
    assert!(matches!(refused, Err(ExportError::Refused(_))));
    assert_eq!(BTreeSet::from(PAYLOAD).len(), Stream::Events.payload_columns().count());
}
