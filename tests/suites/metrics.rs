use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

use crate::support::{Answer, Events, Service, event, events, metric, request, whole};

/// What senders were told, summed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    durable: u64,
    duplicate: u64,
    refused: u64,
}

impl Told {
    fn take(&mut self, answer: &Answer) {
        let answer = answer.json();
        let number = |name: &str| answer[name].as_u64().unwrap_or(0);
        self.durable += number("accepted");
        self.duplicate += number("duplicates");
        self.refused += number("rejected_count");
    }
}

/// After traffic of every kind `/metrics` says what the senders were told, and nothing is unaccounted for.
#[test]
fn received_is_durable_and_duplicate_and_refused() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path(), &[]);
    let mut told = Told::default();
    let mut sent = 0u64;
    let mut post = |status: u16, lines: &[String]| {
        let answer = service.post_events(lines.join("\n").as_bytes());
        assert_eq!(answer.status, status, "{}", answer.text());
        told.take(&answer);
        sent += lines.len() as u64;
    };
    let good = |prefix: &str, count: u64| (0..count).map(|at| event(&format!("{prefix}-{at}"))).collect();
    let bad = || ["not json", "[1]", "{}", r#"{"time":"never","kind":"call"}"#].map(str::to_string).to_vec();
    let first: Vec<String> = good("a", 40);
    post(200, &first);
    // Again, with new ones and bad ones between.
    post(200, &[first.clone(), bad(), good("b", 7)].concat());
    // Twice within one body.
    post(200, &[event("c-0"), event("c-0")]);
    // Nothing usable at all.
    post(400, &bad());
    // A long body, parsed elsewhere.
    post(200, &[good("d", 3000), bad()].concat());
    // Several senders at once, of the same events.
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..6)
            .map(|sender| {
                let (service, lines) = (&service, [good("e", 50), good(&format!("f{sender}"), 50)].concat());
                scope.spawn(move || {
                    let mut answer = service.post_events(lines.join("\n").as_bytes());
                    // The same event waits for the disk: come again.
                    while matches!(answer.status, 429 | 503) {
                        answer = service.post_events(lines.join("\n").as_bytes());
                    }
                    answer
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        told.take(answer);
        sent += 100;
    }
    // Requests that never became values.
    let gzip = {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(event("g").as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let encoded = [("content-encoding", "gzip")];
    assert_eq!(service.send("POST", "/v1/events", &encoded, &gzip[..gzip.len() / 2]).status, 400);
    assert_eq!(service.post_events(b"").status, 400);
    assert_eq!(
        request(&service.address, "POST", "/v1/events", &[], first[0].as_bytes()).unwrap().status,
        401
    );
    let answer = service.send("POST", "/v1/events", &encoded, &gzip);
    assert_eq!(answer.status, 200, "{}", answer.text());
    told.take(&answer);
    sent += 1;

    let text = service.send("GET", "/metrics", &[], b"").text();
    let Events { received, durable, duplicate, refused, not_recorded: 0 } = events(&text) else {
        panic!("these are no telemetry:\n{text}");
    };
    let counted = Told { durable, duplicate, refused };
    let busy = received - sent;
    // An append that was told to come again was received and refused as well.
    assert_eq!(counted, Told { refused: told.refused + busy, ..told });
    assert_eq!(busy % 100, 0, "{busy} events of senders that were told to come again");
    let rows = service.sql("SELECT count(*) AS n FROM events WHERE control IS NULL");
    assert_eq!(rows[0]["n"], counted.durable, "durable is what is there");
    println!("{received} received: {counted:?}");
    // Three times four bad values, by why they are.
    for (code, count) in [("bad_json", 3), ("not_object", 3), ("unmapped", 3), ("bad_time", 3)] {
        let name = format!("tacho_ingest_events_refused_total{{code=\"{code}\"}}");
        assert_eq!(metric(&text, &name), count, "{code}:\n{text}");
    }
    assert!(counted.durable > 3000 && counted.duplicate > 40 && counted.refused >= 12);
    whole(home.path(), service);
}
