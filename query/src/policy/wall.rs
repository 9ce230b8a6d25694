//! What a role sees of rows that nobody asked for: those that are delivered to it.
//!
//! The same predicate and the same treatments as for a query, over batches of the stored table. A column that does not exist for the role is null here,
//! or `***` where a text must be: what is delivered has every column that its format needs.

use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::physical_expr::PhysicalExpr;
use schemas::Stream;
use schemas::principal::Role;

use super::{ColumnKey, KEY, Policies, Treatment, is_text, refused, rows};
use crate::{Error, Result};

/// Columns that say where a delivered alert goes and what it is: without them there is none.
const WORDS: [&str; 4] = ["severity", "state", "confidence", "budget_verdict"];
/// Numbers and times that every delivered alert has, though the column may be null.
const NUMBERS: [&str; 6] = ["sequence", "first_seen", "last_seen", "count", "position", "ordinal"];
/// Columns by which one row is told from another; a hash still does.
const IDS: [&str; 2] = ["event_id", "alert_id"];

/// The policy of one role over one stream.
pub struct Wall {
    predicate: Option<Arc<dyn PhysicalExpr>>,
    columns: Vec<(&'static str, Treatment)>,
    key: ColumnKey,
}

impl std::fmt::Debug for Wall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wall").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Policies {
    /// What stands between a stream and whoever is delivered it as `role`; `key` hashes columns, by tenant.
    ///
    /// # Errors
    /// [`Error::Refused`] where the policy takes away what every delivered row must have.
    pub fn wall(&self, role: Role, stream: Stream, key: ColumnKey) -> Result<Wall> {
        let Some(policy) = self.of(role) else {
            return Ok(Wall { predicate: None, columns: Vec::new(), key });
        };
        let table = stream.name();
        let schema = DFSchema::try_from(stream.entry_schema().as_ref().clone()).map_err(internal)?;
        let predicate = policy.rows_of(table).map(|filter| rows::coerced(filter, &schema));
        let predicate = predicate.transpose().map_err(internal)?;
        let mut columns = Vec::new();
        for column in stream.entry_columns() {
            let field = column.field();
            let treatment = match policy.treatment(table, column.name) {
                Treatment::Hide if is_text(field.data_type()) => Treatment::Mask,
                treatment => treatment,
            };
            let is_taken = matches!(treatment, Treatment::Hide | Treatment::Mask);
            let is_gone = is_taken && !is_text(field.data_type());
            let is_needed =
                !field.is_nullable() || (stream == Stream::Alerts && NUMBERS.contains(&column.name));
            let is_id = is_taken && IDS.contains(&column.name);
            let is_word = treatment != Treatment::Keep && WORDS.contains(&column.name);
            if column.name == KEY || treatment == Treatment::Keep {
                continue;
            }
            if (is_gone && is_needed) || (is_word && stream == Stream::Alerts) || is_id {
                return Err(refused(format!(
                    "policy of role {role}: {table}.{} cannot be taken from what is delivered; keep it, or deliver under another role",
                    column.name
                )));
            }
            columns.push((column.name, treatment));
        }
        Ok(Wall { predicate, columns, key })
    }
}

