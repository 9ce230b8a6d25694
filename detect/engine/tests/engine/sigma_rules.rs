//! Rules in Sigma in the fold: alerts like any other.

use std::path::Path;
use std::sync::Arc;

use engine::{Alert, Confidence, Engine, Error, Record, Settings, Setup, Severity, State, Verdict};
use sigma::{Options, Rules};

use crate::stream::{MINUTE_US, SECOND_US, START_US, call};

const ANONYMOUS_WRITE: &str = "d8e06a9b-778f-4765-9c4b-bb3bb1385d2e";
const ABANDONED_APPROVALS: &str = "86e2c33a-94c5-4094-90fe-9df9094c0a2f";
const UNREGISTERED_SERVER: &str = "49ac624e-fc60-4311-a08c-a1ca60a383aa";
const UNKNOWN_NETWORK: &str = "c4de6f0e-8bc6-4421-a359-239a993f161b";
const UNKNOWN_COUNTRY: &str = "0f54b3c8-7ddc-4d03-afb5-5473dab0eb05";

/// The shipped pack, with the lists of its examples or without any.
fn pack(with_lists: bool) -> Arc<Rules> {
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/tests/lists");
    let options = Options { lists: with_lists.then_some(lists), ..Options::default() };
    Arc::new(Rules::load(&options).unwrap())
}

fn setup(rules: Arc<Rules>) -> Setup {
    Setup { settings: Settings::default(), rules: Some(rules) }
}

/// An engine, the alerts so far, and the seconds since the start.
struct Log {
    engine: Engine,
    alerts: Vec<Alert>,
    now_us: i64,
}

impl Log {
    fn new(rules: Arc<Rules>) -> Log {
        Log { engine: Engine::new("acme", setup(rules)), alerts: Vec::new(), now_us: START_US }
    }

    /// Takes a record in and gives the alerts of that rule that it caused.
    fn push(&mut self, step_us: i64, record: Record<'_>, rule_id: &str) -> Vec<Alert> {
        self.now_us += step_us;
        let (index, time_us) = (self.engine.next_index(), self.now_us);
        let before = self.alerts.len();
        let record = Record { index, time_us, ingest_time_us: time_us, ..record };
        self.engine.observe(&record, &mut self.alerts).unwrap();
        self.alerts[before..].iter().filter(|alert| alert.rule_id == rule_id).cloned().collect()
    }
}

fn anonymous() -> Record<'static> {
    Record { user_id: None, agent_id: None, action: Some("write"), ..call() }
}

#[test]
fn a_match_is_an_alert_with_everything_an_alert_has() {
    let mut log = Log::new(pack(false));
    assert!(log.push(SECOND_US, call(), ANONYMOUS_WRITE).is_empty());
    let told = log.push(SECOND_US, anonymous(), ANONYMOUS_WRITE);
    let [alert] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((alert.state, alert.sequence, alert.count), (State::Open, 0, 1));
    assert_eq!((alert.severity, alert.confidence), (Severity::Medium, Confidence::High));
    assert_eq!(alert.title, "Call with effects by nobody");
    assert_eq!(alert.references, ["AML.T0012", "MCP07", "MCP08"]);
    assert_eq!((alert.evidence.as_slice(), alert.position), ([1].as_slice(), 1));
    assert_eq!(
        (alert.entity_type.as_str(), alert.entity.as_str()),
        ("principal_tool", "unknown/github/merge")
    );
    assert_eq!(alert.observables, ["server=github", "capability=merge"]);
    assert_eq!(alert.runbook, "docs/runbooks/sigma.md");
    assert_eq!(alert.query, "SELECT * FROM events WHERE log_index IN (1) ORDER BY log_index");
    assert_eq!((alert.statistic.as_str(), alert.unit.as_str()), ("matches", "count"));
    assert!(
        alert.explanation.contains("call tools/call write github merge, ok. A call that writes, destroys"),
        "{}",
        alert.explanation
    );
    // Alert once: a repeat is an update, and quiet closes it.
    let told = log.push(SECOND_US, anonymous(), ANONYMOUS_WRITE);
    assert_eq!(
        (told.len(), told[0].state, told[0].evidence.as_slice()),
        (1, State::Updated, [1, 2].as_slice())
    );
    assert!(log.push(SECOND_US, anonymous(), ANONYMOUS_WRITE).is_empty());
    let other = Record { capability: Some("push"), ..anonymous() };
    assert_eq!(log.push(SECOND_US, other, ANONYMOUS_WRITE)[0].state, State::Open);
    let told = log.push(50 * MINUTE_US, call(), ANONYMOUS_WRITE);
    assert_eq!(told.iter().map(|alert| alert.state).collect::<Vec<_>>(), [State::Closed; 2]);
}

