//! The PostgreSQL door, byte by byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use schemas::limits::{LOGIN_RECORDED_EACH_MAX, POSTGRES_MESSAGE_BYTES_MAX, SQL_BYTES_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::fixture::{World, counted};
use crate::Options;

mod client;

use client::{Client, Message, field, message, options, served, startup, text, told};

/// Takes long, and gives no row before it is over.
const SLOW: &str =
    "SELECT count(*) FROM events a, events b, events c WHERE a.latency_us * b.latency_us > c.latency_us * 7";

fn parse(name: &str, sql: &str, oids: &[u32]) -> Vec<u8> {
    let mut body = [text(name), text(sql), (oids.len() as u16).to_be_bytes().to_vec()].concat();
    for oid in oids {
        body.extend(oid.to_be_bytes());
    }
    message('P', &body)
}

fn bind(portal: &str, statement: &str, values: &[Option<&[u8]>], binary: bool) -> Vec<u8> {
    let code = i16::from(binary).to_be_bytes();
    let mut body = [text(portal), text(statement)].concat();
    body.extend([&1u16.to_be_bytes()[..], &code, &(values.len() as u16).to_be_bytes()].concat());
    for value in values {
        match value {
            Some(value) => body.extend([&(value.len() as u32).to_be_bytes()[..], value].concat()),
            None => body.extend((-1i32).to_be_bytes()),
        }
    }
    body.extend([&1u16.to_be_bytes()[..], &code].concat());
    message('B', &body)
}

fn describe(kind: char, name: &str) -> Vec<u8> {
    message('D', &[vec![kind as u8], text(name)].concat())
}

fn execute(portal: &str, rows: u32) -> Vec<u8> {
    message('E', &[text(portal), rows.to_be_bytes().to_vec()].concat())
}

fn sync() -> Vec<u8> {
    message('S', b"")
}

fn error(messages: &[Message]) -> &[u8] {
    &messages.iter().find(|(kind, _)| *kind == 'E').expect("an error").1
}

#[tokio::test]
async fn only_a_password_opens_and_nothing_says_why_not() {
    let world = World::with_events(10, 10, 0);
    let served = served(world.query(), options()).await;
    let me = ("user", "me");
    for (password, parameters, code) in [
        ("", &[me][..], "28P01"),
        ("wrong", &[me, ("database", "nowhere")], "28P01"),
        ("auditor", &[me, ("database", "nowhere")], "3D000"),
        ("auditor", &[me, ("database", "tacho\"; --")], "3D000"),
        ("operator", &[me, ("database", "tacho")], "42501"),
        ("auditor", &[me, ("database", "tacho"), ("options", "-c role=admin")], "42704"),
        ("auditor", &[me, ("database", "tacho"), ("replication", "database")], "0A000"),
    ] {
        let refused = Client::with(served.address, password, parameters).await;
        assert_eq!(refused.err().as_deref(), Some(code), "{password} {parameters:?}");
    }
    for database in ["tacho", "default", "me"] {
        let mut client =
            Client::with(served.address, "auditor", &[me, ("database", database)]).await.unwrap();
        assert_eq!(client.told("SELECT current_database()").await, [database, "SELECT 1", "I"]);
    }
    let entries = world.entries();
    let logins: Vec<_> = entries.iter().filter(|entry| entry["action"] == "login").collect();
    assert_eq!(logins.len(), 3, "{logins:?}");
    assert!(logins.iter().all(|entry| entry["door"] == "pg" && entry["principal"] == "t-auditor"));
    assert!(entries.iter().any(|entry| entry["decision"] == "deny" && entry["role"] == "operator"));
    // The password was right in each of these, and that is on record whatever else was wrong.
    let refused = entries.iter().filter(|entry| entry["decision"] == "deny");
    let mut codes: Vec<&str> =
        refused.filter_map(|entry| entry.get("error_code")).map(String::as_str).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        ["forbidden", "not_found", "not_found", "replication", "unknown_setting"],
        "{entries:?}"
    );
}

