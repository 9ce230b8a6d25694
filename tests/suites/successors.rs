//! Keys that are rotated and encrypted, data that was rolled back, copied or lost a part: what goes on names what was, and
//! in no copy are there two checkpoints of one log and size.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use schemas::checkpoint::Checkpoint;
use schemas::note::Note;
use serde_json::json;

use super::main_job::files_below;
use crate::support::{Service, event, eventually, is_full, service_log, tacho};

/// One home, whose machine is whatever the test says.
pub(super) struct Home {
    pub(super) dir: tempfile::TempDir,
    pub(super) machine: PathBuf,
}

impl Home {
    pub(super) fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let machine = dir.path().join("machine-id");
        std::fs::write(&machine, "0123456789abcdef0123456789abcdef\n").unwrap();
        Home { dir, machine }
    }

    /// The same data and keys on another machine.
    fn cloned(&self) -> Home {
        let home = self.copied();
        std::fs::write(&home.machine, "fedcba9876543210fedcba9876543210\n").unwrap();
        home
    }

    pub(super) fn copied(&self) -> Home {
        let home = Home::new();
        copy(&self.path("data"), &home.path("data"));
        copy(&self.path("keys"), &home.path("keys"));
        home
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(super) fn start(&self) -> Service {
        self.start_with(&[])
    }

    pub(super) fn start_with(&self, environment: &[(&str, &str)]) -> Service {
        let machine = self.machine.display().to_string();
        let mut all = vec![("TACHO_MACHINE_ID_FILE", machine.as_str()), ("TACHO_STORE_SEAL_ROWS", "50")];
        all.extend(environment);
        Service::start(self.dir.path(), &all)
    }

    /// Records events and ends the service in order.
    pub(super) fn record(&self, prefix: &str, count: usize) {
        let service = self.start();
        post(&service, prefix, count);
        assert_eq!(service.stop(), Some(0), "{}", service_log(self.dir.path()));
    }

    /// Runs a command of the program on this home.
    fn run(&self, arguments: &[&str]) -> Output {
        self.run_program(&tacho(), arguments, &[])
    }

    fn run_program(&self, program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("TACHO_DATA", self.path("data"))
            .env("TACHO_KEYS", self.path("keys"))
            .env("TACHO_MACHINE_ID_FILE", &self.machine)
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    /// What a command printed, which must succeed.
    pub(super) fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn root_key(&self) -> String {
        self.told(&["keys", "show", "--root"]).trim().to_string()
    }

    /// Exit code and report of `tacho verify` under a key.
    fn verify(&self, key: &str) -> (i32, String) {
        let output = self.run(&["verify", "--key", key]);
        (output.status.code().unwrap(), text(&output))
    }

    pub(super) fn clean(&self, key: &str) -> String {
        let (code, text) = self.verify(key);
        assert_eq!(code, 0, "{text}");
        text
    }

    /// Every event over all of its history, once each.
    fn assert_events(&self, count: u64) {
        let service = self.start();
        let rows = service.sql(
            "SELECT count(*) AS n, count(DISTINCT event_id) AS ids, count(DISTINCT log_index) AS places \
             FROM events WHERE kind = 'call'",
        );
        assert_eq!(rows, [json!({"n": count, "ids": count, "places": count})]);
        // Each event has its own payload, of whichever log.
        let rows = service
            .sql("SELECT count(*) AS n FROM events JOIN payloads USING (log_index) WHERE kind = 'call'");
        assert_eq!(rows, [json!({"n": count})]);
        assert_eq!(service.stop(), Some(0), "{}", service_log(self.dir.path()));
    }

    /// Starts a service that takes nothing, and says why.
    fn refusal(&self) -> String {
        let service = self.start();
        let ready = service.send("GET", "/ready", &[], b"");
        assert_eq!(ready.status, 503, "{}", ready.text());
        assert_ne!(service.post_events(event("refused").as_bytes()).status, 200);
        service.kill();
        service_log(self.dir.path())
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(super) fn post(service: &Service, prefix: &str, count: usize) {
    let lines: Vec<String> = (0..count).map(|at| event(&format!("{prefix}-{at}"))).collect();
    let answer = service.post_events(lines.join("\n").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["accepted"], count, "{}", answer.text());
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&entry.path(), &to),
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), to).unwrap()),
            _ => {}
        }
    }
}

