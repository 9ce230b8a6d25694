//! A file: one message a line, taken once it is on stable storage.
//!
//! Whoever rotates it needs to tell nobody: before each batch the path is looked at, and where it leads to another file, or none, it
//! is opened anew. `copytruncate` works too, but what is appended between its copy and its truncation is lost.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use schemas::limits::{SINK_BATCH_MAX, SINK_FILE_LINE_BYTES_MAX, SINK_REQUEST_BYTES};
use serde::{Deserialize, Serialize};
use store::AppendFile;
use tokio::task::JoinHandle;

use super::{Fate, Transport, fitting};
use crate::error::{Error, Result};
use crate::message::Message;

/// A file of lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it is; its directory must be there.
    pub path: PathBuf,
}

/// Appends to one file.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    /// Being written; where a call was cancelled, still. The next waits for it, so that no two write at once.
    writing: Option<JoinHandle<io::Result<AppendFile>>>,
    file: Option<AppendFile>,
}

impl File {
    /// The file, which is opened when there is something to append.
    ///
    /// # Errors
    /// [`Error::Settings`] for a path that leads to something else, or a directory that is not there.
    pub fn open(name: &str, settings: &Settings) -> Result<File> {
        let path = settings.path.clone();
        let wrong = |what: &str| {
            let detail = format!("path {}: {what}", path.display());
            Err(Error::Settings { sink: name.to_string(), detail })
        };
        if !path.is_absolute() {
            return wrong("give the whole path: a service starts anywhere");
        }
        if path.exists() && !path.is_file() {
            return wrong("is no regular file");
        }
        if !path.parent().is_some_and(std::path::Path::is_dir) {
            return wrong("its directory is not there; make it");
        }
        Ok(File { path, writing: None, file: None })
    }
}

/// Lines of messages, and each one's fate if they are written: what would be more than a line is refused.
pub(super) fn lines(batch: &[Message]) -> (Vec<u8>, Vec<Fate>) {
    let mut bytes = Vec::with_capacity(batch.iter().map(|message| message.body.len() + 1).sum());
    let mut fates = Vec::with_capacity(batch.len());
    for message in batch {
        if message.body.contains(&b'\n') {
            fates.push(Fate::Refused(
                "it has a line feed in it; give the sink a format of one line".to_string(),
            ));
        } else if message.body.len() >= SINK_FILE_LINE_BYTES_MAX {
            fates.push(Fate::Refused(format!("it is over the {SINK_FILE_LINE_BYTES_MAX} bytes of a line")));
        } else {
            bytes.extend_from_slice(&message.body);
            bytes.push(b'\n');
            fates.push(Fate::Taken);
        }
    }
    (bytes, fates)
}

/// What became of a batch of which nothing is known to be written.
pub(super) fn failed(fates: Vec<Fate>, reason: String) -> Vec<Fate> {
    let refused = fates.into_iter().take_while(|fate| *fate != Fate::Taken);
    refused.chain([Fate::away(reason)]).collect()
}

fn append(path: &std::path::Path, file: Option<AppendFile>, bytes: &[u8]) -> io::Result<AppendFile> {
    let current = match file {
        Some(file) if file.is_current()? => Some(file),
        _ => None,
    };
    let mut file = current.map_or_else(|| AppendFile::open(path), Ok)?;
    file.append(bytes)?;
    Ok(file)
}

#[async_trait]
impl Transport for File {
    async fn deliver(&mut self, batch: &[Message]) -> Vec<Fate> {
        if let Some(writing) = &mut self.writing {
            // Of a call that was cancelled: its lines come again, behind these.
            let written = writing.await;
            self.writing = None;
            self.file = written.ok().and_then(io::Result::ok);
        }
        let batch = batch.get(..fitting(batch, SINK_BATCH_MAX, SINK_REQUEST_BYTES)).unwrap_or_default();
        let (bytes, fates) = lines(batch);
        if bytes.is_empty() {
            return fates;
        }
        let (path, file) = (self.path.clone(), self.file.take());
        let writing = self.writing.insert(tokio::task::spawn_blocking(move || append(&path, file, &bytes)));
        let written = writing.await;
        self.writing = None;
        match written.map_err(io::Error::other).flatten() {
            Ok(file) => {
                self.file = Some(file);
                fates
            }
            Err(error) => failed(fates, format!("append to {}: {error}", self.path.display())),
        }
    }

    fn batch_max(&self) -> usize {
        SINK_BATCH_MAX
    }

    fn target(&self) -> String {
        self.path.display().to_string()
    }
}
