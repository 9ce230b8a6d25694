//! Client certificates: whom one stands for, by a mapping from subject or alternative name to role and tenant.
//!
//! That a certificate chains to `tls.client_ca` was checked when the connection was made. Names are compared by their parts,
//! never as printed text: a common name with a comma in it is not two parts.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use schemas::principal::Role;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};

use super::{Reason, bounded_id};

/// Parts of a distinguished name, `(type, value)`, sorted: certificates write them in either order.
type Name = Vec<(String, String)>;

/// One `[[mtls]]` of the configuration: exactly one of `subject`, `uri` and `dns`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The whole subject, such as `CN=collector-1,O=acme`; a comma within a value is written `\,`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// A URI among the alternative names, such as `spiffe://acme/collector`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// A host name among the alternative names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// What it may do.
    pub role: Role,
    /// In which tenant.
    pub tenant: String,
}

/// What is kept of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// `None` where a part of the subject is no text.
    subject: Option<Name>,
    uris: Vec<String>,
    names: Vec<String>,
    from_us: i64,
    until_us: i64,
}

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// For what is no X.509 certificate.
    pub fn parse(der: &[u8]) -> Result<Certificate> {
        let (_, parsed) =
            x509_parser::parse_x509_certificate(der).map_err(|error| anyhow!("certificate: {error}"))?;
        let parts = parsed.subject().iter_attributes().map(|part| {
            let kind = oid2abbrev(part.attr_type(), oid_registry())
                .map_or_else(|_| part.attr_type().to_id_string(), str::to_string);
            Some((kind, part.as_str().ok()?.to_string()))
        });
        let mut subject: Option<Name> = parts.collect();
        if let Some(parts) = &mut subject {
            parts.sort();
        }
        let (mut uris, mut names) = (Vec::new(), Vec::new());
        let alternative =
            parsed.subject_alternative_name().map_err(|error| anyhow!("certificate: {error}"))?;
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).to_string()),
                GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase()),
                _ => {}
            }
        }
        let validity = parsed.validity();
        let us = |s: i64| s.saturating_mul(1_000_000);
        let (from_us, until_us) = (us(validity.not_before.timestamp()), us(validity.not_after.timestamp()));
        Ok(Certificate { subject, uris, names, from_us, until_us })
    }
}

/// The mappings of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    mappings: Vec<(Wanted, Mapping)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Subject(Name),
    Uri(String),
    Dns(String),
}

impl Wanted {
    fn is_in(&self, certificate: &Certificate) -> bool {
        match self {
            Wanted::Subject(name) => certificate.subject.as_ref() == Some(name),
            Wanted::Uri(uri) => certificate.uris.contains(uri),
            Wanted::Dns(name) => certificate.names.contains(name),
        }
    }
}

impl Certificates {
    /// Checks the mappings.
    ///
    /// # Errors
    /// Names the mapping that is none, or is there twice.
    pub fn new(mappings: &[Mapping]) -> Result<Certificates> {
        let mut checked: Vec<(Wanted, Mapping)> = Vec::new();
        for mapping in mappings {
            let wanted = match (&mapping.subject, &mapping.uri, &mapping.dns) {
                (Some(subject), None, None) => Wanted::Subject(parse_name(subject)?),
                (None, Some(uri), None) => Wanted::Uri(uri.clone()),
                (None, None, Some(name)) => Wanted::Dns(name.to_ascii_lowercase()),
                _ => bail!("each [[mtls]] has exactly one of subject, uri and dns"),
            };
            super::check_tenant(&mapping.tenant).context("in [[mtls]]")?;
            ensure!(checked.iter().all(|(known, _)| *known != wanted), "[[mtls]]: {wanted:?} is there twice");
            checked.push((wanted, mapping.clone()));
        }
        Ok(Certificates { mappings: checked })
    }

    /// Id, role and tenant of whom a certificate stands for: the first mapping that fits it.
    pub(super) fn check(
        &self,
        certificate: &Certificate,
        now_us: i64,
    ) -> Result<(String, Role, String), Reason> {
        // The handshake checked this once; a connection, and a session taken up again, may outlive it.
        if !(certificate.from_us..=certificate.until_us).contains(&now_us) {
            return Err(Reason::CertificateExpired);
        }
        let found = self.mappings.iter().find(|(wanted, _)| wanted.is_in(certificate));
        let (wanted, mapping) = found.ok_or(Reason::CertificateUnmapped)?;
        Ok((principal_id(wanted), mapping.role, mapping.tenant.clone()))
    }
}

