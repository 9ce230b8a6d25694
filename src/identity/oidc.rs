//! What an OpenID provider signed: checked with the provider's own keys, and mapped to role and tenant.
//!
//! Only algorithms with a public key are taken, and only with a key of that algorithm's kind: a key that anyone may know never
//! signs. Which key it was, the assertion must say (`kid`). The provider need not be there when the service starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use axum::http::Uri;
use jsonwebtoken::{Algorithm, Validation};
use schemas::limits;
use schemas::principal::Role;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::Clock;

use super::login::{Person, Settings as LoginSettings};
use super::{Reason, Whose};

mod keys;

use keys::Keys;
pub(super) use keys::{Endpoints, body};

/// The algorithms that are taken. Not among them: `none`, and those whose one key both signs and checks.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// Of several roles of one person, the first of these.
const ORDER: [Role; 5] = [Role::Admin, Role::Responder, Role::Auditor, Role::Operator, Role::Collector];

/// `[oidc]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The provider's own name, an https address; claim `iss` is exactly this.
    pub issuer: String,
    /// What it calls this service; claim `aud` is this or contains it.
    pub audience: String,
    /// Certificates (PEM) that the provider's is checked against; without it, those the world trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The tenant of everyone. This or `tenant_claim`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The claim that names the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_claim: Option<String>,
    /// The claim that names groups or roles, a text or a list; `realm_access.roles` is looked for inside `realm_access`.
    pub role_claim: String,
    /// Which of them has which role here. Who has several has the first of admin, responder, auditor, operator, collector.
    pub roles: BTreeMap<String, Role>,
    /// Login of people by browser; without it, only bearer assertions are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginSettings>,
}

impl Provider {
    /// Refuses what cannot work or is not safe.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        check_address(&self.issuer).context("oidc.issuer")?;
        ensure!(
            !self.audience.is_empty(),
            "oidc.audience is empty: whatever it signs for others would be taken"
        );
        ensure!(!self.role_claim.is_empty(), "oidc.role_claim is empty");
        ensure!(!self.roles.is_empty(), "oidc.roles is empty: no one could come in");
        ensure!(
            self.tenant.is_some() != self.tenant_claim.is_some(),
            "give one of oidc.tenant and oidc.tenant_claim"
        );
        self.login.as_ref().map_or(Ok(()), LoginSettings::check)?;
        ensure!(
            self.login.as_ref().is_none_or(|login| login.client_id != self.audience),
            "oidc.audience and oidc.login.client_id are both {:?}, which would make every ID token of a login a bearer \
             assertion; have the provider issue access tokens for a name of their own",
            self.audience
        );
        self.tenant.as_deref().map_or(Ok(()), super::check_tenant).context("oidc.tenant")
    }

    /// What these groups may do; `None` where none of them has a role.
    pub(super) fn role_of<'a>(&self, groups: impl IntoIterator<Item = &'a str>) -> Option<Role> {
        let roles: Vec<Role> =
            groups.into_iter().filter_map(|group| self.roles.get(group).copied()).collect();
        ORDER.into_iter().find(|role| roles.contains(role))
    }
}

/// https, or an address of this machine.
pub(super) fn check_address(address: &str) -> Result<()> {
    let uri: Uri = address.parse().with_context(|| format!("{address:?} is no address"))?;
    let host = uri.host().with_context(|| format!("{address:?} has no host"))?;
    ensure!(
        uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && is_loopback(host)),
        "{address:?} does not begin with https://, and who is in between could put keys of his own there"
    );
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// That what a provider is said to have signed lets no one in; and whom it is about, where the signature is the provider's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) reason: Reason,
    pub(super) whose: Option<Whose>,
}

impl From<Reason> for Rejected {
    fn from(reason: Reason) -> Rejected {
        Rejected { reason, whose: None }
    }
}

/// What is read of an assertion.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// A provider and its keys; cheap to clone.
#[derive(Debug, Clone)]
pub struct Oidc {
    provider: Arc<Provider>,
    keys: Keys,
    clock: Arc<dyn Clock>,
}

impl Oidc {
    /// Reads no keys yet.
    ///
    /// # Errors
    /// As [`Provider::check`], and for a bad `ca`.
    pub fn new(provider: &Provider, clock: Arc<dyn Clock>) -> Result<Oidc> {
        provider.check()?;
        let keys = Keys::new(provider, Arc::clone(&clock))?;
        Ok(Oidc { provider: Arc::new(provider.clone()), keys, clock })
    }

    /// Id, role and tenant of whom the provider means.
    pub(super) async fn check(&self, assertion: &str) -> Result<(String, Role, String), Rejected> {
        let claims = self.verify(assertion, &self.provider.audience).await?;
        let checked = self.check_times(&claims).and_then(|()| {
            let person = self.person(&claims)?;
            let role = self.role_of(&person.groups).ok_or(Reason::AssertionRole)?;
            Ok((person.id, role, person.tenant))
        });
        checked.map_err(|reason| self.rejected(reason, &claims))
    }

