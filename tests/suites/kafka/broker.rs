//! A real broker of one node, its topics, and its own clients to write and read them.

#![allow(dead_code, reason = "two suites have it, and each uses its part")]

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Apache Kafka in KRaft mode.
pub struct Broker {
    jars: PathBuf,
    home: PathBuf,
    port: u16,
    child: Option<Child>,
}

/// An id in the spelling of the cluster's tools, of this process and moment alone: what another test left behind under the
/// same port is another cluster.
fn cluster_id() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let bits = now ^ (u128::from(std::process::id()) << 64);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";
    // 16 bytes in 22 digits; the last has two bits alone, and none begins with what a flag begins with.
    let digit = |at: u32| char::from(alphabet[usize::try_from((bits >> (at * 5)) & 31).unwrap()]);
    (0..21).map(digit).chain(['A']).collect()
}

/// A port that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Broker {
    /// Starts one under `home`, if its jars are here.
    pub fn start(home: &Path) -> Option<Broker> {
        Broker::start_with(home, &[])
    }

    /// One that also listens with TLS and logins, where `<home>/broker.pem` has its key and certificate: user `recorder` with this
    /// password. Its second address.
    pub fn start_secured(home: &Path, password: &str) -> Option<(Broker, String)> {
        let port = free_port();
        let keystore = home.join("broker.pem");
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
        let settings = format!(
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT\n\
             ssl.keystore.type=PEM\nssl.keystore.location={}\nsasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config={plain} required user_recorder=\"{password}\";\n\
             listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={scram} required;\n",
            keystore.display()
        );
        let secure = format!("SASL_SSL://127.0.0.1:{port}");
        let login = format!("SCRAM-SHA-256=[name=recorder,password={password}]");
        let broker = Broker::start_with(home, &[&secure, &settings, &login])?;
        Some((broker, format!("127.0.0.1:{port}")))
    }

    /// `secured`: a listener, settings, and a login to begin with.
    fn start_with(home: &Path, secured: &[&str]) -> Option<Broker> {
        let Some(jars) = std::env::var_os("TACHO_KAFKA_JARS").map(PathBuf::from) else {
            println!(
                "SKIPPED: TACHO_KAFKA_JARS names no jars of Apache Kafka (tests/run gets them with Maven and Java 17)"
            );
            return None;
        };
        let (port, controller) = (free_port(), free_port());
        let data = home.join("kafka");
        let (listener, more) = match secured {
            [listener, more, ..] => (format!(",{listener}"), *more),
            _ => Default::default(),
        };
        let settings = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port}{listener},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}{listener}\n{more}controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\nlog.dirs={}\noffsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=4\ntransaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
            data.display()
        );
        std::fs::write(home.join("server.properties"), settings).unwrap();
        let mut broker = Broker { jars, home: home.to_path_buf(), port, child: None };
        let properties = home.join("server.properties").display().to_string();
        let id = cluster_id();
        let mut arguments = vec!["format", "-t", &id, "-c", &properties];
        secured.iter().skip(2).for_each(|login| arguments.extend(["--add-scram", login]));
        let formatted = broker.java("kafka.tools.StorageTool", &arguments).output();
        assert!(formatted.as_ref().is_ok_and(|output| output.status.success()), "{formatted:?}");
        broker.run();
        Some(broker)
    }

    fn java(&self, class: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
        command.arg(format!("{}/*", self.jars.display())).arg(class).args(arguments);
        command
    }

    /// Starts it and waits until it answers.
    pub fn run(&mut self) {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.home.join("kafka.log")).unwrap();
        let properties = self.home.join("server.properties").display().to_string();
        let mut command = self.java("kafka.Kafka", &[&properties]);
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let child = self.child.as_mut().unwrap();
            // Whatever listens there: it is not the broker when that has ended.
            assert_eq!(child.try_wait().unwrap(), None, "the broker ended; see kafka.log");
            assert!(started.elapsed() < Duration::from_secs(60), "the broker does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends it as a machine does that loses power.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn create(&self, topic: &str, partitions: u32) {
        self.create_with(topic, partitions, &[]);
    }

    /// The same, with settings of the topic.
    pub fn create_with(&self, topic: &str, partitions: u32, settings: &[&str]) {
        let partitions = partitions.to_string();
        let mut arguments = vec!["--create", "--topic", topic, "--partitions", &partitions];
        settings.iter().for_each(|setting| arguments.extend(["--config", setting]));
        self.ask("org.apache.kafka.tools.TopicCommand", &arguments);
    }

    /// Deletes a topic; its name is free once it is gone.
    pub fn delete(&self, topic: &str) {
        self.ask("org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", topic]);
        let listed = || self.ask("org.apache.kafka.tools.TopicCommand", &["--list"]);
        while listed().lines().any(|line| line == topic) {
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// As retention does: what lies below `offset` is gone.
    pub fn remove_below(&self, topic: &str, partition: u32, offset: u64) {
        let file = self.home.join("below.json");
        let text = format!(
            "{{\"partitions\": [{{\"topic\": \"{topic}\", \"partition\": {partition}, \"offset\": {offset}}}], \"version\": 1}}"
        );
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        self.ask("org.apache.kafka.tools.DeleteRecordsCommand", &["--offset-json-file", &file]);
    }

    /// As an election does of a replica that is behind: while the broker is down, the end of a partition is cut off.
    pub fn cut(&self, topic: &str, partition: u32, keeps: fn(u64) -> u64) {
        assert!(self.child.is_none(), "only of one that is down");
        let log =
            self.home.join("kafka").join(format!("{topic}-{partition}")).join("00000000000000000000.log");
        let file = std::fs::OpenOptions::new().write(true).open(&log).unwrap();
        file.set_len(keeps(file.metadata().unwrap().len())).unwrap();
    }

    /// Where each partition of a topic ends: `topic:partition:offset` lines.
    pub fn ends(&self, topic: &str) -> String {
        self.ask("org.apache.kafka.tools.GetOffsetShell", &["--topic", topic])
    }

    /// Runs one of its tools; what that says.
    fn ask(&self, class: &str, arguments: &[&str]) -> String {
        let address = self.address();
        let mut all = vec!["--bootstrap-server", &address];
        all.extend(arguments);
        let output = self.java(class, &all).output().unwrap();
        assert!(output.status.success(), "{class} {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Writes `key|value` lines to a topic; returns once the broker has them.
    pub fn produce(&self, topic: &str, lines: &[String]) {
        let address = self.address();
        let mut child = self
            .java(
                "org.apache.kafka.tools.ConsoleProducer",
                &[
                    "--bootstrap-server",
                    &address,
                    "--topic",
                    topic,
                    "--property",
                    "parse.key=true",
                    "--property",
                    "key.separator=|",
                ],
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
    }

    /// Everything in a topic: headers and value of each record.
    pub fn consume(&self, topic: &str) -> Vec<String> {
        let ends = self.ends(topic);
        let end = |line: &str| line.rsplit(':').next().unwrap().parse::<usize>().unwrap();
        let count = ends.lines().map(end).sum::<usize>();
        if count == 0 {
            return Vec::new();
        }
        let count = count.to_string();
        // It ends after so many, and is slow to begin where the machine is: the time is for what transactions leave.
        let address = self.address();
        let output = self
            .java(
                "org.apache.kafka.tools.consumer.ConsoleConsumer",
                &[
                    "--bootstrap-server",
                    &address,
                    "--topic",
                    topic,
                    "--from-beginning",
                    "--max-messages",
                    &count,
                    "--timeout-ms",
                    "30000",
                    "--property",
                    "print.headers=true",
                ],
            )
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_string).collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
