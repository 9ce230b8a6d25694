use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sinks::{Message, Transport};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certificates::Certificates;
use super::support::{message, messages, open, reason, settle, told, with_body};

/// A record, taken apart as RFC 5424 says.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    pub priority: u16,
    pub msgid: String,
    pub parameters: Vec<(String, String)>,
    pub message: String,
}

/// Frames of octet counting (RFC 6587, 3.4.1; RFC 5425, 4.3), and what is left behind the last whole one.
fn frames(mut bytes: &[u8]) -> (Vec<&[u8]>, usize) {
    let mut found = Vec::new();
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let count = std::str::from_utf8(&bytes[..space]).unwrap();
        assert!(count.starts_with(|digit: char| ('1'..='9').contains(&digit)), "MSG-LEN {count:?}");
        let length: usize = count.parse().unwrap();
        let Some(frame) = bytes.get(space + 1..space + 1 + length) else { break };
        found.push(frame);
        bytes = &bytes[space + 1 + length..];
    }
    (found, bytes.len())
}

pub fn parse(frame: &[u8]) -> Record {
    let text = std::str::from_utf8(frame).unwrap();
    let (priority, rest) = text.strip_prefix('<').unwrap().split_once('>').unwrap();
    let mut words = rest.splitn(7, ' ');
    assert_eq!(words.next(), Some("1"), "VERSION");
    let timestamp = words.next().unwrap();
    let shape: String = timestamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    let hostname = words.next().unwrap();
    assert!((1..=255).contains(&hostname.len()) && hostname.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!((words.next(), words.next()), (Some("tachograph"), Some("-")), "APP-NAME, PROCID");
    let msgid = words.next().unwrap().to_string();
    let mut rest = words.next().unwrap().strip_prefix("[tachograph@32473").unwrap();
    let mut parameters = Vec::new();
    while let Some(after) = rest.strip_prefix(' ') {
        let (name, after) = after.split_once("=\"").unwrap();
        let (mut value, mut letters) = (String::new(), after.char_indices());
        let end = loop {
            match letters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => match letters.next().unwrap().1 {
                    escaped @ ('"' | '\\' | ']') => value.push(escaped),
                    other => value.extend(['\\', other]),
                },
                (at, ']') => panic!("a bare ] at {at} of {after}"),
                (_, letter) => value.push(letter),
            }
        };
        parameters.push((name.to_string(), value));
        rest = &after[end + 1..];
    }
    let message = rest.strip_prefix("] \u{feff}").unwrap().to_string();
    Record { priority: priority.parse().unwrap(), msgid, parameters, message }
}

/// Takes in what comes, until the other side ends it.
#[derive(Default, Clone)]
pub struct Received(Arc<Mutex<Vec<u8>>>);

impl Received {
    pub async fn read(&self, mut stream: impl AsyncRead + Unpin) {
        let mut bytes = vec![0; 65_536];
        while let Ok(read @ 1..) = stream.read(&mut bytes).await {
            self.0.lock().unwrap().extend_from_slice(&bytes[..read]);
        }
    }

    pub fn records(&self) -> Vec<Record> {
        let bytes = self.0.lock().unwrap();
        frames(&bytes).0.into_iter().map(parse).collect()
    }

