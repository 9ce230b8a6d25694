//! Trust policies (C2SP tlog-policy): which logs, which witnesses, and how many of them are enough.
//!
//! ```text
//! log <vkey> [<url>]
//! witness <name> <vkey> [<url>]
//! group <name> all|any|<k> <name>...
//! quorum <name>|none
//! ```
//! Read strictly: every error names its line. Beside what the specification says, the file must be UTF-8, keys must be of the two
//! Ed25519 types (0x01 for logs, 0x04 for witnesses), and numbers have one spelling.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crate::cosignature::{Cosignature, CosignerKey};
use crate::limits::{
    WITNESS_POLICY_BYTES_MAX, WITNESS_POLICY_GROUPS_MAX, WITNESS_POLICY_LOGS_MAX,
    WITNESS_POLICY_WITNESSES_MAX,
};
use crate::note::{Note, VerifierKey};
use crate::{Error, Result};

/// The name that stands for no witness at all.
const NONE: &str = "none";

/// A log of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its key, named after its origin.
    pub key: VerifierKey,
    /// Where it is, if the policy says so.
    pub url: Option<String>,
}

/// A witness of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name in the policy and nowhere else.
    pub name: String,
    /// Its key.
    pub key: CosignerKey,
    /// The submission prefix of C2SP tlog-witness, if the policy says it.
    pub url: Option<String>,
}

/// Which witnesses are enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// None are needed.
    None,
    /// The witness of this place in [`Policy::witnesses`].
    Witness(usize),
    /// At least `needed` of these.
    Group {
        /// k, from 1 to the number of members.
        needed: usize,
        /// Its members, none of which is a member of another group.
        members: Vec<Rule>,
    },
}

/// A policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The logs, in order; there may be none where the log is known otherwise.
    pub logs: Vec<Log>,
    /// The witnesses, in order.
    pub witnesses: Vec<Witness>,
    /// The quorum.
    pub quorum: Rule,
}

/// What a note's cosignatures come to under a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// Place in [`Policy::witnesses`] and the cosignature, in that order.
    pub by: Vec<(usize, Cosignature)>,
    /// Whether they are enough.
    pub is_enough: bool,
}

impl Rule {
    /// Whether these witnesses are enough.
    pub fn is_met(&self, cosigned: &BTreeSet<usize>) -> bool {
        match self {
            Rule::None => true,
            Rule::Witness(at) => cosigned.contains(at),
            Rule::Group { needed, members } => {
                members.iter().filter(|member| member.is_met(cosigned)).count() >= *needed
            }
        }
    }
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the line and what is wrong there; [`Error::TooLarge`].
    pub fn parse(bytes: &[u8]) -> Result<Policy> {
        if bytes.len() > WITNESS_POLICY_BYTES_MAX {
            return Err(too_large("bytes of a policy", bytes.len(), WITNESS_POLICY_BYTES_MAX));
        }
        let mut reader = Reader::default();
        let mut rest = bytes;
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            let end = rest.iter().position(|byte| *byte == b'\n');
            let end = end.ok_or_else(|| wrong(number, "it does not end in a newline"))?;
            let (line, after) = rest.split_at(end);
            rest = after.strip_prefix(b"\n").unwrap_or_default();
            if line.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
                return Err(wrong(number, "a control character other than tab"));
            }
            let line = std::str::from_utf8(line).map_err(|_| wrong(number, "it is not UTF-8"))?;
            reader.line(line).map_err(|error| at_line(number, error))?;
        }
        let quorum = reader.quorum.ok_or_else(|| {
            Error::malformed("policy", "no quorum line; name a witness or a group, or say `quorum none`")
        })?;
        Ok(Policy { logs: reader.logs, witnesses: reader.witnesses, quorum })
    }

    /// The log of this origin.
    pub fn log(&self, origin: &str) -> impl Iterator<Item = &Log> {
        self.logs.iter().filter(move |log| log.key.name() == origin)
    }

    /// Checks every cosignature of a known witness, and holds them against the quorum. The log's own signature is the
    /// caller's to check.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when a known witness's line is wrong: the whole note is then to be refused.
    pub fn cosignatures(&self, note: &Note) -> Result<Witnessed> {
        let mut by = Vec::new();
        for (at, witness) in self.witnesses.iter().enumerate() {
            if let Some(found) = witness.key.find(note)? {
                by.push((at, found));
            }
        }
        let is_enough = self.quorum.is_met(&by.iter().map(|(at, _)| *at).collect());
        Ok(Witnessed { by, is_enough })
    }
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Policy> {
        Policy::parse(text.as_bytes())
    }
}

fn wrong(line: usize, what: impl std::fmt::Display) -> Error {
    Error::malformed("policy", format!("line {line}: {what}"))
}

fn at_line(line: usize, error: Error) -> Error {
    match error {
        Error::Malformed { what: "policy", detail } => wrong(line, detail),
        other => wrong(line, other),
    }
}

