use proptest::prelude::*;
use schemas::limits::{NOVELTY_ELEMENTS_MAX, NOVELTY_ENTITIES_MAX, NOVELTY_SESSIONS_MAX};

use super::*;

fn session(entity: &str, workflow: &str, tools: &[&str]) -> Session {
    let mut session = Session::new(entity, Peers::new("role", Some(workflow)));
    tools.iter().for_each(|tool| session.add(Element::tool(tool)));
    session
}

fn part_of(novelty: &Novelty, session: &Session, tool: &str) -> Part {
    *novelty.judge(session).parts.iter().find(|part| part.element == Element::tool(tool)).unwrap()
}

/// Entities 0 to 23, each with its own number of sessions.
fn fleet() -> Vec<Session> {
    let mut sessions = Vec::new();
    for entity in 0..24 {
        let name = format!("e{entity}");
        for at in 0..=entity % 7 {
            let extra = format!("t{}", at * entity % 5);
            sessions.push(session(&name, "w", &["read", "send", &extra]));
            sessions.push(session(&name, "v", &["read", "list"]));
        }
    }
    sessions
}

#[test]
fn a_share_is_of_other_entities_and_falls_back_on_the_level_above() {
    let mut novelty = Novelty::new();
    novelty.commit(vec![
        session("a", "w", &["read"]),
        session("b", "w", &["read", "send"]),
        session("c", "v", &["pay"]),
    ]);
    let mine = session("a", "w", &["read", "send", "pay", "never"]);
    // Above: of the others, b and c, one had each. Everybody and the role are the same two.
    let above = |m: f64| (m + 0.6 * (m + 0.3) / 2.6) / 2.6;
    for (tool, m, n, above) in [
        ("read", 1, 1, above(1.0)),
        ("send", 1, 1, above(1.0)),
        ("pay", 0, 1, above(1.0)),
        ("never", 0, 1, above(0.0)),
    ] {
        let part = part_of(&novelty, &mine, tool);
        assert_eq!((part.m, part.n), (m, n), "{tool}");
        let expected = -libm::log((f64::from(m) + 0.6 * above) / (f64::from(n) + 0.6));
        assert!((part.surprise - expected).abs() < 1e-9, "{tool}");
    }
    let verdict = novelty.judge(&mine);
    // In another order the sum is the same to the bit.
    assert_eq!(verdict.surprise, verdict.parts.iter().map(|part| part.surprise).sum::<f64>());
    assert_eq!(verdict.parts.first().unwrap().element, Element::tool("never"));
    // A workflow that nobody knows: the role's shares.
    assert_eq!(part_of(&novelty, &session("d", "new", &["read"]), "read").n, 3);
}

#[test]
fn nothing_known_is_a_half_and_ranks_nowhere() {
    let novelty = Novelty::new();
    let verdict = novelty.judge(&session("a", "w", &["read"]));
    assert!((verdict.surprise - libm::log(2.0)).abs() < 1e-9);
    assert_eq!((verdict.ln_p, verdict.sessions), (0.0, 0));
}

#[test]
fn a_rank_is_among_sessions_of_others_with_as_many_elements() {
    let mut novelty = Novelty::new();
    let mut sessions = Vec::new();
    for entity in 0..30 {
        let name = format!("e{entity}");
        (0..4).for_each(|_| sessions.push(session(&name, "w", &["read", "send"])));
        sessions.push(session(&name, "w", &["1", "2", "3", "4", "5", "6", "7", "8", "9"]));
    }
    novelty.commit(sessions);
    // 29 others with four such sessions each, all tied; the long ones are not alike.
    let usual = novelty.judge(&session("e0", "w", &["read", "send"]));
    assert_eq!(usual.sessions, 116);
    assert!((libm::exp(usual.ln_p) - 58.5 / 117.0).abs() < 1e-12);
    let odd = novelty.judge(&session("e0", "w", &["read", "steal"]));
    assert!((libm::exp(odd.ln_p) - 0.5 / 117.0).abs() < 1e-12);
    // A group of few is ranked among all.
    assert_eq!(novelty.judge(&session("x", "empty", &["read", "send"])).sessions, 120);
}

