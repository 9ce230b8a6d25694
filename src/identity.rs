//! API tokens: made, checked, revoked. A token is shown once; kept is its BLAKE3 digest, in a file beside the keys.
//! Every change is also an entry of the access log.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemas::principal::{Principal, Role};
use serde::{Deserialize, Serialize};

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
    digest: String,
}

/// Why a credential was not taken. Says nothing that helps to guess one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// None was given.
    Missing,
    /// It is not one of ours, or revoked, or expired.
    Invalid,
}

/// The tokens of one installation; cheap to clone.
#[derive(Debug, Clone)]
pub struct Identity {
    path: PathBuf,
    tokens: Arc<RwLock<Vec<TokenRecord>>>,
}

impl Identity {
    /// Loads the tokens beside the keys. On first start makes the admin token and says where it is.
    pub fn open(keys: &Path, now_us: i64) -> Result<Identity> {
        let path = keys.join(TOKENS_FILE);
        let tokens = match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let identity = Identity { path, tokens: Arc::new(RwLock::new(tokens)) };
        if identity.list().is_empty() {
            let (record, token) = identity.create(Role::Admin, "default", None, now_us)?;
            let admin = keys.join(ADMIN_FILE);
            write_secret(&admin, format!("{token}\n").as_bytes())?;
            tracing::info!(id = %record.id, file = %admin.display(), "first start: the admin token is in this file");
        }
        Ok(identity)
    }

    /// Makes a token; the text is given this once.
    pub fn create(
        &self,
        role: Role,
        tenant: &str,
        expires_us: Option<i64>,
        now_us: i64,
    ) -> Result<(TokenRecord, String)> {
        if !schemas::origin::is_part(tenant) || tenant == schemas::origin::ROOT_TENANT {
            bail!("tenant {tenant:?} is not 1 to 64 of a-z 0-9 . _ -");
        }
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
            digest: digest(&token).to_hex().to_string(),
        };
        self.change(|tokens| tokens.push(record.clone()))?;
        Ok((record, token))
    }

    /// All tokens ever made.
    pub fn list(&self) -> Vec<TokenRecord> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Revokes a token at once; `None` when there is none with this id.
    pub fn revoke(&self, id: &str, now_us: i64) -> Result<Option<TokenRecord>> {
        let mut revoked = None;
        self.change(|tokens| {
            if let Some(token) = tokens.iter_mut().find(|token| token.id == id) {
                token.revoked_us.get_or_insert(now_us);
                revoked = Some(token.clone());
            }
        })?;
        Ok(revoked)
    }

    /// Who a token belongs to.
    pub fn authenticate(
        &self,
        token: &str,
        source_ip: Option<String>,
        now_us: i64,
    ) -> Result<Principal, Refusal> {
        let id = token.strip_prefix(PREFIX).and_then(|rest| rest.get(..12)).ok_or(Refusal::Invalid)?;
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let found = tokens.iter().find(|record| record.id.strip_prefix("t-") == Some(id));
        let record = found.ok_or(Refusal::Invalid)?;
        let expected = blake3::Hash::from_hex(&record.digest).map_err(|_| Refusal::Invalid)?;
        // blake3::Hash compares in constant time.
        let is_live =
            record.revoked_us.is_none() && record.expires_us.is_none_or(|expires_us| now_us < expires_us);
        if digest(token) != expected || !is_live {
            return Err(Refusal::Invalid);
        }
        Ok(Principal {
            id: record.id.clone(),
            role: record.role,
            tenant: record.tenant.clone(),
            source_ip,
            door: "http",
        })
    }

    /// Changes the list: the file first, so that a revocation that was answered survives a crash.
    fn change(&self, change: impl FnOnce(&mut Vec<TokenRecord>)) -> Result<()> {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = tokens.clone();
        change(&mut changed);
        write_secret(&self.path, serde_json::to_string_pretty(&changed)?.as_bytes())?;
        *tokens = changed;
        Ok(())
    }
}

fn digest(token: &str) -> blake3::Hash {
    blake3::Hash::from(blake3::derive_key(DIGEST_CONTEXT, token.as_bytes()))
}

/// Writes a file that only its owner may read: under another name first, synced, then renamed.
#[expect(
    clippy::disallowed_methods,
    reason = "the keys' directory is outside the data directory and its disk"
)]
fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let place = || format!("write {}", path.display());
    let temporary = path.with_extension("tmp");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .with_context(place)?;
    file.write_all(bytes).with_context(place)?;
    file.sync_all().with_context(place)?;
    fs::rename(&temporary, path).with_context(place)?;
    if let Some(dir) = path.parent() {
        fs::File::open(dir).and_then(|dir| dir.sync_all()).with_context(place)?;
    }
    Ok(())
}

/// The token in an `Authorization` header: `Bearer TOKEN`, or Basic with the token as password.
pub fn credential(header: Option<&str>) -> Result<String, Refusal> {
    let (scheme, rest) = header.ok_or(Refusal::Missing)?.split_once(' ').ok_or(Refusal::Invalid)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(rest.trim().to_string());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::Invalid);
    }
    let decoded =
        base64::engine::general_purpose::STANDARD.decode(rest.trim()).map_err(|_| Refusal::Invalid)?;
    let text = String::from_utf8(decoded).map_err(|_| Refusal::Invalid)?;
    text.split_once(':').map(|(_, password)| password.to_string()).ok_or(Refusal::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_works_until_it_expires_or_is_revoked_and_its_text_is_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::open(dir.path(), 0).unwrap();
        let (record, token) = identity.create(Role::Auditor, "acme", Some(100), 0).unwrap();
        let principal = identity.authenticate(&token, None, 99).unwrap();
        assert_eq!((principal.role, principal.tenant.as_str()), (Role::Auditor, "acme"));
        assert_eq!(identity.authenticate(&token, None, 100), Err(Refusal::Invalid));
        let again = Identity::open(dir.path(), 0).unwrap();
        assert!(again.authenticate(&token, None, 0).is_ok());
        again.revoke(&record.id, 5).unwrap().unwrap();
        assert_eq!(again.authenticate(&token, None, 6), Err(Refusal::Invalid));
        assert!(again.revoke("t-nobody", 5).unwrap().is_none());
        let kept = fs::read_to_string(dir.path().join(TOKENS_FILE)).unwrap();
        assert!(!kept.contains(&token) && !kept.contains(&token[20..]));
        let mut wrong = token.into_bytes();
        let last = wrong.len() - 1;
        wrong[last] ^= 1;
        let wrong = String::from_utf8(wrong).unwrap();
        assert_eq!(again.authenticate(&wrong, None, 0), Err(Refusal::Invalid));
        assert_eq!(again.authenticate("", None, 0), Err(Refusal::Invalid));
    }

    #[test]
    fn bearer_and_basic_are_understood() {
        assert_eq!(credential(Some("Bearer x")), Ok("x".to_string()));
        assert_eq!(credential(Some("bearer x")), Ok("x".to_string()));
        assert_eq!(credential(Some("Basic dXNlcjp0b2tlbg==")), Ok("token".to_string()));
        assert_eq!(credential(None), Err(Refusal::Missing));
        for bad in ["", "Bearer", "Digest x", "Basic !", "Basic dXNlcg=="] {
            assert_eq!(credential(Some(bad)), Err(Refusal::Invalid), "{bad}");
        }
    }
}
