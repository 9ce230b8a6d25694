//! A connection that may ask: one message after the other, until it ends.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use pgwire::messages::PgWireBackendMessage as Back;
use pgwire::messages::response::{CommandComplete, ReadyForQuery, TransactionStatus};
use schemas::principal::Principal;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Door;
use super::accept::until;
use super::cancel::Place;
use super::fault::{Fault, Report};
use super::portal::{Portal, Prepared, Rows};
use super::setting::Settings;
use super::wire::{Message, Wire};
use crate::catalogue::Client;
use crate::core::{Described, Job, Param, with_params};
use crate::{Error, Position};

/// Everything of one connection.
pub(super) struct Session {
    pub(super) wire: Wire,
    pub(super) door: Arc<Door>,
    pub(super) principal: Principal,
    database: String,
    pub(super) settings: Settings,
    /// What the settings were when the transaction began, and those of it alone.
    pub(super) before: Option<Settings>,
    pub(super) local: Vec<(&'static str, String)>,
    pub(super) place: Place,
    pub(super) status: TransactionStatus,
    pub(super) prepared: HashMap<String, Arc<Prepared>>,
    pub(super) portals: HashMap<String, Portal>,
    /// A message of the extended protocol failed: those up to the next Sync are passed over.
    skipping: bool,
    /// When the principal was let in, microseconds.
    since_us: i64,
}

impl Session {
    pub(super) fn new(
        wire: Wire,
        door: Arc<Door>,
        principal: Principal,
        database: String,
        settings: Settings,
        place: Place,
    ) -> Session {
        let since_us = door.query.access().now_us();
        Session {
            since_us,
            wire,
            door,
            principal,
            database,
            settings,
            before: None,
            local: Vec::new(),
            place,
            status: TransactionStatus::Idle,
            prepared: HashMap::new(),
            portals: HashMap::new(),
            skipping: false,
        }
    }

