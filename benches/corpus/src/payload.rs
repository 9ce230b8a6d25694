//! Arguments and results, as JSON text.

use crate::catalog::{Server, Shape, Tool};
use crate::event::{push_hex, push_number};
use crate::random::Random;

const UPPER_BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE62: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64_URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const PHRASES: [&str; 24] = [
    "checkout latency after release",
    "refund policy for annual plans",
    "rotate signing keys",
    "customer asked for an invoice copy",
    "error budget of the search service",
    "renewal in the next quarter",
    "flaky test in the ledger module",
    "how to drain a node",
    "missing webhook deliveries",
    "duplicate charge on the same order",
    "access review for contractors",
    "weekly active accounts by plan",
    "rollback steps for the gateway",
    "disk usage on the reporting hosts",
    "onboarding checklist",
    "data retention of exports",
    "backlog of the mail queue",
    "open questions from the audit",
    "latency by region",
    "owner of the billing dashboard",
    "change freeze calendar",
    "unpaid invoices older than thirty days",
    "cache hit rate per tenant",
    "incident review actions",
];

const SENTENCES: [&str; 16] = [
    "The change went out on Tuesday; the graphs are flat.",
    "Two customers reported it within an hour.",
    "Restart the worker and watch the queue.",
    "The owner of this page reviews it every quarter.",
    "No action is needed.",
    "Numbers are rounded to the nearest hundred.",
    "See the linked thread.",
    "The account renews in spring.",
    "Logs show one upstream timeout.",
    "This was approved in the weekly meeting.",
    "Traffic moved back to the primary region at noon.",
    "The report covers the last thirty days.",
    "A follow-up ticket exists and has an owner.",
    "Escalate if it happens again.",
    "The export contains one row per account.",
    "Tests pass on the branch and the review is open.",
];

const COLUMNS: [&str; 8] =
    ["account_id", "plan", "region", "created_at", "amount_cents", "status", "seats", "owner_id"];
const TABLES: [&str; 6] = ["accounts", "orders", "invoices", "sessions", "tickets", "usage_daily"];
const REGIONS: [&str; 4] = ["eu-central", "eu-west", "us-east", "ap-south"];
const STATES: [&str; 5] = ["open", "active", "done", "paused", "in_review"];

/// Appends the address of the thing acted on, `scheme://noun/number`.
pub(crate) fn push_target(out: &mut String, server: &Server, random: &mut Random) {
    out.push_str(server.scheme);
    out.push_str("://");
    out.push_str(random.pick(server.nouns));
    out.push('/');
    // The square makes low numbers common: a few things are touched often.
    let draw = random.below(1 << 20);
    push_number(out, (draw * draw) >> 29);
}

fn push_number_field(out: &mut String, key: &str, value: u64) {
    out.push_str(key);
    push_number(out, value);
}

fn push_sentences(out: &mut String, random: &mut Random, count: u64) {
    for place in 0..count {
        if place > 0 {
            out.push(' ');
        }
        out.push_str(random.pick(&SENTENCES));
    }
}

/// Appends the arguments of one call without the closing brace, so that a secret can be added.
fn push_open_arguments(out: &mut String, tool: &Tool, target: &str, random: &mut Random) {
    match tool.shape {
        Shape::Search => {
            out.push_str("{\"query\":\"");
            out.push_str(random.pick(&PHRASES));
            push_number_field(out, "\",\"limit\":", 5 * (1 + random.below(5)));
        }
        Shape::Rows => {
            out.push_str("{\"sql\":\"SELECT ");
            out.push_str(random.pick(&COLUMNS));
            out.push_str(", count(*) FROM ");
            out.push_str(random.pick(&TABLES));
            push_number_field(out, " WHERE created_at > now() - interval '", 1 + random.below(90));
            push_number_field(
                out,
                " days' GROUP BY 1 LIMIT 100\",\"timeout_s\":",
                30 * (1 + random.below(4)),
            );
        }
        Shape::Range => {
            out.push_str("{\"query\":\"sum(rate(requests_total{region='");
            out.push_str(random.pick(&REGIONS));
            push_number_field(out, "'}[5m]))\",\"minutes\":", 15 * (1 + random.below(16)));
            out.push_str(",\"step\":\"60s\"");
        }
        Shape::Lookup | Shape::File => {
            out.push_str("{\"id\":\"");
            out.push_str(target);
            out.push('"');
        }
        Shape::Message => {
            out.push_str("{\"to\":\"");
            out.push_str(target);
            out.push_str("\",\"subject\":\"");
            out.push_str(random.pick(&PHRASES));
            out.push_str("\",\"body\":\"");
            let sentences = 1 + random.below(2);
            push_sentences(out, random, sentences);
            out.push('"');
        }
        Shape::Record => {
            out.push_str("{\"parent\":\"");
            out.push_str(target);
            out.push_str("\",\"title\":\"");
            out.push_str(random.pick(&PHRASES));
            out.push_str("\",\"description\":\"");
            let sentences = 1 + random.below(2);
            push_sentences(out, random, sentences);
            out.push('"');
        }
        Shape::Money => {
            out.push_str("{\"charge\":\"");
            out.push_str(target);
            push_number_field(out, "\",\"amount_cents\":", random.spread(4_900));
            out.push_str(",\"currency\":\"EUR\",\"reason\":\"");
            out.push_str(random.pick(&["duplicate", "requested_by_customer", "service_credit"]));
            out.push('"');
        }
        Shape::Change => {
            out.push_str("{\"id\":\"");
            out.push_str(target);
            out.push_str("\",\"state\":\"");
            out.push_str(random.pick(&STATES));
            out.push_str("\",\"comment\":\"");
            out.push_str(random.pick(&PHRASES));
            out.push('"');
        }
    }
}

