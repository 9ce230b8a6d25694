//! What a rule may ask of an event: the entry-side columns of `events`, and a few facts made of them.

use std::borrow::Cow;

use schemas::column::Side;
use schemas::limits::SIGMA_VALUE_BYTES_MAX;
use schemas::{Column, ColumnType, Stream};

use crate::nearest::nearest;

/// The value of a column in one event. A timestamp is a number: microseconds UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    Text(&'a str),
    Number(i64),
    /// Texts; an empty list is as good as null.
    List(Cow<'a, [&'a str]>),
}

/// One event, as a rule sees it.
pub trait Fields: std::fmt::Debug {
    /// The value of that column of `events`; [`Value::Null`] where the event has none.
    fn value(&self, column: &'static Column) -> Value<'_>;
}

/// What a line of a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Column(&'static Column),
    /// Whether the credential had expired when the event happened: true, false, or null where either time is unknown.
    /// Sigma cannot compare two columns.
    CredentialExpired,
}

/// What the values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Number,
    List,
    Flag,
}

const CREDENTIAL_EXPIRED: &str = "credential_expired";

impl Field {
    /// The field of that name, or why there is none.
    pub fn of(name: &str) -> Result<Field, String> {
        if name == CREDENTIAL_EXPIRED {
            return Ok(Field::CredentialExpired);
        }
        match Stream::Events.column(name) {
            Some(column) if column.side == Side::Payload => Err(format!(
                "column `{name}` is on the payload side, which can be erased: use entry columns, so that alerts can be derived again"
            )),
            Some(column) if column.kind == ColumnType::Binary || column.name == "control" => {
                Err(format!("column `{name}` is the recorder's own: rules see what sources say"))
            }
            Some(column) => Ok(Field::Column(column)),
            None => {
                let known =
                    Stream::Events.entry_columns().map(|column| column.name).chain([CREDENTIAL_EXPIRED]);
                let hint = nearest(name, known).map_or_else(
                    || "`events` has no such column, see the event schema".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                Err(format!("unknown column `{name}`: {hint}"))
            }
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Field::Column(column) => column.name,
            Field::CredentialExpired => CREDENTIAL_EXPIRED,
        }
    }

    /// The columns of an event that it takes to answer.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Field::Column(column) => std::slice::from_ref(&column.name),
            Field::CredentialExpired => &["time", "credential_expires"],
        }
    }

    pub fn shape(self) -> Shape {
        match self {
            Field::CredentialExpired => Shape::Flag,
            Field::Column(column) => match column.kind {
                ColumnType::Int64 | ColumnType::Timestamp => Shape::Number,
                ColumnType::ListUtf8 | ColumnType::ListInt64 | ColumnType::MapUtf8 => Shape::List,
                ColumnType::Utf8 | ColumnType::Binary => Shape::Text,
            },
        }
    }

    pub fn read(self, event: &dyn Fields) -> Value<'_> {
        match self {
            Field::Column(column) => match event.value(column) {
                Value::List(items) if items.is_empty() => Value::Null,
                value => value,
            },
            Field::CredentialExpired => {
                let at = |name: &str| match Stream::Events.column(name).map(|column| event.value(column)) {
                    Some(Value::Number(us)) => Some(us),
                    _ => None,
                };
                match (at("time"), at("credential_expires")) {
                    (Some(time_us), Some(expires_us)) => {
                        Value::Text(if time_us > expires_us { "true" } else { "false" })
                    }
                    _ => Value::Null,
                }
            }
        }
    }
}

/// As much of a text as rules look at. No column of a log holds more; only a caller without a log can.
pub(crate) fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SIGMA_VALUE_BYTES_MAX)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_column_holds_more_than_is_looked_at() {
        for column in Stream::Events.entry_columns() {
            assert!(column.bytes_max <= SIGMA_VALUE_BYTES_MAX, "{}", column.name);
        }
        assert_eq!(bounded(&"é".repeat(1 << 20)).len(), SIGMA_VALUE_BYTES_MAX);
        assert_eq!(bounded("short"), "short");
    }

    #[test]
    fn refusals_name_the_remedy() {
        assert!(Field::of("agentid").unwrap_err().contains("did you mean `agent_id`?"));
        assert!(Field::of("CommandLine").unwrap_err().contains("no such column"));
        assert!(Field::of("arguments").unwrap_err().contains("payload"));
        assert!(Field::of("control").unwrap_err().contains("recorder"));
        assert!(Field::of("payload_commitment").unwrap_err().contains("recorder"));
        assert_eq!(Field::of("credential_expired").unwrap().shape(), Shape::Flag);
        assert_eq!(Field::of("scopes").unwrap().shape(), Shape::List);
        assert_eq!(Field::of("time").unwrap().shape(), Shape::Number);
    }
}
