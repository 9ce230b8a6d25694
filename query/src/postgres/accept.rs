//! Taking connections: how many at once, and how they end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::startup::start;
use super::wire::Wire;
use super::{Door, Options, Peer, cancel};
use crate::Query;

/// How long to wait where the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(schemas::limits::POSTGRES_ACCEPT_PAUSE_MS);

/// Serves connections of `listener` until `stopped`, then lets the queries in flight end.
///
/// Dropping the returned future ends every connection at once.
pub async fn serve(
    listener: TcpListener,
    query: Query,
    options: Options,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(options.connections_max.max(1)));
    let shared = options.connections_shared.clone();
    let door = Arc::new(Door { query, options, cancels: cancel::Cancels::default() });
    let mut running = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = until(&mut stopped) => break,
            _ = running.join_next(), if !running.is_empty() => continue,
            accepted = accept(&listener, &places, shared.as_ref()) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let (door, stopped) = (Arc::clone(&door), stopped.clone());
                running.spawn(async move {
                    connection(stream, peer, &door, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no PostgreSQL connection could be accepted");
                metrics::counter!("tacho_postgres_accept_errors_total").increment(1);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Who comes now is refused, not left waiting.
    drop(listener);
    while running.join_next().await.is_some() {}
}

/// Until the service is told to end.
pub(super) async fn until(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the service.
    stopped.wait_for(|stopped| *stopped).await.ok();
}

/// What a connection holds for as long as it is there: of this port's places, and of those that it shares.
type Place = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// Waits for a place first: a client over the cap waits in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    shared: Option<&Arc<Semaphore>>,
) -> std::io::Result<(TcpStream, Peer, Place)> {
    let own = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let shared = match shared {
        Some(shared) => Some(Arc::clone(shared).acquire_owned().await.map_err(std::io::Error::other)?),
        None => None,
    };
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, Peer { ip: peer.ip().to_canonical() }, (own, shared)))
}

async fn connection(stream: TcpStream, peer: Peer, door: &Arc<Door>, mut stopped: watch::Receiver<bool>) {
    let wire = Wire::new(Box::pin(stream), door.options.write_timeout);
    let started = tokio::select! {
        () = until(&mut stopped) => return,
        started = tokio::time::timeout(door.options.startup_timeout, start(wire, peer, door)) => started,
    };
    match started {
        Ok(Ok(Some(session))) => {
            metrics::gauge!("tacho_postgres_sessions").increment(1.0);
            if let Err(error) = session.run(stopped).await {
                // A client that goes away or is too slow is its own affair.
                tracing::debug!(%error, "PostgreSQL connection ended");
            }
            metrics::gauge!("tacho_postgres_sessions").decrement(1.0);
        }
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "PostgreSQL connection did not begin"),
        Err(_elapsed) => tracing::debug!("a PostgreSQL connection did not begin in time"),
    }
}
