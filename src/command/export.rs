//! `tacho export evidence`: a bundle to take away.

use anyhow::{Context as _, Result, bail};
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};
use store::NewFile;

use super::print;
use crate::arguments::{Evidence, Export};
use crate::configuration::Configuration;
use crate::exit;
use crate::service::{self, Service};

/// Asks for a bundle and writes it: exit 1 where nothing on record fits.
pub async fn run(command: Export, configuration: Configuration) -> Result<u8> {
    let Export::Evidence(command) = command;
    // Before anything is asked: what is there stays, and nobody waits for what cannot be written.
    let file = NewFile::create(&command.out).with_context(|| format!("--out {}", command.out.display()))?;
    let service = Service::open(&command.target, &configuration).await?;
    let done = export(&command, &service, file).await;
    service.close().await?;
    done
}

async fn export(command: &Evidence, service: &Service, mut file: NewFile) -> Result<u8> {
    let request = Request::post("/api/v1/evidence")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(asked(command).to_string()))?;
    let response = service.send(request).await?;
    if response.status() == StatusCode::NOT_FOUND {
        eprintln!("{:#}", service::failure(response).await);
        return Ok(exit::FINDINGS);
    }
    if !response.status().is_success() {
        return Err(service::failure(response).await);
    }
    let length = response.headers().get(header::CONTENT_LENGTH);
    let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let (mut body, mut written) = (response.into_body(), 0u64);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.context("the answer broke off")?.into_data() {
            file.write(&data)?;
            written += data.len() as u64;
        }
    }
    if length.is_some_and(|length| length != written) {
        bail!("the answer broke off after {written} bytes; nothing was written to {}", command.out.display());
    }
    let bytes = file.publish()?;
    print(format!("wrote {}, {bytes} bytes\n", command.out.display()).as_bytes())?;
    Ok(exit::CLEAN)
}

fn asked(command: &Evidence) -> Value {
    let question = &command.question;
    let fields = [
        ("sql", json!(question.sql)),
        ("session", json!(question.session)),
        ("range", json!(question.range)),
        ("stream", json!(command.stream)),
        ("tenant", json!(command.tenant)),
        ("complete", json!(command.complete)),
        ("lateness_s", json!(command.lateness)),
        ("withhold", json!(command.withhold)),
        ("disclose", json!(command.disclose)),
        ("witnessed", json!(command.witnessed)),
    ];
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(given.map(|(name, value)| (name.to_string(), value)).collect::<Map<_, _>>())
}
