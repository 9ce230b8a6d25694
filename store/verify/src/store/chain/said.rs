//! What successors say of the logs before them, held against these and against the root logs that opened and closed them.

use schemas::Origin;
use schemas::control::Predecessor;
use schemas::tree::Hash;

use super::Epoch;
use crate::plan::Known;
use crate::report::{Finding, Gathered};
use crate::tree::Tree;

/// Where a log says that it goes on from one of another tenant, stream or writer.
pub(super) fn misplaced(predecessor: &Predecessor, known: &Known, epoch: &Epoch) -> Option<Finding> {
    let writer = |origin: &str| origin.parse::<Origin>().ok().map(|origin| origin.writer().to_string());
    let root = epoch.known.opened.predecessor.as_ref().and_then(|before| writer(&before.origin));
    let fits = predecessor.origin.parse::<Origin>().is_ok_and(|before| {
        (before.installation(), before.tenant(), before.stream())
            == (known.origin.installation(), known.origin.tenant(), known.origin.stream())
            && root.as_deref() == Some(before.writer())
    });
    let successor = &known.opened.origin;
    (!fits).then(|| {
        Finding::new(format!("{successor} goes on from it, which is not the log in its place before"))
    })
}

/// What is missing of a log beside what its successor says of it.
pub(super) fn judge(predecessor: &Predecessor, known: &Known, sealed: u64, epoch: &Epoch) -> Gathered {
    let Predecessor { size, kept, .. } = predecessor;
    let successor = &known.opened.origin;
    let mut out = Gathered::default();
    if kept > size || sealed < *kept {
        let wrong = format!("{successor} says that {kept} of its {size} entries are kept; here are {sealed}");
        out.find(Finding::new(wrong).index(sealed));
    } else if sealed > *size {
        let wrong = format!("{sealed} entries, and {successor} goes on from {size}");
        out.find(Finding::new(wrong).index(*size));
    } else if sealed < *size {
        let reason = epoch.catalog.adopted.as_ref().map_or("", |adopted| adopted.reason.as_str());
        let carried = match predecessor.carried {
            0 => String::new(),
            carried => format!("; {carried} of what it had are recorded again there, at the beginning"),
        };
        let lost =
            format!("entries {sealed} to {size} are lost for ever, says {successor}: {reason}{carried}");
        out.note(Finding::new(lost).index(sealed));
    }
    if *kept > 0 && kept < size && predecessor.kept_root.is_none() {
        let unbound = format!(
            "{successor}, as an older version wrote it, says how many of its entries are kept and not which: they are not \
             bound to it, and whoever has the old key can put others in their place"
        );
        out.note(Finding::new(unbound));
    }
    out
}

/// Where the root log before knows the log otherwise than its successor does.
pub(super) fn unmatched(
    predecessor: &Predecessor,
    known: &Known,
    before: &Epoch,
    named_is_absent: bool,
) -> Option<Finding> {
    let successor = &known.opened.origin;
    let same = before.catalog.logs.iter().find(|(_, log)| log.opened.origin == predecessor.origin);
    let Some((number, log)) = same else {
        // Opened after what is here of that root log.
        let wrong = format!("{successor} goes on from it, and its root log never opened it");
        return (predecessor.kept > 0).then(|| Finding::new(wrong));
    };
    if log.opened.key != predecessor.key {
        let wrong = format!(
            "{successor} goes on from it under key {}, its key is {}",
            predecessor.key, log.opened.key
        );
        return Some(Finding::new(wrong));
    }
    if *number == 0 {
        let other = before
            .catalog
            .succession
            .as_ref()
            .filter(|next| next.origin != known.opened.origin || next.key != known.opened.key);
        if let Some(next) = other.filter(|_| !named_is_absent) {
            return Some(Finding::new(format!("it names {} as its successor, not {successor}", next.origin)));
        }
        let kept = predecessor.kept_root.as_ref().map(|root| (predecessor.kept, root));
        let roots = [(predecessor.size, &predecessor.root)].into_iter().chain(kept);
        let mut wrong = roots.filter_map(|(size, root)| check_root_at(size, root, successor, &before.leaves));
        return wrong.next();
    }
    let (index, closed) = before.catalog.closed.get(number)?;
    let matches = (closed.size, &closed.root) == (predecessor.size, &predecessor.root)
        && (closed.successor == *successor || named_is_absent);
    (!matches).then(|| {
        let wrong = format!(
            "closed at size {} for {}, and {successor} goes on from size {}",
            closed.size, closed.successor, predecessor.size
        );
        Finding::new(wrong).index(*index)
    })
}

/// The root of a root log where its successor goes on, over its own leaves.
fn check_root_at(size: u64, root: &str, successor: &str, leaves: &[Hash]) -> Option<Finding> {
    let size = usize::try_from(size).ok()?;
    let leaves = leaves.get(..size)?;
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf, &mut |_| {}));
    (tree.root().to_base64() != root).then(|| {
        let wrong = format!("the entries do not make the root that {successor} gives for size {size}");
        Finding::new(wrong)
    })
}

/// Of a root log at its end: logs that it did not close, and those whose successor is not opened.
pub(super) fn unfinished(epoch: &Epoch, next: &Epoch) -> Gathered {
    let mut out = Gathered::default();
    if epoch.catalog.succession.is_none() {
        return out;
    }
    for (number, log) in epoch.catalog.logs.iter().filter(|(number, _)| **number != 0) {
        let origin = &log.opened.origin;
        let goes_on =
            next.catalog.logs.values().any(|known| {
                known.opened.predecessor.as_ref().is_some_and(|before| before.origin == *origin)
            });
        if !epoch.catalog.closed.contains_key(number) {
            out.find(Finding::new(format!("it is at its end and did not close {origin}")));
        } else if !goes_on {
            out.note(Finding::new(format!("the successor of {origin} is not opened yet")));
        }
    }
    out
}
