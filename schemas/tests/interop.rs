//! Holds trees, tiles, checkpoints and notes against other authors' implementations of the C2SP documents.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use schemas::checkpoint::Checkpoint;
use schemas::note::{Note, SignatureLine, VerifierKey, assemble};
use schemas::tile::{TileBuilder, TileId};
use schemas::tree::{self, CompactRange, Nodes};
use schemas::{Hash, Result, layout};
use signed_note::{StandardSigner, StandardVerifier, VerifierList};

const ORIGIN: &str = "fleet-1/acme/events/w0";

/// The same key for both sides.
fn key(name: &str, seed: [u8; 32]) -> (SigningKey, VerifierKey, StandardSigner, StandardVerifier) {
    let signing = SigningKey::from_bytes(&seed);
    let ours = VerifierKey::new(name, &signing.verifying_key().to_bytes()).unwrap();
    let typed = [&[1], signing.as_bytes().as_slice()].concat();
    let text = format!("PRIVATE+KEY+{name}+{:08x}+{}", ours.id(), STANDARD.encode(typed));
    let theirs = StandardVerifier::new(&ours.to_string()).unwrap();
    (signing, ours, StandardSigner::new(&text).unwrap(), theirs)
}

fn ours(text: &str, signing: &SigningKey, key: &VerifierKey) -> String {
    assemble(text, &[SignatureLine::new(key, &signing.sign(text.as_bytes()).to_bytes())])
}

#[test]
fn their_note_of_our_key_is_ours_byte_for_byte_and_each_verifies_the_other() {
    let text = Checkpoint { origin: ORIGIN.parse().unwrap(), size: 9, root: tree::empty_root() }.to_string();
    let (signing, our_key, their_signer, their_key) = key(ORIGIN, [3; 32]);
    let our_note = ours(&text, &signing, &our_key);
    let mut their_note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    their_note.add_sigs(&[&their_signer]).unwrap();
    assert_eq!(our_note.as_bytes(), their_note.to_bytes());

    let known = VerifierList::new(vec![Box::new(their_key)]);
    let read = signed_note::Note::from_bytes(our_note.as_bytes()).unwrap();
    let (verified, unverified) = read.verify(&known).unwrap();
    assert_eq!((verified.len(), unverified.len(), read.text()), (1, 0, text.as_bytes()));
    let note = Note::parse(&their_note.to_bytes()).unwrap();
    assert_eq!(note.verify(&our_key).unwrap(), text);
    let changed = our_note.replace("\n9\n", "\n8\n");
    assert!(signed_note::Note::from_bytes(changed.as_bytes()).unwrap().verify(&known).is_err());
    assert!(Note::parse(changed.as_bytes()).unwrap().verify(&our_key).is_err());
}

#[test]
fn a_witness_may_sign_beside_the_log() {
    let (signing, log_key, _, _) = key(ORIGIN, [3; 32]);
    let (_, witness_key, witness, _) = key("witness.example/w1", [4; 32]);
    let mut note = signed_note::Note::from_bytes(ours("text\n", &signing, &log_key).as_bytes()).unwrap();
    note.add_sigs(&[&witness]).unwrap();
    let read = Note::parse(&note.to_bytes()).unwrap();
    assert_eq!(read.signatures().len(), 2);
    assert_eq!(read.verify(&log_key).unwrap(), "text\n");
    assert_eq!(read.verify(&witness_key).unwrap(), "text\n");
}

/// Published by golang.org/x/mod/sumdb/note and by the C2SP signed-note document.
#[test]
fn published_keys_read_alike() {
    for text in [
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ] {
        let key: VerifierKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(signed_note::key_id(key.name(), &[&[1], &key.key_bytes()[..]].concat()), key.id());
    }
    let key: VerifierKey =
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse().unwrap();
    let note = "This is an example message.\n\n\
                — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    assert_eq!(Note::parse(note.as_bytes()).unwrap().verify(&key).unwrap(), "This is an example message.\n");
}

#[test]
fn checkpoints_read_alike() {
    for size in [0, 1, 9, 256, i64::MAX as u64] {
        let root = tree::leaf_hash(&size.to_be_bytes());
        let ours = Checkpoint { origin: ORIGIN.parse().unwrap(), size, root };
        let theirs = tlog_tiles::Checkpoint::new(ORIGIN, size, tlog_tiles::Hash(root.0), "").unwrap();
        assert_eq!(ours.to_string().as_bytes(), theirs.to_bytes());
        let read = tlog_tiles::Checkpoint::from_bytes(ours.to_string().as_bytes()).unwrap();
        assert_eq!((read.origin(), read.size(), read.hash().0, read.extension()), (ORIGIN, size, root.0, ""));
        assert_eq!(Checkpoint::parse(std::str::from_utf8(&theirs.to_bytes()).unwrap()).unwrap(), ours);
    }
    // Extension lines are allowed there and refused here.
    let extended = format!("{ORIGIN}\n1\n{}\nextension\n", tree::empty_root().to_base64());
    assert!(tlog_tiles::Checkpoint::from_bytes(extended.as_bytes()).is_ok());
    assert!(Checkpoint::parse(&extended).is_err());
}

