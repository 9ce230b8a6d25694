//! The name of a log and the id that binds its entries to it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::limits::ORIGIN_PART_BYTES_MAX;
use crate::stream::Stream;
use crate::{Error, Result};

/// The tenant under which the root log lives.
pub const ROOT_TENANT: &str = "_root";

/// `<installation>/<tenant>/<stream>/<writer>`: the origin line of a log's checkpoints and the name of its
/// key. Each part is `[a-z0-9._-]{1,64}` and not `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    installation: String,
    tenant: String,
    stream: Stream,
    writer: String,
}

/// SHA-256 over the log's origin and public key: the first thing in every entry, so that an entry of one log
/// never hashes to a leaf of another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub [u8; 32]);

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(8) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

/// Whether `part` may be a part of an origin (and so of a path).
pub fn is_part(part: &str) -> bool {
    (1..=ORIGIN_PART_BYTES_MAX).contains(&part.len())
        && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        && part != "."
        && part != ".."
}

impl Origin {
    /// Checks and joins the parts.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a part is not `[a-z0-9._-]{1,64}`, or when exactly one of tenant `_root` and
    /// stream `root` is given.
    pub fn new(installation: &str, tenant: &str, stream: Stream, writer: &str) -> Result<Origin> {
        for (name, part) in [("installation", installation), ("tenant", tenant), ("writer", writer)] {
            if !is_part(part) {
                return Err(Error::malformed(
                    "origin",
                    format!("{name} {part:?} is not 1 to {ORIGIN_PART_BYTES_MAX} of a-z 0-9 . _ -"),
                ));
            }
        }
        if (tenant == ROOT_TENANT) != (stream == Stream::Root) {
            return Err(Error::malformed(
                "origin",
                format!("tenant {ROOT_TENANT} and stream root go together, not {tenant}/{stream}"),
            ));
        }
        Ok(Origin {
            installation: installation.to_string(),
            tenant: tenant.to_string(),
            stream,
            writer: writer.to_string(),
        })
    }

    /// The installation's id.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// The tenant, or `_root`.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The stream.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// The writer.
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// `SHA-256("tachograph/log/v1\n" || origin || "\n" || key)`.
    pub fn log_id(&self, verifying_key: &[u8; 32]) -> LogId {
        let mut hasher = Sha256::new();
        hasher.update(b"tachograph/log/v1\n");
        hasher.update(self.to_string().as_bytes());
        hasher.update(b"\n");
        hasher.update(verifying_key);
        LogId(hasher.finalize().into())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.installation, self.tenant, self.stream, self.writer)
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Origin> {
        let mut parts = text.split('/');
        let (Some(installation), Some(tenant), Some(stream), Some(writer), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::malformed("origin", "expected installation/tenant/stream/writer".to_string()));
        };
        Origin::new(installation, tenant, stream.parse()?, writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_round_trips_and_refuses_what_could_leave_the_tree() {
        let origin = Origin::new("acme-1f", "default", Stream::Events, "w1").unwrap();
        assert_eq!(origin.to_string(), "acme-1f/default/events/w1");
        assert_eq!(origin.to_string().parse::<Origin>().unwrap(), origin);
        for bad in ["", "..", "a/b", "A", "ü", "a b", &"x".repeat(65)] {
            assert!(Origin::new("i", bad, Stream::Events, "w1").is_err(), "{bad:?}");
        }
        assert!("a/b/events".parse::<Origin>().is_err());
        assert!("a/b/events/w/x".parse::<Origin>().is_err());
        assert!(Origin::new("i", "_root", Stream::Events, "w1").is_err());
        assert!(Origin::new("i", "default", Stream::Root, "w1").is_err());
    }

    #[test]
    fn log_id_depends_on_origin_and_key() {
        let a = Origin::new("i", "t", Stream::Events, "w1").unwrap();
        let b = Origin::new("i", "t", Stream::Alerts, "w1").unwrap();
        assert_ne!(a.log_id(&[1; 32]), b.log_id(&[1; 32]));
        assert_ne!(a.log_id(&[1; 32]), a.log_id(&[2; 32]));
    }
}
