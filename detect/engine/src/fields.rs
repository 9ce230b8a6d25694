//! A record as rules in Sigma see it: by the field id of a column, without a look at its name.

use std::borrow::Cow;

use schemas::Column;
use sigma::{Fields, Value};

use crate::record::Record;

impl Fields for Record<'_> {
    fn value(&self, column: &'static Column) -> Value<'_> {
        let optional = match column.id {
            1 => return Value::Number(self.index),
            2 => return Value::Number(self.ingest_time_us),
            4 => return Value::Number(self.time_us),
            6 => Some(self.kind),
            7 => Some(self.source),
            8 => Some(self.session_id),
            9 => Some(self.decision),
            10 => Some(self.status),
            16 => self.environment,
            17 => self.observer,
            18 => return number(self.source_seq),
            20 => self.user_id,
            21 => self.agent_id,
            22 => self.client,
            24 => self.auth_method,
            25 => self.credential_id,
            31 => self.source_ip,
            32 => self.country,
            33 => self.user_agent,
            41 => self.call_id,
            50 => self.method,
            51 => self.server,
            53 => self.capability_type,
            54 => self.capability,
            55 => self.target,
            56 => self.action,
            57 => self.risk,
            58 => self.tool_hash,
            70 => self.workflow,
            72 => self.policy_id,
            73 => self.policy_version,
            74 => self.policy_hash,
            77 => self.approval_id,
            78 => self.approval_status,
            79 => self.approver,
            80 => return number(self.approval_wait_ms),
            81 => self.request_hash,
            90 => self.error_class,
            92 => return number(self.latency_us),
            93 => self.output_action,
            95 => return number(self.response_bytes),
            97 => return number(self.output_tokens),
            100 => return Value::List(Cow::Borrowed(self.destinations)),
            _ => return self.rest.map_or(Value::Null, |rest| rest.value(column)),
        };
        optional.map_or(Value::Null, Value::Text)
    }
}

fn number<'a>(number: Option<i64>) -> Value<'a> {
    number.map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use schemas::column::Side;
    use schemas::{ColumnType, Stream};

    use super::*;

    #[derive(Debug)]
    struct Names;

    impl Fields for Names {
        fn value(&self, column: &'static Column) -> Value<'_> {
            Value::Text(column.name)
        }
    }

    #[test]
    fn every_column_is_the_field_of_its_name() {
        let record = Record {
            index: 1,
            ingest_time_us: 2,
            time_us: 4,
            kind: "kind",
            method: Some("method"),
            user_id: Some("user_id"),
            agent_id: Some("agent_id"),
            client: Some("client"),
            credential_id: Some("credential_id"),
            source_ip: Some("source_ip"),
            session_id: "session_id",
            call_id: Some("call_id"),
            server: Some("server"),
            capability: Some("capability"),
            action: Some("action"),
            risk: Some("risk"),
            decision: "decision",
            approval_id: Some("approval_id"),
            approval_status: Some("approval_status"),
            approver: Some("approver"),
            request_hash: Some("request_hash"),
            status: "status",
            error_class: Some("error_class"),
            latency_us: Some(92),
            environment: Some("environment"),
            observer: Some("observer"),
            source: "source",
            source_seq: Some(18),
            auth_method: Some("auth_method"),
            country: Some("country"),
            user_agent: Some("user_agent"),
            target: Some("target"),
            policy_id: Some("policy_id"),
            policy_version: Some("policy_version"),
            policy_hash: Some("policy_hash"),
            capability_type: Some("capability_type"),
            tool_hash: Some("tool_hash"),
            workflow: Some("workflow"),
            approval_wait_ms: Some(80),
            output_action: Some("output_action"),
            response_bytes: Some(95),
            output_tokens: Some(97),
            destinations: &["destinations"],
            control: false,
            verdict: None,
            rest: Some(&Names),
        };
        for column in Stream::Events.columns().iter().filter(|column| column.side == Side::Entry) {
            let is_number =
                column.kind == ColumnType::Int64 || ["ingest_time", "time"].contains(&column.name);
            let found = record.value(column);
            match found {
                Value::Number(number) => {
                    assert!(is_number && number == i64::from(column.id), "{}", column.name);
                }
                Value::Text(text) => assert_eq!(text, column.name),
                Value::List(items) => assert_eq!(items.as_ref(), [column.name]),
                Value::Null => panic!("{} is nowhere", column.name),
            }
        }
        let column = Stream::Events.column("target").unwrap();
        assert_eq!(Record::default().value(column), Value::Null, "what nobody brought is not there");
    }
}