#[tokio::test]
async fn before_the_password_nothing_large_or_slow_is_taken() {
    let options = crate::postgres::Options { startup_timeout: Duration::from_millis(300), ..options() };
    let served = served(World::with_events(1, 1, 0).query(), options).await;
    let closes = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        // A connection that is cut while bytes are under way ends with an error.
        timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("still open").ok();
        rest
    };
    assert!(closes(b"").await.is_empty());
    assert!(closes(&0x7fff_ffffu32.to_be_bytes()).await.is_empty());
    assert!(closes(&[0, 0, 0, 3, 0, 0, 0, 0]).await.is_empty());
    assert_eq!(closes(b"GET / HTTP/1.1\r\n\r\n").await.len(), 0);
    // The password, too.
    let opened = startup(&[("user", "me")]);
    let asked = closes(&[&opened[..], &message('p', &vec![b'x'; 100_000])].concat()).await;
    assert_eq!(asked, message('R', &3u32.to_be_bytes()));
    // Encryption is not to be had here, and Kerberos nowhere.
    let ask_tls = [&8u32.to_be_bytes()[..], &80_877_103u32.to_be_bytes()].concat();
    let ask_gss = [&8u32.to_be_bytes()[..], &80_877_104u32.to_be_bytes()].concat();
    let answer = closes(&[&ask_tls[..], &ask_gss, &opened].concat()).await;
    assert_eq!(&answer[..2], b"NN");
}

#[tokio::test]
async fn encryption_begins_with_nothing_read_in_the_clear() {
    // Stands for TLS: what goes through it is as it was.
    let upgrade: crate::postgres::Upgrade = std::sync::Arc::new(|stream| Box::pin(async move { Ok(stream) }));
    let options = crate::postgres::Options { upgrade: Some(upgrade), ..options() };
    let served = served(World::with_events(1, 1, 0).query(), options).await;
    let ask_tls = [&8u32.to_be_bytes()[..], &80_877_103u32.to_be_bytes()].concat();
    let opened = startup(&[("user", "me")]);
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&ask_tls).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'S');
    stream.write_all(&opened).await.unwrap();
    let mut asked = [0; 9];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked[..], message('R', &3u32.to_be_bytes()));
    // Somebody on the way has put bytes before the handshake.
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&[ask_tls, opened].concat()).await.unwrap();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("still open").ok();
    assert!(rest.len() <= 1, "{rest:?}");
}

