//! `tacho witness`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;

use super::Place;

/// `tacho witness`.
#[derive(Debug, Subcommand)]
pub enum Witness {
    /// How the witnesses of this service stand: exit 0 where enough have cosigned and none fails, 1 where not
    Status {
        /// Where the data is.
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the key of a witness, if there is none yet, and print its verifier key
    Key {
        /// File of the key; only its owner may read it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Name of the witness, a URL without its scheme, such as witness.example.com/w1
        #[arg(long)]
        name: String,
    },
    /// Be a witness of other installations' logs: C2SP tlog-witness below the address. TLS by tls.cert and tls.key of the configuration
    Serve {
        /// Directory of what is remembered: whoever loses it has forgotten what it promised
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
        /// Address; port 0 takes a free one
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7421")]
        listen: SocketAddr,
        /// File of the key that `tacho witness key` made
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Policy file whose lines `log <vkey>` are the logs that are witnessed
        #[arg(long, value_name = "FILE")]
        logs: PathBuf,
    },
    /// Hold what two witnesses keep of one log against one another: exit 0 the same, 1 two histories, 2 it cannot be told
    Compare {
        /// Checkpoint that one witness cosigned
        one: PathBuf,
        /// And that of the other
        other: PathBuf,
        /// The log's verifier key
        #[arg(long, value_name = "VKEY")]
        key: String,
    },
}