#[test]
fn what_one_entity_repeats_is_one_of_n() {
    let mut novelty = Novelty::new();
    novelty.commit(fleet());
    let victim = session("victim", "w", &["read", "steal"]);
    let before = part_of(&novelty, &victim, "steal");
    for _ in 0..200 {
        novelty.commit((0..50).map(|_| session("attacker", "w", &["steal"])).collect());
    }
    let after = part_of(&novelty, &victim, "steal");
    assert_eq!((before.m, after.m, after.n), (0, 1, before.n + 1));
    // To the attacker itself nothing has changed: neither the shares nor the sessions that it is ranked among.
    let own = session("attacker", "w", &["read", "steal"]);
    assert_eq!(part_of(&novelty, &own, "steal").m, 0);
    let kept = |novelty: &Novelty, entity: &str| {
        let key = Session::new(entity, Peers::new("role", None)).entity;
        novelty.pool.entities().filter(|of| *of == key).count()
    };
    assert!(novelty.pool.len() <= NOVELTY_SESSIONS_MAX && kept(&novelty, "attacker") > 500);
    assert_eq!(kept(&novelty, "e6"), 14);
}

#[test]
fn millions_of_new_elements_stay_within_the_caps() {
    let mut novelty = Novelty::new();
    novelty.commit(fleet());
    novelty.commit(vec![session("loner", "w", &["rare"])]);
    let mut next = 0_u64;
    for _ in 0..10 {
        let mut sessions = Vec::new();
        for _ in 0..1_000 {
            let mut session = Session::new("attacker", Peers::new("role", Some("w")));
            for at in next..next + 250 {
                session.add(Element::tool(&at.to_string()));
            }
            next += 250;
            sessions.push(session);
        }
        novelty.commit(sessions);
    }
    assert!(
        next == 2_500_000 && novelty.groups.values().all(|group| group.elements() <= NOVELTY_ELEMENTS_MAX)
    );
    assert!(novelty.pool.len() <= NOVELTY_SESSIONS_MAX);
    // Neither what many had nor the one thing that another had alone was driven out.
    let judged = session("victim", "w", &["read", "rare"]);
    assert_eq!(part_of(&novelty, &judged, "read").m, 24);
    assert_eq!(part_of(&novelty, &judged, "rare").m, 1);
}

#[test]
fn identities_and_workflows_without_end_stay_within_the_caps() {
    let mut novelty = Novelty::new();
    for _ in 0..3 {
        novelty.commit(fleet());
    }
    for flood in 0..200 {
        let names = (0..20).map(|at| format!("x{flood}-{at}"));
        novelty.commit(names.map(|name| session(&name, &name, &["steal"])).collect());
        novelty.commit(vec![session(&format!("y{flood}"), "w", &["steal"]); 2]);
    }
    assert!(novelty.groups.len() <= NOVELTY_GROUPS_MAX);
    assert!(novelty.groups.values().all(|group| group.entities() <= NOVELTY_ENTITIES_MAX));
    assert!(novelty.pool.len() <= NOVELTY_SESSIONS_MAX);
    let part = part_of(&novelty, &session("victim", "w", &["read"]), "read");
    assert_eq!((part.m, part.n > 200), (24, true));
}

#[test]
fn a_slot_that_changes_hands_forgets_what_it_stood_for() {
    let mut novelty = Novelty::new();
    for _ in 0..2 {
        novelty
            .commit((1..NOVELTY_ENTITIES_MAX).map(|at| session(&at.to_string(), "w", &["read"])).collect());
    }
    novelty.commit(vec![session("leaves", "w", &["odd"])]);
    let judged = session("victim", "w", &["read", "odd"]);
    assert_eq!(part_of(&novelty, &judged, "odd").m, 1);
    // The newcomers take the slots of all that had to go.
    novelty.commit(
        (0..NOVELTY_ENTITIES_MAX / 16).map(|at| session(&format!("comes{at}"), "w", &["read"])).collect(),
    );
    let (read, odd) = (part_of(&novelty, &judged, "read"), part_of(&novelty, &judged, "odd"));
    assert_eq!((odd.m, read.m, read.n), (0, read.n, NOVELTY_ENTITIES_MAX as u32));
}

