//! Rules in Sigma in the running detector: the shipped ones and one's own, through a restart and folded again.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Service, event, eventually, request, run, service_log, signal, tacho, verify};

const NONPRODUCTION: &str = "41a53d4c-1567-47d4-8df8-c2851dd6b006";
const UNREGISTERED: &str = "49ac624e-fc60-4311-a08c-a1ca60a383aa";
const EXPIRED: &str = "expired_credential";
const BEYOND_SCOPES: &str = "34612e83-b88b-4fe5-b5a0-ac21cd63adf8";
const VALIDATION: &str = "d64b569f-5d3f-4c82-b203-fe95156de40b";
const OWN: &str = "5f0c8f8e-7f0e-4f0b-9a53-0d6f3c1f4a11";

const FENCE: &str = "5f0c8f8e-7f0e-4f0b-9a53-0d6f3c1f4a12";

/// A rule of one's own on a column that no detector of the engine reads.
const OWN_RULE: &str = "title: Payment to a known thief
id: 5f0c8f8e-7f0e-4f0b-9a53-0d6f3c1f4a11
name: payment_to_thief
description: Money went where it must not go.
logsource:
    product: tachograph
    service: events
detection:
    payment:
        kind: call
        target|contains: /accounts/thief
    condition: payment
level: critical
tags: [atlas.aml.t0086, owasp.mcp10]
";

/// A directory with rules, one with lists, and a configuration that names them.
fn configured(home: &Path, rule: &str) -> PathBuf {
    let (rules, lists) = (home.join("rules"), home.join("lists"));
    for directory in [&rules, &lists] {
        std::fs::create_dir_all(directory).unwrap();
    }
    std::fs::write(rules.join("own.yml"), rule).unwrap();
    std::fs::write(lists.join("registered_servers.txt"), "# reviewed\ngithub\ncrm-staging\n").unwrap();
    for class in ["read", "write", "destructive", "execute", "admin"] {
        std::fs::write(lists.join(format!("scopes_{class}.txt")), format!("mcp:{class}\n")).unwrap();
    }
    let file = home.join("tacho.toml");
    let text = format!("[sigma]\nrules = \"{}\"\nlists = \"{}\"\n", rules.display(), lists.display());
    std::fs::write(&file, text).unwrap();
    file
}

fn start(home: &Path) -> Service {
    let path = |name: &str| home.join(name).display().to_string();
    let (rules, lists) = (path("rules"), path("lists"));
    Service::start(home, &[("TACHO_SIGMA_RULES", &rules), ("TACHO_SIGMA_LISTS", &lists)])
}

fn with(id: &str, columns: &[(&str, Value)]) -> String {
    let mut event: Value = serde_json::from_str(&event(id)).unwrap();
    for (name, value) in columns {
        event[*name] = value.clone();
    }
    event.to_string()
}

