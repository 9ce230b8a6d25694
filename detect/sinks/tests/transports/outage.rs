//! An hour without its receiver, then a line that breaks, then a slow one, for each transport at once: what arrives, in what order,
//! under which ids, and that one that is well does not wait for the others.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use schemas::Stream;
use schemas::rows::{Row, RowsBuilder};
use serde_json::Value;
use sinks::{Context, Sink, Sinks};
use store::clock::SystemClock;
use store::{Draft, Keys, Store};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::elastic::{self, Index};
use super::server::{Reply, Server};
use super::splunk::{self, Collector};
use super::support::write;
use super::syslog::Received;
use super::webhook::keys;

const DOWN: u8 = 0;
const BREAKS: u8 = 1;
const SLOW: u8 = 2;
const WELL: u8 = 3;
/// Seconds of the sinks' clock to one of ours.
const SPEED: u32 = 1_200;
/// What a line takes in at once when it is slow, and how long that takes.
const SLOW_BYTES: usize = 4 << 10;
const SLOW_PAUSE: Duration = Duration::from_millis(2);

/// A line to a receiver that is as good as it is told to be.
struct Line {
    address: SocketAddr,
    state: Arc<AtomicU8>,
}

impl Line {
    async fn to(target: SocketAddr) -> Line {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Line { address: free.local_addr().unwrap(), state: Arc::new(AtomicU8::new(DOWN)) };
        drop(free);
        tokio::spawn(listen(line.address, target, line.state.clone()));
        line
    }

    fn is(&self, state: u8) {
        self.state.store(state, Ordering::SeqCst);
    }
}

