//! Manifests: the signed index of what is sealed. All that one says is checked against the tree.
//!
//! A manifest file is a signed note whose key is named `<origin>/manifest` and whose text is one line of JSON,
//! exactly as serialising [`Manifest`] writes it. Number N names the BLAKE3 digest of file N - 1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::layout::{FileKind, FileName};
use crate::limits::MANIFEST_SNAPSHOT_EVERY;
use crate::note::{Note, VerifierKey};
use crate::origin::Origin;
use crate::{Error, Result};

/// Version of the manifest format.
pub const VERSION: u32 = 1;

/// The `previous` of manifest 1: no file before it.
pub const NO_PREVIOUS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One numbered step of a log's sealed part. Field order is persisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The log.
    pub origin: String,
    /// From 1, without gaps.
    pub number: u64,
    /// BLAKE3 of the file of manifest `number - 1`, hex; [`NO_PREVIOUS`] for the first.
    pub previous: String,
    /// Sealed size S: entries `0..size` are in the files of this manifest and those before it.
    pub size: u64,
    /// The signed checkpoint of exactly that size.
    pub checkpoint: String,
    /// Whether `add` repeats every live file, so that a reader may start here.
    pub snapshot: bool,
    /// Files that join.
    pub add: Vec<File>,
    /// Paths below the log of files that leave, superseded.
    pub remove: Vec<String>,
    /// Where each source had been read up to at this size.
    pub cursors: BTreeMap<String, String>,
}

/// One Parquet file. Field order is persisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Path below the log: see [`FileName`].
    pub path: String,
    /// Rows in it: `last - first` for a segment, those with a payload for a payload file.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3 digest, hex.
    pub blake3: String,
    /// Least `time` in it, microseconds.
    pub time_min_us: i64,
    /// Greatest `time` in it, microseconds.
    pub time_max_us: i64,
}

impl File {
    /// The parsed path.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn name(&self) -> Result<FileName> {
        let name = FileName::parse(&self.path)?;
        if !self.blake3.starts_with(&name.digest) || self.blake3.len() != 64 {
            return Err(Error::mismatch("data file name", format!("{} and its digest", self.path)));
        }
        Ok(name)
    }
}

/// The name of the key that signs manifests of this log.
pub fn key_name(origin: &Origin) -> String {
    format!("{origin}/manifest")
}

/// Whether manifest `number` repeats the full list.
pub fn is_snapshot(number: u64) -> bool {
    number == 1 || number.is_multiple_of(MANIFEST_SNAPSHOT_EVERY)
}

impl Manifest {
    /// The text of the note: one line.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it cannot be serialised, which no value of this type causes.
    pub fn to_text(&self) -> Result<String> {
        let json =
            serde_json::to_string(self).map_err(|error| Error::malformed("manifest", error.to_string()))?;
        Ok(format!("{json}\n"))
    }

    /// Parses the text of the note.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless it is exactly what [`Manifest::to_text`] writes and consistent in itself.
    pub fn parse(text: &str) -> Result<Manifest> {
        let wrong = |detail: String| Error::malformed("manifest", detail);
        let line = text.strip_suffix('\n').ok_or_else(|| wrong("no newline at its end".to_string()))?;
        let parsed: Manifest = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if parsed.version != VERSION {
            return Err(wrong(format!("version {}, expected {VERSION}", parsed.version)));
        }
        if parsed.to_text()? != text {
            return Err(wrong("not in canonical spelling".to_string()));
        }
        if parsed.number == 0 || parsed.snapshot != is_snapshot(parsed.number) {
            return Err(wrong(format!("number {} with snapshot {}", parsed.number, parsed.snapshot)));
        }
        for file in &parsed.add {
            let name = file.name()?;
            if name.last > parsed.size
                || (name.kind == FileKind::Segment && file.rows != name.last - name.first)
            {
                return Err(wrong(format!("{} does not fit size {}", file.path, parsed.size)));
            }
        }
        Ok(parsed)
    }

    /// The manifest in a note, if `key`, the log's manifest key, signed it.
    ///
    /// # Errors
    /// [`Error::Malformed`], or [`Error::Mismatch`] for a wrong signature or another log's origin.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Manifest> {
        let note = Note::parse(note)?;
        let manifest = Manifest::parse(note.verify(key)?)?;
        if format!("{}/manifest", manifest.origin) != key.name() {
            let detail = format!("{} in a note of {}", manifest.origin, key.name());
            return Err(Error::mismatch("manifest origin", detail));
        }
        Ok(manifest)
    }
}

/// BLAKE3 of some bytes, hex: how manifests name files.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let digest = digest(b"x");
        Manifest {
            version: VERSION,
            origin: "i/t/events/w1".into(),
            number: 1,
            previous: NO_PREVIOUS.into(),
            size: 10,
            checkpoint: "note".into(),
            snapshot: true,
            add: vec![File {
                path: format!("segments/date=2026-11-21/{:020}-{:020}-{}.parquet", 0, 10, &digest[..16]),
                rows: 10,
                bytes: 100,
                blake3: digest,
                time_min_us: -5,
                time_max_us: 5,
            }],
            remove: vec![],
            cursors: BTreeMap::new(),
        }
    }

    #[test]
    fn a_manifest_has_one_spelling() {
        let text = manifest().to_text().unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), manifest());
        for bad in [
            text.replace(":10,", ": 10,"),
            text.replace("\"version\":1", "\"version\":2"),
            text.replace("\"rows\":10", "\"rows\":9"),
            text.replace("\"size\":10", "\"size\":9"),
            text.replace("\"snapshot\":true", "\"snapshot\":false"),
            text.replace("\"remove\":[]", "\"remove\":[],\"more\":1"),
            text.replace("segments/", "../segments/"),
            text.trim_end().to_string(),
        ] {
            assert!(Manifest::parse(&bad).is_err(), "{bad}");
        }
    }
}