    /// Answers until the client ends, says nothing for too long, or the service is `stopped`.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
        let idle = self.door.options.idle_timeout;
        loop {
            let message = tokio::select! {
                () = until(&mut stopped) => {
                    return self.end(&Report::new("57P01", "stopping", "the service is going down")).await;
                }
                message = timeout(idle, self.wire.next()) => message,
            };
            let message = match message {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    return self.end(&Report::new("08P01", "protocol", error.to_string())).await;
                }
                Ok(Err(error)) => return Err(error),
                Err(_elapsed) => {
                    return self
                        .end(&Report::new("57P05", "idle", "the connection said nothing for too long"))
                        .await;
                }
            };
            if !(self.door.options.still_in)(&self.principal, self.since_us) {
                let over = Report::new("28000", "unauthenticated", "the credential is no longer taken");
                return self.end(&over).await;
            }
            match message {
                Message::Terminate => return Ok(()),
                Message::Sync => {
                    self.skipping = false;
                    self.end_of_statement();
                    self.ready().await?;
                }
                _ if self.skipping => {}
                Message::Query(text) => self.simple(&text).await?,
                Message::TooLarge { is_extended } => self.too_large(is_extended).await?,
                message => {
                    if let Err(fault) = self.extended(message).await {
                        self.tell(fault).await?;
                        self.wire.flush().await?;
                        self.skipping = true;
                    }
                }
            }
        }
    }

    async fn too_large(&mut self, is_extended: bool) -> io::Result<()> {
        let limit = schemas::limits::POSTGRES_MESSAGE_BYTES_MAX as u64;
        let error = Error::TooLarge { what: "the message in bytes", limit };
        let fault = self.refuse("a message that was not read", error).await;
        self.tell(fault).await?;
        if is_extended {
            self.skipping = true;
            return self.wire.flush().await;
        }
        self.ready().await
    }

    /// Ends the connection with a last word.
    async fn end(mut self, report: &Report) -> io::Result<()> {
        self.wire.put(report.message("FATAL")).await?;
        self.wire.close().await
    }

    /// Tells the client why its statement has ended; a transaction has failed with it.
    ///
    /// # Errors
    /// When the connection breaks, or has.
    pub(super) async fn tell(&mut self, fault: Fault) -> io::Result<()> {
        match fault {
            Fault::Gone(error) => Err(error),
            Fault::Report(report) => {
                self.status = self.status.to_error_state();
                self.wire.put(report.message("ERROR")).await
            }
        }
    }

    /// Tells the client that it may go on.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        self.wire.put(Back::ReadyForQuery(ReadyForQuery::new(self.status))).await?;
        self.wire.flush().await
    }

    /// # Errors
    /// When the connection breaks.
    pub(super) async fn complete(&mut self, tag: impl Into<String>) -> io::Result<()> {
        self.wire.put(Back::CommandComplete(CommandComplete::new(tag.into()))).await
    }

    /// Outside of a transaction, portals end with the statement.
    pub(super) fn end_of_statement(&mut self) {
        if self.status == TransactionStatus::Idle {
            self.portals.retain(|_, portal| portal.hold);
        }
    }

    /// Puts on the access log why something was not asked, and gives the same to tell.
    pub(super) async fn refuse(&self, statement: &str, error: Error) -> Fault {
        match self.door.query.refused(&self.principal, statement, &error).await {
            Ok(()) => error.into(),
            Err(unaudited) => unaudited.into(),
        }
    }

    fn job(&self, sql: &str, values: Vec<ScalarValue>, types: Vec<Option<DataType>>) -> Job {
        let client = Client {
            user: self.principal.id.clone(),
            database: self.database.clone(),
            pid: self.place.pid,
            settings: self.settings.all().to_vec(),
            types,
        };
        Job {
            action: "sql",
            statement: with_params(sql, &values),
            parts: vec![(sql.to_string(), values.into_iter().map(Param::Value).collect())],
            format: Some("pg"),
            deadline_ms: self.settings.statement_timeout_ms(),
            client: Some(Arc::new(client)),
            ..Job::default()
        }
    }

    /// Asks the query core; rows come in `formats`.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn ask(
        &self,
        sql: &str,
        values: Vec<ScalarValue>,
        types: Vec<Option<DataType>>,
        formats: &[i16],
    ) -> Result<Rows, Fault> {
        let job = self.job(sql, values, types);
        let gone = job.gone.clone();
        let answer = self.until_cancelled(&gone, self.door.query.run(&self.principal, job)).await;
        match answer {
            Ok(answer) => Ok(Rows::new(answer, gone, formats)),
            Err(error) => Err(faulted(sql, &error)),
        }
    }

    /// What the query core would answer.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn describe(&self, sql: &str, types: Vec<Option<DataType>>) -> Result<Described, Fault> {
        let job = self.job(sql, Vec::new(), types);
        let gone = job.gone.clone();
        let described = self.until_cancelled(&gone, self.door.query.describe(&self.principal, job)).await;
        described.map_err(|error| faulted(sql, &error))
    }

    async fn until_cancelled<T>(
        &self,
        gone: &CancellationToken,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let _running = self.place.running(gone);
        tokio::select! {
            biased;
            () = gone.cancelled() => Err(Error::Cancelled),
            asked = asked => asked,
        }
    }
}

/// Whoever would write is told that nothing can be written, not that a word is unknown.
fn faulted(sql: &str, error: &Error) -> Fault {
    let mut report = Report::of(error);
    let first = sql.split(|letter: char| !letter.is_ascii_alphabetic()).find(|word| !word.is_empty());
    let writes = [
        "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "DROP", "ALTER", "TRUNCATE", "GRANT", "REVOKE",
        "COMMENT", "VACUUM", "REINDEX", "ANALYZE", "REFRESH",
    ];
    if error.code() == "statement_not_allowed"
        && first.is_some_and(|first| writes.iter().any(|word| word.eq_ignore_ascii_case(first)))
    {
        report.sqlstate = "25006";
    }
    report.into()
}

impl Fault {
    /// Of a statement that begins at `start` of `text`.
    pub(super) fn within(self, text: &str, start: Position) -> Fault {
        match self {
            Fault::Report(report) => Fault::from(report.within(text, start)),
            gone => gone,
        }
    }
}
