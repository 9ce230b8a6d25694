//! A store in a temporary directory, and a sink over it whose other side does as a script says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use schemas::Stream;
use schemas::rows::{Row, RowsBuilder};
use store::clock::SystemClock;
use store::{Draft, Keys, OwnFiles, Store};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::*;
use crate::format::Context;
use crate::settings::Sink;
use crate::status::Status;

/// How much faster time passes: an hour is 3.6 s.
pub(super) const SPEED: u32 = 1_000;

/// What the other side does with one hand-over: given how many came before it and the messages, a fate for each.
pub(super) type Script = Box<dyn FnMut(u64, &[Message]) -> Vec<Fate> + Send>;

/// What the other side saw: every message that it took, in order, with its tenant, index and id.
pub(super) type Seen = Arc<Mutex<Vec<(String, u64, String)>>>;

pub(super) struct Scripted {
    calls: u64,
    script: Script,
    seen: Seen,
    batch_max: usize,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl Transport for Scripted {
    async fn deliver(&mut self, batch: &[Message]) -> Vec<Fate> {
        let fates = (self.script)(self.calls, batch);
        self.calls += 1;
        let mut seen = self.seen.lock().unwrap();
        for (message, fate) in batch.iter().zip(&fates) {
            if *fate == Fate::Taken {
                seen.push((message.tenant.clone(), message.log_index, message.id.clone()));
            }
        }
        fates
    }

    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn target(&self) -> String {
        "a script".to_owned()
    }
}

pub(super) struct Home {
    pub(super) dir: TempDir,
    pub(super) store: Store,
    pub(super) seen: Seen,
}

/// A sink that runs.
pub(super) struct Running {
    pub(super) stop: watch::Sender<bool>,
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) standing: watch::Receiver<Status>,
    pub(super) task: tokio::task::JoinHandle<()>,
}

impl Home {
    pub(super) fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::load_or_create(&dir.path().join("keys")).unwrap();
        let options =
            store::Options { wal_file_bytes: 1 << 20, sign_interval_us: 20_000, ..store::Options::default() };
        let clock = Arc::new(SystemClock::faster(SPEED));
        let store = Store::open(&dir.path().join("data"), keys, options, clock).unwrap();
        Home { dir, store, seen: Seen::default() }
    }

    /// Appends `count` alerts; those whose number `is_low` are of low severity, the others high.
    pub(super) async fn append(
        &self,
        tenant: &str,
        from: usize,
        count: usize,
        is_low: impl Fn(usize) -> bool,
    ) {
        let log = self.store.log(tenant, Stream::Alerts).await.unwrap();
        for start in (from..from + count).step_by(1_000) {
            let numbers = start..(start + 1_000).min(from + count);
            let mut rows = RowsBuilder::drafts(Stream::Alerts);
            for number in numbers.clone() {
                rows.push(&row(tenant, number, if is_low(number) { "low" } else { "high" })).unwrap();
            }
            let entries = rows.finish().unwrap();
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(numbers.len()));
            let payloads = arrow::array::RecordBatch::try_new_with_options(
                arrow::datatypes::Schema::empty().into(),
                Vec::new(),
                &options,
            )
            .unwrap();
            let draft = Draft {
                entries,
                payloads,
                idempotent: vec![true; numbers.len()],
                scope: "detect/engine".to_owned(),
            };
            log.append(draft).await.unwrap();
        }
    }

    pub(super) fn files(&self) -> OwnFiles {
        OwnFiles::open(&self.dir.path().join("sinks/it")).unwrap()
    }

    pub(super) fn state(&self) -> State {
        State::read(&self.files()).unwrap().unwrap()
    }

    /// Starts the sink with what the table says more.
    pub(super) fn start(
        &self,
        more: &str,
        batch_max: usize,
        script: impl FnMut(u64, &[Message]) -> Vec<Fate> + Send + 'static,
    ) -> Running {
        let table = format!("name = \"it\"\ntype = \"stdout\"\n{more}");
        let sink = Sink::from_table(table.parse().unwrap()).unwrap();
        let context = Context {
            installation: "i".to_owned(),
            version: "1".to_owned(),
            host: "h".to_owned(),
            external_url: None,
            record_integrity: false,
        };
        let (stop, stopping) = watch::channel(false);
        let (asks, asked) = mpsc::channel(4);
        let status = Status {
            name: "it".to_owned(),
            kind: "stdout",
            format: "json",
            target: String::new(),
            is_up: true,
            failure: None,
            delivered_us: None,
            tenants: BTreeMap::new(),
        };
        let (told, standing) = watch::channel(status);
        let state = State::read(&self.files()).unwrap();
        let task = Task {
            store: self.store.clone(),
            press: Press { sink: Arc::new(sink), context: Arc::new(context), wall: None },
            transport: Box::new(Scripted {
                calls: 0,
                script: Box::new(script),
                seen: Arc::clone(&self.seen),
                batch_max,
            }),
            files: Arc::new(self.files()),
            is_new: state.is_none(),
            state: state.unwrap_or_default(),
            asks: asked,
            stop: stopping,
            standing: told,
            speed: SPEED,
            lanes: BTreeMap::new(),
            unsaved: 0,
            tenants: Vec::new(),
            failures: BTreeMap::new(),
            failure: None,
            digests_wait: BTreeMap::new(),
        };
        Running { stop, asks, standing, task: tokio::spawn(task.run()) }
    }

    /// The ids that the other side took of a tenant, in order.
    pub(super) fn ids(&self, tenant: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(of, ..)| of == tenant).map(|(.., id)| id.clone()).collect()
    }

    /// Waits until as many different messages have been taken.
    pub(super) async fn taken(&self, count: usize) {
        let taken = || {
            self.seen
                .lock()
                .unwrap()
                .iter()
                .map(|(of, _, id)| (of.clone(), id.clone()))
                .collect::<BTreeSet<_>>()
                .len()
        };
        for _ in 0..6_000 {
            if taken() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} of {count} messages were taken", taken());
    }
}

