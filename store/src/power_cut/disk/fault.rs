//! How an operation of the simulated disk fails.

use std::io::{self, ErrorKind};

/// What the operation that fails has done, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::power_cut) enum Shape {
    /// Nothing; an I/O error.
    NotDone,
    /// What it was asked; the error is a lie.
    Done,
    /// Nothing; there is no room.
    NoRoom,
    /// The first bytes of what it was to write, not a multiple of anything; then there is no room.
    Short,
    /// A sync of names: what was renamed since the last one is seen by everybody, and no later sync makes it durable.
    LostRename,
    /// The process ends before it.
    Kill,
    /// The process ends after it.
    KillAfter,
}

impl Shape {
    pub(in crate::power_cut) const ALL: [Shape; 7] = [
        Shape::NotDone,
        Shape::Done,
        Shape::NoRoom,
        Shape::Short,
        Shape::LostRename,
        Shape::Kill,
        Shape::KillAfter,
    ];

    /// Whether the process ends: nothing is done and nothing is read from then on.
    pub(in crate::power_cut) fn is_kill(self) -> bool {
        matches!(self, Shape::Kill | Shape::KillAfter)
    }

    /// Whether an operation can fail so.
    pub(in crate::power_cut) fn fits(self, act: Act) -> bool {
        match self {
            Shape::NotDone | Shape::Done | Shape::Kill | Shape::KillAfter => true,
            Shape::NoRoom => matches!(act, Act::Names | Act::Write { .. }),
            Shape::Short => matches!(act, Act::Write { bytes } if bytes > 1),
            Shape::LostRename => matches!(act, Act::SyncNames { renamed: true }),
        }
    }
}

/// For how long operations fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::power_cut) enum Span {
    /// This one alone: the disk works again afterwards.
    Once,
    /// This one and all after it, until the process ends.
    Lasts,
}

/// What an operation is, as far as its failing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::power_cut) enum Act {
    /// A file or a directory gets a name, another one, or loses it.
    Names,
    /// So many bytes are written.
    Write { bytes: usize },
    /// A file's content is synced.
    Sync,
    /// A directory, or everything, is synced.
    SyncNames { renamed: bool },
}

/// Operations fail from the `at`-th on; `at` counts from 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) at: u64,
    pub(super) shape: Shape,
    pub(super) span: Span,
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Works,
    /// Fails, this being done of it.
    Fails(Shape),
}

impl Outcome {
    pub(super) fn is_done(self) -> bool {
        matches!(self, Outcome::Works | Outcome::Fails(Shape::Done | Shape::KillAfter))
    }

    pub(super) fn answer(self) -> io::Result<()> {
        match self {
            Outcome::Works => Ok(()),
            Outcome::Fails(Shape::NoRoom | Shape::Short) => Err(ErrorKind::StorageFull.into()),
            Outcome::Fails(_) => Err(io::Error::other("simulated fault")),
        }
    }
}
