//! `corpus`: writes made-up Tachograph events as NDJSON.
#![allow(clippy::print_stdout, reason = "a command-line program; --help goes to standard output")]

use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;

use corpus::{Options, generate, parse_rfc3339};

const HELP: &str = "\
Writes made-up canonical Tachograph events (v1) as NDJSON. The same options give the same bytes on every machine.

Usage: corpus [OPTIONS]

  --events N        lines to write [100000]
  --sessions N      sessions that share them; 0 = one for 20 events [0]
  --seed N          [1]
  --start TIME      first instant, RFC 3339 in UTC [2026-03-02T00:00:00Z]
  --days N          days covered [7]
  --tenants N       tenants; the lines do not name them [1]
  --users N         [400]
  --agents N        [60]
  --servers N       [12]
  --tools N         tools a server offers at most [8]
  --secrets RATIO   part of the tool calls that carry a made-up secret, 0 to 1 [0]
  --out FILE        where to write; - is standard output [-]
  --help            this text

A summary goes to standard error. Exit codes: 0 written, 2 could not.
";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
enum Request {
    Help,
    Generate { options: Options, out: String },
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Request, String> {
    let (mut options, mut out) = (Options::default(), String::from("-"));
    while let Some(argument) = arguments.next() {
        let (flag, joined) = match argument.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        if flag == "--help" || flag == "-h" {
            return Ok(Request::Help);
        }
        let mut value = || {
            joined
                .clone()
                .or_else(|| arguments.next())
                .ok_or_else(|| format!("{flag} needs a value; see --help"))
        };
        match flag.as_str() {
            "--events" => options.events = number(&flag, &value()?)?,
            "--sessions" => options.sessions = number(&flag, &value()?)?,
            "--seed" => options.seed = number(&flag, &value()?)?,
            "--start" => {
                let text = value()?;
                options.start_us = parse_rfc3339(&text).ok_or_else(|| {
                    format!("--start {text:?} is not a UTC time; write it like 2026-03-02T00:00:00Z")
                })?;
            }
            "--days" => {
                let days: u64 = number(&flag, &value()?)?;
                options.span_us = days.saturating_mul(86_400_000_000);
            }
            "--tenants" => options.tenants = number(&flag, &value()?)?,
            "--users" => options.users = number(&flag, &value()?)?,
            "--agents" => options.agents = number(&flag, &value()?)?,
            "--servers" => options.servers = number(&flag, &value()?)?,
            "--tools" => options.tools = number(&flag, &value()?)?,
            "--secrets" => {
                let text = value()?;
                options.secret_ratio = text
                    .parse()
                    .map_err(|_| format!("--secrets {text:?} is not a number; give a ratio from 0 to 1"))?;
            }
            "--out" => out = value()?,
            _ => return Err(format!("unknown option {flag:?}; see --help")),
        }
    }
    Ok(Request::Generate { options, out })
}

fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag} {text:?} is not a whole number in range; see --help"))
}

fn run() -> Result<(), String> {
    let (options, out) = match parse(std::env::args().skip(1))? {
        Request::Help => {
            print!("{HELP}");
            return Ok(());
        }
        Request::Generate { options, out } => (options, out),
    };
    // Before the file is made: a wrong option must not empty it.
    options.check().map_err(|error| error.to_string())?;
    let mut output: Box<dyn Write> = if out == "-" {
        Box::new(io::stdout().lock())
    } else {
        Box::new(File::create(&out).map_err(|error| format!("cannot create {out}: {error}"))?)
    };
    let summary = generate(&options, &mut *output).map_err(|error| format!("cannot write {out}: {error}"))?;
    eprintln!("{summary}");
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("corpus: {message}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Request, String> {
        parse(arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn options_are_read_in_both_spellings() {
        let request =
            parsed(&["--events", "12", "--start=2026-01-01T00:00:00Z", "--secrets", "0.5", "--out", "x"]);
        let options =
            Options { events: 12, start_us: 1_767_225_600_000_000, secret_ratio: 0.5, ..Options::default() };
        assert_eq!(request, Ok(Request::Generate { options, out: "x".to_owned() }));
        assert_eq!(parsed(&["--seed", "3", "--help"]), Ok(Request::Help));
    }

    #[test]
    fn mistakes_are_named() {
        for (arguments, part) in [
            (&["--events"][..], "--events needs a value"),
            (&["--events", "many"], "--events \"many\" is not a whole number"),
            (&["--start", "yesterday"], "write it like 2026-03-02T00:00:00Z"),
            (&["--secrets", "few"], "give a ratio from 0 to 1"),
            (&["--event", "1"], "unknown option \"--event\""),
            (&["--tenants", "-1"], "--tenants \"-1\""),
        ] {
            let message = parsed(arguments).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn the_defaults_in_the_help_are_the_defaults() {
        let defaults = Options::default();
        assert_eq!(parse_rfc3339("2026-03-02T00:00:00Z"), Some(defaults.start_us));
        assert_eq!(defaults.span_us, 7 * 86_400_000_000);
        for (flag, value) in [
            ("--events", defaults.events),
            ("--sessions", defaults.sessions),
            ("--seed", defaults.seed),
            ("--tenants", u64::from(defaults.tenants)),
            ("--users", u64::from(defaults.users)),
            ("--agents", u64::from(defaults.agents)),
            ("--servers", u64::from(defaults.servers)),
            ("--tools", u64::from(defaults.tools)),
        ] {
            let line = HELP.lines().find(|line| line.trim_start().starts_with(flag)).unwrap();
            assert!(line.ends_with(&format!("[{value}]")), "{line}");
        }
    }
}
