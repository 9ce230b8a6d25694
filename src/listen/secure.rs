//! A port that speaks TLS: who is at the other end is an address and, where the client has one, a certificate.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Listener;
use crate::identity::Certificate;
use crate::tls::Tls;

/// A port behind TLS.
pub(crate) struct Secure {
    listener: TcpListener,
    tls: Tls,
}

impl Secure {
    /// TLS on `listener`, each connection with what is in force when it comes.
    pub(crate) fn new(listener: TcpListener, tls: Tls) -> Secure {
        Secure { listener, tls }
    }
}

impl Listener for Secure {
    type Raw = (TcpStream, SocketAddr, Arc<ServerConfig>);
    type Stream = TlsStream<TcpStream>;
    type Peer = (SocketAddr, Option<Arc<Certificate>>);

    async fn accept(&mut self) -> io::Result<Self::Raw> {
        let (stream, peer) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer, self.tls.config()))
    }

    async fn greet((stream, peer, config): Self::Raw) -> io::Result<(Self::Stream, Self::Peer)> {
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let (_, session) = stream.get_ref();
        // rustls has checked that it chains to `tls.client_ca`; whom it stands for is for the login to say.
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.map(|der| Certificate::parse(der).map(Arc::new)).transpose();
        Ok((stream, (peer, certificate.map_err(io::Error::other)?)))
    }
}
