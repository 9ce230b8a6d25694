//! `tacho serve`: the service, from binding its ports to its last seal.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use store::clock::SystemClock;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::print;
use crate::collectors;
use crate::configuration::Configuration;
use crate::descriptors::{self, Places};
use crate::door::{self, Door, problem};
use crate::exit;
use crate::gates;
use crate::identity::Certificate;
use crate::listen::{self, Connections, Listener, Secure};
use crate::node::{Duty, Node};
use crate::postgres;
use crate::rules;
use crate::service::operating_system_user;
use crate::tls::Tls;
use crate::witnesses;

mod otlp;

/// How long requests in flight may take once the service is told to end.
const DRAIN: Duration = Duration::from_secs(30);
/// Bytes in the path of a Unix socket.
const SOCKET_PATH_BYTES_MAX: usize = schemas::limits::PROGRAM_SOCKET_PATH_BYTES_MAX;

/// Runs until SIGTERM or SIGINT.
pub async fn run(configuration: Configuration) -> Result<u8> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let running = Running::start(&configuration).await?;
    let pg = running.postgres.map_or_else(String::new, |address| format!(" pg={address}"));
    let otlp = running.otlp.to_string();
    print(format!("ready {}={}{pg}{otlp}\n", running.scheme, running.address).as_bytes())?;
    tokio::select! {
        _ = terminated.recv() => tracing::info!("terminated: sealing"),
        _ = interrupted.recv() => tracing::info!("interrupted: sealing"),
    }
    running.stop().await?;
    Ok(exit::CLEAN)
}

/// A service with its ports open.
#[derive(Debug)]
pub struct Running {
    /// The address of the HTTP port.
    pub address: SocketAddr,
    /// The address of the PostgreSQL port, if there is one.
    pub postgres: Option<SocketAddr>,
    /// The addresses of the ports for telemetry alone.
    pub otlp: otlp::Addresses,
    /// `http`, or `https` where it speaks TLS.
    pub scheme: &'static str,
    /// What answers behind it.
    pub node: Node,
    stop: watch::Sender<bool>,
    servers: Vec<tokio::task::JoinHandle<()>>,
    socket: Option<std::path::PathBuf>,
}

/// The router that is there once recovery is done.
#[derive(Debug, Clone, Default)]
struct Opening(Arc<OnceLock<Router>>);

impl Running {
    /// Binds, recovers, and takes requests; until recovery is done they are told so.
    pub async fn start(configuration: &Configuration) -> Result<Running> {
        descriptors::raise();
        let places = Places::of_network();
        let listen = configuration.listen()?;
        let tls = Tls::from_configuration(configuration, Arc::new(SystemClock::new()))?;
        if tls.is_none() {
            check_plaintext(listen, configuration)?;
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
        let address = listener.local_addr()?;
        if let Some(pg) = configuration.port("pg")?
            && tls.is_none()
        {
            check_plaintext(pg, configuration)?;
        }
        let pg = postgres::bind(configuration).await?;
        let postgres = pg.as_ref().map(|(_, address)| *address);
        let telemetry = otlp::Ports::bind(configuration, tls.is_some()).await?;
        let otlp = telemetry.addresses()?;
        let (stop, stopped) = watch::channel(false);
        let opening = Opening::default();
        let behind = opening.clone();
        let mut servers = Vec::new();
        // Whoever is told to look at new files where there are none must not die of it.
        let told = signal(SignalKind::hangup()).context("wait for SIGHUP")?;
        let told_of_rules = signal(SignalKind::hangup()).context("wait for SIGHUP")?;
        let connections = Connections::new(&places);
        match tls.clone() {
            None => {
                let answer = move |request, peer| behind.clone().answer_network(request, peer, None);
                let served = listen::serve(Network(listener), connections, answer, stopped.clone());
                servers.push(tokio::spawn(served));
            }
            Some(tls) => {
                servers.push(tokio::spawn(tls.clone().watch(stopped.clone(), told)));
                let answer = move |request, (peer, certificate)| {
                    behind.clone().answer_network(request, peer, certificate)
                };
                let port = Secure::new(listener, tls);
                servers.push(tokio::spawn(listen::serve(port, connections, answer, stopped.clone())));
            }
        }
        let telemetry = telemetry.serve(tls.as_ref(), &places, &stopped, &mut servers);
        let node = Node::open(configuration, Duty::Service).await?;
        let socket = bind_socket(&configuration.data())?;
        let path = socket.as_ref().map(|(path, _)| path.clone());
        if let Some((_, listener)) = socket {
            let behind = opening.clone();
            let answer = move |request, user| behind.clone().answer_socket(request, user);
            let served = listen::serve(Socket(listener), Connections::local(), answer, stopped.clone());
            servers.push(tokio::spawn(served));
        }
        servers.extend(collectors::start(&configuration.collector_settings()?, &node, &stopped)?);
        if let Some(witnesses) = witnesses::start(configuration, &node.store)? {
            servers.push(tokio::spawn(witnesses::run(witnesses, stopped.clone())));
        }
        if node.rules().is_some() {
            servers.push(tokio::spawn(rules::watch(node.clone(), stopped.clone(), told_of_rules)));
        }
        // Who comes before the store is open waits in the kernel's queue.
        if let Some((listener, _)) = pg {
            servers.push(tokio::spawn(postgres::serve(listener, node.clone(), tls, places, stopped)));
        }
        opening.0.set(door::router(&node)).ok();
        telemetry.open(&node);
        tracing::info!(%address, "ready");
        Ok(Running { address, scheme, postgres, otlp, node, stop, servers, socket: path })
    }

    /// Takes no more requests, lets those in flight end, seals and signs everything.
    pub async fn stop(self) -> Result<()> {
        self.stop.send_replace(true);
        let mut failure = None;
        for mut server in self.servers {
            match tokio::time::timeout(DRAIN, &mut server).await {
                // Whatever went wrong with it, the store is sealed first.
                Ok(Err(error)) => failure = Some(error),
                Ok(Ok(())) => {}
                Err(_) => {
                    tracing::warn!("requests did not end in time");
                    server.abort();
                }
            }
        }
        if let Some(socket) = &self.socket
            && let Err(error) = std::fs::remove_file(socket)
        {
            tracing::warn!(%error, socket = %socket.display(), "the socket could not be removed");
        }
        self.node.close().await?;
        failure.map_or(Ok(()), |error| Err(error).context("a port did not end in order"))
    }
}

/// Beyond loopback everything is readable on the way: only by name.
pub(super) fn check_plaintext(listen: SocketAddr, configuration: &Configuration) -> Result<()> {
    let allowed = configuration.text("allow_plaintext");
    if listen.ip().is_loopback() || allowed.parse() == Ok(listen) {
        return Ok(());
    }
    bail!(
        "{listen} is not loopback and traffic would not be encrypted; give --tls-cert and --tls-key, or say \
         --allow-plaintext {listen}"
    )
}

/// The socket by which commands on this machine reach the service; only this user can open it.
fn bind_socket(data: &Path) -> Result<Option<(std::path::PathBuf, UnixListener)>> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = data.join(schemas::layout::SOCKET);
    if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        tracing::warn!(path = %path.display(), "path too long for a socket: commands need --url");
        return Ok(None);
    }
    // The store's lock is ours: a socket that is there was left by a crash.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).with_context(|| format!("listen on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("permissions of {}", path.display()))?;
    Ok(Some((path, listener)))
}

