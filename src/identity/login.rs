//! Login of people by browser: OpenID Connect's authorization code flow with PKCE, and the sessions that come of it.
//!
//! A login is begun here, goes on at the provider, and is finished here, in the same browser, once. Three things tie its ends
//! together: the state (to this service), a cookie (to this browser), the nonce (to what the provider signs); and the code is
//! worth nothing without the verifier, which never leaves this process but for the provider.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreErrorResponseType};
use openidconnect::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    HttpRequest, HttpResponse, IssuerUrl, JsonWebKeySet, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, TokenResponse as _, TokenUrl,
};
use schemas::limits;
use schemas::principal::{Principal, Role};
use store::Clock;

use super::oidc::{Oidc, Provider, Rejected, body};
use super::{Caller, Identity, Note, Reason, Refusal};

mod begun;
mod ended;
mod secret;
mod sessions;
mod settings;

pub(super) use ended::record_ends;
pub(super) use sessions::Person;
pub(super) use settings::Settings;

use begun::{Begun, Started};
use sessions::{Now, Sessions};
use settings::Authentication;

/// The client that speaks to one provider: where people log in and where codes are exchanged is known.
type Client = CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// What a browser is told when it begins.
pub struct Beginning {
    /// Where the person logs in.
    pub location: String,
    /// Name of the cookie by which this browser is known when it comes back.
    pub cookie: String,
    /// Its value.
    pub value: String,
}

/// What the provider sends a browser back with.
pub struct ProviderAnswer {
    /// Of this service's own making.
    pub state: Option<String>,
    /// What a session is had for.
    pub code: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// Whose answer it is.
    pub iss: Option<String>,
}

/// A finished login.
pub struct Finished {
    /// Where the browser wanted to go.
    pub return_to: String,
    /// The cookie of the session.
    pub session: String,
}

/// Printed without what is in them: codes, states and cookies are secrets.
macro_rules! printed_by_name {
    ($($kind:ident),*) => {$(
        impl std::fmt::Debug for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($kind)).finish_non_exhaustive()
            }
        }
    )*};
}
printed_by_name!(Beginning, ProviderAnswer, Finished);

/// Logins and sessions of one provider's people.
#[derive(Debug)]
pub struct Login {
    settings: Settings,
    secret: Option<ClientSecret>,
    oidc: Oidc,
    begun: Begun,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
}

impl Login {
    /// Reads the client secret; the provider need not be there.
    ///
    /// # Errors
    /// Names the setting.
    pub(super) fn new(provider: &Provider, oidc: &Oidc, clock: &Arc<dyn Clock>) -> Result<Option<Login>> {
        let Some(settings) = provider.login.clone() else { return Ok(None) };
        let secret = settings.secret(std::env::var(settings::SECRET_VARIABLE).ok())?.map(ClientSecret::new);
        if !settings.is_secure() {
            tracing::warn!(
                redirect_url = settings.redirect_url,
                "oidc.login.redirect_url is not https: browsers send the session's cookie to every port of that host, and \
                 over no encryption; whoever runs a service there can take it"
            );
        }
        let sessions = Sessions::new(settings.session_us(), settings.idle_us());
        let (oidc, clock) = (oidc.clone(), Arc::clone(clock));
        Ok(Some(Login { settings, secret, oidc, begun: Begun::default(), sessions, clock }))
    }

    /// The origin under which browsers know this service.
    pub fn origin(&self) -> String {
        self.settings.origin()
    }

    /// Whether browsers come over TLS, and cookies are for nothing else.
    pub fn is_secure(&self) -> bool {
        self.settings.is_secure()
    }

