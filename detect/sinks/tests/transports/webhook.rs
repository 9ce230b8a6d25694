use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, SigningKey, Verifier as _, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rcgen::ExtendedKeyUsagePurpose;
use sinks::{Fate, Message, Transport, TransportSettings};
use store::clock::ManualClock;

use super::certificates::Certificates;
use super::server::{Reply, Request, Server};
use super::support::{message, messages, open, reason, told, try_open, with_body, write};

pub const SHARED: [u8; 24] = [7; 24];

pub fn own() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

pub fn keys() -> String {
    format!("whsec_{}\nwhsk_{}\n", STANDARD.encode(SHARED), STANDARD.encode(own().to_bytes()))
}

pub fn webhook(dir: &tempfile::TempDir, url: &str, more: &str) -> Box<dyn Transport> {
    let key = write(dir.path(), "keys", &keys());
    open("webhook", &format!("url = {url:?}\nkey_file = {key:?}\nhttp.timeout_ms = 1000\n{more}"))
}

/// What Standard Webhooks has a receiver check: the id and timestamp it is signed for, if a signature of these keys is right.
pub fn verify(request: &Request, secret: &[u8], public: &VerifyingKey) -> (String, i64) {
    let id = request.header("webhook-id").unwrap();
    let timestamp = request.header("webhook-timestamp").unwrap();
    assert!(!id.contains('.') && timestamp.bytes().all(|byte| byte.is_ascii_digit()), "{id} {timestamp}");
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body].concat();
    let mut is_right = Vec::new();
    for signature in request.header("webhook-signature").unwrap().split(' ') {
        let (version, text) = signature.split_once(',').unwrap();
        let bytes = STANDARD.decode(text).unwrap();
        is_right.push(match version {
            "v1" => {
                let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
                mac.update(&signed);
                mac.verify_slice(&bytes).is_ok()
            }
            "v1a" => public.verify(&signed, &Signature::from_slice(&bytes).unwrap()).is_ok(),
            _ => panic!("{version}"),
        });
    }
    assert_eq!(is_right, [true, true], "{request:?}");
    (id.to_string(), timestamp.parse().unwrap())
}

#[tokio::test]
async fn requests_are_signed_with_every_key_anew_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::status(204)).await;
    let key = write(dir.path(), "keys", &keys());
    let table = format!("url = \"{}/hook\"\nkey_file = {key:?}", server.url());
    let settings = TransportSettings::from_table("soc", "webhook", toml::from_str(&table).unwrap()).unwrap();
    let clock = Arc::new(ManualClock::new(1_700_000_000_999_999));
    let mut sink = sinks::open("soc", &settings, clock.clone()).unwrap();
    let odd = Message {
        id: "a.b\r\nc\u{fc}".to_string(),
        content_type: "application/cloudevents+json",
        ..message(1)
    };
    assert_eq!(told(&sink.deliver(std::slice::from_ref(&odd)).await), "T");
    clock.advance(61_000_000);
    assert_eq!(told(&sink.deliver(&[odd.clone(), message(2)]).await), "TT");
    let public = own().verifying_key();
    let received = server.received();
    let seen: Vec<_> = received.iter().map(|request| verify(request, &SHARED, &public)).collect();
    let id = "a%2Eb%0D%0Ac%C3%BC".to_string();
    let expected =
        [(id.clone(), 1_700_000_000), (id, 1_700_000_061), ("alert-2-1".to_string(), 1_700_000_061)];
    assert_eq!(seen, expected);
    assert_eq!(received[0].body, odd.body);
    assert_eq!(received[0].path, "/hook");
    assert_eq!(received[0].header("content-type"), Some("application/cloudevents+json"));
    assert_eq!(received[2].header("content-type"), Some("application/json"));
    assert_eq!(sink.target(), server.url(), "not its path");
}

#[tokio::test]
async fn each_status_has_the_fate_that_it_should() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|request| {
        let number = String::from_utf8_lossy(&request.body).parse().unwrap();
        Reply::Http(number, vec![("retry-after", "120".to_string())], b"hunter2".to_vec())
    })
    .await;
    let mut sink = webhook(&dir, &server.url(), "");
    let mut fates = Vec::new();
    for status in [
        200_u16, 201, 204, 300, 302, 307, 400, 401, 403, 404, 407, 408, 409, 410, 422, 425, 429, 500, 501,
        502, 503, 504,
    ] {
        fates.extend(sink.deliver(&[with_body(1, &status.to_string())]).await);
    }
    assert_eq!(told(&fates), "TTTaaaRaaaaaARRaaAAaaa", "{fates:?}");
    assert!(reason(&fates[..5]).contains("not followed; give the sink the address"), "{fates:?}");
    assert!(reason(&fates[..14]).contains("wants no more"), "{fates:?}");
    let waits = fates.iter().filter(
        |fate| matches!(fate, Fate::Later { wait: Some(wait), .. } if *wait == Duration::from_secs(120)),
    );
    assert_eq!(waits.count(), 16);
    assert!(!format!("{fates:?}").contains("hunter2"), "nothing of an answer");
    server.received();
}

