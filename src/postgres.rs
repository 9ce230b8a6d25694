//! The PostgreSQL port: the query core's door, with this installation's tokens behind it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use query::postgres::{Authenticate, Login, Options, Randomness, Refusal, StillIn, Stream, Upgrade};
use rustls::ServerConfig;
use schemas::limits;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::configuration::Configuration;
use crate::descriptors::Places;
use crate::identity::{Caller, Credential, Identity};
use crate::node::Node;
use crate::tls::Tls;

/// Newer clients offer this name in their handshake, and go away where the other end has only another.
const ALPN: &[u8] = b"postgresql";

/// Takes the port that the configuration asks for, if it asks for one.
pub(crate) async fn bind(configuration: &Configuration) -> Result<Option<(TcpListener, SocketAddr)>> {
    let Some(address) = configuration.port("pg")? else { return Ok(None) };
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let address = listener.local_addr()?;
    Ok(Some((listener, address)))
}

/// Serves a port until `stopped`; where this process answers no queries, nobody is let in.
pub(crate) async fn serve(
    listener: TcpListener,
    node: Node,
    tls: Option<Tls>,
    places: Places,
    stopped: watch::Receiver<bool>,
) {
    let Some(query) = node.query.clone() else { return };
    let randomness: Randomness = Arc::new(|bytes| getrandom::fill(bytes).is_ok());
    let options = Options {
        still_in: still_in(&node),
        connections_max: places.of_a_port(limits::POSTGRES_CONNECTIONS_MAX),
        connections_shared: Some(places.all()),
        upgrade: tls.map(upgrade),
        ..Options::new(authenticate(node.identity), randomness)
    };
    query::postgres::serve(listener, query, options, stopped).await;
}

/// The password is an API token, or what an OpenID provider signed. Names are labels.
fn authenticate(identity: Identity) -> Authenticate {
    Arc::new(move |login: Login| {
        let identity = identity.clone();
        Box::pin(async move {
            let address = login.source_ip.parse().ok();
            let caller = Caller { address, door: "pg", user: None };
            identity.login(Credential::secret(&login.password), caller).await.map_err(|_| Refusal)
        })
    })
}

/// A token is asked after each time; what a provider signed is worth one session of a bounded length.
fn still_in(node: &Node) -> StillIn {
    let (tokens, clock) = (node.identity.tokens.clone(), Arc::clone(&node.clock));
    Arc::new(move |principal, since_us| {
        let now_us = clock.wall_us();
        match tokens.find(&principal.id) {
            Some(record) => record.is_live(now_us),
            None => now_us.saturating_sub(since_us) < limits::POSTGRES_ASSERTION_SESSION_US,
        }
    })
}

/// The certificate of the HTTP port, under the name that clients of PostgreSQL give this protocol.
fn upgrade(tls: Tls) -> Upgrade {
    Arc::new(move |stream| {
        let mut config = ServerConfig::clone(&tls.config());
        config.alpn_protocols = vec![ALPN.to_vec()];
        Box::pin(async move {
            let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
            Ok(Box::pin(stream) as Stream)
        })
    })
}

#[cfg(test)]
mod tests;
