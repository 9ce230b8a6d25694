//! Run by two: the suite of the whole program, and the tap's own tests with a program that has nothing else in it.

use std::io::{Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::{Seeded, call, is_full, settled, tapped, until};

/// The same command unwrapped.
fn bare(command: &[&str]) -> Command {
    let mut bare = Command::new(command[0]);
    bare.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    bare
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) out: Vec<u8>,
    pub(super) error: Vec<u8>,
    pub(super) status: ExitStatus,
}

/// Writes `input`, closes it, and sees what comes.
pub(super) fn exchange(mut command: Command, input: &[u8]) -> Seen {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || {
        // A server that closes its input early breaks this off, wrapped or not.
        stdin.write_all(&input).ok();
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    Seen { out: output.stdout, error: output.stderr, status: output.status }
}

fn same(home: &Path, command: &[&str], input: &[u8]) -> Seen {
    let (wrapped, unwrapped) = (exchange(tapped(home, &[], command), input), exchange(bare(command), input));
    assert_eq!(wrapped.status, unwrapped.status, "{command:?}");
    assert_eq!(
        String::from_utf8_lossy(&wrapped.error),
        String::from_utf8_lossy(&unwrapped.error),
        "{command:?}"
    );
    assert!(
        wrapped.out == unwrapped.out,
        "{command:?}: {} and {} bytes",
        wrapped.out.len(),
        unwrapped.out.len()
    );
    wrapped
}

/// A message, or what is none: text, binary, blank lines, long lines, and now and then ten megabytes.
fn message(seeded: &mut Seeded, at: u64) -> Vec<u8> {
    let mut bytes = |length: u64| -> Vec<u8> { (0..length).map(|_| seeded.next() as u8).collect() };
    let mut message = match at % 11 {
        0 => bytes(at % 300),
        1 => format!(
            r#"{{"jsonrpc":"2.0","id":{at},"result":{{"x":"{}"}}}}"#,
            "y".repeat((at % 9000) as usize)
        )
        .into_bytes(),
        2 => format!(r#"[{{"id":{at},"method":"ping"}},{{"method":"x"}}]"#).into_bytes(),
        3 => vec![b' '; (at % 5) as usize],
        4 => format!(
            r#"{{"id":{at},"method":"tools/call","params":{{"name":"\ud800","arguments":{}}}}}"#,
            "[".repeat(200)
        )
        .into_bytes(),
        _ => call(at).into_bytes(),
    };
    if at == 5_000 {
        message = [call(at).into_bytes(), vec![b'z'; 10 << 20]].concat();
    }
    message.push(b'\n');
    message
}

#[test]
fn ten_thousand_messages_pass_byte_for_byte() {
    let home = tempfile::tempdir().unwrap();
    for seed in 0..if is_full() { 10 } else { 1 } {
        let mut seeded = Seeded(seed);
        let input: Vec<u8> = (0..10_000).flat_map(|at| message(&mut seeded, at)).collect();
        assert!(input.len() > 10 << 20);
        let seen = same(home.path(), &["cat"], &input);
        assert!(seen.out == input);
        // Through a server that writes on both outputs, cuts lines anywhere and does not end the last.
        same(
            home.path(),
            &["sh", "-c", "tee /dev/stderr | dd bs=777 2>/dev/null; printf unended"],
            &input[..1 << 20],
        );
    }
    settled(home.path());
}

#[test]
fn it_ends_as_the_server_ends() {
    let home = tempfile::tempdir().unwrap();
    for script in [
        "exit 0",
        "echo out; echo err >&2; exit 7",
        "kill -SEGV $$",
        "kill -KILL $$",
        "echo last words; kill -TERM $$",
        // Half-closed pipes, from either side.
        "cat; echo done",
        "exec 0<&-; sleep 0.2; echo no more questions",
        "exec 1>&-; cat >/dev/null; exit 5",
        "echo early; exec 1>&-; cat >&2; exit 6",
        // Its place among processes is the wrapped server's own.
        "ps -o ppid= -o pgid= -p $$ | awk -v self=$$ '{print $1, ($2 == self)}'",
        "exec ls /proc/self/fd",
        "env | grep -c TACHO_TAP",
        "trap",
        "ulimit -a",
    ] {
        same(home.path(), &["sh", "-c", script], b"some\ninput");
    }
    let missing = exchange(tapped(home.path(), &[], &["/no/such/server"]), b"");
    assert_eq!(missing.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&missing.error).contains("/no/such/server"));
    settled(home.path());
}

/// Waits for a line of the server's.
fn ready(child: &mut Child) {
    let mut byte = [0];
    let out = child.stdout.as_mut().unwrap();
    while byte != *b"\n" {
        assert_eq!(out.read(&mut byte).unwrap(), 1, "it is not ready");
    }
}

#[test]
fn signals_reach_the_server_once_and_alone() {
    let home = tempfile::tempdir().unwrap();
    let script = "n=0; trap 'n=$((n+1))' TERM INT HUP; echo ready; while [ $n -lt 1 ]; do sleep 0.02; done; \
                  sleep 0.2; echo signals $n; exit 40";
    for to_group in [false, true] {
        for wrapped in [false, true] {
            let command = ["sh", "-c", script];
            let mut command = if wrapped { tapped(home.path(), &[], &command) } else { bare(&command) };
            let mut child = command.process_group(0).spawn().unwrap();
            ready(&mut child);
            if to_group {
                let group = format!("-{}", child.id());
                assert!(Command::new("kill").args(["-TERM", "--", &group]).status().unwrap().success());
            } else {
                assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
            }
            let output = child.wait_with_output().unwrap();
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                "signals 1\n",
                "group {to_group}, wrapped {wrapped}"
            );
            assert_eq!(output.status.code(), Some(40));
        }
    }
    let mut child = tapped(home.path(), &[], &["sh", "-c", "echo ready; exec sleep 60"]).spawn().unwrap();
    ready(&mut child);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    settled(home.path());
}

#[test]
fn a_client_that_goes_away_is_noticed_as_without_the_tap() {
    let home = tempfile::tempdir().unwrap();
    // It reads no more: the server dies of the broken pipe.
    let mut child = tapped(home.path(), &[], &["yes"]).spawn().unwrap();
    ready(&mut child);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().signal(), Some(13));
    // It writes no more: the server sees the end of its input.
    let mut child = tapped(home.path(), &[], &["cat"]).spawn().unwrap();
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // The server is gone: who writes to it is told, and who reads sees the end.
    let mut child = tapped(home.path(), &[], &["true"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    until("the client is told", || {
        std::thread::sleep(Duration::from_millis(10));
        stdin.write_all(b"anybody?\n").is_err()
    });
    let mut rest = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    settled(home.path());
}
