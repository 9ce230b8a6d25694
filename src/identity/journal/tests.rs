use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use query::Journal as Appends;
use redact::Redactor;
use schemas::Stream;
use store::Draft;
use store::clock::SystemClock;

use super::*;

/// Takes entries as the store would, slowly or not at all if told so.
#[derive(Default)]
struct Kept {
    entries: Mutex<Vec<(String, String, String)>>,
    /// Principal and decision of each.
    who: Mutex<Vec<(String, String)>>,
    is_broken: AtomicBool,
    delay_ms: AtomicU64,
}

#[async_trait::async_trait]
impl Appends for Kept {
    async fn append(&self, tenant: &str, draft: Draft) -> store::Result<()> {
        tokio::time::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))).await;
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(store::Error::Poisoned { reason: "told so".to_string() });
        }
        let text = |name: &str| {
            let at = draft.entries.schema().index_of(name).unwrap();
            let column = draft.entries.column(at).clone();
            let column = column.as_any().downcast_ref::<arrow::array::StringArray>().unwrap().clone();
            column.iter().next().flatten().unwrap_or("").to_string()
        };
        self.entries.lock().unwrap().push((tenant.to_string(), text("error_code"), text("detail")));
        self.who.lock().unwrap().push((text("principal"), text("decision")));
        let is_established = !["unknown", "several"].contains(&text("principal").as_str());
        assert_eq!(!text("role").is_empty(), is_established, "a stranger has no role");
        Ok(())
    }
}

fn start(kept: &Arc<Kept>) -> Journal {
    let access = AccessLog::new(
        Arc::clone(kept) as Arc<dyn Appends>,
        Arc::new(Redactor::new([7; 32])),
        Arc::new(|| 1_780_000_000_000_000),
        Arc::new(|| uuid::Uuid::now_v7().to_string()),
    );
    assert!(Stream::Access.column("role").is_some());
    Journal::start(access, Arc::new(SystemClock::new()))
}

fn refusal(address: &str, code: &'static str) -> Note {
    Note {
        tenant: "default".to_string(),
        principal: "unknown".to_string(),
        role: None,
        address: Some(address.parse().unwrap()),
        door: "http",
        action: "login",
        code: Some(code),
        detail: "one".to_string(),
    }
}

/// What was counted by an entry that sums, or one.
fn counted(detail: &str) -> u64 {
    detail.split_once(" more ").map_or(1, |(number, _)| number.parse().unwrap())
}

#[tokio::test]
async fn a_flood_is_a_few_entries_and_their_sum() {
    let kept = Arc::new(Kept::default());
    let journal = start(&kept);
    for _ in 0..1000 {
        journal.note(refusal("192.0.2.1", "wrong_secret"));
    }
    journal.note(refusal("192.0.2.1", "no_credential"));
    journal.note(Note { tenant: "acme".to_string(), ..refusal("192.0.2.1", "wrong_secret") });
    journal.finish().await.unwrap();
    let entries = kept.entries.lock().unwrap().clone();
    let wrong: Vec<_> =
        entries.iter().filter(|(tenant, code, _)| tenant == "default" && code == "wrong_secret").collect();
    assert_eq!(wrong.len(), limits::LOGIN_RECORDED_EACH_MAX as usize + 1, "{wrong:?}");
    assert_eq!(wrong.iter().map(|(_, _, detail)| counted(detail)).sum::<u64>(), 1000);
    assert!(wrong.last().unwrap().2.contains("more refusals from 192.0.2.1 between 2"), "{wrong:?}");
    assert_eq!(entries.len(), wrong.len() + 2);
}

#[tokio::test]
async fn a_flood_from_everywhere_is_bounded_and_counted() {
    let kept = Arc::new(Kept::default());
    let journal = start(&kept);
    for at in 0..5000u32 {
        let address = IpAddr::from((0x0a00_0000u32 + at).to_be_bytes()).to_string();
        journal.note(refusal(&address, "unknown_token"));
    }
    journal.finish().await.unwrap();
    let entries = kept.entries.lock().unwrap().clone();
    let most = limits::LOGIN_RECORDED_MAX as usize + limits::LOGIN_SUMMED_MAX + 1;
    assert!(entries.len() <= most, "{} entries", entries.len());
    assert_eq!(entries.iter().map(|(_, _, detail)| counted(detail)).sum::<u64>(), 5000);
}

#[tokio::test]
async fn a_slow_or_broken_log_holds_no_one_up_and_loses_no_count() {
    let kept = Arc::new(Kept::default());
    kept.delay_ms.store(50, Ordering::Relaxed);
    kept.is_broken.store(true, Ordering::Relaxed);
    let journal = start(&kept);
    for at in 0..300 {
        // Never waits: this is no async function.
        journal.note(refusal(&format!("192.0.2.{}", at % 100), "wrong_secret"));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(kept.entries.lock().unwrap().is_empty());
    kept.is_broken.store(false, Ordering::Relaxed);
    kept.delay_ms.store(0, Ordering::Relaxed);
    journal.finish().await.unwrap();
    let entries = kept.entries.lock().unwrap().clone();
    assert_eq!(entries.iter().map(|(_, _, detail)| counted(detail)).sum::<u64>(), 300);
}

/// However many strangers fail, whoever is let in is on record by name; and what finds no room is summed by what became of it.
#[tokio::test]
async fn a_flood_hides_no_login() {
    let kept = Arc::new(Kept::default());
    let journal = start(&kept);
    for at in 0..5000u32 {
        let address = IpAddr::from((0x0a00_0000u32 + at).to_be_bytes()).to_string();
        journal.note(refusal(&address, "unknown_token"));
    }
    let login = |id: &str| Note {
        principal: id.to_string(),
        role: Some(Role::Auditor),
        code: None,
        ..refusal("192.0.2.1", "")
    };
    journal.note(login("o-alice"));
    let forbidden = Note { code: Some("forbidden"), ..login("o-alice") };
    journal.note(forbidden);
    journal.finish().await.unwrap();
    let who = kept.who.lock().unwrap().clone();
    let of_alice: Vec<&str> =
        who.iter().filter(|(id, _)| id == "o-alice").map(|(_, decision)| decision.as_str()).collect();
    assert_eq!(of_alice, ["allow", "deny"], "{who:?}");
    assert!(who.iter().filter(|(id, _)| id == "unknown").all(|(_, decision)| decision == "deny"));

    let kept = Arc::new(Kept::default());
    let journal = start(&kept);
    let most = limits::LOGIN_KNOWN_SUMMED_MAX;
    for at in 0..most + 7 {
        journal.note(login(&format!("o-{at}")));
    }
    journal.note(Note { code: Some("forbidden"), ..login("o-last") });
    journal.finish().await.unwrap();
    let (who, entries) = (kept.who.lock().unwrap().clone(), kept.entries.lock().unwrap().clone());
    let summed = |decision: &str| -> u64 {
        let of = who
            .iter()
            .zip(&entries)
            .filter(|(who, _)| **who == ("several".to_string(), decision.to_string()));
        of.map(|(_, (_, _, detail))| counted(detail)).sum()
    };
    assert_eq!((summed("allow"), summed("deny")), (7, 1));
    assert_eq!(entries.iter().map(|(_, _, detail)| counted(detail)).sum::<u64>(), most as u64 + 8);
}
