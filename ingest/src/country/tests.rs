use std::path::PathBuf;

use super::*;

const DATABASE: &[u8] = include_bytes!("test.mmdb");
const TABLE: &str = include_str!("addresses.tsv");

fn of_tests(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/country").join(name)
}

fn opened(bytes: &[u8]) -> Result<Countries, String> {
    Countries::of_file(bytes.to_vec(), Path::new("given.mmdb")).map_err(|error| error.to_string())
}

/// The fixture with one text for another of the same length, everywhere.
fn with(text: &str, other: &str) -> Vec<u8> {
    assert_eq!(text.len(), other.len());
    let mut bytes = DATABASE.to_vec();
    let places: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + text.len()].copy_from_slice(other.as_bytes());
    }
    bytes
}

#[test]
fn addresses_have_the_countries_of_the_table() {
    let countries = Countries::open(&of_tests("test.mmdb")).unwrap();
    let mut rows = 0;
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let [address, expected, _] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        let expected = (expected != "-").then_some(expected);
        assert_eq!(countries.of(address), expected, "{address:?}");
        rows += 1;
    }
    assert!(rows > 30);
    let about = countries.about();
    assert!(about.starts_with("Test-Country, built at 1795219200, digest "), "{about}");
}

#[test]
fn a_database_of_ipv4_alone_knows_no_other_addresses() {
    let countries = Countries::open(&of_tests("test-ipv4.mmdb")).unwrap();
    assert_eq!((countries.of("5.6.7.8"), countries.of("::ffff:5.6.7.8")), (Some("NL"), Some("NL")));
    assert_eq!(countries.of("2a02:6b8::1"), None);
}

#[test]
fn a_file_that_is_no_database_of_countries_says_why() {
    for (bytes, expected) in [
        (Vec::new(), "fetch the file again"),
        (b"country,iso_code\nDE,81.0.0.0/8\n".to_vec(), "fetch the file again"),
        (
            with("Test-Country", "Test-ASN-2-4"),
            "its type is \"Test-ASN-2-4\"; give one of countries or cities",
        ),
        (with("iso_code", "iso_kode"), "no record in it has country.iso_code"),
        (with("MaxMind.com", "MaxMind.org"), "fetch the file again"),
    ] {
        let error = opened(&bytes).unwrap_err();
        assert!(error.starts_with("country database ") && error.contains("given.mmdb: "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let error = Countries::open(&of_tests("missing.mmdb")).unwrap_err().to_string();
    assert!(error.contains("missing.mmdb") && error.contains("check the path"), "{error}");
    let directory = Countries::open(&of_tests("")).unwrap_err().to_string();
    assert!(directory.contains("check the path"), "{directory}");
    for kind in ["Geo-City-abc", "Enterprise-x"] {
        assert_eq!(opened(&with("Test-Country", kind)).unwrap().of("5.6.7.8"), Some("NL"));
    }
}

/// What was cut off is told at the start, and whatever else was broken: a file that is taken is one in which no lookup fails.
#[test]
fn a_damaged_file_is_told_of_or_does_no_harm() {
    for end in 0..DATABASE.len() {
        assert!(opened(&DATABASE[..end]).is_err(), "{end}");
    }
    let mut refused = 0;
    for at in 0..DATABASE.len() {
        for bit in [0, 3, 7] {
            let mut bytes = DATABASE.to_vec();
            bytes[at] ^= 1 << bit;
            match opened(&bytes) {
                Err(_) => refused += 1,
                Ok(countries) => {
                    for line in TABLE.lines() {
                        let address = line.split('\t').next().unwrap();
                        assert!(countries.of(address).is_none_or(|code| code.len() == 2), "{at} {bit}");
                        let Some(address) = parsed(address).filter(|address| address.is_ipv4()) else {
                            continue;
                        };
                        let found = countries.reader.lookup(address).unwrap();
                        let whole = found.decode::<serde::de::IgnoredAny>();
                        assert!(whole.is_ok(), "{at} {bit} {address}: {whole:?}");
                    }
                }
            }
        }
    }
    assert!(refused > DATABASE.len() / 2, "{refused}");
}
