//! How fast a body becomes a draft: `cargo run --release -p tachograph-ingest --example parse_speed FILE.ndjson [MIB [DATABASE.mmdb]]`.
//!
//! Prints events a second of processor time for the redaction check alone and for the whole path, the best of several passes,
//! with the file cut into bodies of MIB mebibytes (4 unless told). With a database of countries also how long that takes to open, lookups of
//! random addresses a second, and the whole path with it, over the same file with its `source_ip` of 10.0.0.0/8 in 81.0.0.0/8, and without.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::Array as _;
use ingest::{Context, Countries, Mappings, Sessions, parse};
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
        countries: None,
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
    if let Some(database) = arguments.next() {
        with_countries(&file, mib << 20, lines, &context, Path::new(&database))?;
    }
    Ok(())
}

fn with_countries(
    file: &[u8],
    bytes: usize,
    lines: usize,
    context: &Context<'_>,
    database: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut countries = None;
    let opened = best(|| {
        countries = Some(Countries::open(database)?);
        Ok(())
    })?;
    let countries = countries.ok_or("no database")?;
    report("open the database and look it through", opened, 1, 0);
    let mut addresses = Vec::new();
    let mut random = blake3::Hasher::new().update(b"addresses").finalize_xof();
    for _ in 0..1_000_000 {
        let mut address = [0; 4];
        random.fill(&mut address);
        addresses.push(Ipv4Addr::from(address).to_string());
    }
    let mut found = 0;
    let looked_up = best(|| {
        found = addresses.iter().filter(|address| countries.of(address).is_some()).count();
        Ok(())
    })?;
    report("lookups of random IPv4 addresses", looked_up, addresses.len(), 0);
    let text = std::str::from_utf8(file)?.replace("\"source_ip\":\"10.", "\"source_ip\":\"81.");
    let bodies = bodies(text.as_bytes(), bytes);
    let mut located = 0;
    for (what, countries) in [("without a database", None), ("with it", Some(&countries))] {
        let context = Context { countries, ..*context };
        let whole = best(|| {
            located = 0;
            for body in &bodies {
                let draft = parse(body, &context)?.draft.ok_or("no rows")?;
                let column = draft.entries.column_by_name("country").ok_or("no column")?;
                located += column.len() - column.null_count();
            }
            Ok(())
        })?;
        report(&format!("bytes to draft, {what}"), whole, lines, text.len());
        #[expect(clippy::print_stdout, reason = "a program for people")]
        {
            println!("{located} rows with a country");
        }
    }
    #[expect(clippy::print_stdout, reason = "a program for people")]
    {
        println!("{found} of {} random addresses found; {}", addresses.len(), countries.about());
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

/// Processor time that this program has had; since `begun` where the kernel does not tell.
fn spent(begun: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok();
    let ns = told.and_then(|told| told.split_whitespace().next()?.parse::<u64>().ok());
    ns.map_or_else(|| begun.elapsed(), Duration::from_nanos)
}

/// The shortest of several runs, in processor time.
#[expect(clippy::disallowed_methods, reason = "a benchmark at the rim")]
fn best(mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let mut best = Duration::MAX;
    for _ in 0..7 {
        let begun = Instant::now();
        let before = spent(begun);
        run()?;
        best = best.min(spent(begun).saturating_sub(before));
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