/// A tree as their crate stores it: all nodes in one list.
#[derive(Default)]
struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> std::result::Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

impl Nodes for Stored {
    fn node(&self, level: u32, index: u64) -> Result<Hash> {
        let at = tlog_tiles::stored_hash_index(u8::try_from(level).unwrap(), index);
        Ok(Hash(self.0[at as usize].0))
    }
}

impl Stored {
    fn push(&mut self, at: u64, entry: &[u8]) {
        let hashes = tlog_tiles::stored_hashes(at, entry, self).unwrap();
        self.0.extend(hashes);
    }
}

/// The path of a tile as C2SP tlog-tiles has it: theirs names the height too, which is always 8 there.
fn path(tile: &tlog_tiles::Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1)
}

fn plain(proof: &[tlog_tiles::Hash]) -> Vec<[u8; 32]> {
    proof.iter().map(|hash| hash.0).collect()
}

#[test]
fn leaves_roots_and_tiles_are_theirs_at_every_size_to_1100_and_around_65536() {
    let mut theirs = Stored::default();
    let (mut range, mut builder) = (CompactRange::new(), TileBuilder::new());
    let mut full: HashMap<String, Vec<u8>> = HashMap::new();
    let bytes = |hashes: &[Hash]| hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>();
    for at in 0..65_540_u64 {
        let entry = [at.to_be_bytes().as_slice(), &[0; 30][..(at % 31) as usize]].concat();
        let leaf = tree::leaf_hash(&entry);
        assert_eq!(leaf.0, tlog_tiles::record_hash(&entry).0);
        theirs.push(at, &entry);
        range.push(leaf);
        builder.push(leaf, &mut |id, hashes| {
            full.insert(layout::tile(id), bytes(hashes));
        });
        let size = at + 1;
        if size > 1100 && size < 65_530 {
            continue;
        }
        assert_eq!(range.root().0, tlog_tiles::tree_hash(size, &theirs).unwrap().0, "size {size}");
        let mut tiles: HashMap<String, Vec<u8>> = full.clone();
        tiles.extend(builder.partials().into_iter().map(|(id, hashes)| (layout::tile(id), bytes(hashes))));
        for tile in tlog_tiles::Tile::new_tiles(8, at, size) {
            let data = tile.read_data(&theirs).unwrap();
            assert_eq!(tiles.get(&path(&tile)), Some(&data), "size {size}, {}", path(&tile));
        }
    }
    for (path, data) in &full {
        let tile = tlog_tiles::Tile::from_path(&path.replacen("tile/", "tile/8/", 1)).unwrap();
        assert_eq!(tile.read_data(&theirs).unwrap(), *data, "{path}");
    }
}

