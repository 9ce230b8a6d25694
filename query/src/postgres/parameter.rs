//! Parameters of a prepared statement: which types a client means, and the values that it binds.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use datafusion::common::{ParamValues, ScalarValue};
use pgwire::api::Type;
use pgwire::api::portal::Portal;
use pgwire::api::stmt::StoredStatement;
use pgwire::error::PgWireError;
use pgwire::messages::extendedquery::Bind;

use super::fault::Report;
use crate::catalogue::type_of;

/// The types that a client names by their oids; those it leaves open, and those that nothing here stands for, are
/// found from what they are compared with.
pub(super) fn declared(oids: &[u32]) -> Vec<Option<Type>> {
    let known = |oid: &u32| Type::from_oid(*oid).filter(|kind| *kind != Type::UNKNOWN);
    oids.iter().map(known).collect()
}

/// What the engine calls them.
pub(super) fn declared_kinds(types: &[Option<Type>]) -> Vec<Option<DataType>> {
    types.iter().map(|kind| kind.as_ref().and_then(kind_of)).collect()
}

fn kind_of(kind: &Type) -> Option<DataType> {
    Some(match *kind {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 | Type::OID => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => DataType::Utf8,
        Type::BYTEA => DataType::Binary,
        Type::TIMESTAMPTZ => crate::table::time_type(),
        Type::TIMESTAMP => DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
        Type::DATE => DataType::Date32,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY => list(DataType::Utf8),
        Type::INT2_ARRAY => list(DataType::Int16),
        Type::INT4_ARRAY => list(DataType::Int32),
        Type::INT8_ARRAY => list(DataType::Int64),
        _ => return None,
    })
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// The oids of parameters, for a client that asks.
pub(super) fn oids(declared: &[Option<Type>], kinds: &[DataType]) -> Vec<u32> {
    let oid = |(at, kind): (usize, &DataType)| match declared.get(at).cloned().flatten() {
        Some(kind) => kind.oid(),
        None => type_of(&Field::new("", kind.clone(), true)).0.oid(),
    };
    kinds.iter().enumerate().map(oid).collect()
}

/// The values of `bind`.
///
/// # Errors
/// When there are more or fewer than the statement has, or one is not of its type.
pub(super) fn values(
    bind: &Bind,
    declared: &[Option<Type>],
    kinds: &[DataType],
) -> Result<Vec<ScalarValue>, Report> {
    let (given, wanted) = (bind.parameters.len(), kinds.len());
    if given != wanted {
        let what = format!("bind message supplies {given} parameters, but the statement requires {wanted}");
        return Err(Report::new("08P01", "parameters", what));
    }
    if !matches!(bind.parameter_format_codes.len(), 0 | 1) && bind.parameter_format_codes.len() != given {
        return Err(Report::new("08P01", "parameters", "there are not as many formats as parameters"));
    }
    let types = (0..wanted).map(|at| declared.get(at).cloned().flatten()).collect();
    let statement = Arc::new(StoredStatement::new(String::new(), (), types));
    let wrong = |error: PgWireError| {
        let what = format!("a parameter is not of its type: {error}");
        Report::new("22P02", "parameters", what)
    };
    let portal = Portal::try_new(bind, statement).map_err(wrong)?;
    let inferred: Vec<Option<&DataType>> = kinds.iter().map(Some).collect();
    let values = deserialize_parameters_with_server_types(&portal, &inferred, &[]).map_err(wrong)?;
    let values = match values {
        ParamValues::List(values) => values.into_iter().map(|value| value.value),
        ParamValues::Map(_) => return Err(Report::new("XX000", "internal", "parameters have names")),
    };
    // The engine compares times of one unit and zone without casting the column.
    let same = |(value, kind): (ScalarValue, &DataType)| match value.data_type() == *kind {
        true => value,
        false => value.cast_to(kind).unwrap_or(value),
    };
    Ok(values.zip(kinds).map(same).collect())
}
