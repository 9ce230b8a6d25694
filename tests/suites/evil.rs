//! Whoever runs the machine turns against the record: each way is tried on a store of the real program, and found by somebody who
//! has the root log's key and a memory of his own, or said to be beyond that. What needs no more than a changed byte is in `tamper`.
//!
//! | what is done | who finds it | test |
//! |---|---|---|
//! | cut at the end of a group | the signed size beside it | `a_write_ahead_file_cut_where_a_group_ends…` |
//! | an older snapshot put back | a memory, a receipt, a witness; nobody else | `a_store_put_back…`, `a_receipt_that_a_client_kept…`, `witness::a_restored_backup…` |
//! | cells edited | the key | `tamper::a_typed_cell_edited…` |
//! | rows that change places | the key | `entries_that_change_places_are_named` |
//! | tenants that change places | the key | `tenants_that_change_places_are_named` |
//! | an old checkpoint shown again | the key | `an_old_checkpoint_in_the_place…` |
//! | a manifest left out | the root log's rounds | `manifests_left_out_at_the_end…` |
//! | a statistic that lies, so that a query skips a file | the service on its start, and the key | `stolen::a_statistic_that_hides_rows…` |
//! | two views, each with its witness | who holds what both kept, or shows one to the other | `stolen::two_views…`, `witness::a_second_copy…` |
//! | another history, signed with the stolen key | a witness alone | `stolen::a_history_signed_with_the_stolen_key…` |
//! | a bundle without one row of its range | the key | `a_row_left_out_a_cell_edited…` in `store/tests/evidence` |
//! | a bundle that another installation signed | the key | `evidence::twenty_bundles…`, `another_installation…` in `store/tests/evidence` |

use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use schemas::group::{FILE_HEADER_BYTES, FileHeader, GroupHeader};
use serde_json::Value;
use verify::{Finding, Report};

use super::main_job::files_below;
use super::tamper::{rewritten, rows};
use crate::support::{Service, event, request, run};

mod stolen;

/// An installation, its root log's key, and what its auditor remembers.
struct Installation {
    home: tempfile::TempDir,
    key: String,
}