/// All checkpoints of all copies: of one log and size there is one root.
fn assert_no_fork(homes: &[&Home]) {
    let mut seen: BTreeMap<(String, u64), String> = BTreeMap::new();
    for file in homes.iter().flat_map(|home| files_below(&home.path("data"))) {
        let bytes = std::fs::read(&file).unwrap();
        for Checkpoint { origin, size, root } in checkpoints(&bytes) {
            let root = root.to_base64();
            let known = seen.entry((origin.to_string(), size)).or_insert_with(|| root.clone());
            assert_eq!(*known, root, "a fork of {origin} at {size} in {}", file.display());
        }
    }
    assert!(seen.len() > 5, "{seen:?}");
}

/// Every checkpoint in these bytes, wherever it stands: a copy, a manifest's JSON, a write-ahead file.
fn checkpoints(bytes: &[u8]) -> Vec<Checkpoint> {
    let text = String::from_utf8_lossy(bytes).replace("\\n", "\n");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("\n\n\u{2014} ") {
        // The three lines before the signature.
        let lines: Vec<&str> = text[..at].rsplit('\n').take(3).collect();
        let [root, size, origin] = lines.as_slice() else { continue };
        let origin = &origin[origin
            .rfind(['"', '\0', '\u{FFFD}'])
            .map_or(0, |end| end + origin[end..].chars().next().map_or(0, char::len_utf8))..];
        let start = origin.find("tacho-").unwrap_or(0);
        let body =
            format!("{}\n{size}\n{root}\n", origin[start..].trim_start_matches(|c: char| c.is_control()));
        found.extend(Checkpoint::parse(&body));
    }
    found
}

#[test]
fn checkpoints_are_found_wherever_they_stand() {
    let home = Home::new();
    home.record("a", 3);
    let all: Vec<PathBuf> = files_below(&home.path("data"));
    let manifest = all.iter().find(|path| path.display().to_string().contains("manifest/")).unwrap();
    assert_eq!(checkpoints(&std::fs::read(manifest).unwrap()).len(), 1);
    let copy = all.iter().find(|path| path.ends_with("checkpoint")).unwrap();
    let note = std::fs::read(copy).unwrap();
    let checkpoint = Checkpoint::parse(Note::parse(&note).unwrap().unverified_text()).unwrap();
    assert_eq!(checkpoints(&note), [checkpoint]);
    let service = home.start();
    post(&service, "b", 1);
    eventually("a checkpoint in a write-ahead file", || {
        let files = files_below(&home.path("data/wal"));
        files.iter().any(|path| !checkpoints(&std::fs::read(path).unwrap()).is_empty())
    });
}

