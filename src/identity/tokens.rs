//! API tokens: made, checked, revoked. A token is shown once; kept is its BLAKE3 digest, in a file beside the keys.
//! Every change is also an entry of the access log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemas::principal::Role;
use serde::{Deserialize, Serialize};

use super::{Reason, check_tenant};

/// The file of token digests, in the directory of the keys.
const TOKENS_FILE: &str = "tokens.json";
/// The first token, written on first start.
const ADMIN_FILE: &str = "admin.token";
/// How every token begins, so that scanners of secrets can know it.
const PREFIX: &str = "tacho_";
/// BLAKE3 context of token digests.
const DIGEST_CONTEXT: &str = "tachograph 2026-11 api token digest v1";

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Public id, `t-<12 hex>`.
    pub id: String,
    /// What it may do.
    pub role: Role,
    /// In which tenant.
    pub tenant: String,
    /// When it was made, microseconds.
    pub created_us: i64,
    /// When it stops working, microseconds.
    pub expires_us: Option<i64>,
    /// When it was revoked, microseconds.
    pub revoked_us: Option<i64>,
    /// That it was revoked is not on the access log yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revocation_unrecorded: bool,
    digest: String,
}

/// The tokens of one installation; cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    path: PathBuf,
    tokens: Arc<RwLock<Vec<TokenRecord>>>,
}

impl TokenRecord {
    /// Whether it is in force.
    pub fn is_live(&self, now_us: i64) -> bool {
        self.revoked_us.is_none() && self.expires_us.is_none_or(|expires_us| now_us < expires_us)
    }
}

impl Tokens {
    /// Loads the tokens beside the keys. On first start makes the admin token and says where it is.
    pub fn open(keys: &Path, now_us: i64) -> Result<Tokens> {
        let path = keys.join(TOKENS_FILE);
        let tokens = match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let made = Tokens { path, tokens: Arc::new(RwLock::new(tokens)) };
        if made.list().is_empty() {
            let (record, token) = made.create(Role::Admin, "default", None, now_us)?;
            let admin = keys.join(ADMIN_FILE);
            store::write_secret(&admin, format!("{token}\n").as_bytes())?;
            tracing::info!(id = %record.id, file = %admin.display(), "first start: the admin token is in this file");
        }
        Ok(made)
    }

    /// Makes a token; the text is given this once.
    pub fn create(
        &self,
        role: Role,
        tenant: &str,
        expires_us: Option<i64>,
        now_us: i64,
    ) -> Result<(TokenRecord, String)> {
        check_tenant(tenant)?;
        let mut random = [0u8; 38];
        getrandom::fill(&mut random).context("randomness")?;
        let (id, secret) = random.split_at(6);
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let token = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        let record = TokenRecord {
            id: format!("t-{id}"),
            role,
            tenant: tenant.to_string(),
            created_us: now_us,
            expires_us,
            revoked_us: None,
            revocation_unrecorded: false,
            digest: digest(&token).to_hex().to_string(),
        };
        self.change(|tokens| tokens.push(record.clone()))?;
        Ok((record, token))
    }

    /// All tokens ever made.
    pub fn list(&self) -> Vec<TokenRecord> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Revokes a token at once; `None` when there is none with this id. Until [`Tokens::recorded`] says otherwise, that it was
    /// revoked is owed to the access log.
    pub fn revoke(&self, id: &str, now_us: i64) -> Result<Option<TokenRecord>> {
        let mut revoked = None;
        self.change(|tokens| {
            if let Some(token) = tokens.iter_mut().find(|token| token.id == id) {
                if token.revoked_us.is_none() {
                    token.revoked_us = Some(now_us);
                    token.revocation_unrecorded = true;
                }
                revoked = Some(token.clone());
            }
        })?;
        Ok(revoked)
    }

    /// That this token was revoked is on the access log.
    pub fn recorded(&self, id: &str) -> Result<()> {
        self.change(|tokens| {
            if let Some(token) = tokens.iter_mut().find(|token| token.id == id) {
                token.revocation_unrecorded = false;
            }
        })
    }