#[test]
fn a_fleet_above_the_cap_of_sessions_has_one_each() {
    let mut novelty = Novelty::new();
    let names: Vec<String> = (0..NOVELTY_SESSIONS_MAX + 500).map(|at| at.to_string()).collect();
    novelty.commit(names.iter().flat_map(|name| vec![session(name, "w", &["read"]); 2]).collect());
    let kept: Vec<u64> = novelty.pool.entities().collect();
    let distinct: std::collections::BTreeSet<u64> = kept.iter().copied().collect();
    assert_eq!((kept.len(), distinct.len()), (NOVELTY_SESSIONS_MAX, NOVELTY_SESSIONS_MAX));
}

/// Sessions of a few entities, workflows and tools.
fn sessions() -> impl Strategy<Value = Vec<Session>> {
    let one = (0..30_u8, proptest::option::of(0..3_u8), proptest::collection::vec(0..40_u16, 0..8));
    let session = one.prop_map(|(entity, workflow, tools)| {
        let workflow = workflow.map(|workflow| workflow.to_string());
        let mut session = Session::new(&entity.to_string(), Peers::new("r", workflow.as_deref()));
        tools.iter().for_each(|tool| session.add(Element::tool(&tool.to_string())));
        session
    });
    proptest::collection::vec(session, 0..40)
}

proptest! {
    #[test]
    fn a_commit_is_a_set(batches in proptest::collection::vec(sessions(), 1..4), turn in 0..40_usize) {
        let (mut one, mut other) = (Novelty::new(), Novelty::new());
        for batch in batches {
            let mut turned = batch.clone();
            turned.rotate_left(turn % batch.len().max(1));
            turned.reverse();
            one.commit(batch);
            other.commit(turned);
        }
        prop_assert_eq!(serde_json::to_vec(&one).unwrap(), serde_json::to_vec(&other).unwrap());
    }

    #[test]
    fn a_snapshot_goes_on_to_the_same_bits(batches in proptest::collection::vec(sessions(), 1..5), cut in 0..5_usize, asked in sessions()) {
        let cut = cut.min(batches.len());
        let mut whole = Novelty::new();
        batches.iter().for_each(|batch| whole.commit(batch.clone()));
        let mut first = Novelty::new();
        batches[..cut].iter().for_each(|batch| first.commit(batch.clone()));
        let bytes = serde_json::to_vec(&first).unwrap();
        let mut restored: Novelty = serde_json::from_slice(&bytes).unwrap();
        batches[cut..].iter().for_each(|batch| restored.commit(batch.clone()));
        prop_assert_eq!(serde_json::to_vec(&restored).unwrap(), serde_json::to_vec(&whole).unwrap());
        for session in asked {
            let (a, b) = (whole.judge(&session), restored.judge(&session));
            prop_assert_eq!((a.surprise.to_bits(), a.ln_p.to_bits()), (b.surprise.to_bits(), b.ln_p.to_bits()));
            prop_assert!(a.ln_p <= 0.0 && a.surprise >= 0.0 && a.surprise.is_finite());
            prop_assert!(a.parts.iter().all(|part| part.m <= part.n));
        }
    }

    #[test]
    fn a_newer_element_never_ranks_lower(batch in sessions(), session in sessions()) {
        let mut novelty = Novelty::new();
        novelty.commit(batch);
        for mut session in session.into_iter().filter(|session| !session.elements.is_empty()) {
            let before = novelty.judge(&session);
            let known = *session.elements.first().unwrap();
            session.elements.remove(&known);
            session.add(Element::tool("never"));
            let after = novelty.judge(&session);
            prop_assert!(after.surprise >= before.surprise && after.ln_p <= before.ln_p, "{before:?} {after:?}");
        }
    }
}
