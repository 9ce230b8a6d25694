//! The words of one statement, taken one by one.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::postgres::fault::Report;

/// The tokens that say something.
pub(super) struct Words<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Vec<TokenWithSpan>,
    pub(super) at: usize,
}

pub(super) fn syntax(what: &str) -> Report {
    Report::new("42601", "syntax", format!("expected {what}"))
}

impl<'a> Words<'a> {
    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    /// The next word, in capitals, if it has no quotes.
    pub(super) fn keyword(&self) -> String {
        match self.peek() {
            Some(Token::Word(Word { value, quote_style: None, .. })) => value.to_uppercase(),
            _ => String::new(),
        }
    }

    /// Takes the next word if it is `word`.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let is_it = self.keyword() == word;
        self.at += usize::from(is_it);
        is_it
    }

    pub(super) fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.take(word))
    }

    pub(super) fn name(&mut self) -> Result<String, Report> {
        let name = match self.peek() {
            Some(Token::Word(Word { value, quote_style: Some(_), .. })) => value.clone(),
            Some(Token::Word(Word { value, .. })) => value.to_lowercase(),
            _ => return Err(syntax("a name")),
        };
        self.at += 1;
        Ok(name)
    }

    pub(super) fn end(&self) -> Result<(), Report> {
        match self.peek() {
            None => Ok(()),
            Some(token) => {
                Err(Report::new("42601", "syntax", format!("syntax error at or near \"{token}\"")))
            }
        }
    }

    /// Values up to the end, divided by commas.
    pub(super) fn value(&mut self) -> Result<Option<String>, Report> {
        let mut out = String::new();
        if self.take("DEFAULT") {
            return self.end().map(|()| None);
        }
        while let Some(token) = self.peek() {
            match token {
                Token::Comma => out.push_str(", "),
                Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => out.push_str(text),
                Token::Word(Word { value, .. }) => {
                    if !out.is_empty() && !out.ends_with([' ', '-', '+', '/']) {
                        out.push(' ');
                    }
                    out.push_str(value);
                }
                Token::Number(..)
                | Token::Minus
                | Token::Plus
                | Token::Div
                | Token::Colon
                | Token::Period => {
                    out.push_str(&token.to_string());
                }
                other => {
                    return Err(Report::new(
                        "42601",
                        "syntax",
                        format!("syntax error at or near \"{other}\""),
                    ));
                }
            }
            self.at += 1;
        }
        Ok(Some(out))
    }

    /// The rest of the text.
    pub(super) fn rest(&self) -> &'a str {
        let Some(token) = self.tokens.get(self.at) else { return "" };
        let (line, column) = (token.span.start.line, token.span.start.column);
        let mut place = (1, 1);
        for (at, letter) in self.text.char_indices() {
            if place == (line, column) {
                return self.text.get(at..).unwrap_or_default();
            }
            place = if letter == '\n' { (place.0 + 1, 1) } else { (place.0, place.1 + 1) };
        }
        ""
    }
}
