//! Accepting connections, for HTTP/1 or HTTP/2: how many at once, how long a client may take to say what it wants, and how they end.
//!
//! A connection is a file descriptor, and a store that gets none for its write-ahead file stops: the cap of all ports together is
//! well below the process's limit, and an idle connection does not last.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper_util::rt::{TokioIo, TokioTimer};
use schemas::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::descriptors::Places;

mod http2;
mod secure;

pub(crate) use secure::Secure;

/// How long a client may take from one request, or the connection's start, to the end of the next request's head.
const HEAD_TIMEOUT: Duration = Duration::from_millis(limits::HTTP_HEAD_TIMEOUT_MS);
/// How long to wait where the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(limits::HTTP_ACCEPT_PAUSE_MS);

/// A port or socket that connections come in by.
pub(crate) trait Listener: Send + 'static {
    /// A connection as it is taken.
    type Raw: Send + 'static;
    /// A connection that HTTP is spoken on.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Who is at the other end.
    type Peer: Clone + Send + Sync + 'static;
    /// The next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Raw>> + Send;
    /// What both sides have to say before HTTP: nothing, or TLS. Runs in the connection's own task and within its time.
    fn greet(raw: Self::Raw) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;
}

/// How many connections there may be at once on one listener: strangers on the network do not shut out the local socket.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    own: Arc<Semaphore>,
    /// What all ports share.
    shared: Option<Arc<Semaphore>>,
    head_timeout: Duration,
    is_http2: bool,
}

impl Connections {
    /// Of a port: its part of what all ports have, and at most [`limits::HTTP_CONNECTIONS_MAX`].
    pub(crate) fn new(places: &Places) -> Connections {
        let own = places.of_a_port(limits::HTTP_CONNECTIONS_MAX);
        Connections { shared: Some(places.all()), ..Connections::of(own, HEAD_TIMEOUT) }
    }

    /// As many, and HTTP/2 is spoken on them.
    pub(crate) fn http2(places: &Places) -> Connections {
        Connections { is_http2: true, ..Connections::new(places) }
    }

    /// Of the local socket: few, and its own.
    pub(crate) fn local() -> Connections {
        Connections::of(limits::SOCKET_CONNECTIONS_MAX, HEAD_TIMEOUT)
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2
    }

    fn of(own: usize, head_timeout: Duration) -> Connections {
        Connections { own: Arc::new(Semaphore::new(own)), shared: None, head_timeout, is_http2: false }
    }

    /// A place, once there is one.
    async fn place(&self) -> io::Result<Place> {
        let own = Arc::clone(&self.own).acquire_owned().await.map_err(io::Error::other)?;
        let shared = match &self.shared {
            Some(shared) => Some(Arc::clone(shared).acquire_owned().await.map_err(io::Error::other)?),
            None => None,
        };
        Ok((own, shared))
    }
}

/// What a connection holds for as long as it is there: of its port's places, and of those that all share.
type Place = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// Serves HTTP on a listener until `stopped`, then lets the requests in flight end.
///
/// Dropping the returned future ends every connection at once.
pub(crate) async fn serve<L, F>(
    mut listener: L,
    connections: Connections,
    answer: impl Fn(Request<Body>, L::Peer) -> F + Clone + Send + Sync + 'static,
    mut stopped: watch::Receiver<bool>,
) where
    L: Listener,
    F: Future<Output = Response> + Send + 'static,
{
    let mut running = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = until(&mut stopped) => break,
            _ = running.join_next(), if !running.is_empty() => continue,
            accepted = accept(&mut listener, &connections) => accepted,
        };
        let (raw, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                metrics::counter!("tacho_http_accept_errors_total").increment(1);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (answer, mut stopped) = (answer.clone(), stopped.clone());
        let Connections { head_timeout, is_http2, .. } = connections;
        running.spawn(async move {
            let greeted = tokio::select! {
                greeted = tokio::time::timeout(head_timeout, L::greet(raw)) => greeted,
                () = until(&mut stopped) => return,
            };
            match greeted {
                Ok(Ok((stream, peer))) if is_http2 => {
                    http2::connection(stream, peer, head_timeout, answer, stopped).await;
                }
                Ok(Ok((stream, peer))) => connection(stream, peer, head_timeout, answer, stopped).await,
                // A client that cannot or will not greet is its own affair, but many of them are an operator's.
                Ok(Err(_)) | Err(_) => {
                    metrics::counter!("tacho_tls_handshake_failures_total").increment(1);
                    tracing::debug!("a connection ended before HTTP");
                }
            }
            drop(place);
        });
    }
    // Who comes now is refused, not left waiting.
    drop(listener);
    while running.join_next().await.is_some() {}
}

/// Until the service is told to end.
async fn until(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the service.
    stopped.wait_for(|stopped| *stopped).await.ok();
}

/// A stream whose other end must take something now and then: a client that asks and does not read gives its place up.
struct Stalling<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<S> Stalling<S> {
    fn new(stream: S, patience: Duration) -> Stalling<S> {
        Stalling { stream, patience, waiting: None }
    }

    /// The answer of a write, or an error if writes have waited too long.
    fn watched<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS says that it ends, and that is a write too.
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watched(context, shut)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watched(context, written)
    }
}

type Accepted<L> = (<L as Listener>::Raw, Place);

