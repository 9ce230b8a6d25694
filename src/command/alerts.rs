//! `tacho alerts`: what the detector told, and what people say of it.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use serde_json::{Value, json};

use super::{findings, percent_encoded, print, printable};
use crate::arguments::{AlertSeverity, AlertVerdict, Alerts};
use crate::configuration::Configuration;
use crate::exit;
use crate::service::Service;

/// Seconds of each unit that a time may be given in.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];

/// Lists, shows, or records.
pub async fn run(command: Alerts, configuration: Configuration) -> Result<u8> {
    let (Alerts::List { target, .. } | Alerts::Show { target, .. } | Alerts::Verdict { target, .. }) =
        &command;
    let mute_s = match &command {
        Alerts::Verdict { mute: Some(mute), .. } => seconds(mute)?,
        _ => 0,
    };
    let service = Service::open(target, &configuration).await?;
    let done = act(&command, mute_s, &service).await;
    service.close().await?;
    done
}

async fn act(command: &Alerts, mute_s: u64, service: &Service) -> Result<u8> {
    match command {
        Alerts::List { json, .. } => {
            let rows = service.ask(&listing(command)).await?;
            let shown = if *json { lines(&rows) } else { table(&rows) };
            print(shown.as_bytes())?;
            Ok(findings(!rows.is_empty()))
        }
        Alerts::Show { alert_id, .. } => show(service, alert_id).await,
        Alerts::Verdict { alert_id, verdict, note, .. } => {
            let word = match verdict {
                AlertVerdict::True => "true",
                AlertVerdict::Benign => "benign",
            };
            let said = json!({ "verdict": word, "mute_s": mute_s, "note": note });
            let path = format!("/api/v1/alerts/{}/verdict", percent_encoded(alert_id));
            service.post(&path, &said).await?;
            print(format!("recorded: {alert_id} is {word}\n").as_bytes())?;
            Ok(exit::CLEAN)
        }
    }
}

/// The last emission of each episode: by its place in the log, since a fold under other rules counts an episode's emissions anew.
fn listing(command: &Alerts) -> String {
    let Alerts::List { open, severity, rule, days, limit, .. } = command else { return String::new() };
    let worse = AlertSeverity::value_variants().iter().skip_while(|one| *one != severity);
    let worse: Vec<String> =
        worse.filter_map(|one| one.to_possible_value()).map(|one| literal(one.get_name())).collect();
    let mut conditions = vec!["n = 1".to_owned(), format!("severity IN ({})", worse.join(", "))];
    // By when it was recorded: when something happened says whoever sent it. What is open is never too old.
    conditions.push(match open {
        true => "state <> 'closed'".to_owned(),
        false => format!("ingest_time >= now() - INTERVAL '{days} days'"),
    });
    conditions.extend(rule.as_ref().map(|rule| format!("rule_id = {}", literal(rule))));
    format!(
        "SELECT alert_id, state, severity, confidence, rule_id, entity_type, entity, first_seen, last_seen, count, explanation, ingest_time \
         FROM (SELECT *, row_number() OVER (PARTITION BY alert_id ORDER BY log_index DESC) AS n FROM alerts \
         WHERE control IS NULL) WHERE {} ORDER BY ingest_time DESC, alert_id LIMIT {limit}",
        conditions.join(" AND ")
    )
}

async fn show(service: &Service, alert_id: &str) -> Result<u8> {
    if alert_id.len() < 4 || !alert_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("{alert_id} is no id of an alert: 32 hexadecimal digits, or at least the first 4");
    }
    let query = format!(
        "SELECT * FROM alerts WHERE control IS NULL AND alert_id LIKE '{}%' ORDER BY alert_id, log_index",
        alert_id.to_ascii_lowercase()
    );
    let rows = service.ask(&query).await?;
    let id = |row: &Value| text(row, "alert_id").to_owned();
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        eprintln!("there is no alert {alert_id}");
        return Ok(exit::FINDINGS);
    };
    if id(first) != id(last) {
        bail!("{alert_id} is the beginning of more than one id: {}, {}", id(first), id(last));
    }
    let mut out =
        format!("{} {}\n{}\n\n", id(last), text(last, "title"), printable(text(last, "explanation")));
    for name in [
        "rule_id",
        "severity",
        "confidence",
        "entity_type",
        "entity",
        "environment",
        "first_seen",
        "last_seen",
        "count",
        "statistic",
        "expected",
        "observed",
        "unit",
        "baseline",
        "observables",
        "references",
        "evidence_log",
        "evidence",
        "runbook",
        "query",
    ] {
        match last.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(value)) => push(&mut out, name, value),
            Some(value) => push(&mut out, name, &value.to_string()),
        }
    }
    out.push('\n');
    for row in &rows {
        let line = format!("{} {}", text(row, "ingest_time"), text(row, "explanation"));
        push(&mut out, text(row, "state"), &line);
    }
    print(out.as_bytes())?;
    Ok(exit::CLEAN)
}

fn push(out: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _written = writeln!(out, "{name:<13} {}", printable(value));
}

fn table(rows: &[Value]) -> String {
    let mut out = String::new();
    for row in rows {
        let _written = writeln!(
            out,
            "{} {:<13} {:<8} {} {:<28} {}",
            text(row, "alert_id"),
            text(row, "severity"),
            text(row, "state"),
            text(row, "ingest_time"),
            text(row, "rule_id"),
            printable(text(row, "explanation")),
        );
    }
    let _written = writeln!(out, "{} episodes", rows.len());
    out
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or("-")
}

/// A SQL string literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `30m`, `12h`, `7d` in seconds.
fn seconds(text: &str) -> Result<u64> {
    let parsed = UNITS
        .iter()
        .find_map(|(unit, of_unit)| Some((text.strip_suffix(*unit)?.parse::<u64>().ok()?, *of_unit)));
    let (number, of_unit) =
        parsed.with_context(|| format!("--mute {text}: give a number and one of s, m, h, d"))?;
    number.checked_mul(of_unit).with_context(|| format!("--mute {text} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(
            ["90s", "30m", "12h", "7d"].map(|text| seconds(text).unwrap()),
            [90, 1_800, 43_200, 604_800]
        );
        for text in
            ["", "d", "7", "7w", "-1d", "1.5h", "7dd", "99999999999999999999d", "18446744073709551615d"]
        {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_cannot_leave_their_literal() {
        assert_eq!(literal("x' OR '1'='1"), "'x'' OR ''1''=''1'");
    }
}
