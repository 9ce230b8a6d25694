//! `tacho keys`.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use schemas::origin::ROOT_TENANT;
use schemas::{Origin, Stream, layout};
use store::clock::SystemClock;
use store::{Clock, Wrapping};

use super::print;
use crate::arguments::Keys;
use crate::configuration::Configuration;
use crate::exit;
use crate::service::operating_system_user;

/// Prints verifier keys, changes how seeds are kept, rotates.
pub fn run(command: &Keys, configuration: &Configuration) -> Result<u8> {
    match command {
        Keys::Show { root, all, .. } => show(*root, *all, configuration),
        Keys::Encrypt { .. } => keep(Wrapping::Passphrase, "encrypted under the passphrase", configuration),
        Keys::Decrypt { .. } => keep(Wrapping::Plain, "kept as they are", configuration),
        Keys::Wrap { .. } => keep(Wrapping::Command, "wrapped by the program of keys_wrap", configuration),
        Keys::Rotate { by, .. } => rotate(by.clone(), configuration),
    }
}

/// Who does something, where nobody says.
pub(super) fn whoever(by: Option<String>) -> String {
    by.unwrap_or_else(|| operating_system_user(rustix::process::getuid().as_raw()))
}

fn show(root: bool, all: bool, configuration: &Configuration) -> Result<u8> {
    let keys = store::Keys::load_with(&configuration.keys(), &configuration.custody()?)?;
    let mut lines = Vec::new();
    let now = [keys.writer()];
    let writers: Vec<&str> = if all { keys.writers_before().chain(now).collect() } else { now.to_vec() };
    for writer in writers {
        if !root {
            for origin in origins(configuration, &keys, writer) {
                lines.push(keys.log(&origin)?.checkpoint.verifier().to_string());
            }
        }
        lines.push(store::root_key(&keys, writer)?);
    }
    print(format!("{}\n", lines.join("\n")).as_bytes())?;
    Ok(exit::CLEAN)
}

fn keep(wrapping: Wrapping, how: &str, configuration: &Configuration) -> Result<u8> {
    let custody = configuration.custody()?;
    let count = store::Keys::rewrap(&configuration.keys(), &custody, wrapping, &custody)?;
    let text = format!("{count} seeds in {} are {how} now\n", configuration.keys().display());
    print(text.as_bytes())?;
    Ok(exit::CLEAN)
}

fn rotate(by: Option<String>, configuration: &Configuration) -> Result<u8> {
    let custody = configuration.custody()?;
    let keys = store::Keys::load_with(&configuration.keys(), &custody)?;
    let old = store::root_key(&keys, keys.writer())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = store::Options::default();
    let rotated = store::rotate(&configuration.data(), keys, &custody, &options, &clock, &whoever(by));
    let rotated =
        rotated.context("rotate the keys; the old ones go on signing unless a succession was begun")?;
    let text = format!(
        "writer {} goes on in place of {}: {} logs, nothing lost\nold root key: {old}\n{}\n",
        rotated.writer,
        rotated.from,
        rotated.logs.len(),
        rotated.root_key
    );
    print(text.as_bytes())?;
    Ok(exit::CLEAN)
}

/// The logs of a writer below the data directory but the root log.
fn origins(configuration: &Configuration, keys: &store::Keys, writer: &str) -> Vec<Origin> {
    let log = configuration.data().join(layout::LOG);
    let names = |path: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    };
    let mut found = Vec::new();
    for tenant in names(&log).into_iter().filter(|tenant| tenant != ROOT_TENANT) {
        for stream in names(&log.join(&tenant)) {
            if log.join(&tenant).join(&stream).join(writer).is_dir()
                && let Ok((tenant, stream, _)) = layout::parse_log_dir(&tenant, &stream, writer)
                && stream != Stream::Root
                && let Ok(origin) = Origin::new(keys.installation(), &tenant, stream, writer)
            {
                found.push(origin);
            }
        }
    }
    found
}
