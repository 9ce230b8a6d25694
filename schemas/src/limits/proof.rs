//! Proofs: what is read as one, and what is read at once to make one.

/// Hashes of one inclusion or consistency proof: a tree of 64-bit indices is no higher.
pub const PROOF_HASHES_MAX: usize = 64;
/// Bytes of a proof's extra data.
pub const PROOF_EXTRA_BYTES_MAX: usize = 48 << 10;
/// Bytes of a proof in its text form: path, extra data, and a checkpoint with every cosignature that it may have.
pub const PROOF_BYTES_MAX: usize = 1 << 20;
/// Bytes of a proof document: two proofs and two entries, in base64 and JSON.
pub const PROOF_DOCUMENT_BYTES_MAX: usize = 4 << 20;
/// Entries that a tree reads at once: each is held in memory, of up to [`super::ENTRY_BYTES_MAX`].
pub const TREE_ENTRIES_READ_MAX: u64 = 256;
/// Proofs and bundles that are made at one time: each reads files and hashes.
pub const PROOF_READS_AT_ONCE: usize = 4;
/// How long an answer waits for a checkpoint that covers a new entry, in milliseconds: a few times
/// [`super::SIGN_INTERVAL_US`].
pub const PROOF_SIGNED_WAIT_MS: u64 = 3_000;
/// Between two looks whether there is one, in milliseconds.
pub const PROOF_SIGNED_POLL_MS: u64 = 100;
