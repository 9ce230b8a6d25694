//! The door over a real store: what comes in, what is answered, what is in the log.

use arrow::array::{Array as _, AsArray as _};
use axum::http::{Request as HttpRequest, StatusCode};
use http_body_util::BodyExt;
use schemas::principal::Role;
use serde_json::Value;
use store::Keys;
use tower::ServiceExt;

use super::*;

const GOOD: &str = "{\"event_id\":\"e1\",\"time\":\"2026-06-09T12:45:31Z\",\"kind\":\"call\"}\n";

struct Rig {
    store: Store,
    router: Router,
    _data: tempfile::TempDir,
}

fn rig() -> Rig {
    rig_with(|_| {})
}

fn rig_with(change: impl FnOnce(&mut Options)) -> Rig {
    let data = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let keys = Keys::from_seed([5; 32], "plant.example").unwrap();
    // A test must run on a nearly full disk too.
    let options = store::Options { disk_free_bytes_min: 0, ..store::Options::default() };
    let store = Store::open(&data.path().join("data"), keys, options, clock).unwrap();
    let mut options =
        Options { body_bytes_max: 1 << 20, inline_bytes_max: 1000, ..Options::new(Arc::new(|_| [1; 32])) };
    change(&mut options);
    let router = router(Ingest::new(store.clone(), options));
    Rig { store, router, _data: data }
}

fn request(role: Option<Role>, body: impl Into<Body>) -> HttpRequest<Body> {
    let mut request = HttpRequest::post("/v1/events").body(body.into()).unwrap();
    if let Some(role) = role {
        let principal = Principal {
            id: "t-0123456789ab".to_string(),
            role,
            tenant: "acme".to_string(),
            source_ip: None,
            door: "http",
        };
        request.extensions_mut().insert(principal);
    }
    request
}

