use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::server::{Reply, Server};
use super::support::{messages, open, reason, told, try_open, write};

/// Tables of each type with a credential that is `SECRET`, by file; the name of the file.
fn tables(url: &str, dir: &std::path::Path) -> Vec<(&'static str, String, &'static str)> {
    let file = |name: &str| dir.join(name).display().to_string();
    vec![
        ("webhook", format!("url = {url:?}\nkey_file = {:?}", file("key")), "key"),
        ("kill_switch", format!("url = {url:?}\nkey_file = {:?}", file("key")), "key"),
        ("chat", format!("url_file = {:?}", file("address")), "address"),
        ("hec", format!("url = {url:?}\ntoken_file = {:?}", file("token")), "token"),
        ("bulk", format!("url = {url:?}\nindex = \"a\"\napi_key_file = {:?}", file("token")), "token"),
        (
            "bulk",
            format!("url = {url:?}\nindex = \"a\"\nusername = \"u\"\npassword_file = {:?}", file("token")),
            "token",
        ),
        (
            "bulk",
            format!("url = {url:?}\nindex = \"a\"\nhttp.headers.x-key.file = {:?}", file("token")),
            "token",
        ),
    ]
}

fn put(dir: &std::path::Path, url: &str, secret: &str) {
    write(dir, "token", secret);
    write(dir, "key", &format!("whsec_{}", STANDARD.encode(format!("{secret:x<24}"))));
    write(dir, "address", &format!("{url}/{secret}?{secret}"));
}

#[tokio::test]
async fn a_credential_that_changes_is_in_force_and_none_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::status(401)).await;
    put(dir.path(), &server.url(), "hunter2");
    for (kind, table, file) in tables(&server.url(), dir.path()) {
        put(dir.path(), &server.url(), "hunter2");
        let mut sink = open(kind, &table);
        let mut shown = vec![format!("{sink:?} {}", sink.target())];
        shown.push(format!("{:?}", sink.deliver(&messages(0..1)).await));
        put(dir.path(), &server.url(), "hunter3");
        shown.push(format!("{:?} {sink:?}", sink.deliver(&messages(0..1)).await));
        let received = server.received();
        let [.., first, second] = &received[..] else { panic!("{kind}") };
        let told_of = |request: &super::server::Request| {
            let names = ["authorization", "webhook-signature", "x-key"];
            names
                .map(|name| request.header(name).map(str::to_string))
                .into_iter()
                .flatten()
                .chain([request.path.clone()])
                .collect::<Vec<_>>()
        };
        assert_ne!(told_of(first), told_of(second), "{kind}: the new one is in force");
        // Gone, and no credential: everything waits, and nothing is shown.
        for text in ["", "hunter2\nhunter2\u{0}"] {
            write(dir.path(), file, text);
            let fates = sink.deliver(&messages(0..1)).await;
            assert_eq!(told(&fates), "a", "{kind}: {fates:?}");
            shown.push(format!("{fates:?} {}", sink.target()));
            shown.push(format!("{:?}", try_open(kind, &table).unwrap_err()));
        }
        std::fs::remove_file(dir.path().join(file)).unwrap();
        let fates = sink.deliver(&messages(0..1)).await;
        assert!(told(&fates) == "a" && reason(&fates).starts_with("read credential"), "{kind}: {fates:?}");
        let error = try_open(kind, &table).unwrap_err();
        shown.push(format!("{error} {error:?}"));
        for shown in shown {
            for secret in ["hunter", &STANDARD.encode("hunter2"), &STANDARD.encode("u:hunter2")] {
                assert!(!shown.contains(secret.trim_end_matches('=')), "{kind}: {shown}");
            }
        }
    }
}

#[tokio::test]
async fn headers_of_ones_own_come_from_files_and_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::status(200)).await;
    let value = write(dir.path(), "value", "hunter2\n");
    let table = format!(
        "url = {:?}\nindex = \"a\"\n[http.headers]\nX-Gateway = {{ file = {value:?} }}\nX-Path = {{ env = \"PATH\" }}",
        server.url()
    );
    open("bulk", &table).deliver(&messages(0..1)).await;
    let received = server.received();
    assert_eq!(received[0].header("x-gateway"), Some("hunter2"));
    assert_eq!(received[0].header("x-path"), Some(std::env::var("PATH").unwrap().as_str()));
}
