use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

use super::*;

/// A checkpoint of the public static CT log `arche2025h1.staging.ct.transparency.dev` as it was served, with cosignatures of four
/// public witnesses. The keys are those that the witnesses publish; the log's first line is an RFC 6962 signature (type 5), which
/// nothing here knows.
const PUBLIC: &str = "arche2025h1.staging.ct.transparency.dev\n\
    1432088532\n\
    U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\
    \n\
    — arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n\
    — arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n\
    — transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n\
    — witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==\n\
    — remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n\
    — witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==\n";
/// Source: the policies shipped with `filippo.io/torchwood` 0.9.0 and the tests of `transparency-dev/formats`.
const WITNESSES: [&str; 3] = [
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
];
const LOG: &str =
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
/// The example of the C2SP tlog-cosignature document. It publishes no key.
const EXAMPLE: &str = "example.com/behind-the-sofa\n\
    20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
    \n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

fn signer(byte: u8) -> (SigningKey, CosignerKey) {
    let signing = SigningKey::from_bytes(&[byte; 32]);
    let key = CosignerKey::new("witness.example/w1", &signing.verifying_key().to_bytes()).unwrap();
    (signing, key)
}

fn cosigned(time_s: u64, text: &str) -> (CosignerKey, String) {
    let (signing, key) = signer(9);
    let line = key.line(time_s, &signing.sign(message(time_s, text).as_bytes()).to_bytes());
    (key, assemble(text, &[line]))
}

#[test]
fn public_witnesses_verify_and_no_other_text_does() {
    let note = Note::parse(PUBLIC.as_bytes()).unwrap();
    assert!(note.verify(&LOG.parse().unwrap()).is_ok(), "the log's own");
    let other = Note::parse(PUBLIC.replace("1432088532", "1432088533").as_bytes()).unwrap();
    for text in WITNESSES {
        let key: CosignerKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(key.verify(&note).unwrap().time_s, 1_779_573_024, "{text}");
        assert!(key.find(&other).is_err(), "{text}");
    }
}

#[test]
fn the_examples_line_is_framed_as_the_document_says() {
    let note = Note::parse(EXAMPLE.as_bytes()).unwrap();
    let line = note.signatures().last().unwrap();
    assert_eq!(
        (line.name.as_str(), line.id, line.signature.len()),
        ("witness.example.com/w1", 0x8d66_cf3f, 72)
    );
    assert_eq!(line.signature[..8], 1_679_315_147_u64.to_be_bytes());
    assert_eq!(
        message(1_679_315_147, note.unverified_text()),
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
         CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    );
    // Nobody that we know signed it.
    let (_, key) = signer(1);
    assert_eq!(key.find(&note).unwrap(), None);
    assert!(key.verify(&note).is_err());
}

