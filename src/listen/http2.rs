//! One HTTP/2 connection: as bounded in time as one of HTTP/1 is.
//!
//! Clients of gRPC keep a connection and use it again and again. One on which nothing has been asked for a while is told to
//! go away in order, which its client answers by opening another when it next needs one; what does not go is cut off.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use schemas::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::{Stalling, until};

/// How many requests of a connection are being answered.
#[derive(Debug, Clone)]
struct InFlight(Arc<watch::Sender<usize>>);

impl InFlight {
    fn new() -> InFlight {
        InFlight(Arc::new(watch::channel(0).0))
    }

    fn enter(&self) -> Inside {
        self.0.send_modify(|count| *count += 1);
        Inside(self.clone())
    }

    /// Until nothing was in flight for so long.
    async fn idle(&self, patience: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // The sender is ours: it is there as long as this is asked.
            count.wait_for(|count| *count == 0).await.ok();
            tokio::select! {
                () = tokio::time::sleep(patience) => return,
                _ = count.changed() => {}
            }
        }
    }
}

/// One of them; leaves when it is dropped, however its request ended.
struct Inside(InFlight);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

pub(super) async fn connection<S, P, F>(
    stream: S,
    peer: P,
    patience: Duration,
    answer: impl Fn(Request<Body>, P) -> F + Clone + Send + Sync + 'static,
    mut stopped: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let in_flight = InFlight::new();
    let entered = in_flight.clone();
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let inside = entered.enter();
        let answered = answer(request.map(Body::new), peer.clone());
        async move {
            let response = answered.await;
            drop(inside);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
        .max_header_list_size(limits::HTTP2_HEADER_BYTES_MAX)
        .initial_connection_window_size(limits::HTTP2_WINDOW_BYTES)
        .initial_stream_window_size(limits::HTTP2_WINDOW_BYTES)
        .keep_alive_interval(patience)
        .keep_alive_timeout(patience)
        .serve_connection(TokioIo::new(Stalling::new(stream, patience)), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = until(&mut stopped) => {
            served.as_mut().graceful_shutdown();
            tokio::select! {
                ended = served.as_mut() => ended,
                // What is in flight ends first; a client that then does not go keeps nothing open.
                () = in_flight.idle(patience) => Ok(()),
            }
        }
        () = in_flight.idle(patience) => {
            served.as_mut().graceful_shutdown();
            tokio::select! {
                ended = served.as_mut() => ended,
                // A request may have come in before its client heard of it, and ends first.
                () = in_flight.idle(patience) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        // A client that goes away or is too slow is its own affair.
        tracing::debug!(%error, "connection ended");
    }
}

#[cfg(test)]
mod raw_tests;

#[cfg(test)]
mod tests {

    use http_body_util::{BodyExt as _, Empty};
    use hyper::client::conn::http2::{SendRequest, handshake};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    type Client = SendRequest<Empty<bytes::Bytes>>;

    /// A port that answers after a while; what ends it.
    pub(super) async fn start(patience: Duration) -> (std::net::SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = |_, ()| async {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    Response::new(Body::from("whole"))
                };
                tokio::spawn(connection(stream, (), patience, answer, stopped.clone()));
            }
        });
        (address, stop)
    }

    async fn connect(address: std::net::SocketAddr) -> (Client, tokio::task::JoinHandle<()>) {
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let ended = tokio::spawn(async move {
            connection.await.ok();
        });
        (client, ended)
    }

    async fn ask(client: &Client) -> Result<String, hyper::Error> {
        let request = Request::builder().uri("http://x/").body(Empty::new()).unwrap();
        let answer = client.clone().send_request(request).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn an_idle_connection_is_told_to_go_and_a_busy_one_is_not() {
        let (address, _stop) = start(Duration::from_millis(200)).await;
        let (client, ended) = connect(address).await;
        let (one, other) = tokio::join!(ask(&client), ask(&client));
        assert_eq!((one.unwrap().as_str(), other.unwrap().as_str()), ("whole", "whole"), "longer than idle");
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it lasts for ever").unwrap();
        assert!(ask(&client).await.is_err(), "it is gone");
    }

    #[tokio::test]
    async fn who_says_nothing_is_cut_off() {
        let (address, _stop) = start(Duration::from_millis(200)).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open");
    }

    #[tokio::test]
    async fn requests_in_flight_are_answered_when_the_service_ends() {
        let (address, stop) = start(Duration::from_secs(30)).await;
        let (client, ended) = connect(address).await;
        let asked = tokio::spawn(async move { ask(&client).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.send_replace(true);
        let all = async {
            assert_eq!(asked.await.unwrap().unwrap(), "whole");
            ended.await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("an idle client keeps it");
    }
}
