//! Lines of a growing file from an offset on. A line counts once its end is there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use schemas::limits::{PULL_BATCH_BYTES, PULL_BATCH_PARTS_MAX};

use crate::parse::Parts;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Lines that are not blank.
    pub(super) parts: Parts,
    /// Where each of them begins in the file.
    pub(super) starts: Vec<u64>,
    /// Where lines begin that are longer than the limit.
    pub(super) too_long: Vec<u64>,
    /// Where the next line begins.
    pub(super) end: u64,
    /// Whether the file ends here but for an unfinished line.
    pub(super) is_at_end: bool,
}

/// Reads lines; knows how far it has looked for the end of one that is too long.
#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    line_bytes_max: usize,
    /// A line that is too long begins at the first, and has no end before the second.
    searched: Option<(u64, u64)>,
}

impl Reader {
    pub(super) fn new(line_bytes_max: usize) -> Reader {
        Reader { line_bytes_max, searched: None }
    }

    /// The lines from `offset` on, as many as one batch takes. With `is_final` the file grows no more, and what is left
    /// at its end is a line.
    pub(super) fn read(&mut self, file: &File, offset: u64, is_final: bool) -> io::Result<Lines> {
        let mut lines = Lines { end: offset, ..Lines::default() };
        if let Some((start, searched)) = self.searched.filter(|(start, _)| *start == offset) {
            return self.search(file, start, searched, is_final, lines);
        }
        self.searched = None;
        let mut buffer = vec![0; PULL_BATCH_BYTES.max(self.line_bytes_max + 1)];
        let filled = fill(file, &mut buffer, offset)?;
        let is_whole = filled < buffer.len();
        let bytes = buffer.get(..filled).unwrap_or_default();
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            if lines.is_full() {
                return Ok(lines);
            }
            let (line, after) = rest.split_at(at);
            self.take(line, &mut lines);
            lines.end += 1;
            rest = after.get(1..).unwrap_or_default();
        }
        if rest.len() > self.line_bytes_max {
            let start = lines.end;
            // What came before it is recorded first, so that the search begins where a batch does.
            if start > offset {
                return Ok(lines);
            }
            return self.search(file, start, start + rest.len() as u64, is_final, lines);
        }
        lines.is_at_end = is_whole;
        if is_final && is_whole && !rest.is_empty() {
            self.take(rest, &mut lines);
        }
        Ok(lines)
    }

    fn take(&self, line: &[u8], lines: &mut Lines) {
        let start = lines.end;
        lines.end += line.len() as u64;
        if line.len() > self.line_bytes_max {
            lines.too_long.push(start);
        } else if !line.trim_ascii().is_empty() {
            lines.parts.push(line);
            lines.starts.push(start);
        }
    }

    /// Looks for the end of a line that is too long, without keeping it.
    fn search(
        &mut self,
        file: &File,
        start: u64,
        mut searched: u64,
        is_final: bool,
        mut lines: Lines,
    ) -> io::Result<Lines> {
        let mut buffer = vec![0; PULL_BATCH_BYTES];
        loop {
            let filled = fill(file, &mut buffer, searched)?;
            let found = buffer.iter().take(filled).position(|byte| *byte == b'\n');
            if let Some(at) = found {
                lines.end = searched + at as u64 + 1;
            } else if filled == 0 && is_final {
                lines.end = searched;
            } else if filled > 0 {
                searched += filled as u64;
                continue;
            } else {
                self.searched = Some((start, searched));
                lines.is_at_end = true;
                return Ok(lines);
            }
            self.searched = None;
            lines.too_long.push(start);
            return Ok(lines);
        }
    }
}

