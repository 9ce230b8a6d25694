//! Whose a directory is: whoever holds the lock on the file `lock` in it. The kernel lets go of it when its holder dies.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::error::Error;

const NAME: &str = "lock";

/// Opens no link that somebody put in the place of a file of the spool.
pub(super) fn no_follow() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

/// Held while it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// The lock of `directory`; none if another process has it, or has just removed the directory.
    pub(super) fn take(directory: &Path) -> Result<Option<Lock>, Error> {
        let path = directory.join(NAME);
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).custom_flags(no_follow());
        let opened = options.open(&path);
        let file = opened.map_err(Error::spool("open", &path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(None);
        }
        // Between opening and locking its last holder may have removed the file: then this locks nothing that others see.
        let held = file.metadata().map_err(Error::spool("read", &path))?;
        let is_same =
            path.metadata().is_ok_and(|there| there.ino() == held.ino() && there.dev() == held.dev());
        Ok(is_same.then_some(Lock { _file: file }))
    }
}
