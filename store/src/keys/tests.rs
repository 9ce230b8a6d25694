use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

thread_local! {
    static MACHINE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What this thread takes the machine's id for.
pub(crate) fn on_machine(id: Option<&str>) {
    MACHINE.set(id.map(str::to_string));
}

pub(super) fn machine() -> Option<String> {
    MACHINE.with_borrow(Clone::clone)
}

/// A passphrase, and a program that turns every byte over.
struct Given(&'static str);

impl Custody for Given {
    fn passphrase(&self) -> Result<Zeroizing<String>> {
        Ok(Zeroizing::new(self.0.to_string()))
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(wrapped.iter().map(|byte| !byte).collect()))
    }

    fn wrap(&self, seed: &[u8]) -> Result<Vec<u8>> {
        Ok(seed.iter().map(|byte| !byte).collect())
    }
}

fn key(keys: &Keys) -> String {
    crate::root_key(keys, keys.writer()).unwrap()
}

/// As an installation of the first version left it.
fn first_version(dir: &Path) {
    write_secret(&dir.join("installation"), b"tacho-0123456789ab\n").unwrap();
    write_secret(&dir.join("seed"), format!("{}\n", "07".repeat(32)).as_bytes()).unwrap();
}

#[test]
fn a_seed_of_the_first_version_is_the_first_generation() {
    let dir = tempfile::tempdir().unwrap();
    first_version(dir.path());
    let keys = Keys::load(dir.path()).unwrap();
    let same = Keys::from_seed([7; 32], "tacho-0123456789ab").unwrap();
    assert_eq!(key(&keys), key(&same));
    assert_eq!(keys.writer(), "w1");
    let (next, generation) = keys.with_new_generation(&NoCustody).unwrap();
    assert_eq!(generation, 2);
    assert_eq!(key(&next), key(&keys), "nobody signs with it yet");
    // One that was made and came to no use is taken.
    assert_eq!(keys.with_new_generation(&NoCustody).unwrap().1, 2);
}

#[test]
fn a_seed_opens_only_with_what_it_was_closed_with() {
    let dir = tempfile::tempdir().unwrap();
    first_version(dir.path());
    let plain = key(&Keys::load(dir.path()).unwrap());
    assert_eq!(
        Keys::rewrap(dir.path(), &NoCustody, Wrapping::Passphrase, &Given("correct horse")).unwrap(),
        1
    );
    assert_eq!(Keys::wrapping(dir.path()).unwrap(), Wrapping::Passphrase);
    let text = fs::read_to_string(dir.path().join("seed")).unwrap();
    assert!(!text.contains(&"07".repeat(8)), "{text}");
    assert_eq!(fs::metadata(dir.path().join("seed")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(key(&Keys::load_with(dir.path(), &Given("correct horse")).unwrap()), plain);
    for wrong in [&Given("Correct horse") as &dyn Custody, &Given(""), &NoCustody] {
        let error = Keys::load_with(dir.path(), wrong).unwrap_err();
        assert!(matches!(&error, Error::Keys(_)), "{error}");
        assert!(!error.to_string().contains("orrect"), "{error}");
    }
    // A new generation is kept as the present one is.
    let keys = Keys::load_with(dir.path(), &Given("correct horse")).unwrap();
    keys.with_new_generation(&Given("correct horse")).unwrap();
    let second = fs::read_to_string(dir.path().join("generation-0002")).unwrap();
    assert!(second.starts_with("passphrase v1 "), "{second}");
    // One file is not taken for the other.
    write_secret(&dir.path().join("generation-0002"), text.as_bytes()).unwrap();
    assert!(keys.with_new_generation(&Given("correct horse")).is_err());
    write_secret(&dir.path().join("generation-0002"), second.as_bytes()).unwrap();

    assert_eq!(Keys::rewrap(dir.path(), &Given("correct horse"), Wrapping::Command, &Given("")).unwrap(), 2);
    let text = fs::read_to_string(dir.path().join("seed")).unwrap();
    assert_eq!(text, format!("command v1 {}\n", "f8".repeat(32)));
    assert_eq!(key(&Keys::load_with(dir.path(), &Given("")).unwrap()), plain);
    assert!(Keys::load(dir.path()).is_err());
    // Interrupted after the first file: doing it again does the rest.
    Keys::rewrap(dir.path(), &Given("correct horse"), Wrapping::Plain, &NoCustody).unwrap();
    assert_eq!(key(&Keys::load(dir.path()).unwrap()), plain);
}

#[test]
fn seeds_are_not_rewrapped_under_another_process_and_its_leavings_go() {
    let dir = tempfile::tempdir().unwrap();
    first_version(dir.path());
    let rewrap = || Keys::rewrap(dir.path(), &NoCustody, Wrapping::Passphrase, &Given("p"));
    let (_, held) = Keys::load(dir.path()).unwrap().held().unwrap();
    let refused = rewrap().unwrap_err().to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
    assert_eq!(Keys::wrapping(dir.path()).unwrap(), Wrapping::Plain);
    drop(held);
    // What a write that was killed left of a seed; and what is not ours.
    let (left, theirs) = (dir.path().join("seed.0123456789abcdef.tmp"), dir.path().join("notes.a.tmp"));
    fs::write(&left, "07").unwrap();
    fs::write(&theirs, "theirs").unwrap();
    assert_eq!(rewrap().unwrap(), 1);
    assert!(!left.exists() && theirs.exists());
}

#[test]
fn a_directory_of_keys_is_its_owner_s_alone() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("a/keys");
    Keys::load_or_create(&keys).unwrap().held().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keys), 0o700);
    for entry in fs::read_dir(&keys).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_damaged_file_is_refused_and_says_which() {
    let dir = tempfile::tempdir().unwrap();
    first_version(dir.path());
    Keys::rewrap(dir.path(), &NoCustody, Wrapping::Passphrase, &Given("p")).unwrap();
    let path = dir.path().join("seed");
    let good = fs::read_to_string(&path).unwrap();
    let last = if good.trim_end().ends_with('0') { "1\n" } else { "0\n" };
    let flipped = format!("{}{last}", &good[..good.len() - 2]);
    for bad in [flipped.as_str(), "", "passphrase v1", "passphrase v2 00 00 00", "command v1 zz", "xyz"] {
        write_secret(&path, bad.as_bytes()).unwrap();
        let error = Keys::load_with(dir.path(), &Given("p")).unwrap_err().to_string();
        assert!(error.contains("seed"), "{bad:?}: {error}");
    }
    write_secret(&path, good.as_bytes()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(Keys::load_with(dir.path(), &Given("p")).unwrap_err().to_string().contains("others"));
}

#[test]
fn what_is_remembered_grows_only() {
    let dir = tempfile::tempdir().unwrap();
    first_version(dir.path());
    let keys = Keys::load(dir.path()).unwrap();
    let seen = |size: u64| Seen { size, root: format!("root {size}") };
    for size in [3, 9, 4] {
        keys.remember([("tacho-0123456789ab/t/events/w1".to_string(), seen(size))]).unwrap();
    }
    let origin: Origin = "tacho-0123456789ab/t/events/w1".parse().unwrap();
    assert_eq!(Keys::load(dir.path()).unwrap().remembered(&origin), Some(seen(9)));
    fs::write(dir.path().join("remembered"), "{").unwrap();
    assert!(Keys::load(dir.path()).unwrap_err().to_string().contains("remembered"));
}

#[test]
fn another_root_at_a_remembered_size_is_refused_and_a_smaller_size_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::load_or_create(dir.path()).unwrap();
    let seen = |size, root: &str| [("a".to_string(), Seen { size, root: root.to_string() })];
    keys.remember(seen(5, "x")).unwrap();
    keys.remember(seen(3, "y")).unwrap();
    assert!(matches!(keys.remember(seen(5, "y")), Err(Error::Tampered { .. })));
    let loaded = Keys::load(dir.path()).unwrap();
    assert_eq!(loaded.all_remembered(), seen(5, "x").into());
}

#[test]
fn a_secret_is_not_written_through_a_file_that_lies_there() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    fs::write(&other, "theirs").unwrap();
    std::os::unix::fs::symlink(&other, dir.path().join("secret.tmp")).unwrap();
    write_secret(&dir.path().join("secret"), b"ours").unwrap();
    assert_eq!(fs::read(&other).unwrap(), b"theirs");
    assert_eq!(fs::read(dir.path().join("secret")).unwrap(), b"ours");
    // Nothing is left of it under another name.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}
