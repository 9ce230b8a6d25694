//! What may be typed of keys, copies and what goes on from them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use schemas::note::VerifierKey;

use super::Place;

/// `tacho keys`.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Print verifier keys; the root log's is the last line, and all that an auditor needs
    Show {
        /// Print the root log's alone
        #[arg(long, conflicts_with = "all")]
        root: bool,
        /// Print those of every log of every writer, with the writer's generation
        #[arg(long)]
        all: bool,
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Encrypt the seeds under the passphrase of keys_passphrase_file or TACHO_KEYS_PASSPHRASE
    Encrypt {
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Keep the seeds as they are: the permissions of their files are all that guards them then
    Decrypt {
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Have the seeds wrapped by the program of keys_wrap; keys_unwrap opens them again
    Wrap {
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Sign with keys of a new generation: every log ends and a new one goes on in its place. No service may run on the directory
    Rotate {
        /// Who does it, for the record [default: the user of the operating system]
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
}

/// `tacho adopt`.
#[derive(Debug, Args)]
pub struct Adopt {
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who does it, for the record [default: the user of the operating system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// What tacho-verify --remember wrote elsewhere: what is lost is reckoned from it too
    #[arg(long, value_name = "FILE")]
    pub remembered: Option<PathBuf>,
    /// Where the data is.
    #[command(flatten)]
    pub place: Place,
}

/// `tacho backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// A new directory
    pub to: PathBuf,
    /// Link the data files instead of copying them: on the same file system, and no protection from a disk that goes bad
    #[arg(long)]
    pub hard_links: bool,
    /// Data directory [default: ./tacho-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `tacho restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// What tacho backup wrote
    pub from: PathBuf,
    /// The data directory to be, new or empty
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Directory of the keys [default: <to>-keys]
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Verifier key of the root log, where the keys are not at hand
    #[arg(long, value_name = "VKEY")]
    pub key: Option<VerifierKey>,
    /// What tacho-verify --remember wrote elsewhere: what is lost is reckoned from it too
    #[arg(long, value_name = "FILE")]
    pub remembered: Option<PathBuf>,
}
