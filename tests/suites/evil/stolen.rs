//! An operator who has the keys too, or shows each auditor another view, or lies to the query engine.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::file::statistics::Statistics;
use verify::{Identity, Options, Report};

use super::{Installation, found};
use crate::suites::main_job::files_below;
use crate::suites::witness::{Witness, copy, cosigned, first_run, is_stopped, post, root_size, witnessed};
use crate::support::{Service, eventually, run};

#[path = "../../../store/verify/tests/verify/metadata.rs"]
mod metadata;

/// What an auditor finds who has the key, perhaps a policy, and what somebody kept.
fn audit(home: &Path, key: &str, policy: Option<&Path>, kept: &[PathBuf]) -> Report {
    let options = Options::new(home.join("data"), Identity::Key(key.parse().unwrap()));
    let options = Options { policy: policy.map(Path::to_path_buf), receipts: kept.to_vec(), ..options };
    verify::run(&options, &|_| {}).unwrap()
}

/// The last checkpoint that a witness cosigned.
fn kept_by(state_of: &Path) -> PathBuf {
    let files = files_below(&state_of.join("state"));
    files
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "checkpoint"))
        .unwrap()
}

/// Runs a copy until its root log is longer than `size`, and knows nothing of witnesses.
fn grow_past(home: &Path, size: u64, prefix: &str) {
    for run in 0..50 {
        let service = Service::start(home, &[]);
        post(&service, &format!("{prefix}-{run}"), 3);
        assert_eq!(service.stop(), Some(0));
        if root_size(home) > size {
            return;
        }
    }
    panic!("{} of more than {size}", root_size(home));
}

