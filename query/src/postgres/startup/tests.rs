use std::time::Duration;

use schemas::limits::LOGIN_RECORDED_EACH_MAX;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::cancel::Cancels;
use super::super::{Options, Upgrade};
use super::*;
use crate::tests::fixture::{World, counted};

fn startup_message() -> Vec<u8> {
    let body = [&196_608u32.to_be_bytes()[..], b"user\0me\0\0"].concat();
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

/// What a client at `ip` is told that begins without encryption.
async fn told(door: &Arc<Door>, ip: &str) -> Vec<u8> {
    let (mut client, server) = tokio::io::duplex(4096);
    client.write_all(&startup_message()).await.unwrap();
    let wire = Wire::new(Box::pin(server), Duration::from_secs(5));
    assert!(start(wire, Peer { ip: ip.parse().unwrap() }, door).await.unwrap().is_none());
    let mut told = Vec::new();
    client.read_to_end(&mut told).await.unwrap();
    told
}

#[tokio::test]
async fn who_wants_no_encryption_is_on_the_access_log_and_a_flood_of_them_as_a_sum() {
    let world = World::empty();
    let upgrade: Upgrade = Arc::new(|stream| Box::pin(async move { Ok(stream) }));
    let options = Options {
        upgrade: Some(upgrade),
        ..Options::new(Arc::new(|_| Box::pin(async { Err(Refusal) })), Arc::new(|_| false))
    };
    let door = Arc::new(Door { query: world.query(), options, cancels: Cancels::default() });
    for number in 0..300 {
        // One customer has all of these addresses.
        let said = told(&door, &format!("2001:db8::{number}")).await;
        assert!(String::from_utf8_lossy(&said).contains("no password in the clear"));
    }
    told(&door, "203.0.113.7").await;
    door.query.finished().await;
    let entries = world.entries();
    assert_eq!(entries.len(), LOGIN_RECORDED_EACH_MAX as usize + 2, "{entries:#?}");
    assert_eq!(entries.iter().map(counted).sum::<u64>(), 301);
    for entry in &entries {
        for (column, expected) in [
            ("tenant", "default"),
            ("principal", "unknown"),
            ("door", "pg"),
            ("action", "login"),
            ("decision", "deny"),
            ("status", "error"),
            ("error_code", "encryption_required"),
        ] {
            assert_eq!(entry[column], expected, "{column}");
        }
        assert!(!entry.contains_key("role"), "nobody has shown who it is: {entry:?}");
    }
    assert!(entries.iter().any(|entry| entry.get("source_ip").is_some_and(|ip| ip == "203.0.113.7")));
}
