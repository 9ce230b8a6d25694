//! What of the injections is seen, how soon, and what could be.

use std::collections::BTreeMap;
use std::fmt::Write;

use engine::RULE_IDS;
use fleet::calendar::{HOUR, MINUTE};
use fleet::injection::{Injection, Kind, Strength, Target};

use super::counts::{BUCKET, BURN_IN, SIMPLE, bucket, simple};
use super::divergence::divergence;
use super::fold::Outcome;
use super::matching::{BUDGET, MATCHING, Matching, RECALL, is_one_of};
use super::{Gate, median, wilson};

/// How long after its end an opening still counts for an injection.
const AFTER: i64 = HOUR;

/// One injection and what came of it.
#[derive(Debug, Clone)]
struct Seen {
    /// Rules that saw it within budget.
    rules: Vec<String>,
    /// Minutes from its start to the opening, within budget.
    delay: Option<f64>,
    /// Whether it was seen, but over the budget of its day.
    is_over: bool,
    /// For rates: whether theory says that it can be seen, and the minutes that it may take.
    bound: Option<(bool, f64)>,
}

#[derive(Debug, Default)]
pub struct Recall {
    seen: BTreeMap<(Kind, Strength), Vec<Seen>>,
    /// Bursts of calls by strength: all, and those seen by each simple model.
    simple: BTreeMap<Strength, (usize, [usize; 4])>,
    /// Bursts of calls whose sum is above every benign sum of as many buckets of the same principal.
    beyond_all: BTreeMap<Strength, usize>,
    /// False principal-days that the simple models were given, over all seeds.
    allowed: usize,
    /// Days on which a principal was 3 sigma above its EWMA, a tenant-day.
    three_sigma: Vec<f64>,
}

impl Recall {
    pub fn add(&mut self, outcome: &Outcome) {
        for (at, one) in outcome.fleet.plan().iter().enumerate() {
            let Some(matching) = MATCHING.iter().find(|matching| matching.kind == one.kind) else { continue };
            // What came to no event, by chance or because nobody was there, was not done.
            let truth = outcome.fleet.truth().get(at);
            if truth.is_none_or(|truth| truth.indices.is_empty() && truth.withheld == 0) {
                continue;
            }
            let seen = judged(outcome, at, one, matching);
            self.seen.entry((one.kind, one.strength)).or_default().push(seen);
        }
        self.compare(outcome);
    }

    /// The simple models on calls, each with the threshold at which it has as many false principal-days as the engine.
    fn compare(&mut self, outcome: &Outcome) {
        let of_rate = |one: &&Injection| one.kind == Kind::CallRate;
        let place = |one: &Injection| match one.target {
            Target::Principal(at) => Some((at, bucket(one.start_us), bucket(one.end_us))),
            Target::Tool(_) | Target::Source(_) | Target::Address(_) => None,
        };
        let plan: Vec<&Injection> = outcome.fleet.plan().iter().filter(of_rate).collect();
        let bursts: Vec<(usize, usize, usize)> = plan.iter().filter_map(|one| place(one)).collect();
        for (one, burst) in plan.iter().zip(&bursts) {
            let is_beyond = is_beyond_all(outcome, *burst);
            *self.beyond_all.entry(one.strength).or_default() += usize::from(is_beyond);
        }
        let is_of_calls = |rule: &str| rule.starts_with("call_rate");
        let false_ones = outcome.episodes.iter();
        let false_ones =
            false_ones.filter(|one| is_of_calls(&one.rule) && one.is_false() && one.day() >= BURN_IN);
        let allowed = false_ones.count().max(1);
        self.allowed += allowed;
        for (model, (days, highest)) in simple(&outcome.all, &outcome.fleet, &bursts).into_iter().enumerate()
        {
            let threshold = days.get(allowed).copied().unwrap_or(f64::INFINITY);
            for (one, score) in plan.iter().zip(highest) {
                let sums = self.simple.entry(one.strength).or_default();
                sums.0 += usize::from(model == 0);
                sums.1[model] += usize::from(score > threshold);
            }
            if SIMPLE[model] == "EWMA z" {
                let ln_p = -engine::kernel::ln_normal_sf(3.0);
                let beyond = days.iter().filter(|score| **score > ln_p).count();
                let principals = outcome.fleet.world().principals.len().max(1);
                self.three_sigma.push(beyond as f64 / days.len().max(1) as f64 * principals as f64);
            }
        }
    }

