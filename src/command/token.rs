//! `tacho token`.

use anyhow::Result;
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;

use super::{percent_encoded, print};
use crate::arguments::{Target, Token};
use crate::configuration::Configuration;
use crate::exit;
use crate::service::{Service, body, failure};

/// Makes, lists or revokes tokens.
pub async fn run(command: Token, configuration: Configuration) -> Result<u8> {
    match command {
        Token::Create { role, tenant, expires_days, target } => {
            let new = serde_json::json!({"role": role, "tenant": tenant, "expires_days": expires_days});
            let request = Request::post("/api/v1/tokens")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Bytes::from(new.to_string()))?;
            send(&target, &configuration, request).await
        }
        Token::List { target } => {
            send(&target, &configuration, Request::get("/api/v1/tokens").body(Bytes::new())?).await
        }
        Token::Revoke { id, target } => {
            let request =
                Request::delete(format!("/api/v1/tokens/{}", percent_encoded(&id))).body(Bytes::new())?;
            send(&target, &configuration, request).await
        }
    }
}

async fn send(target: &Target, configuration: &Configuration, request: Request<Bytes>) -> Result<u8> {
    let service = Service::open(target, configuration).await?;
    let response = service.send(request).await?;
    let result = match response.status() {
        StatusCode::NOT_FOUND => {
            eprintln!("{:#}", failure(response).await);
            Ok(exit::FINDINGS)
        }
        status if status.is_success() => {
            let answer: serde_json::Value = serde_json::from_slice(&body(response).await?)?;
            print(format!("{}\n", serde_json::to_string_pretty(&answer)?).as_bytes())?;
            Ok(exit::CLEAN)
        }
        _ => Err(failure(response).await),
    };
    service.close().await?;
    result
}
