//! Seeded, structure-aware mutation of bodies: no body panics, every value is taken or refused with a reason, and the
//! reasons that were reached are counted and printed.
//!
//! One second by default, twenty with `TACHO_FULL=1`; `TACHO_SEED` sets the seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, reason = "a budget of time")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ingest::{Context, Mappings, Sessions, parse};
use redact::Redactor;
use schemas::principal::{Principal, Role};

const SEEDS: [&str; 7] = [
    r#"{"event_id":"e-1","time":"2026-11-21T10:00:00.123Z","kind":"call","user_id":"u-1","scopes":["a","b"],"server":"github","capability":"get_issue","decision":"allowed","status":"ok","latency_us":12,"arguments":{"n":9007199254740993,"s":"x\u0041"},"result":"ok","extra":[1,2]}"#,
    r#"{"timestamp":"2026-06-09T12:45:31Z","userId":"u-481","server":"incident-mcp","capabilityType":"tool","capabilityName":"create","decision":"allowed","status":"success","latencyMs":284.5}"#,
    "[{\"time\":1795219200,\"method\":\"tools/call\"},{\"time\":\"2026-11-21T10:00:00+02:00\",\"kind\":\"auth\",\"password\":\"hunter2x\"}]",
    "{\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\"}\n\n{\"time\":\"2026-11-21T10:00:01Z\",\"capability\":\"x\"}\r\n",
    r#"{"ai":{"mcp":{"rpc":[{"method":"tools/call","id":"2","tool_name":"a"},{"method":"tools/call"}],"audit":[{"primitive_name":"a","action":"allow"}]}}}"#,
    r#"{"signal":"span","kind":"2","start_time_unix_nano":"1795203651724414156","end_time_unix_nano":1795203651806562089,"attributes":{"mcp.method.name":"tools/call","gen_ai.tool.call.arguments":"{\"a\":1}"},"status":{}}"#,
    "\u{feff}{\"time\":1795219200000,\"kind\":\"session\",\"method\":\"start\",\"reason\":\"because\"}",
];

/// Cases at least, however slow the machine: what must be reached is reached in these.
const CASES_MIN: u64 = 20_000;

/// Words and numbers that parsers break at.
const TOKENS: [&str; 23] = [
    "\\ud800",
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "-0",
    "1e999",
    "9223372036854775808",
    "\"\\ud800\"",
    "\\u0000",
    "\"time\"",
    "\"kind\"",
    "\"tenant\"",
    "\"event_id\"",
    "{\"a\":",
    "[[[[",
    "\n",
    ",",
    ":",
    "\"9999-12-31T23:59:60Z\"",
    "\u{202e}",
    "0000-00-00T00:00:00Z",
];

/// Every reason for which a value or a body may be refused; `!` before those that a second of mutation must reach.
const BRANCHES: [&str; 15] = [
    "!refused: BadJson",
    "!refused: BadUtf8",
    "!refused: BadText",
    "!refused: TooDeep",
    "refused: TooLarge",
    "!refused: TooManyKeys",
    "!refused: NotObject",
    "!refused: Unmapped",
    "!refused: DuplicateKey",
    "!refused: BadType",
    "!refused: BadTime",
    "refused: Unredactable",
    "whole body: number of values in the body",
    "whole body: draft",
    "!empty",
];

struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// Puts another whole value in the place of the one behind the first colon from `at` on: a token, one nested too deep, or one
/// with a thousand keys behind it.
fn replace_value(bytes: &mut Vec<u8>, at: usize, seeded: &mut Seeded) {
    let Some(colon) = bytes[at..].iter().position(|byte| *byte == b':') else { return };
    let start = at + colon + 1;
    let length = bytes[start..].iter().position(|byte| b",}\n".contains(byte));
    let end = length.map_or(bytes.len(), |length| start + length);
    let value = match seeded.below(16) {
        0 => format!("{}{}", "[".repeat(70), "]".repeat(70)),
        1 => {
            let keys: Vec<String> = (0..1100).map(|key| format!("\"k{key}\":1")).collect();
            format!("1,{}", keys.join(","))
        }
        _ => TOKENS[seeded.below(TOKENS.len())].to_string(),
    };
    bytes.splice(start..end, value.bytes());
}