    pub async fn at_least(&self, count: usize) -> Vec<Record> {
        let started = Instant::now();
        loop {
            let records = self.records();
            if records.len() >= count {
                return records;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{} of {count}", records.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.parameters[0].1.as_str()).collect()
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn tcp(address: &str, more: &str) -> Box<dyn Transport> {
    open("syslog", &format!("address = {address:?}\nprotocol = \"tcp\"\ntimeout_ms = 1500\n{more}"))
}

#[tokio::test]
async fn records_come_framed_and_whole() {
    let (listener, address) = listen().await;
    let mut sink = tcp(&address, "");
    let received = Received::default();
    let reader = received.clone();
    tokio::spawn(async move { reader.read(listener.accept().await.unwrap().0).await });
    let odd = Message { id: "a\"]\\ \u{fc}".to_string(), tenant: "\\\\]".to_string(), ..message(1) };
    let batch = [odd, with_body(2, "7 <1>1 - [x] \u{feff}"), with_body(3, "")];
    assert_eq!(told(&sink.deliver(&batch).await), "TTT");
    assert_eq!(told(&sink.deliver(&messages(4..300)).await).len(), 256, "never more than it wants at once");
    let records = received.at_least(259).await;
    assert_eq!((records[0].priority, records[0].msgid.as_str()), (13 * 8 + 3, "alert"));
    let parameters: Vec<(&str, &str)> =
        records[0].parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected =
        [("id", "a\"]\\ \u{fc}"), ("tenant", "\\\\]"), ("log", "i/acme/alerts/w"), ("log_index", "1")];
    assert_eq!(parameters, expected);
    for (record, message) in records.iter().zip(&batch) {
        assert_eq!(record.message.as_bytes(), message.body);
    }
    assert_eq!(sink.target(), format!("syslog+tcp://{address}"));
    assert!(sink.deliver(&[]).await.is_empty());
}

#[tokio::test]
async fn one_that_is_too_large_is_refused_and_not_cut() {
    let (listener, address) = listen().await;
    let mut sink = tcp(&address, "message_bytes_max = 2048");
    let received = Received::default();
    let reader = received.clone();
    tokio::spawn(async move { reader.read(listener.accept().await.unwrap().0).await });
    let batch = [message(1), with_body(2, &"x".repeat(2048)), message(3)];
    let fates = sink.deliver(&batch).await;
    assert_eq!(told(&fates), "TRT");
    assert!(reason(&fates[..2]).ends_with("message_bytes_max is 2048"), "{fates:?}");
    assert_eq!(ids(&received.at_least(2).await), ["alert-1-1", "alert-3-1"]);
    // Alone, it needs no connection.
    let (_, nowhere) = listen().await;
    assert_eq!(told(&tcp(&nowhere, "message_bytes_max = 2048").deliver(&batch[1..2]).await), "R");
}

#[tokio::test]
async fn a_connection_that_died_between_batches_is_made_anew_before_anything_is_written() {
    let (listener, address) = listen().await;
    let mut sink = tcp(&address, "");
    let received = Received::default();
    for round in 0..4 {
        let reader = received.clone();
        let connection = async {
            let (stream, _) = listener.accept().await.unwrap();
            let read = tokio::spawn(async move {
                let mut stream = stream;
                let mut bytes = vec![0; 65_536];
                let read = stream.read(&mut bytes).await.unwrap();
                reader.0.lock().unwrap().extend_from_slice(&bytes[..read]);
                // Stays open until the batch is settled; then it closes like one whose machine restarts.
                tokio::time::sleep(Duration::from_millis(100)).await;
            });
            read.await.unwrap();
        };
        let batch = messages(round..round + 1);
        let (fates, ()) = tokio::join!(sink.deliver(&batch), connection);
        assert_eq!(told(&fates), "T", "{fates:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        ids(&received.records()),
        ["alert-0-1", "alert-1-1", "alert-2-1", "alert-3-1"],
        "none lost, none twice"
    );
}

#[tokio::test]
async fn what_the_other_machine_has_not_acknowledged_is_not_taken() {
    let (listener, address) = listen().await;
    let mut sink = tcp(&address, "message_bytes_max = 1000000");
    let batch: Vec<Message> = (0..8).map(|number| with_body(number, &"x".repeat(500_000))).collect();
    let asleep = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // It is connected and does not read.
        tokio::time::sleep(Duration::from_secs(4)).await;
        drop(stream);
        listener
    });
    let fates = sink.deliver(&batch).await;
    assert!(
        told(&fates) == "a" && reason(&fates).contains("has not taken all of it in 1500 ms"),
        "{fates:?}"
    );
    let listener = asleep.await.unwrap();
    let received = Received::default();
    let reader = received.clone();
    tokio::spawn(async move { reader.read(listener.accept().await.unwrap().0).await });
    assert!(settle(&mut *sink, &batch).await.is_empty());
    assert_eq!(received.at_least(8).await.len(), 8);
}

#[tokio::test]
async fn a_batch_that_is_cut_is_sent_again_whole() {
    // Closed with bytes unread: what the kernel had taken of them is lost, as when a receiver is killed.
    let (listener, address) = listen().await;
    let mut sink = tcp(&address, "");
    let received = Received::default();
    let reader = received.clone();
    tokio::spawn(async move {
        for _ in 0..5 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 100];
            stream.read_exact(&mut bytes).await.unwrap();
        }
        reader.read(listener.accept().await.unwrap().0).await;
    });
    let batch: Vec<Message> = (0..20).map(|number| with_body(number, &"x".repeat(50_000))).collect();
    assert!(settle(&mut *sink, &batch).await.is_empty());
    let records = received.at_least(20).await;
    let expected: Vec<String> = (0..20).map(|number| format!("alert-{number}-1")).collect();
    assert_eq!(ids(&records), expected);
}

#[tokio::test]
async fn a_receiver_that_talks_is_left() {
    let (listener, address) = listen().await;
    let mut sink = tcp(&address, "");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move { while stream.write_all(&[b'x'; 65_536]).await.is_ok() {} });
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut fates = Vec::new();
    for number in 0..20 {
        fates = sink.deliver(&messages(number..number + 1)).await;
        if told(&fates) != "T" {
            break;
        }
    }
    assert!(reason(&fates).contains("it talks"), "{fates:?}");
    // And a little talk is passed over.
    let (listener, address) = listen().await;
    let mut sink = tcp(&address, "");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 hello\r\n").await.unwrap();
        Received::default().read(stream).await;
    });
    for number in 0..3 {
        assert_eq!(told(&sink.deliver(&messages(number..number + 1)).await), "T");
    }
}

