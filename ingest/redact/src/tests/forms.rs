//! Spellings in which secrets are written down in text: headers, markup, SQL, YAML, commands, escapes.

use super::{redact_json, redact_text, redactor, samples};

/// Text, the secret in it, and what must stay.
const FORMS: &[(&str, &str, &str)] = &[
    // Authorization with schemes other than bearer and basic.
    (
        "curl -H 'Authorization: SSWS 00QCjAl4MlVzz' https://h/x",
        "00QCjAl4MlVzz",
        "Authorization: SSWS <redacted:authorization:",
    ),
    ("curl -H \"Authorization: GenieKey eb243592-faa2\" https://h/x", "eb243592", "\" https://h/x"),
    ("Authorization: Hawk id=\"dh37\", ts=\"13\", mac=\"6R4rV5iE\"\nHost: h", "6R4rV5iE", "\nHost: h"),
    ("curl -H 'Authorization: Hawk id=\"dh37\", mac=\"6R4rV5iE\"' https://h", "6R4rV5iE", "' https://h"),
    (
        "curl -H \"Authorization: Digest username=\\\"M\\\", response=\\\"6629fae4\\\"\" https://h",
        "6629fae4",
        "\" https://h",
    ),
    ("Authorization: sso-key UzQxLikm:S3cr3tval", "S3cr3tval", "Authorization: sso-key <"),
    ("Authorization: Token token=\"abcdef123\"", "abcdef123", "Authorization: Token <"),
    ("-H 'Authorization: Token token=\"abcdef123\", x=\"y\"' -v", "abcdef123", "' -v"),
    ("Authorization: NotYetKnown 9f8e7d6c5b", "9f8e7d6c5b", "Authorization: <"),
    ("authorization: 9f8e7d6c5b status=200", "9f8e7d6c5b", "authorization: <"),
    (
        "-H \"Authorization: Basic dXNlcjpwYXNzd29yZA==\" https://h/x",
        "dXNlcjpw",
        "Authorization: Basic <redacted:basic_auth:",
    ),
    // Markup.
    ("<user>u</user><password>hunter2</password><port>1</port>", "hunter2", "</password><port>1</port>"),
    ("<wsse:Password Type=\"x\"/><db:password>\n hunter2\n</db:password>", "hunter2", "</db:password>"),
    ("<api-key>hunter2<\\/api-key>", "hunter2", "<\\/api-key>"),
    // SQL.
    ("ALTER USER a WITH PASSWORD 'hunter2' VALID UNTIL 'x'", "hunter2", "PASSWORD '<redacted:password:"),
    ("create role a password\t'hunter2'", "hunter2", "create role a password\t'<"),
    // YAML.
    ("user: u\npassword:\n  hunter2\nport: 1", "hunter2", "\nport: 1"),
    ("password:\n  \"hunter2 x\"\nport: 1", "hunter2", "\"\nport: 1"),
    ("password: |\n  hunter2\nport: 1", "hunter2", "\nport: 1"),
    ("db:\n  secret: >-\n    hunter2\n    and more\n  port: 1", "and more", "\n  port: 1"),
    // The file of ftp's and git's passwords.
    ("machine h login u password hunter2", "hunter2", "machine h login u password <"),
    ("machine h\n  login u\n  password hunter2\nmachine g", "hunter2", "\nmachine g"),
    // Commands.
    ("curl -sS -u bob:hunter2 https://h/x", "hunter2", "-u bob:<redacted:password:"),
    ("curl https://h:80/x --user 'bob:hunter2' -v", "hunter2", "--user 'bob:<"),
    // Prefixes, wrappers, lists, here-documents.
    ("WITH PASSWORD = N'Hunter2x!'", "Hunter2x", "N'<redacted:password:"),
    ("{'user': u'bob', u'password': u'Hunter2x9'}", "Hunter2x", "u'<redacted:password:"),
    ("password=b'Hunter2x9q'", "Hunter2x", "b'<"),
    ("password: r\"Hunter2x9q\"", "Hunter2x", "r\"<"),
    ("var password = @\"Hunter2x9q\";", "Hunter2x", "@\"<"),
    ("C { user: \"bob\", password: Some(\"Hunter2x9q\"), n: 1 }", "Hunter2x", "\"), n: 1 }"),
    ("token: String(\"Hunter2x9q\")", "Hunter2x", "String(\"<"),
    ("password='''Hunter2x9q'''", "Hunter2x", "'''<"),
    ("password=\"\"\"Hunter2x9q\"\"\"", "Hunter2x", "\"\"\"<"),
    ("password = ('Hunter2x9q')", "Hunter2x", "('<"),
    ("password = ['Hunter2x9q']", "Hunter2x", "['<"),
    ("api_keys = [\"abc1\", \"Hunter2x9q\"]", "Hunter2x", "[\"<"),
    ("stripe_key = [\"a9F3kq0ZtR7bM2xW\", \"Hunter2x9q\"]", "Hunter2x", "[\"<"),
    ("private_key = <<EOF\nHunter2\nEOF\nx", "Hunter2", "<<EOF\n<"),
    ("password: &Hunter2x", "Hunter2x", "password: <"),
    ("password: Hunter[mar]", "Hunter", "password: <"),
    ("passwords:\n  - Hunter2x9q\n  - other1\nn: 1", "other1", "\nn: 1"),
    // Any sign in a value that is not in quotes.
    ("DB_PASSWORD=aB3&dE5fG7hJ9kL2", "dE5fG7", "DB_PASSWORD=<"),
    ("DB_PASSWORD=aB3;dE5fG7hJ9kL2", "dE5fG7", "DB_PASSWORD=<"),
    ("DB_PASSWORD=aB3'dE5fG7hJ9kL2", "dE5fG7", "DB_PASSWORD=<"),
    ("DB_PASSWORD=aB3\"dE5fG7hJ9kL2 x", "dE5fG7", " x"),
    ("password=aB3&user=bob", "aB3", "&user=bob"),
    ("Password=aB3;User Id=sa", "aB3", ";User Id=sa"),
    ("curl \"https://h/?token=aB3x\" -v", "aB3x", "\" -v"),
    ("postgres://app:aB3/dE5fG7hJ9@db.internal:5432/orders", "dE5fG7", "@db.internal:5432/orders"),
    ("postgres://app:aB3#dE5fG7hJ9@db/orders", "dE5fG7", "@db/orders"),
    ("postgres://app:p?ssW0rd1@db/orders", "ssW0rd1", "@db/orders"),
    // Pairs.
    ("- name: DB_PASSWORD\n  value: \"Hunter2x9q\"\n- name: B", "Hunter2x", "\"\n- name: B"),
    ("- name: API_TOKEN\n  value: a9F3kq0ZtR7bM2xW\n", "a9F3kq0Z", "value: <"),
    ("<add key=\"Password\" value=\"Hunter2x9q\"/>", "Hunter2x", "value=\"<"),
    // Spellings.
    ("ansible_ssh_pass=Hunter2x9q", "Hunter2x", "=<"),
    ("export EMAIL_PASS=Hunter2x9q", "Hunter2x", "=<"),
    ("PASS=Hunter2x9q ./run", "Hunter2x", " ./run"),
    ("x --pass Hunter2x9q --user bob", "Hunter2x", " --user bob"),
    ("openssl rsa -in k.pem -passin pass:Hunter2x9q -x", "Hunter2x", " -x"),
    ("DB_PASSWORD_1=Hunter2x9q", "Hunter2x", "=<"),
    ("apiKey2: Hunter2x9q", "Hunter2x", ": <"),
    // Headers that are folded.
    ("Authorization: Bearer\r\n abcd1234efgh\r\nHost: h", "abcd1234", "\r\nHost: h"),
    ("Cookie: a=b;\r\n sid=abcd1234efgh\r\nHost: h", "abcd1234", "\r\nHost: h"),
    // A value over lines under a name that is only likely.
    ("algolia_admin_key: |\n  a9F3kq0Z\n  tR7bM2xW\n  c3D4e5F6\nhost: x", "tR7bM2xW", "\nhost: x"),
    // URL-encoded JSON, and a query.
    ("q=%7B%22password%22%3A%22hunter2%22%2C%22n%22%3A1%7D&x=1", "hunter2", "%22%2C%22n%22%3A1%7D&x=1"),
    ("https://h/login?user=u&pass=hunter2&x=1", "hunter2", "&pass=<redacted:password:"),
];

