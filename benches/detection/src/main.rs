//! Measures the detection engine: `cargo run --release -p tachograph-detection -- calibration` (or `nab`).
//!
//! Series, injections and gates are fixed here before a model is tuned on them; every random number comes from a seed
//! below. Exit code: 0 every gate is met, 1 one is missed, 2 could not run (the data is not there).

mod calibration;
mod fleet;
mod injection;
mod model;
mod nab;
mod ours;
mod poisoning;
mod random;
mod runs;
mod series;
mod simple;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Where the data is, seen from the root of the project.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/nab");

const USAGE: &str = "usage: detection calibration|nab [DIRECTORY] | runs [FILE] | fleet [OPTIONS] | poisoning [SEEDS]

  calibration  achieved over nominal rates and power on the series in DIRECTORY/realTweets
  nab          score of the Numenta Anomaly Benchmark on all series that DIRECTORY/windows.json names
               (default for both: ../shared/data/nab beside the project)
  runs         how well attacked agent runs are told from benign ones in FILE
               (default ../shared/data/agent-runs/runs.jsonl.gz beside the project)
  fleet        false episodes, recall and delay on a generated fleet: --seeds 1,2,3 (default 1 to 5), --commit HASH
               (five more seeds made of it), --days 90, --principals 400, --list FILE (every episode; FILE.md the
               report so far)
  poisoning    whether a ramp, a lasting shift or a campaign of everybody's can teach the engine a new normal: 200 seeds";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = Path::new(arguments.get(1).map_or(DATA, String::as_str));
    let outcome = match arguments.first().map(String::as_str) {
        Some("calibration") => calibration::run(directory),
        Some("nab") => nab::run(directory),
        Some("runs") => runs::run(Path::new(arguments.get(1).map_or(runs::DATA, String::as_str))),
        Some("poisoning") => poisoning::run(&arguments[1..]),
        Some("fleet") => fleet::run(&arguments[1..]),
        _ => Err(USAGE.to_owned()),
    };
    let (text, code) = match outcome {
        Ok((report, true)) => (report, ExitCode::SUCCESS),
        Ok((report, false)) => (report, ExitCode::from(1)),
        Err(why) => (format!("{why}\n"), ExitCode::from(2)),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::from(2),
    }
}
