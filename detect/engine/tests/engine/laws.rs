//! The determinism law, over random logs that are dense enough in trouble to open and close episodes.

mod delivery;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use engine::{Alert, Engine, Record, Settings, Setup};
use proptest::prelude::*;
use sigma::{Options, Rules};

use crate::stream::{SECOND_US, START_US, call};

/// The shipped rules, with lists so that all of them are in force, and correlations that these logs meet.
static PACK: LazyLock<Arc<Rules>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (rules, lists) = (root.join("tests/engine/rules"), root.join("../rules/tests/lists"));
    let options = Options { rules: Some(rules), lists: Some(lists), ..Options::default() };
    Arc::new(Rules::load(&options).unwrap())
});

const KINDS: [&str; 9] = ["call", "call", "call", "auth", "auth", "approval", "session", "output", "list"];
const METHODS: [Option<&str>; 4] = [Some("login"), Some("revoke"), Some("end"), None];
const NAMES: [Option<&str>; 4] = [Some("one"), Some("two"), Some("th'ree"), None];
const DECISIONS: [&str; 5] = ["allow", "deny", "none", "require_approval", "unknown"];
const STATUSES: [&str; 5] = ["ok", "error", "denied", "pending", "timeout"];
const APPROVALS: [Option<&str>; 5] =
    [Some("approved"), Some("requested"), Some("rejected"), Some("expired"), None];
const HASHES: [Option<&str>; 3] = [Some("h1"), Some("h2"), None];
const LATENCIES: [Option<i64>; 5] = [Some(100), Some(5_000_000), Some(90_000_000), Some(-1), None];

const OBSERVERS: [Option<&str>; 4] = [Some("gateway"), Some("tap"), Some("host"), None];
const NUMBERS: [i64; 8] = [0, 1, 2, 3, 50, 2_000, 1 << 40, -1];
const WAITS: [Option<i64>; 5] = [Some(3), Some(90_000), Some(i64::MAX), Some(-1), None];
const SIZES: [Option<i64>; 4] = [Some(100), Some(200_000), Some(i64::MAX), None];
const OUTPUTS: [Option<&str>; 4] = [Some("quarantine"), Some("pass"), Some("block"), None];

const ADDRESSES: [Option<&str>; 5] =
    [Some("203.0.113.7"), Some("198.51.100.9"), Some("2001:db8::1"), Some("10.0.0.1"), None];
const COUNTRIES: [Option<&str>; 3] = [Some("NL"), Some("JP"), None];
const CLIENTS: [Option<&str>; 3] = [Some("curl/8.1"), Some("Mozilla/5.0 (Windows) Firefox/130"), None];
const WORKFLOWS: [Option<&str>; 3] = [Some("refund"), Some("triage"), None];
const DESTINATIONS: [&[&str]; 4] =
    [&[], &["t:to:recipient:1"], &["t:to:url:2", "t:to:host:3"], &["t:to:recipient:4", "odd"]];

/// A record of which each choice is a byte, so that cases shrink; times are in seconds.
#[derive(Debug, Clone)]
struct Draft {
    choices: [u8; 24],
    step_s: i64,
    late_s: i64,
}

fn pick<T: Copy>(from: &[T], choice: u8) -> T {
    from[usize::from(choice) % from.len()]
}

