use store::clock::SystemClock;

use super::*;

/// A certificate for `name` and its key, PEM, valid from and until these years.
fn pair(name: &str, years: (i32, i32)) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_string()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

const GOOD: (i32, i32) = (2020, 2090);

fn put(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn files(dir: &Path) -> Files {
    Files { certificate: dir.join("cert.pem"), key: dir.join("key.pem"), client_ca: None }
}

fn open(files: &Files) -> Result<Tls> {
    Tls::open(files.clone(), Arc::new(SystemClock::new()))
}

#[test]
fn bad_files_are_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let (certificate, key) = pair("a.example", GOOD);
    let (_, other_key) = pair("a.example", GOOD);
    let check = |certificate: &str, key: &str, mode: u32, named: &[&str]| {
        put(&files.certificate, certificate, 0o644);
        put(&files.key, key, mode);
        let error = format!("{:#}", open(&files).unwrap_err());
        for named in named {
            assert!(error.contains(named), "{named:?} is not in: {error}");
        }
    };
    put(&files.key, &key, 0o600);
    assert!(format!("{:#}", open(&files).unwrap_err()).contains("cert.pem"), "it is missing");
    check("", &key, 0o600, &["cert.pem", "holds no certificate"]);
    check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, 0o600, &["cert.pem"]);
    check(&certificate, "", 0o600, &["key.pem", "private key in PEM"]);
    check(&certificate, &other_key, 0o600, &["cert.pem", "key.pem", "do not belong together"]);
    for mode in [0o644, 0o604, 0o620] {
        check(&certificate, &key, mode, &["key.pem", "chmod 600"]);
    }
    let (expired, expired_key) = pair("a.example", (2020, 2021));
    check(&expired, &expired_key, 0o600, &["cert.pem", "expired on 2021-01-01", "renewed"]);
    let (early, early_key) = pair("a.example", (2089, 2090));
    check(&early, &early_key, 0o600, &["cert.pem", "valid only from 2089-01-01"]);
    check(&" ".repeat((1 << 20) + 1), &key, 0o600, &["cert.pem", "over 1048576 bytes"]);
    put(&files.certificate, &certificate, 0o644);
    put(&files.key, &key, 0o640);
    open(&files).unwrap();
    let with_ca = Files { client_ca: Some(dir.path().join("ca.pem")), ..files.clone() };
    assert!(format!("{:#}", open(&with_ca).unwrap_err()).contains("ca.pem"));
    put(&dir.path().join("ca.pem"), &expired, 0o644);
    assert!(format!("{:#}", open(&with_ca).unwrap_err()).contains("expired"));
    put(&dir.path().join("ca.pem"), &certificate, 0o644);
    open(&with_ca).unwrap();
}

#[test]
fn a_good_new_pair_takes_effect_and_a_bad_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let (certificate, key) = pair("a.example", GOOD);
    put(&files.certificate, &certificate, 0o644);
    put(&files.key, &key, 0o600);
    let tls = open(&files).unwrap();
    let first = tls.config();
    assert!(!tls.reload().unwrap());
    // A renewal writes two files: between them they do not belong together.
    let (renewed, renewed_key) = pair("a.example", GOOD);
    put(&files.certificate, &renewed, 0o644);
    tls.reload().unwrap_err();
    assert!(Arc::ptr_eq(&first, &tls.config()));
    assert!(!tls.reload().unwrap(), "a bad pair is told of once");
    put(&files.key, &renewed_key, 0o600);
    assert!(tls.reload().unwrap());
    assert!(!Arc::ptr_eq(&first, &tls.config()));
    fs::remove_file(&files.key).unwrap();
    tls.reload().unwrap_err();
    put(&files.key, &renewed_key, 0o644);
    tls.reload().unwrap_err();
    put(&files.key, &renewed_key, 0o600);
    assert!(!tls.reload().unwrap(), "what is in force is there again");
}

#[test]
fn names_of_hosts() {
    for good in ["a.example", "127.0.0.1", "[::1]", "::1"] {
        name_of(good).unwrap();
    }
    assert!(name_of("a b").is_err());
}
