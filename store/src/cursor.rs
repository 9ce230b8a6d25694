//! Where sources have been read up to: moved by the append that brings what was read, and by nothing else.
//!
//! An append names the position that it goes on from and the one it comes to. Under the sequencer's lock the first is
//! held against what the log knows, so of two readers of one source one is refused, and a range that is sent twice is
//! recorded once. The new position is in the group of the range's entries, and in the manifest that seals them.

use std::collections::BTreeMap;

use schemas::CursorName;
use schemas::cursor::check_value;
use schemas::limits::{CURSORS_APPEND_MAX, CURSORS_LOG_MAX};

use crate::error::{Error, Result};

/// One step of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// What is read.
    pub name: CursorName,
    /// The position that this append goes on from; `None` where the log knows none.
    pub from: Option<String>,
    /// The position that it comes to; `None` forgets the cursor.
    pub to: Option<String>,
}

/// A source that a log has cursors of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Who reads it.
    pub collector: String,
    /// What is read.
    pub name: String,
    /// How many parts of it have a cursor.
    pub cursors: usize,
}

/// Cursors by name.
pub(crate) type Positions = BTreeMap<String, String>;

/// Checks the steps of one append against the positions of the log, and what it may say at all.
pub(crate) fn check(known: &Positions, steps: &[Cursor]) -> Result<()> {
    let too_many = |what, actual: usize, limit: usize| {
        Error::Refused(schemas::Error::TooLarge { what, actual: actual as u64, limit: limit as u64 })
    };
    if steps.len() > CURSORS_APPEND_MAX {
        return Err(too_many("cursors of one append", steps.len(), CURSORS_APPEND_MAX));
    }
    for (at, step) in steps.iter().enumerate() {
        let name = step.name.as_str();
        let does_not =
            |detail: &str| Error::Refused(schemas::Error::malformed("cursor", format!("{name} {detail}")));
        if step.from == step.to {
            return Err(does_not("does not advance"));
        }
        if step.to.as_deref() == Some("") {
            return Err(does_not("has an empty position"));
        }
        check_value(step.to.as_deref().unwrap_or_default())?;
        if steps.iter().take(at).any(|other| other.name == step.name) {
            return Err(does_not("is moved twice"));
        }
        let found = known.get(name);
        if found != step.from.as_ref() {
            return Err(Error::CursorMoved { name: name.to_string(), found: found.cloned() });
        }
    }
    let fresh = steps.iter().filter(|step| step.from.is_none()).count();
    let gone = steps.iter().filter(|step| step.to.is_none()).count();
    let after = known.len() + fresh - gone;
    if fresh > gone && after > CURSORS_LOG_MAX {
        return Err(too_many(
            "cursors of one log; forget those of sources that are gone",
            after,
            CURSORS_LOG_MAX,
        ));
    }
    Ok(())
}

/// Takes steps that were checked.
pub(crate) fn take(known: &mut Positions, steps: &[Cursor]) {
    for step in steps {
        put(known, step.name.as_str(), step.to.as_deref().unwrap_or_default());
    }
}

/// One position; an empty one forgets the cursor.
fn put(known: &mut Positions, name: &str, value: &str) {
    if value.is_empty() {
        known.remove(name);
    } else {
        known.insert(name.to_string(), value.to_string());
    }
}

/// The sources that these cursors are of, in the order of their names.
pub(crate) fn sources(known: &Positions) -> Vec<Source> {
    let mut found: Vec<Source> = Vec::new();
    for name in known.keys() {
        let mut parts = name.splitn(3, '/');
        let (Some(collector), Some(source)) = (parts.next(), parts.next()) else { continue };
        // The names of one source begin alike up to a slash, so that nothing stands between them.
        match found.last_mut() {
            Some(last) if last.collector == collector && last.name == source => last.cursors += 1,
            _ => {
                found.push(Source { collector: collector.to_string(), name: source.to_string(), cursors: 1 });
            }
        }
    }
    found
}

/// The cursors of a log as of its sizes: sealed, and every step since.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursors {
    sealed: Positions,
    /// End, name, value; ends do not fall.
    steps: Vec<Step>,
}

