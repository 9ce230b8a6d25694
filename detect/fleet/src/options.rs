//! What a fleet is made from.

/// Seed and size of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub seed: u64,
    /// Days from Monday, 2026-02-02 on.
    pub days: i64,
    pub principals: usize,
    /// Whether nothing goes wrong by plan.
    pub is_benign: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { seed: 1, days: 90, principals: 400, is_benign: false }
    }
}

/// Five seeds that nobody can choose before a commit is made: of its hash, as 40 or 64 hex digits.
pub fn seeds_of(commit: &str) -> [u64; 5] {
    std::array::from_fn(|number| {
        let hash = blake3::hash(format!("tachograph fleet seed {number} of {}", commit.trim()).as_bytes());
        hash.as_bytes().iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    })
}