/// Appends the arguments of one call; with `secret`, something a redactor must find is among them.
pub(crate) fn push_arguments(out: &mut String, tool: &Tool, target: &str, secret: bool, random: &mut Random) {
    push_open_arguments(out, tool, target, random);
    if secret {
        push_secret_field(out, random);
    }
    out.push('}');
}

/// Appends an access key id in the form of a cloud provider's.
pub(crate) fn push_access_key_id(out: &mut String, random: &mut Random) {
    out.push_str("AKIA");
    random.push_text(out, UPPER_BASE32, 16);
}

/// Appends a pass phrase of 20 letters and digits.
pub(crate) fn push_password(out: &mut String, random: &mut Random) {
    random.push_text(out, BASE62, 20);
}

fn push_secret_field(out: &mut String, random: &mut Random) {
    match random.below(6) {
        0 => {
            out.push_str(",\"aws_access_key_id\":\"");
            push_access_key_id(out, random);
        }
        1 => {
            out.push_str(",\"password\":\"");
            push_password(out, random);
        }
        2 => {
            out.push_str(",\"note\":\"use ghp_");
            random.push_text(out, BASE62, 36);
            out.push_str(" until Friday");
        }
        3 => {
            out.push_str(",\"authorization\":\"Bearer eyJhbGciOiJIUzI1NiJ9.eyJ");
            random.push_text(out, BASE64_URL, 40);
            out.push('.');
            random.push_text(out, BASE64_URL, 43);
        }
        4 => {
            out.push_str(",\"dsn\":\"postgres://report:");
            random.push_text(out, BASE62, 18);
            out.push_str("@db.internal:5432/ledger");
        }
        _ => {
            out.push_str(",\"api_key\":\"");
            random.push_text(out, BASE62, 40);
        }
    }
    out.push('"');
}

/// Appends the result of a call that went well, in the form of an MCP `CallToolResult`.
pub(crate) fn push_result(out: &mut String, tool: &Tool, target: &str, random: &mut Random) {
    out.push_str("{\"content\":[{\"type\":\"text\",\"text\":\"");
    match tool.shape {
        Shape::Search | Shape::File => {
            let sentences = 1 + random.below(2);
            push_sentences(out, random, sentences);
        }
        Shape::Rows | Shape::Range => {
            let rows = 1 + random.spread(4);
            for row in 0..rows {
                push_number_field(out, if row == 0 { "" } else { "\\n" }, random.spread(40));
                push_number_field(out, ",", random.spread(9_000));
            }
        }
        Shape::Lookup => {
            out.push_str(target);
            out.push_str(" is ");
            out.push_str(random.pick(&STATES));
            out.push_str(". ");
            push_sentences(out, random, 1);
        }
        Shape::Message => {
            out.push_str("queued as ");
            push_hex(out, u128::from(random.next()), 12);
        }
        Shape::Record | Shape::Change => {
            out.push_str("stored ");
            out.push_str(target);
            push_number_field(out, " revision ", 1 + random.below(40));
        }
        Shape::Money => {
            out.push_str("accepted, receipt ");
            push_hex(out, u128::from(random.next()), 16);
        }
    }
    out.push_str("\"}]}");
}

/// Appends the result of reading one resource, in the form of an MCP `ReadResourceResult`.
pub(crate) fn push_resource(out: &mut String, target: &str, random: &mut Random) {
    out.push_str("{\"contents\":[{\"uri\":\"");
    out.push_str(target);
    out.push_str("\",\"mimeType\":\"text/markdown\",\"text\":\"");
    let sentences = 1 + random.spread(1);
    push_sentences(out, random, sentences);
    out.push_str("\"}]}");
}

/// Appends the result of `prompts/get`.
pub(crate) fn push_prompt(out: &mut String, random: &mut Random) {
    out.push_str("{\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":\"");
    push_sentences(out, random, 2);
    out.push_str("\"}}]}");
}