#[test]
fn rotated_keys_keep_old_and_new_verifiable_from_the_old_root_key() {
    let home = Home::new();
    home.record("a", 120);
    let old = home.root_key();
    // Not under a running service.
    let service = home.start();
    let refused = home.run(&["keys", "rotate"]);
    assert!(!refused.status.success() && text(&refused).contains("in use"), "{}", text(&refused));
    assert_eq!(service.stop(), Some(0));
    let told = home.told(&["keys", "rotate", "--by", "ops"]);
    let new = home.root_key();
    assert!(told.contains(&old) && told.trim_end().ends_with(&new) && old != new, "{told}");
    home.record("b", 30);
    home.assert_events(150);
    home.clean(&old);
    home.clean(&new);
    home.told(&["keys", "rotate"]);
    home.record("c", 5);
    home.assert_events(155);
    let text = home.clean(&old);
    assert!(!text.contains("note:"), "{text}");
    let all = home.told(&["keys", "show", "--all"]);
    for key in [old.as_str(), new.as_str(), home.root_key().as_str()] {
        assert!(all.contains(key), "{all}");
    }
    // History in order, the present log's places as they are.
    let service = home.start();
    let rows = service.sql("SELECT event_id FROM events WHERE kind = 'call' ORDER BY log_index");
    let ids: Vec<String> = rows.iter().map(|row| row["event_id"].as_str().unwrap().to_string()).collect();
    let sent = [("a", 120), ("b", 30), ("c", 5)]
        .into_iter()
        .flat_map(|(prefix, count)| (0..count).map(move |at| format!("{prefix}-{at}")));
    assert_eq!(ids, sent.collect::<Vec<_>>());
    let rows = service
        .sql("SELECT event_id FROM events WHERE log_index < -150 AND kind = 'call' ORDER BY log_index");
    assert!(rows.len() < 120 && !rows.is_empty(), "{}", rows.len());
    let rows = service.sql("SELECT count(DISTINCT origin) AS n FROM checkpoints WHERE stream = 'events'");
    assert_eq!(rows, [json!({"n": 3})]);
    assert_eq!(service.stop(), Some(0));
    // A changed byte in an old log is found from the old key, and from the new one.
    let old_files = files_below(&home.path("data/log/default/events/w1"));
    let segment = old_files.iter().find(|path| path.extension().is_some_and(|end| end == "parquet")).unwrap();
    let mut bytes = std::fs::read(segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(segment, bytes).unwrap();
    for key in [old, new, home.root_key()] {
        assert_eq!(home.verify(&key).0, 1);
    }
    assert_no_fork(&[&home]);
}

#[test]
fn seeds_are_encrypted_and_wrapped_and_open_only_with_what_they_were_closed_with() {
    let home = Home::new();
    home.record("a", 3);
    let key = home.root_key();
    let passphrase = home.path("passphrase");
    std::fs::write(&passphrase, "correct horse battery staple\n").unwrap();
    let file = passphrase.display().to_string();
    let with = [("TACHO_KEYS_PASSPHRASE_FILE", file.as_str())];
    // Others may read it.
    let refused = home.run_program(&tacho(), &["keys", "encrypt"], &with);
    assert!(text(&refused).contains("others may read it"), "{}", text(&refused));
    assert!(Command::new("chmod").arg("600").arg(&passphrase).status().unwrap().success());
    let done = home.run_program(&tacho(), &["keys", "encrypt"], &with);
    assert!(done.status.success(), "{}", text(&done));
    let seed = std::fs::read_to_string(home.path("keys/generation-0001")).unwrap();
    assert!(seed.starts_with("passphrase v1 "), "{seed}");
    let without = home.run(&["keys", "show", "--root"]);
    assert_eq!(without.status.code(), Some(2));
    assert!(text(&without).contains("TACHO_KEYS_PASSPHRASE"), "{}", text(&without));
    let wrong = home.run_program(&tacho(), &["keys", "show"], &[("TACHO_KEYS_PASSPHRASE", "incorrect")]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(!text(&wrong).contains("incorrect"), "{}", text(&wrong));
    let service = home.start_with(&with);
    post(&service, "b", 3);
    assert_eq!(service.stop(), Some(0));
    // A new generation is kept as the one before.
    let rotated = home.run_program(&tacho(), &["keys", "rotate"], &with);
    assert!(rotated.status.success(), "{}", text(&rotated));
    let seed = std::fs::read_to_string(home.path("keys/generation-0002")).unwrap();
    assert!(seed.starts_with("passphrase v1 "), "{seed}");
    home.clean(&key);
    // From the passphrase to a program, and back to the seeds as they are.
    let programs =
        [("TACHO_KEYS_WRAP", r"tr,\000-\377,\001-\377\000"), ("TACHO_KEYS_UNWRAP", "cat"), with[0]];
    let refused = home.run_program(&tacho(), &["keys", "wrap"], &programs);
    assert!(text(&refused).contains("does not open again"), "{}", text(&refused));
    let programs = [("TACHO_KEYS_WRAP", "base64"), ("TACHO_KEYS_UNWRAP", "base64,-d"), with[0]];
    let done = home.run_program(&tacho(), &["keys", "wrap"], &programs);
    assert!(done.status.success(), "{}", text(&done));
    assert_eq!(home.run(&["keys", "show"]).status.code(), Some(2));
    let done = home.run_program(&tacho(), &["keys", "decrypt"], &programs);
    assert!(done.status.success(), "{}", text(&done));
    home.assert_events(6);
    let log = std::fs::read_to_string(home.path("service.log")).unwrap();
    assert!(!log.contains("correct horse"), "{log}");
}

#[test]
fn lost_write_ahead_files_are_a_gap_with_a_name_and_no_fork() {
    let home = Home::new();
    home.record("a", 60);
    let service = home.start();
    post(&service, "b", 7);
    // Until it was signed, and so may have been seen.
    eventually("a checkpoint over all of it", || {
        let rows = service.sql("SELECT signed, durable FROM checkpoints WHERE stream = 'events'");
        rows[0]["signed"] == rows[0]["durable"]
    });
    service.kill();
    let before = home.copied();
    let old = home.root_key();
    std::fs::remove_dir_all(home.path("data/wal")).unwrap();
    let why = home.refusal();
    assert!(why.contains("tacho adopt"), "{why}");
    let without = home.run(&["adopt"]);
    assert_eq!(without.status.code(), Some(2), "a reason is needed");
    let told = home.told(&["adopt", "--reason", "the write-ahead disk died", "--by", "ops"]);
    assert!(told.contains("lost for ever"), "{told}");
    home.record("c", 4);
    home.assert_events(64);
    let text = home.clean(&home.root_key());
    assert!(text.contains("lost for ever") && text.contains("the write-ahead disk died"), "{text}");
    // The old key does not vouch for who says what is lost: to its holder it is missing.
    let (code, text) = home.verify(&old);
    assert!(code == 1 && text.contains("--key"), "{code} {text}");
    assert!(text.contains("signed to 68"), "{text}");
    assert_no_fork(&[&home, &before]);
}

#[test]
fn a_clone_that_is_started_beside_the_original_signs_nothing_of_it() {
    let home = Home::new();
    home.record("a", 10);
    let clone = home.cloned();
    let why = clone.refusal();
    assert!(why.contains("machine"), "{why}");
    home.record("b", 10);
    clone.told(&["adopt", "--reason", "moved to the new site"]);
    clone.record("c", 10);
    clone.assert_events(20);
    home.assert_events(20);
    clone.clean(&clone.root_key());
    home.clean(&home.root_key());
    assert_no_fork(&[&home, &clone]);
}

#[test]
fn a_backup_taken_under_load_is_restored_and_says_what_is_lost() {
    let home = Home::new();
    home.record("a", 100);
    let service = home.start();
    let backup = home.path("backup").display().to_string();
    let seen = home.path("seen.json").display().to_string();
    post(&service, "b", 60);
    let told = home.told(&["backup", &backup]);
    assert!(told.contains("default/events/w1"), "{told}");
    let key = home.root_key();
    let refused = home.run(&["backup", &backup]);
    assert!(!refused.status.success(), "a backup is not written over");
    post(&service, "c", 9);
    assert_eq!(service.stop(), Some(0));
    let remembered = home.run(&["verify", "--key", &key, "--remember", &seen]);
    assert!(remembered.status.success(), "{}", text(&remembered));

    let restored = Home::new();
    copy(&home.path("keys"), &restored.path("keys"));
    std::fs::copy(&home.machine, &restored.machine).unwrap();
    let data = restored.path("data").display().to_string();
    let keys = restored.path("keys").display().to_string();
    let told = home.told(&["restore", &backup, "--to", &data, "--keys", &keys]);
    assert!(told.contains("are not in this copy") && told.contains("tacho adopt"), "{told}");
    assert!(restored.refusal().contains("tacho adopt"));
    restored.told(&["adopt", "--reason", "the disk of the first died", "--remembered", &seen]);
    restored.record("d", 3);
    let text = restored.clean(&restored.root_key());
    assert!(text.contains("lost for ever"), "{text}");
    assert_no_fork(&[&home, &restored]);

    // One that is not what was backed up is not put back.
    let mut segment = files_below(Path::new(&backup)).into_iter();
    let segment = segment.find(|path| path.extension().is_some_and(|end| end == "parquet")).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let elsewhere = restored.path("elsewhere").display().to_string();
    let refused = home.run(&["restore", &backup, "--to", &elsewhere, "--keys", &keys]);
    assert!(!refused.status.success());
    assert!(!Path::new(&elsewhere).join("log").exists());
}

#[test]
fn rotations_and_adoptions_that_are_killed_are_finished_by_the_next_start() {
    let Some(program) = std::env::var_os("TACHO_CRASH_PROGRAM").map(PathBuf::from) else {
        println!(
            "SKIPPED: TACHO_CRASH_PROGRAM names no build with feature crash-points (tests/run makes one)"
        );
        return;
    };
    let before = Home::new();
    before.record("a", 20);
    let old = before.root_key();
    let older = before.copied();
    before.record("b", 10);
    std::fs::remove_dir_all(older.path("keys")).unwrap();
    copy(&before.path("keys"), &older.path("keys"));
    let mut kills = 0;
    for place in store::SUCCESSION_CRASH_PLACES.iter().chain(&store::CRASH_PLACES) {
        for count in if is_full() { vec!["1", "2", "4"] } else { vec!["1"] } {
            let at = format!("{place}:{count}");
            let crash = [("TACHO_CRASH_AT", at.as_str())];
            let rotated = before.copied();
            let ended = rotated.run_program(&program, &["keys", "rotate"], &crash);
            kills += u64::from(ended.status.code().is_none());
            rotated.record("c", 5);
            rotated.assert_events(35);
            rotated.clean(&old);
            let adopted = older.copied();
            let ended = adopted.run_program(&program, &["adopt", "--reason", "a test"], &crash);
            kills += u64::from(ended.status.code().is_none());
            if adopted.run(&["ingest", "/dev/null"]).status.code() != Some(0) {
                adopted.run(&["adopt", "--reason", "again"]);
            }
            adopted.record("d", 5);
            adopted.clean(&adopted.root_key());
            assert_no_fork(&[&before, &rotated, &adopted]);
        }
    }
    println!("{kills} kills");
    assert!(kills >= 15, "{kills} kills");
}
