use std::sync::Mutex;

use query::AccessLog;
use redact::Redactor;
use schemas::principal::Role;
use store::Draft;
use store::clock::SystemClock;

use super::*;
use crate::identity::{Journal, Settings, Tokens};

const COLUMNS: [&str; 7] = ["door", "action", "decision", "status", "error_code", "principal", "source_ip"];

/// What the access log took: these columns of each entry.
#[derive(Default)]
struct Kept(Mutex<Vec<[String; 7]>>);

#[async_trait::async_trait]
impl query::Journal for Kept {
    async fn append(&self, _tenant: &str, draft: Draft) -> store::Result<()> {
        let text = |name: &str| {
            let column = draft.entries.column_by_name(name).unwrap();
            let column = column.as_any().downcast_ref::<arrow::array::StringArray>().unwrap();
            column.iter().next().flatten().unwrap_or("").to_string()
        };
        self.0.lock().unwrap().push(COLUMNS.map(text));
        Ok(())
    }
}

#[tokio::test]
async fn a_password_that_is_not_taken_is_on_the_access_log_with_this_door() {
    let (dir, kept, clock) = (tempfile::tempdir().unwrap(), Arc::new(Kept::default()), SystemClock::new());
    let clock: Arc<dyn store::Clock> = Arc::new(clock);
    let access = AccessLog::new(
        Arc::clone(&kept) as _,
        Arc::new(Redactor::new([7; 32])),
        Arc::new(|| 1_780_000_000_000_000),
        Arc::new(|| uuid::Uuid::now_v7().to_string()),
    );
    let journal = Journal::start(access, Arc::clone(&clock));
    let tokens = Tokens::open(dir.path(), 0).unwrap();
    let (record, token) = tokens.create(Role::Auditor, "default", None, 0).unwrap();
    let identity = Identity::new(&Settings::default(), tokens, journal.clone(), clock).unwrap();
    let authenticate = authenticate(identity);
    let ask = async |password: &str| {
        let login = Login {
            user: "me".to_string(),
            password: password.to_string(),
            source_ip: "192.0.2.1".to_string(),
        };
        authenticate(login).await
    };
    let wrong = format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { "Q" } else { "A" });
    for password in [wrong.as_str(), "secret"] {
        assert_eq!(ask(password).await.unwrap_err(), Refusal);
    }
    ask(&token).await.unwrap();
    journal.finish().await.unwrap();
    let seen = kept.0.lock().unwrap().clone();
    let expected = [
        ["pg", "login", "deny", "error", "wrong_secret", record.id.as_str(), "192.0.2.1"],
        ["pg", "login", "deny", "error", "malformed_credential", "unknown", "192.0.2.1"],
        ["pg", "login", "allow", "ok", "", record.id.as_str(), "192.0.2.1"],
    ];
    assert_eq!(seen, expected.map(|entry| entry.map(str::to_string)));
}
