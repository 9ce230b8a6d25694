//! Measures the prefilter and the slow path over a file of NDJSON events.
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

#[allow(clippy::disallowed_methods, reason = "measuring needs the clock and the arguments")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: throughput FILE [PLANTED-EXPRESSION]")?;
    let planted = arguments.next().map(|expression| regex::Regex::new(&expression)).transpose()?;
    let content = std::fs::read_to_string(path)?;
    let lines: Vec<&str> = content.lines().collect();
    let redactor = Redactor::new([7; 32]);

    let mut fastest_s = f64::MAX;
    let mut clean = 0;
    for _ in 0..PASSES {
        let start = Instant::now();
        clean = lines.iter().filter(|line| redactor.is_clean(black_box(line.as_bytes()))).count();
        fastest_s = fastest_s.min(start.elapsed().as_secs_f64());
    }
    let bytes: usize = lines.iter().map(|line| line.len()).sum();
    println!(
        "lines {}, bytes {bytes}, clean {clean} ({:.3}%)",
        lines.len(),
        100.0 * clean as f64 / lines.len() as f64
    );
    println!(
        "is_clean {:.2} GB/s, {:.2} M lines/s",
        bytes as f64 / fastest_s / 1e9,
        lines.len() as f64 / fastest_s / 1e6
    );

    let dirty: Vec<&str> = lines.iter().copied().filter(|line| !redactor.is_clean(line.as_bytes())).collect();
    let mut removed = Removed::default();
    let (mut changed, mut survived, mut needless) = (0, 0, None);
    let start = Instant::now();
    for line in &dirty {
        let redacted = redactor.redact_json(line)?;
        changed += usize::from(!redacted.removed.is_empty());
        if redacted.removed.is_empty() && needless.is_none() {
            needless = Some(*line);
        }
        removed.merge(&redacted.removed);
        black_box(redacted);
    }
    let slow_s = start.elapsed().as_secs_f64();
    println!(
        "dirty {}, changed {changed}, {:.2} us each",
        dirty.len(),
        slow_s * 1e6 / dirty.len().max(1) as f64
    );
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
