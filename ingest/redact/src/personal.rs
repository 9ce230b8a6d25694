//! Personal data: found by form and checksum, and treated as the tenant's policy says. Nothing is looked for that is kept,
//! which is the default for all of it.
//!
//! What takes its place is found by no rule again: a mask has no local part, too few digits or a star among them; a pseudonym
//! has no digits at all.

mod find;
mod identity;
mod number;

use std::fmt;

pub(crate) use find::{find, first, whole_value};
pub(crate) use identity::{is_name, may_be_named};

use crate::marker;

/// A class of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// An email address.
    Email,
    /// A telephone number: with a plus sign, in the form of North America's, or under a name such as `phone`.
    Phone,
    /// A payment card's number, by its issuer's range and its check digit.
    Card,
    /// An international bank account number, by its country's length and its checksum.
    Iban,
    /// A person's number of a state: by form, date and checksum, or under a name such as `ssn`.
    NationalId,
    /// An address of the internet protocol, version 4 or 6.
    IpAddress,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 6] =
        [Class::Email, Class::Phone, Class::Card, Class::Iban, Class::NationalId, Class::IpAddress];

    /// As in configuration, markers and `redactions`.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Email => "email",
            Class::Phone => "phone",
            Class::Card => "card",
            Class::Iban => "iban",
            Class::NationalId => "national_id",
            Class::IpAddress => "ip_address",
        }
    }
}

/// What is done with a class of personal data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// It is not looked for.
    #[default]
    Keep,
    /// Part of it stays: an address's domain, a number's last digits.
    Mask,
    /// `<redacted:CLASS:FINGERPRINT>`, as of a secret: the same value has the same fingerprint within the tenant.
    Hash,
    /// A name made of the class and letters that only the tenant's key gives, to be used as one: `email-hgfbmjkaoplcdnei`.
    /// The same person has the same one within the tenant, in whatever spelling.
    Pseudonymise,
    /// `<redacted:CLASS>`: nothing is left, not even whether two are the same.
    Drop,
}

impl fmt::Display for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Policy::Keep => "keep",
            Policy::Mask => "mask",
            Policy::Hash => "hash",
            Policy::Pseudonymise => "pseudonymise",
            Policy::Drop => "drop",
        })
    }
}

/// The policy of each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policies([Policy; Class::ALL.len()]);

impl Policies {
    /// The same with another policy for one class.
    #[must_use]
    pub fn with(mut self, class: Class, policy: Policy) -> Policies {
        if let Some(place) = self.0.get_mut(class as usize) {
            *place = policy;
        }
        self
    }

    /// The policy of a class.
    pub fn of(&self, class: Class) -> Policy {
        self.0.get(class as usize).copied().unwrap_or_default()
    }

    /// True when there is anything to look for.
    pub(crate) fn is_active(&self) -> bool {
        self.0.iter().any(|policy| *policy != Policy::Keep)
    }

    /// True for a class of which nothing may be left.
    pub(crate) fn drops(&self, class: &str) -> bool {
        Class::ALL.into_iter().any(|known| known.name() == class && self.of(known) == Policy::Drop)
    }

    pub(crate) fn looks_for(&self, class: Class) -> bool {
        self.of(class) != Policy::Keep
    }
}

/// What takes the place of personal data. `key` is the tenant's.
pub(crate) fn replacement(key: &[u8; 32], policy: Policy, class: Class, value: &str) -> String {
    match policy {
        Policy::Keep => value.to_owned(),
        Policy::Mask => mask(class, value),
        Policy::Hash => marker::marker(key, class.name(), canonical(class, value).as_bytes()),
        Policy::Pseudonymise => pseudonym(key, class, &canonical(class, value)),
        Policy::Drop => format!("<redacted:{}>", class.name()),
    }
}

/// One spelling for what is the same: lower case of addresses, digits and letters alone of numbers.
fn canonical(class: Class, value: &str) -> String {
    match class {
        Class::Email => value.to_ascii_lowercase(),
        Class::IpAddress => {
            let parsed = |text: &str| text.parse::<core::net::IpAddr>().ok();
            // A port is no part of it.
            let address = parsed(value).or_else(|| value.rsplit_once(':').and_then(|(host, _)| parsed(host)));
            address.map_or_else(|| value.to_ascii_lowercase(), |address| address.to_canonical().to_string())
        }
        Class::Phone => {
            let digits: String = value.chars().filter(char::is_ascii_digit).collect();
            let is_international = value.trim_start().starts_with('+');
            match digits.strip_prefix("00").filter(|_| !is_international) {
                Some(digits) => digits.to_owned(),
                // North America's ten digits, of which none of the first is 0 or 1, without the country.
                None if !is_international && digits.len() == 10 && !digits.starts_with(['0', '1']) => {
                    format!("1{digits}")
                }
                None => digits,
            }
        }
        Class::Card | Class::Iban | Class::NationalId => {
            value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase()
        }
    }
}

/// Letters of a pseudonym: 64 bits of the digest.
const PSEUDONYM_LETTERS: usize = 16;

fn pseudonym(key: &[u8; 32], class: Class, canonical: &str) -> String {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(b"pseudonym\0").update(class.name().as_bytes()).update(&[0]).update(canonical.as_bytes());
    let digest = hasher.finalize();
    let nibbles = digest.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let letters: String = nibbles.take(PSEUDONYM_LETTERS).map(|nibble| char::from(b'a' + nibble)).collect();
    format!("{}-{letters}", class.name())
}

fn mask(class: Class, value: &str) -> String {
    let last = |count: usize| {
        let kept: Vec<char> = value.chars().filter(char::is_ascii_alphanumeric).collect();
        kept.iter().skip(kept.len().saturating_sub(count)).collect::<String>()
    };
    match class {
        Class::Email => {
            let (local, domain) = value.rsplit_once('@').unwrap_or((value, ""));
            let first: String = local.chars().take(1).collect();
            format!("{first}***@{domain}")
        }
        Class::Phone | Class::NationalId => format!("***{}", last(2)),
        Class::Card => format!("****{}", last(4)),
        Class::Iban => format!("{}****{}", value.get(..2).unwrap_or_default(), last(2)),
        Class::IpAddress => {
            let parts = |sign: char| -> Vec<&str> { value.split(sign).collect() };
            match (parts('.').as_slice(), parts(':').as_slice()) {
                ([a, b, c, _], [_]) => format!("{a}.{b}.{c}.*"),
                (_, [a, b, c, ..]) if ![a, b, c].iter().any(|part| part.is_empty()) => {
                    format!("{a}:{b}:{c}:****")
                }
                _ => "****".to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
