use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use std::time::Duration;

use super::*;

const NOW_S: i64 = 1_780_000_000;
/// Made for these tests; protects nothing.
const RSA: &[u8] = include_bytes!("test-rsa.pem");

#[derive(Debug)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn wall_us(&self) -> i64 {
        NOW_S * 1_000_000 + self.monotonic_us()
    }

    fn monotonic_us(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn ec() -> (EncodingKey, rcgen::KeyPair) {
    let pair = rcgen::KeyPair::generate().unwrap();
    (EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(), pair)
}

fn jwk(key: &EncodingKey, algorithm: Algorithm, id: &str) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
    jwk["kid"] = json!(id);
    jwk
}

/// What became of a check; whom a rejected one was about is told by one test.
async fn checked(oidc: &Oidc, assertion: &str) -> Result<(String, Role, String), Reason> {
    oidc.check(assertion).await.map_err(|rejected| rejected.reason)
}

/// A provider on a port of its own.
struct Fake {
    issuer: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
    clock: Arc<Hands>,
    served: tokio::task::JoinHandle<()>,
}

impl Fake {
    async fn start(keys: Vec<Value>) -> Fake {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        Fake::on(listener, keys)
    }

    fn on(listener: tokio::net::TcpListener, keys: Vec<Value>) -> Fake {
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let (keys, asked) = (Arc::new(Mutex::new(keys)), Arc::new(AtomicUsize::new(0)));
        let discovery = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        let (shown, counted) = (Arc::clone(&keys), Arc::clone(&asked));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { Json(discovery) }))
            .route(
                "/keys",
                get(move || async move {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let keys = shown.lock().unwrap().clone();
                    Json(json!({"keys": keys}))
                }),
            );
        let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Fake { issuer, keys, asked, clock: Arc::new(Hands(AtomicI64::new(0))), served }
    }

    fn provider(&self) -> Provider {
        Provider {
            issuer: self.issuer.clone(),
            audience: "tacho".to_string(),
            ca: None,
            tenant: None,
            tenant_claim: Some("tenant".to_string()),
            role_claim: "realm_access.roles".to_string(),
            roles: [("sec-auditors", Role::Auditor), ("sec-admins", Role::Admin)]
                .map(|(name, role)| (name.to_string(), role))
                .into(),
            login: None,
        }
    }

    fn oidc(&self) -> Oidc {
        Oidc::new(&self.provider(), Arc::clone(&self.clock) as Arc<dyn Clock>).unwrap()
    }

    fn claims(&self) -> Value {
        json!({"iss": self.issuer, "aud": "tacho", "sub": "u-7", "exp": NOW_S + 300, "iat": NOW_S, "tenant": "acme",
            "realm_access": {"roles": ["other", "sec-auditors"]}})
    }

    /// The claims with one changed, or removed if null.
    fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        claims
    }
}

fn header(algorithm: Algorithm, id: Option<&str>) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = id.map(str::to_string);
    header
}

fn sign(key: &EncodingKey, algorithm: Algorithm, id: &str, claims: &Value) -> String {
    encode(&header(algorithm, Some(id)), claims, key).unwrap()
}