/// Waits for a place first: a client over the cap waits in the kernel's queue.
async fn accept<L: Listener>(listener: &mut L, connections: &Connections) -> io::Result<Accepted<L>> {
    let place = connections.place().await?;
    Ok((listener.accept().await?, place))
}

async fn connection<S, P, F>(
    stream: S,
    peer: P,
    head_timeout: Duration,
    answer: impl Fn(Request<Body>, P) -> F + Clone + Send + Sync + 'static,
    mut stopped: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let answered = answer(request.map(Body::new), peer.clone());
        async move { Ok::<_, std::convert::Infallible>(answered.await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(Stalling::new(stream, head_timeout)), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = until(&mut stopped) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        // A client that goes away or is too slow is its own affair.
        tracing::debug!(%error, "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    struct Port(TcpListener);

    impl Listener for Port {
        type Raw = TcpStream;
        type Stream = TcpStream;
        type Peer = ();

        async fn accept(&mut self) -> io::Result<TcpStream> {
            Ok(self.0.accept().await?.0)
        }

        async fn greet(raw: TcpStream) -> io::Result<(TcpStream, ())> {
            Ok((raw, ()))
        }
    }

    async fn start(
        connections: Connections,
    ) -> (std::net::SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let answer = |_, ()| async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Response::new(Body::from(format!("{}whole", " ".repeat(8 << 20))))
        };
        let served = tokio::spawn(serve(Port(listener), connections, answer, stopped));
        (address, stop, served)
    }

    async fn ask(address: std::net::SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn idle_connections_end_and_make_room() {
        let (address, _stop, _served) = start(Connections::of(2, Duration::from_millis(200))).await;
        let mut idle =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        idle[0].write_all(b"GET / HT").await.unwrap();
        assert!(ask(address).await.ends_with("whole"), "a third waits until one of them is given up");
        for stream in &mut idle {
            let mut rest = Vec::new();
            let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "still open");
        }
    }

    /// Where the client has to say a word before HTTP.
    struct Polite(TcpListener);

    impl Listener for Polite {
        type Raw = TcpStream;
        type Stream = TcpStream;
        type Peer = ();

        async fn accept(&mut self) -> io::Result<TcpStream> {
            Ok(self.0.accept().await?.0)
        }

        async fn greet(mut raw: TcpStream) -> io::Result<(TcpStream, ())> {
            match raw.read_u8().await? {
                b'!' => Ok((raw, ())),
                _ => Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    #[tokio::test]
    async fn who_does_not_greet_gives_its_place_up_and_holds_no_end_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let answer = |_, ()| async { Response::new(Body::from("whole")) };
        let connections = Connections::of(1, Duration::from_millis(500));
        let served = tokio::spawn(serve(Polite(listener), connections, answer, stopped));
        let ask = async |first: &[u8]| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(&[first, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"].concat())
                .await
                .unwrap();
            let mut answer = Vec::new();
            // One that is turned away may find the connection reset.
            stream.read_to_end(&mut answer).await.ok();
            String::from_utf8(answer).unwrap()
        };
        let _silent = TcpStream::connect(address).await.unwrap();
        assert!(ask(b"!").await.ends_with("whole"), "it waits until the silent one is given up");
        assert_eq!(ask(b"?").await, "", "who greets wrongly is not answered");
        let _silent = TcpStream::connect(address).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.send_replace(true);
        let ended = tokio::time::timeout(Duration::from_millis(300), served).await;
        ended.expect("a greeting in progress keeps nothing open").unwrap();
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_gives_its_place_up() {
        let (address, _stop, _served) = start(Connections::of(1, Duration::from_millis(200))).await;
        let mut deaf = TcpStream::connect(address).await.unwrap();
        let asked = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(64);
        deaf.write_all(&asked).await.unwrap();
        let answered = tokio::time::timeout(Duration::from_secs(60), ask(address)).await;
        assert!(answered.expect("it waits for ever").ends_with("whole"));
    }

    #[tokio::test]
    async fn requests_in_flight_are_answered_when_the_service_ends() {
        let (address, stop, served) = start(Connections::of(9, HEAD_TIMEOUT)).await;
        let _idle = TcpStream::connect(address).await.unwrap();
        let asked = tokio::spawn(ask(address));
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.send_replace(true);
        assert!(asked.await.unwrap().ends_with("whole"));
        tokio::time::timeout(Duration::from_secs(10), served)
            .await
            .expect("an idle connection keeps nothing open")
            .unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn ports_share_places_and_one_alone_does_not_take_them_all() {
        let places = Places::new(4);
        let ports = [0, 1].map(|_| Connections::new(&places));
        let third = Connections::new(&places);
        let (first, _stop, _served) = start(ports[0].clone()).await;
        let (second, _stop, _served) = start(ports[1].clone()).await;
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(TcpStream::connect(first).await.unwrap());
        }
        assert!(ask(second).await.ends_with("whole"), "one port is flooded, the other answers");
        for _ in 0..20 {
            held.push(TcpStream::connect(second).await.unwrap());
        }
        let taken = async {
            while places.all().available_permits() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), taken).await.expect("ports share no places");
        let waits = tokio::time::timeout(Duration::from_millis(200), third.place()).await;
        assert!(waits.is_err(), "all ports together have no more than there are");
        assert!(Connections::local().place().await.is_ok(), "the local socket has its own");
        drop(held);
        assert!(third.place().await.is_ok());
    }
}