#[test]
fn secrets_are_found_in_the_forms_in_which_they_are_written() {
    let redactor = redactor();
    let mut wrong = Vec::new();
    for (text, secret, kept) in FORMS {
        let redacted = redact_text(&redactor, text);
        if redacted.contains(secret) || !redacted.contains(kept) {
            wrong.push(format!("{text} -> {redacted}"));
        }
        let mut json = (*text).to_owned();
        for _ in 0..3 {
            json = serde_json::to_string(&serde_json::json!({ "a": json })).unwrap();
            let redacted = redact_json(&redactor, &json);
            if redacted.contains(secret) {
                wrong.push(format!("{json} -> {redacted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_only_resembles_these_forms_stays() {
    let redactor = redactor();
    for text in [
        "usage: mysql -u <user> -p <password> -h <host>",
        "Vec<Secret>, Option<Token>",
        "</password>text</config>",
        "<password></password><secret>\n  <id>7</id>\n</secret>",
        "<password>[REDACTED]</password>",
        "password:\n  type: string\n  description: of the user",
        "credentials:\n  - name: x\nsecret:\n  secretName: a",
        "Enter the password:\n  then press enter",
        "if not token:\n        return\nfor secret in secrets:\n    continue",
        "case token:\n\tbreak\ncase secret:\n\treturn;",
        "Password:\nnext line",
        "the login page asks for a password before it goes on",
        "PASSWORD '' and the password isn't",
        "curl -u bob https://h:8080/x && curl -X POST --url https://h:80",
        "{\"pass\":12,\"fail\":1} pass=3 fail=1 bypass=yes",
        "Authorization: <redacted:authorization:0123456789ab> status=200",
        "Authorization: Token <redacted:authorization:0123456789ab>",
        "token = os.environ[\"GITHUB_TOKEN\"], password = input('Password: ')",
        "password: Some(password), token: Option<String>, secrets: Vec<Secret>",
        "\"password\": {\"type\": \"string\"}",
        "http://localhost:8080/path@v1/x and https://example.com:8443/users/@me",
        "- name: LOG_LEVEL\n  value: debug",
        "tests: PASS=12 FAIL=0",
        "API-GATEWAY12345 and sk-learn-tutorial-2024-edition-v2",
        "fetch(url, {credentials: 'include'})",
    ] {
        assert_eq!(redact_text(&redactor, text), text);
    }
}

#[test]
fn a_shape_after_an_escape_that_text_shows_is_found() {
    let redactor = redactor();
    let mut wrong = Vec::new();
    for (class, secret, _) in samples::shapes() {
        for escape in ["\\n", "\\t", "\\r", "\\b", "\\f", "\\\\n"] {
            let text = format!("HTTP 200 {{\"content\":\"keys:{escape}{secret}\"}}");
            let json = serde_json::to_string(&serde_json::json!({ "result": text })).unwrap();
            let redacted = redact_json(&redactor, &json);
            let kept = serde_json::to_string(&format!("keys:{escape}<redacted:{class}:")).unwrap();
            if redacted.contains(&secret) || !redacted.contains(kept.trim_matches('"')) {
                wrong.push(format!("{text} -> {redacted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} {:#?}", wrong.len(), wrong.first());
}

#[test]
fn pass_is_a_password_beside_a_user() {
    let redactor = redactor();
    for (json, holds) in [
        (r#"{"user":"u","pass":"hunter2"}"#, true),
        (r#"{"pass" : "hunter2","Login":"u"}"#, true),
        (r#"{"a":"{\"username\":\"u\",\"pass\":\"hunter2\"}"}"#, true),
        (r#"{"suite":"u","pass":"hunter2"}"#, false),
        (r#"{"user":"u","bypass":"hunter2","first_pass":"hunter2"}"#, false),
    ] {
        assert_eq!(!redact_json(&redactor, json).contains("hunter2"), holds, "{json}");
    }
}

#[test]
fn a_key_below_a_secrets_name_may_be_the_secret() {
    let redactor = redactor();
    for json in [
        r#"{"api_keys":{"9f8e7d6c5b4a39281706":"alice"}}"#,
        r#"{"api_keys":{"9f8e7d6c5b4a39281706":true}}"#,
        r#"{"api_keys":[{"9f8e7d6c5b4a39281706":null}]}"#,
    ] {
        assert!(!redact_json(&redactor, json).contains("9f8e7d6c5b"), "{json}");
    }
    let json = r#"{"credentials":{"oauth2_client_credentials_v2":null,"user":null}}"#;
    assert_eq!(redact_json(&redactor, json), json);
}
