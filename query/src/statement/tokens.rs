//! The shape of a text, read off its tokens in one pass without recursion.
//!
//! The parser and the planner recurse once for each level of nesting and once for each operator of a chain
//! (`1 + 1 + ...` is a tree as deep as it is long), and dropping their trees recurses again. Both depths are
//! bounded here.

use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use schemas::limits::SQL_DEPTH_MAX;

use super::{not_allowed, refused};
use crate::{Error, Position, Result};

/// Operators between two commas, over all open parentheses.
const OPERATORS_MAX: usize = schemas::limits::QUERY_OPERATORS_MAX;

/// The tokens of `sql`, unless they nest or chain too deeply or do not begin a query.
pub(super) fn tokenize(sql: &str, dialect: &dyn Dialect) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(dialect, sql).tokenize_with_location().map_err(|error| Error::Syntax {
        detail: error.message.clone(),
        position: Some(Position { line: error.location.line, column: error.location.column }),
    })?;
    check_start(&tokens)?;
    let mut depth = Depth::default();
    for token in &tokens {
        depth.see(&token.token)?;
    }
    Ok(tokens)
}

/// A statement of a text, as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    /// Line and column of the text at which it begins.
    pub(crate) start: Position,
}

/// The statements of `sql`, which are divided by semicolons; empty ones are left out.
///
/// # Errors
/// [`Error::Syntax`] for what no token begins with, [`Error::TooLarge`] for more than `max`.
pub(crate) fn split<'a>(sql: &'a str, dialect: &dyn Dialect, max: usize) -> Result<Vec<Piece<'a>>> {
    let tokens = Tokenizer::new(dialect, sql).tokenize_with_location().map_err(|error| Error::Syntax {
        detail: error.message.clone(),
        position: Some(Position { line: error.location.line, column: error.location.column }),
    })?;
    let mut places = Places::new(sql);
    let (mut pieces, mut begin) = (Vec::new(), None);
    for token in &tokens {
        match &token.token {
            Token::Whitespace(_) | Token::EOF => {}
            Token::SemiColon => {
                if let Some((from, start)) = begin.take() {
                    let to = places.byte(token.span.start.line, token.span.start.column);
                    pieces.push(Piece { text: sql.get(from..to).unwrap_or_default(), start });
                }
            }
            _ if begin.is_none() => {
                let (line, column) = (token.span.start.line, token.span.start.column);
                begin = Some((places.byte(line, column), Position { line, column }));
            }
            _ => {}
        }
    }
    if let Some((from, start)) = begin {
        pieces.push(Piece { text: sql.get(from..).unwrap_or_default(), start });
    }
    if pieces.len() > max {
        return Err(Error::TooLarge { what: "the number of statements in one text", limit: max as u64 });
    }
    Ok(pieces)
}

/// Goes through a text once, from place to later place.
struct Places<'a> {
    rest: std::str::CharIndices<'a>,
    line: u64,
    column: u64,
    length: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Places<'a> {
        Places { rest: text.char_indices(), line: 1, column: 1, length: text.len() }
    }

    fn byte(&mut self, line: u64, column: u64) -> usize {
        while (self.line, self.column) < (line, column) {
            match self.rest.next() {
                Some((_, '\n')) => (self.line, self.column) = (self.line + 1, 1),
                Some(_) => self.column += 1,
                None => return self.length,
            }
        }
        self.rest.clone().next().map_or(self.length, |(at, _)| at)
    }
}

fn keyword(token: &Token) -> Option<Keyword> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// The statement parsers for EXPLAIN, PREPARE and the like recurse without a limit: only a query may begin,
/// or one EXPLAIN before it.
fn check_start(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut significant =
        tokens.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_)));
    let Some(first) = significant.find(|token| !matches!(token, Token::SemiColon)) else {
        return Err(refused("statement_count", "there is no statement"));
    };
    match keyword(first) {
        Some(Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::FROM) => Ok(()),
        Some(Keyword::EXPLAIN) => {
            if significant.any(|token| keyword(token) == Some(Keyword::EXPLAIN)) {
                return Err(not_allowed("EXPLAIN of EXPLAIN"));
            }
            Ok(())
        }
        None if *first == Token::LParen => Ok(()),
        Some(found) if found != Keyword::NoKeyword => Err(not_allowed(&format!("{found:?}"))),
        _ => Err(Error::Syntax {
            detail: format!("Expected: SELECT, WITH or VALUES, found: {first}"),
            position: None,
        }),
    }
}

/// Open brackets with the operators seen in each since its last comma.
struct Depth {
    open: Vec<usize>,
    cases: usize,
    operators: usize,
    prefixes: usize,
}

impl Default for Depth {
    fn default() -> Depth {
        Depth { open: vec![0], cases: 0, operators: 0, prefixes: 0 }
    }
}

