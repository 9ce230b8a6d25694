//! What the tap adds to a call: the same small server bare and wrapped, asked in turn, message by message, so that both meet
//! the same machine. With the service up, slow and away.
//!
//! `cargo build --release --locked --workspace --examples`, then `benches/tap [MESSAGES]`.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program that measures and prints")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench stops at what it does not expect"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: String,
}

impl Server {
    fn start(mut command: Command) -> Server {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Server { child, input, output, line: String::new() }
    }

    fn call(&mut self, number: usize) -> Duration {
        let message = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"tools/call\",\"params\":{{\"name\":\"get_weather\",\
             \"arguments\":{{\"location\":\"New York, United States of America\",\"units\":\"metric\"}}}}}}\n"
        );
        let started = Instant::now();
        self.input.write_all(message.as_bytes()).unwrap();
        self.line.clear();
        self.output.read_line(&mut self.line).unwrap();
        let took = started.elapsed();
        assert!(self.line.contains(&format!("\"id\":{number},")), "{}", self.line);
        took
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

/// Answers each line, as a server that is written with care does.
fn serve() {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let id: String =
            line.split("\"id\":").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
        let answer = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\"22.5 degrees, \
             cloudy\"}}],\"isError\":false}}}}\n"
        );
        out.write_all(answer.as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

/// A service that takes two seconds for every answer, which is that it is busy.
fn slow() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                std::thread::sleep(Duration::from_secs(2));
                let mut head = [0; 4096];
                // A tap that has ended does not wait for its answer, and how much of its request came is no matter.
                let _read = stream.read(&mut head);
                stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok();
            });
        }
    });
    format!("http://{address}")
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[at].as_secs_f64() * 1e6
}

fn measure(name: &str, tacho: &Path, home: &Path, url: &str, messages: usize, pause: Duration) {
    let own = std::env::current_exe().unwrap();
    let mut bare = Command::new(&own);
    bare.arg("serve");
    let mut wrapped = Command::new(tacho);
    wrapped.args(["tap", "--url", url, "--token-file"]).arg(home.join("keys/admin.token"));
    wrapped.arg("--spool").arg(home.join("spool")).arg("--").arg(&own).arg("serve");
    let (mut bare, mut wrapped) = (Server::start(bare), Server::start(wrapped));
    for number in 0..200 {
        bare.call(number);
        wrapped.call(number);
    }
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for number in 0..messages {
        without.push(bare.call(number));
        with.push(wrapped.call(number));
        std::thread::sleep(pause);
    }
    bare.end();
    wrapped.end();
    without.sort_unstable();
    with.sort_unstable();
    let pair = |share| (percentile(&without, share), percentile(&with, share));
    let ((p50, p50_tap), (p99, p99_tap), (p999, p999_tap)) = (pair(0.5), pair(0.99), pair(0.999));
    println!(
        "| {name} | {} | {p50:.0} / {p50_tap:.0} | {p99:.0} / {p99_tap:.0} | {p999:.0} / {p999_tap:.0} | {:.0} | {:.0} |",
        if pause.is_zero() { "at once" } else { "1 ms apart" },
        p50_tap - p50,
        p99_tap - p99
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        return serve();
    }
    let tacho = Path::new(arguments.first().expect("usage: tap_latency TACHO [MESSAGES]"));
    let messages = arguments.get(1).map_or(20_000, |count| count.parse().expect("a number of messages"));
    let home = tempfile::tempdir().unwrap();
    let mut service = Command::new(tacho);
    service.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(home.path().join("data"));
    let mut service =
        service.arg("--keys").arg(home.path().join("keys")).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(service.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let up = ready.trim().replace("ready http=", "http://");
    println!("Round trips of one message and its answer in microseconds, bare / through the tap:\n");
    println!(
        "| service | messages | p50 | p99 | p99.9 | added p50 | added p99 |\n|---|---|---|---|---|---|---|"
    );
    for pause in [Duration::ZERO, Duration::from_millis(1)] {
        measure("up", tacho, home.path(), &up, messages, pause);
        measure("slow", tacho, home.path(), &slow(), messages, pause);
        measure("away", tacho, home.path(), "http://127.0.0.1:1", messages, pause);
    }
    service.kill().unwrap();
    service.wait().unwrap();
}
