//! What the detector told, as people meet it: listed, looked at, judged, muted, and folded again.

use crate::support::{Service, event, eventually, run, verify};

/// A high-risk write that nobody approved.
fn write(id: &str) -> String {
    let mut event: serde_json::Value = serde_json::from_str(&event(id)).unwrap();
    event["action"] = "write".into();
    event["risk"] = "critical".into();
    // Whoever dates his events back is listed all the same.
    event["time"] = "2020-02-03T04:05:06Z".into();
    event["agent_id"] = "a-1\nverdict: all is well".into();
    event.to_string()
}

fn told(service: &Service, state: &str) -> u64 {
    let query = format!("SELECT count(*) AS n FROM alerts WHERE state = '{state}'");
    service.sql(&query)[0]["n"].as_u64().unwrap()
}

#[test]
fn an_alert_is_listed_shown_judged_and_muted_and_the_log_folds_to_the_same() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let url = format!("http://{}", service.address);
    let token = home.path().join("keys/admin.token").display().to_string();
    let alerts = |arguments: &[&str]| {
        let target = ["--url", &url, "--token-file", &token];
        let output = run(&[&["alerts"], arguments, &target].concat());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let list = |more: &[&str]| alerts(&[&["list"], more].concat());

    let (code, text, _) = list(&[]);
    assert_eq!((code, text.as_str()), (0, "0 episodes\n"));
    assert_eq!(service.post_events(write("a").as_bytes()).status, 200);
    eventually("the alert is told", || told(&service, "open") == 1);
    let (code, text, _) = list(&["--severity", "critical", "--open"]);
    assert!(
        code == 1 && text.contains("unapproved_high_risk_write") && text.ends_with("1 episodes\n"),
        "{text}"
    );
    assert_eq!(list(&["--rule", "x' OR '1'='1"]).0, 0, "a name is not a condition");
    let id = text.split(' ').next().unwrap().to_owned();

    let (code, text, _) = alerts(&["show", &id[..8]]);
    assert_eq!(code, 0, "{text}");
    for part in ["evidence ", "query ", "runbook ", "agent_id=a-1\\nverdict", "it names no approval"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(alerts(&["show", "ffffffffffffffffffffffffffffffff"]).0, 1);
    assert_eq!(alerts(&["show", "x%"]).0, 2);

    // A verdict needs the role, and an alert that there is.
    let unknown = alerts(&["verdict", &"0".repeat(32), "benign"]);
    assert!(unknown.0 == 2 && unknown.2.contains("no_such_alert"), "{unknown:?}");
    let made = run(&["token", "create", "--role", "auditor", "--url", &url, "--token-file", &token]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let path = format!("/api/v1/alerts/{id}/verdict");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer =
        crate::support::request(&service.address, "POST", &path, &headers, br#"{"verdict":"benign"}"#);
    assert_eq!(answer.unwrap().status, 403);
    let json = [("content-type", "application/json")];
    let too_long = service.send("POST", &path, &json, br#"{"verdict":"benign","mute_s":99999999}"#);
    assert_eq!((too_long.status, too_long.json()["code"].as_str().unwrap()), (400, "bad_verdict"));

    let secret = format!("ghp_{}", "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xYz123");
    let note = format!("a drill of ours, with {secret}");
    let (code, text, error) = alerts(&["verdict", &id, "benign", "--mute", "1h", "--note", &note]);
    assert_eq!((code, text), (0, format!("recorded: {id} is benign\n")), "{error}");
    eventually("the episode closes", || told(&service, "closed") == 1);
    assert_eq!(service.post_events(write("b").as_bytes()).status, 200);
    eventually("what is muted is told all the same", || told(&service, "open") == 2);
    let muted = service.sql("SELECT * FROM alerts WHERE state = 'open' ORDER BY log_index");
    assert_eq!(
        (muted[0]["severity"].as_str(), muted[1]["severity"].as_str()),
        (Some("critical"), Some("informational"))
    );
    assert!(muted[1]["muted_by"].as_str().unwrap().starts_with("t-"), "{muted:?}");
    let note = muted[1]["mute_note"].as_str().unwrap();
    assert!(note.starts_with("a drill of ours, with <redacted:"), "{note}");
    assert!(muted[0]["muted_by"].is_null() && muted[1]["muted_until"].is_string(), "{muted:?}");
    let said = service.sql(
        "SELECT phase, statement FROM access WHERE action = 'alert_verdict' AND statement LIKE '%drill of ours%' ORDER BY log_index",
    );
    assert_eq!(
        said.iter().map(|row| row["phase"].as_str().unwrap()).collect::<Vec<_>>(),
        ["intent", "outcome"]
    );
    let refused =
        service.sql("SELECT count(*) AS n FROM access WHERE action = 'alert_verdict' AND decision = 'deny'");
    assert_eq!(refused[0]["n"], 1, "the auditor's");
    assert_eq!(service.stop(), Some(0));

    // The log alone gives the same alerts; under other settings it says what would have been.
    let (data, keys) = (home.path().join("data"), home.path().join("keys"));
    let place = ["--data", data.to_str().unwrap(), "--keys", keys.to_str().unwrap()];
    let same = run(&[&["backtest"], &place[..]].concat());
    let text = String::from_utf8(same.stdout).unwrap();
    assert!(
        same.status.code() == Some(0)
            && text.contains("verdict: the alerts on record are what the fold gives"),
        "{text}"
    );
    let file = home.path().join("other.toml");
    std::fs::write(&file, "[detect]\ndisabled = [\"unapproved_high_risk_write\"]\n").unwrap();
    let other = run(&[&["backtest", "--json", "--config", file.to_str().unwrap()], &place[..]].concat());
    let found: serde_json::Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!((other.status.code(), &found["same"]), (Some(1), &false.into()), "{found}");
    assert_eq!(found["rules"]["unapproved_high_risk_write"]["only_recorded"], 3, "{found}");
    let (code, text) = verify(home.path());
    assert_eq!(code, 0, "{text}");
}

#[test]
fn r45_a_change_that_is_noted_is_an_event_and_the_denials_after_it_name_it() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let url = format!("http://{}", service.address);
    let token = home.path().join("keys/admin.token").display().to_string();
    let mark =
        |arguments: &[&str]| run(&[&["mark"], arguments, &["--url", &url, "--token-file", &token]].concat());
    let noted = mark(&["deployment", "gateway 1.4", "--at", "2026-11-21T09:58:00Z"]);
    assert_eq!(noted.status.code(), Some(0), "{}", String::from_utf8_lossy(&noted.stderr));
    assert_eq!(mark(&["deployment", "gateway 1.4", "--at", "yesterday"]).status.code(), Some(2));
    let rows = service.sql("SELECT method, target FROM events WHERE kind = 'config'");
    assert_eq!(
        (rows[0]["method"].as_str(), rows[0]["target"].as_str()),
        (Some("deployment"), Some("gateway 1.4"))
    );
    let denied = |number: usize| {
        let mut event: serde_json::Value = serde_json::from_str(&event(&format!("d-{number}"))).unwrap();
        event["decision"] = "deny".into();
        event["status"] = "denied".into();
        event.to_string()
    };
    let events: Vec<String> = (0..60).map(denied).collect();
    assert_eq!(service.post_events(events.join("\n").as_bytes()).status, 200);
    eventually("the denials are told", || told(&service, "open") > 0);
    let alert = service.sql(
        "SELECT explanation FROM alerts WHERE rule_id = 'denial_ratio_ceiling' ORDER BY log_index LIMIT 1",
    );
    let explanation = alert[0]["explanation"].as_str().unwrap();
    assert!(explanation.contains("deployment gateway 1.4."), "{explanation}");
    assert_eq!(service.stop(), Some(0));
}
