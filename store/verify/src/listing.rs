//! What is on disk below `log/`: every path parsed strictly, nothing followed, nothing opened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use schemas::Stream;
use schemas::layout::{self, FileName};

use crate::report::{Finding, Gathered};

/// Directories below a log at most: `tile/<L>/x…/x…/….p/<W>` of the largest index is shallower.
const DEPTH_MAX: usize = schemas::limits::VERIFY_DEPTH_MAX;
/// Ending of an unfinished write.
const UNFINISHED: &str = ".tmp";

/// One directory `<tenant>/<stream>/<writer>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirectory {
    /// Tenant, or `_root`.
    pub tenant: String,
    /// Stream.
    pub stream: Stream,
    /// Writer.
    pub writer: String,
    /// Where it is.
    pub path: PathBuf,
}

impl LogDirectory {
    /// The name below `log/`.
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.stream, self.writer)
    }
}

/// The names in one directory, sorted, with whether each is a directory; anything but directories and plain
/// files is a finding.
fn names(directory: &Path, shown: &str, out: &mut Gathered) -> io::Result<Vec<(String, bool)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let shown = |name: &str| if shown.is_empty() { name.to_string() } else { format!("{shown}/{name}") };
        let Ok(name) = entry.file_name().into_string() else {
            let name = shown(&entry.file_name().to_string_lossy());
            out.find(Finding::new("a name that is not UTF-8").file(name));
            continue;
        };
        // Does not follow links: a link is neither a directory nor a file here.
        let kind = entry.file_type()?;
        if kind.is_dir() || kind.is_file() {
            names.push((name, kind.is_dir()));
        } else {
            out.find(Finding::new("neither a plain file nor a directory").file(shown(&name)));
        }
    }
    names.sort();
    Ok(names)
}

/// All log directories below `log/`, by name.
///
/// # Errors
/// When a directory on the way cannot be read.
pub fn logs(log: &Path, out: &mut Gathered) -> io::Result<Vec<LogDirectory>> {
    let mut found = Vec::new();
    for (tenant, is_directory) in names(log, "", out)? {
        if !is_directory {
            foreign(&tenant, out);
            continue;
        }
        for (stream, is_directory) in names(&log.join(&tenant), &tenant, out)? {
            let below = format!("{tenant}/{stream}");
            if !is_directory {
                foreign(&below, out);
                continue;
            }
            for (writer, is_directory) in names(&log.join(&below), &below, out)? {
                let name = format!("{below}/{writer}");
                match layout::parse_log_dir(&tenant, &stream, &writer) {
                    Ok((tenant, stream, writer)) if is_directory => {
                        let path = log.join(&name);
                        found.push(LogDirectory { tenant, stream, writer, path });
                    }
                    _ => foreign(&name, out),
                }
            }
        }
    }
    Ok(found)
}

fn foreign(path: &str, out: &mut Gathered) {
    if path.ends_with(UNFINISHED) {
        out.note(Finding::new("an unfinished write, not evidence").file(path));
    } else {
        out.find(Finding::new("does not belong in a log directory").file(path));
    }
}

/// The files of one log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFiles {
    /// Numbers of manifest files.
    pub manifests: BTreeSet<u64>,
    /// Widths of the tile files of each (level, index).
    pub tiles: BTreeMap<(u32, u64), BTreeSet<u64>>,
    /// Segment and payload files by path below the log.
    pub data: BTreeMap<String, FileName>,
}

/// Lists the files of the log in `directory`; a directory that is not there has none.
///
/// # Errors
/// When a directory cannot be read.
pub fn files(directory: &Path, out: &mut Gathered) -> io::Result<LogFiles> {
    let mut files = LogFiles::default();
    let mut pending = vec![(String::new(), 0)];
    while let Some((below, depth)) = pending.pop() {
        let names = match names(&directory.join(&below), &below, out) {
            Ok(names) => names,
            // A live store removes superseded files, and with them directories.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for (name, is_directory) in names {
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            if !is_directory {
                files.add(path, out);
            } else if depth >= DEPTH_MAX || (depth == 0 && !is_log_subdirectory(&path)) {
                foreign(&path, out);
            } else {
                pending.push((path, depth + 1));
            }
        }
    }
    Ok(files)
}

fn is_log_subdirectory(name: &str) -> bool {
    [layout::MANIFEST, layout::TILE, layout::FileKind::Segment.dir(), layout::FileKind::Payload.dir()]
        .contains(&name)
}

impl LogFiles {
    fn add(&mut self, path: String, out: &mut Gathered) {
        if path == layout::LOG_JSON || path == layout::CHECKPOINT {
            return;
        }
        if let Some(number) = path
            .strip_prefix(layout::MANIFEST)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|name| layout::parse_manifest(name).ok())
        {
            self.manifests.insert(number);
        } else if let Ok(tile) = layout::parse_tile(&path) {
            self.tiles.entry((tile.level, tile.index)).or_default().insert(tile.width);
        } else if let Ok(name) = FileName::parse(&path) {
            self.data.insert(path, name);
        } else {
            foreign(&path, out);
        }
    }
}