#[tokio::test]
async fn every_question_is_on_the_access_log_with_its_end() {
    let world = World::with_events(100, 50, 10);
    let served = served(world.query(), options()).await;
    let mut client = Client::connect(served.address, "auditor").await.unwrap();
    assert_eq!(client.told("SELECT count(*) FROM events").await, ["110", "SELECT 1", "I"]);
    assert_eq!(
        client.told("SET extra_float_digits = 3; SELECT 1, 1; SELECT NULL").await,
        ["SET", "1|1", "SELECT 1", "NULL", "SELECT 1", "I"]
    );
    assert_eq!(client.told(" ; ").await, ["empty", "I"]);
    for (sql, code) in [
        ("SELECT arguments FROM payloads", "42P01"),
        ("SELECT nothing FROM events", "42703"),
        ("SELEKT 1", "42601"),
        ("DELETE FROM events", "25006"),
        ("COPY events TO '/tmp/x'", "0A000"),
        ("COPY events TO STDOUT", "0A000"),
        ("PREPARE x AS DELETE FROM events", "0A000"),
        ("EXPLAIN SELECT 1", "42501"),
        ("SET role = admin", "42704"),
        ("SET default_transaction_read_only = off", "25006"),
        ("SELECT 1/0", "22012"),
        ("SELECT * FROM information_schema.df_settings", "42P01"),
        ("SELECT * FROM generate_series(1, 5)", "0A000"),
        ("LISTEN x", "0A000"),
    ] {
        assert_eq!(client.told(sql).await, [format!("error {code}"), "I".to_string()], "{sql}");
    }
    let wrong = client.ask("SELECT 1;\nSELECT é FROM events").await;
    assert_eq!(field(error(&wrong), 'P').as_deref(), Some("18"), "{:?}", told(&wrong));
    drop(client);
    let of = |phase: &str, decision: &str| {
        let entries = world.entries();
        entries
            .iter()
            .filter(|entry| {
                entry["phase"] == phase && entry["decision"] == decision && entry["action"] == "sql"
            })
            .map(|entry| entry.get("statement").cloned().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    let asked = of("intent", "allow");
    assert!(asked.contains(&"SELECT count(*) FROM events".to_string()), "{asked:?}");
    let refused = of("outcome", "deny");
    for sql in ["COPY events TO '/tmp/x'", "DELETE FROM events", "PREPARE x AS DELETE FROM events"] {
        assert!(refused.contains(&sql.to_string()), "{sql}: {refused:?}");
    }
    assert!(refused.iter().any(|sql| sql.contains("role")), "{refused:?}");
    assert!(world.entries().iter().all(|entry| entry["door"] == "pg"));
}

#[tokio::test]
async fn a_failed_transaction_takes_nothing_until_it_ends() {
    let served = served(World::with_events(10, 10, 0).query(), options()).await;
    let mut client = Client::connect(served.address, "auditor").await.unwrap();
    for (sql, expected) in [
        ("BEGIN", &["BEGIN", "T"][..]),
        ("SAVEPOINT a", &["SAVEPOINT", "T"]),
        ("SET LOCAL statement_timeout = '7s'; SHOW statement_timeout", &["SET", "7000ms", "SHOW", "T"]),
        ("SELECT nothing", &["error 42703", "E"]),
        ("SELECT 1", &["error 25P02", "E"]),
        ("ROLLBACK TO a; SELECT 1", &["ROLLBACK", "1", "SELECT 1", "T"]),
        ("SELECT nothing", &["error 42703", "E"]),
        ("COMMIT", &["ROLLBACK", "I"]),
        ("SHOW statement_timeout", &["0", "SHOW", "I"]),
        ("SAVEPOINT a", &["error 25P01", "I"]),
        ("BEGIN; SELECT 1; COMMIT", &["BEGIN", "1", "SELECT 1", "COMMIT", "I"]),
        ("SELECT 1; SELECT nothing; SELECT 2", &["1", "SELECT 1", "error 42703", "I"]),
    ] {
        assert_eq!(client.told(sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn prepared_statements_have_types_values_and_pages() {
    let served = served(World::with_events(100, 50, 0).query(), options()).await;
    let mut client = Client::connect(served.address, "auditor").await.unwrap();
    let sql = "SELECT log_index, time, scopes FROM events WHERE log_index < $1 AND user_id = $2 ORDER BY 1";
    client.send(&[parse("s", sql, &[20]), describe('S', "s"), sync()].concat()).await;
    let described = client.answer().await;
    let types = &described.iter().find(|(kind, _)| *kind == 't').unwrap().1;
    assert_eq!(
        types[..],
        [&[0, 2][..], &20u32.to_be_bytes(), &25u32.to_be_bytes()].concat(),
        "int8 and text"
    );
    let columns = &described.iter().find(|(kind, _)| *kind == 'T').unwrap().1;
    for oid in [20u32, 1184, 1009] {
        assert!(columns.windows(4).any(|four| four == oid.to_be_bytes()), "{oid}");
    }
    let fifty = 50i64.to_be_bytes();
    let values = [Some(&fifty[..]), Some(&b"user3"[..])];
    client.send(&[bind("", "s", &values, true), execute("", 0), sync()].concat()).await;
    let rows = client.answer().await;
    let first = &rows.iter().find(|(kind, _)| *kind == 'D').unwrap().1;
    assert_eq!(first[..14], [&[0, 3, 0, 0, 0, 8][..], &3i64.to_be_bytes()].concat());
    // 2026-11-20T00:00:03Z in microseconds since 2000.
    assert_eq!(first[18..26], (1_795_132_803_000_000i64 - 946_684_800_000_000).to_be_bytes());
    assert_eq!(rows.iter().filter(|(kind, _)| *kind == 'D').count(), 7);

    // A portal of several pages lives in its transaction.
    client.told("BEGIN").await;
    client.send(&[bind("p", "s", &values, true), execute("p", 3), execute("p", 3), sync()].concat()).await;
    let said = told(&client.answer().await);
    assert_eq!(said.iter().filter(|said| *said == "suspended").count(), 2, "{said:?}");
    client.send(&[execute("p", 9), sync()].concat()).await;
    assert_eq!(told(&client.answer().await).iter().rev().take(2).collect::<Vec<_>>(), ["T", "SELECT 1"]);
    client.told("COMMIT").await;
    client.send(&[execute("p", 9), sync()].concat()).await;
    assert_eq!(told(&client.answer().await), ["error 34000", "I"]);

    // After an error, everything up to Sync is passed over.
    let wrong = [parse("w", "DELETE FROM events", &[]), bind("", "w", &[], false), execute("", 0), sync()];
    client.send(&wrong.concat()).await;
    assert_eq!(told(&client.answer().await), ["error 25006", "I"]);
    client.send(&[bind("", "s", &values[..1], true), sync()].concat()).await;
    assert_eq!(told(&client.answer().await), ["error 08P01", "I"]);
}

#[tokio::test]
async fn cursors_give_rows_as_they_are_fetched() {
    let served = served(World::with_events(100, 50, 0).query(), options()).await;
    let mut client = Client::connect(served.address, "auditor").await.unwrap();
    let declare = "DECLARE \"c\" CURSOR FOR SELECT log_index FROM events WHERE log_index < 5 ORDER BY 1";
    assert_eq!(client.told(declare).await, ["error 25P01", "I"]);
    client.told("BEGIN").await;
    assert_eq!(client.told("DECLARE d CURSOR FOR DELETE FROM events").await, ["error 25006", "E"]);
    client.told("ROLLBACK").await;
    client.told("BEGIN").await;
    assert_eq!(client.told(declare).await, ["DECLARE CURSOR", "T"]);
    assert_eq!(client.told("FETCH FORWARD 2 FROM c").await, ["0", "1", "FETCH 2", "T"]);
    assert_eq!(client.told("FETCH c").await, ["2", "FETCH 1", "T"]);
    assert_eq!(client.told("FETCH ALL FROM c").await, ["3", "4", "FETCH 2", "T"]);
    assert_eq!(client.told("FETCH ALL FROM c").await, ["FETCH 0", "T"]);
    assert_eq!(client.told("CLOSE c").await, ["CLOSE CURSOR", "T"]);
    assert_eq!(client.told("FETCH c").await, ["error 34000", "E"]);
}

async fn cancel(address: SocketAddr, pid: i32, secret: i32) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let numbers = [16, 80_877_102, pid, secret].map(i32::to_be_bytes);
    stream.write_all(&numbers.concat()).await.unwrap();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty(), "nobody is told");
}

#[tokio::test]
async fn wrong_keys_are_on_the_access_log_and_a_flood_of_them_as_a_sum() {
    let world = World::with_events(1, 1, 0);
    let query = world.query();
    let served = served(query.clone(), options()).await;
    let client = Client::connect(served.address, "auditor").await.unwrap();
    let (pid, secret) = client.key;
    cancel(served.address, pid, secret).await;
    for guess in 1..=300 {
        cancel(served.address, pid, secret ^ guess).await;
    }
    let denied =
        || world.entries().into_iter().filter(|entry| entry["decision"] == "deny").collect::<Vec<_>>();
    // The connection is closed before anything is recorded, so that its time tells nothing.
    let begun = Instant::now();
    while denied().iter().map(counted).sum::<u64>() < 300 && begun.elapsed() < Duration::from_secs(5) {
        query.finished().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let denied = denied();
    assert_eq!(denied.iter().map(counted).sum::<u64>(), 300);
    let is_sum = |entry: &&BTreeMap<String, String>| counted(entry) > 1;
    assert_eq!(denied.iter().filter(|entry| !is_sum(entry)).count(), LOGIN_RECORDED_EACH_MAX as usize);
    for entry in &denied {
        for (column, expected) in [
            ("principal", "unknown"),
            ("door", "pg"),
            ("action", "cancel"),
            ("status", "error"),
            ("error_code", "wrong_cancel_key"),
            ("source_ip", "127.0.0.1"),
        ] {
            assert_eq!(entry[column], expected, "{column}");
        }
        let said = format!("{entry:?}");
        assert!(!said.contains(&secret.to_string()) && !entry.contains_key("role"), "{said}");
    }
    drop(client);
}

#[tokio::test]
async fn a_query_ends_at_its_deadline_or_by_its_key_and_no_other() {
    let world = World::with_events(20_000, 20_000, 0);
    let served = served(world.query(), options()).await;
    let mut client = Client::connect(served.address, "auditor").await.unwrap();
    let (pid, secret) = client.key;
    client.send(&message('Q', &text(SLOW))).await;
    let cancel = async |pid, secret| cancel(served.address, pid, secret).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    for (pid, secret) in [(pid, secret ^ 1), (pid ^ 1, secret), (0, 0)] {
        cancel(pid, secret).await;
    }
    let said = timeout(Duration::from_millis(500), client.stream.peek(&mut [0; 1])).await;
    assert!(said.is_err(), "a guess ended it");
    let cancelled = Instant::now();
    cancel(pid, secret).await;
    assert_eq!(told(&client.answer().await), ["error 57014", "I"]);
    assert!(cancelled.elapsed() < Duration::from_secs(1), "{:?}", cancelled.elapsed());

    // A shorter deadline of its own, and not a longer one.
    let asked = Instant::now();
    assert_eq!(
        client.told(&format!("SET statement_timeout = 300; {SLOW}")).await,
        ["SET", "error 57014", "I"]
    );
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(client.told("SELECT 1").await, ["1", "SELECT 1", "I"]);
}

#[tokio::test]
async fn a_client_cannot_lengthen_its_time_and_a_deaf_one_is_given_up() {
    let world = World::with_events(200_000, 65_536, 0);
    let query = world.query_with(Options { deadline_ms: 700, at_once: 1, ..World::options() });
    let options = crate::postgres::Options { write_timeout: Duration::from_millis(500), ..options() };
    let served = served(query, options).await;
    let mut client = Client::connect(served.address, "auditor").await.unwrap();
    let asked = Instant::now();
    assert_eq!(
        client.told(&format!("SET statement_timeout = '1h'; {SLOW}")).await,
        ["SET", "error 57014", "I"]
    );
    assert!(asked.elapsed() < Duration::from_secs(10));
    let mut deaf = Client::connect(served.address, "auditor").await.unwrap();
    deaf.send(&message('Q', &text("SELECT * FROM events"))).await;
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    // The one place is free again.
    assert_eq!(client.told("SELECT 1").await, ["1", "SELECT 1", "I"]);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_not_kept() {
    let served = served(World::with_events(1, 1, 0).query(), options()).await;
    let mut client = Client::connect(served.address, "auditor").await.unwrap();
    let long = format!("SELECT '{}'", "x".repeat(SQL_BYTES_MAX));
    assert_eq!(client.told(&long).await, ["error 54000", "I"]);
    let longer = "x".repeat(10 * POSTGRES_MESSAGE_BYTES_MAX);
    assert_eq!(client.told(&longer).await, ["error 54000", "I"]);
    let many = "SELECT 1;".repeat(33);
    assert_eq!(client.told(&many).await, ["error 54000", "I"]);
    client.send(&[parse("", &longer, &[]), describe('S', ""), sync()].concat()).await;
    assert_eq!(told(&client.answer().await), ["error 54000", "I"]);
    let mut refused = 0;
    for number in 0..300 {
        client.send(&[parse(&format!("s{number}"), "SELECT 1", &[]), sync()].concat()).await;
        refused += usize::from(told(&client.answer().await)[0] == "error 54000");
    }
    assert_eq!(refused, 300 - 256);
    assert_eq!(client.told("DISCARD ALL; SELECT 1").await, ["DISCARD ALL", "1", "SELECT 1", "I"]);
    client.send(b"?\0\0\0\x04").await;
    assert_eq!(told(&client.answer().await), ["error 08P01"], "and closed");
}

#[tokio::test]
async fn connections_have_a_cap_an_end_and_a_time_to_say_something() {
    let options = crate::postgres::Options {
        connections_max: 1,
        idle_timeout: Duration::from_millis(500),
        ..options()
    };
    let served = served(World::with_events(1, 1, 0).query(), options).await;
    let mut first = Client::connect(served.address, "auditor").await.unwrap();
    // The second waits until the first is given up.
    let mut second = Client::connect(served.address, "auditor").await.unwrap();
    assert_eq!(told(&first.answer().await), ["error 57P05"]);
    served.stop.send_replace(true);
    assert_eq!(told(&second.answer().await), ["error 57P01"]);
    timeout(Duration::from_secs(10), served.task).await.expect("it does not end").unwrap();
}

#[tokio::test]
async fn a_role_finds_its_own_tables_in_the_catalogue() {
    let world = World::with_events(10, 10, 0);
    let served = served(world.query(), options()).await;
    let tables = "SELECT table_name FROM information_schema.tables ORDER BY 1";
    let classes = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = 'public' ORDER BY 1";
    let mut auditor = Client::connect(served.address, "auditor").await.unwrap();
    let mut responder = Client::connect(served.address, "responder").await.unwrap();
    let seen = auditor.told(tables).await;
    assert!(!seen.contains(&"payloads".to_string()) && seen.contains(&"events".to_string()), "{seen:?}");
    assert_eq!(auditor.told(classes).await, seen);
    let seen = responder.told(tables).await;
    assert!(seen.contains(&"payloads".to_string()), "{seen:?}");
    assert_eq!(responder.told(classes).await, seen);
    let oid = "SELECT 'access'::regclass::oid";
    assert_eq!(auditor.told(oid).await, responder.told(oid).await);
    let leaks = auditor.told("SELECT rolname, rolsuper FROM pg_roles; SELECT count(*) FROM pg_authid; SELECT datname FROM pg_database").await;
    assert_eq!(leaks, ["t-auditor|f", "SELECT 1", "0", "SELECT 1", "tacho", "SELECT 1", "I"]);
    assert_eq!(auditor.told("SELECT pg_sleep(1)").await, ["error 42883", "I"]);
}
