//! Proofs: what is read as one, and what is read at once to make one.

/// Hashes of one inclusion or consistency proof: a tree of 64-bit indices is no higher.
pub const PROOF_HASHES_MAX: usize = 64;
/// Bytes of a proof's extra data.
pub const PROOF_EXTRA_BYTES_MAX: usize = 48 << 10;
/// Bytes of a proof in its text form: path, extra data, and a checkpoint with every cosignature that it may have.
pub const PROOF_BYTES_MAX: usize = 1 << 20;
/// Bytes of a proof document: three proofs and three entries, in base64 and JSON, and two of each for every root log that went on since.
pub const PROOF_DOCUMENT_BYTES_MAX: usize = 4 << 20;
/// Root logs that a proof leads over: rotations and adoptions since the entry came, about 4 KiB each.
pub const PROOF_SUCCESSORS_MAX: usize = 256;
/// Entries of one event id that are looked for and named to whoever asks for a proof of it.
pub const PROOF_PLACES_MAX: usize = 10;
/// Entries that a tree reads at once: each is held in memory, of up to [`super::ENTRY_BYTES_MAX`].
pub const TREE_ENTRIES_READ_MAX: u64 = 256;
/// Proofs and bundles that are made at one time: each reads files and hashes.
pub const PROOF_READS_AT_ONCE: usize = 4;
/// How long an answer waits for the root log to know of a new entry, in milliseconds: for a round, and for a signature of the log
/// before it and of the root log behind it.
pub const PROOF_SIGNED_WAIT_MS: u64 = 15_000;
/// Between two looks whether there is one, in milliseconds.
pub const PROOF_SIGNED_POLL_MS: u64 = 250;
