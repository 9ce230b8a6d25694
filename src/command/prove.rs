//! `tacho prove`: a proof to take away.

use anyhow::{Context as _, Result};
use axum::http::Request;
use bytes::Bytes;

use super::{percent_encoded, print};
use crate::arguments::Prove;
use crate::configuration::Configuration;
use crate::exit;
use crate::service::{self, Service};

/// Asks for a proof and writes it: exit 1 where there is no such entry.
pub async fn run(command: Prove, configuration: Configuration) -> Result<u8> {
    let service = Service::open(&command.target, &configuration).await?;
    let done = prove(&command, &service).await;
    service.close().await?;
    done
}

async fn prove(command: &Prove, service: &Service) -> Result<u8> {
    let response = service.send(Request::get(path(command)).body(Bytes::new())?).await?;
    if response.status() == axum::http::StatusCode::NOT_FOUND {
        eprintln!("{:#}", service::failure(response).await);
        return Ok(exit::FINDINGS);
    }
    if !response.status().is_success() {
        return Err(service::failure(response).await);
    }
    let document = service::body(response).await?;
    match &command.out {
        Some(out) => {
            std::fs::write(out, &document).with_context(|| format!("write {}", out.display()))?;
            print(format!("wrote {}\n", out.display()).as_bytes())?;
        }
        None => {
            print(&document)?;
            print(b"\n")?;
        }
    }
    Ok(exit::CLEAN)
}

fn path(command: &Prove) -> String {
    let Prove { event_id, index, tenant, stream, writer, since, witnessed, .. } = command;
    let mut path = format!("/api/v1/proofs?stream={}", percent_encoded(stream));
    let texts = [("event_id", event_id), ("tenant", tenant), ("writer", writer)];
    for (name, value) in texts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        path.push_str(&format!("&{name}={}", percent_encoded(value)));
    }
    for (name, value) in [("index", index), ("since", since)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={value}"));
        }
    }
    if *witnessed {
        path.push_str("&witnessed=true");
    }
    path
}