#[test]
fn proofs_are_theirs_and_each_checks_the_other() {
    let mut stored = Stored::default();
    (0..600_u64).for_each(|at| stored.push(at, &at.to_be_bytes()));
    let root = |size: u64| tlog_tiles::tree_hash(size, &stored).unwrap();
    for size in (1..=40).chain([63, 64, 65, 255, 256, 257, 511, 512, 513, 600]) {
        let now = root(size);
        for index in (0..size).filter(|index| size <= 40 || index % 37 == 0 || *index == size - 1) {
            let ours = tree::inclusion_proof(&stored, index, size).unwrap();
            let theirs = tlog_tiles::prove_record(size, index, &stored).unwrap();
            assert_eq!(
                plain(&theirs),
                ours.iter().map(|hash| hash.0).collect::<Vec<_>>(),
                "{index} of {size}"
            );
            let leaf = tree::leaf_hash(&index.to_be_bytes());
            tree::verify_inclusion(&ours, index, size, &leaf, &Hash(now.0)).unwrap();
            tlog_tiles::check_record(&theirs, size, now, index, tlog_tiles::Hash(leaf.0)).unwrap();
        }
        for old in (1..=size).filter(|old| size <= 40 || old % 37 == 0 || *old == size - 1) {
            let ours = tree::consistency_proof(&stored, old, size).unwrap();
            let theirs = tlog_tiles::prove_tree(size, old, &stored).unwrap();
            assert_eq!(plain(&theirs), ours.iter().map(|hash| hash.0).collect::<Vec<_>>(), "{old} to {size}");
            tree::verify_consistency(&ours, old, size, &Hash(root(old).0), &Hash(now.0)).unwrap();
            tlog_tiles::check_tree(&theirs, size, now, old, root(old)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tile_paths_are_theirs(level in 0_u32..8, index in 0_u64..1 << 45, width in 1_u64..=256) {
        let id = TileId { level, index, width };
        let ours = layout::tile(id);
        let theirs = tlog_tiles::Tile::new(8, u8::try_from(level).unwrap(), index, u32::try_from(width).unwrap(), false);
        prop_assert_eq!(&ours, &path(&theirs));
        prop_assert_eq!(layout::parse_tile(&ours).unwrap(), id);
        let read = tlog_tiles::Tile::from_path(&ours.replacen("tile/", "tile/8/", 1)).unwrap();
        prop_assert_eq!((read.level(), read.level_index(), read.width()), (theirs.level(), index, theirs.width()));
    }

    #[test]
    fn notes_are_theirs(seed in any::<[u8; 32]>(), text in "[^\u{0}-\u{1f}]{1,40}\n([^\u{0}-\u{1f}]{1,40}\n){0,3}") {
        let (signing, our_key, their_signer, _) = key(ORIGIN, seed);
        let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        theirs.add_sigs(&[&their_signer]).unwrap();
        prop_assert_eq!(theirs.to_bytes(), ours(&text, &signing, &our_key).into_bytes());
    }
}

/// A cosigner of C2SP tlog-cosignature in terms of their traits, written from the document alone.
struct TheirCosigner(SigningKey, String);

impl TheirCosigner {
    fn id(&self) -> u32 {
        let typed = [&[4], self.0.verifying_key().as_bytes().as_slice()].concat();
        signed_note::key_id(&self.1, &typed)
    }

    fn message(time: u64, text: &[u8]) -> Vec<u8> {
        [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat()
    }
}

impl signed_note::Verifier for TheirCosigner {
    fn name(&self) -> &str {
        &self.1
    }

    fn key_id(&self) -> u32 {
        self.id()
    }

    fn verify(&self, text: &[u8], blob: &[u8]) -> bool {
        let (time, signature) = blob.split_at(8);
        let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
        let time = u64::from_be_bytes(time.try_into().unwrap());
        self.0.verifying_key().verify_strict(&TheirCosigner::message(time, text), &signature).is_ok()
    }
}

#[test]
fn cosignatures_of_either_side_are_read_by_the_other_beside_the_logs_own() {
    use schemas::cosignature::{CosignerKey, message, with_lines};
    let text = Checkpoint { origin: ORIGIN.parse().unwrap(), size: 9, root: tree::empty_root() }.to_string();
    let (signing, log_key, _, their_log_key) = key(ORIGIN, [3; 32]);
    let theirs = TheirCosigner(SigningKey::from_bytes(&[4; 32]), "witness.example/w1".to_string());
    let cosigner = CosignerKey::new(&theirs.1, &theirs.0.verifying_key().to_bytes()).unwrap();
    assert_eq!(cosigner.id(), theirs.id());
    let signed = ours(&text, &signing, &log_key);

    let time = 1_679_315_147_u64;
    let signature = theirs.0.sign(&TheirCosigner::message(time, text.as_bytes())).to_bytes();
    let blob = [&time.to_be_bytes()[..], &signature].concat();
    let by_log = signed_note::Signature::from_bytes(signed.lines().last().unwrap().as_bytes()).unwrap();
    let added = signed_note::Signature::new(theirs.1.clone(), theirs.id(), blob).unwrap();
    let by_them = signed_note::Note::new(text.as_bytes(), &[by_log, added]).unwrap();
    let read = Note::parse(&by_them.to_bytes()).unwrap();
    assert_eq!(cosigner.verify(&read).unwrap().time_s, 1_679_315_147);
    assert_eq!(read.verify(&log_key).unwrap(), text);

    let line = cosigner.line(77, &theirs.0.sign(message(77, &text).as_bytes()).to_bytes());
    let by_us = with_lines(&Note::parse(signed.as_bytes()).unwrap(), &[line]);
    let known = VerifierList::new(vec![Box::new(their_log_key), Box::new(theirs)]);
    let read = signed_note::Note::from_bytes(by_us.as_bytes()).unwrap();
    let (verified, unverified) = read.verify(&known).unwrap();
    assert_eq!((verified.len(), unverified.len()), (2, 0));
}
