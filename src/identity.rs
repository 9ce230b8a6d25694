//! Who is asking: every door hands a credential to [`Identity::login`] and gets a [`Principal`] or a [`Refusal`].
//!
//! Lockout and recording are in there, so that no door can forget them. What a caller is told says nothing that helps to guess;
//! what is recorded says what was wrong, and never the secret.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use schemas::principal::{Principal, Role, STRANGER};
use store::Clock;

mod attempts;
mod certificates;
mod credential;
mod journal;
mod login;
mod oidc;
mod reason;
mod settings;
mod tokens;

pub use certificates::Certificate;
pub use credential::Credential;
pub use journal::{Journal, Note};
pub use login::{Login, ProviderAnswer, return_path};
pub use reason::Reason;
pub use settings::{Settings, TABLES};
pub use tokens::{TokenRecord, Tokens};

use attempts::Attempts;
use certificates::Certificates;
use oidc::{Oidc, Rejected};

/// Where refusals are recorded that concern no tenant we know.
pub const DEFAULT_TENANT: &str = "default";

/// When it makes sense to come again where the provider's keys could not be had.
const PROVIDER_RETRY_S: u64 = schemas::limits::OIDC_REFETCH_INTERVAL_US.unsigned_abs() / 1_000_000;

/// That a caller was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Seconds until it makes sense to come again, where waiting helps.
    pub retry_after_s: Option<u64>,
}

/// Where a caller is and how it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller<'a> {
    /// Its address; `None` if not over a network.
    pub address: Option<IpAddr>,
    /// `http` or `pg`.
    pub door: &'static str,
    /// The user named beside the credential, where the door has one that must be whom the credential belongs to.
    pub user: Option<&'a str>,
}

/// Whom a credential that lets no one in belongs to, where that is established: for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Whose {
    /// Principal id.
    id: String,
    /// `None` where only that is not established.
    tenant: Option<String>,
}

/// Who may come in; cheap to clone.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The API tokens.
    pub tokens: Tokens,
    /// Where logins and refusals are recorded.
    pub journal: Journal,
    certificates: Arc<Certificates>,
    oidc: Option<Oidc>,
    people: Option<Arc<Login>>,
    attempts: Arc<Attempts>,
    clock: Arc<dyn Clock>,
}

impl Identity {
    /// All who may come in by these settings.
    ///
    /// # Errors
    /// As [`Settings::parse`].
    pub fn new(
        settings: &Settings,
        tokens: Tokens,
        journal: Journal,
        clock: Arc<dyn Clock>,
    ) -> Result<Identity> {
        let certificates = Arc::new(Certificates::new(&settings.mtls)?);
        let oidc =
            settings.oidc.as_ref().map(|provider| Oidc::new(provider, Arc::clone(&clock))).transpose()?;
        let people = match settings.oidc.as_ref().zip(oidc.as_ref()) {
            Some((provider, oidc)) => Login::new(provider, oidc, &clock)?.map(Arc::new),
            None => None,
        };
        if let Some(people) = &people {
            login::record_ends(people, journal.clone());
        }
        Ok(Identity { tokens, journal, certificates, oidc, people, attempts: Arc::default(), clock })
    }

    /// Whom the credential belongs to. Locks out who fails too often, and records every failure and the first login from each
    /// place.
    ///
    /// # Errors
    /// A [`Refusal`], which the door answers without saying more of the reason than that none was given.
    pub async fn login(
        &self,
        given: Result<Credential, Reason>,
        caller: Caller<'_>,
    ) -> Result<Principal, Refusal> {
        let claimed = given.as_ref().ok().and_then(claimed_id);
        let session = given.as_ref().ok().and_then(|credential| self.session_of(credential));
        // Whoever gives nothing is told so even there. A certificate was proved already, and so was who has the cookie of a session:
        // under its person's name anyone may have failed, for an assertion is believed to be about whom it says until it is checked.
        let is_proved = matches!(given, Ok(Credential::Certificate(_))) || session.is_some();
        if !is_proved && !matches!(given, Err(Reason::NoCredential)) {
            self.check_lockout(claimed.as_deref(), caller)?;
        }
        let is_user = |id: &str| caller.user.is_none_or(|user| user == id);
        let checked = match given {
            Ok(credential) => self.check(&credential).await,
            Err(reason) => Err(reason.into()),
        };
        let checked = match checked {
            Ok((id, _, tenant)) if !is_user(&id) => {
                Err(Rejected { reason: Reason::OtherUser, whose: Some(Whose { id, tenant: Some(tenant) }) })
            }
            checked => checked,
        };
        match checked {
            Ok((id, role, tenant)) => {
                let source_ip = caller.address.map(|address| address.to_string());
                let principal = Principal { id, role, tenant, source_ip, door: caller.door };
                self.welcome(&principal, caller);
                Ok(principal)
            }
            Err(Rejected { reason, whose }) => {
                if session.is_some() {
                    self.note_ended_sessions();
                }
                let whose = whose.or(session);
                Err(self.turn_away(Rejected { reason, whose }, claimed.as_deref(), caller))
            }
        }
    }

    /// Records, and where it may be a guess counts, a login that failed.
    fn turn_away(&self, rejected: impl Into<Rejected>, claimed: Option<&str>, caller: Caller<'_>) -> Refusal {
        let Rejected { reason, whose } = rejected.into();
        if let Some(address) = caller.address
            && reason.is_guess()
        {
            self.attempts.failed(address, claimed, self.clock.monotonic_us());
        }
        self.refuse(reason, claimed, whose, caller);
        let helps = matches!(reason, Reason::ProviderDown | Reason::AssertionKeyUnasked);
        let retry_after_s = helps.then_some(PROVIDER_RETRY_S);
        Refusal { reason, retry_after_s }
    }

