//! `tacho rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Target;

/// `tacho rules`.
#[derive(Debug, Subcommand)]
pub enum Rules {
    /// List every rule: severity, whether it alerts or which list it waits for, where it is from
    List {
        /// Where your own are.
        #[command(flatten)]
        own: OwnRules,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run the examples beside the rules: exit 0 where all come right, 1 where one does not. With a file, try its events: exit 1
    /// where one matches
    Test {
        /// Where your own are.
        #[command(flatten)]
        own: OwnRules,
        /// File of events (NDJSON, a key a column of `events`); - for standard input
        file: Option<PathBuf>,
    },
    /// Have the running service read its rules and lists again, all or none; detection goes on under them. Settings are not read again
    Reload {
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
        /// Which service.
        #[command(flatten)]
        target: Target,
    },
}

/// Rules and lists of one's own.
#[derive(Debug, Args)]
pub struct OwnRules {
    /// Directory of rules of your own (*.yml); one with the id of a shipped one takes its place
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Directory of lists that rules name (NAME.txt, NAME.cidr)
    #[arg(long, value_name = "DIR")]
    pub lists: Option<PathBuf>,
}
