//! Stopping for good: somebody outside, who remembers, has shown that this log was rolled back or forked.
//!
//! From then on nothing is signed and nothing is taken, in this run and in every later one, until a person has looked and removed
//! the file `stopped`. What is recorded is served all the same.

use schemas::origin::ROOT_TENANT;
use schemas::{Origin, Stream, layout};

use crate::Store;
use crate::disk::Disk;
use crate::durable::{failed, replace_synced};
use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::options::Options;
use crate::recover::tampered;
use crate::state::Shared;

impl Store {
    /// Stops signing and taking entries, for this reason, until a person removes the file `stopped` from the data directory. The
    /// first reason stays. Blocking.
    ///
    /// # Errors
    /// [`Error::Io`] when the reason could not be kept: the store has stopped, and a restart would not know.
    pub fn stop_signing(&self, reason: &str) -> Result<()> {
        self.shared.stop_signing(reason)
    }
}

impl Shared {
    pub(crate) fn stop_signing(&self, reason: &str) -> Result<()> {
        let root = root_origin(&self.keys, &self.options)?;
        let told = told(reason);
        tracing::error!(log = %root, %reason, "signing is stopped");
        // First in memory, so that nothing is signed while the file is written.
        self.tampered.set((root.to_string(), told.clone())).ok();
        // The threads end by this; what an append is told comes from the above.
        self.poisoned.set(told).ok();
        metrics::gauge!("tacho_store_poisoned").set(1.0);
        self.queue_changed.notify_all();
        self.signer_changed.notify_all();
        if self.disk.read(layout::STOPPED).is_ok_and(|kept| !kept.is_empty()) {
            return Ok(());
        }
        replace_synced(&*self.disk, layout::STOPPED, format!("{reason}\n").as_bytes())
    }
}

/// What the file of an earlier run says.
pub(crate) fn found(disk: &dyn Disk, keys: &Keys, options: &Options) -> Result<Option<Error>> {
    match disk.read(layout::STOPPED) {
        Ok(reason) => {
            let reason = String::from_utf8_lossy(&reason);
            Ok(Some(tampered(&root_origin(keys, options)?, told(reason.trim_end()))))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(disk, "read", layout::STOPPED)(error)),
    }
}

fn told(reason: &str) -> String {
    format!(
        "signing is stopped: {reason}; find out what happened, and remove the file `{}` in the data directory only then",
        layout::STOPPED
    )
}

fn root_origin(keys: &Keys, options: &Options) -> Result<Origin> {
    Ok(Origin::new(keys.installation(), ROOT_TENANT, Stream::Root, &options.writer)?)
}
