//! `tacho serve`: the service, from binding its ports to its last seal.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::print;
use crate::configuration::Configuration;
use crate::door::{self, Door, problem};
use crate::exit;
use crate::node::{Duty, Node};
use crate::service::operating_system_user;

/// How long requests in flight may take once the service is told to end.
const DRAIN: Duration = Duration::from_secs(30);
/// Bytes in the path of a Unix socket.
const SOCKET_PATH_BYTES_MAX: usize = schemas::limits::PROGRAM_SOCKET_PATH_BYTES_MAX;

/// Runs until SIGTERM or SIGINT.
pub async fn run(configuration: Configuration) -> Result<u8> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupted = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let running = Running::start(&configuration).await?;
    print(format!("ready http={}\n", running.address).as_bytes())?;
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
    /// What answers behind it.
    pub node: Node,
    stop: watch::Sender<bool>,
    servers: Vec<tokio::task::JoinHandle<std::io::Result<()>>>,
    socket: Option<std::path::PathBuf>,
}

/// The router that is there once recovery is done.
#[derive(Debug, Clone, Default)]
struct Opening(Arc<OnceLock<Router>>);

impl Running {
    /// Binds, recovers, and takes requests; until recovery is done they are told so.
    pub async fn start(configuration: &Configuration) -> Result<Running> {
        let listen = configuration.listen()?;
        check_plaintext(listen, configuration)?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let opening = Opening::default();
        let mut servers = vec![serve_network(listener, opening.clone(), stopped.clone())];
        let node = Node::open(configuration, Duty::Service).await?;
        let socket = bind_socket(&configuration.data())?;
        let path = socket.as_ref().map(|(path, _)| path.clone());
        if let Some((_, listener)) = socket {
            servers.push(serve_socket(listener, opening.clone(), stopped));
        }
        opening.0.set(door::router(&node)).ok();
        tracing::info!(%address, "ready");
        Ok(Running { address, node, stop, servers, socket: path })
    }

    /// Takes no more requests, lets those in flight end, seals and signs everything.
    pub async fn stop(self) -> Result<()> {
        self.stop.send_replace(true);
        for mut server in self.servers {
            match tokio::time::timeout(DRAIN, &mut server).await {
                Ok(ended) => ended.context("server")?.context("server")?,
                Err(_) => {
                    tracing::warn!("requests did not end in time");
                    server.abort();
                }
            }
        }
        if let Some(socket) = &self.socket {
            std::fs::remove_file(socket).with_context(|| format!("remove {}", socket.display()))?;
        }
        self.node.close().await
    }
}

/// Beyond loopback everything is readable on the way: only by name.
fn check_plaintext(listen: SocketAddr, configuration: &Configuration) -> Result<()> {
    let allowed = configuration.text("allow_plaintext");
    if listen.ip().is_loopback() || allowed.parse() == Ok(listen) {
        return Ok(());
    }
    bail!(
        "{listen} is not loopback and traffic would not be encrypted; put a TLS proxy before a loopback address, or say \
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

fn serve_network(
    listener: TcpListener,
    opening: Opening,
    stopped: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<std::io::Result<()>> {
    let app = Router::new().fallback(from_network).with_state(opening);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).with_graceful_shutdown(wait(stopped)).await })
}

fn serve_socket(
    listener: UnixListener,
    opening: Opening,
    stopped: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<std::io::Result<()>> {
    let app = Router::new().fallback(from_socket).with_state(opening);
    tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(wait(stopped)).await })
}

async fn wait(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the service.
    stopped.wait_for(|stopped| *stopped).await.ok();
}

async fn from_network(
    State(opening): State<Opening>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request<Body>,
) -> Response {
    request.extensions_mut().insert(Door::Network { source_ip: address.ip().to_string() });
    opening.answer(request).await
}

async fn from_socket(State(opening): State<Opening>, mut request: Request<Body>) -> Response {
    request.extensions_mut().insert(Door::Local { user: operating_system_user() });
    opening.answer(request).await
}

impl Opening {
    async fn answer(&self, request: Request<Body>) -> Response {
        match self.0.get() {
            Some(router) => match router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
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
