//! What may be typed.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod alerts;
mod export;
mod keys;
mod mark;
mod prove;
mod redaction;
mod rules;
mod sinks;
mod witness;

pub use alerts::{AlertSeverity, AlertVerdict, Alerts};
pub use export::{Evidence, Export};
pub use keys::{Adopt, Backup, Keys, Restore};
pub use mark::Mark;
pub use prove::Prove;
pub use redaction::Redaction;
pub use rules::{OwnRules, Rules};
pub use sinks::Sinks;
pub use witness::Witness;

/// The sealed recorder beside AI agents.
#[derive(Debug, Parser)]
#[command(name = "tacho", version, about, max_term_width = 100)]
pub struct Cli {
    /// Configuration file (TOML); every key is optional
    #[arg(long, global = true, env = "TACHO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Serve(Serve),
    /// Show everything at once on a scratch store with a simulated fleet and an incident in it
    Demo(Demo),
    /// Load events (NDJSON, JSON) into a store or a running service
    Ingest(Ingest),
    /// Record a stdio MCP server from outside: tacho tap --url URL --token-file FILE -- COMMAND...
    Tap(Tap),
    /// Ask SQL
    Sql(Sql),
    /// Print a session in order
    Replay(Replay),
    /// Check that nothing in a store was changed: reads the files alone, needs no keys and no service
    Verify(Verify),
    /// Prove that an entry is in the record, for whoever has the root log's verifier key: tacho-verify proof checks it offline
    Prove(Prove),
    /// Take entries of the record away with their proof
    #[command(subcommand)]
    Export(Export),
    /// Hold the six go/no-go gates against their conditions: exit 0 pass, 1 block, 2 no answer
    Gate(GateCommand),
    /// What the detector told, and what came of it
    #[command(subcommand)]
    Alerts(Alerts),
    /// Fold the stored events again under the settings in force and hold that against the alerts on record: exit 0 where every
    /// alert is the same, 1 where not. No service may run on the directory
    Backtest(Backtest),
    /// Make what each rule is there for happen to a scratch detector, under the settings and rules in force, and see that it is told:
    /// exit 0 where every rule fired, 1 where one did not. Touches no store
    Drill(Drill),
    /// Which key of which source goes to which column
    #[command(subcommand)]
    Mapping(Mapping),
    /// Rules in Sigma: those shipped and your own
    #[command(subcommand)]
    Rules(Rules),
    /// Where alerts go: how each sink stands, a test, what is sent again
    #[command(subcommand)]
    Sinks(Sinks),
    /// Note a deployment or a change of policy, so that alerts of what follows say so
    Mark(Mark),
    /// How far files and topics were read
    #[command(subcommand)]
    Cursor(Cursor),
    /// API tokens
    #[command(subcommand)]
    Token(Token),
    /// Keys
    #[command(subcommand)]
    Keys(Keys),
    /// Witnesses: how they stand, and being one
    #[command(subcommand)]
    Witness(Witness),
    /// Take a copy, a restored backup or a moved machine into service: begins logs in place of the old ones and names what is lost
    Adopt(Adopt),
    /// Copy what is sealed, while a service runs on it or not
    Backup(Backup),
    /// Put a backup back, and say what is lost
    Restore(Restore),
    /// Redaction: what it would remove, and the review of what it missed
    #[command(subcommand)]
    Redaction(Redaction),
    /// The configuration
    #[command(subcommand)]
    Config(Config),
}

/// Where the data is.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Data directory [default: ./tacho-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Directory of the keys, outside the data directory [default: <data>-keys]
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
}

/// A store or a running service.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// Where the data is.
    #[command(flatten)]
    pub place: Place,
    /// Address of a running service, such as https://tacho.internal:7420
    #[arg(long, env = "TACHO_URL", conflicts_with_all = ["data", "keys"])]
    pub url: Option<String>,
    /// File with the API token for --url; without it, TACHO_TOKEN
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) that --url https://... is checked against [default: those the world trusts]
    #[arg(long, value_name = "FILE", env = "TACHO_CA")]
    pub ca: Option<PathBuf>,
}

/// `tacho serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where the data is.
    #[command(flatten)]
    pub place: Place,
    /// Address of the HTTP port; port 0 takes a free one [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address of the PostgreSQL port, such as 127.0.0.1:7432; port 0 takes a free one [default: none]
    #[arg(long, value_name = "ADDR")]
    pub pg: Option<SocketAddr>,
    /// Address of a port for OTLP/HTTP, which the HTTP port takes too, such as 127.0.0.1:4318 [default: none]
    #[arg(long, value_name = "ADDR")]
    pub otlp: Option<SocketAddr>,
    /// Address of a port for OTLP/gRPC, such as 127.0.0.1:4317 [default: none]
    #[arg(long, value_name = "ADDR")]
    pub otlp_grpc: Option<SocketAddr>,
    /// What this process does: ingest, detect, query [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub roles: Option<Vec<String>>,
    /// Listen on this address beyond loopback although traffic is not encrypted
    #[arg(long, value_name = "ADDR")]
    pub allow_plaintext: Option<SocketAddr>,
    /// TLS of the ports.
    #[command(flatten)]
    pub tls: Tls,
}

/// TLS of a service, from files that are looked at again while it runs.
#[derive(Debug, Clone, Default, Args)]
pub struct Tls {
    /// Certificate and its chain (PEM): the ports then speak TLS, and may lie beyond loopback
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM), readable by no one else
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Let clients in with certificates that these certificates (PEM) signed, where [[mtls]] maps them to a role
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
}

