//! Whatever stands in an alert: JSON gives every value back exactly, a line every value as it is shown, no value makes a pair of its own, and what
//! was cut is named.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::limits::{
    SINK_CUT_MARK, SINK_EXTERNAL_ID_BYTES_MAX, SINK_HEADER_BYTES_MAX, SINK_LINE_BYTES_MAX,
    SINK_TEXT_BYTES_MAX,
};
use serde_json::Value;
use sinks::{Alert, Context, Event, Format, Item, KillSwitch, State, kill_switch, render};

use crate::fixture::{self, hostile_alert, hostile_event};
use crate::guides;
use crate::pieces::{PIECES, is_hidden, shown};

/// Keys of CEF's dictionary that we use, and ours.
const CEF_KEYS: [&str; 38] = [
    "act",
    "c6a2",
    "c6a2Label",
    "cat",
    "cn1",
    "cn1Label",
    "cn2",
    "cn2Label",
    "cn3",
    "cn3Label",
    "cnt",
    "cs1",
    "cs1Label",
    "cs2",
    "cs2Label",
    "cs3",
    "cs3Label",
    "cs4",
    "cs4Label",
    "cs5",
    "cs5Label",
    "cs6",
    "cs6Label",
    "destinationServiceName",
    "deviceExternalId",
    "deviceFacility",
    "dproc",
    "dvchost",
    "end",
    "externalId",
    "msg",
    "outcome",
    "request",
    "rt",
    "shost",
    "src",
    "start",
    "suid",
];

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..9).prop_map(|pieces| pieces.concat()),
        1 => (proptest::sample::select(PIECES.to_vec()), 200..1500usize).prop_map(|(piece, times)| piece.repeat(times)),
    ]
}

fn sources() -> impl Strategy<Value = (Vec<String>, Vec<i64>)> {
    (proptest::collection::vec(hostile_text(), 7..40), proptest::collection::vec(any::<i64>(), 5..30))
}

fn alert_of((texts, numbers): &(Vec<String>, Vec<i64>)) -> Alert {
    let (mut texts, mut numbers) = (texts.iter().cycle(), numbers.iter().cycle());
    hostile_alert(&mut || texts.next().unwrap().clone(), &mut || *numbers.next().unwrap())
}

fn event_of((texts, numbers): &(Vec<String>, Vec<i64>)) -> Event {
    let (mut texts, mut numbers) = (texts.iter().cycle(), numbers.iter().cycle());
    hostile_event(&mut || texts.next().unwrap().clone(), &mut || *numbers.next().unwrap())
}

fn text(format: Format, item: Item<'_>, context: &Context) -> String {
    let message = render(format, item, context);
    assert!(message.id.len() <= 256 && message.key.len() <= 256);
    String::from_utf8(message.body.to_vec()).unwrap()
}

fn json(format: Format, item: Item<'_>) -> Value {
    let text = text(format, item, &fixture::context());
    assert!(!text.contains(is_hidden), "{format:?} holds what hides");
    serde_json::from_str(&text).unwrap()
}

/// What stands under a key is `text`, all of it or its beginning with a mark, and then the key is among those that were cut.
fn check(
    key: &str,
    found: Option<&String>,
    text: &str,
    bytes_max: usize,
    cut: &str,
) -> Result<(), TestCaseError> {
    let is_cut = cut.split(',').any(|name| name == key) || cut.ends_with(SINK_CUT_MARK);
    match found {
        None => prop_assert!(text.is_empty() || is_cut, "{key} is missing in silence"),
        Some(found) if text.len() <= bytes_max => prop_assert_eq!(found, text, "{}", key),
        Some(found) => {
            let kept = found.strip_suffix(SINK_CUT_MARK);
            prop_assert!(is_cut && kept.is_some_and(|kept| text.starts_with(kept)), "{}: {}", key, found);
            prop_assert!(found.len() <= bytes_max);
        }
    }
    Ok(())
}

/// A field of a header that says nothing. A longer one says that it was cut.
fn is_blank(value: &str) -> bool {
    value.trim().is_empty() && value.len() <= SINK_HEADER_BYTES_MAX
}

