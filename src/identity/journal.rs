//! Logins and refusals on their way to the access log, without whoever asks having to wait for it.
//!
//! Whoever is not let in must not be able to fill the disk or slow the service: the first refusals of a kind are recorded one
//! by one, through a queue that has an end; all others are counted and recorded as sums once a window. What could not
//! be recorded goes back to the sums, so that nothing is forgotten while the process lives.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use query::{Access, AccessLog, Decision, Status};
use schemas::limits;
use schemas::principal::{Principal, Role};
use store::Clock;
use tokio::sync::{mpsc, oneshot};

use super::attempts::network;

/// Time after which sums are recorded.
const WINDOW: Duration = Duration::from_millis(limits::LOGIN_RECORD_WINDOW_MS);

/// Something to record.
#[derive(Debug, Clone)]
pub struct Note {
    /// In whose access log.
    pub tenant: String,
    /// Who, or who it was said to be.
    pub principal: String,
    /// With which role; `None` where that is not established.
    pub role: Option<Role>,
    /// From where.
    pub address: Option<IpAddr>,
    /// Through which door.
    pub door: &'static str,
    /// What was asked.
    pub action: &'static str,
    /// Stable code of the refusal; `None` where it was let through.
    pub code: Option<&'static str>,
    /// What there is to say; never a secret.
    pub detail: String,
}

/// What is summed as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    network: Option<IpAddr>,
    door: &'static str,
    action: &'static str,
    code: Option<&'static str>,
    /// Only where it is established: otherwise it is the stranger's to choose.
    principal: Option<(String, Role)>,
}

/// Notes of one kind within a window.
#[derive(Debug, Clone, Default)]
struct Sum {
    recorded: u64,
    further: u64,
    first_us: i64,
    last_us: i64,
}

impl Sum {
    fn add(&mut self, further: u64, first_us: i64, last_us: i64) {
        if self.further == 0 {
            self.first_us = first_us;
        }
        self.first_us = self.first_us.min(first_us);
        self.last_us = self.last_us.max(last_us);
        self.further = self.further.saturating_add(further);
    }
}

/// One tenant's window.
#[derive(Debug, Default)]
struct Window {
    recorded: u64,
    sums: HashMap<Kind, Sum>,
    /// Of all kinds that found no room.
    others: Sum,
}

#[derive(Debug)]
enum Message {
    Note(Note, i64),
    End(oneshot::Sender<()>),
}

/// The way to the access log; cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    queue: mpsc::Sender<Message>,
    windows: Arc<Mutex<HashMap<String, Window>>>,
    clock: Arc<dyn Clock>,
}

impl Journal {
    /// Starts the task that writes.
    pub fn start(access: AccessLog, clock: Arc<dyn Clock>) -> Journal {
        let (queue, notes) = mpsc::channel(limits::LOGIN_QUEUE_MAX);
        let windows = Arc::new(Mutex::new(HashMap::new()));
        let journal = Journal { queue, windows, clock };
        tokio::spawn(journal.clone().run(access, notes));
        journal
    }

    /// Takes a note and returns at once.
    pub fn note(&self, note: Note) {
        let now_us = self.clock.wall_us();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(note.tenant.clone()).or_default();
        let kind = kind_of(&note);
        if !window.sums.contains_key(&kind) && window.sums.len() >= limits::LOGIN_SUMMED_MAX {
            window.others.add(1, now_us, now_us);
            return;
        }
        let sum = window.sums.entry(kind).or_default();
        let has_room =
            sum.recorded < limits::LOGIN_RECORDED_EACH_MAX && window.recorded < limits::LOGIN_RECORDED_MAX;
        if has_room && self.queue.try_send(Message::Note(note, now_us)).is_ok() {
            sum.recorded += 1;
            window.recorded += 1;
        } else {
            sum.add(1, now_us, now_us);
        }
    }

    /// Records what is queued and all sums; what is noted afterwards is not recorded.
    ///
    /// # Errors
    /// When the task is gone.
    pub async fn finish(&self) -> Result<()> {
        let (ended, end) = oneshot::channel();
        self.queue.send(Message::End(ended)).await.context("the journal of logins is gone")?;
        end.await.context("the journal of logins is gone")
    }

