//! What an open session has done so far, with the names of what is most surprising in it.

use std::collections::BTreeSet;

use schemas::limits::{ENGINE_EVIDENCE_MAX, ENGINE_SESSION_NAMES_MAX};
use serde::{Deserialize, Serialize};

use super::scores::Scores;
use super::tools::Tools;
use crate::bits;
use crate::entity::{Entity, Level, bounded};
use crate::filings::Told;
use crate::novelty::{Element, Peers, Session, distinct};
use crate::record::{Event, Record};

/// One element of a call and how to name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed<'a> {
    pub element: Element,
    name: Name<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Name<'a> {
    Tool(&'a str, &'a str),
    Destination(&'a str),
}

impl Deed<'_> {
    pub fn tool<'a>(record: &Record<'a>, capability: &'a str, tools: &mut Tools) -> Deed<'a> {
        let server = record.server.unwrap_or_default();
        let name = Name::Tool(server, capability);
        Deed { element: tools.element(server, capability), name }
    }

    pub fn destinations<'a>(record: &Record<'a>) -> Vec<Deed<'a>> {
        if record.destinations.is_empty() {
            return Vec::new();
        }
        distinct(record.destinations)
            .map(|item| Deed { element: Element::destination(item), name: Name::Destination(item) })
            .collect()
    }

    /// Where a destination is: a hash, so only for who needs it.
    fn place(&self) -> Option<Element> {
        match self.name {
            Name::Tool(..) => None,
            Name::Destination(item) => Some(Element::place(item)),
        }
    }

    pub fn in_words(&self) -> String {
        match self.name {
            Name::Tool("", capability) => format!("tool {}", bounded(capability)),
            Name::Tool(server, capability) => format!("tool {}/{}", bounded(server), bounded(capability)),
            Name::Destination(item) => {
                let mut parts = item.rsplitn(3, ':');
                match (parts.next(), parts.next(), parts.next()) {
                    (Some(fingerprint), Some(class), Some(argument)) => {
                        format!("{} {} in {}", bounded(class), bounded(fingerprint), bounded(argument))
                    }
                    _ => format!("destination {}", bounded(item)),
                }
            }
        }
    }
}

/// Injective name of a tool: no server's name and capability are another's.
pub(super) fn tool_key(server: &str, capability: &str) -> String {
    format!("{}:{server}{capability}", server.len())
}

/// Whose records a session gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Gathers {
    /// One session of the source's.
    Own,
    /// First records of a principal's sessions in one workflow.
    Loose,
    /// First records of a principal's sessions in whatever workflow: naming another one each time begins no new session of these.
    Wide,
}

/// An element and its name, kept while its session is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    element: Element,
    /// By what was known when it came.
    #[serde(with = "bits")]
    surprise: f64,
    name: String,
}

/// What is remembered of an open session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Collected {
    pub entity: Entity,
    pub session: Session,
    /// Whose records it gathers.
    pub gathers: Gathers,
    /// Whether a wide session holds what no loose session of one workflow does: otherwise that one is judged, and this one is not.
    is_mixed: bool,
    workflow: Option<String>,
    /// Elements and places that only denied calls had: they are judged and not learnt.
    denied: BTreeSet<Element>,
    /// Whether any call was let pass.
    pub is_admitted: bool,
    /// Whether a call was said to be destructive, or of high risk.
    pub is_risky: bool,
    /// Destructive tools that its principal had not used before, the first one by name.
    pub first_destructive: Option<String>,
    /// The most surprising first.
    named: Vec<Named>,
    /// The number of elements at which it is looked at next.
    check_at: usize,
    /// Log index of its last record.
    pub last_index: i64,
    /// The highest scores of all looks at it: a session that is looked at ten times has ten chances to surprise.
    pub most: Scores,
    /// Looks at it while it was open.
    pub looks: u32,
    /// [`Collected::last_index`] when an episode was last opened for it.
    told_at: i64,
    /// When it was told last.
    pub told: Told,
    /// Records that brought something notable: how many, the first of them by log index, and their times.
    pub notable: i64,
    pub evidence: Vec<i64>,
    pub notable_us: Option<(i64, i64)>,
    /// Event times of the earliest and the latest record.
    pub records_us: (i64, i64),
    /// Of its first record.
    pub environment: Option<String>,
}

