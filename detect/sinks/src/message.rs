//! What goes over a wire: one item, rendered.

use bytes::Bytes;

/// How much a message matters, where a transport can say so (syslog's severity, a partition's header). In the order of OCSF
/// `severity_id` 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// Also what has no severity: an event, a digest.
    Informational,
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `critical`
    Critical,
}

/// One item in one format, on its way.
#[derive(Debug, Clone)]
pub struct Message {
    /// The same whenever this item is sent again: `<alert_id>-<sequence>` of an alert, the event id of an event. At most 256 bytes, any characters.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// The log it is from, by origin, and its index there.
    pub log: String,
    /// Index in the log.
    pub log_index: u64,
    /// When it was recorded, microseconds UTC.
    pub time_us: i64,
    /// For transports that have a place for it.
    pub importance: Importance,
    /// `alert`, `event`, `digest`, `test`: what a transport that routes may go by.
    pub kind: &'static str,
    /// What several messages of one episode have in common (a Kafka key): `alert_id` of an alert, `session_id` of an event.
    pub key: String,
    /// Media type of `body`.
    pub content_type: &'static str,
    /// UTF-8 without a line feed at its end. Formats of one line hold no control character; JSON is on one line.
    pub body: Bytes,
}

impl Message {
    /// What no other message of any recorder has, and this one each time it is sent: for receivers that keep one of each id. Ids of events are their sources', who may
    /// use one twice.
    pub fn unique_id(&self) -> String {
        match self.kind {
            "alert" | "event" => format!("{}#{}", self.log, self.log_index),
            _ => format!("{}#{}", self.log, self.id),
        }
    }
}
