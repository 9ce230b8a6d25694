//! The one error of this crate, with the stable code and the HTTP status of each case.

use datafusion::common::DataFusionError;

use crate::memory;

/// How the engine says that a regular expression is none, or compiles to too much.
const BAD_PATTERN: &str = "Regular expression did not compile";

/// Where in an SQL text, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no SQL.
    #[error("{detail}")]
    Syntax {
        /// What was expected and found.
        detail: String,
        /// Where.
        position: Option<Position>,
    },
    /// The text is SQL that is not answered here, whoever asks.
    #[error("{detail}")]
    Refused {
        /// Stable code.
        code: &'static str,
        /// What, and what to do instead.
        detail: String,
    },
    /// The text cannot be planned over these tables: unknown column, wrong type.
    #[error("{detail}")]
    Plan {
        /// What is wrong.
        detail: String,
        /// Where.
        position: Option<Position>,
    },
    /// An expression failed on some row: division by zero, a cast.
    #[error("{0}")]
    Execution(String),
    /// A request is larger than its limit.
    #[error("{what} is larger than {limit}; ask for less at a time")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit, in the unit that `what` names.
        limit: u64,
    },
    /// The answer, or what is needed to make it, is larger than its limit.
    #[error("{what} would pass the limit of {limit}; narrow the question")]
    AnswerTooLarge {
        /// What.
        what: &'static str,
        /// The limit, in the unit that `what` names.
        limit: u64,
    },
    /// The role may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing for this principal.
    #[error("{0}")]
    NotFound(String),
    /// A gate has no number, which must block whoever asks.
    #[error("{detail}")]
    NoAnswer {
        /// Stable code.
        code: &'static str,
        /// Why.
        detail: String,
    },
    /// Too many queries at once.
    #[error("too many queries are running and waiting; try again in a moment")]
    Busy,
    /// A query had to put rows on disk, and the disk has only what the store needs.
    #[error(
        "the query needs disk space, and the disk has only what recording needs; narrow the question or free some"
    )]
    DiskFull,
    /// The time for a query is over.
    #[error("the query ran longer than {0} ms; narrow it by time or log_index")]
    Deadline(u64),
    /// Whoever asked has gone.
    #[error("the query was cancelled")]
    Cancelled,
    /// A sealed file is not what the signed manifest says.
    #[error("file {file} of log {log} is not what its manifest says: {reason}; run verify")]
    Tampered {
        /// Origin of the log.
        log: String,
        /// Path below the log.
        file: String,
        /// What differs.
        reason: String,
    },
    /// A log before the present one cannot be read, and the question asks for what it held.
    #[error(
        "the {stream} log of the earlier writer {writer} is damaged, and an answer would leave its entries out: {reason}. Run verify; \
         log_index >= 0 asks the present log alone"
    )]
    EarlierLogDamaged {
        /// Its stream.
        stream: schemas::Stream,
        /// Whose log.
        writer: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The access log does not take entries, so nothing is answered.
    #[error("the access log cannot be written, so nothing is answered: {0}")]
    Unaudited(String),
    /// A bug here or in the query engine.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The stable code: scripts may depend on it.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Syntax { .. } => "syntax",
            Error::Refused { code, .. } | Error::NoAnswer { code, .. } => code,
            Error::Plan { .. } => "plan",
            Error::Execution(_) => "execution",
            Error::TooLarge { .. } => "too_large",
            Error::AnswerTooLarge { .. } => "answer_too_large",
            Error::Forbidden(_) => "forbidden",
            Error::NotFound(_) => "not_found",
            Error::Busy => "busy",
            Error::DiskFull => "disk_full",
            Error::Deadline(_) => "deadline",
            Error::Cancelled => "cancelled",
            Error::Tampered { .. } => "tampered",
            Error::EarlierLogDamaged { .. } => "earlier_log_damaged",
            Error::Unaudited(_) => "unaudited",
            Error::Internal(_) => "internal",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Error::Syntax { .. }
            | Error::Refused { .. }
            | Error::Plan { .. }
            | Error::Execution(_)
            | Error::AnswerTooLarge { .. } => 400,
            Error::Forbidden(_) => 403,
            Error::NotFound(_) => 404,
            Error::EarlierLogDamaged { .. } => 409,
            Error::TooLarge { .. } => 413,
            Error::Busy => 429,
            Error::Deadline(_) => 504,
            Error::DiskFull | Error::Cancelled | Error::Unaudited(_) | Error::NoAnswer { .. } => 503,
            Error::Tampered { .. } | Error::Internal(_) => 500,
        }
    }

    /// Where in the SQL text, where that is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Error::Syntax { position, .. } | Error::Plan { position, .. } => *position,
            _ => None,
        }
    }

    /// What a failure of the engine means. `stage` is [`Stage::Plan`] until the plan runs.
    pub(crate) fn engine(error: &DataFusionError, stage: Stage) -> Error {
        let mut position = None;
        let mut at = error;
        loop {
            match at {
                DataFusionError::Context(_, inner) => at = inner,
                DataFusionError::Diagnostic(diagnostic, inner) => {
                    position = diagnostic
                        .span
                        .map(|span| Position { line: span.start.line, column: span.start.column });
                    at = inner;
                }
                DataFusionError::Shared(inner) => at = inner,
                DataFusionError::Collection(all) => match all.first() {
                    Some(first) => at = first,
                    None => break,
                },
                _ => break,
            }
        }
        if let Some(own) = own_error(at) {
            return own;
        }
        let detail = first_line(&at.message());
        // Over a column, the engine takes a pattern that does not compile for its own fault.
        if let Some((_, reason)) = detail.split_once(BAD_PATTERN) {
            return Error::Execution(format!("{BAD_PATTERN}{reason}"));
        }
        match at {
            DataFusionError::ResourcesExhausted(why) if why == memory::CROWDED => Error::Busy,
            DataFusionError::ResourcesExhausted(why) => {
                tracing::debug!(%why, "a query needs more memory than it may have");
                let limit = schemas::limits::QUERY_MEMORY_BYTES as u64;
                Error::AnswerTooLarge { what: "memory of the query in bytes", limit }
            }
            DataFusionError::Internal(_)
            | DataFusionError::IoError(_)
            | DataFusionError::ObjectStore(_)
            | DataFusionError::ParquetError(_)
            | DataFusionError::ExecutionJoin(_) => Error::Internal(detail),
            DataFusionError::SQL(parser, _) => Error::parser(&parser.to_string()),
            DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => Error::Execution(detail),
            _ if stage == Stage::Run => Error::Execution(detail),
            _ => Error::Plan { detail, position },
        }
    }

    /// A message of the SQL parser, with the position that it ends with.
    pub(crate) fn parser(message: &str) -> Error {
        let detail = message.trim_start_matches("sql parser error: ").to_string();
        let position = detail.rsplit_once(" at Line: ").and_then(|(_, place)| {
            let (line, column) = place.split_once(", Column: ")?;
            Some(Position { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
        });
        Error::Syntax { detail, position }
    }
}

/// How far a query had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Plan,
    Run,
}

/// An error of this crate that travelled through the engine, however deeply it was wrapped.
fn own_error(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        if let Some(DataFusionError::External(inner)) = error.downcast_ref::<DataFusionError>()
            && let Some(own) = own_error(inner.as_ref())
        {
            return Some(own);
        }
        // Its source is what the error inside has for a source, not that error.
        if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
            && let Some(own) = own_error(inner)
        {
            return Some(own);
        }
        at = error.source();
    }
    None
}

/// The engine's messages can carry plans and back traces after the first line.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or("no message").to_string()
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> DataFusionError {
        DataFusionError::External(Box::new(error))
    }
}