#[tokio::test]
async fn what_waits_holds_up_what_is_behind_it_and_what_is_refused_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|request| match &request.body[..] {
        b"refuse" => Reply::status(422),
        b"wait" => {
            Reply::Http(503, vec![("retry-after", "Sat, 06 Nov 2094 08:49:37 GMT".to_string())], Vec::new())
        }
        _ => Reply::status(200),
    })
    .await;
    let mut sink = webhook(&dir, &server.url(), "");
    let batch = [message(1), with_body(2, "refuse"), message(3), with_body(4, "wait"), message(5)];
    let fates = sink.deliver(&batch).await;
    assert_eq!(told(&fates), "TRTa");
    let longest = Duration::from_secs(schemas::limits::SINK_RETRY_AFTER_S_MAX);
    assert!(matches!(&fates[3], Fate::Later { wait: Some(wait), .. } if *wait == longest), "{fates:?}");
    assert_eq!(server.count(), 4);
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), 1, "one connection for all");
    // Never more than it wants at once.
    assert_eq!(told(&sink.deliver(&messages(0..40)).await).len(), sink.batch_max());
}

#[tokio::test]
async fn a_redirect_takes_nothing_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = Server::start(|_| Reply::status(200)).await;
    let location = format!("{}/", elsewhere.url());
    let server =
        Server::start(move |_| Reply::Http(307, vec![("location", location.clone())], Vec::new())).await;
    let mut sink = webhook(&dir, &server.url(), "");
    assert_eq!(told(&sink.deliver(&messages(0..1)).await), "a");
    assert_eq!(elsewhere.connections.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_kill_switch_is_signed_and_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::status(200)).await;
    let key = write(dir.path(), "keys", &keys());
    let table = format!("url = {:?}\nkey_file = {key:?}", server.url());
    let mut sink = open("kill_switch", &table);
    assert_eq!((sink.batch_max(), told(&sink.deliver(&messages(0..3)).await).as_str()), (1, "T"));
    verify(&server.received()[0], &SHARED, &own().verifying_key());
    let error = try_open("kill_switch", &format!("url = {:?}", server.url())).unwrap_err().to_string();
    assert!(error.contains("give key_file or key_env"), "{error}");
}

#[tokio::test]
async fn a_chat_is_not_signed_and_its_address_is_secret() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::status(200)).await;
    let url = write(dir.path(), "url", &format!("{}/services/hunter2?key=hunter3\n", server.url()));
    let mut sink = open("chat", &format!("url_file = {url:?}"));
    assert_eq!(told(&sink.deliver(&messages(0..1)).await), "T");
    let received = server.received();
    assert_eq!(received[0].path, "/services/hunter2?key=hunter3");
    assert_eq!(received[0].header("webhook-signature"), None);
    assert_eq!(sink.target(), server.url());
    assert!(!format!("{sink:?}").contains("hunter"));
}

#[tokio::test]
async fn tls_with_certificates_of_both_sides_and_a_renewed_one() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(dir.path());
    let server = Server::start_tls(certificates.server(), |_| Reply::status(200)).await;
    let url = format!("https://{}", server.address);
    let mut sink = webhook(&dir, &url, &certificates.table());
    assert_eq!(told(&sink.deliver(&messages(0..2)).await), "TT");
    let before = server.connections.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(told(&sink.deliver(&messages(0..2)).await), "TT");
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), before, "the same connection");
    // Of a use that no client's certificate has: the new file is in force without a restart.
    certificates.issue("client", &["recorder.example"], ExtendedKeyUsagePurpose::CodeSigning);
    assert_eq!(told(&sink.deliver(&messages(0..2)).await), "a");
    certificates.issue("client", &["recorder.example"], ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(told(&sink.deliver(&messages(0..2)).await), "TT");
    // Whom nobody vouches for is not spoken to.
    let mut stranger = webhook(&dir, &url, "");
    let fates = stranger.deliver(&messages(0..1)).await;
    assert!(told(&fates) == "a" && reason(&fates).contains("UnknownIssuer"), "{fates:?}");
    assert_eq!(server.count(), 6);
}

#[tokio::test]
async fn a_proxy_is_one_that_the_sink_names() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Server::start(|_| Reply::status(200)).await;
    let more = format!("http.allow_plaintext = true\nhttp.proxy = {:?}", proxy.url());
    let mut sink = webhook(&dir, "http://soc.example/hook", &more);
    assert_eq!(told(&sink.deliver(&messages(0..1)).await), "T");
    assert_eq!(proxy.received()[0].path, "http://soc.example/hook");
}
