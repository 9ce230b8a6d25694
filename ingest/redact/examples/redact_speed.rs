//! Measures the prefilter and the slow path over a file of NDJSON events, in CPU time where the kernel tells it (Linux), so that a
//! busy machine does not count.
//!
//! `cargo run --release -p tachograph-redact --example redact_speed -- FILE [PLANTED-EXPRESSION]`
//!
//! With an expression, fails when a redacted line still matches it.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use redact::{Redactor, Removed};

/// Passes over the file; the fastest counts.
const PASSES: usize = 5;

/// Seconds that this program has had of a processor; since `begun` where the kernel does not tell.
#[allow(clippy::disallowed_methods, reason = "measuring needs the clock")]
fn spent_s(begun: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok();
    let ns = told.and_then(|told| told.split_whitespace().next()?.parse::<u64>().ok());
    ns.map_or_else(|| begun.elapsed().as_secs_f64(), |ns| ns as f64 / 1e9)
}

#[allow(clippy::disallowed_methods, reason = "measuring needs the clock and the arguments")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: throughput FILE [PLANTED-EXPRESSION]")?;
    let planted = arguments.next().map(|expression| regex::Regex::new(&expression)).transpose()?;
    let content = std::fs::read_to_string(path)?;
    let lines: Vec<&str> = content.lines().collect();
    let redactor = Redactor::new([7; 32]);

    let begun = Instant::now();
    let mut fastest_s = f64::MAX;
    let mut clean = 0;
    for _ in 0..PASSES {
        let start_s = spent_s(begun);
        clean = lines.iter().filter(|line| redactor.is_clean(black_box(line.as_bytes()))).count();
        fastest_s = fastest_s.min(spent_s(begun) - start_s);
    }
    let bytes: usize = lines.iter().map(|line| line.len()).sum();
    println!(
        "lines {}, bytes {bytes}, clean {clean} ({:.3}%)",
        lines.len(),
        100.0 * clean as f64 / lines.len() as f64
    );
    println!(
        "is_clean {:.2} GB/s, {:.2} M lines/s, {:.2} us each",
        bytes as f64 / fastest_s / 1e9,
        lines.len() as f64 / fastest_s / 1e6,
        fastest_s * 1e6 / lines.len().max(1) as f64
    );

    let dirty: Vec<&str> = lines.iter().copied().filter(|line| !redactor.is_clean(line.as_bytes())).collect();
    let mut removed = Removed::default();
    let (mut changed, mut survived, mut needless) = (0, 0, None);
    let start_s = spent_s(begun);
    for line in &dirty {
        let redacted = redactor.redact_json(line)?;
        changed += usize::from(!redacted.removed.is_empty());
        if redacted.removed.is_empty() && needless.is_none() {
            needless = Some(*line);
        }
        removed.merge(&redacted.removed);
        black_box(redacted);
    }
    let slow_s = spent_s(begun) - start_s;
    println!(
        "dirty {}, changed {changed}, {:.2} us each",
        dirty.len(),
        slow_s * 1e6 / dirty.len().max(1) as f64
    );
    // As a collector does: every event is asked about, and those that are not cleared are read the slow way.
    println!("an event costs {:.2} us", (fastest_s + slow_s) * 1e6 / lines.len().max(1) as f64);
    println!("removed {}", removed.items().join(" "));
    if let Some(line) = needless {
        println!("first line that went the slow way for nothing: {line}");
    }
    if let Some(planted) = planted {
        let mut present = 0;
        for line in &lines {
            present += usize::from(planted.is_match(line));
            survived += usize::from(planted.is_match(&redactor.redact_json(line)?.text));
        }
        println!("lines with a planted secret {present}, after redaction {survived}");
        if survived > 0 {
            return Err("planted secrets survive".into());
        }
    }
    Ok(())
}
