//! Installations of several writers in memory, as their logs would be; what leads from each key to an entry of the first, and what
//! must not.

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

use super::*;
use crate::control::{Adopted, Control, Round, RoundLog, Succession};
use crate::entry;
use crate::note::{SignatureLine, assemble};
use crate::proof::{Covered, Document, Proof};
use crate::stream::CONTROL;
use crate::tree::{CompactRange, Nodes, consistency_proof, inclusion_proof, leaf_hash, root};

#[derive(Clone)]
struct Log {
    origin: Origin,
    signing: SigningKey,
    entries: Vec<Vec<u8>>,
}

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    fn node(&self, level: u32, index: u64) -> Result<Hash> {
        let (first, width) = ((index << level) as usize, 1 << level);
        Ok(root(&self.0[first..first + width]))
    }
}

impl Log {
    fn new(installation: &str, tenant: &str, stream: Stream, writer: &str) -> Log {
        let origin = Origin::new(installation, tenant, stream, writer).unwrap();
        let signing = SigningKey::from_bytes(&leaf_hash(origin.to_string().as_bytes()).0);
        Log { origin, signing, entries: Vec::new() }
    }

    fn key(&self) -> VerifierKey {
        VerifierKey::new(&self.origin.to_string(), &self.signing.verifying_key().to_bytes()).unwrap()
    }

    fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Appends a control entry, or one without any; its index.
    fn push(&mut self, control: Option<&Control>) -> u64 {
        let (mut entry, index) = (Vec::new(), self.size());
        entry::header(&self.origin.log_id(&self.key().key_bytes()), index, 1, &mut entry);
        if let Some(control) = control {
            let text = control.to_text().unwrap();
            entry.extend(CONTROL.to_be_bytes());
            entry.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            entry.extend(text.as_bytes());
        }
        self.entries.push(entry);
        index
    }

    fn leaves(&self) -> Leaves {
        Leaves(self.entries.iter().map(|entry| leaf_hash(entry)).collect())
    }

    fn root_at(&self, size: u64) -> Hash {
        let mut tree = CompactRange::new();
        self.leaves().0.iter().take(size as usize).for_each(|leaf| tree.push(*leaf));
        tree.root()
    }

    fn prove(&self, index: u64, size: u64) -> (Vec<u8>, Proof) {
        let text = Checkpoint { origin: self.origin.clone(), size, root: self.root_at(size) }.to_string();
        let line = SignatureLine::new(&self.key(), &self.signing.sign(text.as_bytes()).to_bytes());
        let hashes = inclusion_proof(&self.leaves(), index, size).unwrap();
        let checkpoint = assemble(&text, &[line]);
        (self.entries[index as usize].clone(), Proof { extra: None, index, hashes, checkpoint })
    }

    fn opened(&self, index: u64) -> Opened {
        let (entry, proof) = self.prove(index, self.size());
        Opened::new(&entry, &proof)
    }

    fn opens(&self, number: u64, predecessor: Option<Predecessor>) -> Control {
        Control::LogOpened(LogOpened {
            number,
            origin: self.origin.to_string(),
            key: self.key().to_string(),
            manifest_key: "m".to_string(),
            predecessor,
        })
    }

    fn as_before(&self, size: u64, kept: u64) -> Predecessor {
        let root = self.root_at(size.min(self.size())).to_base64();
        let (origin, key) = (self.origin.to_string(), self.key().to_string());
        Predecessor { origin, key, size, root, kept, carried: 0, kept_root: None }
    }
}

/// The root log and one log of a writer.
#[derive(Clone)]
struct Writer {
    root: Log,
    log: Log,
    /// Where the root log opens the log, and where its newest round is.
    opened_at: u64,
    round_at: u64,
}

/// How a writer goes on from the one before: how much more than what is here of both logs was signed, and how much of the log is kept.
#[derive(Debug, Clone, Copy)]
struct Loss {
    root: u64,
    log: u64,
}

