//! What redaction gives back: the text, and a count of what was removed.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// A redacted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted<'a> {
    /// The input itself when nothing was replaced.
    pub text: Cow<'a, str>,
    /// How many secrets of which class were replaced.
    pub removed: Removed,
}

/// Secrets removed, counted by class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed(BTreeMap<&'static str, u32>);

impl Removed {
    /// True when nothing was removed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Secrets removed in all.
    pub fn total(&self) -> u64 {
        self.0.values().map(|count| u64::from(*count)).sum()
    }

    /// Classes and counts, sorted by class.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        self.0.iter().map(|(class, count)| (*class, *count))
    }

    /// `class:count`, sorted by class: the form of an event's `redactions` list.
    pub fn items(&self) -> Vec<String> {
        self.iter().map(|(class, count)| format!("{class}:{count}")).collect()
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Removed) {
        for (class, count) in other.iter() {
            let sum = self.0.entry(class).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    pub(crate) fn count(&mut self, class: &'static str) {
        let sum = self.0.entry(class).or_default();
        *sum = sum.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::Removed;

    #[test]
    fn items_are_sorted_and_merged() {
        let mut left = Removed::default();
        left.count("token");
        left.count("jwt");
        let mut right = Removed::default();
        right.count("token");
        left.merge(&right);
        assert_eq!(left.items(), ["jwt:1", "token:2"]);
        assert_eq!(left.total(), 3);
        assert!(!left.is_empty() && Removed::default().is_empty());
    }
}
