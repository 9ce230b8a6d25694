//! `tacho replay`.

use anyhow::Result;
use axum::http::{Request, StatusCode};
use bytes::Bytes;

use super::{percent_encoded, print_body};
use crate::arguments::Replay;
use crate::configuration::Configuration;
use crate::exit;
use crate::service::{Service, failure};

/// Prints a session.
pub async fn run(command: Replay, configuration: Configuration) -> Result<u8> {
    let service = Service::open(&command.target, &configuration).await?;
    let session = percent_encoded(&command.session);
    let path = format!("/api/v1/sessions/{session}/replay?format={}", command.format.name());
    let response = service.send(Request::get(path).body(Bytes::new())?).await?;
    let result = match response.status() {
        StatusCode::NOT_FOUND => {
            eprintln!("there is no session {}", command.session);
            Ok(exit::FINDINGS)
        }
        status if status.is_success() => print_body(response).await.map(|()| exit::CLEAN),
        _ => Err(failure(response).await),
    };
    service.close().await?;
    result
}