/// Keys as in the table of `transparency-dev/formats`, `note_cosigv1_test.go`.
#[test]
fn keys_of_other_types_and_spellings_are_refused() {
    for (text, why) in [
        ("TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6", "type 1"),
        ("bananas.sigstore.dev+12344556", "expected name"),
        ("rekor.sigstore.dev+12345678+THIS_IS_NOT_BASE64!", "not base64"),
        ("rekor.sigstore.dev+12345678+AwEB", "its type is 3"),
        ("test+5893dc2c+BtMcFiao6ZOdU6LZ40tLKbsWpDOU8smRapXBIYI3lXyE", "its type is 6"),
        ("remora.n621.de+00000000+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", "key id"),
        ("remora.n621.de+DA77ADE7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", "key id"),
        ("remora.n621.dx+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", "key id"),
        ("remora.n621.de+da77ade7+BA==", "32 bytes"),
        ("remora.n621.de+da77ade7+", "empty"),
        ("+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", "empty"),
    ] {
        let error = text.parse::<CosignerKey>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let weak = format!("w+{:08x}+{}", 0, STANDARD.encode([&[4][..], &[0; 32]].concat()));
    assert!(weak.parse::<CosignerKey>().is_err());
}

#[test]
fn a_key_for_notes_is_not_one_for_cosignatures() {
    let (signing, key) = signer(9);
    let text = "example.com/log\n1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    // The plain signature over the text under the cosigner's id, without the message around it.
    let plain = key.line(5, &signing.sign(text.as_bytes()).to_bytes());
    assert!(key.find(&Note::parse(assemble(text, &[plain]).as_bytes()).unwrap()).is_err());
    // And under another time than was signed.
    let other = key.line(6, &signing.sign(message(5, text).as_bytes()).to_bytes());
    assert!(key.find(&Note::parse(assemble(text, &[other]).as_bytes()).unwrap()).is_err());
}

#[test]
fn times_of_no_clock_and_second_cosignatures_are_refused() {
    let text = "example.com/log\n1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let (key, note) = cosigned(WITNESS_TIME_S_MAX, text);
    assert_eq!(key.verify(&Note::parse(note.as_bytes()).unwrap()).unwrap().time_s, WITNESS_TIME_S_MAX);
    let (key, late) = cosigned(WITNESS_TIME_S_MAX + 1, text);
    assert!(key.find(&Note::parse(late.as_bytes()).unwrap()).is_err());
    let (_, other) = cosigned(7, text);
    let twice = format!("{note}{}", other.lines().last().unwrap());
    assert!(key.find(&Note::parse(format!("{twice}\n").as_bytes()).unwrap()).is_err());
    let short = SignatureLine { signature: vec![0; 71], ..key.line(0, &[0; 64]) };
    assert!(key.find(&Note::parse(assemble(text, &[short]).as_bytes()).unwrap()).is_err());
}

#[test]
fn every_changed_byte_is_refused_or_of_nobody_we_know() {
    let (key, note) =
        cosigned(1_679_315_147, "i/_root/root/w1\n20\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
    let note = note.into_bytes();
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut other = note.clone();
            other[at] ^= 1 << bit;
            let verified = Note::parse(&other).and_then(|note| key.verify(&note));
            assert!(verified.is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_newer_cosignature_takes_the_place_of_the_older_one() {
    let text = "example.com/log\n1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let (key, old) = cosigned(5, text);
    let (_, new) = cosigned(6, text);
    let newer = key.verify(&Note::parse(new.as_bytes()).unwrap()).unwrap();
    let old = Note::parse(old.as_bytes()).unwrap();
    let both = with_lines(&old, std::slice::from_ref(&newer.line));
    assert_eq!(key.verify(&Note::parse(both.as_bytes()).unwrap()).unwrap(), newer);
    // Lines of keys that nobody here knows stay.
    let public = Note::parse(PUBLIC.as_bytes()).unwrap();
    let more = Note::parse(with_lines(&public, &[newer.line]).as_bytes()).unwrap();
    assert_eq!(more.signatures().len(), public.signatures().len() + 1);
    assert_eq!(more.signatures()[..6], *public.signatures());
}

proptest! {
    #[test]
    fn cosignatures_round_trip(time_s in 0..=WITNESS_TIME_S_MAX, size in any::<u64>(), name in "[a-z/.:-]{1,20}", seed in any::<[u8; 32]>()) {
        let text = format!("{name}\n{size}\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
        let signing = SigningKey::from_bytes(&seed);
        let key = CosignerKey::new(&name, &signing.verifying_key().to_bytes()).unwrap();
        prop_assert_eq!(&key.to_string().parse::<CosignerKey>().unwrap(), &key);
        let line = key.line(time_s, &signing.sign(message(time_s, &text).as_bytes()).to_bytes());
        let note = Note::parse(assemble(&text, std::slice::from_ref(&line)).as_bytes()).unwrap();
        prop_assert_eq!(key.verify(&note).unwrap(), Cosignature { time_s, line });
    }
}
