use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::support::write;

/// An authority, and a directory with what it has issued: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
pub struct Certificates {
    pub dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    ca: String,
}

impl Certificates {
    pub fn new(dir: &Path) -> Certificates {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of a test");
        let ca = params.self_signed(&key).unwrap().pem();
        write(dir, "ca.pem", &ca);
        let made = Certificates { dir: dir.to_path_buf(), issuer: Issuer::new(params, key), ca };
        made.issue("server", &["127.0.0.1", "localhost", "soc.example"], ExtendedKeyUsagePurpose::ServerAuth);
        made.issue("client", &["recorder.example"], ExtendedKeyUsagePurpose::ClientAuth);
        made
    }

    /// `<name>.pem` and `<name>.key`, anew.
    pub fn issue(&self, name: &str, of: &[&str], purpose: ExtendedKeyUsagePurpose) {
        let key = KeyPair::generate().unwrap();
        let of: Vec<String> = of.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(of).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        write(&self.dir, &format!("{name}.pem"), &certificate.pem());
        write(&self.dir, &format!("{name}.key"), &key.serialize_pem());
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// `tls = …` of a client that has a certificate.
    pub fn table(&self) -> String {
        let (ca, cert, key) = (self.path("ca.pem"), self.path("client.pem"), self.path("client.key"));
        format!("tls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}")
    }

    /// A server that wants a client's certificate of this authority.
    pub fn server(&self) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap()).unwrap();
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let read = |name: &str| std::fs::read(self.dir.join(name)).unwrap();
        let chain =
            CertificateDer::pem_slice_iter(&read("server.pem")).collect::<Result<Vec<_>, _>>().unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, PrivateKeyDer::from_pem_slice(&read("server.key")).unwrap())
            .unwrap();
        Arc::new(config)
    }
}