    async fn run(self, access: AccessLog, mut notes: mpsc::Receiver<Message>) {
        let mut windows = tokio::time::interval(WINDOW);
        // The first tick of an interval comes at once.
        windows.reset();
        windows.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = notes.recv() => match message {
                    Some(Message::Note(note, noted_us)) => {
                        if record(&access, &note).await.is_err() {
                            self.put_back(&note.tenant, Some(kind_of(&note)), 1, noted_us, noted_us);
                        }
                    }
                    Some(Message::End(ended)) => {
                        self.record_sums(&access).await;
                        // An error means that no one waits for it any more.
                        ended.send(()).ok();
                        return;
                    }
                    None => return,
                },
                _ = windows.tick() => self.record_sums(&access).await,
            }
        }
    }

    /// Records the sums of all windows and begins new ones.
    async fn record_sums(&self, access: &AccessLog) {
        let ended = std::mem::take(&mut *self.windows.lock().unwrap_or_else(PoisonError::into_inner));
        for (tenant, window) in ended {
            let kinds = window.sums.into_iter().map(|(kind, sum)| (Some(kind), sum));
            for (kind, sum) in kinds.chain([(None, window.others)]) {
                if sum.further > 0 && record(access, &summed(&tenant, kind.as_ref(), &sum)).await.is_err() {
                    self.put_back(&tenant, kind, sum.further, sum.first_us, sum.last_us);
                }
            }
        }
    }

    fn put_back(&self, tenant: &str, kind: Option<Kind>, further: u64, first_us: i64, last_us: i64) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(tenant.to_string()).or_default();
        let has_room = window.sums.len() < limits::LOGIN_SUMMED_MAX;
        let sum = match kind {
            Some(kind) if has_room || window.sums.contains_key(&kind) => window.sums.entry(kind).or_default(),
            _ => &mut window.others,
        };
        sum.add(further, first_us, last_us);
    }
}

fn kind_of(note: &Note) -> Kind {
    Kind {
        network: note.address.map(network),
        door: note.door,
        action: note.action,
        code: note.code,
        principal: note.role.map(|role| (note.principal.clone(), role)),
    }
}

/// One entry for many.
fn summed(tenant: &str, kind: Option<&Kind>, sum: &Sum) -> Note {
    let time = |us: i64| {
        jiff::Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| time.to_string())
    };
    let what = if kind.is_some_and(|kind| kind.code.is_none()) { "logins" } else { "refusals" };
    let place = match kind {
        Some(Kind { network: Some(IpAddr::V6(network)), .. }) => format!("{network}/64"),
        Some(Kind { network: Some(network), .. }) => network.to_string(),
        Some(Kind { network: None, .. }) => "this machine".to_string(),
        None => "other places".to_string(),
    };
    let known = kind.and_then(|kind| kind.principal.clone());
    Note {
        tenant: tenant.to_string(),
        principal: known.as_ref().map_or_else(|| super::STRANGER.to_string(), |(id, _)| id.clone()),
        role: known.map(|(_, role)| role),
        address: kind.and_then(|kind| kind.network),
        door: kind.map_or("http", |kind| kind.door),
        action: kind.map_or("login", |kind| kind.action),
        code: kind.map_or(Some("unauthenticated"), |kind| kind.code),
        detail: format!(
            "{} more {what} from {place} between {} and {}",
            sum.further,
            time(sum.first_us),
            time(sum.last_us)
        ),
    }
}

async fn record(access: &AccessLog, note: &Note) -> query::Result<()> {
    let principal = Principal {
        id: note.principal.clone(),
        role: note.role.unwrap_or(Role::Operator),
        tenant: note.tenant.clone(),
        source_ip: note.address.map(|address| address.to_string()),
        door: note.door,
    };
    let id = access.new_query_id();
    let status = if note.code.is_some() { Status::Error } else { Status::Ok };
    let entry = Access {
        decision: if note.code.is_some() { Decision::Deny } else { Decision::Allow },
        error_code: note.code,
        detail: Some(note.detail.clone()),
        is_role_known: note.role.is_some(),
        ..Access::outcome(&principal, &id, note.action, status)
    };
    access.record(entry).await
}

#[cfg(test)]
mod tests;
