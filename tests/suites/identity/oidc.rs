use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::start;
use crate::support::{Answer, Service, request};

/// A provider with one key; counts how often its keys are asked for.
fn serve(listener: TcpListener, key: Value, asked: Arc<AtomicUsize>) {
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let body = if head.starts_with("GET /keys ") {
                asked.fetch_add(1, Ordering::Relaxed);
                json!({"keys": [key]})
            } else {
                json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")})
            };
            let body = body.to_string();
            // A client that went away is no affair of the provider's.
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .ok();
        }
    });
}

fn ask(service: &Service, assertion: &str) -> (u16, String) {
    let answer = ask_for(service, assertion, "SELECT DISTINCT tenant FROM access");
    (answer.status, answer.text())
}

fn ask_for(service: &Service, assertion: &str, sql: &str) -> Answer {
    let bearer = format!("Bearer {assertion}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
    request(&service.address, "POST", "/api/v1/sql", &headers, sql.as_bytes()).unwrap()
}

/// The service starts without its provider, says so to who comes with an assertion, and takes it once the provider is there.
/// Whoever names unknown keys has it asked once in a while and no more, and is told to come again: after a rotation that is what
/// everyone does. Whoever forges is locked out.
#[test]
fn assertions_are_taken_once_the_provider_is_there() {
    let home = tempfile::tempdir().unwrap();
    let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let issuer = format!("http://{address}");
    std::fs::write(
        home.path().join("tacho.toml"),
        format!(
            "[oidc]\nissuer = \"{issuer}\"\naudience = \"tacho\"\ntenant = \"acme\"\nrole_claim = \"groups\"\n\
             roles = {{ \"sec-auditors\" = \"auditor\" }}\n"
        ),
    )
    .unwrap();
    let config = home.path().join("tacho.toml").display().to_string();
    let service = start(home.path(), &[("TACHO_CONFIG", config)]);
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
    jwk["kid"] = json!("1");
    let forger =
        EncodingKey::from_ec_pem(rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
    let sign_as = |key: &EncodingKey, id: &str, audience: &str, sub: &str, group: &str| {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(id.to_string());
        let exp = jsonwebtoken::get_current_timestamp() + 600;
        let claims = json!({"iss": issuer, "aud": audience, "sub": sub, "exp": exp, "groups": [group]});
        encode(&header, &claims, key).unwrap()
    };
    let sign = |id: &str, audience: &str| sign_as(&key, id, audience, "u-7", "sec-auditors");
    let good = sign("1", "tacho");
    let (status, text) = ask(&service, &good);
    assert!(status == 503 && text.contains("provider_down"), "{status} {text}");
    assert_eq!(service.send("GET", "/metrics", &[], b"").status, 200, "tokens need no provider");

    let asked = Arc::new(AtomicUsize::new(0));
    serve(TcpListener::bind(address).unwrap(), jwk, Arc::clone(&asked));
    super::eventually("the provider is found", || ask(&service, &good).0 == 200);
    assert_eq!(ask(&service, &sign("1", "other")).0, 401);
    let answers = (0..30).map(|at| ask_for(&service, &sign(&format!("x{at}"), "tacho"), "SELECT 1"));
    let answers: Vec<Answer> = answers.collect();
    assert!(answers.iter().all(|answer| matches!(answer.status, 401 | 503)), "{answers:?}");
    let told = answers.iter().find(|answer| answer.status == 503).unwrap();
    assert!(told.text().contains("provider_asked") && told.headers["retry-after"] == "10", "{told:?}");
    assert_eq!(ask(&service, &good).0, 200, "none of them was taken for a guess");
    assert!(asked.load(Ordering::Relaxed) <= 4, "{asked:?}");
    assert_eq!(ask(&service, &sign_as(&key, "1", "tacho", "u-8", "other")).0, 401, "no role");
    let denied = "SELECT principal FROM access WHERE error_code = 'assertion_role'";
    super::eventually("who has no role is on record for whom the provider says, in their tenant", || {
        ask_for(&service, &good, denied).text().contains("o-u-8")
    });
    let forged = || ask(&service, &sign_as(&forger, "1", "tacho", "u-7", "sec-auditors")).0;
    let statuses: Vec<u16> = (0..12).map(|_| forged()).collect();
    assert!(statuses.contains(&401) && statuses.last() == Some(&429), "{statuses:?}");
    let huge = format!("{}.{}.x", "a".repeat(20_000), "b".repeat(20_000));
    let (status, _) = ask(&service, &huge);
    assert!(matches!(status, 401 | 429 | 431), "{status}");
    assert_eq!(service.stop(), Some(0));

    let service = start(home.path(), &[]);
    let rows = service
        .sql("SELECT principal, error_code, detail FROM access WHERE action = 'login' AND decision = 'deny'");
    for code in ["provider_down", "assertion_key_unasked", "assertion_signature", "locked_out"] {
        assert!(rows.iter().any(|row| row["error_code"] == code), "{code}: {rows:#?}");
    }
    assert!(!format!("{rows:?}").contains("eyJ"), "an assertion is on record");
    assert_eq!(service.stop(), Some(0));
}

/// An assertion with this header, these claims and no signature.
fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(header), part(claims))
}

