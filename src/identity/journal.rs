//! Logins and refusals on their way to the access log, without whoever asks having to wait for it.
//!
//! Whoever is not let in must not be able to fill the disk or slow the service: the first refusals of a kind are recorded one
//! by one, through a queue that has an end; all others are counted and recorded as sums once a window. What could not
//! be recorded goes back to the sums, so that nothing is forgotten while the process lives. Whoever is let in is recorded beside
//! all that, in room that no stranger can take.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use query::{Access, AccessLog, Decision, Status};
use schemas::limits;
use schemas::principal::{Principal, Role, STRANGER, network};
use store::Clock;
use tokio::sync::{mpsc, oneshot};

/// Time after which sums are recorded.
const WINDOW: Duration = Duration::from_millis(limits::LOGIN_RECORD_WINDOW_MS);

/// Who a sum of several established principals is of.
const SEVERAL: &str = "several";

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

/// What is summed together in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Summed {
    Kind(Kind),
    /// All kinds that found no room.
    Others {
        is_known: bool,
        is_let_in: bool,
    },
}

/// One tenant's window. Whoever is not established is in a part of its own, so that a flood of strangers takes no room from
/// those who are.
#[derive(Debug, Default)]
struct Window {
    strangers: Part,
    known: Part,
}

#[derive(Debug, Default)]
struct Part {
    recorded: u64,
    sums: HashMap<Kind, Sum>,
    /// Refusals of all kinds that found no room.
    refused: Sum,
    /// Logins of all kinds that found no room.
    let_in: Sum,
}

impl Window {
    fn part(&mut self, is_known: bool) -> &mut Part {
        if is_known { &mut self.known } else { &mut self.strangers }
    }
}

impl Part {
    /// The sum of `kind`, where it is there or has room.
    fn sum(&mut self, kind: &Kind) -> Option<&mut Sum> {
        let is_known = kind.principal.is_some();
        let most = if is_known { limits::LOGIN_KNOWN_SUMMED_MAX } else { limits::LOGIN_SUMMED_MAX };
        let has_room = self.sums.len() < most || self.sums.contains_key(kind);
        if has_room { Some(self.sums.entry(kind.clone()).or_default()) } else { None }
    }

    fn others(&mut self, is_let_in: bool) -> &mut Sum {
        if is_let_in { &mut self.let_in } else { &mut self.refused }
    }

    /// All sums of a window that has ended.
    fn end(self, is_known: bool) -> impl Iterator<Item = (Summed, Sum)> {
        let others = |is_let_in| Summed::Others { is_known, is_let_in };
        let kinds = self.sums.into_iter().map(|(kind, sum)| (Summed::Kind(kind), sum));
        kinds.chain([(others(false), self.refused), (others(true), self.let_in)])
    }
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
        let part = window.part(note.role.is_some());
        let is_full = part.recorded >= limits::LOGIN_RECORDED_MAX;
        let Some(sum) = part.sum(&kind_of(&note)) else {
            part.others(note.code.is_none()).add(1, now_us, now_us);
            return;
        };
        let has_room = !is_full && sum.recorded < limits::LOGIN_RECORDED_EACH_MAX;
        if has_room && self.queue.try_send(Message::Note(note, now_us)).is_ok() {
            sum.recorded += 1;
            part.recorded += 1;
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
                            let what = Summed::Kind(kind_of(&note));
                            self.put_back(&note.tenant, &what, 1, noted_us, noted_us);
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
            for (what, sum) in window.known.end(true).chain(window.strangers.end(false)) {
                if sum.further > 0 && record(access, &summed(&tenant, &what, &sum)).await.is_err() {
                    self.put_back(&tenant, &what, sum.further, sum.first_us, sum.last_us);
                }
            }
        }
    }

    fn put_back(&self, tenant: &str, what: &Summed, further: u64, first_us: i64, last_us: i64) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(tenant.to_string()).or_default();
        let (is_known, is_let_in) = match what {
            Summed::Kind(kind) => (kind.principal.is_some(), kind.code.is_none()),
            Summed::Others { is_known, is_let_in } => (*is_known, *is_let_in),
        };
        let part = window.part(is_known);
        if let Summed::Kind(kind) = what
            && let Some(sum) = part.sum(kind)
        {
            sum.add(further, first_us, last_us);
        } else {
            part.others(is_let_in).add(further, first_us, last_us);
        }
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
fn summed(tenant: &str, what: &Summed, sum: &Sum) -> Note {
    let time = |us: i64| {
        jiff::Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| time.to_string())
    };
    let others = |is_let_in: bool| Kind {
        network: None,
        door: "http",
        action: "login",
        code: (!is_let_in).then_some("unauthenticated"),
        principal: None,
    };
    let (kind, nobody, place) = match what {
        Summed::Kind(kind) => {
            let place = match kind.network {
                Some(IpAddr::V6(network)) => format!("{network}/64"),
                Some(network) => network.to_string(),
                None => "this machine".to_string(),
            };
            (kind.clone(), STRANGER, place)
        }
        Summed::Others { is_known, is_let_in } => {
            let nobody = if *is_known { SEVERAL } else { STRANGER };
            (others(*is_let_in), nobody, "other places".to_string())
        }
    };
    let (principal, role) = kind.principal.map_or((nobody.to_string(), None), |(id, role)| (id, Some(role)));
    let name = if kind.code.is_none() { "logins" } else { "refusals" };
    Note {
        tenant: tenant.to_string(),
        principal,
        role,
        address: kind.network,
        door: kind.door,
        action: kind.action,
        code: kind.code,
        detail: format!(
            "{} more {name} from {place} between {} and {}",
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
