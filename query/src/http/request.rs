//! The body of `POST /api/v1/sql`: JSON, or the SQL text itself.

use datafusion::common::ScalarValue;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::{AsOf, Request};

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    /// One SELECT statement.
    query: String,
    /// Values of `$1`, `$2`, ...: strings, numbers, booleans, null.
    #[serde(default)]
    params: Vec<Value>,
    /// json, ndjson, csv, arrow, parquet or table.
    format: Option<String>,
    #[serde(default)]
    limits: Limits,
    /// An earlier moment: sizes of logs by stream, or the text that an answer gave as `tacho-snapshot`.
    #[schema(value_type = Option<std::collections::BTreeMap<String, u64>>)]
    as_of: Option<AsOf>,
}

/// Limits of one answer, where they are to be lower than the service's.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// Rows over which it is refused.
    rows: Option<u64>,
}

/// The question in a body, and the name of the format if it names one.
pub(super) fn parse(kind: &str, body: &[u8]) -> Result<(Request, Option<String>), Problem> {
    match kind.split(';').next().unwrap_or("").trim() {
        "application/json" => {
            let body: Body = serde_json::from_slice(body)
                .map_err(|error| Problem::body(format!("request body: {error}")))?;
            let params = body.params.into_iter().enumerate().map(|(at, value)| param(at, value));
            let request = Request {
                sql: body.query,
                params: params.collect::<Result<Vec<_>, Problem>>()?,
                format: None,
                rows_max: body.limits.rows,
                as_of: body.as_of,
            };
            Ok((request, body.format))
        }
        "text/plain" | "application/sql" | "application/x-www-form-urlencoded" => {
            let sql = std::str::from_utf8(body)
                .map_err(|_| Problem::body("the SQL text is not UTF-8".to_string()))?;
            Ok((Request { sql: sql.to_string(), ..Request::default() }, None))
        }
        other => Err(Problem::media_type(other)),
    }
}

fn param(at: usize, value: Value) -> Result<ScalarValue, Problem> {
    let wrong =
        |what: &str| Problem::body(format!("params[{at}] is {what}, not a string, number, boolean or null"));
    match value {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(value) => Ok(ScalarValue::Boolean(Some(value))),
        Value::String(value) => Ok(ScalarValue::Utf8(Some(value))),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => Ok(ScalarValue::Int64(Some(value))),
            (None, Some(value), _) => Ok(ScalarValue::UInt64(Some(value))),
            (None, None, Some(value)) => Ok(ScalarValue::Float64(Some(value))),
            _ => Err(wrong("a number out of range")),
        },
        Value::Array(_) => Err(wrong("an array")),
        Value::Object(_) => Err(wrong("an object")),
    }
}
