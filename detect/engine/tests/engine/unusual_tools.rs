//! Sessions that do what their peers do not.

use engine::{Alert, Confidence, Engine, Record, Settings, Severity, State};

use crate::sessions::{Act, DAY_US, HOUR_US, act, alerts, assert_restores, at, fleet, fold, opened, sorted};
use crate::stream::{MINUTE_US, call};

const RULE: &str = "unusual_tools";
const AGENTS: usize = 24;

/// Twelve days of a fleet, and what one of it does on the day after.
fn with(attack: Vec<Act>) -> Vec<Act> {
    let mut all = fleet(0..12, AGENTS, 3, 1);
    all.extend(attack);
    all.push(act(at(13, 0), "clock", "c", "find_order"));
    all
}

/// Whether an episode of that agent opened from a day on.
fn is_told(found: &[Alert], agent: &str, day: i64) -> bool {
    opened(found, RULE).iter().any(|alert| alert.entity == agent && alert.first_seen_us >= at(day, 0))
}

fn destructive() -> Record<'static> {
    Record { action: Some("destructive"), risk: Some("high"), ..call() }
}

/// A session like all others that sends to somebody whom nobody knows, and exports what nobody exports.
fn exfiltration(agent: &str, day: i64) -> Vec<Act> {
    let start_us = at(day, 10);
    vec![
        act(start_us, agent, "attack", "find_order"),
        act(start_us + MINUTE_US, agent, "attack", "read_policy"),
        act(start_us + 2 * MINUTE_US, agent, "attack", "export_customers"),
        act(start_us + 3 * MINUTE_US, agent, "attack", "refund")
            .to("refund:to:url:evil")
            .to("refund:to:host:ev"),
        act(start_us + 4 * MINUTE_US, agent, "attack", "send_mail").to("send_mail:to:recipient:mallory"),
    ]
}

#[test]
fn a_new_destination_and_tool_in_a_known_workflow_are_told_while_the_session_lasts() {
    let all = sorted(with(exfiltration("agent-3", 12)));
    let found = fold(&mut Engine::new("acme", Settings::default()), &all);
    let first = *opened(&found, RULE)
        .iter()
        .find(|alert| alert.entity == "agent-3" && alert.first_seen_us >= at(12, 0))
        .expect("no alert");
    let told = &all[first.position as usize];
    assert_eq!((told.agent.as_str(), told.session.as_str()), ("agent-3", "attack"), "by its own records");
    assert_eq!((first.severity, first.confidence), (Severity::Medium, Confidence::Medium));
    assert_eq!((first.baseline.as_str(), first.entity_type.as_str()), ("peer", "principal"));
    let last = found.iter().rfind(|alert| alert.alert_id == first.alert_id).unwrap();
    assert_eq!(last.state, State::Closed);
    for words in ["tool github/export_customers (0 of 23 others)", "recipient mallory in send_mail:to"] {
        assert!(last.explanation.contains(words), "{}", last.explanation);
    }
    assert!(last.count >= 3 && last.evidence.is_sorted(), "{last:?}");
    let of_agent = found.iter().filter(|alert| alert.rule_id == RULE && alert.entity == "agent-3");
    let opened: Vec<_> =
        of_agent.filter(|alert| alert.state == State::Open && alert.first_seen_us >= at(12, 0)).collect();
    assert_eq!(opened.len(), 1, "{opened:#?}");
}

#[test]
fn the_first_use_of_a_destructive_tool_is_said_and_raises() {
    let mut attack = exfiltration("agent-3", 12);
    attack.insert(2, act(at(12, 10) + 90_000_000, "agent-3", "attack", "drop_orders").with(destructive()));
    let found = alerts(with(attack));
    let of: Vec<_> =
        found.iter().filter(|alert| alert.rule_id == RULE && alert.entity == "agent-3").collect();
    assert!(of.iter().any(|alert| alert.severity == Severity::High), "{of:#?}");
    let words = "first use of the destructive tool github/drop_orders";
    assert!(of.last().unwrap().explanation.contains(words), "{of:#?}");
}

#[test]
fn ordinary_weeks_open_no_more_than_the_budget() {
    for (agents, sessions, seed) in [(24, 3, 5), (24, 3, 6), (30, 10, 7)] {
        let days = 40;
        let found = alerts(fleet(0..days, agents, sessions, seed));
        let opened = opened(&found, RULE).len();
        eprintln!("{agents} agents, {sessions} sessions, seed {seed}: {opened} in {days} days");
        // Half an episode a day may open by chance.
        assert!(opened <= 20, "seed {seed}: {opened}");
    }
}

