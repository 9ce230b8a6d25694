//! `tacho mark`: a change, as an event of kind `config` like any other source's.

use anyhow::{Context as _, Result, bail};
use axum::http::{Request, header};
use bytes::Bytes;
use serde_json::{Value, json};
use store::Clock as _;
use store::clock::SystemClock;

use super::print;
use crate::arguments::Mark;
use crate::configuration::Configuration;
use crate::exit;
use crate::service::{Service, body, failure};

/// Sends it.
pub async fn run(command: &Mark, configuration: Configuration) -> Result<u8> {
    let at = match &command.at {
        Some(at) => at
            .parse::<jiff::Timestamp>()
            .with_context(|| format!("--at {at} is no time such as 2026-11-30T12:00:00Z"))?,
        None => jiff::Timestamp::from_microsecond(SystemClock::new().wall_us())
            .context("the clock of this machine")?,
    };
    let event = json!({
        "event_id": uuid::Uuid::now_v7().to_string(),
        "time": at.to_string(),
        "kind": "config",
        "method": command.kind,
        "target": command.what,
        "status": "ok",
    });
    let service = Service::open(&command.target, &configuration).await?;
    let sent = send(&service, &event).await;
    service.close().await?;
    sent?;
    print(format!("noted: {} {}\n", command.kind, command.what).as_bytes())?;
    Ok(exit::CLEAN)
}

async fn send(service: &Service, event: &Value) -> Result<()> {
    let request = Request::post("/v1/events?format=canonical")
        .header(header::CONTENT_TYPE, "application/x-ndjson")
        .body(Bytes::from(event.to_string()))?;
    let response = service.send(request).await?;
    if !response.status().is_success() {
        return Err(failure(response).await);
    }
    let answer: Value = serde_json::from_slice(&body(response).await?).context("the service's answer")?;
    match answer.get("accepted").and_then(Value::as_u64) {
        Some(1) => Ok(()),
        _ => bail!("it was not taken: {answer}"),
    }
}
