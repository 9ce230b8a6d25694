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

/// What was removed, counted by class and by where it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed(BTreeMap<(&'static str, Option<Box<str>>), u32>);

impl Removed {
    /// True when nothing was removed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many were removed in all.
    pub fn total(&self) -> u64 {
        self.0.values().map(|count| u64::from(*count)).sum()
    }

    /// Class, place (none in plain text) and count, sorted by class and place.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<&str>, u32)> + '_ {
        self.0.iter().map(|((class, place), count)| (*class, place.as_deref(), *count))
    }

    /// `class:count:place`, or `class:count` of plain text, sorted by class and place: the form of an event's `redactions`
    /// list. The place is the member of the record that it was in, `other` where that has no plain name.
    pub fn items(&self) -> Vec<String> {
        let item = |(class, place, count): (&str, Option<&str>, u32)| match place {
            Some(place) => format!("{class}:{count}:{place}"),
            None => format!("{class}:{count}"),
        };
        self.iter().map(item).collect()
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Removed) {
        for (class, place, count) in other.iter() {
            self.add(class, place, count);
        }
    }

    /// Adds the counts of `other`, which were all of `place`.
    pub fn merge_at(&mut self, place: &str, other: &Removed) {
        for (class, _, count) in other.iter() {
            self.add(class, Some(place), count);
        }
    }

    pub(crate) fn count(&mut self, class: &'static str, place: Option<&str>) {
        self.add(class, place, 1);
    }

    fn add(&mut self, class: &'static str, place: Option<&str>, count: u32) {
        let sum = self.0.entry((class, place.map(Box::from))).or_default();
        *sum = sum.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::Removed;

    #[test]
    fn items_are_sorted_and_merged() {
        let mut left = Removed::default();
        left.count("token", Some("result"));
        left.count("jwt", None);
        let mut right = Removed::default();
        right.count("token", Some("result"));
        right.count("token", Some("arguments"));
        left.merge(&right);
        assert_eq!(left.items(), ["jwt:1", "token:1:arguments", "token:2:result"]);
        let mut placed = Removed::default();
        placed.merge_at("statement", &left);
        assert_eq!(placed.items(), ["jwt:1:statement", "token:3:statement"]);
        assert_eq!(left.total(), 4);
        assert!(!left.is_empty() && Removed::default().is_empty());
    }
}
