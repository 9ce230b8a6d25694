//! What lies in the directory of a pattern, and which of it is meant.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::position::{Identity, modified_us};
use crate::error::Error;

/// Endings of files that were packed: their lines are in no order that can be read on from.
const PACKED: [&str; 6] = [".gz", ".zst", ".xz", ".bz2", ".lz4", ".zip"];

/// A directory and a file name with `*` and `?` in it.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    directory: PathBuf,
    name: String,
}

/// One file of the directory.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) bytes: u64,
    pub(super) modified_us: i64,
    /// Whether its name is one that the pattern means.
    pub(super) is_meant: bool,
    /// Whether its name is what rotation makes of one.
    pub(super) is_rotated_name: bool,
}

/// What a look at the directory found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Every regular file.
    pub(super) seen: Vec<Seen>,
    /// What is meant by its name and cannot be looked at.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

impl Pattern {
    pub(super) fn new(path: &Path) -> Result<Pattern, Error> {
        let wrong = |detail: &str| Error::Source { detail: format!("path {}: {detail}", path.display()) };
        let name =
            path.file_name().and_then(|name| name.to_str()).ok_or_else(|| wrong("no file name in UTF-8"))?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        if directory.to_string_lossy().contains(['*', '?']) {
            return Err(wrong("`*` and `?` may stand in the file name alone"));
        }
        Ok(Pattern { directory, name: name.to_string() })
    }

    /// Whether it means one name alone.
    pub(super) fn is_one_name(&self) -> bool {
        !self.name.contains(['*', '?'])
    }

    /// What is in the directory. What is wrong with one file is no other's.
    pub(super) fn list(&self) -> io::Result<Listing> {
        let mut found = Listing::default();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_meant = is_match(self.name.as_bytes(), name.as_bytes());
            let is_rotated_name = self.is_rotated_name(name.as_bytes());
            let path = entry.path();
            let metadata = match std::fs::metadata(&path) {
                Ok(metadata) => metadata,
                // Gone between two looks, or a link to nothing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    if is_meant || is_rotated_name {
                        found.unreadable.push((path, error));
                    }
                    continue;
                }
            };
            if metadata.is_file() {
                let (identity, modified_us) = (Identity::of(&metadata), modified_us(&metadata));
                let bytes = metadata.len();
                found.seen.push(Seen { path, identity, bytes, modified_us, is_meant, is_rotated_name });
            }
        }
        found.seen.sort_by(|a, b| (a.modified_us, &a.path).cmp(&(b.modified_us, &b.path)));
        Ok(found)
    }

    /// A name that is meant and then `.1`, `-20261129`, and not packed.
    fn is_rotated_name(&self, name: &[u8]) -> bool {
        if PACKED.iter().any(|ending| name.ends_with(ending.as_bytes())) {
            return false;
        }
        let is_split = |at: usize| {
            let (before, rest) = name.split_at(at);
            matches!(rest.first(), Some(b'.' | b'-'))
                && rest.iter().any(u8::is_ascii_digit)
                && is_match(self.name.as_bytes(), before)
        };
        (1..name.len()).any(is_split)
    }
}

/// Whether `name` is what `pattern` means: `*` any bytes, `?` one. Linear but for one step back per byte.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(in_name) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                in_name += 1;
            }
            _ => match &mut star {
                Some((star_at, taken)) => {
                    *taken += 1;
                    (at, in_name) = (*star_at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_names() {
        for (pattern, name, is_meant) in [
            ("a.jsonl", "a.jsonl", true),
            ("a.jsonl", "a.jsonl.1", false),
            ("*.jsonl", "agent-1.jsonl", true),
            ("*.jsonl", ".jsonl", true),
            ("agent-?.jsonl", "agent-12.jsonl", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-", false),
            ("*", "anything", true),
        ] {
            assert_eq!(is_match(pattern.as_bytes(), name.as_bytes()), is_meant, "{pattern} {name}");
        }
        let pattern = Pattern::new(Path::new("/var/log/a.jsonl")).unwrap();
        for (name, is_rotated) in [
            ("a.jsonl.1", true),
            ("a.jsonl-20261129", true),
            ("a.jsonl.1.gz", false),
            ("a.jsonl.bak", false),
            ("b", false),
        ] {
            assert_eq!(pattern.is_rotated_name(name.as_bytes()), is_rotated, "{name}");
        }
        let pattern = Pattern::new(Path::new("/var/log/*.jsonl")).unwrap();
        for (name, is_rotated) in [
            ("agent-1.jsonl.1", true),
            ("agent.jsonl-20261129", true),
            ("agent-1.jsonl", false),
            ("agent.jsonl.1.zst", false),
            ("agent.log.1", false),
        ] {
            assert_eq!(pattern.is_rotated_name(name.as_bytes()), is_rotated, "{name}");
        }
        assert!(Pattern::new(Path::new("/var/*/a.jsonl")).is_err());
        assert!(Pattern::new(Path::new("/")).is_err());
    }
}
