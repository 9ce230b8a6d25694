use proptest::prelude::*;

use super::*;
use crate::tree::leaf_hash;

/// The example of the C2SP tlog-witness document.
const EXAMPLE: &str = "old 20852014\n\
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
    jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
    5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
    /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
    \n\
    example.com/behind-the-sofa\n\
    20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
    \n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    — example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";
/// Requests and keys of the tests of `filippo.io/torchwood`, `internal/witness/witness_test.go`.
const ORIGIN: &str = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
const KEY: [u8; 32] = [
    0xff, 0xdc, 0x2d, 0x4d, 0x98, 0xe4, 0x12, 0x4d, 0x3f, 0xea, 0xf7, 0x88, 0xc0, 0xc2, 0xf9, 0xab, 0xfd,
    0x79, 0x60, 0x83, 0xd1, 0xf0, 0x49, 0x54, 0x37, 0xf3, 0x02, 0xec, 0x79, 0xcf, 0x10, 0x0f,
];
const FIRST: (&str, &str, &str) = (
    "old 0\n\n",
    "1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    "UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=",
);
const TO_THREE: (&str, &str, &str) = (
    "old 1\nKgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nKgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
    "3\nRcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=\n",
    "UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=",
);
const TO_FIVE: (&str, &str, &str) = (
    "old 1\nKgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n+fUDV+k970B4I3uKrqJM4aP1lloPZP8mvr2Z4wRw2LI=\n\
     KgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
    "5\nQrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY=\n",
    "UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww=",
);

fn request((head, tree, signature): (&str, &str, &str)) -> String {
    format!("{head}{ORIGIN}\n{tree}\n— {ORIGIN} {signature}\n")
}

#[test]
fn the_documents_example_is_read_and_printed_the_same() {
    let read = AddCheckpoint::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!((read.old, read.proof.len()), (20_852_014, 4));
    assert_eq!(read.to_bytes(), EXAMPLE.as_bytes());
    let note = Note::parse(&read.checkpoint).unwrap();
    let head = Head::parse(note.unverified_text()).unwrap();
    assert_eq!((head.origin.as_str(), head.size), ("example.com/behind-the-sofa", 20_852_163));
}

#[test]
fn anothers_requests_verify_and_one_for_another_tree_does_not() {
    let key = VerifierKey::new(ORIGIN, &KEY).unwrap();
    let read = |text: String| {
        let request = AddCheckpoint::parse(text.as_bytes()).unwrap();
        let head = Head::open(&Note::parse(&request.checkpoint).unwrap(), &key).unwrap();
        (head, request.proof)
    };
    let ((one, none), (three, to_three), (five, to_five)) =
        (read(request(FIRST)), read(request(TO_THREE)), read(request(TO_FIVE)));
    one.extends(None, &none).unwrap();
    three.extends(Some(&one), &to_three).unwrap();
    five.extends(Some(&one), &to_five).unwrap();
    assert!(five.extends(Some(&one), &to_three).is_err());
    assert!(five.extends(Some(&three), &to_five).is_err());
    assert!(one.extends(None, &to_three).is_err(), "a first checkpoint has no proof");
    assert!(one.extends(Some(&three), &to_three).is_err(), "smaller");
    let other = Head { root: five.root, ..three.clone() };
    assert!(other.extends(Some(&three), &[]).is_err(), "the same size and another root");
    let changed = request(TO_FIVE).replace("\n5\n", "\n6\n");
    let note = Note::parse(&AddCheckpoint::parse(changed.as_bytes()).unwrap().checkpoint).unwrap();
    assert!(Head::open(&note, &key).is_err());
}

#[test]
fn other_spellings_are_refused() {
    let good = request(FIRST);
    for (from, to) in [
        ("old 0\n", "old 00\n"),
        ("old 0\n", "old +0\n"),
        ("old 0\n", "old  0\n"),
        ("old 0\n", "Old 0\n"),
        ("old 0\n", "old 0 \n"),
        ("old 0\n", "old -1\n"),
        ("old 0\n", "old 18446744073709551616\n"),
        ("old 0\n", "old 0\r\n"),
        ("old 0\n", "old 0\nKgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"),
        ("old 0\n", "old 0\nKgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n"),
        ("old 0\n", "old 0\nKgEA\n"),
        ("old 0\n\n", "old 0\n"),
    ] {
        assert!(AddCheckpoint::parse(good.replace(from, to).as_bytes()).is_err(), "{to:?}");
    }
    for text in [
        "",
        "o\n1\n",
        "o\n01\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "\n1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    ] {
        assert!(Head::parse(text).is_err(), "{text:?}");
    }
    let extended = "o\n1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nmore\n";
    assert_eq!(Head::parse(extended).unwrap().size, 1);
    for body in ["", "7", "07\n", "7\n\n", " 7\n", "-7\n"] {
        assert!(parse_held_size(body.as_bytes()).is_err(), "{body:?}");
    }
    assert_eq!(parse_held_size(b"7\n").unwrap(), 7);
}

#[test]
fn limits_are_reached_and_not_passed() {
    let hashes = |count: usize| AddCheckpoint {
        old: 1,
        proof: vec![leaf_hash(b"x"); count],
        checkpoint: b"x".to_vec(),
    };
    for (count, is_read) in [(WITNESS_PROOF_HASHES_MAX, true), (WITNESS_PROOF_HASHES_MAX + 1, false)] {
        assert_eq!(AddCheckpoint::parse(&hashes(count).to_bytes()).is_ok(), is_read, "{count}");
    }
    let bytes = |bytes: usize| {
        let empty = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: Vec::new() };
        let checkpoint = vec![b'x'; bytes - empty.to_bytes().len()];
        AddCheckpoint::parse(&AddCheckpoint { checkpoint, ..empty }.to_bytes())
    };
    assert!(bytes(WITNESS_REQUEST_BYTES_MAX).is_ok() && bytes(WITNESS_REQUEST_BYTES_MAX + 1).is_err());
}

proptest! {
    #[test]
    fn requests_round_trip(old in any::<u64>(), proof in proptest::collection::vec(any::<[u8; 32]>(), 0..64), checkpoint in proptest::collection::vec(any::<u8>(), 0..200)) {
        let request = AddCheckpoint { old, proof: proof.into_iter().map(Hash).collect(), checkpoint };
        prop_assert_eq!(AddCheckpoint::parse(&request.to_bytes()).unwrap(), request);
    }

    #[test]
    fn what_is_read_prints_the_same(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'0'), Just(b'o'), Just(b'l'), Just(b'd'), Just(b' '), any::<u8>()], 0..40)) {
        if let Ok(request) = AddCheckpoint::parse(&bytes) {
            prop_assert_eq!(request.to_bytes(), bytes);
        }
    }
}
