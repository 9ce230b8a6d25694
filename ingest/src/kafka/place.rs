//! Where a partition has been read up to, and by which records it is known: what the log keeps of it.
//!
//! The cursor's value is `<next>` and then, newest first, ` <offset>:<digest>` for each mark: a record that was read. An
//! offset alone does not say of which log it is: after an election of a replica that was behind, or where a topic was made
//! anew, it stands for another record. Marks thin out with their age, so that a log whose end was replaced is gone on with
//! near where it was; the oldest is the first record that was ever read. Recorders before them wrote `<next>` alone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemas::limits::{CURSOR_VALUE_BYTES_MAX, KAFKA_MARKS_MAX};
use serde_json::json;

/// Bytes of a digest.
const DIGEST_BYTES: usize = 16;
const _: () = assert!(20 + KAFKA_MARKS_MAX * (2 + 20 + 2 * DIGEST_BYTES) <= CURSOR_VALUE_BYTES_MAX);

/// What a record is known by: its key, value and time.
pub(super) type Digest = [u8; DIGEST_BYTES];

/// Of a record's parts.
pub(super) fn digest(key: Option<&[u8]>, payload: Option<&[u8]>, timestamp_ms: Option<i64>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for part in [key, payload, timestamp_ms.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice)] {
        // What is absent is not what is empty.
        let bytes = part.map_or(u64::MAX, |part| part.len() as u64);
        hasher.update(&bytes.to_be_bytes()).update(part.unwrap_or_default());
    }
    let mut digest = Digest::default();
    hasher.finalize_xof().fill(&mut digest);
    digest
}

/// In hexadecimal digits.
pub(super) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: i64,
    pub(super) digest: Digest,
}

/// How far a partition has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The offset that is read next.
    pub(super) next: i64,
    /// Newest first.
    pub(super) marks: Vec<Mark>,
}

/// What there is of a partition now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The first offset, and the one behind the last.
    pub(super) bounds: (i64, i64),
    /// What has the offset of a mark now; none where nothing has, which compaction may explain.
    pub(super) marks: BTreeMap<i64, Option<Digest>>,
}

/// Where a partition goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) place: Place,
    /// What is to be told of it.
    pub(super) told: Option<(&'static str, serde_json::Value)>,
}

impl Place {
    /// At an offset of which nothing is known.
    pub(super) fn at(next: i64) -> Place {
        Place { next, marks: Vec::new() }
    }

    /// Behind a batch of records, `first` to `last`. The first record that is ever read is marked too: a log that is cut off
    /// within the first batch is known by it.
    pub(super) fn behind_batch(&self, first: Mark, last: Mark) -> Place {
        if self.marks.is_empty() { self.behind(first).behind(last) } else { self.behind(last) }
    }

    /// Behind the record `last`.
    pub(super) fn behind(&self, last: Mark) -> Place {
        let older = self.marks.iter().filter(|mark| mark.offset < last.offset);
        let mut marks: Vec<Mark> = std::iter::once(last).chain(older.copied()).collect();
        while marks.len() > KAFKA_MARKS_MAX {
            // The one goes that leaves the smallest hole for its age; the first and the newest stay.
            let offset = |at: usize| i128::from(marks.get(at).map_or(0, |mark| mark.offset));
            let hole = |at: usize| (offset(at - 1) - offset(at + 1), 1 + offset(0) - offset(at));
            let smaller = |one: &usize, other: &usize| {
                let ((one, age), (other, other_age)) = (hole(*one), hole(*other));
                (one * other_age).cmp(&(other * age))
            };
            let Some(goes) = (1..marks.len() - 1).min_by(smaller) else { break };
            marks.remove(goes);
        }
        Place { next: last.offset.saturating_add(1), marks }
    }

    /// The marks that a partition of these bounds can still have.
    pub(super) fn marks_within(&self, (low, high): (i64, i64)) -> impl Iterator<Item = &Mark> {
        self.marks.iter().filter(move |mark| (low..high).contains(&mark.offset))
    }