/// `tacho demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Do everything once, say what was done, and exit
    #[arg(long)]
    pub once: bool,
    /// Keep the data in this directory instead of a scratch one
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// `tacho ingest`.
#[derive(Debug, Args)]
pub struct Ingest {
    /// Files of events; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Mapping to use instead of telling it from each record
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,
    /// A store or a running service.
    #[command(flatten)]
    pub target: Target,
    /// Keep the signed checkpoint that covers what was taken, in this directory: `verify --receipt` holds a store against it
    #[arg(long, value_name = "DIR")]
    pub receipts: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `tacho tap`.
#[derive(Debug, Clone, Args)]
pub struct Tap {
    /// The service; without --url the one that runs on the data directory.
    #[command(flatten)]
    pub target: Target,
    /// Name of the server [default: what it calls itself]
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// On whose behalf the agent acts
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// The agent
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// The session [default: one for each start]
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// prod, staging, dev or as you say
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// Where events wait, redacted, while the service is away [default: tachograph/tap in the user's state directory]
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// Bytes of them; beyond, events are dropped and counted
    #[arg(long, value_name = "BYTES", default_value_t = schemas::limits::TAP_SPOOL_BYTES_MAX)]
    pub spool_bytes: u64,
    /// Seconds between events that say the tap is alive; 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = schemas::limits::TAP_HEARTBEAT_S)]
    pub heartbeat: u32,
    /// The server and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `tacho sql`.
#[derive(Debug, Args)]
pub struct Sql {
    /// One SELECT statement
    pub query: String,
    /// How to print the rows
    #[arg(long, value_enum, default_value_t = SqlFormat::Table)]
    pub format: SqlFormat,
    /// A store or a running service.
    #[command(flatten)]
    pub target: Target,
}

/// Formats of `tacho sql`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SqlFormat {
    /// Aligned columns
    Table,
    /// Comma-separated, with a header
    Csv,
    /// One array
    Json,
    /// One object a line
    Ndjson,
    /// Arrow IPC stream
    Arrow,
    /// Parquet
    Parquet,
}

impl SqlFormat {
    /// The name the service knows.
    pub fn name(self) -> &'static str {
        match self {
            SqlFormat::Table => "table",
            SqlFormat::Csv => "csv",
            SqlFormat::Json => "json",
            SqlFormat::Ndjson => "ndjson",
            SqlFormat::Arrow => "arrow",
            SqlFormat::Parquet => "parquet",
        }
    }
}

/// `tacho replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The session
    pub session: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ReplayFormat::Timeline)]
    pub format: ReplayFormat,
    /// A store or a running service.
    #[command(flatten)]
    pub target: Target,
}

/// Formats of `tacho replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReplayFormat {
    /// Text for people
    Timeline,
    /// One object a step
    Ndjson,
    /// JSON-RPC requests and answers
    Jsonrpc,
}

impl ReplayFormat {
    /// The name the service knows.
    pub fn name(self) -> &'static str {
        match self {
            ReplayFormat::Timeline => "timeline",
            ReplayFormat::Ndjson => "ndjson",
            ReplayFormat::Jsonrpc => "jsonrpc",
        }
    }
}

/// `tacho gate`.
#[derive(Debug, Args)]
pub struct GateCommand {
    /// A store or a running service.
    #[command(flatten)]
    pub target: Target,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// `tacho verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Data directory, or a copy of its `log` directory [default: ./tacho-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The flags that `tacho-verify` has too.
    #[command(flatten)]
    pub flags: verify::command::Flags,
}

/// `tacho mapping`.
#[derive(Debug, Subcommand)]
pub enum Mapping {
    /// List the mappings in force, in the order in which they are asked
    List,
    /// Show what becomes of records: each column with where its value came from, and what stays in attributes. Exit 0 where
    /// all are read by this mapping, 1 where one is not
    Test {
        /// Mapping file (TOML), or the name of a mapping in force
        file: PathBuf,
        /// File of records; - for standard input
        sample: PathBuf,
        /// Print one JSON object a record
        #[arg(long)]
        json: bool,
    },
}

/// `tacho backtest`.
#[derive(Debug, Args)]
pub struct Backtest {
    /// Whose events
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// How many alerts that differ to print
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub show: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where the data is.
    #[command(flatten)]
    pub place: Place,
}

/// `tacho drill`.
#[derive(Debug, Args)]
pub struct Drill {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `tacho cursor`.
#[derive(Debug, Subcommand)]
pub enum Cursor {
    /// List the sources that were read: collector and name, tenant, files or partitions, and whether a table still reads
    /// them. Exit 1 where none does; no service may run on the directory
    List {
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Forget how far a source was read that is in no table any more: one of its name would begin anew. No service may run
    /// on the directory
    Forget {
        /// The source, as `list` shows it: tail/agents
        #[arg(value_name = "COLLECTOR/NAME")]
        source: String,
        /// Whose events it brought
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
}

/// `tacho token`.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token and print it: it is shown this once
    Create {
        /// collector, auditor, responder, admin or operator
        #[arg(long)]
        role: String,
        /// The tenant it is for
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Days until it expires
        #[arg(long, value_name = "DAYS")]
        expires_days: Option<u32>,
        /// A store or a running service.
        #[command(flatten)]
        target: Target,
    },
    /// List tokens, never their secrets
    List {
        /// A store or a running service.
        #[command(flatten)]
        target: Target,
    },
    /// Revoke a token at once
    Revoke {
        /// Its id, as `list` shows it
        id: String,
        /// A store or a running service.
        #[command(flatten)]
        target: Target,
    },
}

/// `tacho config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print what is in force and where it came from
    Show,
    /// Check the configuration file
    Check,
}
