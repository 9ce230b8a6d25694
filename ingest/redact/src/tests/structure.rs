//! What the structure of JSON gives away, and what of it stays untouched.

use super::{redact_json, redact_text, redactor};
use crate::Error;

/// The fingerprints cut out.
fn plain(text: &str) -> String {
    let marker = regex::Regex::new("<redacted:([a-z0-9_]+):[0-9a-f]{12}>").unwrap();
    marker.replace_all(text, "<$1>").into_owned()
}

#[test]
fn fields_pairs_and_subtrees() {
    let redactor = redactor();
    for (json, expected) in [
        (r#"{"password":"abc","a":1}"#, r#"{"password":"<password>","a":1}"#),
        (r#"{"pass\u0077ord" : "abc"}"#, r#"{"pass\u0077ord" : "<password>"}"#),
        (
            r#"{"otp":123456,"token":null,"secret":true,"pwd":""}"#,
            r#"{"otp":"<otp>","token":null,"secret":true,"pwd":""}"#,
        ),
        (
            r#"{"credentials":{"user":"u","n":[1,"x",null]}}"#,
            r#"{"credentials":{"user":"<credential>","n":["<credential>","<credential>",null]}}"#,
        ),
        (
            r#"{"headers":[{"name":"Authorization","value":"Bearer x"}]}"#,
            r#"{"headers":[{"name":"Authorization","value":"<authorization>"}]}"#,
        ),
        (
            r#"{"value":"v1","type":2,"name":"DB_PASSWORD"}"#,
            r#"{"value":"<password>","type":2,"name":"DB_PASSWORD"}"#,
        ),
        (
            r#"[["Host","h"],["Authorization","Bearer x"]]"#,
            r#"[["Host","h"],["Authorization","<authorization>"]]"#,
        ),
        (r#"["Host","h","X-Api-Key","k1"]"#, r#"["Host","h","X-Api-Key","<api_key>"]"#),
        (
            r#"["X-Auth-Token","t1",["Cookie","Set-Cookie"],["token","id"]]"#,
            r#"["X-Auth-Token","<token>",["Cookie","Set-Cookie"],["token","id"]]"#,
        ),
        (r#"{"args":["--password","hunter","-v"]}"#, r#"{"args":["--password","<password>","-v"]}"#),
        (
            r#"{"key":"http.request.header.cookie","value":{"stringValue":"a=b"}}"#,
            r#"{"key":"http.request.header.cookie","value":{"stringValue":"<cookie>"}}"#,
        ),
        (
            r#"{"a":"{\"password\":\"x\",\"n\":{\"otp\":12}}"}"#,
            r#"{"a":"{\"password\":\"<password>\",\"n\":{\"otp\":\"<otp>\"}}"}"#,
        ),
        (r#"{"a":"{\"b\":\"{\\\"otp\\\":7}\"}"}"#, r#"{"a":"{\"b\":\"{\\\"otp\\\":\\\"<otp>\\\"}\"}"}"#),
        (r#"{"a":"say: {\"token\":\"x1\"}"}"#, r#"{"a":"say: {\"token\":\"<token>\"}"}"#),
        (r#"{"token":"a1","token":"b2"}"#, r#"{"token":"<token>","token":"<token>"}"#),
        (
            r#"{"a":"lone \ud800 password=x1 \udc00","n":123456789012345678901234567890.10e+5}"#,
            r#"{"a":"lone \ud800 password=<password> \udc00","n":123456789012345678901234567890.10e+5}"#,
        ),
        (r#"{"a":"postgres:\/\/u:pw@h"}"#, r#"{"a":"postgres:\/\/u:<url_password>@h"}"#),
        (r#"{"a":"x\ntoken=abc\tpwd: d"}"#, r#"{"a":"x\ntoken=<token>\tpwd: <password>"}"#),
        // The first letter of a word can belong to an escape: here it is `ext_token`, which is no cursor.
        (r#"{"a":"\next_token=abc"}"#, r#"{"a":"\next_token=<token>"}"#),
        (r#""\u0070wd=abc""#, r#""\u0070wd=<password>""#),
    ] {
        assert_eq!(plain(&redact_json(&redactor, json)), expected);
    }
}

#[test]
fn what_is_no_secret_is_cleared_by_the_prefilter() {
    let redactor = redactor();
    for json in [
        r#"{"input_tokens":85,"output_tokens":1127,"max_tokens":5,"total_tokens":6,"token_count":1,"token_type":"x"}"#,
        r#"{"capability":"oauth_token","risk":"low","tool":"get_secret_ref","auth_method":"token"}"#,
        r#"{"token":"[REDACTED:token]","password" : "****","secret":null,"pwd":true,"api_key":""}"#,
        r#"{"credential_id":"c-1","credential_expires":5,"policy_hash":"9a4c385e165aad0b","approval_id":"apr-8c86"}"#,
        r#"{"sql":"SELECT \"created_at\" FROM t","target":"repo://github/a","url":"https://h:80/x?y=1"}"#,
        r#"{"columns":["id","token","password"],"sort":"token"}"#,
        r#"{"token":"<redacted:token:0123456789ab>"}"#,
    ] {
        assert!(redactor.is_clean(json.as_bytes()), "{json}");
        assert_eq!(redact_json(&redactor, json), json);
    }
}

#[test]
fn escapes_that_could_hide_a_rule_are_never_cleared() {
    let redactor = redactor();
    for json in [
        r#"{"a":"\u0041"}"#,
        r#"{"a":" \u0041"}"#,
        r#"["http:\/\/x"]"#,
        r#"["http:\//x"]"#,
        r#"["http:/\/x"]"#,
    ] {
        for lead in ["", " "] {
            assert!(!redactor.is_clean(format!("{lead}{json}").as_bytes()), "{json}");
        }
    }
}

#[test]
fn a_list_under_a_secrets_name_is_bounded_in_what_it_makes_of_memory() {
    let redactor = redactor();
    // One replacement for all numbers beside each other, and one for a long list of scalars.
    assert_eq!(plain(&redact_json(&redactor, r#"{"password":[1,2,3]}"#)), r#"{"password":["<password>"]}"#);
    let list = format!("{{\"password\":[{}null]}}", r#""a1","b2",3,"#.repeat(1_000));
    assert_eq!(plain(&redact_json(&redactor, &list)), r#"{"password":["<password>"]}"#);
    let members = r#"{"password":"a1"},"#.repeat(schemas::limits::REDACT_EDITS_MAX + 1);
    assert!(matches!(redactor.redact_json(&format!("[{members}1]")), Err(Error::TooLarge)));
    let text = "password=hunter2x ".repeat(schemas::limits::REDACT_EDITS_MAX + 1);
    assert_eq!(plain(&redact_text(&redactor, &text)), "<password>");
}

#[test]
fn counts_of_what_was_removed_stay() {
    let redactor = redactor();
    let json = r#"{"redacted_by_tap":["github_token:1:arguments","password:12"],"redactions":["otp:3:a/b"]}"#;
    assert_eq!(redact_json(&redactor, json), json);
    for json in [
        r#"{"redactions":["password:12345678"]}"#,
        r#"{"redactions":["password:1:a9F3kq0ZtR7bM2xW"]}"#,
        r#"{"note":["password:123"]}"#,
    ] {
        assert_ne!(redact_json(&redactor, json), json);
    }
}

#[test]
fn fields_of_forms_are_read_by_their_labels() {
    let redactor = redactor();
    for json in [
        r##"{"selector":"#password","value":"Hunter2x9q"}"##,
        r##"{"selector":"input[name=\"password\"]","value":"Hunter2x9q"}"##,
        r#"{"element":"Password field","ref":"e12","text":"Hunter2x9q"}"#,
        r#"{"fields":[{"name":"Password:","value":"Hunter2x9q"}]}"#,
        r#"{"fields":[{"name":"Password *","value":"Hunter2x9q"}]}"#,
        r#"{"Password:":"Hunter2x9q"}"#,
        r#"{"Password *":"Hunter2x9q"}"#,
        r#"{"id":"password","input":"Hunter2x9q"}"#,
        r#"{"label":"Auth key:","value":"Hunter2x9qa1b2c3d4"}"#,
        r#"{"tokens":["a9F3kq0ZtR7bM2xW99"]}"#,
        r#"{"access_tokens":["a9F3kq0ZtR7bM2xW99"]}"#,
    ] {
        for json in [json.to_owned(), serde_json::json!({ "a": json }).to_string()] {
            assert!(!redact_json(&redactor, &json).contains("unter2x9q"), "{json}");
            assert!(!redact_json(&redactor, &json).contains("9F3kq0Zt"), "{json}");
        }
    }
    for json in [
        r#"{"element":"Password","text":"Password"}"#,
        r#"{"element":"Forgot password","text":"Send me a new one"}"#,
        r#"{"token":"Hello","logprob":-0.1,"tokens":["The"," fox"]}"#,
        r#"{"token":17,"_meta":{"progressToken":"abc-1"}}"#,
        r#"{"credentials":"same-origin"}"#,
    ] {
        assert_eq!(redact_json(&redactor, json), json);
    }
}

#[test]
fn broken_and_bottomless_input_is_refused() {
    let redactor = redactor();
    assert!(matches!(redactor.redact_json("{\"password\":\"x\""), Err(Error::Invalid { .. })));
    assert!(matches!(redactor.redact_json(&"[".repeat(10_000)), Err(Error::TooDeep { .. })));
    assert!(matches!(redactor.redact_json(&"{\"a\":".repeat(10_000)), Err(Error::TooDeep { .. })));
    // As a string it is text.
    let nested = serde_json::to_string(&format!("{}\"token=abc1\"", "[".repeat(10_000))).unwrap();
    assert!(plain(&redact_json(&redactor, &nested)).contains("token=<token>"));
}

#[test]
fn strings_in_strings_are_followed_to_the_bound_and_beyond_it_read_as_text() {
    let redactor = redactor();
    let mut json = r#"{"password":"hunter2x"}"#.to_owned();
    for _ in 0..9 {
        json = serde_json::to_string(&serde_json::json!({ "inner": json })).unwrap();
        assert!(!redact_json(&redactor, &json).contains("hunter2x"));
    }
}

#[test]
fn markers_do_not_shield_what_stands_beside_them() {
    let redactor = redactor();
    let marker = "<redacted:token:0123456789ab>";
    assert_eq!(redact_text(&redactor, &format!("token={marker}")), format!("token={marker}"));
    for text in [
        format!("password={marker}hunter2x"),
        format!("password=hunter2x{marker}"),
        format!("cookie: {marker}; hunter2x"),
        "<redacted:cookie:0123456789ab> password=hunter2x".into(),
    ] {
        assert!(!redact_text(&redactor, &text).contains("hunter2x"), "{text}");
    }
}

#[test]
fn numbers_in_names_of_values_only() {
    let redactor = redactor();
    let json = r#" { "a" : 9007199254740993 , "b":[ -0.0, 1E400 ] , "c":"é\/\\" } "#;
    assert_eq!(redact_json(&redactor, json), json);
}

#[test]
fn what_stands_around_a_value_that_looks_random_hides_it_from_no_one() {
    let redactor = redactor();
    let secret = "edc2bf278b65fd5ae0dd4b550450cd23";
    for (before, after) in [
        ("{\"", "\"}"),
        ("{ '", "' }"),
        ("[\"", "\"]"),
        ("('", "')"),
        ("Some(\"", "\")"),
        ("N'", "'"),
        ("[{\"", "\"}]"),
    ] {
        for sign in [" = ", "=", ": "] {
            let text = format!("algolia-admin-key{sign}{before}{secret}{after}");
            let json =
                serde_json::json!({ "error_message": text, "deep": [{ "inner": format!("[{text:?}]") }] });
            // Reading it is also held against what is said of it without reading.
            assert!(!redact_json(&redactor, &json.to_string()).contains(secret), "{text}");
        }
    }
}
