//! What becomes of a column's values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

use super::{KEY, is_text};
use crate::table::Documented;

/// What stands where a text was.
const MASKED: &str = "***";
/// BLAKE3 context of the keys that columns are hashed under.
const HASH_CONTEXT: &str = "tachograph 2026-11 column policy hash v1";

/// What becomes of the values of a column. Names are those of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// They stay as they are.
    Keep,
    /// A text becomes `***`, anything else null; null stays null.
    Mask,
    /// A text becomes 32 hexadecimal digits that are the same for the same text, tenant and column name; the key is
    /// derived from the installation's, so that texts cannot be guessed by hashing candidates.
    Hash,
    /// The column does not exist.
    Hide,
}

impl Treatment {
    /// Whether a column can be treated so; else why not.
    pub(super) fn check(self, column: &Documented) -> Result<(), String> {
        match self {
            Treatment::Keep => Ok(()),
            _ if column.name == KEY => Err(format!("{KEY} joins tables and proofs and cannot be changed")),
            Treatment::Hash if !is_text(&column.kind) => {
                Err("only text can be hashed; mask or hide it".to_string())
            }
            Treatment::Hash | Treatment::Hide | Treatment::Mask => Ok(()),
        }
    }

    /// The treated values.
    ///
    /// # Errors
    /// As arrow refuses the array, which is a bug.
    pub(super) fn apply(
        self,
        column: &str,
        values: &ArrayRef,
        key: &[u8; 32],
    ) -> Result<ArrayRef, ArrowError> {
        match self {
            Treatment::Keep => Ok(Arc::clone(values)),
            Treatment::Hide => Ok(new_null_array(values.data_type(), values.len())),
            Treatment::Mask => texts(values, |_| MASKED.to_string()),
            Treatment::Hash => {
                let key = blake3::derive_key(HASH_CONTEXT, &[key.as_slice(), column.as_bytes()].concat());
                texts(values, |text| {
                    let digest = blake3::keyed_hash(&key, text.as_bytes()).to_hex();
                    digest.chars().take(32).collect()
                })
            }
        }
    }
}

/// Each text, alone or in a list, made into another; whatever is no text becomes null.
fn texts(values: &ArrayRef, of: impl Fn(&str) -> String) -> Result<ArrayRef, ArrowError> {
    match values.data_type() {
        DataType::Utf8 => {
            let texts = values.as_string::<i32>().iter().map(|text| text.map(&of));
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        DataType::List(item) if item.data_type() == &DataType::Utf8 => {
            let list = values.as_list::<i32>();
            let items = list.values().as_string::<i32>().iter().map(|text| text.map(&of));
            let items: ArrayRef = Arc::new(items.collect::<StringArray>());
            let field = Arc::new(Field::clone(item));
            let list = ListArray::try_new(field, list.offsets().clone(), items, list.nulls().cloned())?;
            Ok(Arc::new(list))
        }
        other => Ok(new_null_array(other, values.len())),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListBuilder, StringBuilder};

    use super::*;

    fn applied(treatment: Treatment, column: &str, values: &ArrayRef, key: u8) -> ArrayRef {
        treatment.apply(column, values, &[key; 32]).unwrap()
    }

    fn array(array: impl Array + 'static) -> ArrayRef {
        Arc::new(array)
    }

    #[test]
    fn hashes_depend_on_key_and_column_and_are_the_same_for_the_same_text() {
        let values =
            || Arc::new(StringArray::from(vec![Some("ann"), None, Some("ann"), Some("bob")])) as ArrayRef;
        let hashed = applied(Treatment::Hash, "user_id", &values(), 1);
        let hashed = hashed.as_string::<i32>();
        assert!(hashed.is_null(1) && hashed.value(0).len() == 32);
        assert_eq!(hashed.value(0), hashed.value(2));
        assert_ne!(hashed.value(0), hashed.value(3));
        for other in [
            applied(Treatment::Hash, "agent_id", &values(), 1),
            applied(Treatment::Hash, "user_id", &values(), 2),
        ] {
            assert_ne!(hashed.value(0), other.as_string::<i32>().value(0));
        }
    }

    #[test]
    fn a_mask_leaves_nothing_but_that_there_was_something() {
        let masked = applied(Treatment::Mask, "x", &array(StringArray::from(vec![Some("ann"), None])), 1);
        assert_eq!(masked.as_string::<i32>(), &StringArray::from(vec![Some("***"), None]));
        let masked = applied(Treatment::Mask, "x", &array(Int64Array::from(vec![1, 2])), 1);
        assert_eq!(masked.null_count(), 2);
        let mut list = ListBuilder::new(StringBuilder::new());
        list.values().append_value("ann");
        list.values().append_value("bob");
        list.append(true);
        list.append(false);
        let masked = applied(Treatment::Mask, "x", &array(list.finish()), 1);
        let masked = masked.as_list::<i32>();
        assert_eq!(masked.value(0).as_string::<i32>(), &StringArray::from(vec!["***", "***"]));
        assert!(masked.is_null(1));
    }
}
