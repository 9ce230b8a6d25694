//! Rules in Sigma as one lane of the fold: their matches become signals, and from there on nothing tells them from those of a detector.
//!
//! All of them share one [`Episodes`]: its key begins with the rule's id, so that a rule has one episode an entity, and its caps hold
//! for all together. What a set of rules may hold is bounded in `sigma`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sigma::{Correlations, Match, Rule, Rules};

use crate::alert::{Confidence, Severity};
use crate::detector::{Effect, Facts, Signal, Telling};
use crate::entity::{Entity, Level};
use crate::episode::{Emission, Episodes};
use crate::record::Event;
use crate::rules::new_network::{country, network};
use crate::settings::{Settings, microseconds};

/// Length of a UUID, which every key begins with.
const ID_LENGTH: usize = 36;
/// Columns that say something of a tool; a rule that looks at one of them is about a tool too.
const OF_TOOL: [&str; 8] = [
    "capability",
    "capability_type",
    "target",
    "action",
    "risk",
    "tool_hash",
    "destinations",
    "request_hash",
];

/// What the lane remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    correlations: Correlations,
    pub episodes: Episodes,
}

/// A set of rules, and what is told of each.
#[derive(Debug, Clone)]
pub(crate) struct Pack {
    rules: Arc<Rules>,
    /// By id.
    cards: Arc<BTreeMap<String, Card>>,
}

/// What is told of one rule, made once.
#[derive(Debug)]
struct Card {
    id: String,
    title: String,
    meaning: String,
    references: Vec<String>,
    timespan_us: Option<i64>,
    about: About,
}

/// What of an event a rule on single events is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct About {
    what: What,
    /// Where from, as the rule looks at it: a mute of somebody's travel must not hide who uses their name elsewhere.
    network: bool,
    country: bool,
}

/// Whom, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Principal,
    PrincipalServer,
    PrincipalTool,
}

impl State {
    pub fn new(pack: &Pack) -> State {
        State { correlations: Correlations::new(&pack.rules), episodes: Episodes::new() }
    }

    /// Groups forgotten and episodes closed early because of a cap.
    pub fn evicted(&self) -> u64 {
        self.correlations.evicted().saturating_add(self.episodes.closed_early())
    }

    /// Rules on single events by id, then correlations.
    pub fn observe(&mut self, event: &Event<'_>, pack: &Pack, emission: &mut Emission<'_>) {
        let record = event.record;
        let (placed_us, watermark_us) = (event.placed_us, emission.watermark_us);
        let matches = self.correlations.observe(&pack.rules, record, record.index, placed_us, watermark_us);
        for found in matches {
            let signal = pack.signal(&found, event, emission.tenant);
            self.episodes.apply(signal, Some(event), pack, emission);
        }
    }
}

impl Pack {
    pub fn new(rules: Arc<Rules>) -> Pack {
        let cards = rules.rules().iter().map(|rule| (rule.id.clone(), Card::new(rule)));
        let cards = Arc::new(cards.collect());
        Pack { rules, cards }
    }

    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    fn card(&self, key: &str) -> Option<&Card> {
        key.get(..ID_LENGTH).and_then(|id| self.cards.get(id))
    }

    fn signal(&self, found: &Match<'_>, event: &Event<'_>, tenant: &str) -> Signal {
        let Match { rule, evidence, first_us, is_moved, count, events, .. } = found;
        let (entity, detail) = match rule.is_correlation() {
            true => (group(found, tenant), told_of_group(found)),
            false => {
                let about = self.card(&rule.id).map_or_else(|| About::of(rule), |card| card.about);
                (single(rule, about, event), told_of_one(event))
            }
        };
        let confidence = match (rule.is_correlation(), is_moved) {
            (false, _) => Confidence::High,
            (true, false) => Confidence::Medium,
            (true, true) => Confidence::Low,
        };
        Signal {
            entity,
            effect: Effect::Open,
            offending: true,
            severity: severity(rule.level),
            confidence,
            observed: Some(whole(*count)),
            expected: rule.count_min().map(whole),
            seen_us: event.event_us,
            detail,
            opening_evidence: evidence.clone(),
            opening_count: whole(*events),
            opening_us: *first_us,
            bucket: None,
            ln_p: None,
            budget_verdict: None,
        }
    }
}

