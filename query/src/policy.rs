//! What a role may see: which rows of each table, and what of each column.
//!
//! A policy is a wall between a stored table and whoever asks. Rows that the filter does not let through and values
//! that a column policy changes are gone before anything of a query's own is evaluated: the wall is a node of the
//! physical plan that no optimiser rule looks through (see [`table`]), so neither an error message, nor a statistic, nor
//! a plan says anything about what is behind it. Only comparisons of an unchanged column with a literal act below it,
//! because they cannot fail and say no more than their answer.
//!
//! Soundness: what is not said fails closed. A role with a row filter on events must say what it sees of `alerts` and
//! `access`, sees payloads of its own events alone, and has no table `segments`. A role with any column policy sees the
//! columns that quote other columns masked, unless the policy says `keep`. What it cannot hide: sizes of logs, which are
//! in every proof.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use schemas::principal::Role;
use serde::{Deserialize, Serialize};

use crate::table::Documented;
use crate::{Error, Result};

mod barrier;
mod rows;
mod simple;
mod table;
mod treatment;
mod wall;

pub(crate) use table::{Behind, PolicyTable};
pub use treatment::Treatment;
pub use wall::Wall;

/// The key under which columns of a tenant are hashed.
pub type ColumnKey = Arc<dyn Fn(&str) -> [u8; 32] + Send + Sync>;

/// The tables that rows can be filtered in.
const FILTERED: [&str; 3] = ["events", "alerts", "access"];
/// Columns that quote values of other columns, by table; all of `payloads` do.
const QUOTING: [(&str, &[&str]); 3] = [
    ("events", &["approver", "delegation"]),
    ("alerts", &["entity", "observables", "explanation", "query", "title"]),
    ("access", &["statement", "detail", "principal", "session_id", "source"]),
];
/// Columns that are digests of values of other columns, by table: whoever can guess a value can tell whether it is in
/// one. Hashed under a key they still join.
const DIGESTING: [(&str, &[&str]); 1] = [("alerts", &["alert_id", "event_id"])];
/// The column that joins tables and proofs, and so stays as it is.
const KEY: &str = "log_index";

/// What a configuration says of one role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleSettings {
    /// Table to predicate in SQL over its columns.
    pub rows: BTreeMap<String, String>,
    /// Column, or `table.column`, to what becomes of it.
    pub columns: BTreeMap<String, Treatment>,
}

/// What a configuration says of all roles; a role that is not named sees all that its role lets it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySettings {
    /// Of the role auditor.
    pub auditor: Option<RoleSettings>,
    /// Of the role responder.
    pub responder: Option<RoleSettings>,
}

/// Checked policies.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    by_role: BTreeMap<Role, Arc<Policy>>,
}

/// The policy of one role.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    /// Table to predicate over its own columns, which cannot fail.
    rows: BTreeMap<&'static str, Expr>,
    columns: BTreeMap<(&'static str, &'static str), Treatment>,
}

impl Policies {
    /// Checks what a person wrote against the tables.
    ///
    /// # Errors
    /// [`Error::Refused`] with code `policy`: unknown tables and columns, predicates that could fail on a row, a
    /// treatment that a column cannot take, and what must be said but is not.
    pub fn new(settings: &PolicySettings) -> Result<Policies> {
        let mut by_role = BTreeMap::new();
        for (role, settings) in [(Role::Auditor, &settings.auditor), (Role::Responder, &settings.responder)] {
            if let Some(settings) = settings {
                let policy = Policy::new(role, settings).map_err(|error| match error {
                    Error::Refused { code, detail } => {
                        Error::Refused { code, detail: format!("policy of role {role}: {detail}") }
                    }
                    other => other,
                })?;
                by_role.insert(role, Arc::new(policy));
            }
        }
        Ok(Policies { by_role })
    }

    /// The policy of `role`; none where it sees everything of its tables.
    pub(crate) fn of(&self, role: Role) -> Option<&Arc<Policy>> {
        self.by_role.get(&role)
    }
}

pub(crate) fn refused(detail: impl Into<String>) -> Error {
    Error::Refused { code: "policy", detail: detail.into() }
}

