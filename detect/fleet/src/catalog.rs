//! Servers with their tools, and roles with what they work with.

/// A tool. Medians: latency in milliseconds, response in bytes.
#[derive(Debug)]
pub(crate) struct ToolKind {
    pub name: &'static str,
    pub action: &'static str,
    pub risk: &'static str,
    pub latency_ms: f64,
    pub bytes: f64,
    /// Argument and class of the destination that it names.
    pub destination: Option<(&'static str, &'static str)>,
}

const fn tool(
    name: &'static str,
    action: &'static str,
    risk: &'static str,
    latency_ms: f64,
    bytes: f64,
    destination: Option<(&'static str, &'static str)>,
) -> ToolKind {
    ToolKind { name, action, risk, latency_ms, bytes, destination }
}

const TO: Option<(&str, &str)> = Some(("to", "recipient"));
const URL: Option<(&str, &str)> = Some(("url", "url"));
const PATH: Option<(&str, &str)> = Some(("path", "path"));
const ACCOUNT: Option<(&str, &str)> = Some(("account", "account"));

pub(crate) const SERVERS: [(&str, &[ToolKind]); 12] = [
    (
        "crm",
        &[
            tool("find_customer", "read", "low", 120.0, 900.0, None),
            tool("get_account", "read", "low", 90.0, 1_400.0, None),
            tool("list_tickets", "read", "low", 180.0, 4_000.0, None),
            tool("update_ticket", "write", "medium", 210.0, 180.0, None),
            tool("merge_accounts", "write", "high", 400.0, 220.0, ACCOUNT),
        ],
    ),
    (
        "mail",
        &[
            tool("search_mail", "read", "low", 260.0, 3_200.0, None),
            tool("read_mail", "read", "low", 110.0, 2_100.0, None),
            tool("draft_mail", "write", "low", 140.0, 260.0, TO),
            tool("send_mail", "write", "medium", 320.0, 120.0, TO),
        ],
    ),
    (
        "chat",
        &[
            tool("read_channel", "read", "low", 80.0, 1_800.0, None),
            tool("post_message", "write", "low", 95.0, 110.0, TO),
            tool("add_member", "admin", "medium", 150.0, 90.0, TO),
        ],
    ),
    (
        "wiki",
        &[
            tool("search_pages", "read", "low", 190.0, 1_200.0, None),
            tool("read_page", "read", "low", 70.0, 5_200.0, None),
            tool("edit_page", "write", "medium", 160.0, 140.0, None),
            tool("fetch_url", "read", "medium", 620.0, 9_500.0, URL),
        ],
    ),
    (
        "calendar",
        &[
            tool("list_events", "read", "low", 100.0, 1_100.0, None),
            tool("find_slot", "read", "low", 130.0, 400.0, None),
            tool("create_event", "write", "low", 170.0, 200.0, TO),
        ],
    ),
    (
        "payments",
        &[
            tool("get_invoice", "read", "low", 140.0, 800.0, None),
            tool("list_payments", "read", "medium", 230.0, 3_500.0, None),
            tool("issue_refund", "write", "high", 450.0, 160.0, ACCOUNT),
            tool("pay_supplier", "write", "critical", 520.0, 150.0, ACCOUNT),
        ],
    ),
    (
        "repository",
        &[
            tool("read_file", "read", "low", 60.0, 2_900.0, PATH),
            tool("search_code", "read", "low", 310.0, 2_400.0, None),
            tool("open_change", "write", "medium", 380.0, 300.0, None),
            tool("comment", "write", "low", 120.0, 130.0, None),
            tool("merge_change", "write", "high", 480.0, 190.0, None),
        ],
    ),
    (
        "deploy",
        &[
            tool("list_releases", "read", "low", 150.0, 1_300.0, None),
            tool("read_logs", "read", "low", 420.0, 12_000.0, None),
            tool("start_pipeline", "execute", "medium", 300.0, 240.0, None),
            tool("roll_back", "destructive", "critical", 700.0, 170.0, None),
        ],
    ),
    (
        "warehouse",
        &[
            tool("describe_table", "read", "low", 90.0, 1_600.0, None),
            tool("run_query", "read", "medium", 780.0, 7_500.0, None),
            tool("export_table", "write", "high", 800.0, 260.0, PATH),
            tool("sample_rows", "read", "low", 240.0, 3_000.0, None),
        ],
    ),
    (
        "storage",
        &[
            tool("list_objects", "read", "low", 110.0, 2_200.0, PATH),
            tool("get_object", "read", "low", 200.0, 15_000.0, PATH),
            tool("put_object", "write", "medium", 260.0, 120.0, PATH),
            tool("delete_object", "destructive", "high", 180.0, 90.0, PATH),
        ],
    ),
    (
        "identity",
        &[
            tool("get_user", "read", "low", 75.0, 600.0, None),
            tool("list_groups", "read", "low", 95.0, 1_000.0, None),
            tool("grant_role", "admin", "high", 230.0, 110.0, ACCOUNT),
            tool("reset_factor", "admin", "critical", 260.0, 100.0, ACCOUNT),
        ],
    ),
    (
        "metrics",
        &[
            tool("query_range", "read", "low", 340.0, 6_000.0, None),
            tool("list_alerts", "read", "low", 85.0, 1_500.0, None),
            tool("silence_alert", "write", "medium", 130.0, 110.0, None),
        ],
    ),
];

/// Roles: name, places of the servers in [`SERVERS`], workflows.
pub(crate) const ROLES: [(&str, &[usize], [&str; 3]); 8] = [
    ("support", &[0, 1, 3, 2], ["answer-ticket", "escalate-ticket", "tidy-articles"]),
    ("sales", &[0, 1, 4, 2], ["renew-account", "prepare-visit", "follow-up"]),
    ("finance", &[5, 1, 8, 0], ["reconcile-invoices", "pay-run", "close-month"]),
    ("engineering", &[6, 7, 11, 3], ["review-change", "explain-failure", "write-change"]),
    ("data", &[8, 9, 11, 3], ["explore-data", "weekly-report", "check-quality"]),
    ("security", &[10, 11, 7, 2], ["access-review", "triage-finding", "collect-evidence"]),
    ("operations", &[7, 11, 9, 2], ["triage-incident", "release-train", "clean-storage"]),
    ("people", &[4, 1, 10, 3], ["onboard-person", "plan-leave", "answer-question"]),
];