    /// Whom the provider let in, by the ID token that it made for this client and this login.
    pub(super) async fn check_login(
        &self,
        id_token: &str,
        client_id: &str,
        nonce: &str,
    ) -> Result<Person, Rejected> {
        let claims = self.verify(id_token, client_id).await?;
        let text = |name: &str| claims.more.get(name).and_then(Value::as_str);
        let checked = self.check_times(&claims).and_then(|()| {
            if text("nonce") != Some(nonce) {
                return Err(Reason::AssertionNonce);
            }
            // It may be meant for several; then it says for whom it was made (OpenID Connect Core, 3.1.3.7).
            if claims.more.contains_key("azp") && text("azp") != Some(client_id) {
                return Err(Reason::AssertionAudience);
            }
            self.person(&claims)
        });
        checked.map_err(|reason| self.rejected(reason, &claims))
    }

    /// For the record: the provider signed this, so whom it names is established.
    fn rejected(&self, reason: Reason, claims: &Claims) -> Rejected {
        let whose = Whose { id: principal_id(&claims.sub), tenant: self.tenant(claims) };
        Rejected { reason, whose: Some(whose) }
    }

    /// What these groups may do by the configuration.
    pub(super) fn role_of(&self, groups: &[String]) -> Option<Role> {
        self.provider.role_of(groups.iter().map(String::as_str))
    }

    /// The provider's own name.
    pub(super) fn issuer(&self) -> &str {
        &self.provider.issuer
    }

    /// Where the provider is asked.
    pub(super) async fn endpoints(&self) -> Result<Endpoints, Reason> {
        self.keys.endpoints().await
    }

    /// The client that the provider is asked with.
    pub(super) fn http(&self) -> &reqwest::Client {
        self.keys.http()
    }

    /// What the provider signed for `audience`, if it did; whether it is valid now is not looked at.
    async fn verify(&self, assertion: &str, audience: &str) -> Result<Claims, Reason> {
        let header = jsonwebtoken::decode_header(assertion).map_err(|_| Reason::AssertionMalformed)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Reason::AssertionAlgorithm);
        }
        let id = header.kid.as_deref().ok_or(Reason::AssertionKey)?;
        let key = self.keys.find(id, header.alg).await?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.provider.issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Times are checked below, by the clock that everything here goes by.
        validation.validate_exp = false;
        let decoded = jsonwebtoken::decode::<Claims>(assertion, &key, &validation).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            match error.kind() {
                ErrorKind::InvalidSignature => Reason::AssertionSignature,
                ErrorKind::InvalidIssuer => Reason::AssertionIssuer,
                ErrorKind::InvalidAudience => Reason::AssertionAudience,
                _ => Reason::AssertionMalformed,
            }
        })?;
        Ok(decoded.claims)
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of this age are exact in a float")]
    fn check_times(&self, claims: &Claims) -> Result<(), Reason> {
        let now_s = self.clock.wall_us().div_euclid(1_000_000) as f64;
        let leeway_s = limits::OIDC_LEEWAY_S as f64;
        // JSON has no number that compares with nothing.
        if claims.exp + leeway_s <= now_s {
            return Err(Reason::AssertionExpired);
        }
        if [claims.nbf, claims.iat].into_iter().flatten().any(|begin_s| begin_s - leeway_s > now_s) {
            return Err(Reason::AssertionEarly);
        }
        Ok(())
    }

    /// Whom the claims are about, where one of their groups has a role and they have a tenant.
    fn person(&self, claims: &Claims) -> Result<Person, Reason> {
        let found = claim(&claims.more, &self.provider.role_claim).ok_or(Reason::AssertionRole)?;
        let named: Vec<&str> = match found {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => return Err(Reason::AssertionRole),
        };
        let known = named.into_iter().filter(|name| self.provider.roles.contains_key(*name));
        // As many as there are mappings at most.
        let groups: Vec<String> = known.collect::<BTreeSet<&str>>().into_iter().map(str::to_string).collect();
        if groups.is_empty() {
            return Err(Reason::AssertionRole);
        }
        let tenant = self.tenant(claims).ok_or(Reason::AssertionTenant)?;
        Ok(Person { id: principal_id(&claims.sub), tenant, groups })
    }

    /// Whose the claims' subject is.
    fn tenant(&self, claims: &Claims) -> Option<String> {
        if let Some(tenant) = &self.provider.tenant {
            return Some(tenant.clone());
        }
        let tenant = claim(&claims.more, self.provider.tenant_claim.as_deref()?).and_then(Value::as_str)?;
        super::check_tenant(tenant).is_ok().then(|| tenant.to_string())
    }
}

/// A claim by its name, or by its path where no claim has the whole name.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let (outer, inner) = name.split_once('.')?;
    claim(claims.get(outer)?.as_object()?, inner)
}

/// `o-<sub>`. One that is long or of other letters is cut, and told apart by what follows a letter that no plain one has.
fn principal_id(sub: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._@:|-".contains(letter);
    let most = limits::PRINCIPAL_SHOWN_CHARS_MAX;
    if !sub.is_empty() && sub.len() <= most && sub.chars().all(is_plain) {
        return format!("o-{sub}");
    }
    let shown: String =
        sub.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).take(most).collect();
    format!("o-{shown}~{}", blake3::hash(sub.as_bytes()).to_hex().get(..16).unwrap_or_default())
}

/// Whom an assertion claims to be about, unchecked: only to count failures by, and for the record.
pub(super) fn claimed_id(assertion: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let claims: Subject = jsonwebtoken::dangerous::insecure_decode(assertion).ok()?.claims;
    Some(principal_id(&claims.sub))
}

#[cfg(test)]
mod tests;
