//! The ports for telemetry alone: OTLP/HTTP and OTLP/gRPC, where every exporter looks for them.
//!
//! They are opt-in, for most machines have a collector there already. TLS, loopback, places for connections and who may come
//! in are those of the HTTP port.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Network, Opening, check_plaintext};
use crate::configuration::Configuration;
use crate::descriptors::Places;
use crate::door;
use crate::listen::{self, Connections, Secure};
use crate::node::Node;
use crate::tls::Tls;

/// Where they are, if they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Addresses {
    /// OTLP/HTTP.
    pub http: Option<SocketAddr>,
    /// OTLP/gRPC.
    pub grpc: Option<SocketAddr>,
}

impl fmt::Display for Addresses {
    /// ` otlp=ADDR otlp_grpc=ADDR`, each only if it is there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.http {
            write!(f, " otlp={address}")?;
        }
        if let Some(address) = self.grpc {
            write!(f, " otlp_grpc={address}")?;
        }
        Ok(())
    }
}

/// Ports that are taken, and answer no one yet.
#[derive(Debug)]
pub(super) struct Ports {
    http: Option<TcpListener>,
    grpc: Option<TcpListener>,
}

impl Ports {
    /// Takes the ports that the configuration asks for.
    pub(super) async fn bind(configuration: &Configuration, has_tls: bool) -> Result<Ports> {
        let http = bind(configuration, "otlp", has_tls).await?;
        let grpc = bind(configuration, "otlp_grpc", has_tls).await?;
        Ok(Ports { http, grpc })
    }

    pub(super) fn addresses(&self) -> Result<Addresses> {
        let address = |port: &Option<TcpListener>| port.as_ref().map(TcpListener::local_addr).transpose();
        Ok(Addresses { http: address(&self.http)?, grpc: address(&self.grpc)? })
    }

    /// Takes connections; until it is open, who asks is told that the store recovers.
    pub(super) fn serve(
        self,
        tls: Option<&Tls>,
        places: &Places,
        stopped: &watch::Receiver<bool>,
        servers: &mut Vec<JoinHandle<()>>,
    ) -> Closed {
        let closed = Closed { http: Opening::default(), grpc: Opening::default() };
        let ports = [
            (self.http, Connections::new as fn(&Places) -> Connections, closed.http.clone()),
            (self.grpc, Connections::http2, closed.grpc.clone()),
        ];
        for (port, connections, opening) in ports {
            let Some(port) = port else { continue };
            let (connections, stopped) = (connections(places), stopped.clone());
            servers.push(match tls.cloned() {
                Some(tls) => {
                    let answer = move |request, (peer, certificate)| {
                        opening.clone().answer_network(request, peer, certificate)
                    };
                    let port = match connections.is_http2() {
                        true => Secure::http2(port, tls),
                        false => Secure::new(port, tls),
                    };
                    tokio::spawn(listen::serve(port, connections, answer, stopped))
                }
                None => {
                    let answer = move |request, peer| opening.clone().answer_network(request, peer, None);
                    tokio::spawn(listen::serve(Network(port), connections, answer, stopped))
                }
            });
        }
        closed
    }
}

/// Ports that are served, and wait for the store.
#[derive(Debug)]
pub(super) struct Closed {
    http: Opening,
    grpc: Opening,
}

impl Closed {
    /// The store is there.
    pub(super) fn open(self, node: &Node) {
        self.http.0.set(door::otlp_router(node, false)).ok();
        self.grpc.0.set(door::otlp_router(node, true)).ok();
    }
}

async fn bind(configuration: &Configuration, key: &str, has_tls: bool) -> Result<Option<TcpListener>> {
    let Some(address) = configuration.port(key)? else { return Ok(None) };
    if !configuration.has_role("ingest") {
        bail!("{key} is set and this process takes no events; add ingest to roles, or leave {key} out");
    }
    if !has_tls {
        check_plaintext(address, configuration)?;
    }
    let listener = TcpListener::bind(address).await.with_context(|| format!("{key}: listen on {address}"))?;
    Ok(Some(listener))
}
