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
    /// It names a key that is not known, and the provider was asked a moment ago: it may have a new one since.
    AssertionKeyUnasked,
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
    /// It was not made for this login.
    AssertionNonce,
    /// No login was begun here under this state, or it was too long ago, or it was finished before.
    LoginState,
    /// It was begun in another browser.
    LoginBrowser,
    /// Another provider's answer (RFC 9207), or one that does not say whose it is and should.
    LoginIssuer,
    /// The provider did not let the person in, or the person thought better of it.
    LoginDenied,
    /// The provider takes the code for none of its own, or not from here.
    LoginCode,
    /// A cookie that no session has, or none any more.
    SessionUnknown,
    /// The session was too old, or not used for too long.
    SessionExpired,
    /// The provider, or its keys, could not be had.
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
            Reason::AssertionKeyUnasked => "assertion_key_unasked",
            Reason::AssertionSignature => "assertion_signature",
            Reason::AssertionIssuer => "assertion_issuer",
            Reason::AssertionAudience => "assertion_audience",
            Reason::AssertionExpired => "assertion_expired",
            Reason::AssertionEarly => "assertion_early",
            Reason::AssertionRole => "assertion_role",
            Reason::AssertionTenant => "assertion_tenant",
            Reason::AssertionNonce => "assertion_nonce",
            Reason::LoginState => "login_state",
            Reason::LoginBrowser => "login_browser",
            Reason::LoginIssuer => "login_issuer",
            Reason::LoginDenied => "login_denied",
            Reason::LoginCode => "login_code",
            Reason::SessionUnknown => "session_unknown",
            Reason::SessionExpired => "session_expired",
            Reason::ProviderDown => "provider_down",
            Reason::LockedOut => "locked_out",
        }
    }

    /// Whether it may have been a guess, and so counts towards a lockout. Whoever gives nothing guesses nothing, a certificate was
    /// proved in the handshake, an assertion of which only the time or place is wrong was signed, and a token that has expired or
    /// was revoked is right but for that. A key that the provider could not be asked for yet says nothing of who names it. The
    /// cookie of a session that is not there is what every browser holds after a restart; and to a login that was not begun, or
    /// in another browser, any page on the web can send whoever visits it, while a state of 256 bits is guessed by no one.
    pub(super) const fn is_guess(self) -> bool {
        !matches!(
            self,
            Reason::NoCredential
                | Reason::ExpiredToken
                | Reason::RevokedToken
                | Reason::CertificateUnmapped
                | Reason::CertificateExpired
                | Reason::AssertionKeyUnasked
                | Reason::AssertionExpired
                | Reason::AssertionEarly
                | Reason::AssertionRole
                | Reason::AssertionTenant
                | Reason::LoginState
                | Reason::LoginBrowser
                | Reason::LoginDenied
                | Reason::SessionUnknown
                | Reason::SessionExpired
                | Reason::ProviderDown
                | Reason::LockedOut
        )
    }
}
