//! The copying path: bytes pass at once and unchanged, whatever becomes of the observer.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;

use filedescriptor::{POLLERR, POLLHUP, POLLIN, POLLOUT, poll, pollfd};
use schemas::limits::TAP_READ_BYTES;

use crate::clock::Clock;
use crate::watch::Watch;

/// Copies until one end closes, then closes both. The observer hears of bytes before they are passed on, so that a request
/// is with it before its reply can be.
pub fn copy(mut from: File, mut to: File, mut watch: Watch, clock: Clock) {
    let mut buffer = vec![0; TAP_READ_BYTES];
    while let Some(read) = read(&mut from, &to, &mut buffer) {
        let bytes = buffer.get(..read).unwrap_or_default();
        watch.see(clock.now(), bytes);
        if write(&mut to, bytes).is_err() {
            break;
        }
    }
    // Both ends learn of it before the observer does.
    drop(to);
    drop(from);
    watch.end(clock.now());
}

/// How many bytes came; none at the end of `from`, or when nobody reads `to` any more: without this look a writer would
/// learn one message late that its reader is gone.
fn read(from: &mut File, to: &File, buffer: &mut [u8]) -> Option<usize> {
    loop {
        let mut ends = [wait(from, POLLIN), wait(to, 0)];
        match poll(&mut ends, None) {
            Ok(_) => {}
            Err(filedescriptor::Error::Poll(error)) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return None,
        }
        let [source, sink] = ends;
        if sink.revents & (POLLERR | POLLHUP) != 0 {
            return None;
        }
        if source.revents == 0 {
            continue;
        }
        match from.read(buffer) {
            Ok(0) => return None,
            Ok(read) => return Some(read),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(_) => return None,
        }
    }
}

/// Writes all of it; waits where the other end was set not to block by whoever shares it.
fn write(to: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                match poll(&mut [wait(to, POLLOUT)], None) {
                    Err(filedescriptor::Error::Poll(error)) if error.kind() != ErrorKind::Interrupted => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait(file: &File, events: i16) -> pollfd {
    pollfd { fd: file.as_raw_fd(), events, revents: 0 }
}
