use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

use super::*;
use crate::cosignature::message;
use crate::note::assemble;

fn witness_key(at: u8) -> (SigningKey, CosignerKey) {
    let signing = SigningKey::from_bytes(&[at + 1; 32]);
    let key =
        CosignerKey::new(&format!("witness.example/{at}"), &signing.verifying_key().to_bytes()).unwrap();
    (signing, key)
}

fn log_key(at: u8) -> VerifierKey {
    let signing = SigningKey::from_bytes(&[at + 101; 32]);
    VerifierKey::new(&format!("log.example/{at}"), &signing.verifying_key().to_bytes()).unwrap()
}

fn witness_lines(names: &[&str]) -> String {
    let line = |(at, name): (usize, &&str)| format!("witness {name} {}\n", witness_key(at as u8).1);
    names.iter().enumerate().map(line).collect()
}

/// The example of the C2SP tlog-policy document, with keys where it elides them.
fn example() -> String {
    let names = ["X1", "X2", "X3", "Y1", "Y2", "Y3"];
    let lines = witness_lines(&names);
    let (x, y) = lines.split_at(lines.match_indices('\n').nth(2).unwrap().0 + 1);
    format!(
        "log {}\n\n{x}group X-witnesses 2 X1 X2 X3\n\n{y}group Y-witnesses any Y1 Y2 Y3\n\n\
         group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n",
        log_key(0)
    )
}

#[test]
fn the_documents_example_means_what_the_document_says() {
    let policy: Policy = example().parse().unwrap();
    assert_eq!((policy.logs.len(), policy.witnesses.len()), (1, 6));
    let is_met = |set: &[usize]| policy.quorum.is_met(&set.iter().copied().collect());
    assert!(is_met(&[0, 2, 5]) && is_met(&[0, 1, 2, 3, 4, 5]));
    assert!(!is_met(&[]) && !is_met(&[0, 1, 2]) && !is_met(&[0, 3, 4, 5]) && !is_met(&[3, 4, 5]));
}

/// The policy that `filippo.io/torchwood` 0.9.0 ships with its key server, but for the log line.
#[test]
fn a_policy_in_use_is_read() {
    let text = "# of a key server\n\
        witness TrustFabric transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM https://api.transparency.dev/dev/witness/little-garden/\n\
        witness Mullvad witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv https://witness.stagemole.eu/\n\
        witness Geomys witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G https://witness.navigli.sunlight.geomys.org/\n\
        group  all-witnesses\tany TrustFabric Mullvad Geomys\n\
        quorum all-witnesses\n";
    let policy: Policy = text.parse().unwrap();
    assert_eq!(policy.witnesses[1].url.as_deref(), Some("https://witness.stagemole.eu/"));
    assert!(policy.quorum.is_met(&BTreeSet::from([2])) && !policy.quorum.is_met(&BTreeSet::new()));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let w = |name: &str, at: u8| format!("witness {name} {}", witness_key(at).1);
    let (a, b) = (w("A", 0), w("B", 1));
    let log = format!("log {}", log_key(0));
    for (text, expected) in [
        (String::new(), "no quorum line"),
        (format!("{a}\n"), "no quorum line"),
        ("quorum none".to_string(), "line 1: it does not end"),
        ("quorum none\nquorum none\n".to_string(), "line 2: a second quorum"),
        ("quorum A\n".to_string(), "line 1: \"A\" is no witness"),
        (format!("quorum A\n{a}\n"), "line 1: \"A\" is no witness"),
        (format!("{a}\r\nquorum A\n"), "line 1: a control character"),
        (format!("{a}\nquorum A \x7f\n"), "line 2: a control character"),
        (format!("{a}\nquorum A # one\n"), "line 2: expected `quorum"),
        (format!("{a}\n{a}\nquorum A\n"), "line 2: A has the same key"),
        (format!("{a}\n{}\nquorum A\n", w("A", 1)), "line 2: \"A\" is a name already"),
        (format!("{}\nquorum none\n", w("none", 0)), "line 1: none is no name"),
        (format!("{a}\ngroup G 2 A\nquorum G\n"), "line 2: \"2\" is not all, any, or 1 to 1"),
        (format!("{a}\ngroup G 0 A\nquorum G\n"), "line 2: \"0\""),
        (format!("{a}\ngroup G 01 A\nquorum G\n"), "line 2: \"01\""),
        (format!("{a}\ngroup G +1 A\nquorum G\n"), "line 2: \"+1\""),
        (format!("{a}\ngroup G all\nquorum G\n"), "line 2: expected `group"),
        (format!("{a}\ngroup G all none\nquorum G\n"), "line 2: \"none\" is no witness"),
        (format!("{a}\ngroup G all G\nquorum G\n"), "line 2: \"G\" is no witness"),
        (format!("{a}\ngroup G all A A\nquorum G\n"), "line 2: \"A\" is a member"),
        (format!("{a}\n{b}\ngroup G any A\ngroup H all A B\nquorum H\n"), "line 4: \"A\" is a member"),
        (format!("{a} url more\nquorum A\n"), "line 1: expected `witness"),
        (
            format!("witness A {}\nquorum A\n", log_key(0)),
            "line 1: malformed cosigner key: this is a key for notes",
        ),
        (format!("log {}\nquorum none\n", witness_key(0).1), "line 1: malformed verifier key"),
        (format!("{log}\n{log}\nquorum none\n"), "line 2: a second log"),
        ("Quorum none\n".to_string(), "line 1: \"Quorum\" is none of"),
        ("quorum\u{a0}none\n".to_string(), "line 1: \"quorum\\u{a0}none\" is none of"),
    ] {
        let error = text.parse::<Policy>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
    let error = Policy::parse(b"# \xff\nquorum none\n").unwrap_err().to_string();
    assert!(error.contains("line 1: it is not UTF-8"), "{error}");
}

#[test]
fn limits_are_reached_and_not_passed() {
    let lines = |count: usize| {
        let key = |at: usize| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&(at as u64).to_be_bytes());
            SigningKey::from_bytes(&seed).verifying_key().to_bytes()
        };
        let line = |at: usize| format!("witness w{at} {}\n", CosignerKey::new("w", &key(at)).unwrap());
        (0..count).map(line).collect::<String>()
    };
    let witnesses = |count| format!("{}quorum w0\n", lines(count)).parse::<Policy>();
    assert_eq!(
        witnesses(WITNESS_POLICY_WITNESSES_MAX).unwrap().witnesses.len(),
        WITNESS_POLICY_WITNESSES_MAX
    );
    assert!(witnesses(WITNESS_POLICY_WITNESSES_MAX + 1).is_err());
    let groups = |count: usize| {
        let chain: String = (1..=count)
            .map(|at| {
                format!("group g{at} all {}\n", if at == 1 { "w0".into() } else { format!("g{}", at - 1) })
            })
            .collect();
        format!("{}{chain}quorum g{count}\n", lines(1)).parse::<Policy>()
    };
    assert!(groups(WITNESS_POLICY_GROUPS_MAX).unwrap().quorum.is_met(&BTreeSet::from([0])));
    assert!(groups(WITNESS_POLICY_GROUPS_MAX + 1).is_err());
    let padded = |bytes: usize| {
        let line = "quorum none\n";
        format!("{line}{}\n", " ".repeat(bytes - line.len() - 1)).parse::<Policy>()
    };
    assert!(padded(WITNESS_POLICY_BYTES_MAX).is_ok() && padded(WITNESS_POLICY_BYTES_MAX + 1).is_err());
    let log = |at: usize| {
        let mut seed = [8; 32];
        seed[..8].copy_from_slice(&(at as u64).to_be_bytes());
        let key = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        format!("log {}\n", VerifierKey::new("l", &key).unwrap())
    };
    let most: String = (0..WITNESS_POLICY_LOGS_MAX).map(log).collect();
    assert!(format!("{most}quorum none\n").parse::<Policy>().is_ok());
    assert!(format!("{most}{}quorum none\n", log(WITNESS_POLICY_LOGS_MAX)).parse::<Policy>().is_err());
}

