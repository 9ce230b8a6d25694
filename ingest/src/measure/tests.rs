use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use schemas::limits::BODY_VALUES_MAX;
use schemas::principal::{Principal, Role};
use store::clock::SystemClock;
use store::{Keys, Store};
use tower::ServiceExt as _;

use crate::http::{Ingest, Options};

/// Counters by name and labels.
#[derive(Debug, Default)]
struct Ledger(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Recorder for Ledger {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<&str> = key.labels().map(metrics::Label::value).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

impl Ledger {
    fn events(&self, what: &str) -> BTreeMap<String, u64> {
        let name = format!("tacho_ingest_events_{what}_total ");
        let counters = self.0.lock().unwrap();
        let of = |(key, count): (&String, &Arc<AtomicU64>)| {
            Some((key.strip_prefix(&name)?.to_string(), count.load(Ordering::SeqCst)))
        };
        counters.iter().filter_map(of).filter(|(_, count)| *count > 0).collect()
    }

    fn sum(&self, what: &str) -> u64 {
        self.events(what).values().sum()
    }
}

fn request(path: &str, kind: &str, body: String) -> Request<Body> {
    let mut request = Request::post(path).header("content-type", kind).body(Body::from(body)).unwrap();
    let (id, tenant) = ("t-0123456789ab".to_string(), "acme".to_string());
    let role = Role::Collector;
    request.extensions_mut().insert(Principal { id, role, tenant, source_ip: None, door: "http" });
    request
}

/// Whatever is sent, what came is what became of it, and why it was refused is told.
#[tokio::test]
async fn what_is_received_is_accounted_for() {
    let data = tempfile::tempdir().unwrap();
    let keys = Keys::from_seed([5; 32], "plant.example").unwrap();
    let options = store::Options { disk_free_bytes_min: 0, ..store::Options::default() };
    let clock = Arc::new(SystemClock::new());
    let store = Store::open(&data.path().join("data"), keys, options, clock).unwrap();
    // On this thread, where the ledger is.
    let options = Options { inline_bytes_max: usize::MAX, ..Options::new(Arc::new(|_| [1; 32])) };
    let ingest = Ingest::new(store.clone(), options);
    let router = crate::http::router(ingest.clone()).merge(crate::otlp::router(ingest));
    let ledger = Ledger::default();
    let _guard = metrics::set_default_local_recorder(&ledger);
    let post = async |path: &str, kind: &str, body: String| {
        router.clone().oneshot(request(path, kind, body)).await.unwrap().status().as_u16()
    };
    let event = |id: u32| format!(r#"{{"event_id":"e{id}","time":"2026-06-09T12:45:31Z","kind":"call"}}"#);
    let events = async |body: String| post("/v1/events", "application/json", body).await;
    let mut seen = (0, 0, 0, 0);
    let mut check = |received: u64, durable: u64, duplicate: u64, refused: u64| {
        seen = (seen.0 + received, seen.1 + durable, seen.2 + duplicate, seen.3 + refused);
        let counted = ["received", "durable", "duplicate", "refused"].map(|what| ledger.sum(what));
        assert_eq!(counted, [seen.0, seen.1, seen.2, seen.3]);
    };
    assert_eq!(events([event(1), event(2), "bad".to_string(), event(1)].join("\n")).await, 200);
    check(4, 2, 1, 1);
    assert_eq!(events(event(2) + "{}").await, 200);
    check(2, 0, 1, 1);
    assert_eq!(events("{}\n7".to_string()).await, 400);
    check(2, 0, 0, 2);
    // A record of two calls is two events, and one that is refused is one.
    let calls = r#"{"ai":{"mcp":{"rpc":[{"method":"tools/call","tool_name":"a"},{"method":"tools/call","tool_name":"b"}]}}}"#;
    assert_eq!(events(calls.to_string()).await, 200);
    check(2, 2, 0, 0);
    // What was read before a request failed as a whole was received.
    assert_eq!(events("{}".repeat(BODY_VALUES_MAX + 1)).await, 413);
    check(BODY_VALUES_MAX as u64, 0, 0, BODY_VALUES_MAX as u64);
    assert_eq!(events(String::new()).await, 400);
    check(0, 0, 0, 0);

    let span = |id: u32, key: &str| {
        format!(
            r#"{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"{id:016x}","attributes":[{{"key":"{key}","value":{{"stringValue":"t"}}}}]}}"#
        )
    };
    let traces = async |spans: &[String], rest: &str| {
        let spans = spans.join(",");
        let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}{rest}]}}"#);
        post("/v1/traces", "application/json", body).await
    };
    let tool = "gen_ai.tool.name";
    assert_eq!(traces(&[span(1, tool), span(0, tool), span(2, "http.method"), span(3, tool)], "").await, 200);
    assert_eq!(ledger.sum("not_recorded"), 1);
    check(4, 2, 0, 1);
    assert_eq!(traces(&[span(1, tool)], "").await, 200);
    check(1, 0, 1, 0);
    assert_eq!(traces(&[span(4, tool), span(5, "x")], ",[]").await, 400);
    check(2, 0, 0, 2);

    store.close().await.unwrap();
    assert!(events(event(9) + "bad").await >= 500);
    check(2, 0, 0, 2);
    let refused = ledger.events("refused");
    let expected = [
        ("bad_id", 1),
        ("bad_json", 2),
        ("bad_telemetry", 2),
        ("not_object", 1),
        ("poisoned", 1),
        ("too_large", BODY_VALUES_MAX as u64),
        ("unmapped", 2),
    ];
    assert_eq!(refused, expected.map(|(code, count)| (code.to_string(), count)).into());
}