fn mutate(seeded: &mut Seeded) -> Vec<u8> {
    let mut bytes = SEEDS[seeded.below(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..1 + seeded.below(4) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = seeded.below(bytes.len());
        let to = (at + 1 + seeded.below(40)).min(bytes.len());
        match seeded.below(8) {
            0 => bytes[at] ^= 1 << seeded.below(8),
            1 => bytes[at] = seeded.next() as u8,
            2 => bytes.truncate(at),
            3 => {
                bytes.drain(at..to);
            }
            4 => {
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
            5 => {
                let token = TOKENS[seeded.below(TOKENS.len())].bytes();
                bytes.splice(at..at, token);
            }
            6 => {
                let token = TOKENS[seeded.below(TOKENS.len())].bytes();
                bytes.splice(at..to, token);
            }
            _ => replace_value(&mut bytes, at, seeded),
        }
    }
    bytes
}

#[test]
fn bodies() {
    let principal = Principal {
        id: "t-0123456789ab".into(),
        role: Role::Collector,
        tenant: "default".into(),
        source_ip: None,
        door: "http",
    };
    let (redactor, sessions) = (Redactor::new([7; 32]), Sessions::new());
    let context = Context {
        collector: "http",
        principal: &principal,
        mappings: Mappings::built_in(),
        mapping: None,
        idempotency_key: Some("key"),
        line_first: 1,
        now_us: 1_795_219_200_000_000,
        seed: [9; 32],
        redactor: &redactor,
        sessions: &sessions,
        countries: None,
    };
    for seed in SEEDS {
        let parsed = parse(seed.as_bytes(), &context).unwrap();
        assert!(parsed.draft.is_some() && parsed.rejected_count == 0, "{seed}: {:?}", parsed.rejected);
    }
    let seed = std::env::var("TACHO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let seconds = if std::env::var_os("TACHO_FULL").is_some() { 20 } else { 1 };
    let (mut seeded, started) = (Seeded(seed), Instant::now());
    // What is never reached is printed as 0.
    let listed = |branch: &&str| (branch.trim_start_matches('!').to_string(), 0);
    let mut reached: BTreeMap<String, u64> = BRANCHES.iter().map(listed).collect();
    let known = reached.len();
    let mut cases = 0u64;
    while started.elapsed() < Duration::from_secs(seconds) || cases < CASES_MIN {
        for _ in 0..16 {
            cases += 1;
            let body = mutate(&mut seeded);
            match parse(&body, &context) {
                Ok(parsed) => {
                    let rows = parsed.draft.as_ref().map_or(0, |draft| draft.entries.num_rows());
                    if rows == 0 && parsed.rejected_count == 0 {
                        *reached.entry("empty".into()).or_default() += 1;
                    }
                    *reached.entry("accepted".into()).or_default() += rows as u64;
                    for refused in &parsed.rejected {
                        assert!(!refused.detail.is_empty());
                        *reached.entry(format!("refused: {:?}", refused.code)).or_default() += 1;
                    }
                    if let Some(draft) = parsed.draft {
                        // What is accepted can be stored: it encodes within every cap.
                        let encoder =
                            schemas::entry::Encoder::entries(schemas::Stream::Events, &draft.entries)
                                .unwrap();
                        let mut bytes = Vec::new();
                        (0..rows).for_each(|row| encoder.fields(row, &mut bytes).unwrap());
                        let encoder =
                            schemas::entry::Encoder::payloads(schemas::Stream::Events, &draft.payloads)
                                .unwrap();
                        (0..rows).for_each(|row| encoder.values(row, &mut bytes, |_, _| {}).unwrap());
                    }
                }
                Err(error) => {
                    let text = format!("whole body: {error}");
                    let listed = BRANCHES.iter().find(|branch| text.starts_with(**branch));
                    *reached.entry(listed.map_or(text, ToString::to_string)).or_default() += 1;
                }
            }
        }
    }
    println!("body: {cases} cases, seed {seed}");
    for (branch, count) in &reached {
        println!("  {count:>9}  {branch}");
    }
    assert!(reached.get("accepted").is_some_and(|count| *count > 0), "nothing was accepted");
    assert_eq!(reached.len(), known + 1, "a branch that is not listed: {reached:#?}");
    for main in BRANCHES.iter().filter_map(|branch| branch.strip_prefix('!')) {
        assert!(reached[main] > 0, "never reached: {main}");
    }
}