impl Lines {
    fn is_full(&self) -> bool {
        self.parts.bytes.len() >= PULL_BATCH_BYTES
            || self.starts.len() + self.too_long.len() >= PULL_BATCH_PARTS_MAX
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn text(lines: &Lines) -> Vec<String> {
        (0..lines.starts.len()).map(|at| String::from_utf8(lines.parts.get(at).to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_line_counts_once_its_end_is_there() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one\n\n  \r\ntw").unwrap();
        let mut reader = Reader::new(100);
        let lines = reader.read(&file, 0, false).unwrap();
        assert_eq!((text(&lines), lines.starts.clone(), lines.end), (vec!["one".to_string()], vec![0], 9));
        assert!(lines.is_at_end);
        file.write_all(b"o\nthree").unwrap();
        let lines = reader.read(&file, lines.end, false).unwrap();
        assert_eq!((text(&lines), lines.end), (vec!["two".to_string()], 13));
        let lines = reader.read(&file, lines.end, true).unwrap();
        assert_eq!((text(&lines), lines.starts[0], lines.end), (vec!["three".to_string()], 13, 18));
    }

    #[test]
    fn a_line_over_the_limit_is_passed_over_and_told() {
        let mut file = tempfile::tempfile().unwrap();
        let mut reader = Reader::new(10);
        file.write_all(b"0123456789\n0123456789a\nshort\n").unwrap();
        let lines = reader.read(&file, 0, false).unwrap();
        assert_eq!(
            (text(&lines), lines.too_long.clone(), lines.end),
            (vec!["0123456789".into(), "short".into()], vec![11], 29)
        );
        // One without an end yet, longer than what is read at once.
        let start = lines.end;
        file.write_all(&vec![b'x'; PULL_BATCH_BYTES * 2 + 5]).unwrap();
        for _ in 0..2 {
            let lines = reader.read(&file, start, false).unwrap();
            assert!(lines.is_at_end && lines.too_long.is_empty() && lines.end == start);
        }
        file.write_all(b"x\nlast\n").unwrap();
        let lines = reader.read(&file, start, false).unwrap();
        let next = start + PULL_BATCH_BYTES as u64 * 2 + 7;
        assert_eq!((lines.too_long.clone(), lines.end), (vec![start], next));
        assert_eq!(text(&reader.read(&file, next, false).unwrap()), ["last"]);
    }

    #[test]
    fn a_batch_ends_and_the_next_goes_on() {
        let mut file = tempfile::tempfile().unwrap();
        let count = PULL_BATCH_PARTS_MAX + 7;
        for at in 0..count {
            writeln!(file, "{at}").unwrap();
        }
        let mut reader = Reader::new(100);
        let lines = reader.read(&file, 0, false).unwrap();
        assert_eq!(lines.starts.len(), PULL_BATCH_PARTS_MAX);
        assert!(!lines.is_at_end);
        let rest = reader.read(&file, lines.end, false).unwrap();
        assert_eq!(text(&rest).first(), Some(&PULL_BATCH_PARTS_MAX.to_string()));
        assert_eq!(rest.starts.len(), 7);
    }

    proptest! {
        /// However the file grows: the same lines, each once, as when it is read at once.
        #[test]
        fn lines_do_not_depend_on_when_they_were_written(
            text_of in "[a-c\\n ]{0,200}", cuts in proptest::collection::vec(0usize..200, 0..6)
        ) {
            let bytes = text_of.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([bytes.len()]).collect();
            cuts.sort_unstable();
            let mut file = tempfile::tempfile().unwrap();
            let mut reader = Reader::new(8);
            let (mut written, mut offset) = (0, 0);
            let (mut found, mut long) = (Vec::new(), 0);
            for cut in cuts {
                file.write_all(&bytes[written..cut]).unwrap();
                written = cut;
                loop {
                    let lines = reader.read(&file, offset, false).unwrap();
                    found.extend(text(&lines));
                    long += lines.too_long.len();
                    if lines.end == offset { break; }
                    offset = lines.end;
                }
            }
            loop {
                let lines = reader.read(&file, offset, true).unwrap();
                found.extend(text(&lines));
                long += lines.too_long.len();
                if lines.end == offset { break; }
                offset = lines.end;
            }
            let all: Vec<&str> = text_of.split('\n').collect();
            let expected: Vec<String> =
                all.iter().filter(|line| line.len() <= 8 && !line.trim().is_empty()).map(ToString::to_string).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(long, all.iter().filter(|line| line.len() > 8).count());
        }
    }
}
