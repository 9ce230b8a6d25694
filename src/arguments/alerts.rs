//! `tacho alerts`.

use clap::{Subcommand, ValueEnum};

use super::Target;

/// `tacho alerts`.
#[derive(Debug, Subcommand)]
pub enum Alerts {
    /// List episodes, the latest first: exit 1 if there are any
    List {
        /// Only those that are open
        #[arg(long)]
        open: bool,
        /// Only those of this severity or worse: informational, low, medium, high, critical
        #[arg(long, value_name = "SEVERITY", default_value = "informational")]
        severity: AlertSeverity,
        /// Only those of this rule
        #[arg(long, value_name = "RULE_ID")]
        rule: Option<String>,
        /// Only those told in the last days; with --open, all that are open
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        /// A store or a running service.
        #[command(flatten)]
        target: Target,
    },
    /// Print all that is known of one episode: how it went on, why, its evidence, and SQL to look further. Exit 1 if there is none
    Show {
        /// Its id, or a beginning of it that no other has
        alert_id: String,
        /// A store or a running service.
        #[command(flatten)]
        target: Target,
    },
    /// Record what an alert turned out to be, in your name; the detector goes by it
    Verdict {
        /// Its id
        alert_id: String,
        /// true: it happened and should not have; benign: nothing is wrong, and its episode closes
        #[arg(value_name = "true|benign")]
        verdict: AlertVerdict,
        /// Mute its entity under its rule for so long (30m, 12h, 7d; at most 90d): what is told then is on record and informational
        #[arg(long, value_name = "TIME")]
        mute: Option<String>,
        /// Why; secrets are removed
        #[arg(long)]
        note: Option<String>,
        /// A store or a running service.
        #[command(flatten)]
        target: Target,
    },
}

/// In the order of how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AlertSeverity {
    /// On record, and nobody needs to be woken.
    Informational,
    /// Worth a look when there is time.
    Low,
    /// Worth a look today.
    Medium,
    /// Worth a look now.
    High,
    /// Worth waking somebody.
    Critical,
}

/// What an alert turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AlertVerdict {
    /// It happened and should not have.
    True,
    /// Nothing is wrong.
    Benign,
}
