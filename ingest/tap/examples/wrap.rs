//! The tap without the rest of the program, for the tests of this package: `wrap SPOOL SERVICE COMMAND...`, where SERVICE is a
//! directory into which a request is written as a file while it exists, and is away otherwise.

#![allow(clippy::print_stdout, reason = "a program for tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use tap::identity::Given;
use tap::launch::{self, Part};
use tap::relay::{self, Ends, Options};
use tap::send::{Answer, Transport};

/// Takes events into a directory, each request once whole.
struct Directory(PathBuf);

impl Transport for Directory {
    fn send(&mut self, body: Vec<u8>, _patience: Duration) -> Result<Answer, String> {
        let name = blake3::hash(&body).to_hex();
        let order = std::fs::read_dir(&self.0).map_err(|error| error.to_string())?.count();
        let file = self.0.join(format!("{order:06}-{}", name.get(..16).unwrap_or_default()));
        std::fs::write(file, &body).map_err(|error| error.to_string())?;
        let count = body.iter().filter(|byte| **byte == b'\n').count();
        let body = format!("{{\"accepted\":{count},\"duplicates\":0,\"rejected_count\":0}}").into_bytes();
        Ok(Answer { status: 200, retry_after_s: None, body })
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [spool, service, program, rest @ ..] = arguments.as_slice() else { return ExitCode::from(2) };
    match Part::of_this_process() {
        Part::Server => {
            let mut server = Command::new(program);
            server.args(rest);
            let error = launch::become_server(server);
            eprintln!("{}: {error}", Path::new(program).display());
            ExitCode::from(127)
        }
        Part::Starter => ExitCode::from(u8::from(launch::detach().is_err())),
        Part::Relay(meeting) => {
            let Ok(ends) = Ends::meet(&meeting) else { return ExitCode::from(1) };
            let spool_bytes_max = std::env::var("SPOOL_BYTES").ok().and_then(|bytes| bytes.parse().ok());
            let summary = relay::run(ends, || Options {
                given: Given { transport: "stdio", session: Some("s".into()), ..Given::default() },
                spool_home: Some(PathBuf::from(spool)),
                spool_bytes_max: spool_bytes_max.unwrap_or(1 << 24),
                heartbeat_s: 0,
                redaction_key: [1; 32],
                transport: Box::new(Directory(PathBuf::from(service))),
            });
            let report = Path::new(spool).with_extension("summary");
            ExitCode::from(u8::from(std::fs::write(report, format!("{summary:?}")).is_err()))
        }
    }
}
