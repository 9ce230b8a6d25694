//! A port that speaks TLS: who is at the other end is an address and, where the client has one, a certificate.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Listener;
use crate::identity::Certificate;
use crate::tls::Tls;

/// The first byte of every TLS connection.
const HANDSHAKE: u8 = 0x16;

/// Tells a client that does not encrypt so, in the words that a script takes for a gate that blocks: what prints nothing
/// would pass.
async fn not_encrypted(mut stream: TcpStream) -> io::Result<io::Error> {
    let body = query::NO_ANSWER.to_string();
    let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
                tacho-gate-reason: not_encrypted: this port speaks TLS; ask https://\r\n";
    let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // What it had to say is taken, else closing would take the answer from it.
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(io::Error::new(io::ErrorKind::InvalidData, "a client that does not encrypt"))
}

/// A port behind TLS.
pub(crate) struct Secure {
    listener: TcpListener,
    tls: Tls,
    /// What is spoken behind it, by the name that TLS has for it; none for HTTP/1.
    protocol: Option<&'static [u8]>,
}

impl Secure {
    /// TLS on `listener`, each connection with what is in force when it comes.
    pub(crate) fn new(listener: TcpListener, tls: Tls) -> Secure {
        Secure { listener, tls, protocol: None }
    }

    /// The same for HTTP/2.
    pub(crate) fn http2(listener: TcpListener, tls: Tls) -> Secure {
        Secure { listener, tls, protocol: Some(b"h2") }
    }
}

impl Listener for Secure {
    type Raw = (TcpStream, SocketAddr, Arc<ServerConfig>);
    type Stream = TlsStream<TcpStream>;
    type Peer = (SocketAddr, Option<Arc<Certificate>>);

    async fn accept(&mut self) -> io::Result<Self::Raw> {
        let (stream, peer) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut config = self.tls.config();
        if let Some(protocol) = self.protocol {
            Arc::make_mut(&mut config).alpn_protocols = vec![protocol.to_vec()];
        }
        Ok((stream, peer, config))
    }

    async fn greet((stream, peer, config): Self::Raw) -> io::Result<(Self::Stream, Self::Peer)> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
            return Err(not_encrypted(stream).await?);
        }
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let (_, session) = stream.get_ref();
        // rustls has checked that it chains to `tls.client_ca`; whom it stands for is for the login to say.
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.map(|der| Certificate::parse(der).map(Arc::new)).transpose();
        Ok((stream, (peer, certificate.map_err(io::Error::other)?)))
    }
}
