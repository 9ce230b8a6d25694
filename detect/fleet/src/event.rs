//! One event of the fleet: a record of the engine that owns its names.

use engine::Record;

use crate::world::Name;

/// The columns of [`Record`] that a source fills; the index is given when it is logged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    pub time_us: i64,
    pub ingest_time_us: i64,
    pub kind: &'static str,
    pub method: Option<&'static str>,
    pub user_id: Option<Name>,
    pub agent_id: Option<Name>,
    pub client: Option<Name>,
    pub credential_id: Option<Name>,
    pub source_ip: Option<Name>,
    pub session_id: Name,
    pub call_id: Option<Name>,
    pub server: Option<Name>,
    pub capability: Option<Name>,
    pub action: Option<&'static str>,
    pub risk: Option<&'static str>,
    pub decision: &'static str,
    pub approval_id: Option<Name>,
    pub approval_status: Option<&'static str>,
    pub approver: Option<Name>,
    pub request_hash: Option<Name>,
    pub status: &'static str,
    pub error_class: Option<&'static str>,
    pub latency_us: Option<i64>,
    pub environment: Option<&'static str>,
    pub source: Name,
    pub source_seq: Option<i64>,
    pub auth_method: Option<&'static str>,
    pub country: Option<&'static str>,
    pub user_agent: Option<Name>,
    pub capability_type: Option<&'static str>,
    pub tool_hash: Option<Name>,
    pub workflow: Option<Name>,
    pub approval_wait_ms: Option<i64>,
    pub output_action: Option<&'static str>,
    pub response_bytes: Option<i64>,
    pub output_tokens: Option<i64>,
    pub destinations: Vec<Name>,
}

impl Event {
    /// Hands the event over as the engine's record at `index`.
    pub fn with_record<T>(&self, index: i64, take: impl FnOnce(&Record<'_>) -> T) -> T {
        let destinations: Vec<&str> = self.destinations.iter().map(|name| &**name).collect();
        take(&Record {
            index,
            ingest_time_us: self.ingest_time_us,
            time_us: self.time_us,
            kind: self.kind,
            method: self.method,
            user_id: self.user_id.as_deref(),
            agent_id: self.agent_id.as_deref(),
            client: self.client.as_deref(),
            credential_id: self.credential_id.as_deref(),
            source_ip: self.source_ip.as_deref(),
            session_id: &self.session_id,
            call_id: self.call_id.as_deref(),
            server: self.server.as_deref(),
            capability: self.capability.as_deref(),
            action: self.action,
            risk: self.risk,
            decision: self.decision,
            approval_id: self.approval_id.as_deref(),
            approval_status: self.approval_status,
            approver: self.approver.as_deref(),
            request_hash: self.request_hash.as_deref(),
            status: self.status,
            error_class: self.error_class,
            latency_us: self.latency_us,
            environment: self.environment,
            source: &self.source,
            source_seq: self.source_seq,
            auth_method: self.auth_method,
            country: self.country,
            user_agent: self.user_agent.as_deref(),
            // What a call acts on and which version of a policy decided is no part of a made-up fleet.
            target: None,
            policy_id: None,
            policy_version: None,
            policy_hash: None,
            capability_type: self.capability_type,
            tool_hash: self.tool_hash.as_deref(),
            workflow: self.workflow.as_deref(),
            approval_wait_ms: self.approval_wait_ms,
            output_action: self.output_action,
            response_bytes: self.response_bytes,
            output_tokens: self.output_tokens,
            destinations: &destinations,
            control: false,
            verdict: None,
            // Its sources number through all sessions, as gateways do.
            observer: Some("gateway"),
            rest: None,
        })
    }
}

/// BLAKE3 over records in log order, every field of each, so that two machines can compare what they made.
#[derive(Debug, Clone)]
pub struct Digest {
    hasher: blake3::Hasher,
    line: Vec<u8>,
}

impl Default for Digest {
    fn default() -> Digest {
        Digest { hasher: blake3::Hasher::new_derive_key("tachograph fleet v1"), line: Vec::new() }
    }
}

impl Digest {
    /// Takes a record in.
    pub fn add(&mut self, record: &Record<'_>) {
        // Named one by one, so that a field that the record gains is not left out in silence.
        let Record {
            index,
            ingest_time_us,
            time_us,
            kind,
            method,
            user_id,
            agent_id,
            client,
            credential_id,
            source_ip,
            session_id,
            call_id,
            server,
            capability,
            action,
            risk,
            decision,
            approval_id,
            approval_status,
            approver,
            request_hash,
            status,
            error_class,
            latency_us,
            environment,
            source,
            source_seq,
            auth_method,
            country,
            user_agent,
            capability_type,
            tool_hash,
            workflow,
            approval_wait_ms,
            output_action,
            response_bytes,
            output_tokens,
            destinations,
            control,
            // A fleet is what happens, not what people say of it.
            verdict: _,
            // One gateway sees all of it.
            observer: _,
            // A fleet has none.
            target: _,
            policy_id: _,
            policy_version: _,
            policy_hash: _,
            rest: _,
        } = *record;
        self.line.clear();
        for number in [index, ingest_time_us, time_us, i64::from(control), destinations.len() as i64] {
            self.line.extend(number.to_le_bytes());
        }
        for number in [latency_us, source_seq, approval_wait_ms, response_bytes, output_tokens] {
            self.line.push(u8::from(number.is_some()));
            self.line.extend(number.unwrap_or(0).to_le_bytes());
        }
        let texts = [
            Some(kind),
            method,
            user_id,
            agent_id,
            client,
            credential_id,
            source_ip,
            Some(session_id),
            call_id,
            server,
            capability,
            action,
            risk,
            Some(decision),
            approval_id,
            approval_status,
            approver,
            request_hash,
            Some(status),
            error_class,
            environment,
            Some(source),
            auth_method,
            country,
            user_agent,
            capability_type,
            tool_hash,
            workflow,
            output_action,
        ];
        for text in texts.into_iter().chain(destinations.iter().map(|text| Some(*text))) {
            let text = text.map(str::as_bytes);
            self.line.extend(text.map_or(u32::MAX, |text| text.len() as u32).to_le_bytes());
            self.line.extend(text.unwrap_or_default());
        }
        self.hasher.update(&self.line);
    }

    /// 64 hex digits over what was taken in so far.
    pub fn hex(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}
