//! The PostgreSQL port: the query core's door, with this installation's tokens behind it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use query::postgres::{Authenticate, Login, Options, Randomness, Refusal};
use schemas::limits;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::configuration::Configuration;
use crate::node::Node;

/// Takes the port that the configuration asks for, if it asks for one.
pub(crate) async fn bind(configuration: &Configuration) -> Result<Option<(TcpListener, SocketAddr)>> {
    let Some(address) = configuration.pg()? else { return Ok(None) };
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let address = listener.local_addr()?;
    Ok(Some((listener, address)))
}

/// Serves a port until `stopped`; where this process answers no queries, nobody is let in.
pub(crate) async fn serve(listener: TcpListener, node: Node, stopped: watch::Receiver<bool>) {
    let Some(query) = node.query.clone() else { return };
    let randomness: Randomness = Arc::new(|bytes| getrandom::fill(bytes).is_ok());
    let options =
        Options { connections_max: connections_max(), ..Options::new(authenticate(node), randomness) };
    query::postgres::serve(listener, query, options, stopped).await;
}

/// The password is an API token.
fn authenticate(node: Node) -> Authenticate {
    Arc::new(move |login: Login| {
        let found = node.identity.authenticate(&login.password, Some(login.source_ip), node.clock.wall_us());
        Box::pin(async move { found.map_err(|_| Refusal) })
    })
}

/// A quarter of the file descriptors that the process may have, and at most [`limits::POSTGRES_CONNECTIONS_MAX`].
fn connections_max() -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let quarter = descriptors
        .map_or(limits::POSTGRES_CONNECTIONS_MAX, |all| usize::try_from(all / 4).unwrap_or(usize::MAX));
    quarter.clamp(1, limits::POSTGRES_CONNECTIONS_MAX)
}
