//! One cell of a batch as JSON or as text.
//!
//! Integers are JSON numbers, times RFC 3339 in UTC with as many groups of three decimals as they need, binary
//! is base64 in JSON and in text, lists are arrays, maps and structs objects. Whatever JSON has no word for
//! (intervals, NaN) is a string as Arrow prints it.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::failed;
use crate::Result;

/// Appends a JSON string.
pub(crate) fn json_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(text.as_bytes().get(from..at).unwrap_or_default());
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        from = at + 1;
    }
    out.extend_from_slice(text.as_bytes().get(from..).unwrap_or_default());
    out.push(b'"');
}

/// The value as it stands in JSON without quotes, or as text that JSON quotes.
enum Scalar<'a> {
    Bare(String),
    Text(&'a str),
    Owned(String),
    Nested,
}

/// A value of an array whose cell at `row` is not null.
fn scalar<'a>(array: &'a dyn Array, row: usize) -> Result<Scalar<'a>> {
    macro_rules! bare {
        ($kind:ty) => {
            Scalar::Bare(array.as_primitive::<$kind>().value(row).to_string())
        };
    }
    macro_rules! time {
        ($kind:ty, $per_second:expr) => {
            Scalar::Owned(rfc3339(i128::from(array.as_primitive::<$kind>().value(row)), $per_second))
        };
    }
    Ok(match array.data_type() {
        DataType::Boolean => Scalar::Bare(array.as_boolean().value(row).to_string()),
        DataType::Int8 => bare!(Int8Type),
        DataType::Int16 => bare!(Int16Type),
        DataType::Int32 => bare!(Int32Type),
        DataType::Int64 => bare!(Int64Type),
        DataType::UInt8 => bare!(UInt8Type),
        DataType::UInt16 => bare!(UInt16Type),
        DataType::UInt32 => bare!(UInt32Type),
        DataType::UInt64 => bare!(UInt64Type),
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row)), || {
            array.as_primitive::<Float32Type>().value(row).to_string()
        }),
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            float(value, || value.to_string())
        }
        DataType::Utf8 => Scalar::Text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Scalar::Text(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Scalar::Text(array.as_string_view().value(row)),
        DataType::Binary => Scalar::Owned(STANDARD.encode(array.as_binary::<i32>().value(row))),
        DataType::LargeBinary => Scalar::Owned(STANDARD.encode(array.as_binary::<i64>().value(row))),
        DataType::BinaryView => Scalar::Owned(STANDARD.encode(array.as_binary_view().value(row))),
        DataType::FixedSizeBinary(_) => {
            Scalar::Owned(STANDARD.encode(array.as_fixed_size_binary().value(row)))
        }
        DataType::Timestamp(TimeUnit::Second, _) => time!(TimestampSecondType, 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => time!(TimestampMillisecondType, 1_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => time!(TimestampMicrosecondType, 1_000_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => time!(TimestampNanosecondType, 1_000_000_000),
        DataType::Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            Scalar::Owned(date(days))
        }
        DataType::Date64 => {
            let ms = array.as_primitive::<Date64Type>().value(row);
            Scalar::Owned(date(ms.div_euclid(86_400_000)))
        }
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Scalar::Bare(printed(array, row)?),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Map(..)
        | DataType::Struct(_)
        | DataType::Dictionary(..) => Scalar::Nested,
        _ => Scalar::Owned(printed(array, row)?),
    })
}

fn float(value: f64, print: impl FnOnce() -> String) -> Scalar<'static> {
    if value.is_finite() { Scalar::Bare(print()) } else { Scalar::Owned(print()) }
}

fn printed(array: &dyn Array, row: usize) -> Result<String> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options).map_err(failed)?;
    formatter.value(row).try_to_string().map_err(failed)
}