#[tokio::test]
async fn nobody_there_is_away() {
    let (listener, address) = listen().await;
    drop(listener);
    let mut sink = tcp(&address, "");
    let fates = sink.deliver(&messages(0..3)).await;
    assert!(told(&fates) == "a" && reason(&fates).contains("no connection: Connection refused"), "{fates:?}");
    // A receiver that accepts and never answers a handshake.
    let (listener, address) = listen().await;
    let kept = tokio::spawn(async move { listener.accept().await.unwrap().0 });
    let mut sink = open("syslog", &format!("address = {address:?}\ntimeout_ms = 300"));
    let fates = sink.deliver(&messages(0..3)).await;
    assert!(told(&fates) == "a" && reason(&fates).contains("in 300 ms"), "{fates:?}");
    drop(kept.await.unwrap());
}

async fn serve_tls(listener: TcpListener, acceptor: TlsAcceptor, received: Received) {
    loop {
        let (stream, _): (TcpStream, _) = listener.accept().await.unwrap();
        let (acceptor, received) = (acceptor.clone(), received.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                received.read(stream).await;
            }
        });
    }
}

#[tokio::test]
async fn tls_with_certificates_of_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(dir.path());
    let (listener, address) = listen().await;
    let received = Received::default();
    tokio::spawn(serve_tls(listener, TlsAcceptor::from(certificates.server()), received.clone()));
    let port = address.rsplit_once(':').unwrap().1;
    for table in [
        format!("address = {address:?}\n{}", certificates.table()),
        format!("address = \"localhost:{port}\"\n{}", certificates.table()),
        format!("address = {address:?}\nserver_name = \"soc.example\"\n{}", certificates.table()),
    ] {
        let mut sink = open("syslog", &table);
        for number in 0..3 {
            assert_eq!(told(&sink.deliver(&messages(number..number + 1)).await), "T", "{table}");
        }
    }
    assert_eq!(received.at_least(9).await.len(), 9);
    for (table, says) in [
        (
            format!("address = {address:?}\nserver_name = \"other.example\"\n{}", certificates.table()),
            "not valid for name",
        ),
        (format!("address = {address:?}"), "UnknownIssuer"),
    ] {
        let fates = open("syslog", &table).deliver(&messages(0..1)).await;
        assert!(told(&fates) == "a" && reason(&fates).contains(says), "{fates:?}");
    }
    // Without a certificate TLS 1.3 lets a client write before it learns that it is not let in: not taken all the same.
    let ca = certificates.path("ca.pem");
    let mut sink = open("syslog", &format!("address = {address:?}\ntls.ca = {ca:?}"));
    for _ in 0..3 {
        let fates = sink.deliver(&messages(0..1)).await;
        assert_eq!(told(&fates), "a", "{fates:?}");
    }
    assert_eq!(received.records().len(), 9);
}

#[tokio::test]
async fn a_connection_that_died_is_known_before_the_runtime_has_looked() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<u8>>(1);
    let (close, closes) = std::sync::mpsc::sync_channel::<()>(0);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::Read as _;
            let mut bytes = vec![0; 65_536];
            let mut stream = stream.unwrap();
            let read = stream.read(&mut bytes).unwrap();
            sender.send(bytes[..read].to_vec()).unwrap();
            closes.recv().ok();
        }
    });
    let mut sink = tcp(&address, "");
    for number in 0..5 {
        assert_eq!(told(&sink.deliver(&messages(number..number + 1)).await), "T");
        let bytes = receiver.recv_timeout(Duration::from_secs(5)).unwrap();
        let record = parse(frames(&bytes).0[0]);
        assert_eq!(ids(&[record]), [format!("alert-{number}-1")]);
        close.send(()).unwrap();
        // The runtime of this test does nothing meanwhile.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Everything that a client says comes this much later to where it goes; its own machine has acknowledged it long before.
async fn slowly(listener: TcpListener, to: String, delay: Duration) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(&to).await.unwrap();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        tokio::spawn(async move {
            tokio::io::copy(&mut from_server, &mut to_client).await.ok();
        });
        tokio::spawn(async move {
            let mut bytes = vec![0; 65_536];
            while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                tokio::time::sleep(delay).await;
                if to_server.write_all(&bytes[..read]).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test]
async fn who_is_refused_late_is_not_believed_to_be_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(dir.path());
    let (listener, behind) = listen().await;
    let received = Received::default();
    tokio::spawn(serve_tls(listener, TlsAcceptor::from(certificates.server()), received.clone()));
    let (listener, address) = listen().await;
    tokio::spawn(slowly(listener, behind, Duration::from_millis(100)));
    let ca = certificates.path("ca.pem");
    let fates =
        open("syslog", &format!("address = {address:?}\ntls.ca = {ca:?}")).deliver(&messages(0..1)).await;
    assert!(told(&fates) == "a" && reason(&fates).contains("CertificateRequired"), "{fates:?}");
    let mut sink = open("syslog", &format!("address = {address:?}\n{}", certificates.table()));
    assert_eq!(told(&sink.deliver(&messages(1..2)).await), "T");
    assert_eq!(ids(&received.at_least(1).await), ["alert-1-1"]);
}
