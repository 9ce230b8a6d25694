//! Columns and rows of an answer as messages.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_pg::encoder::encode_value;
use pgwire::api::Type;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo};
use pgwire::messages::data::{DataRow, FieldDescription, RowDescription};

use crate::catalogue::{Kind, type_of};
use crate::format::value;
use crate::statement::shown;
use crate::{Error, Result};

/// How the columns of an answer are sent.
#[derive(Debug)]
pub(super) struct Columns {
    infos: Arc<Vec<FieldInfo>>,
    kinds: Vec<Kind>,
    /// What values are when they are sent.
    sent: Vec<Field>,
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("a row cannot be sent: {error}"))
}

/// The format that a client's codes ask of column `at`.
fn format(codes: &[i16], at: usize) -> FieldFormat {
    let code = match codes {
        [] => 0,
        [all] => *all,
        each => each.get(at).copied().unwrap_or(0),
    };
    FieldFormat::from(code)
}

/// What values of `kind` are turned into before they are sent: a dictionary into what it stands for.
fn plain(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, values) => plain(values),
        other => other,
    }
}

impl Columns {
    /// For rows of `schema`, in the formats of `codes`: none for all text, one for all, or one each.
    pub(super) fn new(schema: &Schema, codes: &[i16]) -> Columns {
        let (mut infos, mut kinds, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for (at, field) in schema.fields().iter().enumerate() {
            let field = field.as_ref().clone();
            let field = match field.data_type() {
                DataType::Dictionary(..) => field.clone().with_data_type(plain(field.data_type()).clone()),
                _ => field,
            };
            let (oid, kind) = type_of(&field);
            let name = shown(field.name()).to_string();
            let info = FieldInfo::new(name, None, None, oid.clone(), format(codes, at));
            infos.push(info.with_type_size(size(&oid)));
            kinds.push(kind);
            sent.push(match kind {
                Kind::Direct => field,
                Kind::Json | Kind::Text => Field::new(field.name(), DataType::Utf8, true),
            });
        }
        Columns { infos: Arc::new(infos), kinds, sent }
    }

    /// One column of text.
    pub(super) fn text(name: &str) -> SchemaRef {
        Arc::new(Schema::new(Fields::from(vec![Field::new(name, DataType::Utf8, true)])))
    }

    /// The message that describes them.
    pub(super) fn description(&self) -> RowDescription {
        RowDescription::new(self.infos.iter().map(FieldDescription::from).collect())
    }

    /// A batch with its values as they are sent.
    ///
    /// # Errors
    /// [`Error::Internal`] for rows of other columns.
    pub(super) fn prepare(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        if batch.num_columns() != self.sent.len() {
            return Err(failed("it has other columns than were told"));
        }
        let columns = batch.columns().iter().zip(&self.kinds).zip(&self.sent);
        columns
            .map(|((column, kind), field)| match kind {
                Kind::Direct if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
                Kind::Direct => cast(column, field.data_type()).map_err(failed),
                Kind::Json => texts(column, |row| {
                    let mut out = Vec::new();
                    value::json(column.as_ref(), row, &mut out)?;
                    String::from_utf8(out).map_err(failed)
                }),
                Kind::Text => texts(column, |row| value::text(column.as_ref(), row)),
            })
            .collect()
    }

    /// Something that encodes rows one after the other.
    pub(super) fn encoder(&self) -> DataRowEncoder {
        DataRowEncoder::new(Arc::clone(&self.infos))
    }

    /// One row of what [`Columns::prepare`] gave.
    ///
    /// # Errors
    /// [`Error::Execution`] for a value that PostgreSQL's type cannot hold.
    pub(super) fn row(
        &self,
        columns: &[ArrayRef],
        row: usize,
        encoder: &mut DataRowEncoder,
    ) -> Result<DataRow> {
        for ((column, field), info) in columns.iter().zip(&self.sent).zip(self.infos.iter()) {
            // Not every type is looked at for null behind this.
            let encoded = if column.is_null(row) || *column.data_type() == DataType::Null {
                encoder.encode_field_with_type_and_format(
                    &None::<&str>,
                    info.datatype(),
                    info.format(),
                    info.format_options(),
                )
            } else {
                encode_value(encoder, column, row, field, info)
            };
            encoded.map_err(|error| Error::Execution(error.to_string()))?;
        }
        Ok(encoder.take_row())
    }
}

fn texts(column: &ArrayRef, text: impl Fn(usize) -> Result<String>) -> Result<ArrayRef> {
    let all = (0..column.len()).map(|row| match column.is_null(row) {
        true => Ok(None),
        false => text(row).map(Some),
    });
    Ok(Arc::new(all.collect::<Result<StringArray>>()?))
}

/// Bytes of a value of a type, -1 where they differ.
fn size(kind: &Type) -> i16 {
    match *kind {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::OID | Type::DATE | Type::REGCLASS | Type::REGTYPE => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME => 8,
        Type::INTERVAL => 16,
        _ => -1,
    }
}
