//! One connection to a receiver: what is written to it, whether it has arrived, and whether it is still open.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use schemas::limits::{
    SINK_CONNECT_TIMEOUT_MS, SINK_IDLE_MS, SYSLOG_ACKNOWLEDGED_POLL_FIRST_MS,
    SYSLOG_ACKNOWLEDGED_POLL_LONGEST_MS, SYSLOG_PEER_BYTES_MAX,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
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

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open connection.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    local: SocketAddr,
    remote: SocketAddr,
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
        let because = |error: std::io::Error| format!("no connection: {error}");
        let open = async {
            let stream = TcpStream::connect(&peer.address).await.map_err(because)?;
            watch(&stream, timeout).map_err(because)?;
            let (local, remote) =
                (stream.local_addr().map_err(because)?, stream.peer_addr().map_err(because)?);
            let stream: Box<dyn Stream> = match (&peer.name, config) {
                (Some(name), Some(config)) => {
                    let connector = TlsConnector::from(Arc::clone(config));
                    Box::new(connector.connect(name.clone(), stream).await.map_err(because)?)
                }
                _ => Box::new(stream),
            };
            Ok(Connection { stream, local, remote, heard: 0 })
        };
        let opened = tokio::time::timeout(Duration::from_millis(SINK_CONNECT_TIMEOUT_MS), open).await;
        opened.unwrap_or_else(|_| Err(format!("no connection in {SINK_CONNECT_TIMEOUT_MS} ms")))
    }

    /// Whether it is open, as far as is known on this side. What the receiver says is read and passed over.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let mut bytes = [0; 4096];
        // Nobody is to be woken: it is looked at again when there is something to send.
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(format!("the connection broke: {error}")),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    return Err("it closed the connection".to_string());
                }
                Poll::Ready(Ok(())) => self.heard += buffer.filled().len(),
            }
            if self.heard > SYSLOG_PEER_BYTES_MAX {
                return Err("it talks, which no receiver of syslog does".to_string());
            }
        }
    }

    /// Writes, and waits until the receiver's machine has acknowledged all of it and the connection is open behind that.
    ///
    /// # Errors
    /// Why not; all of it is then to be sent again, on another connection.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let because = |error: std::io::Error| format!("the connection broke: {error}");
        self.stream.write_all(bytes).await.map_err(because)?;
        self.stream.flush().await.map_err(because)?;
        let mut pause_ms = SYSLOG_ACKNOWLEDGED_POLL_FIRST_MS;
        loop {
            self.check()?;
            let (local, remote) = (self.local, self.remote);
            let asked = tokio::task::spawn_blocking(move || unacknowledged(local, remote)).await;
            match asked.map_err(|error| error.to_string())? {
                Unacknowledged::Nothing => break,
                Unacknowledged::Some => {}
                Unacknowledged::Closed => return Err("it closed the connection".to_string()),
                Unacknowledged::Unknown(why) => {
                    tracing::debug!(why, "what a receiver of syslog has acknowledged is not known");
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(SYSLOG_ACKNOWLEDGED_POLL_LONGEST_MS);
        }
        self.check()
    }
}

/// Has the kernel give up a connection over which nothing is acknowledged, and look after one over which nothing goes.
fn watch(stream: &TcpStream, timeout: Duration) -> std::io::Result<()> {
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
        let of = |address: &str, name| {
            Peer::new(address, Some(name)).unwrap().name.unwrap().to_str().into_owned()
        };
        assert!(of("soc.example:6514", None).contains("soc.example"));
        assert!(of("[::1]:6514", None).contains("::1"));
        assert!(of("10.0.0.1:6514", Some("soc.example")).contains("soc.example"));
        assert!(Peer::new("a b:6514", Some(None)).is_err());
    }
}
