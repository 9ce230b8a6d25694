//! Credentials: where each comes from, read anew whenever it is used.
//!
//! A credential is in a file or in a variable of the environment and never in the configuration itself, so that a
//! configuration can be shown to anybody. What was read is overwritten when it is dropped, and shows nothing.

use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use schemas::limits::SINK_CREDENTIAL_BYTES_MAX;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// What nobody but owner and group may do, and what the group may not: read it, write it.
pub(crate) const FOR_OTHERS: u32 = 0o027;

/// Bytes that nobody is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes bytes over.
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(Zeroizing::new(bytes))
    }

    /// The bytes, for whoever needs them on a wire.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Environment(String),
}

/// Where a credential comes from.
#[derive(Debug)]
pub(crate) struct Credential {
    sink: String,
    setting: String,
    source: Source,
    has_warned: AtomicBool,
}

impl Credential {
    /// The credential `setting` of a sink, from `<setting>_file` or `<setting>_env`, if either is given.
    ///
    /// # Errors
    /// [`Error::Settings`] where both are.
    pub(crate) fn new(
        sink: &str,
        setting: &str,
        file: Option<&Path>,
        variable: Option<&str>,
    ) -> Result<Option<Credential>> {
        let source = match (file, variable) {
            (None, None) => return Ok(None),
            (Some(file), None) => Source::File(file.to_path_buf()),
            (None, Some(variable)) => Source::Environment(variable.to_string()),
            (Some(_), Some(_)) => {
                let detail = format!("{setting}_file and {setting}_env are both given; give one of them");
                return Err(Error::Settings { sink: sink.to_string(), detail });
            }
        };
        let has_warned = AtomicBool::new(false);
        Ok(Some(Credential { sink: sink.to_string(), setting: setting.to_string(), source, has_warned }))
    }

    /// What it is now, without a line feed at its end. Reads a small file: not for long, but blocking.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Settings`], with the place and nothing of what is there.
    pub(crate) fn read(&self) -> Result<Secret> {
        let bytes = match &self.source {
            Source::File(path) => self.read_file(path)?,
            Source::Environment(variable) => {
                let value = std::env::var_os(variable)
                    .ok_or_else(|| self.wrong(&format!("the environment has no {variable}")))?;
                Zeroizing::new(value.into_encoded_bytes())
            }
        };
        let end = bytes.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |at| at + 1);
        let kept = bytes.get(..end).unwrap_or_default();
        if kept.is_empty() {
            return Err(self.wrong("is empty"));
        }
        if kept.len() as u64 > SINK_CREDENTIAL_BYTES_MAX {
            return Err(self.wrong(&format!("is over {SINK_CREDENTIAL_BYTES_MAX} bytes")));
        }
        Ok(Secret::new(kept.to_vec()))
    }

    /// As [`Credential::read`], where it has to be text.
    ///
    /// # Errors
    /// The same; what is not UTF-8, or has control characters in it.
    pub(crate) fn read_line(&self) -> Result<Secret> {
        let secret = self.read()?;
        let is_line =
            std::str::from_utf8(secret.reveal()).is_ok_and(|text| !text.chars().any(char::is_control));
        if is_line { Ok(secret) } else { Err(self.wrong("is not one line of text")) }
    }

    /// Something about it is not as it should be.
    pub(crate) fn wrong(&self, what: &str) -> Error {
        let Credential { sink, setting, source, .. } = self;
        let detail = match source {
            Source::File(path) => format!("{setting}_file {}: {what}", path.display()),
            Source::Environment(variable) => format!("{setting}_env {variable}: {what}"),
        };
        Error::Settings { sink: sink.clone(), detail }
    }

    fn read_file(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
        let failed = |source| Error::File { action: "read credential", path: path.to_path_buf(), source };
        let (bytes, mode) = read(path, SINK_CREDENTIAL_BYTES_MAX).map_err(failed)?;
        if mode & FOR_OTHERS != 0 && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                sink = self.sink,
                setting = self.setting,
                path = %path.display(),
                "a credential is open to others (mode {mode:04o}); say: chmod 600 {}",
                path.display()
            );
        }
        Ok(bytes)
    }
}

/// A regular file of at most `bytes_max`, and its mode. Its bytes are nowhere else when this returns.
///
/// # Errors
/// As the operating system; `InvalidInput` for what is no file, or too large.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<(Zeroizing<Vec<u8>>, u32)> {
    // Asked before it is opened: to open a pipe waits for whoever writes to it.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    // As large as it can get, so that it is not moved and left behind while it grows.
    let capacity = usize::try_from(metadata.len().min(bytes_max) + 1).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    std::fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is over {bytes_max} bytes")));
    }
    Ok((bytes, metadata.permissions().mode() & 0o777))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_file(path: &Path) -> Credential {
        Credential::new("s", "token", Some(path), None).unwrap().unwrap()
    }

    #[test]
    fn it_is_read_anew_and_shows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let credential = of_file(&path);
        let missing = credential.read().unwrap_err().to_string();
        assert!(missing.starts_with("read credential") && missing.contains("token"), "{missing}");
        for token in ["hunter2", "hunter3"] {
            std::fs::write(&path, format!("{token}\r\n")).unwrap();
            let secret = credential.read_line().unwrap();
            assert_eq!(secret.reveal(), token.as_bytes());
            assert!(!format!("{secret:?} {credential:?}").contains("hunter"));
        }
    }

    #[test]
    fn what_cannot_be_one_is_told_without_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let large = vec![b'h'; usize::try_from(SINK_CREDENTIAL_BYTES_MAX).unwrap() + 1];
        for (bytes, says) in [
            (b"\n".as_slice(), "is empty"),
            (b"hunter2\nhunter3", "one line"),
            (b"hunter2\xff", "one line"),
            (&large, "over 65536 bytes"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = of_file(&path).read_line().unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(of_file(&path).read().unwrap_err().to_string().contains("no regular file"));
        let none = Credential::new("s", "token", None, Some("TACHO_NO_SUCH_VARIABLE")).unwrap().unwrap();
        assert!(none.read().unwrap_err().to_string().contains("TACHO_NO_SUCH_VARIABLE"));
        let path_of_all = Credential::new("s", "token", None, Some("PATH")).unwrap().unwrap();
        assert_eq!(path_of_all.read().unwrap().reveal(), std::env::var("PATH").unwrap().as_bytes());
        let both = Credential::new("s", "token", Some(&path), Some("X")).unwrap_err().to_string();
        assert_eq!(both, "sink s: token_file and token_env are both given; give one of them");
    }

    #[test]
    fn one_that_is_open_to_others_is_told_of_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "hunter2").unwrap();
        for (mode, warns) in [(0o600, false), (0o440, false), (0o644, true), (0o660, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let credential = of_file(&path);
            credential.read().unwrap();
            assert_eq!(credential.has_warned.load(Ordering::Relaxed), warns, "{mode:o}");
        }
    }
}
