//! Collectors that read: a file, a topic.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ingest::{Error, Ingest, Tail};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Subject, Value, line};

/// A collector at work.
#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    async fn stop(running: Option<Running>) {
        let Running { stop, task } = running.unwrap();
        stop.send_replace(true);
        task.await.unwrap().unwrap();
    }
}

/// A file that grows.
pub struct Tailed {
    path: PathBuf,
    file: File,
    running: Option<Running>,
}

impl Tailed {
    pub fn new(home: &Path) -> Tailed {
        let path = home.join("a.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        Tailed { path, file, running: None }
    }
}

impl Subject for Tailed {
    const NAME: &'static str = "tail";
    const IS_SENT_AGAIN: bool = false;

    fn start(&mut self, ingest: &Ingest) {
        let stop = watch::Sender::new(false);
        let tail = Tail::new("agents", "default", &self.path);
        let task = tokio::spawn(tail.run(ingest.clone(), stop.subscribe()));
        self.running = Some(Running { stop, task });
    }

    async fn give(&mut self, values: &[Value]) -> u64 {
        let text: String = values.iter().map(|value| line(*value, false) + "\n").collect();
        let (begin, end) = text.as_bytes().split_at(text.len() / 2);
        self.file.write_all(begin).unwrap();
        // Longer than it takes to look at the file again: it sees half a line.
        tokio::time::sleep(Duration::from_millis(600)).await;
        self.file.write_all(end).unwrap();
        0
    }

    async fn stop(&mut self) {
        Running::stop(self.running.take()).await;
    }
}

#[cfg(feature = "kafka")]
pub use topic::Topic;

#[cfg(feature = "kafka")]
mod topic {
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};

    use super::*;

    /// A topic of the client library's own small cluster.
    pub struct Topic {
        cluster: MockCluster<'static, DefaultProducerContext>,
        running: Option<Running>,
    }

    impl Topic {
        pub fn new() -> Topic {
            let cluster = MockCluster::new(1).unwrap();
            cluster.create_topic("calls", 3, 1).unwrap();
            Topic { cluster, running: None }
        }
    }

    impl Subject for Topic {
        const NAME: &'static str = "kafka";
        const IS_SENT_AGAIN: bool = false;

        fn start(&mut self, ingest: &Ingest) {
            let stop = watch::Sender::new(false);
            let kafka = crate::kafka::calls(&self.cluster.bootstrap_servers());
            let kafka = ingest::Kafka { dead_letter: None, ..kafka };
            let task = tokio::spawn(kafka.run(ingest.clone(), stop.subscribe()));
            self.running = Some(Running { stop, task });
        }

        async fn give(&mut self, values: &[Value]) -> u64 {
            let mut config = ClientConfig::new();
            let producer: FutureProducer =
                config.set("bootstrap.servers", self.cluster.bootstrap_servers()).create().unwrap();
            for value in values {
                let payload = line(*value, false);
                let key = format!("{value:?}");
                let record = FutureRecord::to("calls").key(key.as_str()).payload(payload.as_str());
                producer.send(record, Duration::from_secs(10)).await.unwrap();
            }
            0
        }

        async fn stop(&mut self) {
            Running::stop(self.running.take()).await;
        }
    }
}
