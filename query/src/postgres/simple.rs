//! The simple protocol: a text with one statement or several, one after the other until one fails.

use std::io;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use pgwire::messages::PgWireBackendMessage as Back;
use pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use schemas::limits::SQL_BYTES_MAX;

use super::command::{Command, command};
use super::fault::{Fault, Report};
use super::session::Session;
use crate::statement::{Piece, split};
use crate::{Error, Result as CoreResult};

/// Statements in one text.
const STATEMENTS_MAX: usize = schemas::limits::POSTGRES_STATEMENTS_MAX;

/// The statements of a text, if they are not too much.
///
/// # Errors
/// As the core would refuse them.
pub(super) fn pieces(text: &str) -> CoreResult<Vec<Piece<'_>>> {
    if text.len() > SQL_BYTES_MAX {
        return Err(Error::TooLarge { what: "the SQL text in bytes", limit: SQL_BYTES_MAX as u64 });
    }
    split(text, &PostgreSqlDialect {}, STATEMENTS_MAX)
}

impl Session {
    /// Answers a text.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(super) async fn simple(&mut self, text: &str) -> io::Result<()> {
        // A text of this protocol ends what the other has begun without a name.
        self.portals.remove("");
        if let Err(fault) = self.statements(text).await {
            self.tell(fault).await?;
        }
        self.end_of_statement();
        self.ready().await
    }

    async fn statements(&mut self, text: &str) -> Result<(), Fault> {
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(error) => return Err(self.refuse(text, error).await),
        };
        if pieces.is_empty() {
            self.wire.put(Back::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for piece in pieces {
            self.statement(piece).await.map_err(|fault| fault.within(text, piece.start))?;
        }
        Ok(())
    }

    async fn statement(&mut self, piece: Piece<'_>) -> Result<(), Fault> {
        let command = self.admitted(piece.text).await?;
        if command != Command::Query {
            return self.perform(&command, Vec::new(), Vec::new(), &[], true).await;
        }
        let mut rows = self.ask(piece.text, Vec::new(), Vec::new(), &[]).await?;
        self.wire.put(Back::RowDescription(rows.columns().description())).await?;
        let running = self.place.running(rows.gone());
        let sent = rows.send(&mut self.wire, None).await?;
        drop(running);
        self.complete(format!("SELECT {}", sent.rows)).await?;
        Ok(())
    }

    /// What a statement is, if it may be asked in this transaction.
    ///
    /// # Errors
    /// [`Fault`]; what is refused is on the access log.
    pub(super) async fn admitted(&self, sql: &str) -> Result<Command, Fault> {
        let command = match command(sql) {
            Ok(command) => command,
            Err(report) => return Err(self.refuse_setting(sql, report).await),
        };
        let ends = matches!(command, Command::Commit | Command::Rollback | Command::RollbackTo);
        if self.status == TransactionStatus::Error && !ends {
            let what = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(Report::new("25P02", "transaction_failed", what).into());
        }
        Ok(command)
    }

    /// Puts on the access log what the door itself has refused.
    pub(super) async fn refuse_setting(&self, sql: &str, report: Report) -> Fault {
        let error = Error::Refused { code: report.code(), detail: report.text().to_string() };
        match self.door.query.refused(&self.principal, sql, &error).await {
            Ok(()) => report.into(),
            Err(unaudited) => unaudited.into(),
        }
    }
}
