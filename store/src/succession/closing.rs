//! The end of the old logs in a rotation.

use std::sync::Arc;

use schemas::checkpoint::Checkpoint;
use schemas::control::{Control, LogClosed, Succession};
use schemas::note::Note;
use schemas::{Origin, Stream, layout};

use super::{Alone, of, others, root_log};
use crate::clock::Clock;
use crate::commit::commit_once;
use crate::disk::Disk;
use crate::durable::replace_synced;
use crate::error::Result;
use crate::keys::Keys;
use crate::keys::record::Pending;
use crate::options::Options;
use crate::recover::{Purpose, controls_of, open_for};
use crate::sequence::Placed;
use crate::state::{LogState, Shared, lock};
use crate::{crash, root};

/// Gives every log of the old writer its last entry, the root log last of all, and seals them.
pub(super) fn close_old(
    disk: &Arc<dyn Disk>,
    keys: &Keys,
    options: &Options,
    clock: &Arc<dyn Clock>,
    pending: &Pending,
) -> Result<()> {
    let options = of(options, &pending.from);
    let opened = open_for(options, Arc::clone(disk), Arc::clone(clock), keys.clone(), &Purpose::Close)?;
    let mut old = Alone(opened);
    old.0.shared.check_writable()?;
    let shared = Arc::clone(&old.0.shared);
    let (closed_logs, root_is_closed) = old.0.closed.clone();
    let successor = |log: &LogState| -> Result<Succession> {
        let new =
            Origin::new(keys.installation(), log.origin.tenant(), log.origin.stream(), &pending.to.writer)?;
        Ok(Succession { origin: new.to_string(), key: keys.log(&new)?.checkpoint.verifier().to_string() })
    };
    if !root_is_closed {
        // One that the root log knows and that a crash kept from having an entry is at its end too.
        let known: Vec<Origin> = lock(&shared.numbers).values().map(|known| known.origin.clone()).collect();
        let wait = |_: Placed| commit_once(&shared).map(|_| ());
        for origin in known.iter().filter(|origin| origin.stream() != Stream::Root) {
            if let (_, Some(placed)) = crate::open_log(&shared, origin.tenant(), origin.stream(), &wait)? {
                wait(placed)?;
            }
        }
        for log in others(&shared).iter().filter(|log| !closed_logs.contains(&log.number)) {
            let last = Control::Succession(successor(log)?);
            // A crash may have come after it and before the root log says so.
            if last_control(&shared, log)?.as_ref() != Some(&last) {
                root::append_control(&shared, log, &last)?;
            }
        }
        old.seal_all()?;
        crash::point("succession-old-told");
        let root = root_log(&shared)?;
        root::rounds(&shared, &mut old.0.rounds, true)?;
        for log in others(&shared).iter().filter(|log| !closed_logs.contains(&log.number)) {
            let note = Arc::clone(&lock(&log.view).checkpoint);
            let checkpoint = Checkpoint::parse(Note::parse(note.as_bytes())?.unverified_text())?;
            let closed = LogClosed {
                number: log.number,
                size: checkpoint.size,
                root: checkpoint.root.to_base64(),
                successor: successor(log)?.origin,
            };
            root::append_control(&shared, &root, &Control::LogClosed(closed))?;
        }
        root::append_control(&shared, &root, &Control::Succession(successor(&root)?))?;
    }
    old.seal_all()?;
    // Nobody opens these logs for writing again, so nobody puts a copy right that a power cut took back: an older one than
    // what is sealed would look like tampering for ever.
    for log in shared.all_logs() {
        let path = format!("{}/{}", layout::origin_dir(&log.origin), layout::CHECKPOINT);
        let checkpoint = Arc::clone(&lock(&log.view).checkpoint);
        replace_synced(&**disk, &path, checkpoint.as_bytes())?;
    }
    old.clear()?;
    crash::point("succession-old-closed");
    Ok(())
}

/// The newest control entry that a log has, if it is its last entry.
fn last_control(shared: &Shared, log: &LogState) -> Result<Option<Control>> {
    let mut last = None;
    let durable = lock(&log.view).durable;
    controls_of(shared, log, |index, control| {
        last = (index + 1 == durable).then_some(control);
        Ok(())
    })?;
    Ok(last)
}
