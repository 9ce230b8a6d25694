//! What goes wrong in a fleet, and how much that adds: `cargo run --release -p tachograph-fleet --example plan -- [SEED]`.

use std::io::Write;

use fleet::injection::{Strength, Target};
use fleet::{Fleet, Options};

fn main() -> std::io::Result<()> {
    let seed = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    let fleet = Fleet::new(&Options { seed, ..Options::default() });
    let mut out = std::io::stdout().lock();
    for one in fleet.plan() {
        let principal = match one.target {
            Target::Principal(at) => fleet.world().principals.get(at),
            Target::Tool(_) | Target::Source(_) | Target::Address(_) => None,
        };
        let day = fleet::calendar::day_of(one.start_us);
        let minutes = (one.end_us - one.start_us) / fleet::calendar::MINUTE;
        let names = one.observables(fleet.world()).join(" ");
        write!(out, "day {day}, {minutes} min, {:?} {:?}, {names}", one.kind, one.strength)?;
        if let (Strength::Times(times), Some(principal)) = (one.strength, principal) {
            let (calls, denials) = principal.rates(one.start_us);
            let of_bucket = f64::from(times) / 12.0;
            write!(
                out,
                ", {:?}: {:.2} calls and {:.3} denials in 5 minutes",
                principal.class,
                calls * of_bucket,
                denials * of_bucket
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}
