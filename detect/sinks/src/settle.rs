//! What fates make of a batch: how far the cursor goes, who is buried, what waits. Pure.

use std::time::Duration;

use crate::message::Message;
use crate::transport::Fate;

/// Messages on their way, and the entries between them that are none of the sink's.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// The cursor before it.
    pub from: u64,
    /// The cursor once all of it is settled.
    pub until: u64,
    /// In the order of the log; indices within `from..until`.
    pub messages: Vec<Message>,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Everything below it is settled now.
    pub next: u64,
    /// Messages that the other side has.
    pub taken: usize,
    /// Messages that it will not take: the range that each ends, and why.
    pub refused: Vec<(u64, u64, String)>,
    /// What the first that waits is told.
    pub waits: Option<Waits>,
}

/// Why the message at the head waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Its index in the log.
    pub index: u64,
    /// As [`Fate::Later`].
    pub reason: String,
    /// As [`Fate::Later`].
    pub answered: bool,
    /// As [`Fate::Later`].
    pub wait: Option<Duration>,
}

/// Goes through the fates in order up to the first that is [`Fate::Later`], or to where they end.
pub(crate) fn settle(batch: &Batch, fates: Vec<Fate>) -> Settled {
    let mut settled = Settled { next: batch.from, taken: 0, refused: Vec::new(), waits: None };
    let mut fates = fates.into_iter();
    for message in &batch.messages {
        let end = message.log_index.saturating_add(1);
        match fates.next() {
            Some(Fate::Taken) => settled.taken += 1,
            Some(Fate::Refused(reason)) => settled.refused.push((settled.next, end, reason)),
            Some(Fate::Later { reason, answered, wait }) => {
                settled.waits = Some(Waits { index: message.log_index, reason, answered, wait });
                return settled;
            }
            // The rest was not tried. A transport that tries nothing at all is away, or it would be asked for ever.
            None if settled.next > batch.from => return settled,
            None => {
                let reason = "the transport tried nothing".to_owned();
                settled.waits = Some(Waits { index: message.log_index, reason, answered: false, wait: None });
                return settled;
            }
        }
        settled.next = end;
    }
    settled.next = batch.until;
    settled
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::message::Importance;

    fn message(log_index: u64) -> Message {
        Message {
            id: format!("a-{log_index}"),
            tenant: "acme".to_owned(),
            log: "i/acme/alerts/w1".to_owned(),
            log_index,
            time_us: 0,
            importance: Importance::Low,
            kind: "alert",
            key: "a".to_owned(),
            content_type: "application/json",
            body: Bytes::from_static(b"{}"),
        }
    }

    fn later() -> Fate {
        Fate::away("down")
    }

    #[test]
    fn the_cursor_stops_before_the_first_that_waits() {
        let batch = Batch { from: 10, until: 30, messages: [12, 15, 20].map(message).to_vec() };
        let settled = |fates: &[Fate]| settle(&batch, fates.to_vec());
        assert_eq!(settled(&[Fate::Taken, Fate::Taken, Fate::Taken]).next, 30);
        let stopped = settled(&[Fate::Taken, later(), Fate::Taken]);
        assert_eq!((stopped.next, stopped.taken, stopped.waits.map(|waits| waits.index)), (13, 1, Some(15)));
        let refused = settled(&[Fate::Refused("a".to_owned()), Fate::Taken, Fate::Refused("b".to_owned())]);
        assert_eq!(refused.refused, [(10, 13, "a".to_owned()), (16, 21, "b".to_owned())]);
        assert_eq!((refused.next, refused.taken), (30, 1));
        let short = settled(&[Fate::Taken]);
        assert_eq!((short.next, short.waits), (13, None));
        let nothing = settled(&[]);
        assert_eq!((nothing.next, nothing.waits.map(|waits| waits.answered)), (10, Some(false)));
        let empty = Batch { messages: Vec::new(), ..batch };
        assert_eq!(settle(&empty, Vec::new()).next, 30);
    }

    proptest! {
        #[test]
        fn nothing_passes_that_was_neither_taken_nor_buried(
            gaps in proptest::collection::vec(0u64..5, 0..20),
            kinds in proptest::collection::vec(0u8..4, 0..24),
            tail in 0u64..5,
        ) {
            let mut index = 100;
            let messages: Vec<Message> = gaps.iter().map(|gap| { index += gap + 1; message(index) }).collect();
            let batch = Batch { from: 100, until: index + 1 + tail, messages };
            let fates: Vec<Fate> = kinds.iter().map(|kind| match kind {
                0 | 1 => Fate::Taken,
                2 => Fate::Refused("no".to_owned()),
                _ => later(),
            }).collect();
            let settled = settle(&batch, fates.clone());
            let below = batch.messages.iter().take_while(|message| message.log_index < settled.next).count();
            prop_assert_eq!(below, settled.taken + settled.refused.len());
            let waiting = fates.iter().take(below).filter(|fate| matches!(fate, Fate::Later { .. })).count();
            prop_assert_eq!(waiting, 0);
            for (at, (first, end, _)) in settled.refused.iter().enumerate() {
                let inside: Vec<u64> = batch.messages.iter().map(|message| message.log_index).filter(|index| (*first..*end).contains(index)).collect();
                prop_assert_eq!(inside, vec![end - 1]);
                prop_assert!(at == 0 || settled.refused[at - 1].1 <= *first);
            }
            prop_assert_eq!(settled.next == batch.until, below == batch.messages.len());
        }
    }
}
