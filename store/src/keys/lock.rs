//! One process signs with a directory's keys at a time: two copies of the data opened with the same keys would sign the same
//! sizes otherwise, each under its own lock.

use std::fmt::Debug;

use super::{Keys, record};
use crate::disk::Disk;
use crate::durable::failed;
use crate::error::{Error, Result};
use record::Record;

/// Beside the seeds. Whoever only reads them does not take it.
const LOCK: &str = "lock";
/// What is with a process that signs.
const ANOTHER_SIGNS: &str = "with another data directory. Two that sign with the same keys would make two histories: \
                             stop the other one, or give this one keys of its own with --keys";
/// What is with a process that changes how seeds are kept.
pub(super) const ANOTHER_CHANGES: &str = "which may write a seed meanwhile: stop it first";

/// Holds the keys until it is dropped; none for keys that are in no directory.
pub(crate) type Held = Option<Box<dyn Debug + Send + Sync>>;

/// Takes the lock.
pub(super) fn hold(disk: &dyn Disk, why: &str) -> Result<Box<dyn Debug + Send + Sync>> {
    let held = disk.lock(LOCK).map_err(failed(disk, "lock", LOCK))?;
    held.ok_or_else(|| {
        Error::Keys(format!("{} is in use by another process, {why}", disk.absolute("").display()))
    })
}

impl Keys {
    /// These keys, held against everybody else that would sign with them, and with the record and the memory that are there now,
    /// which are on stable storage once this returns.
    ///
    /// # Errors
    /// [`Error::Keys`] where another process holds them, or where their record changed since they were loaded;
    /// [`Error::Io`].
    pub(crate) fn held(self) -> Result<(Keys, Held)> {
        let Some(disk) = self.disk.clone() else { return Ok((self, None)) };
        let held = hold(&*disk, ANOTHER_SIGNS)?;
        // Whoever held them before may have signed and rotated since they were read.
        let record = Record::load(&*disk)?;
        if record.generations().any(|generation| !self.seeds.contains_key(&generation)) {
            let dir = disk.absolute("");
            let changed =
                format!("the keys in {} were rotated while they were loaded: start it again", dir.display());
            return Err(Error::Keys(changed));
        }
        record::remove_unfinished(&*disk)?;
        record::write_again(&*disk)?;
        *self.memory() = record::remembered(&*disk)?;
        Ok((Keys { record, ..self }, Some(held)))
    }
}
