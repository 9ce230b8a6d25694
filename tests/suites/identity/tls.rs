use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use serde_json::json;

use super::{Authority, eventually, put_secret, start, with_tls};
use crate::support::{Service, request, run, service_log, signal, tacho};

/// A request over TLS: the status, the whole answer, and the certificate that the service showed.
fn over_tls(
    address: &str,
    config: rustls::ClientConfig,
    path: &str,
    token: Option<&str>,
) -> std::io::Result<(u16, String, Vec<u8>)> {
    let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    exchange(address, config, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{bearer}\r\n"))
}

/// The same with a request as it is written.
pub fn exchange(
    address: &str,
    config: rustls::ClientConfig,
    asked: &str,
) -> std::io::Result<(u16, String, Vec<u8>)> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    tls.write_all(asked.as_bytes())?;
    let mut answer = Vec::new();
    tls.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let shown = session.peer_certificates().unwrap()[0].to_vec();
    Ok((status, answer, shown))
}

pub type Identity = (rcgen::Certificate, rcgen::KeyPair);

/// A client that trusts the authority, with a certificate if there is one.
pub fn client(authority: &Authority, identity: Option<Identity>) -> rustls::ClientConfig {
    client_of(authority, identity, rustls::ALL_VERSIONS)
}

fn client_of(
    authority: &Authority,
    identity: Option<Identity>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
    }
}

/// Commands speak TLS and check the name; plain HTTP is not understood; a stranger's service is not trusted.
#[test]
fn commands_speak_tls_and_plain_http_is_not_understood() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.equip(home.path());
    let service = start(home.path(), &with_tls(home.path()));
    assert_eq!(service.scheme, "https");
    let path = |name: &str| home.path().join(name).display().to_string();
    let (ca, token) = (path("ca.pem"), path("keys/admin.token"));
    let ask = |url: &str, more: &[&str]| {
        let asked = ["sql", "SELECT 7 AS n", "--format", "csv", "--url", url, "--token-file", &token];
        let output = run(&[&asked[..], more].concat());
        (output.status.code(), format!("{output:?}"))
    };
    let url = format!("https://{}", service.address);
    let (code, text) = ask(&url, &["--ca", &ca]);
    assert!(code == Some(0) && text.contains("7"), "{text}");
    let by_name = url.replace("127.0.0.1", "localhost");
    assert_eq!(ask(&by_name, &["--ca", &ca]).0, Some(0));

    let (code, text) = ask(&url, &[]);
    assert!(code == Some(2) && text.contains("UnknownIssuer"), "not one the world trusts: {text}");
    std::fs::write(path("other.pem"), Authority::new().certificate.pem()).unwrap();
    assert_eq!(ask(&url, &["--ca", &path("other.pem")]).0, Some(2));
    let (code, text) = ask(&url.replace("https", "ftp"), &[]);
    assert!(code == Some(2) && text.contains("https://"), "{text}");

    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut config = client_of(&authority, None, &[version]);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        assert_eq!(over_tls(&service.address, config, "/health", None).unwrap().0, 200, "{version:?}");
    }

    // Stripped: who speaks plain HTTP is told so and nothing else, in words that block a script which reads a gate.
    let mut stream = TcpStream::connect(&service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n2147483647"), "{answer}");
    let bearer = format!("Bearer {}", service.token);
    let plain = request(&service.address, "GET", "/health", &[("authorization", bearer.as_str())], b"");
    assert!(plain.is_err() || plain.unwrap().status == 400);
    assert_eq!(ask(&url.replace("https", "http"), &[]).0, Some(2));

    // Another's name, though the authority is the right one.
    let (certificate, key) = authority.sign("tacho", &["elsewhere.example"]);
    put_secret(&home.path().join("key.pem"), &key.serialize_pem());
    std::fs::write(path("cert.pem"), certificate.pem()).unwrap();
    signal(&service.child, "HUP");
    eventually("the wrong name is refused", || {
        let (code, text) = ask(&url, &["--ca", &ca]);
        code == Some(2) && text.contains("not valid for name")
    });
    assert_eq!(service.stop(), Some(0));
}

/// With bad files the service does not listen, and says which file and what to do.
#[test]
fn with_bad_files_it_does_not_listen() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.equip(home.path());
    let path = |name: &str| home.path().join(name).display().to_string();
    std::fs::write(path("open.pem"), std::fs::read(path("key.pem")).unwrap()).unwrap();
    put_secret(&home.path().join("other.pem"), &authority.sign("x", &["x"]).1.serialize_pem());
    let refused = |listen: &str, flags: &[&str], named: &[&str]| {
        let place = ["serve", "--data", &path("data"), "--keys", &path("keys"), "--listen", listen];
        let output = run(&[&place[..], flags].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(output.stdout.is_empty(), "it said that it is ready");
        for named in named {
            assert!(text.contains(named), "{named:?} is not in {text}");
        }
    };
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let loopback = "127.0.0.1:0";
    refused(loopback, &["--tls-cert", &cert], &["tls.key", "give both"]);
    refused(loopback, &["--tls-key", &key], &["tls.cert", "give both"]);
    refused(loopback, &["--client-ca", &cert], &["tls.client_ca"]);
    refused(loopback, &["--tls-cert", &path("none"), "--tls-key", &key], &["tls.cert", "none"]);
    refused(loopback, &["--tls-cert", &key, "--tls-key", &key], &["holds no certificate"]);
    refused(loopback, &["--tls-cert", &cert, "--tls-key", &path("other.pem")], &["do not belong together"]);
    refused(loopback, &["--tls-cert", &cert, "--tls-key", &path("open.pem")], &["open.pem", "chmod 600"]);
    refused("0.0.0.0:0", &[], &["--tls-cert"]);
    assert!(!home.path().join("data").exists(), "nothing was made");
    // With good ones it listens beyond loopback, no more said.
    let mut child = std::process::Command::new(tacho())
        .args(["serve", "--data", &path("data"), "--keys", &path("keys"), "--listen", "0.0.0.0:0"])
        .args(["--tls-cert", &cert, "--tls-key", &key])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert!(line.starts_with("ready https=0.0.0.0:"), "{line}");
    signal(&child, "TERM");
    assert!(child.wait().unwrap().success());
}

