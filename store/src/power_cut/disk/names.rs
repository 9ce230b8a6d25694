//! Paths of the simulated disk.

use std::io::{self, ErrorKind};

pub(super) fn not_found(path: &str) -> io::Error {
    io::Error::new(ErrorKind::NotFound, path.to_string())
}

pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// A path without what randomness put into it.
pub(super) fn masked(path: &str) -> String {
    if let Some((name, _)) = path.strip_suffix(".tmp").and_then(|rest| rest.rsplit_once('.'))
        && !path.contains('/')
    {
        return format!("{name}.*.tmp");
    }
    if let Some((range, _)) = path.strip_suffix(".parquet").and_then(|rest| rest.rsplit_once('-')) {
        return format!("{range}-*.parquet");
    }
    match path.rsplit_once('-').filter(|_| path.starts_with(schemas::layout::QUARANTINE)) {
        Some((place, _)) => format!("{place}-*"),
        None => path.to_string(),
    }
}
