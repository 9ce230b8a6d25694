use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{interop_file, settled};
use crate::support::{Service, is_full, tacho, whole};

/// Calls of one client to one server.
const CALLS: usize = 300;

struct Peer {
    session: &'static str,
    /// What the server calls itself.
    server: &'static str,
    /// What the client calls itself.
    client: &'static str,
    protocol: &'static str,
    client_command: Vec<String>,
    server_command: Vec<String>,
    plan: Vec<Value>,
}

fn everything() -> Vec<Value> {
    let one = |at: usize| match at % 6 {
        5 => json!({"read": format!("demo://resource/dynamic/text/{}", at + 1)}),
        0 => json!({"name": "echo", "arguments": {"message": format!("message {at}")}}),
        1 => json!({"name": "get-sum", "arguments": {"a": at, "b": 1}}),
        2 => json!({"name": "no_such_tool", "arguments": {}}),
        3 => json!({"name": "echo", "arguments": {}}),
        _ => json!({"name": "get-structured-content", "arguments": {"location": "New York"}}),
    };
    (0..calls()).map(one).collect()
}

fn filesystem(dir: &std::path::Path) -> Vec<Value> {
    let path = |name: &str| dir.join(name).display().to_string();
    let one = |at: usize| match at % 4 {
        0 => {
            json!({"name": "write_file", "arguments": {"path": path(&format!("f{at}")), "content": "x".repeat(at)}})
        }
        1 => json!({"name": "read_text_file", "arguments": {"path": path("first")}}),
        2 => json!({"name": "read_text_file", "arguments": {"path": "/etc/hostname"}}),
        _ => json!({"name": "list_directory", "arguments": {"path": dir}}),
    };
    (0..calls()).map(one).collect()
}

fn calls() -> usize {
    if is_full() { 10 * CALLS } else { CALLS }
}

fn python_server() -> Vec<Value> {
    let one = |at: usize| match at % 4 {
        3 => json!({"read": if at % 8 == 3 { "notes://today" } else { "notes://nowhere" }}),
        0 => json!({"name": "add", "arguments": {"a": at, "b": 1}}),
        1 => json!({"name": "delete_everything", "arguments": {}}),
        _ => json!({"name": "nothing", "arguments": {}}),
    };
    (0..calls()).map(one).collect()
}

/// Real clients call real servers through the tap, in both eras; SQL then says who called what, on which target, with which decision
/// and outcome. Nobody decides anything between these peers, and a call of a tool names no target in the protocol: what it acts on is
/// among its arguments, and where one of them is a place, in `destinations`.
#[test]
fn real_clients_and_servers_are_on_record_call_by_call() {
    let place = |name: &str| std::env::var(name).ok();
    let (Some(node), Some(python)) = (place("TACHO_MCP_NODE"), place("TACHO_MCP_PYTHON")) else {
        println!(
            "SKIPPED: the clients and servers of tests/interop/mcp are not installed (TACHO_MCP_NODE, TACHO_MCP_PYTHON)"
        );
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let files = home.path().join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("first"), "text").unwrap();
    let text = |parts: &[&str]| parts.iter().map(|part| (*part).to_string()).collect::<Vec<_>>();
    let interop = |name: &str| interop_file(name).display().to_string();
    let bin = |name: &str| format!("{node}/node_modules/.bin/{name}");
    let typescript = text(&["node", &interop("client.mjs")]);
    let (everything_bin, filesystem_bin) = (bin("mcp-server-everything"), bin("mcp-server-filesystem"));
    let everything_server = text(&["node", &everything_bin, "stdio"]);
    let peers = [
        Peer {
            session: "typescript-everything",
            server: "mcp-servers/everything",
            client: "typescript-client/1.0",
            protocol: "2025-11-25",
            client_command: typescript.clone(),
            server_command: everything_server.clone(),
            plan: everything(),
        },
        Peer {
            session: "typescript-filesystem",
            server: "secure-filesystem-server",
            client: "typescript-client/1.0",
            protocol: "2025-11-25",
            client_command: typescript,
            server_command: text(&["node", &filesystem_bin, &files.display().to_string()]),
            plan: filesystem(&files),
        },
        Peer {
            session: "python-everything",
            server: "mcp-servers/everything",
            client: "mcp/0.1.0",
            protocol: "2025-11-25",
            client_command: text(&[&python, &interop("client.py"), "legacy"]),
            server_command: everything_server,
            plan: everything(),
        },
        Peer {
            session: "python-python",
            server: "python-server",
            client: "mcp/0.1.0",
            protocol: "2026-07-28",
            client_command: text(&[&python, &interop("client.py"), "2026-07-28"]),
            server_command: text(&[&python, &interop("server.py")]),
            plan: python_server(),
        },
    ];
    let service = Service::start(home.path(), &[]);
    let mut all = 0;
    for peer in &peers {
        all += peer.plan.len();
        run(&service, home.path(), &node, peer);
    }
    let by_client = service.sql(
        "SELECT client, count(*) AS n FROM events WHERE kind = 'call' AND observer = 'tap' GROUP BY 1 ORDER BY 1",
    );
    assert_eq!(by_client.len(), 2, "{by_client:?}");
    println!("{all} calls of real clients, each on record with its outcome: {by_client:?}");
    assert!(all >= 1000);
    whole(home.path(), service);
}

