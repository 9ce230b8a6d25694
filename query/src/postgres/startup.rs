//! The start of a connection: encryption, a cancel request, or a password.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use pgwire::messages::PgWireBackendMessage as Back;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey, Startup,
};
use schemas::principal::Principal;

use super::cancel::Place;
use super::fault::Report;
use super::session::Session;
use super::setting::Settings;
use super::wire::{Fields, Wire};
use super::{Door, Login, Peer, Refusal};
use crate::access::{Access, Status};
use crate::{Error, Result as CoreResult};

/// What a startup message without a type begins with.
const CANCEL: i32 = 80_877_102;
const ENCRYPT: i32 = 80_877_103;
const ENCRYPT_KERBEROS: i32 = 80_877_104;
/// Database that every tenant's token may name.
const DATABASE: &str = "tacho";
/// How often a connection may ask for encryption before it says who it is: once for each kind.
const REQUESTS_MAX: usize = schemas::limits::POSTGRES_REQUESTS_MAX;

/// What a client has said of itself.
struct Start {
    minor: u16,
    unknown: Vec<String>,
    parameters: BTreeMap<String, String>,
}

/// Takes a connection to where it may ask; `None` where it wanted something else, or may not.
///
/// # Errors
/// When the connection breaks, or does not speak this protocol.
pub(super) async fn start(wire: Wire, peer: Peer, door: &Arc<Door>) -> io::Result<Option<Session>> {
    let Some((mut wire, start, is_encrypted)) = first(wire, peer, door).await? else { return Ok(None) };
    if door.options.upgrade.is_some() && !is_encrypted && !peer.ip.is_loopback() {
        let report = Report::new("28000", "encryption_required", "this port takes no password in the clear")
            .with_hint("set sslmode=require");
        turned_away(door, peer, "login", &report);
        return refuse(wire, &report).await;
    }
    if start.minor > 0 || !start.unknown.is_empty() {
        let version = NegotiateProtocolVersion::new(Startup::PROTOCOL_VERSION_3_0, start.unknown.clone());
        wire.put(Back::NegotiateProtocolVersion(version)).await?;
    }
    wire.put(Back::Authentication(Authentication::CleartextPassword)).await?;
    wire.flush().await?;
    let Some(password) = wire.password().await? else { return Ok(None) };
    let user = start.parameters.get("user").cloned().unwrap_or_default();
    let login = Login { user: user.clone(), password, source_ip: peer.ip.to_string() };
    let principal = match (door.options.authenticate)(login).await {
        Ok(principal) => Principal { door: "pg", ..principal },
        Err(Refusal) => {
            return refuse(wire, &Report::new("28P01", "unauthenticated", "password authentication failed"))
                .await;
        }
    };
    let begun = begin(door, &principal, &start, &user).await;
    let (settings, database) = match begun {
        Ok(begun) => begun,
        Err(report) => return refuse(wire, &report).await,
    };
    let Some(place) = place(door) else {
        return refuse(wire, &Report::new("53000", "internal", "there is no randomness for a key")).await;
    };
    welcome(&mut wire, &settings, &place).await?;
    Ok(Some(Session::new(wire, Arc::clone(door), principal, database, settings, place)))
}

