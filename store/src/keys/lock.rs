//! One process signs with a directory's keys at a time: two copies of the data opened with the same keys would sign the same
//! sizes otherwise, each under its own lock.

use std::fs::File;

use super::{Keys, record};
use crate::disk::lock_file;
use crate::error::{Error, Result};
use record::Record;

/// Beside the seeds. Whoever only reads them does not take it.
const LOCK: &str = "lock";

/// Holds the keys until it is dropped; none for keys that are in no directory.
pub(crate) type Held = Option<File>;

impl Keys {
    /// These keys, held against everybody else that would sign with them, and with the record and the memory that are there now.
    ///
    /// # Errors
    /// [`Error::Keys`] where another process holds them, or where their record changed since they were loaded;
    /// [`Error::Io`].
    pub(crate) fn held(self) -> Result<(Keys, Held)> {
        let Some(dir) = self.dir.clone() else { return Ok((self, None)) };
        let path = dir.join(LOCK);
        let held = lock_file(&path).map_err(|source| Error::Io { action: "lock", path, source })?;
        let held = held.ok_or_else(|| {
            Error::Keys(format!(
                "{} is in use by another process, with another data directory. Two that sign with the same keys would make two \
                 histories: stop the other one, or give this one keys of its own with --keys",
                dir.display()
            ))
        })?;
        // Whoever held them before may have signed and rotated since they were read.
        let record = Record::load(&dir)?;
        if record.generations().any(|generation| !self.seeds.contains_key(&generation)) {
            let changed =
                format!("the keys in {} were rotated while they were loaded: start it again", dir.display());
            return Err(Error::Keys(changed));
        }
        *self.memory() = record::remembered(&dir)?;
        record::remove_unfinished(&dir)?;
        Ok((Keys { record, ..self }, Some(held)))
    }
}