impl Telling for Pack {
    fn facts(&self, key: &str) -> Facts<'_> {
        // A snapshot under another set of rules is refused, so that every key has its card.
        let (id, title, meaning) = self
            .card(key)
            .map_or(("", "", ""), |card| (card.id.as_str(), card.title.as_str(), card.meaning.as_str()));
        Facts { id, title, meaning, statistic: "matches", unit: "count", runbook: "sigma" }
    }

    fn references(&self, key: &str) -> Vec<String> {
        self.card(key).map(|card| card.references.clone()).unwrap_or_default()
    }

    fn told_window_us(&self, key: &str, _settings: &Settings) -> Option<i64> {
        self.card(key).and_then(|card| card.timespan_us)
    }

    fn stays_open_us(&self, key: &str, settings: &Settings) -> i64 {
        let window_us = self.told_window_us(key, settings);
        window_us
            .unwrap_or(microseconds(settings.single_record_window_s))
            .saturating_mul(settings.quiet_windows)
    }

    fn told_scope(&self, _key: &str, _settings: &Settings) -> Option<String> {
        None
    }
}

impl Card {
    fn new(rule: &Rule) -> Card {
        let meaning = one_line(rule.description.as_deref().unwrap_or(&rule.title));
        Card {
            id: rule.id.clone(),
            title: one_line(&rule.title),
            meaning: meaning.trim_end_matches('.').to_owned(),
            references: rule.framework_ids(),
            timespan_us: rule.timespan_us(),
            about: About::of(rule),
        }
    }
}

impl About {
    fn of(rule: &Rule) -> About {
        let columns = rule.columns();
        let what = if OF_TOOL.iter().any(|column| columns.contains(column)) {
            What::PrincipalTool
        } else if columns.contains("server") {
            What::PrincipalServer
        } else {
            What::Principal
        };
        About { what, network: columns.contains("source_ip"), country: columns.contains("country") }
    }
}

/// Who did it, with what and where from, as far as the rule looks at that.
fn single(rule: &Rule, about: About, event: &Event<'_>) -> Entity {
    let record = event.record;
    let principal = event.principal();
    let (column, name) = principal.map_or(("agent_id", None), |(column, name)| (column, Some(name)));
    let mut parts = vec![(column, name)];
    let mut level = match (about.what, record.server, record.capability) {
        (What::Principal, ..) | (_, None, None) | (What::PrincipalServer, None, _) => Level::Principal,
        (What::PrincipalServer, server, _) => {
            parts.push(("server", server));
            Level::Group
        }
        (What::PrincipalTool, server, capability) => {
            parts.extend([("server", server), ("capability", capability)]);
            Level::PrincipalTool
        }
    };
    // Those without a name stay one, and so does a name that was not let in: anybody can fail in it, from as many places as there are.
    let is_placed = |is_asked: bool| is_asked && principal.is_some() && event.is_admitted();
    let network = record.source_ip.filter(|_| is_placed(about.network)).map(network);
    let country = record.country.filter(|_| is_placed(about.country)).map(country);
    for (column, place) in [("network", &network), ("country", &country)] {
        if place.is_some() {
            parts.push((column, place.as_deref()));
            level = Level::Group;
        }
    }
    let entity = Entity::new(level, &parts);
    let key = format!("{};{}", rule.id, entity.key);
    Entity { key, ..entity }
}

/// What a correlation groups by; the tenant where it takes all events together.
fn group(found: &Match<'_>, tenant: &str) -> Entity {
    let parts: Vec<(&str, Option<&str>)> =
        found.group.iter().map(|(name, value)| (*name, value.as_deref())).collect();
    let entity = match parts.as_slice() {
        [] => Entity::tenant(tenant),
        parts => Entity::new(Level::Group, parts),
    };
    // Not the entity's own: whoever chooses the spelling of a name must not choose the episode.
    Entity { key: format!("{};{}", found.rule.id, found.key), ..entity }
}

fn told_of_one(event: &Event<'_>) -> String {
    let record = event.record;
    let what = [record.method, record.action, record.server, record.capability];
    let what: Vec<&str> = what.into_iter().flatten().collect();
    match what.as_slice() {
        [] => format!("{}, {}", record.kind, record.status),
        what => format!("{} {}, {}", record.kind, what.join(" "), record.status),
    }
}

fn told_of_group(found: &Match<'_>) -> String {
    let least = found.rule.count_min().unwrap_or(1);
    let span_s = found.rule.timespan_us().unwrap_or(0) / 1_000_000;
    let mut text = format!("{} within {span_s} s, where {least} are told of", found.count);
    for (at, (name, value)) in found.group.iter().enumerate() {
        // Writing to a string cannot fail.
        let _written = match value {
            Some(value) => write!(text, "{} {name} {value}", if at == 0 { ":" } else { "," }),
            None => write!(text, "{} no {name}", if at == 0 { ":" } else { "," }),
        };
    }
    if found.is_moved {
        text.push_str("; some are dated more than ten minutes before they were received and counted then");
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn severity(level: sigma::Level) -> Severity {
    match level {
        sigma::Level::Informational => Severity::Informational,
        sigma::Level::Low => Severity::Low,
        sigma::Level::Medium => Severity::Medium,
        sigma::Level::High => Severity::High,
        sigma::Level::Critical => Severity::Critical,
    }
}