/// Takes connections but when it is down: then there is nobody to refuse them either.
async fn listen(address: SocketAddr, target: SocketAddr, state: Arc<AtomicU8>) {
    let (mut listener, mut number) = (None, 0_u64);
    loop {
        if state.load(Ordering::SeqCst) == DOWN {
            listener = None;
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        let Some(open) = &listener else { continue };
        let accepted = tokio::time::timeout(Duration::from_millis(20), open.accept()).await;
        let Ok(Ok((ours, _))) = accepted else { continue };
        number += 1;
        let lasts = Duration::from_millis(20 + number * 37 % 90);
        let (from, to) = (ours.into_split(), TcpStream::connect(target).await.unwrap().into_split());
        let until = Instant::now() + lasts;
        // Every third breaks when an answer is on its way: what was asked has been done, and nobody is told.
        let swallows = number.is_multiple_of(3);
        tokio::spawn(carry(from.0, to.1, state.clone(), until, false));
        tokio::spawn(carry(to.0, from.1, state.clone(), until, swallows));
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: Arc<AtomicU8>,
    until: Instant,
    swallows: bool,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let now = state.load(Ordering::SeqCst);
        if now == DOWN || now == BREAKS && Instant::now() > until {
            return;
        }
        let most = if now == SLOW { SLOW_BYTES } else { bytes.len() };
        let read = tokio::time::timeout(Duration::from_millis(5), from.read(&mut bytes[..most])).await;
        match read {
            Err(_) => {}
            Ok(Ok(1..)) if swallows && now == BREAKS => return,
            Ok(Ok(read @ 1..)) => {
                if now == SLOW {
                    tokio::time::sleep(SLOW_PAUSE).await;
                }
                if to.write_all(&bytes[..read]).await.is_err() {
                    return;
                }
            }
            Ok(_) => return,
        }
    }
}

fn row(number: usize) -> Row {
    let column = |name: &str| Stream::Alerts.column(name).unwrap().id;
    let id = format!("{number:032x}");
    let texts = [
        ("event_id", format!("{id}-0")),
        ("tenant", "acme".to_owned()),
        ("kind", "alert".to_owned()),
        ("source", "detect/engine/0".to_owned()),
        ("session_id", "_detect".to_owned()),
        ("decision", "none".to_owned()),
        ("status", "ok".to_owned()),
        ("alert_id", id),
        ("state", "open".to_owned()),
        ("rule_id", "denial_rate".to_owned()),
        ("title", "Denied calls far above what is usual".to_owned()),
        ("severity", "medium".to_owned()),
        ("confidence", "high".to_owned()),
        ("entity_type", "principal".to_owned()),
        ("entity", format!("agent-{number}")),
        ("statistic", "denied calls in 5 minutes".to_owned()),
        ("unit", "count".to_owned()),
        ("baseline", "entity".to_owned()),
        ("evidence_log", "installation/acme/events/w1".to_owned()),
        ("explanation", "31 denied calls in 5 minutes, 1 is usual.".to_owned()),
        ("query", "SELECT 1".to_owned()),
        ("runbook", "docs/runbooks/denial_rate.md".to_owned()),
    ];
    let row = texts.iter().fold(Row::default(), |row, (name, text)| row.text(column(name), text));
    let row = row.texts(column("observables"), &["agent_id=a"]).texts(column("references"), &["MCP02"]);
    let number = i64::try_from(number).unwrap();
    let ints = [
        ("time", number),
        ("sequence", 0),
        ("first_seen", number),
        ("last_seen", number),
        ("count", 31),
        ("position", number),
        ("ordinal", 0),
    ];
    ints.iter().fold(row.ints(column("evidence"), &[1]), |row, (name, value)| {
        row.int_option(column(name), Some(*value))
    })
}

fn draft(numbers: std::ops::Range<usize>) -> Draft {
    let count = numbers.len();
    let mut rows = RowsBuilder::drafts(Stream::Alerts);
    numbers.for_each(|number| rows.push(&row(number)).unwrap());
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let payloads = RecordBatch::try_new_with_options(Schema::empty().into(), Vec::new(), &options).unwrap();
    let entries = rows.finish().unwrap();
    Draft { entries, payloads, idempotent: vec![true; count], scope: "detect/engine".to_owned() }
}

/// The numbers of alerts in the order in which each came first, and how many came in all.
fn firsts(ids: impl Iterator<Item = String>) -> (Vec<usize>, usize) {
    let (mut seen, mut order, mut all) = (BTreeSet::new(), Vec::new(), 0);
    for id in ids {
        all += 1;
        if seen.insert(id.clone()) {
            order.push(usize::from_str_radix(&id[..32], 16).unwrap());
        }
    }
    (order, all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_away_a_line_that_breaks_and_a_slow_one_lose_nothing_of_any_transport() {
    let dir = tempfile::tempdir().unwrap();
    let hook = Server::start(|_| Reply::status(200)).await;
    let (hec, collected) = splunk::start(Collector {
        token: "t".to_string(),
        use_ack: true,
        asked_before_ack: Some(1),
        ..Collector::default()
    })
    .await;
    let (bulk, indexed) = elastic::start(Index { name: "alerts", ..Index::default() }).await;
    let syslog = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let syslog_address = syslog.local_addr().unwrap();
    let frames = Received::default();
    let reader = frames.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = syslog.accept().await {
            reader.read(stream).await;
        }
    });
    let lines = [
        Line::to(hook.address).await,
        Line::to(hec.address).await,
        Line::to(bulk.address).await,
        Line::to(syslog_address).await,
    ];
    let [hook_line, hec_line, bulk_line, syslog_line] = &lines;
    let (key, token) = (write(dir.path(), "keys", &keys()), write(dir.path(), "token", "t"));
    let archive = dir.path().join("archive");
    let http = "[http]\ntimeout_ms = 400";
    let tables = [
        format!(
            "name = \"hook\"\ntype = \"webhook\"\nurl = \"http://{}\"\nkey_file = {key:?}\n{http}",
            hook_line.address
        ),
        format!(
            "name = \"hec\"\ntype = \"hec\"\nurl = \"http://{}\"\ntoken_file = {token:?}\nuse_ack = true\nack_timeout_ms = 2000\n{http}",
            hec_line.address
        ),
        format!(
            "name = \"bulk\"\ntype = \"bulk\"\nurl = \"http://{}\"\nindex = \"alerts\"\nformat = \"json\"\n{http}",
            bulk_line.address
        ),
        format!(
            "name = \"syslog\"\ntype = \"syslog\"\naddress = \"{}\"\nprotocol = \"tcp\"\ntimeout_ms = 400",
            syslog_line.address
        ),
        format!("name = \"archive\"\ntype = \"file\"\npath = {:?}", archive.display().to_string()),
    ];
    let made = tables.iter().map(|table| {
        let mut table: toml::Table = table.parse().unwrap();
        table.insert("from".to_owned(), "start".into());
        Sink::from_table(table).unwrap()
    });
    let keys = Keys::load_or_create(&dir.path().join("data-keys")).unwrap();
    let (data, clock) = (dir.path().join("data"), Arc::new(SystemClock::faster(SPEED)));
    let store = Store::open(&data, keys, store::Options::default(), clock).unwrap();
    let log = store.log("acme", Stream::Alerts).await.unwrap();
    let options = sinks::Options {
        directory: dir.path().join("sinks"),
        context: Context {
            installation: "test".to_owned(),
            version: "0".to_owned(),
            host: "test".to_owned(),
            external_url: None,
            record_integrity: false,
        },
        wall: Arc::new(|_, _| Err("no roles".to_owned())),
        speed: SPEED,
    };
    let running = Sinks::start(&store, made.collect(), &options).unwrap();
    let next = |name: &str| {
        let status = running.status();
        let sink = status.iter().find(|sink| sink.name == name).unwrap();
        sink.tenants.get("acme").map_or(0, |tenant| tenant.next)
    };
    let mut told = 0;
    let mut tell = async |rounds: usize| {
        for _ in 0..rounds {
            log.append(draft(told..told + 20)).await.unwrap();
            told += 20;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        told
    };
    // Three seconds, of which each is twenty minutes to the sinks.
    let down = tell(60).await;
    // Some cursors pass the entry that opens the log; none passes an alert.
    for name in ["hook", "hec", "bulk", "syslog"] {
        assert!(next(name) <= 1, "{name} is at {} though nobody took anything", next(name));
    }
    let started = Instant::now();
    while next("archive") < log.durable() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the file waits for the others: {}",
            next("archive")
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What breaks between two machines after the one has it in its kernel is lost to plain syslog, and documented.
    for (line, state) in lines.iter().zip([BREAKS, BREAKS, BREAKS, SLOW]) {
        line.is(state);
    }
    let broken = tell(60).await;
    lines.iter().for_each(|line| line.is(SLOW));
    let slow = tell(40).await;
    lines.iter().for_each(|line| line.is(WELL));
    // Refused for the moment, item by item.
    let late = slow..slow + 200;
    {
        let mut index = indexed.lock().unwrap();
        for number in late.clone().step_by(7) {
            let id = format!("{number:032x}");
            index.busy_once.insert(id);
        }
    }
    let all = tell(10).await;
    let started = Instant::now();
    for name in ["hook", "hec", "bulk", "syslog", "archive"] {
        while next(name) < log.durable() {
            let status = running.status();
            assert!(started.elapsed() < Duration::from_secs(60), "{name}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    running.shutdown().await;
    store.close().await.unwrap();
    let expected: Vec<usize> = (0..all).collect();
    let of = |value: &Value| format!("{}-{}", value["alert_id"].as_str().unwrap(), value["sequence"]);
    let requests = hook.requests.lock().unwrap().clone();
    let hooked = firsts(requests.iter().map(|request| {
        let id = of(&serde_json::from_slice(&request.body).unwrap());
        assert!(request.header("webhook-id").is_some_and(|header| header.contains(&id[..32])), "{id}");
        id
    }));
    let collected = collected.lock().unwrap();
    let collected = firsts(collected.indexed.iter().map(|event| {
        assert_eq!(event["fields"]["tachograph_id"], of(&event["event"]));
        of(&event["event"])
    }));
    let index = indexed.lock().unwrap();
    let in_index = firsts(index.documents.values().map(of));
    let records = frames.records();
    let framed = firsts(records.iter().map(|record| of(&serde_json::from_str(&record.message).unwrap())));
    let written = std::fs::read_to_string(&archive).unwrap();
    let archived = firsts(written.lines().map(|line| of(&serde_json::from_str(line).unwrap())));
    for (name, (order, count)) in
        [("webhook", &hooked), ("HEC", &collected), ("syslog", &framed), ("file", &archived)]
    {
        assert!(*order == expected, "{name}: {} of {all}, or in another order", order.len());
        println!("outage: {name}: {all} alerts, {} sent again", count - all);
    }
    assert!(hooked.1 > all && collected.1 > all, "no answer was lost: the line did not break when it should");
    let mut sorted = in_index.0.clone();
    sorted.sort_unstable();
    assert!(sorted == expected, "_bulk: {} of {all}", sorted.len());
    assert!(index.busy_once.is_empty(), "each was refused once: {:?}", index.busy_once);
    println!(
        "outage: _bulk: {all} alerts, {} down, {} on a line that breaks, each there once",
        down,
        broken - down
    );
    assert_eq!(archived.1, all, "a sink that is well sends once");
}