#[test]
fn r36_a_server_that_is_not_registered_is_one_alert_an_agent() {
    let mut log = Log::new(pack(true));
    let strange = |agent| Record { server: Some("rogue"), agent_id: Some(agent), ..call() };
    let told = log.push(SECOND_US, strange("a-1"), UNREGISTERED_SERVER);
    let [alert] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((alert.entity_type.as_str(), alert.entity.as_str()), ("group", "a-1/rogue"));
    assert_eq!(
        (alert.severity, alert.references.as_slice()),
        (Severity::High, ["AML.T0109", "MCP09"].map(str::to_owned).as_slice())
    );
    let another_tool = Record { capability: Some("other"), ..strange("a-1") };
    assert_eq!(log.push(SECOND_US, another_tool, UNREGISTERED_SERVER)[0].state, State::Updated);
    assert_eq!(log.push(SECOND_US, strange("a-2"), UNREGISTERED_SERVER)[0].state, State::Open);
    let registered = Record { server: Some("corp-payments"), ..call() };
    assert!(log.push(SECOND_US, registered, UNREGISTERED_SERVER).is_empty());
}

#[test]
fn a_mute_of_one_place_is_none_of_another() {
    let mut log = Log::new(pack(true));
    let from = |agent_id, source_ip| Record { agent_id, user_id: None, source_ip: Some(source_ip), ..call() };
    let at_home = from(Some("a-1"), "203.0.113.7");
    let told = log.push(SECOND_US, at_home, UNKNOWN_NETWORK);
    let [alert] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((alert.entity_type.as_str(), alert.entity.as_str()), ("group", "a-1/203.0.113.0/24"));
    assert_eq!(alert.observables, ["agent_id=a-1", "network=203.0.113.0/24"]);
    let verdict =
        Verdict { alert_id: &alert.alert_id, is_true: false, muted_until_us: i64::MAX, by: "ann", note: "" };
    log.push(
        SECOND_US,
        Record { control: true, verdict: Some(verdict), ..Record::default() },
        UNKNOWN_NETWORK,
    );
    // The next address of the network, however it is written, is the same place and muted; the thief's is not.
    let again = log.push(SECOND_US, from(Some("a-1"), "[::ffff:203.0.113.9]:443"), UNKNOWN_NETWORK);
    assert_eq!((again[0].state, again[0].severity), (State::Open, Severity::Informational));
    let thief = log.push(SECOND_US, from(Some("a-1"), "198.51.100.4"), UNKNOWN_NETWORK);
    assert_eq!((thief.len(), thief[0].state, thief[0].severity), (1, State::Open, Severity::Medium));
    // Nobody with a name: however many places, one episode.
    let mut nobody = Vec::new();
    for third in 0..40 {
        let address = format!("198.18.{third}.1");
        nobody.extend(log.push(
            SECOND_US,
            Record { source_ip: Some(&address), ..from(None, "") },
            UNKNOWN_NETWORK,
        ));
    }
    assert_eq!(nobody.iter().filter(|alert| alert.state == State::Open).count(), 1, "{nobody:?}");
    let abroad = |country| Record { country: Some(country), ..call() };
    let told = log.push(SECOND_US, abroad("kp"), UNKNOWN_COUNTRY);
    assert_eq!(told[0].entity, "a-1/KP");
    assert_eq!(log.push(SECOND_US, abroad("KP "), UNKNOWN_COUNTRY)[0].state, State::Updated);
    assert_eq!(log.push(SECOND_US, abroad("IR"), UNKNOWN_COUNTRY)[0].state, State::Open);
}

