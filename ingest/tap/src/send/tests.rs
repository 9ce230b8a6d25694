use std::collections::HashSet;
use std::sync::Mutex;

use proptest::prelude::*;
use redact::Redactor;

use super::*;
use crate::identity::Given;
use crate::spool::Options;

/// How a service behaves towards one request.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Takes,
    /// Takes it, and the answer is lost.
    Mute,
    Away,
    Busy,
    Broken,
    NotTheService,
    WrongToken,
    /// Something between answers 400, 413 or 422.
    Between(u16),
}

/// A service that remembers what it took.
#[derive(Debug, Default)]
struct Service {
    moods: Vec<Mood>,
    /// Ids in the order in which they came first.
    order: Vec<u64>,
    known: HashSet<u64>,
    events_max: usize,
    requests: usize,
}

impl Service {
    fn take(&mut self, body: &[u8]) -> Result<Answer, String> {
        self.requests += 1;
        let answer = |status, body: serde_json::Value| {
            Ok(Answer { status, retry_after_s: None, body: body.to_string().into_bytes() })
        };
        let mood = self.moods.pop().unwrap_or(Mood::Takes);
        match mood {
            Mood::Away => return Err("connection refused".into()),
            Mood::Busy => return answer(429, serde_json::json!({"code": "busy"})),
            Mood::Broken => return answer(500, serde_json::json!({"code": "internal"})),
            Mood::NotTheService => return answer(200, serde_json::json!("hello")),
            Mood::WrongToken => return answer(401, serde_json::json!({"code": "unauthenticated"})),
            Mood::Between(status) => {
                return answer(status, serde_json::json!({"code": "refused", "detail": "no"}));
            }
            Mood::Takes | Mood::Mute => {}
        }
        let text = std::str::from_utf8(body).unwrap();
        let events: Vec<u64> =
            text.lines().map(|line| line.split('"').nth(3).unwrap().parse().unwrap_or(u64::MAX)).collect();
        if events.len() > self.events_max {
            return answer(413, problem("too_large"));
        }
        if text.contains("\"poison\"") {
            return answer(422, problem("refused"));
        }
        let is_bad = |line: &str| line.contains("\"bad\"");
        let bad = text.lines().filter(|line| is_bad(line)).count();
        if bad == events.len() {
            return answer(400, problem("nothing_usable"));
        }
        let (mut accepted, mut duplicates) = (0, 0);
        for (event, line) in events.iter().zip(text.lines()) {
            if is_bad(line) {
            } else if self.known.insert(*event) {
                self.order.push(*event);
                accepted += 1;
            } else {
                duplicates += 1;
            }
        }
        if let Mood::Mute = mood {
            return Err("connection reset".into());
        }
        answer(
            200,
            serde_json::json!({"accepted": accepted, "duplicates": duplicates, "rejected_count": bad,
            "rejected": [{"code": "bad_type", "detail": "why"}]}),
        )
    }
}

fn problem(code: &str) -> serde_json::Value {
    serde_json::json!({"type": format!("urn:tachograph:problem:{code}"), "code": code})
}

struct Wire(Arc<Mutex<Service>>);

impl Transport for Wire {
    fn send(&mut self, body: Vec<u8>, _patience: Duration) -> Result<Answer, String> {
        self.0.lock().unwrap().take(&body)
    }
}

fn options(home: &std::path::Path) -> Options {
    Options { home: home.to_path_buf(), bytes_max: 1 << 20, file_bytes: 300 }
}

fn sender(spool: &Spool, service: &Arc<Mutex<Service>>, sent: &Arc<Sent>) -> Sender {
    let given = Given { transport: "stdio", ..Given::default() };
    let notices = Notices::new(given, b"run", "s", Redactor::new([1; 32]));
    let wire = Box::new(Wire(Arc::clone(service)));
    let mut sender = Sender::new(spool.clone(), wire, Arc::clone(sent), notices, Clock::start());
    let ms = Duration::from_millis(1);
    let (answer, drain) = (Duration::from_secs(30), Duration::from_secs(20));
    sender.patience = Patience { first: ms, longest: 2 * ms, answer, drain };
    sender.retry = ms;
    sender
}

