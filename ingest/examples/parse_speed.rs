//! How fast a body becomes a draft: `cargo run --release -p tachograph-ingest --example parse_speed FILE.ndjson [MIB]`.
//!
//! Prints events a second on one core for the redaction check alone and for the whole path, the best of several passes,
//! with the file cut into bodies of MIB mebibytes (4 unless told).

use std::error::Error;
use std::time::{Duration, Instant};

use ingest::{Context, Mappings, Sessions, parse};
use redact::Redactor;
use schemas::principal::{Principal, Role};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("name an NDJSON file")?;
    let mib: usize = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let file = std::fs::read(path)?;
    let bodies = bodies(&file, mib << 20);
    let redactor = Redactor::new([7; 32]);
    let sessions = Sessions::new();
    let principal = Principal {
        id: "t-0123456789ab".to_string(),
        role: Role::Collector,
        tenant: "acme".to_string(),
        source_ip: None,
        door: "http",
    };
    let context = Context {
        collector: "http",
        principal: &principal,
        mappings: Mappings::built_in(),
        mapping: None,
        idempotency_key: None,
        line_first: 1,
        now_us: 1_781_010_000_000_000,
        seed: [3; 32],
        redactor: &redactor,
        sessions: &sessions,
    };
    let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    let mut clean = 0;
    let check = best(|| {
        clean = file.split(|byte| *byte == b'\n').filter(|line| redactor.is_clean(line)).count();
        Ok(())
    })?;
    report("split at line ends and redaction check", check, lines, file.len());
    let (mut rows, mut rejected) = (0, 0);
    let whole = best(|| {
        (rows, rejected) = (0, 0);
        for body in &bodies {
            let parsed = parse(body, &context)?;
            rows += parsed.rows();
            rejected += parsed.rejected_count;
        }
        Ok(())
    })?;
    report("bytes to draft, everything", whole, lines, file.len());
    report("  of which without the check, by difference", whole.saturating_sub(check), lines, file.len());
    #[expect(clippy::print_stdout, reason = "a program for people")]
    {
        println!("{lines} lines, {clean} clean, {rows} rows, {rejected} rejected, {} bodies", bodies.len());
    }
    Ok(())
}

/// Cuts `file` at line ends into parts of about `bytes` bytes.
fn bodies(file: &[u8], bytes: usize) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let from = bytes.min(rest.len());
        let tail = rest.get(from..).unwrap_or_default();
        let end = tail.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| from + at + 1);
        let (body, after) = rest.split_at(end);
        bodies.push(body);
        rest = after;
    }
    bodies
}

/// The shortest of several runs.
#[expect(clippy::disallowed_methods, reason = "a benchmark at the rim")]
fn best(mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let mut best = Duration::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

fn report(what: &str, time: Duration, events: usize, bytes: usize) {
    let seconds = time.as_secs_f64();
    #[expect(clippy::print_stdout, reason = "a program for people")]
    {
        println!(
            "{what:<45} {:>9.0} events/s  {:>6.0} MB/s  {:>6.0} ns/event",
            events as f64 / seconds,
            bytes as f64 / seconds / 1e6,
            seconds * 1e9 / events as f64
        );
    }
}
