//! People who are asked: R27, R39.

use engine::{Alert, Engine, Record, Severity, State};

use super::{at, episodes, name, of, shipped, told};
use crate::days::{Chance, DAY_US, HOUR_US, days, fold, of_tool, with};
use crate::stream::{MINUTE_US, SECOND_US, START_US, approval};

const CEILING: &str = "approval_wait_ceiling";
const WAIT: &str = "approval_wait";
const BUDGET: &str = "tool_error_budget";
const FAST: &str = "approval_too_fast";
const ABANDONED: &str = "approval_abandoned";
/// Five abandoned requests of one agent within an hour, in Sigma.
const ABANDONED_OF_AGENT: &str = "86e2c33a-94c5-4094-90fe-9df9094c0a2f";
const DAY_22_US: i64 = START_US + 22 * DAY_US;

/// So many requests some seconds apart, each ended in the same way after as long a wait.
fn queue(
    of: &'static str,
    from_us: i64,
    (number, apart_us): (i64, i64),
    wait_us: i64,
    end: Record<'static>,
) -> impl Iterator<Item = Record<'static>> {
    (0..number).flat_map(move |number| {
        let (id, asked_us) = (name(of, number), from_us + number * apart_us);
        let asked = Record { status: "pending", ..approval(id, "requested") };
        let nobody = |record: Record<'static>| Record {
            server: end.server,
            agent_id: end.agent_id,
            user_id: end.user_id,
            ..record
        };
        let ended = Record { approver: end.approver, ..approval(id, end.approval_status.unwrap()) };
        [at(asked_us, nobody(asked)), at(asked_us + wait_us, nobody(ended))]
    })
}

fn end(server: &'static str, status: &'static str, approver: &'static str) -> Record<'static> {
    Record {
        server: Some(server),
        approver: Some(approver),
        agent_id: None,
        user_id: None,
        ..approval("", status)
    }
}

/// Weeks of two queues, in each a request every quarter of an hour that is decided after about two minutes; one in twenty expires.
fn weeks() -> Vec<Record<'static>> {
    let (mut chance, mut all) = (Chance(2), Vec::new());
    for quarter in 0..24 * 96 {
        for server in ["mail", "bank"] {
            let from_us = START_US + quarter * 15 * MINUTE_US + (chance.share() * 800e6) as i64;
            let wait_us = (120e6 * chance.lognormal(0.4)) as i64;
            let status = if chance.share() < 0.05 { "expired" } else { "approved" };
            all.extend(queue(name(server, quarter), from_us, (1, 0), wait_us, end(server, status, "boss")));
        }
    }
    all
}

/// Those weeks, and a day on which 24 requests at a time wait for nine, for twelve and for 25 minutes; on which two people approve within a
/// second, one of them five times and the other four, and a third within three seconds; and on which twelve requests expire.
pub fn queues() -> Vec<Record<'static>> {
    let at_hour = |hour: i64| DAY_22_US + hour * HOUR_US;
    let some = (12, 10 * SECOND_US);
    let slow = [(9, 9), (12, 12), (16, 25)].into_iter().flat_map(|(hour, minutes)| {
        queue(
            name("slow-", hour),
            at_hour(hour),
            (24, 10 * SECOND_US),
            minutes * MINUTE_US,
            end("bank", "approved", "boss"),
        )
    });
    let stamps =
        [("hasty", 5, 1), ("brisk", 4, 1), ("reads", 9, 3)].into_iter().flat_map(|(who, times, seconds)| {
            queue(who, at_hour(19), (times, 6 * MINUTE_US), seconds * SECOND_US, end("mail", "approved", who))
        });
    let timeouts = queue("gone", at_hour(22), some, 8 * MINUTE_US, end("mail", "expired", ""));
    with(weeks(), slow.chain(stamps).chain(timeouts))
}

#[test]
fn r27_a_queue_that_waits_times_out_or_is_waved_through_is_told() {
    let records = queues();
    let alerts = told(&records);
    let rules = [CEILING, FAST, ABANDONED];
    // Nine minutes are within ten; four stamps within an hour are no habit, and three seconds are time to read a line; that one in twenty expires
    // is usual.
    let expected = [
        (CEILING, "acme", Severity::Medium),
        (CEILING, "acme", Severity::High),
        (FAST, "hasty", Severity::Medium),
        (ABANDONED, "mail", Severity::Medium),
    ];
    assert_eq!(episodes(of(&alerts, rules)), expected, "{alerts:#?}");
    let minutes = |alert: &Alert, hour| {
        (records[alert.position as usize].time_us - DAY_22_US - hour * HOUR_US) / MINUTE_US
    };
    let waits: Vec<&Alert> = of(&alerts, [CEILING]).filter(|alert| alert.state != State::Closed).collect();
    let [over, far, severe] = &waits[..] else { panic!("{waits:#?}") };
    // Looked at every five minutes, over all that were in the queue within half an hour; those that wait count by their age.
    assert!((10..=20).contains(&minutes(over, 12)) && (10..=20).contains(&minutes(far, 16)), "{waits:#?}");
    assert!((20..=30).contains(&minutes(severe, 16)), "{waits:#?}");
    assert_eq!((severe.state, severe.severity), (State::Updated, Severity::High));
    assert!(severe.observed >= Some(1_200_000_000) && severe.window_us == Some(30 * MINUTE_US), "{severe:?}");
    let stamps = of(&alerts, [FAST]).next().unwrap();
    assert_eq!((stamps.observed, minutes(stamps, 19)), (Some(5), 24), "with the fifth");
}

