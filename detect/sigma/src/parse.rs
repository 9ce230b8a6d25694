//! From the text of a file to its documents, each with its place for error messages.

use rsigma_parser::{
    ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, SigmaRule, parse_sigma_yaml,
};

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
        if !says(&part) {
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

/// Whether a file has nothing but remarks and separators.
pub(crate) fn is_empty(text: &str) -> bool {
    !split(text).iter().any(|part| says(part))
}

fn says(part: &str) -> bool {
    part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

/// Documents apart, so that an error knows whose it is.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        let separated =
            line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']));
        if let Some(rest) = separated {
            // What follows on the line of a separator is a remark, or belongs to the document.
            parts.push(format!("{}\n", rest.trim()));
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
    let found = collection.rules.len() + collection.correlations.len();
    if found > 1 {
        return Err(format!("{found} rules without a separator between them: put a line `---` before each"));
    }
    let says = |key: &str| text.lines().any(|line| line.trim_start().starts_with(key));
    let parsed = match (collection.rules.pop(), collection.correlations.pop()) {
        (Some(rule), None) => Parsed::Rule(Box::new(rule)),
        (None, Some(correlation)) => {
            if correlation.group_by.is_empty() && !says("group-by:") {
                return Err(
                    "no `group-by`: name columns, or write `group-by: []` for all events together".to_owned()
                );
            }
            // The parser writes the same where there is no condition, which means all.
            let is_one = matches!(&correlation.condition, CorrelationCondition::Threshold { predicates, .. }
                if predicates.as_slice() == [(ConditionOperator::Gte, 1)]);
            let is_temporal = matches!(
                correlation.correlation_type,
                CorrelationType::Temporal | CorrelationType::TemporalOrdered
            );
            if is_temporal && is_one && says("condition:") {
                return Err("`gte: 1` of a temporal correlation is any of its rules: leave `condition` out for all of them, or alert on each"
                    .to_owned());
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
