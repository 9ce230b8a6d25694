//! Who may come in: TLS, tokens, client certificates, lockouts, and what is on record of it.

mod cross_site;
mod descriptors;
mod gone;
mod login;
mod oidc;
pub(super) mod tls;
mod tokens;

use std::path::Path;

use crate::support::{Service, eventually};

/// Certificates for one test: an authority, and what it signed.
pub(super) struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Authority { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    /// A certificate with this common name and these alternative names, and its key.
    fn sign(&self, common: &str, names: &[&str]) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common);
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "acme");
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes `ca.pem`, and `cert.pem` and `key.pem` for a service on loopback.
    pub(super) fn equip(&self, home: &Path) {
        std::fs::write(home.join("ca.pem"), self.certificate.pem()).unwrap();
        self.renew(home);
    }

    /// Writes another pair.
    fn renew(&self, home: &Path) {
        let (certificate, key) = self.sign("tacho", &["127.0.0.1", "localhost"]);
        put_secret(&home.join("key.pem"), &key.serialize_pem());
        std::fs::write(home.join("cert.pem"), certificate.pem()).unwrap();
    }
}

fn put_secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The environment of a service with TLS from the files of [`Authority::equip`].
pub(super) fn with_tls(home: &Path) -> Vec<(&'static str, String)> {
    let path = |name: &str| home.join(name).display().to_string();
    vec![("TACHO_TLS_CERT", path("cert.pem")), ("TACHO_TLS_KEY", path("key.pem"))]
}

fn start(home: &Path, environment: &[(&'static str, String)]) -> Service {
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Service::start(home, &environment)
}
