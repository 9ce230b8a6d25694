//! A rule as it is told about.

use std::collections::BTreeSet;

use crate::correlation::Correlation;
use crate::node::Body;

/// Severity, in Sigma's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

impl Level {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Level::Informational => "informational",
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }

    pub(crate) fn of(level: rsigma_parser::Level) -> Level {
        match level {
            rsigma_parser::Level::Informational => Level::Informational,
            rsigma_parser::Level::Low => Level::Low,
            rsigma_parser::Level::Medium => Level::Medium,
            rsigma_parser::Level::High => Level::High,
            rsigma_parser::Level::Critical => Level::Critical,
        }
    }
}

/// One rule of a set.
#[derive(Debug, Clone)]
pub struct Rule {
    /// UUID; what an alert names.
    pub id: String,
    /// Name by which correlations may refer to it.
    pub name: Option<String>,
    pub title: String,
    pub description: Option<String>,
    pub level: Level,
    /// As written: `attack.t1110`, `atlas.aml.t0012`, `owasp.mcp07`.
    pub tags: Vec<String>,
    pub falsepositives: Vec<String>,
    pub references: Vec<String>,
    /// Where it was read from.
    pub file: String,
    /// Whether its matches are told: not those that only feed a correlation, nor those switched off.
    pub alerts: bool,
    /// Whether it was switched off.
    pub is_disabled: bool,
    /// Lists that it stands on, by name.
    pub lists: Vec<String>,
    /// Those of them that are not there; the rule waits for them and never matches.
    pub waits_for: Vec<String>,
    pub(crate) body: What,
    /// 64 hex digits over all that decides what it matches.
    pub(crate) digest: String,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Single(Body),
    Correlation(Correlation),
}

impl Rule {
    /// Whether it joins matches of other rules.
    pub fn is_correlation(&self) -> bool {
        matches!(self.body, What::Correlation(_))
    }

    /// Whether it can match at all.
    pub fn is_active(&self) -> bool {
        self.waits_for.is_empty()
    }

    /// The columns of an event that it looks at itself; what a correlation joins looks at its own.
    pub fn columns(&self) -> BTreeSet<&'static str> {
        match &self.body {
            What::Single(body) => body.columns().clone(),
            What::Correlation(correlation) => correlation.columns(),
        }
    }

    /// From how many on a correlation matches; of a temporal one how many of the rules that it joins.
    pub fn count_min(&self) -> Option<u64> {
        self.correlation().map(|correlation| correlation.least)
    }

    /// Within what time, for a correlation.
    pub fn timespan_us(&self) -> Option<i64> {
        self.correlation().map(|correlation| correlation.timespan_us)
    }

    fn correlation(&self) -> Option<&Correlation> {
        match &self.body {
            What::Single(_) => None,
            What::Correlation(correlation) => Some(correlation),
        }
    }

    /// Ids in MITRE ATLAS, MITRE ATT&CK and the OWASP MCP Top 10 that its tags stand for, as alerts write them.
    pub fn framework_ids(&self) -> Vec<String> {
        let ids = self.tags.iter().filter_map(|tag| match tag.split_once('.') {
            Some(("atlas" | "owasp", id)) => Some(id.to_uppercase()),
            Some(("attack", id))
                if id.starts_with('t') && id.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) =>
            {
                Some(id.to_uppercase())
            }
            _ => None,
        });
        ids.collect()
    }
}
