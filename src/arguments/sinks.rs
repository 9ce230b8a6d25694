//! `tacho sinks`.

use clap::Subcommand;

use super::Target;

/// `tacho sinks`.
#[derive(Debug, Subcommand)]
pub enum Sinks {
    /// How every sink stands: exit 0 where all take what they are sent, 1 where one does not or has dead letters
    List {
        /// Which service.
        #[command(flatten)]
        target: Target,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send one test alert to the sink of the configuration, from here: exit 0 where it is taken, 1 where not
    Test {
        /// Its name
        name: String,
    },
    /// Have a sink send again: its dead letters, or a range of a tenant's log
    Replay {
        /// Which service.
        #[command(flatten)]
        target: Target,
        /// Its name
        name: String,
        /// The tenant [default: all for dead letters, one's own for a range]
        #[arg(long)]
        tenant: Option<String>,
        /// From this entry of the log on, instead of dead letters
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// Up to this entry, which is left out [default: as far as the sink has come]
        #[arg(long, value_name = "INDEX", requires = "from")]
        to: Option<u64>,
    },
    /// Forget a sink's dead letters, and what it was asked to send again; the alerts stay in the log
    Discard {
        /// Which service.
        #[command(flatten)]
        target: Target,
        /// Its name
        name: String,
        /// The tenant [default: all]
        #[arg(long)]
        tenant: Option<String>,
    },
}