/// An assertion with any header and signature.
fn raw(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[tokio::test]
async fn good_assertions_of_each_algorithm_are_taken() {
    let (ec_key, _) = ec();
    let rsa_key = EncodingKey::from_rsa_pem(RSA).unwrap();
    let ed = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let ed_key = EncodingKey::from_ed_der(&ed.serialize_der());
    let ed_jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig",
        "x": URL_SAFE_NO_PAD.encode(ed.public_key_raw())});
    let keys = vec![jwk(&ec_key, Algorithm::ES256, "ec"), jwk(&rsa_key, Algorithm::RS256, "rsa"), ed_jwk];
    let fake = Fake::start(keys).await;
    let oidc = fake.oidc();
    for (key, algorithm, id) in [
        (&ec_key, Algorithm::ES256, "ec"),
        (&rsa_key, Algorithm::RS256, "rsa"),
        (&ed_key, Algorithm::EdDSA, "ed"),
    ] {
        let found = oidc.check(&sign(key, algorithm, id, &fake.claims())).await;
        assert_eq!(found, Ok(("o-u-7".to_string(), Role::Auditor, "acme".to_string())), "{algorithm:?}");
    }
    let several = fake.claims_with("realm_access", json!({"roles": ["sec-auditors", "sec-admins"]}));
    assert_eq!(oidc.check(&sign(&ec_key, Algorithm::ES256, "ec", &several)).await.unwrap().1, Role::Admin);
    let audiences = fake.claims_with("aud", json!(["x", "tacho"]));
    oidc.check(&sign(&ec_key, Algorithm::ES256, "ec", &audiences)).await.unwrap();
    assert_eq!(fake.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn every_other_assertion_is_refused_for_what_is_wrong_with_it() {
    let (key, pair) = ec();
    let (other_key, _) = ec();
    let weak = json!({"kty": "RSA", "kid": "weak", "n": URL_SAFE_NO_PAD.encode([255; 128]), "e": "AQAB"});
    let shared = json!({"kty": "oct", "kid": "shared", "k": URL_SAFE_NO_PAD.encode("secret")});
    let encrypts = json!({"use": "enc", "kid": "enc"});
    let mut enc = jwk(&key, Algorithm::ES256, "enc");
    enc["use"] = encrypts["use"].clone();
    let fake = Fake::start(vec![jwk(&key, Algorithm::ES256, "ec"), weak, shared, enc]).await;
    let oidc = fake.oidc();
    let with = |name: &str, value: Value| sign(&key, Algorithm::ES256, "ec", &fake.claims_with(name, value));
    let good = sign(&key, Algorithm::ES256, "ec", &fake.claims());
    let signature = good.rsplit('.').next().unwrap();
    let hmac = |secret: &[u8], id: &str| {
        sign(&EncodingKey::from_secret(secret), Algorithm::HS256, id, &fake.claims())
    };
    let far = 9e99;
    for (what, assertion, reason) in [
        (
            "alg none",
            raw(&json!({"alg": "none", "kid": "ec"}), &fake.claims(), ""),
            Reason::AssertionMalformed,
        ),
        (
            "alg NONE",
            raw(&json!({"alg": "NoNe", "kid": "ec"}), &fake.claims(), ""),
            Reason::AssertionMalformed,
        ),
        (
            "HS256 with the public key",
            hmac(pair.public_key_pem().as_bytes(), "ec"),
            Reason::AssertionAlgorithm,
        ),
        ("HS256 with a shared key", hmac(b"secret", "shared"), Reason::AssertionAlgorithm),
        (
            "ES256 said of a shared key",
            raw(&json!({"alg": "ES256", "kid": "shared"}), &fake.claims(), signature),
            Reason::AssertionKey,
        ),
        (
            "RS256 said of an EC key",
            raw(&json!({"alg": "RS256", "kid": "ec"}), &fake.claims(), signature),
            Reason::AssertionKey,
        ),
        (
            "a short RSA key",
            raw(&json!({"alg": "RS256", "kid": "weak"}), &fake.claims(), signature),
            Reason::AssertionKeyUnasked,
        ),
        (
            "a key that encrypts",
            sign(&key, Algorithm::ES256, "enc", &fake.claims()),
            Reason::AssertionKeyUnasked,
        ),
        ("wrong key", sign(&other_key, Algorithm::ES256, "ec", &fake.claims()), Reason::AssertionSignature),
        (
            "no signature",
            raw(&json!({"alg": "ES256", "kid": "ec"}), &fake.claims(), ""),
            Reason::AssertionSignature,
        ),
        ("changed", good.replacen('.', ".e", 1), Reason::AssertionSignature),
        (
            "no kid",
            encode(&header(Algorithm::ES256, None), &fake.claims(), &key).unwrap(),
            Reason::AssertionKey,
        ),
        ("unknown kid", sign(&key, Algorithm::ES256, "nobody", &fake.claims()), Reason::AssertionKeyUnasked),
        (
            "its own key",
            raw(
                &json!({"alg": "ES256", "kid": "x", "jwk": jwk(&other_key, Algorithm::ES256, "x")}),
                &fake.claims(),
                signature,
            ),
            Reason::AssertionKeyUnasked,
        ),
        ("wrong audience", with("aud", json!("other")), Reason::AssertionAudience),
        ("wrong audiences", with("aud", json!(["tach", "tacho2"])), Reason::AssertionAudience),
        ("no audience", with("aud", Value::Null), Reason::AssertionMalformed),
        ("wrong issuer", with("iss", json!(format!("{}/", fake.issuer))), Reason::AssertionIssuer),
        ("no issuer", with("iss", Value::Null), Reason::AssertionMalformed),
        ("no subject", with("sub", Value::Null), Reason::AssertionMalformed),
        ("expired", with("exp", json!(NOW_S - 61)), Reason::AssertionExpired),
        ("no end", with("exp", Value::Null), Reason::AssertionMalformed),
        ("future nbf", with("nbf", json!(NOW_S + 61)), Reason::AssertionEarly),
        ("far future nbf", with("nbf", json!(far)), Reason::AssertionEarly),
        ("future iat", with("iat", json!(NOW_S + 61)), Reason::AssertionEarly),
        ("no role", with("realm_access", json!({"roles": ["sec-Auditors"]})), Reason::AssertionRole),
        ("no roles", with("realm_access", Value::Null), Reason::AssertionRole),
        ("no tenant", with("tenant", Value::Null), Reason::AssertionTenant),
        ("a bad tenant", with("tenant", json!("../acme")), Reason::AssertionTenant),
        ("the root tenant", with("tenant", json!(schemas::origin::ROOT_TENANT)), Reason::AssertionTenant),
        ("nothing", "..".to_string(), Reason::AssertionMalformed),
        ("noise", "a.b.c".to_string(), Reason::AssertionMalformed),
    ] {
        assert_eq!(checked(&oidc, &assertion).await, Err(reason), "{what}");
    }
    for (what, name, value) in [("late", "exp", NOW_S - 59), ("early", "nbf", NOW_S + 59)] {
        assert!(oidc.check(&with(name, json!(value))).await.is_ok(), "{what}, within the leeway");
    }
    assert_eq!(
        fake.asked.load(Ordering::Relaxed),
        1,
        "whatever is sent, the provider is asked once an interval"
    );
}

#[tokio::test]
async fn keys_are_rotated_and_withdrawn_and_no_one_makes_us_hammer_the_provider() {
    let (first, _) = ec();
    let (second, _) = ec();
    let fake = Fake::start(vec![jwk(&first, Algorithm::ES256, "1")]).await;
    let oidc = fake.oidc();
    let assertion = |key: &EncodingKey, id: &str| {
        sign(key, Algorithm::ES256, id, &fake.claims_with("exp", json!(NOW_S + 1_000_000)))
    };
    assert!(oidc.check(&assertion(&first, "1")).await.is_ok());
    *fake.keys.lock().unwrap() = vec![jwk(&second, Algorithm::ES256, "2")];
    fake.clock.0.store(limits::OIDC_REFETCH_INTERVAL_US - 1, Ordering::Relaxed);
    let flood: Vec<_> = (0..200)
        .map(|at| {
            let (oidc, assertion) = (oidc.clone(), assertion(&second, &format!("x{at}")));
            tokio::spawn(async move { checked(&oidc, &assertion).await })
        })
        .collect();
    for checked in flood {
        let checked = checked.await.unwrap();
        assert_eq!(checked, Err(Reason::AssertionKeyUnasked), "it may be the provider's newest: no guess");
    }
    assert_eq!(fake.asked.load(Ordering::Relaxed), 1);
    assert!(oidc.check(&assertion(&first, "1")).await.is_ok(), "known keys need no provider");
    fake.clock.0.store(limits::OIDC_REFETCH_INTERVAL_US, Ordering::Relaxed);
    assert!(oidc.check(&assertion(&second, "2")).await.is_ok(), "rotated");
    assert_eq!(checked(&oidc, &assertion(&first, "1")).await, Err(Reason::AssertionKeyUnasked), "withdrawn");
    assert_eq!(fake.asked.load(Ordering::Relaxed), 2);
    fake.clock.0.fetch_add(limits::OIDC_REFETCH_INTERVAL_US, Ordering::Relaxed);
    assert_eq!(checked(&oidc, &assertion(&first, "1")).await, Err(Reason::AssertionKey), "and asked of it");
    assert_eq!(fake.asked.load(Ordering::Relaxed), 3);
    // The provider goes away: keys last a while, and not for ever.
    fake.served.abort();
    fake.clock.0.fetch_add(limits::OIDC_KEYS_AGE_US + 1, Ordering::Relaxed);
    assert!(oidc.check(&assertion(&second, "2")).await.is_ok());
    fake.clock.0.fetch_add(limits::OIDC_KEYS_AGE_LONGEST_US, Ordering::Relaxed);
    assert_eq!(checked(&oidc, &assertion(&second, "2")).await, Err(Reason::ProviderDown));
}

#[tokio::test]
async fn a_provider_that_is_not_there_at_first_is_found_later() {
    let reserved = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let (key, _) = ec();
    let provider =
        Provider { issuer: format!("http://{address}"), ..Fake::start(Vec::new()).await.provider() };
    let clock = Arc::new(Hands(AtomicI64::new(0)));
    let oidc = Oidc::new(&provider, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let claims = json!({"iss": provider.issuer, "aud": "tacho", "sub": "u-7", "exp": NOW_S + 300, "tenant": "acme",
        "realm_access": {"roles": "sec-auditors"}});
    let assertion = sign(&key, Algorithm::ES256, "1", &claims);
    assert_eq!(checked(&oidc, &assertion).await, Err(Reason::ProviderDown));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let _fake = Fake::on(listener, vec![jwk(&key, Algorithm::ES256, "1")]);
    assert_eq!(
        checked(&oidc, &assertion).await,
        Err(Reason::ProviderDown),
        "not before the interval is over"
    );
    clock.0.store(limits::OIDC_REFETCH_INTERVAL_US, Ordering::Relaxed);
    assert!(oidc.check(&assertion).await.is_ok());
}

#[tokio::test]
async fn a_provider_that_speaks_for_another_is_not_believed() {
    let (key, _) = ec();
    let fake = Fake::start(vec![jwk(&key, Algorithm::ES256, "1")]).await;
    let provider = Provider { issuer: fake.issuer.replace("127.0.0.1", "localhost"), ..fake.provider() };
    let oidc = Oidc::new(&provider, Arc::clone(&fake.clock) as Arc<dyn Clock>).unwrap();
    let assertion = sign(&key, Algorithm::ES256, "1", &fake.claims());
    assert_eq!(checked(&oidc, &assertion).await, Err(Reason::ProviderDown));
}

#[test]
fn subjects_become_ids_that_are_bounded_plain_and_distinct() {
    assert_eq!(principal_id("auth0|u-7@acme.example"), "o-auth0|u-7@acme.example");
    let ids: BTreeSet<String> =
        ["", "a b", "a_b", "a\nb", &"x".repeat(64), &"x".repeat(65), &"x".repeat(9999), "\u{202e}a"]
            .map(principal_id)
            .into();
    assert_eq!(ids.len(), 8, "{ids:?}");
    for id in &ids {
        assert!(id.len() <= 2 + 64 + 1 + 16 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    }
}

/// While the provider hangs, known keys let people in at once; who waits for an unknown one waits for the one answer, not for
/// each other; and none of them asks again.
#[tokio::test]
async fn a_provider_that_hangs_holds_up_no_one_whose_key_is_known() {
    let (key, _) = ec();
    let (stranger, _) = ec();
    let fake = Fake::start(vec![jwk(&key, Algorithm::ES256, "1")]).await;
    let oidc = fake.oidc();
    let lasting = fake.claims_with("exp", json!(NOW_S + 1_000_000));
    let known = sign(&key, Algorithm::ES256, "1", &lasting);
    assert!(oidc.check(&known).await.is_ok());
    let address = fake.issuer.strip_prefix("http://").unwrap().to_string();
    fake.served.abort();
    while !fake.served.is_finished() || tokio::net::TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // Takes connections and says nothing.
    let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let hung = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            open.push(stream);
        }
    });
    fake.clock.0.fetch_add(limits::OIDC_KEYS_AGE_US + 1, Ordering::Relaxed);
    let ask = |assertion: String| {
        let oidc = oidc.clone();
        async move {
            let begun = tokio::time::Instant::now();
            let checked = checked(&oidc, &assertion).await;
            (checked, begun.elapsed())
        }
    };
    let strangers: Vec<_> = (0..20)
        .map(|at| tokio::spawn(ask(sign(&stranger, Algorithm::ES256, &format!("x{at}"), &lasting))))
        .collect();
    while taken.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        let (checked, took) = ask(known.clone()).await;
        assert!(checked.is_ok() && took < Duration::from_millis(200), "{checked:?} after {took:?}");
    }
    let most = Duration::from_millis(limits::OIDC_TIMEOUT_MS + 2_000);
    for stranger in strangers {
        let (checked, took) = stranger.await.unwrap();
        assert!(checked == Err(Reason::AssertionKey) && took < most, "{checked:?} after {took:?}");
    }
    assert_eq!(taken.load(Ordering::Relaxed), 1, "asked once");
    // Who finds the keys old and begins to ask waits a moment, and is then let in by the old ones.
    fake.clock.0.fetch_add(limits::OIDC_REFETCH_INTERVAL_US, Ordering::Relaxed);
    let (checked, took) = ask(known.clone()).await;
    let wait = Duration::from_millis(limits::OIDC_RENEWAL_WAIT_MS);
    assert!(checked.is_ok() && took >= wait && took < 3 * wait, "{checked:?} after {took:?}");
    hung.abort();
}

