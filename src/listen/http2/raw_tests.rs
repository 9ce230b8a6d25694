//! Frames written by hand (RFC 9113): what no client would send, and what it would not show.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::tests::start;
use super::*;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:method: GET`, `:scheme: http`, `:path: /` and `:authority: x`, as HPACK writes them.
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 0x01, b'x'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A client that says only what it is told to.
struct Raw(TcpStream);

impl Raw {
    /// After the preface of both sides; with what the service set.
    async fn connect(patience: Duration) -> (Raw, Vec<(u16, u32)>, watch::Sender<bool>) {
        let (address, stop) = start(patience).await;
        let mut raw = Raw(TcpStream::connect(address).await.unwrap());
        raw.send(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()).await;
        let set = raw.next().await.unwrap();
        assert_eq!((set.kind, set.flags), (SETTINGS, 0));
        let settings = set.payload.chunks(6).map(|part| {
            let value = u32::from_be_bytes(part[2..].try_into().unwrap());
            (u16::from_be_bytes(part[..2].try_into().unwrap()), value)
        });
        let settings = settings.collect();
        raw.send(&frame(SETTINGS, 1, 0, &[])).await;
        (raw, settings, stop)
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next frame, a ping being answered; `None` at the end.
    async fn next(&mut self) -> Option<Frame> {
        let got = self.read().await?;
        if (got.kind, got.flags) == (PING, 0) {
            self.send(&frame(PING, 1, 0, &got.payload)).await;
        }
        Some(got)
    }

    async fn read(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("it says nothing")
    }

    /// The next frame of this kind.
    async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("it ended");
            if frame.kind == kind {
                return frame;
            }
        }
    }
}

/// Every limit of a connection is told, and the one on headers held.
#[tokio::test]
async fn limits_are_told_and_headers_past_theirs_are_not_taken() {
    let (mut raw, settings, _stop) = Raw::connect(Duration::from_secs(30)).await;
    let set = |id: u16| settings.iter().find(|(set, _)| *set == id).map(|(_, value)| *value);
    let (streams, window, headers) = (set(3), set(4), set(6));
    assert_eq!(streams, Some(limits::HTTP2_STREAMS_MAX));
    assert_eq!(window, Some(limits::HTTP2_WINDOW_BYTES));
    assert_eq!(headers, Some(limits::HTTP2_HEADER_BYTES_MAX));
    let more = raw.next_of(WINDOW_UPDATE).await;
    let more = u32::from_be_bytes(more.payload.try_into().unwrap());
    assert_eq!((1 << 16) - 1 + more, limits::HTTP2_WINDOW_BYTES);

    // A header of 17 KiB, in two frames: no frame may be longer than 16.
    let value = 17 << 10;
    let rest = value - 127;
    let length =
        [0x7f, u8::try_from(rest & 0x7f | 0x80).unwrap(), u8::try_from(rest >> 7 & 0x7f | 0x80).unwrap(), 1];
    assert_eq!(rest >> 14, 1);
    let large = [&[0x00, 0x01, b'a'][..], &length, &vec![b'b'; value]].concat();
    let block = [&GET[..], &large].concat();
    let (first, second) = block.split_at(16 << 10);
    raw.send(&frame(HEADERS, END_STREAM, 1, first)).await;
    raw.send(&frame(CONTINUATION, END_HEADERS, 1, second)).await;
    let answer = raw.next_of(HEADERS).await;
    // `:status` by its place in the table, and 431 in Huffman's code.
    let status = [0x83, 0x69, 0x90, 0xff];
    let is_told = answer.payload.windows(4).any(|window| window == status);
    assert!(answer.stream == 1 && is_told, "{:x?}", answer.payload);
    raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &GET)).await;
    let answer = raw.next_of(HEADERS).await;
    assert_eq!((answer.stream, answer.payload[0]), (3, 0x88), "and the next is answered 200");
}

/// Requests that are asked and taken back at once cost their client the connection.
#[tokio::test]
async fn who_asks_and_takes_back_without_end_is_sent_away() {
    let (mut raw, _, _stop) = Raw::connect(Duration::from_secs(30)).await;
    let flood: Vec<u8> = (0..200_u32)
        .flat_map(|at| {
            let stream = 2 * at + 1;
            let asked = frame(HEADERS, END_STREAM | END_HEADERS, stream, &GET);
            [asked, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        })
        .collect();
    raw.send(&flood).await;
    let gone = raw.next_of(GOAWAY).await;
    assert_eq!(gone.payload[4..8], 11_u32.to_be_bytes(), "calm down");
}

/// A request that was under way when an idle connection was told to go is answered, however long that takes.
#[tokio::test]
async fn a_request_that_crosses_the_word_to_go_is_answered() {
    let (mut raw, _, _stop) = Raw::connect(Duration::from_millis(150)).await;
    // Told in two steps: the first bars nothing, and what came before the answer to its ping is still taken.
    let told = raw.next_of(GOAWAY).await;
    assert_eq!(told.payload[..4], [0x7f, 0xff, 0xff, 0xff]);
    raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &GET)).await;
    let answer = raw.next_of(HEADERS).await;
    assert_eq!(
        (answer.stream, answer.payload[0]),
        (1, 0x88),
        "it takes longer than the patience with one that is idle"
    );
}
