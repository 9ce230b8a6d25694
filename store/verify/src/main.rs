//! `tacho-verify`: verifies a copy of a store, an evidence bundle, or one proof, without the program that wrote it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use verify::command::{Flags, execute};
use verify::proof::{self, ProofArguments};

/// Verifies a Tachograph store from its files alone, an evidence bundle, or one proof from it
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Exit code: 0 clean, 1 tampered, 2 could not run or identity not established."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Data directory, a copy of its log directory, or an evidence bundle (a zip)
    #[arg(required = true)]
    directory: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify one proof, as `tacho prove` wrote it: exit 0 proved, 1 not, 2 could not run
    Proof(ProofArguments),
}

fn main() -> ExitCode {
    let Arguments { command, directory, flags } = Arguments::parse();
    ExitCode::from(match (command, directory) {
        (Some(Command::Proof(arguments)), _) => proof::execute(&arguments),
        (None, directory) => execute(directory.unwrap_or_default(), &flags),
    })
}
