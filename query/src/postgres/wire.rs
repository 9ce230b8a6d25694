//! Messages: read within limits, written in pieces.
//!
//! Messages from a client are taken apart here, byte by byte and with every length checked: `pgwire` reads past a
//! message that is shorter than it says. Messages to a client are `pgwire`'s.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::Bind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Stream;

/// Bytes of answer gathered before they are sent.
const OUTPUT_BYTES: usize = schemas::limits::POSTGRES_OUTPUT_BYTES;
/// Bytes of a message before the password was checked.
const STARTUP_BYTES_MAX: usize = schemas::limits::POSTGRES_STARTUP_BYTES_MAX;
/// Bytes of a message after that.
const MESSAGE_BYTES_MAX: usize = schemas::limits::POSTGRES_MESSAGE_BYTES_MAX;

/// A message of a client that may ask.
#[derive(Debug)]
pub(super) enum Message {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target),
    Execute {
        portal: String,
        rows_max: u32,
    },
    Close(Target),
    Flush,
    Sync,
    Terminate,
    /// Longer than the limit; its bytes are gone. Whether it belongs to the extended protocol.
    TooLarge {
        is_extended: bool,
    },
    /// A message that means nothing now.
    Other,
}

/// A prepared statement or a portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Statement(String),
    Portal(String),
}

/// A connection with what was read too far and what is not sent yet.
pub(super) struct Wire {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    write_timeout: Duration,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("invalid message: {what}"))
}

impl Wire {
    pub(super) fn new(stream: Stream, write_timeout: Duration) -> Wire {
        Wire { stream, input: BytesMut::new(), output: BytesMut::new(), write_timeout }
    }

    /// The connection itself, to be encrypted. Nothing may have been read that was sent in the clear.
    ///
    /// # Errors
    /// When there was.
    pub(super) fn into_stream(self) -> io::Result<Stream> {
        match self.input.is_empty() {
            true => Ok(self.stream),
            false => Err(invalid("bytes before encryption")),
        }
    }

    /// Reads until `bytes` are there; `false` where the client ended before the first of them.
    async fn fill(&mut self, bytes: usize) -> io::Result<bool> {
        while self.input.len() < bytes {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return match self.input.is_empty() {
                    true => Ok(false),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
        Ok(true)
    }

    /// What follows a length that counts itself.
    fn body_length(length: u32) -> io::Result<usize> {
        length.checked_sub(4).map(|length| length as usize).ok_or_else(|| invalid("length"))
    }

    /// A message of the start, which has no type: its body.
    pub(super) async fn startup(&mut self) -> io::Result<Option<Bytes>> {
        if !self.fill(4).await? {
            return Ok(None);
        }
        let length = Wire::body_length(self.input.get_u32())?;
        if !(4..=STARTUP_BYTES_MAX).contains(&length) {
            return Err(invalid("length of a startup message"));
        }
        self.body(length).await.map(Some)
    }

    /// The message that holds the password.
    pub(super) async fn password(&mut self) -> io::Result<Option<String>> {
        if !self.fill(5).await? {
            return Ok(None);
        }
        let kind = self.input.get_u8();
        let length = Wire::body_length(self.input.get_u32())?;
        if kind != b'p' || length > STARTUP_BYTES_MAX {
            return Err(invalid("a password was expected"));
        }
        let body = self.body(length).await?;
        Fields(body).text().map(Some)
    }

    async fn body(&mut self, length: usize) -> io::Result<Bytes> {
        if length > 0 && !self.fill(length).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.input.split_to(length).freeze())
    }

    /// Reads on until `length` bytes have gone by.
    async fn skip(&mut self, mut length: usize) -> io::Result<()> {
        while length > 0 {
            if !self.fill(1).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let there = self.input.len().min(length);
            self.input.advance(there);
            length -= there;
        }
        Ok(())
    }

    /// The next message; `None` where the client has ended.
    pub(super) async fn next(&mut self) -> io::Result<Option<Message>> {
        if !self.fill(5).await? {
            return Ok(None);
        }
        let kind = self.input.get_u8();
        let length = Wire::body_length(self.input.get_u32())?;
        if length > MESSAGE_BYTES_MAX {
            self.skip(length).await?;
            return Ok(Some(Message::TooLarge { is_extended: kind != b'Q' }));
        }
        let body = self.body(length).await?;
        parse(kind, body).map(Some)
    }

    /// Gathers a message, and sends what is there once it is much.
    pub(super) async fn put(&mut self, message: PgWireBackendMessage) -> io::Result<()> {
        message.encode(&mut self.output).map_err(io::Error::other)?;
        if self.output.len() >= OUTPUT_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends one byte: the answer to a request for encryption.
    pub(super) async fn put_byte(&mut self, byte: u8) -> io::Result<()> {
        self.output.extend_from_slice(&[byte]);
        self.flush().await
    }

    /// Sends everything. A client that takes nothing for too long is given up.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        while !self.output.is_empty() {
            timeout(self.write_timeout, self.stream.write_buf(&mut self.output)).await.map_err(late)??;
        }
        timeout(self.write_timeout, self.stream.flush()).await.map_err(late)?
    }

