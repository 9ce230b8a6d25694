//! What rules ask of an event, each question once: many rules ask for the same, and an answer stands for all of them.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::column::{Fields, Value};
use crate::matcher::Item;

/// An answer that is not there yet, and the two that there are.
const UNKNOWN: u8 = 0;
const YES: u8 = 1;
const NO: u8 = 2;

/// The distinct questions of a set of rules, by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Questions {
    items: Vec<Item>,
    /// By the hash of what they are, written out: an expression has no other identity.
    numbers: BTreeMap<[u8; 32], usize>,
}

/// Answers to all of them, or none yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers(Vec<u8>);

/// One event under question. Questions are asked when a rule comes to them, and then no more.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    questions: &'a Questions,
    event: &'a dyn Fields,
    answers: &'a [Cell<u8>],
}

impl Questions {
    /// The number of a question.
    pub fn number(&mut self, item: Item) -> usize {
        let next = self.items.len();
        let written = blake3::hash(format!("{item:?}").as_bytes());
        let number = *self.numbers.entry(*written.as_bytes()).or_insert(next);
        if number == next {
            self.items.push(item);
        }
        number
    }

    /// What is known of an event of that kind, in lower case, before anything is asked.
    pub fn of_kind(&self, kind: &str) -> Answers {
        let kind = Value::Text(kind);
        let answer = |item: &Item| match item.answer("kind", &kind) {
            None => UNKNOWN,
            Some(true) => YES,
            Some(false) => NO,
        };
        Answers(self.items.iter().map(answer).collect())
    }

    /// What is known of an event of which nothing is.
    pub fn unanswered(&self) -> Answers {
        Answers(vec![UNKNOWN; self.items.len()])
    }
}

impl Answers {
    /// Calls `then` with an event of which this is known.
    pub fn of<T>(&self, questions: &Questions, event: &dyn Fields, then: impl FnOnce(&Asked<'_>) -> T) -> T {
        let mut answers = self.0.clone();
        let answers = Cell::from_mut(answers.as_mut_slice()).as_slice_of_cells();
        then(&Asked { questions, event, answers })
    }
}

impl Asked<'_> {
    pub fn holds(&self, number: usize) -> bool {
        let (Some(item), Some(answer)) = (self.questions.items.get(number), self.answers.get(number)) else {
            return false;
        };
        match answer.get() {
            YES => true,
            NO => false,
            _ => {
                let holds = item.matches(self.event);
                answer.set(if holds { YES } else { NO });
                holds
            }
        }
    }
}
