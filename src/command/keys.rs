//! `tacho keys`.

use anyhow::Result;
use schemas::layout;
use schemas::origin::Origin;

use super::print;
use crate::arguments::Keys;
use crate::configuration::Configuration;
use crate::exit;

/// Prints verifier keys.
pub fn run(command: &Keys, configuration: &Configuration) -> Result<u8> {
    let Keys::Show { root, .. } = command;
    let keys = store::Keys::load(&configuration.keys())?;
    let writer = store::Options::default().writer;
    let mut lines = Vec::new();
    if !root {
        for origin in origins(configuration, &keys, &writer) {
            lines.push(keys.log(&origin)?.checkpoint.verifier().to_string());
        }
    }
    lines.push(store::root_key(&keys, &writer)?);
    print(format!("{}\n", lines.join("\n")).as_bytes())?;
    Ok(exit::CLEAN)
}

/// The logs below the data directory but the root log.
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
    for tenant in names(&log) {
        for stream in names(&log.join(&tenant)) {
            if let Ok((tenant, stream, _)) = layout::parse_log_dir(&tenant, &stream, writer)
                && stream != schemas::Stream::Root
                && let Ok(origin) = Origin::new(keys.installation(), &tenant, stream, writer)
            {
                found.push(origin);
            }
        }
    }
    found
}