impl Collected {
    pub fn new(event: &Event<'_>, of: (&'static str, &str), role: &str, gathers: Gathers) -> Collected {
        let workflow = event.record.workflow.filter(|_| gathers != Gathers::Wide);
        Collected {
            entity: Entity::new(Level::Principal, &[(of.0, Some(of.1))]),
            session: Session::new(event.principal_key(), Peers::new(role, workflow)),
            gathers,
            // Without a workflow there is no loose session beside it.
            is_mixed: event.record.workflow.is_none(),
            workflow: event.record.workflow.map(|name| bounded(name).into_owned()),
            denied: BTreeSet::new(),
            is_admitted: false,
            is_risky: false,
            first_destructive: None,
            named: Vec::new(),
            check_at: 0,
            last_index: event.record.index,
            most: Scores::default(),
            looks: 0,
            told_at: -1,
            told: Told::default(),
            notable: 0,
            evidence: Vec::new(),
            notable_us: None,
            records_us: (event.event_us, event.event_us),
            environment: event.record.environment.map(|name| bounded(name).into_owned()),
        }
    }

    /// Notes that a record came.
    pub fn touch(&mut self, event: &Event<'_>) {
        self.last_index = event.record.index;
        if !self.is_mixed
            && self.gathers == Gathers::Wide
            && self.workflow.as_deref() != event.record.workflow.map(bounded).as_deref()
        {
            // What it has so far was not looked at.
            (self.is_mixed, self.check_at) = (true, 0);
        }
        self.records_us = (self.records_us.0.min(event.event_us), self.records_us.1.max(event.event_us));
    }

    /// Whether it is judged, of so many records: what has one is part of a loose session.
    pub fn is_judged(&self, records: u64) -> bool {
        match self.gathers {
            Gathers::Own => records > 1,
            Gathers::Loose => true,
            Gathers::Wide => self.is_mixed,
        }
    }

    /// Adds an element; its surprise where it was not there yet.
    pub fn add(
        &mut self,
        deed: &Deed<'_>,
        is_admitted: bool,
        surprise: impl Fn(&Session, Element) -> f64,
    ) -> Option<f64> {
        let is_new = self.session.insert(deed.element);
        if is_admitted && !self.denied.is_empty() {
            self.denied.remove(&deed.element);
            deed.place().map(|place| self.denied.remove(&place));
        }
        if !is_new {
            // So is its place.
            return None;
        }
        if !is_admitted {
            self.denied.insert(deed.element);
        }
        if let Some(place) = deed.place()
            && self.session.reach(place)
            && !is_admitted
        {
            self.denied.insert(place);
        }
        let surprise = surprise(&self.session, deed.element);
        self.name(deed, surprise);
        Some(surprise)
    }

    fn name(&mut self, deed: &Deed<'_>, surprise: f64) {
        let place = self.named.partition_point(|named| named.surprise >= surprise);
        if place < ENGINE_SESSION_NAMES_MAX {
            self.named.insert(place, Named { element: deed.element, surprise, name: deed.in_words() });
            self.named.truncate(ENGINE_SESSION_NAMES_MAX);
        }
    }

    pub fn name_of(&self, element: Element) -> Option<&str> {
        self.named.iter().find(|named| named.element == element).map(|named| named.name.as_str())
    }

    /// Notes that a record brought something notable.
    pub fn note(&mut self, event: &Event<'_>) {
        self.notable = self.notable.saturating_add(1);
        if self.evidence.len() < ENGINE_EVIDENCE_MAX {
            self.evidence.push(event.record.index);
        }
        let at_us = event.event_us;
        let (first_us, last_us) = self.notable_us.unwrap_or((at_us, at_us));
        self.notable_us = Some((first_us.min(at_us), last_us.max(at_us)));
    }

    /// Notes that an episode was opened for what it is now.
    pub fn tell(&mut self) {
        self.told_at = self.last_index;
    }

    /// Whether that was done since its last record.
    pub fn is_told(&self) -> bool {
        self.told_at == self.last_index
    }

    /// Whether it is to be looked at now: whenever it has grown by a quarter since.
    pub fn is_due(&mut self) -> bool {
        let elements = self.session.elements();
        if elements < self.check_at {
            return false;
        }
        self.check_at = elements + (elements / 4).max(1);
        true
    }

    /// What it teaches: nothing where no call was let pass, and never what was only tried.
    pub fn lesson(self) -> Option<Session> {
        let lesson = self.session.without(&self.denied);
        (self.is_admitted && lesson.elements() > 0).then_some(lesson)
    }
}