#[test]
fn cosignatures_are_counted_and_a_wrong_one_spoils_the_note() {
    let policy: Policy = example().parse().unwrap();
    let text = "log.example/0\n1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let line = |at: u8, time_s: u64| {
        let (signing, key) = witness_key(at);
        key.line(time_s, &signing.sign(message(time_s, text).as_bytes()).to_bytes())
    };
    let note = |lines: &[crate::note::SignatureLine]| Note::parse(assemble(text, lines).as_bytes()).unwrap();
    let unknown = line(77, 3);
    let two = policy.cosignatures(&note(&[unknown, line(4, 8), line(0, 9)])).unwrap();
    assert_eq!(two.by.iter().map(|(at, found)| (*at, found.time_s)).collect::<Vec<_>>(), [(0, 9), (4, 8)]);
    assert!(!two.is_enough);
    assert!(policy.cosignatures(&note(&[line(4, 8), line(0, 9), line(1, 1)])).unwrap().is_enough);
    let mut bad = line(1, 1);
    *bad.signature.last_mut().unwrap() ^= 1;
    assert!(policy.cosignatures(&note(&[line(4, 8), line(0, 9), line(2, 1), bad])).is_err());
}

/// A tree of groups over witnesses, each in one place.
fn rules(count: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..8).prop_map(
        move |steps| {
            let names: Vec<String> = (0..count).map(|at| format!("w{at}")).collect();
            let mut text = witness_lines(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let mut free = names;
            let mut last = "w0".to_string();
            for (at, (taken, needed)) in steps.iter().enumerate() {
                if free.is_empty() {
                    break;
                }
                let members = free.split_off(taken.index(free.len()));
                last = format!("g{at}");
                text.push_str(&format!(
                    "group {last} {} {}\n",
                    needed.index(members.len()) + 1,
                    members.join(" ")
                ));
                free.push(last.clone());
            }
            format!("{text}quorum {last}\n")
        },
    )
}

/// The same by the text alone: a name is met if it is a witness that cosigned, or a group with enough members that are.
fn is_met_by_text(text: &str, name: &str, cosigned: &BTreeSet<usize>) -> bool {
    if let Some(at) = name.strip_prefix('w') {
        return cosigned.contains(&at.parse().unwrap());
    }
    let line = text.lines().find(|line| line.starts_with(&format!("group {name} "))).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    words[3..].iter().filter(|member| is_met_by_text(text, member, cosigned)).count()
        >= words[2].parse().unwrap()
}

proptest! {
    #[test]
    fn groups_of_groups_are_met_as_their_text_says(text in rules(6), cosigned in proptest::collection::btree_set(0usize..6, 0..6)) {
        let policy: Policy = text.parse().unwrap();
        let quorum = text.lines().last().unwrap().strip_prefix("quorum ").unwrap();
        prop_assert_eq!(policy.quorum.is_met(&cosigned), is_met_by_text(&text, quorum, &cosigned));
        // More witnesses never are less.
        for more in 0..6 {
            let with = cosigned.iter().copied().chain([more]).collect();
            prop_assert!(!policy.quorum.is_met(&cosigned) || policy.quorum.is_met(&with));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _read = Policy::parse(&bytes);
    }
}