/// `m-<name>-<8 hex>`: what people know it by, and what tells two of the same common name apart.
fn principal_id(wanted: &Wanted) -> String {
    let (shown, whole) = match wanted {
        Wanted::Subject(parts) => {
            let common = parts.iter().find(|(kind, _)| kind == "CN").or(parts.first());
            (common.map_or("", |(_, value)| value.as_str()), format!("{parts:?}"))
        }
        Wanted::Uri(uri) => (uri.as_str(), uri.clone()),
        Wanted::Dns(name) => (name.as_str(), name.clone()),
    };
    bounded_id("m-", shown, &whole)
}

/// `CN=collector-1,O=acme` in its parts.
fn parse_name(text: &str) -> Result<Name> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut letters = text.chars();
    let mut ended = false;
    while !ended {
        match letters.next() {
            Some('\\') => part.push(letters.next().with_context(|| format!("subject {text:?} ends in \\"))?),
            Some(letter) if letter != ',' => part.push(letter),
            end => {
                ended = end.is_none();
                let (kind, value) = part
                    .split_once('=')
                    .with_context(|| format!("subject {text:?}: write it as CN=name,O=organisation"))?;
                ensure!(!value.trim().is_empty(), "subject {text:?}: {kind} is empty");
                parts.push((kind.trim().to_string(), value.trim().to_string()));
                part.clear();
            }
        }
    }
    parts.sort();
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(subject: Option<&str>, uri: Option<&str>, dns: Option<&str>) -> Mapping {
        let text = |text: &str| text.to_string();
        Mapping {
            subject: subject.map(text),
            uri: uri.map(text),
            dns: dns.map(text),
            role: Role::Collector,
            tenant: "acme".to_string(),
        }
    }

    fn certificate(common: &str, organisation: &str, alternative: Vec<rcgen::SanType>) -> Certificate {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, organisation);
        params.distinguished_name.push(rcgen::DnType::CommonName, common);
        params.subject_alt_names = alternative;
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        Certificate::parse(made.der()).unwrap()
    }

    #[test]
    fn a_subject_is_compared_by_its_parts() {
        let certificates = Certificates::new(&[mapping(Some("CN=collector-1, O=acme"), None, None)]).unwrap();
        let now_us = 1_780_000_000_000_000;
        let good = certificate("collector-1", "acme", Vec::new());
        let (id, role, tenant) = certificates.check(&good, now_us).unwrap();
        assert_eq!((role, tenant.as_str()), (Role::Collector, "acme"));
        assert!(id.starts_with("m-collector-1-") && id.len() == "m-collector-1-".len() + 8, "{id}");
        for (common, organisation) in [
            ("collector-2", "acme"),
            ("collector-1", "other"),
            ("collector-1,O=acme", "x"),
            ("acme", "collector-1"),
        ] {
            let other = certificate(common, organisation, Vec::new());
            assert_eq!(certificates.check(&other, now_us), Err(Reason::CertificateUnmapped), "{common}");
        }
        assert_eq!(certificates.check(&good, i64::MAX), Err(Reason::CertificateExpired));
    }

    #[test]
    fn alternative_names_are_compared_whole() {
        let certificates = Certificates::new(&[
            mapping(None, Some("spiffe://acme/collector"), None),
            mapping(None, None, Some("One.Acme.example")),
        ])
        .unwrap();
        let now_us = 1_780_000_000_000_000;
        let uri = |text: &str| rcgen::SanType::URI(text.try_into().unwrap());
        let dns = |text: &str| rcgen::SanType::DnsName(text.try_into().unwrap());
        assert!(
            certificates.check(&certificate("x", "y", vec![uri("spiffe://acme/collector")]), now_us).is_ok()
        );
        assert!(certificates.check(&certificate("x", "y", vec![dns("one.acme.example")]), now_us).is_ok());
        for alternative in [
            uri("spiffe://acme/collector/2"),
            uri("spiffe://acme"),
            dns("two.one.acme.example"),
            uri("one.acme.example"),
        ] {
            let other = certificate("one.acme.example", "y", vec![alternative]);
            assert_eq!(certificates.check(&other, now_us), Err(Reason::CertificateUnmapped));
        }
    }

    #[test]
    fn mistakes_in_mappings_are_named() {
        let twice = mapping(Some("CN=a"), None, None);
        for (mappings, named) in [
            (vec![mapping(None, None, None)], "exactly one"),
            (vec![mapping(Some("CN=a"), None, Some("a"))], "exactly one"),
            (vec![mapping(Some("collector-1"), None, None)], "write it as"),
            (vec![mapping(Some("CN="), None, None)], "empty"),
            (vec![twice.clone(), twice.clone()], "twice"),
            (vec![Mapping { tenant: "A B".to_string(), ..twice }], "tenant"),
        ] {
            let error = format!("{:#}", Certificates::new(&mappings).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
        assert_eq!(parse_name(r"CN=a\,O=b").unwrap(), [("CN".to_string(), "a,O=b".to_string())]);
    }
}