    /// Name of the cookie of sessions.
    pub fn session_cookie(&self) -> &'static str {
        // With the prefix a browser takes it from this host alone, over TLS, for all paths: no neighbour plants one.
        if self.is_secure() { "__Host-tacho_session" } else { "tacho_session" }
    }

    /// Name of the cookie of a begun login: one each, so that several tabs do not undo one another.
    pub fn begun_cookie(&self, state: &str) -> String {
        let plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-' || *letter == '_';
        let part: String = state.chars().filter(plain).take(8).collect();
        format!("{}tacho_login_{part}", if self.is_secure() { "__Host-" } else { "" })
    }

    /// How long a session goes on at most, in microseconds from now.
    pub fn remaining_us(&self, session: &str) -> Option<i64> {
        self.sessions.remaining_us(session, self.now())
    }

    fn now(&self) -> Now {
        Now { monotonic_us: self.clock.monotonic_us(), wall_us: self.clock.wall_us() }
    }

    /// Whose session it is.
    pub(super) fn check(&self, session: &str) -> Result<(String, Role, String), Reason> {
        let role_of = |groups: &[String]| self.oidc.role_of(groups);
        let (person, role) = self.sessions.check(session, self.now(), role_of)?;
        Ok((person.id, role, person.tenant))
    }

    /// Whose session it is or was, unchecked: for the record.
    pub(super) fn find(&self, session: &str) -> Option<Person> {
        self.sessions.find(session)
    }

    async fn begin(&self, address: IpAddr, return_to: String) -> Result<Beginning, Reason> {
        let client = self.client().await?;
        let random = || secret::random().ok_or(Reason::ProviderDown);
        let (state, browser, nonce, verifier) = (random()?, random()?, random()?, random()?);
        let digests = secret::digest(&state).zip(secret::digest(&browser));
        let (state_digest, browser_digest) = digests.ok_or(Reason::ProviderDown)?;
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.clone()));
        let (shown_state, shown_nonce) = (CsrfToken::new(state.clone()), Nonce::new(nonce.clone()));
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || shown_state,
                move || shown_nonce,
            )
            .set_pkce_challenge(challenge);
        for scope in self.settings.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (location, _, _) = request.url();
        let begun_us = self.clock.monotonic_us();
        let started = Started { browser: browser_digest, nonce, verifier, return_to, begun_us };
        self.begun.add(state_digest, address, started);
        metrics::counter!("tacho_logins_begun_total").increment(1);
        Ok(Beginning { location: location.into(), cookie: self.begun_cookie(&state), value: browser })
    }

    /// The login that a browser comes back to, if it is its own.
    fn take(&self, answer: &ProviderAnswer, browser: Option<&str>) -> Result<Started, Reason> {
        let state = answer.state.as_deref().and_then(secret::digest).ok_or(Reason::LoginState)?;
        let browser = browser.and_then(secret::digest);
        self.begun.take(&state, browser.as_ref(), self.clock.monotonic_us())
    }

    /// Whom the provider let in, by what it sent the browser back with.
    async fn person(&self, answer: ProviderAnswer, started: &Started) -> Result<Person, Rejected> {
        let must_say = self.oidc.endpoints().await?.authorization_response_iss_parameter_supported;
        match answer.iss.as_deref() {
            Some(issuer) if issuer != self.oidc.issuer() => return Err(Reason::LoginIssuer.into()),
            None if must_say => return Err(Reason::LoginIssuer.into()),
            _ => {}
        }
        let code = match (answer.code, answer.error) {
            (Some(code), None) => code,
            _ => return Err(Reason::LoginDenied.into()),
        };
        let id_token = self.exchange(code, started.verifier.clone()).await?;
        self.oidc.check_login(&id_token, &self.settings.client_id, &started.nonce).await
    }

    /// The ID token that a code is worth.
    async fn exchange(&self, code: String, verifier: String) -> Result<String, Reason> {
        let client = self.client().await?;
        let http = self.oidc.http().clone();
        let ask = move |request: HttpRequest| post(http.clone(), request);
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&ask)
            .await;
        match answer {
            Ok(tokens) => match tokens.id_token() {
                Some(id_token) => Ok(id_token.to_string()),
                None => Err(unusable("it gave no ID token; is openid among the client's scopes there?")),
            },
            // What it says of the code may quote it; the kind of error does not.
            Err(RequestTokenError::ServerResponse(refused)) => match refused.error() {
                CoreErrorResponseType::InvalidGrant | CoreErrorResponseType::InvalidRequest => {
                    Err(Reason::LoginCode)
                }
                // Not of this code but of this service: its secret, what it is registered for.
                kind => Err(unusable(kind.as_ref())),
            },
            Err(RequestTokenError::Request(error)) => Err(unusable(&format!("{error:#}"))),
            // The error would quote what it cannot read; where it stands says enough.
            Err(RequestTokenError::Parse(error, _)) => {
                Err(unusable(&format!("its answer cannot be read at {}", error.path())))
            }
            Err(RequestTokenError::Other(error)) => Err(unusable(&error)),
        }
    }

    async fn client(&self) -> Result<Client, Reason> {
        let endpoints = self.oidc.endpoints().await?;
        let methods = endpoints.token_endpoint_auth_methods_supported.as_deref();
        let built = self.client_of(endpoints.authorization_endpoint, endpoints.token_endpoint, methods);
        built.map_err(|error| {
            tracing::error!(error = format!("{error:#}"), "this OpenID provider lets no one log in here");
            Reason::ProviderDown
        })
    }

    fn client_of(
        &self,
        authorization: Option<String>,
        token: Option<String>,
        methods: Option<&[String]>,
    ) -> Result<Client> {
        let authorization = authorization.context("its discovery document has no authorization_endpoint")?;
        let token = token.context("its discovery document has no token_endpoint")?;
        let has = |method: &str| methods.is_some_and(|all| all.iter().any(|known| known == method));
        // Without a word about it, it is Basic (OpenID Connect Discovery, 3).
        let only_post = has("client_secret_post") && !has("client_secret_basic");
        let auth = match self.settings.client_authentication {
            Some(Authentication::ClientSecretPost) => AuthType::RequestBody,
            Some(Authentication::ClientSecretBasic) => AuthType::BasicAuth,
            None if only_post => AuthType::RequestBody,
            None => AuthType::BasicAuth,
        };
        // The keys stay empty: what the provider signs is checked where its bearer assertions are.
        let issuer = IssuerUrl::new(self.oidc.issuer().to_string())?;
        let client = CoreClient::new(
            ClientId::new(self.settings.client_id.clone()),
            issuer,
            JsonWebKeySet::new(Vec::new()),
        )
        .set_auth_type(auth)
        .set_auth_uri(AuthUrl::new(authorization)?)
        .set_token_uri(TokenUrl::new(token)?)
        .set_redirect_uri(RedirectUrl::new(self.settings.redirect_url.clone())?);
        Ok(match &self.secret {
            Some(secret) => client.set_client_secret(secret.clone()),
            None => client,
        })
    }
}

