//! Damage without any key: every one is a finding.

use std::fs;
use std::path::{Path, PathBuf};

use schemas::Stream;
use schemas::layout::FileName;
use verify::{Error, Finding, Identity, Options, Report, run};

use crate::clean::{assert_clean, verified};
use crate::flip;
use crate::writer::Store;

fn findings(store: &Store) -> Vec<Finding> {
    let report = verified(store);
    assert_eq!(report.exit_code(), 1, "{report:#?}");
    report.findings
}

fn one_with(findings: &[Finding], text: &str) -> Finding {
    findings
        .iter()
        .find(|finding| finding.message.contains(text))
        .unwrap_or_else(|| panic!("{text}: {findings:#?}"))
        .clone()
}

fn data_files(store: &Store, log: usize, part: &str) -> Vec<PathBuf> {
    flip::files(&store.logs[log].directory.join(part))
}

#[test]
fn every_flipped_byte_is_found() {
    let store = Store::sized(9, 30, 90);
    let options = Options { jobs: 1, ..Options::new(store.data.path(), Identity::Key(store.root_key())) };
    let size: u64 = flip::files(store.data.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(size < 200 << 10, "{size} bytes");
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let (tried, unnoticed) = flip::every_byte(
        store.data.path(),
        flip::stride(61),
        |_| matches!(run(&options, &|_| {}), Ok(report) if report.exit_code() == 1),
    );
    std::panic::set_hook(hook);
    eprintln!("{tried} of {size} bytes flipped");
    // Not one byte is exempt.
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
    assert_clean(&verified(&store));
}

#[test]
fn every_file_that_is_dropped_truncated_extended_or_emptied_is_found() {
    let store = Store::small();
    for file in flip::files(store.data.path()) {
        let whole = fs::read(&file).unwrap();
        let check = |what: &str| {
            let result = run(&Options::new(store.data.path(), Identity::TrustStoreKey), &|_| {});
            assert!(
                matches!(&result, Ok(report) if report.exit_code() == 1),
                "{what} {}: {result:#?}",
                file.display()
            );
        };
        // The copy of the newest checkpoint is rebuildable and may be absent.
        if file.file_name().unwrap() != "checkpoint" {
            fs::remove_file(&file).unwrap();
            check("dropped");
        }
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        check("truncated");
        fs::write(&file, [&whole[..], &[0]].concat()).unwrap();
        check("extended");
        fs::write(&file, []).unwrap();
        check("emptied");
        fs::write(&file, whole).unwrap();
    }
    assert_clean(&verified(&store));
}

#[test]
fn a_flipped_byte_of_a_tile_names_log_index_and_file() {
    let store = Store::small();
    let tile = store.logs[1].directory.join("tile/0/000");
    let mut bytes = fs::read(&tile).unwrap();
    bytes[77 * 32] ^= 1;
    fs::write(tile, bytes).unwrap();
    let found = findings(&store);
    assert_eq!(found.len(), 1, "{found:#?}");
    let expected = (Some("acme-1f/default/events/w1"), Some(77), Some("tile/0/000"));
    assert_eq!((found[0].log.as_deref(), found[0].index, found[0].file.as_deref()), expected);
}

#[test]
fn a_file_under_another_name_is_found() {
    let store = Store::small();
    let segment = &data_files(&store, 1, "segments")[0];
    let relative = segment.strip_prefix(&store.logs[1].directory).unwrap().to_str().unwrap();
    let mut name = FileName::parse(relative).unwrap();
    name.digest = "0123456789abcdef".to_string();
    fs::copy(segment, store.logs[1].directory.join(name.path())).unwrap();
    assert_eq!(one_with(&findings(&store), "no manifest ever named").file, Some(name.path()));
}

#[test]
fn foreign_files_and_links_are_found() {
    let store = Store::small();
    let log = &store.logs[1].directory;
    for path in ["log.json.bak", "segments/x", "tile/0/1", "manifest/1", "more/x", "tile/0/000.p/256"] {
        let path = log.join(path);
        let made = !path.parent().unwrap().exists();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"x").unwrap();
        one_with(&findings(&store), "does not belong");
        fs::remove_file(&path).unwrap();
        if made {
            fs::remove_dir(path.parent().unwrap()).unwrap();
        }
    }
    for (path, message) in
        [("tile/5/000.p/3", "tree does not have"), ("manifest/00000000000000000009", "missing")]
    {
        let path = log.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, [0; 96]).unwrap();
        one_with(&findings(&store), message);
        fs::remove_file(&path).unwrap();
    }
    fs::write(store.log_directory().join("default/readme"), b"x").unwrap();
    one_with(&findings(&store), "does not belong");
    fs::remove_file(store.log_directory().join("default/readme")).unwrap();
    #[cfg(unix)]
    {
        let manifest = store.logs[1].manifest_path(1);
        let moved = store.data.path().join("moved");
        fs::rename(&manifest, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &manifest).unwrap();
        one_with(&findings(&store), "neither a plain file");
        fs::remove_file(&manifest).unwrap();
        fs::rename(&moved, &manifest).unwrap();
    }
    assert_clean(&verified(&store));
}

