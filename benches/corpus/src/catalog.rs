//! The MCP servers that exist, and what they offer.

use Action::{Admin, Destructive, Execute, Read, Write};
use Risk::{Critical, High, Low, Medium};
use Shape::{Change, File, Lookup, Message, Money, Range, Record, Rows, Search};

/// What a tool does to the world, in the words of event v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Read,
    Write,
    Destructive,
    Execute,
    Admin,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::Execute => "execute",
            Self::Admin => "admin",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

impl Risk {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// The form of a tool's arguments and result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Search,
    Lookup,
    Rows,
    Range,
    File,
    Message,
    Record,
    Money,
    Change,
}

/// A tool as a server lists it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) action: Action,
    pub(crate) risk: Risk,
    pub(crate) shape: Shape,
}

impl Tool {
    /// Needs an approval: action write, destructive or admin with risk high or critical.
    pub(crate) fn is_high_risk_write(&self) -> bool {
        matches!(self.action, Write | Destructive | Admin) && matches!(self.risk, High | Critical)
    }
}

/// A server: its tools come most used first, and the first is always a read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// Scheme of the things it acts on.
    pub(crate) scheme: &'static str,
    /// Kinds of those things.
    pub(crate) nouns: &'static [&'static str],
    pub(crate) tools: &'static [Tool],
    pub(crate) prompts: &'static [&'static str],
    pub(crate) latency_us_median: u64,
}

const fn tool(name: &'static str, action: Action, risk: Risk, shape: Shape) -> Tool {
    Tool { name, action, risk, shape }
}

/// Places in [`SERVERS`].
pub(crate) const KNOWLEDGE: usize = 0;
pub(crate) const CRM: usize = 1;
pub(crate) const REPOSITORY: usize = 2;
pub(crate) const METRICS: usize = 3;
pub(crate) const INCIDENT: usize = 4;
pub(crate) const WAREHOUSE: usize = 5;
pub(crate) const MESSAGING: usize = 6;
pub(crate) const PAYMENTS: usize = 7;
pub(crate) const STORAGE: usize = 8;
pub(crate) const DEPLOY: usize = 9;
pub(crate) const CALENDAR: usize = 10;
pub(crate) const IDENTITY: usize = 11;

