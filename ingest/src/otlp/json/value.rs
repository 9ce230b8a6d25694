//! Values of OTLP in JSON: numbers that may be texts, enumerations by number or name, ids in hexadecimal, and `AnyValue`.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An integer, as a number or as text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Int<T>(pub(super) T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Int<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Int<T>, D::Error> {
        struct Whole<T>(PhantomData<T>);
        impl<T: TryFrom<i128>> Whole<T> {
            fn fit<E: Error>(value: i128) -> Result<Int<T>, E> {
                T::try_from(value).map(Int).map_err(|_| E::custom("out of range"))
            }
        }
        impl<T: TryFrom<i128>> Visitor<'_> for Whole<T> {
            type Value = Int<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer, or one as text")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Int<T>, E> {
                Self::fit(i128::from(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Int<T>, E> {
                Self::fit(i128::from(value))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Int<T>, E> {
                let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
                let value = text.parse().ok().filter(|_| is_plain);
                Self::fit(value.ok_or_else(|| E::custom("not an integer"))?)
            }
        }
        deserializer.deserialize_any(Whole(PhantomData))
    }
}

/// An enumeration of protobuf.
pub(super) trait Named {
    /// The number of a name.
    fn number(name: &str) -> Option<i32>;
}

impl Named for SpanKind {
    fn number(name: &str) -> Option<i32> {
        SpanKind::from_str_name(name).map(|kind| kind as i32)
    }
}

impl Named for StatusCode {
    fn number(name: &str) -> Option<i32> {
        StatusCode::from_str_name(name).map(|code| code as i32)
    }
}

impl Named for SeverityNumber {
    fn number(name: &str) -> Option<i32> {
        SeverityNumber::from_str_name(name).map(|severity| severity as i32)
    }
}

/// A member of an enumeration, by number or by name.
#[derive(Debug)]
pub(super) struct Member<E>(pub(super) i32, PhantomData<E>);

impl<'de, E: Named> Deserialize<'de> for Member<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Member<E>, D::Error> {
        struct Either<E>(PhantomData<E>);
        impl<M: Named> Visitor<'_> for Either<M> {
            type Value = Member<M>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a name of the enumeration")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Member<M>, E> {
                let value = i32::try_from(value).map_err(|_| E::custom("out of range"))?;
                Ok(Member(value, PhantomData))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Member<M>, E> {
                let value = i32::try_from(value).map_err(|_| E::custom("out of range"))?;
                Ok(Member(value, PhantomData))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Member<M>, E> {
                let value = M::number(name).ok_or_else(|| E::custom("no name of the enumeration"))?;
                Ok(Member(value, PhantomData))
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// Bytes in hexadecimal, either case.
#[derive(Debug, Default)]
pub(super) struct Hex(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hex, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
        let bytes: Option<Vec<u8>> = bytes.collect();
        bytes.filter(|_| rest.is_empty()).map(Hex).ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}

/// A double: a number, or the words of those that JSON has no number for.
struct Double(f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Double, D::Error> {
        // The JSON parser's own numbers are off by one place now and then; the standard library's are the nearest.
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let is_text = json.starts_with('"');
        match json.trim_matches('"') {
            "NaN" if is_text => Ok(Double(f64::NAN)),
            "Infinity" if is_text => Ok(Double(f64::INFINITY)),
            "-Infinity" if is_text => Ok(Double(f64::NEG_INFINITY)),
            number => {
                let number = number.parse::<f64>().ok().filter(|number| number.is_finite());
                number.map(Double).ok_or_else(|| D::Error::custom("not a number"))
            }
        }
    }
}

/// Base64 as protobuf's JSON takes it: either alphabet, padded or not.
fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let is_url_safe = text.contains(['-', '_']);
    let alphabet = if is_url_safe { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}

/// `AnyValue`.
#[derive(Debug, Default)]
pub(super) struct Any(pub(super) AnyValue);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Any, D::Error> {
        struct OneOf;
        impl<'de> Visitor<'de> for OneOf {
            type Value = Any;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of OTLP")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
                let mut value = None;
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    let found = member(&key, &mut map)?;
                    if found.is_some() && value.is_some() {
                        return Err(A::Error::custom("two values at once"));
                    }
                    value = value.or(found);
                }
                Ok(Any(AnyValue { value }))
            }
        }
        deserializer.deserialize_map(OneOf)
    }
}

/// The value under `key`; none for `null` and for keys nobody knows.
fn member<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Option<Value>, A::Error> {
    Ok(match key {
        "stringValue" => map.next_value::<Option<String>>()?.map(Value::StringValue),
        "boolValue" => map.next_value::<Option<bool>>()?.map(Value::BoolValue),
        "intValue" => map.next_value::<Option<Int<i64>>>()?.map(|int| Value::IntValue(int.0)),
        "doubleValue" => map.next_value::<Option<Double>>()?.map(|double| Value::DoubleValue(double.0)),
        "arrayValue" => map.next_value::<Option<Values<Option<Any>>>>()?.map(|array| {
            let values = array.values.unwrap_or_default();
            Value::ArrayValue(ArrayValue {
                values: values.into_iter().map(|value| value.unwrap_or_default().0).collect(),
            })
        }),
        "kvlistValue" => map
            .next_value::<Option<Values<Pair>>>()?
            .map(|list| Value::KvlistValue(KeyValueList { values: pairs(list.values) })),
        "bytesValue" => match map.next_value::<Option<String>>()? {
            Some(text) => {
                let bytes = base64_bytes(&text).ok_or_else(|| A::Error::custom("not base64"))?;
                Some(Value::BytesValue(bytes))
            }
            None => None,
        },
        "stringValueStrindex" => {
            map.next_value::<Option<Int<i32>>>()?.map(|index| Value::StringValueStrindex(index.0))
        }
        _ => {
            map.next_value::<IgnoredAny>()?;
            None
        }
    })
}

#[derive(Debug, serde::Deserialize)]
struct Values<T> {
    values: Option<Vec<T>>,
}

/// A key and its value.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pair {
    key: Option<String>,
    value: Option<Any>,
    key_strindex: Option<Int<i32>>,
}

/// A list of keys and values; absent is empty.
pub(super) fn pairs(list: Option<Vec<Pair>>) -> Vec<KeyValue> {
    let pair = |pair: Pair| KeyValue {
        key: pair.key.unwrap_or_default(),
        value: pair.value.map(|value| value.0),
        key_strindex: pair.key_strindex.unwrap_or_default().0,
    };
    list.unwrap_or_default().into_iter().map(pair).collect()
}
