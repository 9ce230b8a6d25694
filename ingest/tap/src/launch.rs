//! Starting the server as if nobody watched: this process becomes it.
//!
//! The relay is started first, in a session of its own and as nobody's child; then the wrapped command is executed in the
//! place of `tacho tap`, with two named pipes of the relay's as standard input and output. So the server has the process
//! id, the parent, the group, the terminal and the environment that it would have unwrapped: its exit code, the signals that it
//! gets and the signal that it dies of need no passing on. Standard error is its own all along.
//!
//! Where the relay cannot be started the server runs all the same, unobserved, and that is said on standard error.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, mknodat};
use schemas::limits::TAP_START_TIMEOUT_MS;

use crate::clock::Clock;
use crate::error::Error;

/// Name of the pipe from client to server, in the meeting place.
pub(crate) const UP: &str = "up";
/// Name of the pipe from server to client.
pub(crate) const DOWN: &str = "down";

/// Where the relay meets the server; set for the relay alone.
const MEETING: &str = "TACHO_TAP_MEETING";
/// Set for the relay once it is nobody's child.
const DETACHED: &str = "TACHO_TAP_DETACHED";

/// What this process is for: the program starts itself again, twice.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// To become the server: [`become_server`].
    Server,
    /// To leave a relay behind and end: [`detach`].
    Starter,
    /// To be the relay, which meets the server here: [`crate::relay::Ends::meet`].
    Relay(PathBuf),
}

impl Part {
    /// Of this process.
    pub fn of_this_process() -> Part {
        match (std::env::var_os(MEETING), std::env::var_os(DETACHED)) {
            (None, _) => Part::Server,
            (Some(_), None) => Part::Starter,
            (Some(meeting), Some(_)) => Part::Relay(PathBuf::from(meeting)),
        }
    }
}

/// Becomes `server`, with a relay between it and the client. Comes back only if the server could not be executed, and says
/// why.
pub fn become_server(mut server: Command) -> io::Error {
    match meet() {
        Ok((input, output)) => {
            server.stdin(Stdio::from(input)).stdout(Stdio::from(output));
        }
        // Where nobody takes it, the server runs all the same.
        Err(error) => drop(writeln!(io::stderr(), "tacho tap: {error}: the server runs unobserved")),
    }
    server.exec()
}

/// Leaves a relay behind that no signal to the server's group or terminal reaches, and that is no child of the server's.
///
/// # Errors
/// When no process can be started.
pub fn detach() -> io::Result<()> {
    rustix::process::setsid()?;
    this_program()?.env(DETACHED, "1").spawn().map(drop)
}

/// This program again with the same arguments.
fn this_program() -> io::Result<Command> {
    let mut arguments = std::env::args_os();
    let mut again = Command::new(std::env::current_exe()?);
    again.arg0(arguments.next().unwrap_or_else(|| "tacho".into())).args(arguments);
    Ok(again)
}

/// Starts the relay and meets it: what the server reads and what it writes.
fn meet() -> Result<(File, File), Error> {
    let failed =
        |what: &'static str| move |error: io::Error| Error::Relay { reason: format!("{what}: {error}") };
    // Readable by nobody else; removed when this returns, which leaves the pipes open.
    let place =
        tempfile::Builder::new().prefix("tacho-tap-").tempdir().map_err(failed("make a directory"))?;
    let (up, down) = (place.path().join(UP), place.path().join(DOWN));
    for pipe in [&up, &down] {
        let made = mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
        made.map_err(io::Error::from).map_err(failed("make a pipe"))?;
    }
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let input = OpenOptions::new().read(true).custom_flags(nonblocking).open(&up);
    let input = input.map_err(failed("open a pipe"))?;
    let mut starter = this_program().map_err(failed("find this program"))?;
    let status = starter.env(MEETING, place.path()).status().map_err(failed("start this program"))?;
    if !status.success() {
        return Err(Error::Relay { reason: format!("it ended with {status}") });
    }
    let output = reader_is_there(&down, nonblocking).map_err(failed("wait for it"))?;
    for pipe in [&input, &output] {
        blocking(pipe).map_err(failed("prepare a pipe"))?;
    }
    Ok((input, output))
}

/// The writing end of `pipe`, once the relay is reading it; it has the writing end of the other pipe by then.
fn reader_is_there(pipe: &Path, nonblocking: i32) -> io::Result<File> {
    let pause = Duration::from_micros(200);
    let (clock, patience_us) = (Clock::start(), i128::from(TAP_START_TIMEOUT_MS) * 1000);
    loop {
        match OpenOptions::new().write(true).custom_flags(nonblocking).open(pipe) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {}
            opened => return opened,
        }
        // The time itself: on a busy machine a sleep takes much longer than it was asked for.
        if i128::from(clock.now().monotonic_us) >= patience_us {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(pause);
    }
}

fn blocking(pipe: &File) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags - OFlags::NONBLOCK)?)
}
