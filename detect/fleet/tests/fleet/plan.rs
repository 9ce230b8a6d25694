//! Injections and what comes of them.

use std::collections::{BTreeMap, BTreeSet};

use fleet::injection::{Kind, Strength};
use fleet::{Fleet, Options};

fn run(options: &Options) -> (Fleet, BTreeMap<u32, Vec<fleet::Logged>>) {
    let mut fleet = Fleet::new(options);
    let mut of: BTreeMap<u32, Vec<fleet::Logged>> = BTreeMap::new();
    for logged in &mut fleet {
        if let Some(injection) = logged.injection {
            of.entry(injection).or_default().push(logged);
        }
    }
    (fleet, of)
}

#[test]
fn truth_names_exactly_the_events_of_each_injection() {
    let (fleet, of) = run(&Options { seed: 1, days: 40, principals: 60, is_benign: false });
    assert!(fleet.plan().len() > 80);
    let kinds: BTreeSet<Kind> = fleet.plan().iter().map(|one| one.kind).collect();
    assert_eq!(kinds.len(), fleet::injection::PLAN.len());
    for (place, (one, truth)) in fleet.plan().iter().zip(fleet.truth()).enumerate() {
        let events = of.get(&(place as u32)).map(Vec::as_slice).unwrap_or_default();
        let indices: Vec<i64> = events.iter().map(|logged| logged.index).collect();
        assert_eq!(truth.indices, indices, "{one:?}");
        assert_eq!(truth.withheld > 0, one.kind == Kind::SilentSource, "{one:?}");
        for logged in events {
            let (event, id) = (&logged.event, one.observables(fleet.world()));
            // Approvals and what follows a login last as long as they last.
            assert!(event.time_us >= one.start_us, "{one:?}");
            match one.kind {
                Kind::CallRate | Kind::Denials | Kind::SlowTool => {
                    assert!(event.time_us < one.end_us, "{one:?}");
                }
                _ => {}
            }
            let named = [
                event.agent_id.as_ref().map(|id| format!("agent_id={id}")),
                event.user_id.as_ref().map(|id| format!("user_id={id}")),
                event.capability.as_ref().map(|id| format!("capability={id}")),
                event.source_ip.as_ref().map(|id| format!("source_ip={id}")),
            ];
            assert!(named.iter().flatten().any(|name| id.contains(name)), "{one:?} {event:?}");
        }
        let exact = match (one.kind, one.strength) {
            (Kind::AuthGuessing | Kind::AuthSpray | Kind::Probing, Strength::Events(events)) => {
                Some(events as usize)
            }
            (Kind::UnapprovedWrite, _) => Some(1),
            (Kind::OversizedOutput, _) => Some(3),
            _ => None,
        };
        if let Some(exact) = exact {
            assert_eq!(events.len(), exact, "{one:?}");
        }
    }
}

#[test]
fn without_injections_nothing_is_withheld_and_writes_are_approved() {
    let benign = Options { seed: 2, days: 12, principals: 60, is_benign: true };
    let (mut fleet, mut approved) = (Fleet::new(&benign), BTreeSet::new());
    let mut writes = 0;
    let mut late = Vec::new();
    for logged in &mut fleet {
        assert_eq!(logged.injection, None);
        let event = logged.event;
        if event.kind == "approval" && event.approval_status == Some("approved") {
            approved.insert((event.approval_id.clone().unwrap(), event.request_hash.clone().unwrap()));
            assert_ne!(event.approver, event.user_id);
        }
        let is_risky = event.kind == "call" && event.action != Some("read");
        let is_risky =
            is_risky && matches!(event.risk, Some("high" | "critical")) && event.decision == "allow";
        if is_risky {
            writes += 1;
            late.push((event.approval_id.clone().unwrap(), event.request_hash.clone().unwrap()));
        }
    }
    assert!(writes > 20, "{writes}");
    assert!(late.iter().all(|write| approved.contains(write)));
}

#[test]
fn of_a_kind_at_most_one_begins_on_a_day_and_long_ones_have_their_principals_to_themselves() {
    let fleet = Fleet::new(&Options { seed: 3, ..Options::default() });
    let mut days = BTreeSet::new();
    // The small hours may belong to the day after.
    for one in fleet.plan().iter().filter(|one| one.kind != Kind::OffHours) {
        assert!(days.insert((one.kind, fleet::calendar::day_of(one.start_us))), "{one:?}");
    }
    let long: Vec<_> = fleet.plan().iter().filter(|one| one.is_long()).collect();
    assert_eq!(long.len(), 7);
    for one in &long {
        let same = fleet.plan().iter().filter(|other| other.target == one.target).count();
        assert_eq!(same, 1, "{one:?}");
    }
    assert!((1.14..1.16).contains(&long[0].times_at(long[0].start_us)) || long[0].kind == Kind::Shift);
}
