//! `tacho export`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Target;

/// `tacho export`.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Entries of a log in one zip that tacho-verify checks offline, with the root log's verifier key alone
    Evidence(Evidence),
}

/// `tacho export evidence`.
#[derive(Debug, Args)]
pub struct Evidence {
    /// What to export.
    #[command(flatten)]
    pub question: Question,
    /// Where to write the bundle; nothing may be there yet
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// With --session: all entries from its first to its last, so that none of it can have been left out; those of other sessions come
    /// along, without their payloads
    #[arg(long, requires = "session")]
    pub complete: bool,
    /// With --range of times: seconds that an event may have been recorded after that range [default: 3600]
    #[arg(long, value_name = "SECONDS", requires = "range")]
    pub lateness: Option<u32>,
    /// Payload columns whose values are withheld, and raw with them; all for every one
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub withhold: Option<Vec<String>>,
    /// Payload columns whose values are disclosed; every other one is withheld
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', conflicts_with = "withhold")]
    pub disclose: Option<Vec<String>>,
    /// Under the newest root checkpoint that enough witnesses have cosigned, with their signatures in the bundle
    #[arg(long)]
    pub witnessed: bool,
    /// Whose log [default: the caller's own tenant]
    #[arg(long)]
    pub tenant: Option<String>,
    /// events, alerts or access
    #[arg(long, default_value = "events")]
    pub stream: String,
    /// A store or a running service.
    #[command(flatten)]
    pub target: Target,
}

/// One of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Question {
    /// The entries whose log_index the statement selects
    #[arg(long, value_name = "SQL")]
    pub sql: Option<String>,
    /// The entries of a session
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Every entry of FROM..TO, two indices or two times (RFC 3339), the second excluded
    #[arg(long, value_name = "FROM..TO")]
    pub range: Option<String>,
}