/// Each wrong assertion is on the access log for what is wrong with it. Only where the provider's signature holds is it in
/// the log of the tenant that it names.
#[test]
fn what_is_wrong_with_an_assertion_is_on_record() {
    let home = tempfile::tempdir().unwrap();
    let provider = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", provider.local_addr().unwrap());
    let config = home.path().join("tacho.toml");
    let text = format!(
        "[oidc]\nissuer = \"{issuer}\"\naudience = \"tacho\"\ntenant = \"acme\"\nrole_claim = \"groups\"\n\
         roles = {{ \"sec-auditors\" = \"auditor\" }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
    jwk["kid"] = json!("1");
    serve(provider, jwk, Arc::default());
    let service = start(home.path(), &[("TACHO_CONFIG", config.display().to_string())]);
    let now_s = jsonwebtoken::get_current_timestamp();
    let claims = |sub: &str, audience: &str, begin_s: u64| json!({"iss": issuer, "aud": audience, "sub": sub, "exp": now_s + 9000, "nbf": begin_s, "groups": ["sec-auditors"]});
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("1".to_string());
    let sign = |claims: &Value| encode(&header, claims, &key).unwrap();
    let good = sign(&claims("u-0", "tacho", now_s));
    super::eventually("the provider is found", || ask(&service, &good).0 == 200);
    let none = json!({"alg": "none", "typ": "JWT", "kid": "1"});
    for (wrong, assertion) in [
        ("alg none", unsigned(&none, &claims("u-1", "tacho", now_s))),
        ("wrong audience", sign(&claims("u-2", "other", now_s))),
        ("future nbf", sign(&claims("u-3", "tacho", now_s + 3600))),
    ] {
        assert_eq!(ask(&service, &assertion).0, 401, "{wrong}");
    }
    let denied = "SELECT error_code FROM access WHERE action = 'login' AND decision = 'deny' \
                  AND error_code <> 'provider_down' ORDER BY log_index";
    let codes = |rows: &[Value]| rows.iter().map(|row| row["error_code"].clone()).collect::<Vec<_>>();
    super::eventually("what is not the provider's is on the installation's own log", || {
        codes(&service.sql(denied)) == ["assertion_malformed", "assertion_audience"]
    });
    let early = "SELECT principal, error_code FROM access WHERE action = 'login' AND decision = 'deny'";
    super::eventually("what comes too early is on the log of its tenant", || {
        let text = ask_for(&service, &good, early).text();
        text.contains("{\"principal\":\"o-u-3\",\"error_code\":\"assertion_early\"}")
    });
    assert_eq!(service.stop(), Some(0));
}

/// A provider that others made, signing in each way; `tests/run` installs it.
#[test]
fn a_real_provider_s_assertions_are_taken_and_only_as_they_should() {
    let Some(place) = std::env::var_os("TACHO_OIDC_PROVIDER").map(std::path::PathBuf::from) else {
        println!(
            "SKIPPED: the OpenID provider of tests/interop/provider is not installed (TACHO_OIDC_PROVIDER)"
        );
        return;
    };
    let mut provider = std::process::Command::new("node")
        .arg(place.join("provider.mjs"))
        .env("CLIENT_SECRET", "of-a-test")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut issuer = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(provider.stdout.take().unwrap()), &mut issuer)
        .unwrap();
    let issuer = issuer.trim();
    let token = |algorithm: &str, audience: &str| {
        let form = format!(
            "grant_type=client_credentials&client_id=sql-report&client_secret=of-a-test\
             &resource=https%3A%2F%2F{audience}%2F{algorithm}"
        );
        let address = issuer.strip_prefix("http://").unwrap();
        let form_type = [("content-type", "application/x-www-form-urlencoded")];
        let answer = request(address, "POST", "/token", &form_type, form.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_string()
    };
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join("tacho.toml"),
        format!(
            "[oidc]\nissuer = \"{issuer}\"\naudience = \"tachograph\"\ntenant_claim = \"org\"\nrole_claim = \"groups\"\n\
             roles = {{ \"sec-auditors\" = \"auditor\" }}\n"
        ),
    )
    .unwrap();
    let shown = Service::config(home.path());
    assert!(shown.contains("[oidc]") && shown.contains("tenant_claim = \"org\""), "{shown}");
    let config = home.path().join("tacho.toml").display().to_string();
    let service = start(home.path(), &[("TACHO_CONFIG", config)]);
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let (status, text) = ask(&service, &token(algorithm, "tachograph"));
        assert_eq!(status, 200, "{algorithm}: {text}");
    }
    assert_eq!(ask(&service, &token("PS256", "tachograph")).0, 401, "an algorithm that is not taken");
    assert_eq!(ask(&service, &token("RS256", "other")).0, 401, "meant for another");
    let good = token("RS256", "tachograph");
    let bearer = format!("Bearer {good}");
    let answer = request(&service.address, "GET", "/metrics", &[("authorization", &bearer)], b"").unwrap();
    assert_eq!(answer.status, 403, "an auditor reads no metrics");
    let (body, signature) = good.rsplit_once('.').unwrap();
    assert_eq!(ask(&service, &format!("{body}.{}", signature.chars().rev().collect::<String>())).0, 401);
    let rows = ask(&service, &good).1;
    assert!(rows.contains("acme") && !rows.contains("default"), "{rows}");
    assert_eq!(service.stop(), Some(0));
    drop(provider.stdin.take());
    assert!(provider.wait().unwrap().success());
}
