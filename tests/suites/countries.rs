//! A database of countries that the operator supplies: in the record, in rules, through a restart with another one, and refused where it is none.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Service, event, eventually, run, service_log, tacho, verify};

/// A rule on what no source said.
const RULE: &str = "title: Call from Belgium
id: 5f0c8f8e-7f0e-4f0b-9a53-0d6f3c1f4a21
logsource:
    product: tachograph
    service: events
detection:
    call:
        kind: call
        country: be
    condition: call
level: low
";

/// The database of the tests with another country in place of the Netherlands.
fn database(home: &Path, name: &str, code: &str) -> PathBuf {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("ingest/src/country/test.mmdb");
    let mut bytes = std::fs::read(fixture).unwrap();
    let at = bytes.windows(2).position(|two| two == b"NL").unwrap();
    bytes[at..at + 2].copy_from_slice(code.as_bytes());
    let path = home.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn from(id: &str, address: &str, country: Option<&str>) -> String {
    let mut event: Value = serde_json::from_str(&event(id)).unwrap();
    event["source_ip"] = address.into();
    if let Some(country) = country {
        event["country"] = country.into();
    }
    event.to_string()
}

#[test]
fn countries_are_recorded_once_and_a_retry_under_another_database_is_a_duplicate() {
    let home = tempfile::tempdir().unwrap();
    let rules = home.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("own.yml"), RULE).unwrap();
    let rules = rules.display().to_string();
    let start = |database: &Path| {
        let database = database.display().to_string();
        Service::start(
            home.path(),
            &[("TACHO_INGEST_COUNTRY_DATABASE", &database), ("TACHO_SIGMA_RULES", &rules)],
        )
    };
    let service = start(&database(home.path(), "one.mmdb", "NL"));
    let first = [
        from("looked-up", "5.6.7.8", None),
        from("said", "5.6.7.8", Some("de")),
        from("private", "10.1.2.3", None),
    ];
    assert_eq!(service.post_events(first.join("\n").as_bytes()).json()["accepted"], 3);
    assert_eq!(service.stop(), Some(0));

    let service = start(&database(home.path(), "other.mmdb", "BE"));
    let again = [&first[..], &[from("new", "5.6.7.8:443", None)]].concat();
    let answer = service.post_events(again.join("\n").as_bytes()).json();
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&1.into(), &3.into()), "{answer}");
    let rows =
        service.sql("SELECT event_id, country, tags FROM events WHERE kind = 'call' ORDER BY log_index");
    let has =
        |row: &Value, tag: &str| row["tags"].as_array().is_some_and(|tags| tags.iter().any(|one| one == tag));
    let found: Vec<(&str, &Value, bool)> = rows
        .iter()
        .map(|row| (row["event_id"].as_str().unwrap(), &row["country"], has(row, "country_by_address")))
        .collect();
    let (nl, be, de) = (Value::from("NL"), Value::from("BE"), Value::from("de"));
    assert_eq!(
        found,
        [
            ("looked-up", &nl, true),
            ("said", &de, false),
            ("private", &Value::Null, false),
            ("new", &be, true)
        ]
    );
    assert!(!rows.iter().any(|row| has(row, "id_conflict")), "{rows:?}");
    let told = || service.sql("SELECT evidence FROM alerts WHERE title = 'Call from Belgium'");
    eventually("the rule sees what was looked up", || told().len() == 1);
    assert_eq!(service.stop(), Some(0));
    let (code, text) = verify(home.path());
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_database_that_is_none_keeps_the_service_from_starting() {
    let home = tempfile::tempdir().unwrap();
    let good = database(home.path(), "good.mmdb", "NL");
    let cut = home.path().join("cut.mmdb");
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 100]).unwrap();
    for (path, why) in [(home.path().join("missing.mmdb"), "check the path"), (cut, "fetch the file again")] {
        let database = path.display().to_string();
        let started =
            Service::start_program(&tacho(), home.path(), &[("TACHO_INGEST_COUNTRY_DATABASE", &database)]);
        assert!(started.is_err());
        let log = service_log(home.path());
        assert!(log.contains("ingest.country_database") && log.contains(why), "{log}");
    }
    let file = home.path().join("tacho.toml");
    std::fs::write(&file, format!("[ingest]\ncountry_database = \"{}\"\n", good.display())).unwrap();
    let shown = run(&["config", "show", "--config", &file.display().to_string()]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("# database of countries: Test-Country, built at 1795219200, digest "), "{text}");
}