    pub fn report(&self, text: &mut String) -> Result<Vec<Gate>, std::fmt::Error> {
        writeln!(
            text,
            "\nInjections seen within budget, with Wilson's interval of 95 %; \"can\" is where the length times the divergence is at least 2 ln(1/alpha):\n"
        )?;
        writeln!(
            text,
            "| injection | strength | number | seen | over budget besides | can | of those seen | median delay, min | bound, min |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|---|---|---|---|")?;
        let mut gates = Vec::new();
        for ((kind, strength), seen) in &self.seen {
            let Some(matching) = MATCHING.iter().find(|matching| matching.kind == *kind) else { continue };
            if !RULE_IDS.iter().any(|rule| is_one_of(rule, matching.rules)) {
                writeln!(
                    text,
                    "| {} | {} | {} | no rule yet | | | | | | |",
                    matching.name,
                    name(*strength),
                    seen.len()
                )?;
                continue;
            }
            let over = seen.iter().filter(|one| one.delay.is_none() && one.is_over).count();
            let can: Vec<Seen> =
                seen.iter().filter(|one| one.bound.is_some_and(|(can, _)| can)).cloned().collect();
            let delays: Vec<f64> =
                if matching.is_rate { &can } else { seen }.iter().filter_map(|one| one.delay).collect();
            let bounds: Vec<f64> = can.iter().filter_map(|one| one.bound.map(|(_, bound)| bound)).collect();
            writeln!(
                text,
                "| {} | {} | {} | {} | {over} | {} | {} | {} | {} | {} |",
                matching.name,
                name(*strength),
                seen.len(),
                share(seen),
                if matching.is_rate { can.len().to_string() } else { String::new() },
                if can.is_empty() { String::new() } else { share(&can) },
                number(&delays),
                number(&bounds),
                by(seen)
            )?;
            let asked =
                RECALL.iter().find(|(of, _)| of == strength).filter(|_| matching.is_rate && !can.is_empty());
            if let Some((_, least)) = asked {
                let part = can.iter().filter(|one| one.delay.is_some()).count();
                let recall = part as f64 / can.len() as f64;
                gates.push((
                    format!(
                        "{} {}, where it can be seen: {recall:.2} of {}, at least {least}",
                        matching.name,
                        name(*strength),
                        can.len()
                    ),
                    recall >= *least,
                ));
                let spare: Vec<f64> =
                    can.iter().filter_map(|one| Some(one.bound?.1 - one.delay.unwrap_or(f64::MAX))).collect();
                gates.push((
                    format!("{} {}, median delay within the bound", matching.name, name(*strength)),
                    median(&spare) >= 0.0,
                ));
            }
        }
        writeln!(
            text,
            "\nBursts of calls by simple models, each at the threshold that gives it as many false principal-days as the engine has false episodes ({} in all), in hindsight:\n",
            self.allowed
        )?;
        writeln!(
            text,
            "| strength | number | engine | {} | sum above all benign ones |\n|---|---|---|{}---|",
            SIMPLE.join(" | "),
            "---|".repeat(SIMPLE.len())
        )?;
        for (strength, (all, found)) in &self.simple {
            let own = self.seen.get(&(Kind::CallRate, *strength)).map(Vec::as_slice).unwrap_or_default();
            let own = own.iter().filter(|one| one.delay.is_some()).count();
            let cells: Vec<String> =
                found.iter().map(|part| format!("{:.3}", *part as f64 / *all as f64)).collect();
            let beyond = self.beyond_all.get(strength).copied().unwrap_or(0);
            writeln!(
                text,
                "| {} | {all} | {:.3} | {} | {:.3} |",
                name(*strength),
                own as f64 / *all as f64,
                cells.join(" | "),
                beyond as f64 / *all as f64
            )?;
        }
        writeln!(
            text,
            "\nEWMA 3 sigma, at most one a principal and day: {:.0} a tenant-day.",
            median(&self.three_sigma)
        )?;
        Ok(gates)
    }
}

