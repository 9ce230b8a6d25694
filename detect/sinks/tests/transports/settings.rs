use schemas::limits;
use sinks::{TYPES, TransportSettings};

use super::support::{try_open, write};

#[test]
fn what_is_wrong_with_a_table_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let token = write(dir.path(), "token", "hunter2");
    let index = "url = \"https://h\"\nindex = \"a\"\n";
    let headers: String =
        (0..=limits::SINK_HEADERS_MAX).map(|n| format!("http.headers.x-{n}.env = \"PATH\"\n")).collect();
    let cases: Vec<(&str, String, &str)> = vec![
        ("smtp", String::new(), "type \"smtp\" is none; give one of bulk, chat"),
        ("hec", "url = \"https://h\"\ntoken = \"hunter2\"".to_string(), "unknown field `token`"),
        ("hec", "url = \"https://h\"".to_string(), "give token_file or token_env"),
        (
            "hec",
            format!("url = \"https://h\"\ntoken_file = {token:?}\nack_timeout_ms = 99999999"),
            "ack_timeout_ms",
        ),
        ("hec", format!("token_file = {token:?}"), "missing field `url`"),
        ("bulk", "url = \"http://soc.example\"\nindex = \"a\"".to_string(), "is not encrypted"),
        ("bulk", "url = \"https://u:hunter2@h\"\nindex = \"a\"".to_string(), "has a login in it"),
        ("bulk", "url = \"https://h/?key=hunter2\"\nindex = \"a\"".to_string(), "given by file"),
        ("bulk", "url = \"ftp://h\"\nindex = \"a\"".to_string(), "give https://"),
        ("bulk", "url = \"h:1\"\nindex = \"a\"".to_string(), "give https://"),
        ("bulk", "url = \"https://h\"\nindex = \"A/b\"".to_string(), "no name of an index"),
        ("bulk", format!("url = \"https://h\"\nindex = \"{}\"", "a".repeat(256)), "no name of an index"),
        ("bulk", format!("{index}username = \"u\""), "username with password_file"),
        ("bulk", format!("{index}username = \"u:v\"\npassword_file = {token:?}"), "colon"),
        ("bulk", format!("{index}http.timeout_ms = 1"), "http.timeout_ms is 1; give 100 to 300000"),
        ("bulk", format!("{index}http.headers.host.env = \"PATH\""), "set by the transport"),
        ("bulk", format!("{index}http.headers.\"a b\".env = \"PATH\""), "no name that a header can have"),
        ("bulk", format!("{index}http.headers.x-a = {{}}"), "give file or env"),
        ("bulk", format!("{index}{headers}"), "http.headers has 33, 32 at most"),
        ("bulk", format!("{index}http.proxy = \"http://u:hunter2@p:1\""), "has a login in it"),
        ("bulk", format!("{index}http.proxy = \"p\""), "http.proxy"),
        ("bulk", format!("{index}tls.cert = {token:?}"), "belong together"),
        ("bulk", format!("{index}tls.ca = {token:?}"), "holds no certificate"),
        ("bulk", format!("{index}tls.ca = \"/none\""), "read TLS file /none"),
        ("webhook", "url = \"https://h\"".to_string(), "give key_file or key_env"),
        ("webhook", format!("key_file = {token:?}"), "give one of url, url_file and url_env"),
        ("webhook", format!("url = \"https://h\"\nkey_file = {token:?}"), "key 1: begins neither"),
        (
            "webhook",
            format!("url = \"https://h\"\nkey_file = {token:?}\nhttp.headers.Webhook-Id.env = \"PATH\""),
            "key 1",
        ),
        ("chat", "url = \"https://h/hunter2\"".to_string(), "unknown field `url`"),
        ("chat", String::new(), "give url_file or url_env"),
        ("chat", format!("url_file = {token:?}"), "is no address"),
        ("syslog", "address = \"h\"".to_string(), "give host:port"),
        ("syslog", "address = \"h:1\"\nprotocol = \"udp\"".to_string(), "unknown variant `udp`"),
        ("syslog", "address = \"h:1\"\nprotocol = \"tcp\"\ntls.ca = \"/x\"".to_string(), "protocol is tcp"),
        ("syslog", "address = \"h:1\"\nfacility = 24".to_string(), "facility is 24"),
        ("syslog", "address = \"h:1\"\nmessage_bytes_max = 480".to_string(), "message_bytes_max is 480"),
        ("syslog", "address = \"h:1\"\ntimeout_ms = 1".to_string(), "timeout_ms is 1"),
        ("stdout", "path = \"/x\"".to_string(), "unknown field `path`"),
    ];
    for (kind, table, says) in cases {
        let error = try_open(kind, &table).map(|sink| format!("{sink:?}")).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(error.to_string().contains(says), "{kind} {table}: {error}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(error.to_string().starts_with("sink soc: ") || says.starts_with("read "), "{error}");
    }
}

#[test]
fn a_table_is_what_it_was_with_its_defaults() {
    for (kind, table) in [
        ("bulk", "url = \"https://h\"\nindex = \"a\"\nhttp.headers.x-a.env = \"PATH\""),
        ("chat", "url_file = \"/a\""),
        ("file", "path = \"/a\""),
        ("hec", "url = \"https://h\"\ntoken_file = \"/a\"\nuse_ack = true"),
        #[cfg(feature = "kafka")]
        (
            "kafka",
            "brokers = [\"h:1\"]\ntopic = \"t\"\n[sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword_file = \"/a\"",
        ),
        ("kill_switch", "url = \"https://h\"\nkey_env = \"A\""),
        ("stdout", ""),
        ("syslog", "address = \"h:1\"\ntls.ca = \"/a\""),
        ("webhook", "url = \"https://h\"\nkey_file = \"/a\"\nhttp.timeout_ms = 5"),
    ] {
        assert!(TYPES.contains(&kind));
        let parse = |table: toml::Table| TransportSettings::from_table("soc", kind, table).unwrap();
        let settings = parse(toml::from_str(table).unwrap());
        assert_eq!((settings.kind(), settings.needs_json()), (kind, kind == "bulk"));
        let whole = settings.to_table("soc").unwrap();
        for key in toml::from_str::<toml::Table>(table).unwrap().keys() {
            assert!(whole.contains_key(key), "{kind} {key}");
        }
        assert_eq!(parse(whole), settings, "{kind}");
    }
}
