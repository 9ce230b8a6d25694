//! What a verification found, and its verdict.

use serde::Serialize;

use crate::witnessed::Witnessed;

/// Something wrong, or something worth knowing, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Origin of the log, or its directory where the origin is not known.
    pub log: Option<String>,
    /// Log index of the entry.
    pub index: Option<u64>,
    /// Path below the log's directory, or below the data directory where no log is named.
    pub file: Option<String>,
    /// What is wrong: found and expected.
    pub message: String,
}

impl Finding {
    /// Without a place.
    pub fn new(message: impl Into<String>) -> Finding {
        Finding { log: None, index: None, file: None, message: message.into() }
    }

    /// In a log.
    #[must_use]
    pub fn log(mut self, log: impl Into<String>) -> Finding {
        self.log = Some(log.into());
        self
    }

    /// At an entry.
    #[must_use]
    pub fn index(mut self, index: u64) -> Finding {
        self.index = Some(index);
        self
    }

    /// In a file.
    #[must_use]
    pub fn file(mut self, file: impl Into<String>) -> Finding {
        self.file = Some(file.into());
        self
    }
}

/// Findings, notes and failures as they are gathered; the three differ in the verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Proof of damage or tampering.
    pub findings: Vec<Finding>,
    /// Worth knowing, no failure.
    pub notes: Vec<Finding>,
    /// What could not be read, so that nothing is known of it.
    pub unreadable: Vec<Finding>,
}

impl Gathered {
    /// Adds a finding.
    pub fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds a note.
    pub fn note(&mut self, note: Finding) {
        self.notes.push(note);
    }

    /// Adds what an input or output error kept from being checked.
    pub fn unread(&mut self, failure: Finding) {
        self.unreadable.push(failure);
    }

    /// Adds all of `other`, under `log` where it names none.
    pub fn absorb(&mut self, log: &str, other: Gathered) {
        let named = |mut finding: Finding| {
            finding.log.get_or_insert_with(|| log.to_string());
            finding
        };
        self.findings.extend(other.findings.into_iter().map(named));
        self.notes.extend(other.notes.into_iter().map(named));
        self.unreadable.extend(other.unreadable.into_iter().map(named));
    }
}

/// One log as it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Its origin.
    pub origin: String,
    /// Entries in files that a manifest names (S).
    pub sealed: u64,
    /// Entries under the newest signature seen (C).
    pub signed: u64,
    /// Entries seen, write-ahead files included (D); equal to `sealed` where there are none.
    pub durable: u64,
    /// Entries whose leaf was recomputed from the columns.
    pub entries: u64,
    /// Payload rows checked against their commitment.
    pub payload_rows: u64,
    /// Manifests.
    pub manifests: u64,
    /// Bytes of Parquet files read.
    pub bytes: u64,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `clean`, `tampered`, `incomplete`, `not witnessed` or `identity not established`.
    pub verdict: &'static str,
    /// Proof of damage or tampering: any makes the verdict `tampered`.
    pub findings: Vec<Finding>,
    /// Worth knowing, no failure.
    pub notes: Vec<Finding>,
    /// What could not be read.
    pub unreadable: Vec<Finding>,
    /// Every log, by origin.
    pub logs: Vec<LogReport>,
    /// The root log's verifier key that everything was checked under, where one was found.
    pub root_key: Option<String>,
    /// Whether that key came from outside, or was trusted on purpose.
    pub identity_established: bool,
    /// Whether the key was taken from the store itself.
    pub key_from_store: bool,
    /// How far witnesses vouch for it, where a policy was given and they do.
    pub witnessed: Option<Witnessed>,
    /// Whether a policy was given that nothing here meets, or nothing that is as new as was asked.
    pub lacks_witnesses: bool,
    /// What this verification proves and what it cannot.
    pub limits: &'static [&'static str],
}

/// What the report always says of itself.
pub const LIMITS: [&str; 3] = [
    "Proves: every sealed entry, payload, tile and statistic here is what the keys of this store signed, all of it, in order.",
    "Does not prove what never reached the recorder; a tail cut from the whole store shows only against a remembered checkpoint (--remember), a receipt or a witness.",
    "Whoever holds the seed can sign another history; times are the recorder's.",
];

impl Report {
    /// The exit code: 0 clean, 1 tampered, 2 could not run, identity not established or not witnessed as asked.
    pub fn exit_code(&self) -> u8 {
        let is_established = self.identity_established && !self.lacks_witnesses;
        match (self.findings.is_empty(), self.unreadable.is_empty() && is_established) {
            (false, _) => 1,
            (true, false) => 2,
            (true, true) => 0,
        }
    }

    /// Sets the verdict from everything else.
    pub(crate) fn judged(mut self) -> Report {
        self.verdict = match self.exit_code() {
            0 => "clean",
            1 => "tampered",
            _ if !self.unreadable.is_empty() => "incomplete",
            _ if self.identity_established => "not witnessed",
            _ => "identity not established",
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_outrank_failures_and_failures_outrank_identity() {
        let clean = Report {
            verdict: "",
            findings: vec![],
            notes: vec![Finding::new("x")],
            unreadable: vec![],
            logs: vec![],
            root_key: None,
            identity_established: true,
            key_from_store: false,
            witnessed: None,
            lacks_witnesses: false,
            limits: &LIMITS,
        };
        let with = |findings: usize, unreadable: usize, identity: bool| {
            let mut report = clean.clone();
            report.findings = vec![Finding::new("f"); findings];
            report.unreadable = vec![Finding::new("u"); unreadable];
            report.identity_established = identity;
            let report = report.judged();
            (report.exit_code(), report.verdict)
        };
        assert_eq!(with(0, 0, true), (0, "clean"));
        assert_eq!(with(1, 1, false), (1, "tampered"));
        assert_eq!(with(0, 1, true), (2, "incomplete"));
        assert_eq!(with(0, 0, false), (2, "identity not established"));
        let alone = Report { lacks_witnesses: true, ..clean.clone() }.judged();
        assert_eq!((alone.exit_code(), alone.verdict), (2, "not witnessed"));
    }
}