    /// Where reading goes on in what was found: behind what is known to be recorded, and from the start only where all that
    /// is known of the partition is another.
    pub(super) fn judge(&self, found: &Found) -> Judged {
        let (low, high) = found.bounds;
        let is_same = |mark: &&Mark| found.marks.get(&mark.offset) == Some(&Some(mark.digest));
        let is_other = |mark: &Mark| {
            found.marks.get(&mark.offset).is_some_and(|now| now.is_some_and(|now| now != mark.digest))
        };
        let within: Vec<&Mark> = self.marks_within(found.bounds).collect();
        let same = within.iter().copied().find(is_same);
        let has_other = within.iter().any(|mark| is_other(mark));
        let is_shorter = high < self.next;
        if !is_shorter && !has_other {
            return self.behind_retention(low);
        }
        let told = |what: &'static str, place: Place| {
            let more = json!({ "status": "error", "expected": self.next, "found": place.next, "end": high });
            Judged { told: Some((what, more)), place }
        };
        if let Some(same) = same {
            // Up to here it is the log that was read. What comes next may have been read before or be new: it is read again,
            // and its ids tell what is on record.
            let marks = self.marks.iter().filter(|mark| mark.offset <= same.offset).copied().collect();
            return told("truncated", Place { next: same.offset.saturating_add(1), marks });
        }
        let begins_above = self.marks.last().is_some_and(|first| first.offset >= high);
        if has_other || begins_above {
            return told("began_anew", Place::at(low));
        }
        // Nothing is known of what is there but that it is shorter.
        told("truncated", Place { next: high, marks: self.marks_within(found.bounds).copied().collect() })
    }

    /// The same partition; what retention removed before it was read is told.
    fn behind_retention(&self, low: i64) -> Judged {
        if low <= self.next {
            return Judged { place: self.clone(), told: None };
        }
        let missing = low.saturating_sub(self.next);
        let more = json!({ "status": "error", "expected": self.next, "found": low, "missing": missing });
        Judged { place: Place { next: low, marks: self.marks.clone() }, told: Some(("gap", more)) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.next)?;
        self.marks.iter().try_for_each(|mark| write!(f, " {}:{}", mark.offset, hex(&mark.digest)))
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Place, ()> {
        let mut words = text.split(' ');
        let next = words.next().and_then(|word| word.parse().ok()).ok_or(())?;
        let marks = words.map(str::parse).collect::<Result<Vec<Mark>, ()>>()?;
        let falls = marks.iter().zip(marks.iter().skip(1)).all(|(newer, older)| newer.offset > older.offset);
        let is_behind = marks.first().is_none_or(|newest| newest.offset < next);
        if falls && is_behind { Ok(Place { next, marks }) } else { Err(()) }
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Mark, ()> {
        let (offset, digits) = text.split_once(':').ok_or(())?;
        if digits.len() != 2 * DIGEST_BYTES || !digits.is_ascii() {
            return Err(());
        }
        let mut digest = Digest::default();
        for (at, byte) in digest.iter_mut().enumerate() {
            let pair = digits.get(at * 2..at * 2 + 2).ok_or(())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ())?;
        }
        Ok(Mark { offset: offset.parse().map_err(|_| ())?, digest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The record at an offset of one of two logs that are the same up to `split`.
    fn mark(offset: i64, log: u8, split: i64) -> Mark {
        let log = if offset < split { 0 } else { log };
        Mark { offset, digest: digest(None, Some(&[log]), Some(offset)) }
    }

    /// Read to `next`, in batches of `step`.
    fn read(from: i64, next: i64, step: i64) -> Place {
        let mut place = Place::at(from);
        while place.next < next {
            let last = (place.next + step).min(next) - 1;
            place = place.behind_batch(mark(place.next, 0, 0), mark(last, 0, 0));
        }
        place
    }

    /// What is there of a log that is another from `split` on.
    fn found(place: &Place, bounds: (i64, i64), split: i64) -> Found {
        let marks = place.marks_within(bounds);
        let marks = marks.map(|of| (of.offset, Some(mark(of.offset, 1, split).digest))).collect();
        Found { bounds, marks }
    }

    fn told(judged: &Judged) -> &'static str {
        judged.told.as_ref().map_or("", |(what, _)| what)
    }

    #[test]
    fn a_partition_goes_on_where_it_was() {
        let place = read(0, 1000, 10);
        let judged = place.judge(&found(&place, (0, 1200), 9999));
        assert_eq!((judged.place, judged.told), (place.clone(), None));
        // Retention or compaction removed what it was known by.
        for bounds in [(0, 1200), (1000, 1200), (1000, 1000)] {
            let marks = place.marks_within(bounds).map(|mark| (mark.offset, None)).collect();
            let judged = place.judge(&Found { bounds, marks });
            assert_eq!((judged.place, judged.told), (place.clone(), None), "{bounds:?}");
        }
        let judged = place.judge(&found(&place, (1100, 1200), 9999));
        assert_eq!((judged.place.next, told(&judged)), (1100, "gap"));
        assert_eq!(judged.told.unwrap().1["missing"], 100);
    }

    #[test]
    fn what_a_log_lost_is_told_and_what_is_recorded_is_not_read_from_the_start() {
        let place = read(0, 100_000, 100);
        // An election of a replica that was behind: shorter, or refilled past where we were.
        for end in [99_990, 99_950, 100_000, 100_500] {
            let judged = place.judge(&found(&place, (0, end), 99_950));
            assert_eq!(told(&judged), "truncated", "{end}");
            let next = judged.place.next;
            assert!((99_600..=99_950).contains(&next), "{next}: behind what is known, near where it was");
            assert!(judged.place.marks.iter().all(|mark| mark.offset < next));
        }
        // Of an older recorder's cursor only the offset is known.
        let judged = Place::at(100).judge(&Found { bounds: (0, 90), ..Found::default() });
        assert_eq!((judged.place.clone(), told(&judged)), (Place::at(90), "truncated"));
        let judged = Place::at(100).judge(&Found { bounds: (0, 100), ..Found::default() });
        assert_eq!((judged.place.clone(), told(&judged)), (Place::at(100), ""));
    }

    #[test]
    fn a_log_that_is_cut_off_within_the_first_batch_is_the_same_log() {
        let place = Place::at(0).behind_batch(mark(0, 0, 0), mark(1999, 0, 0));
        for (end, split) in [(1498, 1498), (2500, 1498), (1, 1)] {
            let judged = place.judge(&found(&place, (0, end), split));
            assert_eq!((judged.place.next, told(&judged)), (1, "truncated"), "{end}");
        }
        let of_one = Place::at(0).behind_batch(mark(0, 0, 0), mark(0, 0, 0));
        assert_eq!((of_one.next, of_one.marks.len()), (1, 1));
    }

    #[test]
    fn a_topic_that_was_made_anew_is_read_from_its_start() {
        let place = read(0, 1000, 10);
        for end in [11, 500, 1000, 5000] {
            let judged = place.judge(&found(&place, (0, end), 0));
            assert_eq!((judged.place.clone(), told(&judged)), (Place::at(0), "began_anew"), "{end}");
        }
        // It ends before the first record that was ever read.
        let judged = place.judge(&found(&place, (0, 5), 0));
        assert_eq!((judged.place.clone(), told(&judged)), (Place::at(0), "began_anew"));
    }

    #[test]
    fn records_are_told_apart_by_all_that_they_have() {
        let some = [Some(b"k".as_slice()), None, Some(b"".as_slice())];
        let mut all = Vec::new();
        for key in some {
            for payload in some {
                for timestamp in [None, Some(0), Some(1)] {
                    all.push(digest(key, payload, timestamp));
                }
            }
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    proptest! {
        #[test]
        fn a_place_is_read_as_it_was_written(steps in proptest::collection::vec(1i64..1 << 40, 0..60), from: u32) {
            let mut place = Place::at(i64::from(from));
            for step in steps {
                place = place.behind(mark(place.next + step, 0, 0));
                let text = place.to_string();
                schemas::cursor::check_value(&text).unwrap();
                prop_assert_eq!(text.parse(), Ok(place.clone()));
                prop_assert!(place.marks.len() <= KAFKA_MARKS_MAX);
            }
        }

        /// Wherever a log was cut and whatever came then: nothing of what is new is passed over, and how much is read again
        /// is in proportion to what was cut off.
        #[test]
        fn nothing_new_is_passed_over(
            next in 1i64..100_000, step in 1i64..500, lost in 0i64..5_000, refilled in 0i64..10_000
        ) {
            let place = read(0, next, step);
            let split = (next - lost).max(0);
            let judged = place.judge(&found(&place, (0, split + refilled), split));
            prop_assert!(judged.place.next <= split, "{} {}", judged.place.next, split);
            prop_assert!(split - judged.place.next <= 20 * (lost + step) || judged.place.next == 0);
        }

        #[test]
        fn anything_else_is_no_place(text in "[0-9a-f: ]{0,80}") {
            if let Ok(place) = text.parse::<Place>() {
                prop_assert_eq!(place.to_string().parse(), Ok(place));
            }
        }
    }
}
