//! The commands, one file each.

use anyhow::{Context as _, Result};

use crate::arguments::{Cli, Command, Config};
use crate::configuration::Configuration;
use crate::exit;

pub mod adopt;
pub mod alerts;
pub mod backtest;
pub mod config;
pub mod cursor;
pub mod demo;
pub mod drill;
pub mod export;
pub mod gate;
pub mod ingest;
pub mod keys;
pub mod mapping;
pub mod mark;
pub mod prove;
pub mod redaction;
pub mod replay;
pub mod rules;
pub mod serve;
pub mod sinks;
pub mod sql;
pub mod tap;
pub mod token;
pub mod witness;

/// Runs a command; gives its exit code.
pub fn run(cli: Cli, configuration: Configuration) -> Result<u8> {
    match cli.command {
        Command::Verify(command) => Ok(verify::command::execute(configuration.data(), &command.flags)),
        Command::Config(Config::Show) => config::show(&configuration),
        Command::Config(Config::Check) => config::check(&configuration),
        Command::Mapping(command) => mapping::run(&command, &configuration),
        Command::Rules(command) => block_on(rules::run(command, configuration)),
        Command::Alerts(command) => block_on(alerts::run(command, configuration)),
        Command::Backtest(command) => block_on(backtest::run(&command, &configuration)),
        Command::Drill(command) => drill::run(&command, &configuration),
        Command::Sinks(command) => block_on(sinks::run(command, configuration)),
        Command::Prove(command) => block_on(prove::run(command, configuration)),
        Command::Export(command) => block_on(export::run(command, configuration)),
        Command::Mark(command) => block_on(mark::run(&command, configuration)),
        Command::Cursor(command) => block_on(cursor::run(&command, &configuration)),
        Command::Keys(command) => keys::run(&command, &configuration),
        Command::Witness(command) => block_on(witness::run(command, configuration)),
        Command::Adopt(command) => adopt::adopt(command, &configuration),
        Command::Backup(command) => adopt::backup(&command, &configuration),
        Command::Restore(command) => adopt::restore(&command, &configuration),
        Command::Redaction(command) => block_on(redaction::run(command, configuration)),
        Command::Serve(_) => block_on(serve::run(configuration)),
        Command::Demo(command) => block_on(demo::run(command, configuration)),
        Command::Ingest(command) => block_on(ingest::run(command, configuration)),
        // Begun before the configuration is read.
        Command::Tap(_) => Ok(exit::COULD_NOT_RUN),
        Command::Sql(command) => block_on(sql::run(command, configuration)),
        Command::Replay(command) => block_on(replay::run(command, configuration)),
        Command::Gate(command) => block_on(gate::run(command, configuration)),
        Command::Token(command) => block_on(token::run(command, configuration)),
    }
}

fn block_on(future: impl Future<Output = Result<u8>>) -> Result<u8> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start threads")?;
    runtime.block_on(future)
}

/// Prints to standard output; a reader that closed the pipe has seen enough.
pub fn print(bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("write to standard output"),
    }
}

/// Streams an answer's body to standard output.
pub async fn print_body(response: axum::http::Response<axum::body::Body>) -> Result<()> {
    use http_body_util::BodyExt as _;
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.context("the answer broke off")?.into_data() {
            print(&data)?;
        }
    }
    Ok(())
}

/// Where a query value goes into a path.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The text without what a terminal would obey: records are other people's.
pub fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().collect() } else { vec![c] };
    text.chars().flat_map(escaped).collect()
}

/// A code for findings.
pub fn findings(any: bool) -> u8 {
    if any { exit::FINDINGS } else { exit::CLEAN }
}
