//! Pages of other sites, in the browser of someone who may come in: with whatever a browser sends along by itself.

use base64::Engine as _;

use super::tls::{client, exchange};
use super::{Authority, eventually, start, with_tls};
use crate::support::{Service, event, request};

/// What a page of another site can have a browser send without asking first: a form, or `fetch` with `no-cors`.
fn forged(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: tacho.internal\r\nconnection: close\r\ncontent-type: text/plain\r\n{headers}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Headers, and whether a read and a write with them pass.
type Case = (&'static [(&'static str, &'static str)], bool, bool);

const QUESTION: &str = "/api/v1/sql?q=SELECT%201&format=json";
/// Headers, whether a question is heard with them, and whether events are taken.
const CASES: [Case; 8] = [
    (&[], true, true),
    (&[("sec-fetch-site", "same-origin")], true, true),
    (&[("sec-fetch-site", "none")], true, false),
    (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false, false),
    (&[("sec-fetch-site", "same-site")], false, false),
    (&[("origin", "https://evil.example")], false, false),
    (&[("origin", "null")], false, false),
    (&[("origin", "https://tacho.internal")], true, true),
];

/// A client certificate is sent along whoever made the browser ask.
#[test]
fn a_certificate_acts_for_no_other_site() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.equip(home.path());
    std::fs::write(
        home.path().join("tacho.toml"),
        "[[mtls]]\nsubject = \"CN=ada,O=acme\"\nrole = \"admin\"\ntenant = \"default\"\n",
    )
    .unwrap();
    let mut environment = with_tls(home.path());
    environment.push(("TACHO_TLS_CLIENT_CA", home.path().join("ca.pem").display().to_string()));
    environment.push(("TACHO_CONFIG", home.path().join("tacho.toml").display().to_string()));
    let service = start(home.path(), &environment);
    let ask = |asked: &str| {
        let identity = authority.sign("ada", &[]);
        exchange(&service.address, client(&authority, Some(identity)), asked).unwrap()
    };
    let mut taken = 0;
    for (number, (headers, is_heard, is_taken)) in CASES.into_iter().enumerate() {
        let asked = ask(&forged("GET", QUESTION, headers, ""));
        assert_eq!(asked.0, if is_heard { 200 } else { 403 }, "{headers:?}: {}", asked.1);
        let sent = ask(&forged("POST", "/v1/events", headers, &event(&format!("e-{number}"))));
        assert_eq!(sent.0, if is_taken { 200 } else { 403 }, "{headers:?}: {}", sent.1);
        assert!(is_taken || sent.1.contains("\"code\":\"cross_site\""), "{headers:?}: {}", sent.1);
        taken += usize::from(is_taken);
    }
    let all =
        "/api/v1/sql?q=SELECT%20count(*)%20AS%20n%20FROM%20events%20WHERE%20control%20IS%20NULL&format=json";
    let rows = ask(&forged("GET", all, &[], ""));
    assert!(rows.1.contains(&format!("\"n\":{taken}}}")), "{taken}: {}", rows.1);
    let denied =
        "/api/v1/sql?q=SELECT%20principal,detail%20FROM%20access%20WHERE%20action='cross_site'&format=json";
    eventually("it is on record", || {
        let rows = ask(&forged("GET", denied, &[], "")).1;
        rows.contains("m-ada-") && rows.contains("POST by certificate")
    });
    assert_eq!(service.stop(), Some(0));
}

/// So is a password that the browser was told once: it is not asked for, and where it is there, it acts for no other site.
#[test]
fn a_password_acts_for_no_other_site_and_is_not_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let password = base64::engine::general_purpose::STANDARD.encode(format!("ada:{}", service.token));
    let basic = format!("Basic {password}");
    let with_basic = ("authorization", basic.as_str());
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        request(&service.address, method, path, &[&[with_basic][..], headers].concat(), body.as_bytes())
            .unwrap()
    };
    for (number, (headers, is_heard, is_taken)) in CASES.into_iter().enumerate() {
        if headers.contains(&("origin", "https://tacho.internal")) {
            // The client of these tests names its own host.
            continue;
        }
        assert_eq!(ask("GET", QUESTION, headers, "").status, if is_heard { 200 } else { 403 }, "{headers:?}");
        let sent = ask("POST", "/v1/events", headers, &event(&format!("e-{number}")));
        assert_eq!(sent.status, if is_taken { 200 } else { 403 }, "{headers:?}: {}", sent.text());
    }
    let challenge = |headers: &[(&str, &str)]| {
        let answer = request(&service.address, "GET", "/metrics", headers, b"").unwrap();
        (answer.status, answer.headers["www-authenticate"].clone())
    };
    assert_eq!(
        challenge(&[]),
        (401, "Bearer, Basic realm=\"tachograph\"".to_string()),
        "a program is told of both"
    );
    for mode in ["navigate", "no-cors", "cors"] {
        assert_eq!(
            challenge(&[("sec-fetch-mode", mode)]),
            (401, "Bearer".to_string()),
            "{mode}: no dialogue"
        );
    }
    assert_eq!(service.stop(), Some(0));
}