/// Says in the service's own log why codes cannot be exchanged: an operator's affair, and no one's guess.
fn unusable(why: &str) -> Reason {
    tracing::error!(why, "the OpenID provider exchanges no code for this service");
    Reason::ProviderDown
}

/// Sends what openidconnect made, and reads no more of the answer than one may say.
async fn post(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, std::io::Error> {
    let request: reqwest::Request = request.try_into().map_err(std::io::Error::other)?;
    // Its address has no secret, which an error would show: what is sent is in the body and the headers.
    let response = http.execute(request).await.map_err(std::io::Error::other)?;
    let mut answer = axum::http::Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        *headers = response.headers().clone();
    }
    let bytes = body(response).await.map_err(std::io::Error::other)?;
    answer.body(bytes).map_err(std::io::Error::other)
}

impl Identity {
    /// Login of people by browser, where the configuration has it.
    pub fn people(&self) -> Option<&Login> {
        self.people.as_deref()
    }

    /// Begins a login.
    ///
    /// # Errors
    /// When the provider cannot be asked where, or too many logins from there failed.
    pub async fn begin_login(&self, return_to: String, caller: Caller<'_>) -> Result<Beginning, Refusal> {
        // Each begun login is worth one question to the provider: who failed too often gets no more of them.
        self.check_lockout(None, caller)?;
        let address = caller.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let begun = match &self.people {
            Some(people) => people.begin(address, return_to).await,
            None => Err(Reason::NoProvider),
        };
        begun.map_err(|reason| self.turn_away(reason, None, caller))
    }

