//! Made pasts: weeks in which nothing is wrong, for rules that hold what happens against what is usual.

use engine::Record;

use super::chance::Chance;
use super::scene::{DAY_US, HOUR_US, MINUTE_US, START_US, Scene, approval, call, login};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Past {
    Empty,
    /// Six tools that are called all day, and what comes out of them.
    Tools,
    /// Two sources that speak all day.
    Sources,
    /// Two queues of approvals.
    Approvals,
    /// Six agents that work by day.
    Counts,
    /// Agents that handle refunds, all alike.
    Sessions,
    /// People who begin in the morning.
    Office,
    /// People at work and at home.
    Networks,
}

const BUCKET_US: i64 = 5 * MINUTE_US;
const QUARTER_US: i64 = 15 * MINUTE_US;
const TOOLS: [&str; 6] = ["search", "drill-read", "list", "send", "merge", "query"];
const AGENTS: [&str; 6] = ["ada", "drill-bob", "cyd", "dan", "eve", "fay"];

/// Noon of a day.
fn noon(day: i64) -> i64 {
    START_US + day * DAY_US + 12 * HOUR_US
}

impl Past {
    /// When the scenario begins.
    pub fn end_us(self) -> i64 {
        match self {
            Past::Empty => START_US,
            Past::Tools | Past::Sources | Past::Approvals => noon(22),
            Past::Counts => noon(20) + HOUR_US,
            Past::Sessions => START_US + 12 * DAY_US + 10 * HOUR_US,
            Past::Office => START_US + 43 * DAY_US + 3 * HOUR_US,
            Past::Networks => START_US + 30 * DAY_US + 3 * HOUR_US,
        }
    }

    pub fn play(self, scene: &mut Scene) {
        match self {
            Past::Empty => {}
            Past::Tools => tools(scene),
            Past::Sources => sources(scene),
            Past::Approvals => approvals(scene),
            Past::Counts => counts(scene),
            Past::Sessions => sessions(scene),
            Past::Office => office(scene),
            Past::Networks => networks(scene),
        }
    }
}

fn tools(scene: &mut Scene) {
    let mut chance = Chance(1);
    for quarter in 0..(Past::Tools.end_us() - START_US) / QUARTER_US {
        for number in 0..20 {
            for (at, tool) in (0..).zip(TOOLS) {
                let time_us = START_US + quarter * QUARTER_US + number * QUARTER_US / 20 + at * 1_000_000;
                let held = chance.share() < 0.01;
                let record = Record {
                    server: Some("drill-server"),
                    capability: Some(tool),
                    latency_us: Some((200_000.0 * chance.lognormal(0.4)) as i64),
                    response_bytes: Some((2_000.0 * chance.lognormal(0.9)) as i64),
                    output_action: Some(if held { "quarantine" } else { "pass" }),
                    ..call()
                };
                scene.add_at(time_us, record);
            }
        }
    }
}

fn sources(scene: &mut Scene) {
    let mut chance = Chance(1);
    for bucket in 0..(Past::Sources.end_us() - START_US) / BUCKET_US {
        let is_day = (7..20).contains(&(bucket / 12 % 24));
        let mut times = Vec::new();
        for (source, busy) in [("gate/1", [5.0, 14.0]), ("drill-source/1", [3.0, 9.0])] {
            let [by_night, by_day] = busy;
            let count = (if is_day { by_day } else { by_night } * chance.lognormal(0.5)) as i64;
            times.extend(
                (0..count).map(|_| (START_US + bucket * BUCKET_US + chance.below(BUCKET_US), source)),
            );
        }
        times.sort_unstable();
        times.into_iter().for_each(|(time_us, source)| scene.add_at(time_us, Record { source, ..call() }));
    }
}

fn approvals(scene: &mut Scene) {
    let mut chance = Chance(1);
    let mut all = Vec::new();
    for quarter in 0..(Past::Approvals.end_us() - HOUR_US - START_US) / QUARTER_US {
        for server in ["mail", "drill-bank"] {
            let id = format!("usual-{quarter}-{server}");
            let asked_us = START_US + quarter * QUARTER_US + chance.below(800_000_000);
            let wait_us = (120e6 * chance.lognormal(0.8)) as i64;
            let ending = if chance.share() < 0.05 { "expired" } else { "approved" };
            all.push((asked_us, id.clone(), server, "requested"));
            all.push((asked_us + wait_us, id, server, ending));
        }
    }
    all.sort_unstable();
    for (time_us, id, server, status) in all {
        let outcome = if status == "requested" { "pending" } else { "ok" };
        scene.add_at(time_us, Record { server: Some(server), status: outcome, ..approval(&id, status) });
    }
}

