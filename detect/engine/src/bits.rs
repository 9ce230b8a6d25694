//! Serialises an `f64` as its bits: a decimal number that comes back a bit off would be another log's alert.

use serde::{Deserialize, Deserializer, Serializer};

/// The same for arrays.
pub(crate) mod array {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<const N: usize, S: Serializer>(
        values: &[f64; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.map(f64::to_bits))
    }

    pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[f64; N], D::Error> {
        let bits = Vec::<u64>::deserialize(deserializer)?;
        let bits = <[u64; N]>::try_from(bits)
            .map_err(|bits| D::Error::invalid_length(bits.len(), &"another length"))?;
        Ok(bits.map(f64::from_bits))
    }
}

pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(value.to_bits())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    u64::deserialize(deserializer).map(f64::from_bits)
}
