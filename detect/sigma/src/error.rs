//! What can go wrong, by what the caller should do about it.

/// Errors of rules and of their state. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A rule does not say what it could mean; with the others of the set, so that one run shows all.
    #[error("{}", .0.join("\n"))]
    Rules(Vec<String>),
    /// A directory or file cannot be read.
    #[error("cannot read {path}: {what}: check the path in the settings and its permissions")]
    Read { path: String, what: String },
    /// State that was folded under other rules.
    #[error(
        "state was folded under the rules {found}, these are {expected}: fold the log again from where these took effect, or put the old rules back"
    )]
    RulesChanged { expected: String, found: String },
    /// A line of events that cannot be tried.
    #[error("{place}: {what}")]
    Event { place: String, what: String },
}