/// What must be on record of a step of a plan that came out so.
fn wanted(step: &Value, outcome: &str) -> Value {
    let (method, capability) = match step["read"].as_str() {
        Some(uri) => ("resources/read", uri),
        None => ("tools/call", step["name"].as_str().unwrap()),
    };
    let arguments = step.get("arguments").cloned().unwrap_or_default();
    json!({"method": method, "capability": capability, "target": step["read"], "arguments": arguments,
        "decision": "none", "decision_basis": null, "status": outcome})
}

/// The same of a row.
fn found(row: &Value) -> Value {
    let arguments = row["arguments"].as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
    json!({"method": row["method"], "capability": row["capability"], "target": row["target"], "arguments": arguments,
        "decision": row["decision"], "decision_basis": row["decision_basis"], "status": row["status"]})
}

fn run(service: &Service, home: &std::path::Path, node: &str, peer: &Peer) {
    let plan = home.join("plan");
    let lines: Vec<String> = peer.plan.iter().map(ToString::to_string).collect();
    std::fs::write(&plan, lines.join("\n")).unwrap();
    let [program, script, mode @ ..] = peer.client_command.as_slice() else { panic!() };
    let mut client = Command::new(program);
    client.arg(script).arg(&plan).args(mode).arg(tacho());
    client.args(["tap", "--session", peer.session, "--user", "u-1", "--agent", "a-1", "--data"]);
    client.arg(home.join("data")).arg("--spool").arg(home.join("spool")).arg("--").args(&peer.server_command);
    let output = client.current_dir(node).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {said}\n{}", peer.session, String::from_utf8_lossy(&output.stderr));
    let outcomes: Vec<String> = serde_json::from_str(&said).unwrap();
    settled(home);

    let session = peer.session;
    // In the order of the requests, which is that of their plan.
    let rows = service.sql(&format!(
        "SELECT e.method, e.capability, e.target, e.decision, e.decision_basis, e.status, e.server, e.client, \
         e.protocol_version, e.user_id, e.agent_id, e.destinations, p.arguments, e.tool_hash \
         FROM events e JOIN payloads p ON p.log_index = e.log_index \
         WHERE e.session_id = '{session}' AND e.method IN ('tools/call', 'resources/read') ORDER BY e.time, e.source_seq"
    ));
    // Each call with its arguments and its outcome: a reply joined to the wrong request is seen.
    let mut expected: Vec<String> =
        peer.plan.iter().zip(&outcomes).map(|(call, outcome)| wanted(call, outcome).to_string()).collect();
    let mut recorded: Vec<String> = rows.iter().map(|row| found(row).to_string()).collect();
    assert_eq!(recorded.len(), expected.len(), "{session}");
    expected.sort();
    recorded.sort();
    assert_eq!(recorded, expected, "{session}");
    for row in &rows {
        assert_eq!(row["server"], peer.server, "{row}");
        assert_eq!(row["client"], peer.client, "{row}");
        assert_eq!(row["protocol_version"], peer.protocol, "{row}");
        assert_eq!((&row["user_id"], &row["agent_id"]), (&json!("u-1"), &json!("a-1")), "{row}");
        // Of a call that names a place, in which argument that stands; the place itself is a fingerprint.
        let has_path = row["method"] == "tools/call"
            && row["arguments"].as_str().unwrap_or_default().contains("\"path\"");
        let begin = format!("{}:path:path:", row["capability"].as_str().unwrap());
        let named = row["destinations"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one.as_str().unwrap().starts_with(&begin)));
        assert_eq!(named, has_path, "{row}");
    }
    let rows: Vec<_> = rows.iter().filter(|row| row["method"] == "tools/call").collect();
    let known = rows.iter().filter(|row| !row["tool_hash"].is_null()).count();
    assert!(known * 2 > rows.len(), "{session}: {known} of {} calls with the hash of their tool", rows.len());
    let defined = service.sql(&format!(
        "SELECT count(*) AS n FROM events WHERE session_id = '{session}' AND kind = 'tool_definition'"
    ));
    assert!(defined[0]["n"].as_u64().unwrap() >= 2, "{session}: {defined:?}");
}