impl Draft {
    fn record(&self, index: i64, now_us: i64) -> Record<'static> {
        let c = self.choices;
        Record {
            index,
            ingest_time_us: now_us,
            time_us: now_us - self.late_s * SECOND_US,
            kind: pick(&KINDS, c[0] / 2),
            method: pick(&METHODS, c[1]),
            user_id: pick(&NAMES, c[2]),
            agent_id: pick(&NAMES, c[3]),
            client: pick(&NAMES, c[4]),
            credential_id: pick(&NAMES, c[5]),
            source_ip: if c[6] < 208 { pick(&NAMES, c[6]) } else { pick(&ADDRESSES, c[6]) },
            session_id: pick(&["s-1", "s-2", "s-3"], c[16]),
            workflow: pick(&WORKFLOWS, c[16] / 16),
            destinations: pick(&DESTINATIONS, c[17]),
            country: pick(&COUNTRIES, c[18]),
            user_agent: pick(&CLIENTS, c[18] / 16),
            call_id: pick(&NAMES, c[7]),
            server: pick(&NAMES, c[8]),
            capability: pick(&NAMES[..2], c[8] / 16),
            action: pick(&[Some("write"), Some("read"), Some("destructive")], c[9]),
            risk: pick(&[Some("high"), Some("low")], c[9] / 2),
            decision: pick(&DECISIONS, c[10]),
            status: pick(&STATUSES, c[11]),
            approval_id: pick(&NAMES, c[12]),
            approval_status: pick(&APPROVALS, c[13]),
            approver: pick(&NAMES, c[13] / 16),
            request_hash: pick(&HASHES, c[14]),
            latency_us: pick(&LATENCIES, c[14] / 16),
            tool_hash: pick(&HASHES, c[19]),
            observer: pick(&OBSERVERS, c[20]),
            source: pick(&["test/1", "test/2"], c[20] / 16),
            // Mostly the next one or near it, now and then one from the beginning or far ahead.
            source_seq: match c[21] {
                0..160 => Some(index + pick(&NUMBERS[..4], c[22])),
                160..240 => Some(pick(&NUMBERS, c[22]) + index / 4),
                _ => None,
            },
            approval_wait_ms: pick(&WAITS, c[22] / 16),
            response_bytes: pick(&SIZES, c[23]),
            output_action: pick(&OUTPUTS, c[23] / 16),
            control: c[15] < 8,
            ..call()
        }
    }
}

fn draft() -> impl Strategy<Value = Draft> {
    let step_s =
        prop_oneof![40 => 0..5_i64, 6 => 30..300_i64, 1 => 3_000..9_000_i64, 1 => 80_000..300_000_i64];
    let late_s = prop_oneof![8 => Just(0_i64), 2 => -600..2_000_i64];
    (any::<[u8; 24]>(), step_s, late_s).prop_map(|(choices, step_s, late_s)| Draft {
        choices,
        step_s,
        late_s,
    })
}

fn records(drafts: &[Draft]) -> Vec<Record<'static>> {
    let mut now_us = START_US;
    let number = |(index, draft): (usize, &Draft)| {
        now_us += draft.step_s * SECOND_US;
        draft.record(index as i64, now_us)
    };
    drafts.iter().enumerate().map(number).collect()
}

/// Caps and thresholds so low that eviction, early closing and every rule take part.
fn tight() -> Settings {
    let mut settings = Settings { entities_max: 4, episodes_open_max: 3, ..Settings::default() };
    settings.unapproved_high_risk_write.approvals_max = 2;
    settings.unapproved_high_risk_write.calls_max = 2;
    settings.revoked_credential_use.credentials_max = 2;
    settings.revoked_credential_use.uses_max = 2;
    settings.auth_failure_burst.failures_min = 2;
    settings.denial_ratio_ceiling.calls_min = 3;
    settings.auth_failure_rate_ceiling.attempts_min = 4;
    settings.p95_latency_ceiling.calls_min = 3;
    settings.tool_error_budget.calls_min = 3;
    settings.quarantine_ratio_ceiling.outputs_min = 4;
    settings.approval_wait.approvals_max = 4;
    settings.approval_too_fast.approvals_min = 2;
    settings.approval_wait_ceiling.approvals_min = 2;
    settings.sequence_gap.runs_max = 4;
    settings.sequence_gap.missing_min = 2;
    settings
}