/// Busy by day, quiet at night and at weekends, in clumps; one call of fifty is denied, and everybody mistypes every two hours.
fn counts(scene: &mut Scene) {
    let mut chance = Chance(1);
    for bucket in 0..(Past::Counts.end_us() - START_US) / BUCKET_US {
        let (hour, day) = (bucket / 12 % 24, bucket / 288 % 7);
        let busy = if (8..18).contains(&hour) && day < 5 { 4.0 } else { 0.4 };
        let mut times = Vec::new();
        for (at, agent) in (0_i32..).zip(AGENTS) {
            let count = -chance.share().max(1e-12).ln() * busy * (1.0 + f64::from(at) / 3.0);
            for _ in 0..count as i64 {
                let time_us = START_US + bucket * BUCKET_US + chance.below(BUCKET_US);
                times.push((time_us, agent, if chance.share() < 0.02 { "denied" } else { "ok" }));
            }
            if bucket % 24 == 0 {
                times.push((START_US + bucket * BUCKET_US + chance.below(BUCKET_US), agent, "failed"));
            }
        }
        times.sort_unstable();
        for (time_us, agent, what) in times {
            let record = match what {
                "denied" => Record { decision: "deny", status: "denied", ..call() },
                "failed" => login(false),
                _ => call(),
            };
            scene.add_at(time_us, Record { agent_id: Some(agent), ..record });
        }
    }
}

/// One call of somebody, where the text is made.
struct Act {
    time_us: i64,
    agent: String,
    session: String,
    tool: &'static str,
    destination: Option<String>,
    address: Option<String>,
}

fn play(scene: &mut Scene, mut acts: Vec<Act>, base: Record<'static>) {
    acts.sort_by_key(|act| act.time_us);
    for act in acts {
        let destinations: Vec<&str> = act.destination.as_deref().into_iter().collect();
        let record = Record {
            agent_id: Some(&act.agent),
            session_id: &act.session,
            capability: Some(act.tool),
            destinations: &destinations,
            source_ip: act.address.as_deref(),
            workflow: Some("refund"),
            ..base
        };
        scene.add_at(act.time_us, record);
    }
}

/// Each agent has three sessions a day between 8 and 18 o'clock, of the tools of a refund, now and then one more, and a customer of its
/// own to write to in one of three.
fn sessions(scene: &mut Scene) {
    let (mut chance, mut acts) = (Chance(1), Vec::new());
    for day in 0..12 {
        for agent in 0..24 {
            for number in 0..3 {
                let start_us = START_US
                    + day * DAY_US
                    + 8 * HOUR_US
                    + (number * 600 + chance.below(570)) / 3 * MINUTE_US;
                let mut tools = vec!["find_order", "read_policy"];
                match chance.below(12) {
                    0 => tools.push("ask_colleague"),
                    1 => tools.push("list_orders"),
                    2 => tools.push("convert"),
                    _ => {}
                }
                tools.push("refund");
                let is_own = chance.below(3) == 0;
                let to = match is_own {
                    true => format!("refund:to:recipient:{}", chance.below(1_000_000)),
                    false => "refund:to:account:house".to_owned(),
                };
                for (minute, tool) in (0..).zip(tools) {
                    acts.push(Act {
                        time_us: start_us + minute * MINUTE_US,
                        agent: format!("drill-agent-{agent}"),
                        session: format!("s-{agent}-{day}-{number}"),
                        tool,
                        destination: (tool == "refund").then(|| to.clone()),
                        address: None,
                    });
                }
            }
        }
    }
    play(scene, acts, call());
}

/// Four sessions a day between 8 and 18 o'clock, Mondays to Fridays.
fn office(scene: &mut Scene) {
    let (mut chance, mut acts) = (Chance(1), Vec::new());
    for day in (0..43).filter(|day| ![2, 3].contains(&(day % 7))) {
        for person in 0..12 {
            for quarter in 0..4 {
                let begun_us = START_US + day * DAY_US + 8 * HOUR_US;
                let begun_us = begun_us + quarter * 150 * MINUTE_US + chance.below(110) * MINUTE_US;
                for minute in 0..3 {
                    acts.push(Act {
                        time_us: begun_us + minute * MINUTE_US,
                        agent: format!("drill-person-{person}"),
                        session: "s".to_owned(),
                        tool: "read",
                        destination: None,
                        address: None,
                    });
                }
            }
        }
    }
    play(scene, acts, call());
}

/// Mornings in the office's network, evenings in one of their own.
fn networks(scene: &mut Scene) {
    let (mut chance, mut acts) = (Chance(1), Vec::new());
    for day in 0..30 {
        for person in 0..20 {
            let office = format!("203.0.113.{}", chance.below(250));
            let home = format!("198.51.{person}.{}", chance.below(250));
            for (hour, address) in [(9, &office), (13, &office), (20, &home)] {
                let begun_us = START_US + day * DAY_US + hour * HOUR_US + chance.below(60) * MINUTE_US;
                for minute in 0..4 {
                    acts.push(Act {
                        time_us: begun_us + minute * MINUTE_US,
                        agent: format!("drill-person-{person}"),
                        session: "s".to_owned(),
                        tool: "read",
                        destination: None,
                        address: Some(address.clone()),
                    });
                }
            }
        }
    }
    let at_work =
        Record { country: Some("NL"), user_agent: Some("Mozilla/5.0 (Windows) Firefox/130"), ..call() };
    play(scene, acts, at_work);
}
