//! One connection to a receiver: what is written to it, whether it has arrived, and whether it is still open.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion};
use schemas::limits::{
    SINK_CONNECT_TIMEOUT_MS, SINK_IDLE_MS, SYSLOG_ACKNOWLEDGED_POLL_FIRST_MS,
    SYSLOG_ACKNOWLEDGED_POLL_LONGEST_MS, SYSLOG_PEER_BYTES_MAX, SYSLOG_READ_WAIT_MS, SYSLOG_TICKET_WAIT_MS,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::unacknowledged::{Unacknowledged, unacknowledged};

/// Who is connected to.
#[derive(Debug)]
pub(super) struct Peer {
    address: String,
    /// Whose certificate it must have, over TLS.
    name: Option<ServerName<'static>>,
}

impl Peer {
    /// `host:port`, and for TLS the name that the certificate is of, where that is not the host.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn new(address: &str, tls: Option<Option<&str>>) -> Result<Peer, String> {
        let wrong = || format!("address {address:?}: give host:port");
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(wrong());
        }
        let name = tls.map(|name| {
            let name = name.unwrap_or(host).trim_matches(['[', ']']);
            ServerName::try_from(name.to_string())
                .map_err(|_| format!("{name:?} is no name that a certificate has"))
        });
        Ok(Peer { address: address.to_string(), name: name.transpose()? })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// An open connection.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    /// The same socket, to ask the kernel itself: what the runtime knows of it is as old as its last look.
    socket: OwnedFd,
    local: SocketAddr,
    remote: SocketAddr,
    /// Whether the kernel's list of sockets has it, so that it is closed when that has it no more.
    is_listed: bool,
    /// What the receiver has said so far, bytes.
    heard: usize,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, and over TLS agrees on it.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn open(
        peer: &Peer,
        config: Option<&Arc<ClientConfig>>,
        timeout: Duration,
    ) -> Result<Connection, String> {
        let because = |error: io::Error| format!("no connection: {error}");
        let open = async {
            let stream = TcpStream::connect(&peer.address).await.map_err(because)?;
            watch(&stream, timeout).map_err(because)?;
            let socket = stream.as_fd().try_clone_to_owned().map_err(because)?;
            let (local, remote) =
                (stream.local_addr().map_err(because)?, stream.peer_addr().map_err(because)?);
            let mut may_refuse = false;
            let stream: Box<dyn Stream> = match (&peer.name, config) {
                (Some(name), Some(config)) => {
                    let connector = TlsConnector::from(Arc::clone(config));
                    let stream = connector.connect(name.clone(), stream).await.map_err(because)?;
                    may_refuse = stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3);
                    Box::new(stream)
                }
                _ => Box::new(stream),
            };
            let mut connection = Connection { stream, socket, local, remote, is_listed: false, heard: 0 };
            if may_refuse {
                connection.let_in().await?;
            }
            let known = connection.unacknowledged().await?;
            connection.is_listed = matches!(known, Unacknowledged::Nothing | Unacknowledged::Some);
            if !connection.is_listed {
                tracing::debug!(?known, "what a receiver of syslog acknowledges is not known");
            }
            Ok(connection)
        };
        let opened = tokio::time::timeout(Duration::from_millis(SINK_CONNECT_TIMEOUT_MS), open).await;
        opened.unwrap_or_else(|_| Err(format!("no connection in {SINK_CONNECT_TIMEOUT_MS} ms")))
    }

    /// With TLS 1.3 a client has agreed before the server has looked at its certificate, and could write into a connection that is about to
    /// be refused. What a server sends behind that is a ticket, or why it refuses: for that is waited, though not for long, since some
    /// send no ticket.
    ///
    /// # Errors
    /// Why it is not let in.
    async fn let_in(&mut self) -> Result<(), String> {
        let mut waited_ms = 0;
        while waited_ms < SYSLOG_TICKET_WAIT_MS && self.peek() == Peeked::Nothing {
            tokio::time::sleep(Duration::from_millis(SYSLOG_ACKNOWLEDGED_POLL_FIRST_MS)).await;
            waited_ms += SYSLOG_ACKNOWLEDGED_POLL_FIRST_MS;
        }
        self.check().await
    }

    /// What the kernel has of the receiver's.
    fn peek(&self) -> Peeked {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.socket, &mut [0_u8; 1], flags) {
            Ok((_, 0)) => Peeked::End,
            Ok(_) => Peeked::Something,
            Err(Errno::WOULDBLOCK | Errno::INTR) => Peeked::Nothing,
            Err(error) => Peeked::Broken(io::Error::from(error).to_string()),
        }
    }

    /// Whether it is open, as far as this machine knows. What the receiver says is read and passed over.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn check(&mut self) -> Result<(), String> {
        let mut bytes = [0; 4096];
        loop {
            match self.peek() {
                Peeked::Nothing => return Ok(()),
                Peeked::End => return Err("it closed the connection".to_string()),
                Peeked::Broken(error) => return Err(format!("the connection broke: {error}")),
                Peeked::Something => {}
            }
            let read = self.stream.read(&mut bytes);
            match tokio::time::timeout(Duration::from_millis(SYSLOG_READ_WAIT_MS), read).await {
                Ok(Ok(0)) => return Err("it closed the connection".to_string()),
                Ok(Ok(read)) => self.heard += read,
                Ok(Err(error)) => return Err(format!("the connection broke: {error}")),
                // It was TLS's own, or is not whole yet.
                Err(_) => return Ok(()),
            }
            if self.heard > SYSLOG_PEER_BYTES_MAX {
                return Err("it talks, which no receiver of syslog does".to_string());
            }
        }
    }

    async fn unacknowledged(&self) -> Result<Unacknowledged, String> {
        let (local, remote) = (self.local, self.remote);
        let asked = tokio::task::spawn_blocking(move || unacknowledged(local, remote)).await;
        asked.map_err(|error| error.to_string())
    }

    /// Writes, and waits until the receiver's machine has acknowledged all of it and the connection is open behind that.
    ///
    /// # Errors
    /// Why not; all of it is then to be sent again, on another connection.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let because = |error: io::Error| format!("the connection broke: {error}");
        self.stream.write_all(bytes).await.map_err(because)?;
        self.stream.flush().await.map_err(because)?;
        let mut pause_ms = SYSLOG_ACKNOWLEDGED_POLL_FIRST_MS;
        loop {
            self.check().await?;
            if !self.is_listed {
                return Ok(());
            }
            match self.unacknowledged().await? {
                Unacknowledged::Nothing => return self.check().await,
                Unacknowledged::Some => {}
                Unacknowledged::Closed | Unacknowledged::Unlisted => {
                    return Err("the connection broke".to_string());
                }
                Unacknowledged::Unknown(why) => return Err(why),
            }
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(SYSLOG_ACKNOWLEDGED_POLL_LONGEST_MS);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Peeked {
    Nothing,
    Something,
    End,
    Broken(String),
}

/// Has the kernel give up a connection over which nothing is acknowledged, and look after one over which nothing goes.
fn watch(stream: &TcpStream, timeout: Duration) -> io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX))?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_millis(SINK_IDLE_MS))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_millis(SINK_CONNECT_TIMEOUT_MS))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for wrong in ["", "soc.example", ":514", "soc.example:", "soc.example:0", "soc.example:70000"] {
            assert!(Peer::new(wrong, None).is_err(), "{wrong}");
        }
        let of =
            |address: &str, name| Peer::new(address, Some(name)).unwrap().name.unwrap().to_str().into_owned();
        assert!(of("soc.example:6514", None).contains("soc.example"));
        assert!(of("[::1]:6514", None).contains("::1"));
        assert!(of("10.0.0.1:6514", Some("soc.example")).contains("soc.example"));
        assert!(Peer::new("a b:6514", Some(None)).is_err());
    }
}
