//! What the access log says of single statements: each is found by a mark of its own that stands in its text.

use serde_json::Value;

use crate::support::{Service, eventually};

/// The entries of statements, read once nothing that was asked is still open.
pub(super) struct Log(Vec<Value>);

impl Log {
    pub(super) fn read(service: &Service) -> Log {
        let read = || {
            service.sql(
                "SELECT query_id, phase, door, tenant, principal, statement, decision, status, error_code \
                 FROM access WHERE action = 'sql'",
            )
        };
        // Outcomes may be written behind the answer; the one that reads has none yet.
        let of = |rows: &[Value], phase: &str| rows.iter().filter(|row| row["phase"] == phase).count();
        let is_open = |row: &Value, rows: &[Value]| {
            row["phase"] == "intent"
                && !rows
                    .iter()
                    .any(|other| other["phase"] == "outcome" && other["query_id"] == row["query_id"])
        };
        eventually("what was asked has its outcome on the access log", || {
            let rows = read();
            of(&rows, "outcome") > 0 && rows.iter().filter(|row| is_open(row, &rows)).count() <= 1
        });
        Log(read())
    }

    /// Decision, status and code of the outcome of every statement that came through `door` with `mark` in it.
    pub(super) fn outcomes(&self, door: &str, mark: &str) -> Vec<String> {
        let text = |row: &Value, column: &str| row[column].as_str().unwrap_or("-").to_string();
        let with_mark = |row: &&Value| {
            row["door"] == door && row["statement"].as_str().is_some_and(|statement| statement.contains(mark))
        };
        let mut ids: Vec<&Value> = self.0.iter().filter(with_mark).map(|row| &row["query_id"]).collect();
        ids.dedup();
        let outcomes =
            self.0.iter().filter(|row| row["phase"] == "outcome" && ids.contains(&&row["query_id"]));
        outcomes
            .map(|row| {
                format!("{} {} {}", text(row, "decision"), text(row, "status"), text(row, "error_code"))
            })
            .collect()
    }
}
