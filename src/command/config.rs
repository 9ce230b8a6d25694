//! `tacho config`.

use anyhow::Result;

use super::print;
use crate::configuration::Configuration;
use crate::exit;

/// Prints what is in force.
pub fn show(configuration: &Configuration) -> Result<u8> {
    print(format!("{}\n", lines(configuration)?.join("\n")).as_bytes())?;
    Ok(exit::CLEAN)
}

/// One line a key, and digests of the rules in Sigma and of the database of countries: they are files, and change without any key.
pub fn lines(configuration: &Configuration) -> Result<Vec<String>> {
    let mut lines = configuration.lines()?;
    let rules = crate::rules::load(configuration)?;
    lines.push(format!("\n# rules in Sigma: {} of them, digest {}", rules.rules().len(), rules.digest()));
    if let Some(countries) = crate::countries::load(configuration)? {
        lines.push(format!("# database of countries: {}", countries.about()));
    }
    Ok(lines)
}

/// Says that the configuration could be read; reading it is the check.
pub fn check(configuration: &Configuration) -> Result<u8> {
    configuration.check_roles()?;
    configuration.listen()?;
    drop(crate::mappings::load(configuration)?);
    drop(crate::rules::load(configuration)?);
    drop(crate::countries::load(configuration)?);
    let file =
        configuration.file().map_or("no file, defaults".to_string(), |file| file.display().to_string());
    print(format!("configuration is good ({file})\n").as_bytes())?;
    Ok(exit::CLEAN)
}
