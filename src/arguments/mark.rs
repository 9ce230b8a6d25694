//! `tacho mark`.

use clap::Args;

use super::Target;

/// `tacho mark`.
#[derive(Debug, Args)]
pub struct Mark {
    /// A store or a running service.
    #[command(flatten)]
    pub target: Target,
    /// What kind of change: deployment, policy, or a word of your own
    pub kind: String,
    /// What was changed, such as "gateway 1.4"
    pub what: String,
    /// When, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}
