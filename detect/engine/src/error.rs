//! What can go wrong, by what the caller should do about it.

/// Errors of the engine. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The caller skipped records; an engine that folds a gap would no longer be reproducible.
    #[error(
        "log index {found} does not follow {expected}: observe every record of the log, starting at {expected}"
    )]
    Gap { expected: i64, found: i64 },
    /// The bytes are not a snapshot, or not the one that was written.
    #[error("snapshot is damaged ({what}): delete it and fold the log again from its start")]
    Damaged { what: String },
    /// The snapshot belongs to an engine that computes something else.
    #[error(
        "snapshot has model version {found}, this engine has {expected}: fold the log again from its start"
    )]
    ModelVersion { expected: u32, found: u32 },
    /// The snapshot was folded under other thresholds or caps.
    #[error(
        "snapshot was folded with settings {found}, not {expected}: fold the log again from its start, or put the old settings back"
    )]
    SettingsChanged { expected: String, found: String },
    /// The snapshot was folded under other rules in Sigma, or with some and now without, or the other way round.
    #[error(
        "snapshot was folded with the rules {found}, not {expected}: fold the log again from its start, or put the old rules back"
    )]
    RulesChanged { expected: String, found: String },
    /// A setting outside its range.
    #[error("setting `{name}` is {value}: it must be {range}")]
    Setting { name: String, value: String, range: String },
}
