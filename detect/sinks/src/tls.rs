//! TLS towards where a sink leads: whom it trusts, and who it says it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use schemas::limits::SINK_TLS_FILE_BYTES_MAX;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::secret;

/// Files of TLS, PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificates that sign the other side's; absent for those that the world trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Our certificate and its chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// What is in force, made anew when a file has changed.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// Of the files' bytes.
    pub(crate) digest: blake3::Hash,
    pub(crate) config: Arc<ClientConfig>,
}

impl Tls {
    /// Reads the files, and what they are for if that is not what `held` was made of. Blocking.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Settings`] naming the key, the file and what to do.
    pub(crate) fn load(&self, sink: &str, held: Option<&Loaded>) -> Result<Loaded> {
        let wrong = |detail: String| Error::Settings { sink: sink.to_string(), detail };
        let pair = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(wrong("tls.cert and tls.key belong together; give both".to_string())),
        };
        let files = [self.ca.as_ref(), pair.map(|(cert, _)| cert), pair.map(|(_, key)| key)];
        let mut contents: Vec<Option<Zeroizing<Vec<u8>>>> = Vec::with_capacity(files.len());
        let mut hasher = blake3::Hasher::new();
        let mut key_mode = 0;
        for file in files {
            let (bytes, mode) = file.map(|path| read(path)).transpose()?.unzip();
            hasher.update(blake3::hash(bytes.as_deref().map_or(&[], Vec::as_slice)).as_bytes());
            contents.push(bytes);
            key_mode = mode.unwrap_or_default();
        }
        let digest = hasher.finalize();
        if let Some(held) = held
            && held.digest == digest
        {
            return Ok(held.clone());
        }
        if key_mode & secret::FOR_OTHERS != 0 {
            tracing::warn!(
                sink,
                "the file of tls.key is open to others (mode {key_mode:04o}); say chmod 600"
            );
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(format!("tls: {error}")))?;
        let mut contents = contents.into_iter();
        let roots = match (&self.ca, contents.next().flatten()) {
            (Some(path), Some(bytes)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(sink, "tls.ca", path, &bytes)? {
                    let place = path.display();
                    roots.add(certificate).map_err(|error| wrong(format!("tls.ca {place}: {error}")))?;
                }
                roots
            }
            _ => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let builder = builder.with_root_certificates(roots);
        let config = match (pair, contents.next().flatten(), contents.next().flatten()) {
            (Some((cert, key)), Some(chain), Some(secret)) => {
                let chain = certificates(sink, "tls.cert", cert, &chain)?;
                let place = key.display();
                let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| {
                    wrong(format!("tls.key {place}: {error}; give one unencrypted private key in PEM"))
                })?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| {
                    wrong(format!("tls.cert {} with tls.key {place}: {error}", cert.display()))
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Loaded { digest, config: Arc::new(config) })
    }
}

fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32)> {
    let failed = |source| Error::File { action: "read TLS file", path: path.to_path_buf(), source };
    secret::read(path, SINK_TLS_FILE_BYTES_MAX).map_err(failed)
}

fn certificates(
    sink: &str,
    setting: &str,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = |what: String| Error::Settings {
        sink: sink.to_string(),
        detail: format!("{setting} {}: {what}", path.display()),
    };
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("holds no certificate; give one in PEM".to_string())) } else { Ok(found) }
}
