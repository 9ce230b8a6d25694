//! A load generator: sends an NDJSON file to `POST /v1/events` over several connections, as fast as it is answered.
//!
//! Standard library alone, so that it takes little of the machine it shares with the service.

#![allow(clippy::print_stdout, reason = "its answer is what it prints")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const USAGE: &str =
    "load --address HOST:PORT --token-file FILE --file NDJSON [--connections 4] [--body-bytes 2097152]";

struct Options {
    address: String,
    token: String,
    file: String,
    connections: usize,
    body_bytes: usize,
}

fn options() -> Result<Options, String> {
    let mut found = Options {
        address: String::new(),
        token: String::new(),
        file: String::new(),
        connections: 4,
        body_bytes: 2 << 20,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
        let number = || value.parse().map_err(|_| format!("{name}: {value:?} is no number"));
        match name.as_str() {
            "--address" => found.address = value,
            "--token-file" => {
                found.token = std::fs::read_to_string(&value)
                    .map_err(|error| format!("{value}: {error}"))?
                    .trim()
                    .to_string();
            }
            "--file" => found.file = value,
            "--connections" => found.connections = number()?,
            "--body-bytes" => found.body_bytes = number()?,
            _ => return Err(format!("unknown option {name}\n{USAGE}")),
        }
    }
    if found.address.is_empty() || found.token.is_empty() || found.file.is_empty() || found.connections == 0 {
        return Err(USAGE.to_string());
    }
    Ok(found)
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options).map_err(|error| error.to_string())) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Where the bodies of the file begin and end: whole lines, about `body_bytes` each.
fn bodies(file: &[u8], body_bytes: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < file.len() {
        let least = (start + body_bytes).min(file.len());
        let rest = file.get(least..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(file.len(), |at| least + at + 1);
        found.push((start, end));
        start = end;
    }
    found
}

fn run(options: &Options) -> io::Result<String> {
    let file = std::fs::read(&options.file)?;
    let bodies = bodies(&file, options.body_bytes);
    let (next, accepted, retries) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| -> io::Result<()> {
        let senders: Vec<_> = (0..options.connections)
            .map(|_| scope.spawn(|| send_all(options, &file, &bodies, &next, &accepted, &retries)))
            .collect();
        for sender in senders {
            sender.join().map_err(|_| io::Error::other("a sender panicked"))??;
        }
        Ok(())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let mut line = String::new();
    let written = write!(
        line,
        r#"{{"accepted":{},"bodies":{},"retries":{},"seconds":{seconds:.6},"cpu_seconds":{:.3}}}"#,
        accepted.load(Ordering::SeqCst),
        bodies.len(),
        retries.load(Ordering::SeqCst),
        cpu_seconds().unwrap_or(0.0),
    );
    written.map_err(io::Error::other)?;
    Ok(line)
}

/// CPU time of this process, from the kernel's count of clock ticks.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

fn send_all(
    options: &Options,
    file: &[u8],
    bodies: &[(usize, usize)],
    next: &AtomicUsize,
    accepted: &AtomicU64,
    retries: &AtomicU64,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(&options.address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let Some((start, end)) = bodies.get(next.fetch_add(1, Ordering::SeqCst)) else { return Ok(()) };
        let body = file.get(*start..*end).unwrap_or_default();
        loop {
            let head = format!(
                "POST /v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
                options.address,
                options.token,
                body.len()
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)?;
            let (status, answer) = answer(&mut reader)?;
            match status {
                200 => {
                    accepted.fetch_add(number(&answer, "\"accepted\":"), Ordering::SeqCst);
                    break;
                }
                429 | 503 => {
                    retries.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(100));
                }
                _ => return Err(io::Error::other(format!("{status}: {answer}"))),
            }
        }
    }
}

fn answer(reader: &mut BufReader<TcpStream>) -> io::Result<(u16, String)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not an answer: {line:?}")))?;
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn number(answer: &str, name: &str) -> u64 {
    let rest = answer.split_once(name).map_or("", |(_, rest)| rest);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}