/// A value of CEF as it is shown: a space at either end is.
fn trimmed(shown: String) -> String {
    let mut out = shown;
    if out.starts_with(' ') {
        out.replace_range(..1, "\\u0020");
    }
    if out.ends_with(' ') {
        out.replace_range(out.len() - 1.., "\\u0020");
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn json_gives_every_value_back(sources in sources()) {
        let alert = alert_of(&sources);
        let read = json(Format::Json, Item::Alert(&alert));
        for (key, text) in [
            ("event_id", &alert.event_id), ("tenant", &alert.tenant), ("source", &alert.source),
            ("session_id", &alert.session_id), ("alert_id", &alert.alert_id), ("rule_id", &alert.rule_id),
            ("title", &alert.title), ("entity_type", &alert.entity_type), ("entity", &alert.entity),
            ("statistic", &alert.statistic), ("unit", &alert.unit), ("evidence_log", &alert.evidence_log),
            ("explanation", &alert.explanation), ("query", &alert.query), ("runbook", &alert.runbook),
        ] {
            prop_assert_eq!(read[key].as_str(), Some(text.as_str()), "{}", key);
        }
        prop_assert_eq!(&read["observables"], &serde_json::json!(alert.observables));
        prop_assert_eq!(&read["references"], &serde_json::json!(alert.references));
        prop_assert_eq!(&read["evidence"], &serde_json::json!(alert.evidence));
        prop_assert_eq!(read["severity"].as_str(), Some(alert.severity.word()));
        prop_assert_eq!(read["count"].as_i64(), Some(alert.count));
        prop_assert_eq!(read["expected"].as_i64(), alert.expected);
        let event = json(Format::CloudEvents, Item::Alert(&alert));
        prop_assert_eq!(&event["data"], &read);
    }

    #[test]
    fn ocsf_and_ecs_give_back_what_they_carry(sources in sources()) {
        let alert = alert_of(&sources);
        let ocsf = json(Format::Ocsf, Item::Alert(&alert));
        prop_assert_eq!(ocsf["finding_info"]["uid"].as_str(), Some(alert.alert_id.as_str()));
        prop_assert_eq!(ocsf["finding_info"]["desc"].as_str(), Some(alert.explanation.as_str()));
        prop_assert_eq!(ocsf["unmapped"]["entity"].as_str(), Some(alert.entity.as_str()));
        prop_assert_eq!(&ocsf["unmapped"]["observables"], &serde_json::json!(alert.observables));
        prop_assert_eq!(ocsf["type_uid"].as_i64(), Some(200_400 + ocsf["activity_id"].as_i64().unwrap()));
        let ecs = json(Format::Ecs, Item::Alert(&alert));
        prop_assert_eq!(ecs["labels"]["entity"].as_str(), Some(alert.entity.as_str()));
        prop_assert_eq!(ecs["rule"]["name"].as_str(), Some(alert.title.as_str()));
        prop_assert_eq!(ecs["labels"]["alert_id"].as_str(), Some(alert.alert_id.as_str()));
        prop_assert_eq!(&ecs["labels"]["observables"], &serde_json::json!(alert.observables));
    }

    #[test]
    fn no_value_forges_a_pair_of_cef(sources in sources()) {
        let alert = alert_of(&sources);
        let line = text(Format::Cef, Item::Alert(&alert), &fixture::context());
        prop_assert!(line.len() <= SINK_LINE_BYTES_MAX && !line.contains(is_hidden));
        let read = guides::cef(&line).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&read.header[..4], ["0", "Tachograph", "Recorder", "0.1.0"]);
        let known = |key: &String| CEF_KEYS.contains(&key.as_str()) || key == "suser" || key.starts_with("TachographRecorder");
        prop_assert!(read.pairs.keys().all(known), "{:?}", read.pairs.keys());
        let cut = read.pairs.get("cs6").cloned().unwrap_or_default();
        for (at, key, value) in [(4, "class", &alert.rule_id), (5, "name", &alert.title)] {
            let value = shown(value, &[]);
            let value = if is_blank(&value) { "-".to_owned() } else { value };
            check(key, Some(&read.header[at]), &value, SINK_HEADER_BYTES_MAX, &cut)?;
        }
        for (key, value, bytes_max) in [
            ("externalId", &alert.alert_id, SINK_EXTERNAL_ID_BYTES_MAX),
            ("msg", &alert.explanation, SINK_TEXT_BYTES_MAX),
            ("deviceFacility", &alert.tenant, SINK_TEXT_BYTES_MAX),
            ("cs3", &alert.statistic, 4_000),
            ("cs5", &alert.query, 4_000),
            ("TachographRecorderUnit", &alert.unit, SINK_TEXT_BYTES_MAX),
            ("TachographRecorderRunbook", &alert.runbook, SINK_TEXT_BYTES_MAX),
        ] {
            check(key, read.pairs.get(key), &trimmed(shown(value, &['\n', '\r'])), bytes_max, &cut)?;
        }
        let state = read.pairs.get("cs1").map(String::as_str);
        prop_assert_eq!(state, Some(alert.state.word()));
    }

    #[test]
    fn no_value_forges_a_pair_of_leef(sources in sources()) {
        let alert = alert_of(&sources);
        let line = text(Format::Leef, Item::Alert(&alert), &fixture::context());
        prop_assert!(line.len() <= SINK_LINE_BYTES_MAX && !line.replace('\t', "").contains(is_hidden));
        let read = guides::leef(&line).map_err(TestCaseError::fail)?;
        let cut = read.pairs.get("cut").cloned().unwrap_or_default();
        let rule = shown(&alert.rule_id, &[]).replace('|', "\\u007c");
        let rule = if is_blank(&rule) { "-".to_owned() } else { rule };
        check("eventId", Some(&read.header[4]), &rule, SINK_HEADER_BYTES_MAX, &cut)?;
        for (key, value) in [
            ("alertId", &alert.alert_id), ("title", &alert.title), ("tenant", &alert.tenant), ("entity", &alert.entity),
            ("statistic", &alert.statistic), ("explanation", &alert.explanation), ("query", &alert.query),
        ] {
            check(key, read.pairs.get(key), &shown(value, &[]), SINK_TEXT_BYTES_MAX, &cut)?;
        }
        prop_assert_eq!(read.pairs.get("state").map(String::as_str), Some(alert.state.word()));
        let severities = BTreeMap::from([("informational", "1"), ("low", "3"), ("medium", "5"), ("high", "8"), ("critical", "10")]);
        prop_assert_eq!(read.pairs.get("sev").map(String::as_str), Some(severities[alert.severity.word()]));
    }

    #[test]
    fn events_are_no_better(sources in sources()) {
        let event = event_of(&sources);
        let read = json(Format::Json, Item::Event(&event));
        for (name, value) in event.columns() {
            if let sinks::Value::Text(text) = value {
                prop_assert_eq!(read[name].as_str(), Some(text.as_str()), "{}", name);
            }
        }
        for format in [Format::Ocsf, Format::Ecs, Format::CloudEvents, Format::Chat] {
            json(format, Item::Event(&event));
        }
        let context = fixture::context();
        let line = text(Format::Cef, Item::Event(&event), &context);
        let cef = guides::cef(&line).map_err(TestCaseError::fail)?;
        prop_assert!(line.len() <= SINK_LINE_BYTES_MAX && !line.contains(is_hidden));
        prop_assert_eq!(cef.header[4].as_str(), event.kind.as_str());
        let line = text(Format::Leef, Item::Event(&event), &context);
        let leef = guides::leef(&line).map_err(TestCaseError::fail)?;
        prop_assert!(line.len() <= SINK_LINE_BYTES_MAX);
        prop_assert_eq!(leef.pairs["sev"].as_str(), "1");
    }

    #[test]
    fn a_chat_reads_nothing_in_a_value(sources in sources()) {
        let alert = alert_of(&sources);
        let read = json(Format::Chat, Item::Alert(&alert));
        let text = read["text"].as_str().unwrap();
        for line in text.lines().filter(|line| !line.starts_with("https://")) {
            prop_assert!(line.matches('`').count() % 2 == 0, "{}", line);
            // What is outside of the quotes is ours.
            let outside: String = line.split('`').step_by(2).collect();
            prop_assert!(outside.chars().all(|c| c.is_ascii_alphanumeric() || " ,:-._".contains(c)), "{}", outside);
            prop_assert!(!line.contains(['<', '>']) && !line.contains("@here"));
        }
        prop_assert!(text.lines().count() == 6);
    }

    #[test]
    fn a_kill_switch_names_the_entity_exactly(sources in sources(), holds_s in any::<u32>(), is_dry_run in any::<bool>()) {
        let alert = alert_of(&sources);
        let message = kill_switch(&alert, &fixture::context(), KillSwitch { holds_s, is_dry_run });
        let read: Value = serde_json::from_slice(&message.body).unwrap();
        prop_assert_eq!(read["id"].as_str(), Some(alert.alert_id.as_str()));
        prop_assert_eq!(read["dry_run"].as_bool(), Some(is_dry_run || alert.is_test));
        let parts = read["entity"]["parts"].as_array().unwrap();
        let found: Vec<String> = parts
            .iter()
            .map(|part| format!("{}={}", part["column"].as_str().unwrap(), part["value"].as_str().unwrap()))
            .collect();
        let expected: Vec<&String> = alert.observables.iter().filter(|text| text.contains('=')).collect();
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        let is_whole = !alert.cut.iter().any(|name| name == "observables") && found.len() == alert.observables.len();
        prop_assert_eq!(read["entity"]["complete"].as_bool(), Some(is_whole));
    }
}

