use std::process::{Child, Command, Stdio};

use reqwest::{Method, Url};
use serde_json::Value;

use super::super::main_job::files_below;
use super::{eventually, put_secret, start};
use crate::support::{Service, request_from};

mod browser;

use browser::{Browser, Page};

/// Has to be written otherwise in a form and in Basic.
const SECRET: &str = "of-a-test:%+/ &=";

/// A provider and a service that know each other.
struct World {
    home: tempfile::TempDir,
    provider: Child,
    service: Service,
    base: String,
}

impl World {
    /// `None`, and a word about it, where the provider is not installed.
    fn start(more: &str, authenticates: &str) -> Option<World> {
        let Some(place) = std::env::var_os("TACHO_OIDC_PROVIDER").map(std::path::PathBuf::from) else {
            println!(
                "SKIPPED: the OpenID provider of tests/interop/provider is not installed (TACHO_OIDC_PROVIDER)"
            );
            return None;
        };
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let base = format!("http://{address}");
        let mut provider = Command::new("node")
            .arg(place.join("provider.mjs"))
            .env("CLIENT_SECRET", SECRET)
            .env("CLIENT_AUTH", authenticates)
            .env("REDIRECT_URL", format!("{base}/auth/callback"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = std::io::BufReader::new(provider.stdout.take().unwrap());
        let mut issuer = String::new();
        while !issuer.starts_with("http://") {
            issuer.clear();
            assert!(std::io::BufRead::read_line(&mut said, &mut issuer).unwrap() > 0, "the provider ended");
        }
        let home = tempfile::tempdir().unwrap();
        put_secret(&home.path().join("client.secret"), &format!("{SECRET}\n"));
        let configuration = format!(
            "[oidc]\nissuer = \"{}\"\naudience = \"tachograph\"\ntenant = \"default\"\nrole_claim = \"groups\"\n\
             roles = {{ \"sec-auditors\" = \"auditor\", \"sec-admins\" = \"admin\" }}\n[oidc.login]\n\
             client_id = \"tacho-browser\"\nclient_secret_file = \"{}\"\nredirect_url = \"{base}/auth/callback\"\n\
             client_authentication = \"{authenticates}\"\nscopes = [\"openid\", \"groups\"]\n{more}\n",
            issuer.trim(),
            home.path().join("client.secret").display()
        );
        std::fs::write(home.path().join("tacho.toml"), configuration).unwrap();
        let service = World::serve(home.path(), &address.to_string());
        Some(World { home, provider, service, base })
    }

    fn serve(home: &std::path::Path, address: &str) -> Service {
        let config = home.join("tacho.toml").display().to_string();
        start(home, &[("TACHO_CONFIG", config), ("TACHO_LISTEN", address.to_string())])
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Begins a login and has `user` let in by the provider: the callback that the browser is sent to.
    fn callback(&self, browser: &mut Browser, user: Option<&str>) -> String {
        let begun = browser.get(&self.url("/auth/login?return_to=/health"));
        assert_eq!(begun.status, 303, "{begun:?}");
        browser.at_provider(&begun.location(), user)
    }

    fn log_in(&self, browser: &mut Browser, user: &str) -> Page {
        let callback = self.callback(browser, Some(user));
        browser.get(&callback)
    }

    /// From another network: the browsers' own may be locked out.
    fn logins(&self) -> Vec<Value> {
        let query = "SELECT action, decision, error_code, principal, role, source_ip, detail FROM access \
                     WHERE action IN ('login', 'logout', 'cross_site')";
        let body = serde_json::json!({"query": query, "format": "json"}).to_string();
        let bearer = format!("Bearer {}", self.service.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let answer = request_from(
            "127.0.0.7",
            &self.service.address,
            "POST",
            "/api/v1/sql",
            &headers,
            body.as_bytes(),
        )
        .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().unwrap().clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It may have ended already.
        self.provider.kill().ok();
        self.provider.wait().ok();
    }
}

/// A URL with a parameter of another value, or without it.
fn with(url: &str, name: &str, value: Option<&str>) -> String {
    let mut url: Url = url.parse().unwrap();
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .filter_map(|(found, old)| match value {
            _ if found != name => Some((found.into_owned(), old.into_owned())),
            Some(new) => Some((found.into_owned(), new.to_string())),
            None => None,
        })
        .collect();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url.into()
}

fn parameter(url: &str, name: &str) -> String {
    let url: Url = url.parse().unwrap();
    url.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned()
}

const SQL: &str = r#"{"query":"SELECT DISTINCT tenant FROM access","format":"json"}"#;
const JSON: (&str, &str) = ("content-type", "application/json");
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A person logs in, asks as who they are, is guarded against other sites, and logs out; all of it on record.
#[test]
fn people_log_in_ask_and_log_out() {
    let Some(world) = World::start("", "client_secret_basic") else { return };
    let log = std::fs::read_to_string(world.home.path().join("service.log")).unwrap();
    assert!(log.contains("every port of that host"), "the cookie is not for TLS alone: {log}");
    let mut browser = Browser::new();
    let session_url = world.url("/auth/session");
    assert_eq!(browser.get(&session_url).status, 401);
    for elsewhere in ["https://evil.example/", "//evil.example/", "/%5Cevil.example", "%2F%2Fevil.example"] {
        let page = browser.get(&world.url(&format!("/auth/login?return_to={elsewhere}")));
        assert_eq!((page.status, page.code().as_str()), (400, "return_to"), "{elsewhere}");
    }

    let begun = browser.get(&world.url("/auth/login?return_to=/health"));
    let location = begun.location();
    assert_eq!(parameter(&location, "code_challenge_method"), "S256");
    assert_eq!(parameter(&location, "response_type"), "code");
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(parameter(&location, name).len(), 43, "{name}: 256 bits");
    }
    let callback = browser.at_provider(&location, Some("alice"));
    let page = browser.get(&callback);
    assert_eq!((page.status, page.location().as_str()), (303, "/health"), "{page:?}");
    assert_eq!(page.headers["cache-control"], "no-store");
    let cookies = page.set_cookies();
    let session = cookies.iter().find(|cookie| cookie.starts_with("tacho_session=")).unwrap();
    assert!(session.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{session}");
    assert_eq!(session.split_once(';').unwrap().0.len(), "tacho_session=".len() + 43);
    assert!(!browser.jar.values().flatten().any(|(name, _)| name.contains("login")), "{:?}", browser.jar);
    let again = browser.get(&callback);
    assert_eq!((again.status, again.code().as_str()), (400, "login_not_begun"), "a code that was used");

    let me = browser.get(&session_url).json();
    assert!(me["principal"] == "o-alice" && me["role"] == "auditor" && me["tenant"] == "default", "{me}");
    assert!(me["expires"].as_str().unwrap().ends_with('Z'), "{me}");
    let sql = world.url("/api/v1/sql");
    let asked = browser.send(Method::POST, &sql, &[JSON, OWN], SQL);
    assert!(asked.status == 200 && asked.text.contains("default"), "{asked:?}");
    let own_origin = ("origin", world.base.as_str());
    assert_eq!(browser.send(Method::POST, &sql, &[JSON, own_origin], SQL).status, 200);
    for guard in [
        &[][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), own_origin],
        &[("sec-fetch-site", "none")],
    ] {
        let page = browser.send(Method::POST, &sql, &[&[JSON][..], guard].concat(), SQL);
        assert_eq!((page.status, page.code().as_str()), (403, "cross_site"), "{guard:?}");
    }
    let question = world.url("/api/v1/sql?q=SELECT%201&format=json");
    assert_eq!(browser.get(&question).status, 200, "typed in");
    let led = browser.send(Method::GET, &question, &[("sec-fetch-site", "cross-site")], "");
    assert_eq!(led.status, 403, "no other site puts questions on record under alice's name");
    assert_eq!(browser.get(&world.url("/metrics")).status, 403, "an auditor reads no metrics");

    let logout = world.url("/auth/logout");
    assert_eq!(browser.send(Method::POST, &logout, &[], "").status, 403, "another site logs no one out");
    assert_eq!(browser.get(&logout).status, 405);
    let kept = browser.jar.clone();
    assert_eq!(browser.send(Method::POST, &logout, &[OWN], "").status, 204);
    assert!(!browser.jar.values().flatten().any(|(name, _)| name == "tacho_session"));
    browser.jar = kept;
    let over = browser.get(&session_url);
    assert_eq!((over.status, over.code().as_str()), (401, "unauthenticated"));
    assert_eq!(over.headers["www-authenticate"], "Bearer", "no dialogue for a password");
    assert!(over.set_cookies()[0].starts_with("tacho_session=; "), "{over:?}");

    // An administrator makes and revokes tokens with the cookie; a token is told who it is too, and has no session.
    let mut ada = Browser::new();
    assert_eq!(world.log_in(&mut ada, "ada").status, 303);
    let tokens = world.url("/api/v1/tokens");
    let made = ada.send(Method::POST, &tokens, &[JSON, OWN], r#"{"role":"operator","tenant":"default"}"#);
    assert_eq!(made.status, 201, "{made:?}");
    let of = format!("{tokens}/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(ada.send(Method::DELETE, &of, &[], "").status, 403);
    assert_eq!(ada.send(Method::DELETE, &of, &[OWN], "").status, 200);
    let token = world.service.send("GET", "/auth/session", &[], b"").json();
    assert!(token["expires"].is_null() && token["role"] == "admin", "{token}");
    let none = world.service.send("POST", "/auth/logout", &[], b"");
    assert_eq!((none.status, none.json()["code"].as_str()), (400, Some("no_session")));
    let bad = [("authorization", "Bearer tacho_0123456789ab_bad")];
    assert_eq!(ada.send(Method::GET, &session_url, &bad, "").status, 401, "a bad token is not made up for");

    eventually("it is on record", || {
        let rows = world.logins();
        let has = |action: &str, decision: &str, principal: &str| {
            rows.iter().any(|row| {
                row["action"] == action && row["decision"] == decision && row["principal"] == principal
            })
        };
        has("login", "allow", "o-alice")
            && has("logout", "allow", "o-alice")
            && has("cross_site", "deny", "o-alice")
            && has("login", "allow", "o-ada")
            && rows.iter().any(|row| row["error_code"] == "login_state")
    });
    let rows = world.service.sql("SELECT principal, action FROM access WHERE principal = 'o-ada'");
    assert!(rows.iter().any(|row| row["action"] == "token_create"), "{rows:?}");
    let text = format!("{:?}", world.service.sql("SELECT * FROM access"));
    let code = parameter(&callback, "code");
    let secret = session.split_once('=').unwrap().1.split(';').next().unwrap();
    assert!(!text.contains(secret) && !text.contains(&code), "a secret is on record");
    for file in files_below(world.home.path()) {
        let bytes = std::fs::read(&file).unwrap();
        for text in [secret, &code] {
            let is_there = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!is_there, "{text} is in {}", file.display());
        }
    }
    let log = crate::support::service_log(world.home.path());
    assert!(!log.contains(secret) && !log.contains(&code) && !log.contains("of-a-test"), "{log}");
}

/// Every end that does not fit is refused, and for what is wrong with it.
#[test]
fn what_does_not_belong_together_is_refused() {
    let Some(world) = World::start("", "client_secret_post") else { return };
    let (mut alice, mut mallory) = (Browser::new(), Browser::new());
    let refused = |page: &Page, status: u16, code: &str, what: &str| {
        assert_eq!((page.status, page.code().as_str()), (status, code), "{what}: {page:?}");
        assert!(page.set_cookies().iter().all(|cookie| !cookie.starts_with("tacho_session")), "{what}");
    };
    let callback = world.callback(&mut alice, Some("alice"));
    let other_state = with(&callback, "state", Some(&"x".repeat(43)));
    refused(&alice.get(&other_state), 400, "login_not_begun", "another state");
    refused(&alice.get(&with(&callback, "state", None)), 400, "login_not_begun", "no state");
    refused(&mallory.get(&callback), 400, "login_not_begun", "in another browser");
    let twice = format!("{callback}&code=x");
    refused(&alice.get(&twice), 400, "request", "two codes");
    let long = with(&callback, "code", Some(&"x".repeat(9000)));
    refused(&alice.get(&long), 400, "request", "a code without end");
    assert_eq!(alice.get(&callback).status, 303, "and the right one still works, once");
    refused(&alice.get(&callback), 400, "login_not_begun", "replayed");

    // Mallory has seen the code of a login of alice's and puts it into one of her own.
    let stolen = world.callback(&mut alice, Some("alice"));
    let own = world.callback(&mut mallory, Some("mallory"));
    let swapped = with(&own, "code", Some(&parameter(&stolen, "code")));
    refused(&mallory.get(&swapped), 401, "login_failed", "a code of another browser's login");
    let own = world.callback(&mut mallory, Some("mallory"));
    refused(&mallory.get(&own), 403, "no_role", "no group of hers has a role");
    let mut doubter = Browser::new();
    let callback = world.callback(&mut doubter, None);
    assert_eq!(parameter(&callback, "error"), "access_denied");
    refused(&doubter.get(&callback), 401, "login_failed", "thought better of it");

    let begun = alice.get(&world.url("/auth/login"));
    let other_nonce = with(&begun.location(), "nonce", Some("another"));
    let callback = alice.at_provider(&other_nonce, Some("alice"));
    refused(&alice.get(&callback), 401, "login_failed", "what was signed is for another login");
    let begun = alice.get(&world.url("/auth/login"));
    let other_challenge = with(&begun.location(), "code_challenge", Some(&"x".repeat(43)));
    let callback = alice.at_provider(&other_challenge, Some("alice"));
    refused(&alice.get(&callback), 401, "login_failed", "not by who began it");
    for (issuer, what) in
        [(Some("https://other.example"), "another's answer"), (None, "it does not say whose")]
    {
        let callback = world.callback(&mut alice, Some("alice"));
        assert!(parameter(&callback, "iss").starts_with("http://127.0.0.1:"));
        refused(&alice.get(&with(&callback, "iss", issuer)), 401, "login_failed", what);
    }

    // Any page can send whoever visits it to logins that were not begun: that locks out no one who shares their address.
    let begun = world.callback(&mut alice, Some("alice"));
    let made_up = world.url(&format!("/auth/callback?state={}&code=x", "y".repeat(43)));
    let statuses: Vec<u16> = (0..110).map(|_| mallory.get(&made_up).status).collect();
    assert!(statuses.iter().all(|status| *status == 400), "{statuses:?}");
    let elsewhere = world.callback(&mut alice, Some("alice"));
    let statuses: Vec<u16> = (0..110).map(|_| mallory.get(&elsewhere).status).collect();
    assert!(statuses.iter().all(|status| *status == 400), "{statuses:?}");
    assert_eq!(mallory.get(&world.url("/auth/login")).status, 303);

    // Who guesses is locked out, and whoever began a login in his own browser before is not.
    let session_url = world.url("/auth/session");
    let statuses: Vec<u16> = (0..110)
        .map(|at| {
            let bearer = format!("Bearer tacho_{at:012x}_{}", "0".repeat(43));
            mallory.send(Method::GET, &session_url, &[("authorization", &bearer)], "").status
        })
        .collect();
    assert!(statuses[..80].iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429));
    assert_eq!(mallory.get(&made_up).code(), "locked_out");
    assert_eq!(mallory.get(&world.url("/auth/login")).code(), "locked_out", "nor does he begin another");
    assert_eq!(alice.get(&begun).status, 303);
    assert_eq!(alice.get(&world.url("/auth/session")).status, 200);

    let codes = [
        "login_state",
        "login_browser",
        "login_code",
        "assertion_role",
        "login_denied",
        "assertion_nonce",
        "login_issuer",
        "locked_out",
    ];
    eventually("each is on record for what it was", || {
        let rows = world.logins();
        codes.iter().all(|code| rows.iter().any(|row| row["error_code"] == *code && row["role"].is_null()))
            && rows.iter().any(|row| row["error_code"] == "assertion_role" && row["principal"] == "o-mallory")
    });
}

/// Sessions end by rest and with the service; a provider that is away keeps no one out who is in.
#[test]
fn sessions_end_and_a_provider_may_be_away() {
    let Some(mut world) = World::start("session_idle_s = 2", "client_secret_basic") else { return };
    let mut browser = Browser::new();
    let session = world.url("/auth/session");
    assert_eq!(world.log_in(&mut browser, "alice").status, 303);
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(700));
        assert_eq!(browser.get(&session).status, 200, "in use");
    }
    std::thread::sleep(std::time::Duration::from_millis(2_300));
    assert_eq!(browser.get(&session).status, 401, "not used for too long");
    assert_eq!(world.log_in(&mut Browser::new(), "ada").status, 303, "and never comes again");
    eventually("on record as whose they were", || {
        let rows = world.logins();
        let has_ended = |id: &str| {
            let ended = "the session ended: it was not used for too long";
            rows.iter().any(|row| {
                row["action"] == "logout"
                    && row["principal"] == id
                    && row["detail"] == ended
                    && row["role"] != Value::Null
            })
        };
        let refused = |row: &Value| row["error_code"] == "session_expired" && row["principal"] == "o-alice";
        rows.iter().any(refused) && has_ended("o-alice") && has_ended("o-ada")
    });

    // One who begins no end of logins pushes out none of anyone else's.
    let mut patient = Browser::new();
    let callback = world.callback(&mut patient, Some("alice"));
    let address = world.service.address.clone();
    for _ in 0..600 {
        let begun = request_from("127.0.0.2", &address, "GET", "/auth/login", &[], b"").unwrap();
        assert_eq!(begun.status, 303);
    }
    let metrics = world.service.send("GET", "/metrics", &[], b"").text();
    assert!(metrics.contains("tacho_logins_pushed_out_total 344"), "{metrics}");

    // The provider goes away between the two halves of a login.
    let begun = world.callback(&mut browser, Some("alice"));
    assert_eq!(patient.get(&callback).status, 303);
    world.provider.kill().unwrap();
    world.provider.wait().unwrap();
    let down = browser.get(&begun);
    assert_eq!((down.status, down.code().as_str()), (503, "provider_down"));
    assert!(down.headers.contains_key("retry-after"));
    assert_eq!(patient.get(&session).status, 200, "who is in stays in");

    crate::support::signal(&world.service.child, "TERM");
    assert!(world.service.child.wait().unwrap().success());
    let restarted = World::serve(world.home.path(), world.base.strip_prefix("http://").unwrap());
    assert_eq!(patient.get(&session).status, 401, "sessions end with the service");
    let away = browser.get(&world.url("/auth/login"));
    assert_eq!((away.status, away.code().as_str()), (503, "provider_down"));
    assert_eq!(restarted.send("GET", "/metrics", &[], b"").status, 200, "tokens need no provider");
    assert_eq!(restarted.stop(), Some(0));
}

/// Assertions are believed to be about whom they say until they are checked: whoever forges some in a person's name, from where
/// that person is, locks out assertions in that name and not the session.
#[test]
fn forged_assertions_end_no_one_s_session() {
    let Some(world) = World::start("", "client_secret_basic") else { return };
    let mut alice = Browser::new();
    assert_eq!(world.log_in(&mut alice, "alice").status, 303);
    let session = world.url("/auth/session");
    // `{"alg":"ES256"}`, which names no key, and `{"sub":"alice"}`.
    let forged = ("authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.AAAA");
    let statuses: Vec<u16> =
        (0..12).map(|_| Browser::new().send(Method::GET, &session, &[forged], "").status).collect();
    assert!(statuses[0] == 401 && statuses.last() == Some(&429), "{statuses:?}");
    assert_eq!(alice.get(&session).status, 200);
    // Nor does a network that is locked out lock out who has a session.
    let statuses: Vec<u16> = (0..110)
        .map(|at| {
            let bearer = format!("Bearer tacho_{at:012x}_{}", "0".repeat(43));
            request_from(
                "127.0.0.1",
                &world.service.address,
                "GET",
                "/metrics",
                &[("authorization", &bearer)],
                b"",
            )
            .unwrap()
            .status
        })
        .collect();
    assert_eq!(statuses.last(), Some(&429));
    assert_eq!(alice.get(&session).status, 200);
}