#[test]
fn a_fleet_with_many_scores_is_held_against_weeks_of_them() {
    let mut all = fleet(0..16, 30, 14, 8);
    all.extend(exfiltration("agent-3", 16));
    all.push(act(at(17, 0), "clock", "c", "find_order"));
    let found = alerts(all);
    assert!(is_told(&found, "agent-3", 16), "{found:#?}");
}

#[test]
fn ids_that_are_new_with_every_request_hide_nothing() {
    let mut attack = exfiltration("agent-3", 12);
    attack.iter_mut().enumerate().for_each(|(at, act)| act.session = format!("fresh-{at}"));
    let found = alerts(with(attack));
    assert!(is_told(&found, "agent-3", 12), "{found:#?}");
}

#[test]
fn records_dated_back_are_a_session_all_the_same() {
    let mut engine = Engine::new("acme", Settings::default());
    let mut found = fold(&mut engine, &sorted(fleet(0..12, AGENTS, 3, 1)));
    fold(&mut engine, &[act(at(12, 12), "clock", "c", "find_order")]);
    for late in exfiltration("agent-3", 12) {
        late.observe(&mut engine, &mut found);
    }
    assert!(is_told(&found, "agent-3", 12));
}

#[test]
fn a_session_of_more_than_can_be_judged_is_told_as_such() {
    let walk = |agent: &'static str, day, many: i64| {
        (0..many)
            .map(move |number| act(at(day, 9) + number * 1_000_000, agent, "walk", &format!("t{number}")))
    };
    // On the first day: nothing is known yet.
    let found = alerts(walk("agent-9", 0, 300).collect());
    let told = opened(&found, RULE);
    assert_eq!((told.len(), told[0].severity), (1, Severity::Low));
    assert!(told[0].explanation.contains("a session of 256 different tools"), "{}", told[0].explanation);
    assert!(alerts(walk("agent-9", 0, 256).collect()).is_empty());
}

#[test]
fn one_who_repeats_an_attack_for_weeks_is_told_of_to_the_end() {
    let mut all = fleet(0..30, AGENTS, 3, 9);
    for day in 12..30 {
        all.extend(exfiltration("agent-3", day).into_iter().map(|mut act| {
            act.session = format!("attack-{day}");
            act
        }));
    }
    let found = alerts(all);
    let told: Vec<i64> = opened(&found, RULE)
        .iter()
        .filter(|alert| alert.entity == "agent-3")
        .map(|alert| (alert.first_seen_us - at(0, 0)) / DAY_US)
        .collect();
    assert!((12..30).all(|day| told.contains(&day)), "{told:?}");
}

#[test]
fn a_tool_that_everybody_gets_is_usual_within_two_weeks() {
    let mut all = fleet(0..12, AGENTS, 3, 10);
    all.extend(fleet(12..34, AGENTS, 3, 10).into_iter().map(|mut act| {
        if act.tool == "refund" {
            act.tool = "refund_v2".to_owned();
        }
        act
    }));
    let found = alerts(all);
    let days = opened(&found, RULE)
        .iter()
        .map(|alert| (alert.first_seen_us - at(0, 0)) / DAY_US)
        .collect::<Vec<_>>();
    let told = |range: std::ops::Range<i64>| days.iter().filter(|day| range.contains(day)).count();
    assert!(told(12..20) > 0, "{days:?}");
    assert!(told(26..34) <= 4, "{days:?}");
}

#[test]
fn what_is_only_denied_teaches_nobody() {
    let denied = Record { decision: "deny", status: "denied", ..call() };
    let mut all = fleet(0..22, AGENTS, 3, 11);
    // Names of all the fleet, and hundreds of others, that try the attack's tools and are refused.
    for day in 10..22 {
        for number in 0..60 {
            let name = if number < 20 { format!("agent-{number}") } else { format!("ghost-{number}") };
            all.extend(exfiltration(&name, day).into_iter().filter(|act| act.tool != "find_order").map(
                |act| {
                    let mut act = act.with(denied);
                    act.session = format!("tries-{name}-{day}");
                    act
                },
            ));
        }
    }
    all.extend(exfiltration("agent-23", 22));
    all.push(act(at(23, 0), "clock", "c", "find_order"));
    let found = alerts(all);
    assert!(is_told(&found, "agent-23", 22));
}