fn fold(engine: &mut Engine, records: &[Record<'_>]) -> Vec<Alert> {
    let mut alerts = Vec::new();
    records.iter().for_each(|record| engine.observe(record, &mut alerts).unwrap());
    alerts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn folding_and_restoring_commute(drafts in prop::collection::vec(draft(), 1..160), stride in 1_usize..7) {
        let records = records(&drafts);
let setups = [Setup { settings: tight(), rules: Some(PACK.clone()) }, Settings::default().into()];
        for setup in setups {
            let mut whole = Engine::new("acme", setup.clone());
            let alerts = fold(&mut whole, &records);
            let end = whole.snapshot();
            let mut first = Engine::new("acme", setup.clone());
            let mut before = Vec::new();
            for split in 0..=records.len() {
                if split % stride == 0 || split == records.len() {
                    let bytes = first.snapshot();
                    let mut second = Engine::restore(&bytes, setup.clone()).unwrap();
                    prop_assert_eq!(&second.snapshot(), &bytes);
                    let after = fold(&mut second, &records[split..]);
                    prop_assert!(before.iter().chain(&after).eq(alerts.iter()), "alerts differ at split {}", split);
                    prop_assert_eq!(&second.snapshot(), &end, "snapshots differ at split {}", split);
                }
                if let Some(record) = records.get(split) {
                    before.extend(fold(&mut first, &[*record]));
                }
            }
        }
    }

    #[test]
    fn episodes_are_well_formed(drafts in prop::collection::vec(draft(), 1..400)) {
        let mut engine = Engine::new("acme", tight());
        let mut alerts = fold(&mut engine, &records(&drafts));
        let index = engine.next_index();
        let end = Record { index, control: true, time_us: i64::MAX, ingest_time_us: i64::MAX, ..call() };
        engine.observe(&end, &mut alerts).unwrap();
        prop_assert_eq!(engine.episodes_open(), 0);
        let mut episodes = std::collections::BTreeMap::<&str, Vec<&Alert>>::new();
        alerts.iter().for_each(|alert| episodes.entry(&alert.alert_id).or_default().push(alert));
        for emissions in episodes.values() {
            for (sequence, alert) in emissions.iter().enumerate() {
                prop_assert_eq!(alert.sequence, sequence as i64);
                prop_assert!(alert.first_seen_us <= alert.last_seen_us);
                prop_assert!(alert.evidence.is_sorted() && !alert.evidence.is_empty());
                prop_assert_eq!(alert.state == engine::State::Open, sequence == 0);
                prop_assert_eq!(alert.state == engine::State::Closed, sequence + 1 == emissions.len());
            }
        }
        prop_assert!(alerts.iter().map(|alert| (alert.position, alert.ordinal)).is_sorted());
    }
}

#[test]
fn the_random_logs_meet_every_rule() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let drafts = prop::collection::vec(draft(), 5_000).new_tree(&mut runner).unwrap().current();
    let mut engine = Engine::new("acme", Setup { settings: tight(), rules: Some(PACK.clone()) });
    let alerts = fold(&mut engine, &records(&drafts));
    let told = PACK.rules().iter().filter(|rule| alerts.iter().any(|alert| alert.rule_id == rule.id));
    let told: Vec<_> = told.collect();
    let correlations = told.iter().filter(|rule| rule.is_correlation()).count();
    let names = || told.iter().map(|rule| &rule.title).collect::<Vec<_>>();
    assert!(correlations >= 2 && told.len() - correlations >= 4, "{:?}", names());
    // What is held against the past needs one, and what these records do not say has files of its own.
    let of_the_past = [
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
        "new_network",
    ];
    for rule in engine::RULE_IDS.into_iter().filter(|rule| !of_the_past.contains(rule)) {
        assert!(alerts.iter().any(|alert| alert.rule_id == rule), "no alert of {rule}");
    }
    assert!(engine.evicted() > 0);
}

#[test]
fn snapshots_of_other_settings_are_refused() {
    let bytes = Engine::new("acme", Settings::default()).snapshot();
    let error = Engine::restore(&bytes, tight()).unwrap_err();
    assert!(error.to_string().contains("fold the log again from its start"), "{error}");
    assert!(Engine::restore(&bytes, Settings::default()).is_ok());
}