impl Depth {
    fn see(&mut self, token: &Token) -> Result<()> {
        match token {
            Token::Whitespace(_) => return Ok(()),
            Token::LParen | Token::LBracket | Token::LBrace => self.open.push(0),
            Token::RParen | Token::RBracket | Token::RBrace => {
                // What was inside hangs below the chain around it, so it still counts there.
                if self.open.len() > 1 {
                    let inside = self.open.pop().unwrap_or(0);
                    if let Some(top) = self.open.last_mut() {
                        *top += inside;
                    }
                }
            }
            Token::Comma | Token::SemiColon => {
                if let Some(top) = self.open.last_mut() {
                    self.operators -= std::mem::take(top);
                }
            }
            Token::Word(_) => match keyword(token) {
                Some(Keyword::CASE) => self.cases += 1,
                Some(Keyword::END) => self.cases = self.cases.saturating_sub(1),
                Some(word) if is_operator(word) => self.operator(),
                _ => {}
            },
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_)
            | Token::Period
            | Token::EOF => {}
            _ => self.operator(),
        }
        let is_prefix = matches!(token, Token::Minus | Token::Plus | Token::Tilde | Token::ExclamationMark)
            || keyword(token) == Some(Keyword::NOT);
        self.prefixes = if is_prefix { self.prefixes + 1 } else { 0 };
        if self.open.len() - 1 + self.cases > SQL_DEPTH_MAX || self.prefixes > SQL_DEPTH_MAX {
            return Err(refused("too_deep", format!("nested deeper than {SQL_DEPTH_MAX} levels")));
        }
        if self.operators > OPERATORS_MAX {
            let detail = format!("more than {OPERATORS_MAX} operators in one expression; use IN or VALUES");
            return Err(refused("too_deep", detail));
        }
        Ok(())
    }

    fn operator(&mut self) {
        self.operators += 1;
        if let Some(top) = self.open.last_mut() {
            *top += 1;
        }
    }
}

/// Words that make the tree one level deeper each time.
fn is_operator(word: Keyword) -> bool {
    matches!(
        word,
        Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::SIMILAR
            | Keyword::BETWEEN
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::DIV
            | Keyword::OVERLAPS
            | Keyword::INTERVAL
            | Keyword::UNION
            | Keyword::EXCEPT
            | Keyword::MINUS
            | Keyword::INTERSECT
            | Keyword::JOIN
    )
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;

    use super::*;

    fn code(sql: &str) -> &'static str {
        tokenize(sql, &GenericDialect {}).map_or_else(|error| error.code(), |_| "ok")
    }

    #[test]
    fn depth_is_seen_before_the_parser_is() {
        let nested =
            |n: usize, open: &str, close: &str| format!("SELECT {}1{}", open.repeat(n), close.repeat(n));
        for (open, close) in [("(", ")"), ("[", "]"), ("CASE WHEN ", " END"), ("NOT ", ""), ("- ", "")] {
            assert_eq!(code(&nested(SQL_DEPTH_MAX, open, close)), "ok", "{open}");
            assert_eq!(code(&nested(SQL_DEPTH_MAX + 1, open, close)), "too_deep", "{open}");
            assert_eq!(code(&nested(10_000, open, close)), "too_deep", "{open}");
        }
    }

    #[test]
    fn chains_count_until_the_next_comma() {
        assert_eq!(code(&format!("SELECT 1{}", "+1".repeat(OPERATORS_MAX))), "ok");
        assert_eq!(code(&format!("SELECT 1{}", "+1".repeat(OPERATORS_MAX + 1))), "too_deep");
        assert_eq!(code(&format!("SELECT 1 IN (-1{})", ",-1".repeat(9_999))), "ok");
        assert_eq!(code(&format!("SELECT (1+1){}", "+1".repeat(OPERATORS_MAX))), "too_deep");
    }

    #[test]
    fn texts_are_split_at_semicolons_outside_of_strings_and_comments() {
        let dialect = datafusion::sql::sqlparser::dialect::PostgreSqlDialect {};
        let pieces = |sql| -> Vec<(String, u64, u64)> {
            let pieces = split(sql, &dialect, 3).unwrap();
            pieces
                .iter()
                .map(|piece| (piece.text.to_string(), piece.start.line, piece.start.column))
                .collect()
        };
        let piece = |text: &str, line, column| (text.to_string(), line, column);
        assert_eq!(pieces("SELECT 1"), [piece("SELECT 1", 1, 1)]);
        assert_eq!(
            pieces(" ;é;\n SELECT ';' /* ; */, $$;$$ ;; -- ;\nSHOW x;"),
            [piece("é", 1, 3), piece("SELECT ';' /* ; */, $$;$$ ", 2, 2), piece("SHOW x", 3, 1)]
        );
        assert!(pieces(" ; -- nothing").is_empty());
        assert!(matches!(split("a;b;c;d", &dialect, 3), Err(Error::TooLarge { .. })));
        assert!(matches!(split("SELECT 'open", &dialect, 3), Err(Error::Syntax { .. })));
    }

    #[test]
    fn only_a_query_may_begin() {
        for (sql, expected) in [
            ("SELECT 1", "ok"),
            (" -- note\n(SELECT 1)", "ok"),
            ("with a as (select 1) select * from a", "ok"),
            ("EXPLAIN SELECT 1", "ok"),
            ("EXPLAIN EXPLAIN SELECT 1", "statement_not_allowed"),
            ("PREPARE p AS SELECT 1", "statement_not_allowed"),
            ("", "statement_count"),
            (";;", "statement_count"),
            ("hello", "syntax"),
            ("SELECT 'open", "syntax"),
        ] {
            assert_eq!(code(sql), expected, "{sql}");
        }
    }
}
