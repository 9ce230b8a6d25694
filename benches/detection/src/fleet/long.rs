//! What grows slowly, and what changes for good.

use std::fmt::Write;

use fleet::calendar::DAY;
use fleet::injection::Kind;

use super::fold::Outcome;
use super::matching::{LEVEL, LONG, is_one_of};
use super::{Gate, wilson};

#[derive(Debug, Default)]
pub struct Long {
    ramps: usize,
    caught: usize,
    /// Days to the first episode of each ramp that has one at all.
    after: Vec<String>,
    shifts: usize,
    /// Shifts with exactly one episode, and that closed in time.
    told_once: usize,
    episodes: Vec<String>,
}

impl Long {
    pub fn add(&mut self, outcome: &Outcome) {
        for (at, one) in outcome.fleet.plan().iter().enumerate() {
            let about = || {
                outcome.episodes.iter().filter(move |episode| {
                    episode.causes.contains(&at)
                        && is_one_of(&episode.rule, &LEVEL)
                        && episode.opened_us >= one.start_us
                })
            };
            match one.kind {
                Kind::Ramp => {
                    self.ramps += 1;
                    let after =
                        about().map(|episode| (episode.opened_us - one.start_us).div_euclid(DAY)).min();
                    self.caught += usize::from(after.is_some_and(|after| after < LONG.1));
                    self.after.push(after.map_or("never".to_owned(), |after| after.to_string()));
                }
                Kind::Shift => {
                    self.shifts += 1;
                    let mut count = 0;
                    let mut is_closed = true;
                    for episode in about() {
                        count += 1;
                        is_closed &=
                            episode.closed_us.is_some_and(|at| at - episode.opened_us <= LONG.1 * DAY);
                    }
                    self.told_once += usize::from(count == 1 && is_closed);
                    self.episodes.push(count.to_string());
                }
                _ => {}
            }
        }
    }

    pub fn report(&self, text: &mut String) -> Result<Vec<Gate>, std::fmt::Error> {
        let (low, high) = wilson(self.caught, self.ramps);
        writeln!(
            text,
            "\nRamps of 1.15 a day caught within {} days: {} of {} ({low:.2} to {high:.2}); first episode after days: {}.",
            LONG.1,
            self.caught,
            self.ramps,
            self.after.join(", ")
        )?;
        writeln!(
            text,
            "Lasting shifts to 2x with one episode that closes within {} days: {} of {}; episodes of each: {}.",
            LONG.1,
            self.told_once,
            self.shifts,
            self.episodes.join(", ")
        )?;
        let share = |part: usize, of: usize| part as f64 / of.max(1) as f64 >= LONG.0;
        Ok(vec![
            (
                format!(
                    "ramps of 1.15 a day caught within {} days: {} of {}",
                    LONG.1, self.caught, self.ramps
                ),
                share(self.caught, self.ramps),
            ),
            (
                format!(
                    "lasting shifts told once and closed within {} days: {} of {}",
                    LONG.1, self.told_once, self.shifts
                ),
                share(self.told_once, self.shifts),
            ),
        ])
    }
}
