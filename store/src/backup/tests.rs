//! Copies, file by file.

use std::fs;

use super::*;

#[test]
fn what_an_attempt_copied_is_not_copied_again() {
    let (data, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["a", "b"] {
        fs::write(data.path().join(name), name).unwrap();
    }
    let (data_disk, to_disk) = (RealDisk::at(data.path()), RealDisk::at(to.path()));
    let mut writing = Writing::new(&data_disk, &to_disk, Transfer::Copy);
    writing.file("a", None).unwrap();
    fs::remove_file(data.path().join("a")).unwrap();
    // It is gone from the data, and was copied by the attempt before.
    writing.file("a", None).unwrap();
    assert_eq!(writing.files.len(), 2);
    assert!(writing.file("c", None).is_err_and(|error| has_gone(&error)));
}

/// Path to mode of everything below a directory, itself among it.
fn modes(root: &Path) -> BTreeMap<String, u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(path) = pending.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let name = path.strip_prefix(root).unwrap().display().to_string();
        found.insert(name, mode);
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn copies_have_the_modes_of_what_they_are_of_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    // A process has one umask for all its tests: another one runs this again.
    const AGAIN: &str = "TACHO_TEST_UMASK";
    if std::env::var_os(AGAIN).is_none() {
        let name = "backup::tests::copies_have_the_modes_of_what_they_are_of_whatever_the_umask";
        let mut again = std::process::Command::new("sh");
        again.args(["-c", "umask 000; exec \"$0\" --exact \"$1\" --nocapture"]);
        again.arg(std::env::current_exe().unwrap()).arg(name).env(AGAIN, "1");
        let done = again.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(
            done.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&done.stderr)
        );
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (data, made) = (home.path().join("data"), home.path().join("made"));
    let set = |path: &str, mode: u32| {
        fs::set_permissions(data.join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    // Which the service made under 0077, in a directory of root's that is open to all.
    fs::create_dir_all(data.join("log/a/events/w1")).unwrap();
    for (path, mode) in [("log/a/events/w1/secret", 0o600), ("log/a/events/w1/open", 0o644)] {
        fs::write(data.join(path), path).unwrap();
        set(path, mode);
    }
    for path in ["log", "log/a", "log/a/events", "log/a/events/w1"] {
        set(path, 0o700);
    }
    set("", 0o755);
    let data_disk = RealDisk::at(&data);
    let to_disk = made_like(&data_disk, &made);
    begin_empty(&to_disk).unwrap();
    let mut writing = Writing::new(&data_disk, &to_disk, Transfer::Copy);
    for path in ["log/a/events/w1/secret", "log/a/events/w1/open"] {
        writing.file(path, None).unwrap();
    }
    writing.written("log/a/events/w1/checkpoint", b"c", "log/a/events/w1/secret").unwrap();
    replace_synced(&to_disk, layout::BACKUP, b"{}").unwrap();
    let found = modes(&made);
    let narrow =
        [("log/a/events/w1/secret", 0o600), ("log/a/events/w1/checkpoint", 0o600), ("backup.json", 0o600)];
    let dirs = ["", "log", "log/a", "log/a/events", "log/a/events/w1"].map(|path| (path, 0o700));
    for (path, mode) in narrow.into_iter().chain(dirs) {
        assert_eq!(found[path], mode, "{path:?}: {:o}", found[path]);
    }
    assert_eq!(found["log/a/events/w1/open"], 0o644, "{found:?}");
}

#[test]
fn what_is_linked_is_not_opened_for_writing() {
    let home = tempfile::tempdir().unwrap();
    let (data, made) = (RealDisk::at(&home.path().join("data")), RealDisk::at(&home.path().join("made")));
    fs::create_dir_all(home.path().join("data/log")).unwrap();
    // Nobody, root neither, opens a program for writing that runs.
    let program = home.path().join("data/log/program");
    fs::copy("/bin/sleep", &program).unwrap();
    let run = || match std::process::Command::new(&program).arg("60").spawn() {
        // Another test's process, between its fork and its start, has what was written here still open.
        Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
            std::thread::sleep(std::time::Duration::from_millis(20));
            None
        }
        running => Some(running.unwrap()),
    };
    let mut running = (0..100).find_map(|_| run()).unwrap();
    begin_empty(&made).unwrap();
    let linked = Writing::new(&data, &made, Transfer::HardLink).file("log/program", None);
    running.kill().unwrap();
    running.wait().unwrap();
    linked.unwrap();
}

#[test]
fn a_file_of_several_parts_is_copied_whole() {
    let (data, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut bytes = vec![7; 2 * schemas::limits::COPY_BYTES + 3];
    bytes[schemas::limits::COPY_BYTES] = 9;
    fs::write(data.path().join("a"), &bytes).unwrap();
    let (data_disk, to_disk) = (RealDisk::at(data.path()), RealDisk::at(to.path()));
    copy_synced(&data_disk, &to_disk, "a").unwrap();
    assert_eq!(fs::read(to.path().join("a")).unwrap(), bytes);
}

#[test]
fn no_path_leaves_the_data_directory() {
    for good in ["log/_root/root/w1/checkpoint", "log/a/events/w2-0a1b2c/tile/0/x001/067.p/3"] {
        check_path(good).unwrap();
    }
    for bad in ["", "/etc/passwd", "log", "log/", "log/../../x", "log/./x", "wal/1", "../log/x", "log//x"] {
        assert!(check_path(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_tiles_of_a_size_are_those_of_its_tree() {
    let tiles = |size| partial_tiles(size).into_iter().chain(full_tiles(size));
    let names = |size| tiles(size).map(layout::tile).collect::<BTreeSet<_>>();
    assert!(names(0).is_empty());
    assert_eq!(names(1), BTreeSet::from(["tile/0/000.p/1".to_string()]));
    let full = ["tile/0/000", "tile/0/001.p/4", "tile/1/000.p/1"].map(str::to_string);
    assert_eq!(names(260), BTreeSet::from(full));
}
