//! The query that shows what an episode rests on.

use crate::entity::Part;

/// SQL that shows the evidence and what lies around it: the scope of the rule, the entity, the range of log
/// indices. An identifier too long to be kept cannot be compared with, and not every rule can be said in SQL: then the indices are
/// listed instead.
pub(super) fn evidence_query(scope: Option<&str>, parts: &[Part], evidence: &[i64]) -> String {
    let (first, last) = (evidence.first().copied().unwrap_or(0), evidence.last().copied().unwrap_or(0));
    let Some(scope) = scope.filter(|_| !parts.iter().any(|part| part.hashed)) else {
        let indices: Vec<String> = evidence.iter().map(i64::to_string).collect();
        return format!(
            "SELECT * FROM events WHERE log_index IN ({}) ORDER BY log_index",
            indices.join(", ")
        );
    };
    let mut conditions = vec![scope.to_owned()];
    conditions.extend(parts.iter().map(|part| match &part.value {
        Some(value) => format!("{} = {}", part.column, quoted(value)),
        None => format!("{} IS NULL", part.column),
    }));
    conditions.push(format!("log_index BETWEEN {first} AND {last}"));
    format!("SELECT * FROM events WHERE {} ORDER BY log_index", conditions.join(" AND "))
}

/// A SQL string literal: standard quoting, single quotes doubled.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_literal() {
        let part = |value: Option<&str>| Part {
            column: "agent_id".to_owned(),
            value: value.map(str::to_owned),
            hashed: false,
        };
        let query = evidence_query(Some("kind = 'call'"), &[part(Some("x' OR '1'='1"))], &[3, 9]);
        assert_eq!(
            query,
            "SELECT * FROM events WHERE kind = 'call' AND agent_id = 'x'' OR ''1''=''1' AND log_index BETWEEN 3 AND 9 ORDER BY log_index"
        );
        assert!(evidence_query(Some("true"), &[part(None)], &[1]).contains("agent_id IS NULL"));
        let hashed = Part { hashed: true, ..part(Some("long")) };
        assert!(evidence_query(Some("true"), &[hashed], &[1, 4]).contains("log_index IN (1, 4)"));
        assert!(evidence_query(None, &[], &[2]).contains("log_index IN (2)"));
    }
}
