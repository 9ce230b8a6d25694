//! TLS from files that may change while the service runs.
//!
//! What is in force is always a pair that was loaded whole: certificate and key belong together, are valid now, and the key
//! is not for everyone to read. New files take effect for new connections; bad ones are logged and counted and what was in
//! force stays.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use schemas::limits;
use store::Clock;
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::configuration::Configuration;

/// Time between two looks at the files.
const CHECK_INTERVAL: Duration = Duration::from_millis(limits::TLS_CHECK_INTERVAL_MS);
/// What everyone but owner and group may do, and what the group may not: read the key, write it.
const FOR_OTHERS: u32 = 0o027;

/// The files, by the settings that name them.
#[derive(Debug, Clone)]
pub struct Files {
    /// `tls.cert`: the certificate and its chain, PEM.
    pub certificate: PathBuf,
    /// `tls.key`: its key, PEM.
    pub key: PathBuf,
    /// `tls.client_ca`: whose client certificates are let in, PEM.
    pub client_ca: Option<PathBuf>,
}

/// What is in force; cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    files: Files,
    clock: Arc<dyn Clock>,
    config: RwLock<Arc<ServerConfig>>,
    /// When the first certificate of the chain to expire does, seconds.
    expires_s: AtomicI64,
    /// Digest of the files as they were last tried: a bad one is told of once.
    tried: Mutex<blake3::Hash>,
}

/// Makes ring the one provider of cryptography for TLS in this process.
pub fn install_provider() {
    // An error means that it is installed already.
    rustls::crypto::ring::default_provider().install_default().ok();
}

impl Tls {
    /// The TLS that the configuration asks for, if any.
    ///
    /// # Errors
    /// Names the file and what to do about it: the service must then not listen.
    pub fn from_configuration(configuration: &Configuration, clock: Arc<dyn Clock>) -> Result<Option<Tls>> {
        let path = |key: &str| match configuration.text(key) {
            "" => None,
            path => Some(PathBuf::from(path)),
        };
        match (path("tls.cert"), path("tls.key"), path("tls.client_ca")) {
            (Some(certificate), Some(key), client_ca) => {
                Tls::open(Files { certificate, key, client_ca }, clock).map(Some)
            }
            (None, None, None) => Ok(None),
            (Some(_), None, _) => {
                bail!("tls.cert is set and tls.key is not; give both (--tls-cert, --tls-key)")
            }
            (None, Some(_), _) => {
                bail!("tls.key is set and tls.cert is not; give both (--tls-cert, --tls-key)")
            }
            (None, None, Some(_)) => {
                bail!("tls.client_ca needs tls.cert and tls.key: client certificates come over TLS")
            }
        }
    }

    /// Loads the files.
    ///
    /// # Errors
    /// As [`Tls::from_configuration`].
    pub fn open(files: Files, clock: Arc<dyn Clock>) -> Result<Tls> {
        let contents = Contents::read(&files)?;
        let (config, expires_s) = contents.load(&files, clock.wall_us())?;
        let shared = Shared {
            expires_s: AtomicI64::new(expires_s),
            files,
            clock,
            config: RwLock::new(Arc::new(config)),
            tried: Mutex::new(contents.digest()),
        };
        Ok(Tls { shared: Arc::new(shared) })
    }

    /// What new connections are to use.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shared.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads the files if they changed since they were last tried; whether something new is in force.
    ///
    /// # Errors
    /// As [`Tls::from_configuration`]; what was in force stays.
    pub fn reload(&self) -> Result<bool> {
        let Shared { files, clock, config, expires_s, tried } = &*self.shared;
        let contents = Contents::read(files)?;
        let digest = contents.digest();
        if std::mem::replace(&mut *tried.lock().unwrap_or_else(PoisonError::into_inner), digest) == digest {
            return Ok(false);
        }
        let (loaded, until_s) = contents.load(files, clock.wall_us())?;
        expires_s.store(until_s, Ordering::Relaxed);
        *config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(true)
    }

    /// Looks at the files every few seconds, and whenever the process is told to (SIGHUP), until the service ends.
    pub async fn watch(self, mut stopped: watch::Receiver<bool>, mut told: Signal) {
        let mut was_unreadable = false;
        loop {
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            metrics::gauge!("tacho_tls_certificate_expires_timestamp_seconds")
                .set(self.shared.expires_s.load(Ordering::Relaxed) as f64);
            tokio::select! {
                // An error means that the sender is gone, and with it the service.
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
                _ = told.recv() => was_unreadable = false,
            }
            let tls = self.clone();
            let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
            match reloaded.map_err(anyhow::Error::from).flatten() {
                Ok(changed) => {
                    was_unreadable = false;
                    if changed {
                        metrics::counter!("tacho_tls_reloads_total").increment(1);
                        tracing::info!("new TLS files are in force for new connections");
                    }
                }
                // A file that cannot be read has no digest: told of once, until it can be.
                Err(_) if was_unreadable => {}
                Err(error) => {
                    was_unreadable = Contents::read(&self.shared.files).is_err();
                    metrics::counter!("tacho_tls_reload_failures_total").increment(1);
                    tracing::error!(
                        error = format!("{error:#}"),
                        "TLS files are bad; the old ones stay in force"
                    );
                }
            }
        }
    }
}

