//! Lists that placeholders stand for: registered servers, networks, scopes of a class of tools.

use std::collections::BTreeMap;
use std::path::Path;

use schemas::limits::{
    SIGMA_FILES_MAX, SIGMA_LIST_BYTES_MAX, SIGMA_LIST_VALUES_MAX, SIGMA_PATTERN_BYTES_MAX,
};

use crate::cidr;
use crate::error::Error;

/// Values of a list, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum List {
    /// `NAME.txt`: one value a line.
    Values(Vec<String>),
    /// `NAME.cidr`: one network or address a line.
    Networks(Vec<String>),
}

/// The lists of a directory by their name. `%registered_servers%` is `registered_servers.txt`; `%office_networks%` may be
/// `office_networks.cidr`. Lines that are empty or begin with `#` do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    by_name: BTreeMap<String, List>,
}

impl Lists {
    /// Reads `directory`. A list without a value is refused: cut short it would turn "not on the list" into "everything".
    pub fn read(directory: &Path) -> Result<Lists, Error> {
        let mut lists = Lists::default();
        let mut wrong = Vec::new();
        for path in files(directory, &["txt", "cidr"])? {
            let shown = path.display().to_string();
            let text = read_text(&path, SIGMA_LIST_BYTES_MAX)?;
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let is_networks = path.extension().is_some_and(|ending| ending == "cidr");
            if let Err(what) = lists.add(&name, is_networks, &text) {
                wrong.push(format!("{shown}: {what}"));
            }
        }
        if wrong.is_empty() { Ok(lists) } else { Err(Error::Rules(wrong)) }
    }

    /// Adds a list from the text of its file.
    pub(crate) fn add(&mut self, name: &str, is_networks: bool, text: &str) -> Result<(), String> {
        if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            return Err("the name of a list is letters, digits and underscores: rename the file".to_owned());
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let values: Vec<String> = lines.map(str::to_owned).collect();
        if values.is_empty() {
            return Err("the list is empty: remove the file to switch off the rules that need it".to_owned());
        }
        if values.len() > SIGMA_LIST_VALUES_MAX {
            return Err(format!("{} values, at most {SIGMA_LIST_VALUES_MAX}: split the list", values.len()));
        }
        if let Some(long) = values.iter().find(|value| value.len() > SIGMA_PATTERN_BYTES_MAX) {
            return Err(format!(
                "a value of {} bytes, at most {SIGMA_PATTERN_BYTES_MAX}: remove it",
                long.len()
            ));
        }
        if is_networks && let Some(odd) = values.iter().find(|value| cidr::network(value).is_none()) {
            return Err(format!("`{odd}` is no network: write one as 10.0.0.0/8 or 2001:db8::/32"));
        }
        let list = if is_networks { List::Networks(values) } else { List::Values(values) };
        match self.by_name.insert(name.to_owned(), list) {
            None => Ok(()),
            Some(_) => Err(format!("`{name}` is there as .txt and as .cidr: remove one")),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&List> {
        self.by_name.get(name)
    }

    /// Names of the lists, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

impl List {
    pub fn values(&self) -> &[String] {
        match self {
            List::Values(values) | List::Networks(values) => values,
        }
    }
}

/// Files of `directory` with one of these endings, by name; directories in it are not entered.
pub(crate) fn files(directory: &Path, endings: &[&str]) -> Result<Vec<std::path::PathBuf>, Error> {
    let failed = |error: std::io::Error| Error::Read {
        path: directory.display().to_string(),
        what: error.to_string(),
    };
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let fits = path
            .extension()
            .and_then(|ending| ending.to_str())
            .is_some_and(|ending| endings.contains(&ending));
        if !fits {
            continue;
        }
        // A file that cannot be looked at is one that is missing from the set, not one that was never there.
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => found.push(path),
            Err(error) => wrong.push(format!(
                "cannot read {}: {error}: give it back what it links to or its permissions, or remove it",
                path.display()
            )),
        }
        if found.len().saturating_add(wrong.len()) > SIGMA_FILES_MAX {
            let what = format!("more than {SIGMA_FILES_MAX} files");
            return Err(Error::Read { path: directory.display().to_string(), what });
        }
    }
    found.sort();
    wrong.sort();
    if wrong.is_empty() { Ok(found) } else { Err(Error::Rules(wrong)) }
}

/// The text of a file of at most `bytes_max`.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, Error> {
    use std::io::Read as _;
    let failed = |what: String| Error::Read { path: path.display().to_string(), what };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    // One byte more than is allowed, so that a file that grows while it is read cannot pass for a whole one.
    let mut limited = file.take(bytes_max.saturating_add(1));
    limited.read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > bytes_max {
        return Err(failed(format!("longer than {bytes_max} bytes")));
    }
    Ok(text)
}
