//! `tacho config`.

use anyhow::Result;

use super::print;
use crate::configuration::Configuration;
use crate::exit;

/// Prints what is in force.
pub fn show(configuration: &Configuration) -> Result<u8> {
    print(format!("{}\n", configuration.lines()?.join("\n")).as_bytes())?;
    Ok(exit::CLEAN)
}

/// Says that the configuration could be read; reading it is the check.
pub fn check(configuration: &Configuration) -> Result<u8> {
    configuration.check_roles()?;
    configuration.listen()?;
    drop(crate::mappings::load(configuration)?);
    let file =
        configuration.file().map_or("no file, defaults".to_string(), |file| file.display().to_string());
    print(format!("configuration is good ({file})\n").as_bytes())?;
    Ok(exit::CLEAN)
}
