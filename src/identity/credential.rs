//! What a caller gives to be let in, taken from the headers of a request.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use schemas::limits;

use super::certificates::Certificate;
use super::{Reason, tokens};

/// A credential as it was given; unchecked.
#[derive(Clone)]
pub enum Credential {
    /// An API token.
    Token(String),
    /// What an OpenID provider signed.
    Assertion(String),
    /// The cookie of a session.
    Session(String),
    /// A client certificate that chains to `tls.client_ca`.
    Certificate(Arc<Certificate>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::Token(_) => "Token(..)",
            Credential::Assertion(_) => "Assertion(..)",
            Credential::Session(_) => "Session(..)",
            Credential::Certificate(_) => "Certificate(..)",
        })
    }
}

impl Credential {
    /// An API token, or what an OpenID provider signed, by the look of it: what a password or a bearer header holds.
    ///
    /// # Errors
    /// [`Reason::Malformed`] for what is neither.
    pub fn secret(text: &str) -> Result<Credential, Reason> {
        let text = text.trim();
        if text.len() > limits::CREDENTIAL_BYTES_MAX {
            return Err(Reason::Malformed);
        }
        if tokens::is_token(text) {
            return Ok(Credential::Token(text.to_string()));
        }
        if text.bytes().filter(|byte| *byte == b'.').count() == 2 {
            return Ok(Credential::Assertion(text.to_string()));
        }
        Err(Reason::Malformed)
    }

    /// The credential of a request. One in the header wins over a session, and that over the certificate; and if it is bad the
    /// others do not help: otherwise a revoked token, or a session that was ended, would go on with what they may do.
    ///
    /// # Errors
    /// [`Reason::NoCredential`], [`Reason::Malformed`].
    pub fn of(
        headers: &HeaderMap,
        session: Option<&str>,
        certificate: Option<&Arc<Certificate>>,
    ) -> Result<Credential, Reason> {
        match (headers.get(header::AUTHORIZATION), session, certificate) {
            (Some(value), ..) => authorization(value.to_str().map_err(|_| Reason::Malformed)?),
            (None, Some(session), _) => Ok(Credential::Session(session.to_string())),
            (None, None, Some(certificate)) => Ok(Credential::Certificate(Arc::clone(certificate))),
            (None, None, None) => Err(Reason::NoCredential),
        }
    }
}

/// `Bearer SECRET`, or Basic with the secret as password.
fn authorization(header: &str) -> Result<Credential, Reason> {
    let (scheme, rest) = header.split_once(' ').ok_or(Reason::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Credential::secret(rest);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Reason::Malformed);
    }
    let decoded =
        base64::engine::general_purpose::STANDARD.decode(rest.trim()).map_err(|_| Reason::Malformed)?;
    let text = String::from_utf8(decoded).map_err(|_| Reason::Malformed)?;
    text.split_once(':').ok_or(Reason::Malformed).and_then(|(_, password)| Credential::secret(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_and_basic_are_understood() {
        for good in ["Bearer tacho_x", "bearer tacho_x", "BASIC dXNlcjp0YWNob194"] {
            assert!(
                matches!(authorization(good), Ok(Credential::Token(token)) if token == "tacho_x"),
                "{good}"
            );
        }
        assert!(matches!(authorization("Bearer a.b.c"), Ok(Credential::Assertion(text)) if text == "a.b.c"));
        let long = format!("Bearer tacho_{}", "x".repeat(limits::CREDENTIAL_BYTES_MAX));
        for bad in ["", "Bearer", "Bearer x", "Digest tacho_x", "Basic !", "Basic dXNlcg==", &long] {
            assert!(matches!(authorization(bad), Err(Reason::Malformed)), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let shown = format!("{:?}", Credential::secret("tacho_hidden"));
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
