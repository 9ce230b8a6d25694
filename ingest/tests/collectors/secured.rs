//! A broker behind TLS and logins: whom it lets in is recorded, and what is wrong is told without the secret.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ingest::{Ingest, Kafka, Options, Sasl, Tls};
use schemas::Stream;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::broker::Broker;
use super::child;

const PASSWORD: &str = "hunter2-correct-horse";

/// Everything that is said.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<String>>);

impl Subscriber for Said {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Text<'a>(&'a mut String);
        impl Visit for Text<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }
        }
        let mut said = self.0.lock().unwrap();
        event.record(&mut Text(&mut said));
        said.push('\n');
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A certificate of 127.0.0.1 that signs itself: `<name>.crt`, and with its key `<name>.pem`.
fn certificate(home: &Path, name: &str) {
    let file = |ending: &str| home.join(format!("{name}.{ending}"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(file("key"))
        .arg("-out")
        .arg(file("crt"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let pem = ["key", "crt"].map(|ending| std::fs::read_to_string(file(ending)).unwrap()).concat();
    std::fs::write(file("pem"), pem).unwrap();
}

#[test]
fn a_login_over_tls_is_let_in_and_what_is_wrong_is_told_without_the_secret() {
    let _alone = super::alone();
    let home = tempfile::tempdir().unwrap();
    if std::env::var_os("TACHO_KAFKA_JARS").is_some() {
        certificate(home.path(), "broker");
        certificate(home.path(), "other");
    }
    let Some((broker, address)) = Broker::start_secured(home.path(), PASSWORD) else { return };
    broker.create("calls", 1);
    let line = |number: u64| {
        format!("k|{{\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",\"capability\":\"n-{number}\"}}")
    };
    broker.produce("calls", &(0..10).map(line).collect::<Vec<_>>());
    std::fs::write(home.path().join("right"), format!("{PASSWORD}\n")).unwrap();
    std::fs::write(home.path().join("wrong"), "hunter2-battery-staple").unwrap();
    let kafka = |name: &str, mechanism: &str, password: &str, ca: &str| Kafka {
        name: name.to_string(),
        tenant: "default".to_string(),
        brokers: vec![address.clone()],
        topics: vec!["calls".to_string()],
        group: name.to_string(),
        mapping: None,
        dead_letter: None,
        tls: Some(Tls { ca: Some(home.path().join(ca)), ..Tls::default() }),
        sasl: Some(Sasl {
            mechanism: mechanism.to_string(),
            username: "recorder".to_string(),
            password_file: home.path().join(password),
        }),
    };
    let said = Said::default();
    tracing::subscriber::set_global_default(said.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = child::open(home.path());
        // Each group of its own reads everything; entry 0 is the log's own.
        let cases = [
            ("plain", kafka("plain", "PLAIN", "right", "broker.crt"), 10, ""),
            ("scram", kafka("scram", "SCRAM-SHA-256", "right", "broker.crt"), 20, ""),
            ("password", kafka("password", "SCRAM-SHA-256", "wrong", "broker.crt"), 20, "uthentication"),
            ("authority", kafka("authority", "PLAIN", "right", "other.crt"), 20, "certificate"),
        ];
        for (name, kafka, calls, says) in cases {
            said.0.lock().unwrap().clear();
            let ingest = Ingest::new(store.clone(), Options::new(Arc::new(|_| [7; 32])));
            let stop = tokio::sync::watch::Sender::new(false);
            let task = tokio::spawn(kafka.run(ingest, stop.subscribe()));
            let durable = || store.snapshot("default", Stream::Events).map_or(0, |snapshot| snapshot.durable);
            let mut is_so = false;
            for _ in 0..200 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let is_said = says.is_empty() || said.0.lock().unwrap().contains(says);
                is_so = durable() == calls + 1 && is_said;
                if is_so {
                    break;
                }
            }
            let text = said.0.lock().unwrap().clone();
            assert!(is_so, "{name}: {} entries\n{text}", durable());
            stop.send_replace(true);
            task.await.unwrap().unwrap();
            for secret in [PASSWORD, "hunter2-battery-staple"] {
                assert!(!said.0.lock().unwrap().contains(secret), "{name}: {text}");
            }
        }
        store.close().await.unwrap();
    });
}
