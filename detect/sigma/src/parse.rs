//! From the text of a file to its documents, each with its place for error messages.

use rsigma_parser::{CorrelationRule, SigmaRule, parse_sigma_yaml};

use crate::nearest::nearest;

/// Top-level keys of Sigma. Others are an author's own and allowed, but for slips of these.
const KEYS: [&str; 23] = [
    "author",
    "correlation",
    "custom_attributes",
    "date",
    "description",
    "detection",
    "falsepositives",
    "fields",
    "generate",
    "id",
    "level",
    "license",
    "logsource",
    "modified",
    "name",
    "references",
    "related",
    "scope",
    "sigma-version",
    "status",
    "tags",
    "taxonomy",
    "title",
];

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    /// File, and title of the rule.
    pub place: String,
    pub file: String,
    pub parsed: Parsed,
}

#[derive(Debug)]
pub(crate) enum Parsed {
    Rule(Box<SigmaRule>),
    Correlation(Box<CorrelationRule>),
}

/// The documents of a file, and what is wrong with others.
pub(crate) fn documents(file: &str, text: &str, wrong: &mut Vec<String>) -> Vec<Document> {
    let mut found = Vec::new();
    for part in split(text) {
        let says = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        if !part.lines().any(|line| says(&line)) {
            continue;
        }
        let title = part
            .lines()
            .find_map(|line| line.strip_prefix("title:"))
            .map(|title| title.trim().trim_matches(['\'', '"']));
        let place = format!("{file}: rule `{}`", title.unwrap_or("without a title"));
        match document(&part) {
            Ok(parsed) => found.push(Document { place, file: file.to_owned(), parsed }),
            Err(what) => wrong.push(format!("{place}: {what}")),
        }
    }
    found
}

/// Documents apart, so that an error knows whose it is.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

fn document(text: &str) -> Result<Parsed, String> {
    let mut collection = parse_sigma_yaml(text).map_err(|error| error.to_string())?;
    if let Some(error) = collection.errors.first() {
        return Err(error.clone());
    }
    if !collection.filters.is_empty() {
        return Err(
            "filters are not supported: put a copy of the rule, with the same id, into your directory"
                .to_owned(),
        );
    }
    let parsed = match (collection.rules.pop(), collection.correlations.pop()) {
        (Some(rule), None) => Parsed::Rule(Box::new(rule)),
        (None, Some(correlation)) => {
            if correlation.group_by.is_empty() && !text.contains("group-by:") {
                return Err(
                    "no `group-by`: name columns, or write `group-by: []` for all events together".to_owned()
                );
            }
            Parsed::Correlation(Box::new(correlation))
        }
        _ => {
            return Err(
                "no rule: collections with `action` are not supported, write each rule out".to_owned()
            );
        }
    };
    let own = match &parsed {
        Parsed::Rule(rule) => &rule.custom_attributes,
        Parsed::Correlation(correlation) => &correlation.custom_attributes,
    };
    let mut own: Vec<&String> = own.keys().collect();
    own.sort();
    for key in own {
        if let Some(near) = nearest(key, KEYS.into_iter()) {
            return Err(format!("unknown key `{key}`: did you mean `{near}`?"));
        }
    }
    Ok(parsed)
}
