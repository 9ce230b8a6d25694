//! Statements of the door itself: transactions in name, settings, cursors.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use pgwire::messages::PgWireBackendMessage as Back;
use pgwire::messages::response::{NoticeResponse, TransactionStatus};
use pgwire::messages::startup::ParameterStatus;

use super::command::Command;
use super::fault::{Fault, Report};
use super::portal::{Portal, Prepared, State};
use super::row::Columns;
use super::session::Session;
use super::setting::Settings;
use crate::Position;

/// Portals and cursors of one connection.
const PORTALS_MAX: usize = schemas::limits::POSTGRES_PORTALS_MAX;

fn no_cursor(name: &str) -> Report {
    Report::new("34000", "no_such_cursor", format!("cursor {name:?} does not exist"))
}

impl Session {
    /// Does what `command` says. `values` and `types` are those of a cursor's parameters; `describe` is whether
    /// columns are told before rows.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn perform(
        &mut self,
        command: &Command,
        values: Vec<ScalarValue>,
        types: Vec<Option<pgwire::api::Type>>,
        formats: &[i16],
        describe: bool,
    ) -> Result<(), Fault> {
        match command {
            Command::Query => Err(Report::new("XX000", "internal", "a query is no command").into()),
            Command::Begin
            | Command::Commit
            | Command::Rollback
            | Command::Savepoint
            | Command::Release
            | Command::RollbackTo => self.transaction(command).await,
            Command::Set { all, is_local } => self.set(all, *is_local).await,
            Command::Reset(name) => self.reset(name.as_deref()).await,
            Command::Show(name) => self.show(name.as_deref(), formats, describe).await,
            Command::Discard => {
                if self.status != TransactionStatus::Idle {
                    let what = "DISCARD ALL cannot run inside a transaction block";
                    return Err(Report::new("25001", "transaction", what).into());
                }
                self.prepared.clear();
                self.portals.clear();
                self.settings = Settings::new(&self.principal.id);
                Ok(self.complete("DISCARD ALL").await?)
            }
            Command::Deallocate(name) => {
                let known = match name {
                    Some(name) => self.prepared.remove(name).is_some(),
                    None => {
                        self.prepared.clear();
                        true
                    }
                };
                match (known, name) {
                    (false, Some(name)) => Err(no_statement(name).into()),
                    (_, Some(_)) => Ok(self.complete("DEALLOCATE").await?),
                    (_, None) => Ok(self.complete("DEALLOCATE ALL").await?),
                }
            }
            Command::Close(name) => {
                match name {
                    Some(name) if self.portals.remove(name).is_none() => return Err(no_cursor(name).into()),
                    Some(_) => {}
                    None => self.portals.clear(),
                }
                Ok(self.complete("CLOSE CURSOR").await?)
            }
            Command::Unlisten => Ok(self.complete("UNLISTEN").await?),
            Command::Declare { name, hold, query } => self.declare(name, *hold, query, values, types).await,
            Command::Fetch { name, rows } => self.fetch(name, *rows, formats, describe).await,
        }
    }

    async fn notice(&mut self, sqlstate: &str, what: &str) -> Result<(), Fault> {
        let fields = [(b'S', "WARNING"), (b'V', "WARNING"), (b'C', sqlstate), (b'M', what)];
        let fields = fields.map(|(kind, text)| (kind, text.to_string())).into();
        Ok(self.wire.put(Back::NoticeResponse(NoticeResponse::new(fields))).await?)
    }

    /// Nothing is written, so a transaction is only a name: but one that can fail.
    async fn transaction(&mut self, command: &Command) -> Result<(), Fault> {
        let status = self.status;
        let in_block = status != TransactionStatus::Idle;
        match command {
            Command::Begin if in_block => {
                self.notice("25001", "there is already a transaction in progress").await?;
                self.complete("BEGIN").await?;
            }
            Command::Begin => {
                self.status = TransactionStatus::Transaction;
                self.before = Some(self.settings.clone());
                self.complete("BEGIN").await?;
            }
            Command::Commit | Command::Rollback => {
                if !in_block {
                    self.notice("25P01", "there is no transaction in progress").await?;
                }
                let commits = *command == Command::Commit && status != TransactionStatus::Error;
                self.end_transaction(commits);
                self.complete(if commits { "COMMIT" } else { "ROLLBACK" }).await?;
            }
            _ if !in_block => {
                let what = "this statement can only be used in transaction blocks";
                return Err(Report::new("25P01", "transaction", what).into());
            }
            Command::RollbackTo => {
                self.status = TransactionStatus::Transaction;
                self.complete("ROLLBACK").await?;
            }
            Command::Release => self.complete("RELEASE").await?,
            _ => self.complete("SAVEPOINT").await?,
        }
        Ok(())
    }

    fn end_transaction(&mut self, commits: bool) {
        self.status = TransactionStatus::Idle;
        self.portals.retain(|_, portal| portal.hold);
        let before = self.before.take();
        match before {
            Some(before) if !commits => self.settings = before,
            _ => {
                for (name, value) in self.local.drain(..).rev() {
                    // It was in force before.
                    self.settings.set(name, Some(&value)).ok();
                }
            }
        }
        self.local.clear();
    }

    async fn set(&mut self, all: &[(String, Option<String>)], is_local: bool) -> Result<(), Fault> {
        for (name, value) in all {
            let before = self.settings.get(name).map(|(name, value)| (name, value.to_string()));
            match self.settings.set(name, value.as_deref()) {
                Ok((name, value)) => {
                    // What it was before the first of them is what comes back.
                    if let Ok(before) = before
                        && is_local
                        && !self.local.iter().any(|(kept, _)| *kept == before.0)
                    {
                        self.local.push(before);
                    }
                    if name == "application_name" {
                        let status = ParameterStatus::new(name.to_string(), value);
                        self.wire.put(Back::ParameterStatus(status)).await?;
                    }
                }
                Err(report) => {
                    let sql = format!("SET {name} = {:?}", value.as_deref().unwrap_or("DEFAULT"));
                    return Err(self.refuse_setting(&sql, report).await);
                }
            }
        }
        Ok(self.complete("SET").await?)
    }

    async fn reset(&mut self, name: Option<&str>) -> Result<(), Fault> {
        match name {
            Some(name) => {
                self.settings.set(name, None)?;
            }
            None => self.settings = Settings::new(&self.principal.id),
        }
        Ok(self.complete("RESET").await?)
    }

    /// The columns of an answer of the door itself, where `command` has one.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) fn columns_of(&self, command: &Command, formats: &[i16]) -> Result<Option<Columns>, Fault> {
        let schema = match command {
            Command::Show(Some(name)) => Columns::text(self.settings.get(name)?.0),
            Command::Show(None) => {
                let text = |name| Field::new(name, DataType::Utf8, true);
                Arc::new(Schema::new(vec![text("name"), text("setting"), text("description")]))
            }
            Command::Fetch { name, .. } => {
                let portal = self.portals.get(name).ok_or_else(|| no_cursor(name))?;
                let described = portal.prepared.described.as_ref().ok_or_else(|| no_cursor(name))?;
                Arc::clone(&described.schema)
            }
            _ => return Ok(None),
        };
        Ok(Some(Columns::new(&schema, formats)))
    }

    async fn show(&mut self, name: Option<&str>, formats: &[i16], describe: bool) -> Result<(), Fault> {
        let columns = self.columns_of(&Command::Show(name.map(str::to_string)), formats)?;
        let Some(columns) = columns else { return Ok(()) };
        let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
        let (arrays, rows) = match name {
            Some(name) => (vec![texts(vec![self.settings.get(name)?.1])], 1),
            None => {
                let all = self.settings.all();
                let names = texts(all.iter().map(|(name, _)| *name).collect());
                let values = texts(all.iter().map(|(_, value)| value.as_str()).collect());
                (vec![names, values, texts(vec![""; all.len()])], all.len())
            }
        };
        if describe {
            self.wire.put(Back::RowDescription(columns.description())).await?;
        }
        let mut encoder = columns.encoder();
        for row in 0..rows {
            self.wire.put(Back::DataRow(columns.row(&arrays, row, &mut encoder)?)).await?;
        }
        Ok(self.complete("SHOW").await?)
    }

    async fn declare(
        &mut self,
        name: &str,
        hold: bool,
        query: &str,
        values: Vec<ScalarValue>,
        declared: Vec<Option<pgwire::api::Type>>,
    ) -> Result<(), Fault> {
        if !hold && self.status == TransactionStatus::Idle {
            let what = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(Report::new("25P01", "transaction", what).with_hint("or say WITH HOLD").into());
        }
        if self.portals.contains_key(name) {
            return Err(
                Report::new("42P03", "cursor_exists", format!("cursor {name:?} already exists")).into()
            );
        }
        let described = self.describe(query, super::parameter::declared_kinds(&declared)).await?;
        let start = Position { line: 1, column: 1 };
        let prepared = Prepared {
            sql: query.to_string(),
            whole: query.to_string(),
            start,
            command: Some(Command::Query),
            declared,
            described: Some(described),
        };
        let portal =
            Portal { prepared: Arc::new(prepared), values, formats: Vec::new(), state: State::Ready, hold };
        self.keep(name, portal)?;
        Ok(self.complete("DECLARE CURSOR").await?)
    }

    /// Keeps a portal or cursor under its name.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn keep(&mut self, name: &str, portal: Portal) -> Result<(), Fault> {
        if self.portals.len() >= PORTALS_MAX && !self.portals.contains_key(name) {
            let what = format!("more than {PORTALS_MAX} portals and cursors; close some");
            return Err(Report::new("54000", "too_many_portals", what).into());
        }
        self.portals.insert(name.to_string(), portal);
        Ok(())
    }

    async fn fetch(
        &mut self,
        name: &str,
        rows: Option<u64>,
        formats: &[i16],
        describe: bool,
    ) -> Result<(), Fault> {
        let command = Command::Fetch { name: name.to_string(), rows };
        // Rows that have begun to come stay in the formats that they began in.
        let begun = self.portals.get(name).filter(|portal| matches!(portal.state, State::Open(_)));
        let formats = begun.map_or_else(|| formats.to_vec(), |portal| portal.formats.clone());
        let columns = self.columns_of(&command, &formats)?;
        let Some(mut portal) = self.portals.remove(name) else { return Err(no_cursor(name).into()) };
        portal.formats = formats;
        if describe && let Some(columns) = columns {
            self.wire.put(Back::RowDescription(columns.description())).await?;
        }
        let sent = self.advance(&mut portal, rows).await;
        self.portals.insert(name.to_string(), portal);
        let tag = format!("FETCH {}", sent?.rows);
        Ok(self.complete(tag).await?)
    }
}

/// There is no prepared statement of this name.
pub(super) fn no_statement(name: &str) -> Report {
    Report::new("26000", "no_such_statement", format!("prepared statement {name:?} does not exist"))
}
