//! `tacho-verify`: verifies a copy of a store, without the program that wrote it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use verify::command::{Flags, execute};

/// Verifies a Tachograph store from its files alone
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit code: 0 clean, 1 tampered, 2 could not run or identity not established."
)]
struct Arguments {
    /// Data directory, or a copy of its log directory
    directory: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

fn main() -> ExitCode {
    let Arguments { directory, flags } = Arguments::parse();
    ExitCode::from(execute(directory, &flags))
}
