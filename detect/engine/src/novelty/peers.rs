//! Among whom a session is judged.

use serde::{Deserialize, Serialize};

use super::element::hash;

/// Peer groups from the narrowest to the widest: role with workflow, role, everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    role: u64,
    workflow: Option<u64>,
}

impl Peers {
    const ALL: u64 = 0;

    /// The peers of a role, in a workflow where it is known.
    pub fn new(role: &str, workflow: Option<&str>) -> Peers {
        Peers {
            role: hash(&["role", role]),
            workflow: workflow.map(|workflow| hash(&["workflow", role, workflow])),
        }
    }

    /// The narrowest first.
    pub(super) fn levels(&self) -> impl DoubleEndedIterator<Item = u64> + use<> {
        self.workflow.into_iter().chain([self.role, Peers::ALL])
    }
}
