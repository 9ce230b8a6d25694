//! What the kernel shows and the disk does not have, perhaps: written again before anything relies on it.

use schemas::{Origin, layout};

use super::Replay;
use crate::disk::Disk;
use crate::durable::{failed, replace_synced};
use crate::error::Result;
use crate::recover::{Found, Logs};

impl Replay {
    /// Writes the newest file again up to its last readable group, before anything relies on it; what is torn behind
    /// that has been set aside. After a failed sync the kernel shows pages that
    /// are not on the disk and that no later sync writes; a file before the newest was synced to its end.
    pub(crate) fn write_newest_again(&mut self, disk: &dyn Disk) -> Result<()> {
        let Some(newest) = self.files.last_mut() else { return Ok(()) };
        let path = layout::wal(newest.number);
        let bytes = disk.read(&path).map_err(failed(disk, "read", &path))?;
        newest.bytes = self.end.offset;
        let kept = usize::try_from(newest.bytes).ok().and_then(|end| bytes.get(..end)).unwrap_or(&bytes);
        replace_synced(disk, &path, kept)
    }

    /// Publishes the newest manifest of each of these logs again that the files hold something of, before anything relies on
    /// it: where a seal was told that its manifest's name is not durable, its entries are still in them. The kernel may
    /// show a name that is not on the disk and that no later sync writes; the manifests before it were published durably.
    pub(crate) fn publish_manifests_again<'a>(
        &self,
        disk: &dyn Disk,
        logs: impl Iterator<Item = &'a Found>,
    ) -> Result<()> {
        let is_held = |origin: &Origin| self.files.iter().any(|file| file.ends.contains_key(origin));
        for log in logs.filter(|log| log.view.manifest > 0 && is_held(&log.origin)) {
            let directory = layout::origin_dir(&log.origin);
            let path = format!("{directory}/{}", layout::manifest(log.view.manifest));
            let bytes = disk.read(&path).map_err(failed(disk, "read", &path))?;
            replace_synced(disk, &path, &bytes)?;
        }
        Ok(())
    }

    /// Whether all that the files before the newest hold is sealed. They had been given up, perhaps, and came back: a power cut
    /// brought their names back without those that were given up after them.
    pub(super) fn are_given_up(&self, logs: &Logs) -> bool {
        let before = self.files.iter().rev().skip(1);
        let mut ends = before.flat_map(|file| &file.ends);
        ends.all(|(origin, end)| {
            let log = logs.get(&(origin.tenant().to_string(), origin.stream()));
            log.is_some_and(|log| log.view.sealed >= *end)
        })
    }

    /// Gives up again what came back, oldest first; the manifests that make it superfluous are durable by now.
    pub(crate) fn remove_given_up(&mut self, disk: &dyn Disk) -> Result<()> {
        for file in self.files.drain(..self.given_up) {
            let path = layout::wal(file.number);
            tracing::warn!(%path, "a write-ahead file that was given up came back, as after a power cut; all in it is sealed, and it is removed again");
            disk.remove(&path).map_err(failed(disk, "remove", &path))?;
            disk.sync_dir(layout::WAL).map_err(failed(disk, "sync directory", layout::WAL))?;
        }
        self.given_up = 0;
        Ok(())
    }
}