/// Those weeks; a noon at which what `mail` is asked for expires or is cancelled and what `bank` is asked for is refused; a request that nobody
/// decides; and two agents who ask everywhere and are answered by nobody, one of them five times within an hour and the other four.
pub(super) fn abandoned() -> Vec<Record<'static>> {
    let at_hour = |hour: i64| DAY_22_US + hour * HOUR_US;
    let some = (6, 20 * SECOND_US);
    let asks = |who: &'static str, hour, times: i64| {
        (0..times).flat_map(move |number| {
            let of = Record {
                agent_id: Some(who),
                user_id: Some("u-1"),
                ..end(name("app-", number), "expired", "")
            };
            queue(name(who, number), at_hour(hour) + number * 12 * MINUTE_US, (1, 0), 5 * MINUTE_US, of)
        })
    };
    let noon = [
        ("gone", "mail", "expired"),
        ("back", "mail", "cancelled"),
        ("no", "bank", "rejected"),
        ("nor", "bank", "rejected"),
    ]
    .into_iter()
    .flat_map(|(of, server, status)| queue(of, at_hour(12), some, 5 * MINUTE_US, end(server, status, "")));
    let forgotten = Record { server: Some("bank"), status: "pending", ..approval("forgotten", "requested") };
    let forgotten = at(at_hour(15), Record { agent_id: None, user_id: None, ..forgotten });
    with(weeks(), noon.chain(asks("keen", 6, 5)).chain(asks("meek", 8, 4)).chain([forgotten]))
}

#[test]
fn r39_abandoned_approvals_are_told_beside_one_that_waits() {
    let records = abandoned();
    let alerts = fold(&mut Engine::new("acme", shipped()), &records);
    // What was refused was decided. Five of one agent in as many queues are many for the agent and for none of the queues; four are not many.
    let expected = [
        (ABANDONED_OF_AGENT, "keen/u-1", Severity::Medium),
        (ABANDONED, "mail", Severity::Medium),
        (WAIT, "bank", Severity::High),
    ];
    assert_eq!(episodes(of(&alerts, [ABANDONED_OF_AGENT, ABANDONED, WAIT])), expected, "{alerts:#?}");
    let gone = of(&alerts, [ABANDONED]).next().unwrap();
    let ends: Vec<_> =
        gone.evidence.iter().map(|index| records[*index as usize].approval_status.unwrap()).collect();
    assert!(
        ["expired", "cancelled"].iter().all(|end| ends.contains(end)) && !ends.contains(&"rejected"),
        "{ends:?}"
    );
    let waits = of(&alerts, [WAIT]).next().unwrap();
    assert_eq!(records[waits.evidence[0] as usize].approval_id, Some("forgotten"));
    assert!(waits.explanation.contains("has been waiting for"), "told while it waits: {}", waits.explanation);
}

/// Three days of tools of which 1.8 % of all calls fail, as in the made fleet; then from the noon of the third on one in four calls of `send` fails for
/// an hour, and 4.5 % of those of `read` until the evening, which is less than six times as many as may.
pub(super) fn failures() -> Vec<Record<'static>> {
    let noon_us = 2 * DAY_US + 12 * HOUR_US;
    days(3, 60, 39, move |chance, at_us, tool| {
        let since_us = at_us - noon_us;
        let share = match tool {
            "send" if (0..HOUR_US).contains(&since_us) => 0.25,
            "read" if (0..8 * HOUR_US).contains(&since_us) => 0.045,
            _ => 0.018,
        };
        let is_failed = chance.share() < share;
        Some(Record { status: if is_failed { "error" } else { "ok" }, ..of_tool(tool) })
    })
}

#[test]
fn r39_a_tool_that_uses_up_its_error_budget_is_told() {
    let records = failures();
    let alerts = told(&records);
    assert_eq!(episodes(of(&alerts, [BUDGET])), [(BUDGET, "github/send", Severity::High)], "{alerts:#?}");
    let noon_us = START_US + 2 * DAY_US + 12 * HOUR_US;
    let mut send = of(&alerts, [BUDGET]);
    let first = send.next().unwrap();
    let told_us = records[first.position as usize].time_us - noon_us;
    assert!((0..HOUR_US).contains(&told_us), "{} min", told_us / MINUTE_US);
    assert!(first.explanation.contains("times the budget of 1.00 %"), "{}", first.explanation);
    assert_eq!(
        (first.unit.as_str(), first.budget_verdict),
        ("ppm", None),
        "a ceiling has no budget of openings"
    );
    assert_eq!(send.last().unwrap().state, State::Closed);
}