/// Encrypts if asked to, until the client says who it is.
async fn first(mut wire: Wire, peer: Peer, door: &Door) -> io::Result<Option<(Wire, Start, bool)>> {
    let mut is_encrypted = false;
    for _ in 0..=REQUESTS_MAX {
        let Some(body) = wire.startup().await? else { return Ok(None) };
        let mut fields = Fields(body);
        match fields.int()? {
            ENCRYPT => match &door.options.upgrade {
                Some(upgrade) if !is_encrypted => {
                    wire.put_byte(b'S').await?;
                    let stream = upgrade(wire.into_stream()?).await?;
                    wire = Wire::new(stream, door.options.write_timeout);
                    is_encrypted = true;
                }
                _ => wire.put_byte(b'N').await?,
            },
            ENCRYPT_KERBEROS => wire.put_byte(b'N').await?,
            CANCEL => {
                let (pid, secret) = (fields.int(), fields.int());
                let is_key =
                    matches!((pid, secret), (Ok(pid), Ok(secret)) if door.cancels.cancel(pid, secret));
                // Nobody is told whether there was something to cancel: not by the time either that recording takes.
                let closed = wire.close().await;
                if !is_key {
                    let report = Report::new("28000", "wrong_cancel_key", "no connection has this key");
                    turned_away(door, peer, "cancel", &report);
                }
                return closed.map(|()| None);
            }
            version if version >> 16 == i32::from(Startup::PG_PROTOCOL_LATEST) => {
                let start = parameters(fields, (version & 0xffff) as u16)?;
                return Ok(Some((wire, start, is_encrypted)));
            }
            _ => {
                let report = Report::new("0A000", "protocol", "this door speaks version 3.0 of the protocol");
                return refuse(wire, &report).await.map(|_: Option<Session>| None);
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "too many requests for encryption"))
}

fn parameters(mut fields: Fields, minor: u16) -> io::Result<Start> {
    let mut start = Start { minor, unknown: Vec::new(), parameters: BTreeMap::new() };
    loop {
        let name = fields.text()?;
        if name.is_empty() {
            return Ok(start);
        }
        let value = fields.text()?;
        // Options of newer protocols.
        if name.starts_with("_pq_.") {
            start.unknown.push(name);
        } else {
            start.parameters.insert(name, value);
        }
    }
}

/// Puts on the access log why somebody was turned away who has shown no password.
fn turned_away(door: &Door, peer: Peer, action: &'static str, report: &Report) {
    let error = Error::Refused { code: report.code(), detail: report.text().to_string() };
    door.query.turned_away("pg", peer.ip, action, error);
}

async fn refuse<T>(mut wire: Wire, report: &Report) -> io::Result<Option<T>> {
    wire.put(report.message("FATAL")).await?;
    wire.close().await.map(|()| None)
}

/// Settings and database of a principal that has shown its password; the login is on the access log.
async fn begin(
    door: &Door,
    principal: &Principal,
    start: &Start,
    user: &str,
) -> Result<(Settings, String), Report> {
    let statement = format!("connect to {:?}", start.parameters.get("database").map_or(user, String::as_str));
    let refused =
        async |report: Report, error: Error| match door.query.refused(principal, &statement, &error).await {
            Ok(()) => report,
            Err(error) => Report::of(&error),
        };
    if !principal.role.asks() {
        let error = Error::Forbidden(format!("role {} may not ask", principal.role));
        return Err(refused(Report::of(&error), error).await);
    }
    // A client that names no database asks for one called like its user.
    let database = start.parameters.get("database").map_or(user, String::as_str);
    let database = match database {
        "" => DATABASE,
        name if name == principal.tenant || name == DATABASE || name == user => name,
        name => {
            let what = format!("there is no database {name:?}");
            let report = Report::new("3D000", "no_such_database", what.clone())
                .with_hint(format!("dbname={DATABASE} is the record of your token's tenant"));
            return Err(refused(report, Error::NotFound(what)).await);
        }
    };
    let mut settings = Settings::new(&principal.id);
    let set = start
        .parameters
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "user" | "database" | "options" | "replication"))
        .try_for_each(|(name, value)| settings.start(name, value));
    let is_replica = |value: &String| !matches!(value.as_str(), "false" | "off" | "0");
    let taken = set
        .and_then(|()| options(&mut settings, start.parameters.get("options").map_or("", String::as_str)))
        .and_then(|()| match start.parameters.get("replication").is_some_and(is_replica) {
            true => Err(Report::new("0A000", "replication", "there is no replication here")),
            false => Ok(()),
        });
    if let Err(report) = taken {
        // The password was right: that someone has it is on record, whatever else they wanted.
        let error = Error::Refused { code: report.code(), detail: report.text().to_string() };
        return Err(refused(report, error).await);
    }
    record(door, principal, &statement).await.map_err(|error| Report::of(&error))?;
    Ok((settings, database.to_string()))
}

async fn record(door: &Door, principal: &Principal, statement: &str) -> CoreResult<()> {
    let access = door.query.access();
    let id = access.new_query_id();
    let login = Access { statement: Some(statement), ..Access::outcome(principal, &id, "login", Status::Ok) };
    access.record(login).await
}

/// `-c name=value` as often as it comes, with `\ ` for a space in a value.
fn options(settings: &mut Settings, text: &str) -> Result<(), Report> {
    let marked = text.replace("\\ ", "\u{1}");
    let mut words = marked.split_whitespace();
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next().unwrap_or_default(),
            Some(rest) => rest,
            None => {
                return Err(Report::new("22023", "setting_refused", format!("option {word:?} is not taken")));
            }
        };
        let (name, value) = assignment.split_once('=').unwrap_or((assignment, ""));
        settings.start(name, &value.replace('\u{1}', " "))?;
    }
    Ok(())
}

/// A number and a key that are nobody's.
fn place(door: &Door) -> Option<Place> {
    loop {
        let mut random = [0u8; 8];
        if !(door.options.randomness)(&mut random) {
            return None;
        }
        let mut fields = Fields(Bytes::copy_from_slice(&random));
        let (pid, secret) = (fields.int().ok()? & i32::MAX, fields.int().ok()?);
        if let Some(place) = door.cancels.register(pid, secret) {
            return Some(place);
        }
    }
}

async fn welcome(wire: &mut Wire, settings: &Settings, place: &Place) -> io::Result<()> {
    wire.put(Back::Authentication(Authentication::Ok)).await?;
    for (name, value) in settings.reported() {
        wire.put(Back::ParameterStatus(ParameterStatus::new((*name).to_string(), value.clone()))).await?;
    }
    wire.put(Back::BackendKeyData(BackendKeyData::new(place.pid, SecretKey::I32(place.secret)))).await?;
    wire.put(Back::ReadyForQuery(ReadyForQuery::new(TransactionStatus::Idle))).await?;
    wire.flush().await
}

#[cfg(test)]
mod tests;
