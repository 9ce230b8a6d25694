//! `tacho redaction`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Target;

/// `tacho redaction`.
#[derive(Debug, Subcommand)]
pub enum Redaction {
    /// Show what would be removed from an event or a text, and why; never what it was: exit 0 nothing, 1 something
    Test {
        /// File of the event or text; - for standard input
        #[arg(default_value = "-", value_name = "FILE")]
        file: PathBuf,
        /// Read it as text even where it is JSON
        #[arg(long)]
        text: bool,
        /// The tenant whose policies for personal data are in force
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Draw recorded events at random, for somebody to look through for what redaction missed
    Sample {
        /// How many
        #[arg(long, default_value_t = 50)]
        rows: u64,
        /// Only events of the last days
        #[arg(long, default_value_t = 7)]
        days: u32,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        /// A store or a running service.
        #[command(flatten)]
        target: Target,
    },
    /// Record what the review of a sample found, in your name
    Verdict {
        /// The sample, as `sample` named it
        sample: String,
        /// An event in which something was missed, and what: 1234 or 1234:cookie
        #[arg(long, value_name = "LOG_INDEX[:WHAT]", required_unless_present = "clean")]
        missed: Vec<String>,
        /// Nothing was missed
        #[arg(long, conflicts_with = "missed")]
        clean: bool,
        /// What there is to say of it; secrets are removed
        #[arg(long)]
        note: Option<String>,
        /// A store or a running service.
        #[command(flatten)]
        target: Target,
    },
}
