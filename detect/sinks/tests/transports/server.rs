use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What is done with it.
pub enum Reply {
    /// Status, headers, body.
    Http(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Bytes, and then the connection is closed.
    Raw(Vec<u8>),
    /// Bytes, and then others again and again, with a pause between.
    Forever(Vec<u8>, Vec<u8>, Duration),
    /// Nothing, and the connection stays open.
    Nothing,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply::Http(status, Vec::new(), Vec::new())
    }

    /// The same once more.
    pub fn again(&self) -> Reply {
        match self {
            Reply::Http(status, headers, body) => Reply::Http(*status, headers.clone(), body.clone()),
            Reply::Raw(bytes) => Reply::Raw(bytes.clone()),
            Reply::Forever(first, again, pause) => Reply::Forever(first.clone(), again.clone(), *pause),
            Reply::Nothing => Reply::Nothing,
        }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Reply {
        Reply::Http(
            status,
            vec![("content-type", "application/json".to_string())],
            body.to_string().into_bytes(),
        )
    }
}

type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// An HTTP/1.1 server of POST that takes nothing that is not well-formed.
pub struct Server {
    pub address: SocketAddr,
    pub requests: Arc<Mutex<Vec<Request>>>,
    pub connections: Arc<AtomicUsize>,
    violations: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        Server::start_with(Arc::new(handler), None).await
    }

    pub async fn start_tls(
        tls: Arc<rustls::ServerConfig>,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Server {
        Server::start_with(Arc::new(handler), Some(TlsAcceptor::from(tls))).await
    }

    async fn start_with(handler: Handler, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            connections: Arc::default(),
            violations: Arc::default(),
        };
        let (requests, connections, violations) =
            (server.requests.clone(), server.connections.clone(), server.violations.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let (handler, tls) = (handler.clone(), tls.clone());
                let (requests, violations) = (requests.clone(), violations.clone());
                tokio::spawn(async move {
                    let served = match tls {
                        None => serve(stream, &handler, &requests).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &handler, &requests).await,
                            // Whom it does not let in says so on its side.
                            Err(_) => Ok(()),
                        },
                    };
                    if let Err(violation) = served {
                        violations.lock().unwrap().push(violation);
                    }
                });
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Everything that came, if all of it was well-formed.
    pub fn received(&self) -> Vec<Request> {
        assert_eq!(*self.violations.lock().unwrap(), Vec::<String>::new());
        self.requests.lock().unwrap().clone()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    handler: &Handler,
    requests: &Mutex<Vec<Request>>,
) -> Result<(), String> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        let reply = handler(&request);
        requests.lock().unwrap().push(request);
        match reply {
            Reply::Nothing => std::future::pending().await,
            Reply::Raw(bytes) => {
                stream.write_all(&bytes).await.ok();
                stream.shutdown().await.ok();
                return Ok(());
            }
            Reply::Forever(first, again, pause) => {
                stream.write_all(&first).await.ok();
                while stream.write_all(&again).await.is_ok() && stream.flush().await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
                return Ok(());
            }
            Reply::Http(status, headers, body) => {
                let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
                let bytes = [text.as_bytes(), b"\r\n", &body].concat();
                if stream.write_all(&bytes).await.is_err() {
                    return Ok(());
                }
                stream.flush().await.ok();
            }
        }
    }
    Ok(())
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
) -> Result<Option<Request>, String> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        // A connection that is closed, or cut by a client that gives up.
        if stream.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
            return if lines.is_empty() { Ok(None) } else { Err("a request is cut".to_string()) };
        }
        let text = String::from_utf8(line).map_err(|error| error.to_string())?;
        let text = text.strip_suffix("\r\n").ok_or_else(|| format!("{text:?} ends otherwise"))?.to_string();
        if text.is_empty() {
            break;
        }
        lines.push(text);
    }
    let mut words = lines[0].split(' ');
    let (method, path, version) = (words.next(), words.next(), words.next());
    if method != Some("POST") || version != Some("HTTP/1.1") || words.next().is_some() {
        return Err(format!("{:?} is no request of ours", lines[0]));
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in &lines[1..] {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("{line:?} is no header"))?;
        let name = name.to_ascii_lowercase();
        if headers.iter().any(|(known, _)| *known == name) {
            return Err(format!("{name} comes twice"));
        }
        headers.push((name, value.to_string()));
    }
    let mut request = Request { path: path.unwrap().to_string(), headers, body: Vec::new() };
    for needed in ["host", "content-type", "content-length", "user-agent"] {
        request.header(needed).ok_or_else(|| format!("no {needed}"))?;
    }
    let length: usize = request.header("content-length").unwrap().parse().map_err(|_| "content-length")?;
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await.map_err(|error| format!("a body is cut: {error}"))?;
    Ok(Some(request))
}
