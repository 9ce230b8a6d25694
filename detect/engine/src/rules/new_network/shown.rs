//! What a principal showed in its open session, and what it showed that is not learnt yet.

use std::collections::BTreeMap;

use schemas::limits::{ENGINE_SESSION_VALUES_MAX, ENGINE_VALUES_WAITING_MAX};
use serde::{Deserialize, Serialize};

use super::origin::ATTRIBUTES;
use crate::bits;
use crate::entity::bounded;
use crate::filings::Told;
use crate::record::Record;

/// An attribute by its place in [`ATTRIBUTES`], and a value of it.
type Value = (u8, String);

/// One open session. The raw texts of its latest record spare most records everything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    latest: [Option<String>; 4],
    latest_admitted: bool,
    /// Values so far, and whether a record of somebody let in had them.
    #[serde(with = "pairs")]
    values: BTreeMap<Value, bool>,
    /// `-ln p` of the most surprising new value of each attribute, over records of somebody let in.
    #[serde(with = "bits::array")]
    pub worst: [f64; ATTRIBUTES.len()],
    /// Whether any record was of somebody let in.
    pub is_admitted: bool,
    /// Of records of somebody let in.
    pub told: Told,
}

impl Shown {
    pub fn new() -> Shown {
        Shown {
            latest: [None, None, None, None],
            latest_admitted: false,
            values: BTreeMap::new(),
            worst: [0.0; ATTRIBUTES.len()],
            is_admitted: false,
            told: Told::default(),
        }
    }

    /// Whether the record shows what the one before it did; remembered for the next.
    pub fn is_repeated(&mut self, record: &Record<'_>, is_admitted: bool) -> bool {
        let texts = [record.source_ip, record.country, record.user_agent, record.client];
        let is_same = self.latest.iter().map(Option::as_deref).eq(texts);
        if is_same && (self.latest_admitted || !is_admitted) {
            return true;
        }
        // A text too long to be kept is a new one each time.
        self.latest = texts.map(|text| text.map(|text| bounded(text).into_owned()));
        self.latest_admitted = is_admitted;
        false
    }

    /// Whether a value is one that the session had not shown so far, or only in failing.
    pub fn is_new(&mut self, attribute: u8, value: &str, is_admitted: bool) -> bool {
        let key = (attribute, value.to_owned());
        if let Some(shown) = self.values.get_mut(&key) {
            let is_new = is_admitted && !*shown;
            *shown |= is_admitted;
            return is_new;
        }
        if is_admitted && self.values.len() >= ENGINE_SESSION_VALUES_MAX {
            // Whoever fails from everywhere must not take the place of what is to be learnt.
            let failed =
                self.values.iter().find(|(_, is_admitted)| !**is_admitted).map(|(key, _)| key.clone());
            failed.and_then(|failed| self.values.remove(&failed));
        }
        if self.values.len() < ENGINE_SESSION_VALUES_MAX {
            self.values.insert(key, is_admitted);
        }
        true
    }

    /// Values that records of somebody let in had.
    pub fn lessons(&self) -> impl Iterator<Item = (u8, &str)> {
        let admitted = self.values.iter().filter(|(_, is_admitted)| **is_admitted);
        admitted.map(|((attribute, value), _)| (*attribute, value.as_str()))
    }
}

/// Values of one principal that are judged and not learnt yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    /// The day on which each is learnt.
    #[serde(with = "pairs")]
    values: BTreeMap<Value, i64>,
    /// How much is known of the principal otherwise: what this is worth keeping.
    pub evidence: u64,
    pub last_us: i64,
}

impl Pending {
    pub fn new() -> Pending {
        Pending { values: BTreeMap::new(), evidence: 0, last_us: i64::MIN }
    }

    pub fn holds(&self, attribute: u8, value: &str) -> bool {
        self.values.contains_key(&(attribute, value.to_owned()))
    }

    pub fn wait(&mut self, attribute: u8, value: &str, due_day: i64) {
        if self.values.len() < ENGINE_VALUES_WAITING_MAX {
            self.values.entry((attribute, value.to_owned())).or_insert(due_day);
        }
    }

    /// Takes out what is to be learnt by `day`.
    pub fn turn(&mut self, day: i64) -> Vec<Value> {
        let (due, later) = std::mem::take(&mut self.values).into_iter().partition(|(_, due)| *due <= day);
        self.values = later;
        let due: BTreeMap<Value, i64> = due;
        due.into_keys().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// A map whose keys are no strings, as a list of its entries.
mod pairs {
    use std::collections::BTreeMap;

    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: DeserializeOwned + Ord,
        V: DeserializeOwned,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
