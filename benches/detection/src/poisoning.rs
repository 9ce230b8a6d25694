//! Whether what is usual can be taught: `detection poisoning [SEEDS]`.
//!
//! A tenant of 24 agents over 62 days, each with 20 to 120 calls a working day in batches of two on average, spread over ten hours, and days of
//! different moods. From day 35 on one agent works more by 1.15 each day than the day before, for two weeks; another twice as much, for
//! good. In a second run everybody works five times as much for four hours on day 45, and on day 52, when that has been learnt, a script with the
//! credential of a third calls once a minute for two hours: it is told as often as without the campaign, or the campaign was its cover.

use std::fmt::Write;

use engine::{Alert, Engine, RULE_IDS, Record, Settings, State};

use crate::random::Random;

const AGENTS: usize = 24;
const DAYS: i64 = 62;
const BEGINS: i64 = 35;
const RAMP: f64 = 1.15;
const RAMP_DAYS: i64 = 14;
const CAMPAIGN_DAY: i64 = 45;
const SCRIPT_DAY: i64 = 52;
/// 2026-02-02, a Monday, in microseconds.
const START_US: i64 = 1_769_990_400_000_000;
const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;
/// Rules that a rate of calls is for.
const RULES: [&str; 3] = ["call_rate", "call_rate_sustained", "call_level"];
const SEEDS: usize = 200;
/// Share of ramps to be caught within so many days, with at most so many false episodes a tenant-day, and the share of shifts told once that
/// close within as many days.
const CAUGHT: (f64, i64) = (0.90, 7);
const FALSE_A_DAY: f64 = 5.0;
/// How much less often a script may be told after a campaign.
const COVER: f64 = 0.05;

const RAMPS: usize = 0;
const SHIFTS: usize = 1;
const SCRIPTED: usize = 2;

#[derive(Debug, Default)]
struct Figures {
    seeds: usize,
    caught: usize,
    after: Vec<i64>,
    told_once: usize,
    false_ones: u64,
    scripts: [usize; 2],
}

/// The report, and whether every gate is met.
pub fn run(arguments: &[String]) -> Result<(String, bool), String> {
    let seeds = match arguments.first() {
        Some(number) => number.parse().map_err(|_| format!("poisoning {number}: not a number of seeds"))?,
        None => SEEDS,
    };
    let mut figures = Figures { seeds, ..Figures::default() };
    for seed in 0..seeds as u64 {
        let alerts = fold(&calls(seed, false))?;
        figures.add(&alerts);
        figures.scripts[0] += usize::from(is_scripted(&alerts));
        figures.scripts[1] += usize::from(is_scripted(&fold(&calls(seed, true))?));
    }
    figures.report().map_err(|error| error.to_string())
}

impl Figures {
    fn add(&mut self, alerts: &[Alert]) {
        let opened = |agent: usize| {
            let name = name(agent);
            alerts.iter().filter(move |alert| alert.state == State::Open && alert.entity == name)
        };
        let day = |alert: &Alert| (alert.last_seen_us - START_US).div_euclid(DAY_US) - BEGINS;
        let first = opened(RAMPS).map(day).filter(|day| *day >= 0).min();
        self.caught += usize::from(first.is_some_and(|first| first < CAUGHT.1));
        self.after.extend(first);
        let shift: Vec<&Alert> = opened(SHIFTS).filter(|alert| day(alert) >= 0).collect();
        let closed = alerts.iter().filter(|alert| alert.state == State::Closed);
        let is_short = closed
            .filter(|alert| shift.iter().any(|opened| opened.alert_id == alert.alert_id))
            .all(|alert| alert.last_seen_us - alert.first_seen_us <= CAUGHT.1 * DAY_US);
        self.told_once += usize::from(shift.len() == 1 && is_short);
        let others = (0..AGENTS).flat_map(opened).filter(|alert| {
            let is = |agent: usize| alert.entity == name(agent);
            !((is(RAMPS) || is(SHIFTS)) && day(alert) >= 0)
                && !(is(SCRIPTED) && day(alert) == SCRIPT_DAY - BEGINS)
        });
        self.false_ones += others.count() as u64;
    }