const WHOLE: Loss = Loss { root: 0, log: 0 };

impl Writer {
    fn begin(installation: &str, at: usize, before: Option<(&Writer, Loss)>, entries: u64) -> Writer {
        let name = format!("w{}", at + 1);
        let mut root = Log::new(installation, ROOT_TENANT, Stream::Root, &name);
        let mut log = Log::new(installation, "default", Stream::Events, &name);
        let of_root =
            before.map(|(old, loss)| old.root.as_before(old.root.size() + loss.root, old.root.size()));
        let of_log = before.map(|(old, loss)| old.log.as_before(old.log.size() + loss.log, old.log.size()));
        root.push(Some(&root.opens(0, of_root)));
        root.push(Some(&Control::Adopted(Adopted {
            machine: String::new(),
            by: "ops".into(),
            reason: "a test".into(),
        })));
        let opens = log.opens(1, of_log);
        let opened_at = root.push(Some(&opens));
        log.push(Some(&opens));
        for _ in 0..entries {
            log.push(None);
        }
        let told = RoundLog {
            number: 1,
            size: log.size(),
            root: log.root_at(log.size()).to_base64(),
            manifest: 0,
            manifest_digest: String::new(),
            sealed: 0,
        };
        let round_at = root.push(Some(&Control::Round(Round { logs: vec![told] })));
        Writer { root, log, opened_at, round_at }
    }

    /// The last entry of a root log that is rotated.
    fn end(&mut self, successor: &str) {
        let next = Log::new(self.root.origin.installation(), ROOT_TENANT, Stream::Root, successor);
        let succession = Succession { origin: next.origin.to_string(), key: next.key().to_string() };
        self.root.push(Some(&Control::Succession(succession)));
    }

    /// The proof of an entry with the root checkpoint of this size, as it was given out while this was the newest writer.
    fn document(&self, index: u64, root_size: u64) -> Document {
        let (entry, proof) = self.log.prove(index, self.log.size());
        let of = |at: u64| self.root.prove(at, root_size);
        let (opened, (round, round_proof)) = (of(self.opened_at), of(self.round_at));
        let covered = Covered::new(&round, &round_proof, &proof.hashes);
        Document::new(&self.log.origin, &entry, &proof, Some((Opened::new(&opened.0, &opened.1), covered)))
    }

    /// What leads on to this writer from the root log before at this size.
    fn successor(&self, before: &Log, size: u64, loss: Loss, is_first: bool) -> Successor {
        let named = before.size();
        let hashes = match loss.root {
            0 => consistency_proof(&before.leaves(), size, named).unwrap(),
            _ => Vec::new(),
        };
        Successor {
            opened: self.root.opened(0),
            log: is_first.then(|| self.root.opened(self.opened_at)),
            hashes: hashes.into_iter().map(Hash::to_base64).collect(),
            consistency: None,
        }
    }
}

/// Writers that go on from one another, and the document of an entry of the first.
fn chain(
    installation: &str,
    losses: &[Loss],
    entries: u64,
    index: u64,
    early: bool,
) -> (Vec<Writer>, Document) {
    let mut writers = vec![Writer::begin(installation, 0, None, entries)];
    for (at, loss) in losses.iter().enumerate() {
        if loss.root == 0 {
            writers[at].end(&format!("w{}", at + 2));
        }
        let next = Writer::begin(installation, at + 1, Some((&writers[at], *loss)), 2);
        writers.push(next);
    }
    let first = &writers[0];
    let root_size = if early { first.round_at + 1 } else { first.root.size() };
    let mut document = first.document(index, root_size);
    for (at, loss) in losses.iter().enumerate() {
        let older = &writers[at].root;
        let size = if at == 0 { root_size } else { older.size() };
        document.successors.push(writers[at + 1].successor(older, size, *loss, at == 0));
    }
    (writers, document)
}

