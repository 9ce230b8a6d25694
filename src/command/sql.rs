//! `tacho sql`.

use anyhow::Result;
use axum::http::{Request, header};
use bytes::Bytes;

use super::print_body;
use crate::arguments::Sql;
use crate::configuration::Configuration;
use crate::exit;
use crate::service::{Service, failure};

/// Asks and prints.
pub async fn run(command: Sql, configuration: Configuration) -> Result<u8> {
    let service = Service::open(&command.target, &configuration).await?;
    let body = serde_json::json!({"query": command.query, "format": command.format.name()});
    let request = Request::post("/api/v1/sql")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(body.to_string()))?;
    let response = service.send(request).await?;
    let result = if response.status().is_success() {
        print_body(response).await.map(|()| exit::CLEAN)
    } else {
        Err(failure(response).await)
    };
    service.close().await?;
    result
}
