//! Items to render: ordinary ones, one of each sort of rule, and hostile ones of whatever texts they are given.

use arrow::array::RecordBatch;
use schemas::Stream;
use schemas::rows::{Row, RowsBuilder};
use sinks::{Alert, BudgetVerdict, Confidence, Context, Digest, DigestCount, Event, Severity, State};

pub const ALERTS_LOG: &str = "plant-1/acme/alerts/detect";
pub const EVENTS_LOG: &str = "plant-1/acme/events/w1";
const START_US: i64 = 1_795_203_653_120_000;
const MINUTE_US: i64 = 60_000_000;

pub fn context() -> Context {
    Context {
        installation: "plant-1".to_owned(),
        version: "0.1.0".to_owned(),
        host: "recorder-1.example.net".to_owned(),
        external_url: Some("https://soc.example.net/alerts?tenant={tenant}&id={alert_id}".to_owned()),
        record_integrity: false,
    }
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// A count against its own past.
pub fn statistic() -> Alert {
    Alert {
        log: ALERTS_LOG.to_owned(),
        log_index: 41,
        ingest_time_us: START_US + 11 * MINUTE_US,
        event_id: "0f3c2a6b9d1e4f508192a3b4c5d6e7f8-0".to_owned(),
        time_us: START_US + 4 * MINUTE_US,
        tenant: "acme".to_owned(),
        kind: "alert".to_owned(),
        source: "detect/engine/7".to_owned(),
        session_id: "_detect".to_owned(),
        decision: "none".to_owned(),
        status: "ok".to_owned(),
        cut: Vec::new(),
        tags: Vec::new(),
        redactions: Vec::new(),
        payload_commitment: None,
        alert_id: "0f3c2a6b9d1e4f508192a3b4c5d6e7f8".to_owned(),
        sequence: 0,
        state: State::Open,
        rule_id: "denial_rate".to_owned(),
        title: "Agent has far more calls denied than usual".to_owned(),
        severity: Severity::High,
        confidence: Confidence::High,
        entity_type: "principal".to_owned(),
        entity: "billing-bot".to_owned(),
        environment: Some("prod".to_owned()),
        first_seen_us: START_US,
        last_seen_us: START_US + 4 * MINUTE_US,
        count: 27,
        statistic: "denied calls in five minutes".to_owned(),
        expected: Some(2),
        observed: Some(27),
        unit: "count".to_owned(),
        baseline: "entity".to_owned(),
        window_us: Some(5 * MINUTE_US),
        evidence: (9_101..9_117).collect(),
        evidence_log: EVENTS_LOG.to_owned(),
        observables: texts(&["agent_id=billing-bot"]),
        explanation: "principal billing-bot: 27 denied calls in five minutes, 2 are usual (p = 4e-11). Many denials at once mean an \
                      agent that probes what it may do, or a policy that blocks its work."
            .to_owned(),
        query: "SELECT * FROM events WHERE kind = 'call' AND (decision = 'deny' OR status = 'denied') AND agent_id = 'billing-bot' \
                AND log_index BETWEEN 9101 AND 9116"
            .to_owned(),
        runbook: "docs/runbooks/denial_rate.md".to_owned(),
        references: texts(&["AML.T0053", "MCP02"]),
        position: 9_117,
        ordinal: 0,
        budget_verdict: Some(BudgetVerdict::Within),
        log10_p_milli: Some(-10_398),
        muted_by: None,
        muted_until_us: None,
        mute_note: None,
        is_test: false,
    }
}

/// A ceiling from the configuration, in an update, with an address.
pub fn ceiling() -> Alert {
    Alert {
        log_index: 57,
        event_id: "aa00000000000000000000000000beef-3".to_owned(),
        alert_id: "aa00000000000000000000000000beef".to_owned(),
        sequence: 3,
        state: State::Updated,
        rule_id: "auth_failure_burst".to_owned(),
        title: "Burst of failed logins from one source".to_owned(),
        severity: Severity::Medium,
        confidence: Confidence::Medium,
        entity_type: "source".to_owned(),
        entity: "2001:db8::17".to_owned(),
        session_id: "sess-77".to_owned(),
        count: 64,
        statistic: "failed logins".to_owned(),
        expected: Some(10),
        observed: Some(64),
        baseline: "none".to_owned(),
        observables: texts(&["source_ip=2001:db8::17", "country=NL"]),
        explanation: "source 2001:db8::17: 64 failed logins in 300 s. Somebody tries passwords.".to_owned(),
        query: "SELECT * FROM events WHERE kind = 'auth' AND source_ip = '2001:db8::17'".to_owned(),
        runbook: "docs/runbooks/auth_failure_burst.md".to_owned(),
        references: texts(&["AML.T0012", "MCP07", "MCP01"]),
        budget_verdict: None,
        log10_p_milli: None,
        ..statistic()
    }
}

/// A rule in Sigma, closed, of a tool, with a sub-technique and one of ATT&CK.
pub fn sigma() -> Alert {
    Alert {
        log_index: 63,
        event_id: "5151515151515151515151515151515f-2".to_owned(),
        alert_id: "5151515151515151515151515151515f".to_owned(),
        sequence: 2,
        state: State::Closed,
        rule_id: "7d1f5d9e-6f1b-4b57-9f0e-2a53c0a1f001".to_owned(),
        title: "Secret read, then written elsewhere".to_owned(),
        severity: Severity::Critical,
        confidence: Confidence::Low,
        entity_type: "principal_tool".to_owned(),
        entity: "alice/files/read_file".to_owned(),
        environment: None,
        count: 2,
        statistic: "matches".to_owned(),
        expected: None,
        observed: Some(2),
        baseline: "none".to_owned(),
        window_us: None,
        evidence: vec![9_200, 9_210],
        observables: texts(&[
            "user_id=alice@example.com",
            "agent_id=desk-agent",
            "server=files",
            "capability=read_file",
        ]),
        explanation: "principal_tool alice/files/read_file: matched. A secret left its environment. Episode closed after three quiet windows."
            .to_owned(),
        query: "SELECT * FROM events WHERE user_id = 'alice@example.com' AND server = 'files'".to_owned(),
        runbook: "docs/runbooks/sigma.md".to_owned(),
        references: texts(&["AML.T0085.001", "AML.T0098", "T1552.001", "MCP10"]),
        budget_verdict: None,
        log10_p_milli: None,
        ..statistic()
    }
}

/// A source that has fallen silent, muted by somebody, over budget as well.
pub fn silent_source() -> Alert {
    Alert {
        log_index: 70,
        event_id: "77777777777777777777777777777777-1".to_owned(),
        alert_id: "77777777777777777777777777777777".to_owned(),
        sequence: 1,
        state: State::Updated,
        rule_id: "silent_source".to_owned(),
        title: "Source has fallen silent".to_owned(),
        severity: Severity::Informational,
        confidence: Confidence::Medium,
        entity_type: "source".to_owned(),
        entity: "gateway-2/collector/mapping@3".to_owned(),
        environment: None,
        count: 1,
        statistic: "records since the last one".to_owned(),
        expected: Some(240),
        observed: Some(0),
        window_us: Some(20 * MINUTE_US),
        evidence: Vec::new(),
        observables: texts(&["source=gateway-2/collector/mapping@3"]),
        explanation: "source gateway-2/collector/mapping@3: no record for 20 minutes, 240 are usual. What nobody records nobody can answer \
                      for: a collector has stopped, or somebody has stopped it. Muted by analyst-7."
            .to_owned(),
        query: "SELECT * FROM events WHERE source = 'gateway-2/collector/mapping@3'".to_owned(),
        runbook: "docs/runbooks/silent_source.md".to_owned(),
        references: texts(&["MCP08"]),
        budget_verdict: Some(BudgetVerdict::Over),
        log10_p_milli: Some(-4_100),
        muted_by: Some("analyst-7".to_owned()),
        muted_until_us: Some(START_US + 24 * 60 * MINUTE_US),
        mute_note: Some("The gateway is being moved, INC-12".to_owned()),
        ..statistic()
    }
}

/// What somebody never did before, as a test of the way alerts go.
pub fn test_of_novelty() -> Alert {
    Alert {
        log_index: 71,
        event_id: "99999999999999999999999999999999-0".to_owned(),
        alert_id: "99999999999999999999999999999999".to_owned(),
        rule_id: "new_network".to_owned(),
        title: "Agent comes from where it never came from".to_owned(),
        severity: Severity::Low,
        baseline: "peer".to_owned(),
        runbook: "docs/runbooks/new_network.md".to_owned(),
        observables: texts(&["agent_id=billing-bot", "source_ip=192.0.2.17", "client=desk/2.0"]),
        references: texts(&["AML.T0012", "AML.T0034.002", "MCP07"]),
        tags: texts(&["test"]),
        is_test: true,
        budget_verdict: None,
        log10_p_milli: None,
        ..statistic()
    }
}

pub fn alerts() -> [(&'static str, Alert); 5] {
    [
        ("statistic_open", statistic()),
        ("ceiling_updated", ceiling()),
        ("sigma_closed", sigma()),
        ("silent_source_muted", silent_source()),
        ("novelty_test", test_of_novelty()),
    ]
}

fn id(stream: Stream, name: &str) -> u16 {
    stream.column(name).unwrap_or_else(|| panic!("no column {name}")).id
}

/// One value of a row to be.
#[derive(Debug, Clone)]
pub enum Cell {
    Int(i64),
    Text(String),
    Texts(Vec<String>),
}

/// A batch of one row of `stream` with these cells.
pub fn batch(stream: Stream, cells: &[(&str, Cell)]) -> RecordBatch {
    let mut row = Row::new();
    for (name, cell) in cells {
        row = match cell {
            Cell::Int(int) => row.int(id(stream, name), *int),
            Cell::Text(text) => row.text(id(stream, name), text),
            Cell::Texts(texts) => row.texts(id(stream, name), texts),
        };
    }
    let mut rows = RowsBuilder::entries(stream);
    rows.push(&row).expect("the row fits its schema");
    rows.finish().expect("a batch")
}

/// An event of that kind with these columns beside what every event has.
pub fn event(index: i64, kind: &str, columns: &[(&str, Cell)]) -> Event {
    let mut cells = vec![
        ("log_index", Cell::Int(index)),
        ("ingest_time", Cell::Int(START_US + 1_000)),
        ("event_id", Cell::Text(format!("evt-{index}"))),
        ("time", Cell::Int(START_US)),
        ("tenant", Cell::Text("acme".to_owned())),
        ("kind", Cell::Text(kind.to_owned())),
        ("source", Cell::Text("http/token-3/canonical/1".to_owned())),
        ("session_id", Cell::Text("sess-1".to_owned())),
        ("decision", Cell::Text("none".to_owned())),
        ("status", Cell::Text("ok".to_owned())),
    ];
    for (name, cell) in columns {
        cells.retain(|(known, _)| known != name);
        cells.push((name, cell.clone()));
    }
    let batch = batch(Stream::Events, &cells);
    let mut events = Event::read(EVENTS_LOG, &batch).expect("a good row");
    events.remove(0).expect("no control entry")
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

pub fn events() -> Vec<(&'static str, Event)> {
    let call = [
        ("environment", text("prod")),
        ("observer", text("gateway")),
        ("user_id", text("alice@example.com")),
        ("agent_id", text("desk-agent")),
        ("client", text("desk/2.0")),
        ("model", text("model-4")),
        ("source_ip", text("10.0.0.42")),
        ("call_id", text("call-9")),
        ("request_id", text("3")),
        ("trace_id", text("0af7651916cd43dd8448eb211c80319c")),
        ("span_id", text("00f067aa0ba902b7")),
        ("method", text("tools/call")),
        ("server", text("weather")),
        ("server_version", text("1.0.0")),
        ("capability_type", text("tool")),
        ("capability", text("get_weather")),
        ("action", text("read")),
        ("risk", text("low")),
        ("decision", text("allow")),
        ("policy_id", text("pol-7")),
        ("policy_version", text("3")),
        ("latency_us", Cell::Int(12_400)),
        ("input_tokens", Cell::Int(210)),
        ("output_tokens", Cell::Int(31)),
        ("destinations", Cell::Texts(texts(&["get_weather:city:text:9f", "get_weather:unit:text:1a"]))),
        ("tags", Cell::Texts(texts(&["late"]))),
    ];
    let denied = [
        ("agent_id", text("desk-agent")),
        ("source_ip", text("not an address")),
        ("method", text("tools/call")),
        ("server", text("files")),
        ("capability", text("delete_file")),
        ("action", text("destructive")),
        ("decision", text("deny")),
        ("status", text("denied")),
        ("error_class", text("policy")),
        ("error_code", text("-32003")),
        ("trace_id", text("0af7651916cd43dd8448eb211c80319d")),
        ("span_id", text("00f067aa0ba902b8")),
    ];
    let login = [
        ("user_id", text("alice@example.com")),
        ("auth_method", text("oidc")),
        ("issuer", text("https://id.example.com")),
        ("credential_id", text("cred-5")),
        ("credential_expires", Cell::Int(START_US + 60 * MINUTE_US)),
        ("method", text("login")),
        ("status", text("error")),
        ("source_ip", text("2001:db8::1")),
    ];
    let approval = [
        ("approval_id", text("app-1")),
        ("approval_status", text("approved")),
        ("approver", text("bob")),
        ("approval_wait_ms", Cell::Int(4_200)),
    ];
    vec![
        ("call", event(9_300, "call", &call)),
        ("call_denied", event(9_301, "call", &denied)),
        ("list", event(9_302, "list", &[("method", text("tools/list")), ("server", text("weather"))])),
        ("auth", event(9_303, "auth", &login)),
        ("auth_bare", event(9_304, "auth", &[])),
        ("approval", event(9_305, "approval", &approval)),
        ("session", event(9_306, "session", &[("method", text("start"))])),
    ]
}

pub fn digest() -> Digest {
    let count = |rule_id: &str, severity, state, is_over_budget, count| DigestCount {
        rule_id: rule_id.to_owned(),
        severity,
        state,
        is_over_budget,
        count,
    };
    Digest {
        tenant: "acme".to_owned(),
        log: ALERTS_LOG.to_owned(),
        log_index: 99,
        day_start_us: 1_795_132_800_000_000,
        day_end_us: 1_795_219_200_000_000,
        counts: vec![
            count("denial_rate", Severity::High, State::Open, false, 2),
            count("denial_rate", Severity::Informational, State::Open, true, 31),
            count("silent_source", Severity::Medium, State::Closed, false, 1),
        ],
    }
}

/// An alert whose every text is what `text` gives next, and whose numbers are what `number` does.
pub fn hostile_alert(text: &mut dyn FnMut() -> String, number: &mut dyn FnMut() -> i64) -> Alert {
    let pick = number().unsigned_abs();
    let state = [State::Open, State::Updated, State::Closed][(pick % 3) as usize];
    let severity =
        [Severity::Informational, Severity::Low, Severity::Medium, Severity::High, Severity::Critical]
            [(pick / 3 % 5) as usize];
    let confidence = [Confidence::Low, Confidence::Medium, Confidence::High][(pick / 15 % 3) as usize];
    let baseline = ["none", "entity", "peer"][(pick / 45 % 3) as usize];
    Alert {
        log: ALERTS_LOG.to_owned(),
        log_index: number().unsigned_abs() >> 1,
        ingest_time_us: number() / 1_000,
        event_id: text(),
        time_us: number() / 1_000,
        tenant: text(),
        kind: "alert".to_owned(),
        source: text(),
        session_id: text(),
        decision: "none".to_owned(),
        status: "ok".to_owned(),
        cut: if pick.is_multiple_of(7) { texts(&["title", "observables"]) } else { Vec::new() },
        tags: if pick.is_multiple_of(11) { texts(&["test"]) } else { vec![text()] },
        redactions: vec![text()],
        payload_commitment: None,
        alert_id: text(),
        sequence: number(),
        state,
        rule_id: text(),
        title: text(),
        severity,
        confidence,
        entity_type: text(),
        entity: text(),
        environment: (pick.is_multiple_of(2)).then(&mut *text),
        first_seen_us: number() / 1_000,
        last_seen_us: number() / 1_000,
        count: number(),
        statistic: text(),
        expected: (!pick.is_multiple_of(3)).then(&mut *number),
        observed: (!pick.is_multiple_of(5)).then(&mut *number),
        unit: text(),
        baseline: baseline.to_owned(),
        window_us: (!pick.is_multiple_of(4)).then(&mut *number),
        evidence: vec![number(), number()],
        evidence_log: text(),
        observables: vec![
            format!("user_id={}", text()),
            format!("agent_id={}", text()),
            format!("source_ip={}", text()),
            format!("server={}", text()),
            format!("capability={}", text()),
            format!("client={}", text()),
            text(),
        ],
        explanation: text(),
        query: text(),
        runbook: text(),
        references: vec![text(), "AML.T0034.002".to_owned(), text()],
        position: number(),
        ordinal: number(),
        budget_verdict: [None, Some(BudgetVerdict::Within), Some(BudgetVerdict::Over)][(pick % 3) as usize],
        log10_p_milli: (pick.is_multiple_of(2)).then(&mut *number),
        muted_by: (pick.is_multiple_of(7)).then(&mut *text),
        muted_until_us: (pick.is_multiple_of(7)).then(|| number() / 1_000),
        mute_note: (pick.is_multiple_of(14)).then(&mut *text),
        is_test: pick.is_multiple_of(11),
    }
}

/// Such an event, of a row that its schema takes: texts are cut to what their columns hold.
pub fn hostile_event(text: &mut dyn FnMut() -> String, number: &mut dyn FnMut() -> i64) -> Event {
    let pick = number().unsigned_abs();
    let kinds = schemas::vocabulary::KIND.values;
    let mut cells = Vec::new();
    for column in Stream::Events.entry_columns() {
        let mut within = |part: usize| {
            let text = text();
            text[..text.floor_char_boundary(column.bytes_max / part)].to_owned()
        };
        let cell = match (column.name, column.kind) {
            ("control" | "payload_commitment", _) => continue,
            ("log_index", _) => Cell::Int(number().unsigned_abs() as i64 >> 1),
            ("kind", _) => Cell::Text(kinds[(pick % kinds.len() as u64) as usize].to_owned()),
            (_, schemas::ColumnType::Timestamp) => Cell::Int(number() / 1_000),
            (_, schemas::ColumnType::Int64) => Cell::Int(number()),
            (_, schemas::ColumnType::Utf8) => Cell::Text(within(1)),
            (_, schemas::ColumnType::ListUtf8) => Cell::Texts(vec![within(4), within(4)]),
            (name, kind) => panic!("column {name} of type {kind:?}"),
        };
        if column.required || number() % 3 != 0 {
            cells.push((column.name, cell));
        }
    }
    let batch = batch(Stream::Events, &cells);
    let mut events = Event::read(EVENTS_LOG, &batch).expect("a good row");
    events.remove(0).expect("no control entry")
}
