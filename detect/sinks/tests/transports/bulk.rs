use sinks::{Message, Transport};

use super::elastic::{Index, start};
use super::server::{Reply, Server};
use super::support::{message, messages, open, reason, settle, told, with_body, write};

fn index() -> Index {
    Index { name: "tachograph-alerts", ..Index::default() }
}

fn bulk(server: &Server, more: &str) -> Box<dyn Transport> {
    let url = server.url();
    open("bulk", &format!("url = {url:?}\nindex = \"tachograph-alerts\"\nhttp.timeout_ms = 1000\n{more}"))
}

#[tokio::test]
async fn documents_are_there_once_under_their_ids() {
    for gzip in [false, true] {
        let (server, state) = start(index()).await;
        let mut sink = bulk(&server, &format!("gzip = {gzip}"));
        // An id of its own that another has too hides neither, and the log's name may be any.
        let odd = Message { log: "a\"/ \u{fc}\n\\".to_string(), id: message(1).id, ..message(9) };
        let batch = [message(1), odd.clone(), message(2)];
        assert_eq!(told(&sink.deliver(&batch).await), "TTT");
        // Sent again, as after a crash.
        assert_eq!(told(&sink.deliver(&batch).await), "TTT");
        let documents = state.lock().unwrap().documents.clone();
        assert_eq!(documents.len(), 3);
        assert_eq!(documents[&odd.unique_id()]["number"], 9);
        assert_eq!(server.received()[0].header("content-encoding"), gzip.then_some("gzip"));
        assert_eq!(sink.target(), format!("{}/tachograph-alerts", server.url()));
        assert!(sink.deliver(&[]).await.is_empty());
    }
}

#[tokio::test]
async fn logins_are_as_the_service_wants_them() {
    let dir = tempfile::tempdir().unwrap();
    let key = write(dir.path(), "key", "aHVudGVyMg==\n");
    let password = write(dir.path(), "password", "hunter2\n");
    for (more, authorization) in [
        (format!("api_key_file = {key:?}"), "ApiKey aHVudGVyMg=="),
        (format!("username = \"recorder\"\npassword_file = {password:?}"), "Basic cmVjb3JkZXI6aHVudGVyMg=="),
    ] {
        let authorization = Some(authorization.to_string());
        let (server, _) = start(Index { authorization, ..index() }).await;
        assert_eq!(told(&bulk(&server, &more).deliver(&messages(0..2)).await), "TT");
        let fates = bulk(&server, "").deliver(&messages(0..2)).await;
        assert!(told(&fates) == "a" && reason(&fates).contains("look at its file"), "{fates:?}");
    }
}

#[tokio::test]
async fn each_item_has_a_fate_of_its_own() {
    let (server, state) = start(index()).await;
    let mut sink = bulk(&server, "");
    let mut batch = messages(0..8);
    batch[2] = with_body(2, "{\"number\":\"hunter2\"}");
    batch[6] = with_body(6, "[1]");
    let of = |at: u64| message(at).unique_id();
    let named = |at: u64| message(at).id;
    state.lock().unwrap().items = [
        (of(1), (429, "es_rejected_execution_exception")),
        (of(3), (503, "unavailable_shards_exception")),
        (of(4), (500, "hunter2 is \u{fc} text of the document")),
        (of(5), (403, "cluster_block_exception")),
    ]
    .into();
    let fates = sink.deliver(&batch).await;
    assert_eq!(told(&fates), "TaRaAa", "what is no document is not sent: {fates:?}");
    assert!(reason(&fates[..3]).ends_with("for the item: 400 document_parsing_exception"), "{fates:?}");
    assert!(reason(&fates[..5]).ends_with("500 an error of no known type"), "{fates:?}");
    assert_eq!(settle(&mut *sink, &batch).await, [named(2), named(6)]);
    assert_eq!(state.lock().unwrap().documents.len(), 6);
    assert!(!format!("{fates:?}").contains("hunter2"));
    server.received();
}

#[tokio::test]
async fn what_is_answered_for_others_counts_for_nothing() {
    let (server, state) = start(Index { is_shuffled: true, ..index() }).await;
    let mut sink = bulk(&server, "");
    let fates = sink.deliver(&messages(0..3)).await;
    assert!(told(&fates) == "a" && reason(&fates).contains("not those of the request"), "{fates:?}");
    state.lock().unwrap().is_shuffled = false;
    assert_eq!(told(&sink.deliver(&messages(0..3)).await), "TTT");
    for (reply, expected, says) in [
        (Reply::Http(200, Vec::new(), b"{\"items\":[]}".to_vec()), "a", "not those of the request"),
        (Reply::Http(200, Vec::new(), b"{\"ok\":true}".to_vec()), "a", "another way"),
        (Reply::Http(301, vec![("location", "/x".to_string())], Vec::new()), "a", "redirect"),
        (Reply::status(404), "a", "no _bulk"),
        (Reply::status(500), "A", "500"),
        (Reply::status(429), "a", "429"),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"items\"".to_vec()), "a", "broke off"),
        (Reply::Raw(Vec::new()), "a", "no answer"),
    ] {
        state.lock().unwrap().script = vec![reply];
        let fates = sink.deliver(&messages(0..3)).await;
        assert!(told(&fates) == expected && reason(&fates).contains(says), "{fates:?}");
    }
    server.received();
}

#[tokio::test]
async fn what_is_too_large_at_once_is_sent_in_parts() {
    let (server, state) = start(Index { bytes_max: Some(600), ..index() }).await;
    let mut sink = bulk(&server, "");
    let mut batch = messages(0..20);
    batch[7] = with_body(7, &format!("{{\"number\":7,\"text\":\"{}\"}}", "x".repeat(600)));
    assert_eq!(settle(&mut *sink, &batch).await, ["alert-7-1"]);
    assert_eq!(state.lock().unwrap().documents.len(), 19);
    // One that the service does not understand at all is no dead letter by itself, and holds up nothing for ever either.
    state.lock().unwrap().script = vec![Reply::status(400), Reply::status(400)];
    assert_eq!(told(&sink.deliver(&messages(30..32)).await), "A");
}
