//! The operator's passphrase and programs that open the seeds.
//!
//! A passphrase comes from a file or the environment, never as an argument, which every user of the machine could read. A program
//! reads the seed or what wraps it from its standard input and prints the other to its standard output. What it says to standard
//! error goes nowhere: it might be the seed.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use schemas::limits::{CUSTODY_OUTPUT_BYTES_MAX, CUSTODY_POLL_MS};
use store::{Custody, Error, NoCustody};
use zeroize::Zeroizing;

/// Holds the passphrase itself.
const PASSPHRASE: &str = "TACHO_KEYS_PASSPHRASE";
/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(CUSTODY_POLL_MS);

/// As the configuration has it.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// File with the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Program and arguments; empty for none.
    pub unwrap: Vec<String>,
    /// Program and arguments; empty for none.
    pub wrap: Vec<String>,
    /// What a program may take.
    pub timeout: Duration,
}

impl Custody for Configured {
    fn passphrase(&self) -> store::Result<Zeroizing<String>> {
        let Some(path) = &self.passphrase_file else {
            return match std::env::var(PASSPHRASE) {
                Ok(passphrase) if !passphrase.is_empty() => Ok(Zeroizing::new(passphrase)),
                _ => NoCustody.passphrase(),
            };
        };
        let wrong = |detail: String| Error::Keys(format!("passphrase file {}: {detail}", path.display()));
        let metadata = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(wrong("others may read it; chmod 600".to_string()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let text = Zeroizing::new(text);
        Ok(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_string()))
    }

    fn unwrap(&self, wrapped: &[u8]) -> store::Result<Zeroizing<Vec<u8>>> {
        match self.unwrap.is_empty() {
            true => NoCustody.unwrap(wrapped),
            false => run("keys_unwrap", &self.unwrap, wrapped, self.timeout),
        }
    }

    fn wrap(&self, seed: &[u8]) -> store::Result<Vec<u8>> {
        match self.wrap.is_empty() {
            true => NoCustody.wrap(seed),
            false => run("keys_wrap", &self.wrap, seed, self.timeout).map(|wrapped| wrapped.to_vec()),
        }
    }
}

/// Gives `input` to a program; what it printed.
fn run(key: &str, command: &[String], input: &[u8], timeout: Duration) -> store::Result<Zeroizing<Vec<u8>>> {
    let (program, arguments) = command.split_first().map_or(("", &[][..]), |(program, rest)| (program, rest));
    let wrong = |detail: String| Error::Keys(format!("{key}: {program}: {detail}"));
    let mut child = Command::new(program)
        .args(arguments)
        .env_remove(PASSPHRASE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| wrong(error.to_string()))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let input = Zeroizing::new(input.to_vec());
    // One that does not read, or has ended, says so by how it ends. Neither thread is waited for: whatever the program left
    // running may hold its pipes.
    std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let (printed, output) = sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = match stdout {
            Some(stdout) => stdout.take(CUSTODY_OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes).map(|_| bytes),
            None => Ok(bytes),
        };
        // Nobody waits for it any more.
        printed.send(read).ok();
    });
    let mut waited = Duration::ZERO;
    let status = loop {
        match child.try_wait().map_err(|error| wrong(error.to_string()))? {
            Some(status) => break status,
            None if waited >= timeout => {
                // It may have ended just now.
                child.kill().ok();
                child.wait().map_err(|error| wrong(error.to_string()))?;
                return Err(wrong(format!("not done after {} s, and ended", timeout.as_secs())));
            }
            None => {
                std::thread::sleep(POLL);
                waited += POLL;
            }
        }
    };
    let printed = output.recv_timeout(timeout.saturating_sub(waited).max(POLL));
    let printed = printed.map_err(|_| wrong("its output did not end with it".to_string()))?;
    let printed = printed.map_err(|error| wrong(error.to_string()))?;
    if printed.len() as u64 > CUSTODY_OUTPUT_BYTES_MAX {
        return Err(wrong(format!("it printed more than {CUSTODY_OUTPUT_BYTES_MAX} bytes")));
    }
    match status.success() {
        true => Ok(printed),
        false => Err(wrong(format!("{status}; run it by hand to see what it says"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_string).to_vec()
    }

    fn configured(script: &str) -> Configured {
        Configured { unwrap: program(script), timeout: Duration::from_secs(1), ..Configured::default() }
    }

    #[test]
    fn a_program_reads_and_prints() {
        assert_eq!(configured("tr a b").unwrap(b"aaa").unwrap().as_slice(), b"bbb");
        // One that does not read what it is given.
        assert_eq!(configured("echo x").unwrap(&[0; 1 << 18]).unwrap().as_slice(), b"x\n");
    }

    #[test]
    fn what_a_program_says_beside_is_nowhere() {
        let error = configured("cat >&2; exit 3").unwrap(b"the seed").unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && !error.contains("the seed"), "{error}");
        for (script, says) in [
            ("sleep 60", "not done after 1 s"),
            ("yes", "more than"),
            ("exec /none", "exit status"),
            ("sleep 3 & exit 0", "did not end"),
        ] {
            let error = configured(script).unwrap(b"").unwrap_err().to_string();
            assert!(error.contains(says), "{script}: {error}");
        }
        let none = Configured { unwrap: vec!["/none/such".to_string()], ..Configured::default() };
        assert!(none.unwrap(b"").unwrap_err().to_string().contains("/none/such"));
        assert!(Configured::default().unwrap(b"").unwrap_err().to_string().contains("keys_unwrap"));
    }
}