#[test]
fn what_is_inexact_says_so() {
    let cut = format!("agent_id=abc...blake3:{}", "0a".repeat(16));
    let alert = Alert {
        observables: vec![cut, "agent_id=a".to_owned(), "colour=red".to_owned()],
        ..fixture::sigma()
    };
    let switch = KillSwitch { holds_s: 60, is_dry_run: false };
    let read: Value = serde_json::from_slice(&kill_switch(&alert, &fixture::context(), switch).body).unwrap();
    let exact: Vec<bool> = read["entity"]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["exact"].as_bool().unwrap())
        .collect();
    assert_eq!(exact, [false, true, false]);
    assert_eq!(read["expires_at"], "2026-11-20T19:52:53.120000Z");
    assert_eq!(read["dry_run"], false);
}

#[test]
fn a_text_of_a_megabyte_breaks_nothing() {
    for piece in PIECES {
        let length = if matches!(piece, "=" | "\u{202e}") { 1 << 20 } else { 32 << 10 };
        let long = piece.repeat(length / piece.len());
        let alert = hostile_alert(&mut || long.clone(), &mut || 1);
        assert_eq!(json(Format::Json, Item::Alert(&alert))["title"].as_str(), Some(long.as_str()));
        json(Format::Ocsf, Item::Alert(&alert));
        json(Format::Ecs, Item::Alert(&alert));
        let context = fixture::context();
        let line = text(Format::Cef, Item::Alert(&alert), &context);
        let read = guides::cef(&line).unwrap();
        assert!(line.len() <= SINK_LINE_BYTES_MAX && read.pairs["cs6"].contains("msg"), "{piece:?}");
        assert_eq!(read.pairs["cs6Label"], "cut");
        let line = text(Format::Leef, Item::Alert(&alert), &context);
        assert!(
            line.len() <= SINK_LINE_BYTES_MAX && guides::leef(&line).unwrap().pairs["cut"].contains("title")
        );
        let chat = text(Format::Chat, Item::Alert(&alert), &Context { external_url: None, ..context });
        assert!(chat.len() < 64 << 10, "{piece:?}: {}", chat.len());
    }
}