    /// The token of this id.
    pub fn find(&self, id: &str) -> Option<TokenRecord> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().find(|record| record.id == id).cloned()
    }

    /// The token, if the text is one of ours and in force.
    pub(super) fn check(&self, token: &str, now_us: i64) -> Result<TokenRecord, Reason> {
        let id = id_of(token).ok_or(Reason::Malformed)?;
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let record = tokens.iter().find(|record| record.id == id).ok_or(Reason::UnknownToken)?;
        let expected = blake3::Hash::from_hex(&record.digest).map_err(|_| Reason::WrongSecret)?;
        // blake3::Hash compares in constant time.
        if digest(token) != expected {
            return Err(Reason::WrongSecret);
        }
        if record.revoked_us.is_some() {
            return Err(Reason::RevokedToken);
        }
        if record.expires_us.is_some_and(|expires_us| expires_us <= now_us) {
            return Err(Reason::ExpiredToken);
        }
        Ok(record.clone())
    }

    /// Changes the list: the file first, so that a revocation that was answered survives a crash.
    fn change(&self, change: impl FnOnce(&mut Vec<TokenRecord>)) -> Result<()> {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = tokens.clone();
        change(&mut changed);
        store::write_secret(&self.path, serde_json::to_string_pretty(&changed)?.as_bytes())?;
        *tokens = changed;
        Ok(())
    }
}

/// Whether the text is written like one of our tokens.
pub(super) fn is_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// The id that a token's text names, whether or not there is one: `t-<12 hex>`.
pub(super) fn id_of(token: &str) -> Option<String> {
    let (id, _) = token.strip_prefix(PREFIX)?.split_once('_')?;
    let is_id = id.len() == 12 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then(|| format!("t-{id}"))
}

fn digest(token: &str) -> blake3::Hash {
    blake3::Hash::from(blake3::derive_key(DIGEST_CONTEXT, token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_works_until_it_expires_or_is_revoked_and_its_text_is_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path(), 0).unwrap();
        let (record, token) = tokens.create(Role::Auditor, "acme", Some(100), 0).unwrap();
        let found = tokens.check(&token, 99).unwrap();
        assert_eq!((found.role, found.tenant.as_str()), (Role::Auditor, "acme"));
        assert_eq!(tokens.check(&token, 100), Err(Reason::ExpiredToken));
        let again = Tokens::open(dir.path(), 0).unwrap();
        assert!(again.check(&token, 0).is_ok());
        assert!(again.revoke(&record.id, 5).unwrap().unwrap().revocation_unrecorded);
        assert_eq!(again.check(&token, 6), Err(Reason::RevokedToken));
        assert!(Tokens::open(dir.path(), 0).unwrap().find(&record.id).unwrap().revocation_unrecorded);
        again.recorded(&record.id).unwrap();
        assert!(!again.revoke(&record.id, 7).unwrap().unwrap().revocation_unrecorded, "it is recorded once");
        assert!(again.revoke("t-nobody", 5).unwrap().is_none());
        let kept = fs::read_to_string(dir.path().join(TOKENS_FILE)).unwrap();
        assert!(!kept.contains(&token) && !kept.contains(&token[20..]));
        let mut wrong = token.into_bytes();
        let last = wrong.len() - 1;
        wrong[last] ^= 1;
        let wrong = String::from_utf8(wrong).unwrap();
        assert_eq!(again.check(&wrong, 0), Err(Reason::WrongSecret));
        assert_eq!(again.check("tacho_000000000000_x", 0), Err(Reason::UnknownToken));
        for bad in ["", "tacho_", "tacho_0000", "tacho_00000000000G_x", "tacho_\u{e4}00000000000_x"] {
            assert_eq!(again.check(bad, 0), Err(Reason::Malformed), "{bad}");
        }
    }
}
