//! Samples of recorded events for the review of what redaction missed.
//!
//! A sample is its name: the range of the log, how many events, and a seed that the service drew. The events follow from the
//! name, so that whoever reads a verdict later finds the very events it is about, and the name is signed with a key of the
//! tenant's, so that nobody reviews a sample that he chose himself.

use std::collections::BTreeSet;
use std::fmt;

/// A sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    from: u64,
    size: u64,
    rows: u64,
    seed: u64,
}

/// Hexadecimal digits of the signature in a name.
const SIGNATURE_DIGITS: usize = 16;

impl Sample {
    /// So many of the events from `from` up to the log's size; none where the range is empty.
    pub fn new(from: u64, size: u64, rows: u64, seed: u64) -> Option<Sample> {
        let events = size.checked_sub(from).filter(|events| *events > 0)?;
        Some(Sample { from, size, rows: rows.min(events), seed })
    }

    /// The name, signed.
    pub fn name(&self, key: &[u8; 32]) -> String {
        format!("{self}-{}", self.signature(key))
    }

    /// The sample of a name that [`Sample::name`] made with this key.
    pub fn parse(name: &str, key: &[u8; 32]) -> Option<Sample> {
        let mut parts = name.split('-');
        let mut number = || parts.next()?.parse().ok();
        let (from, size, rows) = (number()?, number()?, number()?);
        let seed = u64::from_str_radix(parts.next()?, 16).ok()?;
        let sample = Sample::new(from, size, rows, seed)?;
        (sample.name(key) == name).then_some(sample)
    }

    /// Indices of its events in the log, in order.
    pub fn indices(&self) -> BTreeSet<u64> {
        let events = self.size - self.from;
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tachograph redaction sample\0").update(self.to_string().as_bytes());
        let mut random = hasher.finalize_xof();
        let mut found = BTreeSet::new();
        // Each of them once: of a small log that is nearly all of it, the rest is looked for among what is left.
        while (found.len() as u64) < self.rows {
            let mut word = [0; 16];
            random.fill(&mut word);
            // Of 128 bits, what the division leaves over favours no event that anybody could tell.
            let index = u128::from_le_bytes(word) % u128::from(events);
            found.insert(self.from + u64::try_from(index).unwrap_or(0));
        }
        found
    }

    fn signature(&self, key: &[u8; 32]) -> String {
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(b"redaction sample\0").update(self.to_string().as_bytes());
        hasher.finalize().to_hex().chars().take(SIGNATURE_DIGITS).collect()
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{:016x}", self.from, self.size, self.rows, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::Sample;

    #[test]
    fn a_name_is_its_sample_and_cannot_be_made_up() {
        let sample = Sample::new(100, 1_000, 50, 0xfeed).unwrap();
        let name = sample.name(&[7; 32]);
        assert_eq!(Sample::parse(&name, &[7; 32]), Some(sample.clone()));
        assert_eq!(Sample::parse(&name, &[8; 32]), None);
        assert_eq!(Sample::parse(&name.replacen("100-", "101-", 1), &[7; 32]), None);
        for name in ["", "1-2-3", "1-2-3-x-y", "5-2-3-0000000000000000-0000000000000000"] {
            assert_eq!(Sample::parse(name, &[7; 32]), None, "{name}");
        }
        let indices = sample.indices();
        assert_eq!(indices.len(), 50);
        assert!(indices.iter().all(|index| (100..1_000).contains(index)));
        assert_ne!(indices, Sample::new(100, 1_000, 50, 0xbeef).unwrap().indices());
    }

    #[test]
    fn events_are_drawn_evenly_and_a_small_log_is_drawn_whole() {
        assert_eq!(Sample::new(5, 5, 3, 1), None);
        assert_eq!(Sample::new(6, 5, 3, 1), None);
        let all: Vec<u64> = Sample::new(3, 10, 50, 1).unwrap().indices().into_iter().collect();
        assert_eq!(all, (3..10).collect::<Vec<_>>());
        let mut halves = [0; 2];
        for seed in 0..400 {
            for index in Sample::new(0, 100, 10, seed).unwrap().indices() {
                halves[usize::from(index >= 50)] += 1;
            }
        }
        assert!(halves.iter().all(|count| (1_850..2_150).contains(count)), "{halves:?}");
    }
}