fn keys(writers: &[Writer]) -> Vec<VerifierKey> {
    writers.iter().map(|writer| writer.root.key()).collect()
}

fn text(document: &Document) -> String {
    serde_json::to_string(document).unwrap()
}

fn refused(document: &Document, keys: &[VerifierKey]) -> Vec<String> {
    let document = Document::parse(text(document).as_bytes()).unwrap();
    keys.iter().map(|key| document.verify(key).unwrap_err().to_string()).collect()
}

#[test]
fn an_entry_is_proved_from_every_root_key_that_leads_to_it_and_from_no_other() {
    let loss = Loss { root: 5, log: 3 };
    for losses in [&[][..], &[WHOLE], &[loss], &[WHOLE, WHOLE], &[WHOLE, loss, WHOLE], &[loss, loss]] {
        for early in [false, true] {
            let (writers, document) = chain("i-1", losses, 9, 7, early);
            let read = Document::parse(text(&document).as_bytes()).unwrap();
            assert_eq!(read, document);
            for (at, writer) in writers.iter().enumerate() {
                let proved = read.verify(&writer.root.key()).unwrap();
                assert_eq!(proved.root.origin, writer.root.origin, "{losses:?} {at}");
                assert_eq!((proved.before.len(), proved.round), (at, Some(10)));
                let note = read.root_note(&proved).unwrap();
                assert!(note.unverified_text().starts_with(writer.root.origin.to_string().as_str()));
                assert!(read.extends(&proved, proved.root.size, &proved.root.root).unwrap());
                for (before, (older, loss)) in proved.before.iter().zip(writers.iter().zip(losses)) {
                    assert_eq!(before.checkpoint.origin, older.root.origin);
                    assert_eq!(before.kept + loss.root, before.size);
                }
            }
            let (others, other) = chain("i-2", losses, 9, 7, early);
            for (key, their) in keys(&writers).iter().zip(keys(&others)) {
                assert!(read.verify(&their).is_err() && other.verify(key).is_err());
            }
        }
    }
}

#[test]
fn a_document_without_successors_is_spelled_as_before() {
    let (_, document) = chain("i-1", &[], 3, 1, false);
    assert!(!text(&document).contains("successors"));
    assert!(text(&document).ends_with("\"consistency\":null}"));
}

#[test]
fn each_changed_byte_is_refused_whoever_asks() {
    let (writers, document) = chain("i-1", &[WHOLE, Loss { root: 2, log: 0 }], 4, 2, true);
    let (good, keys) = (text(&document), keys(&writers));
    for at in 0..good.len() {
        let mut other = good.clone().into_bytes();
        other[at] ^= 1 << (at % 7);
        let Ok(other) = Document::parse(&other) else { continue };
        for key in &keys {
            assert!(other.verify(key).is_err(), "byte {at} under {key}");
        }
    }
}

