//! Witnesses of the real program: cosigned root checkpoints, outages that nobody feels, and an older or another copy of the
//! data that a witness finds.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use schemas::note::{Note, VerifierKey};
use schemas::policy::Policy;
use schemas::witness::Head;

use super::proofs::tacho_verify;
use crate::support::{Service, event, eventually, metric, run, service_log, signal, tacho, verify, whole};

/// A witness that is killed when dropped.
pub struct Witness {
    child: Child,
    address: String,
    scheme: String,
    vkey: String,
}

impl Witness {
    /// Starts `tacho witness serve` with state and key under `home`.
    pub fn start(home: &Path, listen: &str, log: &str, environment: &[(&str, &str)]) -> Witness {
        std::fs::write(home.join("logs"), format!("log {log}\nquorum none\n")).unwrap();
        let made = key(home, "witness.example/w1");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child = Command::new(tacho())
            .args(["witness", "serve", "--listen", listen])
            .arg("--state")
            .arg(home.join("state"))
            .arg("--key")
            .arg(home.join("key"))
            .arg("--logs")
            .arg(home.join("logs"))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(home.join("witness.log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ready = lines.next().unwrap_or_else(|| {
            panic!("it did not start: {}", std::fs::read_to_string(home.join("witness.log")).unwrap())
        });
        let (scheme, address) = ready.strip_prefix("ready ").unwrap().split_once('=').unwrap();
        let (scheme, address) = (scheme.to_string(), address.to_string());
        Witness { child, address, scheme, vkey: lines.next().unwrap() }
    }

    pub fn line(&self, name: &str) -> String {
        format!("witness {name} {} {}://{}\n", self.vkey, self.scheme, self.address)
    }