/// The bytes of the files, read once, so that what is checked is what is used.
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Contents {
    fn read(files: &Files) -> Result<Contents> {
        let client_ca = files.client_ca.as_deref().map(|path| read("tls.client_ca", path)).transpose()?;
        Ok(Contents {
            certificate: read("tls.cert", &files.certificate)?,
            key: read_secret("tls.key", &files.key, limits::TLS_FILE_BYTES_MAX)?,
            client_ca,
        })
    }

    fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for part in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten()
        {
            hasher.update(blake3::hash(part).as_bytes());
        }
        hasher.finalize()
    }

    /// What is to be in force, and until when it is good, seconds.
    fn load(&self, files: &Files, now_us: i64) -> Result<(ServerConfig, i64)> {
        let chain = certificates("tls.cert", &files.certificate, &self.certificate)?;
        let mut expires_s = i64::MAX;
        for certificate in &chain {
            expires_s = expires_s.min(check_validity("tls.cert", &files.certificate, certificate, now_us)?);
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| {
            anyhow!("tls.key {}: {error}; give one unencrypted private key in PEM", files.key.display())
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .context("TLS versions")?;
        let builder = match (&files.client_ca, &self.client_ca) {
            (Some(path), Some(bytes)) => {
                let roots = Arc::new(roots("tls.client_ca", path, bytes, now_us)?);
                // Who has no certificate comes in by a token; a certificate of another's is turned away at the door.
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .allow_unauthenticated()
                    .build()
                    .with_context(|| format!("tls.client_ca {}", path.display()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => anyhow!(
                "tls.cert {} and tls.key {} do not belong together; give the key that the certificate was issued for",
                files.certificate.display(),
                files.key.display()
            ),
            other => anyhow!(
                "tls.cert {} with tls.key {}: {other}",
                files.certificate.display(),
                files.key.display()
            ),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((config, expires_s))
    }
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>> {
    let place = || format!("{setting} {}", path.display());
    let file = fs::File::open(path).with_context(place)?;
    contents(file, limits::TLS_FILE_BYTES_MAX).with_context(place)
}

/// What is secret in a file, if not everyone can read it.
///
/// # Errors
/// Names the setting, the file and what to do.
pub(crate) fn read_secret(setting: &str, path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let place = || format!("{setting} {}", path.display());
    let file = fs::File::open(path).with_context(place)?;
    let mode = file.metadata().with_context(place)?.permissions().mode() & 0o777;
    ensure!(
        mode & FOR_OTHERS == 0,
        "{setting} {} is open to others (mode {mode:04o}); say: chmod 600 {}",
        path.display(),
        path.display()
    );
    contents(file, bytes_max).with_context(place)
}

fn contents(file: fs::File, bytes_max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= bytes_max, "over {bytes_max} bytes");
    Ok(bytes)
}

fn certificates(setting: &str, path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| anyhow!("{setting} {}: {error}", path.display()))?;
    ensure!(!found.is_empty(), "{setting} {} holds no certificate; give one in PEM", path.display());
    Ok(found)
}

/// When the certificate expires, in seconds, if it is valid now.
fn check_validity(setting: &str, path: &Path, certificate: &[u8], now_us: i64) -> Result<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| anyhow!("{setting} {}: no X.509 certificate: {error}", path.display()))?;
    let validity = parsed.validity();
    let (from_s, until_s) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let time =
        |s: i64| jiff::Timestamp::from_second(s).map_or_else(|_| s.to_string(), |time| time.to_string());
    let now_s = now_us.div_euclid(1_000_000);
    ensure!(
        now_s <= until_s,
        "{setting} {}: certificate {} expired on {}; put a renewed one there",
        path.display(),
        parsed.subject(),
        time(until_s)
    );
    ensure!(
        now_s >= from_s,
        "{setting} {}: certificate {} is valid only from {}; look at the clock, or put one there that is valid now",
        path.display(),
        parsed.subject(),
        time(from_s)
    );
    Ok(until_s)
}

fn roots(setting: &str, path: &Path, bytes: &[u8], now_us: i64) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path, bytes)? {
        check_validity(setting, path, &certificate, now_us)?;
        roots.add(certificate).map_err(|error| anyhow!("{setting} {}: {error}", path.display()))?;
    }
    Ok(roots)
}

/// What a command that speaks to a service trusts: the certificates of `ca`, or without it those the world trusts.
///
/// # Errors
/// Names the file.
pub fn client(ca: Option<&Path>, now_us: i64) -> Result<Arc<ClientConfig>> {
    let roots = match ca {
        Some(path) => roots("--ca", path, &read("--ca", path)?, now_us)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The name that a service's certificate must carry, from the host of a URL.
///
/// # Errors
/// For what is neither a name nor an address.
pub fn name_of(host: &str) -> Result<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_string()).with_context(|| format!("{host:?} is no host name"))
}

#[cfg(test)]
mod tests;