/// Anybody can fail in somebody's name, from as many places as there are: only who was let in was somewhere.
#[test]
fn whoever_only_fails_makes_no_episode_a_network() {
    let mut log = Log::new(pack(true));
    let mut told = Vec::new();
    for third in 0..40 {
        let address = format!("198.18.{third}.1");
        let refused = Record { decision: "deny", status: "denied", source_ip: Some(&address), ..call() };
        told.extend(log.push(SECOND_US, refused, UNKNOWN_NETWORK));
    }
    let opened: Vec<_> = told.iter().filter(|alert| alert.state == State::Open).collect();
    let [alert] = opened.as_slice() else { panic!("{} episodes", opened.len()) };
    assert_eq!((alert.entity_type.as_str(), alert.entity.as_str()), ("principal", "a-1"));
    let let_in = Record { source_ip: Some("198.18.7.1"), ..call() };
    let told = log.push(SECOND_US, let_in, UNKNOWN_NETWORK);
    assert_eq!((told[0].state, told[0].entity.as_str()), (State::Open, "a-1/198.18.7.0/24"));
}

/// An episode named by its bucket can open again after it was closed from outside: its numbers go on, also behind a snapshot and its own closing.
#[test]
fn an_id_that_is_on_record_goes_on_from_its_number() {
    let mut log = Log::new(pack(false));
    let id = log.push(SECOND_US, anonymous(), ANONYMOUS_WRITE)[0].alert_id.clone();
    let mut log = Log::new(pack(false));
    log.engine.number_on(&[(id.clone(), 5)].into());
    log.engine = Engine::restore(&log.engine.snapshot(), setup(pack(false))).unwrap();
    let told = log.push(SECOND_US, anonymous(), ANONYMOUS_WRITE);
    assert_eq!((told[0].alert_id.as_str(), told[0].state, told[0].sequence), (id.as_str(), State::Open, 6));
    let closed = log.push(60 * MINUTE_US, call(), ANONYMOUS_WRITE);
    assert_eq!((closed[0].state, closed[0].sequence), (State::Closed, 7));
}

#[test]
fn open_episodes_are_told_as_they_stand_and_nothing_changes() {
    let mut log = Log::new(pack(false));
    let one = log.push(SECOND_US, anonymous(), ANONYMOUS_WRITE);
    let risky = Record { action: Some("write"), risk: Some("high"), ..call() };
    log.push(SECOND_US, risky, ANONYMOUS_WRITE);
    log.push(SECOND_US, anonymous(), ANONYMOUS_WRITE);
    let before = log.engine.snapshot();
    let open = log.engine.open_episodes("goes on");
    assert_eq!(log.engine.snapshot(), before);
    assert_eq!(open.len(), log.engine.episodes_open());
    let of_sigma = open.last().unwrap();
    assert_eq!((of_sigma.rule_id.as_str(), &of_sigma.alert_id), (ANONYMOUS_WRITE, &one[0].alert_id));
    assert_eq!((of_sigma.state, of_sigma.sequence, of_sigma.count), (State::Open, 1, 2));
    assert!(of_sigma.explanation.ends_with(" Episode goes on."), "{}", of_sigma.explanation);
    assert!(open.iter().all(|alert| alert.position == 2));
    assert_eq!(
        open.iter().map(|alert| alert.ordinal).collect::<Vec<_>>(),
        (0..).take(open.len()).collect::<Vec<_>>()
    );
    assert!(open.iter().any(|alert| alert.rule_id == "unapproved_high_risk_write"));
}