fn post(service: &Service, events: &[String]) {
    let answer = service.post_events(events.join("\n").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The entries of a rule on the alerts log, in their order.
fn told(service: &Service, rule: &str) -> Vec<Value> {
    service.sql(&format!(
        "SELECT alert_id, sequence, state, severity, title, entity, entity_type, count, evidence, \"references\", runbook, query \
         FROM alerts WHERE rule_id = '{rule}' ORDER BY log_index"
    ))
}

fn backtest(home: &Path, configuration: &Path) -> (Option<i32>, String) {
    let place = |name: &str| home.join(name).display().to_string();
    let (data, keys) = (place("data"), place("keys"));
    let file = configuration.display().to_string();
    let output = run(&["backtest", "--config", &file, "--data", &data, "--keys", &keys]);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn rules_shipped_and_own_tell_once_across_a_restart_and_fold_to_the_same() {
    let home = tempfile::tempdir().unwrap();
    let configuration = configured(home.path(), OWN_RULE);
    let service = start(home.path());
    let thief = |id: &str| with(id, &[("target", "https://bank.test/accounts/thief".into())]);
    post(
        &service,
        &[
            event("usual"),
            with("staging", &[("environment", "prod".into()), ("server", "crm-staging".into())]),
            with("rogue", &[("server", "rogue".into())]),
            thief("paid"),
        ],
    );
    for rule in [NONPRODUCTION, UNREGISTERED, OWN] {
        eventually("the alert is told", || !told(&service, rule).is_empty());
    }

    // As anybody sees it.
    let url = format!("http://{}", service.address);
    let token = home.path().join("keys/admin.token").display().to_string();
    let listed = run(&["alerts", "list", "--rule", OWN, "--url", &url, "--token-file", &token]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(text.contains("critical") && text.contains("Money went where it must not go"), "{text}");
    let own = told(&service, OWN);
    assert_eq!(
        (own.len(), &own[0]["state"], &own[0]["title"]),
        (1, &"open".into(), &"Payment to a known thief".into())
    );
    assert_eq!(own[0]["references"], serde_json::json!(["AML.T0086", "MCP10"]));
    assert_eq!(own[0]["runbook"], "docs/runbooks/sigma.md");
    let evidence = service.sql(own[0]["query"].as_str().unwrap());
    assert_eq!((evidence.len(), &evidence[0]["event_id"]), (1, &"paid".into()), "{evidence:?}");
    assert_eq!(own[0]["evidence"], serde_json::json!([evidence[0]["log_index"]]));

    // A restart in between loses nothing and tells nothing twice: the episode goes on.
    assert_eq!(service.stop(), Some(0));
    let service = start(home.path());
    post(&service, &[thief("again")]);
    eventually("the episode goes on", || told(&service, OWN).len() == 2);
    let own = told(&service, OWN);
    assert_eq!(own[0]["alert_id"], own[1]["alert_id"]);
    assert_eq!(
        (&own[1]["state"], &own[1]["sequence"], &own[1]["count"]),
        (&"updated".into(), &1.into(), &2.into())
    );
    assert_eq!(told(&service, NONPRODUCTION).len(), 1);
    assert!(
        !service_log(home.path()).contains("a state file is passed over"),
        "{}",
        service_log(home.path())
    );
    assert_eq!(service.stop(), Some(0));
    let (code, text) = backtest(home.path(), &configuration);
    assert!(
        code == Some(0) && text.contains("what the fold gives, every one") && text.contains(OWN),
        "{text}"
    );
    let (code, text) = verify(home.path());
    assert_eq!(code, 0, "{text}");

    // Under other rules the state is not gone on with, and the log says which; what is on record stands.
    configured(home.path(), &OWN_RULE.replace("level: critical", "level: low"));
    let service = start(home.path());
    post(&service, &[with("other", &[("target", "x/accounts/thief".into()), ("capability", "wire".into())])]);
    eventually("the changed rule tells", || told(&service, OWN).len() == 3);
    assert_eq!(told(&service, OWN)[2]["severity"], "low");
    assert!(
        service_log(home.path()).contains("snapshot was folded with the rules"),
        "{}",
        service_log(home.path())
    );
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn r32_a_production_agent_on_a_tool_that_is_not_for_production_is_told() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let staging = [("environment", "prod".into()), ("server", "crm-staging".into())];
    let refused =
        [("status", "denied".into()), ("decision", "deny".into()), ("capability", "refused".into())];
    post(&service, &[with("refused", &[&staging[..], &refused].concat()), with("used", &staging)]);
    eventually("the alert is told", || !told(&service, NONPRODUCTION).is_empty());
    let found = told(&service, NONPRODUCTION);
    assert_eq!((found.len(), &found[0]["severity"]), (1, &"high".into()), "{found:?}");
    assert_eq!(found[0]["entity"], "a-1/crm-staging");
    assert_eq!(found[0]["references"], serde_json::json!(["AML.T0053", "MCP02", "MCP09"]));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn r36_r38_servers_scopes_and_ages_are_held_against_lists_and_dates() {
    let home = tempfile::tempdir().unwrap();
    configured(home.path(), OWN_RULE);
    let service = start(home.path());
    post(
        &service,
        &[
            with("rogue", &[("server", "rogue".into())]),
            with("within", &[("action", "write".into()), ("scopes", serde_json::json!(["mcp:write"]))]),
            with("beyond", &[("action", "write".into()), ("scopes", serde_json::json!(["mcp:read"]))]),
            with(
                "old",
                &[("credential_expires", "2026-11-21T09:00:00Z".into()), ("capability", "late".into())],
            ),
        ],
    );
    let of_name = |name: &str| {
        let listed = run(&["rules", "list", "--json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let rules = listed["rules"].as_array().unwrap();
        rules.iter().find(|rule| rule["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let expired = of_name(EXPIRED);
    for rule in [UNREGISTERED, BEYOND_SCOPES, expired.as_str()] {
        eventually("the alert is told", || !told(&service, rule).is_empty());
        let found = told(&service, rule);
        assert_eq!((found.len(), &found[0]["count"]), (1, &1.into()), "{found:?}");
    }
    assert_eq!(told(&service, UNREGISTERED)[0]["entity"], "a-1/rogue");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn r24_many_things_destroyed_is_one_alert_about_who_did_it() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let destroyed: Vec<String> = (0..10)
        .map(|at| {
            with(
                &format!("d-{at}"),
                &[("action", "destructive".into()), ("target", format!("/data/{at}").into())],
            )
        })
        .collect();
    post(&service, &destroyed[..9]);
    post(&service, &[with("again", &[("action", "destructive".into()), ("target", "/data/3".into())])]);
    post(&service, &destroyed[9..]);
    let rule = "2b4c0781-874a-4c88-af42-404026017b0f";
    eventually("the alert is told", || !told(&service, rule).is_empty());
    let found = told(&service, rule);
    assert_eq!(
        (found.len(), &found[0]["severity"], &found[0]["entity"]),
        (1, &"high".into(), &"a-1/u-1".into()),
        "{found:?}"
    );
    assert_eq!(found[0]["count"], 10, "the one that was destroyed twice counts once");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn r33_the_drill_fires_every_rule_and_touches_nothing() {
    let home = tempfile::tempdir().unwrap();
    let drill = |arguments: &[&str]| {
        let mut command = std::process::Command::new(tacho());
        let output = command.arg("drill").args(arguments).current_dir(home.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, text, error) = drill(&[]);
    assert_eq!(code, Some(0), "{text}{error}");
    let revoked = text.lines().find(|line| line.contains("revoked_credential_use")).unwrap();
    assert!(
        revoked.starts_with("fired") && revoked.contains("after 3 events: credential drill-credential"),
        "{revoked}"
    );
    assert!(text.contains(" 0 did not, 0 are switched off"), "{text}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "a drill leaves nothing behind");

    // Under a configuration of one's own, and with an example that the rule does not match.
    let rules = home.path().join("rules");
    std::fs::create_dir_all(rules.join("tests")).unwrap();
    std::fs::write(rules.join("own.yml"), OWN_RULE).unwrap();
    let example = |target: &str| {
        let line = serde_json::json!({"_case": "paid", "_expect": ["payment_to_thief"], "kind": "call", "target": target});
        std::fs::write(rules.join("tests/own.ndjson"), format!("{line}\n")).unwrap();
    };
    let file = home.path().join("tacho.toml");
    let settings =
        format!("[detect]\ndisabled = [\"off_hours\"]\n[sigma]\nrules = \"{}\"\n", rules.display());
    std::fs::write(&file, settings).unwrap();
    let file = file.display().to_string();
    for (target, expected, outcome) in [("/accounts/thief", 0, "fired"), ("/accounts/friend", 1, "not fired")]
    {
        example(target);
        let (code, text, error) = drill(&["--json", "--config", &file]);
        assert_eq!(code, Some(expected), "{text}{error}");
        let found: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found["none_silent"], expected == 0);
        let of = |rule: &str| {
            found["drills"].as_array().unwrap().iter().find(|one| one["rule_id"] == rule).unwrap().clone()
        };
        assert_eq!(of("off_hours")["outcome"], "disabled");
        assert_eq!(of(OWN)["outcome"], outcome, "{found}");
        assert_eq!(of("unapproved_high_risk_write")["alert"]["test"], true);
        assert_eq!(of("unapproved_high_risk_write")["events"], 1);
    }
}

#[test]
fn r28_repeated_validation_failures_are_one_alert_with_all_of_them() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let failed: Vec<String> = (0..12)
        .map(|at| {
            with(&format!("v-{at}"), &[("status", "error".into()), ("error_class", "validation".into())])
        })
        .collect();
    post(&service, &failed);
    eventually("the alert is told", || !told(&service, VALIDATION).is_empty());
    let found = told(&service, VALIDATION);
    assert_eq!(
        (found.len(), &found[0]["count"], &found[0]["entity_type"]),
        (1, &10.into(), &"group".into()),
        "{found:?}"
    );
    assert_eq!(found[0]["evidence"].as_array().unwrap().len(), 10);
    assert_eq!(service.stop(), Some(0));
}

/// Reloads on the access log, oldest first: phase, status, door and what is said of the rules.
fn reloads(service: &Service) -> Vec<Value> {
    service.sql(
        "SELECT phase, status, door, principal, error_code, statement, detail FROM access WHERE action = 'rules_reload' ORDER BY log_index",
    )
}

/// The digest that the metric says is in force.
fn in_force(service: &Service) -> String {
    let metrics = service.send("GET", "/metrics", &[], b"").text();
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("tacho_detect_rules_info{digest=\""));
    let mut digests: Vec<&str> = lines.filter_map(|line| line.strip_suffix("\"} 1")).collect();
    assert_eq!(digests.len(), 1, "{metrics}");
    digests.remove(0).to_owned()
}

#[test]
fn rules_are_reloaded_by_signal_and_by_request_while_events_are_taken() {
    let home = tempfile::tempdir().unwrap();
    configured(home.path(), OWN_RULE);
    let service = start(home.path());
    let to = |id: &str, target: &str| with(id, &[("target", target.into())]);
    post(&service, &[to("paid", "x/accounts/thief")]);
    eventually("the rule tells", || !told(&service, OWN).is_empty());
    let digest = in_force(&service);

    // By signal: a rule goes, another comes, and events are taken all the while.
    let fence = OWN_RULE.replace(OWN, FENCE).replace("payment_to_thief", "fence").replace("thief", "fence");
    configured(home.path(), &fence);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let ordering = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !is_over.load(ordering) {
                post(&service, &[event(&format!("meanwhile-{sent}"))]);
                sent += 1;
            }
            sent
        });
        signal(&service.child, "HUP");
        eventually("it is on the access log", || reloads(&service).len() == 2);
        post(&service, &[to("fenced", "x/accounts/fence")]);
        eventually("the new rule tells", || !told(&service, FENCE).is_empty());
        eventually("what the old one had open is closed", || told(&service, OWN).len() == 2);
        is_over.store(true, ordering);
        assert!(sender.join().unwrap() > 0);
    });
    assert_eq!(told(&service, OWN)[1]["state"], "closed");
    let why = format!("SELECT explanation FROM alerts WHERE rule_id = '{OWN}' AND state = 'closed'");
    let why = service.sql(&why)[0]["explanation"].to_string();
    assert!(why.contains("closed because its rule is no longer loaded"), "{why}");
    let now = in_force(&service);
    assert_ne!(now, digest);
    let entries = reloads(&service);
    let words = |entry: &Value| {
        ["phase", "status", "door", "principal"].map(|name| entry[name].as_str().unwrap().to_owned())
    };
    assert_eq!(words(&entries[0]), ["intent", "pending", "signal", "recorder"]);
    assert_eq!(words(&entries[1]), ["outcome", "ok", "signal", "recorder"]);
    let said: Value = serde_json::from_str(entries[1]["statement"].as_str().unwrap()).unwrap();
    assert!(said["digest"].as_str().unwrap().starts_with(&now), "{said}");
    assert!(said["digest_before"].as_str().unwrap().starts_with(&digest), "{said}");

    // By request: for administrators, and only what loads.
    let (url, token) =
        (format!("http://{}", service.address), home.path().join("keys/admin.token").display().to_string());
    let target = ["--url", &url, "--token-file", &token];
    let made = run(&[&["token", "create", "--role", "responder"], &target[..]].concat());
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let path = "/api/v1/rules/reload";
    let refused = request(&service.address, "POST", path, &[("authorization", &bearer)], b"").unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text());
    let same = service.send("POST", path, &[], b"");
    assert_eq!((same.status, &same.json()["changed"]), (200, &false.into()), "{}", same.text());
    configured(
        home.path(),
        &fence.replace("target|contains", "tarket|contains").replace("level: critical", "level: worst"),
    );
    let bad = service.send("POST", path, &[], b"");
    assert_eq!((bad.status, bad.json()["code"].as_str().unwrap()), (422, "bad_rules"));
    let detail = bad.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("own.yml"), "{detail}");
    let by_command = run(&[&["rules", "reload"], &target[..]].concat());
    let error = String::from_utf8(by_command.stderr).unwrap();
    assert!(by_command.status.code() == Some(2) && error.contains("bad_rules"), "{error}");
    signal(&service.child, "HUP");
    eventually("the signal's failure is on the access log", || {
        reloads(&service).last().is_some_and(|last| last["door"] == "signal" && last["phase"] == "outcome")
    });
    let last = reloads(&service).pop().unwrap();
    assert_eq!((&last["status"], &last["error_code"]), (&"error".into(), &"bad_rules".into()), "{last}");
    assert_eq!(in_force(&service), now, "what was in force still is");
    let again = with("again", &[("target", "x/accounts/fence".into()), ("capability", "wire".into())]);
    post(&service, &[again]);
    eventually("and tells", || told(&service, FENCE).len() == 2);

    // And back again, by the command.
    configured(home.path(), OWN_RULE);
    let done = run(&[&["rules", "reload", "--json"], &target[..]].concat());
    let done: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(done["changed"] == true && done["digest"].as_str().unwrap().starts_with(&digest), "{done}");
    let data = home.path().join("data").display().to_string();
    let by_socket = run(&["rules", "reload", "--data", &data]);
    let said = String::from_utf8(by_socket.stdout).unwrap();
    assert!(said.starts_with(&format!("in force: {digest}")) && said.contains(", as before; "), "{said}");
    eventually("the first rule tells again", || told(&service, OWN).len() == 3);
    assert_eq!(service.stop(), Some(0));
    let (code, text) = verify(home.path());
    assert_eq!(code, 0, "{text}");
}

#[test]
fn rules_that_do_not_say_what_they_mean_keep_the_service_from_starting() {
    let home = tempfile::tempdir().unwrap();
    configured(home.path(), &OWN_RULE.replace("target|contains", "tarket|contains"));
    let rules = home.path().join("rules").display().to_string();
    let started = Service::start_program(&tacho(), home.path(), &[("TACHO_SIGMA_RULES", &rules)]);
    assert!(started.is_err(), "a rule that can never match would be a silence that nobody knows of");
    let log = service_log(home.path());
    assert!(log.contains("unknown column `tarket`") && log.contains("did you mean `target`?"), "{log}");
    let shown = run(&["rules", "list", "--config", &home.path().join("tacho.toml").display().to_string()]);
    assert_eq!(shown.status.code(), Some(2));
}
