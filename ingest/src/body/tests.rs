use proptest::prelude::*;

use super::*;

/// Objects as text, bad ones as `!code`, with their lines.
fn split(body: impl AsRef<[u8]>) -> Vec<(u64, String)> {
    let body = body.as_ref();
    let mut splitter = Splitter::new(body, 1);
    let mut scanner = Scanner::default();
    let mut out = Vec::new();
    while let Some(piece) = splitter.next(&mut scanner) {
        match piece {
            Piece::Object(span) => {
                out.push((splitter.line(span.start), String::from_utf8_lossy(&body[span]).into_owned()));
            }
            Piece::Bad { start, code, .. } => out.push((splitter.line(start), format!("!{code}"))),
        }
    }
    out
}

fn texts(body: impl AsRef<[u8]>) -> Vec<String> {
    split(body).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn every_shape_of_body_is_split() {
    for body in [
        "{\"a\":1}\n{\"b\":2}\n",
        "{\"a\":1}\r\n\r\n{\"b\":2}",
        "[{\"a\":1},{\"b\":2}]",
        "[\n{\"a\":1} ,\n{\"b\":2}\n]\n",
        "{\"a\":1}{\"b\":2}",
        "{\"a\":1} \t {\"b\":2}",
        "\u{feff}{\"a\":1}\n{\"b\":2}",
        "[{\"a\":1}]\n[{\"b\":2}]",
        "[]{\"a\":1}[][{\"b\":2}]",
    ] {
        assert_eq!(texts(body), ["{\"a\":1}", "{\"b\":2}"], "{body}");
    }
    for body in ["", "\n", "[]", " [ ]\r\n", "\u{feff}"] {
        assert!(texts(body).is_empty(), "{body}");
    }
}

#[test]
fn a_bad_line_spoils_itself_alone_and_has_its_number() {
    let body = "{\"a\":1}\n{\"torn\":\n{\"b\":2}\n2026-02-12 not json {\"x\":1}\n\n7\n{\"c\":3}\n{\"open\":\"x\n{\"d\":4}\n{\"e\":";
    assert_eq!(
        split(body),
        [
            (1, "{\"a\":1}".to_string()),
            (2, "!bad_json".to_string()),
            (3, "{\"b\":2}".to_string()),
            (4, "!bad_json".to_string()),
            (6, "!not_object".to_string()),
            (7, "{\"c\":3}".to_string()),
            (8, "!bad_json".to_string()),
            (9, "{\"d\":4}".to_string()),
            (10, "!bad_json".to_string()),
        ]
    );
}

#[test]
fn objects_may_span_lines_and_bytes_over_ascii_are_passed_over() {
    let body = b"{\n \"a\": \"\xff\"\n}\n{\"b\":2}";
    assert_eq!(split(body).last(), Some(&(4, "{\"b\":2}".to_string())));
    assert_eq!(split(b"\xff\xfe{\n{\"b\":2}"), [(1, "!bad_json".to_string()), (2, "{\"b\":2}".to_string())]);
}

#[test]
fn a_broken_array_gives_what_came_before_and_says_so() {
    assert_eq!(texts("[{\"a\":1},{\"b\" 2},{\"c\":3}]\n{\"d\":4}"), ["{\"a\":1}", "!bad_json", "{\"d\":4}"]);
    assert_eq!(texts("[\n{\"a\":1},\n{\"b\" 2},\n{\"c\":3}\n]\n{\"d\":4}"), ["{\"a\":1}", "!bad_json"]);
    assert_eq!(texts("[{\"a\":1} {\"b\":2}]"), ["{\"a\":1}", "!bad_json"]);
    assert_eq!(texts("[{\"a\":1}"), ["{\"a\":1}", "!bad_json"]);
    assert_eq!(texts("[{\"a\":1},]"), ["{\"a\":1}", "!bad_json"]);
    assert_eq!(texts("[1,[{}],{\"a\":1},\"x\"]"), ["!not_object", "!not_object", "{\"a\":1}", "!not_object"]);
}

#[test]
fn limits_refuse_one_value_and_leave_the_next() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let edge = format!("{{\"a\":{}{}}}", "[".repeat(JSON_DEPTH_MAX - 1), "]".repeat(JSON_DEPTH_MAX - 1));
    assert_eq!(texts(format!("[{deep},{{\"b\":2}}]")), ["!too_deep", "{\"b\":2}"]);
    assert_eq!(texts(&edge), [edge.as_str()]);
    let wide: Vec<String> = (0..=EVENT_KEYS_MAX).map(|n| format!("\"{n}\":0")).collect();
    assert_eq!(texts(format!("{{{}}}{{}}", wide.join(","))), ["!too_many_keys", "{}"]);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(VALUE_BYTES_MAX));
    assert_eq!(texts(format!("{long}\n{{\"b\":2}}")), ["!too_large", "{\"b\":2}"]);
    let most = format!("{{\"a\":\"{}\"}}", "x".repeat(VALUE_BYTES_MAX - 8));
    assert_eq!((most.len(), texts(format!("{most}\n{{\"b\":2}}")).len()), (VALUE_BYTES_MAX, 2));
    assert!(!texts(format!("{most}\n{{\"b\":2}}"))[0].starts_with('!'));
    assert_eq!(texts("{\"a\":\"\\ud800\"}{\"b\":2}"), ["!bad_text", "{\"b\":2}"]);
}

#[test]
fn a_million_empty_lines_are_nothing() {
    let body = "\n".repeat(1_000_000) + "{\"a\":1}";
    assert_eq!(split(body), [(1_000_001, "{\"a\":1}".to_string())]);
}

#[test]
fn values_that_never_end_do_not_make_the_body_be_read_again_and_again() {
    // Each line opens an object that only fails at the end of the body.
    let body = "{\"a\":[1,\n\n\n\n\n\n\n\n".repeat(200_000);
    let mut splitter = Splitter::new(body.as_bytes(), 1);
    let mut scanner = Scanner::default();
    let mut bad = 0;
    while splitter.next(&mut scanner).is_some() {
        bad += 1;
    }
    assert_eq!(bad, 200_000);
    assert_eq!(splitter.retry_bytes, 0);
}

proptest! {
    #[test]
    fn objects_come_back_whatever_is_between_them(
        count in 1usize..20,
        gaps in prop::collection::vec("[ \\t\\r]{0,3}\\n{1,3}", 20),
        junk in prop::collection::vec("[a-z:, ]{0,12}", 20),
    ) {
        let mut body = String::new();
        for n in 0..count {
            body += &format!("{{\"n\":{n}}}{}", gaps[n]);
            body += junk[n].trim();
            body += "\n";
        }
        let good: Vec<String> = texts(&body).into_iter().filter(|text| !text.starts_with('!')).collect();
        let expected: Vec<String> = (0..count).map(|n| format!("{{\"n\":{n}}}")).collect();
        prop_assert_eq!(good, expected);
    }

    #[test]
    fn any_bytes_are_split_without_end_or_panic(bytes in prop::collection::vec(
        prop::sample::select(b"{}[]\",:1 \n\\ae\xff".to_vec()), 0..200)) {
        prop_assert!(texts(&bytes).len() <= bytes.len());
    }
}