/// One durable step: with the entries below `end` the source was read up to `value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) end: u64,
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Cursors {
    /// As a manifest names them.
    pub(crate) fn of_manifest(sealed: Positions) -> Cursors {
        Cursors { sealed, steps: Vec::new() }
    }

    /// Takes a durable step in. One that is there already, or is older than one of the same cursor, is a repetition: a
    /// log that was copied forward.
    pub(crate) fn apply(&mut self, end: u64, name: &str, value: &str) {
        let mut later = self.steps.iter().rev().take_while(|step| step.end >= end);
        if later.any(|step| step.name == name) {
            return;
        }
        let place = self.steps.partition_point(|step| step.end <= end);
        self.steps.insert(place, Step { end, name: name.to_string(), value: value.to_string() });
    }

    /// The steps that no manifest names yet.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The cursors with the entries below `size`, which is not below what is sealed.
    pub(crate) fn at(&self, size: u64) -> Positions {
        let mut known = self.sealed.clone();
        for step in self.steps.iter().take_while(|step| step.end <= size) {
            put(&mut known, &step.name, &step.value);
        }
        known
    }

    /// The cursors with all that is durable.
    pub(crate) fn now(&self) -> Positions {
        self.at(u64::MAX)
    }

    /// A manifest names what is below `size` now.
    pub(crate) fn seal(&mut self, size: u64) {
        self.sealed = self.at(size);
        self.steps.retain(|step| step.end > size);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::limits::CURSOR_VALUE_BYTES_MAX;

    use super::*;

    fn step(partition: &str, from: Option<&str>, to: Option<&str>) -> Cursor {
        let name = CursorName::new("tail", "s", partition).unwrap();
        Cursor { name, from: from.map(str::to_string), to: to.map(str::to_string) }
    }

    #[test]
    fn a_step_goes_on_from_where_the_log_is() {
        let mut known = Positions::new();
        check(&known, &[step("a", None, Some("1"))]).unwrap();
        take(&mut known, &[step("a", None, Some("1"))]);
        for late in [step("a", None, Some("1")), step("a", Some("0"), Some("2"))] {
            let Err(Error::CursorMoved { found, .. }) = check(&known, &[late]) else { panic!("taken twice") };
            assert_eq!(found.as_deref(), Some("1"));
        }
        for (wrong, says) in [
            (step("a", Some("1"), Some("1")), "does not advance"),
            (step("b", None, None), "does not advance"),
            (step("a", Some("1"), Some("")), "empty"),
            (
                step("a", Some("1"), Some(&"9".repeat(CURSOR_VALUE_BYTES_MAX + 1))),
                "bytes of a cursor's value",
            ),
        ] {
            let error = check(&known, std::slice::from_ref(&wrong)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let twice = [step("a", Some("1"), Some("2")), step("a", Some("1"), Some("3"))];
        assert!(check(&known, &twice).unwrap_err().to_string().contains("moved twice"));
        take(&mut known, &[step("a", Some("1"), None)]);
        assert!(known.is_empty(), "a forgotten cursor is gone");
    }

    #[test]
    fn each_source_is_named_once_with_its_cursors() {
        let mut known = Positions::new();
        for name in ["tail/a/1", "tail/a-b/1", "tail/a/2", "tail/a.b/1", "kafka/a/t-0", "tail/a/x/y"] {
            put(&mut known, name, "1");
        }
        let found: Vec<_> = sources(&known)
            .into_iter()
            .map(|source| format!("{}/{} {}", source.collector, source.name, source.cursors))
            .collect();
        assert_eq!(found, ["kafka/a 1", "tail/a-b 1", "tail/a.b 1", "tail/a 3"]);
        put(&mut known, "kafka/a/t-0", "");
        assert_eq!(sources(&known).len(), 3, "what is forgotten is no source");
    }

    #[test]
    fn cursors_of_an_append_and_of_a_log_are_counted() {
        let many = |count: usize| -> Vec<Cursor> {
            (0..count).map(|at| step(&at.to_string(), None, Some("1"))).collect()
        };
        check(&Positions::new(), &many(CURSORS_APPEND_MAX)).unwrap();
        let error = check(&Positions::new(), &many(CURSORS_APPEND_MAX + 1)).unwrap_err();
        assert!(error.to_string().contains("cursors of one append"), "{error}");
        let mut known = Positions::new();
        take(&mut known, &many(CURSORS_LOG_MAX));
        let error = check(&known, &[step("x", None, Some("1"))]).unwrap_err();
        assert!(error.to_string().contains("cursors of one log"), "{error}");
        // A full log still moves what it has, and takes a new one for one that goes.
        check(&known, &[step("0", Some("1"), Some("2"))]).unwrap();
        check(&known, &[step("x", None, Some("1")), step("0", Some("1"), None)]).unwrap();
    }

    proptest! {
        /// Whatever is sealed when and repeated how often: the cursors as of a size are those of the last step at or
        /// below it.
        #[test]
        fn cursors_as_of_a_size_are_those_of_its_steps(
            moves in proptest::collection::vec((0u8..3, 1u64..5, any::<bool>()), 1..40),
            seals in proptest::collection::vec(0u64..200, 0..6),
            repeat_from in 0usize..40,
        ) {
            let mut end = 0;
            let mut steps = Vec::new();
            for (at, (partition, rows, forgets)) in moves.iter().enumerate() {
                end += rows;
                steps.push((end, format!("tail/s/{partition}"), if *forgets { String::new() } else { at.to_string() }));
            }
            let model = |size: u64| {
                let mut known = Positions::new();
                for (_, name, value) in steps.iter().filter(|(end, ..)| *end <= size) {
                    put(&mut known, name, value);
                }
                known
            };
            let mut cursors = Cursors::default();
            steps.iter().for_each(|(end, name, value)| cursors.apply(*end, name, value));
            let mut sealed = 0;
            for seal in &seals {
                sealed = sealed.max(*seal % (end + 1));
                cursors.seal(sealed);
                // What a log copied forward says again.
                for (end, name, value) in steps.iter().skip(repeat_from).filter(|(end, ..)| *end > sealed) {
                    cursors.apply(*end, name, value);
                }
                prop_assert_eq!(cursors.at(sealed), model(sealed));
                for size in sealed..=end {
                    prop_assert_eq!(cursors.at(size), model(size));
                }
                let reopened = Cursors::of_manifest(cursors.at(sealed));
                prop_assert_eq!(reopened.now(), model(sealed));
            }
            prop_assert_eq!(cursors.now(), model(end));
        }
    }
}
