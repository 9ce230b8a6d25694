//! What of a connection the other machine has not acknowledged: Linux's `tx_queue` of the socket in `/proc/self/net/tcp`, which is
//! written less acknowledged bytes (`tcp4_seq_show` of the kernel: `write_seq - snd_una`), the same as the ioctl `SIOCOUTQ` says.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read};
use std::net::{IpAddr, SocketAddr};

use schemas::limits::SYSLOG_SOCKETS_MAX;

const OF_IPV4: &str = "/proc/self/net/tcp";
const OF_IPV6: &str = "/proc/self/net/tcp6";
/// States in which what was written can still arrive: ESTABLISHED, CLOSE_WAIT.
const OPEN: [&str; 2] = ["01", "08"];

/// What is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unacknowledged {
    Nothing,
    Some,
    /// The kernel holds the connection for closed.
    Closed,
    /// It does not list it: closed and forgotten, where it did before.
    Unlisted,
    /// And why.
    Unknown(String),
}

/// What the kernel says of a connection. Blocking, for as long as a list of all sockets takes.
pub(super) fn unacknowledged(local: SocketAddr, remote: SocketAddr) -> Unacknowledged {
    let path = if local.is_ipv4() { OF_IPV4 } else { OF_IPV6 };
    match std::fs::File::open(path) {
        Ok(file) => look(file, &written(local), &written(remote)),
        Err(error) => Unacknowledged::Unknown(format!("{path}: {error}")),
    }
}

fn look(table: impl Read, local: &str, remote: &str) -> Unacknowledged {
    for line in BufReader::new(table).lines().take(SYSLOG_SOCKETS_MAX) {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Unacknowledged::Unknown(error.to_string()),
        };
        // Number, local address, remote address, state, transmit and receive queue.
        let mut words = line.split_ascii_whitespace().skip(1);
        if words.next() != Some(local) || words.next() != Some(remote) {
            continue;
        }
        let (state, queues) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let transmit =
            queues.split_once(':').and_then(|(transmit, _)| u64::from_str_radix(transmit, 16).ok());
        return match transmit {
            _ if !OPEN.contains(&state) => Unacknowledged::Closed,
            Some(0) => Unacknowledged::Nothing,
            Some(_) => Unacknowledged::Some,
            None => Unacknowledged::Unknown("the list of sockets is not as it is known".to_string()),
        };
    }
    Unacknowledged::Unlisted
}

/// An address as the kernel writes it there: words of the machine, in hexadecimal.
fn written(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut text = String::with_capacity(37);
    for word in octets.chunks_exact(4) {
        let word = <[u8; 4]>::try_from(word).map(u32::from_ne_bytes).unwrap_or_default();
        // Writing to a string cannot fail.
        write!(text, "{word:08X}").ok();
    }
    write!(text, ":{:04X}", address.port()).ok();
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_says_what_has_not_arrived() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 has nothing to say of it.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut theirs, _) = listener.accept().unwrap();
            let (local, remote) = (ours.local_addr().unwrap(), ours.peer_addr().unwrap());
            let settled = |wanted: Unacknowledged| {
                for _ in 0..200 {
                    if unacknowledged(local, remote) == wanted {
                        return;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                panic!("{address}: {:?} is not {wanted:?}", unacknowledged(local, remote));
            };
            settled(Unacknowledged::Nothing);
            ours.write_all(b"arrives").unwrap();
            settled(Unacknowledged::Nothing);
            // Nobody reads: what does not fit into the other side's buffer is not acknowledged.
            ours.set_nonblocking(true).unwrap();
            while ours.write(&[0; 65_536]).is_ok() {}
            settled(Unacknowledged::Some);
            theirs.set_nonblocking(true).unwrap();
            let mut bytes = vec![0; 1 << 20];
            while unacknowledged(local, remote) == Unacknowledged::Some {
                let read = theirs.read(&mut bytes);
                assert!(
                    read.is_ok() || read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
                );
            }
            settled(Unacknowledged::Nothing);
            while theirs.read(&mut bytes).is_ok_and(|bytes| bytes > 0) {}
            drop(theirs);
            // Closed by them, and not by us.
            settled(Unacknowledged::Nothing);
            drop(ours);
            let gone = unacknowledged(local, remote);
            assert!(!matches!(gone, Unacknowledged::Nothing | Unacknowledged::Some), "{gone:?}");
        }
    }

    #[test]
    fn a_list_of_another_kind_is_told() {
        let known = |table: &str| look(table.as_bytes(), "0100007F:1F90", "0100007F:2329");
        let head = "  sl  local_address rem_address   st tx_queue rx_queue\n";
        let line = |state: &str, queues: &str| {
            format!("{head}   0: 0100007F:1F90 0100007F:2329 {state} {queues} 00:0\n")
        };
        assert_eq!(known(&line("01", "00000000:00000005")), Unacknowledged::Nothing);
        assert_eq!(known(&line("08", "00000010:00000000")), Unacknowledged::Some);
        assert_eq!(known(&line("07", "00000000:00000000")), Unacknowledged::Closed);
        assert!(matches!(known(&line("01", "x")), Unacknowledged::Unknown(_)));
        assert_eq!(known(head), Unacknowledged::Unlisted);
    }
}
