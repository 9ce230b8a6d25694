//! `tacho gate`.

use anyhow::{Context as _, Result};
use axum::http::Request;
use bytes::Bytes;
use serde::Deserialize;

use super::print;
use crate::arguments::GateCommand;
use crate::configuration::Configuration;
use crate::exit;
use crate::service::{Service, body, failure};

/// What of `GET /api/v1/gates` is shown.
#[derive(Debug, Deserialize)]
struct Gates {
    verdict: String,
    gates: Vec<Reading>,
}

#[derive(Debug, Deserialize)]
struct Reading {
    gate: String,
    unit: String,
    window: String,
    block: f64,
    value: Option<f64>,
    verdict: String,
    detail: Option<String>,
}

/// Prints the gates; 1 when one blocks, 2 when none blocks but one has no answer.
pub async fn run(command: GateCommand, configuration: Configuration) -> Result<u8> {
    let service = Service::open(&command.target, &configuration).await?;
    let response = service.send(Request::get("/api/v1/gates").body(Bytes::new())?).await?;
    let answered =
        if response.status().is_success() { body(response).await } else { Err(failure(response).await) };
    service.close().await?;
    let answer = answered?;
    let gates: Gates = serde_json::from_slice(&answer).context("the answer is not that of a Tachograph")?;
    if command.json {
        print(&answer)?;
        print(b"\n")?;
    } else {
        print(shown(&gates).as_bytes())?;
    }
    Ok(match gates.verdict.as_str() {
        "pass" | "watch" => exit::CLEAN,
        "block" => exit::FINDINGS,
        _ => exit::COULD_NOT_RUN,
    })
}

fn shown(gates: &Gates) -> String {
    let mut text = String::new();
    for Reading { gate, unit, window, block, value, verdict, detail } in &gates.gates {
        let value = value.map_or_else(|| "-".to_string(), |value| format!("{value:.2}"));
        text.push_str(&format!(
            "{verdict:<9}  {gate:<30} {value:>10} {unit} over {window}; blocks above {block}"
        ));
        if let Some(detail) = detail {
            text.push_str(&format!("; {detail}"));
        }
        text.push('\n');
    }
    text.push_str(&format!("verdict: {}\n", gates.verdict));
    text
}
