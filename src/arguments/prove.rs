//! `tacho prove`.

use std::path::PathBuf;

use clap::Args;

use super::Target;

/// `tacho prove`.
#[derive(Debug, Args)]
pub struct Prove {
    /// The event, by its id
    #[arg(required_unless_present = "index")]
    pub event_id: Option<String>,
    /// The entry, by its index in the log
    #[arg(long, value_name = "N", conflicts_with = "event_id")]
    pub index: Option<u64>,
    /// Whose log [default: the caller's own tenant]
    #[arg(long)]
    pub tenant: Option<String>,
    /// events, alerts or access; root, with --tenant _root, for the root log
    #[arg(long, default_value = "events")]
    pub stream: String,
    /// The writer of the log, where it is not the one that writes now, as its origin names it
    #[arg(long)]
    pub writer: Option<String>,
    /// Also prove that the root log extends what it was at this size
    #[arg(long, value_name = "SIZE")]
    pub since: Option<u64>,
    /// Under the newest root checkpoint that enough witnesses have cosigned, with their signatures in the proof
    #[arg(long)]
    pub witnessed: bool,
    /// Where to write the proof [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// A store or a running service.
    #[command(flatten)]
    pub target: Target,
}