    /// Sends everything and ends the connection.
    pub(super) async fn close(mut self) -> io::Result<()> {
        self.flush().await?;
        timeout(self.write_timeout, self.stream.shutdown())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// What is left of a message's body.
pub(super) struct Fields(pub(super) Bytes);

impl Fields {
    fn short() -> io::Error {
        invalid("it ends too early")
    }

    /// A text up to a zero byte.
    pub(super) fn text(&mut self) -> io::Result<String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(Fields::short)?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(text.to_vec()).map_err(|_| invalid("a text is not UTF-8"))
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.0.try_get_u8().map_err(|_| Fields::short())
    }

    fn short_int(&mut self) -> io::Result<i16> {
        self.0.try_get_i16().map_err(|_| Fields::short())
    }

    pub(super) fn int(&mut self) -> io::Result<i32> {
        self.0.try_get_i32().map_err(|_| Fields::short())
    }

    /// A count, then as many of `item`; one takes at least `bytes`.
    fn list<T>(&mut self, bytes: usize, item: impl Fn(&mut Fields) -> io::Result<T>) -> io::Result<Vec<T>> {
        let count = usize::from(self.0.try_get_u16().map_err(|_| Fields::short())?);
        if count * bytes > self.0.len() {
            return Err(Fields::short());
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn value(&mut self) -> io::Result<Option<Bytes>> {
        match usize::try_from(self.int()?) {
            Ok(length) if length <= self.0.len() => Ok(Some(self.0.split_to(length))),
            Ok(_) => Err(Fields::short()),
            Err(_) => Ok(None),
        }
    }

    fn target(&mut self) -> io::Result<Target> {
        match self.byte()? {
            b'S' => self.text().map(Target::Statement),
            b'P' => self.text().map(Target::Portal),
            _ => Err(invalid("neither a statement nor a portal")),
        }
    }
}

fn parse(kind: u8, body: Bytes) -> io::Result<Message> {
    let mut fields = Fields(body);
    Ok(match kind {
        b'Q' => Message::Query(fields.text()?),
        b'P' => Message::Parse {
            name: fields.text()?,
            sql: fields.text()?,
            types: fields.list(4, |fields| fields.int().map(|oid| oid as u32))?,
        },
        b'B' => Message::Bind(Bind::new(
            Some(fields.text()?),
            Some(fields.text()?),
            fields.list(2, Fields::short_int)?,
            fields.list(4, Fields::value)?,
            fields.list(2, Fields::short_int)?,
        )),
        b'D' => Message::Describe(fields.target()?),
        b'E' => {
            let portal = fields.text()?;
            // Less than one means all.
            Message::Execute { portal, rows_max: u32::try_from(fields.int()?).unwrap_or(0) }
        }
        b'C' => Message::Close(fields.target()?),
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        // COPY was refused; what a client sends of it all the same is passed over.
        b'd' | b'c' | b'f' => Message::Other,
        _ => return Err(invalid("of no known type")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_ends_too_early_is_an_error() {
        for (kind, body) in [
            (b'Q', &b"SELECT 1"[..]),
            (b'P', b"\0x\0"),
            (b'P', b"\0x\0\0\x01"),
            (b'B', b"\0\0\0\0\xff\xff\0\0"),
            (b'B', b"\0\0\0\0\0\x01\0\0\0\x09a\0\0"),
            (b'D', b"X\0"),
            (b'E', b"\0\0"),
            (b'?', b""),
        ] {
            assert!(parse(kind, Bytes::from_static(body)).is_err(), "{} {body:?}", char::from(kind));
        }
        assert!(matches!(parse(b'Q', Bytes::from_static(b"SELECT 1\0")), Ok(Message::Query(_))));
    }
}
