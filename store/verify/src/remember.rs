//! Root checkpoints seen before: the memory outside a store that shows a rollback or a fork.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use schemas::tree::Hash;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Version of the file.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RememberedFile {
    version: u32,
    roots: Vec<RememberedRoot>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RememberedRoot {
    origin: String,
    size: u64,
    root: String,
}

/// Newest root checkpoint of each root log, by origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Size and root by origin of the root log.
    pub roots: BTreeMap<String, (u64, Hash)>,
}

impl Remembered {
    /// Reads the file; one that is not there remembers nothing.
    ///
    /// # Errors
    /// [`Error::Remembered`] when it cannot be read or is not what [`Remembered::save`] writes.
    pub fn load(path: &Path) -> Result<Remembered, Error> {
        let wrong = |detail: String| Error::Remembered { path: path.to_path_buf(), detail };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Remembered::default()),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let file: RememberedFile = serde_json::from_str(&text)
            .map_err(|error| wrong(format!("{error}; restore it, or remove it to start anew")))?;
        if file.version != VERSION {
            return Err(wrong(format!("version {}, this program knows {VERSION}", file.version)));
        }
        let mut roots = BTreeMap::new();
        for RememberedRoot { origin, size, root } in file.roots {
            let root = Hash::from_base64(&root).map_err(|error| wrong(error.to_string()))?;
            roots.insert(origin, (size, root));
        }
        Ok(Remembered { roots })
    }

    /// Takes a root in; one of a smaller size than what is remembered already changes nothing.
    pub fn see(&mut self, origin: String, root: (u64, Hash)) {
        let known = self.roots.entry(origin).or_insert(root);
        if root.0 > known.0 {
            *known = root;
        }
    }

    /// Writes the file whole: beside it first, then in its place.
    ///
    /// # Errors
    /// [`Error::Remembered`] when it cannot be written.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one file that a verifier writes, outside every store; it may not import the writer"
    )]
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let wrong = |error: std::io::Error| Error::Remembered {
            path: path.to_path_buf(),
            detail: format!("{error}; the store is clean, but this run is not remembered"),
        };
        let roots = self.roots.iter().map(|(origin, (size, root))| RememberedRoot {
            origin: origin.clone(),
            size: *size,
            root: root.to_base64(),
        });
        let file = RememberedFile { version: VERSION, roots: roots.collect() };
        let text = serde_json::to_string_pretty(&file).map_err(|error| wrong(error.into()))?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tmp");
        let mut handle = fs::File::create(&beside).map_err(wrong)?;
        handle.write_all(text.as_bytes()).and_then(|()| handle.write_all(b"\n")).map_err(wrong)?;
        handle.sync_all().map_err(wrong)?;
        fs::rename(&beside, path).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_saved_is_loaded(roots in prop::collection::btree_map("[a-z/]{1,20}", (any::<u64>(), any::<[u8; 32]>()), 0..4)) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("seen.json");
            let remembered = Remembered { roots: roots.into_iter().map(|(origin, (size, root))| (origin, (size, Hash(root)))).collect() };
            prop_assert_eq!(Remembered::load(&path).unwrap(), Remembered::default());
            remembered.save(&path).unwrap();
            prop_assert_eq!(Remembered::load(&path).unwrap(), remembered);
        }
    }

    #[test]
    fn a_remembered_size_never_falls() {
        let mut remembered = Remembered::default();
        for size in [5, 3, 9] {
            remembered.see("a".to_string(), (size, Hash([u8::try_from(size).unwrap(); 32])));
        }
        assert_eq!(remembered.roots["a"], (9, Hash([9; 32])));
        remembered.see("a".to_string(), (5, Hash([1; 32])));
        assert_eq!(remembered.roots["a"].0, 9);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen.json");
        for text in ["", "{}", r#"{"version":2,"roots":[]}"#, r#"{"version":1,"roots":[],"more":1}"#] {
            fs::write(&path, text).unwrap();
            assert!(Remembered::load(&path).is_err(), "{text}");
        }
    }
}
