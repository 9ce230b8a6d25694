//! The `tacho` program: commands, configuration and wiring. It knows who is there and how they are joined, and no
//! format.
//!
//! Every command that reads or writes a store speaks to one HTTP router: over TCP (`--url`), over the local socket
//! of a running service, or in process. So roles, limits and the access log are the same everywhere.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod arguments;
mod collectors;
mod configuration;
mod countries;
mod custody;
mod descriptors;
mod exit;
mod telemetry;

mod identity;

mod door;
mod gates;
mod listen;
mod mappings;
mod node;
mod postgres;
mod receipts;
mod review;
mod rules;
mod service;
mod tls;
mod witnesses;

mod command;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use arguments::Cli;
use configuration::Configuration;

/// Runs the program with these arguments, the first being its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    tls::install_provider();
    let matches = match Cli::command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            // clap chooses the stream and prints help and mistakes alike; a closed pipe is no failure of ours.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { exit::COULD_NOT_RUN } else { exit::CLEAN });
        }
    };
    let result = Cli::from_arg_matches(&matches).map_err(anyhow::Error::from).and_then(|cli| {
        // The wrapped server starts whatever is wrong with our own settings.
        if let arguments::Command::Tap(tap) = &cli.command {
            return Ok(command::tap::run(&cli, tap));
        }
        let configuration = Configuration::load(&cli)?;
        telemetry::start(&configuration, matches!(cli.command, arguments::Command::Serve(_)))?;
        command::run(cli, configuration)
    });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit::COULD_NOT_RUN)
        }
    }
}
