use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use sinks::{Message, Transport};

use super::certificates::Certificates;
use super::support::{message, messages, open, reason, settle, told, with_body};

/// A receiver that is killed and comes back.
struct Daemon {
    command: Vec<String>,
    home: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Daemon {
    fn start(&mut self) {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.home.join("daemon.log")).unwrap();
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).current_dir(&self.home);
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("daemon.log")).unwrap_or_default()
    }

    /// The lines that it has written, once there are as many.
    async fn lines(&self, count: usize) -> Vec<String> {
        let started = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.home.join("out")).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_string).collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{} of {count}\n{}",
                lines.len(),
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program(name: &str) -> Option<String> {
    let Some(programs) = std::env::var_os("TACHO_SHIPPERS").map(PathBuf::from) else {
        println!("SKIPPED: no rsyslog and syslog-ng (TACHO_SHIPPERS)");
        return None;
    };
    Some(programs.join(name).display().to_string())
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn rsyslog(home: &Path, is_tls: bool) -> Option<Daemon> {
    let (program, port) = (program("rsyslogd")?, free_port());
    let (of_tls, of_module) = if is_tls {
        let file = |name: &str| home.join(name).display().to_string();
        let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
        (
            format!(
                "global(defaultNetstreamDriver=\"ossl\" defaultNetstreamDriverCAFile=\"{ca}\"\n  \
                 defaultNetstreamDriverCertFile=\"{cert}\" defaultNetstreamDriverKeyFile=\"{key}\")\n"
            ),
            " streamDriver.name=\"ossl\" streamDriver.mode=\"1\" streamDriver.authMode=\"x509/certvalid\"",
        )
    } else {
        Default::default()
    };
    let config = format!(
        "global(maxMessageSize=\"64k\" workDirectory=\"{}\")\n{of_tls}module(load=\"imtcp\"{of_module})\n\
         template(name=\"line\" type=\"string\" string=\"%pri%|%timereported:::date-rfc3339%|%hostname%|%app-name%|%procid%|%msgid%|%structured-data%|%msg%\\n\")\n\
         input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
         action(type=\"omfile\" file=\"{}\" template=\"line\")\n",
        home.display(),
        home.join("out").display()
    );
    std::fs::write(home.join("rsyslog.conf"), config).unwrap();
    let pid = home.join("pid").display().to_string();
    let command: Vec<String> =
        [program.as_str(), "-n", "-f", "rsyslog.conf", "-i", &pid].map(str::to_string).to_vec();
    if is_tls {
        let checked =
            Command::new(&command[0]).args(["-N1", "-f", "rsyslog.conf"]).current_dir(home).output().unwrap();
        let text = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
        let module = Path::new(&program).parent().unwrap().parent().unwrap().join("usr/lib");
        if text.contains("ossl") || !has_module(&module, "lmnsd_ossl.so") {
            println!("SKIPPED: rsyslog has no TLS (package rsyslog-openssl)");
            return None;
        }
    }
    Some(Daemon { command, home: home.to_path_buf(), port, child: None })
}

/// Whether a file of this name is somewhere below.
fn has_module(dir: &Path, name: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return false };
    entries.map(|entry| entry.unwrap().path()).any(|path| {
        path.file_name().is_some_and(|found| found == name) || (path.is_dir() && has_module(&path, name))
    })
}

fn syslog_ng(home: &Path, is_tls: bool) -> Option<Daemon> {
    let (program, port) = (program("syslog-ng")?, free_port());
    let transport = if is_tls {
        let file = |name: &str| home.join(name).display().to_string();
        let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
        format!(
            "transport(\"tls\") tls(key-file(\"{key}\") cert-file(\"{cert}\") ca-file(\"{ca}\") peer-verify(required-trusted))"
        )
    } else {
        "transport(\"tcp\")".to_string()
    };
    let config = format!(
        "@version: 3.38\noptions {{ log-msg-size(65536); keep-hostname(yes); frac-digits(6); time-reopen(1); }};\n\
         source receiver {{ syslog(ip(\"127.0.0.1\") port({port}) {transport}); }};\n\
         destination file {{ file(\"{}\" template(\"$PRI|$ISODATE|$HOST|$PROGRAM|$PID|$MSGID|$SDATA|$MSG\\n\")); }};\n\
         log {{ source(receiver); destination(file); }};\n",
        home.join("out").display()
    );
    std::fs::write(home.join("syslog-ng.conf"), config).unwrap();
    let command = [
        program.as_str(),
        "-F",
        "--stderr",
        "-f",
        "syslog-ng.conf",
        "-R",
        "persist",
        "-c",
        "control",
        "-p",
        "pid",
    ];
    Some(Daemon {
        command: command.map(str::to_string).to_vec(),
        home: home.to_path_buf(),
        port,
        child: None,
    })
}

fn id(line: &str) -> &str {
    line.split_once(" id=\"").unwrap().1.split_once('"').unwrap().0
}

async fn receives(name: &str, mut daemon: Daemon, table: &str) {
    daemon.start();
    let mut sink: Box<dyn Transport> = open("syslog", table);
    let odd =
        Message { id: "a\"b]c\\d".to_string(), body: "Gr\u{fc}\u{df}e [x] \"y\" | z".into(), ..message(1) };
    let long = with_body(2, &format!("Z{}", "\u{fc}".repeat(20_000)));
    let fates = sink.deliver(&[odd, long]).await;
    assert_eq!(told(&fates), "TT", "{fates:?}\n{}", daemon.log());
    let lines = daemon.lines(2).await;
    let line = &lines[0];
    assert!(
        line.starts_with("107|2026-11-30T16:00:00.000001+00:00|")
            || line.starts_with("107|2026-11-30T16:00:00.000001Z|"),
        "{line}"
    );
    assert!(
        line.contains("|tachograph|-|alert|[tachograph@32473 ")
            || line.contains("|tachograph||alert|[tachograph@32473 "),
        "{line}"
    );
    assert!(line.contains(r#"id="a\"b\]c\\d""#) && line.contains(r#"log_index="1""#), "{line}");
    assert!(line.ends_with("Gr\u{fc}\u{df}e [x] \"y\" | z"), "{line}");
    assert_eq!(lines[1].matches('\u{fc}').count(), 20_000, "not cut");
    assert!(settle(&mut *sink, &messages(10..200)).await.is_empty());
    let mut expected = 192;
    daemon.lines(expected).await;
    for round in 0..3 {
        daemon.kill();
        if round != 1 {
            // It is away: told, and nothing lost. In the other round it comes back unnoticed.
            let fates = sink.deliver(&messages(200..201)).await;
            assert_eq!(told(&fates), "a", "{fates:?}");
            assert!(!reason(&fates).is_empty());
        }
        daemon.start();
        let from = 300 + 100 * round;
        assert!(settle(&mut *sink, &messages(from..from + 50)).await.is_empty());
        expected += 50;
        let lines = daemon.lines(expected).await;
        let last: Vec<&str> = lines[expected - 50..].iter().map(|line| id(line)).collect();
        let sent: Vec<String> = (from..from + 50).map(|number| format!("alert-{number}-1")).collect();
        assert_eq!(last, sent, "{name}: in order, and each once");
    }
    println!("{name}: {expected} messages, 3 kills: each there once");
}

#[tokio::test]
async fn rsyslog_takes_them_over_tcp() {
    let home = tempfile::tempdir().unwrap();
    let Some(daemon) = rsyslog(home.path(), false) else { return };
    let table = format!("address = \"127.0.0.1:{}\"\nprotocol = \"tcp\"", daemon.port);
    receives("rsyslog over TCP", daemon, &table).await;
}

#[tokio::test]
async fn rsyslog_takes_them_over_tls() {
    let home = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(home.path());
    let Some(daemon) = rsyslog(home.path(), true) else { return };
    let table = format!("address = \"127.0.0.1:{}\"\n{}", daemon.port, certificates.table());
    receives("rsyslog over TLS", daemon, &table).await;
}

#[tokio::test]
async fn syslog_ng_takes_them_over_tcp() {
    let home = tempfile::tempdir().unwrap();
    let Some(daemon) = syslog_ng(home.path(), false) else { return };
    let table = format!("address = \"127.0.0.1:{}\"\nprotocol = \"tcp\"", daemon.port);
    receives("syslog-ng over TCP", daemon, &table).await;
}

#[tokio::test]
async fn syslog_ng_takes_them_over_tls() {
    let home = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(home.path());
    let Some(daemon) = syslog_ng(home.path(), true) else { return };
    let table = format!("address = \"127.0.0.1:{}\"\n{}", daemon.port, certificates.table());
    receives("syslog-ng over TLS", daemon, &table).await;
}
