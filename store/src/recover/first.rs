//! The first entries of a run, and what is put aside before them.

use std::sync::Arc;

use schemas::control::{Control, Recovery};
use schemas::group::Position;
use schemas::origin::ROOT_TENANT;
use schemas::{Origin, Stream, layout, manifest};

use super::replay::Replay;
use super::{Purpose, Told, new_log, outside};
use crate::commit::commit_once;
use crate::disk::Disk;
use crate::durable::{TEMPORARY, failed, replace_synced};
use crate::error::Result;
use crate::root::{append_control, opened};
use crate::state::{Known, Shared, lock};

/// Copies a torn group out of the write-ahead files before they are written again without it.
pub(super) fn set_aside(disk: &dyn Disk, replay: &Replay) -> Result<()> {
    let Some((Position { file, offset }, bytes)) = replay.torn() else { return Ok(()) };
    let digest = manifest::digest(bytes);
    let path = format!("{}/{file:020}-{offset}-{}", layout::QUARANTINE, digest.get(..16).unwrap_or_default());
    match disk.read(&path) {
        Ok(there) if there == bytes => Ok(()),
        _ => replace_synced(disk, &path, bytes),
    }
}

/// The first entries of this run: the root log's own, and what recovery set aside.
pub(super) fn begin(shared: &Shared, told: &Told, purpose: &Purpose) -> Result<()> {
    let origin = Origin::new(shared.keys.installation(), ROOT_TENANT, Stream::Root, &shared.options.writer)?;
    let root = match shared.find(ROOT_TENANT, Stream::Root) {
        Some(root) => root,
        None => {
            let root = new_log(shared, origin.clone(), 0, 0)?;
            let mut logs = shared.logs.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            logs.insert((ROOT_TENANT.to_string(), Stream::Root), Arc::clone(&root));
            root
        }
    };
    if lock(&root.sequencer).next == 0 {
        let before = shared.predecessors.get(&(ROOT_TENANT.to_string(), Stream::Root));
        let predecessor = before.map(|before| before.predecessor.clone());
        append_control(shared, &root, &opened(0, &origin, &root.keys, predecessor.clone()))?;
        lock(&shared.numbers).insert(0, Known { origin, root_index: 0, predecessor });
    }
    if told.adopted.is_none()
        && let Some(adopted) = outside::adopted(&shared.keys, purpose)
    {
        append_control(shared, &root, &Control::Adopted(adopted))?;
    }
    if let Purpose::Begin { lost, .. } = purpose {
        for lost in lost.iter().filter(|lost| !told.lost.contains(&lost.origin)) {
            append_control(shared, &root, &Control::LogLost(lost.clone()))?;
        }
    }
    let disk = &*shared.disk;
    for entry in disk.list(layout::QUARANTINE).map_err(failed(disk, "list", layout::QUARANTINE))? {
        if entry.is_dir {
            continue;
        }
        let path = format!("{}/{}", layout::QUARANTINE, entry.name);
        let bytes = disk.read(&path).map_err(failed(disk, "read", &path))?;
        let digest = manifest::digest(&bytes);
        // A crash may have come after an earlier recovery set it aside and before it said so.
        if !entry.name.ends_with(TEMPORARY) && !told.quarantined.contains(&digest) {
            tracing::warn!(%path, bytes = bytes.len(), "an unfinished group was set aside");
            let recovery = Recovery {
                size: lock(&root.sequencer).next,
                quarantined_bytes: bytes.len() as u64,
                quarantined_digest: digest,
            };
            append_control(shared, &root, &Control::Recovery(recovery))?;
        }
    }
    while commit_once(shared)? {}
    Ok(())
}
