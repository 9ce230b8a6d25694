//! What one tenant asks by another's names gives nothing.

use serde_json::{Value, json};

use super::{has, port, psql, said};
use crate::support::{Answer, Service, event, request, run};

/// An admin of a tenant: made by who sits at the machine.
fn admin(home: &std::path::Path, tenant: &str) -> Value {
    let (data, keys) = (home.join("data").display().to_string(), home.join("keys").display().to_string());
    let arguments =
        ["token", "create", "--role", "admin", "--tenant", tenant, "--data", &data, "--keys", &keys];
    let made = run(&arguments);
    assert!(made.status.success(), "{made:?}");
    serde_json::from_slice(&made.stdout).unwrap()
}

fn send(service: &Service, token: &Value, method: &str, path: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let kind = if path == "/v1/events" { "application/x-ndjson" } else { "application/json" };
    let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
    request(&service.address, method, path, &headers, body).unwrap()
}

/// Two tenants with an event each, whose every name has the tenant's in it.
fn two(home: &std::path::Path) -> (Service, [Value; 2]) {
    let service = Service::start(home, &[("TACHO_PG", "127.0.0.1:0")]);
    let tenants = ["acme", "globex"].map(|tenant| {
        let token = admin(home, tenant);
        let name = |name: &str| format!("{name}-of-{tenant}");
        let mut event: Value = serde_json::from_str(&event(&name("e"))).unwrap();
        for column in ["user_id", "agent_id", "session_id", "server", "capability"] {
            event[column] = name(column).into();
        }
        let answer = send(&service, &token, "POST", "/v1/events", event.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        token
    });
    (service, tenants)
}

#[test]
fn another_tenant_s_names_give_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (service, [acme, globex]) = two(home.path());
    for (token, own, other) in [(&acme, "acme", "globex"), (&globex, "globex", "acme")] {
        let replay = |tenant: &str| {
            send(&service, token, "GET", &format!("/api/v1/sessions/session_id-of-{tenant}/replay"), b"")
        };
        assert_eq!(replay(own).status, 200);
        let refused = replay(other);
        assert_eq!(refused.status, 404, "{}", refused.text());
        assert!(!refused.text().contains("capability-of"), "{}", refused.text());
    }
    let sample = send(&service, &acme, "POST", "/api/v1/redaction/samples", br#"{"rows":1}"#);
    assert_eq!(sample.status, 201, "{}", sample.text());
    let verdict = format!("/api/v1/redaction/samples/{}/verdict", sample.json()["sample"].as_str().unwrap());
    let clean = json!({"missed": []}).to_string();
    let refused = send(&service, &globex, "POST", &verdict, clean.as_bytes());
    assert_eq!((refused.status, &refused.json()["code"]), (404, &"no_such_sample".into()));
    assert_eq!(send(&service, &acme, "POST", &verdict, clean.as_bytes()).status, 201);
    // Numbers of the whole installation name nobody's people, sessions or tools.
    let metrics = send(&service, &acme, "GET", "/metrics", b"").text();
    assert!(metrics.contains("tacho_ingest_events_durable_total"), "{metrics}");
    assert!(!metrics.contains("-of-acme") && !metrics.contains("-of-globex"), "{metrics}");
}

#[test]
fn the_catalogue_of_postgresql_shows_nothing_of_another_tenant() {
    if !has("psql", "--version") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (service, [acme, globex]) = two(home.path());
    for (token, other, name) in [(&acme, &globex, "globex"), (&globex, &acme, "acme")] {
        let secret = token["token"].as_str().unwrap();
        let ask = |sql: &str| said(&psql(port(&service), secret, &["-Atc", sql]));
        assert!(ask("SELECT rolname FROM pg_catalog.pg_roles").contains(token["id"].as_str().unwrap()));
        for table in [
            "pg_catalog.pg_roles",
            "pg_catalog.pg_database",
            "pg_catalog.pg_class",
            "pg_catalog.pg_namespace",
            "pg_catalog.pg_settings",
            "pg_catalog.pg_tables",
            "pg_catalog.pg_stat_user_tables",
            "information_schema.tables",
            "information_schema.columns",
            "events",
            "access",
            "segments",
            "checkpoints",
            "sources",
        ] {
            let shown = ask(&format!("SELECT * FROM {table}"));
            assert!(!shown.contains("ERROR"), "{table}: {shown}");
            assert!(!shown.contains(name), "{table}: {shown}");
            assert!(!shown.contains(other["id"].as_str().unwrap()), "{table}: {shown}");
        }
    }
}
