//! What lies in the directory of a pattern, and which of it is meant.

use std::io;
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

    /// Every regular file of the directory.
    pub(super) fn list(&self) -> io::Result<Vec<Seen>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = entry.path();
            let metadata = match std::fs::metadata(&path) {
                Ok(metadata) => metadata,
                // Gone between two looks, or a link to nothing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if metadata.is_file() {
                found.push(Seen {
                    identity: Identity::of(&metadata),
                    bytes: metadata.len(),
                    modified_us: modified_us(&metadata),
                    is_meant: is_match(self.name.as_bytes(), name.as_bytes()),
                    is_rotated_name: self.is_rotated_name(name),
                    path,
                });
            }
        }
        found.sort_by(|a, b| (a.modified_us, &a.path).cmp(&(b.modified_us, &b.path)));
        Ok(found)
    }

    /// `<name>.1`, `<name>-20261129`, and not packed.
    fn is_rotated_name(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(&self.name) else { return false };
        rest.starts_with(['.', '-'])
            && rest.contains(|letter: char| letter.is_ascii_digit())
            && !PACKED.iter().any(|ending| rest.ends_with(ending))
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
            assert_eq!(pattern.is_rotated_name(name), is_rotated, "{name}");
        }
        assert!(Pattern::new(Path::new("/var/*/a.jsonl")).is_err());
        assert!(Pattern::new(Path::new("/")).is_err());
    }
}