impl Wall {
    /// The rows of `tenant` that the role sees, as it sees them.
    ///
    /// # Errors
    /// [`Error::Internal`] for a batch that is not of the stream.
    pub fn apply(&self, tenant: &str, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut batch = match &self.predicate {
            None => batch.clone(),
            Some(predicate) => {
                let allowed = predicate.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()));
                let allowed = allowed.map_err(internal)?;
                if allowed.data_type() != &DataType::Boolean {
                    return Err(Error::Internal("a row filter that says neither yes nor no".to_owned()));
                }
                filter_record_batch(batch, allowed.as_boolean()).map_err(internal)?
            }
        };
        let key = (self.key)(tenant);
        for (name, treatment) in &self.columns {
            let Ok(at) = batch.schema().index_of(name) else { continue };
            let treated = treatment.apply(name, batch.column(at), &key).map_err(internal)?;
            let mut arrays = batch.columns().to_vec();
            if let Some(array) = arrays.get_mut(at) {
                *array = treated;
            }
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            batch = RecordBatch::try_new_with_options(batch.schema(), arrays, &options).map_err(internal)?;
        }
        Ok(batch)
    }
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::Array as _;
    use schemas::rows::{Row, RowsBuilder};

    use super::*;
    use crate::policy::{PolicySettings, RoleSettings};

    fn wall(stream: Stream, columns: &[(&str, Treatment)], rows: &[(&str, &str)]) -> Result<Wall> {
        let rows = rows.iter().map(|(table, predicate)| (table.to_string(), predicate.to_string())).collect();
        let columns: BTreeMap<String, Treatment> =
            columns.iter().map(|(name, treatment)| (name.to_string(), *treatment)).collect();
        let settings = PolicySettings { auditor: Some(RoleSettings { rows, columns }), responder: None };
        Policies::new(&settings)?.wall(Role::Auditor, stream, Arc::new(|_| [7; 32]))
    }

    #[test]
    fn what_a_message_cannot_be_without_cannot_be_taken_and_all_else_can() {
        for stream in [Stream::Alerts, Stream::Events] {
            for column in stream.entry_columns() {
                for treatment in [Treatment::Hide, Treatment::Mask, Treatment::Hash] {
                    let name = format!("{}.{}", stream.name(), column.name);
                    let may = match wall(stream, &[(&name, treatment)], &[]) {
                        Ok(_) => true,
                        // What cannot be treated so at all, or is no column of a role.
                        Err(Error::Refused { detail, .. }) if !detail.contains("delivered") => continue,
                        Err(_) => false,
                    };
                    let is_taken = treatment != Treatment::Hash;
                    let is_alert = stream == Stream::Alerts;
                    let is_required = !column.field().is_nullable() && !is_text(column.field().data_type());
                    let must_stay = (is_taken && (is_required || IDS.contains(&column.name)))
                        || (is_alert && WORDS.contains(&column.name))
                        || (is_alert && is_taken && NUMBERS.contains(&column.name));
                    assert_eq!(may, !must_stay, "{name} {treatment:?}");
                }
            }
        }
    }

    #[test]
    fn rows_and_values_are_gone_before_anything_is_made_of_them() {
        let column = |name: &str| Stream::Events.column(name).unwrap().id;
        let mut rows = RowsBuilder::drafts(Stream::Events);
        for (server, agent) in [("github", "ann"), ("secret", "bob")] {
            let texts = [
                ("event_id", server),
                ("tenant", "acme"),
                ("kind", "call"),
                ("source", "s"),
                ("session_id", "s"),
                ("decision", "allow"),
                ("status", "ok"),
                ("server", server),
                ("agent_id", agent),
            ];
            let row = texts.iter().fold(Row::default(), |row, (name, text)| row.text(column(name), text));
            rows.push(&row.int_option(column("time"), Some(1))).unwrap();
        }
        let drafted = rows.finish().unwrap();
        // As the store has them: with the columns that it fills.
        let stored = Stream::Events.entry_schema();
        let columns = stored.fields().iter().map(|field| match drafted.column_by_name(field.name()) {
            Some(array) => Arc::clone(array),
            None => arrow::array::new_null_array(field.data_type(), drafted.num_rows()),
        });
        let fields: Vec<_> =
            stored.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let batch = RecordBatch::try_new(schema, columns.collect()).unwrap();
        let filters = [("events", "server <> 'secret'"), ("alerts", "true"), ("access", "false")];
        let wall = wall(Stream::Events, &[("agent_id", Treatment::Hash)], &filters).unwrap();
        let seen = wall.apply("acme", &batch).unwrap();
        assert_eq!(seen.num_rows(), 1);
        let agents = seen.column_by_name("agent_id").unwrap().as_string::<i32>();
        assert!(agents.is_valid(0) && agents.value(0) != "ann");
    }
}