/// A renewed pair takes effect without a restart, by itself or when told to; a bad one does not.
#[test]
fn a_renewed_pair_takes_effect_for_new_connections() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.equip(home.path());
    let service = start(home.path(), &with_tls(home.path()));
    let shown = || over_tls(&service.address, client(&authority, None), "/health", None).unwrap().2;
    let first = shown();
    std::fs::write(home.path().join("cert.pem"), "no certificate").unwrap();
    signal(&service.child, "HUP");
    eventually("the bad file is told of", || service_log(home.path()).contains("TLS files are bad"));
    assert_eq!(shown(), first);
    authority.renew(home.path());
    eventually("the new certificate is shown", || shown() != first);
    let metrics =
        over_tls(&service.address, client(&authority, None), "/metrics", Some(&service.token)).unwrap().1;
    for name in ["tacho_tls_certificate_expires_timestamp_seconds ", "tacho_tls_reload_failures_total 1"] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    assert_eq!(service.stop(), Some(0));
}

/// Two hundred clients that never finish their handshake keep no one out, and an end that is asked for comes.
#[test]
fn clients_that_never_greet_keep_no_one_out() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.equip(home.path());
    let service = start(home.path(), &with_tls(home.path()));
    let idle: Vec<TcpStream> = (0..200)
        .map(|at| {
            let mut stream = TcpStream::connect(&service.address).unwrap();
            if at % 2 == 0 {
                stream.write_all(&[0x16, 0x03, 0x01, 0x02]).unwrap();
            }
            stream
        })
        .collect();
    let started = std::time::Instant::now();
    let answer =
        over_tls(&service.address, client(&authority, None), "/metrics", Some(&service.token)).unwrap();
    assert_eq!(answer.0, 200);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(service.stop(), Some(0));
    drop(idle);
}

/// A client certificate is what its mapping says, and no more; a token beside it wins.
#[test]
fn client_certificates_are_mapped_to_roles() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.equip(home.path());
    std::fs::write(
        home.path().join("tacho.toml"),
        "[[mtls]]\nsubject = \"CN=operator-1,O=acme\"\nrole = \"operator\"\ntenant = \"default\"\n\
         [[mtls]]\nuri = \"spiffe://acme/auditor\"\nrole = \"auditor\"\ntenant = \"acme\"\n",
    )
    .unwrap();
    let mut environment = with_tls(home.path());
    environment.push(("TACHO_TLS_CLIENT_CA", home.path().join("ca.pem").display().to_string()));
    environment.push(("TACHO_CONFIG", home.path().join("tacho.toml").display().to_string()));
    let service = start(home.path(), &environment);
    let get = |identity: Option<Identity>, token: Option<&str>| {
        over_tls(&service.address, client(&authority, identity), "/metrics", token)
    };
    let operator = || Some(authority.sign("operator-1", &[]));
    assert_eq!(get(operator(), None).unwrap().0, 200);
    assert_eq!(get(Some(authority.sign("operator-2", &[])), None).unwrap().0, 401, "chains, and is no one");
    assert_eq!(get(None, None).unwrap().0, 401);
    assert_eq!(get(None, Some(&service.token)).unwrap().0, 200, "a token needs no certificate");
    assert_eq!(
        get(Some(authority.sign("operator-2", &[])), Some(&service.token)).unwrap().0,
        200,
        "a token beside one that is no one"
    );
    assert_eq!(
        get(operator(), Some("tacho_0123456789ab_bad")).unwrap().0,
        401,
        "a bad token is not made up for"
    );
    assert!(get(Some(Authority::new().sign("operator-1", &[])), None).is_err(), "another authority's");
    let rows = || {
        let answer = over_tls(
            &service.address,
            client(&authority, None),
            "/api/v1/sql?q=SELECT%20principal,role,error_code%20FROM%20access%20WHERE%20action='login'&format=json",
            Some(&service.token),
        );
        answer.unwrap().1
    };
    eventually("both are on record", || {
        let rows = rows();
        rows.contains("m-operator-1-") && rows.contains("certificate_unmapped")
    });
    let tenant = over_tls(
        &service.address,
        client(&authority, Some(spiffe(&authority, "spiffe://acme/auditor"))),
        "/api/v1/sql?q=SELECT%20DISTINCT%20tenant%20FROM%20access&format=json",
        None,
    )
    .unwrap();
    assert_eq!(tenant.0, 200, "{}", tenant.1);
    assert!(!tenant.1.contains("default"), "{}", tenant.1);
    assert_eq!(service.stop(), Some(0));
    let shown = Service::config(home.path());
    assert!(shown.contains("[[mtls]]") && shown.contains("CN=operator-1,O=acme"), "{shown}");
    assert_eq!(json!(shown.contains("tls.client_ca")), json!(true));
}

fn spiffe(authority: &Authority, uri: &str) -> Identity {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
    (params.signed_by(&key, &authority.issuer).unwrap(), key)
}
