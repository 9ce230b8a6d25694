//! What an alert says in numbers: how its opening stands to the budget of its rule, and its p.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Alert, BudgetVerdict, Engine, Settings, Setup, State};
use sigma::{Options, Rules};

use crate::counts::{AGENTS, What, burst, records, with, work};
use crate::days::fold;
use crate::rows::month;

/// Rules that hold what comes against a past.
pub const STATISTICAL: [&str; 14] = [
    "denial_rate",
    "auth_failure_rate",
    "call_rate",
    "call_rate_sustained",
    "denial_rate_sustained",
    "auth_failure_rate_sustained",
    "quarantine_rate",
    "oversized_output",
    "p95_latency",
    "silent_source",
    "approval_wait",
    "approval_abandoned",
    "unusual_tools",
    "off_hours",
];
/// The same, but nobody counts who was not let in.
pub const NETWORK: &str = "new_network";

/// The p that an explanation ends its clause with, in thousandths of log10; two digits are given.
fn told_milli(explanation: &str) -> Option<f64> {
    let (_, rest) = explanation.rsplit_once("p = ")?;
    let text: String = rest.chars().take_while(|letter| "0123456789.e-".contains(*letter)).collect();
    Some(text.parse::<f64>().ok()?.log10() * 1_000.0)
}

#[test]
fn every_rule_on_a_past_says_its_budget_and_its_p_and_no_other_does() {
    let rules = Some(std::sync::Arc::new(Rules::load(&Options::default()).unwrap()));
    let mut engine = Engine::new("acme", Setup { settings: Settings::default(), rules });
    let alerts = fold(&mut engine, &month());
    let (mut openings, mut held): (BTreeMap<&str, &Alert>, BTreeSet<&str>) = Default::default();
    for alert in &alerts {
        let rule = alert.rule_id.as_str();
        let is_statistical = STATISTICAL.contains(&rule) || rule == NETWORK;
        if alert.state == State::Open {
            let is_over = alert.explanation.contains("that is used up");
            assert_eq!(alert.budget_verdict == Some(BudgetVerdict::Over), is_over, "{alert:#?}");
            openings.insert(&alert.alert_id, alert);
        }
        assert_eq!(alert.log10_p_milli.is_some(), is_statistical, "{alert:#?}");
        assert_eq!(alert.budget_verdict.is_some(), is_statistical, "{alert:#?}");
        let opening = openings[alert.alert_id.as_str()];
        assert_eq!(alert.budget_verdict, opening.budget_verdict, "that of its opening: {alert:#?}");
        let Some(milli) = alert.log10_p_milli else { continue };
        assert!(milli < 0, "{alert:#?}");
        held.insert(rule);
        if alert.state == State::Open {
            let told = told_milli(&alert.explanation).unwrap();
            assert!((told - milli as f64).abs() < 25.0, "{told} and {milli}: {alert:#?}");
        }
    }
    assert_eq!(held.len(), STATISTICAL.len() + 1, "{held:?}");
}

#[test]
fn the_second_burst_of_a_day_is_over_the_budget_and_an_update_has_the_p_of_its_own_numbers() {
    let all = with(work(24, &AGENTS, 1), burst(20, 60, "bob", What::Denied));
    let all = with(all, burst(20, 60, "cyd", What::Denied).map(|(at_us, who, what)| (at_us + 1, who, what)));
    let alerts = fold(&mut Engine::new("acme", Settings::default()), &records(&all));
    let of = |who: &str| -> Vec<&Alert> {
        alerts.iter().filter(|alert| alert.rule_id == "denial_rate" && alert.entity == who).collect()
    };
    let mut first = [of("bob")[0], of("cyd")[0]];
    first.sort_unstable_by_key(|alert| (alert.position, alert.ordinal));
    let verdicts = first.map(|alert| alert.budget_verdict);
    assert_eq!(verdicts, [Some(BudgetVerdict::Within), Some(BudgetVerdict::Over)]);
    for of in [of("bob"), of("cyd")] {
        assert!(of.iter().all(|alert| alert.budget_verdict == of[0].budget_verdict), "{of:#?}");
        let (first, last) = (of[0], of[of.len() - 1]);
        assert_eq!(last.state, State::Closed);
        assert!(last.observed > first.observed && last.log10_p_milli < first.log10_p_milli, "{of:#?}");
    }
}
