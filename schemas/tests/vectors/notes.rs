//! `vectors/notes.json`: from the seed to keys, a signed checkpoint and a signed manifest.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use schemas::checkpoint::Checkpoint;
use schemas::layout::{FileKind, FileName};
use schemas::manifest::{self, File, Manifest};
use schemas::note::{SignatureLine, VerifierKey, assemble};
use schemas::tree::leaf_hash;
use schemas::{Hash, Origin, Stream};
use serde_json::{Value, json};

use crate::hex;

/// The contexts of FORMAT.md section 3. Signing is not this crate's, so the vectors spell them out.
const CHECKPOINT_CONTEXT: &str = "tachograph 2026-11 checkpoint key v1";
const MANIFEST_CONTEXT: &str = "tachograph 2026-11 manifest key v1";

/// A seed, the keys of two logs, and notes that one of them signed.
pub fn document() -> Value {
    let seed: [u8; 32] = std::array::from_fn(|at| at as u8);
    let logs: Vec<Keys> = [("_root", Stream::Root), ("acme", Stream::Events)]
        .map(|(tenant, stream)| Keys::derive(&seed, Origin::new("fleet-1", tenant, stream, "w0").unwrap()))
        .into();
    let keys = &logs[1];
    let checkpoint = checkpoint(keys, 3);
    let (manifest_text, manifest) = manifest(keys, &checkpoint);
    json!({
        "seed": hex(&seed),
        "logs": logs.iter().map(Keys::document).collect::<Vec<_>>(),
        "checkpoint": {
            "origin": keys.origin.to_string(), "size": 3, "root": hex(&root().0), "note": checkpoint,
        },
        "manifest": { "text": manifest_text, "note": manifest, "blake3": manifest::digest(manifest.as_bytes()) },
    })
}

/// The keys of one log.
pub struct Keys {
    pub origin: Origin,
    pub checkpoint: SigningKey,
    pub manifest: SigningKey,
}

impl Keys {
    /// As section 3 derives them.
    pub fn derive(seed: &[u8; 32], origin: Origin) -> Keys {
        let material = [seed.as_slice(), origin.to_string().as_bytes()].concat();
        let key = |context: &str| SigningKey::from_bytes(&blake3::derive_key(context, &material));
        Keys { checkpoint: key(CHECKPOINT_CONTEXT), manifest: key(MANIFEST_CONTEXT), origin }
    }

    /// The verifier key of checkpoints.
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey::new(&self.origin.to_string(), &self.checkpoint.verifying_key().to_bytes()).unwrap()
    }

    /// The verifier key of manifests.
    pub fn manifest_verifier(&self) -> VerifierKey {
        VerifierKey::new(&manifest::key_name(&self.origin), &self.manifest.verifying_key().to_bytes())
            .unwrap()
    }

    fn document(&self) -> Value {
        let key = self.checkpoint.verifying_key().to_bytes();
        json!({
            "origin": self.origin.to_string(),
            "checkpoint_seed": hex(&self.checkpoint.to_bytes()),
            "manifest_seed": hex(&self.manifest.to_bytes()),
            "key": self.verifier().to_string(),
            "manifest_key": self.manifest_verifier().to_string(),
            "log_id": hex(&self.origin.log_id(&key).0),
        })
    }
}

/// A note of one signature.
pub fn sign(text: &str, secret: &SigningKey, key: &VerifierKey) -> String {
    assemble(text, &[SignatureLine::new(key, &secret.sign(text.as_bytes()).to_bytes())])
}

fn root() -> Hash {
    leaf_hash(b"the root of the vectors")
}

/// A signed checkpoint of `size`, under a root of no tree.
pub fn checkpoint(keys: &Keys, size: u64) -> String {
    let text = Checkpoint { origin: keys.origin.clone(), size, root: root() }.to_string();
    let note = sign(&text, &keys.checkpoint, &keys.verifier());
    assert_eq!(Checkpoint::open(note.as_bytes(), &keys.verifier()).unwrap().to_string(), text);
    note
}

/// Text and signed note of a manifest around `checkpoint`, which is of size 3.
pub fn manifest(keys: &Keys, checkpoint: &str) -> (String, String) {
    let file = |kind, rows, content: &[u8]| {
        let blake3 = manifest::digest(content);
        let digest = blake3[..16].to_string();
        let name = FileName { kind, date: "2026-11-21".into(), first: 0, last: 3, digest };
        let bytes = content.len() as u64;
        File { path: name.path(), rows, bytes, blake3, time_min_us: -1, time_max_us: 1_795_219_200_000_000 }
    };
    let manifest = Manifest {
        version: manifest::VERSION,
        origin: keys.origin.to_string(),
        number: 1,
        previous: manifest::NO_PREVIOUS.into(),
        size: 3,
        checkpoint: checkpoint.into(),
        snapshot: true,
        add: vec![file(FileKind::Segment, 3, b"segment"), file(FileKind::Payload, 1, b"payload")],
        remove: vec![],
        cursors: BTreeMap::from([("b \"ü\"\u{1}".into(), "2\u{7f}".into()), ("a/kafka".into(), "17".into())]),
    };
    let text = manifest.to_text().unwrap();
    let note = sign(&text, &keys.manifest, &keys.manifest_verifier());
    assert_eq!(Manifest::open(note.as_bytes(), &keys.manifest_verifier()).unwrap(), manifest);
    (text, note)
}