#[test]
fn a_deleted_tenant_is_found() {
    let store = Store::small();
    fs::remove_dir_all(store.log_directory().join("default")).unwrap();
    one_with(&findings(&store), "directory is missing");
}

#[test]
fn an_unopened_log_is_found() {
    let mut store = Store::small();
    let access = store.open("stranger", Stream::Access);
    store.logs[access].seal();
    one_with(&findings(&store), "never opened");
}

#[test]
fn a_cut_chain_of_manifests_is_found() {
    let mut store = Store::small();
    store.logs[1].events(4);
    store.logs[1].seal();
    fs::remove_file(store.logs[1].manifest_path(2)).unwrap();
    one_with(&findings(&store), "manifest 2 of 3 is missing");
}

#[test]
fn an_old_manifest_in_the_place_of_a_new_one_is_found() {
    let store = Store::small();
    fs::copy(store.logs[1].manifest_path(1), store.logs[1].manifest_path(2)).unwrap();
    let found = findings(&store);
    one_with(&found, "it says number 1");
    one_with(&found, "does not follow");
}

#[test]
fn an_old_state_of_one_log_is_found() {
    let mut store = Store::small();
    let copy = tempfile::tempdir().unwrap();
    copy_tree(&store.logs[1].directory, copy.path());
    store.logs[1].events(10);
    store.logs[1].seal();
    store.round();
    store.logs[0].seal();
    assert_clean(&verified(&store));
    fs::remove_dir_all(&store.logs[1].directory).unwrap();
    copy_tree(copy.path(), &store.logs[1].directory);
    let found = findings(&store);
    one_with(&found, "names this manifest, and it is not there");
    one_with(&found, "that the root log gives");
}

#[test]
fn a_rolled_back_or_forked_store_is_found_by_what_was_remembered() {
    let mut store = Store::small();
    let copy = tempfile::tempdir().unwrap();
    copy_tree(store.data.path(), copy.path());
    store.round();
    store.logs[0].seal();
    let memory = tempfile::tempdir().unwrap();
    let file = memory.path().join("seen.json");
    let check = |directory: &Path| -> Report {
        let options = Options {
            remember: Some(file.clone()),
            ..Options::new(directory, Identity::Key(store.root_key()))
        };
        run(&options, &|_| {}).unwrap()
    };
    assert_clean(&check(copy.path()));
    assert_clean(&check(store.data.path()));
    let seen = fs::read_to_string(&file).unwrap();
    assert_clean(&check(store.data.path()));
    one_with(&check(copy.path()).findings, "rolled back");
    assert_eq!(fs::read_to_string(&file).unwrap(), seen, "a run with findings is not remembered");
    let mut fork = Store::small();
    fork.logs[0].control(r#"{"control":"heartbeat","logs":9}"#);
    fork.logs[0].control(r#"{"control":"heartbeat","logs":9}"#);
    fork.logs[0].seal();
    assert_clean(&verified(&fork));
    one_with(&check(fork.data.path()).findings, "remembered checkpoint");
}

#[test]
fn without_a_root_log_or_a_directory_nothing_is_said() {
    let empty = tempfile::tempdir().unwrap();
    let options = |directory: &Path| Options::new(directory, Identity::TrustStoreKey);
    assert!(matches!(run(&options(empty.path()), &|_| {}), Err(Error::NoRootLog { .. })));
    let missing = empty.path().join("missing");
    assert!(matches!(run(&options(&missing), &|_| {}), Err(Error::Unreadable { .. })));
}

#[test]
fn another_key_than_the_one_given_is_found() {
    let store = Store::small();
    let other = Store::sized(8, 40, 30);
    let options = Options::new(store.data.path(), Identity::Key(other.root_key()));
    let report = run(&options, &|_| {}).unwrap();
    assert_eq!(
        (report.exit_code(), report.findings.len(), report.identity_established),
        (1, 1, false),
        "{report:#?}"
    );
}

pub fn copy_tree(from: &Path, to: &Path) {
    for file in flip::files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}