/// Appends the cell as JSON.
pub(crate) fn json(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if !array.is_valid(row) || *array.data_type() == DataType::Null {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match scalar(array, row)? {
        Scalar::Bare(text) => out.extend_from_slice(text.as_bytes()),
        Scalar::Text(text) => json_text(text, out),
        Scalar::Owned(text) => json_text(&text, out),
        Scalar::Nested => nested(array, row, out)?,
    }
    Ok(())
}

fn nested(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
    match array.data_type() {
        DataType::List(_) => items(&array.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => items(&array.as_list::<i64>().value(row), out),
        DataType::FixedSizeList(..) => items(&array.as_fixed_size_list().value(row), out),
        DataType::Map(..) => {
            let pairs = array.as_map().value(row);
            out.push(b'{');
            for at in 0..pairs.len() {
                if at > 0 {
                    out.push(b',');
                }
                json_text(&text(pairs.column(0).as_ref(), at)?, out);
                out.push(b':');
                json(pairs.column(1).as_ref(), at, out)?;
            }
            out.push(b'}');
            Ok(())
        }
        DataType::Struct(fields) => {
            out.push(b'{');
            for (at, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                json_text(field.name(), out);
                out.push(b':');
                json(column.as_ref(), row, out)?;
            }
            out.push(b'}');
            Ok(())
        }
        _ => {
            // A dictionary: the one value behind the key.
            let values = array.as_any_dictionary().values().data_type().clone();
            let one = arrow::compute::cast(&array.slice(row, 1), &values).map_err(failed)?;
            json(one.as_ref(), 0, out)
        }
    }
}

fn items(items: &ArrayRef, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'[');
    for at in 0..items.len() {
        if at > 0 {
            out.push(b',');
        }
        json(items.as_ref(), at, out)?;
    }
    out.push(b']');
    Ok(())
}

/// The cell as text: what JSON would say, without the quotes around a string. Empty for null.
pub(crate) fn text(array: &dyn Array, row: usize) -> Result<String> {
    if !array.is_valid(row) || *array.data_type() == DataType::Null {
        return Ok(String::new());
    }
    match scalar(array, row)? {
        Scalar::Bare(text) | Scalar::Owned(text) => Ok(text),
        Scalar::Text(text) => Ok(text.to_string()),
        Scalar::Nested => {
            let mut out = Vec::new();
            nested(array, row, &mut out)?;
            String::from_utf8(out).map_err(failed)
        }
    }
}

fn date(days: i64) -> String {
    days.checked_mul(86_400_000_000).map_or_else(|| format!("day {days}"), schemas::layout::date)
}

/// A time of `per_second` ticks since 1970 as RFC 3339 in UTC: no decimals, or 3, 6 or 9 of them.
pub(crate) fn rfc3339(ticks: i128, per_second: i128) -> String {
    let seconds = ticks.div_euclid(per_second);
    let nanos = ticks.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let date = i64::try_from(days).map_or_else(|_| format!("day {days}"), date);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = match nanos {
        0 => String::new(),
        n if n % 1_000_000 == 0 => format!(".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => format!(".{:06}", n / 1_000),
        n => format!(".{n:09}"),
    };
    format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Text with everything shown that a terminal or a reader would obey instead of show: control characters,
/// escape sequences, and the characters that turn the direction of text or hide. Line breaks stay if
/// `keep_lines`.
pub(crate) fn visible(text: &str, keep_lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if keep_lines => out.push('\n'),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Control and format characters that change how other text looks, or that cannot be seen.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_the_decimals_they_need() {
        for (us, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_500_000, "1970-01-01T00:00:01.500Z"),
            (1, "1970-01-01T00:00:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_795_219_200_000_000, "2026-11-21T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(us, 1_000_000), expected);
        }
        assert_eq!(rfc3339(1, 1_000_000_000), "1970-01-01T00:00:00.000000001Z");
    }

    #[test]
    fn nothing_hidden_stays_hidden() {
        assert_eq!(visible("a\u{1b}[31m\u{202e}b\n\u{200b}é", false), "a\\u{1b}[31m\\u{202e}b\\n\\u{200b}é");
        assert_eq!(visible("a\nb", true), "a\nb");
    }

    proptest! {
        #[test]
        fn json_text_is_what_a_json_parser_reads(text in any::<String>()) {
            let mut out = Vec::new();
            json_text(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn times_are_read_back(us in -60_000_000_000_000_000i64..250_000_000_000_000_000) {
            let text = rfc3339(i128::from(us), 1_000_000);
            let parsed: jiff::Timestamp = text.parse().unwrap();
            prop_assert_eq!(parsed.as_microsecond(), us);
        }
    }
}