#[test]
fn what_leads_to_another_log_or_leaves_a_step_out_is_refused() {
    let (writers, document) = chain("i-1", &[WHOLE, WHOLE], 9, 7, false);
    let keys = keys(&writers);
    let changed = |change: &dyn Fn(&mut Document)| {
        let mut other = document.clone();
        change(&mut other);
        other
    };
    // Without the first step only the first key still leads there, and without the last the last does not.
    let other = changed(&|other| drop(other.successors.remove(0)));
    refused(&other, &keys);
    let other = changed(&|other| drop(other.successors.pop()));
    assert!(other.verify(&keys[0]).is_ok() && other.verify(&keys[1]).is_ok());
    assert!(refused(&other, &keys[2..])[0].contains("no root log that this proof leads to"));
    let other = changed(&|other| other.successors.clear());
    assert!(other.verify(&keys[0]).is_ok());
    refused(&other, &keys[1..]);
    refused(&changed(&|other| other.successors.swap(0, 1)), &keys);
    let said = refused(&changed(&|other| other.successors[0].log = None), &keys);
    assert!(said[0].contains("nothing says how much"), "{said:?}");
    let own = Some(document.successors[0].opened.clone());
    refused(&changed(&|other| other.successors[0].log.clone_from(&own)), &keys);
    let again = document.successors[0].log.clone();
    refused(&changed(&|other| other.successors[1].log.clone_from(&again)), &keys);
    // By another checkpoint of the same root log.
    let root = &writers[1].root;
    let (entry, proof) = root.prove(writers[1].opened_at, root.size() - 1);
    let older = Some(Opened::new(&entry, &proof));
    refused(&changed(&|other| other.successors[0].log.clone_from(&older)), &keys);
    let hash = leaf_hash(b"").to_base64();
    refused(&changed(&|other| other.successors[0].hashes.push(hash.clone())), &keys);
    // The predecessor of another installation, and another history of this one.
    let (others, theirs) = chain("i-2", &[WHOLE, WHOLE], 9, 7, false);
    refused(&changed(&|other| other.successors[0] = theirs.successors[0].clone()), &keys);
    let other = changed(&|other| other.successors.clone_from(&theirs.successors));
    refused(&other, &keys);
    refused(&other, &[others[0].root.key(), others[2].root.key()]);
    let (lossy, mut other) = chain("i-1", &[Loss { root: 2, log: 0 }], 9, 7, false);
    other.successors[0].hashes.push(hash);
    refused(&other, &[lossy[0].root.key(), lossy[1].root.key()]);
    let (_, forked) = chain("i-1", &[WHOLE, WHOLE], 10, 7, false);
    let other = Document { successors: document.successors.clone(), ..forked };
    let said = refused(&other, &keys);
    assert!(said[2].contains("does not match"), "{said:?}");
    let other = changed(&|other| other.successors = vec![other.successors[0].clone(); 257]);
    assert!(matches!(other.verify(&keys[0]), Err(Error::TooLarge { .. })));
    assert!(matches!(Document::parse(text(&other).as_bytes()), Err(Error::TooLarge { .. })));
}

#[test]
fn what_is_past_what_is_kept_is_not_proved() {
    // The successor knows that the entry was signed, and keeps less than that of it.
    let old = Writer::begin("i-1", 0, None, 9);
    let begin_at = |kept_root: u64, kept_log: u64, key: Option<&VerifierKey>, origin: Option<&str>| {
        let mut root = Log::new("i-1", ROOT_TENANT, Stream::Root, "w2");
        let log = Log::new("i-1", "default", Stream::Events, "w2");
        let of_root = old.root.as_before(old.root.size(), kept_root);
        let mut of_log = old.log.as_before(old.log.size(), kept_log);
        if let Some(key) = key {
            of_log.key = key.to_string();
        }
        if let Some(origin) = origin {
            of_log.origin = origin.to_string();
        }
        root.push(Some(&root.opens(0, Some(of_root))));
        let opened_at = root.push(Some(&log.opens(1, Some(of_log))));
        let mut document = old.document(7, old.root.size());
        document.successors.push(Successor {
            opened: root.opened(0),
            log: Some(root.opened(opened_at)),
            hashes: Vec::new(),
            consistency: None,
        });
        document.verify(&root.key()).map(|_| ()).map_err(|error| error.to_string())
    };
    let begin = |kept_root, kept_log, key| begin_at(kept_root, kept_log, key, None);
    let (root, log) = (old.root.size(), old.log.size());
    assert!(begin_at(root, log, None, Some("i-1/default/events/w0")).is_err());
    assert_eq!(begin(root, log, None), Ok(()));
    assert_eq!(begin(root, 8, None), Ok(()));
    assert!(begin(root, 7, None).unwrap_err().contains("7 of 10 entries of i-1/default/events/w1 are kept"));
    assert!(begin(root, log + 1, None).is_err());
    assert!(begin(root - 1, log, None).unwrap_err().contains("are kept, the proof is of size"));
    assert!(begin(root + 1, log, None).is_err());
    assert!(begin(root, log, Some(&old.root.key())).is_err());
}

