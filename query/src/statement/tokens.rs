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
