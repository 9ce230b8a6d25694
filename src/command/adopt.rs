//! `tacho adopt`, `tacho backup`, `tacho restore`: copies, and what goes on from them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use schemas::Origin;
use schemas::control::Predecessor;
use store::backup::{self, BackupLog, Transfer};
use store::clock::SystemClock;
use store::{Adoption, Clock, Seen};
use verify::Identity;

use super::keys::whoever;
use super::print;
use crate::arguments::{Adopt, Backup, Restore};
use crate::configuration::Configuration;
use crate::exit;

/// What `tacho-verify --remember` writes.
#[derive(Debug, serde::Deserialize)]
struct Remembered {
    roots: Vec<RememberedRoot>,
}

#[derive(Debug, serde::Deserialize)]
struct RememberedRoot {
    origin: String,
    size: u64,
    root: String,
}

fn remembered(path: Option<&Path>) -> Result<BTreeMap<String, Seen>> {
    let Some(path) = path else { return Ok(BTreeMap::new()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let file: Remembered = serde_json::from_str(&text)
        .with_context(|| format!("{} is not what tacho-verify --remember writes", path.display()))?;
    let seen =
        file.roots.into_iter().map(|RememberedRoot { origin, size, root }| (origin, Seen { size, root }));
    Ok(seen.collect())
}

/// Begins logs in place of those of a copy.
pub fn adopt(command: Adopt, configuration: &Configuration) -> Result<u8> {
    let keys = store::Keys::load_with(&configuration.keys(), &configuration.custody()?)?;
    let remembered = remembered(command.remembered.as_deref())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let adoption = Adoption { by: whoever(command.by), reason: command.reason, remembered };
    let adopted = store::adopt(&configuration.data(), keys, &store::Options::default(), &clock, &adoption)?;
    let mut text = format!("writer {} goes on in place of {}\n", adopted.writer, adopted.from);
    for Predecessor { origin, size, kept, carried, .. } in &adopted.logs {
        let lost = match size - kept {
            0 => "nothing lost".to_string(),
            lost => format!("entries {kept} to {size} lost for ever: {lost}"),
        };
        text.push_str(&format!("{origin}: {kept} entries kept, {carried} recorded again, {lost}\n"));
    }
    for refused in &adopted.refused {
        text.push_str(&format!("remembered, and not counted: {refused}\n"));
    }
    text.push_str("give auditors the key of the new root log, which the old one does not vouch for:\n");
    text.push_str(&format!("{}\n", adopted.root_key));
    print(text.as_bytes())?;
    Ok(exit::CLEAN)
}

/// Copies what is sealed.
pub fn backup(command: &Backup, configuration: &Configuration) -> Result<u8> {
    let transfer = if command.hard_links { Transfer::HardLink } else { Transfer::Copy };
    let now_us = SystemClock::new().wall_us();
    let taken = backup::backup(&configuration.data(), &command.to, transfer, now_us)?;
    let mut text = String::new();
    for BackupLog { origin, size, .. } in &taken.logs {
        text.push_str(&format!("{origin}: {size} entries\n"));
    }
    let bytes: u64 = taken.files.iter().map(|file| file.bytes).sum();
    text.push_str(&format!("{} files, {bytes} bytes in {}\n", taken.files.len(), command.to.display()));
    text.push_str("what is not sealed yet is not in it, and no keys are: keep them apart\n");
    print(text.as_bytes())?;
    Ok(exit::CLEAN)
}

/// Verifies a backup, puts it back and says what is lost.
pub fn restore(command: &Restore, configuration: &Configuration) -> Result<u8> {
    let said = backup::Backup::load(&command.from)?;
    let keys_dir = configuration.keys();
    let keys = match store::Keys::are_in(&keys_dir)? {
        true => Some(store::Keys::load_with(&keys_dir, &configuration.custody()?)?),
        false => None,
    };
    let identity = match (&command.key, &keys) {
        (Some(key), _) => key.clone(),
        (None, Some(keys)) => root_key(keys, &said.logs)?,
        (None, None) => bail!(
            "{} has no keys: name their directory with --keys, or give the root log's verifier key with --key",
            keys_dir.display()
        ),
    };
    let report = verify::run(&verify::Options::new(&command.from, Identity::Key(identity)), &|_| {})?;
    if report.exit_code() != exit::CLEAN {
        verify::command::print_text(&report, true, &mut std::io::stdout().lock())?;
        bail!("{} is not clean; nothing was put back", command.from.display());
    }
    let restored = backup::restore(&command.from, &command.to)?;
    let mut known = keys.as_ref().map(store::Keys::all_remembered).unwrap_or_default();
    for (origin, seen) in remembered(command.remembered.as_deref())? {
        let newest = known.entry(origin).or_insert_with(|| seen.clone());
        if seen.size > newest.size {
            *newest = seen;
        }
    }
    print(lost(&restored.logs, &known).as_bytes())?;
    let next = format!(
        "{} is read-only: take it into service with\ntacho adopt --data {} --keys {} --reason TEXT\n",
        command.to.display(),
        command.to.display(),
        keys_dir.display()
    );
    print(next.as_bytes())?;
    Ok(exit::CLEAN)
}

/// The key of the newest root log in a backup.
fn root_key(keys: &store::Keys, logs: &[BackupLog]) -> Result<schemas::note::VerifierKey> {
    let writers: Vec<&str> = keys.writers_before().chain([keys.writer()]).collect();
    let roots = logs.iter().filter_map(|log| log.origin.parse::<Origin>().ok());
    let roots = roots.filter(|origin| origin.stream() == schemas::Stream::Root);
    let newest = roots.max_by_key(|origin| writers.iter().position(|writer| *writer == origin.writer()));
    let newest = newest.context("the backup holds no root log")?;
    Ok(keys.log(&newest)?.checkpoint.verifier().clone())
}

/// The size of each log here, against what is known of it.
fn lost(logs: &[BackupLog], known: &BTreeMap<String, Seen>) -> String {
    let mut sizes: BTreeMap<&str, u64> = logs.iter().map(|log| (log.origin.as_str(), log.size)).collect();
    for origin in known.keys() {
        sizes.entry(origin).or_insert(0);
    }
    let mut text = String::new();
    for (origin, here) in sizes {
        let line = match known.get(origin) {
            None => "what it had come to is not remembered here".to_string(),
            Some(seen) if seen.size > here => {
                format!("was signed to {}: {} entries are not in this copy", seen.size, seen.size - here)
            }
            Some(_) => "nothing lost, as far as is remembered".to_string(),
        };
        text.push_str(&format!("{origin}: {here} entries; {line}\n"));
    }
    text
}
