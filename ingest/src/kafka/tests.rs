//! The consumer against the client library's own small cluster, without Java. A real broker has its own tests.

use std::collections::BTreeSet;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use schemas::Stream;
use schemas::limits::ADMISSION_TENANT_BYTES;
use store::Store;
use tokio::task::JoinHandle;

use super::context::Change;
use super::*;
use crate::pull::rig::{column, ingest, open};

struct Rig {
    dir: tempfile::TempDir,
    store: Store,
    ingest: Ingest,
    cluster: MockCluster<'static, DefaultProducerContext>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<Result<(), Error>>>,
}

impl Rig {
    fn new(partitions: i32) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let ingest = ingest(&store);
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("calls", partitions, 1).unwrap();
        Rig { dir, store, ingest, cluster, stop: watch::Sender::new(false), task: None }
    }

    fn kafka(&self) -> Kafka {
        Kafka {
            name: "calls".to_string(),
            tenant: "default".to_string(),
            brokers: vec![self.cluster.bootstrap_servers()],
            topics: vec!["calls".to_string()],
            group: "recorders".to_string(),
            mapping: None,
            dead_letter: None,
            tls: None,
            sasl: None,
        }
    }

    fn start(&mut self) {
        self.stop = watch::Sender::new(false);
        self.task = Some(tokio::spawn(self.kafka().run(self.ingest.clone(), self.stop.subscribe())));
    }

    async fn stop(&mut self) {
        self.stop.send_replace(true);
        self.task.take().unwrap().await.unwrap().unwrap();
    }

    async fn produce(&self, from: usize, to: usize) {
        let mut config = ClientConfig::new();
        let producer: FutureProducer =
            config.set("bootstrap.servers", self.cluster.bootstrap_servers()).create().unwrap();
        for number in from..to {
            let line =
                format!(r#"{{"time":"2026-11-21T10:00:00Z","kind":"call","capability":"n-{number}"}}"#);
            let key = number.to_string();
            let record = FutureRecord::to("calls").key(key.as_str()).payload(line.as_str());
            producer.send(record, Duration::from_secs(10)).await.unwrap();
        }
    }

    /// Waits for so many calls and asserts that each is there once.
    async fn until(&self, count: usize) {
        for _ in 0..300 {
            if column(&self.store, "call", "capability").len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let found = column(&self.store, "call", "capability");
        let distinct: BTreeSet<&String> = found.iter().collect();
        assert_eq!(
            (found.len(), distinct.len()),
            (count, count),
            "{:?}",
            column(&self.store, "integrity", "method")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_recorded_once_over_restarts_and_have_ids_that_stay() {
    let mut rig = Rig::new(3);
    rig.produce(0, 60).await;
    rig.start();
    rig.until(60).await;
    rig.stop().await;
    rig.produce(60, 90).await;
    rig.start();
    rig.until(90).await;
    rig.stop().await;
    assert_eq!(column(&rig.store, "integrity", "method"), Vec::<String>::new());
    let log = rig.store.log("default", Stream::Events).await.unwrap();
    let cursors = log.cursors(COLLECTOR, "calls").unwrap();
    assert_eq!(cursors.len(), 3);
    for value in cursors.values() {
        let place: Place = value.parse().unwrap();
        assert_eq!(place.marks[0].offset, place.next - 1);
    }
    let ids: BTreeSet<String> = column(&rig.store, "call", "event_id").into_iter().collect();
    assert!(ids.len() == 90 && ids.iter().all(|id| id.starts_with("kafka-")), "{ids:?}");
    // Another recorder of the same topic gives the same ids.
    rig.store.close().await.unwrap();
    let other = tempfile::tempdir().unwrap();
    rig.store = open(other.path());
    rig.ingest = ingest(&rig.store);
    let kafka = Kafka { group: "others".to_string(), ..rig.kafka() };
    rig.stop = watch::Sender::new(false);
    rig.task = Some(tokio::spawn(kafka.run(rig.ingest.clone(), rig.stop.subscribe())));
    rig.until(90).await;
    assert_eq!(column(&rig.store, "call", "event_id").into_iter().collect::<BTreeSet<_>>(), ids);
    rig.stop().await;
    drop(rig.dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_read_and_nothing_is_lost() {
    let mut rig = Rig::new(2);
    rig.produce(0, 10).await;
    rig.start();
    rig.until(10).await;
    let all = rig.ingest.shared.admission.reserve("default", ADMISSION_TENANT_BYTES).unwrap();
    rig.produce(10, 40).await;
    tokio::time::sleep(Duration::from_millis(3 * KAFKA_PAUSE_AFTER_MS)).await;
    assert_eq!(column(&rig.store, "call", "capability").len(), 10);
    drop(all);
    rig.until(40).await;
    rig.produce(40, 50).await;
    rig.until(50).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_were_paused_when_they_went_are_read_when_they_come_back() {
    let rig = Rig::new(1);
    let log = rig.store.log("default", Stream::Events).await.unwrap();
    let kafka = rig.kafka();
    let context = Context::new("calls", "m", log, kafka.probe().unwrap());
    let consumer: StreamConsumer<Context> =
        kafka.consumer("m").unwrap().create_with_context(context).unwrap();
    let wait_for = |is_it: fn(&Change) -> bool| {
        let consumer = &consumer;
        async move {
            for _ in 0..100 {
                // Messages are not what this waits for.
                drop(tokio::time::timeout(Duration::from_millis(200), consumer.recv()).await);
                if consumer.context().take_changes().iter().any(is_it) {
                    return;
                }
            }
            panic!("the assignment did not change");
        }
    };
    consumer.subscribe(&["calls"]).unwrap();
    wait_for(|change| matches!(change, Change::Assigned(_))).await;
    consumer.pause(&consumer.assignment().unwrap()).unwrap();
    consumer.unsubscribe();
    wait_for(|change| matches!(change, Change::Revoked(_))).await;
    consumer.subscribe(&["calls"]).unwrap();
    wait_for(|change| matches!(change, Change::Assigned(_))).await;
    rig.produce(0, 1).await;
    let received = tokio::time::timeout(Duration::from_secs(20), consumer.recv()).await;
    assert!(received.unwrap().is_ok());
}
