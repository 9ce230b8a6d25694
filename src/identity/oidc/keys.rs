//! What a provider says of itself: its keys and where it is asked. Fetched when first needed, kept, and fetched again when a key
//! is asked for that is not there; but not more often than once an interval, whatever strangers send.
//!
//! One task fetches, and it goes on when whoever needed it goes away. Only who cannot be answered without it waits for it: while
//! a provider hangs, known keys let people in at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use schemas::limits;
use serde::Deserialize;
use store::Clock;
use tokio::sync::watch;

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
    asking: Mutex<Asking>,
}

/// When the provider was last asked, and whether it is being asked now.
#[derive(Debug, Default)]
struct Asking {
    ended_us: Option<i64>,
    /// Closed when the answer is there, or will not be.
    running: Option<watch::Receiver<()>>,
}

/// What became of the wish to ask.
enum Asked {
    /// This one began it.
    Begun(watch::Receiver<()>),
    /// It was going on.
    Running(watch::Receiver<()>),
    /// It was done a moment ago.
    Early,
}

struct Kept {
    keys: HashMap<String, (Algorithm, DecodingKey)>,
    endpoints: Endpoints,
    fetched_us: i64,
}

/// Where a provider is asked, as its discovery document says.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::identity) struct Endpoints {
    issuer: String,
    jwks_uri: String,
    /// Where people log in.
    pub(in crate::identity) authorization_endpoint: Option<String>,
    /// Where codes are exchanged.
    pub(in crate::identity) token_endpoint: Option<String>,
    /// How a client may say there who it is.
    pub(in crate::identity) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether it always says whose answer a browser comes back with (RFC 9207).
    #[serde(default)]
    pub(in crate::identity) authorization_response_iss_parameter_supported: bool,
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
            asking: Mutex::default(),
        };
        Ok(Keys { shared: Arc::new(shared) })
    }

    /// The client that the provider is asked with.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.shared.http
    }

    /// The key of this id, if it is one for this algorithm.
    pub(super) async fn find(&self, id: &str, algorithm: Algorithm) -> Result<DecodingKey, Reason> {
        if let Some(kept) = self.usable()
            && let Some(key) = kept.find(id, algorithm)
        {
            if self.age_us(&kept) <= limits::OIDC_KEYS_AGE_US {
                return Ok(key);
            }
            // It may have been withdrawn since. Who begins to ask waits a moment for the answer, no one else does.
            if let Asked::Begun(mut answered) = self.ask() {
                let wait = Duration::from_millis(limits::OIDC_RENEWAL_WAIT_MS);
                // Either way what is there then is what counts.
                tokio::time::timeout(wait, answered.changed()).await.ok();
            }
        } else if !self.answered().await {
            // After a rotation good assertions come before we may ask again: no one is to take them for guesses.
            let kept = self.usable().ok_or(Reason::ProviderDown)?;
            let is_known = kept.keys.contains_key(id);
            let unknown = if is_known { Reason::AssertionKey } else { Reason::AssertionKeyUnasked };
            return kept.find(id, algorithm).ok_or(unknown);
        }
        self.usable().ok_or(Reason::ProviderDown)?.find(id, algorithm).ok_or(Reason::AssertionKey)
    }

    /// Where the provider is asked.
    pub(super) async fn endpoints(&self) -> Result<Endpoints, Reason> {
        match self.usable() {
            Some(kept) if self.age_us(&kept) > limits::OIDC_KEYS_AGE_US => drop(self.ask()),
            Some(_) => {}
            None => drop(self.answered().await),
        }
        self.usable().map(|kept| kept.endpoints.clone()).ok_or(Reason::ProviderDown)
    }

    /// What is kept, unless it is so old that the provider may have withdrawn it all.
    fn usable(&self) -> Option<Arc<Kept>> {
        let kept = self.shared.kept.read().unwrap_or_else(PoisonError::into_inner).clone();
        kept.filter(|kept| self.age_us(kept) <= limits::OIDC_KEYS_AGE_LONGEST_US)
    }

    fn age_us(&self, kept: &Kept) -> i64 {
        self.shared.clock.monotonic_us().saturating_sub(kept.fetched_us)
    }

    /// Asks and waits for the answer; `false` where that was done a moment ago, and so is not done.
    async fn answered(&self) -> bool {
        match self.ask() {
            Asked::Begun(mut answered) | Asked::Running(mut answered) => {
                // An error is the sender's end, which is what is waited for.
                answered.changed().await.ok();
                true
            }
            Asked::Early => false,
        }
    }

    /// Has the provider asked, once for all who wish it.
    fn ask(&self) -> Asked {
        let mut asking = self.shared.asking.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose task is gone is closed.
        if let Some(running) = asking.running.as_ref().filter(|running| running.has_changed().is_ok()) {
            return Asked::Running(running.clone());
        }
        let now_us = self.shared.clock.monotonic_us();
        if asking.ended_us.is_some_and(|us| now_us.saturating_sub(us) < limits::OIDC_REFETCH_INTERVAL_US) {
            return Asked::Early;
        }
        let (answer, answered) = watch::channel(());
        asking.running = Some(answered.clone());
        let keys = self.clone();
        tokio::spawn(async move {
            keys.renew().await;
            drop(answer);
        });
        Asked::Begun(answered)
    }

    async fn renew(&self) {
        metrics::counter!("tacho_oidc_key_fetches_total").increment(1);
        let begun_us = self.shared.clock.monotonic_us();
        match self.fetch().await {
            Ok((keys, endpoints)) => {
                let kept = Kept { keys, endpoints, fetched_us: begun_us };
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
        let mut asking = self.shared.asking.lock().unwrap_or_else(PoisonError::into_inner);
        // From its end: one that hung must not be followed by the next at once.
        *asking = Asking { ended_us: Some(self.shared.clock.monotonic_us()), running: None };
    }

    async fn fetch(&self) -> Result<(HashMap<String, (Algorithm, DecodingKey)>, Endpoints)> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let issuer = &self.shared.issuer;
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let found: Endpoints = self.get(&address).await?;
        ensure!(found.issuer == *issuer, "{address} speaks for {:?}, not for {issuer:?}", found.issuer);
        check_address(&found.jwks_uri).context("jwks_uri")?;
        for endpoint in [&found.authorization_endpoint, &found.token_endpoint].into_iter().flatten() {
            check_address(endpoint).context("an endpoint")?;
        }
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
        Ok((keys, found))
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, address: &str) -> Result<T> {
        let response = self.shared.http.get(address).send().await.with_context(|| address.to_string())?;
        ensure!(response.status().is_success(), "{address}: status {}", response.status());
        serde_json::from_slice(&body(response).await?).with_context(|| address.to_string())
    }
}

/// The body of a provider's answer, if it is no longer than one may be.
pub(in crate::identity) async fn body(mut response: reqwest::Response) -> Result<Vec<u8>> {
    let address = response.url().to_string();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.with_context(|| address.clone())? {
        ensure!(
            body.len() + chunk.len() <= limits::OIDC_BODY_BYTES_MAX,
            "{address}: over {} bytes",
            limits::OIDC_BODY_BYTES_MAX
        );
        body.extend_from_slice(&chunk);
    }
    Ok(body)
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