#[test]
fn a_correlation_tells_of_its_group_with_all_that_led_to_it() {
    let mut log = Log::new(pack(false));
    let ids = ["p-1", "p-2", "p-3", "p-4", "p-5"];
    let expired = |id, agent| Record {
        kind: "approval",
        approval_id: Some(id),
        approval_status: Some("expired"),
        agent_id: Some(agent),
        ..call()
    };
    let mut told = Vec::new();
    for (at, id) in ids.into_iter().enumerate() {
        // Whatever the spelling, it is one agent.
        told = log.push(MINUTE_US, expired(id, ["a-1", "A-1"][at % 2]), ABANDONED_APPROVALS);
        assert_eq!(told.len(), usize::from(at == 4), "{id}");
    }
    let alert = &told[0];
    assert_eq!((alert.entity_type.as_str(), alert.entity.as_str()), ("group", "a-1/u-1"));
    assert_eq!((alert.count, alert.observed, alert.expected), (5, Some(5), Some(5)));
    assert_eq!(
        (alert.evidence.as_slice(), alert.confidence),
        ([0, 1, 2, 3, 4].as_slice(), Confidence::Medium)
    );
    assert_eq!(alert.first_seen_us, START_US + MINUTE_US);
    assert_eq!(alert.window_us, Some(60 * MINUTE_US));
    assert!(
        alert.explanation.contains("5 within 3600 s, where 5 are told of: agent_id a-1, user_id u-1."),
        "{}",
        alert.explanation
    );
    let again = log.push(MINUTE_US, expired("p-6", "a-1"), ABANDONED_APPROVALS);
    assert!(again.is_empty(), "the sixth is silent: {again:?}");
}

#[test]
fn a_person_closes_and_mutes_it_like_any_other() {
    let mut log = Log::new(pack(false));
    let opened = log.push(SECOND_US, anonymous(), ANONYMOUS_WRITE);
    let verdict = Verdict {
        alert_id: &opened[0].alert_id,
        is_true: false,
        muted_until_us: i64::MAX,
        by: "ann",
        note: "",
    };
    let said = Record { control: true, verdict: Some(verdict), ..Record::default() };
    let closed = log.push(SECOND_US, said, ANONYMOUS_WRITE);
    assert_eq!(closed[0].state, State::Closed);
    assert!(closed[0].explanation.contains("closed as benign by ann"), "{}", closed[0].explanation);
    let muted = log.push(SECOND_US, anonymous(), ANONYMOUS_WRITE);
    assert_eq!((muted[0].state, muted[0].severity), (State::Open, Severity::Informational));
    assert_ne!(muted[0].alert_id, opened[0].alert_id);
}

#[test]
fn a_snapshot_under_other_rules_is_refused() {
    let (with, without) = (setup(pack(true)), setup(pack(false)));
    let none = Setup::from(Settings::default());
    let bytes = Engine::new("acme", with.clone()).snapshot();
    assert!(Engine::restore(&bytes, with).is_ok());
    for other in [without.clone(), none.clone()] {
        let error = Engine::restore(&bytes, other).unwrap_err();
        assert!(matches!(error, Error::RulesChanged { .. }), "{error}");
        assert!(error.to_string().contains("fold the log again from its start"), "{error}");
    }
    let bytes = Engine::new("acme", none).snapshot();
    assert!(matches!(Engine::restore(&bytes, without), Err(Error::RulesChanged { .. })));
}

#[test]
fn what_the_recorder_says_of_itself_matches_nothing() {
    let mut log = Log::new(pack(false));
    let control = Record { control: true, ..anonymous() };
    assert!(log.push(SECOND_US, control, ANONYMOUS_WRITE).is_empty());
}

#[test]
fn a_flood_of_names_is_closed_openly_and_stays_bounded() {
    let rules = Some(pack(false));
    let settings = Settings { episodes_open_max: 16, ..Settings::default() };
    let mut engine = Engine::new("acme", Setup { settings, rules });
    let mut alerts = Vec::new();
    for index in 0..200_i64 {
        let name = format!("tool-{index}");
        let time_us = START_US + index * SECOND_US;
        let record = Record {
            index,
            time_us,
            ingest_time_us: time_us,
            capability: Some(&name),
            risk: Some("low"),
            ..anonymous()
        };
        engine.observe(&record, &mut alerts).unwrap();
    }
    let of_rule = |state| {
        alerts.iter().filter(|alert| alert.rule_id == ANONYMOUS_WRITE && alert.state == state).count()
    };
    assert_eq!(of_rule(State::Open), 200, "a new entity is never left without its alert");
    assert!(of_rule(State::Closed) >= 184 && engine.evicted() > 0);
}