impl Installation {
    /// With two tenants that have a few events each, sealed.
    fn new() -> Installation {
        let home = tempfile::tempdir().unwrap();
        let service = Service::start(home.path(), &[]);
        let place = place(home.path());
        let shown =
            run(&[vec!["keys", "show", "--root"], place.iter().map(String::as_str).collect()].concat());
        let key = String::from_utf8(shown.stdout).unwrap().lines().last().unwrap().to_owned();
        let made = run(&[
            vec!["token", "create", "--role", "collector", "--tenant", "acme"],
            place.iter().map(String::as_str).collect(),
        ]
        .concat());
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let token = made["token"].as_str().unwrap();
        let bearer = format!("Bearer {token}");
        for number in 0..3 {
            let acme = [("authorization", bearer.as_str())];
            let body = event(&format!("acme-{number}"));
            let answer = request(&service.address, "POST", "/v1/events", &acme, body.as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let installation = Installation { home, key };
        installation.tell(&service, 0..5);
        assert_eq!(service.stop(), Some(0));
        installation
    }

    fn tell(&self, service: &Service, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let answer = service.post_events(event(&format!("default-{number}")).as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The directory of the log `<tenant>/<stream>`.
    fn log(&self, name: &str) -> PathBuf {
        self.data().join("log").join(name).join("w1")
    }

    /// What an auditor finds who has the key, and the memory in that file.
    fn audit(&self, memory: Option<&Path>) -> Report {
        let identity = verify::Identity::Key(self.key.parse().unwrap());
        let options = verify::Options::new(self.data(), identity);
        let options = verify::Options { remember: memory.map(Path::to_path_buf), ..options };
        verify::run(&options, &|_| {}).expect("verify runs")
    }

    /// A copy of the data directory as it is now, to be put back.
    fn snapshot(&self, name: &str) -> PathBuf {
        let copy = self.home.path().join(name);
        copy_tree(&self.data(), &copy);
        copy
    }

    fn restore(&self, copy: &Path) {
        std::fs::remove_dir_all(self.data()).unwrap();
        copy_tree(copy, &self.data());
    }
}

fn place(home: &Path) -> [String; 4] {
    let below = |name: &str| home.join(name).display().to_string();
    ["--data".to_owned(), below("data"), "--keys".to_owned(), below("keys")]
}

fn copy_tree(from: &Path, to: &Path) {
    for file in files_below(from) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(&file, copy).unwrap();
    }
}

fn clean(report: &Report) {
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

/// Fails unless a finding of the log named so says `text`.
fn found<'a>(report: &'a Report, log: &str, text: &str) -> &'a Finding {
    let is_it = |finding: &&Finding| {
        finding.log.as_deref().is_some_and(|named| named.contains(log)) && finding.message.contains(text)
    };
    let found = report.findings.iter().find(is_it);
    found.unwrap_or_else(|| panic!("{log}: no {text:?} in {:#?}", report.findings))
}

#[test]
fn a_store_put_back_to_what_it_was_shows_to_who_remembers_and_to_nobody_else() {
    let installation = Installation::new();
    let memory = installation.home.path().join("memory.json");
    let earlier = installation.snapshot("earlier");
    let service = Service::start(installation.home.path(), &[]);
    installation.tell(&service, 5..20);
    assert_eq!(service.stop(), Some(0));
    clean(&installation.audit(Some(&memory)));
    let later = installation.snapshot("later");
    installation.restore(&earlier);
    // All of it is as it once was, and signed: without a memory there is nothing to see.
    clean(&installation.audit(None));
    found(&installation.audit(Some(&memory)), "_root/root", "rolled back");
    installation.restore(&later);
    clean(&installation.audit(Some(&memory)));
}

#[test]
fn a_receipt_that_a_client_kept_shows_a_store_put_back() {
    let installation = Installation::new();
    let home = installation.home.path();
    let earlier = installation.snapshot("earlier");
    let service = Service::start(home, &[]);
    let (file, kept) = (home.join("events.ndjson"), home.join("receipts"));
    let lines: Vec<String> = (0..50).map(|number| event(&format!("kept-{number}"))).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let data = installation.data();
    let ingest = run(&[
        "ingest",
        "--data",
        data.to_str().unwrap(),
        "--receipts",
        kept.to_str().unwrap(),
        file.to_str().unwrap(),
    ]);
    let said = String::from_utf8(ingest.stdout).unwrap();
    assert!(said.ends_with("; receipt kept\n"), "{said}");
    assert_eq!(service.stop(), Some(0));
    let receipt = files_below(&kept).remove(0);
    let held = || {
        let identity = verify::Identity::Key(installation.key.parse().unwrap());
        let options = verify::Options::new(&data, identity);
        verify::run(&verify::Options { receipts: vec![kept.clone()], ..options }, &|_| {}).unwrap()
    };
    clean(&held());
    installation.restore(&earlier);
    clean(&installation.audit(None));
    let report = held();
    found(&report, "default/events", &format!("by the receipt {}", receipt.display()));
    // And by the command.
    let arguments = ["verify", "--data", data.to_str().unwrap(), "--key", &installation.key, "--receipt"];
    let verified = run(&[&arguments[..], &[kept.to_str().unwrap()]].concat());
    assert_eq!(verified.status.code(), Some(1), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_write_ahead_file_cut_where_a_group_ends_is_held_against_what_was_signed() {
    let installation = Installation::new();
    let service = Service::start(installation.home.path(), &[]);
    installation.tell(&service, 5..20);
    // Until the last of them is under a checkpoint that was shown.
    let checkpoint = installation.log("default/events").join("checkpoint");
    let signed = || std::fs::read_to_string(&checkpoint).unwrap();
    crate::support::eventually("all are signed", || {
        signed().lines().nth(1).unwrap().parse::<u64>().unwrap() >= 21
    });
    service.kill();
    clean(&installation.audit(None));
    // The one in use: others are made ready, and have no header yet.
    let in_use = |file: &PathBuf| FileHeader::parse(&std::fs::read(file).unwrap()).is_ok();
    let files = files_below(&installation.data().join("wal"));
    let newest = files.into_iter().filter(in_use).max().unwrap();
    let whole = std::fs::read(&newest).unwrap();
    let mut ends = vec![FILE_HEADER_BYTES];
    while let Ok(group) = GroupHeader::parse(&whole[*ends.last().unwrap()..]) {
        ends.push(ends.last().unwrap() + usize::try_from(group.padded_bytes()).unwrap());
    }
    assert!(ends.len() > 10, "{} groups", ends.len());
    // The groups that hold the last of the events and all after them.
    for end in [ends[0], ends[1], ends[ends.len() / 2]] {
        let mut cut = whole[..end].to_vec();
        cut.resize(whole.len(), 0);
        std::fs::write(&newest, cut).unwrap();
        let report = installation.audit(None);
        assert!(!report.findings.is_empty(), "cut at {end} of {}: {report:#?}", ends.last().unwrap());
    }
    std::fs::write(&newest, &whole).unwrap();
    clean(&installation.audit(None));
}

#[test]
fn entries_that_change_places_are_named() {
    let installation = Installation::new();
    let segment = files_below(&installation.log("default/events").join("segments")).remove(0);
    let original = std::fs::read(&segment).unwrap();
    let batches = rows(original.clone()).unwrap();
    let swapped = |batch: &RecordBatch| {
        let at = batch.schema().index_of("log_index").unwrap();
        let mut indices = batch.column(at).as_primitive::<Int64Type>().values().to_vec();
        indices.swap(2, 4);
        let mut columns = batch.columns().to_vec();
        columns[at] = std::sync::Arc::new(Int64Array::from(indices)) as ArrayRef;
        RecordBatch::try_new(batch.schema(), columns).unwrap()
    };
    std::fs::write(&segment, rewritten(&original, &[swapped(&batches[0])])).unwrap();
    let report = installation.audit(None);
    let named: Vec<u64> = report.findings.iter().filter_map(|finding| finding.index).collect();
    assert!(named.contains(&2) && named.contains(&4), "{:#?}", report.findings);
    std::fs::write(&segment, original).unwrap();
    clean(&installation.audit(None));
}

#[test]
fn tenants_that_change_places_are_named() {
    let installation = Installation::new();
    let (one, other) = (installation.log("default/events"), installation.log("acme/events"));
    let aside = installation.home.path().join("aside");
    for (from, to) in [(&one, &aside), (&other, &one), (&aside, &other)] {
        std::fs::rename(from, to).unwrap();
    }
    let report = installation.audit(None);
    for log in ["default/events", "acme/events"] {
        let named = report
            .findings
            .iter()
            .filter(|finding| finding.log.as_deref().is_some_and(|named| named.contains(log)));
        assert!(named.count() > 0, "{log}: {:#?}", report.findings);
    }
}

#[test]
fn an_old_checkpoint_in_the_place_of_the_new_one_is_named() {
    let installation = Installation::new();
    let checkpoint = installation.log("default/events").join("checkpoint");
    let old = std::fs::read(&checkpoint).unwrap();
    let service = Service::start(installation.home.path(), &[]);
    installation.tell(&service, 5..20);
    assert_eq!(service.stop(), Some(0));
    let new = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, old).unwrap();
    let report = installation.audit(None);
    let named = found(&report, "default/events", "");
    assert_eq!(named.file.as_deref(), Some("checkpoint"), "{named:?}");
    std::fs::write(&checkpoint, new).unwrap();
    clean(&installation.audit(None));
}

#[test]
fn manifests_left_out_at_the_end_are_named_by_what_the_root_log_says() {
    let installation = Installation::new();
    let service = Service::start(installation.home.path(), &[]);
    installation.tell(&service, 5..20);
    assert_eq!(service.stop(), Some(0));
    // The newest manifest of one log, and with it all that only it names.
    let log = installation.log("default/events");
    let newest = files_below(&log.join("manifest")).into_iter().max().unwrap();
    let text = std::fs::read_to_string(&newest).unwrap();
    let manifest: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(manifest["number"], 2, "{manifest}");
    std::fs::remove_file(&newest).unwrap();
    for file in files_below(&log) {
        let name = file.strip_prefix(&log).unwrap().display().to_string();
        if text.contains(&name) && name.contains(".parquet") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let report = installation.audit(None);
    assert!(!report.findings.is_empty(), "{report:#?}");
    found(&report, "default/events", "");
}
