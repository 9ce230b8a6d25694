//! A client of few words: bytes out, messages in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use schemas::principal::{Principal, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Query;
use crate::postgres::{Options, Refusal, serve};

/// A service; it ends when this is dropped.
pub struct Served {
    pub address: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub task: tokio::task::JoinHandle<()>,
}

/// Options whose passwords are names of roles.
pub fn options() -> Options {
    let random = AtomicU32::new(1);
    Options::new(
        Arc::new(|login| {
            let role: Result<Role, _> = login.password.parse();
            let principal = role.map(|role| Principal {
                id: format!("t-{role}"),
                role,
                tenant: "default".to_string(),
                source_ip: Some(login.source_ip),
                door: "http",
            });
            Box::pin(async move { principal.map_err(|_| Refusal) })
        }),
        Arc::new(move |bytes| {
            for byte in bytes {
                *byte = random.fetch_add(1, Ordering::Relaxed) as u8;
            }
            true
        }),
    )
}

pub async fn served(query: Query, options: Options) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(listener, query, options, stopped));
    Served { address, stop, task }
}

/// What came: the type of the message, and its body.
pub type Message = (char, Vec<u8>);

pub struct Client {
    pub stream: TcpStream,
    pub key: (i32, i32),
}

pub fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

pub fn message(kind: char, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind as u8][..], &length.to_be_bytes(), body].concat()
}

pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend([text(name), text(value)].concat());
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes()[..], &body].concat()
}

/// Field `kind` of an error.
pub fn field(body: &[u8], kind: char) -> Option<String> {
    let mut parts = body.split(|byte| *byte == 0);
    parts.find_map(|part| {
        let (first, rest) = part.split_first()?;
        (*first == kind as u8).then(|| String::from_utf8_lossy(rest).into_owned())
    })
}

/// The cells of a row, in text.
pub fn cells(body: &[u8]) -> Vec<Option<String>> {
    let mut rest = &body[2..];
    let mut cells = Vec::new();
    while !rest.is_empty() {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        if length < 0 {
            cells.push(None);
        } else {
            let (cell, after) = rest.split_at(length as usize);
            cells.push(Some(String::from_utf8_lossy(cell).into_owned()));
            rest = after;
        }
    }
    cells
}

impl Client {
    /// Connects with the name of a role as password, or the error that refuses it.
    pub async fn connect(address: SocketAddr, password: &str) -> Result<Client, String> {
        Client::with(address, password, &[("user", "me"), ("database", "tacho")]).await
    }

    pub async fn with(
        address: SocketAddr,
        password: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Client, String> {
        let mut client = Client { stream: TcpStream::connect(address).await.unwrap(), key: (0, 0) };
        client.send(&startup(parameters)).await;
        let (kind, body) = client.next().await.ok_or("closed")?;
        if kind == 'E' {
            return Err(field(&body, 'C').unwrap());
        }
        assert_eq!((kind, &body[..]), ('R', &3u32.to_be_bytes()[..]));
        client.send(&message('p', &text(password))).await;
        loop {
            let (kind, body) = client.next().await.ok_or("closed")?;
            match kind {
                'E' => return Err(field(&body, 'C').unwrap()),
                'K' => {
                    let number = |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().unwrap());
                    client.key = (number(0), number(4));
                }
                'Z' => return Ok(client),
                _ => {}
            }
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn next(&mut self) -> Option<Message> {
        let read = async {
            let kind = self.stream.read_u8().await.ok()?;
            let length = self.stream.read_u32().await.ok()?;
            let mut body = vec![0; length as usize - 4];
            self.stream.read_exact(&mut body).await.ok()?;
            Some((char::from(kind), body))
        };
        timeout(Duration::from_secs(60), read).await.expect("an answer")
    }

    /// Everything up to the next time it may ask; nothing where the connection ends.
    pub async fn answer(&mut self) -> Vec<Message> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await {
            let is_last = message.0 == 'Z';
            all.push(message);
            if is_last {
                break;
            }
        }
        all
    }

    pub async fn ask(&mut self, sql: &str) -> Vec<Message> {
        self.send(&message('Q', &text(sql))).await;
        self.answer().await
    }

    /// Rows of a text, a `|` between cells; then tags, or the code of an error; then the state of the transaction.
    pub async fn told(&mut self, sql: &str) -> Vec<String> {
        told(&self.ask(sql).await)
    }
}

pub fn told(messages: &[Message]) -> Vec<String> {
    let said = |(kind, body): &Message| match kind {
        'D' => Some(
            cells(body).iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join("|"),
        ),
        'C' => Some(String::from_utf8_lossy(&body[..body.len() - 1]).into_owned()),
        'E' => Some(format!("error {}", field(body, 'C').unwrap())),
        'Z' => Some(char::from(body[0]).to_string()),
        's' => Some("suspended".to_string()),
        'I' => Some("empty".to_string()),
        _ => None,
    };
    messages.iter().filter_map(said).collect()
}