fn too_large(what: &'static str, actual: usize, limit: usize) -> Error {
    Error::TooLarge { what, actual: actual as u64, limit: limit as u64 }
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: usize,
    /// Witnesses and groups by name, and which of them are members of a group.
    names: BTreeMap<String, Rule>,
    members: BTreeSet<String>,
    quorum: Option<Rule>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<()> {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let Some(keyword) = words.next() else { return Ok(()) };
        if keyword.starts_with('#') {
            return Ok(());
        }
        let words: Vec<&str> = words.collect();
        match (keyword, words.as_slice()) {
            ("log", [key]) => self.log(key, None),
            ("log", [key, url]) => self.log(key, Some(url)),
            ("witness", [name, key]) => self.witness(name, key, None),
            ("witness", [name, key, url]) => self.witness(name, key, Some(url)),
            ("group", [name, needed, members @ ..]) if !members.is_empty() => {
                self.group(name, needed, members)
            }
            ("quorum", [name]) => self.quorum(name),
            ("log", _) => Err(expected("log <vkey> [<url>]")),
            ("witness", _) => Err(expected("witness <name> <vkey> [<url>]")),
            ("group", _) => Err(expected("group <name> all|any|<k> <name>...")),
            ("quorum", _) => Err(expected("quorum <name>|none")),
            (other, _) => Err(Error::malformed(
                "policy",
                format!("{other:?} is none of log, witness, group, quorum; a comment begins with #"),
            )),
        }
    }

    fn log(&mut self, key: &str, url: Option<&str>) -> Result<()> {
        let key: VerifierKey = key.parse()?;
        if self.logs.iter().any(|log| log.key.key_bytes() == key.key_bytes()) {
            return Err(Error::malformed("policy", "a second log with the same key"));
        }
        if self.logs.len() == WITNESS_POLICY_LOGS_MAX {
            return Err(too_large("logs of a policy", self.logs.len() + 1, WITNESS_POLICY_LOGS_MAX));
        }
        self.logs.push(Log { key, url: url.map(str::to_string) });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<()> {
        let key: CosignerKey = key.parse()?;
        if let Some(known) = self.witnesses.iter().find(|known| known.key.key_bytes() == key.key_bytes()) {
            return Err(Error::malformed("policy", format!("{} has the same key", known.name)));
        }
        if self.witnesses.len() == WITNESS_POLICY_WITNESSES_MAX {
            let actual = self.witnesses.len() + 1;
            return Err(too_large("witnesses of a policy", actual, WITNESS_POLICY_WITNESSES_MAX));
        }
        self.name(name, Rule::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { name: name.to_string(), key, url: url.map(str::to_string) });
        Ok(())
    }

    fn group(&mut self, name: &str, needed: &str, members: &[&str]) -> Result<()> {
        let needed = match needed {
            "all" => members.len(),
            "any" => 1,
            number => number
                .parse()
                .ok()
                .filter(|k: &usize| (1..=members.len()).contains(k) && k.to_string() == number)
                .ok_or_else(|| {
                    let most = members.len();
                    Error::malformed("policy", format!("{number:?} is not all, any, or 1 to {most}"))
                })?,
        };
        if self.groups == WITNESS_POLICY_GROUPS_MAX {
            return Err(too_large("groups of a policy", self.groups + 1, WITNESS_POLICY_GROUPS_MAX));
        }
        let members: Result<Vec<Rule>> = members.iter().map(|member| self.take(member)).collect();
        self.name(name, Rule::Group { needed, members: members? })?;
        self.groups += 1;
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<()> {
        if self.quorum.is_some() {
            return Err(Error::malformed("policy", "a second quorum line"));
        }
        self.quorum = Some(match name {
            NONE => Rule::None,
            name => self.names.get(name).ok_or_else(|| unknown(name))?.clone(),
        });
        Ok(())
    }

    /// Gives a name to a witness or group.
    fn name(&mut self, name: &str, rule: Rule) -> Result<()> {
        if name == NONE {
            return Err(Error::malformed("policy", "none is no name for a witness or group"));
        }
        if self.names.contains_key(name) {
            return Err(Error::malformed("policy", format!("{name:?} is a name already")));
        }
        self.names.insert(name.to_string(), rule);
        Ok(())
    }

    /// The rule of a name, for the one group that it becomes a member of.
    fn take(&mut self, name: &str) -> Result<Rule> {
        let rule = self.names.get(name).ok_or_else(|| unknown(name))?.clone();
        if !self.members.insert(name.to_string()) {
            return Err(Error::malformed("policy", format!("{name:?} is a member of a group already")));
        }
        Ok(rule)
    }
}

fn expected(form: &str) -> Error {
    Error::malformed("policy", format!("expected `{form}`"))
}

fn unknown(name: &str) -> Error {
    Error::malformed("policy", format!("{name:?} is no witness or group of a line before"))
}

#[cfg(test)]
mod tests;