impl Running {
    pub(super) async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }

    pub(super) async fn ask(&self, ask: impl FnOnce(oneshot::Sender<Result<u64>>) -> Ask) -> Result<u64> {
        let (told, answer) = oneshot::channel();
        self.asks.send(ask(told)).await.unwrap();
        answer.await.unwrap()
    }

    pub(super) async fn until(&self, is_so: impl Fn(&Status) -> bool) -> Status {
        let mut standing = self.standing.clone();
        let found =
            tokio::time::timeout(Duration::from_secs(30), standing.wait_for(|status| is_so(status))).await;
        found.expect("it stands so in the end").unwrap().clone()
    }
}

pub(super) fn id(number: usize) -> String {
    format!("{number:032x}")
}

pub(super) fn row(tenant: &str, number: usize, severity: &str) -> Row {
    let column = |name: &str| Stream::Alerts.column(name).unwrap().id;
    let texts = [
        ("event_id", format!("{}-0", id(number))),
        ("tenant", tenant.to_owned()),
        ("kind", "alert".to_owned()),
        ("source", "detect/engine/5".to_owned()),
        ("session_id", "_detect".to_owned()),
        ("decision", "none".to_owned()),
        ("status", "ok".to_owned()),
        ("alert_id", id(number)),
        ("state", "open".to_owned()),
        ("rule_id", "denial_rate".to_owned()),
        ("title", "Denials".to_owned()),
        ("severity", severity.to_owned()),
        ("confidence", "high".to_owned()),
        ("entity_type", "principal".to_owned()),
        ("entity", format!("a-{number}")),
        ("statistic", "denied calls".to_owned()),
        ("unit", "count".to_owned()),
        ("baseline", "entity".to_owned()),
        ("evidence_log", format!("i/{tenant}/events/w1")),
        ("explanation", "because".to_owned()),
        ("query", "SELECT 1".to_owned()),
        ("runbook", "docs/runbooks/denial_rate.md".to_owned()),
    ];
    let ints = ["time", "sequence", "first_seen", "last_seen", "count", "position", "ordinal"];
    let row = texts.iter().fold(Row::default(), |row, (name, text)| row.text(column(name), text));
    let number = i64::try_from(number).unwrap();
    ints.iter().fold(row, |row, name| {
        row.int_option(column(name), Some(if *name == "sequence" { 0 } else { number }))
    })
}

pub(super) fn all_taken(_call: u64, batch: &[Message]) -> Vec<Fate> {
    vec![Fate::Taken; batch.len()]
}

pub(super) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("{}-0", id(number))).collect()
}

/// The same messages without those that came again: in the order in which each came first.
pub(super) fn first_of_each(ids: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    ids.iter().filter(|id| seen.insert(id.to_string())).cloned().collect()
}

/// Numbers from a seed, without a crate.
pub(super) fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |sides| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    }
}