    /// SIGTERM; the exit code.
    fn stop(mut self) -> Option<i32> {
        signal(&self.child, "TERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn key(home: &Path, name: &str) -> std::process::Output {
    run(&["witness", "key", home.join("key").to_str().unwrap(), "--name", name])
}

/// What a directory holds after its first run, and the verifier key of its root log.
pub fn first_run(home: &Path) -> String {
    let service = Service::start(home, &[]);
    assert_eq!(service.stop(), Some(0));
    let (data, keys) = (home.join("data"), home.join("keys"));
    let shown =
        run(&["keys", "show", "--root", "--data", data.to_str().unwrap(), "--keys", keys.to_str().unwrap()]);
    String::from_utf8(shown.stdout).unwrap().lines().last().unwrap().to_string()
}

/// Starts the service with a policy.
pub fn witnessed(home: &Path, policy: &str) -> Service {
    std::fs::write(home.join("policy"), policy).unwrap();
    let policy = home.join("policy").display().to_string();
    Service::start(home, &[("TACHO_WITNESS_POLICY", &policy), ("TACHO_WITNESS_INTERVAL_S", "1")])
}

/// `tacho witness status`: exit code and text.
fn status(home: &Path) -> (Option<i32>, String) {
    let output = Command::new(tacho())
        .args(["witness", "status", "--data"])
        .arg(home.join("data"))
        .env("TACHO_WITNESS_POLICY", home.join("policy"))
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The size of the kept checkpoint, checked against policy and log key; 0 where there is none.
pub fn cosigned(home: &Path, log: &str) -> u64 {
    let Ok(note) = std::fs::read(home.join("data/witness/cosigned")) else { return 0 };
    let policy: Policy = std::fs::read_to_string(home.join("policy")).unwrap().parse().unwrap();
    let note = Note::parse(&note).unwrap();
    assert!(policy.cosignatures(&note).unwrap().is_enough);
    Head::open(&note, &log.parse::<VerifierKey>().unwrap()).unwrap().size
}

/// The size of the root log's newest checkpoint.
pub fn root_size(home: &Path) -> u64 {
    let text = std::fs::read_to_string(home.join("data/log/_root/root/w1/checkpoint")).unwrap();
    text.lines().nth(1).unwrap().parse().unwrap()
}

pub fn post(service: &Service, prefix: &str, count: u32) {
    let body: Vec<String> = (0..count).map(|at| event(&format!("{prefix}-{at}"))).collect();
    let answer = service.post_events(body.join("\n").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn metrics(service: &Service) -> String {
    service.send("GET", "/metrics", &[], b"").text()
}

pub fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// The Go programs of `tests/interop/go-witness`, where they could be had.
fn go_programs() -> Option<PathBuf> {
    let found = std::env::var_os("TACHO_GO_WITNESS").map(PathBuf::from);
    if found.is_none() {
        println!("SKIPPED: Go, or its modules, could not be had (TACHO_GO_WITNESS)");
    }
    found
}

#[test]
fn the_root_log_is_cosigned_as_it_grows_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let log = first_run(home.path());
    let witness = Witness::start(place.path(), "127.0.0.1:0", &log, &[]);
    let service = witnessed(home.path(), &format!("log {log}\n{}quorum w\n", witness.line("w")));
    eventually("it is cosigned", || cosigned(home.path(), &log) > 0);
    let before = cosigned(home.path(), &log);
    post(&service, "a", 50);
    eventually("it grows and is cosigned again", || cosigned(home.path(), &log) > before);
    eventually("and all is well", || status(home.path()).0 == Some(0));
    let (_, text) = status(home.path());
    assert!(
        text.contains("cosigned: size ") && text.contains("by w") && text.contains("\nw: size "),
        "{text}"
    );
    let text = metrics(&service);
    assert!(metric(&text, "tacho_witness_cosigned_size") >= before, "{text}");
    assert_eq!(
        (metric(&text, "tacho_witness_stopped"), metric(&text, "tacho_witness_failures_total")),
        (0, 0)
    );
    assert!(
        text.contains("tacho_witness_cosigned_age_seconds ")
            && text.contains("tacho_witness_size{witness=\"w\"}")
    );
    // A proof can be had under what is cosigned, and held against a policy of whoever checks it.
    let at = |name: &str| home.path().join(name).display().to_string();
    let (url, token) = (format!("http://{}", service.address), at("keys/admin.token"));
    let held = |more: &[&str], policy: &str| {
        let to = ["prove", "a-3", "--url", &url, "--token-file", &token, "--out", &at("proof.json")];
        let made = run(&[&to[..], more].concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        tacho_verify(&["proof", &at("proof.json"), "--key", &log, "--policy", &at(policy)])
    };
    let (code, said) = held(&["--witnessed"], "policy");
    assert_eq!(code, Some(0), "{said}");
    let stranger = witness.line("w").replace(&witness.vkey, &another_key(place.path()));
    std::fs::write(home.path().join("strangers"), format!("{stranger}quorum w\n")).unwrap();
    let (code, said) = held(&["--witnessed"], "strangers");
    assert!(code == Some(2) && said.contains("not enough"), "{code:?} {said}");
    assert_eq!(held(&[], "policy").0, Some(2), "without cosignatures it is not told");
    assert_eq!(held(&["--witnessed"], "policy").0, Some(0));
    // A bundle of evidence too.
    let bundle = |name: &str, more: &[&str]| {
        let to = ["export", "evidence", "--range", "0..51", "--url", &url, "--token-file", &token];
        let made = run(&[&to[..], &["--out", &at(name)], more].concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let held = |name: &str, policy: &str| tacho_verify(&[&at(name), "--key", &log, "--policy", &at(policy)]);
    bundle("witnessed.zip", &["--witnessed"]);
    let (code, said) = held("witnessed.zip", "policy");
    assert!(code == Some(0) && said.contains(" by w, the last of them at 20"), "{code:?} {said}");
    let (code, said) = held("witnessed.zip", "strangers");
    assert!(code == Some(2) && said.contains("NOT WITNESSED"), "{code:?} {said}");
    bundle("alone.zip", &[]);
    assert_eq!(held("alone.zip", "policy").0, Some(2), "without cosignatures it is not told");
    let (code, said) = tacho_verify(&[&at("witnessed.zip"), "--policy", &at("policy")]);
    assert_eq!(code, Some(0), "the policy names the key: {said}");
    // What was cosigned and not again since is too old at some time.
    std::thread::sleep(Duration::from_secs(2));
    let proof = ["proof", &at("proof.json"), "--key", &log, "--policy", &at("policy")];
    for what in [&proof[..], &[&at("witnessed.zip"), "--policy", &at("policy")]] {
        let asked = |age: &str| tacho_verify(&[what, &["--witnessed-within", age]].concat());
        let (code, said) = asked("1h");
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = asked("1s");
        assert!(
            code == Some(2) && said.contains("not within the time of --witnessed-within"),
            "{code:?} {said}"
        );
    }
    if let Some(programs) = go_programs() {
        let mut go = Command::new(programs.join("go-witness"))
            .args(["verify", &log, &witness.vkey])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let note = std::fs::read(home.path().join("data/witness/cosigned")).unwrap();
        go.stdin.take().unwrap().write_all(&note).unwrap();
        assert!(go.wait_with_output().unwrap().status.success());
    }
    assert_eq!(witness.stop(), Some(0), "a witness ends in order");
    whole(home.path(), service);
}

#[test]
fn a_witness_that_is_down_for_long_is_felt_by_nobody() {
    let home = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let log = first_run(home.path());
    let witness = Witness::start(place.path(), "127.0.0.1:0", &log, &[]);
    let (address, line) = (witness.address.clone(), witness.line("w"));
    assert_eq!(witness.stop(), Some(0));
    let service = witnessed(home.path(), &format!("{line}quorum w\n"));
    for round in 0..20 {
        post(&service, &format!("r{round}"), 100);
    }
    eventually("it is counted", || metric(&metrics(&service), "tacho_witness_failures_total") >= 2);
    assert_eq!(service.send("GET", "/ready", &[], b"").status, 200);
    eventually("it is said", || {
        let (code, text) = status(home.path());
        code == Some(1) && text.contains("failing since") && text.contains("no connection")
    });
    // It comes back where it was.
    let witness = Witness::start(place.path(), &address, &log, &[]);
    eventually("it catches up", || status(home.path()).0 == Some(0));
    let accounted = whole(home.path(), service);
    assert_eq!((accounted.received, accounted.durable), (2_000, 2_000));
    drop(witness);
}

/// What a stopped service says, and goes on saying after a restart, until a person removes the file.
pub fn is_stopped(home: &Path, service: Service, policy: &str) {
    eventually("signing stops", || home.join("data/stopped").exists());
    assert_eq!(service.send("GET", "/ready", &[], b"").status, 503);
    let answer = service.post_events(event("after").as_bytes());
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("tampered")), "{}", answer.text());
    eventually("it says so", || metric(&metrics(&service), "tacho_witness_stopped") == 1);
    eventually("and to whoever asks", || {
        let (code, text) = status(home);
        code == Some(1) && text.contains("SIGNING IS STOPPED: witness w")
    });
    let size = root_size(home);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(root_size(home), size, "nothing was signed since");
    assert_eq!(service.stop(), Some(0), "{}", service_log(home));
    let service = witnessed(home, policy);
    assert_eq!(service.send("GET", "/ready", &[], b"").status, 503, "after a restart too");
    assert_eq!(metric(&metrics(&service), "tacho_witness_stopped"), 1);
    assert_eq!(service.post_events(event("after").as_bytes()).status, 503);
    assert_eq!(service.stop(), Some(0), "{}", service_log(home));
    assert_eq!(root_size(home), size);
    // What is recorded is whole, and can be read by whoever reads files.
    let (code, text) = verify(home);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_restored_backup_is_found_at_the_witness_and_signing_stops() {
    let home = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let log = first_run(home.path());
    let witness = Witness::start(place.path(), "127.0.0.1:0", &log, &[]);
    let policy = format!("{}quorum w\n", witness.line("w"));
    let service = witnessed(home.path(), &policy);
    post(&service, "a", 50);
    eventually("it is cosigned", || cosigned(home.path(), &log) > 0);
    assert_eq!(service.stop(), Some(0));
    copy(&home.path().join("data"), &home.path().join("backup"));
    copy(&home.path().join("keys"), &home.path().join("backup-keys"));
    let backed_up = root_size(home.path());
    let service = witnessed(home.path(), &policy);
    post(&service, "b", 50);
    eventually("it is cosigned beyond the backup", || cosigned(home.path(), &log) > backed_up + 1);
    assert_eq!(service.stop(), Some(0));
    // The disk is lost, keys and all, and with them what is remembered beside them; somebody puts the backup back and starts the
    // service as if nothing were.
    for (name, backup) in [("data", "backup"), ("keys", "backup-keys")] {
        std::fs::remove_dir_all(home.path().join(name)).unwrap();
        copy(&home.path().join(backup), &home.path().join(name));
    }
    assert_eq!(verify(home.path()).0, 0, "by itself it is a good store");
    let service = witnessed(home.path(), &policy);
    is_stopped(home.path(), service, &policy);
    drop(witness);
}

#[test]
fn a_second_copy_with_its_own_witness_is_found_once_it_meets_the_first_ones() {
    let home = tempfile::tempdir().unwrap();
    let (one, other) = (home.path().join("one"), home.path().join("other"));
    std::fs::create_dir(&one).unwrap();
    let log = first_run(&one);
    copy(&one, &other);
    let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let witnesses = [0, 1].map(|at| Witness::start(places[at].path(), "127.0.0.1:0", &log, &[]));
    // Each copy has a history and a witness of its own, and neither witness can know.
    let common = root_size(&one);
    for (at, home) in [&one, &other].into_iter().enumerate() {
        let service = witnessed(home, &format!("{}quorum w\n", witnesses[at].line("w")));
        post(&service, &format!("copy-{at}"), 20 + at as u32);
        eventually("it is cosigned beyond what the copies share", || cosigned(home, &log) > common);
        assert!(service.stop() == Some(0) && !home.join("data/stopped").exists());
    }
    // The operators compare what they keep.
    let kept = places.each_ref().map(|place| {
        let mut files =
            std::fs::read_dir(place.path().join("state")).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "checkpoint")).unwrap()
    });
    let kept = kept.each_ref().map(|path| path.to_str().unwrap());
    let same = run(&["witness", "compare", kept[0], kept[0], "--key", &log]);
    assert_eq!(same.status.code(), Some(0));
    let compared = run(&["witness", "compare", kept[0], kept[1], "--key", &log]);
    let text = String::from_utf8_lossy(&compared.stdout).into_owned();
    let expected = if text.contains("TWO HISTORIES") { Some(1) } else { Some(2) };
    assert!(
        compared.status.code() == expected && (text.contains("TWO HISTORIES") || text.contains("two sizes")),
        "{text}"
    );
    // And the second copy shows itself to the first one's witness.
    let policy = format!("{}{}group any any w v\nquorum any\n", witnesses[0].line("w"), {
        witnesses[1].line("v").replace(&witnesses[1].vkey, &another_key(places[1].path()))
    });
    let service = witnessed(&other, &policy);
    is_stopped(&other, service, &policy);
}

/// A witness that nobody runs, so that the policy has two.
fn another_key(place: &Path) -> String {
    let made =
        run(&["witness", "key", place.join("other").to_str().unwrap(), "--name", "witness.example/w2"]);
    String::from_utf8(made.stdout).unwrap().trim().to_string()
}

#[test]
fn a_witness_over_tls_is_trusted_by_its_authority_alone() {
    let home = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    let log = first_run(home.path());
    let made =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_string(), "localhost".to_string()]).unwrap();
    std::fs::write(place.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(place.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(place.path().join("key.pem"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let path = |name: &str| place.path().join(name).display().to_string();
    let (cert, tls_key) = (path("cert.pem"), path("key.pem"));
    let witness = Witness::start(
        place.path(),
        "127.0.0.1:0",
        &log,
        &[("TACHO_TLS_CERT", &cert), ("TACHO_TLS_KEY", &tls_key)],
    );
    assert_eq!(witness.scheme, "https");
    let line = witness.line("w").replace("127.0.0.1", "localhost");
    std::fs::write(home.path().join("policy"), format!("{line}quorum w\n")).unwrap();
    let policy = home.path().join("policy").display().to_string();
    let service =
        Service::start(home.path(), &[("TACHO_WITNESS_POLICY", &policy), ("TACHO_WITNESS_INTERVAL_S", "1")]);
    eventually("a stranger's certificate is not trusted", || {
        let (code, text) = status(home.path());
        code == Some(1) && text.contains("failing since")
    });
    assert_eq!(service.stop(), Some(0));
    let service = Service::start(
        home.path(),
        &[("TACHO_WITNESS_POLICY", &policy), ("TACHO_WITNESS_INTERVAL_S", "1"), ("TACHO_WITNESS_CA", &cert)],
    );
    eventually("with its certificate it is", || status(home.path()).0 == Some(0));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn anothers_client_is_answered_as_the_specification_says() {
    let Some(programs) = go_programs() else { return };
    let go = |arguments: &[&str]| {
        let done = Command::new(programs.join("go-witness")).args(arguments).output().unwrap();
        let text = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        assert!(done.status.success(), "{text}");
        text
    };
    let place = tempfile::tempdir().unwrap();
    let log = go(&["logkey"]).trim().to_string();
    let witness = Witness::start(place.path(), "127.0.0.1:0", &log, &[]);
    let told = go(&["client", &format!("http://{}", witness.address), &witness.vkey]);
    assert!(told.contains("growth after all that: 200"), "{told}");
    // And it remembers.
    let (address, vkey) = (witness.address.clone(), witness.vkey.clone());
    assert_eq!(witness.stop(), Some(0));
    let again = Witness::start(place.path(), &address, &log, &[]);
    assert_eq!(again.vkey, vkey);
    let refused = Command::new(programs.join("go-witness"))
        .args(["client", &format!("http://{address}"), &vkey])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("first contact: 409"), "{refused:?}");
}

#[test]
fn keys_and_states_are_guarded_and_bad_settings_say_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let log = first_run(home.path());
    let witness = Witness::start(home.path(), "127.0.0.1:0", &log, &[]);
    let file = home.path().join("key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let same = key(home.path(), "witness.example/w1");
    assert_eq!(String::from_utf8_lossy(&same.stdout).trim(), witness.vkey);
    // A file name without a directory is one in this directory.
    let bare = Command::new(tacho())
        .current_dir(home.path())
        .args(["witness", "key", "bare.key", "--name", "witness.example/bare"])
        .output()
        .unwrap();
    assert!(bare.status.success() && home.path().join("bare.key").exists(), "{bare:?}");
    let other = key(home.path(), "witness.example/w2");
    assert!(
        other.status.code() == Some(2)
            && String::from_utf8_lossy(&other.stderr).contains("choose another file")
    );
    let serve = |state: &str, key: &Path, logs: &Path| {
        let state = home.path().join(state);
        let paths = [&state, &key.to_path_buf(), &logs.to_path_buf()].map(|path| path.display().to_string());
        let output = run(&[
            "witness",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--state",
            &paths[0],
            "--key",
            &paths[1],
            "--logs",
            &paths[2],
        ]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let logs = home.path().join("logs");
    assert!(serve("state", &file, &logs).contains("in use by another witness"));
    std::fs::write(home.path().join("none"), "quorum none\n").unwrap();
    assert!(serve("other", &file, &home.path().join("none")).contains("log <vkey>"));
    std::fs::write(home.path().join("bad"), "log x\nquorum none\n").unwrap();
    assert!(serve("other", &file, &home.path().join("bad")).contains("line 1"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(serve("other", &file, &logs).contains("others may read it"));
    // A service does not begin with a policy that cannot be one.
    let policy = home.path().join("policy").display().to_string();
    for (text, why) in [("quorum w\n", "line 1"), ("quorum none\n", "no witness has a URL")] {
        std::fs::write(home.path().join("policy"), text).unwrap();
        let started = Service::start_program(&tacho(), home.path(), &[("TACHO_WITNESS_POLICY", &policy)]);
        assert_eq!(started.unwrap_err().code(), Some(2));
        assert!(service_log(home.path()).contains(why), "{}", service_log(home.path()));
    }
}