    /// Turns away who failed too often, unheard.
    fn check_lockout(&self, claimed: Option<&str>, caller: Caller<'_>) -> Result<(), Refusal> {
        let now_us = self.clock.monotonic_us();
        let Some(until_us) =
            caller.address.and_then(|address| self.attempts.locked_until(address, claimed, now_us))
        else {
            return Ok(());
        };
        let wait_s = u64::try_from(until_us.saturating_sub(now_us)).unwrap_or(0).div_ceil(1_000_000);
        self.refuse(Reason::LockedOut, claimed, None, caller);
        Err(Refusal { reason: Reason::LockedOut, retry_after_s: Some(wait_s.max(1)) })
    }

    /// Whose session a cookie is of, be it over or not.
    fn session_of(&self, credential: &Credential) -> Option<Whose> {
        let Credential::Session(cookie) = credential else { return None };
        let person = self.people.as_ref()?.find(cookie)?;
        Some(Whose { id: person.id, tenant: Some(person.tenant) })
    }

    async fn check(&self, credential: &Credential) -> Result<(String, Role, String), Rejected> {
        let now_us = self.clock.wall_us();
        match credential {
            Credential::Token(token) => {
                let record = self.tokens.check(token, now_us)?;
                Ok((record.id, record.role, record.tenant))
            }
            Credential::Certificate(certificate) => Ok(self.certificates.check(certificate, now_us)?),
            Credential::Assertion(assertion) => match &self.oidc {
                Some(oidc) => oidc.check(assertion).await,
                None => Err(Reason::NoProvider.into()),
            },
            Credential::Session(session) => match &self.people {
                Some(people) => Ok(people.check(session)?),
                None => Err(Reason::SessionUnknown.into()),
            },
        }
    }

    /// Records a refusal, in the tenant of whom the credential belongs to or the caller claims to be, if there is one.
    fn refuse(&self, reason: Reason, claimed: Option<&str>, whose: Option<Whose>, caller: Caller<'_>) {
        metrics::counter!("tacho_unauthenticated_total").increment(1);
        let whose = whose.or_else(|| {
            let record = self.tokens.find(claimed?)?;
            Some(Whose { id: record.id, tenant: Some(record.tenant) })
        });
        let claimed = whose.as_ref().map(|whose| whose.id.as_str()).or(claimed);
        let detail = match (reason, claimed) {
            (Reason::NoCredential | Reason::Malformed, _) => reason.code().to_string(),
            (_, Some(id)) => format!("{}: {id}", reason.code()),
            (_, None) => reason.code().to_string(),
        };
        self.journal.note(Note {
            tenant: whose
                .as_ref()
                .and_then(|whose| whose.tenant.as_deref())
                .unwrap_or(DEFAULT_TENANT)
                .to_string(),
            principal: whose.map_or_else(|| STRANGER.to_string(), |whose| whose.id),
            role: None,
            address: caller.address,
            door: caller.door,
            action: "login",
            code: Some(reason.code()),
            detail,
        });
    }

    /// Records that a known caller may not do this.
    pub fn forbid(&self, principal: &Principal, action: &'static str, detail: String) {
        self.journal.note(Note {
            tenant: principal.tenant.clone(),
            principal: principal.id.clone(),
            role: Some(principal.role),
            address: principal.source_ip.as_ref().and_then(|address| address.parse().ok()),
            door: principal.door,
            action,
            code: Some("forbidden"),
            detail,
        });
    }

    fn welcome(&self, principal: &Principal, caller: Caller<'_>) {
        let Some(address) = caller.address else { return };
        if !self.attempts.succeeded(address, &principal.id) {
            return;
        }
        self.journal.note(Note {
            tenant: principal.tenant.clone(),
            principal: principal.id.clone(),
            role: Some(principal.role),
            address: Some(address),
            door: principal.door,
            action: "login",
            code: None,
            detail: "first from this network since the service started".to_string(),
        });
    }
}

/// Whom a credential claims to be, before it is checked: a public id, never a secret.
fn claimed_id(credential: &Credential) -> Option<String> {
    match credential {
        Credential::Token(token) => tokens::id_of(token),
        Credential::Assertion(assertion) => oidc::claimed_id(assertion),
        Credential::Session(_) | Credential::Certificate(_) => None,
    }
}

/// Refuses what cannot be a tenant.
fn check_tenant(tenant: &str) -> Result<()> {
    ensure!(
        schemas::origin::is_part(tenant) && tenant != schemas::origin::ROOT_TENANT,
        "tenant {tenant:?} is not 1 to 64 of a-z 0-9 . _ -"
    );
    Ok(())
}

/// `<kind><shown>-<8 hex>`: readable, of bounded length and plain letters, and told apart by all of `whole`.
fn bounded_id(kind: &str, shown: &str, whole: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || "._@:/-".contains(letter) { letter } else { '_' }
    };
    let shown: String = shown.chars().map(plain).take(schemas::limits::PRINCIPAL_SHOWN_CHARS_MAX).collect();
    let digest = blake3::hash(whole.as_bytes()).to_hex();
    format!("{kind}{shown}-{}", digest.get(..8).unwrap_or_default())
}