#[test]
fn a_link_says_nothing_but_its_ids() {
    let alert =
        Alert { alert_id: "a/../&x=\n#".to_owned(), tenant: "{alert_id}".to_owned(), ..fixture::statistic() };
    let read = json(Format::Json, Item::Alert(&alert));
    assert_eq!(read["url"], "https://soc.example.net/alerts?tenant=%7Balert_id%7D&id=a%2F..%2F%26x%3D%0A%23");
    let without = Context { external_url: None, ..fixture::context() };
    assert!(!text(Format::Json, Item::Alert(&alert), &without).contains("\"url\""));
}

#[test]
fn an_id_is_the_same_in_every_format_and_another_for_every_emission() {
    let (alert, context) = (fixture::statistic(), fixture::context());
    let ids: Vec<String> =
        Format::ALL.iter().map(|format| render(*format, Item::Alert(&alert), &context).id).collect();
    assert!(ids.iter().all(|id| id == "0f3c2a6b9d1e4f508192a3b4c5d6e7f8-0"));
    let next = Alert { sequence: 1, state: State::Updated, ..alert.clone() };
    assert_ne!(render(Format::Json, Item::Alert(&next), &context).id, ids[0]);
    let long = Alert { alert_id: "x".repeat(300), ..alert.clone() };
    let longer = Alert { alert_id: "x".repeat(301), ..alert };
    let id = |alert: &Alert| render(Format::Json, Item::Alert(alert), &context).id;
    assert!(id(&long).len() == 256 && id(&long) != id(&longer));
}
