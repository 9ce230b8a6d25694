//! Parts of a source that is read piece by piece: lines of a file, records of a topic. Each is a body of its own, so what
//! is broken in one does not reach into the next.

use std::ops::Range;

use schemas::limits::BODY_VALUES_MAX;
use store::Draft;

use super::{Context, Parser, ROW_BYTES};
use crate::body::{Piece, Splitter};
use crate::draft::Drafter;
use crate::error::Error;
use crate::line;
use crate::mapping::Mapping;
use crate::normalise::Reader;
use crate::rejected::{Code, Refusal};
use crate::scan::Scanner;

/// Bytes, and where the parts lie in them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ranges: Vec<Range<usize>>,
    /// What the first value of each part is known by where it has no id of its own; none where parts are not known.
    ids: Vec<String>,
}

impl Parts {
    /// Appends a part.
    pub(crate) fn push(&mut self, part: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        self.ranges.push(start..self.bytes.len());
    }

    /// Appends a part that can be told again; all of them or none are pushed so.
    #[cfg(feature = "kafka")]
    pub(crate) fn push_known(&mut self, part: &[u8], id: String) {
        self.push(part);
        self.ids.push(id);
    }

    /// The part at `at`; empty for none.
    pub(crate) fn get(&self, at: usize) -> &[u8] {
        self.ranges.get(at).and_then(|range| self.bytes.get(range.clone())).unwrap_or_default()
    }
}

/// A value of a part that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Which part.
    pub(crate) part: usize,
    pub(crate) code: Code,
    /// For people; what it quotes is redacted and short.
    pub(crate) detail: String,
}

/// What parts held.
#[derive(Debug)]
pub(crate) struct ParsedParts {
    /// The rows, if there is any.
    pub(crate) draft: Option<Draft>,
    /// Every value that was not taken.
    pub(crate) refused: Vec<Refused>,
    /// How many events there were, good or bad.
    pub(crate) received: u64,
}

/// Parses all parts into one draft; behind them come canonical events of the recorder's own, numbered like parts, which are
/// not counted as received.
///
/// # Errors
/// [`Error::Draft`] for a defect of this crate.
pub(crate) fn parse_parts(
    parts: &Parts,
    own: &[String],
    context: &Context<'_>,
) -> Result<ParsedParts, Error> {
    let canonical = Context { mapping: Some(Mapping::Canonical), ..*context };
    let mut parser = Parser {
        context,
        drafter: Drafter::new(context, (parts.bytes.len() / ROW_BYTES).min(BODY_VALUES_MAX)),
        reader: Reader::default(),
        rescanner: Scanner::default(),
        part_bytes: 0,
        more: 0,
        noted: None,
    };
    let mut refused = Vec::new();
    let mut position = 0;
    for part in 0..parts.ranges.len() {
        parser.part((parts.get(part), parts.ids.get(part)), part, &mut position, &mut refused)?;
    }
    let received = position as u64 + parser.more;
    parser.context = &canonical;
    let mut random = blake3::Hasher::new_keyed(&context.seed).update(b"ids of notices").finalize_xof();
    for (part, event) in (parts.ranges.len()..).zip(own) {
        // The last part's id is not theirs.
        let mut id = [0; 16];
        random.fill(&mut id);
        let id =
            (!parts.ids.is_empty()).then(|| uuid::Builder::from_random_bytes(id).into_uuid().to_string());
        parser.part((event.as_bytes(), id.as_ref()), part, &mut position, &mut refused)?;
    }
    Ok(ParsedParts { draft: parser.drafter.finish()?, refused, received })
}

impl Parser<'_> {
    fn part(
        &mut self,
        (bytes, id): (&[u8], Option<&String>),
        part: usize,
        position: &mut usize,
        refused: &mut Vec<Refused>,
    ) -> Result<(), Error> {
        let mut scanner = Scanner::default();
        let mut splitter = Splitter::new(bytes, 1);
        let mut values = 0;
        while let Some(piece) = splitter.next(&mut scanner) {
            if let Some(id) = id {
                self.drafter.know(if values == 0 { id.clone() } else { format!("{id}.{values}") });
            }
            let outcome = match piece {
                _ if values == BODY_VALUES_MAX => {
                    let detail =
                        format!("more than {BODY_VALUES_MAX} values: those after them are not taken");
                    Err(Refusal::new(Code::TooLarge, detail))
                }
                Piece::Bad { start, code, detail } => {
                    let taken = match line::record(bytes, start).filter(|_| code == Code::BadJson) {
                        Some(json) => self.line(&json, *position)?,
                        None => None,
                    };
                    taken.unwrap_or(Err(Refusal { code, detail }))
                }
                Piece::Object(span) => {
                    match bytes.get(span).and_then(|bytes| std::str::from_utf8(bytes).ok()) {
                        Some(text) => self.event(text, scanner.members(), *position)?,
                        None => {
                            Err(Refusal::new(Code::BadUtf8, "the value is not UTF-8; send UTF-8 or escapes"))
                        }
                    }
                }
            };
            *position += 1;
            if let Err(Refusal { code, detail }) = outcome {
                refused.push(Refused { part, code, detail });
            }
            if values == BODY_VALUES_MAX {
                return Ok(());
            }
            values += 1;
        }
        Ok(())
    }
}
