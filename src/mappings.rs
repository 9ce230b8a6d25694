//! The mappings in force: those built in, and the files of the directory `ingest.mappings`.

use std::path::Path;

use anyhow::{Context as _, Result};
use ingest::Mappings;

use crate::configuration::Configuration;

/// Reads the user's files; the first that is wrong is named with its line.
pub fn load(configuration: &Configuration) -> Result<Mappings> {
    let directory = configuration.text("ingest.mappings");
    let files = if directory.is_empty() { Vec::new() } else { files(Path::new(directory))? };
    Ok(Mappings::with(&files)?)
}

/// The `.toml` files of a directory, by name.
fn files(directory: &Path) -> Result<Vec<(String, String)>> {
    let place = || format!("ingest.mappings: read the directory {}", directory.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(place)? {
        let path = entry.with_context(place)?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| file(path)).collect()
}

/// A mapping file's name and content.
pub fn file(path: &Path) -> Result<(String, String)> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("read mapping file {}", path.display()))?;
    Ok((path.display().to_string(), text))
}