#[test]
fn a_flood_of_identities_neither_evicts_a_session_nor_blunts_the_measure() {
    let settings = Settings { entities_max: 64, ..Settings::default() };
    let mut engine = Engine::new("acme", settings);
    fold(&mut engine, &sorted(fleet(0..12, AGENTS, 3, 12)));
    let attack = exfiltration("agent-3", 12);
    let mut found = fold(&mut engine, &attack[..2]);
    for flood in 0..5_000_i64 {
        let name = format!("flood-{flood}");
        act(attack[1].time_us + flood, &name, &name, "find_order").observe(&mut engine, &mut found);
    }
    attack[2..].iter().for_each(|act| act.observe(&mut engine, &mut found));
    assert!(is_told(&found, "agent-3", 12), "{found:#?}");
    assert!(engine.evicted() > 4_000);
}

#[test]
fn roles_are_peers_of_their_own() {
    // Half of the fleet are bookers; to them an export is nothing new.
    let mut settings = Settings::default();
    let books = |agent: &str| {
        agent.strip_prefix("agent-").and_then(|at| at.parse().ok()).is_some_and(|at: usize| at >= 24)
    };
    let mut all = fleet(0..12, 48, 3, 13);
    all.iter_mut()
        .filter(|act| books(&act.agent) && act.tool == "refund")
        .for_each(|act| act.tool = "export".to_owned());
    (24..48).for_each(|at| {
        settings.unusual_tools.roles.insert(format!("agent-{at}"), "booker".to_owned());
    });
    // Nobody writes to customers, or every third session had something newer.
    all.iter_mut().for_each(|act| act.destinations.clear());
    let export = |agent: &str| {
        let tools = ["find_order", "read_policy", "export"];
        tools
            .iter()
            .zip(0..)
            .map(|(tool, minute)| act(at(12, 10) + minute * MINUTE_US, agent, "s", tool))
            .collect::<Vec<_>>()
    };
    all.extend(export("agent-1").into_iter().chain(export("agent-30")));
    all.push(act(at(13, 0), "clock", "c", "find_order"));
    let all = sorted(all);
    let told = |settings: Settings| {
        let found = fold(&mut Engine::new("acme", settings), &all);
        let of = |name| {
            opened(&found, RULE).iter().any(|alert| alert.entity == name && alert.first_seen_us >= at(12, 0))
        };
        (of("agent-1"), of("agent-30"))
    };
    assert_eq!(told(settings), (true, false));
    assert_eq!(told(Settings::default()), (false, false));
}

#[test]
fn folding_and_restoring_commute() {
    let mut all = fleet(0..12, AGENTS, 3, 14);
    all.extend(exfiltration("agent-3", 12));
    all.extend(fleet(12..18, AGENTS, 3, 15));
    let all = sorted(all);
    assert!(!opened(&fold(&mut Engine::new("acme", Settings::default()), &all), RULE).is_empty());
    assert_restores(&all, &Settings::default());
    assert_restores(&all, &Settings { entities_max: 16, episodes_open_max: 1, ..Settings::default() });
}

#[test]
fn an_attack_in_a_workflow_of_its_own_with_every_call_is_told() {
    // A customer of its own to write to has every third session; ten of them has none. Each call is a session of its own, in one
    // workflow, or in another each time.
    let workflows = ["w-0", "w-1", "w-2", "w-3", "w-4", "w-5", "w-6", "w-7", "w-8", "w-9"];
    let calls = |of: &dyn Fn(usize) -> &'static str| {
        let call = |step: usize| {
            let time_us = at(12, 10) + step as i64 * MINUTE_US;
            let mut act = act(time_us, "agent-3", &format!("fresh-{step}"), "refund");
            act.workflow = Some(of(step));
            act.to(&format!("refund:to:recipient:own-{step}"))
        };
        (0..10).map(call).collect::<Vec<Act>>()
    };
    for attack in [calls(&|_| "refund"), calls(&|step| workflows[step])] {
        let found = alerts(with(attack));
        assert!(is_told(&found, "agent-3", 12), "{:#?}", opened(&found, RULE));
    }
    // Nor does a fleet that names a few workflows as a matter of course open more than before.
    let mut all = fleet(0..40, AGENTS, 3, 16);
    for (at, act) in all.iter_mut().enumerate() {
        if act.session.ends_with("-1") {
            act.workflow = [Some("refund"), Some("triage"), None][at % 3];
        }
    }
    let opened = opened(&alerts(all), RULE).len();
    eprintln!("{opened} in 40 days of several workflows");
    assert!(opened <= 20, "{opened}");
}