#[test]
fn a_history_signed_with_the_stolen_key_is_found_by_a_witness_and_by_nothing_else() {
    let (home, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (honest, thief) = (home.path().join("honest"), home.path().join("thief"));
    std::fs::create_dir(&honest).unwrap();
    let key = first_run(&honest);
    let witness = Witness::start(place.path(), "127.0.0.1:0", &key, &[]);
    let policy = format!("{}quorum w\n", witness.line("w"));
    let service = witnessed(&honest, &policy);
    post(&service, "a", 20);
    eventually("it is cosigned", || cosigned(&honest, &key) > 0);
    assert_eq!(service.stop(), Some(0));
    // Data and keys, and all that lies beside them.
    copy(&honest, &thief);
    let common = root_size(&honest);
    let service = witnessed(&honest, &policy);
    post(&service, "what-is-to-be-forgotten", 20);
    eventually("what came then is cosigned", || cosigned(&honest, &key) > common);
    assert_eq!(service.stop(), Some(0));
    let seen = cosigned(&honest, &key);

    grow_past(&thief, seen, "what-never-was");
    // Every entry, root and signature is right, and no key says which of the two happened.
    for home in [&honest, &thief] {
        let report = audit(home, &key, None, &[]);
        assert_eq!(report.exit_code(), 0, "by the key alone: {report:#?}");
    }
    let asked = thief.join("policy");
    let report = audit(&thief, &key, Some(&asked), &[]);
    let vouched = report.witnessed.as_ref().map(|witnessed| witnessed.size);
    assert!(report.exit_code() == 0 && vouched <= Some(common), "only what the two share: {report:#?}");
    let vouched = audit(&honest, &key, Some(&asked), &[]).witnessed.unwrap();
    assert_eq!(vouched.size, seen);
    // What the witness saw is of another history.
    let kept = [kept_by(place.path())];
    assert_eq!(audit(&honest, &key, Some(&asked), &kept).exit_code(), 0);
    found(&audit(&thief, &key, Some(&asked), &kept), "_root/root", "the checkpoint that w cosigned");
    // And it stops the thief as soon as their history is to be witnessed.
    let service = witnessed(&thief, &policy);
    is_stopped(&thief, service, &policy);
}

#[test]
fn what_was_witnessed_before_a_rotation_vouches_for_nothing_since() {
    let (home, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = first_run(home.path());
    let witness = Witness::start(place.path(), "127.0.0.1:0", &key, &[]);
    let service = witnessed(home.path(), &format!("{}quorum w\n", witness.line("w")));
    post(&service, "a", 20);
    eventually("it is cosigned", || cosigned(home.path(), &key) > 0);
    assert_eq!(service.stop(), Some(0));
    let policy = home.path().join("policy");
    assert_eq!(audit(home.path(), &key, Some(&policy), &[]).verdict, "clean");
    let below = |name: &str| home.path().join(name).display().to_string();
    let rotated = run(&["keys", "rotate", "--data", &below("data"), "--keys", &below("keys")]);
    assert_eq!(rotated.status.code(), Some(0), "{rotated:?}");
    // Whoever has the new key alone could have written all that came since.
    let report = audit(home.path(), &key, Some(&policy), &[]);
    assert_eq!((report.verdict, report.witnessed), ("not witnessed", None));
    assert!(report.notes.iter().any(|note| note.message.contains("no root log since")), "{:?}", report.notes);
}

#[test]
fn two_views_each_with_a_witness_are_told_apart_by_who_holds_what_both_kept() {
    let home = tempfile::tempdir().unwrap();
    let (one, other) = (home.path().join("one"), home.path().join("other"));
    std::fs::create_dir(&one).unwrap();
    let key = first_run(&one);
    copy(&one, &other);
    let common = root_size(&one);
    let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let witnesses = places.each_ref().map(|place| Witness::start(place.path(), "127.0.0.1:0", &key, &[]));
    for (at, home) in [&one, &other].into_iter().enumerate() {
        let service = witnessed(home, &format!("{}quorum w\n", witnesses[at].line("w")));
        post(&service, &format!("view-{at}"), 20);
        eventually("it is cosigned beyond what the views share", || cosigned(home, &key) > common);
        assert_eq!(service.stop(), Some(0));
    }
    let kept = places.each_ref().map(|place| kept_by(place.path()));
    // Each is past what the other's witness has seen, so that it can be held against it.
    for home in [&one, &other] {
        grow_past(home, cosigned(&one, &key).max(cosigned(&other, &key)), "later");
    }
    let both = home.path().join("both");
    let lines = format!("{}{}", witnesses[0].line("w"), witnesses[1].line("v"));
    std::fs::write(&both, format!("{lines}group any any w v\nquorum any\n")).unwrap();
    for (at, home) in [&one, &other].into_iter().enumerate() {
        let own = &kept[at..=at];
        assert_eq!(audit(home, &key, Some(&both), own).exit_code(), 0, "its own witness vouches for it");
        let name = ["v", "w"][at];
        found(
            &audit(home, &key, Some(&both), &kept),
            "_root/root",
            &format!("the checkpoint that {name} cosigned"),
        );
    }
}

#[test]
fn a_statistic_that_hides_rows_from_a_query_is_named() {
    let installation = Installation::new();
    let segment = files_below(&installation.log("default/events").join("segments")).remove(0);
    let later = installation.snapshot("later");
    let original = std::fs::read(&segment).unwrap();
    let lie = Statistics::byte_array(Some("x".into()), Some("y".into()), None, Some(0), false);
    let lying = metadata::with_metadata(&Bytes::from(original), |metadata| {
        metadata::edit_group(metadata, |columns| {
            let is_it = |column: &parquet::file::metadata::ColumnChunkMetaData| {
                column.column_path().string() == "event_id"
            };
            let at = columns.iter().position(is_it).unwrap();
            let column = columns.remove(at);
            columns.insert(at, column.into_builder().set_statistics(lie.clone()).build().unwrap());
        })
    });
    std::fs::write(&segment, lying).unwrap();
    // The service answers nothing from it.
    let service = Service::start(installation.home.path(), &[]);
    let statement =
        br#"{"query":"SELECT count(*) FROM events WHERE event_id = 'default-3'","format":"json"}"#;
    let answer = service.send("POST", "/api/v1/sql", &[("content-type", "application/json")], statement);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("is not the file that its manifest names"), "{}", answer.text());
    assert_eq!(service.stop(), Some(0));
    // And a copy of it is no good to anybody.
    let report = installation.audit(None);
    found(&report, "default/events", "minimum of the chunk");
    found(&report, "default/events", "BLAKE3");
    installation.restore(&later);
    super::clean(&installation.audit(None));
}
