//! Why someone was not let in: for the record, and to tell guesses from mistakes.

/// Why a credential was not taken. Only for the record, but for [`Reason::NoCredential`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// None was given.
    NoCredential,
    /// What was given is no credential at all.
    Malformed,
    /// A token with an id that was never given out here.
    UnknownToken,
    /// The id is ours, the rest is not.
    WrongSecret,
    /// The token has expired.
    ExpiredToken,
    /// The token was revoked.
    RevokedToken,
    /// The credential is good, the user named with it is another.
    OtherUser,
    /// No `[[mtls]]` names the certificate.
    CertificateUnmapped,
    /// The certificate is not valid now.
    CertificateExpired,
    /// No provider is configured that could have signed it.
    NoProvider,
    /// What a provider is said to have signed cannot be read.
    AssertionMalformed,
    /// It is signed in a way that is not taken.
    AssertionAlgorithm,
    /// It names no key, or none that the provider has for this algorithm.
    AssertionKey,
    /// The signature is not the provider's.
    AssertionSignature,
    /// Another provider's.
    AssertionIssuer,
    /// Meant for another service.
    AssertionAudience,
    /// It has expired.
    AssertionExpired,
    /// It is not valid yet.
    AssertionEarly,
    /// None of its roles or groups has a role here.
    AssertionRole,
    /// It names no tenant.
    AssertionTenant,
    /// The provider's keys could not be had.
    ProviderDown,
    /// Too many failures before.
    LockedOut,
}

impl Reason {
    /// Stable code, column `error_code` of the access log.
    pub const fn code(self) -> &'static str {
        match self {
            Reason::NoCredential => "no_credential",
            Reason::Malformed => "malformed_credential",
            Reason::UnknownToken => "unknown_token",
            Reason::WrongSecret => "wrong_secret",
            Reason::ExpiredToken => "expired_token",
            Reason::RevokedToken => "revoked_token",
            Reason::OtherUser => "other_user",
            Reason::CertificateUnmapped => "certificate_unmapped",
            Reason::CertificateExpired => "certificate_expired",
            Reason::NoProvider => "no_provider",
            Reason::AssertionMalformed => "assertion_malformed",
            Reason::AssertionAlgorithm => "assertion_algorithm",
            Reason::AssertionKey => "assertion_key",
            Reason::AssertionSignature => "assertion_signature",
            Reason::AssertionIssuer => "assertion_issuer",
            Reason::AssertionAudience => "assertion_audience",
            Reason::AssertionExpired => "assertion_expired",
            Reason::AssertionEarly => "assertion_early",
            Reason::AssertionRole => "assertion_role",
            Reason::AssertionTenant => "assertion_tenant",
            Reason::ProviderDown => "provider_down",
            Reason::LockedOut => "locked_out",
        }
    }

    /// Whether it may have been a guess, and so counts towards a lockout. Whoever gives nothing guesses nothing, a certificate was
    /// proved in the handshake, and an assertion of which only the time or place is wrong was signed.
    pub(super) const fn is_guess(self) -> bool {
        !matches!(
            self,
            Reason::NoCredential
                | Reason::CertificateUnmapped
                | Reason::CertificateExpired
                | Reason::AssertionExpired
                | Reason::AssertionEarly
                | Reason::AssertionRole
                | Reason::AssertionTenant
                | Reason::ProviderDown
                | Reason::LockedOut
        )
    }
}
