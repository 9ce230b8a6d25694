//! Pieces of one side to messages, one a line; what is missed is counted.

use schemas::limits::TAP_MESSAGE_BYTES_MAX;

use crate::watch::Gap;

/// What one side has sent of the line that is not yet whole.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    state: State,
    /// Messages that were missed or too long.
    pub missed: Missed,
}

/// What of a side was not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// Messages that passed while the observer was behind.
    pub unobserved: u64,
    /// Messages longer than the limit.
    pub too_long: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Reading,
    /// The rest of the line belongs to a message that is counted already.
    Skipping,
}

impl Lines {
    /// Gives each line that `bytes` completes to `line`, without its end.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            let (head, tail) = bytes.split_at(at);
            self.end_line(head, &mut line);
            bytes = tail.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
    }

    fn end_line(&mut self, head: &[u8], line: &mut impl FnMut(&[u8])) {
        if self.partial.is_empty() && self.state == State::Reading {
            if head.len() > TAP_MESSAGE_BYTES_MAX {
                self.missed.too_long += 1;
            } else if !head.trim_ascii().is_empty() {
                line(head);
            }
            return;
        }
        self.keep(head);
        if self.state == State::Reading && !self.partial.trim_ascii().is_empty() {
            line(&self.partial);
        }
        self.state = State::Reading;
        // A long message leaves no large buffer behind.
        self.partial = Vec::new();
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.state == State::Skipping {
            return;
        }
        if self.partial.len() + bytes.len() > TAP_MESSAGE_BYTES_MAX {
            self.missed.too_long += 1;
            self.state = State::Skipping;
            self.partial = Vec::new();
            return;
        }
        self.partial.extend_from_slice(bytes);
    }

    /// Counts the messages of which a part is missing: those that end in the gap, and the one that it breaks off in.
    pub fn gap(&mut self, gap: Gap) {
        // The line that was being skipped is counted already.
        let counted = u64::from(self.state == State::Skipping);
        let open = u64::from(!gap.ends_line);
        self.missed.unobserved += (gap.lines + open).saturating_sub(counted);
        self.partial = Vec::new();
        self.state = if gap.ends_line { State::Reading } else { State::Skipping };
    }

    /// Gives the last line, if it has no end.
    pub fn end(&mut self, mut line: impl FnMut(&[u8])) {
        if self.state == State::Reading && !self.partial.trim_ascii().is_empty() {
            line(&self.partial);
        }
        self.partial = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &mut Lines, pieces: &[&[u8]]) -> Vec<String> {
        let mut all = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| all.push(String::from_utf8(line.to_vec()).unwrap()));
        }
        all
    }

    #[test]
    fn lines_are_whole_however_they_are_cut() {
        let text = b"one\ntwo\r\n\n \nthree\nfour";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            let mut all = read(&mut lines, &pieces);
            lines.end(|line| all.push(String::from_utf8(line.to_vec()).unwrap()));
            assert_eq!(all, ["one", "two\r", "three", "four"], "{size}");
        }
    }

    #[test]
    fn a_gap_counts_every_message_that_it_touches_once() {
        // A stream of ten lines; every possible gap in it, however the rest is cut.
        let text: Vec<u8> = (0..10).flat_map(|n| format!("m{n}\n").into_bytes()).collect();
        for from in 0..text.len() {
            for to in from + 1..=text.len() {
                let mut lines = Lines::default();
                let mut whole = read(&mut lines, &[&text[..from]]).len() as u64;
                let gap = &text[from..to];
                let ended = gap.iter().filter(|byte| **byte == b'\n').count() as u64;
                lines.gap(Gap { bytes: gap.len() as u64, lines: ended, ends_line: gap.ends_with(b"\n") });
                whole += read(&mut lines, &[&text[to..]]).len() as u64;
                assert_eq!(whole + lines.missed.unobserved, 10, "{from}..{to}");
            }
        }
    }

    #[test]
    fn a_message_over_the_limit_is_counted_and_the_next_is_read() {
        let long = vec![b'x'; TAP_MESSAGE_BYTES_MAX + 1];
        let mut lines = Lines::default();
        let pieces: Vec<&[u8]> = long.chunks(1 << 16).chain([&b"\nnext\n"[..]]).collect();
        assert_eq!(read(&mut lines, &pieces), ["next"]);
        assert_eq!(lines.missed, Missed { unobserved: 0, too_long: 1 });
        let at_limit = [&long[1..], b"\n"].concat();
        assert_eq!(read(&mut lines, &[&at_limit]).len(), 1);
        let mut lines = Lines::default();
        assert_eq!(read(&mut lines, &[&[&long[..], b"\n"].concat()]).len(), 0);
        assert_eq!(lines.missed.too_long, 1);
    }
}