/// An ID token is for the client and for the login that it was made for.
#[tokio::test]
async fn an_id_token_is_for_one_login() {
    let (key, _) = ec();
    let fake = Fake::start(vec![jwk(&key, Algorithm::ES256, "1")]).await;
    let oidc = fake.oidc();
    let with = |changes: &[(&str, Value)]| {
        let mut claims = fake.claims_with("aud", json!("browser"));
        claims["nonce"] = json!("n-1");
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        sign(&key, Algorithm::ES256, "1", &claims)
    };
    let person = oidc.check_login(&with(&[]), "browser", "n-1").await.unwrap();
    assert_eq!((person.id.as_str(), person.tenant.as_str()), ("o-u-7", "acme"));
    assert_eq!(person.groups, ["sec-auditors"], "those alone that have a role");
    let several = [("aud", json!(["browser", "x"])), ("azp", json!("browser"))];
    assert!(oidc.check_login(&with(&several), "browser", "n-1").await.is_ok());
    for (what, changes, reason) in [
        ("another login's", &[("nonce", json!("n-2"))][..], Reason::AssertionNonce),
        ("no nonce", &[("nonce", Value::Null)], Reason::AssertionNonce),
        ("another client's", &[("aud", json!("tacho"))], Reason::AssertionAudience),
        ("made for another", &[("azp", json!("x"))], Reason::AssertionAudience),
        ("azp is no text", &[("azp", json!(1))], Reason::AssertionAudience),
        ("expired", &[("exp", json!(NOW_S - 61))], Reason::AssertionExpired),
        ("no role", &[("realm_access", json!({"roles": ["other"]}))], Reason::AssertionRole),
    ] {
        let rejected = oidc.check_login(&with(changes), "browser", "n-1").await.unwrap_err();
        assert_eq!(rejected.reason, reason, "{what}");
        let is_about = rejected.whose.is_some_and(|whose| whose.id == "o-u-7");
        assert_eq!(is_about, what != "another client's", "{what}");
    }
    assert_eq!(checked(&oidc, &with(&[])).await, Err(Reason::AssertionAudience), "it is no bearer assertion");
}