/// Every server of the catalogue, most used first.
pub(crate) const SERVERS: [Server; 12] = [
    Server {
        name: "knowledge-mcp",
        scheme: "wiki",
        nouns: &["pages", "runbooks", "spaces", "decisions"],
        tools: &[
            tool("search_pages", Read, Low, Search),
            tool("read_page", Read, Low, File),
            tool("list_spaces", Read, Low, Lookup),
            tool("create_page", Write, Low, Record),
            tool("update_page", Write, Medium, Change),
            tool("delete_page", Destructive, High, Change),
        ],
        prompts: &["summarise_page", "answer_with_sources"],
        latency_us_median: 62_000,
    },
    Server {
        name: "crm-mcp",
        scheme: "crm",
        nouns: &["contacts", "accounts", "notes", "opportunities"],
        tools: &[
            tool("search_contacts", Read, Medium, Search),
            tool("get_contact", Read, Medium, Lookup),
            tool("list_notes", Read, Low, Lookup),
            tool("add_note", Write, Low, Message),
            tool("update_contact", Write, Medium, Change),
            tool("send_email", Write, Medium, Message),
            tool("export_contacts", Read, High, Rows),
            tool("delete_contact", Destructive, High, Change),
        ],
        prompts: &["draft_reply", "prepare_call"],
        latency_us_median: 140_000,
    },
    Server {
        name: "repository-mcp",
        scheme: "repo",
        nouns: &["files", "pulls", "branches", "commits"],
        tools: &[
            tool("read_file", Read, Low, File),
            tool("search_code", Read, Low, Search),
            tool("list_pull_requests", Read, Low, Lookup),
            tool("create_branch", Write, Low, Record),
            tool("open_pull_request", Write, Medium, Record),
            tool("merge_pull_request", Write, High, Change),
            tool("delete_branch", Destructive, High, Change),
        ],
        prompts: &["review_change", "explain_failure"],
        latency_us_median: 95_000,
    },
    Server {
        name: "metrics-mcp",
        scheme: "metrics",
        nouns: &["series", "dashboards", "alerts"],
        tools: &[
            tool("query_range", Read, Low, Range),
            tool("list_alerts", Read, Low, Lookup),
            tool("get_dashboard", Read, Low, Lookup),
            tool("silence_alert", Write, Medium, Change),
            tool("delete_silence", Destructive, High, Change),
        ],
        prompts: &["explain_alert"],
        latency_us_median: 210_000,
    },
    Server {
        name: "incident-mcp",
        scheme: "queue",
        nouns: &["sev1", "sev2", "sev3"],
        tools: &[
            tool("get_incident", Read, Low, Lookup),
            tool("search_incidents", Read, Low, Search),
            tool("add_comment", Write, Low, Message),
            tool("create_incident_ticket", Write, Medium, Record),
            tool("page_oncall", Execute, Medium, Message),
            tool("close_incident", Write, Medium, Change),
        ],
        prompts: &["write_timeline", "draft_postmortem"],
        latency_us_median: 180_000,
    },
    Server {
        name: "warehouse-mcp",
        scheme: "warehouse",
        nouns: &["tables", "views", "schemas"],
        tools: &[
            tool("run_query", Read, Medium, Rows),
            tool("describe_table", Read, Low, Lookup),
            tool("list_tables", Read, Low, Lookup),
            tool("create_view", Write, Medium, Change),
            tool("grant_access", Admin, High, Change),
            tool("drop_table", Destructive, Critical, Change),
        ],
        prompts: &["explain_query"],
        latency_us_median: 240_000,
    },
    Server {
        name: "messaging-mcp",
        scheme: "chat",
        nouns: &["channels", "threads"],
        tools: &[
            tool("search_messages", Read, Medium, Search),
            tool("read_channel", Read, Medium, Lookup),
            tool("post_message", Write, Low, Message),
            tool("send_direct_message", Write, Medium, Message),
            tool("upload_file", Write, Medium, Record),
            tool("archive_channel", Destructive, High, Change),
        ],
        prompts: &["summarise_thread"],
        latency_us_median: 110_000,
    },
    Server {
        name: "payments-mcp",
        scheme: "payments",
        nouns: &["charges", "refunds", "invoices", "subscriptions"],
        tools: &[
            tool("get_payment", Read, Medium, Lookup),
            tool("list_refunds", Read, Medium, Search),
            tool("get_invoice", Read, Medium, Lookup),
            tool("create_payment_link", Write, Medium, Money),
            tool("issue_refund", Write, Critical, Money),
            tool("cancel_subscription", Destructive, High, Change),
        ],
        prompts: &["explain_charge"],
        latency_us_median: 260_000,
    },
    Server {
        name: "storage-mcp",
        scheme: "bucket",
        nouns: &["reports", "exports", "uploads", "backups"],
        tools: &[
            tool("list_objects", Read, Low, Lookup),
            tool("read_object", Read, Medium, File),
            tool("put_object", Write, Medium, Record),
            tool("share_object", Admin, High, Change),
            tool("delete_object", Destructive, High, Change),
            tool("purge_prefix", Destructive, Critical, Change),
        ],
        prompts: &["describe_object"],
        latency_us_median: 75_000,
    },
    Server {
        name: "deploy-mcp",
        scheme: "service",
        nouns: &["checkout", "search", "ledger", "gateway", "mailer"],
        tools: &[
            tool("get_rollout", Read, Low, Lookup),
            tool("tail_logs", Read, Medium, File),
            tool("list_services", Read, Low, Lookup),
            tool("restart_service", Execute, High, Change),
            tool("scale_service", Write, Medium, Change),
            tool("deploy_release", Write, High, Change),
            tool("roll_back", Execute, High, Change),
        ],
        prompts: &["plan_rollout"],
        latency_us_median: 420_000,
    },
    Server {
        name: "calendar-mcp",
        scheme: "calendar",
        nouns: &["events", "rooms"],
        tools: &[
            tool("list_events", Read, Low, Lookup),
            tool("find_slot", Read, Low, Search),
            tool("create_event", Write, Low, Record),
            tool("update_event", Write, Low, Change),
        ],
        prompts: &["plan_week"],
        latency_us_median: 88_000,
    },
    Server {
        name: "identity-mcp",
        scheme: "identity",
        nouns: &["users", "groups", "keys"],
        tools: &[
            tool("get_user", Read, Medium, Lookup),
            tool("list_groups", Read, Low, Lookup),
            tool("list_sessions", Read, Medium, Lookup),
            tool("add_group_member", Admin, High, Change),
            tool("disable_user", Admin, High, Change),
            tool("reset_mfa", Admin, Critical, Change),
        ],
        prompts: &["review_access"],
        latency_us_median: 130_000,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_names() {
        for (place, name) in [
            (KNOWLEDGE, "knowledge-mcp"),
            (CRM, "crm-mcp"),
            (REPOSITORY, "repository-mcp"),
            (METRICS, "metrics-mcp"),
            (INCIDENT, "incident-mcp"),
            (WAREHOUSE, "warehouse-mcp"),
            (MESSAGING, "messaging-mcp"),
            (PAYMENTS, "payments-mcp"),
            (STORAGE, "storage-mcp"),
            (DEPLOY, "deploy-mcp"),
            (CALENDAR, "calendar-mcp"),
            (IDENTITY, "identity-mcp"),
        ] {
            assert_eq!(SERVERS[place].name, name);
        }
    }

    #[test]
    fn first_tools_are_reads_and_what_destroys_needs_an_approval() {
        for server in SERVERS {
            assert_eq!(server.tools[0].action, Read, "{}", server.name);
            assert!(!server.prompts.is_empty() && !server.nouns.is_empty());
            for tool in server.tools {
                assert!(tool.action != Destructive || tool.is_high_risk_write(), "{}", tool.name);
            }
        }
    }
}