/// Whether the calls of a burst are more than in any benign span of that length of the same principal, over the whole run.
fn is_beyond_all(outcome: &Outcome, (at, first, last): (usize, usize, usize)) -> bool {
    let sum = |counts: &[u16]| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
    let (all, benign) = (outcome.all.of(at), outcome.benign.of(at));
    let found = sum(&all[first..=last.min(all.len() - 1)]);
    benign.windows(last - first + 1).all(|span| sum(span) < found)
}

fn judged(outcome: &Outcome, at: usize, one: &Injection, matching: &Matching) -> Seen {
    let about = outcome.episodes.iter().filter(|episode| {
        episode.causes.contains(&at)
            && is_one_of(&episode.rule, matching.rules)
            && (one.start_us..=one.end_us + AFTER).contains(&episode.opened_us)
    });
    let (over, within): (Vec<_>, Vec<_>) = about.partition(|episode| episode.is_over);
    let delay = within.iter().map(|episode| (episode.opened_us - one.start_us) as f64 / MINUTE as f64);
    let mut rules: Vec<String> = within.iter().map(|episode| episode.rule.clone()).collect();
    rules.sort();
    rules.dedup();
    Seen {
        rules,
        delay: delay
            .fold(None, |least: Option<f64>, delay| Some(least.map_or(delay, |least| least.min(delay)))),
        is_over: !over.is_empty(),
        bound: if matching.is_rate { bound(outcome, one) } else { None },
    }
}

/// Whether theory says that a burst can be seen, and within how many minutes half of them should be.
fn bound(outcome: &Outcome, one: &Injection) -> Option<(bool, f64)> {
    let Target::Principal(at) = one.target else { return None };
    let Strength::Times(times) = one.strength else { return None };
    let principal = outcome.fleet.world().principals.get(at)?;
    let (calls, denials) = principal.rates(one.start_us);
    let (counts, rate) =
        if one.kind == Kind::Denials { (&outcome.denied, denials) } else { (&outcome.benign, calls) };
    let added = rate * f64::from(times - 1) * BUCKET as f64 / HOUR as f64;
    let nats = divergence(counts, at, principal, one.start_us, added);
    let tests = outcome.fleet.world().principals.len() as f64 * 288.0;
    let needed = 2.0 * libm::log(tests / BUDGET);
    let buckets = (one.end_us - one.start_us) as f64 / BUCKET as f64;
    let minutes = BUCKET as f64 / MINUTE as f64;
    Some((buckets * nats >= needed, (needed / nats.max(1e-9) + 1.0) * minutes))
}

fn name(strength: Strength) -> String {
    match strength {
        Strength::Times(times) => format!("{times}x"),
        Strength::Events(events) => format!("{events} events"),
        Strength::Fixed => String::new(),
    }
}

fn share(seen: &[Seen]) -> String {
    let part = seen.iter().filter(|one| one.delay.is_some()).count();
    let (low, high) = wilson(part, seen.len());
    format!("{:.2} ({low:.2} to {high:.2})", part as f64 / seen.len().max(1) as f64)
}

/// How many were seen by each rule.
fn by(seen: &[Seen]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    seen.iter().flat_map(|one| &one.rules).for_each(|rule| *counts.entry(rule).or_default() += 1);
    counts.iter().map(|(rule, count)| format!("{rule} {count}")).collect::<Vec<_>>().join(", ")
}

fn number(of: &[f64]) -> String {
    if of.is_empty() { String::new() } else { format!("{:.0}", median(of)) }
}
