//! How a command reaches a node: over TCP, over the local socket of a running service, or in this process.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use store::Clock as _;
use store::clock::SystemClock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tower::ServiceExt as _;

use crate::arguments::Target;
use crate::configuration::Configuration;
use crate::door::{self, Door};
use crate::node::{Duty, Node};
use crate::tls;

/// Something that answers requests.
#[derive(Debug)]
pub enum Service {
    /// A running service at an address.
    Network {
        /// `host:port`.
        authority: String,
        /// API token.
        token: String,
        /// Over TLS, and whom the certificate must name.
        tls: Option<Secured>,
    },
    /// A running service on this machine, by its socket.
    Socket(PathBuf),
    /// The directory itself, opened by this process.
    Here {
        /// The node.
        node: Box<Node>,
        /// Its router.
        router: Router,
    },
}

/// How a service is made sure of.
#[derive(Debug, Clone)]
pub struct Secured {
    config: Arc<rustls::ClientConfig>,
    name: rustls::pki_types::ServerName<'static>,
}

impl Service {
    /// The service that a command's target means.
    pub async fn open(target: &Target, configuration: &Configuration) -> Result<Service> {
        if let Some(url) = &target.url {
            return Service::network(url, target);
        }
        let data = configuration.data();
        let socket = data.join(schemas::layout::SOCKET);
        if UnixStream::connect(&socket).await.is_ok() {
            return Ok(Service::Socket(socket));
        }
        Service::here(configuration).await
    }

    /// The running service that a command's target means; none is opened here.
    pub fn running(target: &Target, configuration: &Configuration) -> Result<Service> {
        match &target.url {
            Some(url) => Service::network(url, target),
            None => Ok(Service::Socket(configuration.data().join(schemas::layout::SOCKET))),
        }
    }

    /// The directory of the configuration, opened here.
    pub async fn here(configuration: &Configuration) -> Result<Service> {
        let node = Node::open(configuration, Duty::Command).await?;
        let router = door::router(&node);
        Ok(Service::Here { node: Box::new(node), router })
    }

    fn network(url: &str, target: &Target) -> Result<Service> {
        let uri: Uri = url.parse().with_context(|| format!("--url {url}"))?;
        let authority = uri.authority().with_context(|| format!("--url {url} has no host"))?;
        let (port, tls) = match uri.scheme_str() {
            Some("http") => (80, None),
            Some("https") => {
                let now_us = SystemClock::new().wall_us();
                let config = tls::client(target.ca.as_deref(), now_us)?;
                (443, Some(Secured { config, name: tls::name_of(authority.host())? }))
            }
            _ => bail!("--url {url}: begin it with https:// or http://"),
        };
        let token = match &target.token_file {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?
            }
            None => std::env::var("TACHO_TOKEN").context("give --token-file or TACHO_TOKEN with --url")?,
        };
        let port = authority.port_u16().unwrap_or(port);
        Ok(Service::Network {
            authority: format!("{}:{port}", authority.host()),
            token: token.trim().to_string(),
            tls,
        })
    }

    /// Sends a request and gives the answer, its body still streaming.
    pub async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Body>> {
        match self {
            Service::Network { authority, token, tls } => {
                let bearer =
                    format!("Bearer {token}").parse().context("the token has characters no token has")?;
                request.headers_mut().insert(header::AUTHORIZATION, bearer);
                request.headers_mut().insert(header::HOST, authority.parse().context("host")?);
                let stream =
                    TcpStream::connect(authority).await.with_context(|| format!("connect {authority}"))?;
                match tls {
                    None => over(stream, request).await,
                    Some(Secured { config, name }) => {
                        let connector = TlsConnector::from(Arc::clone(config));
                        let secured = connector.connect(name.clone(), stream).await;
                        over(secured.with_context(|| format!("TLS with {authority}"))?, request).await
                    }
                }
            }
            Service::Socket(path) => {
                request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("localhost"));
                let stream =
                    UnixStream::connect(path).await.with_context(|| format!("connect {}", path.display()))?;
                over(stream, request).await
            }
            Service::Here { router, .. } => {
                let mut request = request.map(Body::from);
                request
                    .extensions_mut()
                    .insert(Door::Local { user: operating_system_user(rustix::process::getuid().as_raw()) });
                Ok(router.clone().oneshot(request).await?)
            }
        }
    }

    /// Gives the body of an answer of success.
    pub async fn get(&self, path: &str) -> Result<Bytes> {
        let response = self.send(Request::get(path).body(Bytes::new())?).await?;
        if response.status().is_success() { body(response).await } else { Err(failure(response).await) }
    }

    /// Posts JSON; gives the body of an answer of success.
    pub async fn post(&self, path: &str, what: &serde_json::Value) -> Result<Bytes> {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(what.to_string()))?;
        let response = self.send(request).await?;
        if response.status().is_success() { body(response).await } else { Err(failure(response).await) }
    }

    /// Asks SQL; gives the rows as objects.
    pub async fn ask(&self, query: &str) -> Result<Vec<serde_json::Value>> {
        let what = serde_json::json!({ "query": query, "format": "json" });
        let answer = self.post("/api/v1/sql", &what).await?;
        serde_json::from_slice(&answer).context("the answer is not that of a Tachograph")
    }

    /// Ends what was opened here.
    pub async fn close(self) -> Result<()> {
        match self {
            Service::Here { node, router } => {
                drop(router);
                node.close().await
            }
            Service::Network { .. } | Service::Socket(_) => Ok(()),
        }
    }
}

async fn over<S>(stream: S, request: Request<Bytes>) -> Result<Response<Body>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // What goes wrong here shows as an error of the request or of its body.
        connection.await.ok();
    });
    let response = sender.send_request(request.map(Full::new)).await?;
    Ok(response.map(Body::new))
}

/// The whole body.
pub async fn body(response: Response<Body>) -> Result<Bytes> {
    Ok(response.into_body().collect().await?.to_bytes())
}

/// The error that a problem answer describes.
pub async fn failure(response: Response<Body>) -> anyhow::Error {
    let status = response.status();
    let text = match body(response).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return error,
    };
    let parsed: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let field = |name: &str| parsed.as_ref()?.get(name)?.as_str().map(str::to_string);
    match (field("code"), field("detail")) {
        (Some(code), Some(detail)) => anyhow::anyhow!("{detail} ({status}, {code})"),
        _ => anyhow::anyhow!("{status}: {text}"),
    }
}

/// `os:<name>` of a user of this machine.
pub fn operating_system_user(id: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_string())
    });
    format!("os:{}", name.unwrap_or_else(|| id.to_string()))
}