impl Rig {
    async fn send(&self, request: HttpRequest<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn post(&self, body: impl Into<Body>) -> (StatusCode, Value) {
        self.send(request(Some(Role::Collector), body)).await
    }

    fn durable(&self) -> u64 {
        self.store.snapshot("acme", Stream::Events).map_or(0, |snapshot| snapshot.durable)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_in_the_log_when_they_are_answered() {
    let rig = rig();
    let before = rig.durable();
    let (status, answer) = rig.post(format!("{GOOD}bad\n{}", GOOD.replace("e1", "e2"))).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((answer["accepted"].as_u64(), answer["count"].as_u64()), (Some(2), Some(2)));
    assert_eq!((answer["duplicates"].as_u64(), answer["rejected_count"].as_u64()), (Some(0), Some(1)));
    assert_eq!(answer["rejected"][0]["line"], 2);
    assert_eq!(answer["tree_size"].as_u64(), Some(rig.durable()));
    assert_eq!(answer["first_index"].as_u64(), Some(rig.durable() - 2));
    assert!(
        rig.durable() >= before + 2 && answer["log"].as_str().unwrap().contains("acme/events"),
        "{answer}"
    );

    let (status, again) = rig.post(GOOD).await;
    assert_eq!(
        (status, again["accepted"].as_u64(), again["duplicates"].as_u64()),
        (StatusCode::OK, Some(0), Some(1))
    );

    let many: String = (0..500).map(|n| GOOD.replace("e1", &format!("m{n}"))).collect();
    let (status, answer) = rig.post(many).await;
    assert_eq!(
        (status, answer["accepted"].as_u64()),
        (StatusCode::OK, Some(500)),
        "a body parsed on its own thread"
    );
    rig.store.close().await.unwrap();
}

/// A database that was replaced places an address elsewhere; what the source sent is the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_under_another_database_of_countries_is_a_duplicate() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = include_bytes!("../country/test.mmdb");
    let place = fixture.windows(2).position(|bytes| bytes == b"NL").unwrap();
    let opened = |name: &str, code: &[u8; 2]| {
        let mut bytes = fixture.to_vec();
        bytes[place..place + 2].copy_from_slice(code);
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Some(Arc::new(Countries::open(&path).unwrap()))
    };
    let mut rig = rig_with(|options| options.countries = opened("one.mmdb", b"NL"));
    let event = |id: &str, more: &str| {
        GOOD.replace("e1", id).replace("\"kind\"", &format!("{more}\"source_ip\":\"5.6.7.8\",\"kind\""))
    };
    let (_, first) = rig.post(event("e1", "")).await;
    assert_eq!(first["accepted"], 1);
    for (database, id) in [(opened("other.mmdb", b"BE"), "e2"), (None, "e3")] {
        let options = Options { countries: database, ..Options::new(Arc::new(|_| [1; 32])) };
        rig.router = router(Ingest::new(rig.store.clone(), options));
        let (status, again) = rig.post(event("e1", "") + &event(id, "")).await;
        assert_eq!(
            (status, &again["accepted"], &again["duplicates"]),
            (StatusCode::OK, &1.into(), &1.into()),
            "{again}"
        );
    }
    // Where the source says it, it is what the source sent.
    let (_, other) = rig.post(event("e1", "\"country\":\"NL\",")).await;
    assert_eq!((&other["accepted"], &other["duplicates"]), (&1.into(), &0.into()));
    let snapshot = rig.store.snapshot("acme", Stream::Events).unwrap();
    let mut found = Vec::new();
    for batch in snapshot.unsealed.iter() {
        let column = |name: &str| batch.entries.column_by_name(name).unwrap().clone();
        let (countries, tags) = (column("country"), column("tags"));
        for row in 0..countries.len() {
            let country = countries.as_string::<i32>();
            let tags = tags.as_list::<i32>();
            let has = |tag: &str| {
                tags.is_valid(row)
                    && tags.value(row).as_string::<i32>().iter().flatten().any(|one| one == tag)
            };
            found.push((
                country.is_valid(row).then(|| country.value(row).to_string()),
                has("country_by_address"),
                has("id_conflict"),
            ));
        }
    }
    let looked_up = |code: &str| (Some(code.to_string()), true, false);
    let expected = [
        (None, false, false),
        looked_up("NL"),
        looked_up("BE"),
        (None, false, false),
        (Some("NL".to_string()), false, true),
    ];
    assert_eq!(found, expected);
    rig.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_idempotency_key_counts_once() {
    let rig = rig();
    let keyed = || {
        let mut request = request(Some(Role::Admin), GOOD.replace("\"event_id\":\"e1\",", "").repeat(3));
        request.headers_mut().insert("idempotency-key", "k1".parse().unwrap());
        request
    };
    let (_, first) = rig.send(keyed()).await;
    assert_eq!((first["accepted"].as_u64(), first["duplicates"].as_u64()), (Some(3), Some(0)), "{first}");
    let (_, again) = rig.send(keyed()).await;
    assert_eq!((again["accepted"].as_u64(), again["duplicates"].as_u64()), (Some(0), Some(3)), "{again}");
    // Records without a time get that of their arrival, which is another each time.
    let untimed = || {
        let message = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
        let mut request = request(Some(Role::Collector), message);
        request.headers_mut().insert("idempotency-key", "k2".parse().unwrap());
        request
    };
    let (_, first) = rig.send(untimed()).await;
    assert_eq!(first["accepted"], 1, "{first}");
    for _ in 0..3 {
        let (_, again) = rig.send(untimed()).await;
        assert_eq!((again["accepted"].as_u64(), again["duplicates"].as_u64()), (Some(0), Some(1)), "{again}");
    }
    rig.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_a_problem() {
    let rig = rig();
    let with = |name: &'static str, value: &str| {
        let mut request = request(Some(Role::Collector), GOOD);
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let mut format = request(Some(Role::Collector), GOOD);
    *format.uri_mut() = "/v1/events?format=cobol".parse().unwrap();
    for (request, status, code) in [
        (request(None, GOOD), 401, "unauthenticated"),
        (request(Some(Role::Auditor), GOOD), 403, "forbidden"),
        (request(Some(Role::Operator), GOOD), 403, "forbidden"),
        (request(Some(Role::Collector), ""), 400, "empty"),
        (request(Some(Role::Collector), "\n[]\n"), 400, "empty"),
        (request(Some(Role::Collector), "{}\nx\n"), 400, "nothing_usable"),
        (request(Some(Role::Collector), vec![b' '; (1 << 20) + 1]), 413, "too_large"),
        (with("content-length", "99999999"), 413, "too_large"),
        (with("content-encoding", "br"), 415, "unknown_encoding"),
        (with("content-encoding", "gzip"), 400, "bad_gzip"),
        (format, 400, "unknown_mapping"),
    ] {
        let (found, problem) = rig.send(request).await;
        assert_eq!((found.as_u16(), problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["status"].as_u64(), Some(u64::from(status)));
    }
    assert_eq!(rig.durable(), 0, "nothing of it is in the log");
    rig.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_changes_nothing() {
    let rig = rig();
    let many: String = (0..2000).map(|n| GOOD.replace("e1", &format!("g{n}"))).collect();
    let mut answer = Box::pin(rig.router.clone().oneshot(request(Some(Role::Collector), many)));
    // Polled until the body is read and the work has its own task, then dropped.
    let gone = tokio::time::timeout(Duration::from_millis(1), &mut answer).await;
    drop(answer);
    if gone.is_err() {
        let log = rig.store.log("acme", Stream::Events).await.unwrap();
        let grown = tokio::time::timeout(Duration::from_secs(20), log.grown_past(1999)).await;
        assert!(grown.is_ok_and(|size| size >= 2000));
    }
    rig.store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_sends_too_fast_is_told_when_to_come_again() {
    let rig = rig_with(|options| options.rate_bytes_s = 10);
    let many: String = (0..20).map(|number| GOOD.replace("e1", &format!("e{number}"))).collect();
    let (status, answer) = rig.post(many.clone()).await;
    assert_eq!((status, answer["accepted"].as_u64()), (StatusCode::OK, Some(20)), "a burst is let in");
    let response = rig.router.clone().oneshot(request(Some(Role::Collector), GOOD)).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait_s: u64 = response.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    let owed = many.len() as u64 - 10 * limits::INGEST_RATE_BURST_S as u64;
    assert!((owed / 10 - 5..=owed / 10 + 1).contains(&wait_s), "{wait_s} s for {owed} bytes");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["code"], "too_fast");
    let mut other = request(Some(Role::Collector), GOOD);
    other.extensions_mut().get_mut::<Principal>().unwrap().id = "t-other".to_string();
    assert_eq!(rig.send(other).await.0, StatusCode::OK, "each credential has its own rate");
}
