//! The extended protocol: parse once, bind values, ask for some rows at a time.

use std::sync::Arc;

use pgwire::messages::PgWireBackendMessage as Back;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{Bind, BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::EmptyQueryResponse;

use super::command::Command;
use super::cursor::no_statement;
use super::fault::{Fault, Report};
use super::parameter;
use super::portal::{Portal, Prepared, Sent, State};
use super::row::Columns;
use super::session::Session;
use super::simple::pieces;
use super::wire::{Message, Target};
use crate::{Error, Position};

/// Prepared statements of one connection.
const PREPARED_MAX: usize = schemas::limits::POSTGRES_PREPARED_MAX;
/// Bytes of all of them.
const PREPARED_BYTES_MAX: usize = schemas::limits::POSTGRES_PREPARED_BYTES_MAX;
/// Parameters of one statement.
const PARAMETERS_MAX: usize = schemas::limits::QUERY_PARAMETERS_MAX;

fn no_portal(name: &str) -> Report {
    Report::new("34000", "no_such_portal", format!("portal {name:?} does not exist"))
}

impl Session {
    /// Answers one message.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn extended(&mut self, message: Message) -> Result<(), Fault> {
        match message {
            Message::Parse { name, sql, types } => self.parse(name, sql, &types).await,
            Message::Bind(bind) => self.bind(&bind).await,
            Message::Describe(target) => self.describe_target(&target).await,
            Message::Execute { portal, rows_max } => self.execute(&portal, rows_max).await,
            Message::Close(target) => {
                match target {
                    Target::Statement(name) => drop(self.prepared.remove(&name)),
                    Target::Portal(name) => drop(self.portals.remove(&name)),
                }
                Ok(self.wire.put(Back::CloseComplete(CloseComplete::new())).await?)
            }
            Message::Flush => Ok(self.wire.flush().await?),
            _ => Ok(()),
        }
    }

    async fn parse(&mut self, name: String, sql: String, oids: &[u32]) -> Result<(), Fault> {
        self.prepared.remove("");
        if !name.is_empty() && self.prepared.contains_key(&name) {
            let what = format!("prepared statement {name:?} already exists");
            return Err(Report::new("42P05", "statement_exists", what).into());
        }
        if oids.len() > PARAMETERS_MAX {
            let what = format!("more than {PARAMETERS_MAX} parameters");
            return Err(Report::new("54000", "too_large", what).into());
        }
        let bytes: usize = self.prepared.values().map(|prepared| prepared.bytes()).sum();
        if self.prepared.len() >= PREPARED_MAX || bytes + sql.len() > PREPARED_BYTES_MAX {
            let what = format!(
                "more than {PREPARED_MAX} prepared statements or {PREPARED_BYTES_MAX} bytes of them; close some"
            );
            return Err(Report::new("54000", "too_many_statements", what).into());
        }
        let declared = parameter::declared(oids);
        let start = Position { line: 1, column: 1 };
        let found = match pieces(&sql).map(|pieces| {
            pieces.iter().map(|piece| (piece.text.to_string(), piece.start)).collect::<Vec<_>>()
        }) {
            Ok(found) => found,
            Err(error) => return Err(self.refuse(&sql, error).await),
        };
        let prepared = match <[_; 1]>::try_from(found) {
            Ok([(text, start)]) => {
                let command = self.admitted(&text).await.map_err(|fault| fault.within(&sql, start))?;
                let described = match &command {
                    Command::Query => Some(self.describe(&text, parameter::declared_kinds(&declared)).await),
                    Command::Declare { query, .. } => {
                        Some(self.describe(query, parameter::declared_kinds(&declared)).await)
                    }
                    _ => None,
                };
                let described = described.transpose().map_err(|fault| fault.within(&sql, start))?;
                Prepared { sql: text, whole: sql, start, command: Some(command), declared, described }
            }
            Err(none) if none.is_empty() => {
                Prepared { sql: String::new(), whole: sql, start, command: None, declared, described: None }
            }
            Err(_several) => {
                let detail = "a prepared statement is one statement".to_string();
                return Err(self.refuse(&sql, Error::Refused { code: "statement_count", detail }).await);
            }
        };
        self.prepared.insert(name, Arc::new(prepared));
        Ok(self.wire.put(Back::ParseComplete(ParseComplete::new())).await?)
    }

    fn statement_named(&self, name: &str) -> Result<Arc<Prepared>, Report> {
        self.prepared.get(name).cloned().ok_or_else(|| no_statement(name))
    }

    async fn bind(&mut self, bind: &Bind) -> Result<(), Fault> {
        let portal = bind.portal_name.clone().unwrap_or_default();
        let prepared = self.statement_named(bind.statement_name.as_deref().unwrap_or_default())?;
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return Err(
                Report::new("42P03", "cursor_exists", format!("portal {portal:?} already exists")).into()
            );
        }
        let kinds = prepared.described.as_ref().map_or(&[][..], |described| &described.params);
        let values = parameter::values(bind, &prepared.declared, kinds)?;
        let formats = bind.result_column_format_codes.clone();
        self.keep(&portal, Portal { prepared, values, formats, state: State::Ready, hold: false })?;
        Ok(self.wire.put(Back::BindComplete(BindComplete::new())).await?)
    }

    async fn describe_target(&mut self, target: &Target) -> Result<(), Fault> {
        let (prepared, formats) = match target {
            Target::Statement(name) => {
                let prepared = self.statement_named(name)?;
                let kinds = prepared.described.as_ref().map_or(&[][..], |described| &described.params);
                let oids = parameter::oids(&prepared.declared, kinds);
                self.wire.put(Back::ParameterDescription(ParameterDescription::new(oids))).await?;
                (prepared, Vec::new())
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (Arc::clone(&portal.prepared), portal.formats.clone())
            }
        };
        let columns = match (&prepared.command, &prepared.described) {
            (Some(Command::Query), Some(described)) => Some(Columns::new(&described.schema, &formats)),
            (Some(command), _) => self.columns_of(command, &formats)?,
            (None, _) => None,
        };
        let message = match columns {
            Some(columns) => Back::RowDescription(columns.description()),
            None => Back::NoData(NoData::new()),
        };
        Ok(self.wire.put(message).await?)
    }

    async fn execute(&mut self, name: &str, rows_max: u32) -> Result<(), Fault> {
        let Some(mut portal) = self.portals.remove(name) else { return Err(no_portal(name).into()) };
        let prepared = Arc::clone(&portal.prepared);
        let done = match &prepared.command {
            None => {
                self.wire.put(Back::EmptyQueryResponse(EmptyQueryResponse::new())).await.map_err(Fault::from)
            }
            Some(Command::Query) => {
                // Between parsing and now, the transaction may have failed.
                match self.admitted(&prepared.sql).await {
                    Ok(_) => self.execute_query(&mut portal, rows_max).await,
                    Err(fault) => Err(fault),
                }
            }
            Some(_) => match self.admitted(&prepared.sql).await {
                Ok(command) => {
                    let declared = prepared.declared.clone();
                    self.perform(
                        &command,
                        std::mem::take(&mut portal.values),
                        declared,
                        &portal.formats,
                        false,
                    )
                    .await
                }
                Err(fault) => Err(fault),
            },
        };
        // A transaction that ended took its portals with it.
        self.portals.entry(name.to_string()).or_insert(portal);
        done.map_err(|fault| fault.within(&prepared.whole, prepared.start))
    }

    async fn execute_query(&mut self, portal: &mut Portal, rows_max: u32) -> Result<(), Fault> {
        let max = (rows_max > 0).then_some(u64::from(rows_max));
        let sent = self.advance(portal, max).await?;
        match sent.is_all {
            true => self.complete(format!("SELECT {}", sent.rows)).await?,
            false => self.wire.put(Back::PortalSuspended(PortalSuspended::new())).await?,
        }
        Ok(())
    }

    /// Sends the next rows of a portal; its query starts with the first of them.
    ///
    /// # Errors
    /// [`Fault`]; the portal is done then.
    pub(super) async fn advance(
        &mut self,
        portal: &mut Portal,
        rows_max: Option<u64>,
    ) -> Result<Sent, Fault> {
        let mut rows = match std::mem::replace(&mut portal.state, State::Done) {
            State::Ready => Box::new(self.open(portal).await?),
            State::Open(rows) => rows,
            State::Done => return Ok(Sent { rows: 0, is_all: true }),
        };
        let running = self.place.running(rows.gone());
        let sent = rows.send(&mut self.wire, rows_max).await?;
        drop(running);
        if !sent.is_all {
            portal.state = State::Open(rows);
        }
        Ok(sent)
    }
}