#[test]
fn usual_sessions_do_not_keep_an_episode_open_for_the_next_attack() {
    let mut all = fleet(0..17, AGENTS, 3, 17);
    // One that begins three thousand sessions a day, each as unusual as those of others.
    let mut busy = fleet(0..1, 1, 3_000, 18);
    busy.sort_by_key(|act| act.session.clone());
    for day in 12..17 {
        for (number, session) in (0..).zip(busy.chunk_by(|one, next| one.session == next.session)) {
            for (step, of) in (0..).zip(session) {
                let mut act = of.clone();
                act.time_us = at(day, 0) + (number * 367 % 3_000) * 28_800_000 + step * 20_000_000;
                (act.agent, act.session) = ("agent-3".to_owned(), format!("busy-{day}-{number}"));
                all.push(act);
            }
        }
    }
    for day in 13..16 {
        all.extend(exfiltration("agent-3", day).into_iter().map(|mut act| {
            (act.session, act.time_us) =
                (format!("attack-{day}"), act.time_us - 9 * HOUR_US - 30 * MINUTE_US);
            act
        }));
    }
    let found = alerts(all);
    let told: Vec<i64> = opened(&found, RULE)
        .iter()
        .filter(|alert| alert.entity == "agent-3")
        .map(|alert| alert.first_seen_us)
        .collect();
    let is_told = |day| told.iter().any(|us| (at(day, 0)..at(day, 1)).contains(us));
    assert!(
        (13..16).all(is_told),
        "{:?}",
        told.iter().map(|us| (us - at(0, 0)) / HOUR_US).collect::<Vec<_>>()
    );
}

#[test]
fn a_session_is_judged_though_nothing_comes_after_it() {
    let others = engine::RULE_IDS.iter().filter(|rule| **rule != RULE);
    let settings =
        Settings { disabled: others.map(|rule| (*rule).to_owned()).collect(), ..Settings::default() };
    let mut engine = Engine::new("acme", settings);
    let all = sorted(fleet(0..12, AGENTS, 3, 1));
    let mut found = fold(&mut engine, &all);
    let last_us = all.last().unwrap().time_us;
    let open = |engine: &Engine| {
        engine.state_as_json()["lanes"][RULE]["detector"]["sessions"]["open"].as_object().unwrap().len()
    };
    assert!(open(&engine) > 0);
    let (mut now_us, mut readings) = (last_us, 0);
    while let Some(due_us) = engine.awaits_us() {
        assert!(due_us > now_us && readings < 12, "{readings}");
        (now_us, readings) = (due_us, readings + 1);
        let index = engine.next_index();
        let read = Record { index, control: true, time_us: now_us, ingest_time_us: now_us, ..call() };
        engine.observe(&read, &mut found).unwrap();
    }
    let (least_us, most_us) = (last_us + 40 * MINUTE_US, last_us + 45 * MINUTE_US);
    assert!((least_us..=most_us).contains(&now_us), "{readings} in {} min", (now_us - last_us) / MINUTE_US);
    // What is left are sessions that are part of others and tell nothing.
    assert!(opened(&found, RULE).len() < 10);
    assert_eq!(engine.awaits_us(), None);
}

/// Weeks of a fleet in which somebody calls one odd tool in a row now and then, each time to another address of the house: to it that is a tool, and five
/// destinations that are new because the tool is.
fn with_odd_tools(days: i64) -> Vec<Act> {
    let (mut all, mut chance) = (fleet(0..days, 30, 14, 16), crate::sessions::Chance(17));
    for day in 0..days {
        for number in 0..8 {
            let (agent, tool) = (chance.below(30), chance.below(40));
            let (name, session) = (format!("agent-{agent}"), format!("odd-{day}-{number}"));
            let start_us = at(day, 9 + number);
            all.push(act(start_us, &name, &session, "find_order"));
            for call in 0..5 {
                let address = format!("odd-{tool}:{call}-{number}-{day}:account:house");
                let time_us = start_us + (call + 1) * 1_000_000;
                all.push(act(time_us, &name, &session, &format!("odd-{tool}")).to(&address));
            }
        }
    }
    all
}

#[test]
fn one_odd_tool_with_its_destinations_hides_neither_many_tools_nor_many_places() {
    let mut all = with_odd_tools(20);
    for step in 0..5_i64 {
        let time_us = at(20, 10) + step * MINUTE_US;
        all.push(act(time_us, "agent-3", "tools", "find_order"));
        all.push(act(time_us + 1, "agent-3", "tools", &format!("odd-{}", 7 * step)));
        let refund = act(time_us, "agent-5", "places", "refund");
        all.push(refund.to(&format!("refund:to:recipient:mallory-{step}")));
    }
    all.push(act(at(21, 0), "clock", "c", "find_order"));
    let found = alerts(all);
    assert!(is_told(&found, "agent-3", 20), "five tools that few others have");
    assert!(is_told(&found, "agent-5", 20), "five places that nobody knows");
    let of_odd = opened(&found, RULE).iter().filter(|alert| alert.first_seen_us >= at(14, 0)).count();
    assert!(of_odd <= 8, "{of_odd}");
}
