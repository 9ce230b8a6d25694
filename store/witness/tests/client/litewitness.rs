use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::support::{MemoryLog, ORIGIN, client, cosigned, eventually};

const NAME: &str = "example.com/litewitness";

/// litewitness with its key in an agent.
struct Litewitness {
    programs: PathBuf,
    home: tempfile::TempDir,
    agent: Child,
    witness: Option<Child>,
    fingerprint: String,
    address: SocketAddr,
    vkey: String,
}

impl Litewitness {
    /// `None` where the programs are not to be had; the test is then skipped.
    fn start(log: &MemoryLog) -> Option<Litewitness> {
        let Some(programs) = std::env::var_os("TACHO_GO_WITNESS").map(PathBuf::from) else {
            println!("SKIPPED: litewitness of filippo.io/torchwood could not be had (TACHO_GO_WITNESS)");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        let control = |arguments: &[&str]| {
            let done = Command::new(programs.join("witnessctl"))
                .args(arguments)
                .current_dir(home.path())
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        control(&["add-log", "-origin", ORIGIN]);
        control(&["add-key", "-origin", ORIGIN, "-key", &log.key.to_string()]);
        let mut agent = Command::new(programs.join("go-witness"))
            .args(["agent", "agent.sock"])
            .current_dir(home.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut fingerprint = String::new();
        BufReader::new(agent.stdout.take().unwrap()).read_line(&mut fingerprint).unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut started = Litewitness {
            programs,
            home,
            agent,
            witness: None,
            fingerprint: fingerprint.trim().to_string(),
            address,
            vkey: String::new(),
        };
        started.run();
        Some(started)
    }

    fn run(&mut self) {
        let mut witness = Command::new(self.programs.join("litewitness"))
            .args(["-name", NAME, "-ssh-agent", "agent.sock", "-key", &self.fingerprint])
            .args(["-listen", &self.address.to_string()])
            .current_dir(self.home.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(witness.stderr.take().unwrap()).lines();
        let vkey =
            lines.by_ref().map(Result::unwrap).find_map(|line| Some(line.split_once("vkey=")?.1.to_string()));
        self.vkey = vkey.unwrap().trim().trim_matches('"').to_string();
        // What it says later must go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        self.witness = Some(witness);
        let started = std::time::Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(started.elapsed().as_secs() < 20, "litewitness listens");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn end(&mut self) {
        if let Some(mut witness) = self.witness.take() {
            witness.kill().unwrap();
            witness.wait().unwrap();
        }
    }

    fn policy(&self) -> String {
        format!("witness lite {} http://{}\nquorum lite\n", self.vkey, self.address)
    }

    /// Opens what was kept with golang.org/x/mod/sumdb/note and torchwood; gives the size.
    fn opened(&self, log: &MemoryLog, directory: &Path) -> String {
        let mut verify = Command::new(self.programs.join("go-witness"))
            .args(["verify", &log.key.to_string(), &self.vkey])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let note = std::fs::read(directory.join("cosigned")).unwrap();
        verify.stdin.take().unwrap().write_all(&note).unwrap();
        let done = verify.wait_with_output().unwrap();
        assert!(done.status.success());
        String::from_utf8(done.stdout).unwrap().trim().to_string()
    }
}

impl Drop for Litewitness {
    fn drop(&mut self) {
        self.end();
        self.agent.kill().ok();
        self.agent.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_authors_witness_cosigns_what_grows_and_finds_what_does_not() {
    let log = MemoryLog::new();
    log.grow(5, 0);
    let Some(mut lite) = Litewitness::start(&log) else { return };
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("client");
    // First contact, growth over a whole tile and more, a restart of it.
    let handle = client(&log, &lite.policy(), &kept);
    cosigned(&handle, 5).await;
    log.grow(600, 0);
    cosigned(&handle, 605).await;
    assert_eq!(lite.opened(&log, &kept), "605");
    lite.end();
    log.grow(11, 0);
    eventually("it is away", || handle.status().witnesses[0].failures > 0).await;
    lite.run();
    cosigned(&handle, 616).await;
    handle.shutdown().await;
    // What is remembered here is lost: it says where it is.
    log.grow(11, 0);
    let handle = client(&log, &lite.policy(), &dir.path().join("lost"));
    cosigned(&handle, 627).await;
    handle.shutdown().await;
    assert_eq!(log.stopped(), None);
    // A rollback; a fork that is larger; a fork of the same size.
    for (size, more, expected) in
        [(600, 0, "ever signed"), (600, 100, "two histories"), (626, 1, "two histories")]
    {
        let restored = log.restored(size);
        if more > 0 {
            restored.grow(more, 1);
        }
        let handle = client(&restored, &lite.policy(), &dir.path().join(format!("{size}-{more}")));
        eventually("it is stopped", || restored.stopped().is_some()).await;
        let reason = restored.stopped().unwrap();
        assert!(reason.contains("holds size 627") && reason.contains(expected), "{reason}");
        handle.shutdown().await;
    }
}
