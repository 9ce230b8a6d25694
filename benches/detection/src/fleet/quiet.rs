//! What should open next to nothing: days on which something happens to everybody, services at night, people on the road.

use std::collections::BTreeMap;
use std::fmt::Write;

use fleet::calendar::{BACKLOG, DAY, HOLIDAY, HOUR, ONBOARDING, RELEASE, Zone, released, start};
use fleet::{Class, Principal};

use super::counts::BURN_IN;
use super::fold::Outcome;
use super::matching::INCIDENT;
use super::{Gate, median, most};

/// An incident: name, span, and whom it happens to.
struct Incident {
    name: &'static str,
    from_us: i64,
    to_us: i64,
    is_of: fn(&Principal) -> bool,
}

fn incidents() -> [Incident; 6] {
    [
        Incident {
            name: "clocks change in New York",
            from_us: start(34),
            to_us: start(36),
            is_of: |one| one.zone == Zone::NewYork,
        },
        Incident {
            name: "clocks change in Berlin",
            from_us: start(55),
            to_us: start(57),
            is_of: |one| one.zone == Zone::Berlin,
        },
        Incident { name: "holiday", from_us: start(HOLIDAY), to_us: start(HOLIDAY + 1), is_of: |_| true },
        Incident { name: "release", from_us: released(), to_us: start(RELEASE + 2), is_of: |_| true },
        Incident {
            name: "onboarding wave",
            from_us: start(ONBOARDING),
            to_us: start(ONBOARDING + 3),
            is_of: |one| one.from_us > start(0),
        },
        Incident {
            name: "gateway holds back for 25 minutes",
            from_us: start(BACKLOG) + 13 * HOUR,
            to_us: start(BACKLOG) + 15 * HOUR,
            is_of: |_| true,
        },
    ]
}

#[derive(Debug, Default)]
pub struct Quiet {
    /// By incident: episodes of each seed, and how many there would be in as long a time without it.
    incidents: BTreeMap<&'static str, (Vec<f64>, Vec<f64>)>,
    /// Episodes after the burn-in of services at odd hours, and of roaming users for their networks.
    services: Vec<f64>,
    roaming: Vec<f64>,
}

impl Quiet {
    pub fn add(&mut self, outcome: &Outcome) {
        let principals = &outcome.fleet.world().principals;
        let last_us = principals.iter().map(|one| one.until_us).max().unwrap_or(0);
        for incident in incidents().iter().filter(|incident| incident.to_us <= last_us) {
            // What is about no principal (a tool, a source, the tenant) is about everybody.
            let about: Vec<i64> = outcome
                .episodes
                .iter()
                .filter(|episode| episode.is_false() && !episode.is_exact() && episode.day() >= BURN_IN)
                .filter(|episode| {
                    episode
                        .principal
                        .and_then(|at| principals.get(at))
                        .is_none_or(|one| (incident.is_of)(one))
                })
                .map(|episode| episode.opened_us)
                .collect();
            let found = about.iter().filter(|at| (incident.from_us..incident.to_us).contains(at)).count();
            let span =
                (incident.to_us - incident.from_us) as f64 / (last_us - start(BURN_IN)).max(DAY) as f64;
            let sums = self.incidents.entry(incident.name).or_default();
            sums.0.push(found as f64);
            sums.1.push(about.len().saturating_sub(found) as f64 * span);
        }
        let of = |class: Class, rule: &str| {
            let is_so = |episode: &&super::Episode| {
                let class_of = episode.principal.and_then(|at| principals.get(at)).map(|one| one.class);
                episode.is_false()
                    && episode.rule.starts_with(rule)
                    && class_of == Some(class)
                    && episode.day() >= BURN_IN
            };
            outcome.episodes.iter().filter(is_so).count() as f64
        };
        self.services.push(of(Class::Service, "off_hours"));
        self.roaming.push(of(Class::Roaming, "new_network"));
    }

    pub fn report(&self, text: &mut String) -> Result<Vec<Gate>, std::fmt::Error> {
        writeln!(
            text,
            "\nEpisodes when something happens to everybody, without exact rules and ceilings:\n\n| what | median seed | worst seed | in as long a time otherwise |\n|---|---|---|---|"
        )?;
        let mut gates = Vec::new();
        for (name, (found, usual)) in &self.incidents {
            let (found_median, usual_median) = (median(found), median(usual));
            writeln!(text, "| {name} | {found_median:.1} | {:.0} | {usual_median:.1} |", most(found))?;
            gates.push((
                format!("{name}: {found_median:.1} episodes, at most {INCIDENT} beyond the usual {usual_median:.1}"),
                found_median <= INCIDENT + usual_median,
            ));
        }
        for (name, rule, counts) in [
            ("services round the clock", "off_hours", &self.services),
            ("roaming users", "new_network", &self.roaming),
        ] {
            if engine::RULE_IDS.iter().any(|id| id.starts_with(rule)) {
                let found = median(counts);
                gates.push((
                    format!("{name} by `{rule}`: {found:.1} episodes in the median seed, at most {INCIDENT}"),
                    found <= INCIDENT,
                ));
            } else {
                writeln!(text, "\n{name} by `{rule}`: no rule yet.")?;
            }
        }
        Ok(gates)
    }
}
