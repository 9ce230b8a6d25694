//! Strangers who open connections without end, where file descriptors are few.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use super::super::otlp::PORTS;
use crate::support::{Service, event, run, service_log, tacho, verify};

/// What the service under test may have at most; it starts with half of that.
const DESCRIPTORS: usize = 160;
/// On each of the four ports.
const STRANGERS: usize = 100;

/// The limit is raised to what it may be raised to; and strangers on every port together leave enough for the store, and for the
/// commands of who runs the service.
#[test]
fn strangers_on_every_port_take_no_file_from_the_store() {
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join("tacho-with-few");
    let script = format!(
        "#!/bin/sh\nulimit -Sn {} && ulimit -Hn {DESCRIPTORS} && exec {} \"$@\"\n",
        DESCRIPTORS / 2,
        tacho().display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let environment = [&PORTS[..], &[("TACHO_PG", "127.0.0.1:0")]].concat();
    let service = Service::start_program(&program, home.path(), &environment)
        .unwrap_or_else(|status| panic!("{status}: {}", service_log(home.path())));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some(DESCRIPTORS.to_string().as_str()), "{line}");

    let ports = [
        &service.address,
        service.postgres.as_ref().unwrap(),
        &service.ports["otlp"],
        &service.ports["otlp_grpc"],
    ];
    let strangers: Vec<TcpStream> = ports
        .iter()
        .flat_map(|port| (0..STRANGERS).map(move |_| TcpStream::connect(*port).unwrap()))
        .collect();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", service.child.id())).unwrap().count();
    super::eventually("they have what they can get", || {
        let before = open();
        std::thread::sleep(std::time::Duration::from_millis(300));
        before > DESCRIPTORS / 2 && open() == before
    });
    println!("{} descriptors of {DESCRIPTORS} are open", open());
    // By the local socket: events are taken, asked for, and sealed.
    let events = home.path().join("events.ndjson");
    std::fs::write(&events, event("e-1")).unwrap();
    let data = home.path().join("data").display().to_string();
    let sent = run(&["ingest", &events.display().to_string(), "--data", &data]);
    assert!(sent.status.success(), "{sent:?}\n{}", service_log(home.path()));
    let asked = run(&[
        "sql",
        "SELECT count(*) AS n FROM events WHERE control IS NULL",
        "--format",
        "csv",
        "--data",
        &data,
    ]);
    assert!(asked.status.success() && String::from_utf8_lossy(&asked.stdout).contains("\n1"), "{asked:?}");
    let log = std::fs::read_to_string(home.path().join("service.log")).unwrap();
    assert!(
        !log.contains("Too many open files") && !log.contains("no connection could be accepted"),
        "{log}"
    );
    drop(strangers);
    assert_eq!(service.stop(), Some(0));
    let (code, text) = verify(home.path());
    assert_eq!(code, 0, "{text}");
}