/// What the provider signed and lets no one in is on record for whom it names, in their tenant; what it did not sign is not.
#[tokio::test]
async fn whom_a_signed_assertion_names_is_established() {
    let (key, _) = ec();
    let (other, _) = ec();
    let fake = Fake::start(vec![jwk(&key, Algorithm::ES256, "1")]).await;
    let oidc = fake.oidc();
    let whose =
        |tenant: Option<&str>| Some(Whose { id: "o-u-7".to_string(), tenant: tenant.map(str::to_string) });
    for (key, name, value, reason, expected) in [
        (&key, "realm_access", json!({"roles": "other"}), Reason::AssertionRole, whose(Some("acme"))),
        (&key, "realm_access", Value::Null, Reason::AssertionRole, whose(Some("acme"))),
        (&key, "tenant", json!("../acme"), Reason::AssertionTenant, whose(None)),
        (&key, "exp", json!(NOW_S - 61), Reason::AssertionExpired, whose(Some("acme"))),
        (&other, "realm_access", Value::Null, Reason::AssertionSignature, None),
        (&key, "aud", json!("other"), Reason::AssertionAudience, None),
    ] {
        let rejected = oidc.check(&sign(key, Algorithm::ES256, "1", &fake.claims_with(name, value))).await;
        assert_eq!(rejected, Err(Rejected { reason, whose: expected }), "{name}");
    }
}

/// An ID token is shown to the browser's person and kept by clients that trust no one with it: it is not to be a credential here.
#[tokio::test]
async fn an_id_token_cannot_be_made_a_bearer_assertion() {
    let fake = Fake::start(Vec::new()).await;
    let login = |client_id: &str| {
        let text =
            format!("client_id = {client_id:?}\nredirect_url = \"https://tacho.internal/auth/callback\"");
        Some(toml::from_str(&text).unwrap())
    };
    let with = |client_id: &str| Provider { login: login(client_id), ..fake.provider() };
    with("tacho-browser").check().unwrap();
    let refused = with("tacho").check().unwrap_err().to_string();
    assert!(refused.contains("oidc.audience") && refused.contains("client_id"), "{refused}");
}
