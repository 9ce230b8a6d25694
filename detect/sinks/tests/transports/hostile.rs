use std::time::{Duration, Instant};

use schemas::limits;
use sinks::Transport;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::server::{Reply, Server};
use super::support::{messages, open, told, write};

/// The transports over HTTP, with little patience.
fn sinks(dir: &tempfile::TempDir, url: &str) -> Vec<(&'static str, Box<dyn Transport>)> {
    let key = write(dir.path(), "key", &super::webhook::keys());
    let token = write(dir.path(), "token", "hunter2");
    let common = format!("url = {url:?}\nhttp.timeout_ms = 700\n");
    vec![
        ("webhook", open("webhook", &format!("{common}key_file = {key:?}"))),
        ("hec", open("hec", &format!("{common}token_file = {token:?}"))),
        ("bulk", open("bulk", &format!("{common}index = \"a\""))),
    ]
}

/// Peak of this process's memory, kilobytes.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_answer_forever_slowly_or_nonsense_are_left_in_time() {
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let many = (0..500).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    // What comes; whether its status alone says that a webhook was taken.
    let peers: Vec<(&str, Reply, bool)> = vec![
        ("a body without end", Reply::Forever(head.clone(), chunk(&[b' '; 65_536]), Duration::ZERO), true),
        ("a body that drips", Reply::Forever(head.clone(), chunk(b" "), Duration::from_millis(50)), true),
        (
            "headers without end",
            Reply::Forever(
                b"HTTP/1.1 200 OK\r\n".to_vec(),
                [b"x: ".as_slice(), &[b'y'; 65_536], b"\r\n"].concat(),
                Duration::ZERO,
            ),
            false,
        ),
        (
            "one header without end",
            Reply::Forever(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; 65_536], Duration::ZERO),
            false,
        ),
        (
            "headers that drip",
            Reply::Forever(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), b"y".to_vec(), Duration::from_millis(50)),
            false,
        ),
        (
            "interim answers without end",
            Reply::Forever(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), Duration::from_millis(1)),
            false,
        ),
        ("many headers", Reply::Raw(format!("HTTP/1.1 200 OK\r\n{many}\r\n").into_bytes()), false),
        ("nothing", Reply::Nothing, false),
        ("a closed connection", Reply::Raw(Vec::new()), false),
        ("garbage", Reply::Raw((0..=255).cycle().take(100_000).collect()), false),
        ("another protocol", Reply::Raw(b"220 mail ready\r\n".to_vec()), false),
        (
            "two lengths",
            Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec()),
            false,
        ),
        (
            "a length beyond all",
            Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nab".to_vec()),
            false,
        ),
        (
            "a chunk beyond all",
            Reply::Raw(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nab".to_vec(),
            ),
            true,
        ),
        (
            "deep JSON",
            Reply::Raw(
                [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".as_slice(), &[b'['; 60_000]].concat(),
            ),
            true,
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    // What other tests of this process had is forgotten.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before_kb = peak_kb();
    for (name, reply, is_taken) in peers {
        let reply = std::sync::Arc::new(reply);
        let server = Server::start(move |_| reply.again()).await;
        for (kind, mut sink) in sinks(&dir, &server.url()) {
            let started = Instant::now();
            let fates = sink.deliver(&messages(0..1)).await;
            let expected = if is_taken && kind == "webhook" { "T" } else { "a" };
            assert_eq!(told(&fates), expected, "{name} to {kind}: {fates:?}");
            assert!(
                started.elapsed() < Duration::from_millis(1500),
                "{name} to {kind}: {:?}",
                started.elapsed()
            );
        }
    }
    let grown_kb = peak_kb() - before_kb;
    println!("15 hostile peers of three transports: {grown_kb} kB more at the peak");
    // Theirs and ours are one process: what they write is in it too.
    assert!(grown_kb < 64 << 10, "{grown_kb} kB");
}

#[tokio::test]
async fn nobody_who_accepts_and_says_nothing_is_waited_for_long() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Something that is no TLS, and then nothing.
            stream.write_all(b"hello").await.ok();
            let mut bytes = [0; 16];
            let read = stream.read(&mut bytes).await;
            assert!(read.is_ok() || read.is_err_and(|error| error.kind() != std::io::ErrorKind::Other));
            kept.push(stream);
        }
    });
    let dir = tempfile::tempdir().unwrap();
    for (name, mut sink) in sinks(&dir, &format!("https://{address}")) {
        let started = Instant::now();
        assert_eq!(told(&sink.deliver(&messages(0..2)).await), "a", "{name}");
        assert!(started.elapsed() < Duration::from_millis(limits::SINK_CONNECT_TIMEOUT_MS), "{name}");
    }
}