fn event(number: u64) -> String {
    let flavour = match number % 17 {
        5 => "bad",
        11 => "poison",
        _ => "good",
    };
    format!(r#"{{"event_id":"{number}","flavour":"{flavour}"}}"#)
}

fn is_good(number: &u64) -> bool {
    !matches!(number % 17, 5 | 11)
}

fn moods() -> impl Strategy<Value = Vec<Mood>> {
    let mood = prop_oneof![
        4 => Just(Mood::Takes),
        1 => Just(Mood::Mute),
        1 => Just(Mood::Away),
        1 => Just(Mood::Busy),
        1 => Just(Mood::Broken),
        1 => Just(Mood::NotTheService),
        1 => Just(Mood::WrongToken),
        1 => Just(Mood::Between(400)),
        1 => Just(Mood::Between(413)),
        1 => Just(Mood::Between(422)),
    ];
    proptest::collection::vec(mood, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever a service does, every event is answered for once, in order, and nothing is left.
    #[test]
    fn every_event_is_answered_for_once_and_in_order(moods in moods(), events_max in 1usize..40, count in 0u64..150) {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::create(options(home.path()), "run").unwrap();
        let service = Arc::new(Mutex::new(Service { moods, events_max, ..Service::default() }));
        let sent = Arc::new(Sent::default());
        let sending = std::thread::spawn({
            let sender = sender(&spool, &service, &sent);
            move || sender.run()
        });
        for number in 0..count {
            prop_assert_eq!(spool.append(&event(number)), crate::spool::Kept::Yes);
        }
        spool.close();
        sending.join().unwrap();
        let expected: Vec<u64> = (0..count).filter(is_good).collect();
        let mut order = service.lock().unwrap().order.clone();
        let notices = order.iter().filter(|number| **number == u64::MAX).count();
        order.retain(|number| *number != u64::MAX);
        prop_assert_eq!(&order, &expected);
        let count_of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (durable, duplicates) = (count_of(&sent.durable), count_of(&sent.duplicates));
        let (refused, noticed) = (count_of(&sent.refused), count_of(&sent.noticed));
        prop_assert_eq!(durable + duplicates, expected.len() as u64 + noticed);
        prop_assert_eq!(refused, count - expected.len() as u64, "what only seems refused is none");
        prop_assert_eq!((notices > 0, noticed > 0), (refused > 0, refused > 0), "refusals are on record");
        prop_assert_eq!(durable + duplicates + refused, count + noticed);
        prop_assert!(!home.path().join("run").exists(), "the directory stays");
    }

    /// A tap that is killed at any moment: the next one sends what it left, before its own, and nothing is lost. What the
    /// service had and the tap did not know of is a duplicate.
    #[test]
    fn what_a_killed_tap_left_is_sent_by_the_next(
        moods in moods(), count in 1u64..120, taken in 0usize..8, cut in 0usize..40,
    ) {
        let home = tempfile::tempdir().unwrap();
        let service = Arc::new(Mutex::new(Service { moods, events_max: 7, ..Service::default() }));
        let sent = Arc::new(Sent::default());
        let image = home.path().join("00-killed");
        {
            // Sends some of it by hand, and dies: what is on disk then is the image.
            let scratch = tempfile::tempdir().unwrap();
            let spool = Spool::create(options(scratch.path()), "run").unwrap();
            for number in 0..count {
                spool.append(&event(number));
            }
            let mut reader = spool.reader();
            let mut first = sender(&spool, &service, &sent);
            for _ in 0..taken {
                let batch = reader.next(Some(spool.end())).unwrap();
                if let Some(end) = batch.end() {
                    first.deliver(batch, &mut |_| {}).unwrap();
                    if cut % 2 == 0 {
                        spool.acknowledge(end);
                    }
                }
            }
            copy_directory(&scratch.path().join("run"), &image);
        }
        // The frame that was being written is torn.
        let torn = tear(&image, cut);
        let spool = Spool::create(options(home.path()), "01-next").unwrap();
        for number in 1000..1010u64 {
            spool.append(&event(number));
        }
        spool.close();
        sender(&spool, &service, &sent).run();
        let mut expected: Vec<u64> = (0..count).chain(1000..1010).filter(is_good).collect();
        let order = service.lock().unwrap().order.clone();
        if torn && !order.contains(&(count - 1)) {
            expected.retain(|number| *number != count - 1);
        }
        // The notice of what was torn is an event too, with an id of its own.
        let order: Vec<u64> = order.into_iter().filter(|number| *number < 2000).collect();
        prop_assert_eq!(order, expected);
        prop_assert!(!image.exists() && !home.path().join("01-next").exists());
    }
}

fn copy_directory(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Cuts up to `bytes` bytes off the last file, less than a frame; whether it cut any.
fn tear(directory: &std::path::Path, bytes: usize) -> bool {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "events"));
    files.sort();
    let Some(last) = files.last() else { return false };
    let length = last.metadata().unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(last).unwrap();
    file.set_len(length.saturating_sub(bytes as u64)).unwrap();
    bytes > 0 && length > 0
}

#[test]
fn a_service_that_stays_away_keeps_nobody_and_what_is_left_waits() {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::create(options(home.path()), "run").unwrap();
    for number in 0..10 {
        spool.append(&event(number));
    }
    let service = Arc::new(Mutex::new(Service { moods: vec![Mood::Away; 10_000], ..Service::default() }));
    let sent = Arc::new(Sent::default());
    let mut sender = sender(&spool, &service, &sent);
    sender.patience.drain = Duration::from_millis(30);
    spool.close();
    sender.run();
    assert!(service.lock().unwrap().requests > 3);
    drop(spool);
    let left = crate::spool::orphans(home.path(), None);
    assert_eq!(left[0].reader().next(None).unwrap().events.len(), 10);
}

/// A service that says nothing for as long as it is waited for.
struct Silent;

impl Transport for Silent {
    fn send(&mut self, _body: Vec<u8>, patience: Duration) -> Result<Answer, String> {
        std::thread::sleep(patience);
        Err("no answer".into())
    }
}

#[test]
fn a_service_that_says_nothing_is_waited_for_no_longer_than_the_drain() {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::create(options(home.path()), "run").unwrap();
    spool.append(&event(0));
    let service = Arc::new(Mutex::new(Service::default()));
    let mut sender = sender(&spool, &service, &Arc::new(Sent::default()));
    sender.transport = Box::new(Silent);
    sender.patience.drain = Duration::from_millis(500);
    let clock = Clock::start();
    spool.close();
    // The time counts from the closing, not from the first failure after it.
    std::thread::sleep(Duration::from_millis(200));
    sender.run();
    let waited_ms = clock.now().monotonic_us / 1000;
    assert!((500..1500).contains(&waited_ms), "{waited_ms} ms");
}

#[test]
fn one_directory_that_cannot_be_read_does_not_stop_the_others() {
    let home = tempfile::tempdir().unwrap();
    for (run, number) in [("00", 0), ("01", 1)] {
        Spool::create(options(home.path()), run).unwrap().append(&event(number));
    }
    // A directory in the place of a file: it opens and cannot be read.
    let file = home.path().join("00/0000000001.events");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let spool = Spool::create(options(home.path()), "02").unwrap();
    spool.append(&event(2));
    spool.close();
    let service = Arc::new(Mutex::new(Service { events_max: 7, ..Service::default() }));
    sender(&spool, &service, &Arc::new(Sent::default())).run();
    assert_eq!(service.lock().unwrap().order, [1, 2]);
}

#[test]
fn answers_mean_what_they_say() {
    let of = |status, body: &str| verdict(&Answer { status, retry_after_s: Some(3), body: body.into() }, 2);
    assert!(matches!(
        of(200, r#"{"accepted":1,"duplicates":1,"rejected_count":0}"#),
        Verdict::Done { durable: 1, duplicates: 1, refused: 0, .. }
    ));
    assert!(matches!(of(200, r#"{"accepted":1,"duplicates":0,"rejected_count":0}"#), Verdict::Again { .. }));
    assert!(matches!(of(400, &problem("nothing_usable").to_string()), Verdict::Done { refused: 2, .. }));
    for (status, code) in [(413, "too_large"), (422, "refused")] {
        assert!(matches!(of(status, &problem(code).to_string()), Verdict::Halve { .. }), "{status}");
    }
    // From whatever stands between, or of another kind: nothing is given up.
    let other_type = r#"{"type":"urn:other:problem:refused","code":"refused"}"#;
    for status in [400, 422] {
        for body in ["", "{}", "<html>", r#"{"code":"nothing_usable"}"#, r#"{"code":"refused"}"#, other_type]
        {
            let verdict = of(status, body);
            assert!(matches!(verdict, Verdict::Again { is_mistake: true, .. }), "{status} {body}");
        }
    }
    assert!(matches!(of(400, &problem("broken_body").to_string()), Verdict::Again { is_mistake: true, .. }));
    let one = |body: &str| verdict(&Answer { status: 413, retry_after_s: None, body: body.into() }, 1);
    assert!(matches!(of(413, "<html>"), Verdict::Halve { .. }));
    assert!(matches!(one("<html>"), Verdict::Again { is_mistake: true, .. }));
    for (status, mistake) in
        [(301, true), (401, true), (403, true), (404, true), (408, false), (429, false), (503, false)]
    {
        let Verdict::Again { wait, is_mistake, .. } = of(status, "") else { panic!("{status}") };
        assert_eq!((wait, is_mistake), (Some(Duration::from_secs(3)), mistake), "{status}");
    }
}
