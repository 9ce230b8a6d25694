//! The examples beside rules in Sigma as drills: through the engine, under the rules and lists in force.

use std::borrow::Cow;

use engine::{Engine, Record, Setup, State};
use schemas::Stream;
use sigma::{Fields, JsonEvent, Rehearsal, Rule, Value};

use super::scene::{SECOND_US, START_US, TENANT};
use super::{Drill, Outcome};
use crate::error::Result;

/// One drill for each rule that tells something.
pub(super) fn drills(setup: &Setup, rehearsals: &[Rehearsal]) -> Result<Vec<Drill>> {
    let Some(rules) = &setup.rules else { return Ok(Vec::new()) };
    let mut drills = Vec::new();
    for rule in rules.rules().iter().filter(|rule| rule.alerts || rule.is_disabled) {
        let rehearsal = rehearsals.iter().find(|rehearsal| rehearsal.rule_id == rule.id);
        let outcome = if rule.is_disabled {
            Outcome::Disabled
        } else if !rule.is_active() {
            Outcome::NotDrilled(format!("it waits for the list {}", rule.waits_for.join(", ")))
        } else {
            match rehearsal {
                Some(rehearsal) => play(setup, rule, rehearsal)?,
                None => Outcome::NotDrilled("there is no example beside it".to_owned()),
            }
        };
        drills.push(Drill {
            rule_id: rule.id.clone(),
            scenario: format!("example of: {}", rule.title),
            outcome,
        });
    }
    Ok(drills)
}

fn play(setup: &Setup, rule: &Rule, rehearsal: &Rehearsal) -> Result<Outcome> {
    let mut engine = Engine::new(TENANT, setup.clone());
    let (mut alerts, mut events, mut now_us) = (Vec::new(), 0, START_US);
    for step in &rehearsal.steps {
        for _ in 0..step.times {
            now_us = now_us.saturating_add(step.after_s.saturating_mul(SECOND_US));
            let time_us = match text_or_number(&step.event, "time") {
                Value::Number(time_us) => time_us,
                _ => now_us,
            };
            let list = match text_or_number(&step.event, "destinations") {
                Value::List(items) => items,
                _ => Cow::Borrowed(&[][..]),
            };
            now_us = now_us.max(time_us);
            let record = Record {
                time_us,
                ingest_time_us: now_us,
                index: engine.next_index(),
                ..record(&step.event, &list)
            };
            engine.observe(&record, &mut alerts)?;
            events += 1;
            let is_it = |alert: &engine::Alert| alert.rule_id == rule.id && alert.state == State::Open;
            if let Some(alert) = alerts.drain(..).find(is_it) {
                return Ok(Outcome::Fired { after: events, alert: Box::new(alert) });
            }
        }
    }
    // Its example was written for the lists that stand beside it.
    Ok(match stands_on_lists(setup, rule) {
        true => Outcome::NotDrilled("its example does not match under the lists in force".to_owned()),
        false => Outcome::NotFired { events },
    })
}

/// Whether it, or a rule that it joins, names a list.
fn stands_on_lists(setup: &Setup, rule: &Rule) -> bool {
    let rules = setup.rules.iter().flat_map(|rules| rules.rules());
    !rule.lists.is_empty()
        || (rule.is_correlation()
            && rules.filter(|other| other.file == rule.file).any(|other| !other.lists.is_empty()))
}

fn text_or_number<'a>(event: &'a JsonEvent, name: &str) -> Value<'a> {
    Stream::Events.column(name).map_or(Value::Null, |column| event.value(column))
}

/// The example's columns in the engine's record; those that are no field of it stay where they are.
fn record<'a>(event: &'a JsonEvent, destinations: &'a [&'a str]) -> Record<'a> {
    let text = |name: &str| match text_or_number(event, name) {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let number = |name: &str| match text_or_number(event, name) {
        Value::Number(number) => Some(number),
        _ => None,
    };
    // Named one by one, so that a column that becomes a field is not left out in silence.
    Record {
        index: 0,
        ingest_time_us: 0,
        time_us: 0,
        control: false,
        verdict: None,
        kind: text("kind").unwrap_or("call"),
        method: text("method"),
        user_id: text("user_id"),
        agent_id: text("agent_id"),
        client: text("client"),
        credential_id: text("credential_id"),
        source_ip: text("source_ip"),
        session_id: text("session_id").unwrap_or("drill"),
        call_id: text("call_id"),
        server: text("server"),
        capability: text("capability"),
        action: text("action"),
        risk: text("risk"),
        decision: text("decision").unwrap_or("unknown"),
        approval_id: text("approval_id"),
        approval_status: text("approval_status"),
        approver: text("approver"),
        request_hash: text("request_hash"),
        status: text("status").unwrap_or("ok"),
        error_class: text("error_class"),
        latency_us: number("latency_us"),
        environment: text("environment"),
        observer: text("observer"),
        source: text("source").unwrap_or("drill/1"),
        source_seq: number("source_seq"),
        auth_method: text("auth_method"),
        country: text("country"),
        user_agent: text("user_agent"),
        target: text("target"),
        policy_id: text("policy_id"),
        policy_version: text("policy_version"),
        policy_hash: text("policy_hash"),
        capability_type: text("capability_type"),
        tool_hash: text("tool_hash"),
        workflow: text("workflow"),
        approval_wait_ms: number("approval_wait_ms"),
        output_action: text("output_action"),
        response_bytes: number("response_bytes"),
        output_tokens: number("output_tokens"),
        destinations,
        rest: Some(event),
    }
}
