//! JSON as a flat list of tokens with their byte ranges: no recursion, nothing decoded.

use serde::de::IgnoredAny;

use crate::error::Error;

/// Deepest nesting of arrays and objects in one JSON value.
pub(crate) const DEPTH_MAX: usize = schemas::limits::REDACT_DEPTH_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    /// End of an object or array.
    Close,
    String,
    /// A number, or in a list as many as stand beside each other.
    Number,
    /// `true`, `false`, `null`.
    Literal,
}

/// Most tokens of one value.
const TOKENS: usize = schemas::limits::REDACT_TOKENS_MAX;

/// One token. Keys are strings like any other; colons and commas are not kept. Sixteen bytes, since a value can be all tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub kind: Kind,
    start: u32,
    end: u32,
    close: u32,
}

impl Token {
    /// Offset of its first byte.
    pub(crate) fn start(&self) -> usize {
        self.start as usize
    }

    /// Offset past its last byte; of a container, past its opening bracket.
    pub(crate) fn end(&self) -> usize {
        self.end as usize
    }

    /// Of a container, the index of its closing token; else its own index.
    pub(crate) fn close(&self) -> usize {
        self.close as usize
    }

    /// A string's raw content, without its quotes.
    pub(crate) fn inside<'a>(&self, json: &'a str) -> &'a str {
        json.get(self.start() + 1..self.end().saturating_sub(1)).unwrap_or_default()
    }

    /// All of it.
    pub(crate) fn text<'a>(&self, json: &'a str) -> &'a str {
        json.get(self.start()..self.end()).unwrap_or_default()
    }
}

/// The tokens of one complete, valid JSON value.
pub(crate) fn tokenize(json: &str) -> Result<Vec<Token>, Error> {
    // Depth comes first: it needs no valid input and bounds what any parser after it may do.
    let tape = split(json)?;
    let checked: Result<IgnoredAny, serde_json::Error> = serde_json::from_str(json);
    match checked {
        Ok(_) => Ok(tape),
        Err(error) => Err(Error::Invalid { line: error.line(), column: error.column() }),
    }
}

/// Splits without judging: what is wrong with the input is found by the validation that follows.
fn split(json: &str) -> Result<Vec<Token>, Error> {
    let bytes = json.as_bytes();
    let offset = |value: usize| u32::try_from(value).map_err(|_| Error::TooLarge);
    let mut tape: Vec<Token> = Vec::new();
    // Containers, and whether they are lists.
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut position = 0;
    while let Some(byte) = bytes.get(position) {
        let index = tape.len();
        let (kind, end) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => {
                position += 1;
                continue;
            }
            b'{' => (Kind::Object, position + 1),
            b'[' => (Kind::Array, position + 1),
            b'}' | b']' => (Kind::Close, position + 1),
            b'"' => (Kind::String, end_of_string(bytes, position)),
            b'-' | b'0'..=b'9' => (Kind::Number, end_of_bare(bytes, position)),
            _ => (Kind::Literal, end_of_bare(bytes, position)),
        };
        match kind {
            Kind::Object | Kind::Array => {
                if open.len() == DEPTH_MAX {
                    return Err(Error::TooDeep { depth_max: DEPTH_MAX });
                }
                open.push((index, kind == Kind::Array));
            }
            Kind::Close => {
                if let Some(container) = open.pop().and_then(|(container, _)| tape.get_mut(container)) {
                    container.close = offset(index)?;
                }
            }
            Kind::Number if open.last().is_some_and(|(_, is_list)| *is_list) => {
                if let Some(last) = tape.last_mut().filter(|last| last.kind == Kind::Number) {
                    last.end = offset(end)?;
                    position = end;
                    continue;
                }
            }
            Kind::String | Kind::Number | Kind::Literal => {}
        }
        if index == TOKENS {
            return Err(Error::TooLarge);
        }
        tape.push(Token { kind, start: offset(position)?, end: offset(end)?, close: offset(index)? });
        position = end;
    }
    Ok(tape)
}

/// Past the closing quote of the string that opens at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while let Some(byte) = bytes.get(position) {
        match byte {
            b'"' => return position + 1,
            b'\\' => position += 2,
            _ => position += 1,
        }
    }
    bytes.len()
}

/// Past a number or literal; never empty.
fn end_of_bare(bytes: &[u8], start: usize) -> usize {
    let len = bytes.get(start + 1..).map_or(0, |rest| {
        rest.iter()
            .take_while(|byte| {
                !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'{' | b'}' | b'[' | b']' | b'"')
            })
            .count()
    });
    start + 1 + len
}

#[cfg(test)]
mod tests {
    use super::{DEPTH_MAX, Kind, tokenize};
    use crate::error::Error;

    #[test]
    fn containers_know_their_end() {
        let tape = tokenize(r#" {"a":[1,{"b":null}],"c":"\"x"} "#).unwrap();
        let kinds: Vec<Kind> = tape.iter().map(|token| token.kind).collect();
        use Kind::{Array, Close, Literal, Number, Object, String};
        assert_eq!(
            kinds,
            [Object, String, Array, Number, Object, String, Literal, Close, Close, String, String, Close]
        );
        assert_eq!((tape[0].close(), tape[2].close(), tape[4].close()), (11, 8, 7));
        assert_eq!(tape[10].inside(r#" {"a":[1,{"b":null}],"c":"\"x"} "#), "\\\"x");
    }

    #[test]
    fn numbers_of_a_list_are_one_token_and_tokens_are_bounded() {
        let json = r#"[1, -2.5e3 ,3,"x",4,{"a":5,"b":6},7,8]"#;
        let tape = tokenize(json).unwrap();
        let numbers: Vec<&str> =
            tape.iter().filter(|token| token.kind == Kind::Number).map(|token| token.text(json)).collect();
        assert_eq!(numbers, ["1, -2.5e3 ,3", "4", "5", "6", "7,8"]);
        let many = format!("[{}1]", "1,".repeat(super::TOKENS));
        assert_eq!(tokenize(&many).unwrap().len(), 3);
        let many = format!("[{}0]", "[],".repeat(super::TOKENS / 2));
        assert!(matches!(tokenize(&many), Err(Error::TooLarge)));
    }

    #[test]
    fn depth_is_bounded_and_broken_input_refused() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(tokenize(&deep(DEPTH_MAX)).is_ok());
        assert!(matches!(tokenize(&deep(DEPTH_MAX + 1)), Err(Error::TooDeep { .. })));
        assert!(matches!(tokenize(&deep(1_000_000)), Err(Error::TooDeep { .. })));
        for broken in
            ["", "{", "[1,]", "{\"a\"}", "\"abc", "01", "nul", "1 2", "\"\u{1}\"", "]", "\"\\x\"", "\"\\"]
        {
            assert!(matches!(tokenize(broken), Err(Error::Invalid { .. })), "{broken}");
        }
    }
}
