//! From an episode to what is told of it.

use std::collections::BTreeMap;

use super::evidence::evidence_query;
use super::{Episode, Mute};
use crate::alert::{Alert, Severity, State};
use crate::detector::Telling;
use crate::entity::printable;
use crate::markers::Markers;
use crate::settings::Settings;

/// Where alerts of one record go, and what they share.
#[derive(Debug)]
pub(crate) struct Emission<'a> {
    pub settings: &'a Settings,
    pub tenant: &'a str,
    pub watermark_us: i64,
    /// Greatest time of receipt so far.
    pub received_us: i64,
    pub position: i64,
    pub ordinal: i64,
    pub markers: &'a Markers,
    pub out: &'a mut Vec<Alert>,
}

impl Emission<'_> {
    /// Muted is not unseen: it is on record, as something that nobody is to be woken for. The episode keeps its own severity for when the
    /// mute is over.
    pub(super) fn emit(
        &mut self,
        episode: &Episode,
        mutes: &BTreeMap<String, Mute>,
        state: State,
        why: Option<&str>,
        told: &dyn Telling,
    ) {
        let key = episode.entity.key.as_str();
        let rule = told.facts(key);
        let mute = mutes.get(key).filter(|mute| mute.until_us > self.received_us);
        let window_us = told.told_window_us(key, self.settings);
        // A closing says what closed it.
        let marker = match state {
            State::Closed => String::new(),
            State::Open | State::Updated => {
                self.markers.sentence(episode.first_seen_us, episode.last_seen_us, window_us)
            }
        };
        let evidence: Vec<i64> =
            episode.evidence_first.iter().chain(&episode.evidence_last).copied().collect();
        let alert = Alert {
            alert_id: episode.alert_id.clone(),
            state,
            sequence: episode.sequence,
            rule_id: rule.id.to_owned(),
            title: rule.title.to_owned(),
            severity: if mute.is_some() { Severity::Informational } else { episode.severity },
            confidence: episode.confidence,
            entity_type: episode.entity.level.name().to_owned(),
            entity: episode.entity.name.clone(),
            environment: episode.environment.clone(),
            first_seen_us: episode.first_seen_us,
            last_seen_us: episode.last_seen_us,
            count: episode.count,
            statistic: rule.statistic.to_owned(),
            expected: episode.expected,
            observed: episode.observed,
            budget_verdict: episode.budget_verdict,
            log10_p_milli: episode.log10_p_milli,
            unit: rule.unit.to_owned(),
            baseline: episode.baseline.clone(),
            window_us,
            query: evidence_query(
                told.told_scope(key, self.settings).as_deref(),
                &episode.entity.parts,
                &evidence,
            ),
            evidence,
            observables: episode.entity.observables(),
            explanation: explanation(rule.meaning, &marker, episode, why, mute),
            runbook: format!("docs/runbooks/{}.md", rule.runbook),
            references: told.references(key),
            position: self.position,
            ordinal: self.ordinal,
            muted_by: mute.map(|mute| mute.by.clone()),
            muted_until_us: mute.map(|mute| mute.until_us),
            mute_note: mute.map(|mute| mute.note.clone()).filter(|note| !note.is_empty()),
        };
        self.ordinal = self.ordinal.saturating_add(1);
        self.out.push(alert);
    }
}

fn explanation(
    meaning: &str,
    marker: &str,
    episode: &Episode,
    why: Option<&str>,
    mute: Option<&Mute>,
) -> String {
    let (level, name) = (episode.entity.level.name(), printable(&episode.entity.name));
    let ending = why.map(|why| format!(" Episode {}.", printable(why))).unwrap_or_default();
    let muted = mute.map(|mute| format!(" Muted by {}.", printable(&mute.by))).unwrap_or_default();
    format!("{level} {name}: {}.{marker} {meaning}.{ending}{muted}", printable(&episode.detail))
}