/// Of the root log's own entries nothing says how much is kept but the step itself.
#[test]
fn a_root_log_is_succeeded_by_one_that_begins_so_and_is_of_its_installation() {
    let old = Writer::begin("i-1", 0, None, 3).root;
    let (entry, proof) = old.prove(1, old.size());
    let proved = |newer: &Log, at: u64| {
        let mut document = Document::new(&old.origin, &entry, &proof, None);
        let opened = newer.opened(at);
        document.successors.push(Successor { opened, log: None, hashes: Vec::new(), consistency: None });
        document.verify(&newer.key()).is_ok() && document.verify(&old.key()).is_ok()
    };
    let before = || Some(old.as_before(old.size(), old.size()));
    for (installation, tenant, stream, number, later, is_right) in [
        ("i-1", ROOT_TENANT, Stream::Root, 0, false, true),
        ("i-2", ROOT_TENANT, Stream::Root, 0, false, false),
        ("i-1", "default", Stream::Events, 0, false, false),
        ("i-1", ROOT_TENANT, Stream::Root, 1, false, false),
        ("i-1", ROOT_TENANT, Stream::Root, 0, true, false),
    ] {
        let mut newer = Log::new(installation, tenant, stream, "w2");
        if later {
            newer.push(None);
        }
        let at = newer.push(Some(&newer.opens(number, before())));
        assert_eq!(proved(&newer, at), is_right, "{} {number} {later}", newer.origin);
    }
    let mut newer = Log::new("i-1", ROOT_TENANT, Stream::Root, "w2");
    newer.push(Some(&newer.opens(0, None)));
    assert!(!proved(&newer, 0), "it goes on from nothing");
}

#[test]
fn the_consistency_that_was_asked_for_is_of_the_root_log_of_the_key() {
    let (writers, mut document) = chain("i-1", &[WHOLE, WHOLE], 9, 7, false);
    let since = |log: &Log, old| {
        let hashes = consistency_proof(&log.leaves(), old, log.size()).unwrap();
        Some(Consistency { old, hashes: hashes.into_iter().map(Hash::to_base64).collect() })
    };
    document.consistency = since(&writers[0].root, 2);
    document.successors[0].consistency = since(&writers[1].root, 3);
    for (at, old) in [(0, 2), (1, 3)] {
        let log = &writers[at].root;
        let proved = document.verify(&log.key()).unwrap();
        assert!(document.extends(&proved, old, &log.root_at(old)).unwrap());
        assert!(document.extends(&proved, old, &leaf_hash(b"")).is_err());
        assert!(!document.extends(&proved, 1, &log.root_at(1)).unwrap());
    }
    let proved = document.verify(&writers[2].root.key()).unwrap();
    assert!(!document.extends(&proved, 2, &writers[2].root.root_at(2)).unwrap(), "not told");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However many writers there were and whatever each lost: from each root key to each entry, and with any one step taken out
    /// from none of the keys behind it.
    #[test]
    fn every_entry_is_proved_through_every_history(
        losses in prop::collection::vec((0u64..3, 0u64..3), 1..5),
        entries in 1u64..40,
        index in 0u64..40,
        early in any::<bool>(),
        out in 0usize..5,
    ) {
        let losses: Vec<Loss> = losses.into_iter().map(|(root, log)| Loss { root, log }).collect();
        let index = index % (entries + 1);
        let (writers, document) = chain("i-1", &losses, entries, index, early);
        for key in keys(&writers) {
            prop_assert!(document.verify(&key).is_ok(), "{:?}", document.verify(&key));
        }
        let mut other = document;
        let out = out % losses.len();
        other.successors.remove(out);
        for key in keys(&writers).iter().skip(out + 1) {
            prop_assert!(other.verify(key).is_err());
        }
    }
}
