//! A secret that redaction knows reaches neither a column nor a message.

use schemas::Stream;

use super::*;

/// Built at run time, so that no scanner takes this file for a leak.
fn secret() -> String {
    format!("{}_{}", "ghp", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8")
}

/// Whether any array of the draft, or any message, has `needle` in it.
fn holds(rows: &Rows, needle: &str) -> bool {
    fn bytes_of(data: &arrow::array::ArrayData, needle: &[u8]) -> bool {
        data.buffers().iter().any(|buffer| buffer.windows(needle.len()).any(|window| window == needle))
            || data.child_data().iter().any(|child| bytes_of(child, needle))
    }
    let in_rows = rows.draft.as_ref().is_some_and(|draft| {
        let all = draft.entries.columns().iter().chain(draft.payloads.columns());
        all.into_iter().any(|array| bytes_of(&array.to_data(), needle.as_bytes()))
    });
    in_rows || format!("{:?}", rows.rejected).contains(needle)
}

#[test]
fn the_search_itself_finds_what_is_there() {
    assert!(holds(&read(event("\"user_id\":\"needle-1\"")), "needle-1"));
    assert!(holds(&read(event("\"other\":\"needle-2\"")), "needle-2"));
    assert!(holds(&read(event("\"latency_us\":\"needle-3\"")), "needle-3"));
}

#[test]
fn a_secret_in_any_column_is_gone_before_the_draft() {
    let secret = secret();
    let names = Stream::Events.columns().iter().map(|column| column.name);
    for name in names.chain(["other", "timestamp", "userId"]) {
        if ["time", "kind"].contains(&name) {
            continue;
        }
        for value in [
            format!("\"{secret}\""),
            format!("\"it is {secret} here\""),
            format!("[\"{secret}\"]"),
            format!("{{\"deep\":[{{\"x\":\"{secret}\"}}]}}"),
        ] {
            let rows = read(event(&format!("\"{name}\":{value}")));
            assert!(!holds(&rows, &secret), "{name}: {value}");
            if rows.count() == 1 {
                let redactions = rows.cell(0, "redactions");
                assert!(redactions.as_array().is_some_and(|items| !items.is_empty()), "{name}: {redactions}");
            }
        }
    }
}

#[test]
fn a_secret_in_a_key_a_message_or_an_escape_is_gone() {
    let secret = secret();
    let escaped: String = secret.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    for body in [
        event(&format!("\"{secret}\":1")),
        event(&format!("\"{secret}\":1,\"{secret}\":2")),
        event(&format!("\"latency_us\":\"{secret}\"")),
        event(&format!("\"user_id\":\"{escaped}\"")),
        event(&format!("\"result\":\"{escaped}\"")),
        format!("{{\"time\":\"{secret}\",\"kind\":\"call\"}}"),
        format!("{{\"{secret}\":\"{secret}\"}}"),
        format!("{{\"broken\":\"{secret}"),
        format!("{secret}\n"),
        format!("\"{secret}\""),
    ] {
        let rows = read(&body);
        assert!(!holds(&rows, &secret), "{body}: {:?}", rows.rejected);
    }
}

#[test]
fn clean_rows_around_a_secret_are_as_they_were() {
    let body = event("\"user_id\":\"a\"")
        + "\n"
        + &event(&format!("\"result\":\"{}\"", secret()))
        + "\n"
        + &event("\"user_id\":\"b\"");
    let rows = read(body);
    assert_eq!(rows.count(), 3);
    assert_eq!((rows.text(0, "user_id"), rows.text(2, "user_id")), ("a".to_string(), "b".to_string()));
    assert_eq!((rows.cell(0, "redactions"), rows.cell(2, "redactions")), (Value::Null, Value::Null));
    assert!(rows.text(1, "result").starts_with("<redacted:"), "{}", rows.text(1, "result"));
}

/// What the tap says of what it removed is the record of it, and reads like an assignment to names of secrets.
#[test]
fn what_was_removed_before_is_still_told() {
    let rows = read(event("\"redacted_by_tap\":[\"github_token:1:arguments\",\"password:12\"]"));
    assert!(holds(&rows, "github_token:1:arguments") && holds(&rows, "password:12"));
    assert!(rows.cell(0, "redactions").as_array().is_none_or(Vec::is_empty));
}
