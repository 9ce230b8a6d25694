//! Errors as PostgreSQL tells them: the one table of codes.

use std::io;

use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::ErrorResponse;

use crate::{Error, Position};

/// Why a statement ends.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client is told, and may go on.
    Report(Box<Report>),
    /// The connection is gone.
    Gone(io::Error),
}

/// What a client is told.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) sqlstate: &'static str,
    message: String,
    /// The stable code of the other doors.
    code: &'static str,
    hint: Option<String>,
    /// In the statement at hand; becomes a place in the whole text.
    pub(super) place: Option<Position>,
    character: Option<u64>,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Gone(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Report(Box::new(Report::of(&error)))
    }
}

impl From<Report> for Fault {
    fn from(report: Report) -> Fault {
        Fault::Report(Box::new(report))
    }
}

impl Report {
    /// An error of the door itself.
    pub(super) fn new(sqlstate: &'static str, code: &'static str, message: impl Into<String>) -> Report {
        Report { sqlstate, message: message.into(), code, hint: None, place: None, character: None }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Report {
        self.hint = Some(hint.into());
        self
    }

    /// An error of the core.
    pub(super) fn of(error: &Error) -> Report {
        let report = Report::new(sqlstate(error), error.code(), error.to_string());
        Report { place: error.position(), ..report }
    }

    /// For a statement that begins at `start` of `text`: where in the whole text it went wrong, in characters.
    pub(super) fn within(mut self, text: &str, start: Position) -> Report {
        if let Some(place) = self.place {
            let line = start.line + place.line.saturating_sub(1);
            let column =
                if place.line <= 1 { start.column + place.column.saturating_sub(1) } else { place.column };
            self.character = character(text, line, column);
        }
        self
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// What is said.
    pub(super) fn text(&self) -> &str {
        &self.message
    }

    /// The message for the client.
    pub(super) fn message(&self, severity: &str) -> PgWireBackendMessage {
        let mut info = ErrorInfo::new(severity.to_string(), self.sqlstate.to_string(), self.message.clone());
        info.severity_nonlocalized = Some(severity.to_string());
        info.detail = Some(format!("code: {}", self.code));
        info.hint.clone_from(&self.hint);
        info.position = self.character.map(|place| place.to_string());
        PgWireBackendMessage::ErrorResponse(ErrorResponse::from(info))
    }
}

/// Which character of `text`, from 1, is at a line and column.
fn character(text: &str, line: u64, column: u64) -> Option<u64> {
    let mut before = 0;
    for (number, row) in (1..).zip(text.split('\n')) {
        if number == line {
            return Some(before + column);
        }
        before += row.chars().count() as u64 + 1;
    }
    None
}

/// The one table.
fn sqlstate(error: &Error) -> &'static str {
    match error {
        Error::Syntax { .. } => "42601",
        Error::Refused { code, .. } => match *code {
            "statement_not_allowed" | "recursion_not_allowed" | "function_not_allowed" => "0A000",
            "statement_count" => "42601",
            "too_deep" => "54001",
            "too_many_columns" => "54011",
            _ => "54000",
        },
        Error::Plan { detail, .. } => plan(detail),
        Error::Execution(detail) => execution(detail),
        Error::TooLarge { .. } => "54000",
        Error::AnswerTooLarge { what, .. } if what.contains("memory") => "53200",
        Error::AnswerTooLarge { .. } => "54000",
        Error::Forbidden(_) => "42501",
        Error::NotFound(_) => "02000",
        Error::NoAnswer { .. } => "55000",
        Error::Busy => "53300",
        Error::DiskFull => "53100",
        Error::Deadline(_) | Error::Cancelled => "57014",
        Error::Tampered { .. } | Error::EarlierLogDamaged { .. } => "XX001",
        Error::Unaudited(_) => "58030",
        Error::Internal(_) => "XX000",
    }
}

/// The engine tells its errors of planning apart by their words alone.
fn plan(detail: &str) -> &'static str {
    let has = |words: &str| detail.contains(words);
    if has("No field named") {
        "42703"
    } else if has("mbiguous") {
        "42702"
    } else if has("table '") && has("not found") || has("not found") && has("table ") {
        "42P01"
    } else if has("Invalid function") {
        "42883"
    } else if has("GROUP BY") {
        "42803"
    } else if has("coerce") || has("does not support") || has("No function matches") || has("type") {
        "42804"
    } else if has("not supported") || has("nsupported") || has("not implemented") {
        "0A000"
    } else {
        "42000"
    }
}

fn execution(detail: &str) -> &'static str {
    let detail = detail.to_lowercase();
    if detail.contains("divide by zero") {
        "22012"
    } else if detail.contains("overflow") || detail.contains("out of range") {
        "22003"
    } else if detail.contains("cast") || detail.contains("parse") || detail.contains("parsing") {
        "22P02"
    } else if detail.contains("regular expression") || detail.contains("regex") {
        "2201B"
    } else if detail.contains("configuration parameter") {
        "42704"
    } else {
        "22000"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_statement_is_a_place_in_the_text() {
        let text = "SHOW é;\n SELECT\n  x";
        let at = |line, column| {
            let error = Error::Syntax { detail: "x".to_string(), position: Some(Position { line, column }) };
            Report::of(&error).within(text, Position { line: 2, column: 2 }).character
        };
        assert_eq!(at(1, 1), Some(10));
        assert_eq!(at(2, 3), Some(19));
        assert_eq!(at(9, 1), None);
    }

    #[test]
    fn the_engines_words_have_their_codes() {
        for (detail, code) in [
            ("Schema error: No field named x.", "42703"),
            ("table 'a.public.nowhere' not found", "42P01"),
            ("Invalid function 'nothing'.", "42883"),
        ] {
            assert_eq!(plan(detail), code, "{detail}");
        }
        assert_eq!(execution("Divide by zero error"), "22012");
        assert_eq!(sqlstate(&Error::Deadline(1)), "57014");
    }
}