    /// Finishes a login. Every failure is recorded; those that may be guesses count as those of any door. Who comes back to a login
    /// that was begun in this browser guesses at nothing, and is heard though neighbours be locked out.
    ///
    /// # Errors
    /// Why not.
    pub async fn finish_login(
        &self,
        answer: ProviderAnswer,
        browser: Option<&str>,
        caller: Caller<'_>,
    ) -> Result<Finished, Refusal> {
        let Some(people) = &self.people else { return Err(self.turn_away(Reason::NoProvider, None, caller)) };
        let started = match people.take(&answer, browser) {
            Ok(started) => started,
            Err(reason) => {
                self.check_lockout(None, caller)?;
                return Err(self.turn_away(reason, None, caller));
            }
        };
        let person = people.person(answer, &started).await;
        let person = person.map_err(|rejected| self.turn_away(rejected, None, caller))?;
        let role = people.oidc.role_of(&person.groups);
        let role =
            role.ok_or(Reason::AssertionRole).map_err(|reason| self.turn_away(reason, None, caller))?;
        let (id, tenant) = (person.id.clone(), person.tenant.clone());
        let session = people.sessions.begin(person, people.now());
        self.note_ended_sessions();
        let session =
            session.ok_or(Reason::ProviderDown).map_err(|reason| self.turn_away(reason, None, caller))?;
        if let Some(address) = caller.address {
            self.attempts.succeeded(address, &id);
        }
        self.note_of_session(caller, (id, role, tenant), "login", "by browser, at the OpenID provider");
        Ok(Finished { return_to: started.return_to, session })
    }

    /// Ends a session; whether there was one.
    pub fn logout(&self, session: &str, principal: &Principal, caller: Caller<'_>) -> bool {
        let has_ended = self.people.as_ref().is_some_and(|people| people.sessions.end(session));
        if has_ended {
            let whose = (principal.id.clone(), principal.role, principal.tenant.clone());
            self.note_of_session(caller, whose, "logout", "the session was ended");
        }
        has_ended
    }

    /// Ends the session that a browser had before it logged in anew.
    pub fn replace_session(&self, session: &str, caller: Caller<'_>) {
        let Some(people) = &self.people else { return };
        let Some(person) = people.find(session) else { return };
        if people.sessions.end(session)
            && let Some(role) = people.oidc.role_of(&person.groups)
        {
            let whose = (person.id, role, person.tenant);
            self.note_of_session(caller, whose, "logout", "a new login took the session's place");
        }
    }

    fn note_of_session(
        &self,
        caller: Caller<'_>,
        (principal, role, tenant): (String, Role, String),
        action: &'static str,
        detail: &str,
    ) {
        self.journal.note(Note {
            tenant,
            principal,
            role: Some(role),
            address: caller.address,
            door: caller.door,
            action,
            code: None,
            detail: detail.to_string(),
        });
    }
}

/// Where a browser may be sent after a login: a path of this service, so that nobody's link through here leads elsewhere.
pub fn return_path(text: &str) -> Option<String> {
    // Browsers take `//host` and `/\host` for another host, and drop control characters before they look.
    let is_own = text.starts_with('/') && !text.starts_with("//");
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (is_own && is_plain && text.len() <= limits::LOGIN_RETURN_BYTES_MAX).then(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_sent_to_paths_of_this_service_alone() {
        let longest = format!("/{}", "x".repeat(limits::LOGIN_RETURN_BYTES_MAX - 1));
        for good in ["/", "/#replay/s-1", "/a/b?c=%2F%2Fd&e=http://f", "/.//x", &longest] {
            assert_eq!(return_path(good).as_deref(), Some(good));
            let base = openidconnect::url::Url::parse("https://tacho.internal:7420/auth/callback").unwrap();
            assert_eq!(base.join(good).unwrap().host_str(), Some("tacho.internal"), "{good}");
        }
        let too_long = format!("{longest}x");
        for bad in [
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/x\r\nset-cookie: a=b",
            "/ x",
            "/\u{e4}",
            "\\/evil.example",
            &too_long,
        ] {
            assert_eq!(return_path(bad), None, "{bad:?}");
        }
    }
}