/// The HTTP port: the peer is its address.
pub(super) struct Network(pub(super) TcpListener);

impl Listener for Network {
    type Raw = (TcpStream, SocketAddr);
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&mut self) -> std::io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        // Answers are written whole; waiting for more of them only makes them late.
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }

    async fn greet(raw: (TcpStream, SocketAddr)) -> std::io::Result<(TcpStream, SocketAddr)> {
        Ok(raw)
    }
}

/// The local socket: the peer is a user of this machine.
struct Socket(UnixListener);

impl Listener for Socket {
    type Raw = (UnixStream, u32);
    type Stream = UnixStream;
    type Peer = u32;

    async fn accept(&mut self) -> std::io::Result<(UnixStream, u32)> {
        let (stream, _) = self.0.accept().await?;
        let user = stream.peer_cred()?.uid();
        Ok((stream, user))
    }

    async fn greet(raw: (UnixStream, u32)) -> std::io::Result<(UnixStream, u32)> {
        Ok(raw)
    }
}

impl Opening {
    async fn answer_network(
        self,
        mut request: Request<Body>,
        peer: SocketAddr,
        certificate: Option<Arc<Certificate>>,
    ) -> Response {
        request.extensions_mut().insert(Door::Network { address: peer.ip().to_canonical(), certificate });
        self.answer(request).await
    }

    /// Only who runs the service, or may do everything on the machine anyway.
    async fn answer_socket(self, mut request: Request<Body>, user: u32) -> Response {
        if user != 0 && user != rustix::process::getuid().as_raw() {
            return problem(
                StatusCode::FORBIDDEN,
                "forbidden",
                "this socket is for the user who runs the service",
            );
        }
        request.extensions_mut().insert(Door::Local { user: operating_system_user(user) });
        self.answer(request).await
    }

    async fn answer(&self, request: Request<Body>) -> Response {
        let is_gate = gates::is_gate(request.uri().path());
        let dialect = ingest::Dialect::of(&request);
        let response = self.answer_as_it_is(request).await;
        match dialect {
            _ if is_gate => gates::fail_closed(response).await,
            Some(dialect) => dialect.translate(response).await,
            None => response,
        }
    }

    async fn answer_as_it_is(&self, request: Request<Body>) -> Response {
        match self.0.get() {
            Some(router) => {
                // A script that does not check passes a gate whose connection just breaks off.
                match AssertUnwindSafe(router.clone().oneshot(request)).catch_unwind().await {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(_panic) => {
                        let what = "this request met a defect; the service's own log has more";
                        problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", what)
                    }
                }
            }
            None if request.uri().path() == "/health" => {
                axum::Json(serde_json::json!({"status": "recovering"})).into_response()
            }
            None => {
                let mut response =
                    problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the store is being recovered");
                let seconds = axum::http::HeaderValue::from(schemas::limits::RETRY_AFTER_S);
                response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds);
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn a_defect_is_answered_and_a_gate_blocks() {
        let broken = || async {
            if true {
                panic!("told to no one")
            }
        };
        let router = Router::new().route("/x", get(broken)).route("/metrics/tool-call-p95-ms", get(broken));
        let opening = Opening(Arc::new(OnceLock::from(router)));
        for (path, expected) in [("/x", "\"code\":\"internal\""), ("/metrics/tool-call-p95-ms", "2147483647")]
        {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let answer = opening.answer(request).await;
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
            let body = axum::body::to_bytes(answer.into_body(), 1 << 16).await.unwrap();
            let body = String::from_utf8_lossy(&body);
            assert!(body.contains(expected) && !body.contains("told to no one"), "{path}: {body}");
        }
    }
}