    fn report(&self) -> Result<(String, bool), std::fmt::Error> {
        let share = |part: usize| part as f64 / self.seeds.max(1) as f64;
        let false_a_day = self.false_ones as f64 / (self.seeds.max(1) as f64 * DAYS as f64);
        let mut after = self.after.clone();
        after.sort_unstable();
        let median = after.get(after.len() / 2).map_or("never".to_owned(), i64::to_string);
        let gates = [
            (
                format!(
                    "ramps of {RAMP} a day caught within {} days: {:.2}, at least {}",
                    CAUGHT.1,
                    share(self.caught),
                    CAUGHT.0
                ),
                share(self.caught) >= CAUGHT.0,
            ),
            (
                format!("false episodes a tenant-day: {false_a_day:.2}, at most {FALSE_A_DAY}"),
                false_a_day <= FALSE_A_DAY,
            ),
            (
                format!(
                    "lasting shifts to 2x told once and closed within {} days: {:.2}, at least {}",
                    CAUGHT.1,
                    share(self.told_once),
                    CAUGHT.0
                ),
                share(self.told_once) >= CAUGHT.0,
            ),
            (
                format!(
                    "a script told after a campaign of everybody's: {:.2}, without it {:.2}, at most {COVER} less",
                    share(self.scripts[1]),
                    share(self.scripts[0])
                ),
                share(self.scripts[1]) >= share(self.scripts[0]) - COVER,
            ),
        ];
        let mut text = String::new();
        writeln!(text, "{} seeds; the median ramp is caught after {median} days.\n", self.seeds)?;
        for (gate, is_met) in &gates {
            writeln!(text, "- {gate}: **{}**", if *is_met { "met" } else { "missed" })?;
        }
        Ok((text, gates.iter().all(|(_, is_met)| *is_met)))
    }
}

fn is_scripted(alerts: &[Alert]) -> bool {
    let from_us = START_US + SCRIPT_DAY * DAY_US;
    alerts.iter().any(|alert| {
        alert.state == State::Open
            && alert.entity == name(SCRIPTED)
            && (from_us..from_us + DAY_US).contains(&alert.last_seen_us)
    })
}

fn name(agent: usize) -> String {
    format!("agent-{agent:02}")
}

/// (event time, agent), in order of time.
fn calls(seed: u64, with_campaign: bool) -> Vec<(i64, usize)> {
    let mut all = Vec::new();
    for agent in 0..AGENTS {
        let mut random = Random::new(seed.wrapping_mul(1_000).wrapping_add(agent as u64 * 7 + 1));
        let batches = 10.0 + random.below(51) as f64;
        for day in (0..DAYS).filter(|day| day % 7 < 5) {
            let times = match agent {
                RAMPS if (BEGINS..BEGINS + RAMP_DAYS).contains(&day) => {
                    libm::pow(RAMP, (day - BEGINS + 1) as f64)
                }
                SHIFTS if day >= BEGINS => 2.0,
                _ => 1.0,
            };
            // A tenth of a day's batches up and down, by what the day is like.
            let mood = 0.8 + random.below(41) as f64 / 100.0;
            for _ in 0..random.poisson(batches * times * mood) {
                let at_us =
                    START_US + day * DAY_US + 8 * HOUR_US + random.below(10 * 3_600) as i64 * 1_000_000;
                batch(&mut random, &mut all, at_us, agent);
            }
            if with_campaign && day == CAMPAIGN_DAY {
                for _ in 0..random.poisson(batches * 0.4 * 4.0) {
                    let at_us =
                        START_US + day * DAY_US + 12 * HOUR_US + random.below(4 * 3_600) as i64 * 1_000_000;
                    batch(&mut random, &mut all, at_us, agent);
                }
            }
        }
    }
    let script_us = START_US + SCRIPT_DAY * DAY_US + 13 * HOUR_US;
    all.extend((0..120).map(|minute| (script_us + minute * MINUTE_US, SCRIPTED)));
    all.sort_unstable();
    all
}

/// Calls of one turn, two seconds apart: one, or twice as often one more.
fn batch(random: &mut Random, all: &mut Vec<(i64, usize)>, at_us: i64, agent: usize) {
    let mut number = 0;
    loop {
        all.push((at_us + number * 2_000_000, agent));
        number += 1;
        if random.below(2) == 0 || number >= 40 {
            return;
        }
    }
}

fn fold(calls: &[(i64, usize)]) -> Result<Vec<Alert>, String> {
    let disabled =
        RULE_IDS.iter().filter(|rule| !RULES.contains(rule)).map(|rule| (*rule).to_owned()).collect();
    let mut engine = Engine::new("poisoning", Settings { disabled, ..Settings::default() });
    let names: Vec<String> = (0..AGENTS).map(name).collect();
    let mut alerts = Vec::new();
    for (index, (time_us, agent)) in (0..).zip(calls) {
        let record = Record {
            index,
            time_us: *time_us,
            ingest_time_us: *time_us,
            kind: "call",
            agent_id: names.get(*agent).map(String::as_str),
            session_id: "",
            decision: "allow",
            status: "ok",
            source: "bench/1",
            ..Record::default()
        };
        engine.observe(&record, &mut alerts).map_err(|error| error.to_string())?;
    }
    Ok(alerts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_seeds_are_told_of() {
        let mut figures = Figures { seeds: 4, ..Figures::default() };
        for seed in 0..4 {
            let alerts = fold(&calls(seed, false)).unwrap();
            figures.add(&alerts);
            assert!(is_scripted(&alerts), "{seed}");
        }
        // Whether nine of ten are, takes two hundred.
        assert!(figures.caught >= 2 && figures.told_once >= 2, "{figures:?}");
        let (report, _) = figures.report().unwrap();
        assert!(report.contains("at least 0.9"), "{report}");
        assert!(run(&["six".to_owned()]).is_err());
    }
}