impl Policy {
    fn new(role: Role, settings: &RoleSettings) -> Result<Policy> {
        let mut policy = Policy::default();
        for (table, predicate) in &settings.rows {
            let name = FILTERED.into_iter().find(|name| name == table).ok_or_else(|| {
                refused(format!(
                    "rows.{table}: rows are filtered in {}; payloads follow their events",
                    FILTERED.join(", ")
                ))
            })?;
            let predicate = rows::predicate(predicate, &crate::table::columns_of(name))
                .map_err(|error| refused(format!("rows.{table}: {error}")))?;
            policy.rows.insert(name, predicate);
        }
        if let Some(missing) = FILTERED.into_iter().find(|name| !settings.rows.contains_key(*name))
            && !settings.rows.is_empty()
        {
            return Err(refused(format!(
                "rows.{missing} is not said: where one table is filtered, say true or false for the others, because they \
                 tell about its rows"
            )));
        }
        let tables = crate::table::stored(role);
        for (name, treatment) in &settings.columns {
            let found = places(&tables, name);
            if found.is_empty() {
                return Err(refused(format!("columns.{name}: no table that this role sees has it")));
            }
            for (table, column) in found {
                treatment.check(column).map_err(|why| refused(format!("columns.{name}: {why}")))?;
                policy.columns.insert((table, column.name), *treatment);
            }
        }
        // The longer name is the closer one.
        for (name, treatment) in settings.columns.iter().filter(|(name, _)| name.contains('.')) {
            for (table, column) in places(&tables, name) {
                policy.columns.insert((table, column.name), *treatment);
            }
        }
        policy.mask_what_quotes(&tables);
        Ok(policy)
    }

    fn mask_what_quotes(&mut self, tables: &[(&'static str, Vec<Documented>)]) {
        if self.columns.values().all(|treatment| *treatment == Treatment::Keep) {
            return;
        }
        for (table, columns) in tables {
            let quoting = QUOTING.iter().find(|(name, _)| name == table).map(|(_, columns)| *columns);
            for column in columns {
                let quotes =
                    *table == "payloads" || quoting.is_some_and(|names| names.contains(&column.name));
                let digests =
                    DIGESTING.iter().any(|(name, names)| name == table && names.contains(&column.name));
                if (quotes || digests) && column.name != KEY {
                    let treatment = if digests { Treatment::Hash } else { Treatment::Mask };
                    self.columns.entry((*table, column.name)).or_insert(treatment);
                }
            }
        }
    }

    /// Whether any table has a row filter.
    pub(crate) fn filters_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// The predicate over the rows of `table`.
    pub(crate) fn rows_of(&self, table: &str) -> Option<&Expr> {
        self.rows.get(table)
    }

    /// What becomes of a column.
    pub(crate) fn treatment(&self, table: &'static str, column: &'static str) -> Treatment {
        self.columns.get(&(table, column)).copied().unwrap_or(Treatment::Keep)
    }

    /// The columns of `table` that there are for this role.
    pub(crate) fn visible(&self, table: &'static str, columns: Vec<Documented>) -> Vec<Documented> {
        let seen = columns.into_iter().filter_map(|column| match self.treatment(table, column.name) {
            Treatment::Keep => Some(column),
            Treatment::Hide => None,
            Treatment::Hash | Treatment::Mask => Some(Documented { nullable: true, ..column }),
        });
        seen.collect()
    }
}

/// Where a column called `name`, or `table.name`, is.
fn places<'a>(
    tables: &'a [(&'static str, Vec<Documented>)],
    name: &str,
) -> Vec<(&'static str, &'a Documented)> {
    let (table, column) = match name.split_once('.') {
        Some((table, column)) => (Some(table), column),
        None => (None, name),
    };
    let tables = tables.iter().filter(|(named, _)| table.is_none_or(|table| table == *named));
    tables
        .flat_map(|(named, columns)| columns.iter().map(move |documented| (*named, documented)))
        .filter(|(_, documented)| documented.name == column)
        .collect()
}

/// Whether a column holds text, alone or in a list.
pub(crate) fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 => true,
        DataType::List(item) => item.data_type() == &DataType::Utf8,
        _ => false,
    }
}
