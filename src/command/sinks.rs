//! `tacho sinks`: how they stand, a test, and what is sent again.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use sinks::{Fate, Sink};
use store::Clock as _;
use store::clock::SystemClock;

use super::{findings, percent_encoded, print, printable};
use crate::arguments::Sinks;
use crate::configuration::Configuration;
use crate::exit;
use crate::node::sink_context;
use crate::service::Service;

/// Runs the command.
pub async fn run(command: Sinks, configuration: Configuration) -> Result<u8> {
    match command {
        Sinks::Test { name } => test(&name, &configuration).await,
        Sinks::List { target, json } => {
            let service = Service::running(&target, &configuration)?;
            let answer = service.get("/api/v1/sinks").await?;
            let standing: Vec<Value> =
                serde_json::from_slice(&answer).context("the answer is not that of a Tachograph")?;
            let shown = if json {
                standing.iter().map(|sink| format!("{sink}\n")).collect()
            } else {
                table(&standing)
            };
            print(shown.as_bytes())?;
            Ok(findings(standing.iter().any(needs_somebody)))
        }
        Sinks::Replay { target, name, tenant, from, to } => {
            let service = Service::running(&target, &configuration)?;
            let what = json!({ "tenant": tenant, "from": from, "to": to });
            let count = asked(&service, &name, "replay", &what).await?;
            let of =
                if from.is_some() { "entries are looked at again" } else { "dead letters are sent again" };
            print(format!("{count} {of}\n").as_bytes())?;
            Ok(exit::CLEAN)
        }
        Sinks::Discard { target, name, tenant } => {
            let service = Service::running(&target, &configuration)?;
            let count = asked(&service, &name, "discard", &json!({ "tenant": tenant })).await?;
            print(format!("{count} dead letters are forgotten; they stay in the log\n").as_bytes())?;
            Ok(exit::CLEAN)
        }
    }
}

async fn asked(service: &Service, name: &str, what: &str, body: &Value) -> Result<u64> {
    let path = format!("/api/v1/sinks/{}/{what}", percent_encoded(name));
    let answer = service.post(&path, body).await?;
    let answer: Value = serde_json::from_slice(&answer).context("the answer is not that of a Tachograph")?;
    answer.get("count").and_then(Value::as_u64).context("the answer has no count")
}

/// Sends one alert that says that it is a test.
async fn test(name: &str, configuration: &Configuration) -> Result<u8> {
    let sinks = configuration.sinks()?;
    let Some(sink) = sinks.into_iter().find(|sink| sink.delivery.name == name) else {
        bail!("the configuration has no sink {name}");
    };
    let clock = Arc::new(SystemClock::new());
    let message = test_message(&sink, configuration, clock.wall_us());
    let mut transport = sinks::open(name, &sink.transport, clock)?;
    let target = transport.target();
    let fate = transport.deliver(&[message]).await.into_iter().next();
    let (told, code) = match fate {
        Some(Fate::Taken) => (format!("{target} took the test alert"), exit::CLEAN),
        Some(Fate::Refused(reason)) => {
            (format!("{target} refuses the test alert: {}", printable(&reason)), exit::FINDINGS)
        }
        Some(Fate::Later { reason, .. }) => {
            (format!("{target} does not take the test alert now: {}", printable(&reason)), exit::FINDINGS)
        }
        None => (format!("{target} was not tried"), exit::FINDINGS),
    };
    print(format!("{told}\n").as_bytes())?;
    Ok(code)
}

/// The alert of a test, as the sink would send it, whatever its filters.
fn test_message(sink: &Sink, configuration: &Configuration, now_us: i64) -> sinks::Message {
    let tenant = sink.delivery.tenants.first().map_or("default", String::as_str);
    let context = sink_context(configuration, "test");
    sinks::test_message(sink, &context, tenant, now_us)
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn number(of: &Value, name: &str) -> u64 {
    of.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn tenants(sink: &Value) -> impl Iterator<Item = (&String, &Value)> {
    sink.get("tenants").and_then(Value::as_object).into_iter().flatten()
}

fn needs_somebody(sink: &Value) -> bool {
    let is_up = sink.get("is_up").and_then(Value::as_bool).unwrap_or(false);
    !is_up || tenants(sink).any(|(_, tenant)| number(tenant, "dead_letters") > 0)
}

fn table(standing: &[Value]) -> String {
    let mut out = String::new();
    for sink in standing {
        let failure = sink.get("failure").and_then(Value::as_str);
        let is_up = sink.get("is_up").and_then(Value::as_bool).unwrap_or(false);
        let is = match failure {
            Some(why) => format!("stands still: {}", printable(why)),
            None if is_up => "up".to_owned(),
            None => "waits".to_owned(),
        };
        // Writing to a string cannot fail.
        let _written = writeln!(
            out,
            "{:<20} {:<12} {:<12} {}  {is}",
            text(sink, "name"),
            text(sink, "kind"),
            text(sink, "format"),
            printable(text(sink, "target")),
        );
        for (name, tenant) in tenants(sink) {
            let _written = writeln!(
                out,
                "  {name:<18} at {} ({} behind, {} to send again, {} dead letters{}{})",
                number(tenant, "next"),
                number(tenant, "lag"),
                number(tenant, "replay_entries"),
                number(tenant, "dead_letters"),
                match tenant.get("dead_reason").and_then(Value::as_str) {
                    Some(reason) => format!(", the last for: {}", printable(reason)),
                    None => String::new(),
                },
                match tenant.get("failure").and_then(Value::as_str) {
                    Some(reason) => format!("; waits: {}", printable(reason)),
                    None => String::new(),
                },
            );
        }
    }
    let _written = writeln!(out, "{} sinks", standing.len());
    out
}
