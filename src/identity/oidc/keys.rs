//! The provider's keys: fetched when first needed, kept, and fetched again when one is asked for that is not among them; but
//! not more often than once an interval, whatever strangers send.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use schemas::limits;
use serde::Deserialize;
use store::Clock;
use tokio::sync::Mutex;

use super::{Provider, check_address, is_loopback};
use crate::identity::Reason;

/// The keys of one provider; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    issuer: String,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    kept: RwLock<Option<Arc<Kept>>>,
    /// When the provider was last asked; held while it is asked, so that one asks for all.
    asked: Mutex<Option<i64>>,
}

struct Kept {
    keys: HashMap<String, (Algorithm, DecodingKey)>,
    fetched_us: i64,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("fetched_us", &self.fetched_us).finish_non_exhaustive()
    }
}

impl Kept {
    fn find(&self, id: &str, algorithm: Algorithm) -> Option<DecodingKey> {
        self.keys.get(id).filter(|(of, _)| *of == algorithm).map(|(_, key)| key.clone())
    }
}

impl Keys {
    pub(super) fn new(provider: &Provider, clock: Arc<dyn Clock>) -> Result<Keys> {
        let mut builder = reqwest::Client::builder()
            .timeout(Duration::from_millis(limits::OIDC_TIMEOUT_MS))
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &provider.ca {
            let place = || format!("oidc.ca {}", path.display());
            let pem = std::fs::read(path).with_context(place)?;
            builder = builder.tls_built_in_root_certs(false);
            for certificate in reqwest::Certificate::from_pem_bundle(&pem).with_context(place)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let host = provider.issuer.parse().ok().and_then(|uri: axum::http::Uri| uri.host().map(is_loopback));
        if host == Some(true) {
            builder = builder.no_proxy();
        }
        let shared = Shared {
            issuer: provider.issuer.clone(),
            http: builder.build().context("oidc")?,
            clock,
            kept: RwLock::default(),
            asked: Mutex::default(),
        };
        Ok(Keys { shared: Arc::new(shared) })
    }

    /// The key of this id, if it is one for this algorithm.
    pub(super) async fn find(&self, id: &str, algorithm: Algorithm) -> Result<DecodingKey, Reason> {
        let age_us = |kept: &Kept| self.shared.clock.monotonic_us().saturating_sub(kept.fetched_us);
        if let Some(kept) = self.kept()
            && age_us(&kept) <= limits::OIDC_KEYS_AGE_US
            && let Some(key) = kept.find(id, algorithm)
        {
            return Ok(key);
        }
        self.refresh().await;
        // Keys that the provider may have withdrawn long ago say nothing any more.
        let kept = self.kept().filter(|kept| age_us(kept) <= limits::OIDC_KEYS_AGE_LONGEST_US);
        kept.ok_or(Reason::ProviderDown)?.find(id, algorithm).ok_or(Reason::AssertionKey)
    }

    fn kept(&self) -> Option<Arc<Kept>> {
        self.shared.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn refresh(&self) {
        let mut asked = self.shared.asked.lock().await;
        let now_us = self.shared.clock.monotonic_us();
        let is_early = |asked_us: i64| now_us.saturating_sub(asked_us) < limits::OIDC_REFETCH_INTERVAL_US;
        if asked.is_some_and(is_early) {
            return;
        }
        *asked = Some(now_us);
        metrics::counter!("tacho_oidc_key_fetches_total").increment(1);
        match self.fetch().await {
            Ok(keys) => {
                let kept = Kept { keys, fetched_us: now_us };
                *self.shared.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(kept));
            }
            Err(error) => {
                metrics::counter!("tacho_oidc_key_fetch_failures_total").increment(1);
                tracing::warn!(
                    issuer = self.shared.issuer,
                    error = format!("{error:#}"),
                    "the keys of the OpenID provider could not be had"
                );
            }
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, (Algorithm, DecodingKey)>> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let issuer = &self.shared.issuer;
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let found: Discovery = self.get(&address).await?;
        ensure!(found.issuer == *issuer, "{address} speaks for {:?}, not for {issuer:?}", found.issuer);
        check_address(&found.jwks_uri).context("jwks_uri")?;
        let set: Set = self.get(&found.jwks_uri).await?;
        let mut keys = HashMap::new();
        for key in set.keys.into_iter().take(limits::OIDC_KEYS_MAX) {
            // A key of a kind that is not known here spoils no other.
            if let Ok(key) = serde_json::from_value::<Jwk>(key)
                && let Some(id) = key.common.key_id.clone()
                && let Some(algorithm) = algorithm_of(&key)
                && let Ok(decoding) = DecodingKey::from_jwk(&key)
            {
                keys.insert(id, (algorithm, decoding));
            }
        }
        ensure!(!keys.is_empty(), "{} has no key for RS256, ES256 or EdDSA", found.jwks_uri);
        Ok(keys)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, address: &str) -> Result<T> {
        let place = || address.to_string();
        let mut response = self.shared.http.get(address).send().await.with_context(place)?;
        ensure!(response.status().is_success(), "{address}: status {}", response.status());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.with_context(place)? {
            ensure!(
                body.len() + chunk.len() <= limits::OIDC_BODY_BYTES_MAX,
                "{address}: over {} bytes",
                limits::OIDC_BODY_BYTES_MAX
            );
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).with_context(place)
    }
}

/// The one algorithm that this key may check, by its kind; `None` for a key that checks no signature here. A key that both
/// signs and checks is never one.
fn algorithm_of(key: &Jwk) -> Option<Algorithm> {
    if !matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(parameters) => {
            // Four characters of base64 are three bytes.
            (parameters.n.len() * 3 / 4 >= limits::OIDC_RSA_BYTES_MIN).then_some(Algorithm::RS256)?
        }
        AlgorithmParameters::EllipticCurve(parameters) => {
            (parameters.curve == EllipticCurve::P256).then_some(Algorithm::ES256)?
        }
        AlgorithmParameters::OctetKeyPair(parameters) => {
            (parameters.curve == EllipticCurve::Ed25519).then_some(Algorithm::EdDSA)?
        }
        _ => return None,
    };
    let named = key.common.key_algorithm.map(|named| named.to_string());
    named.is_none_or(|named| named == format!("{algorithm:?}")).then_some(algorithm)
}
