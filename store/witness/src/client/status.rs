//! How the witnesses stand, as it is kept for `tacho witness status`.

use serde::{Deserialize, Serialize};

/// The file.
pub const STATUS: &str = "status.json";

/// How it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The newest checkpoint that enough have cosigned.
    pub quorum: Option<QuorumStatus>,
    /// One a witness that has a URL, in the order of the policy.
    pub witnesses: Vec<MemberStatus>,
    /// Why signing was stopped.
    pub stopped: Option<String>,
}

/// A checkpoint that enough have cosigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumStatus {
    /// Its size.
    pub size: u64,
    /// When that was known here, POSIX seconds.
    pub time_s: u64,
    /// The names of those that cosigned it.
    pub by: Vec<String>,
}

/// One witness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its name in the policy.
    pub name: String,
    /// The size that it last cosigned; absent if it has not yet.
    pub size: Option<u64>,
    /// When, by its clock, POSIX seconds.
    pub time_s: Option<u64>,
    /// Failures in a row since.
    pub failures: u64,
    /// Since when, POSIX seconds.
    pub failing_since_s: Option<u64>,
    /// The last one.
    pub reason: Option<String>,
    /// Whether it says, and did twice, that this log has another history than its own; until it cosigns again.
    #[serde(default)]
    pub accuses: bool,
}
